// Runs a few short threads in every order in which their steps can follow one another, or in every order with at most
// so many preemptions. A step is an operation on a ScheduledAtomic. Everything runs in one thread of the system, and
// operations are sequentially consistent: what weaker orders allow is not tried.
#pragma once
#include <ucontext.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace slotwire::test {

/// The outcome of a search.
struct Interleavings {
  std::uint64_t runs = 0;
  bool stuck = false;  ///< in the last run threads waited and nobody was left to wake them
};

class Scheduler {
 public:
  using Body = std::function<void()>;

  /// Searches until everything was tried or a run got stuck. `make` sets up the shared state of one run and returns its
  /// threads.
  static Interleavings search(const std::function<std::vector<Body>()>& make,
                              std::size_t preemptions = std::numeric_limits<std::size_t>::max()) {
    Interleavings result;
    std::vector<Choice> choices;
    do {
      Scheduler scheduler(make(), choices, preemptions);
      ++result.runs;
      result.stuck = !scheduler.run();
    } while (!result.stuck && next(choices));
    return result;
  }

  /// A step: any other thread may run before it.
  static void step() { running_->pause({}); }
  /// A step that cannot be made before `ready()`, which must not change anything.
  static void wait(const std::function<bool()>& ready) { running_->pause(ready); }

 private:
  struct Choice {
    std::size_t taken, of;
  };
  struct Fiber {
    Body body;
    std::function<bool()> ready;  ///< none: can always go on
    bool finished = false;
    ucontext_t context{};
    std::unique_ptr<std::byte[]> stack;
  };
  static constexpr std::size_t kStackBytes = std::size_t{64} << 10;

  Scheduler(std::vector<Body> bodies, std::vector<Choice>& choices, std::size_t preemptions)
      : choices_(choices), preemptions_(preemptions) {
    for (Body& body : bodies) {
      auto fiber = std::make_unique<Fiber>();
      fiber->body = std::move(body);
      fiber->stack = std::make_unique_for_overwrite<std::byte[]>(kStackBytes);
      ::getcontext(&fiber->context);
      fiber->context.uc_stack.ss_sp = fiber->stack.get();
      fiber->context.uc_stack.ss_size = kStackBytes;
      fiber->context.uc_link = &main_;
      ::makecontext(&fiber->context, &Scheduler::enter, 0);
      fibers_.push_back(std::move(fiber));
    }
  }

  static bool next(std::vector<Choice>& choices) {
    while (!choices.empty() && ++choices.back().taken == choices.back().of) choices.pop_back();
    return !choices.empty();
  }
  static void enter() {
    Fiber& self = *running_->fibers_[*running_->current_];
    self.body();
    self.finished = true;
  }

  /// False: stuck.
  bool run() {
    running_ = this;
    while (true) {
      // The one that runs comes first: going on with it is no preemption.
      std::vector<std::size_t> able;
      const auto add = [&](std::size_t i) {
        if (!fibers_[i]->finished && (!fibers_[i]->ready || fibers_[i]->ready())) able.push_back(i);
      };
      if (current_) add(*current_);
      const bool can_go_on = !able.empty();
      if (!can_go_on || preemptions_ != 0) {
        for (std::size_t i = 0; i < fibers_.size(); ++i) {
          if (i != current_) add(i);
        }
      }
      if (able.empty()) break;
      const std::size_t taken = choose(able.size());
      if (can_go_on && taken != 0) --preemptions_;
      current_ = able[taken];
      ::swapcontext(&main_, &fibers_[*current_]->context);
    }
    for (const auto& fiber : fibers_) {
      if (!fiber->finished) return false;
    }
    return true;
  }
  std::size_t choose(std::size_t of) {
    if (of == 1) return 0;
    if (depth_ == choices_.size()) choices_.push_back({0, of});
    return choices_[depth_++].taken;
  }
  void pause(const std::function<bool()>& ready) {
    Fiber& self = *fibers_[*current_];
    self.ready = ready;
    ::swapcontext(&self.context, &main_);
    self.ready = nullptr;
  }

  static inline Scheduler* running_ = nullptr;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Choice>& choices_;
  std::size_t preemptions_;
  std::size_t depth_ = 0;
  std::optional<std::size_t> current_;
  ucontext_t main_{};
};

/// What a std::atomic offers, each operation a step.
template <typename T>
class ScheduledAtomic {
 public:
  T load(std::memory_order /*order*/ = std::memory_order_seq_cst) const {
    Scheduler::step();
    return value_;
  }
  void store(T value, std::memory_order /*order*/ = std::memory_order_seq_cst) {
    Scheduler::step();
    value_ = value;
  }
  T exchange(T value, std::memory_order /*order*/ = std::memory_order_seq_cst) {
    Scheduler::step();
    return std::exchange(value_, value);
  }
  T fetch_or(T bits, std::memory_order /*order*/ = std::memory_order_seq_cst) {
    Scheduler::step();
    return std::exchange(value_, value_ | bits);
  }
  T fetch_and(T bits, std::memory_order /*order*/ = std::memory_order_seq_cst) {
    Scheduler::step();
    return std::exchange(value_, value_ & bits);
  }
  /// Without a step: for set-up and for what a thread waits for.
  T& value() { return value_; }

 private:
  T value_{};
};

}  // namespace slotwire::test
