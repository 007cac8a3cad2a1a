// A card with workers: threads that the slots of a link are divided among.
#include "driver/sharded/shard_worker.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "core/carriers/loopback.hpp"
#include "driver_workers_support.hpp"

namespace slotwire::driver::test {
namespace {

using regs::Counter;
using regs::Fault;
using regs::SlotRow;
using regs::SlotState;

constexpr std::size_t kSlots = 256;
using Numbers = std::vector<std::uint16_t>;
constexpr slot::WaitPolicy kSleepAtOnce{std::chrono::nanoseconds(0), std::chrono::nanoseconds(0)};

SlotState state_of(const SlotRow& row) {
  return static_cast<SlotState>(row.state);
}

class WorkersTest : public ::testing::Test {
 protected:
  void start(std::size_t queues, slot::WaitPolicy wait = {}) {
    wire = std::make_unique<QueueWire>(queues);
    engine = std::make_unique<Engine>(rows, *wire, wait);
    home.add_link(kHomeLink);
    engine->add(session);
    engine->waiting = &ends;
  }
  /// Begins the threads; both links come up.
  void run() {
    engine->card().start();
    engine->route(kHomeLink, home);
    engine->route(kWireLink, wire->queue(0));
    wire->up(kWireLink);
    ASSERT_TRUE(engine->until([&] { return (*engine)->link_up(kWireLink) && (*engine)->link_up(kHomeLink); }));
  }
  /// A slot of the session, bound to `peer`; its bell is the first free one that fits it.
  End& slot(std::uint16_t slot, std::uint16_t peer, std::uint16_t link = kWireLink) {
    engine->open(slot, link);
    std::size_t local = 0;
    while (taken.count(local) != 0 || !(*engine)->takes_bell(0, local, slot)) ++local;
    return bound(slot, peer, link, local);
  }
  /// The same with a bell that was chosen otherwise.
  End& bound(std::uint16_t slot, std::uint16_t peer, std::uint16_t link, std::size_t local) {
    taken.insert(local);
    locals[slot] = local;
    (*engine)->set_bell(0, local, slot);
    engine->bind(slot, peer, link);
    ends[slot] = std::make_unique<End>(session, local, (*engine)->files(slot), kOrder);
    return *ends[slot];
  }
  bool moved(End& from, End& to, std::uint32_t lines) {
    std::uint32_t sent = 0, got = 0;
    return engine->until([&] {
      if (sent < lines) sent += from.write(lines - sent);
      got += to.read();
      return got == lines;
    });
  }

  std::vector<SlotRow> rows = std::vector<SlotRow>(kSlots);
  Session session;
  carriers::LoopbackCarrier home;
  std::unique_ptr<QueueWire> wire;
  std::unique_ptr<Engine> engine;
  std::set<std::size_t> taken;
  std::map<std::uint16_t, std::size_t> locals;
  Engine::Ends ends;
};

TEST(NumberSet, TakesWhatManyThreadsAddAndLosesNothing) {
  constexpr std::size_t kSize = 65536, kThreads = 3, kEach = 20'000;
  NumberSet set(kSize);
  std::atomic<std::size_t> running{kThreads};
  std::vector<std::atomic<bool>> added(kSize);
  std::vector<std::jthread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < kEach; ++i) {
        const std::size_t number = (i * 7919 + t * 64) % kSize;
        added[number].store(true, std::memory_order_relaxed);
        set.add(number);
      }
      --running;
    });
  }
  std::vector<bool> taken(kSize);
  const auto take = [&] {
    return set.take([&](std::size_t number) {
      EXPECT_TRUE(added[number].load(std::memory_order_relaxed));
      taken[number] = true;
    });
  };
  while (running != 0) take();
  take();
  EXPECT_FALSE(take());
  for (std::size_t i = 0; i < kSize; ++i) ASSERT_EQ(taken[i], added[i].load()) << i;
}

TEST_F(WorkersTest, SlotsOfASpreadLinkBelongToWorkersAndOthersToTheEngine) {
  start(2);
  run();
  End& a = slot(10, 13);  // worker 0
  End& b = slot(13, 10);  // worker 1
  End& c = slot(20, 21, kHomeLink);
  End& d = slot(21, 20, kHomeLink);
  EXPECT_TRUE(moved(a, b, 5000));
  EXPECT_TRUE(moved(b, a, 5000));
  EXPECT_TRUE(moved(c, d, 500));
  EXPECT_EQ(a.wrong() + b.wrong() + c.wrong() + d.wrong(), 0U);

  EXPECT_EQ(engine->card().report(0).slots, 1U);
  EXPECT_EQ(engine->card().report(1).slots, 1U);
  EXPECT_GE(engine->card().report(0).counters[static_cast<std::size_t>(Counter::rx_lines)], 5000U);
  const std::uint16_t all[] = {10, 13, 20};
  (*engine)->refresh(all);
  EXPECT_EQ((*engine)->row(10).in_tail, 5000U);
  EXPECT_EQ((*engine)->row(13).out_tail, 5000U);
  EXPECT_EQ((*engine)->row(20).in_tail, 500U);
  EXPECT_EQ((*engine)->stats(13).rx_lines, 5000U);
  EXPECT_GE((*engine)->counter(Counter::rx_lines), 10'500U) << "of all shards together";

  // The bells of each shard are in words of its own.
  EXPECT_EQ((std::set<std::size_t>{locals[10] / 64, locals[13] / 64, locals[20] / 64}.size()), 3U);
  EXPECT_EQ(locals[20] / 64, locals[21] / 64);

  (*engine)->unbind(10);
  EXPECT_EQ(state_of((*engine)->row(10)), SlotState::free);
  EXPECT_EQ(state_of(rows[10]), SlotState::free);
  for (const std::uint16_t slot : Numbers{10, 13, 20, 21}) {
    (*engine)->set_bell(0, locals[slot], Card::kNoSlot);
    (*engine)->close_slot(slot);
    EXPECT_FALSE((*engine)->files(slot).own) << slot;
    EXPECT_EQ(state_of((*engine)->row(slot)), SlotState::free) << slot;
  }
  EXPECT_EQ(engine->card().report(0).slots, 0U);
}

TEST_F(WorkersTest, AWordOfBellsGoesToWhoeverNeedsItFirst) {
  start(3);
  run();
  for (const std::uint16_t slot : Numbers{0, 1, 2}) {
    engine->open(slot, kWireLink);
    EXPECT_TRUE((*engine)->takes_bell(0, 0, slot)) << "nobody has the word yet";
  }
  bound(1, 5, kWireLink, 0);
  EXPECT_FALSE((*engine)->takes_bell(0, 63, 0));
  EXPECT_FALSE((*engine)->takes_bell(0, 63, 2));
  EXPECT_FALSE((*engine)->takes_bell(0, 63, 100)) << "a slot within the node";
  EXPECT_TRUE((*engine)->takes_bell(0, 63, 1));
  EXPECT_TRUE((*engine)->takes_bell(0, 64, 2));
  bound(2, 6, kWireLink, 1);  // in a word of another shard all the same
  (*engine)->set_bell(0, 0, Card::kNoSlot);
  EXPECT_TRUE((*engine)->takes_bell(0, 63, 1)) << "still led to from there";
  (*engine)->set_bell(0, 1, Card::kNoSlot);
  EXPECT_TRUE((*engine)->takes_bell(0, 63, 0)) << "the word is free again";
}

// What a restart with another number of workers leaves behind: bells of all shards in one word.
TEST_F(WorkersTest, ABellInAWordOfAnotherShardIsPassedOn) {
  start(2, kSleepAtOnce);
  run();
  for (const std::uint16_t slot : Numbers{10, 11, 12, 13}) engine->open(slot, kWireLink);
  for (const std::uint16_t slot : Numbers{20, 21}) engine->open(slot, kHomeLink);
  // Word 0 belongs to worker 0, word 1 to the engine's thread; nearly every bell leads elsewhere.
  End& a = bound(10, 13, kWireLink, 0);
  End& c = bound(20, 21, kHomeLink, 64);
  End& b = bound(13, 10, kWireLink, 1);
  End& d = bound(21, 20, kHomeLink, 2);
  End& e = bound(11, 12, kWireLink, 65);
  End& f = bound(12, 11, kWireLink, 66);
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(moved(a, b, 1)) << i;
    ASSERT_TRUE(moved(b, a, 1)) << i;
    ASSERT_TRUE(moved(c, d, 1)) << i;
    ASSERT_TRUE(moved(d, c, 1)) << i;
    ASSERT_TRUE(moved(e, f, 1)) << i;
    ASSERT_TRUE(moved(f, e, 1)) << i;
  }
  ASSERT_TRUE(moved(b, a, 3000));
  ASSERT_TRUE(moved(f, e, 3000));
  EXPECT_EQ(a.wrong() + b.wrong() + c.wrong() + d.wrong() + e.wrong() + f.wrong(), 0U);
}

// A process writes line after line, on slots of all shards, each when the one before has arrived; everybody sleeps as
// soon as he can. A kick that is lost leaves the line where it is.
TEST_F(WorkersTest, NoKickIsLost) {
  constexpr int kRounds = 3000;
  start(2, kSleepAtOnce);
  run();
  std::vector<std::pair<End*, End*>> pairs;
  for (const std::uint16_t first : Numbers{30, 34, 31, 35}) {
    const auto second = static_cast<std::uint16_t>(first + 10 + first % 3);
    End& a = slot(first, second);
    pairs.emplace_back(&a, &slot(second, first));
  }
  End& a = slot(60, 61, kHomeLink);
  pairs.emplace_back(&a, &slot(61, 60, kHomeLink));
  // A bell that has to be passed on, too.
  engine->open(70, kWireLink);
  engine->open(73, kWireLink);
  End& b = bound(70, 73, kWireLink, locals[60] / 64 * 64 + 5);
  pairs.emplace_back(&b, &bound(73, 70, kWireLink, locals[60] / 64 * 64 + 6));

  engine->waiting = &engine->nobody;
  std::atomic<bool> done{false}, lost{false};
  std::jthread process([&] {
    for (int i = 0; i < kRounds && !lost; ++i) {
      const auto& [from, to] = pairs[static_cast<std::size_t>(i) % pairs.size()];
      while (from->write() == 0) std::this_thread::yield();
      const std::uint64_t end = now_us() + std::uint64_t{kPatienceMs} * 1000;
      while (to->read() == 0 && !lost) {
        if (now_us() > end) lost = true;
        std::this_thread::yield();
      }
    }
    done = true;
    engine->nudge();
  });
  EXPECT_TRUE(engine->until([&] { return done.load(); }));
  process.join();
  EXPECT_FALSE(lost) << "a bell rang and nobody looked";
  std::uint64_t worker_sleeps = 0;
  for (std::size_t i = 0; i < 2; ++i) worker_sleeps += engine->card().report(i).sleeps;
  EXPECT_GT(session.kicks, 100U) << "hardly any kick: this run proves little";
  EXPECT_GT(worker_sleeps, 100U) << "the workers hardly slept: this run proves little";
}

TEST_F(WorkersTest, AMarkThatCannotBeFaultsItsSlotAndNoOther) {
  start(2);
  run();
  End& a = slot(10, 13);
  slot(13, 10);
  End& c = slot(12, 15);
  End& d = slot(15, 12);
  std::set<std::uint16_t> closed;
  engine->listener.each_fault = [&](std::uint16_t slot) {
    // The engine closes from within the call.
    const bool by_peer = slot == 13 || slot == 15;
    EXPECT_EQ(state_of((*engine)->row(slot)), by_peer ? SlotState::reset : SlotState::faulted) << slot;
    if (slot == 13) (*engine)->unbind(slot);
    closed.insert(slot);
  };
  a.set_tail(1000);
  ASSERT_TRUE(engine->until([&] { return closed.size() == 2; }));
  const std::vector<std::pair<std::uint16_t, Fault>> wanted{{10, Fault::in_tail}, {13, Fault::peer_reset}};
  EXPECT_EQ(engine->listener.faults, wanted);
  EXPECT_EQ((*engine)->row(10).in_tail, 0U) << "the last good marks";
  EXPECT_TRUE(moved(c, d, 2000));
  (*engine)->fault(12, Fault::memory);
  ASSERT_TRUE(engine->until([&] { return engine->listener.faults.size() == 4; }));
  EXPECT_EQ(engine->listener.faults[2], (std::pair<std::uint16_t, Fault>{12, Fault::memory}));
}

TEST_F(WorkersTest, WhatIsClosedBeforeItsFaultIsToldIsNotTold) {
  start(1);
  run();
  End& a = slot(10, 13);
  a.set_tail(1000);
  // The worker sees it without the engine, which sleeps.
  (*engine)->on_kick(0);
  const std::uint64_t end = now_us() + std::uint64_t{kPatienceMs} * 1000;
  std::uint64_t faults = 0;
  while (faults == 0 && now_us() < end) {
    faults = engine->card().report(0).counters[static_cast<std::size_t>(Counter::fault_in_tail)];
  }
  ASSERT_EQ(faults, 1U);
  (*engine)->set_bell(0, locals[10], Card::kNoSlot);
  (*engine)->close_slot(10);
  // Nor when its number is used again already.
  engine->open(10, kWireLink);
  engine->bind(10, 13);
  (*engine)->poll(now_us());
  EXPECT_TRUE(engine->listener.faults.empty());
  EXPECT_EQ(state_of((*engine)->row(10)), SlotState::bound);
}

TEST_F(WorkersTest, ALinkIsUpWhenItIsOnAllWorkersAndTheLastStateIsToldLast) {
  start(2);
  engine->card().start();
  engine->route(kWireLink, wire->queue(0));
  auto& told = engine->listener.links;
  wire->queue(0).change(kWireLink, false, "nobody answers");
  wire->queue(1).change(kWireLink, false, "nobody answers");
  ASSERT_TRUE(engine->until([&] { return !told.empty(); }));
  wire->queue(0).change(kWireLink, true, "there");
  ASSERT_FALSE((*engine)->link_up(kWireLink));
  wire->queue(1).change(kWireLink, true, "there");
  ASSERT_TRUE(engine->until([&] { return (*engine)->link_up(kWireLink); }));
  const std::vector<std::tuple<std::uint16_t, bool, std::string>> wanted{{kWireLink, false, "nobody answers"},
                                                                         {kWireLink, true, "there"}};
  EXPECT_EQ(told, wanted);
  // Down and up again while the engine does not look.
  told.clear();
  wire->queue(1).change(kWireLink, false, "the wire is out");
  wire->queue(1).change(kWireLink, true, "back");
  ASSERT_TRUE(engine->until([&] { return told.size() >= 2; }));
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[0], (std::tuple<std::uint16_t, bool, std::string>{kWireLink, false, "the wire is out"}));
  EXPECT_EQ(told[1], (std::tuple<std::uint16_t, bool, std::string>{kWireLink, true, "back"}));
  // However often it changes: the last that is told is how it is.
  told.clear();
  for (int i = 0; i < 2000; ++i) {
    wire->queue(static_cast<std::size_t>(i) % 2).change(kWireLink, i % 3 == 0, std::to_string(i));
    if (i % 7 == 0) (*engine)->poll(now_us());
  }
  wire->queue(0).change(kWireLink, false, "end");
  wire->queue(1).change(kWireLink, false, "end");
  ASSERT_TRUE(engine->until([&] { return !told.empty() && std::get<2>(told.back()) == "end"; }));
  for (int i = 0; i < 100; ++i) (*engine)->poll(now_us());
  EXPECT_FALSE(std::get<1>(told.back()));
  EXPECT_FALSE((*engine)->link_up(kWireLink));
  // Without a route it is not there, with a new one it starts down.
  (*engine)->clear_route(kWireLink);
  engine->route(kWireLink, wire->queue(0));
  EXPECT_FALSE((*engine)->link_up(kWireLink));
  wire->up(kWireLink);
  EXPECT_TRUE(engine->until([&] { return (*engine)->link_up(kWireLink); }));
}

// Nobody asks the worker again and again: it tells when the slot is drained, and that wakes the engine.
TEST_F(WorkersTest, ADrainedSlotWakesTheEngine) {
  start(2);
  run();
  End& a = slot(10, 13);
  slot(13, 10);
  ASSERT_EQ(a.write(64), 64U);
  (*engine)->look(10);
  EXPECT_EQ((*engine)->row(10).in_tail, a.lines_written());
  ASSERT_TRUE(engine->until([&] { return (*engine)->drained(10); }));
  (*engine)->look(10);
  EXPECT_TRUE((*engine)->drained(10));
}

TEST_F(WorkersTest, AnotherNumberOfWorkersTakesUpEverySlotAtItsMarks) {
  start(2);
  run();
  std::vector<std::uint16_t> slots;
  for (std::uint16_t first = 40; first < 46; ++first) {
    const auto second = static_cast<std::uint16_t>(first + 51);
    slot(first, second);
    slot(second, first);
    slots.insert(slots.end(), {first, second});
  }
  slot(80, 81, kHomeLink);
  slot(81, 80, kHomeLink);
  slots.insert(slots.end(), {80, 81});
  for (std::size_t i = 0; i < slots.size(); i += 2) ASSERT_TRUE(moved(*ends[slots[i]], *ends[slots[i + 1]], 100));
  // Lines that are under way when it ends, and bells that nobody took.
  for (std::size_t i = 0; i < slots.size(); i += 2) ends[slots[i]]->write(40);
  for (const std::size_t workers : {3U, 1U, 2U}) {
    std::map<std::uint16_t, SlotFiles> kept;
    for (const std::uint16_t slot : slots) {
      const SlotFiles& files = (*engine)->files(slot);
      kept[slot] = {slot::Fd(::dup(files.own.get())), slot::Fd(::dup(files.other.get())),
                    slot::Fd(::dup(files.wake.get()))};
    }
    engine.reset();
    wire = std::make_unique<QueueWire>(workers);
    engine = std::make_unique<Engine>(rows, *wire);
    engine->add(session);
    engine->waiting = &ends;
    for (const std::uint16_t slot : slots) {
      (*engine)->prepare_slot(slot, rows[slot].link);
      (*engine)->adopt_slot(slot, kOrder, kOrder, std::move(kept[slot]));
      (*engine)->set_bell(0, locals[slot], slot);
      (*engine)->recover(slot);
    }
    home.remove_link(kHomeLink);
    home.add_link(kHomeLink);
    run();
    for (std::size_t i = 0; i < slots.size(); i += 2) {
      End& from = *ends[slots[i]];
      End& to = *ends[slots[i + 1]];
      EXPECT_TRUE(engine->until([&] {
        to.read();
        return to.lines_read() == from.lines_written();
      })) << "slot "
          << slots[i] << " with " << workers << " workers";
      EXPECT_TRUE(moved(to, from, 200));
      EXPECT_EQ(from.wrong() + to.wrong(), 0U);
      from.write(40);
    }
  }
}

TEST_F(WorkersTest, AFrameForASlotOfAnotherShardIsDropped) {
  start(2);
  run();
  slot(20, 21, kHomeLink);
  slot(10, 13);
  // From the peer of the spread link, and by a queue that is not the slot's.
  pipeline::Header header;
  header.type = regs::FrameType::ack;
  header.src_slot = 13;
  header.epoch = 7;
  const auto inject = [&](std::size_t queue, std::uint16_t slot) {
    header.dst_slot = slot;
    header.crc = 0;
    std::vector<std::byte> frame(regs::kHeaderBytes);
    pipeline::encode(header, std::span(frame).first<regs::kHeaderBytes>());
    header.crc = pipeline::frame_crc(std::span(frame).first<regs::kHeaderBytes>(), {});
    pipeline::encode(header, std::span(frame).first<regs::kHeaderBytes>());
    wire->queue(queue).receive(kWireLink, frame);
  };
  const auto count = [&](Counter counter) {
    (*engine)->refresh({});
    return (*engine)->counter(counter);
  };
  inject(0, 20);
  inject(1, 10);
  inject(0, 200);
  ASSERT_TRUE(engine->until([&] { return count(Counter::drop_unbound) == 3; }));
  EXPECT_EQ(count(Counter::rx_frames), 0U);
  inject(0, 10);
  ASSERT_TRUE(engine->until([&] { return count(Counter::rx_frames) == 1; }));
}

TEST_F(WorkersTest, ACaptureSeesFramesOfAllShardsOneAtATime) {
  struct Tap final : FrameTap {
    void on_frame(bool, std::uint16_t link, std::span<const std::byte>, std::span<const std::byte>) override {
      ++frames[link];  // no lock: whoever calls has one
    }
    std::map<std::uint16_t, std::uint64_t> frames;
  };
  start(2);
  run();
  End& a = slot(10, 13);
  End& b = slot(13, 10);
  End& c = slot(20, 21, kHomeLink);
  End& d = slot(21, 20, kHomeLink);
  auto tap = std::make_unique<Tap>();
  (*engine)->set_tap(tap.get());
  EXPECT_TRUE(moved(a, b, 2000));
  EXPECT_TRUE(moved(c, d, 100));
  EXPECT_TRUE(moved(b, a, 2000));
  (*engine)->set_tap(nullptr);
  EXPECT_GE(tap->frames[kWireLink], 2 * 4000U / 22);
  EXPECT_GE(tap->frames[kHomeLink], 2 * 100U / 22);
  tap.reset();
  EXPECT_TRUE(moved(a, b, 2000));
}

TEST_F(WorkersTest, AWorkerThatEndsEndsTheCard) {
  start(2);
  run();
  slot(10, 13);
  wire->queue(1).broken = true;
  wire->queue(1).wake();
  try {
    engine->until([] { return false; });
    FAIL() << "nobody said that it ended";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "the thread of the worker on queue 1 ended: the port burns");
  }
  EXPECT_THROW(engine->card().run_on(1, [] {}), std::runtime_error);
  engine->card().run_on(0, [] {});  // the other one is well
}

// Polled and asleep at once: the process would not kick, and nobody would look.
TEST(ThreadBells, ASessionThatKickedKeepsItsThreadAwakeEvenWithoutABell) {
  Session session;
  Inbox inbox(16, 8);
  const Inboxes all{nullptr, &inbox};
  ThreadBells bells(1, all, 16, SoftMoverOptions{}.demote_us);
  const auto look = [](std::span<const std::uint16_t>) { ADD_FAILURE() << "no bell rang"; };
  bells.own({3, &session.bells, &session.polled, slot::bell_word(64)});
  EXPECT_TRUE(bells.prepare_sleep());
  EXPECT_FALSE(bells.poll(1, look));
  inbox.kicked(3);
  EXPECT_TRUE(bells.poll(2, look)) << "it may not sleep";
  EXPECT_EQ(session.polled.polled.load(), slot::bell_word(64));
  EXPECT_FALSE(bells.poll(3, look));
  EXPECT_TRUE(bells.prepare_sleep());
  EXPECT_EQ(session.polled.polled.load(), 0U);
}

TEST(Workers, OneThatCannotBeginIsToldAtTheStart) {
  std::vector<SlotRow> rows(16);
  Listener listener;
  QueueWire wire(2);
  CardComposition parts;
  parts.rows = rows;
  parts.clock = now_us;
  std::atomic<int> entered{0};
  parts.workers = {{&wire.queue(0), [&] { ++entered; }, "CPU 0"},
                   {&wire.queue(1), [] { throw std::out_of_range("no such CPU"); }, "CPU 9"}};
  const std::unique_ptr<Card> card = make_card(std::move(parts), listener);
  EXPECT_THROW(card->start(), std::out_of_range);
  EXPECT_EQ(entered, 1);
  CardComposition without_clock;
  without_clock.rows = rows;
  without_clock.workers = {{&wire.queue(0), nullptr, "CPU 0"}};
  EXPECT_THROW(make_card(std::move(without_clock), listener), std::invalid_argument);
}

TEST_F(WorkersTest, CallsRunInTheWorkersThreadAndThrowInTheCallers) {
  start(2, kSleepAtOnce);
  run();
  std::set<std::thread::id> threads;
  for (int i = 0; i < 200; ++i) {
    engine->card().run_on(0, [&] { threads.insert(std::this_thread::get_id()); });
    EXPECT_THROW(engine->card().run_on(1, [] { throw std::invalid_argument("no"); }), std::invalid_argument);
  }
  EXPECT_EQ(threads.size(), 1U);
  EXPECT_EQ(threads.count(std::this_thread::get_id()), 0U);
}

// Slots are opened and closed while others carry lines, in all shards.
TEST_F(WorkersTest, SlotsComeAndGoUnderLoad) {
  start(2);
  run();
  End& a = slot(10, 13);
  End& b = slot(13, 10);
  std::uint32_t got = 0;
  const auto traffic = [&] {
    a.write(16);
    got += b.read();
    (*engine)->on_kick(0);
    (*engine)->poll(now_us());
  };
  for (int i = 0; i < 300; ++i) {
    const auto first = static_cast<std::uint16_t>(100 + i % 40), second = static_cast<std::uint16_t>(150 + i % 41);
    const std::uint16_t link = i % 5 == 0 ? kHomeLink : kWireLink;
    End& c = slot(first, second, link);
    End& d = slot(second, first, link);
    c.write(20);
    traffic();
    if (i % 3 == 0) {
      EXPECT_TRUE(engine->until([&] { return d.read() != 0; })) << i;
    }
    for (const std::uint16_t slot : {first, second}) {
      (*engine)->set_bell(0, locals[slot], Card::kNoSlot);
      taken.erase(locals[slot]);
      if (i % 4 == 0) (*engine)->look(slot);
      (*engine)->close_slot(slot);
      ends.erase(slot);
    }
    traffic();
  }
  EXPECT_TRUE(engine->until([&] { return (got += b.read()) == a.lines_written(); }));
  EXPECT_EQ(b.wrong(), 0U);
  EXPECT_TRUE(engine->listener.faults.empty());
}

}  // namespace
}  // namespace slotwire::driver::test
