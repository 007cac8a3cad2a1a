#include "driver/sharded/shard_worker.hpp"

#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <utility>

#include "driver/sharded/poll_loop.hpp"

namespace slotwire::driver {

/// What run_poll_loop() wants of a worker.
struct ShardWorker::Loop {
  ShardWorker& worker;

  bool stopping() const { return worker.stopping_.load(std::memory_order_seq_cst); }
  bool step() const {
    const std::uint64_t now = worker.clock_();
    worker.shard_.advance(now);
    bool busy = worker.serve();
    busy |= worker.shard_.poll(now);
    if (!worker.watched_.empty()) worker.see_drained();
    return busy || stopping();
  }
  bool look_around() const { return false; }  // step() looks at everything
  bool prepare_sleep() const { return worker.shard_.prepare_sleep(); }
  void sleep() const {
    const std::uint32_t timer = worker.shard_.timer_us(worker.clock_());
    constexpr std::uint32_t kSecond = 1'000'000;
    const timespec wait{timer / kSecond, static_cast<long>(timer % kSecond) * 1000};
    std::array<pollfd, 2> fds{{{worker.shard_.wake_fd(), POLLIN, 0}, {-1, POLLIN, 0}}};
    if (worker.carrier_watched_) fds[1].fd = worker.carrier().fd();
    worker.sleeps_.fetch_add(1, std::memory_order_relaxed);
    ::ppoll(fds.data(), fds.size(), timer == pipeline::Pipeline::kNoTimer ? nullptr : &wait, nullptr);
    if (fds[0].revents != 0) worker.shard_.woken();
  }
};

ShardWorker::ShardWorker(ShardWorkerPlace place, Shard::Place number, const std::vector<Shard*>& all,
                         std::size_t sessions, std::span<regs::SlotRow> rows, const SoftCardOptions& options,
                         slot::WaitPolicy wait, std::uint64_t (*clock)())
    : place_(std::move(place)),
      all_(all),
      wait_(wait),
      clock_(clock),
      news_(rows.size(), options.links),
      shard_(number, all, sessions, rows, options, *this) {}

ShardWorker::~ShardWorker() {
  stop();
}

void ShardWorker::start() {
  stopping_ = false;
  thread_ = std::thread([this] { thread_main(); });
  try {
    run([] {});  // it has entered when it answers
  } catch (...) {
    stop();
    if (entered_) std::rethrow_exception(std::exchange(entered_, nullptr));
    throw;
  }
}

void ShardWorker::stop() noexcept {
  if (!thread_.joinable()) return;
  stopping_.store(true, std::memory_order_seq_cst);
  shard_.wake();
  thread_.join();
}

void ShardWorker::thread_main() noexcept {
  // Signals are the engine's.
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
  ::pthread_setname_np(::pthread_self(), "slotwire-worker");
  try {
    if (place_.enter) place_.enter();
  } catch (const std::exception& error) {
    entered_ = std::current_exception();
    return fail(error.what());
  }
  try {
    Loop loop{*this};
    run_poll_loop(loop, wait_);
  } catch (const std::exception& error) {
    fail(error.what());
  } catch (...) {
    fail("an exception of unknown type");
  }
}

/// The last thing that the thread does: nobody may go on as if it still ran.
void ShardWorker::fail(const std::string& why) noexcept {
  failure_ = "the thread of the worker on " + place_.name + " ended: " + why;
  failed_.store(true, std::memory_order_seq_cst);
  slot::signal_event(answer_.get());
  all_[0]->wake();
}

void ShardWorker::check() const {
  if (failed_.load(std::memory_order_seq_cst)) throw std::runtime_error(failure_);
}

void ShardWorker::hand_over(Call& call) {
  check();
  const std::uint64_t before = answered_.load(std::memory_order_seq_cst);
  const auto answered = [&] { return answered_.load(std::memory_order_seq_cst) != before; };
  call_.store(&call, std::memory_order_seq_cst);
  shard_.wake();
  slot::Waiter waiter(wait_);
  while (!answered()) {
    if (failed_.load(std::memory_order_seq_cst) && withdraw(call)) check();
    if (waiter.next() == slot::Waiter::Step::again) continue;
    caller_waits_.store(true, std::memory_order_seq_cst);
    if (answered() || failed_.load(std::memory_order_seq_cst)) continue;
    pollfd event{answer_.get(), POLLIN, 0};
    const int ready = ::poll(&event, 1, static_cast<int>(kCallLimit.count()));
    // What has begun is not given up: it works on what belongs to the caller.
    if (ready == 0 && withdraw(call)) {
      throw std::runtime_error("the thread of the worker on " + place_.name + " did not answer for " +
                               std::to_string(kCallLimit.count() / 1000) +
                               " s; is its CPU (dpdk.lcores) taken by something of higher priority?");
    }
    slot::drain_event(answer_.get());
  }
  if (call.error) std::rethrow_exception(call.error);
}

/// False: the thread has it already.
bool ShardWorker::withdraw(Call& call) noexcept {
  Call* expected = &call;
  return call_.compare_exchange_strong(expected, nullptr, std::memory_order_seq_cst);
}

bool ShardWorker::serve() noexcept {
  if (call_.load(std::memory_order_seq_cst) == nullptr) return false;
  Call* const call = call_.exchange(nullptr, std::memory_order_seq_cst);
  if (call == nullptr) return false;
  try {
    call->invoke(call->what);
  } catch (...) {
    call->error = std::current_exception();
  }
  // The caller may be gone, and the call with it, from here on.
  answered_.fetch_add(1, std::memory_order_seq_cst);
  if (caller_waits_.exchange(false, std::memory_order_seq_cst)) slot::signal_event(answer_.get());
  return true;
}

void ShardWorker::watch(std::uint16_t slot) {
  if (std::find(watched_.begin(), watched_.end(), slot) == watched_.end()) watched_.push_back(slot);
}

void ShardWorker::unwatch(std::uint16_t slot) {
  std::erase(watched_, slot);
}

void ShardWorker::see_drained() {
  const std::size_t before = watched_.size();
  std::erase_if(watched_, [&](std::uint16_t slot) {
    const bool bound = static_cast<regs::SlotState>(shard_.row(slot).state) == regs::SlotState::bound;
    if (bound && !shard_.drained(slot)) return false;
    news_.slots.add(slot);
    return true;
  });
  if (watched_.size() != before) all_[0]->wake();
}

void ShardWorker::on_fault(std::uint16_t slot, regs::Fault fault) {
  news_.faults[slot] = fault;
  news_.slots.add(slot);
  all_[0]->wake();
}

void ShardWorker::on_link(std::uint16_t link, bool up, std::string_view reason) {
  ShardNews::LinkState& state = news_.link_states[link];
  ++state.changes;
  state.up = up;
  state.reason = reason;
  if (!up) state.down_reason = reason;
  news_.links.add(link);
  all_[0]->wake();
}

}  // namespace slotwire::driver
