#include "core/inspect/inspector.hpp"

#include <algorithm>

#include "core/inspect/http.hpp"
#include "core/inspect/redis.hpp"

namespace slotwire::inspect {
namespace {

using slot::RecordHeader;
using slot::RecordKind;

/// The library's own ping (client/connection.hpp).
constexpr std::uint16_t kPing = 0xffff;
/// Methods of calls that are counted by number.
constexpr std::size_t kNumberedMethods = 16;
constexpr std::array<std::string_view, kNumberedMethods> kCalls{
    "call 0", "call 1", "call 2",  "call 3",  "call 4",  "call 5",  "call 6",  "call 7",
    "call 8", "call 9", "call 10", "call 11", "call 12", "call 13", "call 14", "call 15"};

std::string_view label_of(const RecordHeader& header) {
  switch (header.kind) {
    case RecordKind::message:
      return "message";
    case RecordKind::request:
      if (header.code == kPing) return "ping";
      return header.code < kNumberedMethods ? kCalls.at(header.code) : "call other";
    case RecordKind::reply:
      return "reply";
    case RecordKind::error:
      return "error";
    case RecordKind::cancel:
      return "cancel";
    case RecordKind::stream:
    case RecordKind::end_of_stream:
      break;
  }
  return "stream";
}

std::string summary_of(const RecordHeader& header, std::string_view label, std::uint64_t bytes) {
  std::string text(label);
  if (label == "call other") text = "call " + std::to_string(header.code);
  if (header.kind == RecordKind::error) text += ' ' + std::to_string(header.code);
  if (header.kind != RecordKind::message && label != "stream") text += " id " + std::to_string(header.id);
  text += ", " + std::to_string(bytes) + " bytes";
  if (header.kind == RecordKind::request && header.deadline_us != 0)
    text += ", deadline " + std::to_string(header.deadline_us) + " us";
  return text;
}

bool is_stream(RecordKind kind) {
  return kind == RecordKind::stream || kind == RecordKind::end_of_stream;
}

}  // namespace

Inspector::Inspector(Language language, Role role, Join join, const Limits& limits)
    : language_(language), role_(role), limits_(limits), joined_(join == Join::beginning) {
  parser_ = make_parser(language_, role_, limits_);
}

bool Inspector::refuse(std::string_view why) {
  problem_ = why;
  return false;
}

bool Inspector::begin(const RecordHeader& header, Listener& listener) {
  if (!problem_.empty()) return false;
  const auto kind = static_cast<std::uint8_t>(header.kind);
  if (kind < static_cast<std::uint8_t>(RecordKind::message) ||
      kind > static_cast<std::uint8_t>(RecordKind::end_of_stream) || !slot::flags_fit(header.kind, header.flags)) {
    return refuse("a record that is damaged");
  }
  if (header.length > limits_.record_bytes) return refuse("a record that is too large");
  passes_ = false;
  if (language_ == Language::none) return true;
  if (language_ == Language::records) return begin_of_message(header, listener);
  // The library answers pings by itself, whatever the program speaks.
  if (header.kind == RecordKind::request && header.code == kPing) return passes_ = true;
  if (!is_stream(header.kind)) return refuse("a message, not a stream of bytes");
  if (header.kind != RecordKind::end_of_stream) return true;
  if (!parser_->end() && joined_) return refuse(parser_->problem());
  return true;
}

/// Messages and calls: their headers say it all.
bool Inspector::begin_of_message(const RecordHeader& header, Listener& listener) {
  if (is_stream(header.kind)) return refuse("a stream of bytes, not messages");
  const bool first = (header.flags & slot::kFirstPart) != 0;
  const bool last = (header.flags & slot::kLastPart) != 0;
  if (first == in_parts_ && joined_) return refuse("the parts of a message out of order");
  joined_ = true;
  bytes_ = (first ? 0 : bytes_) + header.length;
  in_parts_ = !last;
  if (!last) return true;
  const std::string_view label = label_of(header);
  const std::string summary = limits_.summary_bytes == 0 ? std::string() : summary_of(header, label, bytes_);
  listener.on_message({label, std::string_view(summary).substr(0, limits_.summary_bytes)});
  return true;
}

bool Inspector::feed(std::string_view payload, Listener& listener) {
  if (!problem_.empty()) return false;
  if (parser_ == nullptr || passes_ || payload.empty()) return true;
  if (!joined_ && at_beginning_ && !may_begin(payload)) {
    passes_ = true;
    return true;
  }
  at_beginning_ = false;

  /// Notes that a message was found.
  class Noting final : public Listener {
   public:
    Noting(Listener& to, bool& found) : to_(to), found_(found) {}
    void on_message(const Message& message) override {
      found_ = true;
      to_.on_message(message);
    }

   private:
    Listener& to_;
    bool& found_;
  } noting(listener, joined_);
  if (parser_->feed(payload, noting)) return true;
  if (joined_) return refuse(parser_->problem());
  parser_ = make_parser(language_, role_, limits_);
  at_beginning_ = passes_ = true;
  return true;
}

/// Of a connection that was joined in the middle: whether a record with this payload may begin with a message. Almost
/// any line is a Redis command, for one.
bool Inspector::may_begin(std::string_view payload) const {
  const Guess likely = guess({.kind = RecordKind::stream}, payload);
  if (likely.language != language_) return false;
  if (language_ == Language::redis && role_ == Role::request) return payload.front() == '*';
  return !likely.role || *likely.role == role_;
}

void Inspector::expect_reply(bool without_body) {
  if (parser_ != nullptr) parser_->expect_reply(without_body);
}

bool is_request_label(Language language, std::string_view label) {
  constexpr std::array<std::string_view, 8> kKinds{"call other", "cancel", "error", "message",
                                                   "other",      "ping",   "reply", "stream"};
  switch (language) {
    case Language::http:
      return is_http_method_label(label);
    case Language::redis:
      return is_redis_command_label(label);
    case Language::records:
      return std::find(kKinds.begin(), kKinds.end(), label) != kKinds.end() ||
             std::find(kCalls.begin(), kCalls.end(), label) != kCalls.end();
    case Language::none:
      break;
  }
  return false;
}

Guess guess(const RecordHeader& header, std::string_view payload) {
  if (!is_stream(header.kind) || payload.empty()) return {};
  if (payload.substr(0, 7) == "HTTP/1.") return {Language::http, Role::reply};
  const std::size_t word = payload.find(' ');
  const auto is_capital = [](char c) { return c >= 'A' && c <= 'Z'; };
  if (word != 0 && word != std::string_view::npos && word + 1 < payload.size() &&
      std::all_of(payload.begin(), payload.begin() + static_cast<std::ptrdiff_t>(word), is_capital) &&
      (payload[word + 1] == '/' || payload[word + 1] == '*' || payload.substr(word + 1, 4) == "http")) {
    return {Language::http, Role::request};
  }
  const bool digit = payload.size() > 1 && payload[1] >= '0' && payload[1] <= '9';
  if (digit && std::string_view("*$:%~>").find(payload[0]) != std::string_view::npos) return {Language::redis, {}};
  if (payload.substr(0, 3) == "+OK" || payload.substr(0, 5) == "+PONG" || payload.substr(0, 4) == "-ERR")
    return {Language::redis, Role::reply};
  return {};
}

}  // namespace slotwire::inspect
