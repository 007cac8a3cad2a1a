// An item in a shard's log: a header, the key and the value.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "core/cache/layout.hpp"

namespace slotwire::cache {

/// Number of words that were written to a log before a place in it.
using Position = std::uint64_t;

/// A decoded header. In the log: word 0 has the length of the value and the low half of the item's position, word 1 the
/// time to live, the length of the key, the service and flags, word 2 the time at which the request was sent, and word
/// 3, if there is one, the tag. The key begins with the next word, the value with the byte after the key.
struct Item {
  static constexpr std::size_t kHeaderWords = 3;

  Position position = 0;
  std::uint32_t value_length = 0;
  std::uint32_t ttl_ms = 0;
  std::uint16_t key_length = 0;
  std::uint8_t service = 0;
  bool filler = false;  ///< only skips `words` words
  std::uint64_t asked = 0;
  std::uint64_t tag = 0;
  std::size_t words = 0;  ///< of all of it

  std::size_t header_words() const { return kHeaderWords + (tag != 0 ? 1 : 0); }
  std::size_t value_offset() const { return (header_words() * sizeof(std::uint64_t)) + key_length; }

  static std::size_t words_for(std::size_t key_length, std::size_t value_length, bool tagged) {
    const std::size_t bytes = ((kHeaderWords + (tagged ? 1 : 0)) * sizeof(std::uint64_t)) + key_length + value_length;
    return (bytes + sizeof(std::uint64_t) - 1) / sizeof(std::uint64_t);
  }

  static constexpr std::uint8_t kFiller = 1, kTagged = 2;

  std::array<std::uint64_t, kHeaderWords + 1> encode() const {
    const std::uint64_t length = filler ? words : value_length;
    const auto flags = static_cast<std::uint64_t>((filler ? kFiller : 0) | (tag != 0 ? kTagged : 0));
    return {(length << 32) | static_cast<std::uint32_t>(position),
            (flags << 56) | (std::uint64_t{service} << 48) | (std::uint64_t{key_length} << 32) | ttl_ms, asked, tag};
  }
  /// Decodes the header at `position`, where `room` words follow to the end of the log. None: there is no item here.
  static std::optional<Item> decode(std::span<const Word> at, Position position) {
    if (at.size() < kHeaderWords) return std::nullopt;
    const std::uint64_t first = at[0].load(std::memory_order_relaxed);
    const std::uint64_t second = at[1].load(std::memory_order_relaxed);
    if (static_cast<std::uint32_t>(first) != static_cast<std::uint32_t>(position)) return std::nullopt;
    const auto flags = static_cast<std::uint8_t>(second >> 56);
    Item item;
    item.position = position;
    item.asked = at[2].load(std::memory_order_relaxed);
    item.ttl_ms = static_cast<std::uint32_t>(second);
    item.key_length = static_cast<std::uint16_t>(second >> 32);
    item.service = static_cast<std::uint8_t>(second >> 48);
    if ((flags & kFiller) != 0) {
      item.filler = true;
      item.words = first >> 32;
      if (item.words != at.size()) return std::nullopt;  // it reaches to the end of the log
      return item;
    }
    item.value_length = static_cast<std::uint32_t>(first >> 32);
    const bool tagged = (flags & kTagged) != 0;
    item.words = words_for(item.key_length, item.value_length, tagged);
    if (item.words > at.size() || item.key_length > kMaxInnerKey || item.service >= kMaxServices) return std::nullopt;
    if (tagged) {
      item.tag = at[3].load(std::memory_order_relaxed);
      if (item.tag == 0) return std::nullopt;
    }
    return item;
  }
};

/// Whether the bytes at a word are these.
inline bool equals(std::span<const Word> at, std::span<const std::byte> bytes) {
  for (std::size_t i = 0; i * sizeof(std::uint64_t) < bytes.size(); ++i) {
    const std::uint64_t word = at[i].load(std::memory_order_relaxed);
    const std::span<const std::byte> part = bytes.subspan(i * sizeof word);
    if (std::memcmp(&word, part.data(), std::min(sizeof word, part.size())) != 0) return false;
  }
  return true;
}

/// Copies words out; `to` has room for all of them.
inline void load_words(std::span<const Word> from, std::byte* to) {
  for (const Word& word : from) {
    const std::uint64_t value = word.load(std::memory_order_relaxed);
    std::memcpy(to, &value, sizeof value);
    to += sizeof value;
  }
}

}  // namespace slotwire::cache
