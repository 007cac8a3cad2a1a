// The queues between a card's host path and net_slotwire (docs/pmd.md), as a simulated card has them: a file of shared
// memory with a pair of rings for each queue, an eventfd for each receive queue and one for the card, and a socket for
// everything else. What a real card has in their place are the descriptor rings, interrupts and registers of its shell.
//
// The card listens on a unix socket (SOCK_SEQPACKET); one driver at a time. A packet of the driver is a Request, each
// is answered by a Reply. Both ends are on one host: numbers have its byte order. Neither end trusts the other:
// positions, lengths and flags are read once and checked.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/regs/regs.hpp"

namespace slotwire::driver::host_queues {

inline constexpr std::uint32_t kMagic = 0x51485753;  ///< "SWHQ"
inline constexpr std::uint32_t kVersion = 1;
inline constexpr std::uint32_t kMaxQueues = 16;
inline constexpr std::uint32_t kEntries = 256;     ///< of a ring; a power of two
inline constexpr std::uint32_t kMaxFrame = 9216;   ///< bytes of an Ethernet frame without its check sequence
inline constexpr std::uint32_t kMinFrame = 14;     ///< an Ethernet header
inline constexpr std::size_t kPositionBytes = 64;  ///< what one end writes has cache lines of its own

enum class Op : std::uint32_t {
  hello = 1,         ///< `index`: queues, 1 to kMaxQueues. Answered with the descriptors
  set = 2,           ///< `flags`: SetFlags; `index`: queues in use; `max_frame`; `mac`
  rule = 3,          ///< `rule` becomes the classifier's rule `index`
  default_rule = 4,  ///< `flags`: ClassifierAction, `index`: the queue, for frames that no rule matches
};

/// Of Op::set.
inline constexpr std::uint32_t kRunning = 1;       ///< frames may be put into and taken out of rings
inline constexpr std::uint32_t kPromiscuous = 2;   ///< frames for every MAC address
inline constexpr std::uint32_t kAllMulticast = 4;  ///< frames for every group; else for all hosts (broadcast) alone

/// What the queues can do beside moving frames.
inline constexpr std::uint32_t kVerifiesChecksums = 1;  ///< received frames have the flags kIpGood to kL4Bad
inline constexpr std::uint32_t kMakesChecksums = 2;     ///< kMakeIp and kMakeL4
inline constexpr std::uint32_t kFilters = 4;            ///< by destination MAC address

struct Request {
  std::uint32_t op;
  std::uint32_t index;
  std::uint32_t flags;
  std::uint32_t max_frame;  ///< longer frames are not put into rings
  std::array<std::uint8_t, 6> mac;
  std::array<std::uint8_t, 2> reserved;
  std::array<std::byte, regs::kClassifierRuleBytes> rule;
};
static_assert(sizeof(Request) == 88);

struct Reply {
  std::uint32_t magic, version;
  std::uint32_t status;  ///< 0, or an errno
  // Of hello. Descriptors come with it: the memory, the card's eventfd, and one for each receive queue.
  std::uint32_t queues;
  std::uint32_t entries, entry_bytes, max_frame;
  std::uint32_t features;
  std::uint32_t rules;  ///< of the classifier, 0 if there is none
  std::uint32_t reserved;
  std::uint64_t memory_bytes;
};
static_assert(sizeof(Reply) == 48);

/// Of a received frame.
inline constexpr std::uint32_t kMarked = 1, kIpGood = 2, kIpBad = 4, kL4Good = 8, kL4Bad = 16;
/// Of a frame to be sent: the checksums that the card makes. For kMakeL4 the field holds the sum of the pseudo header.
inline constexpr std::uint32_t kMakeIp = 1, kMakeL4 = 2;

struct Entry {
  std::uint32_t length;  ///< bytes of the frame
  std::uint32_t flags;
  std::uint32_t mark;                ///< if kMarked
  std::uint16_t ip_at, ip_bytes;     ///< of kMakeIp: the IPv4 header
  std::uint16_t l4_at, checksum_at;  ///< of kMakeL4: where the sum begins, and where its field is
  std::array<std::byte, 44> reserved;
  std::array<std::byte, kMaxFrame> frame;
};
static_assert(sizeof(Entry) == 64 + kMaxFrame);

/// Positions run free. In [consumed, produced) stand entries that are ready; both ends write their own position only.
struct Ring {
  alignas(kPositionBytes) std::atomic<std::uint32_t> produced;
  alignas(kPositionBytes) std::atomic<std::uint32_t> consumed;
  alignas(
      kPositionBytes) std::atomic<std::uint32_t> armed;  ///< the driver waits: the card signals once and takes it back
  alignas(kPositionBytes) std::atomic<std::uint64_t> dropped;  ///< card: frames that found no room, or were refused
};
static_assert(sizeof(Ring) == 4 * kPositionBytes);

struct Header {
  alignas(kPositionBytes) std::atomic<std::uint32_t> link_up;  ///< card
  alignas(kPositionBytes) std::atomic<std::uint32_t> sleeps;   ///< card: signal its eventfd after a frame was produced
};

inline constexpr std::size_t kRingBytes = kEntries * sizeof(Entry);
inline constexpr std::size_t kHeaderBytes = regs::kPageBytes;
static_assert(sizeof(Header) <= kHeaderBytes);
static_assert(std::atomic<std::uint32_t>::is_always_lock_free && std::atomic<std::uint64_t>::is_always_lock_free);

/// Receive ring n (card to driver) stands at 2 n, transmit ring n at 2 n + 1.
inline constexpr std::size_t kRingsAt = kHeaderBytes;
inline constexpr std::size_t kEntriesAt = kRingsAt + 2 * std::size_t{kMaxQueues} * sizeof(Ring);
static_assert(kEntriesAt % kPositionBytes == 0);

constexpr std::size_t memory_bytes(std::uint32_t queues) {
  const std::size_t bytes = kEntriesAt + 2 * std::size_t{queues} * kRingBytes;
  return (bytes + regs::kPageBytes - 1) / regs::kPageBytes * regs::kPageBytes;
}

/// The memory behind its file, with its parts. Does not own it.
struct Memory {
  std::byte* base = nullptr;

  Header& header() const { return *reinterpret_cast<Header*>(base); }
  Ring& ring(std::uint32_t queue, bool transmit) const {
    return reinterpret_cast<Ring*>(base + kRingsAt)[2 * std::size_t{queue} + (transmit ? 1 : 0)];
  }
  Entry& entry(std::uint32_t queue, bool transmit, std::uint32_t position) const {
    std::byte* const ring = base + kEntriesAt + (2 * std::size_t{queue} + (transmit ? 1 : 0)) * kRingBytes;
    return reinterpret_cast<Entry*>(ring)[position % kEntries];
  }
};

}  // namespace slotwire::driver::host_queues
