// The end of slotwired, asked for while it starts: its signals are blocked, and nothing reads them yet.
#pragma once
#include <csignal>
#include <stdexcept>
#include <string>

namespace slotwire::engine {

/// SIGTERM or SIGINT has come and waits.
inline bool stop_is_requested() {
  sigset_t pending;
  ::sigemptyset(&pending);
  return ::sigpending(&pending) == 0 && (::sigismember(&pending, SIGTERM) == 1 || ::sigismember(&pending, SIGINT) == 1);
}

/// Thrown by what waits during the start; slotwired ends as if it had run.
class StoppedAtStart : public std::runtime_error {
 public:
  explicit StoppedAtStart(const std::string& meanwhile)
      : std::runtime_error("it was asked to end while " + meanwhile) {}
};

}  // namespace slotwire::engine
