// Bells in every order in which a process and the proxy can meet: no bell is lost, though a ringer kicks only for the
// first bell of a word. What is run is bell.hpp itself, over pages whose atomics are scheduled.
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "core/slot/bell.hpp"
#include "interleavings.hpp"

namespace {
using namespace slotwire;
using slot::BellWords;
using test::Interleavings;
using test::ScheduledAtomic;
using test::Scheduler;

struct Bells {
  ScheduledAtomic<std::uint64_t> summary;
  ScheduledAtomic<std::uint64_t> words[regs::kBellWordCount];
};
struct Polled {
  ScheduledAtomic<std::uint64_t> polled;
};

constexpr std::size_t kSlots = 3;
/// Bells of the slots: two in one word, one in another.
constexpr std::size_t kLocal[kSlots] = {0, 1, 64};

/// What a process and the proxy share, and what each did.
struct World {
  Bells bells;
  Polled polled;
  ScheduledAtomic<std::uint32_t> marks[kSlots];
  ScheduledAtomic<bool> kick;        ///< the session's eventfd
  std::uint32_t produced[kSlots]{};  ///< how far each mark will go
  std::uint32_t seen[kSlots]{};      ///< the mark when its bell was taken last

  bool all_seen(BellWords words) const {
    for (std::size_t i = 0; i < kSlots; ++i) {
      if ((words & slot::bell_word(kLocal[i])) != 0 && seen[i] != produced[i]) return false;
    }
    return true;
  }
};

/// The functions of bell.hpp, or faulty ones in their place.
struct Functions {
  std::function<bool(World&, std::size_t)> ring = [](World& w, std::size_t local) {
    return slot::ring_bell(w.bells, w.polled, local);
  };
  std::function<bool(World&, BellWords)> stop = [](World& w, BellWords words) {
    return slot::stop_polling(w.bells, w.polled, words);
  };
  /// Begins with words that an earlier proxy polled.
  std::function<bool(World&, BellWords)> take_over = [](World& w, BellWords words) {
    return slot::stop_polling(w.bells, w.polled, words);
  };
};

/// A thread of the process: moves the marks of `slots` one after the other.
Scheduler::Body ringer(World& w, const Functions& f, std::vector<std::size_t> slots) {
  for (const std::size_t slot : slots) ++w.produced[slot];
  return [&w, &f, slots = std::move(slots)] {
    std::uint32_t moved[kSlots]{};
    for (const std::size_t slot : slots) {
      w.marks[slot].store(++moved[slot]);
      if (f.ring(w, kLocal[slot])) w.kick.store(true);
    }
  };
}

void take(World& w, BellWords words) {
  slot::take_bells(
      w.bells,
      [&](std::size_t local) {
        for (std::size_t i = 0; i < kSlots; ++i) {
          if (kLocal[i] == local) w.seen[i] = w.marks[i].load();
        }
      },
      words);
}

/// One board, as BellBoard does it: polls until it may sleep, sleeps until `kick`. Ends when it has seen everything;
/// one that has not sleeps for ever.
void board(World& w, const Functions& f, ScheduledAtomic<bool>& kick, BellWords words, bool active) {
  while (true) {
    if (!active) {
      if (w.all_seen(words)) return;
      Scheduler::wait([&] { return kick.value(); });
      kick.value() = false;
      slot::start_polling(w.polled, words);
    }
    take(w, words);
    active = !f.stop(w, words);
  }
}

Interleavings one_ringer(const Functions& f, std::vector<std::size_t> slots, bool starts_active,
                         std::size_t preemptions) {
  World w;
  return Scheduler::search(
      [&]() -> std::vector<Scheduler::Body> {
        w = World{};
        if (starts_active) w.polled.polled.value() = slot::kAllBellWords;
        return {ringer(w, f, slots), [&, starts_active] { board(w, f, w.kick, slot::kAllBellWords, starts_active); }};
      },
      preemptions);
}

Interleavings two_ringers(const Functions& f, std::size_t preemptions) {
  World w;
  return Scheduler::search(
      [&]() -> std::vector<Scheduler::Body> {
        w = World{};
        return {ringer(w, f, {0, 2}), ringer(w, f, {1, 1}), [&] { board(w, f, w.kick, slot::kAllBellWords, false); }};
      },
      preemptions);
}

/// The proxy died while it polled; the next one takes the page over while the process rings.
Interleavings take_over(const Functions& f, std::vector<std::size_t> slots, std::size_t preemptions) {
  World w;
  return Scheduler::search(
      [&]() -> std::vector<Scheduler::Body> {
        w = World{};
        w.polled.polled.value() = slot::kAllBellWords;
        return {ringer(w, f, slots), [&] {
                  const bool quiet = f.take_over(w, slot::kAllBellWords);
                  board(w, f, w.kick, slot::kAllBellWords, !quiet);
                }};
      },
      preemptions);
}

/// Two boards with a word each; a third thread hears the kick and passes it on, as SessionBells::on_kick() does.
Interleavings two_boards(const Functions& f, std::size_t preemptions) {
  World w;
  constexpr BellWords kWords[2] = {slot::bell_word(0), slot::bell_word(64)};
  ScheduledAtomic<bool> kicked[2];
  return Scheduler::search(
      [&]() -> std::vector<Scheduler::Body> {
        w = World{};
        for (auto& one : kicked) one.value() = false;
        std::vector<Scheduler::Body> threads{
            ringer(w, f, {0, 2, 1}), [&] {
              while (!w.all_seen(slot::kAllBellWords)) {
                Scheduler::wait([&] { return w.kick.value() || w.all_seen(slot::kAllBellWords); });
                w.kick.value() = false;
                const BellWords rung = w.bells.summary.load();
                const BellWords unheard = rung & ~w.polled.polled.load();
                for (std::size_t i = 0; i < 2; ++i) {
                  if ((unheard & kWords[i]) != 0) kicked[i].store(true);
                }
              }
            }};
        for (std::size_t i = 0; i < 2; ++i) {
          threads.emplace_back([&, i] { board(w, f, kicked[i], kWords[i], false); });
        }
        return threads;
      },
      preemptions);
}

constexpr std::size_t kAnyNumber = ~std::size_t{0};

class SlotBellInterleaving : public testing::Test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "ThreadSanitizer does not know these fibers; the stress tests of slot_bell_test are for it";
#endif
  }
};

// Every order of one bell, and every order with up to three preemptions of several: each fault below needs fewer.
TEST_F(SlotBellInterleaving, NoBellIsLostInAnyOrder) {
  const Functions f;
  for (const bool active : {false, true}) {
    const Interleavings one = one_ringer(f, {0}, active, kAnyNumber);
    EXPECT_FALSE(one.stuck) << "after " << one.runs << " runs";
    EXPECT_GT(one.runs, 5U);
    const Interleavings several = one_ringer(f, {0, 1, 2}, active, 3);
    EXPECT_FALSE(several.stuck) << "after " << several.runs << " runs";
    EXPECT_GT(several.runs, 1000U);
  }
  EXPECT_FALSE(two_ringers(f, 3).stuck);
}

TEST_F(SlotBellInterleaving, NoBellIsLostWhenTheNextProxyTakesOver) {
  const Functions f;
  EXPECT_FALSE(take_over(f, {0}, kAnyNumber).stuck);
  const Interleavings several = take_over(f, {0, 1, 0}, 3);
  EXPECT_FALSE(several.stuck) << "after " << several.runs << " runs";
  EXPECT_GT(several.runs, 1000U);
}

TEST_F(SlotBellInterleaving, NoBellIsLostBetweenBoardsThatShareAKick) {
  EXPECT_FALSE(two_boards(Functions(), 2).stuck);
}

// The search finds each of the faults that the functions are written to avoid.

TEST_F(SlotBellInterleaving, FindsARingerThatLooksAtPolledTooEarly) {
  Functions f;
  f.ring = [](World& w, std::size_t local) {
    const bool polled = (w.polled.polled.load() & slot::bell_word(local)) != 0;
    w.bells.words[local / 64].fetch_or(std::uint64_t{1} << (local % 64));
    return (w.bells.summary.fetch_or(slot::bell_word(local)) & slot::bell_word(local)) == 0 && !polled;
  };
  EXPECT_TRUE(one_ringer(f, {0, 1, 2}, true, 3).stuck);
}

TEST_F(SlotBellInterleaving, FindsARingerThatSetsTheSummaryFirst) {
  Functions f;
  f.ring = [](World& w, std::size_t local) {
    const bool first = (w.bells.summary.fetch_or(slot::bell_word(local)) & slot::bell_word(local)) == 0;
    w.bells.words[local / 64].fetch_or(std::uint64_t{1} << (local % 64));
    return first && (w.polled.polled.load() & slot::bell_word(local)) == 0;
  };
  EXPECT_TRUE(one_ringer(f, {0, 1, 2}, true, 3).stuck);
}

TEST_F(SlotBellInterleaving, FindsARingerThatTakesAnyWordForItsOwn) {
  Functions f;
  f.ring = [](World& w, std::size_t local) {
    w.bells.words[local / 64].fetch_or(std::uint64_t{1} << (local % 64));
    if (w.bells.summary.fetch_or(slot::bell_word(local)) != 0) return false;
    return (w.polled.polled.load() & slot::bell_word(local)) == 0;
  };
  EXPECT_TRUE(two_boards(f, 2).stuck);
}

TEST_F(SlotBellInterleaving, FindsABoardThatStopsWithoutALook) {
  Functions f;
  f.stop = [](World& w, BellWords words) {
    w.polled.polled.fetch_and(~words);
    return true;
  };
  EXPECT_TRUE(one_ringer(f, {0, 1, 2}, true, 3).stuck);
}

TEST_F(SlotBellInterleaving, FindsABoardThatLooksBeforeItStops) {
  Functions f;
  f.stop = [](World& w, BellWords words) {
    if (slot::bell_pending(w.bells, words)) return false;
    w.polled.polled.fetch_and(~words);
    return true;
  };
  EXPECT_TRUE(one_ringer(f, {0, 1, 2}, true, 3).stuck);
}

TEST_F(SlotBellInterleaving, FindsATakeOverWithoutALook) {
  Functions f;
  f.take_over = [](World& w, BellWords words) {
    w.polled.polled.fetch_and(~words);
    return true;
  };
  EXPECT_TRUE(take_over(f, {0, 1, 0}, 3).stuck);
}

}  // namespace
