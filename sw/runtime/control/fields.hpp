// Writing and reading the fields of control messages, as JSON. What the listings in messages.hpp are written with;
// nothing else needs it but codec.cpp.
#pragma once
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

/// Reads fields out of a JSON object that another process or machine wrote. The first field that is wrong is named in
/// problem(), and no further one is read.
class FieldReader {
 public:
  explicit FieldReader(const Json& object, std::string path = {}) : object_(object), path_(std::move(path)) {
    if (!object.is_object()) problem_ = "it is not a JSON object";
  }

  /// Empty: everything was good.
  const std::string& problem() const { return problem_; }

  template <class... Arguments>
  void must(const char* key, Arguments&&... arguments) {
    if (const Json* found = find(key, true)) read(key, *found, std::forward<Arguments>(arguments)...);
  }
  template <class... Arguments>
  void may(const char* key, Arguments&&... arguments) {
    if (const Json* found = find(key, false)) read(key, *found, std::forward<Arguments>(arguments)...);
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
    if (const Json* found = find(key, false); found != nullptr && found->empty())
      wrong(key, "is an empty list; leave it out instead");
  }
  void hex_unless_empty(const char* key, std::vector<std::byte>& value, std::size_t bytes) {
    const Json* found = find(key, false);
    if (found == nullptr) return;
    value.clear();
    if (found->is_string() && found->get_ref<const std::string&>().empty()) return;
    value.resize(bytes);
    if (!found->is_string() || !parse_hex(found->get_ref<const std::string&>(), value)) {
      value.clear();
      wrong(key, "is not a text of " + std::to_string(2 * bytes) + " hexadecimal digits");
    }
  }
  void hex64(const char* key, std::uint64_t& value) {
    const Json* found = find(key, true);
    if (found == nullptr) return;
    if (found->is_string()) {
      const std::string& text = found->get_ref<const std::string&>();
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
    const Json* found = find(key, true);
    if (found == nullptr || !list(key, *found, most)) return;
    pairs.reserve(found->size());
    for (const Json& entry : *found) {
      Pair pair;
      auto& [a, b, c] = pair;
      if (!entry.is_array() || entry.size() != 3 || !whole(entry[0], a) || !whole(entry[1], b) || !whole(entry[2], c)) {
        return wrong(key, "has an entry that is not three whole numbers from 0 to 65535");
      }
      pairs.push_back(pair);
    }
  }

 private:
  const Json* find(const char* key, bool needed) {
    if (!problem_.empty()) return nullptr;
    const auto found = object_.find(key);
    if (found != object_.end()) return &*found;
    if (needed) wrong(key, "is missing");
    return nullptr;
  }
  void wrong(const char* key, const std::string& what) { problem_ = "'" + path_ + key + "' " + what; }

  template <Whole T>
  static bool whole(const Json& value, T& number) {
    if (value.is_number_unsigned()) {
      const auto given = value.get<std::uint64_t>();
      if (!std::in_range<T>(given)) return false;
      number = static_cast<T>(given);
      return true;
    }
    if (!value.is_number_integer()) return false;
    const auto given = value.get<std::int64_t>();
    if (!std::in_range<T>(given)) return false;
    number = static_cast<T>(given);
    return true;
  }
  template <Whole T>
  static std::string range() {
    return "is not a whole number from " + std::to_string(std::numeric_limits<T>::min()) + " to " +
           std::to_string(std::numeric_limits<T>::max());
  }
  bool list(const char* key, const Json& value, std::size_t most) {
    if (!value.is_array()) return wrong(key, "is not a list"), false;
    if (value.size() > most) return wrong(key, "has more than " + std::to_string(most) + " entries"), false;
    return true;
  }

  template <Whole T>
  void read(const char* key, const Json& value, T& number) {
    if (!whole(value, number)) wrong(key, range<T>());
  }
  void read(const char* key, const Json& value, bool& flag) {
    if (!value.is_boolean()) return wrong(key, "is neither true nor false");
    flag = value.get<bool>();
  }
  void read(const char* key, const Json& value, std::string& text, TextLimit limit) {
    if (!value.is_string()) return wrong(key, "is not a text");
    const std::string& given = value.get_ref<const std::string&>();
    if (!limit.cuts && given.size() > limit.bytes) {
      return wrong(key, "is longer than " + std::to_string(limit.bytes) + " bytes");
    }
    text = given;
    cut_text(text, limit.bytes);
  }
  template <Whole T>
  void read(const char* key, const Json& value, std::vector<T>& numbers, std::size_t most) {
    if (!list(key, value, most)) return;
    numbers.clear();
    numbers.reserve(value.size());
    for (const Json& entry : value) {
      T number{};
      if (!whole(entry, number)) return wrong(key, "has an entry that " + range<T>());
      numbers.push_back(number);
    }
  }
  template <class M>
  requires std::is_class_v<M>
  void read(const char* key, const Json& value, std::vector<M>& messages, std::size_t most) {
    if (!list(key, value, most)) return;
    messages.clear();
    for (const Json& entry : value) {
      FieldReader reader(entry, path_ + key + "[].");
      M::fields(messages.emplace_back(), reader);
      if (!reader.problem().empty()) return take(reader, key);
    }
  }
  template <class M>
  requires std::is_class_v<M>
  void read(const char* key, const Json& value, M& message) {
    FieldReader reader(value, path_ + key + ".");
    M::fields(message, reader);
    if (!reader.problem().empty()) take(reader, key);
  }
  void take(const FieldReader& inner, const char* key) {
    problem_ = inner.object_.is_object() ? inner.problem_ : "'" + path_ + key + "' is not a JSON object";
  }

  const Json& object_;
  std::string path_;
  std::string problem_;
};

}  // namespace slotwire::control
