// CRC-32C (Castagnoli), the checksum of a frame: polynomial 0x1EDC6F41, reflected, start and final complement.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace slotwire::pipeline {

/// The CRC-32C of what was run through before (`running`, 0 at the start) followed by `bytes`, in host order. So
/// crc32c(crc32c(0, a), b) is the CRC of a and b one after the other, and crc32c(0, a) is the finished CRC of a.
/// Any length and alignment. Takes the fastest version that the processor has. Any thread.
std::uint32_t crc32c(std::uint32_t running, std::span<const std::byte> bytes);

/// The same with tables only; for comparison and for processors without a CRC instruction.
std::uint32_t crc32c_portable(std::uint32_t running, std::span<const std::byte> bytes);

/// The same with the CRC instruction of SSE4.2. Call it only where crc32c_has_sse42(); on other processors than x86-64
/// it is crc32c_portable().
std::uint32_t crc32c_sse42(std::uint32_t running, std::span<const std::byte> bytes);
bool crc32c_has_sse42();

/// The version that crc32c() takes here: "sse4.2" or "portable".
std::string_view crc32c_version();

}  // namespace slotwire::pipeline
