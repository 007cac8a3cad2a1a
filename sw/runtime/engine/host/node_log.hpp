// The log as the engine's rooms write it: a logger, and a limit for lines that others can provoke.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "runtime/engine/host/event_loop.hpp"
#include "runtime/engine/host/log.hpp"
#include "runtime/engine/host/result.hpp"

namespace slotwire::engine {

/// One thread.
class NodeLog {
 public:
  NodeLog(std::shared_ptr<spdlog::logger> logger, const EventLoop& clock)
      : logger_(std::move(logger)), limited_(logger_, LogLimits{}), clock_(clock) {}

  spdlog::logger* operator->() const { return logger_.get(); }
  /// A line that a process or a peer can provoke as often as it likes; lines with the same key share an allowance.
  void limited(std::string_view key, spdlog::level::level_enum level, const std::string& text) {
    limited_.write(now(), key, level, text);
  }
  /// A failure that changes nothing for anybody but the reader of the log.
  void note(const Result<void>& result) {
    if (!result.ok()) limited("result", spdlog::level::warn, result.error().text);
  }
  /// Forgets allowances that are over; call it from a timer.
  void sweep() { limited_.sweep(now()); }

 private:
  std::chrono::microseconds now() const { return std::chrono::microseconds(clock_.now_us()); }

  std::shared_ptr<spdlog::logger> logger_;
  LimitedLog limited_;
  const EventLoop& clock_;
};

}  // namespace slotwire::engine
