#include "driver/sharded/poll_waiter.hpp"

namespace slotwire::driver {
namespace {

/// A yield and the look after it take less than this when nobody took the processor in between.
constexpr std::chrono::nanoseconds kStraightBack{5000};
/// Yields that come straight back before the thread sleeps.
constexpr std::uint32_t kFruitlessYields = 2;

}  // namespace

PollWaiter::Step PollWaiter::next(std::chrono::nanoseconds now) {
  if (!waiting_) {
    waiting_ = true;
    yielded_ = false;
    fruitless_ = 0;
    start_ = now;
  } else if (yielded_) {
    fruitless_ = now - last_ < kStraightBack ? fruitless_ + 1 : 0;
  }
  last_ = now;
  if (now - start_ < policy_.spin) return Step::look;
  yielded_ = true;
  if (now - start_ >= policy_.spin + policy_.yield || fruitless_ >= kFruitlessYields) return Step::sleep;
  return Step::yield;
}

}  // namespace slotwire::driver
