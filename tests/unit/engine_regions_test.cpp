// Regions that an engine keeps: with processes that are numbers, in simulated time.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>

#include "runtime/blocks/publisher.hpp"
#include "runtime/engine/regions/region_table.hpp"
#include "unit/engine_rooms.hpp"

namespace slotwire::engine {
namespace {

constexpr pid_t kAda = 3'000'001, kBob = 3'000'002;  // beyond pid_max: no process of this machine

class Regions : public ::testing::Test {
 protected:
  void open(const std::string& more = {}, const std::function<void(LimitsConfig&)>& change = {}) {
    Config config = room_config(more);
    if (change) change(config.limits);
    rooms = std::make_unique<Rooms>(std::move(config));
    policy = std::make_unique<Policy>(rooms->config, ::getuid());
    live_again();
  }
  /// A new life of the engine, over the same keeper and processes.
  void live_again() {
    KeptDescriptors kept = rooms->store.take();
    table.reset();
    table = std::make_unique<RegionTable>(
        RegionParts{rooms->config, rooms->loop, rooms->log, rooms->store, rooms->processes, rooms->users,
                    [this] { return ++rooms->random_bits; }},
        *policy);
    for (auto& [number, fds] : kept) {
      if (KeptTag::from_number(number).kind != KeptKind::admin)
        table->recover(KeptTag::from_number(number), std::move(fds));
    }
  }
  RegionTable::Opened ask(pid_t pid, const std::string& name, bool make, uid_t uid = 1000) {
    rooms->processes.born(pid);
    control::RegionRequest request;
    request.region = name;
    request.pid_namespace = blocks::own_pid_namespace();
    request.make = make;
    return table->open(Rooms::who(pid, uid), request);
  }
  /// Time passes in which nothing else happens.
  void pass(std::uint64_t us) {
    rooms->timeline.advance(us);
    while (rooms->loop.run()) {
    }
    table->tick();
    while (rooms->loop.run()) {
    }
  }
  std::uint64_t held(Resource resource, uid_t uid = 1000) const { return rooms->users.held(uid, resource); }

  std::unique_ptr<Rooms> rooms;
  std::unique_ptr<Policy> policy;
  std::unique_ptr<RegionTable> table;
};

/// What a process writes when it attaches.
class Attached {
 public:
  Attached(int file, std::uint32_t place, pid_t pid)
      : mapping_(slot::map_file(file, blocks::region_bytes(), slot::Access::read_write)), place_(place) {
    blocks::Member& member = memory().members.at(place);
    member.pid = static_cast<std::uint32_t>(pid);
    member.start_time = static_cast<std::uint64_t>(pid);
    member.state.store(1);
    memory().generation.fetch_add(1);
  }
  void publish(std::uint64_t bytes) {
    blocks::Publication& publication = memory().publications.at(place_);
    publication.member = place_;
    publication.list_bytes = bytes;
    publication.state.store(1);
    memory().generation.fetch_add(1);
  }
  void leave() { blocks::remove_member(memory(), place_); }
  blocks::RegionMemory& memory() const { return *reinterpret_cast<blocks::RegionMemory*>(mapping_.data()); }

 private:
  slot::Mapping mapping_;
  std::uint32_t place_;
};

TEST_F(Regions, OneIsKeptAsLongAsAProcessHasIt) {
  open();
  const RegionTable::Opened made = ask(kAda, "prices", true);
  ASSERT_EQ(made.fds.size(), 1U);
  EXPECT_TRUE(rooms->store.has(KeptTag::of_region(0).number()));
  Attached ada(made.fds[0], 0, kAda);
  Attached bob(made.fds[0], 1, kBob);
  rooms->processes.born(kBob);
  ada.publish(5 << 20);
  pass(300'000);
  EXPECT_EQ(held(Resource::regions), 1U);
  EXPECT_EQ(held(Resource::block_memory), blocks::region_bytes() + (5U << 20U));
  ada.leave();
  pass(300'000);
  EXPECT_EQ(held(Resource::block_memory), blocks::region_bytes());
  rooms->processes.died(kBob);
  pass(300'000);
  EXPECT_EQ(table->size(), 0U);
  EXPECT_EQ(held(Resource::regions), 0U);
  EXPECT_EQ(held(Resource::block_memory), 0U);
  EXPECT_FALSE(rooms->store.has(KeptTag::of_region(0).number()));
}

TEST_F(Regions, DescriptorsAreShownToTheirUserAndToRoot) {
  open();
  Attached ada(ask(kAda, "prices", true).fds[0], 0, kAda);
  ada.publish(5 << 20);
  pass(300'000);
  pass(5'000'000);
  for (const uid_t viewer : {1000U, 0U, ::getuid()}) {
    const control::Json rows = table->attached(viewer, 0, 10)["attached"];
    ASSERT_EQ(rows.size(), 1U) << viewer;
    EXPECT_EQ(rows[0]["pid"], kAda);
    EXPECT_EQ(rows[0]["pidfd"], true);
    EXPECT_EQ(rows[0]["registered_s"], 5);
    EXPECT_EQ(rows[0]["memory"], 5 << 20);
    EXPECT_EQ(table->blocks(viewer, 0, 10)["blocks"].size(), 1U);
  }
  EXPECT_TRUE(table->attached(1001, 0, 10)["attached"].empty());
  EXPECT_TRUE(table->blocks(1001, 0, 10)["blocks"].empty());
  Attached bob(ask(kBob, "volumes", true).fds[0], 0, kBob);
  const control::Json first = table->attached(0, 0, 1);
  ASSERT_EQ(first["next"], 1);
  EXPECT_EQ(first["attached"][0]["pid"], kAda);
  const control::Json second = table->attached(0, 1, 1);
  EXPECT_EQ(second["next"], -1);
  EXPECT_EQ(second["attached"][0]["pid"], kBob);
}

TEST_F(Regions, OneThatNobodyAttachesToGoesAfterAWhile) {
  open({}, [](LimitsConfig& limits) { limits.handshake = std::chrono::seconds(2); });
  ask(kAda, "prices", true);
  pass(1'000'000);
  EXPECT_EQ(table->size(), 1U);
  pass(1'500'000);
  EXPECT_EQ(table->size(), 0U);
}

TEST_F(Regions, WhatADeadProcessLeftIsRemovedAtOnce) {
  open();
  const RegionTable::Opened made = ask(kAda, "prices", true);
  const Attached ada(made.fds[0], 0, kAda);
  Attached bob(made.fds[0], 1, kBob);
  rooms->processes.born(kBob);
  bob.publish(4096);
  pass(300'000);
  const std::uint64_t before = ada.memory().generation.load();
  rooms->processes.died(kBob);
  rooms->loop.run();
  EXPECT_EQ(ada.memory().publications[1].state.load(), 0U);
  EXPECT_EQ(ada.memory().members[1].state.load(), 0U);
  EXPECT_GT(ada.memory().generation.load(), before) << "the others look";
  EXPECT_EQ(table->size(), 1U);
}

TEST_F(Regions, ALockThatIsHeldMakesItWaitAndNothingElse) {
  open();
  const RegionTable::Opened made = ask(kAda, "prices", true);
  const Attached ada(made.fds[0], 0, kAda);
  const Attached bob(made.fds[0], 1, kBob);
  rooms->processes.born(kBob);
  pass(300'000);
  std::array<int, 2> there{}, back{};
  ASSERT_EQ(::pipe(there.data()) + ::pipe(back.data()), 0);
  const pid_t holder = ::fork();
  if (holder == 0) {
    char byte = blocks::try_lock_directory(made.fds[0]) ? 'y' : 'n';
    if (::write(back[1], &byte, 1) != 1 || ::read(there[0], &byte, 1) != 1) ::_exit(1);
    ::_exit(0);
  }
  char locked = 0;
  ASSERT_EQ(::read(back[0], &locked, 1), 1);
  ASSERT_EQ(locked, 'y');
  rooms->processes.died(kBob);
  pass(300'000);
  EXPECT_EQ(ada.memory().members[1].state.load(), 1U) << "somebody has the right to change it";
  ASSERT_EQ(::write(there[1], "x", 1), 1);
  ASSERT_EQ(::waitpid(holder, nullptr, 0), holder);
  pass(300'000);
  EXPECT_EQ(ada.memory().members[1].state.load(), 0U);
  for (const int fd : {there[0], there[1], back[0], back[1]}) ::close(fd);
}

TEST_F(Regions, TheNextLifeTakesThemOver) {
  open();
  const RegionTable::Opened made = ask(kAda, "prices", true);
  Attached ada(made.fds[0], 0, kAda);
  pass(300'000);
  live_again();
  EXPECT_EQ(table->size(), 1U);
  EXPECT_EQ(table->report(0, 10)["regions"][0]["origin"], "kept");
  EXPECT_EQ(table->report(0, 10)["regions"][0]["uid"], 1000);
  ada.leave();
  pass(300'000);
  EXPECT_EQ(table->size(), 0U);
  EXPECT_FALSE(rooms->store.has(KeptTag::of_region(0).number()));
}

// What a user writes into its directories is looked at, which may not take the time of all others.
TEST_F(Regions, GarbageOfAUserCostsEachTickALittle) {
  constexpr std::size_t kRegions = 40;
  open({}, [](LimitsConfig& limits) {
    limits.regions = limits.regions_per_user = 100;
    limits.reserve = 0;
    limits.user_share = 1000;
  });
  std::vector<Attached> garbage;
  for (std::size_t i = 0; i < kRegions; ++i) {
    garbage.emplace_back(ask(kAda, "r" + std::to_string(i), true).fds[0], 0, 4'000'000);
    for (std::uint32_t n = 0; n < blocks::kMaxMembers; ++n) {
      blocks::Member& member = garbage.back().memory().members.at(n);
      member.pid = 4'000'000 + n;
      member.start_time = n;
      member.state.store(7);
      blocks::Publication& publication = garbage.back().memory().publications.at(n);
      publication.member = n;
      publication.state.store(7);
    }
  }
  Attached bob(ask(kBob, "prices", true, 1001).fds[0], 0, kBob);
  std::size_t ticks = 0, most = 0;
  for (std::size_t before = rooms->processes.sought(); table->size() != 1; before = rooms->processes.sought()) {
    bob.publish(++ticks << 20U);
    pass(250'000);
    EXPECT_EQ(held(Resource::block_memory, 1001), blocks::region_bytes() + (ticks << 20U)) << "seen at once";
    most = std::max(most, rooms->processes.sought() - before);
    ASSERT_LT(ticks, 200U) << table->size() << " regions are left";
  }
  EXPECT_LE(most, LookBudget::kPerUser / 2 + KeptRegion::kNewAtOnce + 1);
  EXPECT_EQ(held(Resource::regions), 0U);
}

TEST_F(Regions, LimitsAreThoseOfTheUserAndOfTheNode) {
  open({}, [](LimitsConfig& limits) {
    limits.regions = 3;
    limits.regions_per_user = 2;
    limits.reserve = 0;
    limits.user_share = 1000;
  });
  ask(kAda, "a", true);
  ask(kAda, "b", true);
  EXPECT_EQ(refusal([&] { ask(kAda, "c", true); }), "quota");
  ask(kBob, "a", true, 1001);
  EXPECT_EQ(refusal([&] { ask(kBob, "b", true, 1001); }), "quota");
  EXPECT_EQ(refusal([&] { ask(kAda, "no/name", true); }), "bad_request");
}

TEST_F(Regions, AProcessThatDamagesTheDirectoryOfItsCellIsShutOutAlone) {
  for (const off_t at : {0, 3, 4, 8, 12, 16, 24, 40, 64, 128}) {
    open("[[region]]\nname = \"prices\"\nisolation = \"strict\"\nusers = [1000, 1001]\n");
    const RegionTable::Opened ada = ask(kAda, "prices", false);
    ask(kBob, "prices", false, 1001);
    // Before slotwired has looked.
    const std::array<std::byte, 4> garbage{std::byte{0xff}, std::byte{0xff}, std::byte{0xff}, std::byte{0xff}};
    ASSERT_EQ(::pwrite(ada.fds.front(), garbage.data(), garbage.size(), at), 4);
    for (int i = 0; i < 3; ++i) pass(300'000);
    // What stands further on belongs to the process, and may be wrong.
    EXPECT_EQ(table->size(), at < 12 ? 1U : 2U) << at;
    rooms->processes.died(kBob);
    rooms->processes.died(kAda);
    for (int i = 0; i < 3; ++i) pass(300'000);
    EXPECT_EQ(table->size(), 0U) << at;
  }
}

/// Fills a cell with entries whose owners are to be woken by each change: publications of 64 topics, or subscriptions.
void fill_cell(int file, bool publishes) {
  constexpr std::uint32_t kTopics = 64, kFree = 200;
  const slot::Mapping mapping = slot::map_file(file, blocks::region_bytes(), slot::Access::read_write);
  auto& memory = *reinterpret_cast<blocks::RegionMemory*>(mapping.data());
  for (std::uint32_t n = 0; n < blocks::kMaxMembers; ++n) {
    if (n == kFree) continue;  // the engine's place
    memory.members.at(n).pid = 4'000'000 + n;
    memory.members.at(n).state.store(7);
    const std::string topic = "t" + std::to_string(n % kTopics);
    const auto add = [&](auto& entry) {
      entry.member = n;
      topic.copy(entry.topic.data(), topic.size());
      entry.state.store(7);
    };
    if (publishes) {
      add(memory.publications.at(n));
    } else {
      add(memory.subscriptions.at(n));
    }
  }
  memory.generation.fetch_add(1);
}

// The same in cells: what is opened for what stands there wakes all that it names.
TEST_F(Regions, GarbageInCellsOfAUserCostsEachTickALittle) {
  constexpr pid_t kCy = 3'000'003, kDan = 3'000'004;
  open("[[region]]\nname = \"prices\"\nisolation = \"strict\"\nusers = [1000, 1001]\n", [](LimitsConfig& limits) {
    limits.regions = limits.regions_per_user = 100;
    limits.cell_memory = 1 << 16;
    limits.reserve = 0;
    limits.user_share = 1000;
  });
  fill_cell(ask(kAda, "prices", false).fds[0], true);
  fill_cell(ask(kCy, "prices", false).fds[0], false);
  const auto offer = [](int file, pid_t pid, bool publishes) {
    const Attached process(file, 0, pid);
    const auto add = [](auto& entry) {
      entry.topic[0] = 'e';
      entry.state.store(1);
    };
    if (publishes) {
      add(process.memory().publications.at(0));
    } else {
      add(process.memory().subscriptions.at(0));
    }
  };
  offer(ask(kBob, "prices", false, 1001).fds[0], kBob, true);
  offer(ask(kDan, "prices", false, 1001).fds[0], kDan, false);
  std::uint64_t before = 0, most = 0, one = 0;
  for (int ticks = 0; ticks < 200; ++ticks) {
    pass(250'000);
    if (one == 0) one = held(Resource::cell_memory, 1001);
    ASSERT_GT(one, 0U) << "what others wait for is there at once";
    const std::uint64_t now = held(Resource::cell_memory);
    most = std::max(most, (now - before) / one);
    before = now;
  }
  EXPECT_EQ(before, 64 * one) << "all of it is done in the end";
  // What is between two looks at the figure may have parts of two budgets.
  EXPECT_LE(most, 2 * LookBudget::kPerUser / 256);
}

TEST_F(Regions, AStrictOneGivesEachProcessACellOfItsOwn) {
  open("[[region]]\nname = \"prices\"\nisolation = \"strict\"\nusers = [1000, 1001]\n");
  const RegionTable::Opened ada = ask(kAda, "prices", false);
  const RegionTable::Opened bob = ask(kBob, "prices", false, 1001);
  ASSERT_EQ(ada.fds.size(), 2U);
  ASSERT_EQ(bob.fds.size(), 2U);
  EXPECT_EQ(ada.answer.isolation, "strict");
  EXPECT_NE(ada.answer.prefix, bob.answer.prefix);
  EXPECT_EQ(refusal([&] { ask(kAda, "prices", false, 1002); }), "refused");
  EXPECT_EQ(table->size(), 2U);
  rooms->processes.died(kAda);
  pass(300'000);
  EXPECT_EQ(table->size(), 1U);
  EXPECT_EQ(held(Resource::block_memory), 0U);
  live_again();
  EXPECT_EQ(table->size(), 1U);
  rooms->processes.died(kBob);
  pass(300'000);
  EXPECT_EQ(table->size(), 0U);
  EXPECT_EQ(held(Resource::regions, 1001), 0U);
  EXPECT_EQ(rooms->store.size(), 0U) << "nothing is left in the keeper";
}

}  // namespace
}  // namespace slotwire::engine
