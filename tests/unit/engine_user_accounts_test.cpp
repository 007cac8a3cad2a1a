// What users may take: quotas, shares, the reserve of root, and tokens for requests.
#include "runtime/engine/sessions/user_accounts.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>

#include "runtime/engine/sessions/metered_channel.hpp"
#include "unit/engine_rooms.hpp"

namespace slotwire::engine {
namespace {

constexpr uid_t kOwn = 900, kAda = 1000, kBob = 1001;

Config limits(const std::string& more) {
  return parse_config("[node]\nname = \"left\"\n[limits]\n" + more, "test");
}

/// Takes one at a time until it is refused; how many there were.
std::uint64_t take_all(UserAccounts& users, uid_t uid, Resource resource) {
  std::uint64_t taken = 0;
  while (!users.forbids(uid, resource)) {
    users.take(uid, resource);
    ++taken;
  }
  return taken;
}

TEST(UserAccounts, OneUserGetsItsShareAndNewcomersFindSome) {
  const Config config = limits("slots = 1000\nreserve = 10\n");
  UserAccounts users(config, kOwn);
  const std::uint64_t alone = take_all(users, kAda, Resource::slots);
  EXPECT_EQ(alone, 675U) << "three quarters of the 900 that are not kept for root";
  const std::uint64_t second = take_all(users, kBob, Resource::slots);
  EXPECT_GT(second, 100U);
  for (uid_t uid = 2000; uid < 2003; ++uid) EXPECT_GT(take_all(users, uid, Resource::slots), 0U) << uid;
  EXPECT_LE(users.total(Resource::slots), 900U);
  for (const uid_t uid : {uid_t{0}, kOwn}) EXPECT_FALSE(users.forbids(uid, Resource::slots, 100)) << uid;
}

TEST(UserAccounts, AQuotaNamesItsKeyAndTheUse) {
  const Config config = limits("slots_per_user = 7\n");
  UserAccounts users(config, kOwn);
  EXPECT_EQ(take_all(users, kAda, Resource::slots), 7U);
  const auto refusal = users.forbids(kAda, Resource::slots);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->code, "quota");
  EXPECT_EQ(refusal->text, "user 1000 has 7 of its 7 slots in use (raise limits.slots_per_user)");
  EXPECT_FALSE(users.forbids(kBob, Resource::slots));
  EXPECT_FALSE(users.forbids(0, Resource::slots, 7));
  users.give(kAda, Resource::slots);
  EXPECT_FALSE(users.forbids(kAda, Resource::slots));
}

TEST(UserAccounts, SmallTablesCanBeUsed) {
  const Config config = limits("slots = 2\nsessions = 1\n");
  UserAccounts users(config, kOwn);
  EXPECT_EQ(take_all(users, kAda, Resource::slots), 1U);
  EXPECT_EQ(take_all(users, kAda, Resource::sessions), 1U);
}

TEST(UserAccounts, AChargeIsGivenBackOnce) {
  const Config config = limits("");
  UserAccounts users(config, kOwn);
  {
    UserAccounts::Charge first(users, kAda, Resource::memory, 100);
    UserAccounts::Charge second = std::move(first);
    EXPECT_EQ(users.held(kAda, Resource::memory), 100U);
    second.set(40);
    EXPECT_EQ(users.held(kAda, Resource::memory), 40U);
    second = UserAccounts::Charge(users, kBob, Resource::memory, 5);
    EXPECT_EQ(users.held(kAda, Resource::memory), 0U);
  }
  EXPECT_EQ(users.total(Resource::memory), 0U);
}

TEST(UserAccounts, RequestsOfOneUserWaitAndThoseOfOthersDoNot) {
  const Config config = limits("requests_per_user = 100\n");
  UserAccounts users(config, kOwn);
  std::uint64_t now = 1'000'000;
  std::uint32_t served = 0;
  while (users.wait_us(kAda, now) == 0) {
    users.spend(kAda, kReportRequest, now);
    ++served;
  }
  EXPECT_EQ(served, 12U) << "a second's tokens at once";
  EXPECT_EQ(users.wait_us(kBob, now), 0U);
  EXPECT_EQ(users.wait_us(0, now), 0U);
  now += users.wait_us(kAda, now);
  EXPECT_EQ(users.wait_us(kAda, now), 0U);
  // However much was let in, one knows when it is one's turn again.
  for (int i = 0; i < 100'000; ++i) users.spend(kAda, kMappingRequest, now);
  EXPECT_LT(users.wait_us(kAda, now), 1'200'000U);
}

TEST(UserAccounts, RemembersFewUsersThatHoldNothing) {
  const Config config = limits("");
  UserAccounts users(config, kOwn);
  users.take(kAda, Resource::slots);
  for (uid_t uid = 100'000; uid < 170'000; ++uid) users.spend(uid, 1, 1);
  EXPECT_LT(users.users(), 1100U);
  EXPECT_EQ(users.held(kAda, Resource::slots), 1U) << "who holds something is not forgotten";
  users.sweep(60'000'000);
  EXPECT_EQ(users.users(), 1U);
}

TEST(UserAccounts, DrainingSlotsStayTheirUsersUntilTheyAreFree) {
  Rooms rooms(room_config());
  Session& session = rooms.attach(100, kAda);
  const std::uint16_t slot = rooms.open(session, Pairing::remote);
  rooms.slots.pair_remote(slot, {.link = 0, .slot = 3, .epoch = 9, .first = {}, .node = "right", .process = {}});
  EXPECT_EQ(rooms.users.held(kAda, Resource::slots), 1U);
  EXPECT_EQ(rooms.users.held(kAda, Resource::memory), 8192U);
  rooms.peers.reachable = false;  // the peer cannot be told of the end yet
  rooms.sessions.end(session.index, "it ended");
  EXPECT_EQ(rooms.users.held(kAda, Resource::sessions), 0U);
  EXPECT_EQ(rooms.users.held(kAda, Resource::slots), 1U);
  rooms.slots.check_draining(rooms.timeline.now_us());
  EXPECT_EQ(rooms.users.held(kAda, Resource::slots), 1U);
  rooms.peers.reachable = true;
  rooms.slots.check_draining(rooms.timeline.now_us());
  EXPECT_EQ(rooms.users.held(kAda, Resource::slots), 0U);
  EXPECT_EQ(rooms.users.held(kAda, Resource::memory), 0U);
}

TEST(UserAccounts, WhoConnectsPaysForBothEndsUntilItCloses) {
  Rooms rooms(room_config("[[allow]]\naction = \"connect\"\nservice = \"*\"\nusers = [\"*\"]\n"));
  Session& client = rooms.attach(100, kAda);
  Session& server = rooms.attach(101, kBob);
  const std::uint16_t a = rooms.open(client, Pairing::direct);
  const std::uint16_t b = rooms.slots.open({.session = server.index,
                                            .link = std::nullopt,
                                            .in_order = 6,
                                            .out_order = 6,
                                            .pairing = Pairing::direct,
                                            .service = "orders",
                                            .acceptor = true,
                                            .payer = kAda});
  rooms.slots.pair_here(a, b, Pairing::direct);
  EXPECT_EQ(rooms.users.held(kAda, Resource::slots), 2U);
  EXPECT_EQ(rooms.users.held(kBob, Resource::slots), 0U);
  rooms.slots.begin_close(a, End::closed);
  EXPECT_EQ(rooms.users.held(kAda, Resource::slots), 0U);
  EXPECT_EQ(rooms.users.held(kBob, Resource::slots), 1U) << "who keeps its end open pays for it";
  rooms.slots.begin_close(b, End::closed);
  EXPECT_EQ(rooms.users.total(Resource::slots), 0U);
}

TEST(UserAccounts, StrictSlotsThatBothEndsLeftDoNotDrain) {
  Rooms rooms;
  Session& first = rooms.attach(100);
  Session& second = rooms.attach(101);
  const std::uint16_t a = rooms.open(first, Pairing::strict);
  const std::uint16_t b = rooms.open(second, Pairing::strict);
  rooms.slots.pair_here(a, b, Pairing::strict);
  rooms.admin.rows()[a].in_tail += 5;  // lines that were never delivered
  rooms.admin.rows()[b].in_tail += 5;
  rooms.slots.begin_close(a, End::died);
  rooms.slots.begin_close(b, End::died);
  rooms.slots.check_draining(rooms.timeline.now_us());
  EXPECT_EQ(rooms.slots.used(), 0U) << "nobody reads what would be delivered";
}

/// Both ends of a control socket, the engine's metered.
struct Pair {
  explicit Pair(UserAccounts& users, std::uint64_t most, uid_t uid = kAda) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) throw std::runtime_error("no pair");
    process = slot::Fd(ends[1]);
    engine = std::make_unique<MeteredChannel>(
        std::make_unique<control::PacketSocket>(slot::Fd(ends[0]), std::size_t{4096}, std::size_t{1} << 20), users, uid,
        most);
  }
  std::unique_ptr<MeteredChannel> engine;
  slot::Fd process;
};

TEST(MeteredChannel, GivesUpAClientThatDoesNotReadAndKeepsNothing) {
  const Config config = limits("");
  UserAccounts users(config, kOwn);
  Pair pair(users, 50'000);
  const std::string answer(4000, 'x');
  int sent = 0;
  while (pair.engine->send(answer, {})) ASSERT_LT(++sent, 10'000) << "everything waits, for ever";
  EXPECT_NE(std::string(pair.engine->given_up()).find("limits.unread_per_client"), std::string::npos);
  EXPECT_EQ(pair.engine->queued(), 0U);
  EXPECT_EQ(users.total(Resource::unread), 0U);
  control::Packet packet;
  EXPECT_EQ(pair.engine->receive(packet), control::PacketChannel::Got::closed);
}

TEST(MeteredChannel, ClientsOfOneUserShareItsLimit) {
  const Config config =
      limits("control_message = \"1KiB\"\nunread_per_client = \"40KiB\"\nunread_per_user = \"100KiB\"\n");
  UserAccounts users(config, kOwn);
  const std::string answer(4000, 'x');
  std::vector<std::unique_ptr<Pair>> pairs;
  std::size_t given_up = 0;
  std::uint64_t most = 0;
  for (int i = 0; i < 20; ++i) {
    pairs.push_back(std::make_unique<Pair>(users, 40'960));
    // Until a little waits, which one client may let happen.
    while (pairs.back()->engine->send(answer, {}) && pairs.back()->engine->queued() < 36'000) {
    }
    most = std::max(most, users.held(kAda, Resource::unread));
    if (!pairs.back()->engine->given_up().empty()) ++given_up;
  }
  EXPECT_GE(given_up, 17U);
  EXPECT_LE(most, 102'400U);
}

TEST(UserAccounts, MemoryThatSlotwiredMakesForBlocksIsShared) {
  const Config config = limits("block_memory = \"1GiB\"\nreserve = 10\n");
  UserAccounts users(config, kOwn);
  constexpr std::uint64_t kCell = 4ULL << 20;
  std::uint64_t cells = 0;
  while (!users.forbids(kAda, Resource::cell_memory, kCell)) {
    users.take(kAda, Resource::cell_memory, kCell);
    ASSERT_LT(++cells, 256U);
  }
  EXPECT_NEAR(static_cast<double>(cells), 256 * 0.9 * 0.75, 2);
  EXPECT_FALSE(users.forbids(kBob, Resource::cell_memory, 4 * kCell));
  EXPECT_FALSE(users.forbids(0, Resource::cell_memory, 4 * kCell));
}

TEST(UserAccounts, WhatACardMayWriteIntoIsCountedForItsUser) {
  const Config config = limits("memory_per_user = \"1MiB\"\nmapped_per_user = \"40KiB\"\n");
  UserAccounts users(config, kOwn);
  constexpr std::uint64_t kSpace = 20ULL << 10;
  users.take(kAda, Resource::mapped, kSpace);
  EXPECT_FALSE(users.forbids(kAda, Resource::mapped, kSpace)) << "to the last byte";
  users.take(kAda, Resource::mapped, kSpace);
  const auto refusal = users.forbids(kAda, Resource::mapped, 1);
  ASSERT_TRUE(refusal);
  EXPECT_NE(refusal->text.find("raise limits.mapped_per_user"), std::string::npos) << refusal->text;
  EXPECT_FALSE(users.forbids(kBob, Resource::mapped, 2 * kSpace)) << "nobody shares it";
  EXPECT_FALSE(users.forbids(0, Resource::mapped, 1ULL << 30));
  users.give(kAda, Resource::mapped, kSpace);
  EXPECT_FALSE(users.forbids(kAda, Resource::mapped, kSpace));
}

TEST(UserAccounts, MappedMemoryIsAsMuchAsSlotMemoryUnlessItIsSaid) {
  const Config config = limits("memory_per_user = \"1MiB\"\n");
  EXPECT_EQ(config.limits.mapped_per_user, 1ULL << 20);
}

TEST(MeteredChannel, DescriptorsDoNotWait) {
  const Config config = limits("");
  UserAccounts users(config, kOwn);
  Pair pair(users, 1 << 20);
  while (!pair.engine->waiting()) ASSERT_TRUE(pair.engine->send(std::string(4000, 'x'), {}));
  const std::uint64_t queued = pair.engine->queued();
  EXPECT_FALSE(pair.engine->send("{}", {pair.process.get()}));
  EXPECT_EQ(pair.engine->queued(), queued);
  EXPECT_TRUE(pair.engine->given_up().empty()) << "that is the request's end, not the client's";
}

}  // namespace
}  // namespace slotwire::engine
