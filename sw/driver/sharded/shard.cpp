#include "driver/sharded/shard.hpp"

#include <utility>

namespace slotwire::driver {

Shard::Shard(Place number, const std::vector<Shard*>& all, std::size_t sessions, std::span<regs::SlotRow> rows,
             const SoftCardOptions& options, CardListener& listener)
    : SoftCard(rows, options, listener),
      number_(number),
      all_(all),
      where_(rows.size(), kNowhere),
      sessions_(sessions),
      looks_(rows.size()),
      kicks_(sessions) {}

void Shard::look_soon(std::uint16_t slot) noexcept {
  looks_.add(slot);
  wake();
}

void Shard::kicked(std::uint32_t session) noexcept {
  kicks_.add(session);
  wake();
}

void Shard::wake() noexcept {
  if (asleep_.load(std::memory_order_seq_cst) && asleep_.exchange(false, std::memory_order_seq_cst)) {
    slot::signal_event(wake_.get());
  }
}

void Shard::woken() noexcept {
  slot::drain_event(wake_.get());
}

void Shard::install(std::uint16_t slot, Slot made) {
  where_[slot] = number_;
  slot_at(slot) = std::move(made);
}

Shard::Slot Shard::release(std::uint16_t slot) {
  SoftCard::unbind(slot);
  where_[slot] = kNowhere;
  return std::exchange(slot_at(slot), Slot{});
}

void Shard::own_words(std::uint32_t session, slot::BellPage& page, slot::PolledPage& polled, slot::BellWords words) {
  if (!sessions_[session]) {
    // The kick eventfd is one for all shards: who hears it empties it.
    bells().add(session, page, polled, -1, 0);
    sessions_[session] = true;
  }
  bells().own(session, words);
}

void Shard::remove_session(std::uint32_t session) {
  SoftCard::remove_session(session);
  sessions_[session] = false;
}

void Shard::lead(std::uint32_t session, std::size_t local, std::uint16_t slot, Place place) {
  where_[slot] = place;
  bells().set(session, local, slot);
}

void Shard::lead_nowhere(std::uint32_t session, std::size_t local, std::uint16_t slot) {
  bells().set(session, local, kNoSlot);
  if (where_[slot] != number_) where_[slot] = kNowhere;
}

void Shard::look(std::uint16_t slot) {
  const Place place = where_[slot];
  if (place == number_) {
    SoftCard::look(slot);
  } else if (place != kNowhere) {
    all_[place]->look_soon(slot);
  }
}

bool Shard::poll(std::uint64_t now_us) {
  advance(now_us);
  // A session that is polled from now on keeps the thread awake, whether a bell is there yet or not.
  const bool kicked = kicks_.take([&](std::size_t session) { on_kick(static_cast<std::uint32_t>(session)); });
  const bool looked = looks_.take([&](std::size_t slot) {
    // It may have been closed meanwhile.
    if (where_[slot] == number_) SoftCard::look(static_cast<std::uint16_t>(slot));
  });
  return SoftCard::poll(now_us) || looked || kicked;
}

bool Shard::prepare_sleep() {
  if (!SoftCard::prepare_sleep()) return false;
  asleep_.store(true, std::memory_order_seq_cst);
  return true;
}

std::uint64_t Shard::counter(regs::Counter counter) const {
  return SoftCard::counter(counter) + (counter == regs::Counter::drop_unbound ? strange_frames_ : 0);
}

/// A frame names its slot itself, and may name one whose row another thread is writing.
void Shard::on_frame(std::uint16_t link, std::span<const std::byte> frame) {
  if (frame.size() >= regs::kHeaderBytes) {
    const std::uint16_t slot = pipeline::decode(frame.first<regs::kHeaderBytes>()).dst_slot;
    if (slot < where_.size() && where_[slot] != number_) {
      show_frame(link, frame);
      ++strange_frames_;
      return;
    }
  }
  SoftCard::on_frame(link, frame);
}

}  // namespace slotwire::driver
