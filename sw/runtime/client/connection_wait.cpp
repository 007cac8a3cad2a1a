// Waiting for a connection: awake for a while, then asleep on the wake descriptor.
#include <poll.h>

#include <array>

#include "core/slot/barrier.hpp"
#include "runtime/client/connection.hpp"

namespace slotwire::client {
namespace {

/// Looks without waiting between two looks at the control socket, so that a process that only polls learns of a peer
/// that died.
constexpr std::uint32_t kLooksPerControl = 64;
/// Lines of the next record that who spins asks for at each look, so that they come with the mark and not after it: as
/// many as a message of 64 bytes and its header take.
constexpr std::uint32_t kAwaitedLines = 2;

}  // namespace

bool Connection::holds(int what) {
  if (end_.status != SW_OK || reader_.broken() || writer_.producer().broken()) return true;
  if ((what & SW_READABLE) != 0 && (!inbox_.empty() || reader_.peek(held_.lines()) || reader_.broken())) return true;
  return (what & SW_WRITABLE) != 0 && writer_.producer().writable(wanted_lines_) >= wanted_lines_;
}

bool Connection::ask_to_be_woken(int what) {
  wait_number_ += slot::kWaitStep;
  if (wait_number_ == 0) wait_number_ = slot::kWaitStep;
  const std::uint32_t bits =
      ((what & SW_READABLE) != 0 ? slot::kWaitReadable : 0U) | ((what & SW_WRITABLE) != 0 ? slot::kWaitWritable : 0U);
  // A record of many lines is read as a whole, so its reader sleeps until its last line is there.
  if ((what & SW_READABLE) != 0)
    own_.marks().aim.store(slot::aim_at(reader_.needs(held_.lines())), std::memory_order_relaxed);
  own_.marks().wait.store(wait_number_ | bits, std::memory_order_seq_cst);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!heavy_barrier_ || slot::heavy_barrier()) return true;
  // The kernel refuses what it did before (the process has given the system call up meanwhile). The peer may have
  // looked already and rely on a barrier that was not made: this once, nobody sleeps.
  heavy_barrier_ = false;
  own_.marks().barrier.store(0, std::memory_order_seq_cst);
  return false;
}

bool Connection::arm(int what) {
  if (detached_) return false;
  if (ask_to_be_woken(what) && !holds(what)) return true;
  stay_awake();
  return false;
}

void Connection::stay_awake() {
  if (detached_) return;
  own_.marks().wait.store(0, std::memory_order_relaxed);
}

void Connection::disarm() {
  stay_awake();
  slot::drain_event(wake_.get());
}

Failure Connection::wait_failure() const {
  const std::string where = "connection to '" + info_.service + "' (slot " + std::to_string(info_.slot) + ")";
  if (!info_.direct && !session_.attached())
    return {SW_ENGINE_GONE, where + ": slotwired is away; what was sent waits in the ring"};
  if (!link_up_)
    return {SW_LINK_DOWN, where + ": the link to node '" + info_.node + "' is down (" + link_text_ +
                              "); what was sent waits in the ring"};
  return {SW_TIMED_OUT, where + ": nothing happened in time"};
}

bool Connection::spin(int what) {
  if (policy_.spin.count() == 0) return false;
  const slot::RingView& ring = reader_.consumer().ring();
  const slot::Position awaited = reader_.consumer().head() + held_.lines();
  for (int look = 0; look < slot::Waiter::kLooks; ++look) {
    if ((what & SW_READABLE) != 0) {
      if (reader_.moved()) return true;
      for (std::uint32_t line = 0; line < kAwaitedLines; ++line) __builtin_prefetch(ring.at(awaited + line));
    }
    if ((what & SW_WRITABLE) != 0 && writer_.moved()) return true;
    slot::Waiter::pause();
  }
  return false;
}

Failure Connection::wait(int what, const Deadline& deadline, const std::function<bool()>& condition) {
  slot::Waiter waiter(policy_, habit_);
  while (true) {
    if (condition()) {
      waiter.found();
      return {};
    }
    if (interrupted_.load() && interrupted_.exchange(false)) return {SW_CANCELLED, "interrupted"};
    if (Failure end = end_failure(); end.status != SW_OK) return end;
    if (deadline.immediate()) {
      if (++idle_looks_ % kLooksPerControl == 0) session_.process_in_passing();
      return {SW_AGAIN, {}};
    }
    deadline.start();
    // What has come is taken before the clock is read, and without the pause that follows the reading.
    if (spin(what) && condition()) {
      waiter.found();
      return {};
    }
    if (waiter.next_after_looks() == slot::Waiter::Step::again) continue;
    if (deadline.passed()) return wait_failure();
    // Tell the other side that this one sleeps, look once more, sleep.
    if (ask_to_be_woken(what) && !condition() && !interrupted_) {
      const auto [socket, timer] = session_.sources();
      std::array<pollfd, 3> fds{{{wake_.get(), POLLIN, 0}, socket, timer}};
      ::poll(fds.data(), fds.size(), deadline.poll_ms());
      if ((fds[1].revents | fds[2].revents) != 0) session_.process_in_passing();
      if (fds[0].revents != 0) slot::drain_event(wake_.get());
    }
    // A signal that crosses with this ends a later sleep early, once.
    stay_awake();
    waiter.slept();
  }
}

Failure Connection::wait_for_records(const Deadline& deadline) {
  if (detached_) return end_;
  return wait(SW_READABLE, deadline, [&] { return reader_.peek(held_.lines()).has_value() || reader_.broken(); });
}

Failure Connection::flush(const Deadline& deadline) {
  if (detached_) return end_;
  return wait(SW_WRITABLE, deadline,
              [&] { return writer_.producer().outstanding() == 0 && !writer_.producer().broken(); });
}

void Connection::interrupt() {
  interrupted_ = true;
  slot::signal_event(wake_.get());
}

}  // namespace slotwire::client
