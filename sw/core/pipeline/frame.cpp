#include "core/pipeline/frame.hpp"

#include <algorithm>
#include <array>

#include "core/pipeline/crc32c.hpp"

namespace slotwire::pipeline {
namespace {

static_assert(regs::kHdrCrc + sizeof(std::uint32_t) == regs::kHeaderBytes, "the CRC is the header's last field");

template <std::size_t Offset, typename Integer>
void put(HeaderBytes out, Integer value) {
  static_assert(Offset + sizeof(Integer) <= regs::kHeaderBytes);
  for (std::size_t n = 0; n < sizeof(Integer); ++n) {
    out[Offset + n] = static_cast<std::byte>((value >> (8 * (sizeof(Integer) - 1 - n))) & 0xff);
  }
}

template <std::size_t Offset, typename Integer>
Integer get(ConstHeaderBytes in) {
  static_assert(Offset + sizeof(Integer) <= regs::kHeaderBytes);
  std::uint32_t value = 0;
  for (std::size_t n = 0; n < sizeof(Integer); ++n) {
    value = (value << 8) | std::to_integer<std::uint32_t>(in[Offset + n]);
  }
  return static_cast<Integer>(value);
}

}  // namespace

void encode(const Header& header, HeaderBytes out) {
  const auto type = static_cast<unsigned>(header.type);
  put<regs::kHdrVersionType>(out, static_cast<std::uint8_t>(((header.version & 0xfU) << 4) | (type & 0xfU)));
  put<regs::kHdrFlags>(out, header.flags);
  put<regs::kHdrDstSlot>(out, header.dst_slot);
  put<regs::kHdrSrcSlot>(out, header.src_slot);
  put<regs::kHdrEpoch>(out, header.epoch);
  put<regs::kHdrSeq>(out, header.seq);
  put<regs::kHdrAck>(out, header.ack);
  put<regs::kHdrCredit>(out, header.credit);
  put<regs::kHdrCrc>(out, header.crc);
}

Header decode(ConstHeaderBytes in) {
  const auto version_type = get<regs::kHdrVersionType, std::uint8_t>(in);
  Header header;
  header.version = static_cast<std::uint8_t>(version_type >> 4);
  header.type = static_cast<regs::FrameType>(version_type & 0xf);
  header.flags = get<regs::kHdrFlags, std::uint8_t>(in);
  header.dst_slot = get<regs::kHdrDstSlot, std::uint16_t>(in);
  header.src_slot = get<regs::kHdrSrcSlot, std::uint16_t>(in);
  header.epoch = get<regs::kHdrEpoch, std::uint16_t>(in);
  header.seq = get<regs::kHdrSeq, std::uint32_t>(in);
  header.ack = get<regs::kHdrAck, std::uint32_t>(in);
  header.credit = get<regs::kHdrCredit, std::uint16_t>(in);
  header.crc = get<regs::kHdrCrc, std::uint32_t>(in);
  return header;
}

std::uint32_t frame_crc(ConstHeaderBytes header, std::span<const std::byte> payload) {
  std::array<std::byte, regs::kHeaderBytes> without_crc{};
  std::copy_n(header.begin(), regs::kHdrCrc, without_crc.begin());
  return crc32c(crc32c(0, without_crc), payload);
}

}  // namespace slotwire::pipeline
