#include "core/slot/poll_waiter.hpp"

#include <sched.h>

namespace slotwire::slot {

bool PollWaiter::stay_awake() {
  const Step step = next(std::chrono::steady_clock::now().time_since_epoch());
  if (step == Step::yield) ::sched_yield();
  return step != Step::sleep;
}

PollWaiter::Step PollWaiter::next(std::chrono::nanoseconds now) {
  if (!waiting_) {
    waiting_ = true;
    yielded_ = false;
    yields_ = Yields::undecided;
    start_ = now;
  } else if (yielded_) {
    habit_.yielded(now - last_);
  }
  last_ = now;
  if (now - start_ < policy_.spin) return Step::look;
  if (yields_ == Yields::undecided) {
    yields_ = policy_.yield.count() > 0 && habit_.begin() ? Yields::on : Yields::off;
  }
  if (yields_ == Yields::on && now - start_ < policy_.spin + policy_.yield) {
    yielded_ = true;
    return Step::yield;
  }
  if (yielded_) habit_.missed();
  yielded_ = false;
  return Step::sleep;
}

void PollWaiter::found(std::chrono::nanoseconds now) {
  if (waiting_ && yielded_) habit_.found(now - last_);
  slept(now);
}

void PollWaiter::slept(std::chrono::nanoseconds now) {
  if (!waiting_) return;
  const bool at_once = yields_ == Yields::off && policy_.yield.count() > 0;
  if (at_once) habit_.slept(now - start_ < policy_.spin + policy_.yield);
  waiting_ = false;
}

}  // namespace slotwire::slot
