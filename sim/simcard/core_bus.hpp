// Card addresses of a simulated core as a host bus. Every access lets as many clocks pass as it takes. One thread.
#pragma once
#include <string>

#include "driver/bus/host_bus.hpp"
#include "sim/card/card_driver.hpp"

namespace slotwire::sim {

/// For use while nobody else has an access of the core's host port under way.
class CoreBus final : public driver::HostBus {
 public:
  explicit CoreBus(SimCore& core) : driver_(core) {}

  void write(std::size_t address, std::span<const std::byte> data) override;
  bool read(std::size_t address, std::span<std::byte> data) override;
  void flush() override {}
  std::uint32_t take_interrupts() override { return 0; }
  int fd() const override { return -1; }
  const std::string& broken() const override { return driver_.error(); }
  bool reconnect() override { return false; }

 private:
  SimCardDriver driver_;
};

}  // namespace slotwire::sim
