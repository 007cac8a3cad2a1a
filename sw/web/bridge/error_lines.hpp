// What applications print for people (standard error of FastCGI and of processes), on its way to the bridge's log:
// bounded, so that a script in a loop does not fill a disk. No clock, no sockets.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "web/bridge/loop.hpp"

namespace slotwire::web::bridge {

/// What all applications of one bridge may print.
struct ErrorLineOptions {
  std::size_t lines = 50;                          ///< in a second
  std::size_t bytes = std::size_t{64} << 10U;      ///< in a second, as they are logged
  std::size_t line_bytes = std::size_t{2} << 10U;  ///< of one line; the rest of a longer one is left out
};

/// One thread. Seconds begin with the first line after the one before has ended.
class ErrorLines {
 public:
  using Note = std::function<void(const std::string&)>;
  static constexpr Clock::duration kSecond = std::chrono::seconds(1);

  ErrorLines(const ErrorLineOptions& options, Note note) : options_(options), note_(std::move(note)) {}

  /// Logs "TITLE: TEXT" with control characters escaped, or counts the line as left out. `more`: bytes of the line
  /// that the caller has not kept; it keeps at most ErrorLineOptions::line_bytes.
  void add(Clock::time_point now, const std::string& title, std::string_view text, std::size_t more = 0);
  /// Lines were left out in a second that has not ended: call tick() at its end.
  bool has_left_out() const { return lines_left_out_ != 0; }
  Clock::time_point end_of_second() const { return began_ + kSecond; }
  /// Says how many lines were left out, if their second has ended.
  void tick(Clock::time_point now);

 private:
  const ErrorLineOptions options_;
  Note note_;
  Clock::time_point began_{};
  std::size_t lines_ = 0, bytes_ = 0;  ///< logged in this second
  std::uint64_t lines_left_out_ = 0, bytes_left_out_ = 0;
};

}  // namespace slotwire::web::bridge
