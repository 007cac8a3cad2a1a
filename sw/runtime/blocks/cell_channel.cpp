#include "runtime/blocks/cell_channel.hpp"

#include <algorithm>
#include <cstring>

namespace slotwire::blocks {
namespace {

/// Both ends are the same machine: host order and layout.
struct Head {
  std::uint32_t word;
  std::uint32_t number;
  std::uint64_t bytes;
};

}  // namespace

std::string encode(const CellMessage& message) {
  const Head head{static_cast<std::uint32_t>(message.word), message.number, message.bytes};
  std::string packet(sizeof head, '\0');
  std::memcpy(packet.data(), &head, sizeof head);
  return packet + message.text.substr(0, kMaxCellPacket - sizeof head);
}

std::optional<CellMessage> decode_cell_message(std::string_view packet) {
  Head head{};
  if (packet.size() < sizeof head) return std::nullopt;
  std::memcpy(&head, packet.data(), sizeof head);
  if (head.word < static_cast<std::uint32_t>(CellWord::make) ||
      head.word > static_cast<std::uint32_t>(CellWord::changed))
    return std::nullopt;
  return CellMessage{static_cast<CellWord>(head.word), head.number, head.bytes,
                     std::string(packet.substr(sizeof head))};
}

}  // namespace slotwire::blocks
