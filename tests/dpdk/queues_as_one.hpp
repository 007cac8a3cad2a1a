// All queues of a port as one carrier, in one thread: for tests that know carriers with one queue.
#pragma once
#include <gtest/gtest.h>
#include <sys/epoll.h>

#include <algorithm>
#include <map>
#include <vector>

#include "carrier/harness.hpp"
#include "core/carriers/dpdk/dpdk.hpp"
#include "core/carriers/socket.hpp"

namespace slotwire::test {

class QueuesAsOne final : public carriers::Carrier {
 public:
  /// A frame is sent from the queue of its destination slot plus `shift`.
  explicit QueuesAsOne(carriers::DpdkCarrier& port, std::size_t shift = 0) : port_(port), shift_(shift) {
    for (std::size_t i = 0; i < port.queues(); ++i) {
      epoll_event event{};
      event.events = EPOLLIN;
      EXPECT_EQ(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, port.queue(i).fd(), &event), 0);
    }
  }

  std::string_view name() const override { return port_.name(); }
  std::size_t lines_per_frame() const override { return port_.lines_per_frame(); }
  std::size_t room(std::uint16_t link) const override {
    std::size_t least = port_.room(link);
    for (std::size_t i = 1; i < port_.queues(); ++i) least = std::min(least, port_.queue(i).room(link));
    return least;
  }
  void send(std::span<const pipeline::TxFrame> frames) override {
    std::vector<std::vector<pipeline::TxFrame>> of_queue(port_.queues());
    for (const auto& frame : frames)
      of_queue[(pipeline::destination_slot(frame.header) + shift_) % of_queue.size()].push_back(frame);
    for (std::size_t i = 0; i < of_queue.size(); ++i) port_.queue(i).send(of_queue[i]);
  }
  std::size_t poll(std::uint64_t now_us, std::size_t max_frames, carriers::FrameSink& sink) override {
    std::size_t taken = 0;
    first_ = (first_ + 1) % port_.queues();
    for (std::size_t i = 0; i < port_.queues() && taken < max_frames; ++i) {
      const std::size_t queue = (first_ + i) % port_.queues();
      if (!readable(port_.queue(queue).fd())) continue;  // as its thread, which would sleep
      Merge merge(*this, queue, sink);
      taken += port_.queue(queue).poll(now_us, max_frames - taken, merge);
    }
    return taken;
  }
  /// Has every queue look at what the first one told it; there is nothing for a sink in it.
  void hear() {
    class Nothing final : public carriers::FrameSink {
      bool on_frame(std::uint16_t, std::span<const std::byte>) override {
        ADD_FAILURE() << "a frame";
        return false;
      }
      void on_link(std::uint16_t, bool, std::string_view reason) override { ADD_FAILURE() << reason; }
    } sink;
    for (std::size_t i = 0; i < port_.queues(); ++i) port_.queue(i).poll(now_us(), 1, sink);
  }
  int fd() const override { return epoll_.get(); }
  const carriers::CarrierCounters& counters() const override {
    sum_ = {};
    for (std::size_t i = 0; i < port_.queues(); ++i) {
      const carriers::CarrierCounters& one = port_.queue(i).counters();
      sum_.tx_frames += one.tx_frames;
      sum_.tx_bytes += one.tx_bytes;
      sum_.tx_calls += one.tx_calls;
      sum_.tx_dropped += one.tx_dropped;
      sum_.rx_frames += one.rx_frames;
      sum_.rx_bytes += one.rx_bytes;
      sum_.rx_calls += one.rx_calls;
      sum_.rx_unknown_peer += one.rx_unknown_peer;
      sum_.rx_malformed += one.rx_malformed;
      sum_.connects += one.connects;
      sum_.disconnects += one.disconnects;
    }
    return sum_;
  }

 private:
  /// A link is up while it is for all queues.
  class Merge final : public carriers::FrameSink {
   public:
    Merge(QueuesAsOne& all, std::size_t queue, carriers::FrameSink& sink) : all_(all), queue_(queue), sink_(sink) {}
    bool on_frame(std::uint16_t link, std::span<const std::byte> frame) override {
      if (frame.size() >= regs::kHeaderBytes) {
        EXPECT_EQ(pipeline::destination_slot(frame.first<regs::kHeaderBytes>()) % all_.port_.queues(), queue_)
            << "a frame of another queue's slots";
      }
      return sink_.on_frame(link, frame);
    }
    void on_link(std::uint16_t link, bool up, std::string_view reason) override {
      auto& ups = all_.ups_[link];
      ups.resize(all_.port_.queues());
      EXPECT_FALSE(up && ups[queue_]) << "up twice";
      const auto all_up = [&] { return std::count(ups.begin(), ups.end(), false) == 0; };
      const bool before = all_up();
      ups[queue_] = up;
      if (all_up() != before || (!up && queue_ == 0)) sink_.on_link(link, up, reason);
    }

   private:
    QueuesAsOne& all_;
    std::size_t queue_;
    carriers::FrameSink& sink_;
  };

  carriers::DpdkCarrier& port_;
  std::size_t shift_, first_ = 0;
  carriers::Fd epoll_{::epoll_create1(EPOLL_CLOEXEC)};
  std::map<std::uint16_t, std::vector<bool>> ups_;
  mutable carriers::CarrierCounters sum_;
};

}  // namespace slotwire::test
