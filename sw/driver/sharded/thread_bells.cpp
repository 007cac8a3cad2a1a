#include "driver/sharded/thread_bells.hpp"

namespace slotwire::driver {

void ThreadBells::own(const SessionWords& words) {
  if (words.session >= sessions_.size()) sessions_.resize(words.session + 1);
  if (!sessions_[words.session]) {
    board_.add(words.session, *words.bells, *words.polled, 0);
    sessions_[words.session] = true;
  }
  board_.own(words.session, words.words);
}

void ThreadBells::lead(const SessionWords& words, std::size_t local, std::uint16_t slot, ThreadNumber where) {
  own(words);
  where_[slot] = where;
  board_.set(words.session, local, slot);
}

void ThreadBells::lead_nowhere(const SessionWords& words, std::size_t local, std::uint16_t slot) {
  board_.set(words.session, local, BellBoard::kNoSlot);
  if (where_[slot] != number_) where_[slot] = kNoThread;
  own(words);
}

void ThreadBells::remove_session(std::uint32_t session) {
  board_.remove(session);
  if (session < sessions_.size()) sessions_[session] = false;
}

}  // namespace slotwire::driver
