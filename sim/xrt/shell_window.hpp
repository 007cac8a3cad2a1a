// A simulated XRT shell as a window of registers: what a driver on XRT sees, without XRT.
#pragma once
#include "driver/bus/window_port.hpp"
#include "sim/xrt/xrt_shell.hpp"

namespace slotwire::sim {

class ShellWindow final : public driver::WindowDevice {
 public:
  /// `base`: where slot memory starts in device memory; tells the shell.
  ShellWindow(XrtShell& shell, std::uint64_t base) : shell_(shell), base_(base) {
    shell_.write(regs::kShellMemoryLow, static_cast<std::uint32_t>(base));
    shell_.write(regs::kShellMemoryHigh, static_cast<std::uint32_t>(base >> 32));
  }
  void write(std::uint32_t offset, std::uint32_t value) override { shell_.write(offset, value); }
  std::uint32_t read(std::uint32_t offset) override { return shell_.read(offset).value_or(~std::uint32_t{0}); }
  void write_memory(std::size_t offset, std::span<const std::byte> data) override {
    shell_.memory().write(base_ + offset, data);
  }
  void read_memory(std::size_t offset, std::span<std::byte> data) override {
    shell_.memory().read(base_ + offset, data);
  }

 private:
  XrtShell& shell_;
  std::uint64_t base_;
};

}  // namespace slotwire::sim
