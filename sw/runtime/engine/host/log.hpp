// The log of slotwired: one logger, a file that can be opened again, and a limit for lines that others can provoke.
#pragma once
#include <spdlog/logger.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "runtime/engine/config/config.hpp"
#include "runtime/engine/host/result.hpp"

namespace slotwire::engine {

/// Lines look like `2024-05-06T07:08:09.123+02:00 info slotwired[4711]: text`, or with `log.format = "json"` like
/// `{"time":"2024-05-06T05:08:09.123Z","level":"info","node":"a","component":"slotwired","pid":4711,"message":"text"}`,
/// with "kind" for lines that share an allowance. Any thread may log; text that another
/// process or machine wrote goes through printable() first.
class Log {
 public:
  /// `node`: its name, for lines in JSON. Throws std::runtime_error when the file cannot be opened.
  explicit Log(const LogConfig& config, const std::string& node = {});

  spdlog::logger& logger() { return *logger_; }
  /// Shared with whoever outlives the Log.
  std::shared_ptr<spdlog::logger> shared() { return logger_; }
  void set_level(LogLevel level);
  /// Opens the file again by its name (after it was moved away). On an error lines go on to the old file, the
  /// first of them the error itself; the result may be left. Any thread.
  Result<void> reopen();

 private:
  class FileSink;
  std::shared_ptr<FileSink> file_;  ///< none when the log goes to standard error
  std::shared_ptr<spdlog::logger> logger_;
};

/// How many lines of one kind are written in a time.
struct LogLimits {
  std::uint32_t lines = 10;
  std::chrono::microseconds interval = std::chrono::seconds(10);
  std::size_t keys = 1024;  ///< kinds of lines told apart; further kinds share one allowance
};

/// Lets the first `lines` of each key through in each interval, and says how many it held back. Has no clock of its
/// own: `now` is the caller's, and never goes back. One thread at a time.
class LogLimiter {
 public:
  using Summary = std::function<void(std::string_view key, std::uint64_t held_back)>;

  explicit LogLimiter(LogLimits limits) : limits_(limits) {}

  struct Verdict {
    bool write = false;
    std::uint64_t held_back = 0;  ///< lines of this key in the interval that just ended; say so before writing
  };
  Verdict admit(std::string_view key, std::chrono::microseconds now);

  /// Forgets keys whose interval is over; `summary` is called for each of them that had lines held back. Call it from a
  /// timer, about once an interval.
  void sweep(std::chrono::microseconds now, const Summary& summary);

 private:
  struct Window {
    std::chrono::microseconds begin{};
    std::uint32_t written = 0;
    std::uint64_t held_back = 0;
  };

  Verdict admit(Window& window, std::chrono::microseconds now) const;

  LogLimits limits_;
  std::unordered_map<std::string, Window> windows_;
  Window others_;  ///< what the keys share that found no room
};

/// A logger behind a limiter: after the allowance, one `... and M more` for each key and interval.
class LimitedLog {
 public:
  LimitedLog(std::shared_ptr<spdlog::logger> logger, LogLimits limits) : logger_(std::move(logger)), limiter_(limits) {}

  void write(std::chrono::microseconds now, std::string_view key, spdlog::level::level_enum level,
             std::string_view text);
  /// See LogLimiter::sweep().
  void sweep(std::chrono::microseconds now);

 private:
  void summarise(std::string_view key, std::uint64_t held_back);

  std::shared_ptr<spdlog::logger> logger_;
  LogLimiter limiter_;
};

}  // namespace slotwire::engine
