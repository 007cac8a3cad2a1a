// Regions whose isolation is strict: real processes that publish and subscribe, an engine in simulated time between
// them.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "local/region_fixture.hpp"
#include "runtime/blocks/cell_means.hpp"
#include "runtime/engine/regions/region_table.hpp"
#include "unit/engine_rooms.hpp"

namespace slotwire::engine {
namespace {

using blocks::test::eventually;
using blocks::test::Process;

constexpr uid_t kAda = 1000, kBob = 1001;
constexpr int kMessages = 100;  // more than a list has entries

/// One life of the engine. It ends like a process that was killed: nobody takes leave.
struct Life {
  explicit Life(Rooms& rooms, const Policy& policy)
      : loop(rooms.timeline),
        users(rooms.config, ::getuid()),
        table(RegionParts{rooms.config, loop, rooms.log, rooms.store, rooms.processes, users,
                          [&rooms] { return ++rooms.random_bits; }},
              policy) {}
  sim::SimLoop loop;
  UserAccounts users;
  RegionTable table;
};

class StrictRegions : public ::testing::Test {
 protected:
  StrictRegions()
      : rooms(room_config("[[region]]\nname = \"prices\"\nisolation = \"strict\"\nusers = [1000, 1001]\n")),
        policy(rooms.config, ::getuid()) {
    lives.push_back(std::make_unique<Life>(rooms, policy));
  }
  Life& life() { return *lives.back(); }
  /// The engine is killed, and starts again.
  void live_again() {
    KeptDescriptors kept = rooms.store.take();
    lives.push_back(std::make_unique<Life>(rooms, policy));
    for (auto& [number, fds] : kept) {
      if (KeptTag::from_number(number).kind != KeptKind::admin)
        life().table.recover(KeptTag::from_number(number), std::move(fds));
    }
  }
  void pass(std::uint64_t us) {
    rooms.timeline.advance(us);
    while (life().loop.run()) {
    }
  }
  using Body = std::function<int(Process& self, blocks::Region& region)>;
  /// A process that has the region open.
  std::unique_ptr<Process> process(uid_t uid, const Body& body) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
      throw std::runtime_error("no socket");
    slot::Fd ours(ends[0]), theirs(ends[1]);
    auto made = std::make_unique<Process>([&](Process& self) {
      control::PacketSocket in(std::move(theirs), blocks::kCellSocketText, blocks::kMaxCellQueue);
      control::Packet packet;
      pollfd ready{in.fd(), POLLIN, 0};
      if (::poll(&ready, 1, 60'000) != 1 || in.receive(packet) != control::PacketSocket::Got::packet) return 90;
      blocks::Region region(
          blocks::RegionParts{"prices", packet.text, std::move(packet.fds.at(0)),
                              std::make_unique<blocks::CellMeans>("prices", std::move(packet.fds.at(1)))});
      return body(self, region);
    });
    rooms.processes.born(made->pid());
    control::RegionRequest request;
    request.region = "prices";
    request.pid_namespace = blocks::own_pid_namespace();
    RegionTable::Opened opened = life().table.open(Rooms::who(made->pid(), uid), request);
    control::PacketSocket(std::move(ours), blocks::kCellSocketText, blocks::kMaxCellQueue)
        .send(opened.answer.prefix, opened.fds);
    life().table.sent(opened);
    return made;
  }
  /// Lets the engine work until the process says `byte`.
  void until(Process& process, char byte) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    // The engine's time goes no faster than that of the processes: it shuts out whoever keeps it waiting.
    while (!process.has_said(1)) {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << "it never said " << byte;
      pass(1000);
    }
    ASSERT_EQ(process.hear(), byte);
  }
  /// The keeper does not answer when the engine is asked for memory, and for a second after.
  void refuse_for_a_second() {
    rooms.store.be_late(true);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (rooms.store.refused() == 0 && std::chrono::steady_clock::now() < end) pass(1000);
    pass(1'000'000);
    EXPECT_GT(rooms.store.refused(), 1U) << "it is tried again";
  }
  /// Publishers' lists that the keeper has.
  std::size_t lists() const {
    std::size_t found = 0;
    for (const auto& [number, fds] : rooms.store.take()) {
      if (KeptTag::from_number(number).kind == KeptKind::list) ++found;
    }
    return found;
  }
  std::unique_ptr<Process> publisher() {
    return process(kAda, [](Process& self, blocks::Region& region) {
      blocks::PublisherOptions options;
      options.entries = 16;
      options.block_bytes = 1U << 16U;
      blocks::Publisher publisher(region, "eur", options);
      if (!publisher.wait_for_subscribers(1, eventually())) return 2;
      self.say('r');
      for (int i = 0; i < kMessages; ++i) {
        blocks::Publisher::Loan loan;
        if (publisher.loan(1, eventually(), loan) != blocks::Room::yes) return 3;
        loan.data[0] = static_cast<std::byte>(i);
        if (publisher.publish(loan, 1, eventually()) != blocks::Room::yes) return 4;
        if (i == 15) self.say('f');
      }
      self.say('d');
      return self.hear() == 'e' ? 0 : 5;
    });
  }
  /// Takes the directory's lock when it hears 'l', and gives it back when it hears 'u'. Then takes everything.
  std::unique_ptr<Process> subscriber() {
    return process(kBob, [](Process& self, blocks::Region& region) {
      blocks::SubscriberOptions options;
      options.overflow = blocks::Overflow::block;
      blocks::Subscriber subscriber(region, "eur", options);
      self.say('s');
      if (self.hear() != 'l') return 2;
      {
        const blocks::Region::Lock lock(region);
        self.say('l');
        if (self.hear() != 'u') return 3;
      }
      for (int next = 0; next < kMessages;) {
        blocks::Subscriber::View view;
        if (subscriber.take(eventually(), view) != blocks::Subscriber::Look::taken) return 4;
        const int got = static_cast<int>(view.data[0]);
        subscriber.release(view);
        // What was copied and not given back when the engine was killed comes again.
        if (got > next) return 5;
        if (got == next) ++next;
      }
      self.say('c');
      return 0;
    });
  }

  Rooms rooms;
  Policy policy;
  std::vector<std::unique_ptr<Life>> lives;
};

TEST_F(StrictRegions, AProcessThatHasItsDirectoryLockedIsNotPassedOver) {
  const auto bob = subscriber();
  until(*bob, 's');
  pass(10'000);  // the engine looks
  const auto ada = publisher();
  bob->say('l');
  until(*bob, 'l');
  until(*ada, 'r');
  pass(10'000);
  bob->say('u');
  until(*ada, 'f');
  until(*ada, 'd');
  until(*bob, 'c');
  ada->say('e');
  EXPECT_EQ(ada->wait(), 0);
  EXPECT_EQ(bob->wait(), 0);
}

TEST_F(StrictRegions, APublisherWaitsForAKeeperThatIsLate) {
  const auto bob = subscriber();
  until(*bob, 's');
  const auto ada = publisher();
  refuse_for_a_second();
  rooms.store.be_late(false);
  until(*ada, 'r');
  EXPECT_EQ(lists(), 1U);
}

TEST_F(StrictRegions, APublisherAsksAgainWhenTheEngineDiedWithItsRequest) {
  const auto bob = subscriber();
  until(*bob, 's');
  const auto ada = publisher();
  refuse_for_a_second();
  rooms.store.be_late(false);
  live_again();
  until(*ada, 'r');
  until(*ada, 'f');
  EXPECT_EQ(lists(), 1U);
}

TEST_F(StrictRegions, ANewLifeWaitsForThoseWhoseSubscriptionsItCannotSeeYet) {
  const auto bob = subscriber();
  until(*bob, 's');
  const auto ada = publisher();
  until(*ada, 'r');
  bob->say('l');
  until(*bob, 'l');
  // What the first life copies is less than everything; then it is gone, and Ada waits for room.
  ASSERT_EQ(ada->hear(), 'f');
  live_again();
  pass(10'000);
  bob->say('u');
  until(*ada, 'd');
  until(*bob, 'c');
  ada->say('e');
  EXPECT_EQ(ada->wait(), 0);
  EXPECT_EQ(bob->wait(), 0);
}

}  // namespace
}  // namespace slotwire::engine
