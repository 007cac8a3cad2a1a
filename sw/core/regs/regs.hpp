// Generated from hw/regs/slotwire.toml by python3 hw/regs/generate.py. Do not edit: change that file and run the command.
// Marks, tables, counters and the link header of Slotwire. docs/registers.md is the same for reading.
// Offsets and sizes are in bytes unless a name says otherwise. Everything here is constant: any thread may use it.
// clang-format off
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace slotwire::regs {

/// Bytes in a line, the unit of everything.
inline constexpr std::size_t kLineBytes = 64;
/// Bytes in a mark page, and in every other page described here.
inline constexpr std::size_t kPageBytes = 4096;
/// Largest ring, as a power of two in lines (32768 lines, 2 MiB); a credit must fit 16 bits.
inline constexpr unsigned kMaxRingOrder = 15;
/// Most slots that the 16-bit slot number can name.
inline constexpr std::size_t kMaxSlots = 65536;
/// Protocol version in the top four bits of the first header byte (0 to 15).
inline constexpr unsigned kVersion = 1;
/// Lowest bit of the link header's flags that counts frames which arrived with a congestion mark (ECN CE).
inline constexpr unsigned kHdrMarkedShift = 2;
/// Most marked frames that one link header can tell of.
inline constexpr unsigned kHdrMarkedMax = 63;
/// UDP port that frames go to unless the configuration says otherwise.
inline constexpr std::uint16_t kUdpPort = 7401;
/// Card address of the capability page.
inline constexpr std::size_t kCardCapabilities = 0;
/// Card address of the control page.
inline constexpr std::size_t kCardControl = 4096;
/// Card address of the classifier's page: the rules for the host's frames.
inline constexpr std::size_t kCardClassifier = 8192;
/// Bits of the queue in what stands beside a frame for the host (tuser), from bit 0 on.
inline constexpr unsigned kVerdictQueueBits = 8;
/// Bits of the mark, behind the queue.
inline constexpr unsigned kVerdictMarkBits = 24;
/// All of them; the last one tells that there is a mark.
inline constexpr unsigned kVerdictBits = 33;
/// Card address of the slot table; row n stands at n times the bytes of a line.
inline constexpr std::size_t kCardSlotRows = 1048576;
/// Card address of the link table; row n stands at n times the bytes of a line.
inline constexpr std::size_t kCardLinkRows = 2097152;
/// Card address of the DMA table; row n stands at n times the bytes of a line.
inline constexpr std::size_t kCardDmaRows = 2621440;
/// out_base of a slot whose output ring is in host memory, where the slot's DMA row says; no line of it is in slot
/// memory.
inline constexpr unsigned kRowBaseDma = 2147483648;
/// Card address of the process pages (file A's mark page; a write is a doorbell); slot n has the page at n times the
/// bytes of a page.
inline constexpr std::size_t kCardProcessPages = 16777216;
/// Card address of the proxy pages (file B's mark page, read-only); slot n has the page at n times the bytes of a page.
inline constexpr std::size_t kCardProxyPages = 33554432;
/// Card address of the slot memory.
inline constexpr std::size_t kCardMemory = 268435456;
/// Bits of a card address.
inline constexpr unsigned kCardAddressBits = 29;
/// PCI vendor id of a card: 'SL', assigned to nobody; a product puts its own here.
inline constexpr std::uint16_t kPciVendor = 21324;
/// PCI device id of a card: 'TW'.
inline constexpr std::uint16_t kPciDevice = 21591;
/// PCI class code of a card: network controller, other.
inline constexpr unsigned kPciClass = 163840;
/// BAR of the registers and tables: card addresses from 0 on, and the MSI-X table and pending bits; 32 bits, not
/// prefetchable.
inline constexpr unsigned kPciRegistersBar = 0;
/// BAR of the doorbell pages: process page n at n pages, proxy page n at (slots + n) pages; 32 bits, not prefetchable.
inline constexpr unsigned kPciDoorbellsBar = 2;
/// BAR of the slot memory, from line 0 on; 64 bits and prefetchable, or 32 bits where the host bridge knows no others.
inline constexpr unsigned kPciMemoryBar = 4;
/// Bytes of the BAR of the registers and tables.
inline constexpr std::size_t kPciRegistersBytes = 4194304;
/// Offset of the MSI-X table in the BAR of the registers and tables; a page of its own.
inline constexpr std::size_t kPciMsixTable = 3145728;
/// Offset of the MSI-X pending bits in the same BAR; a page of its own.
inline constexpr std::size_t kPciMsixPending = 3149824;
/// Bits of an address in a shell's window.
inline constexpr unsigned kWindowBits = 20;
/// Window address of the capability page.
inline constexpr std::size_t kWindowCapabilities = 4096;
/// Window address of the control page.
inline constexpr std::size_t kWindowControl = 8192;
/// Window address of the classifier's page; each of its lines is written whole.
inline constexpr std::size_t kWindowClassifier = 12288;
/// Window address of the link table, up to 256 rows; row n stands at n times the bytes of a line.
inline constexpr std::size_t kWindowLinkRows = 16384;
/// Window address of the process marks, TAIL and HEAD of slot n (up to 4096) at 8 n and 8 n + 4; a write is a doorbell.
inline constexpr std::size_t kWindowProcessMarks = 65536;
/// Window address of the proxy marks, TAIL and HEAD of slot n (up to 4096) at 8 n and 8 n + 4; read-only.
inline constexpr std::size_t kWindowProxyMarks = 98304;
/// Window address of the page of the host's own frames.
inline constexpr std::size_t kWindowFrames = 131072;
/// Window address of the slot table, up to 4096 rows; row n stands at n times the bytes of a line.
inline constexpr std::size_t kWindowSlotRows = 262144;
/// Window address of the bank of slot memory that the register BANK chooses, to the end of the window (512 KiB).
inline constexpr std::size_t kWindowMemory = 524288;

// The mark page. The first page of a space file. Both mark pages of a slot have this one layout: file A (the process
// page, written by the process) and file B (the proxy page, written by the proxy, or by the peer process of a direct
// pair). TAIL is the tail of the ring in the same file, HEAD the head of the ring in the other file.
/// Lines ever put into the ring of this file; free-running. (32 bits; written by the owner of the file)
inline constexpr std::size_t kMarkTail = 0x000;
/// Lines ever taken out of the ring of the other file; free-running. (32 bits; written by the owner of the file)
inline constexpr std::size_t kMarkHead = 0x040;
/// What the owner sleeps for: bit 0 to read, bit 1 to write, a fresh number above; 0 while it is awake. (32 bits;
/// written by the owner of the file)
inline constexpr std::size_t kMarkWait = 0x080;
/// 1: the owner orders the other side's memory before it sleeps (membarrier), so a process that moves a mark need not;
/// 0: it must. (32 bits; written by the owner of the file)
inline constexpr std::size_t kMarkBarrier = 0x084;
/// The TAIL of the other file from which on the owner, when it sleeps to read, wants to be woken; 0: it wants to be
/// woken for every move. A hint: it may be woken earlier. (32 bits; written by the owner of the file)
inline constexpr std::size_t kMarkAim = 0x088;

// The bell page. One to each session; written by the process. A slot's bit is word index / 64, bit index mod 64, of its
// local index (0 to 4095).
/// Bit w is set after a bit of word w was set. (64 bits; written by the process)
inline constexpr std::size_t kBellSummary = 0x000;
/// One bit for each of the session's slots: its marks moved. (64 bits, 64 of them; written by the process)
inline constexpr std::size_t kBellWords = 0x040;
inline constexpr std::size_t kBellWordCount = 64;

// The polled page. One to each session; written by the engine, mapped read-only by the process.
/// Bit w is 1 while word w of the bells is polled; 0: kick after a bell in it. (64 bits; written by the engine)
inline constexpr std::size_t kPolled = 0x000;

// The capability page of a card. Read-only. What a card shows of itself and what it counted. Registers never change
// after reset, except the counters. A reader with 32-bit accesses reads a counter's high half, low half, high half
// again, and repeats until both high halves agree.
/// The bytes 'SLTW' in address order; anything else is not a Slotwire card. (32 bits; written by the card)
inline constexpr std::size_t kCapMagic = 0x000;
inline constexpr std::uint32_t kCapMagicValue = 0x57544c53;
/// Version of this register description; software refuses a card that shows another. (32 bits; written by the card)
inline constexpr std::size_t kCapVersion = 0x004;
inline constexpr std::uint32_t kCapVersionValue = 0x1;
/// Rows in the slot table, 1 to 65536. (32 bits; written by the card)
inline constexpr std::size_t kCapSlots = 0x008;
/// Rows in the link table, 1 to 65536. (32 bits; written by the card)
inline constexpr std::size_t kCapLinks = 0x00c;
/// Largest ring that the card takes, as a power of two in lines, 0 to 15. (32 bits; written by the card)
inline constexpr std::size_t kCapMaxRingOrder = 0x010;
/// Bytes that the datapath moves in a clock, a power of two, 8 to 64. (32 bits; written by the card)
inline constexpr std::size_t kCapDatapathBytes = 0x014;
/// First 32 bits of the source revision that the card was built from; 0 unknown. (32 bits; written by the card)
inline constexpr std::size_t kCapBuildId = 0x018;
/// Lines of slot memory. (32 bits; written by the card)
inline constexpr std::size_t kCapMemoryLines = 0x01c;
/// Most lines that the card sends or takes in one frame, 1 to 1023. (32 bits; written by the card)
inline constexpr std::size_t kCapMaxFrameLines = 0x020;
/// Interrupt vectors; slot n belongs to vector n mod vectors. (32 bits; written by the card)
inline constexpr std::size_t kCapVectors = 0x024;
/// Rules of the classifier, 0 if there is none. (32 bits; written by the card)
inline constexpr std::size_t kCapClassifierRules = 0x028;
/// 1: output rings and proxy marks can be in host memory (DMA table); 0: they cannot. (32 bits; written by the card)
inline constexpr std::size_t kCapDma = 0x02c;
/// Counts since reset, in the order of the counter table; they wrap. (64 bits, 31 of them; written by the card)
inline constexpr std::size_t kCapCounters = 0x400;
/// Counts of what only a card does, in the order of the card counter table; they wrap. (64 bits, 16 of them; written by
/// the card)
inline constexpr std::size_t kCapCardCounters = 0x800;

// The control page of a card. Written by the driver alone; no process maps it. A write covers whole registers.
// Registers that pop take any value.
/// IPv4 address that frames come to and go out from; the first byte is the most significant. (32 bits; written by the
/// driver)
inline constexpr std::size_t kCtlOwnIp = 0x000;
/// UDP port of the same; 16 bits. (32 bits; written by the driver)
inline constexpr std::size_t kCtlOwnPort = 0x004;
/// First four bytes of the card's MAC address; the first byte is the most significant. (32 bits; written by the driver)
inline constexpr std::size_t kCtlOwnMacHigh = 0x008;
/// Last two bytes of the card's MAC address; 16 bits. (32 bits; written by the driver)
inline constexpr std::size_t kCtlOwnMacLow = 0x00c;
/// Starts a command: bits 7:0 the card command, 15:8 its fault cause, 31:16 its slot or link. Reads 1 while one runs; a
/// write is ignored then. (32 bits; written by the driver)
inline constexpr std::size_t kCtlCommand = 0x040;
/// Oldest slot that stopped: bit 31 there is one, 30 some were lost (read all rows), 23:16 fault, 15:0 slot. A write
/// pops it. (32 bits; written by the card)
inline constexpr std::size_t kCtlEvent = 0x080;
/// Oldest slot whose proxy marks moved: bit 31 there is one, 15:0 slot. A write pops it; then read the marks. (32 bits;
/// written by the card)
inline constexpr std::size_t kCtlMoved = 0x0c0;
/// Interrupt vectors that wait to be raised or seen, a bit each. Writing 1 clears. (32 bits; written by the card)
inline constexpr std::size_t kCtlPending = 0x100;
/// Interrupt vectors that may be raised, a bit each. (32 bits; written by the driver)
inline constexpr std::size_t kCtlEnabled = 0x104;
/// Shortest time between two interrupts of one vector, microseconds, 0 to 65535. (32 bits; written by the driver)
inline constexpr std::size_t kCtlModeration = 0x108;

// The classifier's page of a card. What becomes of frames that the card passes to the host. Written by the driver of
// the host's frames alone; a page of its own, so that it can be mapped without the rest. Write-only. The first rule
// that matches decides; a rule takes effect at once and whole.
/// Rule n stands at n times the bytes of a line and is written whole; what is beyond the card's rules is refused. (64
/// bits, 128 of them; written by the driver)
inline constexpr std::size_t kClassifierRules = 0x000;
/// What becomes of frames that no rule matches: bits 7:0 a classifier action (none as queue), 31:16 the queue. 1 after
/// a reset. (32 bits; written by the driver)
inline constexpr std::size_t kClassifierDefault = 0x800;

// The shell page of a window. The first page of a shell's window: what the shell itself needs. The first four registers
// are where Vitis expects them of a kernel.
/// Always idle: the core runs by itself. (32 bits; written by the shell)
inline constexpr std::size_t kShellApCtrl = 0x000;
inline constexpr std::uint32_t kShellApCtrlValue = 0x4;
/// Bit 0: interrupts may leave the shell. (32 bits; written by the driver)
inline constexpr std::size_t kShellGie = 0x004;
/// Bit 0: the core's interrupts are seen. (32 bits; written by the driver)
inline constexpr std::size_t kShellIer = 0x008;
/// Bit 0: the core raised an interrupt. Writing 1 clears. (32 bits; written by the shell)
inline constexpr std::size_t kShellIsr = 0x00c;
/// Where slot memory starts behind the shell's memory port: bytes, a multiple of a line; low half. (32 bits; written by
/// the driver)
inline constexpr std::size_t kShellMemoryLow = 0x010;
/// The same, high half. Shells with slot memory on the chip do not look at it. (32 bits; written by the driver)
inline constexpr std::size_t kShellMemoryHigh = 0x014;
/// Which 512 KiB of slot memory the window shows. (32 bits; written by the driver)
inline constexpr std::size_t kShellBank = 0x018;
/// The bytes 'SWW1' in address order: this window, in this form. (32 bits; written by the shell)
inline constexpr std::size_t kShellMagic = 0x01c;
inline constexpr std::uint32_t kShellMagicValue = 0x31575753;

// The page of the host's own frames. In a window of a shell without a network interface for the host: Ethernet frames
// that are not ours, a line at a time.
/// Bit 31 there is a line, 30 it is its frame's last, 6:0 its bytes (1 to 64). A write takes it away. (32 bits; written
/// by the shell)
inline constexpr std::size_t kFramesReceive = 0x000;
/// That line. (32 bits, 16 of them; written by the shell)
inline constexpr std::size_t kFramesReceiveLine = 0x040;
inline constexpr std::size_t kFramesLineWords = 16;
/// A write sends the line below: bit 30 the frame's last, 6:0 bytes. Reads bit 31 there is room, 29 a frame is begun.
/// (32 bits; written by the driver)
inline constexpr std::size_t kFramesSend = 0x080;
/// The line to be sent. (32 bits, 16 of them; written by the driver)
inline constexpr std::size_t kFramesSendLine = 0x0c0;

// The four marks of a slot: offsets in file A (the process page) or file B (the proxy page).
/// In file A. Produced: lines that the process wrote into the input space.
inline constexpr std::size_t kInTail = kMarkTail;
/// In file A. Consumed: lines that the process read from the output space.
inline constexpr std::size_t kOutHead = kMarkHead;
/// In file B. Delivered: lines that the proxy wrote into the output space.
inline constexpr std::size_t kOutTail = kMarkTail;
/// In file B. Released: lines of the input space that the peer has.
inline constexpr std::size_t kInHead = kMarkHead;
// Two slots of one node are joined by mapping the peer's file A in the place of file B, so the pages must agree.
static_assert(kInTail == kOutTail && kOutHead == kInHead, "the mark pages A and B must have one layout");
// Marks that different parties write or poll never share a line.
static_assert(kMarkTail % kLineBytes == 0);
static_assert(kMarkHead % kLineBytes == 0);
static_assert(kMarkWait % kLineBytes == 0);

// The link header, big-endian. Stands before the payload of every frame: with Ethernet (14), IPv4 (20) and UDP (8) it
// makes exactly one line. A frame is this header and 0 or more whole lines.
/// Bytes in the whole header.
inline constexpr std::size_t kHeaderBytes = 22;
/// 1 byte. Protocol version and frame type.
inline constexpr std::size_t kHdrVersionType = 0;
/// 1 byte. Header flags and marked frames of links under congestion control; else sent as 0, ignored when received.
inline constexpr std::size_t kHdrFlags = 1;
/// 2 bytes. Slot number at the receiver.
inline constexpr std::size_t kHdrDstSlot = 2;
/// 2 bytes. Slot number at the sender.
inline constexpr std::size_t kHdrSrcSlot = 4;
/// 2 bytes. Random per pairing; a stale frame never reaches a reused slot.
inline constexpr std::size_t kHdrEpoch = 6;
/// 4 bytes. Line number of the first payload line.
inline constexpr std::size_t kHdrSeq = 8;
/// 4 bytes. Next line expected from the peer.
inline constexpr std::size_t kHdrAck = 12;
/// 2 bytes. Lines the peer may send from ack on.
inline constexpr std::size_t kHdrCredit = 16;
/// 4 bytes. CRC-32C over the link header (this field zero) and the payload, end to end.
inline constexpr std::size_t kHdrCrc = 18;

/// One row of the slot table: one line. Admin memory; no process maps it. Positions are free-running line counters.
/// Little-endian where a card reads it; every field is aligned to its size.
struct SlotRow {
  std::uint8_t state;  ///< SlotState
  std::uint8_t in_order;  ///< input ring size = 2^in_order lines
  std::uint8_t out_order;  ///< output ring size = 2^out_order lines
  std::uint8_t fault;  ///< Fault
  std::uint16_t link;  ///< link that the pairing goes over
  std::uint16_t peer_slot;  ///< slot number at the other end
  std::uint16_t epoch;  ///< random per pairing
  std::uint8_t flags;  ///< bits of the row flags
  std::uint8_t backoff;  ///< doublings of the retransmission timeout
  std::uint32_t in_tail;  ///< last accepted IN_TAIL
  std::uint32_t sent;  ///< next line to send
  std::uint32_t in_head;  ///< oldest unacknowledged line: IN_HEAD
  std::uint32_t limit;  ///< first line that the peer has no room for
  std::uint32_t out_tail;  ///< next expected line: OUT_TAIL
  std::uint32_t out_head;  ///< last accepted OUT_HEAD
  std::uint32_t told_ack;  ///< ack in the last frame sent
  std::uint32_t told_limit;  ///< ack + credit in the last frame sent
  std::uint32_t tx_deadline;  ///< retransmission or probe timer, microseconds
  std::uint32_t ack_deadline;  ///< delayed acknowledgement timer, microseconds
  std::uint32_t high;  ///< line after the highest ever sent: what is below was sent before
  std::uint32_t in_base;  ///< card only: line of slot memory where the input ring starts, a multiple of its size
  std::uint32_t out_base;  ///< card only: line of slot memory where the output ring starts, a multiple of its size; or row_base_dma
};
inline constexpr std::size_t kSlotRowBytes = 64;
static_assert(sizeof(SlotRow) == kSlotRowBytes && std::is_standard_layout_v<SlotRow>);
static_assert(offsetof(SlotRow, state) == 0);
static_assert(offsetof(SlotRow, in_order) == 1);
static_assert(offsetof(SlotRow, out_order) == 2);
static_assert(offsetof(SlotRow, fault) == 3);
static_assert(offsetof(SlotRow, link) == 4);
static_assert(offsetof(SlotRow, peer_slot) == 6);
static_assert(offsetof(SlotRow, epoch) == 8);
static_assert(offsetof(SlotRow, flags) == 10);
static_assert(offsetof(SlotRow, backoff) == 11);
static_assert(offsetof(SlotRow, in_tail) == 12);
static_assert(offsetof(SlotRow, sent) == 16);
static_assert(offsetof(SlotRow, in_head) == 20);
static_assert(offsetof(SlotRow, limit) == 24);
static_assert(offsetof(SlotRow, out_tail) == 28);
static_assert(offsetof(SlotRow, out_head) == 32);
static_assert(offsetof(SlotRow, told_ack) == 36);
static_assert(offsetof(SlotRow, told_limit) == 40);
static_assert(offsetof(SlotRow, tx_deadline) == 44);
static_assert(offsetof(SlotRow, ack_deadline) == 48);
static_assert(offsetof(SlotRow, high) == 52);
static_assert(offsetof(SlotRow, in_base) == 56);
static_assert(offsetof(SlotRow, out_base) == 60);

/// One row of the link table: what a card needs to know of a link. Written by the engine, read by the card.
/// Little-endian where a card reads it; every field is aligned to its size.
struct LinkRow {
  std::uint8_t up;  ///< 1: frames may be sent over the link; 0: the link is down
  std::uint8_t reserved;  ///< 0
  std::uint16_t lines_per_frame;  ///< most lines in one frame, 1 to 1023: (MTU - 50) / 64
  std::uint32_t rto_us;  ///< first retransmission timeout, microseconds
  std::uint32_t ack_delay_us;  ///< longest that an acknowledgement waits for a frame to ride on, microseconds
  std::uint32_t rto_max_us;  ///< where doubling the retransmission timeout stops, microseconds
  std::uint32_t peer_ip;  ///< IPv4 address of the peer's card; its first byte is the most significant of the number
  std::uint16_t peer_port;  ///< UDP port of the same
  std::uint16_t peer_mac_low;  ///< last two bytes of the MAC address of the next hop, as a number
  std::uint32_t peer_mac_high;  ///< first four bytes of the same, as a number
  std::uint32_t reserved_end;  ///< 0
};
inline constexpr std::size_t kLinkRowBytes = 32;
static_assert(sizeof(LinkRow) == kLinkRowBytes && std::is_standard_layout_v<LinkRow>);
static_assert(offsetof(LinkRow, up) == 0);
static_assert(offsetof(LinkRow, reserved) == 1);
static_assert(offsetof(LinkRow, lines_per_frame) == 2);
static_assert(offsetof(LinkRow, rto_us) == 4);
static_assert(offsetof(LinkRow, ack_delay_us) == 8);
static_assert(offsetof(LinkRow, rto_max_us) == 12);
static_assert(offsetof(LinkRow, peer_ip) == 16);
static_assert(offsetof(LinkRow, peer_port) == 20);
static_assert(offsetof(LinkRow, peer_mac_low) == 22);
static_assert(offsetof(LinkRow, peer_mac_high) == 24);
static_assert(offsetof(LinkRow, reserved_end) == 28);

/// Where in host memory the card writes a slot's output ring and proxy marks. Written by the driver alone; a read is
/// answered when no write that an earlier row allowed is under way. All rows are invalid after a reset.
/// Little-endian where a card reads it; every field is aligned to its size.
struct DmaRow {
  std::uint8_t valid;  ///< 1: the card may write there; 0: it writes nothing for the slot
  std::uint8_t order;  ///< the ring has 2^order lines; what is beyond is refused
  std::uint16_t reserved;  ///< 0
  std::uint32_t reserved_end;  ///< 0
  std::uint32_t ring_low;  ///< bus address of the ring's first line, a multiple of a page: its low 32 bits
  std::uint32_t ring_high;  ///< the other bits of the same
  std::uint32_t marks_low;  ///< bus address of the mark page, a multiple of a page: its low 32 bits; only TAIL and HEAD are written
  std::uint32_t marks_high;  ///< the other bits of the same
  std::uint32_t spare_low;  ///< 0
  std::uint32_t spare_high;  ///< 0
};
inline constexpr std::size_t kDmaRowBytes = 32;
static_assert(sizeof(DmaRow) == kDmaRowBytes && std::is_standard_layout_v<DmaRow>);
static_assert(offsetof(DmaRow, valid) == 0);
static_assert(offsetof(DmaRow, order) == 1);
static_assert(offsetof(DmaRow, reserved) == 2);
static_assert(offsetof(DmaRow, reserved_end) == 4);
static_assert(offsetof(DmaRow, ring_low) == 8);
static_assert(offsetof(DmaRow, ring_high) == 12);
static_assert(offsetof(DmaRow, marks_low) == 16);
static_assert(offsetof(DmaRow, marks_high) == 20);
static_assert(offsetof(DmaRow, spare_low) == 24);
static_assert(offsetof(DmaRow, spare_high) == 28);

/// A frame's fields are compared with those of the rule where the mask has ones. Numbers: the first byte on the wire is
/// the most significant.
/// Little-endian where a card reads it; every field is aligned to its size.
struct ClassifierRule {
  std::uint8_t action;  ///< ClassifierAction; none: the rule is not there
  std::uint8_t marks;  ///< 1: the frame gets the mark; 0: it gets none
  std::uint16_t host_queue;  ///< queue of the host, 0 to 255
  std::uint32_t mark;  ///< 24 bits that come to the host beside the frame
  std::uint32_t dst_mac_high;  ///< first four bytes of the destination MAC address
  std::uint32_t src_ip;  ///< IPv4 source address; 0 in a frame that is not IPv4
  std::uint32_t dst_ip;  ///< IPv4 destination address; the same
  std::uint16_t dst_mac_low;  ///< last two bytes of the destination MAC address
  std::uint16_t ether_type;  ///< EtherType, behind a VLAN tag if there is one
  std::uint16_t vlan;  ///< priority and number of the VLAN tag; 0 without one
  std::uint16_t src_port;  ///< UDP or TCP source port; 0 where there is none
  std::uint16_t dst_port;  ///< UDP or TCP destination port; the same
  std::uint8_t protocol;  ///< IPv4 protocol or IPv6 next header; 0 in other frames
  std::uint8_t kinds;  ///< bits of the frame kinds
  std::uint32_t dst_mac_high_mask;  ///< mask of the field dst_mac_high
  std::uint32_t src_ip_mask;  ///< mask of the field src_ip
  std::uint32_t dst_ip_mask;  ///< mask of the field dst_ip
  std::uint16_t dst_mac_low_mask;  ///< mask of the field dst_mac_low
  std::uint16_t ether_type_mask;  ///< mask of the field ether_type
  std::uint16_t vlan_mask;  ///< mask of the field vlan
  std::uint16_t src_port_mask;  ///< mask of the field src_port
  std::uint16_t dst_port_mask;  ///< mask of the field dst_port
  std::uint8_t protocol_mask;  ///< mask of the field protocol
  std::uint8_t kinds_mask;  ///< mask of the field kinds
  std::uint32_t reserved;  ///< 0
  std::uint32_t reserved_end;  ///< 0
};
inline constexpr std::size_t kClassifierRuleBytes = 64;
static_assert(sizeof(ClassifierRule) == kClassifierRuleBytes && std::is_standard_layout_v<ClassifierRule>);
static_assert(offsetof(ClassifierRule, action) == 0);
static_assert(offsetof(ClassifierRule, marks) == 1);
static_assert(offsetof(ClassifierRule, host_queue) == 2);
static_assert(offsetof(ClassifierRule, mark) == 4);
static_assert(offsetof(ClassifierRule, dst_mac_high) == 8);
static_assert(offsetof(ClassifierRule, src_ip) == 12);
static_assert(offsetof(ClassifierRule, dst_ip) == 16);
static_assert(offsetof(ClassifierRule, dst_mac_low) == 20);
static_assert(offsetof(ClassifierRule, ether_type) == 22);
static_assert(offsetof(ClassifierRule, vlan) == 24);
static_assert(offsetof(ClassifierRule, src_port) == 26);
static_assert(offsetof(ClassifierRule, dst_port) == 28);
static_assert(offsetof(ClassifierRule, protocol) == 30);
static_assert(offsetof(ClassifierRule, kinds) == 31);
static_assert(offsetof(ClassifierRule, dst_mac_high_mask) == 32);
static_assert(offsetof(ClassifierRule, src_ip_mask) == 36);
static_assert(offsetof(ClassifierRule, dst_ip_mask) == 40);
static_assert(offsetof(ClassifierRule, dst_mac_low_mask) == 44);
static_assert(offsetof(ClassifierRule, ether_type_mask) == 46);
static_assert(offsetof(ClassifierRule, vlan_mask) == 48);
static_assert(offsetof(ClassifierRule, src_port_mask) == 50);
static_assert(offsetof(ClassifierRule, dst_port_mask) == 52);
static_assert(offsetof(ClassifierRule, protocol_mask) == 54);
static_assert(offsetof(ClassifierRule, kinds_mask) == 55);
static_assert(offsetof(ClassifierRule, reserved) == 56);
static_assert(offsetof(ClassifierRule, reserved_end) == 60);

// The record header, little-endian. Starts on a line, before the payload of every record; the payload is padded to the
// next line. Processes only; the pipeline never looks.
/// Bytes in the whole header.
inline constexpr std::size_t kRecordHeaderBytes = 16;
/// 4 bytes. Payload bytes in this record.
inline constexpr std::size_t kRecLength = 0;
/// 1 byte. Record kind.
inline constexpr std::size_t kRecKind = 4;
/// 1 byte. Record flags.
inline constexpr std::size_t kRecFlags = 5;
/// 2 bytes. Method of a request, status of an error.
inline constexpr std::size_t kRecCode = 6;
/// 4 bytes. Matches request, reply, error and cancel.
inline constexpr std::size_t kRecId = 8;
/// 4 bytes. Microseconds left when written, 0 none.
inline constexpr std::size_t kRecDeadline = 12;

/// What a frame is for.
enum class FrameType : std::uint8_t {
  data = 0,  ///< Carries payload lines from seq on.
  ack = 1,  ///< Carries no lines: tells ack and credit.
  nak = 2,  ///< Carries no lines: asks to send again from ack on.
  probe = 3,  ///< Carries no lines: asks for an answer with ack and credit.
  reset = 4,  ///< Carries no lines: the sender has given the pairing up.
};
namespace detail {
inline constexpr std::array<std::string_view, 5> kFrameTypeNames{
    "data",
    "ack",
    "nak",
    "probe",
    "reset",
};
inline constexpr std::array<std::string_view, 5> kFrameTypeTexts{
    "Carries payload lines from seq on.",
    "Carries no lines: tells ack and credit.",
    "Carries no lines: asks to send again from ack on.",
    "Carries no lines: asks for an answer with ack and credit.",
    "Carries no lines: the sender has given the pairing up.",
};
}  // namespace detail
/// The name that commands and metrics use, "unknown" for any other number.
constexpr std::string_view name(FrameType value) {
  const std::size_t index = static_cast<std::size_t>(value);
  return index < detail::kFrameTypeNames.size() ? detail::kFrameTypeNames[index] : "unknown";
}
/// One line for people: what it means and, for what went wrong, what to do.
constexpr std::string_view describe(FrameType value) {
  const std::size_t index = static_cast<std::size_t>(value);
  return index < detail::kFrameTypeTexts.size() ? detail::kFrameTypeTexts[index] : "Unknown frame type.";
}

/// State of a slot's row.
enum class SlotState : std::uint8_t {
  free = 0,  ///< No pairing; frames for it are dropped.
  bound = 1,  ///< Paired; lines move.
  faulted = 2,  ///< Stopped because of its fault; its peer is told with a reset, no other slot is touched.
  reset = 3,  ///< Ended by the peer; the process may still read what was delivered.
};
namespace detail {
inline constexpr std::array<std::string_view, 4> kSlotStateNames{
    "free",
    "bound",
    "faulted",
    "reset",
};
inline constexpr std::array<std::string_view, 4> kSlotStateTexts{
    "No pairing; frames for it are dropped.",
    "Paired; lines move.",
    "Stopped because of its fault; its peer is told with a reset, no other slot is touched.",
    "Ended by the peer; the process may still read what was delivered.",
};
}  // namespace detail
/// The name that commands and metrics use, "unknown" for any other number.
constexpr std::string_view name(SlotState value) {
  const std::size_t index = static_cast<std::size_t>(value);
  return index < detail::kSlotStateNames.size() ? detail::kSlotStateNames[index] : "unknown";
}
/// One line for people: what it means and, for what went wrong, what to do.
constexpr std::string_view describe(SlotState value) {
  const std::size_t index = static_cast<std::size_t>(value);
  return index < detail::kSlotStateTexts.size() ? detail::kSlotStateTexts[index] : "Unknown slot state.";
}

/// Why a slot was faulted.
enum class Fault : std::uint8_t {
  none = 0,  ///< The slot has no fault.
  /// The process moved IN_TAIL back or more than one ring ahead of IN_HEAD. Look for a process that writes its mark
  /// page without the library, then close and open the connection.
  in_tail = 1,
  /// The process moved OUT_HEAD back or past OUT_TAIL. Look for a process that writes its mark page without the
  /// library, then close and open the connection.
  out_head = 2,
  /// The peer gave the pairing up: its process closed or faulted, or its engine lost the slot. Look at the fault of the
  /// peer's slot, then open the connection again.
  peer_reset = 3,
  /// The slot's row was not sound when it was taken over, or the card read a line with wrong parity. Look at the card's
  /// and the engine's log for the cause, then close and open the connection.
  memory = 4,
  /// The engine stopped the slot on an operator's order. Ask who stopped it and why; then open the connection again.
  admin = 5,
  /// Slot memory refused lines that the peer sent. They were neither delivered nor acknowledged. Look at the card's
  /// memory and at where its slot memory is said to be, then close and open the connection.
  memory_refused = 6,
};
namespace detail {
inline constexpr std::array<std::string_view, 7> kFaultNames{
    "none",
    "in_tail",
    "out_head",
    "peer_reset",
    "memory",
    "admin",
    "memory_refused",
};
inline constexpr std::array<std::string_view, 7> kFaultTexts{
    "The slot has no fault.",
    "The process moved IN_TAIL back or more than one ring ahead of IN_HEAD. Look for a process that writes its mark page without the library, then close and open the connection.",
    "The process moved OUT_HEAD back or past OUT_TAIL. Look for a process that writes its mark page without the library, then close and open the connection.",
    "The peer gave the pairing up: its process closed or faulted, or its engine lost the slot. Look at the fault of the peer's slot, then open the connection again.",
    "The slot's row was not sound when it was taken over, or the card read a line with wrong parity. Look at the card's and the engine's log for the cause, then close and open the connection.",
    "The engine stopped the slot on an operator's order. Ask who stopped it and why; then open the connection again.",
    "Slot memory refused lines that the peer sent. They were neither delivered nor acknowledged. Look at the card's memory and at where its slot memory is said to be, then close and open the connection.",
};
}  // namespace detail
/// The name that commands and metrics use, "unknown" for any other number.
constexpr std::string_view name(Fault value) {
  const std::size_t index = static_cast<std::size_t>(value);
  return index < detail::kFaultNames.size() ? detail::kFaultNames[index] : "unknown";
}
/// One line for people: what it means and, for what went wrong, what to do.
constexpr std::string_view describe(Fault value) {
  const std::size_t index = static_cast<std::size_t>(value);
  return index < detail::kFaultTexts.size() ? detail::kFaultTexts[index] : "Unknown fault.";
}

/// What a rule of the classifier does with a frame.
enum class ClassifierAction : std::uint8_t {
  none = 0,  ///< The rule is not there.
  queue = 1,  ///< The frame goes to a queue of the host.
  drop = 2,  ///< The frame is dropped and counted.
};
namespace detail {
inline constexpr std::array<std::string_view, 3> kClassifierActionNames{
    "none",
    "queue",
    "drop",
};
inline constexpr std::array<std::string_view, 3> kClassifierActionTexts{
    "The rule is not there.",
    "The frame goes to a queue of the host.",
    "The frame is dropped and counted.",
};
}  // namespace detail
/// The name that commands and metrics use, "unknown" for any other number.
constexpr std::string_view name(ClassifierAction value) {
  const std::size_t index = static_cast<std::size_t>(value);
  return index < detail::kClassifierActionNames.size() ? detail::kClassifierActionNames[index] : "unknown";
}
/// One line for people: what it means and, for what went wrong, what to do.
constexpr std::string_view describe(ClassifierAction value) {
  const std::size_t index = static_cast<std::size_t>(value);
  return index < detail::kClassifierActionTexts.size() ? detail::kClassifierActionTexts[index] : "Unknown classifier action.";
}

/// What the command register of a card starts.
enum class CardCommand : std::uint8_t {
  none = 0,  ///< Nothing.
  link_up = 1,  ///< A link came up: every slot of it takes up at its marks (R9). The link's row says up already.
  link_down = 2,  ///< A link went down: the timers of its slots stop (R9). The link's row says so already.
  fault = 3,  ///< Stops a bound slot with the given cause (R8).
};
namespace detail {
inline constexpr std::array<std::string_view, 4> kCardCommandNames{
    "none",
    "link_up",
    "link_down",
    "fault",
};
inline constexpr std::array<std::string_view, 4> kCardCommandTexts{
    "Nothing.",
    "A link came up: every slot of it takes up at its marks (R9). The link's row says up already.",
    "A link went down: the timers of its slots stop (R9). The link's row says so already.",
    "Stops a bound slot with the given cause (R8).",
};
}  // namespace detail
/// The name that commands and metrics use, "unknown" for any other number.
constexpr std::string_view name(CardCommand value) {
  const std::size_t index = static_cast<std::size_t>(value);
  return index < detail::kCardCommandNames.size() ? detail::kCardCommandNames[index] : "unknown";
}
/// One line for people: what it means and, for what went wrong, what to do.
constexpr std::string_view describe(CardCommand value) {
  const std::size_t index = static_cast<std::size_t>(value);
  return index < detail::kCardCommandTexts.size() ? detail::kCardCommandTexts[index] : "Unknown card command.";
}

/// Every event that the pipeline counts.
enum class Counter : std::uint8_t {
  tx_frames = 0,  ///< Frames sent, of every type.
  tx_lines = 1,  ///< Payload lines sent, those sent again included.
  tx_lines_again = 2,  ///< Payload lines sent again after a NAK or a timeout.
  tx_acks = 3,  ///< Ack-only frames sent.
  tx_naks = 4,  ///< NAK frames sent: a gap was seen.
  tx_probes = 5,  ///< Probe frames sent.
  tx_resets = 6,  ///< Reset frames sent.
  rx_frames = 7,  ///< Frames taken: they passed every check up to the acknowledgement; resets are counted apart.
  rx_lines = 8,  ///< Payload lines written into output spaces.
  rx_acks = 9,  ///< Ack-only frames taken.
  rx_naks = 10,  ///< NAK frames taken: the peer saw a gap.
  rx_probes = 11,  ///< Probe frames taken.
  rx_resets = 12,  ///< Reset frames taken.
  /// Retransmission timeouts: nothing was acknowledged in time; lines were sent again or the window was probed.
  timeouts = 13,
  drop_short = 14,  ///< Frames dropped: shorter than the link header.
  drop_version = 15,  ///< Frames dropped: another protocol version.
  drop_type = 16,  ///< Frames dropped: unknown frame type.
  /// Frames dropped: not a whole number of lines, a data frame without lines, or lines on another type.
  drop_length = 17,
  drop_crc = 18,  ///< Frames dropped: wrong CRC, damaged on the way.
  drop_slot = 19,  ///< Frames dropped: slot number beyond the slot table.
  drop_unbound = 20,  ///< Frames dropped: the slot is free.
  drop_faulted = 21,  ///< Frames dropped: the slot is faulted or was reset.
  drop_link = 22,  ///< Frames dropped: came over another link than the slot's.
  drop_peer_slot = 23,  ///< Frames dropped: came from another slot than the slot's peer.
  drop_epoch = 24,  ///< Frames dropped: epoch of another pairing, a stale frame.
  drop_position = 25,  ///< Frames dropped: ack or seq is no position that the peer can be at.
  drop_gap = 26,  ///< Frames dropped: lines before them are missing; a NAK asks for those.
  drop_duplicate = 27,  ///< Frames dropped: all their lines were delivered before.
  drop_overrun = 28,  ///< Frames dropped: more lines than the output space has room for; the peer broke its credit.
  fault_in_tail = 29,  ///< Slots faulted because of IN_TAIL.
  fault_out_head = 30,  ///< Slots faulted because of OUT_HEAD.
};
/// How many there are; they are numbered from 0 without a hole.
inline constexpr std::size_t kCounterCount = static_cast<std::size_t>(Counter::fault_out_head) + 1;
namespace detail {
inline constexpr std::array<std::string_view, 31> kCounterNames{
    "tx_frames",
    "tx_lines",
    "tx_lines_again",
    "tx_acks",
    "tx_naks",
    "tx_probes",
    "tx_resets",
    "rx_frames",
    "rx_lines",
    "rx_acks",
    "rx_naks",
    "rx_probes",
    "rx_resets",
    "timeouts",
    "drop_short",
    "drop_version",
    "drop_type",
    "drop_length",
    "drop_crc",
    "drop_slot",
    "drop_unbound",
    "drop_faulted",
    "drop_link",
    "drop_peer_slot",
    "drop_epoch",
    "drop_position",
    "drop_gap",
    "drop_duplicate",
    "drop_overrun",
    "fault_in_tail",
    "fault_out_head",
};
inline constexpr std::array<std::string_view, 31> kCounterTexts{
    "Frames sent, of every type.",
    "Payload lines sent, those sent again included.",
    "Payload lines sent again after a NAK or a timeout.",
    "Ack-only frames sent.",
    "NAK frames sent: a gap was seen.",
    "Probe frames sent.",
    "Reset frames sent.",
    "Frames taken: they passed every check up to the acknowledgement; resets are counted apart.",
    "Payload lines written into output spaces.",
    "Ack-only frames taken.",
    "NAK frames taken: the peer saw a gap.",
    "Probe frames taken.",
    "Reset frames taken.",
    "Retransmission timeouts: nothing was acknowledged in time; lines were sent again or the window was probed.",
    "Frames dropped: shorter than the link header.",
    "Frames dropped: another protocol version.",
    "Frames dropped: unknown frame type.",
    "Frames dropped: not a whole number of lines, a data frame without lines, or lines on another type.",
    "Frames dropped: wrong CRC, damaged on the way.",
    "Frames dropped: slot number beyond the slot table.",
    "Frames dropped: the slot is free.",
    "Frames dropped: the slot is faulted or was reset.",
    "Frames dropped: came over another link than the slot's.",
    "Frames dropped: came from another slot than the slot's peer.",
    "Frames dropped: epoch of another pairing, a stale frame.",
    "Frames dropped: ack or seq is no position that the peer can be at.",
    "Frames dropped: lines before them are missing; a NAK asks for those.",
    "Frames dropped: all their lines were delivered before.",
    "Frames dropped: more lines than the output space has room for; the peer broke its credit.",
    "Slots faulted because of IN_TAIL.",
    "Slots faulted because of OUT_HEAD.",
};
static_assert(kCounterNames.size() == kCounterCount && kCounterTexts.size() == kCounterCount);
}  // namespace detail
/// The name that commands and metrics use, "unknown" for any other number.
constexpr std::string_view name(Counter value) {
  const std::size_t index = static_cast<std::size_t>(value);
  return index < detail::kCounterNames.size() ? detail::kCounterNames[index] : "unknown";
}
/// One line for people: what it means and, for what went wrong, what to do.
constexpr std::string_view describe(Counter value) {
  const std::size_t index = static_cast<std::size_t>(value);
  return index < detail::kCounterTexts.size() ? detail::kCounterTexts[index] : "Unknown counter.";
}

/// Every event that only a card counts.
enum class CardCounter : std::uint8_t {
  pass_to_host = 0,  ///< Frames that are not ours, passed from the wire to the host.
  pass_from_host = 1,  ///< Frames that the host sent, passed to the wire.
  drop_to_host = 2,  ///< Frames for the host dropped: it took them too slowly.
  drop_from_host = 3,  ///< Frames of the host dropped: longer than the card holds.
  drop_damaged = 4,  ///< Frames that the port marked as damaged; dropped.
  memory_errors = 5,  ///< Lines of slot memory read with wrong parity.
  host_writes = 6,  ///< Line writes of the host, doorbells included.
  host_refused = 7,  ///< Accesses of the host to where there is nothing, or of the wrong size; without effect.
  doorbells = 8,  ///< Process marks written.
  interrupts = 9,  ///< Interrupts raised.
  events_lost = 10,  ///< Slots that stopped while there was no room to tell; their rows show it.
  drop_by_rule = 11,  ///< Frames for the host dropped because a rule of the classifier says so.
  memory_refused = 12,  ///< Writes of slot memory that the memory refused, the host's included.
  dma_lines = 13,  ///< Lines written into host memory.
  dma_marks = 14,  ///< Proxy marks written into host memory.
  dma_refused = 15,  ///< Writes into host memory that the slot's DMA row or the bus refused.
};
/// How many there are; they are numbered from 0 without a hole.
inline constexpr std::size_t kCardCounterCount = static_cast<std::size_t>(CardCounter::dma_refused) + 1;
namespace detail {
inline constexpr std::array<std::string_view, 16> kCardCounterNames{
    "pass_to_host",
    "pass_from_host",
    "drop_to_host",
    "drop_from_host",
    "drop_damaged",
    "memory_errors",
    "host_writes",
    "host_refused",
    "doorbells",
    "interrupts",
    "events_lost",
    "drop_by_rule",
    "memory_refused",
    "dma_lines",
    "dma_marks",
    "dma_refused",
};
inline constexpr std::array<std::string_view, 16> kCardCounterTexts{
    "Frames that are not ours, passed from the wire to the host.",
    "Frames that the host sent, passed to the wire.",
    "Frames for the host dropped: it took them too slowly.",
    "Frames of the host dropped: longer than the card holds.",
    "Frames that the port marked as damaged; dropped.",
    "Lines of slot memory read with wrong parity.",
    "Line writes of the host, doorbells included.",
    "Accesses of the host to where there is nothing, or of the wrong size; without effect.",
    "Process marks written.",
    "Interrupts raised.",
    "Slots that stopped while there was no room to tell; their rows show it.",
    "Frames for the host dropped because a rule of the classifier says so.",
    "Writes of slot memory that the memory refused, the host's included.",
    "Lines written into host memory.",
    "Proxy marks written into host memory.",
    "Writes into host memory that the slot's DMA row or the bus refused.",
};
static_assert(kCardCounterNames.size() == kCardCounterCount && kCardCounterTexts.size() == kCardCounterCount);
}  // namespace detail
/// The name that commands and metrics use, "unknown" for any other number.
constexpr std::string_view name(CardCounter value) {
  const std::size_t index = static_cast<std::size_t>(value);
  return index < detail::kCardCounterNames.size() ? detail::kCardCounterNames[index] : "unknown";
}
/// One line for people: what it means and, for what went wrong, what to do.
constexpr std::string_view describe(CardCounter value) {
  const std::size_t index = static_cast<std::size_t>(value);
  return index < detail::kCardCounterTexts.size() ? detail::kCardCounterTexts[index] : "Unknown card counter.";
}

/// What a record is.
enum class RecordKind : std::uint8_t {
  message = 1,  ///< A message that expects no answer.
  request = 2,  ///< A request; answered by a reply or an error with the same id.
  reply = 3,  ///< The answer to a request.
  error = 4,  ///< The failure of a request.
  cancel = 5,  ///< The asker no longer wants the answer.
  stream = 6,  ///< A piece of a stream.
  end_of_stream = 7,  ///< The end of a stream.
};
namespace detail {
inline constexpr std::array<std::string_view, 7> kRecordKindNames{
    "message",
    "request",
    "reply",
    "error",
    "cancel",
    "stream",
    "end_of_stream",
};
inline constexpr std::array<std::string_view, 7> kRecordKindTexts{
    "A message that expects no answer.",
    "A request; answered by a reply or an error with the same id.",
    "The answer to a request.",
    "The failure of a request.",
    "The asker no longer wants the answer.",
    "A piece of a stream.",
    "The end of a stream.",
};
}  // namespace detail
/// The name that commands and metrics use, "unknown" for any other number.
constexpr std::string_view name(RecordKind value) {
  const std::size_t index = static_cast<std::size_t>(value) - 1U;
  return index < detail::kRecordKindNames.size() ? detail::kRecordKindNames[index] : "unknown";
}
/// One line for people: what it means and, for what went wrong, what to do.
constexpr std::string_view describe(RecordKind value) {
  const std::size_t index = static_cast<std::size_t>(value) - 1U;
  return index < detail::kRecordKindTexts.size() ? detail::kRecordKindTexts[index] : "Unknown record kind.";
}

// Bits of the link header's flags, beside the number of marked frames in the bits above them.
/// The receiver acknowledges at once.
inline constexpr std::uint8_t kHdrAsk = 0x01;
/// This frame answers a frame with ask, or a probe.
inline constexpr std::uint8_t kHdrAnswer = 0x02;

// Flags of a slot's row.
/// An acknowledgement is due at once.
inline constexpr std::uint8_t kRowAckNow = 0x01;
/// A NAK is due at once.
inline constexpr std::uint8_t kRowNakNow = 0x02;
/// A probe is due at once.
inline constexpr std::uint8_t kRowProbeNow = 0x04;
/// A reset is due at once.
inline constexpr std::uint8_t kRowResetNow = 0x08;
/// A NAK was raised for the present gap; no second one until lines come that were expected or known.
inline constexpr std::uint8_t kRowNakSent = 0x10;
/// tx_deadline runs.
inline constexpr std::uint8_t kRowTxTimer = 0x20;
/// ack_deadline runs.
inline constexpr std::uint8_t kRowAckTimer = 0x40;

// What the classifier found in a frame.
/// There is a VLAN tag (EtherType 0x8100).
inline constexpr std::uint8_t kFrameKindTagged = 0x01;
/// There is a whole IPv4 header.
inline constexpr std::uint8_t kFrameKindIpv4 = 0x02;
/// There is a whole IPv6 header.
inline constexpr std::uint8_t kFrameKindIpv6 = 0x04;
/// There are ports: UDP or TCP directly behind an IPv4 header without options or an IPv6 header, and no fragment.
inline constexpr std::uint8_t kFrameKindPorts = 0x08;

// Flags of a record.
/// First part of a message.
inline constexpr std::uint8_t kRecordFirst = 0x01;
/// Last part of a message.
inline constexpr std::uint8_t kRecordLast = 0x02;

// How the parts fit each other.
static_assert(sizeof(SlotRow) == kLineBytes, "a row of the slot table is one line");
static_assert(kLineBytes % sizeof(LinkRow) == 0, "rows of the link table fill lines");
static_assert(14 + 20 + 8 + kHeaderBytes == kLineBytes, "Ethernet, IPv4, UDP and the link header make one line");
static_assert(kBellWords + kBellWordCount * sizeof(std::uint64_t) <= kPageBytes);
static_assert(kCapCounters + kCounterCount * sizeof(std::uint64_t) <= kPageBytes);
static_assert((std::size_t{1} << kMaxRingOrder) <= 0xffff, "the credit of a whole free ring fits 16 bits");

}  // namespace slotwire::regs
