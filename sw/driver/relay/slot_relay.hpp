// Lines and marks between a slot's space files and a card: what the engine does for a card that processes do not reach,
// and what a simulated card does for slots that it is handed.
//
// Positions are the same on both sides. A process's mark is read once; one that cannot be is for the card to fault.
// Thread rules: one thread, the bus's.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/regs/regs.hpp"
#include "core/slot/memory.hpp"
#include "driver/bus/host_bus.hpp"

namespace slotwire::driver {

/// Card address of a line of slot memory.
constexpr std::size_t memory_address(std::uint32_t line) {
  return regs::kCardMemory + std::size_t{line} * regs::kLineBytes;
}
/// Card address of a slot's row.
constexpr std::size_t row_address(std::uint16_t slot) {
  return regs::kCardSlotRows + std::size_t{slot} * regs::kSlotRowBytes;
}
constexpr std::uint32_t ring_lines(unsigned order) {
  return std::uint32_t{1} << order;
}

/// The process's own account of its marks, as far as it can be: where the proxy page stands, and what of the process
/// page fits it. Needs both files.
void marks_from_pages(regs::SlotRow& row, const slot::Space& own, const slot::Space& other);

class SlotRelay {
 public:
  struct Rung {
    std::uint32_t lines = 0;  ///< brought to the card
    bool moved = false;       ///< a mark was written
    bool refused = false;     ///< the process's marks cannot be; the card was told so, and faults the slot
  };

  /// The marks of a process, each read once.
  struct ProcessMarks {
    explicit ProcessMarks(const slot::Space& own)
        : in_tail(own.marks().tail.load(std::memory_order_acquire)),
          out_head(own.marks().head.load(std::memory_order_acquire)) {}
    std::uint32_t in_tail, out_head;
  };
  /// The proxy marks of a slot, as the card shows them.
  struct Marks {
    std::uint32_t in_head = 0, out_tail = 0;
  };
  /// The marks may come next after those in `row`; else they are an earlier pairing's, or no card's.
  static bool follows(const regs::SlotRow& row, const Marks& marks);

  explicit SlotRelay(HostBus& bus);

  /// Brings the process's marks, as they are now, to the card, and the lines before them. `row`: the slot's marks so
  /// far, its orders (0..kMaxRingOrder) and its place on the card. `moved_only` false: writes marks that did not move,
  /// too.
  Rung ring(std::uint16_t slot, regs::SlotRow& row, const slot::Space& own, bool moved_only) {
    return ring(slot, row, own, ProcessMarks(own), moved_only);
  }
  /// The same with marks that were read before.
  Rung ring(std::uint16_t slot, regs::SlotRow& row, const slot::Space& own, const ProcessMarks& marks, bool moved_only);
  /// None: the card did not answer.
  std::optional<Marks> shown(std::uint16_t slot);
  /// Fetches the lines that the card delivered since `row`, and moves the marks in `row`: they may be shown. Returns
  /// the lines; marks of an earlier pairing move nothing. None: the card did not answer.
  std::optional<std::uint32_t> take(std::uint16_t slot, regs::SlotRow& row, slot::Space& other);

 private:
  void copy_in(const regs::SlotRow& row, const slot::Space& own, std::uint32_t from, std::uint32_t lines);
  bool copy_out(const regs::SlotRow& row, slot::Space& other, std::uint32_t from, std::uint32_t lines);

  HostBus& bus_;
  std::vector<std::byte> buffer_;
};

}  // namespace slotwire::driver
