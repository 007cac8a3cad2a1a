#include "core/pipeline/crc32c.hpp"

#include <array>
#include <atomic>
#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace slotwire::pipeline {
namespace {

/// The polynomial 0x1EDC6F41 with its bits reversed.
constexpr std::uint32_t kPolynomial = 0x82f63b78;

using ByteTable = std::array<std::uint32_t, 256>;

constexpr ByteTable make_byte_table() {
  ByteTable table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    }
    table[byte] = crc;
  }
  return table;
}

constexpr ByteTable kByteTable = make_byte_table();

constexpr std::uint32_t step(std::uint32_t crc, std::uint32_t byte) {
  return kByteTable[(crc ^ byte) & 0xff] ^ (crc >> 8);
}

/// Entry [k][b]: the effect of byte b with k more bytes after it.
constexpr std::array<ByteTable, 8> make_slices() {
  std::array<ByteTable, 8> slices{};
  slices[0] = kByteTable;
  for (std::size_t k = 1; k < 8; ++k) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      slices[k][byte] = step(slices[k - 1][byte], 0);
    }
  }
  return slices;
}

constexpr std::array<ByteTable, 8> kSlices = make_slices();

/// Eight bytes, the first one in the lowest bits whatever the machine.
std::uint64_t load64(const std::byte* from) {
  std::uint64_t value = 0;
  std::memcpy(&value, from, sizeof value);
  if constexpr (std::endian::native == std::endian::big) {
    value = __builtin_bswap64(value);
  }
  return value;
}

#if defined(__x86_64__)

/// What `bytes` zero bytes do to a running CRC. That is linear over the 32 bits, so it is four tables, one to each byte
/// of it.
using ZeroTable = std::array<ByteTable, 4>;

constexpr ZeroTable make_zero_table(std::size_t bytes) {
  std::array<std::uint32_t, 32> moved{};
  for (std::size_t bit = 0; bit < 32; ++bit) {
    std::uint32_t crc = std::uint32_t{1} << bit;
    for (std::size_t n = 0; n < bytes; ++n) {
      crc = step(crc, 0);
    }
    moved[bit] = crc;
  }
  ZeroTable table{};
  for (std::size_t k = 0; k < 4; ++k) {
    for (std::size_t byte = 1; byte < 256; ++byte) {
      const auto low = static_cast<std::size_t>(std::countr_zero(byte));
      table[k][byte] = table[k][byte & (byte - 1)] ^ moved[8 * k + low];
    }
  }
  return table;
}

std::uint32_t after_zeros(const ZeroTable& table, std::uint32_t crc) {
  return table[0][crc & 0xff] ^ table[1][(crc >> 8) & 0xff] ^ table[2][(crc >> 16) & 0xff] ^ table[3][crc >> 24];
}

// The CRC instruction takes three clocks but starts every clock: three lanes of a run keep it busy. Long lanes are
// seven lines, so that a full frame at MTU 1500 (22 lines) is one round; short ones are one line each.
constexpr std::size_t kLongLane = 448;
constexpr std::size_t kShortLane = 64;
constexpr ZeroTable kAfterLongLane = make_zero_table(kLongLane);
constexpr ZeroTable kAfterShortLane = make_zero_table(kShortLane);

/// Runs three lanes of `Lane` bytes at once and puts their CRCs together.
template <std::size_t Lane>
__attribute__((target("sse4.2"))) std::uint32_t three_lanes(std::uint32_t crc, const std::byte* from,
                                                            const ZeroTable& after_lane) {
  static_assert(Lane % sizeof(std::uint64_t) == 0);
  std::uint64_t first = crc;
  std::uint64_t second = 0;
  std::uint64_t third = 0;
  for (std::size_t at = 0; at < Lane; at += sizeof(std::uint64_t)) {
    first = _mm_crc32_u64(first, load64(from + at));
    second = _mm_crc32_u64(second, load64(from + Lane + at));
    third = _mm_crc32_u64(third, load64(from + 2 * Lane + at));
  }
  std::uint32_t joined =
      after_zeros(after_lane, static_cast<std::uint32_t>(first)) ^ static_cast<std::uint32_t>(second);
  joined = after_zeros(after_lane, joined) ^ static_cast<std::uint32_t>(third);
  return joined;
}

#endif

using Version = std::uint32_t (*)(std::uint32_t, std::span<const std::byte>);

/// The first call finds out which version to take; later calls go straight to it.
std::uint32_t choose(std::uint32_t running, std::span<const std::byte> bytes);

// Relaxed everywhere: whichever pointer a thread sees gives the same result.
constinit std::atomic<Version> chosen{&choose};

std::uint32_t choose(std::uint32_t running, std::span<const std::byte> bytes) {
  const Version version = crc32c_has_sse42() ? &crc32c_sse42 : &crc32c_portable;
  chosen.store(version, std::memory_order_relaxed);
  return version(running, bytes);
}

}  // namespace

std::uint32_t crc32c(std::uint32_t running, std::span<const std::byte> bytes) {
  return chosen.load(std::memory_order_relaxed)(running, bytes);
}

std::uint32_t crc32c_portable(std::uint32_t running, std::span<const std::byte> bytes) {
  const std::byte* from = bytes.data();
  std::size_t left = bytes.size();
  std::uint32_t crc = ~running;
  for (; left >= 8; left -= 8, from += 8) {
    const std::uint64_t word = load64(from) ^ crc;
    crc = kSlices[7][word & 0xff] ^ kSlices[6][(word >> 8) & 0xff] ^ kSlices[5][(word >> 16) & 0xff] ^
          kSlices[4][(word >> 24) & 0xff] ^ kSlices[3][(word >> 32) & 0xff] ^ kSlices[2][(word >> 40) & 0xff] ^
          kSlices[1][(word >> 48) & 0xff] ^ kSlices[0][word >> 56];
  }
  for (; left > 0; --left, ++from) {
    crc = step(crc, std::to_integer<std::uint32_t>(*from));
  }
  return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) std::uint32_t crc32c_sse42(std::uint32_t running, std::span<const std::byte> bytes) {
  const std::byte* from = bytes.data();
  std::size_t left = bytes.size();
  std::uint32_t crc = ~running;
  for (; left >= 3 * kLongLane; left -= 3 * kLongLane, from += 3 * kLongLane) {
    crc = three_lanes<kLongLane>(crc, from, kAfterLongLane);
  }
  for (; left >= 3 * kShortLane; left -= 3 * kShortLane, from += 3 * kShortLane) {
    crc = three_lanes<kShortLane>(crc, from, kAfterShortLane);
  }
  std::uint64_t wide = crc;
  for (; left >= sizeof(std::uint64_t); left -= sizeof(std::uint64_t), from += sizeof(std::uint64_t)) {
    wide = _mm_crc32_u64(wide, load64(from));
  }
  crc = static_cast<std::uint32_t>(wide);
  for (; left > 0; --left, ++from) {
    crc = _mm_crc32_u8(crc, std::to_integer<unsigned char>(*from));
  }
  return ~crc;
}

bool crc32c_has_sse42() {
  return __builtin_cpu_supports("sse4.2") != 0;
}

#else

std::uint32_t crc32c_sse42(std::uint32_t running, std::span<const std::byte> bytes) {
  return crc32c_portable(running, bytes);
}

bool crc32c_has_sse42() {
  return false;
}

#endif

std::string_view crc32c_version() {
  return crc32c_has_sse42() ? "sse4.2" : "portable";
}

}  // namespace slotwire::pipeline
