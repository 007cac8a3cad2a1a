// The doorbells of all sessions whose bells one thread takes: polls the bells of sessions that are busy, and no others.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/slot/bell.hpp"

namespace slotwire::driver {

/// Belongs to one thread. Sessions are numbered by the caller, densely. The bells of a session may be shared by boards
/// of several threads; each word belongs to one of them, which alone takes its bells and says whether it is polled.
class BellBoard {
 public:
  static constexpr std::uint32_t kNoSlot = ~std::uint32_t{0};

  /// While so many sessions or fewer are polled, they may be silent for kPatience times as long.
  static constexpr std::size_t kFew = 128;
  static constexpr std::uint64_t kPatience = 10;

  /// A session whose bells were silent for `demote_us` is polled no longer and must kick.
  explicit BellBoard(std::uint64_t demote_us) : demote_us_(demote_us) {}

  /// `words` are this board's; they are polled if a bell of them is set already.
  void add(std::uint32_t session, slot::BellPage& bells, slot::PolledPage& polled, slot::BellWords words);
  /// From now on `words` of a session that was added are this board's, and no others; polled as for add().
  void own(std::uint32_t session, slot::BellWords words);
  void remove(std::uint32_t session);
  void set(std::uint32_t session, std::size_t local, std::uint32_t slot);
  /// The session kicked, and its kick descriptor was emptied: polled from now on.
  void activate(std::uint32_t session, std::uint64_t now_us);

  /// Calls `each(slot)` for every bell that rang and leads to a slot. Returns whether any did.
  template <typename Each>
  bool poll(std::uint64_t now_us, Each&& each) {
    bool any = false;
    // A look at a silent page that nobody writes costs a nanosecond or two, a kick a thousand times that.
    const std::uint64_t patience = active_.size() <= kFew ? kPatience * demote_us_ : demote_us_;
    for (std::size_t i = 0; i < active_.size();) {
      Entry& entry = entries_[active_[i]];
      bool rang = false;
      const auto take = [&](std::size_t local) {
        rang = true;
        // The page is the process's: a bell may lead nowhere.
        if (local < entry.slots.size() && entry.slots[local] != kNoSlot) each(entry.slots[local]);
      };
      slot::take_bells(*entry.bells, take, entry.words);
      if (rang) {
        entry.last_us = now_us;
        any = true;
      } else if (now_us - entry.last_us > patience && demote(entry)) {
        active_[i] = active_.back();
        active_.pop_back();
        continue;
      }
      ++i;
    }
    return any;
  }

  /// Demotes every session. False if a bell rang meanwhile: then nothing may sleep yet.
  bool prepare_sleep();
  /// Polls the sessions again that prepare_sleep() demoted, for the time that they had left: while the thread is awake
  /// they need not kick.
  void awake(std::uint64_t now_us);
  std::size_t active() const { return active_.size(); }

 private:
  struct Entry {
    slot::BellPage* bells = nullptr;
    slot::PolledPage* polled = nullptr;
    slot::BellWords words = 0;
    bool active = false;
    bool resting = false;  ///< demoted by prepare_sleep(): in resting_
    std::uint64_t last_us = 0;
    std::vector<std::uint32_t> slots;  ///< by local index
  };

  /// Stops polling unless a bell rang in the very moment.
  static bool demote(Entry& entry);
  /// Begins with words that may have bells from before.
  void take_up(std::uint32_t session);

  std::uint64_t demote_us_;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> active_;
  std::vector<std::uint32_t> resting_;  ///< may hold sessions that are active again, or gone
};

}  // namespace slotwire::driver
