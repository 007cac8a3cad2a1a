#include "sim/simcard/slot_shares.hpp"

#include <cstdio>
#include <exception>
#include <utility>

#include "core/slot/publish.hpp"

namespace slotwire::sim {

std::string SlotShares::share(const driver::vfio_user::ShareSlot& asked, ShareFds fds) {
  if (asked.slot >= slots_) return "the card has " + std::to_string(slots_) + " slots";
  if (asked.in_order > regs::kMaxRingOrder || asked.out_order > regs::kMaxRingOrder) return "a ring too large";
  Served served;
  try {
    served.own = slot::Space(fds[0].get(), asked.in_order, slot::Access::read_only);
    served.other = slot::Space(fds[1].get(), asked.out_order, slot::Access::read_write);
  } catch (const std::exception& error) {
    return error.what();
  }
  served.wake = std::move(fds[2]);
  served_.erase(asked.slot);
  const auto slot = static_cast<std::uint16_t>(asked.slot);
  regs::SlotRow& row = served.row;
  if (!bus_.read(driver::row_address(slot), std::as_writable_bytes(std::span(&row, 1)))) return bus_.broken();
  // It may have stopped by now; its driver hears of that.
  if (static_cast<regs::SlotState>(row.state) != regs::SlotState::bound) return {};
  if (row.in_order != asked.in_order || row.out_order != asked.out_order) return "rings of other sizes than its row's";
  // Where the proxy page stands, all before is carried. What the core has not released goes to it once more.
  row.in_tail = row.in_head = served.other.marks().head.load(std::memory_order_acquire);
  row.out_tail = served.other.marks().tail.load(std::memory_order_acquire);
  if (row.out_tail - row.out_head > served.other.lines()) return "a proxy page that does not fit its row";
  const driver::SlotRelay::Rung rung = relay_.ring(slot, row, served.own, false);
  served.refused = rung.refused;
  served_.emplace(asked.slot, std::move(served));
  look_ = true;
  return {};
}

bool SlotShares::poll() {
  bool any = false;
  for (auto& [slot, served] : served_) {
    if (served.refused) continue;
    const driver::SlotRelay::Rung rung = relay_.ring(static_cast<std::uint16_t>(slot), served.row, served.own, true);
    served.refused = rung.refused;
    any |= rung.moved;
  }
  if (!look_ || core_.now() < next_look_) return any;
  // Once more when the core is at rest: what came in before is in the marks then.
  look_ = !core_.idle();
  next_look_ = core_.now() + kLookClocks;
  return take_all() || any;
}

bool SlotShares::take_all() {
  bool any = false;
  for (auto& [slot, served] : served_) {
    const std::uint32_t released = served.row.in_head;
    const auto delivered = relay_.take(static_cast<std::uint16_t>(slot), served.row, served.other);
    if (!delivered) return any;
    if (*delivered == 0 && released == served.row.in_head) continue;
    slot::publish_marks(served.other.marks(), served.own.marks(), served.wake.get(), served.signalled,
                        served.row.in_head, served.row.out_tail);
    any = true;
  }
  return any;
}

}  // namespace slotwire::sim
