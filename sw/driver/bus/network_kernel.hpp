// The 100G network kernel beside the card's kernel on XRT (cmac_0 of xup_vitis_network_example): its error correction
// is off after it was loaded, it negotiates nothing, and nobody else looks at its link.
//
// Thread rules: one thread.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace slotwire::driver {

/// The kernel's registers.
class NetworkRegisters {
 public:
  virtual ~NetworkRegisters() = default;
  virtual void write_network(std::uint32_t offset, std::uint32_t value) = 0;
  virtual std::uint32_t read_network(std::uint32_t offset) = 0;
};

struct NetworkState {
  bool up = false;            ///< frames can be received
  bool aligned = false;       ///< the lanes are
  bool many_errors = false;   ///< the lanes have too many bit errors
  bool local_fault = false;   ///< no signal, or none that can be used
  bool remote_fault = false;  ///< the other end says that it has one
  bool operator==(const NetworkState&) const = default;
};

class NetworkKernel {
 public:
  /// The registers must outlive it.
  explicit NetworkKernel(NetworkRegisters& registers) : registers_(registers) {}

  /// Reed-Solomon forward error correction; both ends of a cable must have the same. A change takes the link down for a
  /// moment, so nothing is done if it is as it shall be.
  void correct_errors(bool on);
  NetworkState state();
  /// Frames with a wrong check sequence that came since the last call. The kernel hands them on as if they were good.
  std::uint64_t take_bad_frames();

  /// What an operator has to know that has changed since the last call, in a sentence; nothing: as before.
  std::optional<std::string> news();

 private:
  NetworkRegisters& registers_;
  bool correct_ = false;
  std::optional<NetworkState> told_;
};

}  // namespace slotwire::driver
