// What slotwired and its keeper say to each other over a unix SOCK_SEQPACKET: a datagram, and an answer to each, in
// their order. Several removals may be under way, and nothing else beside another request.
// Private to the keeper's code.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/slot/memory.hpp"

namespace slotwire::engine {

inline constexpr std::uint32_t kKeeperMagic = 0x534b4550;  ///< "SKEP"
inline constexpr std::uint16_t kKeeperVersion = 1;
inline constexpr std::size_t kMaxFdsPerTag = 4;

enum class KeeperOp : std::uint16_t {
  store = 1,   ///< keep the descriptors that come along under `tag`
  remove = 2,  ///< close what is under `tag`
  list = 3,    ///< the first entry whose tag is `tag` or more
  quit = 4,    ///< close everything and end
};

enum class KeeperStatus : std::uint16_t {
  ok = 0,
  busy = 1,     ///< greeting: another slotwired is attached, `pid` is its
  exists = 2,   ///< store: there is something under the tag
  unknown = 3,  ///< remove: there is nothing under the tag
  full = 4,     ///< store: a limit is reached, or memory is out
  end = 5,      ///< list: no further entry
};

/// Both ends are the same machine and user, so host order and layout; a keeper of another version is told by `version`.
struct KeeperRequest {
  std::uint32_t magic = kKeeperMagic;
  std::uint16_t version = kKeeperVersion;
  std::uint16_t op = 0;
  std::uint64_t tag = 0;
};
static_assert(sizeof(KeeperRequest) == 16);

/// The answer to a request, and the greeting that the keeper sends first.
struct KeeperReply {
  std::uint32_t magic = kKeeperMagic;
  std::uint16_t version = kKeeperVersion;
  std::uint16_t status = 0;
  std::uint64_t tag = 0;
  std::int32_t pid = 0;       ///< greeting: the attached slotwired's if busy, else the keeper's own
  std::uint32_t entries = 0;  ///< greeting: how many there are
};
static_assert(sizeof(KeeperReply) == 24);

/// Sends one datagram with descriptors. False with errno on failure; never raises SIGPIPE.
bool send_datagram(int socket, std::span<const std::byte> bytes, std::span<const int> fds, int flags);

enum class Received : std::uint8_t {
  message,
  nothing,    ///< non-blocking and empty, or a timeout
  closed,     ///< the other end is gone
  malformed,  ///< another size than `bytes`, or more descriptors than fit or than this process may open
};

/// Receives one datagram of exactly bytes.size() and its descriptors (close-on-exec), at most kMaxFdsPerTag.
Received receive_datagram(int socket, std::span<std::byte> bytes, std::vector<slot::Fd>& fds, int flags);

}  // namespace slotwire::engine
