#include "runtime/engine/slots/spare_slots.hpp"

#include <algorithm>
#include <cassert>

namespace slotwire::engine {

std::size_t SpareSlots::of_session(std::uint32_t session) const {
  const auto found = by_session_.find(session);
  return found == by_session_.end() ? 0 : found->second.size();
}

void SpareSlots::add(const SpareSlot& spare) {
  assert(!has(spare.slot));
  by_session_[spare.session].push_back(spare);
  session_of_[spare.slot] = spare.session;
  if (!spare.partner) return;
  const auto partner = session_of_.find(*spare.partner);
  if (partner == session_of_.end()) return;
  for (SpareSlot& one : by_session_[partner->second]) {
    if (one.slot == *spare.partner) one.partner_open = false;
  }
}

std::optional<SpareSlot> SpareSlots::take_last(std::uint32_t session,
                                               const std::function<bool(const SpareSlot&)>& fits) {
  const auto found = by_session_.find(session);
  if (found == by_session_.end()) return std::nullopt;
  std::vector<SpareSlot>& list = found->second;
  const auto last = std::find_if(list.rbegin(), list.rend(), fits);
  if (last == list.rend()) return std::nullopt;
  const SpareSlot spare = *last;
  list.erase(std::next(last).base());
  if (list.empty()) by_session_.erase(found);
  session_of_.erase(spare.slot);
  return spare;
}

std::optional<SpareSlot> SpareSlots::take(std::uint32_t session, unsigned in_order, unsigned out_order) {
  return take_last(session, [&](const SpareSlot& one) {
    return !one.partner && one.in_order == in_order && one.out_order == out_order;
  });
}

std::optional<SpareSlot> SpareSlots::take_pair(std::uint32_t session, std::uint32_t partner_session, unsigned in_order,
                                               unsigned out_order) {
  std::optional<SpareSlot> first = take_last(session, [&](const SpareSlot& one) {
    if (!one.partner || one.partner_open || one.in_order != in_order || one.out_order != out_order) return false;
    const auto partner = session_of_.find(*one.partner);
    return partner != session_of_.end() && partner->second == partner_session;
  });
  if (first) remove(*first->partner);
  return first;
}

std::optional<SpareSlot> SpareSlots::remove(std::uint16_t slot) {
  const auto found = session_of_.find(slot);
  if (found == session_of_.end()) return std::nullopt;
  return take_last(found->second, [slot](const SpareSlot& one) { return one.slot == slot; });
}

std::vector<std::uint16_t> SpareSlots::find(const std::function<bool(const SpareSlot&)>& which) const {
  std::vector<std::uint16_t> slots;
  for (const auto& [session, list] : by_session_) {
    for (const SpareSlot& one : list) {
      if (which(one)) slots.push_back(one.slot);
    }
  }
  return slots;
}

}  // namespace slotwire::engine
