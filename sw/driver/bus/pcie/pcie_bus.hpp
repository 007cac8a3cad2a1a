// The way to a card that is a PCI function: card addresses become places in BARs (docs/registers.md).
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "driver/bus/host_bus.hpp"
#include "driver/bus/pcie/pci_function.hpp"

namespace slotwire::driver {

class PcieBus final : public HostBus {
 public:
  /// Between two looks whether the card is still there, while nothing else is read.
  static constexpr unsigned kLivenessMs = 1000;
  /// Between two looks for interrupts of a function that has none.
  static constexpr unsigned kPollMs = 1;

  /// Opens nothing yet: see reconnect().
  explicit PcieBus(std::unique_ptr<PciFunction> function);

  void write(std::size_t address, std::span<const std::byte> data) override;
  bool read(std::size_t address, std::span<std::byte> data) override;
  void flush() override;
  std::uint32_t take_interrupts() override;
  int fd() const override { return broken_.empty() ? events_.get() : -1; }
  const std::string& broken() const override { return broken_; }
  /// Of a function that was reached before: opens it anew and resets it. Slot memory and marks survive that.
  bool reconnect() override;

  bool shares_slots() const override { return function_->shares_slots(); }
  bool share_slot(const SlotShare& share) override;
  bool unshare_slot(std::uint16_t slot) override;

  std::string dma_obstacle(const DmaRange& range) const override { return function_->dma_obstacle(range); }
  std::string map_pages(const DmaPages& pages) override {
    return broken_.empty() ? function_->map_pages(pages) : broken_;
  }
  void unmap_pages(const DmaPages& pages) override { function_->unmap_pages(pages); }
  bool maps_files() const override { return function_->maps_files(); }

  const PciFunction& function() const { return *function_; }

 private:
  struct Place {
    unsigned bar = 0;
    std::size_t offset = 0;
    std::size_t bytes = 0;  ///< from there on in the same window
  };

  bool open();
  bool check_card();
  bool enable();
  bool watch(int fd, std::uint32_t tag);
  bool set_up_events();
  Place place(std::size_t address) const;
  bool alive();
  bool still_armed();
  bool lost(const std::string& why);
  bool failed();

  std::unique_ptr<PciFunction> function_;
  std::string broken_;
  bool reached_before_ = false;
  std::uint32_t slots_ = 0;
  bool lines_written_ = false;  ///< since the last fence
  bool armed_ = false;          ///< the driver above enabled interrupts
  slot::Fd events_;             ///< an epoll that holds the next three
  slot::Fd timer_;
  std::array<slot::Fd, PciFunction::kMostVectors> irqs_;
};

}  // namespace slotwire::driver
