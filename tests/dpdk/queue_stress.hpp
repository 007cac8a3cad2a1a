// Two ports with several queues each, every queue with a thread of its own, and traffic from all to all.
#pragma once
#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "carrier/harness.hpp"
#include "core/carriers/dpdk/dpdk.hpp"

namespace slotwire::test {

class QueueStress {
 public:
  /// Frames on their way from one side to the other; no port or hand-over has room for fewer.
  static constexpr std::uint64_t kUnderWay = 64;

  /// Link 0 joins them already. `slots` on each side.
  QueueStress(carriers::DpdkCarrier& a, carriers::DpdkCarrier& b, std::uint32_t frames, std::uint16_t slots = 64)
      : sides_{&a, &b}, frames_(frames), slots_(slots) {}

  /// Each queue of each side sends `frames` frames to slots in turn, and all of them arrive once, unharmed, at their
  /// slot's queue. False: not in time.
  bool run() {
    std::vector<std::thread> threads;
    for (int side = 0; side < 2; ++side) {
      for (std::size_t queue = 0; queue < sides_[side]->queues(); ++queue)
        threads.emplace_back([this, side, queue] { one(side, queue); });
    }
    for (std::thread& thread : threads) thread.join();
    return !late_;
  }

 private:
  /// What a frame carries: who sent it, and its number there.
  struct Mark {
    std::uint32_t queue = 0, number = 0;
  };
  struct Sink final : carriers::FrameSink {
    bool on_frame(std::uint16_t, std::span<const std::byte> frame) override {
      take(frame);
      return true;
    }
    void take(std::span<const std::byte> frame) {
      ASSERT_EQ(frame.size(), regs::kHeaderBytes + regs::kLineBytes);
      const std::uint16_t slot = pipeline::destination_slot(frame.first<regs::kHeaderBytes>());
      EXPECT_EQ(slot % queues, queue);
      Mark mark;
      std::memcpy(&mark, frame.data() + regs::kHeaderBytes, sizeof mark);
      ASSERT_LT(mark.queue, seen.size());
      ASSERT_LT(mark.number, seen[mark.queue].size());
      EXPECT_FALSE(seen[mark.queue][mark.number]) << "twice";
      EXPECT_EQ(slot, slot_of(mark, slots));
      seen[mark.queue][mark.number] = true;
      ++*received;
    }
    void on_link(std::uint16_t, bool now_up, std::string_view) override { up = now_up; }

    std::size_t queues = 0, queue = 0;
    std::uint16_t slots = 0;
    std::vector<std::vector<bool>> seen;  ///< by sending queue and number: those that this queue got
    std::atomic<std::uint64_t>* received = nullptr;
    bool up = false;
  };
  static std::uint16_t slot_of(const Mark& mark, std::uint16_t slots) {
    return static_cast<std::uint16_t>((mark.number * 7 + mark.queue) % slots);
  }

  void one(int side, std::size_t queue) {
    carriers::DpdkCarrier& port = *sides_[side];
    port.enter(queue);
    carriers::Carrier& carrier = port.queue(queue);
    Sink sink;
    sink.queues = port.queues();
    sink.queue = queue;
    sink.slots = slots_;
    sink.seen.assign(sides_[1 - side]->queues(), std::vector<bool>(frames_));
    sink.received = &received_[side];
    const std::uint64_t all = frames_ * port.queues(), others = frames_ * sides_[1 - side]->queues();
    const std::size_t all_queues = port.queues() + sides_[1 - side]->queues();
    bool counted = false;
    Bytes line(regs::kLineBytes, std::byte{0x5a});
    Mark mark{static_cast<std::uint32_t>(queue), 0};
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (!late_ && (mark.number < frames_ || received_[side] < others || received_[1 - side] < all)) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
      if (left.count() <= 0) {
        late_ = true;
        ADD_FAILURE() << "side " << side << ", queue " << queue << ": " << mark.number << " of " << frames_ << " sent, "
                      << received_[side] << " of " << others << " received, " << received_[1 - side] << " of " << all
                      << " at the other side, " << carrier.counters().tx_dropped << " not taken"
                      << (sink.up ? "" : "; the link is down");
        return;
      }
      // What comes to a queue before it knows that the link is up is lost.
      if (sink.up && !counted) ++ups_;
      counted = counted || sink.up;
      const bool may_send = ups_ == all_queues && sink.up && mark.number < frames_ && carrier.room(0) != 0;
      // Another thread's progress is no event for this one: so it looks often while it has something to send.
      pollfd entry{carrier.fd(), POLLIN, 0};
      const int patience = may_send ? 0 : std::min(static_cast<int>(left.count()), kLookMs);
      if (::poll(&entry, 1, patience) > 0) carrier.poll(now_us(), 32, sink);
      if (!may_send || sent_[side] - received_[1 - side] >= kUnderWay) {
        std::this_thread::yield();
        continue;
      }
      pipeline::TxFrame frame{};
      pipeline::Header header;
      header.dst_slot = slot_of(mark, slots_);
      pipeline::encode(header, frame.header);
      std::memcpy(line.data(), &mark, sizeof mark);
      frame.payload = line;
      ++sent_[side];
      ++mark.number;
      carrier.send({&frame, 1});
    }
  }

  static constexpr int kLookMs = 5;  ///< so long the end of all may go unnoticed

  carriers::DpdkCarrier* sides_[2];
  std::uint32_t frames_;
  std::uint16_t slots_;
  std::atomic<std::uint64_t> sent_[2]{0, 0}, received_[2]{0, 0};
  std::atomic<std::size_t> ups_{0};  ///< queues that know the link to be up
  std::atomic<bool> late_{false};
};

}  // namespace slotwire::test
