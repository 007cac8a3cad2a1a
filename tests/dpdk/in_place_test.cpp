// Lines that are sent from where they are (dpdk.zero_copy): what becomes of them when the port does not take them, when
// somebody writes to them, and with which drivers.
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "carrier/harness.hpp"
#include "core/pipeline/frame.hpp"
#include "forgetful.hpp"
#include "ports.hpp"

namespace slotwire::test {
namespace {

constexpr std::uint16_t kLink = 3;
constexpr std::size_t kLines = 22;
/// The port has fewer descriptors than frames are sent; what it does not take waits.
constexpr std::uint32_t kDescriptors = 64;
constexpr std::size_t kOutput = 512;

/// A port that sends lines from where they are, and one that receives.
struct Wired {
  explicit Wired(Wire wire) {
    carriers::DpdkOptions sending = port_options(0, wire), receiving = port_options(1, wire);
    sending.zero_copy = carriers::ZeroCopy::on;
    sending.tx_descriptors = receiving.rx_descriptors = kDescriptors;
    sending.output_frames = kOutput;
    from = carriers::open_dpdk(sending);
    to = carriers::open_dpdk(receiving);
    from->add_link(kLink, to->local_address());
    to->add_link(kLink, from->local_address());
  }
  std::vector<Side> both() { return {{from.get(), &from_sink}, {to.get(), &to_sink}}; }
  bool up() {
    return pump(both(), [&] { return from_sink.is_up(kLink) && to_sink.is_up(kLink); });
  }

  Recorder from_sink, to_sink;
  std::unique_ptr<carriers::DpdkCarrier> from, to;
};

class LinesInPlace : public testing::TestWithParam<Wire> {
 protected:
  void SetUp() override {
    if (const std::string missing = lacks_ports(GetParam()); !missing.empty()) GTEST_SKIP() << missing;
  }
};

std::string wire_name(const testing::TestParamInfo<Wire>& info) {
  return info.param == Wire::vhost ? "vhost" : "af_packet";
}

INSTANTIATE_TEST_SUITE_P(Dpdk, LinesInPlace, testing::Values(Wire::vhost, Wire::af_packet), wire_name);

using LinesInPlaceOnVhost = LinesInPlace;
INSTANTIATE_TEST_SUITE_P(Dpdk, LinesInPlaceOnVhost, testing::Values(Wire::vhost), wire_name);

/// Nobody takes frames out of the port: those behind wait in the carrier, and their lines are gone by then.
TEST_P(LinesInPlaceOnVhost, WhatThePortDoesNotTakeAtOnceIsCopiedBeforeTheLinesGo) {
  Wired wired(GetParam());
  ASSERT_TRUE(wired.up());
  Forgetful sender(*wired.from);
  Frames frames;
  for (int i = 0; i < 400; ++i) frames.add(kLink, i % 3 == 0 ? 0 : kLines * regs::kLineBytes);
  sender.send(frames.list());
  ASSERT_EQ(wired.from->counters().tx_dropped, 0U);
  ASSERT_LT(wired.from->room(kLink), kOutput - 100) << "the port took them all: nothing waits";
  ASSERT_TRUE(pump(wired.both(), [&] { return wired.to_sink.count == 400; }));
  EXPECT_EQ(wired.to_sink.frames, frames.expected);
}

TEST_P(LinesInPlaceOnVhost, APortThatIsLostOrClosedWhileFramesWaitLeavesNothingBehind) {
  for (const bool lost : {true, false}) {
    Wired wired(GetParam());
    ASSERT_TRUE(wired.up());
    Forgetful sender(*wired.from);
    Frames frames;
    for (int i = 0; i < 400; ++i) frames.add(kLink, kLines * regs::kLineBytes);
    sender.send(frames.list());
    ASSERT_LT(wired.from->room(kLink), kOutput - 100) << "the port took them all: nothing waits";
    if (lost) {
      wired.to.reset();
      ASSERT_TRUE(pump({{wired.from.get(), &wired.from_sink}}, [&] { return !wired.from_sink.is_up(kLink); }));
    } else {
      wired.from.reset();
    }
  }
}

/// A process that writes to lines that it shares with this one, all the time.
class Hostile {
 public:
  static constexpr std::size_t kBytes = kLines * regs::kLineBytes;

  Hostile() {
    void* const memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error("no memory for a test");
    lines_ = static_cast<std::byte*>(memory);
    child_ = ::fork();
    if (child_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    auto* const words = reinterpret_cast<volatile std::uint64_t*>(lines_);
    for (std::uint64_t n = 1;; ++n) {
      for (std::size_t i = 0; i < kBytes / sizeof n; ++i) words[i] = n;
    }
  }
  ~Hostile() {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    ::munmap(lines_, kBytes);
  }
  Hostile(const Hostile&) = delete;
  Hostile& operator=(const Hostile&) = delete;
  std::span<const std::byte> lines() const { return {lines_, kBytes}; }

 private:
  std::byte* lines_ = nullptr;
  pid_t child_ = -1;
};

/// A slot whose process writes to its lines all the time, beside one whose process does not.
TEST_P(LinesInPlace, WhoWritesToHisLinesWhileTheyAreSentHarmsHimselfAlone) {
  const Hostile hostile;
  Wired wired(GetParam());
  ASSERT_TRUE(wired.up());
  constexpr std::size_t kBytes = Hostile::kBytes;
  constexpr int kFrames = 20'000;
  const std::vector<std::byte> honest(kBytes, std::byte{0x5a});
  // Each takes only what is its own to judge, as a pipeline does: by the CRC.
  struct Judge final : carriers::FrameSink {
    bool on_frame(std::uint16_t, std::span<const std::byte> frame) override {
      take(frame);
      return true;
    }
    void take(std::span<const std::byte> frame) {
      ASSERT_EQ(frame.size(), regs::kHeaderBytes + kBytes);
      const auto bytes = frame.first<regs::kHeaderBytes>();
      const pipeline::Header header = pipeline::decode(bytes);
      ASSERT_LT(header.src_slot, 2);
      ++came[header.src_slot];
      if (header.crc == pipeline::frame_crc(bytes, frame.subspan(regs::kHeaderBytes))) ++good[header.src_slot];
    }
    void on_link(std::uint16_t, bool, std::string_view) override {}
    int came[2] = {0, 0}, good[2] = {0, 0};
  } judge;
  const auto end = std::chrono::steady_clock::now() + kPatience;
  // Until both were at work at the same time, which takes longer on a machine that has other things to do.
  for (int sent = 0; sent < kFrames || (judge.good[0] == judge.came[0] && std::chrono::steady_clock::now() < end);) {
    std::array<pipeline::TxFrame, 32> burst;
    for (std::uint16_t i = 0; i < burst.size(); ++i, ++sent) {
      pipeline::TxFrame& frame = burst[i];
      frame.link = kLink;
      const bool bad = i % 2 == 0;
      frame.payload = bad ? hostile.lines() : std::span(honest);
      pipeline::Header header;
      header.type = regs::FrameType::data;
      header.src_slot = bad ? 0 : 1;
      pipeline::encode(header, frame.header);
      header.crc = pipeline::frame_crc(frame.header, frame.payload);
      pipeline::encode(header, frame.header);
    }
    wired.from->send(burst);
    while (wired.to->poll(now_us(), 64, judge) != 0) {
    }
    wired.from->poll(now_us(), 64, wired.from_sink);
  }
  const int all = static_cast<int>(wired.from->counters().tx_frames);
  while (judge.came[0] + judge.came[1] < all * 9 / 10 && std::chrono::steady_clock::now() < end) {
    wired.to->poll(now_us(), 64, judge);
    wired.from->poll(now_us(), 64, wired.from_sink);
  }
  std::printf("%d frames of the hostile slot, %d of them whole; %d of the other one\n", judge.came[0], judge.good[0],
              judge.came[1]);
  EXPECT_GT(judge.came[1], 1000);
  EXPECT_EQ(judge.good[1], judge.came[1]) << "the other slot was harmed";
  EXPECT_LT(judge.good[0], judge.came[0]) << "nothing was written to while it was under way: the test shows nothing";
  EXPECT_EQ(wired.to->counters().rx_malformed, 0U);
}

/// net_tap: what the kernel gets out of the interface.
TEST(LinesInPlaceOnTap, LinesArriveWholeAtTheKernel) {
  if (const std::string missing = lacks_ports(Wire::af_packet); !missing.empty()) GTEST_SKIP() << missing;
  carriers::DpdkOptions options = port_options(0);
  options.device = "net_tap0,iface=tap0";
  options.zero_copy = carriers::ZeroCopy::on;
  const auto carrier = carriers::open_dpdk(options);
  EXPECT_EQ(carrier->port().driver, "net_tap");
  const carriers::Fd wire(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL)));
  sockaddr_ll at{};
  at.sll_family = AF_PACKET;
  at.sll_protocol = htons(ETH_P_ALL);
  at.sll_ifindex = static_cast<int>(::if_nametoindex("tap0"));
  ASSERT_EQ(::bind(wire.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
  const pipeline::Endpoint peer{0x0200'0000'0099, 0x0a4d'0002, 7401};
  carrier->add_link(kLink, carriers::Address::parse("10.77.0.2:7401"));
  Recorder sink;
  const auto answer = arp_of_peer(peer, endpoint_of(*carrier, 0), false);
  ASSERT_EQ(::send(wire.get(), answer.data(), answer.size(), 0), static_cast<ssize_t>(answer.size()));
  ASSERT_TRUE(pump({{carrier.get(), &sink}}, [&] { return sink.is_up(kLink); }));
  Forgetful sender(*carrier);
  std::size_t next = 0;
  Frames frames;
  for (int i = 0; i < 60; ++i) frames.add(kLink, i % 23 * regs::kLineBytes);
  for (std::size_t first = 0; first < 60; first += 20) {
    sender.send(frames.list().subspan(first, 20));
    std::vector<std::byte> bytes(2048);
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (next < first + 20 && std::chrono::steady_clock::now() < end) {
      pollfd entry{wire.get(), POLLIN, 0};
      if (::poll(&entry, 1, 1000) <= 0) continue;
      const ssize_t got = ::recv(wire.get(), bytes.data(), bytes.size(), 0);
      if (got <= 0) continue;
      const auto datagram = pipeline::unwrap(peer, std::span(bytes).first(static_cast<std::size_t>(got)));
      if (!datagram) continue;
      const Bytes& expected = frames.expected[kLink][next++];
      ASSERT_TRUE(
          std::equal(datagram->link_frame.begin(), datagram->link_frame.end(), expected.begin(), expected.end()))
          << next;
    }
    ASSERT_EQ(next, first + 20);
  }
}

TEST(LinesInPlaceRefused, DriversThatAreNotKnownToDoIt) {
  if (const std::string missing = lacks_ports(Wire::vhost); !missing.empty()) GTEST_SKIP() << missing;
  const auto vhost = carriers::open_dpdk(port_options(0, Wire::vhost));
  EXPECT_EQ(vhost->port().zero_copy, "from 32 lines on");
  carriers::DpdkOptions options = port_options(1, Wire::vhost);
  options.zero_copy = carriers::ZeroCopy::on;
  try {
    carriers::open_dpdk(options);
    FAIL() << "net_virtio_user sends from memory that its other end does not know";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("net_virtio_user cannot send lines from where they are"),
              std::string::npos)
        << error.what();
    EXPECT_NE(std::string(error.what()).find("net_af_packet, net_slotwire, net_tap, net_vhost"), std::string::npos)
        << error.what();
  }
  options.zero_copy = carriers::ZeroCopy::automatic;
  EXPECT_EQ(carriers::open_dpdk(options)->port().zero_copy, "off: not with net_virtio_user");
  options = port_options(0, Wire::vhost);
  options.device = "net_vhost7,iface=" + options.device.substr(options.device.find('=') + 1) + "7";
  options.zero_copy = carriers::ZeroCopy::off;
  EXPECT_EQ(carriers::open_dpdk(options)->port().zero_copy, "off");
}

}  // namespace
}  // namespace slotwire::test
