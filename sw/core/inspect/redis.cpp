#include "core/inspect/redis.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

namespace slotwire::inspect {
namespace {

/// Longest line that holds a number, its type included and its CR LF not.
constexpr std::size_t kMaxNumberLine = 32;
/// Of a string that names a command or a key, what is looked at.
constexpr std::size_t kKeptBytes = 64;

/// Commands that are counted by name. Others are "other": a label is never what a stranger wrote.
constexpr std::array<std::string_view, 54> kCommands{
    "APPEND",     "AUTH",     "BLPOP",     "BRPOP",   "CLIENT",      "CLUSTER", "COMMAND", "CONFIG", "DECR",
    "DEL",        "DISCARD",  "ECHO",      "EVAL",    "EVALSHA",     "EXEC",    "EXISTS",  "EXPIRE", "GET",
    "HDEL",       "HELLO",    "HGET",      "HGETALL", "HMGET",       "HSET",    "INCR",    "INCRBY", "INFO",
    "KEYS",       "LLEN",     "LPOP",      "LPUSH",   "LRANGE",      "MGET",    "MSET",    "MULTI",  "PING",
    "PSUBSCRIBE", "PUBLISH",  "QUIT",      "RPOP",    "RPUSH",       "SADD",    "SCAN",    "SELECT", "SET",
    "SETEX",      "SMEMBERS", "SUBSCRIBE", "TTL",     "UNSUBSCRIBE", "WATCH",   "XADD",    "ZADD",   "ZRANGE"};
static_assert(std::is_sorted(kCommands.begin(), kCommands.end()));

char upper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

bool is_command_character(char c) {
  const char u = upper(c);
  return (u >= 'A' && u <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.' || c == '|';
}

std::string_view label_of_command(std::string_view command) {
  std::string name(command);
  std::transform(name.begin(), name.end(), name.begin(), upper);
  const auto found = std::lower_bound(kCommands.begin(), kCommands.end(), name);
  return found != kCommands.end() && *found == name ? *found : "other";
}

/// Commands whose arguments are secrets.
bool has_secrets(std::string_view label) {
  return label == "AUTH" || label == "HELLO" || label == "CONFIG";
}

class RedisParser final : public Parser {
 public:
  RedisParser(Role role, const Limits& limits) : role_(role), limits_(limits) {}

  bool feed(std::string_view bytes, Listener& listener) override {
    if (!problem().empty()) return false;
    while (!bytes.empty()) {
      if (skip_ != 0) {
        skip(bytes);
      } else if (ends_ != 0) {
        if (bytes.front() != (ends_ == 2 ? '\r' : '\n')) return refuse("a string that is not followed by CR LF");
        bytes.remove_prefix(1);
        if (--ends_ == 0) value_done(listener);
      } else if (!read_line(bytes, listener)) {
        return false;
      }
    }
    return true;
  }

  bool end() override {
    if (!problem().empty()) return false;
    return is_between() ? true : refuse("the stream ended inside a message");
  }

 private:
  bool is_between() const { return open_.empty() && line_.empty() && skip_ == 0 && ends_ == 0; }

  /// Takes bytes of a string.
  void skip(std::string_view& bytes) {
    const std::size_t n = static_cast<std::size_t>(std::min<std::uint64_t>(skip_, bytes.size()));
    if (keeps_) {
      std::string& text = values_ == 0 ? first_ : second_;
      text += bytes.substr(0, std::min(n, kKeptBytes - std::min(kKeptBytes, text.size())));
    }
    skip_ -= n;
    bytes.remove_prefix(n);
  }

  bool read_line(std::string_view& bytes, Listener& listener) {
    const std::size_t feed = bytes.find('\n');
    const std::string_view part = bytes.substr(0, feed);
    if (line_.size() + part.size() > most_of_line(part)) return refuse("a line that is too long");
    line_ += part;
    if (feed == std::string_view::npos) {
      bytes = {};
      return true;
    }
    bytes.remove_prefix(feed + 1);
    if (line_.empty() || line_.back() != '\r') {
      // Redis takes inline commands that end by a line feed alone.
      if (role_ != Role::request || !open_.empty() || (!line_.empty() && line_.front() == '*'))
        return refuse("a line without a carriage return");
    } else {
      line_.pop_back();
    }
    const bool good = take_line(listener);
    line_.clear();
    return good;
  }

  std::size_t most_of_line(std::string_view part) const {
    const std::string_view whole = line_.empty() ? part : std::string_view(line_);
    const char type = whole.empty() ? '\0' : whole.front();
    const bool text = role_ == Role::request ? open_.empty() && type != '*' : type == '+' || type == '-' || type == '(';
    return text ? limits_.head_bytes : kMaxNumberLine + 1;
  }

  bool take_line(Listener& listener) {
    if (open_.empty()) begin();
    return role_ == Role::request ? take_request_line(listener) : take_reply_line(listener);
  }

  void begin() {
    first_.clear();
    second_.clear();
    values_ = elements_ = 0;
  }

  bool take_request_line(Listener& listener) {
    if (open_.empty()) {
      if (line_.empty() || line_.front() != '*') return take_inline(listener);
      std::int64_t count = 0;
      if (!number(count)) return refuse("an array whose length is no number");
      if (count <= 0) return true;  // a server ignores it
      return open(static_cast<std::uint64_t>(count));
    }
    if (line_.empty() || line_.front() != '$') return refuse("a command whose arguments are not strings");
    return take_string();
  }

  bool take_inline(Listener& listener) {
    std::string_view rest = line_;
    const auto word = [&] {
      rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
      const std::string_view found = rest.substr(0, rest.find_first_of(" \t"));
      rest.remove_prefix(found.size());
      return found;
    };
    const std::string_view command = word();
    if (command.empty()) return true;
    if (!std::all_of(command.begin(), command.end(), is_command_character)) return refuse("a line that is no command");
    first_ = command.substr(0, kKeptBytes);
    values_ = 1;
    for (std::string_view argument = word(); !argument.empty(); argument = word()) {
      if (values_++ == 1) second_ = argument.substr(0, kKeptBytes);
    }
    tell_request(listener);
    return true;
  }

  bool take_reply_line(Listener& listener) {
    if (line_.empty()) return refuse("an empty line");
    const char type = line_.front();
    if (open_.empty()) first_ = line_.substr(0, limits_.summary_bytes);
    if (open_.empty()) type_ = type;
    switch (type) {
      case '+':
      case '-':
        value_done(listener);
        return true;
      case '(':
      case ':':
      case ',':
      case '#':
      case '_':
        if (!is_plain(type)) return refuse("a value that is damaged");
        value_done(listener);
        return true;
      case '$':
      case '!':
      case '=':
        if (line_ == "$-1") {
          value_done(listener);
          return true;
        }
        return take_string();
      case '*':
      case '~':
      case '>':
      case '%':
      case '|':
        return take_aggregate(type, listener);
      default:
        return refuse("a type that is not known");
    }
  }

  bool is_plain(char type) const {
    const std::string_view value = std::string_view(line_).substr(1);
    if (type == '_') return value.empty();
    if (type == '#') return value == "t" || value == "f";
    if (value.empty()) return false;
    if (type == ',') return std::all_of(value.begin(), value.end(), [](char c) { return c > ' ' && c < 0x7f; });
    const std::string_view digits = value.front() == '-' || value.front() == '+' ? value.substr(1) : value;
    return !digits.empty() && std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
  }

  bool take_aggregate(char type, Listener& listener) {
    if (line_ == "*-1") {
      value_done(listener);
      return true;
    }
    std::int64_t count = 0;
    if (!number(count) || count < 0) return refuse("an array whose length is no number");
    auto elements = static_cast<std::uint64_t>(count);
    if (elements > limits_.elements) return refuse("an array that is too large");
    if (type == '%' || type == '|') elements *= 2;
    if (type == '|') ++elements;  // attributes stand before the value that they are of
    if (elements != 0) return open(elements);
    value_done(listener);
    return true;
  }

  bool open(std::uint64_t elements) {
    if (open_.size() == limits_.depth) return refuse("arrays that are too deep in one another");
    elements_ += elements;
    if (elements_ > limits_.elements) return refuse("an array that is too large");
    open_.push_back(elements);
    return true;
  }

  bool take_string() {
    std::int64_t length = 0;
    if (!number(length) || length < 0) return refuse("a string whose length is no number");
    if (static_cast<std::uint64_t>(length) > limits_.bulk_bytes) return refuse("a string that is too long");
    skip_ = static_cast<std::uint64_t>(length);
    ends_ = 2;
    keeps_ = role_ == Role::request && values_ < 2;
    return true;
  }

  bool number(std::int64_t& out) const {
    const std::string_view digits = std::string_view(line_).substr(1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
    return !digits.empty() && error == std::errc{} && end == digits.data() + digits.size();
  }

  /// One value is complete; with it those that it was the last element of.
  void value_done(Listener& listener) {
    ++values_;
    while (!open_.empty() && --open_.back() == 0) open_.pop_back();
    if (!open_.empty()) return;
    if (role_ == Role::request) {
      tell_request(listener);
    } else {
      tell_reply(listener);
    }
  }

  void tell_request(Listener& listener) {
    const std::string_view label = label_of_command(first_);
    std::string summary;
    if (limits_.summary_bytes != 0) {
      append_printable(summary, first_, kKeptBytes);
      if (values_ > 1 && !has_secrets(label)) {
        summary += ' ';
        append_printable(summary, second_, kKeptBytes);
      }
      const std::uint64_t shown = has_secrets(label) ? 1 : 2;
      if (values_ > shown) summary += " and " + std::to_string(values_ - shown) + " more";
    }
    listener.on_message({label, std::string_view(summary).substr(0, limits_.summary_bytes)});
  }

  void tell_reply(Listener& listener) {
    std::string summary;
    append_printable(summary, first_, limits_.summary_bytes);
    if (values_ > 1) summary += ", " + std::to_string(values_) + " values";
    listener.on_message({label_of_type(type_), std::string_view(summary).substr(0, limits_.summary_bytes)});
  }

  static std::string_view label_of_type(char type) {
    switch (type) {
      case '-':
      case '!':
        return "error";
      case '>':
        return "push";
      default:
        return "reply";
    }
  }

  const Role role_;
  const Limits limits_;
  std::string line_;                         ///< as far as it is there
  std::vector<std::uint64_t> open_;          ///< elements still to come of the arrays that are open
  std::uint64_t skip_ = 0;                   ///< bytes of a string still to come
  unsigned ends_ = 0;                        ///< bytes of the CR LF after it still to come
  bool keeps_ = false;                       ///< the string is one that is looked at
  std::string first_, second_;               ///< of a request: command and first argument; of a reply: its first line
  std::uint64_t values_ = 0, elements_ = 0;  ///< of the message, complete and announced
  char type_ = '\0';                         ///< of a reply
};

}  // namespace

bool is_redis_command_label(std::string_view label) {
  return label == "other" || label_of_command(label) == label;
}

std::unique_ptr<Parser> make_redis_parser(Role role, const Limits& limits) {
  return std::make_unique<RedisParser>(role, limits);
}

}  // namespace slotwire::inspect
