// Marks, tables, counters and the link header of Slotwire.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace slotwire::regs {

/// Bytes in a line, the unit of everything.
inline constexpr std::size_t kLineBytes = 64;
/// Bytes in a mark page.
inline constexpr std::size_t kPageBytes = 4096;
/// Largest ring, as a power of two in lines (32768 lines, 2 MiB); a credit must fit 16 bits.
inline constexpr unsigned kMaxRingOrder = 15;
/// Most slots that the 16-bit slot number can name.
inline constexpr std::size_t kMaxSlots = 65536;
/// Protocol version in the top four bits of the first header byte.
inline constexpr unsigned kVersion = 1;

// The mark page (a space file's first page).
inline constexpr std::size_t kMarkTail = 0x00;
inline constexpr std::size_t kMarkHead = 0x40;
inline constexpr std::size_t kMarkWait = 0x80;

// The bell page of a session.
inline constexpr std::size_t kBellSummary = 0x000;
inline constexpr std::size_t kBellWords = 0x040;
inline constexpr std::size_t kBellWordCount = 64;
// The polled page of a session.
inline constexpr std::size_t kPolled = 0x00;

// The link header, big-endian.
inline constexpr std::size_t kHeaderBytes = 22;
inline constexpr std::size_t kHdrVersionType = 0;
inline constexpr std::size_t kHdrFlags = 1;
inline constexpr std::size_t kHdrDstSlot = 2;
inline constexpr std::size_t kHdrSrcSlot = 4;
inline constexpr std::size_t kHdrEpoch = 6;
inline constexpr std::size_t kHdrSeq = 8;
inline constexpr std::size_t kHdrAck = 12;
inline constexpr std::size_t kHdrCredit = 16;
inline constexpr std::size_t kHdrCrc = 18;

enum class FrameType : std::uint8_t { data = 0, ack = 1, nak = 2, probe = 3, reset = 4 };

/// State of a slot's row.
enum class SlotState : std::uint8_t { free = 0, bound = 1, faulted = 2, reset = 3 };
/// Why a slot was faulted.
enum class Fault : std::uint8_t { none = 0, in_tail = 1, out_head = 2, peer_reset = 3, memory = 4, admin = 5 };

/// Flags of a slot's row.
inline constexpr std::uint8_t kRowAckNow = 0x01;
inline constexpr std::uint8_t kRowNakNow = 0x02;
inline constexpr std::uint8_t kRowProbeNow = 0x04;
inline constexpr std::uint8_t kRowResetNow = 0x08;
inline constexpr std::uint8_t kRowNakSent = 0x10;
inline constexpr std::uint8_t kRowTxTimer = 0x20;
inline constexpr std::uint8_t kRowAckTimer = 0x40;

/// One row of the slot table: one line. Admin memory; no process maps it. Positions are free-running line counters.
struct SlotRow {
  std::uint8_t state;          ///< SlotState
  std::uint8_t in_order;       ///< input ring size = 2^in_order lines
  std::uint8_t out_order;      ///< output ring size = 2^out_order lines
  std::uint8_t fault;          ///< Fault
  std::uint16_t link;          ///< link that the pairing goes over
  std::uint16_t peer_slot;     ///< slot number at the other end
  std::uint16_t epoch;         ///< random per pairing
  std::uint8_t flags;          ///< kRow... bits
  std::uint8_t backoff;        ///< doublings of the retransmission timeout
  std::uint32_t in_tail;       ///< last accepted IN_TAIL
  std::uint32_t sent;          ///< next line to send
  std::uint32_t in_head;       ///< oldest unacknowledged line: IN_HEAD
  std::uint32_t limit;         ///< first line that the peer has no room for
  std::uint32_t out_tail;      ///< next expected line: OUT_TAIL
  std::uint32_t out_head;      ///< last accepted OUT_HEAD
  std::uint32_t told_ack;      ///< ack in the last frame sent
  std::uint32_t told_limit;    ///< ack + credit in the last frame sent
  std::uint32_t tx_deadline;   ///< retransmission or probe timer, microseconds
  std::uint32_t ack_deadline;  ///< delayed acknowledgement timer, microseconds
  std::uint32_t high;          ///< line after the highest ever sent, to count what is sent again
  std::uint32_t reserved[2];
};
static_assert(sizeof(SlotRow) == kLineBytes);

/// Every event that the pipeline counts.
enum class Counter : std::uint8_t {
  tx_frames, tx_lines, tx_lines_again, tx_acks, tx_naks, tx_probes, tx_resets,
  rx_frames, rx_lines, rx_acks, rx_naks, rx_probes, rx_resets, timeouts,
  drop_short, drop_version, drop_type, drop_length, drop_crc, drop_slot, drop_unbound, drop_faulted,
  drop_link, drop_peer_slot, drop_epoch, drop_ack, drop_gap, drop_duplicate, drop_overrun,
  fault_in_tail, fault_out_head,
};
inline constexpr std::size_t kCounterCount = 31;

}  // namespace slotwire::regs
