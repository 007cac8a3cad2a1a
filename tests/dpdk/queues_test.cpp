// Several queues of a port: threads, hand-over, and what the first queue tells the others.
#include <gtest/gtest.h>
#include <sched.h>

#include <functional>
#include <stdexcept>
#include <string_view>
#include <thread>

#include "carrier/harness.hpp"
#include "core/carriers/dpdk/port.hpp"
#include "ports.hpp"
#include "queue_stress.hpp"
#include "queues_as_one.hpp"
#include "steering_frames.hpp"

namespace slotwire::test {
namespace {

using carriers::Address;
using carriers::DpdkCarrier;

/// Runs one queue in a thread, which sleeps on its descriptor, until it is told to stop.
class Runner {
 public:
  Runner(DpdkCarrier& port, std::size_t queue) : port_(port), queue_(queue), thread_([this] { run(); }) {}
  ~Runner() { stop(); }
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;
  void stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  std::atomic<int> ups{0}, downs{0};
  std::atomic<std::uint64_t> frames{0};
  /// Frames for its slots, of link 0, that it sends as soon as it may.
  std::atomic<int> to_send{0};

 private:
  struct Sink final : carriers::FrameSink {
    explicit Sink(Runner& owner) : runner(owner) {}
    bool on_frame(std::uint16_t, std::span<const std::byte>) override {
      ++runner.frames;
      return true;
    }
    void on_link(std::uint16_t, bool up, std::string_view) override { ++(up ? runner.ups : runner.downs); }
    Runner& runner;
  };
  void run() {
    port_.enter(queue_);
    carriers::Carrier& carrier = port_.queue(queue_);
    Sink sink(*this);
    constexpr int kLookMs = 5;  // so long stop() may go unnoticed
    while (!stop_) {
      pollfd entry{carrier.fd(), POLLIN, 0};
      if (::poll(&entry, 1, kLookMs) > 0) carrier.poll(now_us(), 32, sink);
      while (to_send > 0 && carrier.room(0) != 0) {
        pipeline::TxFrame frame{};
        pipeline::Header header;
        header.dst_slot = static_cast<std::uint16_t>(queue_);
        pipeline::encode(header, frame.header);
        carrier.send({&frame, 1});
        --to_send;
      }
    }
  }

  DpdkCarrier& port_;
  std::size_t queue_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

bool wait_for(const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

class DpdkQueues : public testing::Test {
 protected:
  void stress(Wire wire, bool told) {
    if (const std::string missing = lacks_ports(wire); !missing.empty()) GTEST_SKIP() << missing;
    const auto a = carriers::open_dpdk(port_options(0, wire, 2)), b = carriers::open_dpdk(port_options(1, wire, 2));
    ASSERT_EQ(a->queues(), 2U);
    ASSERT_EQ(b->queues(), 2U);
    const auto ports = [told](const DpdkCarrier& of, const DpdkCarrier& by) {
      return told ? of.ports(by.local_address()) : std::vector<std::uint16_t>{};
    };
    a->add_link(0, b->local_address(), ports(*b, *a));
    b->add_link(0, a->local_address(), ports(*a, *b));
    EXPECT_TRUE(QueueStress(*a, *b, 2000).run());
    for (const DpdkCarrier* const port : {a.get(), b.get()}) {
      const carriers::DpdkPort figures = port->port();
      EXPECT_GT(figures.handed_out, 0U);
      EXPECT_EQ(figures.handed_in, figures.handed_out);
      EXPECT_EQ(figures.hand_over_dropped, 0U);
    }
  }
};

TEST_F(DpdkQueues, ThreadsHandOverWhatIsNotTheirsOnAfPacket) {
  stress(Wire::af_packet, false);
}

TEST_F(DpdkQueues, ThreadsHandOverWhatIsNotTheirsOnVhost) {
  stress(Wire::vhost, true);
}

TEST_F(DpdkQueues, APortThatIsLostIsLeftByAllThreadsAndComesBack) {
  if (const std::string missing = lacks_ports(Wire::vhost); !missing.empty()) GTEST_SKIP() << missing;
  auto vhost = carriers::open_dpdk(port_options(0, Wire::vhost, 2));
  const auto user = carriers::open_dpdk(port_options(1, Wire::vhost, 2));
  user->add_link(0, vhost->local_address());
  Runner first(*user, 0), second(*user, 1);
  for (int round = 1; round <= 2; ++round) {
    vhost->add_link(0, user->local_address());
    std::unique_ptr<Runner> others[2];
    for (std::size_t i = 0; i < 2; ++i) others[i] = std::make_unique<Runner>(*vhost, i);
    ASSERT_TRUE(wait_for([&] { return first.ups == round && second.ups == round && others[1]->ups == 1; }))
        << first.ups << " and " << second.ups << " times up in round " << round;
    // Traffic on both queues, both ways, until the port goes: then what is under way is lost.
    for (Runner* const runner : {&first, &second, others[0].get(), others[1].get()}) runner->to_send = 50;
    ASSERT_TRUE(wait_for([&] { return second.frames > 0 && others[1]->frames > 0; }))
        << second.frames << " and " << others[1]->frames << " frames arrived in round " << round
        << "; left to send: " << second.to_send << " and " << others[1]->to_send;
    second.to_send = 1'000'000;
    for (auto& other : others) other.reset();
    vhost.reset();
    ASSERT_TRUE(wait_for([&] { return first.downs == round && second.downs == round; }))
        << first.downs << " and " << second.downs << " times down in round " << round;
    second.to_send = 0;
    second.frames = 0;
    vhost = carriers::open_dpdk(port_options(0, Wire::vhost, 2));
  }
}

TEST_F(DpdkQueues, ArpIsAnsweredWhicheverQueueItArrivesAt) {
  if (const std::string missing = lacks_ports(Wire::af_packet); !missing.empty()) GTEST_SKIP() << missing;
  constexpr std::size_t kQueues = 4;  // where the kernel puts ARP is the same at all times, and seldom queue 0
  const auto carrier = carriers::open_dpdk(port_options(0, Wire::af_packet, kQueues));
  QueuesAsOne all(*carrier);
  Recorder sink;
  carrier->add_link(3, Address::parse(kPeerText));
  ASSERT_TRUE(put_on_wire(0, arp(kPeer.ip, endpoint_of(*carrier, 0).ip)));
  ASSERT_TRUE(pump({{&all, &sink}}, [&] { return sink.is_up(3); }));
  EXPECT_EQ(carrier->port().arp_answered, 1U);
  RecordProperty("handed_over", static_cast<int>(carrier->port().handed_out));
  // Every queue has the link; a frame for each of its slots comes in at the queue of that slot.
  for (std::uint16_t slot = 0; slot < 4 * kQueues; ++slot) {
    Bytes frame = datagram(endpoint_of(*carrier, 0));
    put(frame, pipeline::kCarrierBytes + regs::kHdrDstSlot, slot, 2);
    ASSERT_TRUE(put_on_wire(0, frame));
  }
  ASSERT_TRUE(pump({{&all, &sink}}, [&] { return sink.count == 4 * kQueues; }));
  // Frames for the other ports that it asks for are its own, too, and those behind are not.
  Endpoint port = endpoint_of(*carrier, 0);
  port.port = static_cast<std::uint16_t>(port.port + kQueues - 1);
  ASSERT_TRUE(put_on_wire(0, datagram(port)));
  ASSERT_TRUE(pump({{&all, &sink}}, [&] { return sink.count == 4 * kQueues + 1; }));
  const std::uint64_t other = carrier->port().rx_other;
  ++port.port;
  ASSERT_TRUE(put_on_wire(0, datagram(port)));
  const auto end = std::chrono::steady_clock::now() + kPatience;
  // A frame that is not the port's own wakes nobody: the queues are looked at all the same.
  while (carrier->port().rx_other == other && std::chrono::steady_clock::now() < end) all.hear();
  EXPECT_EQ(carrier->port().rx_other, other + 1);
}

TEST_F(DpdkQueues, HandOverHasALimitAndWhatIsAboveItIsCounted) {
  if (const std::string missing = lacks_ports(Wire::af_packet); !missing.empty()) GTEST_SKIP() << missing;
  const auto carrier = carriers::open_dpdk(port_options(0, Wire::af_packet, 2));
  QueuesAsOne all(*carrier);
  Recorder sink;
  carrier->add_link(3, Address::parse(kPeerText));
  ASSERT_TRUE(put_on_wire(0, arp(kPeer.ip, endpoint_of(*carrier, 0).ip)));
  ASSERT_TRUE(pump({{&all, &sink}}, [&] { return sink.is_up(3); }));
  // One queue alone is polled; which one gets the frames of a peer the kernel chooses.
  const auto one = [&](std::uint16_t slot) {
    Bytes frame = datagram(endpoint_of(*carrier, 0));
    put(frame, pipeline::kCarrierBytes + regs::kHdrDstSlot, slot, 2);
    return put_on_wire(0, frame);
  };
  const std::uint64_t handed = carrier->port().handed_out;
  ASSERT_TRUE(one(0));
  ASSERT_TRUE(pump({{&all, &sink}}, [&] { return sink.count == 1; }));
  const std::size_t arrives = carrier->port().handed_out == handed ? 0 : 1;
  constexpr std::uint64_t kFrames = 400;  // more than may wait
  std::uint64_t sent = 0;
  const auto end = std::chrono::steady_clock::now() + kPatience;
  const std::uint64_t before = carrier->port().handed_out;
  const auto passed = [&] { return carrier->port().handed_out - before + carrier->port().hand_over_dropped; };
  while (passed() < kFrames && std::chrono::steady_clock::now() < end) {
    if (sent < kFrames && sent - passed() < 64) {
      ASSERT_TRUE(one(static_cast<std::uint16_t>(1 - arrives)));
      ++sent;
    }
    carrier->queue(arrives).poll(now_us(), 64, sink);
  }
  EXPECT_EQ(sink.count, 1U);
  const carriers::DpdkPort port = carrier->port();
  EXPECT_EQ(port.handed_out - before, carriers::kHandOverFrames);
  EXPECT_EQ(port.hand_over_dropped, kFrames - carriers::kHandOverFrames);
  ASSERT_TRUE(pump({{&all, &sink}}, [&] { return sink.count == 1 + carriers::kHandOverFrames; }));
}

TEST_F(DpdkQueues, ThreadsAreBoundToTheirCpus) {
  if (const std::string missing = lacks_ports(Wire::af_packet); !missing.empty()) GTEST_SKIP() << missing;
  cpu_set_t own;
  ASSERT_EQ(::sched_getaffinity(0, sizeof own, &own), 0);
  unsigned cpu = 0;
  while (!CPU_ISSET(cpu, &own)) ++cpu;
  carriers::DpdkOptions options = port_options(0, Wire::af_packet, 2);
  options.queue_cpus = {cpu, cpu};
  const auto carrier = carriers::open_dpdk(options);
  for (const std::size_t queue : {0U, 1U}) {
    std::thread([&carrier, cpu, queue] {
      carrier->enter(queue);
      cpu_set_t bound;
      EXPECT_EQ(::sched_getaffinity(0, sizeof bound, &bound), 0);
      EXPECT_EQ(CPU_COUNT(&bound), 1);
      EXPECT_TRUE(CPU_ISSET(cpu, &bound));
    }).join();
  }
  options.queue_cpus = {cpu};
  EXPECT_THROW(carriers::open_dpdk(options), std::invalid_argument) << "one CPU for two queues";
  options.queue_cpus.clear();
  options.queues = carriers::kMaxDpdkQueues + 1;
  EXPECT_THROW(carriers::open_dpdk(options), std::invalid_argument);
  options.queues = 2;
  options.address = Address::parse("10.77.0.1:65535");
  EXPECT_THROW(carriers::open_dpdk(options), std::invalid_argument) << "the second port would be 65536";
}

}  // namespace
}  // namespace slotwire::test
