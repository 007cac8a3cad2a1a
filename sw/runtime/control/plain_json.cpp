#include "runtime/control/plain_json.hpp"

namespace slotwire::control {

PlainJson::Value PlainJson::Value::find(std::string_view key) const {
  Value found;
  for_each([&](const Value& value) {
    if (value.node().key == key) found = value;
    return true;
  });
  return found;
}

bool PlainJson::parse(std::string_view text) {
  left_ = text;
  count_ = 0;
  if (!take_value({}, 0)) return false;
  skip_space();
  return left_.empty();
}

void PlainJson::skip_space() {
  while (!left_.empty() && (left_[0] == ' ' || left_[0] == '\t' || left_[0] == '\n' || left_[0] == '\r')) {
    left_.remove_prefix(1);
  }
}

bool PlainJson::take(char wanted) {
  skip_space();
  if (left_.empty() || left_[0] != wanted) return false;
  left_.remove_prefix(1);
  return true;
}

bool PlainJson::take_word(std::string_view word) {
  if (!left_.starts_with(word)) return false;
  left_.remove_prefix(word.size());
  return true;
}

bool PlainJson::take_text(std::string_view& text) {
  if (!take('"')) return false;
  for (std::size_t i = 0; i < left_.size(); ++i) {
    const char c = left_[i];
    if (c == '"') {
      text = left_.substr(0, i);
      left_.remove_prefix(i + 1);
      return true;
    }
    if (c < ' ' || c > '~' || c == '\\') return false;
  }
  return false;
}

/// Whole, of so few digits that it fits. What comes after it is for the caller to judge: a point or an exponent is
/// nothing that may follow a value.
bool PlainJson::take_number(Node& node) {
  constexpr std::size_t kMaxDigits = 18;
  const bool negative = take_word("-");
  std::size_t digits = 0;
  std::uint64_t number = 0;
  for (; digits < left_.size() && left_[digits] >= '0' && left_[digits] <= '9'; ++digits) {
    if (digits == kMaxDigits) return false;
    number = (number * 10) + static_cast<unsigned>(left_[digits] - '0');
  }
  if (digits == 0 || (digits > 1 && left_[0] == '0')) return false;
  left_.remove_prefix(digits);
  node.kind = negative ? Kind::negative : Kind::number;
  node.number = negative ? 0 - number : number;
  return true;
}

bool PlainJson::take_entries(Node& node, char end, unsigned depth) {
  if (depth == kMaxDepth) return false;
  if (take(end)) return true;
  do {
    std::string_view key;
    if (end == '}' && (!take_text(key) || !take(':'))) return false;
    if (!take_value(key, depth + 1)) return false;
    ++node.size;
  } while (take(','));
  return take(end);
}

bool PlainJson::take_value(std::string_view key, unsigned depth) {
  if (count_ == kMaxValues) return false;
  Node& node = nodes_[count_++];
  node = {Kind::nothing, 0, 0, 0, key, {}};
  skip_space();
  bool good = false;
  switch (left_.empty() ? '\0' : left_[0]) {
    case '{':
      node.kind = Kind::object;
      good = take('{') && take_entries(node, '}', depth);
      break;
    case '[':
      node.kind = Kind::list;
      good = take('[') && take_entries(node, ']', depth);
      break;
    case '"':
      node.kind = Kind::text;
      good = take_text(node.text);
      break;
    case 't':
      node.kind = Kind::flag;
      node.number = 1;
      good = take_word("true");
      break;
    case 'f':
      node.kind = Kind::flag;
      good = take_word("false");
      break;
    case 'n':
      good = take_word("null");
      break;
    default:
      good = take_number(node);
      break;
  }
  node.after = static_cast<std::uint32_t>(count_);
  return good;
}

}  // namespace slotwire::control
