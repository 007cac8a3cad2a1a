// The link header and a frame: one header and whole lines. docs/protocol.md is the reference.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "core/regs/regs.hpp"

namespace slotwire::pipeline {

/// The fields of a link header in host order. `crc` is as frame_crc() gives it.
struct Header {
  std::uint8_t version = regs::kVersion;
  regs::FrameType type = regs::FrameType::data;
  std::uint8_t flags = 0;
  std::uint16_t dst_slot = 0;
  std::uint16_t src_slot = 0;
  std::uint16_t epoch = 0;
  std::uint32_t seq = 0;     ///< line number of the first payload line
  std::uint32_t ack = 0;     ///< next line expected from the peer
  std::uint16_t credit = 0;  ///< lines the peer may send from `ack` on
  std::uint32_t crc = 0;

  bool operator==(const Header&) const = default;
};

using HeaderBytes = std::span<std::byte, regs::kHeaderBytes>;
using ConstHeaderBytes = std::span<const std::byte, regs::kHeaderBytes>;

/// Writes `header` in wire order (big-endian), its crc as it stands.
void encode(const Header& header, HeaderBytes out);
/// Reads a header as it stands; nothing is checked.
Header decode(ConstHeaderBytes in);
/// The field of that name alone: it says to whom a frame goes.
inline std::uint16_t destination_slot(ConstHeaderBytes in) {
  return static_cast<std::uint16_t>(std::to_integer<unsigned>(in[regs::kHdrDstSlot]) << 8U |
                                    std::to_integer<unsigned>(in[regs::kHdrDstSlot + 1]));
}
/// CRC-32C over the header with its crc field zero, then the payload.
std::uint32_t frame_crc(ConstHeaderBytes header, std::span<const std::byte> payload);

/// One frame on its way out. The payload points into the slot's ring: it must be sent (or copied) before the pipeline
/// is called again. Lives on the caller's stack or in its set-up-time arrays.
struct TxFrame {
  std::uint16_t link = 0;
  std::uint16_t slot = 0;  ///< the sending slot, for counters and capture; not part of the wire
  std::byte header[regs::kHeaderBytes];
  std::span<const std::byte> payload;  ///< 0 or whole lines
};

}  // namespace slotwire::pipeline
