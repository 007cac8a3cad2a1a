// A card's registers and tables (docs/registers.md) as functions over a host bus. No state but the bus, and whether a
// command hangs. Thread rules: one thread, the bus's.
#pragma once
#include <array>
#include <cstdint>
#include <optional>

#include "driver/bus/host_bus.hpp"
#include "driver/card.hpp"
#include "driver/relay/card_neighbours.hpp"

namespace slotwire::driver {

/// Card address of a slot's row of the DMA table.
constexpr std::size_t dma_row_address(std::uint16_t slot) {
  return regs::kCardDmaRows + std::size_t{slot} * regs::kLineBytes;
}

/// Every read may fail, when the card does not answer: none or false, and HostBus::broken() says why.
class CardRegisters {
 public:
  /// Looks at the command register before a command counts as stuck.
  static constexpr int kCommandLooks = 1000;
  /// The first line of slot memory names the life of the rows that its contents belong to; no slot has it.
  static constexpr std::uint32_t kReservedLines = 1;

  struct Counters {
    std::array<std::uint64_t, regs::kCounterCount> pipeline{};
    std::array<std::uint64_t, regs::kCardCounterCount> card{};  ///< what only a card counts
  };

  explicit CardRegisters(HostBus& bus) : bus_(bus) {}

  /// What the card says of itself, checked; it must have `slots` slots. Throws std::runtime_error: what is wrong with
  /// the card, and what to do.
  CardInfo read_info(std::size_t slots);
  /// What a person needs to know of a card that does not answer.
  std::string why() const;

  std::optional<std::uint64_t> read_incarnation();
  void write_incarnation(std::uint64_t incarnation);
  /// All interrupts, at once.
  void enable_interrupts();
  void clear_interrupts();
  /// The card takes frames for this address from now on.
  void write_own(const CardAddress& own);

  void write_row(std::uint16_t slot, const regs::SlotRow& row);
  std::optional<regs::SlotRow> read_row(std::uint16_t slot);
  void write_dma_row(std::uint16_t slot, const regs::DmaRow& row);
  /// Reads a word of the row, which is answered when the card has done every write into host memory that a row allowed
  /// before, and that of every mark that it has shown. False: it was not answered.
  bool settle_dma(std::uint16_t slot) { return read32(dma_row_address(slot)).has_value(); }
  void write_link(std::uint16_t link, const regs::LinkRow& row);
  /// False: the card did not answer, or is stuck() with an earlier command; what was wanted is lost.
  bool command(regs::CardCommand what, std::uint16_t target, regs::Fault cause = regs::Fault::none);
  /// A command did not end, since the last time that this was set.
  bool stuck() const { return stuck_; }
  void set_stuck(bool stuck) { stuck_ = stuck; }

  /// The next slot whose marks moved, and takes it; kNothing: there is none. Any number may come.
  std::optional<std::uint32_t> take_moved();
  static constexpr std::uint32_t kNothing = ~std::uint32_t{0};
  /// What the card tells of a slot.
  struct Event {
    bool any = false;   ///< else there is nothing to tell
    bool lost = false;  ///< some before it were lost
    bool stopped = false;
    std::uint16_t slot = 0;  ///< any number
    regs::Fault fault = regs::Fault::none;
  };
  std::optional<Event> take_event();
  std::optional<Counters> read_counters();

 private:
  std::optional<std::uint32_t> read32(std::size_t address);

  HostBus& bus_;
  bool stuck_ = false;
};

/// MAC addresses as rows and registers have them.
constexpr std::uint32_t mac_high(const MacAddress& mac) {
  return std::uint32_t{mac[0]} << 24 | std::uint32_t{mac[1]} << 16 | std::uint32_t{mac[2]} << 8 | mac[3];
}
constexpr std::uint32_t mac_low(const MacAddress& mac) {
  return std::uint32_t{mac[4]} << 8 | mac[5];
}

}  // namespace slotwire::driver
