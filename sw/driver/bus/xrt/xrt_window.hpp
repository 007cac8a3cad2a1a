// The Slotwire kernel on an Alveo card, through XRT: registers by xrt::ip, slot memory in a buffer of the card's
// memory.
//
// One in a process: XRT's library shares one connection to a device among all that a process opens, and closing one of
// them ends the others. Thread rules: one thread. Every call into XRT stands under the watchdog.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "driver/bus/network_kernel.hpp"
#include "driver/bus/window_port.hpp"
#include "driver/bus/xrt/watchdog.hpp"

namespace slotwire::driver {

/// The name of the kernel in an xclbin (hw/shells/xrt).
inline constexpr const char* kXrtKernel = "slotwire_xrt";

enum class XrtMemory : std::uint8_t {
  automatic,  ///< mapped if the card's memory can be, else copied
  mapped,     ///< through the card's own window on the bus (P2P)
  copied,     ///< by the card's DMA, exactly what is asked for
};

struct XrtOptions {
  std::string device = "0";  ///< index, or bus address (BDF)
  std::string xclbin;        ///< file
  XrtMemory memory = XrtMemory::automatic;
  int bank = -1;                   ///< of device memory; -1: the one that the kernel is connected to
  std::string network = "cmac_0";  ///< the 100G kernel in the xclbin; empty: whoever looks after the link is another
};

class XrtWindow final : public WindowDevice, public NetworkRegisters {
 public:
  /// Opens the device, loads the xclbin unless it is loaded already, checks kernel, window and card, and takes the card
  /// to a state in which no slot is bound. Throws std::runtime_error that names the device, what is wrong and what to
  /// do.
  XrtWindow(const XrtOptions& options, Watchdog& dog);
  ~XrtWindow() override;
  XrtWindow(const XrtWindow&) = delete;
  XrtWindow& operator=(const XrtWindow&) = delete;

  std::uint32_t memory_lines() const { return memory_lines_; }
  std::uint32_t slots() const { return slots_; }
  /// What the device calls itself, and how slot memory is reached.
  const std::string& description() const { return description_; }

  void write(std::uint32_t offset, std::uint32_t value) override;
  std::uint32_t read(std::uint32_t offset) override;
  void write_memory(std::size_t offset, std::span<const std::byte> data) override;
  void read_memory(std::size_t offset, std::span<std::byte> data) override;
  void settle_memory() override;

  // Of the network kernel; not to be called without one (XrtOptions::network).
  void write_network(std::uint32_t offset, std::uint32_t value) override;
  std::uint32_t read_network(std::uint32_t offset) override;

 private:
  struct Parts;

  void open(const XrtOptions& options);
  void open_network(const std::string& name);
  void check_card();
  void make_memory(const XrtOptions& options);
  bool card_sees_memory();
  void free_all();

  Watchdog& dog_;
  std::string device_, description_;
  std::unique_ptr<Parts> parts_;
  std::uint32_t memory_lines_ = 0, slots_ = 0;
  std::size_t last_written_ = 0;  ///< byte of slot memory
};

}  // namespace slotwire::driver
