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
    worker.soft_.advance(now);
    bool busy = worker.serve();
    busy |=
        worker.bells_.poll(now, [this, now](std::span<const std::uint16_t> slots) { worker.soft_.look(slots, now); });
    busy |= worker.soft_.poll(now);
    if (!worker.watched_.empty()) worker.see_drained();
    return busy || stopping();
  }
  bool look_around() const { return false; }  // step() looks at everything
  bool last_step() const {
    if (worker.carrier_watched_) worker.soft_.skip_carriers();
    return step();
  }
  bool prepare_sleep() const {
    if (!worker.soft_.prepare_sleep() || !worker.bells_.prepare_sleep()) return false;
    worker.inbox_.prepare_sleep();
    return true;
  }
  void awake() const { worker.bells_.awake(worker.clock_()); }
  void sleep() const {
    const std::uint32_t timer = worker.soft_.timer_us(worker.clock_());
    constexpr std::uint32_t kSecond = 1'000'000;
    const timespec wait{timer / kSecond, static_cast<long>(timer % kSecond) * 1000};
    std::array<pollfd, 2> fds{{{worker.inbox_.fd(), POLLIN, 0}, {-1, POLLIN, 0}}};
    if (worker.carrier_watched_) fds[1].fd = worker.place_.carrier->fd();
    worker.sleeps_.fetch_add(1, std::memory_order_relaxed);
    ::ppoll(fds.data(), fds.size(), timer == pipeline::Pipeline::kNoTimer ? nullptr : &wait, nullptr);
    if (worker.carrier_watched_ && fds[1].revents == 0) worker.soft_.skip_carriers();
  }
};

ShardWorker::ShardWorker(WorkerPlace place, ThreadNumber number, const SlotTables& tables, std::span<SlotCopy> copies,
                         const Inboxes& all, std::size_t sessions, const WorkerOptions& options, CardListener& listener,
                         SpreadLinks& links)
    : place_(std::move(place)),
      number_(number),
      all_(all),
      wait_(options.wait),
      clock_(options.clock),
      listener_(listener),
      links_(links),
      open_(tables.rows.size()),
      copies_(copies),
      soft_(tables, options.soft, *this, SoftMover::Frames::of_open_slots),
      bells_(number, all, tables.rows.size(), options.soft.demote_us),
      inbox_(tables.rows.size(), sessions),
      news_(tables.rows.size(), options.soft.links) {}

ShardWorker::~ShardWorker() {
  stop();
}

void ShardWorker::start() {
  stopping_ = false;
  thread_ = std::thread([this] { thread_main(); });
  try {
    in_thread([] {});  // it has entered when it answers
  } catch (...) {
    stop();
    if (entered_) std::rethrow_exception(std::exchange(entered_, nullptr));
    throw;
  }
}

void ShardWorker::stop() noexcept {
  if (!thread_.joinable()) return;
  stopping_.store(true, std::memory_order_seq_cst);
  inbox_.wake();
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
  all_[kHomeThread]->wake();
}

void ShardWorker::check() const {
  if (failed_.load(std::memory_order_seq_cst)) throw std::runtime_error(failure_);
}

void ShardWorker::run(void (*invoke)(void*), void* what) {
  if (!thread_.joinable()) return invoke(what);
  Call call;
  call.invoke = invoke;
  call.what = what;
  hand_over(call);
}

void ShardWorker::hand_over(Call& call) {
  check();
  const std::uint64_t before = answered_.load(std::memory_order_seq_cst);
  const auto answered = [&] { return answered_.load(std::memory_order_seq_cst) != before; };
  call_.store(&call, std::memory_order_seq_cst);
  inbox_.wake();
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

void ShardWorker::see_drained() {
  const std::size_t before = watched_.size();
  std::erase_if(watched_, [&](std::uint16_t slot) {
    const bool bound = static_cast<regs::SlotState>(soft_.row(slot).state) == regs::SlotState::bound;
    if (bound && !soft_.drained(slot)) return false;
    news_.slots.add(slot);
    return true;
  });
  if (watched_.size() != before) all_[kHomeThread]->wake();
}

void ShardWorker::on_fault(std::uint16_t slot, regs::Fault fault) {
  news_.faults[slot] = fault;
  news_.slots.add(slot);
  all_[kHomeThread]->wake();
}

void ShardWorker::on_link(std::uint16_t link, bool up, std::string_view reason) {
  WorkerLink& state = news_.link_states[link];
  ++state.changes;
  state.up = up;
  state.reason = reason;
  if (!up) state.down_reason = reason;
  news_.links.add(link);
  all_[kHomeThread]->wake();
}

void ShardWorker::copy(std::uint16_t slot) {
  copies_[slot] = {soft_.row(slot), soft_.stats(slot)};
}

// --- slots, in the card's thread ---

/// Runs f() where the slot is, and copies what may have changed.
template <class F>
void ShardWorker::at(std::uint16_t slot, F&& f) {
  in_thread([&] {
    f();
    copy(slot);
  });
}

void ShardWorker::open(std::uint16_t slot, unsigned in_order, unsigned out_order) {
  at(slot, [&] {
    bells_.take_slot(slot);
    soft_.open(slot, in_order, out_order);
  });
  open_[slot] = true;
  ++open_slots_;
}

void ShardWorker::close(std::uint16_t slot) {
  at(slot, [&] {
    soft_.close(slot);
    bells_.release_slot(slot);
    std::erase(watched_, slot);
    news_.faults[slot] = regs::Fault::none;
  });
  open_[slot] = false;
  --open_slots_;
}

void ShardWorker::bind(std::uint16_t slot, const pipeline::Binding& binding) {
  at(slot, [&] { soft_.bind(slot, binding); });
}

void ShardWorker::recover(std::uint16_t slot) {
  at(slot, [&] { soft_.recover(slot); });
}

void ShardWorker::unbind(std::uint16_t slot) {
  at(slot, [&] {
    soft_.unbind(slot);
    news_.faults[slot] = regs::Fault::none;
  });
}

void ShardWorker::fault(std::uint16_t slot, regs::Fault cause) {
  at(slot, [&] { soft_.fault(slot, cause); });
}

/// The worker's own clock is as good as the caller's, and never before what the worker did last.
void ShardWorker::look(std::span<const std::uint16_t> slots, std::uint64_t /*now_us*/) {
  in_thread([&] {
    soft_.look(slots, soft_.now_us());
    for (const std::uint16_t slot : slots) {
      if (!soft_.drained(slot)) watch(slot);
      copy(slot);
    }
  });
}

bool ShardWorker::drained(std::uint16_t slot) const {
  return row(slot).in_head == row(slot).in_tail;
}

void ShardWorker::refresh(std::span<const std::uint16_t> slots) {
  in_thread([&] {
    for (const std::uint16_t slot : slots) {
      if (open_[slot]) copy(slot);
    }
    for (std::size_t i = 0; i < counters_.size(); ++i) counters_[i] = soft_.counter(static_cast<regs::Counter>(i));
  });
}

WorkerReport ShardWorker::report() {
  refresh({});
  return {place_.name, sleeps_.load(std::memory_order_relaxed), open_slots_, counters_};
}

void ShardWorker::set_tap(FrameTap* tap) {
  in_thread([&] { soft_.set_tap(tap); });
}

// --- links, in the card's thread ---

void ShardWorker::set_route(std::uint16_t link, const Route& /*route*/, const pipeline::LinkParameters& config) {
  in_thread([&] {
    news_.link_states[link] = {};
    soft_.set_route(link, OverCarrier{*place_.carrier}, config);
    carrier_watched_ = true;
  });
}

void ShardWorker::clear_route(std::uint16_t link) {
  in_thread([&] {
    soft_.clear_route(link);
    carrier_watched_ = soft_.has_carriers();
    news_.link_states[link] = {};
  });
}

void ShardWorker::poll_always(carriers::Carrier& /*carrier*/) {
  in_thread([&] {
    soft_.poll_always(*place_.carrier);
    carrier_watched_ = true;
  });
}

// --- bells, in the card's thread ---

void ShardWorker::lead(const SessionWords& words, std::size_t local, std::uint16_t slot, ThreadNumber where) {
  in_thread([&] { bells_.lead(words, local, slot, where); });
}

void ShardWorker::lead_nowhere(const SessionWords& words, std::size_t local, std::uint16_t slot) {
  in_thread([&] { bells_.lead_nowhere(words, local, slot); });
}

void ShardWorker::remove_session(std::uint32_t session) {
  in_thread([&] { bells_.remove_session(session); });
}

// --- news, in the card's thread ---

bool ShardWorker::poll(std::uint64_t /*now_us*/) {
  check();
  return take_news();
}

/// The numbers first, then in the worker's thread what stands behind them now, then the listener, who may call back.
bool ShardWorker::take_news() {
  std::vector<std::uint16_t> slots, links;
  news_.slots.take([&](std::size_t slot) { slots.push_back(static_cast<std::uint16_t>(slot)); });
  news_.links.take([&](std::size_t link) { links.push_back(static_cast<std::uint16_t>(link)); });
  if (slots.empty() && links.empty()) return false;
  std::vector<regs::Fault> faults(slots.size(), regs::Fault::none);
  std::vector<WorkerLink> states(links.size());
  in_thread([&] {
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (!open_[slots[i]]) continue;  // closed meanwhile
      faults[i] = std::exchange(news_.faults[slots[i]], regs::Fault::none);
      copy(slots[i]);
    }
    for (std::size_t i = 0; i < links.size(); ++i) states[i] = news_.link_states[links[i]];
  });
  for (std::size_t i = 0; i < links.size(); ++i) links_.take(links[i], number_ - 1U, states[i]);
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (faults[i] != regs::Fault::none && open_[slots[i]]) listener_.on_fault(slots[i], faults[i]);
  }
  return true;
}

}  // namespace slotwire::driver
