// Datagrams of no use in masses: who sends them gets little service, links none the less. Time is simulated.
#include <gtest/gtest.h>

#include <linux/udp.h>
#include <sys/timerfd.h>

#include <filesystem>

#include "core/carriers/udp.hpp"
#include "harness.hpp"

namespace slotwire::test {
namespace {

using carriers::Address;
using carriers::Fd;
using carriers::FloodWatch;
using carriers::UdpCarrier;
using carriers::UdpOptions;

constexpr std::uint16_t kHonest = 1, kEvil = 2;
constexpr std::size_t kCrowd = UdpCarrier::kCrowdFrames;

struct Sender {
  explicit Sender(const char* bind) : socket(carriers::bound_socket(Address::parse(bind), SOCK_DGRAM)) {}
  Fd socket;
  Address address = Address::bound_to(socket.get());
};

class UdpFlood : public testing::TestWithParam<const char*> {
 protected:
  UdpFlood() {
    carrier_.add_link(kHonest, honest_.address);
    carrier_.add_link(kEvil, evil_.address);
    sink_.useless = [](std::uint16_t link) { return link == kEvil; };
    poll();
  }
  static UdpOptions options() {
    UdpOptions result;
    result.bind = Address::parse(GetParam());
    return result;
  }
  void send(const Sender& from, std::size_t frames) {
    const Address to = carrier_.local_address();
    for (std::size_t i = 0; i < frames; ++i) {
      ASSERT_EQ(::sendto(from.socket.get(), frame_.data(), frame_.size(), 0, to.data(), to.size()),
                static_cast<ssize_t>(frame_.size()));
    }
  }
  std::size_t poll(std::size_t most = 1000) { return carrier_.poll(now_us_, most, sink_); }
  void pass(std::uint64_t us) {
    now_us_ += us;
    poll();
  }
  /// `frames` useless ones within a window, no more at a time than a small buffer holds.
  void flood(const Sender& from, std::size_t frames) {
    const std::uint64_t end = now_us_ + FloodWatch::kWindowUs;
    for (std::size_t sent = 0; sent < frames; sent += 100) {
      send(from, 100);
      pass(UdpCarrier::kCrowdUs);
    }
    pass(end - now_us_);
  }
  void begin() {
    flood(stranger_, 1500);
    ASSERT_EQ(carrier_.counters().rx_floods, 1U);
    sink_.forget_frames();
  }
  std::size_t got(std::uint16_t link) { return sink_.frames[link].size(); }
  static std::size_t descriptors() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
    return count;
  }

  const Bytes frame_ = Bytes(regs::kHeaderBytes + regs::kLineBytes);
  UdpCarrier carrier_{options()};
  Sender honest_{GetParam()}, evil_{GetParam()}, stranger_{GetParam()};
  Recorder sink_;
  std::uint64_t now_us_ = 1'000'000'000;
};

TEST_P(UdpFlood, ALinkIsServedBeforeWhatStrangersSentEarlier) {
  begin();
  send(stranger_, 200);
  send(honest_, 5);
  poll(64);
  EXPECT_EQ(got(kHonest), 5U);
}

TEST_P(UdpFlood, StrangersGetAShareOfEachMillisecond) {
  begin();
  pass(UdpCarrier::kCrowdUs);
  const auto before = carrier_.counters().rx_unknown_peer;
  send(stranger_, 200);
  for (int i = 0; i < 5; ++i) poll();
  EXPECT_EQ(carrier_.counters().rx_unknown_peer, before) << "this millisecond's share was taken before";
  for (std::size_t i = 1; i < 3; ++i) {
    pass(UdpCarrier::kCrowdUs);
    EXPECT_LE(carrier_.counters().rx_unknown_peer, before + i * kCrowd);
  }
  EXPECT_GT(carrier_.counters().rx_unknown_peer, before);
  EXPECT_TRUE(pump({{&carrier_, &sink_}}, [&] { return carrier_.counters().rx_unknown_peer == before + 200; }))
      << "fd() wakes for what is put off";
}

TEST_P(UdpFlood, ALinkFromWhichOnlyUselessFramesComeIsOneOfTheCrowd) {
  begin();
  flood(evil_, 1500);
  sink_.forget_frames();
  poll();
  send(evil_, 200);
  send(honest_, 100);
  now_us_ += UdpCarrier::kCrowdUs;
  for (int i = 0; i < 5; ++i) poll();
  EXPECT_EQ(got(kHonest), 100U);
  EXPECT_LE(got(kEvil), kCrowd);
  // Something of use, and it is served as others are.
  for (int i = 0; i < 5; ++i) pass(UdpCarrier::kCrowdUs);
  sink_.useless = {};
  send(evil_, 1);
  pass(FloodWatch::kWindowUs);
  pass(FloodWatch::kWindowUs);
  sink_.forget_frames();
  send(evil_, 100);
  for (int i = 0; i < 5; ++i) poll();
  EXPECT_EQ(got(kEvil), 100U);
}

TEST_P(UdpFlood, WhatOneMessageHoldsIsCounted) {
  const Address to = carrier_.local_address();
  if (!carriers::set_option(stranger_.socket.get(), IPPROTO_UDP, UDP_SEGMENT, static_cast<int>(frame_.size()))) {
    GTEST_SKIP() << "this kernel has no UDP_SEGMENT";
  }
  const Bytes run(frame_.size() * 60);
  const auto send_runs = [&](int count) {
    for (int i = 0; i < count; ++i) {
      ASSERT_EQ(::sendto(stranger_.socket.get(), run.data(), run.size(), 0, to.data(), to.size()),
                static_cast<ssize_t>(run.size()));
    }
  };
  for (int i = 0; i < 30; ++i) {
    send_runs(1);
    pass(UdpCarrier::kCrowdUs);
  }
  pass(FloodWatch::kWindowUs);
  ASSERT_EQ(carrier_.counters().rx_floods, 1U);
  send_runs(1);
  pass(UdpCarrier::kCrowdUs);
  pass(UdpCarrier::kCrowdUs);
  const auto before = carrier_.counters().rx_unknown_peer;
  send_runs(10);
  pass(UdpCarrier::kCrowdUs);
  EXPECT_LE(carrier_.counters().rx_unknown_peer, before + 2 * kCrowd);
}

TEST_P(UdpFlood, NoMoreThanThePollAskedFor) {
  begin();
  sink_.useless = {};
  send(honest_, 60);
  send(evil_, 60);
  now_us_ += UdpCarrier::kCrowdUs;
  std::size_t all = 0;
  for (std::size_t i = 0; i < 60; ++i) {
    const std::size_t some = poll(7);
    EXPECT_LE(some, 7U);
    all += some;
  }
  EXPECT_EQ(all, 120U);
}

TEST_P(UdpFlood, EndsAfterASecondWithout) {
  const std::size_t before = descriptors();
  begin();
  EXPECT_EQ(descriptors(), before + 2) << "one for each link";
  for (int i = 0; i < 25; ++i) pass(FloodWatch::kWindowUs);
  EXPECT_EQ(descriptors(), before);
  EXPECT_TRUE(settle({{&carrier_, &sink_}}));
  const Fd later(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  itimerspec at{};
  at.it_value.tv_nsec = static_cast<long>(2 * UdpCarrier::kCrowdUs * 1000);
  ASSERT_EQ(::timerfd_settime(later.get(), 0, &at, nullptr), 0);
  pollfd waits{later.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&waits, 1, 20'000), 1);
  EXPECT_FALSE(readable(carrier_.fd())) << "nothing is due any more";
  sink_.forget_frames();
  send(stranger_, 100);
  send(honest_, 100);
  EXPECT_TRUE(pump({{&carrier_, &sink_}}, [&] { return got(kHonest) == 100; }));
  EXPECT_EQ(carrier_.counters().rx_floods, 1U);
}

TEST_P(UdpFlood, AFewUselessFramesAreNone) {
  for (int i = 0; i < 10; ++i) flood(stranger_, 900);
  for (int i = 0; i < 10; ++i) flood(evil_, 900);
  EXPECT_EQ(carrier_.counters().rx_floods, 0U);
  EXPECT_EQ(carrier_.counters().rx_useless, 9000U);
}

TEST_P(UdpFlood, LinksComeAndGoMeanwhile) {
  const std::size_t before = descriptors();
  begin();
  carrier_.remove_link(kHonest);
  EXPECT_EQ(descriptors(), before + 1);
  const auto strangers = carrier_.counters().rx_unknown_peer;
  send(honest_, 1);
  pass(UdpCarrier::kCrowdUs);
  EXPECT_EQ(carrier_.counters().rx_unknown_peer, strangers + 1);
  for (std::size_t i = 0; i < UdpCarrier::kMaxOwnSockets; ++i) {
    carrier_.add_link(kHonest, honest_.address);
    EXPECT_EQ(descriptors(), before + 2);
    carrier_.remove_link(kHonest);
  }
  carrier_.add_link(kHonest, honest_.address);
  send(stranger_, 200);
  send(honest_, 5);
  poll(64);
  EXPECT_EQ(got(kHonest), 5U);
}

TEST_P(UdpFlood, NobodyElseCanHaveThePort) {
  UdpOptions same = options();
  same.bind = carrier_.local_address();
  begin();
  EXPECT_THROW(UdpCarrier{same}, std::system_error);
  const Fd other(::socket(same.bind.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ASSERT_TRUE(carriers::set_option(other.get(), SOL_SOCKET, SO_REUSEADDR, 1));
  EXPECT_NE(::bind(other.get(), same.bind.data(), same.bind.size()), 0) << "not by asking for it either";
  for (int i = 0; i < 25; ++i) pass(FloodWatch::kWindowUs);
  EXPECT_THROW(UdpCarrier{same}, std::system_error);
}

INSTANTIATE_TEST_SUITE_P(CarrierUdp, UdpFlood, testing::Values("127.0.0.1:0", "[::1]:0"), [](const auto& info) {
  return std::string(info.param).find(']') == std::string::npos ? "v4" : "v6";
});

}  // namespace
}  // namespace slotwire::test
