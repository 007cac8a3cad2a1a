#include "driver/bus/xrt/watchdog.hpp"

#include <unistd.h>

#include <cstdio>
#include <utility>

namespace slotwire::driver {
namespace {

std::int64_t now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}
/// Looks in the time of the limit.
constexpr int kLooks = 8;

}  // namespace

Watchdog::Watchdog(std::string device, std::chrono::milliseconds limit)
    : device_(std::move(device)), limit_(limit), thread_([this] { run(); }) {}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    end_ = true;
  }
  ending_.notify_one();
  thread_.join();
}

Watchdog::Call::Call(Watchdog& dog, const char* what, int times) : dog_(dog) {
  dog.what_.store(what, std::memory_order_relaxed);
  dog.times_.store(times, std::memory_order_relaxed);
  dog.since_ns_.store(now_ns(), std::memory_order_release);
}

void Watchdog::give_up(const std::string& what) const {
  std::fprintf(stderr,
               "slotwire-xrt-host: device %s: %s; its connections end and slotwired goes on in software. Look at "
               "`xbutil examine`, "
               "reset the card (`xbutil reset`) and start slotwire-xrt-host again\n",
               device_.c_str(), what.c_str());
  std::fflush(nullptr);
  ::_exit(kExitStatus);
}

void Watchdog::run() {
  std::unique_lock lock(mutex_);
  while (!ending_.wait_for(lock, limit_ / kLooks, [this] { return end_; })) {
    const std::int64_t since = since_ns_.load(std::memory_order_acquire);
    if (since == 0) continue;
    const auto limit = std::chrono::nanoseconds(limit_) * times_.load(std::memory_order_relaxed);
    if (now_ns() - since < limit.count()) continue;
    const char* what = what_.load(std::memory_order_relaxed);
    if (since_ns_.load(std::memory_order_acquire) != since) continue;  // it has ended just now
    give_up(std::string(what) + " did not return in " + std::to_string(limit.count() / 1'000'000) + " ms");
  }
}

}  // namespace slotwire::driver
