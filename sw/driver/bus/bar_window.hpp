// A shell's window that is mapped: a BAR of a PCI function through sysfs (OpenNIC's user box), or a file that stands
// for one.
//
// Thread rules: one thread.
#pragma once
#include <cstddef>
#include <string>

#include "driver/bus/bank_window.hpp"

namespace slotwire::driver {

class BarWindow final : public BankWindow {
 public:
  /// Maps the window at byte `offset` of `file`. Throws std::runtime_error: what is wrong and what to do.
  BarWindow(const std::string& file, std::size_t offset);
  ~BarWindow() override;
  BarWindow(const BarWindow&) = delete;
  BarWindow& operator=(const BarWindow&) = delete;

  void write(std::uint32_t offset, std::uint32_t value) override;
  std::uint32_t read(std::uint32_t offset) override;

 private:
  volatile std::uint32_t* words_ = nullptr;
};

}  // namespace slotwire::driver
