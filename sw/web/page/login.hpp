// Who may look: a token, and the sessions of browsers that showed it.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace slotwire::web {

/// One thread. Times are arguments.
class Login {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kMaxSessions = 64;  ///< the oldest goes for a new one
  static constexpr std::chrono::hours kSessionTime{12};
  static constexpr std::size_t kMinToken = 16;  ///< bytes

  explicit Login(std::string token) : token_(std::move(token)) {}

  bool is_token(std::string_view text) const;
  /// A new session's name, to be given to the browser as a cookie.
  std::string begin(Clock::time_point now);
  bool is_session(std::string_view name, Clock::time_point now);
  void end(std::string_view name);

 private:
  std::string token_;
  std::map<std::string, Clock::time_point, std::less<>> sessions_;  ///< by name; when each began
};

/// 128 random bits in hex.
std::string random_name();
/// The value of cookie `name` in a Cookie header; empty: it is not there.
std::string_view cookie(std::string_view header, std::string_view name);

}  // namespace slotwire::web
