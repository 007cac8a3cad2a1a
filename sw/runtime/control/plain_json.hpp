// JSON as the codec itself writes it: objects, lists, whole numbers and texts of printable ASCII without escapes. Such
// a text is read without copying or allocating anything; the codec leaves all others to a full parser, and takes from
// both the same.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace slotwire::control {

/// A parsed text. Refers to the text, which must outlive it. One thread.
class PlainJson {
  enum class Kind : std::uint8_t { nothing, flag, number, negative, text, list, object };
  struct Node {
    Kind kind;
    std::uint32_t size;    ///< entries
    std::uint32_t after;   ///< the node behind the last one within it
    std::uint64_t number;  ///< two's complement; of a flag 0 or 1
    std::string_view key;  ///< in an object
    std::string_view text;
  };

 public:
  /// Values in one text, those within others included. A text with more is not plain.
  static constexpr std::size_t kMaxValues = 96;
  /// Objects and lists within each other. A deeper text is not plain.
  static constexpr unsigned kMaxDepth = 8;

  /// A value, or none. Refers to the PlainJson.
  class Value {
   public:
    Value() = default;
    explicit operator bool() const { return json_ != nullptr; }
    bool is_object() const { return kind() == Kind::object; }
    bool is_list() const { return kind() == Kind::list; }
    bool is_text() const { return kind() == Kind::text; }
    bool is_flag() const { return kind() == Kind::flag; }
    /// A number that is written without a sign.
    bool is_unsigned() const { return kind() == Kind::number; }
    std::string_view text() const { return node().text; }
    bool flag() const { return node().number != 0; }
    /// Entries of a list or an object; 0: of anything else.
    std::size_t size() const { return node().size; }
    /// False: it is not a whole number, or not one of T.
    template <class T>
    bool whole(T& number) const {
      if (kind() != Kind::number && kind() != Kind::negative) return false;
      const auto given = static_cast<std::int64_t>(node().number);
      if (!std::in_range<T>(given)) return false;
      number = static_cast<T>(given);
      return true;
    }
    /// Of an object: what it has under this key, the last one if it has several.
    Value find(std::string_view key) const;
    /// Calls `each(Value)` for the entries in turn, until it returns false.
    template <class Each>
    void for_each(Each&& each) const {
      std::size_t at = index_ + 1;
      for (std::size_t i = 0; i < size(); ++i, at = json_->nodes_[at].after) {
        if (!each(Value(json_, at))) return;
      }
    }

   private:
    friend class PlainJson;
    Value(const PlainJson* json, std::size_t index) : json_(json), index_(index) {}
    const Node& node() const { return json_->nodes_[index_]; }
    Kind kind() const { return node().kind; }

    const PlainJson* json_ = nullptr;
    std::size_t index_ = 0;
  };

  PlainJson() = default;
  PlainJson(const PlainJson&) = delete;
  PlainJson& operator=(const PlainJson&) = delete;

  /// False: `text` is not plain. It may be JSON all the same.
  bool parse(std::string_view text);
  /// After parse() returned true.
  Value root() const { return {this, 0}; }

 private:
  void skip_space();
  bool take(char wanted);
  bool take_word(std::string_view word);
  bool take_text(std::string_view& text);
  bool take_number(Node& node);
  bool take_entries(Node& node, char end, unsigned depth);
  bool take_value(std::string_view key, unsigned depth);

  std::string_view left_;
  std::size_t count_ = 0;
  std::array<Node, kMaxValues> nodes_;  ///< in the order of the text; only count_ of them have been written
};

}  // namespace slotwire::control
