#include "runtime/control/gate_protocol.hpp"

namespace slotwire::control {
namespace {

void put(std::string& bytes, std::uint32_t value) {
  for (unsigned shift = 0; shift < 32; shift += 8) bytes += static_cast<char>((value >> shift) & 0xffU);
}

std::uint32_t get(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (unsigned i = 0; i < 4; ++i) value |= std::uint32_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  return value;
}

}  // namespace

std::string encode_gate(const GatePacket& packet) {
  std::string bytes;
  bytes.reserve(kGateHeader + packet.body.size());
  put(bytes, static_cast<std::uint32_t>(packet.kind) | (packet.last ? 0x100U : 0U));
  put(bytes, packet.channel);
  put(bytes, packet.value);
  return bytes += packet.body;
}

core::Result<GatePacket> decode_gate(std::string_view bytes) {
  if (bytes.size() < kGateHeader || bytes.size() > kGatePacket) {
    return core::Error{"a packet of " + std::to_string(bytes.size()) + " bytes"};
  }
  const std::uint32_t first = get(bytes, 0);
  const std::uint32_t kind = first & 0xffU;
  if (kind == 0 || kind > kLastGateKind || (first & ~0x1ffU) != 0) {
    return core::Error{"a packet of unknown kind " + std::to_string(first)};
  }
  GatePacket packet;
  packet.kind = static_cast<GateKind>(kind);
  packet.last = (first & 0x100U) != 0;
  packet.channel = get(bytes, 4);
  packet.value = get(bytes, 8);
  packet.body = bytes.substr(kGateHeader);
  return packet;
}

}  // namespace slotwire::control
