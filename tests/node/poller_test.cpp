// Waiting for many: the poller, descriptors in an epoll of one's own.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>

#include <numeric>

#include "ends.hpp"

namespace slotwire::test {
namespace {

using namespace std::chrono_literals;

class Polling : public EveryTopology {
 protected:
  void open(std::size_t count) {
    Result<Context> client = Context::open({.socket = client_node().socket(), .name = "client"});
    Result<Context> server = Context::open({.socket = server_node().socket(), .name = "server"});
    ASSERT_TRUE(client && server);
    client_.emplace(*std::move(client));
    server_.emplace(*std::move(server));
    Result<Service> service = server_->serve("svc");
    ASSERT_TRUE(service) << service.error().text;
    service_.emplace(*std::move(service));
    for (std::size_t i = 0; i < count; ++i) {
      Result<Connection> a = client_->connect("svc", kPatience, {.in_bytes = 4096, .out_bytes = 4096});
      ASSERT_TRUE(a) << i << ": " << a.error().text;
      Result<Connection> b = service_->accept(kPatience);
      ASSERT_TRUE(b) << b.error().text;
      clients_.push_back(*std::move(a));
      servers_.push_back(*std::move(b));
    }
  }
  std::optional<Context> client_, server_;
  std::optional<Service> service_;
  std::vector<Connection> clients_, servers_;

  void TearDown() override {
    clients_.clear();
    servers_.clear();
    service_.reset();
    client_.reset();
    server_.reset();
    EveryTopology::TearDown();
  }
};
INSTANTIATE_TEST_SUITE_P(Node, Polling, every_topology(), topology_name);

TEST_P(Polling, TellsEachOfTwoHundredConnectionsThatIsReadyAndNoOther) {
  constexpr std::size_t kConnections = 200;
  open(kConnections);
  Result<Poller> poller = Poller::create(*server_);
  ASSERT_TRUE(poller);
  std::vector<std::size_t> numbers(kConnections);
  std::iota(numbers.begin(), numbers.end(), 0U);
  for (std::size_t i = 0; i < kConnections; ++i) ASSERT_TRUE(poller->add(servers_[i], Interest::readable, &numbers[i]));
  EXPECT_EQ(poller->add(servers_[0], Interest::readable, nullptr).status(), Status::invalid);
  for (int round = 0; round < 5; ++round) {
    // Settle: every connection is asleep, armed in the poller.
    while (true) {
      const auto ready = poller->wait(30ms);
      if (!ready) {
        ASSERT_EQ(ready.status(), Status::timed_out);
        break;
      }
      ASSERT_TRUE(ready->empty()) << "nothing was sent";
    }
    std::size_t expected = 0;
    std::vector<int> got(kConnections, 0);
    for (std::size_t i = static_cast<std::size_t>(round); i < kConnections; i += 7, ++expected)
      ASSERT_TRUE(clients_[i].send("x", kPatience));
    for (std::size_t told = 0; told < expected;) {
      const auto ready = poller->wait(kPatience);
      ASSERT_TRUE(ready) << ready.error().text;
      for (const Ready& one : *ready) {
        const std::size_t i = *static_cast<std::size_t*>(one.token);
        EXPECT_EQ(one.what, Interest::readable);
        EXPECT_TRUE(servers_[i].receive(Deadline::now()));
        EXPECT_EQ(i % 7, static_cast<std::size_t>(round) % 7);
        EXPECT_EQ(++got[i], 1);
        ++told;
      }
    }
  }
}

TEST_P(Polling, TellsOfEndsAndOfNewConnections) {
  open(3);
  Result<Poller> poller = Poller::create(*server_);
  ASSERT_TRUE(poller);
  for (Connection& connection : servers_) ASSERT_TRUE(poller->add(connection, Interest::readable, &connection));
  // What the context was told while it accepted these is told once more, and then no more.
  Result<std::span<const Ready>> quiet = poller->wait(30ms);
  if (quiet) {
    EXPECT_TRUE(quiet->empty());
    quiet = poller->wait(30ms);
  }
  ASSERT_EQ(quiet.status(), Status::timed_out);
  clients_[1].close();
  bool told = false;
  while (!told) {
    const auto ready = poller->wait(kPatience);
    ASSERT_TRUE(ready) << ready.error().text;
    for (const Ready& one : *ready) {
      ASSERT_EQ(one.token, &servers_[1]);
      told = true;
    }
  }
  EXPECT_EQ(servers_[1].receive(Deadline::now()).status(), Status::peer_closed);
  ASSERT_TRUE(poller->remove(servers_[1]));
  // A new connection: none of those is ready, but accept succeeds.
  Result<Connection> another = client_->connect("svc", kPatience);
  ASSERT_TRUE(another) << another.error().text;
  Result<Connection> accepted = service_->accept(Deadline::now());
  while (!accepted) {
    ASSERT_EQ(accepted.status(), Status::again);
    const auto ready = poller->wait(kPatience);
    ASSERT_TRUE(ready) << ready.error().text;
    EXPECT_TRUE(ready->empty());
    accepted = service_->accept(Deadline::now());
  }
}

TEST_P(Polling, TellsOfRoomThatWasAskedFor) {
  open(2);
  Result<Poller> poller = Poller::create(*client_);
  ASSERT_TRUE(poller);
  while (true) {
    if (clients_[0].send(pattern(48, 1), Deadline::now())) continue;
    if (clients_[0].wait(Interest::writable, 100ms).status() == Status::timed_out) break;
  }
  ASSERT_TRUE(poller->add(clients_[0], Interest::readable, &clients_[0]));
  ASSERT_TRUE(poller->add(clients_[1], Interest::readable, &clients_[1]));
  ASSERT_EQ(poller->wait(30ms).status(), Status::timed_out);
  ASSERT_TRUE(poller->set(clients_[0], Interest::both));
  ASSERT_EQ(poller->wait(30ms).status(), Status::timed_out);
  while (servers_[0].receive(Deadline::now())) {
  }
  const auto ready = poller->wait(kPatience);
  ASSERT_TRUE(ready) << ready.error().text;
  ASSERT_EQ(ready->size(), 1U);
  EXPECT_EQ((*ready)[0].token, &clients_[0]);
  EXPECT_EQ((*ready)[0].what, Interest::writable);
}

TEST_P(Polling, IsInterruptedFromAnotherThread) {
  open(1);
  Result<Poller> poller = Poller::create(*client_);
  ASSERT_TRUE(poller);
  ASSERT_TRUE(poller->add(clients_[0], Interest::readable, nullptr));
  std::thread other([&] { poller->interrupt(); });
  EXPECT_EQ(poller->wait(kPatience).status(), Status::cancelled);
  other.join();
  EXPECT_EQ(poller->wait(30ms).status(), Status::timed_out);
}

TEST_P(Polling, NestsInAnEventLoop) {
  open(2);
  Result<Poller> poller = Poller::create(*client_);
  ASSERT_TRUE(poller);
  for (Connection& connection : clients_) ASSERT_TRUE(poller->add(connection, Interest::readable, &connection));
  pollfd wait{poller->fd(), POLLIN, 0};
  for (int i = 0; i < 50; ++i) {
    while (!poller->arm()) {
      const auto ready = poller->wait(Deadline::now());
      ASSERT_TRUE(ready && ready->empty());
    }
    ASSERT_EQ(::poll(&wait, 1, 0), 0) << "readable though nothing has happened";
    Connection& from = servers_[static_cast<std::size_t>(i) % 2];
    ASSERT_TRUE(from.send("x", kPatience));
    ASSERT_EQ(::poll(&wait, 1, 20'000), 1) << "round " << i;
    const auto ready = poller->wait(Deadline::now());
    ASSERT_TRUE(ready) << ready.error().text;
    ASSERT_EQ(ready->size(), 1U);
    ASSERT_EQ((*ready)[0].token, &clients_[static_cast<std::size_t>(i) % 2]);
    ASSERT_TRUE(clients_[static_cast<std::size_t>(i) % 2].receive(Deadline::now()));
  }
}

TEST_P(Polling, ByDescriptorFollowsArmAndDisarm) {
  open(1);
  Connection& a = clients_[0];
  Connection& b = servers_[0];
  const slot::Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  for (const int fd : {a.fd(), client_->fd()}) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    ASSERT_EQ(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event), 0);
  }
  const auto sleep = [&](int ms) {
    epoll_event event{};
    const int n = ::epoll_wait(epoll.get(), &event, 1, ms);
    return n == 1 ? event.data.fd : -1;
  };
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(a.receive(Deadline::now()).status(), Status::again);
    ASSERT_TRUE(a.arm(Interest::readable));
    ASSERT_EQ(sleep(0), -1);
    ASSERT_TRUE(b.send("x", kPatience));
    ASSERT_EQ(sleep(20'000), a.fd()) << "round " << i;
    a.disarm();
    ASSERT_EQ(sleep(0), -1) << "readable after it was disarmed";
    ASSERT_TRUE(a.receive(Deadline::now()));
  }
  // What is there already is not slept for.
  ASSERT_TRUE(b.send("x", kPatience));
  ASSERT_TRUE(a.wait(Interest::readable, kPatience));
  EXPECT_EQ(a.arm(Interest::readable).status(), Status::again);
  ASSERT_TRUE(a.receive(Deadline::now()));
  // The end is told at the context's descriptor, and from there at the connection's.
  ASSERT_TRUE(a.arm(Interest::readable));
  b.close();
  int fd = sleep(20'000);
  for (; fd == client_->fd(); fd = sleep(20'000)) ASSERT_TRUE(client_->process());
  EXPECT_EQ(fd, a.fd());
  EXPECT_EQ(a.receive(Deadline::now()).status(), Status::peer_closed);
}

}  // namespace
}  // namespace slotwire::test
