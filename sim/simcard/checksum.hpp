// The Internet checksum (RFC 1071), as network cards make it for their hosts.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace slotwire::sim {

/// The one's complement sum of `bytes` as 16-bit numbers, big-endian, an odd last byte first in its number; `start` is
/// added. Not inverted; over data with its right checksum it is 0xffff.
inline std::uint32_t internet_sum(std::span<const std::byte> bytes, std::uint32_t start = 0) {
  std::uint64_t sum = start;
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    sum += std::to_integer<std::uint32_t>(bytes[i]) << 8;
    if (i + 1 < bytes.size()) sum += std::to_integer<std::uint32_t>(bytes[i + 1]);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint32_t>(sum);
}

/// Writes the checksum of `frame` from `start` on, whose field at `at` holds what is to be added to it. False: the
/// field is not behind `start` in the frame, and nothing was done.
inline bool complete_checksum(std::span<std::byte> frame, std::size_t start, std::size_t at) {
  if (at < start || at + 2 > frame.size()) return false;
  std::uint32_t checksum = ~internet_sum(frame.subspan(start)) & 0xffff;
  if (checksum == 0) checksum = 0xffff;  // 0 would mean none to UDP, and is the same number to the others
  frame[at] = static_cast<std::byte>(checksum >> 8);
  frame[at + 1] = static_cast<std::byte>(checksum & 0xff);
  return true;
}

}  // namespace slotwire::sim
