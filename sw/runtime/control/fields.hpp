// Writing and reading the fields of control messages, as JSON. What the listings in messages.hpp are written with;
// nothing else needs it but codec.cpp.
#pragma once
#include <algorithm>
#include <array>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/control/hex.hpp"

namespace slotwire::control {

using Json = nlohmann::json;

/// The longest text that a field may have, in bytes, and whether a longer one is refused or cut.
struct TextLimit {
  std::size_t bytes = 0;
  bool cuts = false;
};
constexpr TextLimit at_most(std::size_t bytes) {
  return {bytes, false};
}
constexpr TextLimit cut(std::size_t bytes) {
  return {bytes, true};
}

/// Cuts `text` to at most `bytes`, never within a character of UTF-8.
inline void cut_text(std::string& text, std::size_t bytes) {
  if (text.size() <= bytes) return;
  std::size_t end = bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) --end;
  text.resize(end);
}

template <class T>
concept Whole = std::integral<T> && !std::same_as<T, bool>;

/// Writes fields into a JSON object.
class FieldWriter {
 public:
  explicit FieldWriter(Json& object) : object_(object) {}

  template <Whole T>
  void must(const char* key, T value) {
    object_[key] = value;
  }
  void must(const char* key, bool value) { object_[key] = value; }
  void must(const char* key, const std::string& value, TextLimit limit) {
    std::string text = value;
    cut_text(text, limit.bytes);
    object_[key] = std::move(text);
  }
  template <Whole T>
  void must(const char* key, const std::vector<T>& values, std::size_t /*most*/) {
    object_[key] = values;
  }
  template <class M>
  requires std::is_class_v<M>
  void must(const char* key, const std::vector<M>& values, std::size_t /*most*/) {
    Json& list = object_[key] = Json::array();
    for (const M& value : values) {
      FieldWriter writer(list.emplace_back(Json::object()));
      M::fields(value, writer);
    }
  }
  template <class M>
  requires std::is_class_v<M>
  void must(const char* key, const M& value) {
    FieldWriter writer(object_[key] = Json::object());
    M::fields(value, writer);
  }
  template <class... Arguments>
  void may(const char* key, Arguments&&... arguments) {
    must(key, std::forward<Arguments>(arguments)...);
  }

  bool version(const char* key, std::int64_t value, std::int64_t /*own*/) {
    object_[key] = value;
    return true;
  }
  void if_true(const char* key, bool value) {
    if (value) must(key, value);
  }
  void unless_empty(const char* key, const std::string& value, TextLimit limit) {
    if (!value.empty()) must(key, value, limit);
  }
  template <Whole T>
  void list_unless_empty(const char* key, const std::vector<T>& values, std::size_t most) {
    if (!values.empty()) must(key, values, most);
  }
  void hex_unless_empty(const char* key, const std::vector<std::byte>& value, std::size_t /*bytes*/) {
    if (!value.empty()) object_[key] = hex_text(value);
  }
  void hex64(const char* key, std::uint64_t value) {
    char text[17] = {};
    std::to_chars(text, text + 16, value, 16);
    object_[key] = std::string(text);
  }
  template <class E, class Name, class FromName>
  void named(const char* key, E value, Name name, FromName /*from*/) {
    object_[key] = name(value);
  }
  template <class Pair>
  void triples(const char* key, const std::vector<Pair>& pairs, std::size_t /*most*/) {
    Json& list = object_[key] = Json::array();
    for (const auto& [a, b, c] : pairs) list.push_back({a, b, c});
  }

 private:
  Json& object_;
};

/// Writes fields as the text of a JSON object, for messages that come often.
class TextWriter {
 public:
  /// What an object begins and ends with is written here and by finish().
  explicit TextWriter(std::string& out) : out_(out) { out_ += '{'; }
  void finish() { out_ += '}'; }

  template <Whole T>
  void must(const char* key, T value) {
    begin(key);
    number(value);
  }
  void must(const char* key, bool value) {
    begin(key);
    out_ += value ? "true" : "false";
  }
  void must(const char* key, std::string_view value) {
    begin(key);
    text(value);
  }
  void must(const char* key, const std::string& value, TextLimit limit) {
    if (value.size() <= limit.bytes) return must(key, std::string_view(value));
    std::string shorter = value;
    cut_text(shorter, limit.bytes);
    must(key, std::string_view(shorter));
  }
  template <Whole T>
  void must(const char* key, const std::vector<T>& values, std::size_t /*most*/) {
    list(key, values, [&](T value) { number(value); });
  }
  template <class M>
  requires std::is_class_v<M>
  void must(const char* key, const std::vector<M>& values, std::size_t /*most*/) {
    list(key, values, [&](const M& value) { object(value); });
  }
  template <class M>
  requires(std::is_class_v<M> && !std::convertible_to<M, std::string_view>) void must(const char* key, const M& value) {
    begin(key);
    object(value);
  }
  template <class... Arguments>
  void may(const char* key, Arguments&&... arguments) {
    must(key, std::forward<Arguments>(arguments)...);
  }

  bool version(const char* key, std::int64_t value, std::int64_t /*own*/) {
    must(key, value);
    return true;
  }
  void if_true(const char* key, bool value) {
    if (value) must(key, value);
  }
  void unless_empty(const char* key, const std::string& value, TextLimit limit) {
    if (!value.empty()) must(key, value, limit);
  }
  template <Whole T>
  void list_unless_empty(const char* key, const std::vector<T>& values, std::size_t most) {
    if (!values.empty()) must(key, values, most);
  }
  void hex_unless_empty(const char* key, const std::vector<std::byte>& value, std::size_t /*bytes*/) {
    if (!value.empty()) must(key, std::string_view(hex_text(value)));
  }
  void hex64(const char* key, std::uint64_t value) {
    char digits[16];
    const char* const end = std::to_chars(digits, digits + sizeof digits, value, 16).ptr;
    must(key, std::string_view(digits, static_cast<std::size_t>(end - digits)));
  }
  template <class E, class Name, class FromName>
  void named(const char* key, E value, Name name, FromName /*from*/) {
    must(key, std::string_view(name(value)));
  }
  template <class Pair>
  void triples(const char* key, const std::vector<Pair>& pairs, std::size_t /*most*/) {
    list(key, pairs, [&](const Pair& pair) {
      const auto& [a, b, c] = pair;
      out_ += '[';
      number(a);
      out_ += ',';
      number(b);
      out_ += ',';
      number(c);
      out_ += ']';
    });
  }

 private:
  void begin(std::string_view key) {
    if (!std::exchange(first_, false)) out_ += ',';
    out_ += '"';
    out_ += key;
    out_ += "\":";
  }
  template <Whole T>
  void number(T value) {
    char digits[24];
    out_.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  }
  /// Valid UTF-8 in any case, as all that is written.
  void text(std::string_view value) {
    const bool plain =
        std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; });
    if (!plain) {
      out_ += Json(value).dump(-1, ' ', false, Json::error_handler_t::replace);
      return;
    }
    out_ += '"';
    out_ += value;
    out_ += '"';
  }
  template <class M>
  void object(const M& value) {
    TextWriter writer(out_);
    M::fields(value, writer);
    writer.finish();
  }
  template <class List, class Each>
  void list(const char* key, const List& values, const Each& each) {
    begin(key);
    out_ += '[';
    bool first = true;
    for (const auto& value : values) {
      if (!std::exchange(first, false)) out_ += ',';
      each(value);
    }
    out_ += ']';
  }

  std::string& out_;
  bool first_ = true;
};

/// A value of a Json, or none, as FieldReader wants it; PlainJson::Value is the same for a PlainJson.
class JsonValue {
 public:
  JsonValue() = default;
  explicit JsonValue(const Json& json) : json_(&json) {}
  explicit operator bool() const { return json_ != nullptr; }
  bool is_object() const { return json_->is_object(); }
  bool is_list() const { return json_->is_array(); }
  bool is_text() const { return json_->is_string(); }
  bool is_flag() const { return json_->is_boolean(); }
  bool is_unsigned() const { return json_->is_number_unsigned(); }
  std::string_view text() const { return json_->get_ref<const std::string&>(); }
  bool flag() const { return json_->get<bool>(); }
  std::size_t size() const { return json_->is_structured() ? json_->size() : 0; }
  template <Whole T>
  bool whole(T& number) const {
    if (json_->is_number_unsigned()) return fit(json_->get<std::uint64_t>(), number);
    return json_->is_number_integer() && fit(json_->get<std::int64_t>(), number);
  }
  JsonValue find(const char* key) const {
    const auto found = json_->find(key);
    return found == json_->end() ? JsonValue() : JsonValue(*found);
  }
  template <class Each>
  void for_each(Each&& each) const {
    for (const Json& entry : *json_) {
      if (!each(JsonValue(entry))) return;
    }
  }

 private:
  template <class From, Whole T>
  static bool fit(From given, T& number) {
    if (!std::in_range<T>(given)) return false;
    number = static_cast<T>(given);
    return true;
  }
  const Json* json_ = nullptr;
};

/// Reads fields out of a JSON object that another process or machine wrote. The first field that is wrong is named in
/// problem(), and no further one is read. `Value`: JsonValue or PlainJson::Value.
template <class Value>
class FieldReader {
 public:
  explicit FieldReader(const Value& object, std::string path = {}) : object_(object), path_(std::move(path)) {
    if (!object.is_object()) problem_ = "it is not a JSON object";
  }

  /// Empty: everything was good.
  const std::string& problem() const { return problem_; }

  template <class... Arguments>
  void must(const char* key, Arguments&&... arguments) {
    if (const Value found = find(key, true)) read(key, found, std::forward<Arguments>(arguments)...);
  }
  template <class... Arguments>
  void may(const char* key, Arguments&&... arguments) {
    if (const Value found = find(key, false)) read(key, found, std::forward<Arguments>(arguments)...);
  }
  bool version(const char* key, std::int64_t& value, std::int64_t own) {
    must(key, value);
    return problem_.empty() && value == own;
  }
  void if_true(const char* key, bool& value) { may(key, value); }
  void unless_empty(const char* key, std::string& value, TextLimit limit) { may(key, value, limit); }
  template <Whole T>
  void list_unless_empty(const char* key, std::vector<T>& values, std::size_t most) {
    may(key, values, most);
    if (const Value found = find(key, false); found && found.size() == 0)
      wrong(key, "is an empty list; leave it out instead");
  }
  void hex_unless_empty(const char* key, std::vector<std::byte>& value, std::size_t bytes) {
    const Value found = find(key, false);
    if (!found) return;
    value.clear();
    if (found.is_text() && found.text().empty()) return;
    value.resize(bytes);
    if (!found.is_text() || !parse_hex(found.text(), value)) {
      value.clear();
      wrong(key, "is not a text of " + std::to_string(2 * bytes) + " hexadecimal digits");
    }
  }
  void hex64(const char* key, std::uint64_t& value) {
    const Value found = find(key, true);
    if (!found) return;
    if (found.is_text()) {
      const std::string_view text = found.text();
      const char* const end = text.data() + text.size();
      const auto [stopped, error] = std::from_chars(text.data(), end, value, 16);
      if (error == std::errc{} && stopped == end) return;
    }
    wrong(key, "is not a hexadecimal number of at most 64 bits");
  }
  template <class E, class Name, class FromName>
  void named(const char* key, E& value, Name /*name*/, FromName from) {
    std::string text;
    must(key, text, cut(32));
    if (problem_.empty()) value = from(text);
  }
  template <class Pair>
  void triples(const char* key, std::vector<Pair>& pairs, std::size_t most) {
    const Value found = find(key, true);
    if (!found || !list(key, found, most)) return;
    pairs.reserve(found.size());
    found.for_each([&](const Value& entry) {
      Pair pair;
      auto& [a, b, c] = pair;
      if (!entry.is_list() || entry.size() != 3 || !numbers(entry, a, b, c)) {
        wrong(key, "has an entry that is not three whole numbers from 0 to 65535");
        return false;
      }
      pairs.push_back(pair);
      return true;
    });
  }

 private:
  Value find(const char* key, bool needed) {
    if (!problem_.empty()) return {};
    const Value found = object_.find(key);
    if (!found && needed) wrong(key, "is missing");
    return found;
  }
  void wrong(const char* key, const std::string& what) { problem_ = "'" + path_ + key + "' " + what; }

  /// The first entries of a list.
  template <Whole... T>
  static bool numbers(const Value& list, T&... number) {
    std::array<Value, sizeof...(T)> entries;
    std::size_t count = 0;
    list.for_each([&](const Value& entry) {
      entries[count] = entry;
      return ++count < entries.size();
    });
    std::size_t at = 0;
    return count == entries.size() && (... && entries[at++].whole(number));
  }
  template <Whole T>
  static std::string range() {
    return "is not a whole number from " + std::to_string(std::numeric_limits<T>::min()) + " to " +
           std::to_string(std::numeric_limits<T>::max());
  }
  bool list(const char* key, const Value& value, std::size_t most) {
    if (!value.is_list()) return wrong(key, "is not a list"), false;
    if (value.size() > most) return wrong(key, "has more than " + std::to_string(most) + " entries"), false;
    return true;
  }

  template <Whole T>
  void read(const char* key, const Value& value, T& number) {
    if (!value.whole(number)) wrong(key, range<T>());
  }
  void read(const char* key, const Value& value, bool& flag) {
    if (!value.is_flag()) return wrong(key, "is neither true nor false");
    flag = value.flag();
  }
  void read(const char* key, const Value& value, std::string& text, TextLimit limit) {
    if (!value.is_text()) return wrong(key, "is not a text");
    const std::string_view given = value.text();
    if (!limit.cuts && given.size() > limit.bytes) {
      return wrong(key, "is longer than " + std::to_string(limit.bytes) + " bytes");
    }
    text = given;
    cut_text(text, limit.bytes);
  }
  template <Whole T>
  void read(const char* key, const Value& value, std::vector<T>& numbers, std::size_t most) {
    if (!list(key, value, most)) return;
    numbers.clear();
    numbers.reserve(value.size());
    value.for_each([&](const Value& entry) {
      T number{};
      if (!entry.whole(number)) return wrong(key, "has an entry that " + range<T>()), false;
      numbers.push_back(number);
      return true;
    });
  }
  template <class M>
  requires std::is_class_v<M>
  void read(const char* key, const Value& value, std::vector<M>& messages, std::size_t most) {
    if (!list(key, value, most)) return;
    messages.clear();
    value.for_each([&](const Value& entry) {
      FieldReader reader(entry, path_ + key + "[].");
      M::fields(messages.emplace_back(), reader);
      if (!reader.problem().empty()) take(reader, key);
      return problem_.empty();
    });
  }
  template <class M>
  requires std::is_class_v<M>
  void read(const char* key, const Value& value, M& message) {
    FieldReader reader(value, path_ + key + ".");
    M::fields(message, reader);
    if (!reader.problem().empty()) take(reader, key);
  }
  void take(const FieldReader& inner, const char* key) {
    problem_ = inner.object_.is_object() ? inner.problem_ : "'" + path_ + key + "' is not a JSON object";
  }

  const Value object_;
  std::string path_;
  std::string problem_;
};

}  // namespace slotwire::control
