// Bells, the waiter, and the board of all sessions' bells.
#include "core/slot/bell.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>

#include <random>
#include <set>
#include <thread>

#include "core/slot/publish.hpp"
#include "core/slot/waiter.hpp"
#include "driver/soft/bell_board.hpp"

namespace {
using namespace slotwire;
using namespace std::chrono_literals;
using driver::BellBoard;
using slot::Waiter;

/// Longer than anything here takes unless a wake-up was lost.
constexpr int kPatienceMs = 20'000;

bool readable(int fd, int timeout_ms = 0) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, timeout_ms) == 1;
}

struct Session {
  slot::BellPage bells{};
  slot::PolledPage polled{};
  slot::Fd kick = slot::create_event();
};

TEST(SlotBell, TakesEveryBellOnce) {
  Session session;
  std::set<std::size_t> rung, words;
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    const std::size_t local = random() % slot::kMaxSessionSlots;
    rung.insert(local);
    EXPECT_EQ(slot::ring_bell(session.bells, session.polled, local), words.insert(local / 64).second)
        << "nobody polls: the first bell of a word kicks, the others find it rung";
  }
  EXPECT_TRUE(slot::bell_pending(session.bells));
  std::set<std::size_t> taken;
  slot::take_bells(session.bells, [&](std::size_t local) { EXPECT_TRUE(taken.insert(local).second); });
  EXPECT_EQ(taken, rung);
  EXPECT_FALSE(slot::bell_pending(session.bells));
  slot::take_bells(session.bells, [&](std::size_t) { ADD_FAILURE() << "taken twice"; });
  session.polled.polled = slot::kAllBellWords;
  EXPECT_FALSE(slot::ring_bell(session.bells, session.polled, 4095));
}

TEST(SlotBell, AnyBitsInThePageStayInRange) {
  Session session;
  session.bells.summary = ~std::uint64_t{0};
  for (auto& word : session.bells.words) word = ~std::uint64_t{0};
  std::size_t count = 0;
  slot::take_bells(session.bells, [&](std::size_t local) {
    ++count;
    ASSERT_LT(local, slot::kMaxSessionSlots);
  });
  EXPECT_EQ(count, slot::kMaxSessionSlots);
}

TEST(SlotBell, AWordIsPolledOrKickedByItself) {
  Session session;
  session.polled.polled = slot::bell_word(70);
  EXPECT_TRUE(slot::ring_bell(session.bells, session.polled, 63));
  EXPECT_FALSE(slot::ring_bell(session.bells, session.polled, 64));
  EXPECT_FALSE(slot::ring_bell(session.bells, session.polled, 127));
  EXPECT_TRUE(slot::ring_bell(session.bells, session.polled, 128));
  EXPECT_TRUE(slot::bell_pending(session.bells, slot::bell_word(0)));
  EXPECT_FALSE(slot::bell_pending(session.bells, slot::bell_word(192)));
  const auto taken = [&](slot::BellWords words) {
    std::set<std::size_t> bells;
    slot::take_bells(
        session.bells, [&](std::size_t local) { bells.insert(local); }, words);
    return bells;
  };
  EXPECT_EQ(taken(slot::bell_word(64)), (std::set<std::size_t>{64, 127}));
  EXPECT_EQ(taken(slot::bell_word(64)), std::set<std::size_t>{});
  EXPECT_EQ(taken(slot::kAllBellWords), (std::set<std::size_t>{63, 128}));
}

TEST(SlotBell, KicksOnceUntilTheWordIsTaken) {
  Session session;
  EXPECT_TRUE(slot::ring_bell(session.bells, session.polled, 5));
  EXPECT_FALSE(slot::ring_bell(session.bells, session.polled, 5));
  EXPECT_FALSE(slot::ring_bell(session.bells, session.polled, 6));
  EXPECT_TRUE(slot::ring_bell(session.bells, session.polled, 64)) << "another word may be another thread's";
  slot::take_bells(
      session.bells, [](std::size_t) {}, slot::bell_word(5));
  EXPECT_TRUE(slot::ring_bell(session.bells, session.polled, 6));
  EXPECT_FALSE(slot::ring_bell(session.bells, session.polled, 64));
}

TEST(SlotEvent, SignalsAddUpAndDrainAtOnce) {
  const slot::Fd event = slot::create_event();
  EXPECT_FALSE(readable(event.get()));
  slot::drain_event(event.get());  // does not block
  slot::signal_event(event.get());
  slot::signal_event(event.get());
  EXPECT_TRUE(readable(event.get()));
  slot::drain_event(event.get());
  EXPECT_FALSE(readable(event.get()));
}

TEST(SlotEvent, NeedsNoFlagOfItsDescriptor) {
  const slot::Fd event = slot::create_event();
  ASSERT_EQ(::fcntl(event.get(), F_SETFL, 0), 0);
  slot::drain_event(event.get());
  EXPECT_FALSE(readable(event.get()));
  for (int i = 0; i < 3; ++i) slot::signal_event(event.get());
  slot::drain_event(event.get());
  EXPECT_FALSE(readable(event.get()));
  // A kernel that cannot set ticks arms the timer, and others may do so at any time.
  const itimerspec fast{{0, 1}, {0, 1}};
  ASSERT_EQ(::timerfd_settime(event.get(), 0, &fast, nullptr), 0);
  pollfd wait{event.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&wait, 1, -1), 1);
  slot::drain_event(event.get());
  EXPECT_FALSE(readable(event.get()));
}

TEST(SlotEvent, IsToldFromOtherDescriptors) {
  EXPECT_TRUE(slot::is_event(slot::create_event().get()));
  EXPECT_FALSE(slot::is_event(slot::Fd(::eventfd(0, EFD_CLOEXEC)).get()));
  EXPECT_FALSE(slot::is_event(slot::create_sealed_file("page", 4096).get()));
  EXPECT_FALSE(slot::is_event(-1));
}

TEST(SlotWaiter, SleepsAtOnceWhenToldTo) {
  Waiter waiter({0ns, 0ns});
  EXPECT_EQ(waiter.next(), Waiter::Step::sleep);
  waiter.reset();
  EXPECT_EQ(waiter.next(), Waiter::Step::sleep);
}

TEST(SlotWaiter, StaysAwakeAsLongAsThePolicySaysAndStartsAnewAfterReset) {
  for (const slot::WaitPolicy policy :
       {slot::WaitPolicy{2ms, 0ns}, slot::WaitPolicy{0ns, 2ms}, slot::WaitPolicy{1ms, 1ms}}) {
    Waiter waiter(policy);
    for (int wait = 0; wait < 2; ++wait) {
      const auto start = std::chrono::steady_clock::now();
      while (waiter.next() == Waiter::Step::again) {
      }
      EXPECT_GE(std::chrono::steady_clock::now() - start, 2ms);
      waiter.reset();
    }
  }
}

TEST(BellBoard, PollsOnlySessionsThatKicked) {
  BellBoard board(100);
  Session a, b;
  board.add(0, a.bells, a.polled, slot::kAllBellWords);
  board.add(1, b.bells, b.polled, slot::kAllBellWords);
  board.set(0, 3, 30);
  board.set(1, 4000, 31);
  slot::ring_bell(a.bells, a.polled, 3);
  slot::ring_bell(b.bells, b.polled, 4000);
  std::vector<std::uint32_t> rang;
  const auto poll = [&](std::uint64_t now) {
    return board.poll(now, [&](std::uint32_t slot) { rang.push_back(slot); });
  };
  EXPECT_FALSE(poll(0));
  board.activate(0, 1);
  EXPECT_EQ(a.polled.polled.load(), slot::kAllBellWords);
  EXPECT_TRUE(poll(2));
  EXPECT_EQ(rang, std::vector<std::uint32_t>{30});
  board.activate(1, 3);
  EXPECT_TRUE(poll(4));
  EXPECT_EQ(rang, (std::vector<std::uint32_t>{30, 31}));
}

TEST(BellBoard, ASilentSessionIsDemotedAndMustKick) {
  BellBoard board(100);
  Session a;
  board.add(0, a.bells, a.polled, slot::kAllBellWords);
  board.set(0, 0, 9);
  board.activate(0, 1000);
  constexpr std::uint64_t kSilent = 1000 + BellBoard::kPatience * 100;
  board.poll(kSilent, [](std::uint32_t) {});
  EXPECT_EQ(board.active(), 1U);
  board.poll(kSilent + 1, [](std::uint32_t) {});
  EXPECT_EQ(board.active(), 0U);
  EXPECT_TRUE(slot::ring_bell(a.bells, a.polled, 0)) << "must kick";
}

TEST(BellBoard, ManySessionsMayBeSilentForAShorterTime) {
  BellBoard board(100);
  std::vector<Session> sessions(BellBoard::kFew + 1);
  for (std::uint32_t i = 0; i < sessions.size(); ++i) {
    board.add(i, sessions[i].bells, sessions[i].polled, slot::kAllBellWords);
    board.activate(i, 1000);
  }
  board.poll(1100, [](std::uint32_t) {});
  EXPECT_EQ(board.active(), sessions.size());
  board.poll(1101, [](std::uint32_t) {});
  EXPECT_EQ(board.active(), 0U);
}

TEST(BellBoard, DoesNotSleepOnARungBell) {
  BellBoard board(100);
  Session a, b;
  board.add(0, a.bells, a.polled, slot::kAllBellWords);
  board.add(1, b.bells, b.polled, slot::kAllBellWords);
  board.activate(0, 1);
  board.activate(1, 1);
  slot::ring_bell(a.bells, a.polled, 0);
  EXPECT_FALSE(board.prepare_sleep());
  EXPECT_EQ(board.active(), 1U);
  EXPECT_EQ(a.polled.polled.load(), slot::kAllBellWords);
  EXPECT_EQ(b.polled.polled.load(), 0U);
  board.poll(2, [](std::uint32_t) {});
  EXPECT_TRUE(board.prepare_sleep());
}

TEST(BellBoard, WhoWasPolledBeforeASleepIsPolledAfterIt) {
  BellBoard board(100);
  Session recent, silent, gone, idle;
  std::uint32_t number = 0;
  for (Session* session : {&recent, &silent, &gone, &idle}) {
    board.add(number, session->bells, session->polled, slot::kAllBellWords);
    board.set(number, 0, number);
    ++number;
  }
  board.activate(1, 1000);
  board.activate(0, 1100);
  board.activate(2, 1100);
  EXPECT_TRUE(board.prepare_sleep());
  board.remove(2);
  EXPECT_TRUE(slot::ring_bell(silent.bells, silent.polled, 0)) << "asleep: must kick";
  board.awake(1150);
  EXPECT_EQ(board.active(), 1U);
  EXPECT_FALSE(slot::ring_bell(recent.bells, recent.polled, 0)) << "awake: polled again";
  EXPECT_EQ(silent.polled.polled.load(), 0U) << "was silent for too long";
  EXPECT_EQ(idle.polled.polled.load(), 0U) << "was not polled before";
  std::vector<std::uint32_t> rang;
  EXPECT_TRUE(board.poll(1150, [&](std::uint32_t slot) { rang.push_back(slot); }));
  EXPECT_EQ(rang, std::vector<std::uint32_t>{0});
}

TEST(BellBoard, ASleepThatDidNotComeLeavesEverybodyPolled) {
  BellBoard board(100);
  Session a, b;
  board.add(0, a.bells, a.polled, slot::kAllBellWords);
  board.add(1, b.bells, b.polled, slot::kAllBellWords);
  board.activate(0, 1);
  board.activate(1, 1);
  slot::ring_bell(a.bells, a.polled, 0);
  EXPECT_FALSE(board.prepare_sleep());
  board.awake(2);
  EXPECT_EQ(board.active(), 2U);
  EXPECT_FALSE(slot::ring_bell(b.bells, b.polled, 0));
}

TEST(BellBoard, BellsThatLeadNowhereAreIgnored) {
  BellBoard board(100);
  Session a;
  board.add(2, a.bells, a.polled, slot::kAllBellWords);
  board.activate(7, 1);  // no such session
  board.activate(0, 1);  // not added
  EXPECT_EQ(board.active(), 0U);
  board.set(2, 5, 50);
  board.set(2, 5, BellBoard::kNoSlot);
  board.set(2, slot::kMaxSessionSlots, 1);
  board.activate(2, 1);
  for (const std::size_t local : {5U, 6U, 4095U}) slot::ring_bell(a.bells, a.polled, local);
  EXPECT_TRUE(board.poll(2, [](std::uint32_t) { ADD_FAILURE() << "led to a slot"; }));
  board.remove(2);
  board.remove(2);
  EXPECT_EQ(board.active(), 0U);
  slot::ring_bell(a.bells, a.polled, 5);
  EXPECT_FALSE(board.poll(3, [](std::uint32_t) {}));
}

TEST(BellBoard, BoardsOfTwoThreadsShareASession) {
  BellBoard one(100), two(100);
  Session a;
  a.polled.polled = 0;
  one.add(0, a.bells, a.polled, slot::bell_word(0));
  two.add(0, a.bells, a.polled, 0);
  two.own(0, slot::bell_word(64));
  one.set(0, 1, 10);
  two.set(0, 65, 20);
  two.activate(0, 1);
  EXPECT_EQ(a.polled.polled.load(), slot::bell_word(64)) << "each says so of its words only";
  EXPECT_TRUE(slot::ring_bell(a.bells, a.polled, 1));
  EXPECT_FALSE(slot::ring_bell(a.bells, a.polled, 65));
  std::vector<std::uint32_t> rang;
  const auto note = [&](std::uint32_t slot) { rang.push_back(slot); };
  EXPECT_TRUE(two.poll(2, note));
  EXPECT_EQ(rang, std::vector<std::uint32_t>{20});
  EXPECT_TRUE(two.prepare_sleep()) << "the bell that is left is not its own";
  EXPECT_EQ(a.polled.polled.load(), 0U);
  one.activate(0, 3);
  EXPECT_TRUE(one.poll(4, note));
  EXPECT_EQ(rang, (std::vector<std::uint32_t>{20, 10}));
  // A word that changes hands is polled by the new owner.
  two.activate(0, 5);
  one.own(0, 0);
  two.own(0, slot::bell_word(0) | slot::bell_word(64));
  EXPECT_EQ(a.polled.polled.load(), slot::bell_word(0) | slot::bell_word(64));
}

// A process that rang while a proxy polled did not kick. The next proxy, or the board that the word goes to, must find
// the bell by itself.
TEST(BellBoard, TakesUpBellsFromBefore) {
  const auto rung = [](BellBoard& board) {
    std::vector<std::uint32_t> slots;
    board.poll(1, [&](std::uint32_t slot) { slots.push_back(slot); });
    return slots;
  };
  Session a;
  a.polled.polled = slot::kAllBellWords;
  EXPECT_FALSE(slot::ring_bell(a.bells, a.polled, 7));
  BellBoard next(100);
  next.add(0, a.bells, a.polled, slot::kAllBellWords);
  next.set(0, 7, 70);
  EXPECT_EQ(next.active(), 1U);
  EXPECT_FALSE(next.prepare_sleep());
  EXPECT_EQ(rung(next), std::vector<std::uint32_t>{70});
  EXPECT_TRUE(next.prepare_sleep());

  Session b;
  BellBoard from(100), to(100);
  from.add(0, b.bells, b.polled, 0);
  to.add(0, b.bells, b.polled, 0);
  from.own(0, slot::bell_word(7));
  from.activate(0, 1);
  EXPECT_FALSE(slot::ring_bell(b.bells, b.polled, 7));
  from.own(0, 0);
  EXPECT_EQ(b.polled.polled.load(), 0U);
  EXPECT_EQ(to.active(), 0U) << "the word is not its own yet";
  to.own(0, slot::bell_word(7));
  to.set(0, 7, 71);
  EXPECT_EQ(b.polled.polled.load(), slot::bell_word(7));
  EXPECT_EQ(rung(to), std::vector<std::uint32_t>{71});
}

// Producers ring while the engine demotes and sleeps, as often as it can: every line that was produced is seen, and the
// engine's sleep ends by a kick. A lost wake-up leaves the engine asleep until its patience ends.
TEST(BellBoard, NoWakeUpIsLost) {
  constexpr std::uint32_t kProducers = 2, kRings = 60'000;
  BellBoard board(0);
  std::array<Session, kProducers> sessions;
  std::array<std::atomic<std::uint32_t>, kProducers> tails{}, heads{};
  for (std::uint32_t i = 0; i < kProducers; ++i) {
    board.add(i, sessions[i].bells, sessions[i].polled, slot::kAllBellWords);
    for (const std::size_t local : {0U, 1U, 64U}) board.set(i, local, i);
  }
  std::atomic<bool> lost{false};
  std::array<std::atomic<std::uint32_t>, kProducers> kicks{};
  std::vector<std::jthread> producers;
  for (std::uint32_t i = 0; i < kProducers; ++i) {
    producers.emplace_back([&, i] {
      for (std::uint32_t n = 1; n <= kRings && !lost; ++n) {
        tails[i].store(n);
        // Two bells of one word and one of another, so that most of them find the summary bit set.
        constexpr std::size_t kLocals[] = {0, 1, 64};
        if (slot::ring_bell(sessions[i].bells, sessions[i].polled, kLocals[n % 3])) {
          ++kicks[i];
          slot::signal_event(sessions[i].kick.get());
        }
        // Lets the engine catch up now and then, so that it comes to sleep.
        while (n % 4 == 0 && heads[i].load() != n && !lost) std::this_thread::yield();
      }
    });
  }
  std::uint64_t now = 0;
  std::uint32_t sleeps = 0;
  const auto done = [&] {
    return std::all_of(heads.begin(), heads.end(), [](const auto& head) { return head.load() == kRings; });
  };
  while (!done() && !lost) {
    board.poll(++now, [&](std::uint32_t slot) { heads[slot].store(tails[slot].load()); });
    if (!board.prepare_sleep() || done()) continue;
    ++sleeps;
    std::array<pollfd, kProducers> fds;
    for (std::uint32_t i = 0; i < kProducers; ++i) fds[i] = {sessions[i].kick.get(), POLLIN, 0};
    if (::poll(fds.data(), fds.size(), kPatienceMs) <= 0) lost = true;
    for (std::uint32_t i = 0; i < kProducers; ++i) {
      if (fds[i].revents == 0) continue;
      slot::drain_event(sessions[i].kick.get());
      board.activate(i, now);
    }
  }
  producers.clear();
  EXPECT_FALSE(lost) << "a bell rang and nobody woke";
  EXPECT_TRUE(done());
  EXPECT_GT(sleeps, 100U) << "the engine hardly slept: this run proves little";
}

// A reader that needs several lines is woken by the last of them; one that needs room, by any move of the other mark.
TEST(SlotMarks, AReaderIsWokenFromItsAimOn) {
  struct alignas(4096) Page {
    slot::MarkPage marks{};
  };
  for (const slot::Position start : {0U, 0xffff'fffbU, 0xffff'fffeU}) {
    Page proxy, process;
    const slot::Fd wake = slot::create_event();
    std::uint32_t signalled = 0;
    proxy.marks.tail = proxy.marks.head = start;
    const auto publish = [&](slot::Position in_head, slot::Position out_tail) {
      slot::publish_marks(proxy.marks, process.marks, wake.get(), signalled, in_head, out_tail);
      const bool woken = readable(wake.get());
      if (woken) slot::drain_event(wake.get());
      return woken;
    };
    constexpr std::uint32_t kNeeded = 5;
    process.marks.aim = slot::aim_at(start + kNeeded);
    process.marks.wait = slot::kWaitStep | slot::kWaitReadable;
    for (std::uint32_t n = 1; n < kNeeded - 1; ++n) EXPECT_FALSE(publish(start, start + n)) << start << " " << n;
    EXPECT_FALSE(publish(start + 1, start + kNeeded - 2)) << "it does not wait for room";
    EXPECT_TRUE(publish(start + 1, start + kNeeded)) << start;
    EXPECT_FALSE(publish(start + 1, start + kNeeded + 1)) << "it was woken for this sleep";
    process.marks.wait = 2 * slot::kWaitStep | slot::kWaitReadable | slot::kWaitWritable;
    process.marks.aim = slot::aim_at(start + 3 * kNeeded);
    EXPECT_FALSE(publish(start + 1, start + kNeeded + 2));
    EXPECT_TRUE(publish(start + 2, start + kNeeded + 2)) << "room";
    process.marks.wait = 3 * slot::kWaitStep | slot::kWaitReadable;
    process.marks.aim = 0;
    EXPECT_TRUE(publish(start + 2, start + kNeeded + 3)) << "no aim: any line";
  }
  EXPECT_NE(slot::aim_at(0), 0U) << "0 means that there is no aim";
}

// The same for a process that sleeps on its marks: WAIT, fence, look again, sleep.
TEST(SlotMarks, NoWakeUpOfAProcessIsLost) {
  constexpr std::uint32_t kLines = 60'000;
  struct alignas(4096) Page {
    slot::MarkPage marks{};
  };
  Page proxy, process;
  const slot::Fd wake = slot::create_event();
  std::atomic<bool> lost{false};
  std::atomic<std::uint32_t> seen{0};
  std::jthread reader([&] {
    std::uint32_t number = 0;
    while (seen < kLines && !lost) {
      if (proxy.marks.tail.load() != seen) {
        seen = proxy.marks.tail.load();
        continue;
      }
      number += slot::kWaitStep;
      process.marks.wait.store(number | slot::kWaitReadable);
      std::atomic_thread_fence(std::memory_order_seq_cst);
      if (proxy.marks.tail.load() == seen) {
        if (!readable(wake.get(), kPatienceMs)) lost = true;
        slot::drain_event(wake.get());
      }
      process.marks.wait.store(0);
    }
  });
  std::uint32_t signalled = 0, signals = 0;
  for (std::uint32_t n = 1; n <= kLines && !lost; ++n) {
    proxy.marks.tail.store(n);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    const std::uint32_t wait = process.marks.wait.load();
    if ((wait & slot::kWaitReadable) != 0 && wait != signalled) {
      signalled = wait;
      ++signals;
      slot::signal_event(wake.get());
    }
    while (n % 4 == 0 && seen.load() != n && !lost) std::this_thread::yield();
  }
  reader.join();
  EXPECT_FALSE(lost) << "a line was delivered and the process slept on";
  EXPECT_GT(signals, 100U);
}

}  // namespace
