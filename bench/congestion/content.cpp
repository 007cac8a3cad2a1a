#include "content.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace slotwire::bench {
namespace {

constexpr std::size_t kWord = sizeof(std::uint64_t);
/// Streams differ in the bits above, so a word of another stream is wrong at any place.
constexpr unsigned kCountBits = 40;

std::uint64_t word(std::uint64_t number, std::uint64_t index) {
  return index == 0 ? number : (number << kCountBits) ^ index;
}

std::byte byte_of(std::uint64_t number, std::uint64_t offset) {
  return static_cast<std::byte>(word(number, offset / kWord) >> (8 * (offset % kWord)));
}

}  // namespace

void fill_content(std::span<std::byte> into, std::uint64_t number, std::uint64_t offset) {
  std::size_t done = 0;
  const auto by_bytes = [&](std::size_t until) {
    for (; done < until; ++done) into[done] = byte_of(number, offset + done);
  };
  by_bytes(std::min(into.size(), (kWord - (offset % kWord)) % kWord));
  for (; into.size() - done >= kWord; done += kWord) {
    const std::uint64_t value = word(number, (offset + done) / kWord);
    std::memcpy(&into[done], &value, kWord);
  }
  by_bytes(into.size());
}

bool ContentReader::check(std::span<const std::byte> bytes) {
  while (!bytes.empty() && offset_ < kWord) {
    number_ |= std::to_integer<std::uint64_t>(bytes.front()) << (8 * offset_);
    ++offset_;
    bytes = bytes.subspan(1);
  }
  std::array<std::byte, 4096> expected;
  while (!bytes.empty()) {
    const auto part = std::span(expected).first(std::min(bytes.size(), expected.size()));
    fill_content(part, number_, offset_);
    if (std::memcmp(part.data(), bytes.data(), part.size()) != 0) return false;
    offset_ += part.size();
    bytes = bytes.subspan(part.size());
  }
  return true;
}

}  // namespace slotwire::bench
