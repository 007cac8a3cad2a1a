#include "runtime/http/loop.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <utility>

#include "runtime/http/loop_asio.hpp"

namespace slotwire::http {

namespace asio = boost::asio;
using boost::system::error_code;

Loop::Loop() : impl_(std::make_unique<Impl>()) {}
Loop::~Loop() = default;

void Loop::run() {
  const auto work = asio::make_work_guard(impl_->context);
  impl_->context.restart();
  impl_->context.run();
}

void Loop::stop() {
  impl_->context.stop();
}

void Loop::post(std::function<void()> call) {
  asio::post(impl_->context, std::move(call));
}

std::uint64_t Loop::now_us() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

// ---- Timer ----

struct Timer::State : std::enable_shared_from_this<Timer::State> {
  static constexpr std::uint64_t kNone = ~std::uint64_t{0};

  State(asio::io_context& context, std::function<void()> what) : timer(context), call(std::move(what)) {}

  /// A timer that is set to a later time than before, or to none, fires at the earlier one and is set again then: a
  /// deadline that moves with every request costs nothing.
  void set(std::uint64_t time_us) {
    wanted_us = time_us;
    if (pending && armed_us <= time_us) return;
    arm();
  }

  void arm() {
    pending = true;
    armed_us = wanted_us;
    timer.expires_at(std::chrono::steady_clock::time_point(std::chrono::microseconds(armed_us)));
    timer.async_wait([self = shared_from_this()](const error_code& error) {
      if (error == asio::error::operation_aborted) return;
      self->expired();
    });
  }

  void expired() {
    // One that was set to an earlier time has fired already, or was cancelled; its old wait may still arrive.
    if (!pending || armed_us > Loop::now_us()) return;
    if (wanted_us != kNone && wanted_us > armed_us) return arm();
    pending = false;
    if (wanted_us == kNone) return;
    call();
  }

  asio::steady_timer timer;
  std::function<void()> call;
  std::uint64_t wanted_us = 0, armed_us = 0;
  bool pending = false;
};

Timer::Timer(Loop& loop, std::function<void()> call)
    : state_(std::make_shared<State>(loop.impl().context, std::move(call))) {}

Timer::~Timer() {
  if (!std::exchange(state_->pending, false)) return;
  error_code ignored;
  state_->timer.cancel(ignored);
}

void Timer::at(std::uint64_t time_us) {
  state_->set(time_us);
}

void Timer::after(std::chrono::microseconds time) {
  at(Loop::now_us() + static_cast<std::uint64_t>(time.count()));
}

void Timer::cancel() {
  state_->wanted_us = State::kNone;
}

// ---- Watch ----

struct Watch::State : std::enable_shared_from_this<Watch::State> {
  State(asio::io_context& context, int fd, std::function<void(Readiness)> what)
      : descriptor(context, fd), call(std::move(what)) {}

  void arm() {
    if (wanted.readable && !waits.readable) wait(&Readiness::readable, asio::posix::stream_descriptor::wait_read);
    if (wanted.writable && !waits.writable) wait(&Readiness::writable, asio::posix::stream_descriptor::wait_write);
  }

  void wait(bool Readiness::*which, asio::posix::stream_descriptor::wait_type type) {
    waits.*which = true;
    descriptor.async_wait(type, [self = shared_from_this(), which](const error_code& error) {
      self->waits.*which = false;
      // A regular file cannot be waited for, and needs not be.
      if (error && error != asio::error::operation_not_supported) return;
      if (!self->alive || !(self->wanted.*which)) return;
      Readiness ready;
      ready.*which = true;
      self->call(ready);
      if (self->alive) self->arm();
    });
  }

  asio::posix::stream_descriptor descriptor;
  std::function<void(Readiness)> call;
  Readiness wanted, waits;
  bool alive = true;
};

Watch::Watch(Loop& loop, int fd, std::function<void(Readiness)> call)
    : state_(std::make_shared<State>(loop.impl().context, fd, std::move(call))) {}

Watch::~Watch() {
  state_->alive = false;
  state_->descriptor.release();
}

void Watch::want(Readiness wanted) {
  state_->wanted = wanted;
  state_->arm();
}

}  // namespace slotwire::http
