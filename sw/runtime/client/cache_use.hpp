// What all connections of a context share of the exchange cache (docs/cache.md): it is opened by the first call that
// can use it.
#pragma once
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "core/slot/record.hpp"
#include "runtime/cache/node_cache.hpp"
#include "slotwire.h"

namespace slotwire::client {

/// What a cacheable record says.
enum class CacheWord : std::uint8_t {
  keep = 0,  ///< a reply: this may be kept
  forget_key = SW_INVALIDATE_KEY,
  forget_tag = SW_INVALIDATE_TAG,
  forget_all = SW_INVALIDATE_ALL,
  tell_me = 4,  ///< from a client: it has replies that others asked for
};

/// What stands before the payload of a cacheable reply or message, followed by the key.
struct CacheHeader {
  std::uint32_t ttl_ms = 0;
  std::uint16_t key_length = 0;
  CacheWord word = CacheWord::keep;
  std::uint8_t reserved = 0;
  std::uint64_t tag = 0;
};
static_assert(sizeof(CacheHeader) == 16);

/// A cache header as it was received, and its key.
struct CacheNote {
  CacheHeader header;
  std::span<const std::byte> key;
  std::size_t bytes = 0;  ///< of both

  /// None: it is damaged.
  static std::optional<CacheNote> of(slot::RecordKind kind, std::span<const std::byte> payload) {
    CacheNote note;
    if (payload.size() < sizeof note.header) return std::nullopt;
    std::memcpy(&note.header, payload.data(), sizeof note.header);
    note.bytes = sizeof note.header + note.header.key_length;
    const bool is_reply = kind == slot::RecordKind::reply;
    if (note.header.key_length > cache::kMaxKey || note.bytes > payload.size() || note.header.reserved != 0 ||
        note.header.word > CacheWord::tell_me || is_reply != (note.header.word == CacheWord::keep))
      return std::nullopt;
    note.key = payload.subspan(sizeof note.header, note.header.key_length);
    return note;
  }
};

/// One thread.
class CacheUse {
 public:
  /// Before the first get(). `bytes`: as sw_options.cache_bytes.
  void configure(std::string socket, std::uint64_t bytes);
  /// The cache of the node. nullptr: there is none to be had, why_not() says why.
  cache::Cache* get(const std::string& node);
  const std::string& why_not() const { return why_not_; }

 private:
  std::string socket_;
  std::uint64_t bytes_ = 0;
  bool tried_ = false;
  std::shared_ptr<cache::NodeCache> opened_;
  std::string why_not_;
};

}  // namespace slotwire::client
