// What the congestion benchmarks send: a stream in which every byte says where it belongs, so that whoever receives it
// sees what was lost, came twice or came from another stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace slotwire::bench {

/// The bytes of stream `number` from `offset` on: words of 64 bits, little-endian, the first of which is the number,
/// the others count.
void fill_content(std::span<std::byte> into, std::uint64_t number, std::uint64_t offset);

/// Reads a stream of which only the content is known.
class ContentReader {
 public:
  /// The next bytes. False: they are not what comes next; the stream is wrong from here on.
  bool check(std::span<const std::byte> bytes);
  std::uint64_t bytes() const { return offset_; }
  /// Known once the first word was read.
  std::uint64_t number() const { return number_; }

 private:
  std::uint64_t number_ = 0, offset_ = 0;
};

}  // namespace slotwire::bench
