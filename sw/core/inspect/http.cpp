#include "core/inspect/http.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <deque>
#include <optional>
#include <utility>

#include "core/inspect/http_head.hpp"

namespace slotwire::inspect {
namespace {

/// Requests whose replies are still to come, at most; beyond that a HEAD is forgotten.
constexpr std::size_t kMaxExpected = 1024;
constexpr unsigned kSwitchingProtocols = 101;
constexpr unsigned kFirstFinal = 200;
constexpr std::string_view kBehindUpgrade =
    "bytes behind a request for an upgrade that are neither a WebSocket's nor a request of a known method";
constexpr std::string_view kInsideMessage = "the stream ended inside a message";

/// What may stand in a line: everything but control characters, HTAB apart.
constexpr std::array<bool, 256> kText = [] {
  std::array<bool, 256> table{};
  for (std::size_t c = 0x20; c < table.size(); ++c) table.at(c) = c != 0x7f;
  table['\t'] = true;
  return table;
}();

/// How many bytes at the beginning of `bytes` may stand in a line. Looks at eight at a time: most of a head is text.
std::size_t text_at_front(std::string_view bytes) {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  constexpr std::uint64_t kHighs = kOnes * 0x80;
  std::size_t at = 0;
  // The first byte has to be the lowest one.
  while (std::endian::native == std::endian::little && bytes.size() - at >= sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    // The highest bit of each byte that is below 0x20 or 0x7f. A borrow can set others, above the first.
    const std::uint64_t zero_for_delete = word ^ (kOnes * 0x7f);
    const std::uint64_t controls =
        (((word - kOnes * 0x20) & ~word) | ((zero_for_delete - kOnes) & ~zero_for_delete)) & kHighs;
    if (controls == 0) {
      at += sizeof word;
      continue;
    }
    at += static_cast<std::size_t>(std::countr_zero(controls)) / 8;
    if (bytes[at] != '\t') return at;
    ++at;
  }
  while (at < bytes.size() && kText[static_cast<unsigned char>(bytes[at])]) ++at;
  return at;
}

/// The state changes with each byte and knows nothing of pieces, so that the verdict cannot depend on them.
class HttpParser final : public Parser {
 public:
  HttpParser(Role role, const Limits& limits) : role_(role), limits_(limits) {}

  bool feed(std::string_view bytes, Listener& listener) override {
    if (!problem().empty()) return false;
    while (!bytes.empty()) {
      switch (state_) {
        case State::opaque:
        case State::body_until_end:
          return true;
        case State::body:
        case State::chunk:
          skip(bytes);
          break;
        case State::after_upgrade:
          if (!take_after_upgrade(bytes, listener)) return false;
          break;
        default:
          if (!take_line(bytes, listener)) return false;
      }
    }
    return true;
  }

  bool end() override {
    if (!problem().empty()) return false;
    if ((is_start() && !has_part_of_line()) || state_ == State::opaque || state_ == State::body_until_end) return true;
    if (state_ == State::after_upgrade && behind_upgrade_.empty()) return true;
    return refuse(kInsideMessage);
  }

  void expect_reply(bool without_body) override {
    if (expected_.size() < kMaxExpected) expected_.push_back(without_body);
  }

 private:
  enum class State : std::uint8_t {
    start_line,        ///< where a message may begin
    after_empty_line,  ///< the same behind the empty line that a request may have before it
    fields,
    body,
    body_until_end,
    chunk_line,
    chunk,
    chunk_end,  ///< the CR LF of a chunk
    trailer,
    after_upgrade,  ///< where what follows a request for an upgrade is looked at
    opaque,         ///< not HTTP any more
  };

  bool has_part_of_line() const { return !line_.empty() || after_cr_; }

  bool is_start() const { return state_ == State::start_line || state_ == State::after_empty_line; }

  /// Why the byte `c` may not be the first of a line; empty: it may.
  std::string_view problem_of_first(char c) const {
    if (is_start() && c != '\r' && c != '\n' && !is_http_token(c)) return "bytes that are not HTTP/1.1";
    if (state_ == State::chunk_end && c != '\r' && c != '\n') return "a chunk that does not end with its size";
    return {};
  }

  void skip(std::string_view& bytes) {
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
    bytes.remove_prefix(n);
    left_ -= n;
    if (left_ != 0) return;
    if (state_ == State::chunk) {
      state_ = State::chunk_end;
    } else {
      finish();
    }
  }

  /// Takes bytes of a line, at most to its end, and reads it when it is complete.
  bool take_line(std::string_view& bytes, Listener& listener) {
    if (!has_part_of_line()) {
      if (const std::string_view why = problem_of_first(bytes.front()); !why.empty()) return refuse(why);
    }
    const std::size_t most = std::min(bytes.size(), limits_.head_bytes - used_);
    std::size_t at = after_cr_ ? 0 : text_at_front(bytes.substr(0, most));
    const std::string_view part = bytes.substr(0, at);
    if (at < most && !after_cr_) {
      if (bytes[at] != '\r') {
        return refuse(bytes[at] == '\n' ? "a line that ends with LF alone" : "a control character in a line");
      }
      after_cr_ = true;
      ++at;
    }
    const bool complete = after_cr_ && at < most;
    if (complete && bytes[at++] != '\n') return refuse("a carriage return without a line feed");
    used_ += at;
    if (!complete && at < bytes.size()) return refuse("a head or a chunk's line that is too large");
    bytes.remove_prefix(at);
    if (!complete) {
      line_ += part;
      return true;
    }
    after_cr_ = false;
    if (line_.empty()) return read_line(part, listener);
    line_ += part;
    const bool good = read_line(line_, listener);
    line_.clear();
    return good;
  }

  bool read_line(std::string_view line, Listener& listener) {
    switch (state_) {
      case State::start_line:
      case State::after_empty_line:
        return read_start_line(line);
      case State::fields:
        return line.empty() ? end_head(listener) : accept(head_->field(line));
      case State::chunk_line:
        return read_chunk_line(line);
      case State::chunk_end:
        used_ = 0;
        state_ = State::chunk_line;
        return true;
      default:
        if (!line.empty()) return accept(head_->trailer(line));
        finish();
        return true;
    }
  }

  bool accept(std::string_view problem) { return problem.empty() || refuse(problem); }

  bool read_start_line(std::string_view line) {
    if (line.empty()) {
      // RFC 9112, 2.2: a server ignores at least one empty line before a request-line. Replies have none.
      if (role_ == Role::reply || state_ == State::after_empty_line)
        return refuse("an empty line instead of a message");
      state_ = State::after_empty_line;
      used_ = 0;
      return true;
    }
    state_ = State::fields;
    head_.emplace(role_, limits_);
    // Without a space it is none in any case.
    const std::string_view method = line.substr(0, line.find(' ') + 1);
    if (std::exchange(known_method_, false) && !begins_http_method(method)) return refuse(kBehindUpgrade);
    return accept(head_->start_line(line));
  }

  bool read_chunk_line(std::string_view line) {
    used_ = 0;
    if (!accept(parse_chunk_line(line, left_))) return false;
    state_ = left_ == 0 ? State::trailer : State::chunk;
    return true;
  }

  bool end_head(Listener& listener) {
    if (!accept(head_->end(!expected_.empty() && expected_.front()))) return false;
    listener.on_message(head_->message());
    used_ = 0;
    switch (head_->body()) {
      case HttpBody::none:
        finish();
        break;
      case HttpBody::length:
        state_ = State::body;
        left_ = head_->length();
        break;
      case HttpBody::chunked:
        state_ = State::chunk_line;
        break;
      case HttpBody::until_end:
        state_ = State::body_until_end;
        break;
    }
    return true;
  }

  /// The message is complete.
  void finish() {
    used_ = 0;
    state_ = State::start_line;
    if (head_->is_upgrade()) {
      state_ = State::after_upgrade;
      known_method_ = true;
    }
    if (role_ == Role::reply) {
      if (head_->status() == kSwitchingProtocols) state_ = State::opaque;
      if (head_->status() >= kFirstFinal && !expected_.empty()) expected_.pop_front();
    }
    head_.reset();
  }

  /// Of what follows a request for an upgrade: a server that does not want it reads on, and a caller must not get a
  /// request past the inspection in this way. So it is either a request of a method that is known, or what no server
  /// takes for one: a WebSocket begins with no byte that servers skip before a request, and what its client sends is
  /// masked: of its second byte the first bit is set.
  bool take_after_upgrade(std::string_view& bytes, Listener& listener) {
    const char c = bytes.front();
    if (behind_upgrade_.empty() && is_skipped(c)) {
      state_ = State::start_line;
      return true;
    }
    bytes.remove_prefix(1);
    constexpr unsigned char kMasked = 0x80;
    if (behind_upgrade_.size() == 1 && static_cast<unsigned char>(c) >= kMasked) {
      behind_upgrade_.clear();
      known_method_ = false;
      state_ = State::opaque;
      return true;
    }
    behind_upgrade_ += c;
    // The first byte alone does not tell.
    if (behind_upgrade_.size() > 1 && !begins_http_method(behind_upgrade_)) return refuse(kBehindUpgrade);
    if (c != ' ') return true;
    state_ = State::start_line;
    const std::string again = std::exchange(behind_upgrade_, {});
    std::string_view rest = again;
    return take_line(rest, listener);
  }

  /// White space for somebody: Python takes lines for Latin-1.
  static bool is_skipped(char c) {
    constexpr std::string_view kSpaces = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0";
    return kSpaces.find(c) != std::string_view::npos;
  }

  const Role role_;
  const Limits limits_;
  State state_ = State::start_line;
  std::optional<HttpHead> head_;
  std::string line_;            ///< the beginning of a line that is not complete
  std::size_t used_ = 0;        ///< bytes of the head, the chunk's line or the trailer so far
  std::uint64_t left_ = 0;      ///< bytes of the body or the chunk still to come
  std::deque<bool> expected_;   ///< replies without a body or with one, oldest first
  std::string behind_upgrade_;  ///< what followed a request for an upgrade, as far as it does not tell what it is
  bool known_method_ = false;   ///< the next request must have a method that is known
  bool after_cr_ = false;
};

}  // namespace

bool is_http_method_label(std::string_view label) {
  return http_method_label(label) == label;
}

std::unique_ptr<Parser> make_http_parser(Role role, const Limits& limits) {
  return std::make_unique<HttpParser>(role, limits);
}

}  // namespace slotwire::inspect
