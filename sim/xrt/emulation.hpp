// The device's end of XRT's emulation: takes the calls of the library from its socket and does them to a simulated
// shell.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/slot/memory.hpp"
#include "sim/xrt/emulated_network.hpp"
#include "sim/xrt/rpc.hpp"
#include "sim/xrt/xrt_shell.hpp"

namespace slotwire::sim {

struct EmulationOptions {
  std::uint64_t kernel_base = 0x1800000;   ///< where the kernel's window is, as the xclbin says
  std::uint64_t network_base = 0x1A00000;  ///< and the registers of the network kernel
  bool far_correction = true;              ///< the other end of the cable has error correction
  std::uint32_t bad_frames = 0;            ///< that came damaged
  std::optional<std::uint32_t> version =
      std::nullopt;  ///< the card says that it has this version of the registers, for tests
};

class Emulation {
 public:
  /// Connects to both sockets of the library, of the environment variables USER and EMULATION_SOCKETID. Throws
  /// std::runtime_error.
  Emulation(XrtShell& shell, const EmulationOptions& options);
  /// With a connected socket instead; no second one.
  Emulation(XrtShell& shell, const EmulationOptions& options, slot::Fd calls)
      : shell_(shell),
        network_(options.far_correction, options.bad_frames),
        options_(options),
        calls_(std::move(calls)) {}

  /// Does the calls that have come. True: there were some.
  bool poll();
  int fd() const { return calls_.get(); }
  /// The library closed the device, or is gone.
  bool ended() const { return ended_; }
  /// Why, if it was not the library's wish.
  const std::string& error() const { return error_; }

 private:
  bool take_call();
  std::vector<std::byte> handle(rpc::Call call, const rpc::Reader& message);
  /// Does a register, word by word, belong to one of the kernels.
  bool in_kernels(std::uint64_t address, std::uint64_t bytes) const;
  bool in_network(std::uint64_t address) const;
  std::uint32_t read_register(std::uint64_t address);
  void write_register(std::uint64_t address, std::uint32_t value);
  void fail(const std::string& what);

  XrtShell& shell_;
  EmulatedNetwork network_;
  EmulationOptions options_;
  slot::Fd calls_, own_;
  std::vector<std::byte> in_;
  bool ended_ = false;
  std::string error_;
};

}  // namespace slotwire::sim
