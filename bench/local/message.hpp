// What the messages of a measurement look like, and how they are written and checked.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <string>

#include "contender.hpp"

namespace slotwire::bench {

/// The first bytes of every message.
struct Header {
  std::uint64_t sequence;  ///< from 1, below kFlags
  std::uint64_t time;      ///< ticks: when it was to be sent (Kind::open_one_way); how long its lull took (answers)
};
/// The upper bits of Header::sequence: kLast in the last message, and in Kind::open_one_way the number of the series.
inline constexpr std::uint64_t kLast = std::uint64_t{1} << 63;
inline constexpr unsigned kSeriesShift = 56;
inline constexpr std::uint64_t kFlags = ~((std::uint64_t{1} << kSeriesShift) - 1);
/// Which series a message belongs to: 0 is what comes before, 1 the first load.
inline std::size_t series_of(const Header& header) {
  return (header.sequence & ~kLast) >> kSeriesShift;
}
inline constexpr std::size_t kSmallest = 32;

/// A message buffer on cache lines.
class Buffer {
 public:
  explicit Buffer(std::size_t size) : bytes_(std::max(size, std::size_t{64})) {
    data_.reset(static_cast<std::byte*>(::operator new (bytes_, std::align_val_t{4096})));
    std::memset(data_.get(), 0x5a, bytes_);
  }
  std::byte* data() const { return data_.get(); }
  std::span<std::byte> first(std::size_t size) const { return {data_.get(), size}; }

 private:
  struct Free {
    void operator()(std::byte* p) const { ::operator delete (p, std::align_val_t{4096}); }
  };
  std::size_t bytes_;
  std::unique_ptr<std::byte, Free> data_;
};

/// Writes all of a message's contents, different in each message.
inline void fill_contents(std::span<std::byte> into, std::uint64_t sequence) {
  std::memset(into.data() + sizeof(Header), static_cast<int>(sequence & 0x7f), into.size() - sizeof(Header));
}

inline void write_header(std::span<std::byte> into, const Header& header) {
  std::memcpy(into.data(), &header, sizeof header);
}

/// Pauses so that the other side falls asleep. Returns the ticks that it took, which are no part of what is measured.
inline std::uint64_t lull(const Clock& clock) {
  const std::uint64_t begin = clock.now();
  const timespec time{.tv_sec = 0, .tv_nsec = static_cast<long>(kLullNs)};
  ::nanosleep(&time, nullptr);
  return clock.now() - begin;
}

/// Reads one word of each cache line, as whoever uses a message does at least.
inline void read_lines(Bytes message) {
  std::uint64_t sum = 0;
  for (std::size_t at = 0; at + 8 <= message.size(); at += 64) {
    std::uint64_t word = 0;
    std::memcpy(&word, message.data() + at, sizeof word);
    sum += word;
  }
  asm volatile("" : : "r"(sum));
}

/// One side: checks what arrives, counts it, and tells the harness what is wrong by an exception.
class Checker {
 public:
  explicit Checker(const Setup& setup) : setup_(setup) {}
  /// Returns whether it is the last one.
  bool take(Bytes message, Header* header = nullptr) {
    Header found{};
    if (message.size() != setup_.size()) complain("has " + std::to_string(message.size()) + " bytes");
    std::memcpy(&found, message.data(), sizeof found);
    const std::uint64_t sequence = found.sequence & ~kFlags;
    if (sequence != expected_) complain("is number " + std::to_string(sequence));
    if (setup_.job().kind == Kind::loan && message.back() != static_cast<std::byte>(sequence & 0x7f))
      complain("has contents that were not written");
    if (setup_.job().verify != 0) {
      const Bytes contents = message.subspan(sizeof found);
      // All bytes are the same: the first is right, and each is like the one before it.
      if (contents[0] != static_cast<std::byte>(sequence & 0x7f) ||
          std::memcmp(contents.data(), contents.data() + 1, contents.size() - 1) != 0)
        complain("is damaged");
    }
    ++expected_;
    if (header != nullptr) *header = found;
    return (found.sequence & kLast) != 0;
  }
  std::uint64_t count() const { return expected_ - 1; }

 private:
  [[noreturn]] void complain(const std::string& what) const {
    throw std::runtime_error("message " + std::to_string(expected_) + " " + what);
  }
  const Setup& setup_;
  std::uint64_t expected_ = 1;
};

}  // namespace slotwire::bench
