// The bells that one thread of a card takes, and where the slots are that they lead to. A bell may lead to a slot whose
// lines move in another thread, after a restart with another number of workers: it is passed on.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "driver/mover.hpp"
#include "driver/sharded/inbox.hpp"
#include "driver/soft/bell_board.hpp"

namespace slotwire::driver {

/// The inboxes of all threads of a card by their numbers. Complete before the first bell rings; null where a thread has
/// none: nobody leaves anything for the only thread of a card.
using Inboxes = std::vector<Inbox*>;

/// Belongs to one thread.
class ThreadBells final : public BellTaker {
 public:
  /// Thread `number` of a card with the inboxes `all`, which outlive this. A session whose bells are silent for
  /// `demote_us` microseconds must kick.
  ThreadBells(ThreadNumber number, const Inboxes& all, std::size_t slots, std::uint64_t demote_us)
      : number_(number), all_(all), where_(slots, kNoThread), board_(demote_us) {}

  /// The lines of `slot` move in this thread from now on, or no more.
  void take_slot(std::uint16_t slot) { where_[slot] = number_; }
  void release_slot(std::uint16_t slot) { where_[slot] = kNoThread; }
  bool has_slot(std::uint16_t slot) const { return where_[slot] == number_; }

  void lead(const SessionWords& words, std::size_t local, std::uint16_t slot, ThreadNumber where) override;
  void lead_nowhere(const SessionWords& words, std::size_t local, std::uint16_t slot) override;
  void remove_session(std::uint32_t session) override;
  void kicked(std::uint32_t session) override { board_.activate(session, now_us_); }
  /// `words` are the thread's from now on, and no others; the session is added when it is not known.
  void own(const SessionWords& words);

  /// Takes the bells that rang, and what others left in the inbox. Calls look(slots) with slots of this thread, at most
  /// kBatch at a time. Returns whether there was anything.
  template <typename Look>
  bool poll(std::uint64_t now_us, Look&& look) {
    now_us_ = now_us;
    Batch batch;
    const auto here = [&](std::uint16_t slot) {
      batch.slots[batch.size++] = slot;
      if (batch.size == kBatch) look(batch.take());
    };
    bool any = false;
    if (Inbox* const inbox = all_[number_]) {
      // A session that is polled from now on keeps the thread awake, whether a bell is there yet or not.
      any |= inbox->take_kicks([&](std::uint32_t session) { board_.activate(session, now_us); });
      any |= inbox->take_looks([&](std::uint16_t slot) {
        if (where_[slot] == number_) here(slot);  // else it was closed meanwhile
      });
    }
    any |= board_.poll(now_us, [&](std::uint32_t number) {
      const auto slot = static_cast<std::uint16_t>(number);
      const ThreadNumber where = where_[slot];
      if (where == number_) {
        here(slot);
      } else if (where != kNoThread) {
        all_[where]->look_soon(slot);
      }
    });
    if (batch.size != 0) look(batch.take());
    return any;
  }
  /// Awake again: sessions that were polled before the sleep are polled again.
  void awake(std::uint64_t now_us) { board_.awake(now_us); }
  /// Asks processes to kick from now on. False: a bell rang in between. The caller asks the inbox's senders itself.
  bool prepare_sleep() { return board_.prepare_sleep(); }

  static constexpr std::size_t kBatch = 64;

 private:
  struct Batch {
    std::array<std::uint16_t, kBatch> slots;  ///< of which `size` are set
    std::size_t size = 0;
    std::span<const std::uint16_t> take() { return std::span(slots).first(std::exchange(size, 0)); }
  };

  const ThreadNumber number_;
  const Inboxes& all_;
  std::vector<ThreadNumber> where_;  ///< of the thread's own slots, and of those that its bells lead to
  BellBoard board_;
  std::vector<bool> sessions_;  ///< known to the board
  std::uint64_t now_us_ = 0;
};

}  // namespace slotwire::driver
