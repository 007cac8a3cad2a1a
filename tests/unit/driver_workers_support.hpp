// What tests of a card with workers need: a carrier of several queues, processes, and the loop of an engine.
#pragma once
#include <gtest/gtest.h>

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "core/slot/waiter.hpp"
#include "driver/router/make_card.hpp"

namespace slotwire::driver::test {

/// Longer than anything here takes unless a wake-up was lost.
inline constexpr int kPatienceMs = 20'000;

inline std::uint64_t now_us() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
}

/// What is sent on a link comes back on the same link, by the queue that the slot it is for belongs to.
class QueueWire {
 public:
  static constexpr std::size_t kMostFrames = 4096;

  class Queue final : public carriers::Carrier {
   public:
    explicit Queue(QueueWire& wire) : wire_(wire) {}
    std::string_view name() const override { return "wire"; }
    std::size_t lines_per_frame() const override { return 22; }
    std::size_t room(std::uint16_t /*link*/) const override { return 256; }
    void send(std::span<const pipeline::TxFrame> frames) override {
      for (const auto& frame : frames) {
        std::vector<std::byte> bytes(std::begin(frame.header), std::end(frame.header));
        bytes.insert(bytes.end(), frame.payload.begin(), frame.payload.end());
        const std::uint16_t slot = pipeline::decode(std::span(frame.header)).dst_slot;
        wire_.queue(slot % wire_.queues_.size()).receive(frame.link, std::move(bytes));
      }
    }
    std::size_t poll(std::uint64_t /*now*/, std::size_t most, carriers::FrameSink& sink) override {
      if (!polled_by_) polled_by_ = std::this_thread::get_id();
      EXPECT_EQ(polled_by_, std::this_thread::get_id()) << "a queue belongs to one thread";
      if (broken) throw std::runtime_error("the port burns");
      slot::drain_event(event_.get());
      std::deque<Change> changes;
      std::vector<Frame> frames;
      {
        const std::lock_guard hold(mutex_);
        changes.swap(changes_);
        while (!frames_.empty() && frames.size() < most) {
          frames.push_back(std::move(frames_.front()));
          frames_.pop_front();
        }
        if (!frames_.empty()) slot::signal_event(event_.get());
      }
      for (const Change& change : changes) sink.on_link(change.link, change.up, change.reason);
      for (const Frame& frame : frames) sink.on_frame(frame.link, frame.bytes);
      return frames.size();
    }
    int fd() const override { return event_.get(); }
    const carriers::CarrierCounters& counters() const override { return counters_; }

    // Any thread.
    void receive(std::uint16_t link, std::vector<std::byte> bytes) {
      const std::lock_guard hold(mutex_);
      if (frames_.size() >= kMostFrames) return;  // lost: it is sent again
      frames_.push_back({link, std::move(bytes)});
      slot::signal_event(event_.get());
    }
    void change(std::uint16_t link, bool up, const std::string& reason) {
      const std::lock_guard hold(mutex_);
      changes_.push_back({link, up, reason});
      slot::signal_event(event_.get());
    }
    std::atomic<bool> broken{false};
    void wake() { slot::signal_event(event_.get()); }

   private:
    struct Frame {
      std::uint16_t link;
      std::vector<std::byte> bytes;
    };
    struct Change {
      std::uint16_t link;
      bool up;
      std::string reason;
    };
    QueueWire& wire_;
    std::mutex mutex_;
    std::deque<Frame> frames_;
    std::deque<Change> changes_;
    slot::Fd event_ = slot::create_event();
    std::optional<std::thread::id> polled_by_;
    carriers::CarrierCounters counters_;
  };

  explicit QueueWire(std::size_t queues) {
    for (std::size_t i = 0; i < queues; ++i) queues_.push_back(std::make_unique<Queue>(*this));
  }
  Queue& queue(std::size_t i) { return *queues_[i]; }
  std::size_t queues() const { return queues_.size(); }
  void up(std::uint16_t link) {
    for (const auto& queue : queues_) queue->change(link, true, "there");
  }

 private:
  std::vector<std::unique_ptr<Queue>> queues_;
};

/// A process's session.
struct Session {
  slot::BellPage bells{};
  slot::PolledPage polled{};
  slot::Fd kick = slot::create_event();
  std::atomic<std::uint64_t> kicks{0};

  void ring(std::size_t local) {
    if (!slot::ring_bell(bells, polled, local)) return;
    ++kicks;
    slot::signal_event(kick.get());
  }
};

/// A process's side of a slot.
class End {
 public:
  End(Session& session, std::size_t local, const SlotFiles& files, unsigned order)
      : session_(session),
        local_(local),
        own_(files.own.get(), order, slot::Access::read_write),
        other_(slot::read_only_copy(files.other).get(), order, slot::Access::read_only),
        wake_(::dup(files.wake.get())) {}

  /// Asks to be woken by any mark that moves from now on: wake_fd() is readable then.
  void arm() { own_.marks().wait.store((number_ += slot::kWaitStep) | slot::kWaitReadable | slot::kWaitWritable); }
  void disarm() {
    own_.marks().wait.store(0);
    slot::drain_event(wake_.get());
  }
  int wake_fd() const { return wake_.get(); }

  /// Writes lines of the value that counts them, as many as there is room for up to `lines`. Returns how many.
  std::uint32_t write(std::uint32_t lines = 1) {
    const std::uint32_t free = own_.lines() - (written_ - other_.marks().head.load());
    lines = std::min(lines, free);
    for (std::uint32_t i = 0; i < lines; ++i) {
      std::byte* const line = own_.ring() + std::size_t{written_++ % own_.lines()} * regs::kLineBytes;
      std::fill_n(line, regs::kLineBytes, static_cast<std::byte>(written_ * 7));
    }
    if (lines == 0) return 0;
    own_.marks().tail.store(written_);
    session_.ring(local_);
    return lines;
  }
  /// Reads what is there and checks it. Returns how many lines.
  std::uint32_t read() {
    const std::uint32_t tail = other_.marks().tail.load();
    const std::uint32_t lines = tail - read_;
    if (lines == 0) return 0;
    for (; read_ != tail; ++read_) {
      const std::byte* const line = other_.ring() + std::size_t{read_ % other_.lines()} * regs::kLineBytes;
      const auto wanted = static_cast<std::byte>((read_ + 1) * 7);
      if (line[0] != wanted || line[regs::kLineBytes - 1] != wanted) ++wrong_;
    }
    own_.marks().head.store(read_);
    session_.ring(local_);
    return lines;
  }
  void set_tail(std::uint32_t tail) {
    own_.marks().tail.store(tail);
    session_.ring(local_);
  }
  std::uint32_t wrong() const { return wrong_; }
  std::uint32_t lines_written() const { return written_; }
  std::uint32_t lines_read() const { return read_; }

 private:
  Session& session_;
  std::size_t local_;
  slot::Space own_, other_;
  slot::Fd wake_;
  std::uint32_t number_ = 0;
  std::uint32_t written_ = 0, read_ = 0, wrong_ = 0;
};

class Listener final : public CardListener {
 public:
  void on_fault(std::uint16_t slot, regs::Fault fault) override {
    EXPECT_EQ(std::this_thread::get_id(), thread) << "told in another thread than the engine's";
    faults.emplace_back(slot, fault);
    if (each_fault) each_fault(slot);
  }
  void on_link(std::uint16_t link, bool up, std::string_view reason) override {
    EXPECT_EQ(std::this_thread::get_id(), thread) << "told in another thread than the engine's";
    links.emplace_back(link, up, std::string(reason));
  }
  bool on_card_gone(std::string_view) override { return gone ? gone() : false; }
  std::thread::id thread = std::this_thread::get_id();
  std::function<bool()> gone;
  std::function<void(std::uint16_t)> each_fault;
  std::vector<std::pair<std::uint16_t, regs::Fault>> faults;
  std::vector<std::tuple<std::uint16_t, bool, std::string>> links;
};

inline constexpr std::uint16_t kWireLink = 0, kHomeLink = 1;
inline constexpr unsigned kOrder = 6;

/// An engine with a card that has workers. The wire and the rows outlive it.
class Engine {
 public:
  Engine(std::vector<regs::SlotRow>& rows, QueueWire& wire, slot::WaitPolicy wait = {},
         std::optional<HardwareParts> hardware = {})
      : card_holder_(make_card(parts(rows, wire, wait, std::move(hardware)), listener)), card_(*card_holder_) {
    card_.spread(kWireLink);
  }
  Card* operator->() { return &card_; }
  Card& card() { return card_; }

  std::uint16_t add(Session& session) {
    const auto index = static_cast<std::uint16_t>(sessions_.size());
    sessions_.push_back(&session);
    card_.add_session(index, session.bells, session.polled, session.kick.get());
    return index;
  }
  void open(std::uint16_t slot, std::uint16_t link) {
    card_.prepare_slot(slot, link);
    card_.open_slot(slot, kOrder, kOrder, true);
  }
  void bind(std::uint16_t slot, std::uint16_t peer, std::uint16_t link = kWireLink) {
    card_.bind(slot, {.link = link,
                      .peer_slot = peer,
                      .epoch = 7,
                      .in_order = kOrder,
                      .out_order = kOrder,
                      .credit = 1U << kOrder,
                      .marks = {}});
  }
  void route(std::uint16_t link, carriers::Carrier& carrier) { card_.set_route(link, OverCarrier{carrier}, {}); }

  /// The engine's loop, until `done` holds or patience ends. It sleeps until it, or a process of `waiting`, is woken.
  bool until(const std::function<bool()>& done) {
    const std::uint64_t end = now_us() + std::uint64_t{kPatienceMs} * 1000;
    while (!done()) {
      if (now_us() > end) return false;
      bool busy = kicks();
      busy |= card_.poll(now_us());
      if (busy || !card_.prepare_sleep() || card_.poll(now_us())) continue;
      for (const auto& [slot, end] : *waiting) end->arm();
      if (done()) return true;
      std::vector<pollfd> fds{{done_.get(), POLLIN, 0}};
      for (const int fd : card_.descriptors()) fds.push_back({fd, POLLIN, 0});
      for (const Session* session : sessions_) fds.push_back({session->kick.get(), POLLIN, 0});
      for (const auto& [slot, end] : *waiting) fds.push_back({end->wake_fd(), POLLIN, 0});
      const std::uint32_t timer = card_.timer_us(now_us());
      const int wait = timer == pipeline::Pipeline::kNoTimer ? kPatienceMs : static_cast<int>(timer / 1000 + 1);
      ++sleeps;
      ::poll(fds.data(), fds.size(), wait);
      for (const auto& [slot, end] : *waiting) end->disarm();
      if (fds[0].revents != 0) slot::drain_event(done_.get());
    }
    return true;
  }
  /// Lets until() look at its condition. Any thread.
  void nudge() { slot::signal_event(done_.get()); }

  using Ends = std::map<std::uint16_t, std::unique_ptr<End>>;
  Listener listener;
  std::uint64_t sleeps = 0;
  const Ends nobody{};
  const Ends* waiting = &nobody;  ///< ends of processes that `done` of until() uses

 private:
  static CardComposition parts(std::vector<regs::SlotRow>& rows, QueueWire& wire, slot::WaitPolicy wait,
                               std::optional<HardwareParts> hardware) {
    CardComposition parts;
    parts.hardware = std::move(hardware);
    parts.rows = rows;
    parts.soft.links = 4;
    parts.soft.demote_us = 0;
    parts.sessions = 8;
    parts.wait = wait;
    parts.clock = now_us;
    for (std::size_t i = 0; i < wire.queues(); ++i)
      parts.workers.push_back({&wire.queue(i), nullptr, "queue " + std::to_string(i)});
    return parts;
  }
  bool kicks() {
    bool any = false;
    for (std::size_t i = 0; i < sessions_.size(); ++i) {
      pollfd kick{sessions_[i]->kick.get(), POLLIN, 0};
      if (::poll(&kick, 1, 0) != 1) continue;
      any = true;
      card_.on_kick(static_cast<std::uint32_t>(i));
    }
    return any;
  }

  slot::Fd done_ = slot::create_event();
  std::vector<Session*> sessions_;
  std::unique_ptr<Card> card_holder_;
  Card& card_;
};

}  // namespace slotwire::driver::test
