#include "driver/router/session_bells.hpp"

#include <stdexcept>
#include <utility>

#include "core/slot/waiter.hpp"

namespace slotwire::driver {

void SessionBells::add_session(std::uint32_t session, slot::BellPage& bells, slot::PolledPage& polled, int kick) {
  if (session >= sessions_.size()) throw std::invalid_argument("a session's number is out of range");
  remove_session(session);
  auto made = std::make_unique<Session>();
  made->bells = &bells;
  made->polled = &polled;
  made->kick = kick;
  made->owner.fill(kNoThread);
  made->words.assign(takers_.size(), 0);
  made->known.assign(takers_.size(), false);
  // The only thread has them all: taking all words at once is cheaper than taking some.
  if (takers_.size() == 1) made->words[kHomeThread] = slot::kAllBellWords;
  polled.polled.store(0, std::memory_order_seq_cst);
  sessions_[session] = std::move(made);
}

void SessionBells::remove_session(std::uint32_t session) {
  Session* const s = find(session);
  if (s == nullptr) return;
  for (std::size_t thread = 0; thread < takers_.size(); ++thread) {
    if (s->known[thread]) takers_[thread]->remove_session(session);
  }
  for (const std::uint32_t slot : s->leads) {
    if (slot != kNoSlot && bells_[slot].session == session) bells_[slot] = {};
  }
  sessions_[session].reset();
}

bool SessionBells::takes_bell(std::uint32_t session, std::size_t local, ThreadNumber where) const {
  const Session* const s = find(session);
  if (s == nullptr || local >= slot::kMaxSessionSlots) return false;
  const ThreadNumber owner = s->owner[local / 64];
  return owner == kNoThread || owner == where;
}

void SessionBells::clear_bell(std::uint32_t session, std::size_t local) {
  Session* const s = find(session);
  if (s == nullptr || local >= s->leads.size()) return;
  const std::uint32_t before = std::exchange(s->leads[local], kNoSlot);
  if (before == kNoSlot) return;
  const std::size_t word = local / 64;
  ThreadNumber& owner = s->owner[word];
  const ThreadNumber thread = owner;
  if (--s->used[word] == 0) {
    owner = kNoThread;
    if (takers_.size() > 1) s->words[thread] &= ~slot::bell_word(local);
  }
  takers_[thread]->lead_nowhere(words_of(session, *s, thread), local, static_cast<std::uint16_t>(before));
  bells_[before] = {};
}

void SessionBells::set_bell(std::uint32_t session, std::size_t local, std::uint16_t slot, ThreadNumber where) {
  Session* const s = find(session);
  if (s == nullptr || local >= slot::kMaxSessionSlots) return;
  clear_bell(session, local);
  if (local >= s->leads.size()) s->leads.resize(local + 1, kNoSlot);
  s->leads[local] = slot;
  bells_[slot] = {session, static_cast<std::uint16_t>(local)};
  const std::size_t word = local / 64;
  ThreadNumber& owner = s->owner[word];
  if (owner == kNoThread) owner = where;
  ++s->used[word];
  s->words[owner] |= slot::bell_word(local);
  s->known[owner] = true;
  takers_[owner]->lead(words_of(session, *s, owner), local, slot, where);
}

void SessionBells::moved(std::uint16_t slot, ThreadNumber where) {
  const Bell bell = bells_[slot];
  if (bell.session == kNoSession) return;
  clear_bell(bell.session, bell.local);
  set_bell(bell.session, bell.local, slot, where);
}

/// Who took the bell meanwhile, or polls it meanwhile, needs no kick: before it stops polling it looks once more.
void SessionBells::on_kick(std::uint32_t session) {
  Session* const s = find(session);
  if (s == nullptr) return;
  slot::drain_event(s->kick);
  const slot::BellWords unheard =
      s->bells->summary.load(std::memory_order_seq_cst) & ~s->polled->polled.load(std::memory_order_seq_cst);
  for (std::size_t thread = 0; thread < takers_.size(); ++thread) {
    if ((unheard & s->words[thread]) != 0) takers_[thread]->kicked(session);
  }
}

}  // namespace slotwire::driver
