// Output spaces in memory of this host: the card writes a slot's lines and proxy marks into the pages that the slot's
// process has mapped (docs/card.md, "Output rings and proxy marks in host memory"). This is who gives a card such pages
// and takes them back, in the order that keeps its writes out of pages that are somebody else's by then.
//
//   map() -> allow() -> the slot's row -> ... -> the slot's row freed -> take_back() -> unmap()
//
// Thread rules: one thread, the bus's.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "driver/bus/host_bus.hpp"
#include "driver/mover.hpp"
#include "driver/relay/card_registers.hpp"

namespace slotwire::driver {

class HostOutput {
 public:
  /// `wanted` false: the configuration forbids it.
  HostOutput(HostBus& bus, CardRegisters& card, std::size_t slots, bool wanted);

  /// The card was reached anew, and says of itself whether it can write into host memory. It has no pages of ours.
  void reached(bool can);
  /// Why no output space can be in host memory; empty: they can.
  const std::string& obstacle() const { return obstacle_; }

  /// Gives the card the pages of the slot's output space. Returns why not; empty: it has them.
  std::string map(std::uint16_t slot, const SlotMapping& memory);
  /// The card has no way to the slot's pages any more when it returns. To be called while they are still mapped here.
  void unmap(std::uint16_t slot);
  bool mapped(std::uint16_t slot) const { return pages_[slot].bytes != 0; }
  std::uint64_t mapped_bytes(std::uint16_t slot) const { return pages_[slot].bytes; }

  /// The card may write for the slot from now on. Before the slot's row is bound.
  void allow(std::uint16_t slot);
  bool allowed(std::uint16_t slot) const { return pages_[slot].allowed; }
  /// The card writes nothing for the slot any more when it returns. After the slot's row was freed. False: the card did
  /// not answer.
  bool take_back(std::uint16_t slot);
  /// What the card has shown of any slot is in memory when it returns. False: the card did not answer.
  bool settle(std::uint16_t slot);

  HostMemoryReport report() const { return {slots_mapped_, bytes_mapped_, obstacle_}; }

 private:
  /// Bus addresses of a slot: enough for the largest space file. They start above 4 GiB, where no IOMMU keeps a window
  /// for interrupts.
  static constexpr std::uint64_t kFirstAddress = std::uint64_t{4} << 30;
  static constexpr std::uint64_t kSlotAddresses = std::uint64_t{4} << 20;
  static_assert(kSlotAddresses >= regs::kPageBytes + (std::uint64_t{regs::kLineBytes} << regs::kMaxRingOrder));

  struct Pages {
    std::uint64_t bytes = 0;  ///< that the card has; 0: none
    std::byte* memory = nullptr;
    std::uint8_t order = 0;
    bool allowed = false;
  };
  static std::uint64_t address_of(std::uint16_t slot) { return kFirstAddress + slot * kSlotAddresses; }
  void forget(Pages& pages);

  HostBus& bus_;
  CardRegisters& card_;
  bool wanted_;
  std::string obstacle_ = "the card was not reached yet";
  std::vector<Pages> pages_;
  std::size_t slots_mapped_ = 0;
  std::uint64_t bytes_mapped_ = 0;
};

}  // namespace slotwire::driver
