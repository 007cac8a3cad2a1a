#include "runtime/control/gate_protocol.hpp"

#include <utility>

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

/// Before each message of a batch: its channel and its length.
constexpr std::size_t kBatchHeader = 8;

}  // namespace

bool GateBatch::add(std::uint32_t channel, std::string_view message) {
  if (body_.size() + kBatchHeader + message.size() > kGateBody) return false;
  put(body_, channel);
  put(body_, static_cast<std::uint32_t>(message.size()));
  body_ += message;
  return true;
}

GatePacket GateBatch::take() {
  return {GateKind::messages, true, 0, 0, std::exchange(body_, {})};
}

core::Result<std::vector<GateMessage>> read_batch(const GatePacket& packet) {
  std::vector<GateMessage> messages;
  for (std::string_view left = packet.body; !left.empty();) {
    if (left.size() < kBatchHeader) return core::Error{"a batch that ends within a length"};
    const std::uint32_t channel = get(left, 0), size = get(left, 4);
    left.remove_prefix(kBatchHeader);
    if (size == 0 || size > left.size())
      return core::Error{"a message of " + std::to_string(size) + " bytes in a batch"};
    messages.push_back({channel, left.substr(0, size)});
    left.remove_prefix(size);
  }
  if (messages.empty()) return core::Error{"an empty batch"};
  return messages;
}

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
