// A shell's window whose slot memory is reached through the window itself, a bank at a time (register BANK): shells
// with slot memory on the chip and no other way to it (OpenNIC).
#pragma once
#include "driver/bus/window_port.hpp"

namespace slotwire::driver {

class BankWindow : public WindowDevice {
 public:
  /// Word by word. Of words that are covered in part, the rest is read first.
  void write_memory(std::size_t offset, std::span<const std::byte> data) final;
  void read_memory(std::size_t offset, std::span<std::byte> data) final;

 private:
  /// Where byte `offset` of slot memory, a multiple of 4, stands in the window now.
  std::uint32_t show(std::size_t offset);

  std::size_t bank_ = ~std::size_t{0};  ///< that the window shows; not known at first
};

}  // namespace slotwire::driver
