// Which thread of a card takes which bells. Each word of a session's bells belongs to one thread, that of the slots
// that its bells lead to where the engine chose so; a bell in another thread's word is passed on by it.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "driver/mover.hpp"

namespace slotwire::driver {

/// Belongs to the card's thread.
class SessionBells {
 public:
  static constexpr std::uint32_t kNoSlot = Card::kNoSlot;

  /// `takers` are the threads by their numbers and outlive this. Sessions are 0..sessions-1.
  SessionBells(std::vector<BellTaker*> takers, std::size_t sessions, std::size_t slots)
      : takers_(std::move(takers)), sessions_(sessions), bells_(slots) {}

  /// As of Card; a session that is added again begins anew.
  void add_session(std::uint32_t session, slot::BellPage& bells, slot::PolledPage& polled, int kick);
  void remove_session(std::uint32_t session);
  /// Bell `local` of the session can lead to a slot of thread `where` without a detour.
  bool takes_bell(std::uint32_t session, std::size_t local, ThreadNumber where) const;
  /// Bell `local` leads to `slot`, whose lines move in thread `where`.
  void set_bell(std::uint32_t session, std::size_t local, std::uint16_t slot, ThreadNumber where);
  void clear_bell(std::uint32_t session, std::size_t local);
  /// The lines of `slot` move in thread `where` from now on: so does what its bell leads to.
  void moved(std::uint16_t slot, ThreadNumber where);
  /// Wakes the threads that a bell rang for and that do not poll it.
  void on_kick(std::uint32_t session);

 private:
  struct Session {
    slot::BellPage* bells = nullptr;
    slot::PolledPage* polled = nullptr;
    int kick = -1;
    std::array<ThreadNumber, regs::kBellWordCount> owner{};  ///< of each word; kNoThread: its bells lead nowhere
    std::array<std::uint8_t, regs::kBellWordCount> used{};   ///< bells of each word that lead somewhere
    std::vector<slot::BellWords> words;                      ///< by thread
    std::vector<bool> known;                                 ///< by thread: it was told of the session
    std::vector<std::uint32_t> leads;                        ///< slots by local index
  };
  /// The bell that leads to a slot.
  struct Bell {
    std::uint32_t session = kNoSession;
    std::uint16_t local = 0;
  };
  static constexpr std::uint32_t kNoSession = ~std::uint32_t{0};

  Session* find(std::uint32_t session) const { return session < sessions_.size() ? sessions_[session].get() : nullptr; }
  SessionWords words_of(std::uint32_t session, const Session& s, ThreadNumber thread) const {
    return {session, s.bells, s.polled, s.words[thread]};
  }

  std::vector<BellTaker*> takers_;
  std::vector<std::unique_ptr<Session>> sessions_;
  std::vector<Bell> bells_;  ///< by slot
};

}  // namespace slotwire::driver
