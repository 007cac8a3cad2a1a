// The router of a card: which mover gets a slot, a link and a bell. The movers are fakes that write down what they are
// told.
#include "driver/router/routed_card.hpp"

#include <gtest/gtest.h>

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/slot/waiter.hpp"

namespace slotwire::driver {
namespace {

using Slots = std::vector<std::uint16_t>;
constexpr std::uint16_t kSoftLink = 0, kCardLink = 1, kSpreadLink = 2, kOtherLink = 3;
constexpr std::size_t kSlots = 200, kLinks = 4;
constexpr unsigned kOrder = 3;

/// What all fakes did, in order: "soft open 3".
using Log = std::vector<std::string>;

/// What a fake does as a mover; `Base` is Mover or Worker.
template <class Base>
class Fake : public Base {
 public:
  Fake(std::string name, SlotTables tables, Log& log) : name_(std::move(name)), tables_(tables), log_(log) {}

  void open(std::uint16_t slot, unsigned, unsigned) override {
    note("open", slot);
    EXPECT_TRUE(tables_.mappings[slot].own) << "a mover gets a slot with its memory";
    if (full) throw std::runtime_error("no place");
    open_slots.insert(slot);
  }
  bool had(std::uint16_t slot) const override { return had_slots.count(slot) != 0; }
  void adopt(std::uint16_t slot, unsigned, unsigned) override {
    note("adopt", slot);
    if (full) throw std::invalid_argument("no place");
    open_slots.insert(slot);
  }
  void close(std::uint16_t slot) override {
    note("close", slot);
    open_slots.erase(slot);
    tables_.rows[slot] = {};
  }
  void bind(std::uint16_t slot, const pipeline::Binding& binding) override {
    note("bind", slot);
    bound = binding;
    tables_.rows[slot].state = static_cast<std::uint8_t>(regs::SlotState::bound);
    tables_.rows[slot].link = binding.link;
  }
  void recover(std::uint16_t slot) override { note("recover", slot); }
  void unbind(std::uint16_t slot) override { note("unbind", slot); }
  void fault(std::uint16_t slot, regs::Fault) override { note("fault", slot); }
  void look(std::span<const std::uint16_t> slots, std::uint64_t now_us) override {
    looked.emplace_back(slots.begin(), slots.end());
    looked_at_us = now_us;
  }
  bool drained(std::uint16_t) const override { return true; }
  const regs::SlotRow& row(std::uint16_t slot) const override { return tables_.rows[slot]; }
  const pipeline::SlotStats& stats(std::uint16_t) const override { return stats_; }
  void set_route(std::uint16_t link, const Route&, const pipeline::LinkParameters&) override { note("route", link); }
  void clear_route(std::uint16_t link) override { note("clear", link); }
  bool link_up(std::uint16_t) const override { return up; }
  void poll_always(carriers::Carrier&) override { note("poll_always", 0); }
  bool poll(std::uint64_t) override {
    ++polls;
    return busy;
  }
  bool prepare_sleep() override { return !busy; }
  std::uint32_t timer_us(std::uint64_t) const override { return timer; }
  std::uint64_t counter(regs::Counter) const override { return count; }
  void set_tap(FrameTap* t) override { tap = t; }

  bool full = false, up = false, busy = false;
  std::uint32_t timer = pipeline::Pipeline::kNoTimer;
  std::uint64_t count = 0, looked_at_us = 0;
  int polls = 0;
  FrameTap* tap = nullptr;
  pipeline::Binding bound;
  std::set<std::uint16_t> open_slots, had_slots;
  std::vector<Slots> looked;

 protected:
  void note(const std::string& what, unsigned number) {
    log_.push_back(name_ + " " + what + " " + std::to_string(number));
  }

 private:
  std::string name_;
  SlotTables tables_;
  Log& log_;
  pipeline::SlotStats stats_;
};

class FakeWorker final : public Fake<Worker> {
 public:
  using Fake::Fake;
  void start() override { note("start", 0); }
  void stop() noexcept override { note("stop", 0); }
  void run(void (*invoke)(void*), void* what) override {
    note("run", 0);
    invoke(what);
  }
  WorkerReport report() override { return {.name = "worker", .sleeps = 5, .slots = open_slots.size(), .counters = {}}; }
  void lead(const SessionWords& words, std::size_t local, std::uint16_t slot, ThreadNumber where) override {
    own = words.words;
    leads[local] = {slot, where};
  }
  void lead_nowhere(const SessionWords& words, std::size_t local, std::uint16_t) override {
    own = words.words;
    leads.erase(local);
  }
  void remove_session(std::uint32_t session) override { note("remove_session", session); }
  void kicked(std::uint32_t session) override { note("kicked", session); }

  slot::BellWords own = 0;
  std::map<std::size_t, std::pair<std::uint16_t, ThreadNumber>> leads;
};

class NoListener final : public CardListener {
 public:
  void on_fault(std::uint16_t, regs::Fault) override {}
  void on_link(std::uint16_t, bool, std::string_view) override {}
};

class NoCarrier final : public carriers::Carrier {
 public:
  std::string_view name() const override { return "none"; }
  std::size_t lines_per_frame() const override { return 1; }
  std::size_t room(std::uint16_t) const override { return 0; }
  void send(std::span<const pipeline::TxFrame>) override {}
  std::size_t poll(std::uint64_t, std::size_t, carriers::FrameSink&) override { return 0; }
  int fd() const override { return -1; }
  const carriers::CarrierCounters& counters() const override { return counters_; }

 private:
  carriers::CarrierCounters counters_;
};

class Router : public testing::Test {
 protected:
  void start(bool with_hardware, std::size_t with_workers, bool direct_map = false) {
    RoutedCardParts parts;
    parts.capabilities.direct_map = parts.keep_files = direct_map;
    parts.tables = std::make_unique<CardTables>(rows, kLinks, with_workers, listener);
    const SlotTables shared = parts.tables->shared();
    auto make_soft = std::make_unique<Fake<Mover>>("soft", shared, log);
    soft = make_soft.get();
    parts.soft = std::move(make_soft);
    if (with_hardware) {
      auto made = std::make_unique<Fake<Mover>>("hardware", shared, log);
      hardware = made.get();
      parts.hardware = std::move(made);
      parts.info.emplace().slots = kSlots;
    }
    if (with_workers != 0) {
      parts.tables->inbox = std::make_unique<Inbox>(kSlots, 8);
      parts.tables->inboxes = {parts.tables->inbox.get()};
    }
    for (std::size_t i = 0; i < with_workers; ++i) {
      auto made = std::make_unique<FakeWorker>("worker" + std::to_string(i), shared, log);
      workers.push_back(made.get());
      parts.workers.push_back(std::move(made));
      worker_inboxes.push_back(std::make_unique<Inbox>(kSlots, 8));
      parts.tables->inboxes.push_back(worker_inboxes.back().get());
    }
    parts.links = kLinks;
    parts.sessions = 8;
    card = std::make_unique<RoutedCard>(std::move(parts));
    card->spread(kSpreadLink);
    card->set_route(kSoftLink, OverCarrier{carrier}, {});
    if (with_hardware) card->set_route(kCardLink, OnCard{}, {});
    card->set_route(kSpreadLink, OverCarrier{carrier}, {});
    log.clear();
  }
  void open(std::uint16_t slot, std::uint16_t link) {
    card->prepare_slot(slot, link);
    card->open_slot(slot, kOrder, kOrder, true);
  }
  static pipeline::Binding binding(std::uint16_t link) {
    return {
        .link = link, .peer_slot = 1, .epoch = 7, .in_order = kOrder, .out_order = kOrder, .credit = 0, .marks = {}};
  }
  SlotFiles files_of(std::uint16_t slot) {
    const SlotFiles& files = card->files(slot);
    return {slot::Fd(::dup(files.own.get())), slot::Fd(::dup(files.other.get())), slot::Fd(::dup(files.wake.get()))};
  }
  void add_session() { card->add_session(0, bells, polled, kick.get()); }
  void ring(std::size_t local) {
    if (slot::ring_bell(bells, polled, local)) slot::signal_event(kick.get());
  }

  Log log;
  std::vector<regs::SlotRow> rows = std::vector<regs::SlotRow>(kSlots);
  NoListener listener;
  NoCarrier carrier;
  slot::BellPage bells{};
  slot::PolledPage polled{};
  slot::Fd kick = slot::create_event();
  std::vector<std::unique_ptr<Inbox>> worker_inboxes;
  Fake<Mover>*soft = nullptr, *hardware = nullptr;
  std::vector<FakeWorker*> workers;
  std::unique_ptr<RoutedCard> card;
};

TEST_F(Router, ASlotGoesToWhoeverCarriesItsLink) {
  start(true, 3);
  open(3, kSoftLink);
  open(4, kCardLink);
  open(5, kSpreadLink);
  open(6, kSpreadLink);
  card->open_slot(7, kOrder, kOrder, true);  // within the node
  EXPECT_EQ(soft->open_slots, (std::set<std::uint16_t>{3, 7}));
  EXPECT_EQ(hardware->open_slots, (std::set<std::uint16_t>{4}));
  EXPECT_EQ(workers[5 % 3]->open_slots, (std::set<std::uint16_t>{5}));
  EXPECT_EQ(workers[6 % 3]->open_slots, (std::set<std::uint16_t>{6}));
  log.clear();
  for (const std::uint16_t slot : Slots{3, 4, 5}) {
    card->recover(slot);
    card->fault(slot, regs::Fault::admin);
    card->unbind(slot);
    card->close_slot(slot);
    EXPECT_FALSE(card->files(slot).own);
  }
  const Log wanted{"soft recover 3",     "soft fault 3",     "soft unbind 3",     "soft close 3",
                   "hardware recover 4", "hardware fault 4", "hardware unbind 4", "hardware close 4",
                   "worker2 recover 5",  "worker2 fault 5",  "worker2 unbind 5",  "worker2 close 5"};
  EXPECT_EQ(log, wanted);
  // Nothing is left of what a number was used for before.
  card->open_slot(4, kOrder, kOrder, true);
  EXPECT_EQ(log.back(), "soft open 4");
}

TEST_F(Router, ASlotThatItsMoverHasNoPlaceForIsNotOpen) {
  start(true, 0);
  hardware->full = true;
  EXPECT_THROW(open(4, kCardLink), std::runtime_error);
  EXPECT_FALSE(card->files(4).own);
  card->open_slot(4, kOrder, kOrder, true);
  EXPECT_EQ(soft->open_slots.count(4), 1U);
  EXPECT_TRUE(card->files(4).own);
}

TEST_F(Router, ASlotBoundOverAnotherMoversLinkMovesThereWithItsBell) {
  start(true, 2);
  add_session();
  open(5, kSoftLink);
  card->set_bell(0, 70, 5);
  log.clear();
  card->bind(5, binding(kSpreadLink));
  EXPECT_EQ(log, (Log{"soft close 5", "worker1 open 5", "worker1 bind 5"}));
  ASSERT_EQ(workers[1]->leads.count(70), 1U) << "its bell is taken where its lines move";
  EXPECT_EQ(workers[1]->leads[70], (std::pair<std::uint16_t, ThreadNumber>{5, 2}));
  EXPECT_EQ(workers[1]->own, slot::bell_word(70));
  log.clear();
  card->bind(5, binding(kCardLink));
  EXPECT_EQ(log, (Log{"worker1 close 5", "hardware open 5", "hardware bind 5"}));
  EXPECT_TRUE(workers[1]->leads.empty());
  EXPECT_EQ(workers[1]->own, 0U) << "the word is free for another thread";
  // One without a place is bound all the same: that faults it, which everybody hears of.
  open(6, kSoftLink);
  hardware->full = true;
  log.clear();
  card->bind(6, binding(kCardLink));
  EXPECT_EQ(log, (Log{"soft close 6", "hardware open 6", "hardware bind 6"}));
}

TEST_F(Router, ASlotOfAnEarlierEngineGoesToWhoeverHadIt) {
  start(true, 2);
  open(8, kSoftLink);
  SlotFiles files = files_of(8), more = files_of(8), spread = files_of(8);
  hardware->had_slots = {10, 11};
  log.clear();
  card->unbind(10);  // it was never taken up
  EXPECT_EQ(log, (Log{"hardware unbind 10"}));
  hardware->full = true;
  EXPECT_THROW(card->adopt_slot(10, kOrder, kOrder, std::move(files)), std::invalid_argument);
  EXPECT_FALSE(card->files(10).own);
  hardware->full = false;
  card->prepare_slot(11, kSpreadLink);
  card->adopt_slot(11, kOrder, kOrder, std::move(more));
  EXPECT_EQ(hardware->open_slots, (std::set<std::uint16_t>{11}));
  card->prepare_slot(12, kSpreadLink);
  card->adopt_slot(12, kOrder, kOrder, std::move(spread));
  EXPECT_EQ(workers[0]->open_slots, (std::set<std::uint16_t>{12}));
}

TEST_F(Router, SoftwaresSlotsGoWithTheirLinkToTheCardAndStayThere) {
  start(true, 0);
  open(2, kOtherLink);
  open(3, kSoftLink);
  open(4, kOtherLink);
  card->bind(2, binding(kOtherLink));
  card->bind(3, binding(kSoftLink));
  rows[2].in_tail = 9;
  rows[2].in_head = 5;
  rows[2].out_tail = 4;
  rows[2].out_head = 3;
  rows[2].in_order = rows[2].out_order = kOrder;
  log.clear();
  card->set_route(kOtherLink, OnCard{}, {});
  EXPECT_EQ(log, (Log{"soft clear 3", "hardware route 3", "soft close 2", "hardware open 2", "hardware bind 2"}));
  EXPECT_EQ(hardware->bound.marks.in_tail, 5U) << "what nobody acknowledged goes again";
  EXPECT_EQ(hardware->bound.marks.in_head, 5U);
  EXPECT_EQ(hardware->bound.marks.out_tail, 4U);
  EXPECT_EQ(hardware->bound.marks.out_head, 3U);
  EXPECT_EQ(hardware->looked, (std::vector<Slots>{{2}}));
  // Back: nobody but the card knows what it took.
  log.clear();
  card->set_route(kOtherLink, OverCarrier{carrier}, {});
  EXPECT_EQ(log, (Log{"hardware clear 3", "soft route 3"}));
  card->fault(2, regs::Fault::memory);
  EXPECT_EQ(log.back(), "hardware fault 2");
  soft->up = true;
  EXPECT_TRUE(card->link_up(kOtherLink));
  EXPECT_FALSE(card->link_up(kCardLink));
}

TEST_F(Router, TheDescriptorsOfASlotsSpacesAreGivenAway) {
  start(true, 0);
  open(3, kSoftLink);
  const SlotFiles taken = card->take_space_files(3);
  EXPECT_TRUE(taken.own);
  EXPECT_TRUE(taken.other);
  EXPECT_FALSE(taken.wake);
  EXPECT_FALSE(card->files(3).own);
  EXPECT_FALSE(card->files(3).other);
  EXPECT_TRUE(card->files(3).wake) << "who moves lines wakes the process";
  EXPECT_FALSE(card->take_space_files(3).own);
}

TEST_F(Router, ACardThatServesProcessesKeepsTheDescriptorsOfTheirSlots) {
  start(true, 0, true);
  open(3, kCardLink);
  for (int i = 0; i < 2; ++i) {
    const SlotFiles taken = card->take_space_files(3);
    EXPECT_TRUE(taken.own);
    EXPECT_TRUE(taken.other);
    EXPECT_NE(taken.own.get(), card->files(3).own.get());
    EXPECT_TRUE(card->files(3).own);
  }
}

TEST_F(Router, WithoutACardNoLinkRunsOnIt) {
  start(false, 2);
  EXPECT_THROW(card->set_route(kCardLink, OnCard{}, {}), std::invalid_argument);
  EXPECT_EQ(card->info(), nullptr);
  open(1, kCardLink);
  EXPECT_EQ(soft->open_slots, (std::set<std::uint16_t>{1}));
}

TEST_F(Router, ALinkThatIsSpreadHasARouteWithEachWorker) {
  start(true, 2);
  card->set_route(kSpreadLink, OverCarrier{carrier}, {});
  EXPECT_EQ(log, (Log{"worker0 clear 2", "worker1 clear 2", "worker0 route 2", "worker1 route 2"}));
  soft->up = hardware->up = true;
  EXPECT_FALSE(card->link_up(kSpreadLink));
  log.clear();
  card->poll_always(carrier);
  EXPECT_EQ(log, (Log{"worker0 poll_always 0", "worker1 poll_always 0"}));
}

TEST_F(Router, WithoutWorkersNothingIsSpread) {
  start(false, 0);
  open(5, kSpreadLink);
  EXPECT_EQ(soft->open_slots, (std::set<std::uint16_t>{5}));
  card->poll_always(carrier);
  EXPECT_EQ(log.back(), "soft poll_always 0");
}

TEST_F(Router, OnePollCallsEachMoverOnceAndLooksAtRunsOfSlots) {
  start(true, 1);
  add_session();
  for (std::uint16_t slot = 0; slot < 6; ++slot) {
    open(slot, slot < 4 ? kSoftLink : kCardLink);
    card->set_bell(0, slot, slot);
    ring(slot);
  }
  card->on_kick(0);
  soft->looked.clear();
  EXPECT_TRUE(card->poll(1234));
  EXPECT_EQ(soft->looked, (std::vector<Slots>{{0, 1, 2, 3}}));
  EXPECT_EQ(hardware->looked, (std::vector<Slots>{{4, 5}}));
  EXPECT_EQ(soft->looked_at_us, 1234U) << "timers would start in the past";
  EXPECT_EQ(hardware->looked_at_us, 1234U);
  EXPECT_EQ(soft->polls, 1);
  EXPECT_EQ(hardware->polls, 1);
  EXPECT_EQ(workers[0]->polls, 1);
  EXPECT_FALSE(card->poll(1235));
  // More than fit one batch: all are looked at, once.
  for (std::uint16_t slot = 10; slot < 190; ++slot) {
    open(slot, kSoftLink);
    card->set_bell(0, slot, slot);
    ring(slot);
  }
  soft->looked.clear();
  card->on_kick(0);
  card->poll(1236);
  Slots all;
  for (const Slots& some : soft->looked) all.insert(all.end(), some.begin(), some.end());
  ASSERT_EQ(all.size(), 180U);
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
  EXPECT_EQ(all.front(), 10);
  EXPECT_EQ(all.back(), 189);
}

TEST_F(Router, ABellThatLeadsToAnotherThreadIsPassedOn) {
  start(false, 2);
  add_session();
  open(4, kSoftLink);
  open(5, kSpreadLink);
  card->set_bell(0, 0, 4);
  EXPECT_FALSE(card->takes_bell(0, 1, 5)) << "the word is the card's own thread's";
  EXPECT_TRUE(card->takes_bell(0, 64, 5));
  card->set_bell(0, 1, 5);  // after a restart, say
  ring(0);
  ring(1);
  card->on_kick(0);
  card->poll(1);
  EXPECT_EQ(soft->looked, (std::vector<Slots>{{4}}));
  Slots passed;
  worker_inboxes[1]->take_looks([&](std::uint16_t slot) { passed.push_back(slot); });
  EXPECT_EQ(passed, (Slots{5}));
  EXPECT_TRUE(workers[1]->looked.empty()) << "it is the worker's thread that looks";
  // And a worker passes on those of slots of this thread.
  card->set_bell(0, 0, Card::kNoSlot);
  card->set_bell(0, 1, Card::kNoSlot);
  card->set_bell(0, 2, 5);
  card->set_bell(0, 3, 4);
  EXPECT_EQ(workers[1]->leads[3], (std::pair<std::uint16_t, ThreadNumber>{4, kHomeThread}));
}

TEST_F(Router, AKickReachesTheThreadsThatHaveNotHeardTheBell) {
  start(false, 2);
  add_session();
  open(4, kSpreadLink);
  open(5, kSpreadLink);
  card->set_bell(0, 0, 4);
  card->set_bell(0, 64, 5);
  log.clear();
  ring(64);
  card->on_kick(0);
  EXPECT_EQ(log, (Log{"worker1 kicked 0"}));
  pollfd readable{kick.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&readable, 1, 0), 0) << "the kick was not taken: the loop spins";
  polled.polled = slot::bell_word(64);
  log.clear();
  card->on_kick(0);
  EXPECT_TRUE(log.empty()) << "it is polled already";
  card->remove_session(0);
  EXPECT_EQ(log, (Log{"worker0 remove_session 0", "worker1 remove_session 0"}));
  log.clear();
  card->on_kick(0);
  card->set_bell(0, 0, 4);
  EXPECT_FALSE(card->takes_bell(0, 0, 4));
  EXPECT_FALSE(card->takes_bell(7, 0, 4));
  EXPECT_THROW(card->add_session(8, bells, polled, kick.get()), std::invalid_argument);
}

TEST_F(Router, AsleepIsWhenEveryMoverMaySleep) {
  start(true, 1);
  for (bool* const busy : {&soft->busy, &hardware->busy, &workers[0]->busy}) {
    *busy = true;
    EXPECT_FALSE(card->prepare_sleep());
    EXPECT_TRUE(card->poll(1));
    *busy = false;
  }
  EXPECT_TRUE(card->prepare_sleep());
  EXPECT_EQ(card->timer_us(1), pipeline::Pipeline::kNoTimer);
  soft->timer = 100;
  hardware->timer = 7;
  EXPECT_EQ(card->timer_us(1), 7U);
  soft->count = 3;
  hardware->count = 10;
  workers[0]->count = 100;
  EXPECT_EQ(card->counter(regs::Counter::tx_frames), 113U);
}

TEST_F(Router, WorkersRunCallsAndEndTogether) {
  start(false, 2);
  card->start();
  int ran = 0;
  card->run_on(1, [&] { ++ran; });
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(card->report(0).sleeps, 5U);
  card.reset();
  EXPECT_EQ(log, (Log{"worker0 start 0", "worker1 start 0", "worker1 run 0", "worker0 stop 0", "worker1 stop 0"}));
}

TEST_F(Router, ACaptureHasALockOnlyWhereThereAreThreads) {
  struct Tap final : FrameTap {
    void on_frame(bool, std::uint16_t, std::span<const std::byte>, std::span<const std::byte>) override { ++frames; }
    int frames = 0;
  } tap;
  start(false, 0);
  card->set_tap(&tap);
  EXPECT_EQ(soft->tap, &tap);
  workers.clear();
  start(false, 1);
  card->set_tap(&tap);
  ASSERT_NE(soft->tap, nullptr);
  EXPECT_NE(soft->tap, &tap);
  EXPECT_EQ(soft->tap, workers[0]->tap);
  soft->tap->on_frame(true, 0, {}, {});
  EXPECT_EQ(tap.frames, 1);
  FrameTap* const locked = soft->tap;
  card->set_tap(nullptr);
  EXPECT_EQ(workers[0]->tap, nullptr);
  locked->on_frame(true, 0, {}, {});
  EXPECT_EQ(tap.frames, 1) << "a thread that still calls it reaches nobody";
}

// ---- the inbox of a thread

bool readable(int fd) {
  pollfd event{fd, POLLIN, 0};
  return ::poll(&event, 1, 0) == 1;
}

TEST(Inbox, WakesOnlyWhoSleepsAndOnce) {
  Inbox inbox(16, 4);
  inbox.look_soon(3);
  EXPECT_FALSE(readable(inbox.fd())) << "a system call for somebody who is awake";
  inbox.prepare_sleep();
  EXPECT_FALSE(readable(inbox.fd()));
  inbox.look_soon(4);
  EXPECT_TRUE(readable(inbox.fd()));
  inbox.kicked(2);
  Slots looks;
  EXPECT_TRUE(inbox.take_looks([&](std::uint16_t slot) { looks.push_back(slot); }));
  EXPECT_EQ(looks, (Slots{3, 4}));
  inbox.prepare_sleep();
  EXPECT_FALSE(readable(inbox.fd())) << "a wake-up of the last sleep ends this one";
  inbox.prepare_sleep();  // it never slept: nobody wrote, and nobody may be forgotten
  inbox.wake();
  EXPECT_TRUE(readable(inbox.fd()));
  inbox.prepare_sleep();
  inbox.wake();
  inbox.wake();
  EXPECT_TRUE(readable(inbox.fd()));
}

}  // namespace
}  // namespace slotwire::driver
