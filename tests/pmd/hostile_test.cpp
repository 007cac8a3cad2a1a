// The two ends of the host's queues do not trust each other: a card that lies to the driver, and a driver that lies to
// the card.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <functional>
#include <optional>
#include <thread>

#include "driver/pmd/queue_client.hpp"
#include "pmd_port.hpp"

namespace slotwire::test {
namespace {

namespace hq = driver::host_queues;
using driver::QueueClient;
using slot::Fd;

constexpr std::uint32_t kQueues = 4;

/// A card of the test: answers hello as the test wants, and everything else with a status.
class LyingCard {
 public:
  using Lie = std::function<void(hq::Reply&, std::vector<int>&)>;

  explicit LyingCard(Lie lie = {}, std::uint32_t later_magic = hq::kMagic)
      : lie_(std::move(lie)), later_magic_(later_magic) {
    path_ = "/tmp/slotwire-pmd-lying-" + std::to_string(::getpid());
    ::unlink(path_.c_str());
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    path_.copy(at.sun_path, sizeof at.sun_path - 1);
    listener_ = Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0 ||
        ::listen(listener_.get(), 1) != 0) {
      throw std::runtime_error("no socket");
    }
    end_ = Fd(::eventfd(0, EFD_CLOEXEC));
    file_ = slot::create_sealed_file("slotwire-lying-card", hq::memory_bytes(kQueues));
    mapping_ = slot::map_file(file_.get(), hq::memory_bytes(kQueues), slot::Access::read_write);
    memory.base = mapping_.data();
    memory.header().link_up = 1;
    thread_ = std::thread([this] { serve(); });
  }
  ~LyingCard() {
    const std::uint64_t one = 1;
    static_cast<void>(!::write(end_.get(), &one, sizeof one));
    thread_.join();
    ::unlink(path_.c_str());
  }
  LyingCard(const LyingCard&) = delete;
  LyingCard& operator=(const LyingCard&) = delete;

  const std::string& path() const { return path_; }
  /// A frame in receive ring 0, of a length that may be anything.
  void give(std::uint32_t length, std::byte fill) {
    hq::Ring& ring = memory.ring(0, false);
    const std::uint32_t at = ring.produced;
    hq::Entry& entry = memory.entry(0, false, at);
    entry.frame.fill(fill);
    entry.length = length;
    ring.produced = at + 1;
  }

  hq::Memory memory;

 private:
  /// False: the test ends.
  bool readable(int fd) {
    std::array<pollfd, 2> watched{{{fd, POLLIN, 0}, {end_.get(), POLLIN, 0}}};
    ::poll(watched.data(), watched.size(), -1);
    return watched[1].revents == 0;
  }
  void serve() {
    while (readable(listener_.get())) {
      const Fd driver(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      hq::Request request{};
      while (readable(driver.get()) && ::recv(driver.get(), &request, sizeof request, 0) == sizeof request) {
        answer(driver.get(), static_cast<hq::Op>(request.op) == hq::Op::hello);
      }
    }
  }
  void answer(int driver, bool hello) {
    hq::Reply reply{};
    reply.magic = hello ? hq::kMagic : later_magic_;
    reply.version = hq::kVersion;
    std::vector<int> fds;
    std::array<Fd, kQueues + 1> events;
    if (hello) {
      reply.queues = kQueues;
      reply.entries = hq::kEntries;
      reply.entry_bytes = sizeof(hq::Entry);
      reply.max_frame = hq::kMaxFrame;
      reply.features = ~0U;
      reply.rules = ~0U;
      reply.memory_bytes = hq::memory_bytes(kQueues);
      fds.push_back(file_.get());
      for (Fd& event : events) {
        event = Fd(::eventfd(0, EFD_CLOEXEC));
        fds.push_back(event.get());
      }
      if (lie_) lie_(reply, fds);
    }
    iovec data{&reply, sizeof reply};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(64 * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
      message.msg_control = control.data();
      message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
      cmsghdr* const head = CMSG_FIRSTHDR(&message);
      head->cmsg_level = SOL_SOCKET;
      head->cmsg_type = SCM_RIGHTS;
      head->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
      std::memcpy(CMSG_DATA(head), fds.data(), fds.size() * sizeof(int));
    }
    static_cast<void>(::sendmsg(driver, &message, MSG_NOSIGNAL));
  }

  Lie lie_;
  std::uint32_t later_magic_;
  std::string path_;
  Fd listener_, end_, file_;
  slot::Mapping mapping_;
  std::thread thread_;
};

TEST(HostileCard, IsRefusedWhenItsQueuesAreOfAnotherForm) {
  const auto refused = [](const LyingCard::Lie& lie) {
    const LyingCard card(lie);
    return !opens("path=" + card.path());
  };
  EXPECT_FALSE(refused({})) << "an honest one is taken";
  using Fds = std::vector<int>;
  EXPECT_TRUE(refused([](hq::Reply& r, Fds&) { r.magic = 1; }));
  EXPECT_TRUE(refused([](hq::Reply& r, Fds&) { r.version = 2; }));
  EXPECT_TRUE(refused([](hq::Reply& r, Fds&) { r.status = 13; }));
  EXPECT_TRUE(refused([](hq::Reply& r, Fds&) { r.queues = kQueues + 1; }));
  EXPECT_TRUE(refused([](hq::Reply& r, Fds&) { r.entries = 2 * hq::kEntries; }));
  EXPECT_TRUE(refused([](hq::Reply& r, Fds&) { r.entry_bytes = 64; }));
  EXPECT_TRUE(refused([](hq::Reply& r, Fds&) { r.max_frame = 65536; }));
  EXPECT_TRUE(refused([](hq::Reply& r, Fds&) { r.memory_bytes = 4096; }));
  EXPECT_TRUE(refused([](hq::Reply&, Fds& fds) { fds.clear(); }));
  EXPECT_TRUE(refused([](hq::Reply&, Fds& fds) { fds.pop_back(); }));
  EXPECT_TRUE(refused([](hq::Reply&, Fds& fds) { fds.resize(40, fds[1]); }));
  EXPECT_TRUE(refused([](hq::Reply&, Fds& fds) { std::swap(fds[0], fds[1]); }));
  const Fd open_file(::memfd_create("slotwire-not-sealed", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(open_file.get(), static_cast<off_t>(hq::memory_bytes(kQueues))), 0);
  EXPECT_TRUE(refused([&](hq::Reply&, Fds& fds) { fds[0] = open_file.get(); })) << "it can shrink";
  const Fd small = slot::create_sealed_file("slotwire-small", 4096);
  EXPECT_TRUE(refused([&](hq::Reply&, Fds& fds) { fds[0] = small.get(); }));
}

TEST(HostileCard, LengthsAreChecked) {
  LyingCard card;
  const PmdPort port(card.path());
  constexpr std::byte kGood{0x42};
  for (const std::uint32_t length : {0U, 13U, hq::kMaxFrame + 1, 0x8000'0000U, ~0U}) card.give(length, std::byte{1});
  card.give(100, kGood);
  card.give(hq::kMaxFrame, kGood);
  for (const std::size_t length : {std::size_t{100}, std::size_t{hq::kMaxFrame}}) {
    rte_mbuf* const frame = port.wait(0);
    ASSERT_NE(frame, nullptr);
    EXPECT_EQ(bytes_of(frame), Frame(length, kGood));
    ::rte_pktmbuf_free(frame);
  }
  EXPECT_EQ(port.stats().ierrors, 5U);
  EXPECT_EQ(port.stats().ipackets, 2U);
}

TEST(HostileCard, ARingWhosePositionsCannotBeIsNotUsedAnyMore) {
  LyingCard card;
  const PmdPort port(card.path());
  card.memory.ring(1, false).produced = 0x7000'0000;
  EXPECT_TRUE(port.take(1).empty());
  card.memory.ring(1, false).produced = 1;
  EXPECT_TRUE(port.take(1).empty());
  EXPECT_EQ(port.stats().ierrors, 1U);
  card.give(60, std::byte{7});
  rte_mbuf* const frame = port.wait(0);
  ASSERT_NE(frame, nullptr) << "another queue goes on";
  ::rte_pktmbuf_free(frame);
  card.memory.ring(2, true).consumed = 5;
  rte_mbuf* const refused = ::rte_pktmbuf_alloc(port.pool());
  ASSERT_NE(::rte_pktmbuf_append(refused, 60), nullptr);
  rte_mbuf* out[] = {refused};
  EXPECT_EQ(::rte_eth_tx_burst(port.id(), 2, out, 1), 0);
  ::rte_pktmbuf_free(refused);
  EXPECT_EQ(port.stats().oerrors, 1U);
  EXPECT_TRUE(port.send(Frame(60), 3));
}

TEST(HostileCard, AnAnswerThatIsNoneEndsTheConnection) {
  const LyingCard card({}, 0x1234);
  EXPECT_THROW(PmdPort port(card.path()), std::runtime_error);
}

// ---- a driver that lies to the simulated card

Fd raw_driver(const std::string& path) {
  Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  path.copy(at.sun_path, sizeof at.sun_path - 1);
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
  return fd;
}

/// The card's answer to `request`; nothing: the connection ended.
std::optional<std::uint32_t> ask(const Fd& card, const void* request, std::size_t bytes) {
  if (::send(card.get(), request, bytes, MSG_NOSIGNAL) < 0) return std::nullopt;
  pollfd readable{card.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&readable, 1, SimCard::kPatienceMs), 1);
  hq::Reply reply{};
  if (::recv(card.get(), &reply, sizeof reply, 0) != sizeof reply) return std::nullopt;
  return reply.status;
}

std::optional<std::uint32_t> ask(const Fd& card, hq::Op op, std::uint32_t index, std::uint32_t max_frame = 0) {
  hq::Request request{};
  request.op = static_cast<std::uint32_t>(op);
  request.index = index;
  request.max_frame = max_frame;
  return ask(card, &request, sizeof request);
}

/// Frames go both ways over a port of a good driver.
void works(const SimCard& card) {
  const PmdPort port(card.queues());
  const Frame frame = make({});
  ASSERT_TRUE(card.send(frame));
  rte_mbuf* const mbuf = port.wait(0);
  ASSERT_NE(mbuf, nullptr);
  EXPECT_EQ(bytes_of(mbuf), frame);
  ::rte_pktmbuf_free(mbuf);
  ASSERT_TRUE(port.send(frame));
  EXPECT_EQ(card.receive(), frame);
}

TEST(HostileDriver, RequestsAreChecked) {
  const SimCard card;
  {
    const Fd driver = raw_driver(card.queues());
    EXPECT_EQ(ask(driver, hq::Op::set, 0), std::uint32_t{EPROTO}) << "before hello";
    EXPECT_EQ(ask(driver, hq::Op::hello, 0), std::uint32_t{EINVAL});
    EXPECT_EQ(ask(driver, hq::Op::hello, hq::kMaxQueues + 1), std::uint32_t{EINVAL});
    EXPECT_EQ(ask(driver, hq::Op::hello, ~0U), std::uint32_t{EINVAL});
    EXPECT_EQ(ask(driver, hq::Op::hello, 2), 0U);
    EXPECT_EQ(ask(driver, hq::Op::hello, 2), std::uint32_t{EINVAL}) << "once";
    EXPECT_EQ(ask(driver, hq::Op::set, 3), std::uint32_t{EINVAL});
    EXPECT_EQ(ask(driver, hq::Op::set, 2, hq::kMaxFrame + 1), std::uint32_t{EINVAL});
    EXPECT_EQ(ask(driver, hq::Op::rule, 16), std::uint32_t{EINVAL});
    EXPECT_EQ(ask(driver, hq::Op::default_rule, 2), std::uint32_t{EINVAL});
    EXPECT_EQ(ask(driver, static_cast<hq::Op>(77), 0), std::uint32_t{EOPNOTSUPP});
    hq::Request ones{};
    std::memset(&ones, 0xff, sizeof ones);
    ones.op = static_cast<std::uint32_t>(hq::Op::rule);
    ones.index = 3;
    EXPECT_EQ(ask(driver, &ones, sizeof ones), 0U) << "a rule of nonsense is no rule";
    EXPECT_EQ(ask(driver, &ones, sizeof ones - 1), std::nullopt);
  }
  {
    const Fd driver = raw_driver(card.queues());
    const std::array<std::byte, 4096> junk{};
    EXPECT_EQ(ask(driver, junk.data(), junk.size()), std::nullopt);
  }
  EXPECT_TRUE(card.alive());
  works(card);
}

TEST(HostileDriver, FramesAreChecked) {
  const SimCard card;
  QueueClient driver(card.queues(), 2);
  ASSERT_EQ(driver.set(2, hq::kRunning, hq::kMaxFrame, {}), 0);
  hq::Ring& ring = driver.memory().ring(1, true);
  std::uint32_t produced = 0;
  const auto put = [&](std::uint32_t length, const std::function<void(hq::Entry&)>& lie = {}) {
    hq::Entry& entry = driver.memory().entry(1, true, produced);
    entry.length = length;
    entry.flags = 0;
    if (lie) lie(entry);
    ring.produced = ++produced;
    driver.kick();
  };
  for (const std::uint32_t length : {0U, 13U, hq::kMaxFrame + 1, ~0U}) put(length);
  put(60, [](hq::Entry& e) { e.flags = hq::kMakeIp, e.ip_at = 41, e.ip_bytes = 20; });
  put(60, [](hq::Entry& e) { e.flags = hq::kMakeIp, e.ip_at = 14, e.ip_bytes = 11; });
  put(60, [](hq::Entry& e) { e.flags = hq::kMakeIp, e.ip_at = 0xffff, e.ip_bytes = 0xffff; });
  put(60, [](hq::Entry& e) { e.flags = hq::kMakeL4, e.l4_at = 34, e.checksum_at = 59; });
  put(60, [](hq::Entry& e) { e.flags = hq::kMakeL4, e.l4_at = 34, e.checksum_at = 33; });
  put(60, [](hq::Entry& e) { e.flags = hq::kMakeL4, e.l4_at = 0xffff, e.checksum_at = 0xffff; });
  const std::uint32_t bad = produced;
  const Frame good = make({});
  put(static_cast<std::uint32_t>(good.size()),
      [&](hq::Entry& e) { std::copy(good.begin(), good.end(), e.frame.begin()); });
  EXPECT_EQ(card.receive(), good);
  EXPECT_EQ(ring.dropped, bad);
  EXPECT_TRUE(driver.link_up());
}

TEST(HostileDriver, PositionsThatCannotBeEndItsConnection) {
  const SimCard card;
  {
    QueueClient driver(card.queues(), 2);
    ASSERT_EQ(driver.set(2, hq::kRunning | hq::kPromiscuous, hq::kMaxFrame, {}), 0);
    // Of received frames: there is no room, for its own frames alone.
    driver.memory().ring(0, false).consumed = 0x7000'0000;
    ASSERT_TRUE(card.send(make({})));
    ASSERT_TRUE(until([&] { return driver.memory().ring(0, false).dropped == 1; }));
    EXPECT_TRUE(driver.link_up());
    driver.memory().ring(1, true).produced = hq::kEntries + 1;
    driver.kick();
    ASSERT_TRUE(until([&] { return !driver.link_up(); }));
    EXPECT_EQ(driver.set(2, 0, 0, {}), -EIO);
  }
  EXPECT_TRUE(card.alive());
  works(card);
}

}  // namespace
}  // namespace slotwire::test
