#include "driver/soft/bell_board.hpp"

#include <algorithm>
#include <utility>

namespace slotwire::driver {

void BellBoard::add(std::uint32_t session, slot::BellPage& bells, slot::PolledPage& polled, slot::BellWords words) {
  if (session >= entries_.size()) entries_.resize(session + 1);
  Entry& entry = entries_[session] = Entry{};
  entry.bells = &bells;
  entry.polled = &polled;
  entry.words = words;
  take_up(session);
}

void BellBoard::own(std::uint32_t session, slot::BellWords words) {
  Entry& entry = entries_[session];
  entry.polled->polled.fetch_and(~(entry.words & ~words), std::memory_order_seq_cst);
  entry.words = words;
  if (entry.active) {
    slot::start_polling(*entry.polled, words);
  } else {
    take_up(session);
  }
}

/// Who rang before these words were this board's may have seen them polled, by a proxy that died or by another board,
/// and nobody kicks for a bell that is set already.
void BellBoard::take_up(std::uint32_t session) {
  Entry& entry = entries_[session];
  if (slot::stop_polling(*entry.bells, *entry.polled, entry.words)) return;
  entry.active = true;
  active_.push_back(session);
}

void BellBoard::remove(std::uint32_t session) {
  if (session >= entries_.size()) return;
  std::erase(active_, session);  // POLLED may stay: nobody rings any more
  entries_[session] = Entry{};
}

void BellBoard::set(std::uint32_t session, std::size_t local, std::uint32_t slot) {
  Entry& entry = entries_[session];
  if (local >= slot::kMaxSessionSlots) return;
  if (local >= entry.slots.size()) entry.slots.resize(local + 1, kNoSlot);
  entry.slots[local] = slot;
}

void BellBoard::activate(std::uint32_t session, std::uint64_t now_us) {
  if (session >= entries_.size() || entries_[session].bells == nullptr) return;
  Entry& entry = entries_[session];
  entry.last_us = now_us;
  if (entry.active) return;
  entry.active = true;
  slot::start_polling(*entry.polled, entry.words);
  active_.push_back(session);
}

bool BellBoard::demote(Entry& entry) {
  entry.active = !slot::stop_polling(*entry.bells, *entry.polled, entry.words);
  return !entry.active;
}

bool BellBoard::prepare_sleep() {
  for (std::size_t i = 0; i < active_.size();) {
    Entry& entry = entries_[active_[i]];
    if (demote(entry)) {
      if (!std::exchange(entry.resting, true)) resting_.push_back(active_[i]);
      active_[i] = active_.back();
      active_.pop_back();
    } else {
      ++i;
    }
  }
  return active_.empty();
}

void BellBoard::awake(std::uint64_t now_us) {
  for (const std::uint32_t session : resting_) {
    Entry& entry = entries_[session];
    if (!std::exchange(entry.resting, false) || entry.bells == nullptr || entry.active) continue;
    if (now_us - entry.last_us > demote_us_) continue;
    entry.active = true;
    slot::start_polling(*entry.polled, entry.words);
    active_.push_back(session);
  }
  resting_.clear();
}

}  // namespace slotwire::driver
