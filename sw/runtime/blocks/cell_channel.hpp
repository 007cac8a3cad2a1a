// What a process and slotwired say to each other about a cell: the process's own directory in a region whose isolation
// is strict. Packets of the channel, over SOCK_SEQPACKET.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/control/packet_socket.hpp"

namespace slotwire::blocks {

enum class CellWord : std::uint32_t {
  make = 1,     ///< process: wants a list of `bytes`; answered by `made` or `refused`
  made = 2,     ///< the list's file comes along, to be mapped writable
  refused = 3,  ///< `text` says why
  list = 4,     ///< slotwired: list `number` of its own comes along, for reading
  dropped = 5,  ///< either side: its list `number` is not used any more
  changed = 6,  ///< process: it has changed the directory
};

struct CellMessage {
  CellWord word = CellWord::changed;
  std::uint32_t number = 0;
  std::uint64_t bytes = 0;
  std::string text{};
};

/// Largest packet; a longer text is cut.
inline constexpr std::size_t kMaxCellPacket = 512;
/// What a socket's buffers are sized for: a hundred packets or so, with their descriptors.
inline constexpr std::size_t kCellSocketText = 16384;
/// Packets without a descriptor that wait for a side that does not read.
inline constexpr std::size_t kMaxCellQueue = 64;

std::string encode(const CellMessage& message);
/// Nothing: it is none.
std::optional<CellMessage> decode_cell_message(std::string_view packet);

}  // namespace slotwire::blocks
