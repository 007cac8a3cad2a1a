// A cache in memory of its own, and values that say what they belong to.
#pragma once
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "core/cache/cache.hpp"

namespace slotwire::cache::test {

inline constexpr Time kMs = 1'000'000;
inline constexpr std::size_t kMiB = std::size_t{1} << 20;

/// Zeroed memory, aligned as a mapping is.
class Memory {
 public:
  explicit Memory(std::size_t bytes)
      : bytes_(bytes), data_(static_cast<std::byte*>(std::aligned_alloc(4096, bytes)), std::free) {
    std::memset(data_.get(), 0, bytes);
  }
  std::span<std::byte> span() const { return {data_.get(), bytes_}; }

 private:
  std::size_t bytes_;
  std::unique_ptr<std::byte, decltype(&std::free)> data_;
};

/// The text stays the caller's: a Key that is kept needs one that stays.
inline std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

/// One process's view of a cache of so many bytes.
struct Owned {
  explicit Owned(std::size_t bytes, Owner self = 1) : memory(bytes) {
    Cache::format(memory.span(), 4711);
    EXPECT_EQ(Cache::check(memory.span()), "");
    cache.emplace(memory.span(), self, [](Owner) { return true; });
    service = *cache->service("svc");
  }
  Key key(const std::string& text) const { return cache->key(service, bytes_of(text)); }
  Stored store(const std::string& text, const std::string& value, Time asked, std::uint32_t ttl_ms = 1000,
               std::uint64_t tag = 0, bool wanted = false) {
    return cache->store(key(text), {bytes_of(value), asked, ttl_ms, tag}, asked, wanted);
  }
  /// The value; "(none)" if there is none.
  std::string find(const std::string& text, Time now) {
    const auto found = cache->find(key(text), now, buffer);
    if (!found) return "(none)";
    return {reinterpret_cast<const char*>(buffer.data()) + found->offset, found->length};
  }
  Memory memory;
  std::optional<Cache> cache;
  ServiceId service = 0;
  std::vector<std::byte> buffer;
};

}  // namespace slotwire::cache::test
