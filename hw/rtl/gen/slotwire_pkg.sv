// Generated from hw/regs/slotwire.toml by python3 hw/regs/generate.py. Do not edit: change that file and run the command.
// Offsets and sizes are in bytes unless a name says otherwise. Use as slotwire_pkg::name; do not import (Yosys 0.23 refuses it).

package slotwire_pkg;

  localparam int unsigned LineBytes = 64;  // Bytes in a line, the unit of everything.
  localparam int unsigned PageBytes = 4096;  // Bytes in a mark page, and in every other page described here.
  localparam int unsigned MaxRingOrder = 15;  // Largest ring, as a power of two in lines (32768 lines, 2 MiB); a credit must fit 16 bits.
  localparam int unsigned MaxSlots = 65536;  // Most slots that the 16-bit slot number can name.
  localparam int unsigned Version = 1;  // Protocol version in the top four bits of the first header byte (0 to 15).
  localparam int unsigned HdrMarkedShift = 2;  // Lowest bit of the link header's flags that counts frames which arrived with a congestion mark (ECN CE).
  localparam int unsigned HdrMarkedMax = 63;  // Most marked frames that one link header can tell of.
  localparam int unsigned UdpPort = 7401;  // UDP port that frames go to unless the configuration says otherwise.
  localparam int unsigned CardCapabilities = 0;  // Card address of the capability page.
  localparam int unsigned CardControl = 4096;  // Card address of the control page.
  localparam int unsigned CardClassifier = 8192;  // Card address of the classifier's page: the rules for the host's frames.
  localparam int unsigned VerdictQueueBits = 8;  // Bits of the queue in what stands beside a frame for the host (tuser), from bit 0 on.
  localparam int unsigned VerdictMarkBits = 24;  // Bits of the mark, behind the queue.
  localparam int unsigned VerdictBits = 33;  // All of them; the last one tells that there is a mark.
  localparam int unsigned CardSlotRows = 1048576;  // Card address of the slot table; row n stands at n times the bytes of a line.
  localparam int unsigned CardLinkRows = 2097152;  // Card address of the link table; row n stands at n times the bytes of a line.
  localparam int unsigned CardDmaRows = 2621440;  // Card address of the DMA table; row n stands at n times the bytes of a line.
  localparam int unsigned RowBaseDma = 2147483648;  // out_base of a slot whose output ring is in host memory, where the slot's DMA row says; no line of it is in slot memory.
  localparam int unsigned CardProcessPages = 16777216;  // Card address of the process pages (file A's mark page; a write is a doorbell); slot n has the page at n times the bytes of a page.
  localparam int unsigned CardProxyPages = 33554432;  // Card address of the proxy pages (file B's mark page, read-only); slot n has the page at n times the bytes of a page.
  localparam int unsigned CardMemory = 268435456;  // Card address of the slot memory.
  localparam int unsigned CardAddressBits = 29;  // Bits of a card address.
  localparam int unsigned PciVendor = 21324;  // PCI vendor id of a card: 'SL', assigned to nobody; a product puts its own here.
  localparam int unsigned PciDevice = 21591;  // PCI device id of a card: 'TW'.
  localparam int unsigned PciClass = 163840;  // PCI class code of a card: network controller, other.
  localparam int unsigned PciRegistersBar = 0;  // BAR of the registers and tables: card addresses from 0 on, and the MSI-X table and pending bits; 32 bits, not prefetchable.
  localparam int unsigned PciDoorbellsBar = 2;  // BAR of the doorbell pages: process page n at n pages, proxy page n at (slots + n) pages; 32 bits, not prefetchable.
  localparam int unsigned PciMemoryBar = 4;  // BAR of the slot memory, from line 0 on; 64 bits and prefetchable, or 32 bits where the host bridge knows no others.
  localparam int unsigned PciRegistersBytes = 4194304;  // Bytes of the BAR of the registers and tables.
  localparam int unsigned PciMsixTable = 3145728;  // Offset of the MSI-X table in the BAR of the registers and tables; a page of its own.
  localparam int unsigned PciMsixPending = 3149824;  // Offset of the MSI-X pending bits in the same BAR; a page of its own.
  localparam int unsigned WindowBits = 20;  // Bits of an address in a shell's window.
  localparam int unsigned WindowCapabilities = 4096;  // Window address of the capability page.
  localparam int unsigned WindowControl = 8192;  // Window address of the control page.
  localparam int unsigned WindowClassifier = 12288;  // Window address of the classifier's page; each of its lines is written whole.
  localparam int unsigned WindowLinkRows = 16384;  // Window address of the link table, up to 256 rows; row n stands at n times the bytes of a line.
  localparam int unsigned WindowProcessMarks = 65536;  // Window address of the process marks, TAIL and HEAD of slot n (up to 4096) at 8 n and 8 n + 4; a write is a doorbell.
  localparam int unsigned WindowProxyMarks = 98304;  // Window address of the proxy marks, TAIL and HEAD of slot n (up to 4096) at 8 n and 8 n + 4; read-only.
  localparam int unsigned WindowFrames = 131072;  // Window address of the page of the host's own frames.
  localparam int unsigned WindowSlotRows = 262144;  // Window address of the slot table, up to 4096 rows; row n stands at n times the bytes of a line.
  localparam int unsigned WindowMemory = 524288;  // Window address of the bank of slot memory that the register BANK chooses, to the end of the window (512 KiB).

  // The mark page. The first page of a space file. Both mark pages of a slot have this one layout: file A (the process
  // page, written by the process) and file B (the proxy page, written by the proxy, or by the peer process of a direct
  // pair). TAIL is the tail of the ring in the same file, HEAD the head of the ring in the other file.
  localparam int unsigned MarkTail = 0;  // Lines ever put into the ring of this file; free-running.
  localparam int unsigned MarkHead = 64;  // Lines ever taken out of the ring of the other file; free-running.
  localparam int unsigned MarkWait = 128;  // What the owner sleeps for: bit 0 to read, bit 1 to write, a fresh number above; 0 while it is awake.
  localparam int unsigned MarkBarrier = 132;  // 1: the owner orders the other side's memory before it sleeps (membarrier), so a process that moves a mark need not; 0: it must.
  localparam int unsigned MarkAim = 136;  // The TAIL of the other file from which on the owner, when it sleeps to read, wants to be woken; 0: it wants to be woken for every move. A hint: it may be woken earlier.

  // The bell page. One to each session; written by the process. A slot's bit is word index / 64, bit index mod 64, of
  // its local index (0 to 4095).
  localparam int unsigned BellSummary = 0;  // Bit w is set after a bit of word w was set.
  localparam int unsigned BellWords = 64;  // One bit for each of the session's slots: its marks moved.
  localparam int unsigned BellWordCount = 64;

  // The polled page. One to each session; written by the engine, mapped read-only by the process.
  localparam int unsigned Polled = 0;  // Bit w is 1 while word w of the bells is polled; 0: kick after a bell in it.

  // The capability page of a card. Read-only. What a card shows of itself and what it counted. Registers never change
  // after reset, except the counters. A reader with 32-bit accesses reads a counter's high half, low half, high half
  // again, and repeats until both high halves agree.
  localparam int unsigned CapMagic = 0;  // The bytes 'SLTW' in address order; anything else is not a Slotwire card.
  localparam logic [31:0] CapMagicValue = 32'h57544c53;
  localparam int unsigned CapVersion = 4;  // Version of this register description; software refuses a card that shows another.
  localparam logic [31:0] CapVersionValue = 32'h00000001;
  localparam int unsigned CapSlots = 8;  // Rows in the slot table, 1 to 65536.
  localparam int unsigned CapLinks = 12;  // Rows in the link table, 1 to 65536.
  localparam int unsigned CapMaxRingOrder = 16;  // Largest ring that the card takes, as a power of two in lines, 0 to 15.
  localparam int unsigned CapDatapathBytes = 20;  // Bytes that the datapath moves in a clock, a power of two, 8 to 64.
  localparam int unsigned CapBuildId = 24;  // First 32 bits of the source revision that the card was built from; 0 unknown.
  localparam int unsigned CapMemoryLines = 28;  // Lines of slot memory.
  localparam int unsigned CapMaxFrameLines = 32;  // Most lines that the card sends or takes in one frame, 1 to 1023.
  localparam int unsigned CapVectors = 36;  // Interrupt vectors; slot n belongs to vector n mod vectors.
  localparam int unsigned CapClassifierRules = 40;  // Rules of the classifier, 0 if there is none.
  localparam int unsigned CapDma = 44;  // 1: output rings and proxy marks can be in host memory (DMA table); 0: they cannot.
  localparam int unsigned CapCounters = 1024;  // Counts since reset, in the order of the counter table; they wrap.
  localparam int unsigned CapCardCounters = 2048;  // Counts of what only a card does, in the order of the card counter table; they wrap.

  // The control page of a card. Written by the driver alone; no process maps it. A write covers whole registers.
  // Registers that pop take any value.
  localparam int unsigned CtlOwnIp = 0;  // IPv4 address that frames come to and go out from; the first byte is the most significant.
  localparam int unsigned CtlOwnPort = 4;  // UDP port of the same; 16 bits.
  localparam int unsigned CtlOwnMacHigh = 8;  // First four bytes of the card's MAC address; the first byte is the most significant.
  localparam int unsigned CtlOwnMacLow = 12;  // Last two bytes of the card's MAC address; 16 bits.
  localparam int unsigned CtlCommand = 64;  // Starts a command: bits 7:0 the card command, 15:8 its fault cause, 31:16 its slot or link. Reads 1 while one runs; a write is ignored then.
  localparam int unsigned CtlEvent = 128;  // Oldest slot that stopped: bit 31 there is one, 30 some were lost (read all rows), 23:16 fault, 15:0 slot. A write pops it.
  localparam int unsigned CtlMoved = 192;  // Oldest slot whose proxy marks moved: bit 31 there is one, 15:0 slot. A write pops it; then read the marks.
  localparam int unsigned CtlPending = 256;  // Interrupt vectors that wait to be raised or seen, a bit each. Writing 1 clears.
  localparam int unsigned CtlEnabled = 260;  // Interrupt vectors that may be raised, a bit each.
  localparam int unsigned CtlModeration = 264;  // Shortest time between two interrupts of one vector, microseconds, 0 to 65535.

  // The classifier's page of a card. What becomes of frames that the card passes to the host. Written by the driver of
  // the host's frames alone; a page of its own, so that it can be mapped without the rest. Write-only. The first rule
  // that matches decides; a rule takes effect at once and whole.
  localparam int unsigned ClassifierRules = 0;  // Rule n stands at n times the bytes of a line and is written whole; what is beyond the card's rules is refused.
  localparam int unsigned ClassifierDefault = 2048;  // What becomes of frames that no rule matches: bits 7:0 a classifier action (none as queue), 31:16 the queue. 1 after a reset.

  // The shell page of a window. The first page of a shell's window: what the shell itself needs. The first four
  // registers are where Vitis expects them of a kernel.
  localparam int unsigned ShellApCtrl = 0;  // Always idle: the core runs by itself.
  localparam logic [31:0] ShellApCtrlValue = 32'h00000004;
  localparam int unsigned ShellGie = 4;  // Bit 0: interrupts may leave the shell.
  localparam int unsigned ShellIer = 8;  // Bit 0: the core's interrupts are seen.
  localparam int unsigned ShellIsr = 12;  // Bit 0: the core raised an interrupt. Writing 1 clears.
  localparam int unsigned ShellMemoryLow = 16;  // Where slot memory starts behind the shell's memory port: bytes, a multiple of a line; low half.
  localparam int unsigned ShellMemoryHigh = 20;  // The same, high half. Shells with slot memory on the chip do not look at it.
  localparam int unsigned ShellBank = 24;  // Which 512 KiB of slot memory the window shows.
  localparam int unsigned ShellMagic = 28;  // The bytes 'SWW1' in address order: this window, in this form.
  localparam logic [31:0] ShellMagicValue = 32'h31575753;

  // The page of the host's own frames. In a window of a shell without a network interface for the host: Ethernet frames
  // that are not ours, a line at a time.
  localparam int unsigned FramesReceive = 0;  // Bit 31 there is a line, 30 it is its frame's last, 6:0 its bytes (1 to 64). A write takes it away.
  localparam int unsigned FramesReceiveLine = 64;  // That line.
  localparam int unsigned FramesLineWords = 16;
  localparam int unsigned FramesSend = 128;  // A write sends the line below: bit 30 the frame's last, 6:0 bytes. Reads bit 31 there is room, 29 a frame is begun.
  localparam int unsigned FramesSendLine = 192;  // The line to be sent.

  // The four marks of a slot: offsets in file A (the process page) or file B (the proxy page).
  localparam int unsigned InTail = 0;  // File A. Produced: lines that the process wrote into the input space.
  localparam int unsigned OutHead = 64;  // File A. Consumed: lines that the process read from the output space.
  localparam int unsigned OutTail = 0;  // File B. Delivered: lines that the proxy wrote into the output space.
  localparam int unsigned InHead = 64;  // File B. Released: lines of the input space that the peer has.

  // The link header, big-endian: the first byte on the wire is the most significant. Stands before the payload of every
  // frame: with Ethernet (14), IPv4 (20) and UDP (8) it makes exactly one line. A frame is this header and 0 or more
  // whole lines.
  localparam int unsigned HeaderBytes = 22;
  localparam int unsigned HdrVersionType = 0;  // Byte offset.
  localparam int unsigned HdrFlags = 1;  // Byte offset.
  localparam int unsigned HdrDstSlot = 2;  // Byte offset.
  localparam int unsigned HdrSrcSlot = 4;  // Byte offset.
  localparam int unsigned HdrEpoch = 6;  // Byte offset.
  localparam int unsigned HdrSeq = 8;  // Byte offset.
  localparam int unsigned HdrAck = 12;  // Byte offset.
  localparam int unsigned HdrCredit = 16;  // Byte offset.
  localparam int unsigned HdrCrc = 18;  // Byte offset.
  typedef struct packed {
    logic [3:0] version;  // Protocol version.
    logic [3:0] frame_type;  // Frame type.
    logic [7:0] flags;  // Header flags and marked frames of links under congestion control; else sent as 0, ignored when received.
    logic [15:0] dst_slot;  // Slot number at the receiver.
    logic [15:0] src_slot;  // Slot number at the sender.
    logic [15:0] epoch;  // Random per pairing; a stale frame never reaches a reused slot.
    logic [31:0] seq;  // Line number of the first payload line.
    logic [31:0] ack;  // Next line expected from the peer.
    logic [15:0] credit;  // Lines the peer may send from ack on.
    logic [31:0] crc;  // CRC-32C over the link header (this field zero) and the payload, end to end.
  } link_header_t;

  // A row of the slot table, little-endian: the byte at offset 0 is bits 7:0. One row of the slot table: one line.
  // Admin memory; no process maps it. Positions are free-running line counters.
  localparam int unsigned SlotRowBytes = 64;
  localparam int unsigned SlotRowState = 0;  // Byte offset.
  localparam int unsigned SlotRowInOrder = 1;  // Byte offset.
  localparam int unsigned SlotRowOutOrder = 2;  // Byte offset.
  localparam int unsigned SlotRowFault = 3;  // Byte offset.
  localparam int unsigned SlotRowLink = 4;  // Byte offset.
  localparam int unsigned SlotRowPeerSlot = 6;  // Byte offset.
  localparam int unsigned SlotRowEpoch = 8;  // Byte offset.
  localparam int unsigned SlotRowFlags = 10;  // Byte offset.
  localparam int unsigned SlotRowBackoff = 11;  // Byte offset.
  localparam int unsigned SlotRowInTail = 12;  // Byte offset.
  localparam int unsigned SlotRowSent = 16;  // Byte offset.
  localparam int unsigned SlotRowInHead = 20;  // Byte offset.
  localparam int unsigned SlotRowLimit = 24;  // Byte offset.
  localparam int unsigned SlotRowOutTail = 28;  // Byte offset.
  localparam int unsigned SlotRowOutHead = 32;  // Byte offset.
  localparam int unsigned SlotRowToldAck = 36;  // Byte offset.
  localparam int unsigned SlotRowToldLimit = 40;  // Byte offset.
  localparam int unsigned SlotRowTxDeadline = 44;  // Byte offset.
  localparam int unsigned SlotRowAckDeadline = 48;  // Byte offset.
  localparam int unsigned SlotRowHigh = 52;  // Byte offset.
  localparam int unsigned SlotRowInBase = 56;  // Byte offset.
  localparam int unsigned SlotRowOutBase = 60;  // Byte offset.
  typedef struct packed {
    logic [31:0] out_base;  // card only: line of slot memory where the output ring starts, a multiple of its size; or row_base_dma
    logic [31:0] in_base;  // card only: line of slot memory where the input ring starts, a multiple of its size
    logic [31:0] high;  // line after the highest ever sent: what is below was sent before
    logic [31:0] ack_deadline;  // delayed acknowledgement timer, microseconds
    logic [31:0] tx_deadline;  // retransmission or probe timer, microseconds
    logic [31:0] told_limit;  // ack + credit in the last frame sent
    logic [31:0] told_ack;  // ack in the last frame sent
    logic [31:0] out_head;  // last accepted OUT_HEAD
    logic [31:0] out_tail;  // next expected line: OUT_TAIL
    logic [31:0] limit;  // first line that the peer has no room for
    logic [31:0] in_head;  // oldest unacknowledged line: IN_HEAD
    logic [31:0] sent;  // next line to send
    logic [31:0] in_tail;  // last accepted IN_TAIL
    logic [7:0] backoff;  // doublings of the retransmission timeout
    logic [7:0] flags;  // bits of the row flags
    logic [15:0] epoch;  // random per pairing
    logic [15:0] peer_slot;  // slot number at the other end
    logic [15:0] link;  // link that the pairing goes over
    logic [7:0] fault;  // Fault
    logic [7:0] out_order;  // output ring size = 2^out_order lines
    logic [7:0] in_order;  // input ring size = 2^in_order lines
    logic [7:0] state;  // SlotState
  } slot_row_t;

  // A row of the link table, little-endian: the byte at offset 0 is bits 7:0. One row of the link table: what a card
  // needs to know of a link. Written by the engine, read by the card.
  localparam int unsigned LinkRowBytes = 32;
  localparam int unsigned LinkRowUp = 0;  // Byte offset.
  localparam int unsigned LinkRowReserved = 1;  // Byte offset.
  localparam int unsigned LinkRowLinesPerFrame = 2;  // Byte offset.
  localparam int unsigned LinkRowRtoUs = 4;  // Byte offset.
  localparam int unsigned LinkRowAckDelayUs = 8;  // Byte offset.
  localparam int unsigned LinkRowRtoMaxUs = 12;  // Byte offset.
  localparam int unsigned LinkRowPeerIp = 16;  // Byte offset.
  localparam int unsigned LinkRowPeerPort = 20;  // Byte offset.
  localparam int unsigned LinkRowPeerMacLow = 22;  // Byte offset.
  localparam int unsigned LinkRowPeerMacHigh = 24;  // Byte offset.
  localparam int unsigned LinkRowReservedEnd = 28;  // Byte offset.
  typedef struct packed {
    logic [31:0] reserved_end;  // 0
    logic [31:0] peer_mac_high;  // first four bytes of the same, as a number
    logic [15:0] peer_mac_low;  // last two bytes of the MAC address of the next hop, as a number
    logic [15:0] peer_port;  // UDP port of the same
    logic [31:0] peer_ip;  // IPv4 address of the peer's card; its first byte is the most significant of the number
    logic [31:0] rto_max_us;  // where doubling the retransmission timeout stops, microseconds
    logic [31:0] ack_delay_us;  // longest that an acknowledgement waits for a frame to ride on, microseconds
    logic [31:0] rto_us;  // first retransmission timeout, microseconds
    logic [15:0] lines_per_frame;  // most lines in one frame, 1 to 1023: (MTU - 50) / 64
    logic [7:0] reserved;  // 0
    logic [7:0] up;  // 1: frames may be sent over the link; 0: the link is down
  } link_row_t;

  // A row of the DMA table, little-endian: the byte at offset 0 is bits 7:0. Where in host memory the card writes a
  // slot's output ring and proxy marks. Written by the driver alone; a read is answered when no write that an earlier
  // row allowed is under way. All rows are invalid after a reset.
  localparam int unsigned DmaRowBytes = 32;
  localparam int unsigned DmaRowValid = 0;  // Byte offset.
  localparam int unsigned DmaRowOrder = 1;  // Byte offset.
  localparam int unsigned DmaRowReserved = 2;  // Byte offset.
  localparam int unsigned DmaRowReservedEnd = 4;  // Byte offset.
  localparam int unsigned DmaRowRingLow = 8;  // Byte offset.
  localparam int unsigned DmaRowRingHigh = 12;  // Byte offset.
  localparam int unsigned DmaRowMarksLow = 16;  // Byte offset.
  localparam int unsigned DmaRowMarksHigh = 20;  // Byte offset.
  localparam int unsigned DmaRowSpareLow = 24;  // Byte offset.
  localparam int unsigned DmaRowSpareHigh = 28;  // Byte offset.
  typedef struct packed {
    logic [31:0] spare_high;  // 0
    logic [31:0] spare_low;  // 0
    logic [31:0] marks_high;  // the other bits of the same
    logic [31:0] marks_low;  // bus address of the mark page, a multiple of a page: its low 32 bits; only TAIL and HEAD are written
    logic [31:0] ring_high;  // the other bits of the same
    logic [31:0] ring_low;  // bus address of the ring's first line, a multiple of a page: its low 32 bits
    logic [31:0] reserved_end;  // 0
    logic [15:0] reserved;  // 0
    logic [7:0] order;  // the ring has 2^order lines; what is beyond is refused
    logic [7:0] valid;  // 1: the card may write there; 0: it writes nothing for the slot
  } dma_row_t;

  // A rule of the classifier, little-endian: the byte at offset 0 is bits 7:0. A frame's fields are compared with those
  // of the rule where the mask has ones. Numbers: the first byte on the wire is the most significant.
  localparam int unsigned ClassifierRuleBytes = 64;
  localparam int unsigned ClassifierRuleAction = 0;  // Byte offset.
  localparam int unsigned ClassifierRuleMarks = 1;  // Byte offset.
  localparam int unsigned ClassifierRuleHostQueue = 2;  // Byte offset.
  localparam int unsigned ClassifierRuleMark = 4;  // Byte offset.
  localparam int unsigned ClassifierRuleDstMacHigh = 8;  // Byte offset.
  localparam int unsigned ClassifierRuleSrcIp = 12;  // Byte offset.
  localparam int unsigned ClassifierRuleDstIp = 16;  // Byte offset.
  localparam int unsigned ClassifierRuleDstMacLow = 20;  // Byte offset.
  localparam int unsigned ClassifierRuleEtherType = 22;  // Byte offset.
  localparam int unsigned ClassifierRuleVlan = 24;  // Byte offset.
  localparam int unsigned ClassifierRuleSrcPort = 26;  // Byte offset.
  localparam int unsigned ClassifierRuleDstPort = 28;  // Byte offset.
  localparam int unsigned ClassifierRuleProtocol = 30;  // Byte offset.
  localparam int unsigned ClassifierRuleKinds = 31;  // Byte offset.
  localparam int unsigned ClassifierRuleDstMacHighMask = 32;  // Byte offset.
  localparam int unsigned ClassifierRuleSrcIpMask = 36;  // Byte offset.
  localparam int unsigned ClassifierRuleDstIpMask = 40;  // Byte offset.
  localparam int unsigned ClassifierRuleDstMacLowMask = 44;  // Byte offset.
  localparam int unsigned ClassifierRuleEtherTypeMask = 46;  // Byte offset.
  localparam int unsigned ClassifierRuleVlanMask = 48;  // Byte offset.
  localparam int unsigned ClassifierRuleSrcPortMask = 50;  // Byte offset.
  localparam int unsigned ClassifierRuleDstPortMask = 52;  // Byte offset.
  localparam int unsigned ClassifierRuleProtocolMask = 54;  // Byte offset.
  localparam int unsigned ClassifierRuleKindsMask = 55;  // Byte offset.
  localparam int unsigned ClassifierRuleReserved = 56;  // Byte offset.
  localparam int unsigned ClassifierRuleReservedEnd = 60;  // Byte offset.
  typedef struct packed {
    logic [31:0] reserved_end;  // 0
    logic [31:0] reserved;  // 0
    logic [7:0] kinds_mask;  // mask of the field kinds
    logic [7:0] protocol_mask;  // mask of the field protocol
    logic [15:0] dst_port_mask;  // mask of the field dst_port
    logic [15:0] src_port_mask;  // mask of the field src_port
    logic [15:0] vlan_mask;  // mask of the field vlan
    logic [15:0] ether_type_mask;  // mask of the field ether_type
    logic [15:0] dst_mac_low_mask;  // mask of the field dst_mac_low
    logic [31:0] dst_ip_mask;  // mask of the field dst_ip
    logic [31:0] src_ip_mask;  // mask of the field src_ip
    logic [31:0] dst_mac_high_mask;  // mask of the field dst_mac_high
    logic [7:0] kinds;  // bits of the frame kinds
    logic [7:0] protocol;  // IPv4 protocol or IPv6 next header; 0 in other frames
    logic [15:0] dst_port;  // UDP or TCP destination port; the same
    logic [15:0] src_port;  // UDP or TCP source port; 0 where there is none
    logic [15:0] vlan;  // priority and number of the VLAN tag; 0 without one
    logic [15:0] ether_type;  // EtherType, behind a VLAN tag if there is one
    logic [15:0] dst_mac_low;  // last two bytes of the destination MAC address
    logic [31:0] dst_ip;  // IPv4 destination address; the same
    logic [31:0] src_ip;  // IPv4 source address; 0 in a frame that is not IPv4
    logic [31:0] dst_mac_high;  // first four bytes of the destination MAC address
    logic [31:0] mark;  // 24 bits that come to the host beside the frame
    logic [15:0] host_queue;  // queue of the host, 0 to 255
    logic [7:0] marks;  // 1: the frame gets the mark; 0: it gets none
    logic [7:0] action;  // ClassifierAction; none: the rule is not there
  } classifier_rule_t;

  // The record header, little-endian: the byte at offset 0 is bits 7:0. Starts on a line, before the payload of every
  // record; the payload is padded to the next line. Processes only; the pipeline never looks.
  localparam int unsigned RecordHeaderBytes = 16;
  localparam int unsigned RecLength = 0;  // Byte offset.
  localparam int unsigned RecKind = 4;  // Byte offset.
  localparam int unsigned RecFlags = 5;  // Byte offset.
  localparam int unsigned RecCode = 6;  // Byte offset.
  localparam int unsigned RecId = 8;  // Byte offset.
  localparam int unsigned RecDeadline = 12;  // Byte offset.
  typedef struct packed {
    logic [31:0] deadline;  // Microseconds left when written, 0 none.
    logic [31:0] id;  // Matches request, reply, error and cancel.
    logic [15:0] code;  // Method of a request, status of an error.
    logic [7:0] flags;  // Record flags.
    logic [7:0] kind;  // Record kind.
    logic [31:0] length;  // Payload bytes in this record.
  } record_header_t;

  // What a frame is for.
  typedef enum logic [3:0] {
    FrameTypeData = 4'd0,  // Carries payload lines from seq on.
    FrameTypeAck = 4'd1,  // Carries no lines: tells ack and credit.
    FrameTypeNak = 4'd2,  // Carries no lines: asks to send again from ack on.
    FrameTypeProbe = 4'd3,  // Carries no lines: asks for an answer with ack and credit.
    FrameTypeReset = 4'd4  // Carries no lines: the sender has given the pairing up.
  } frame_type_e;

  // State of a slot's row.
  typedef enum logic [7:0] {
    SlotStateFree = 8'd0,  // No pairing; frames for it are dropped.
    SlotStateBound = 8'd1,  // Paired; lines move.
    SlotStateFaulted = 8'd2,  // Stopped because of its fault; its peer is told with a reset, no other slot is touched.
    SlotStateReset = 8'd3  // Ended by the peer; the process may still read what was delivered.
  } slot_state_e;

  // Why a slot was faulted.
  typedef enum logic [7:0] {
    FaultNone = 8'd0,  // The slot has no fault.
    FaultInTail = 8'd1,  // The process moved IN_TAIL back or more than one ring ahead of IN_HEAD.
    FaultOutHead = 8'd2,  // The process moved OUT_HEAD back or past OUT_TAIL.
    FaultPeerReset = 8'd3,  // The peer gave the pairing up: its process closed or faulted, or its engine lost the slot.
    FaultMemory = 8'd4,  // The slot's row was not sound when it was taken over, or the card read a line with wrong parity.
    FaultAdmin = 8'd5,  // The engine stopped the slot on an operator's order.
    FaultMemoryRefused = 8'd6  // Slot memory refused lines that the peer sent. They were neither delivered nor acknowledged.
  } fault_e;

  // What a rule of the classifier does with a frame.
  typedef enum logic [7:0] {
    ClassifierActionNone = 8'd0,  // The rule is not there.
    ClassifierActionQueue = 8'd1,  // The frame goes to a queue of the host.
    ClassifierActionDrop = 8'd2  // The frame is dropped and counted.
  } classifier_action_e;

  // What the command register of a card starts.
  typedef enum logic [7:0] {
    CardCommandNone = 8'd0,  // Nothing.
    CardCommandLinkUp = 8'd1,  // A link came up: every slot of it takes up at its marks (R9). The link's row says up already.
    CardCommandLinkDown = 8'd2,  // A link went down: the timers of its slots stop (R9). The link's row says so already.
    CardCommandFault = 8'd3  // Stops a bound slot with the given cause (R8).
  } card_command_e;

  // Every event that the pipeline counts.
  typedef enum logic [7:0] {
    CounterTxFrames = 8'd0,  // Frames sent, of every type.
    CounterTxLines = 8'd1,  // Payload lines sent, those sent again included.
    CounterTxLinesAgain = 8'd2,  // Payload lines sent again after a NAK or a timeout.
    CounterTxAcks = 8'd3,  // Ack-only frames sent.
    CounterTxNaks = 8'd4,  // NAK frames sent: a gap was seen.
    CounterTxProbes = 8'd5,  // Probe frames sent.
    CounterTxResets = 8'd6,  // Reset frames sent.
    CounterRxFrames = 8'd7,  // Frames taken: they passed every check up to the acknowledgement; resets are counted apart.
    CounterRxLines = 8'd8,  // Payload lines written into output spaces.
    CounterRxAcks = 8'd9,  // Ack-only frames taken.
    CounterRxNaks = 8'd10,  // NAK frames taken: the peer saw a gap.
    CounterRxProbes = 8'd11,  // Probe frames taken.
    CounterRxResets = 8'd12,  // Reset frames taken.
    CounterTimeouts = 8'd13,  // Retransmission timeouts: nothing was acknowledged in time; lines were sent again or the window was probed.
    CounterDropShort = 8'd14,  // Frames dropped: shorter than the link header.
    CounterDropVersion = 8'd15,  // Frames dropped: another protocol version.
    CounterDropType = 8'd16,  // Frames dropped: unknown frame type.
    CounterDropLength = 8'd17,  // Frames dropped: not a whole number of lines, a data frame without lines, or lines on another type.
    CounterDropCrc = 8'd18,  // Frames dropped: wrong CRC, damaged on the way.
    CounterDropSlot = 8'd19,  // Frames dropped: slot number beyond the slot table.
    CounterDropUnbound = 8'd20,  // Frames dropped: the slot is free.
    CounterDropFaulted = 8'd21,  // Frames dropped: the slot is faulted or was reset.
    CounterDropLink = 8'd22,  // Frames dropped: came over another link than the slot's.
    CounterDropPeerSlot = 8'd23,  // Frames dropped: came from another slot than the slot's peer.
    CounterDropEpoch = 8'd24,  // Frames dropped: epoch of another pairing, a stale frame.
    CounterDropPosition = 8'd25,  // Frames dropped: ack or seq is no position that the peer can be at.
    CounterDropGap = 8'd26,  // Frames dropped: lines before them are missing; a NAK asks for those.
    CounterDropDuplicate = 8'd27,  // Frames dropped: all their lines were delivered before.
    CounterDropOverrun = 8'd28,  // Frames dropped: more lines than the output space has room for; the peer broke its credit.
    CounterFaultInTail = 8'd29,  // Slots faulted because of IN_TAIL.
    CounterFaultOutHead = 8'd30  // Slots faulted because of OUT_HEAD.
  } counter_e;
  localparam int unsigned CounterCount = 31;

  // Every event that only a card counts.
  typedef enum logic [7:0] {
    CardCounterPassToHost = 8'd0,  // Frames that are not ours, passed from the wire to the host.
    CardCounterPassFromHost = 8'd1,  // Frames that the host sent, passed to the wire.
    CardCounterDropToHost = 8'd2,  // Frames for the host dropped: it took them too slowly.
    CardCounterDropFromHost = 8'd3,  // Frames of the host dropped: longer than the card holds.
    CardCounterDropDamaged = 8'd4,  // Frames that the port marked as damaged; dropped.
    CardCounterMemoryErrors = 8'd5,  // Lines of slot memory read with wrong parity.
    CardCounterHostWrites = 8'd6,  // Line writes of the host, doorbells included.
    CardCounterHostRefused = 8'd7,  // Accesses of the host to where there is nothing, or of the wrong size; without effect.
    CardCounterDoorbells = 8'd8,  // Process marks written.
    CardCounterInterrupts = 8'd9,  // Interrupts raised.
    CardCounterEventsLost = 8'd10,  // Slots that stopped while there was no room to tell; their rows show it.
    CardCounterDropByRule = 8'd11,  // Frames for the host dropped because a rule of the classifier says so.
    CardCounterMemoryRefused = 8'd12,  // Writes of slot memory that the memory refused, the host's included.
    CardCounterDmaLines = 8'd13,  // Lines written into host memory.
    CardCounterDmaMarks = 8'd14,  // Proxy marks written into host memory.
    CardCounterDmaRefused = 8'd15  // Writes into host memory that the slot's DMA row or the bus refused.
  } card_counter_e;
  localparam int unsigned CardCounterCount = 16;

  // What a record is.
  typedef enum logic [7:0] {
    RecordKindMessage = 8'd1,  // A message that expects no answer.
    RecordKindRequest = 8'd2,  // A request; answered by a reply or an error with the same id.
    RecordKindReply = 8'd3,  // The answer to a request.
    RecordKindError = 8'd4,  // The failure of a request.
    RecordKindCancel = 8'd5,  // The asker no longer wants the answer.
    RecordKindStream = 8'd6,  // A piece of a stream.
    RecordKindEndOfStream = 8'd7  // The end of a stream.
  } record_kind_e;

  // Bits of the link header's flags, beside the number of marked frames in the bits above them. Bit numbers.
  localparam int unsigned HdrAskBit = 0;  // The receiver acknowledges at once.
  localparam int unsigned HdrAnswerBit = 1;  // This frame answers a frame with ask, or a probe.

  // Flags of a slot's row. Bit numbers.
  localparam int unsigned RowAckNowBit = 0;  // An acknowledgement is due at once.
  localparam int unsigned RowNakNowBit = 1;  // A NAK is due at once.
  localparam int unsigned RowProbeNowBit = 2;  // A probe is due at once.
  localparam int unsigned RowResetNowBit = 3;  // A reset is due at once.
  localparam int unsigned RowNakSentBit = 4;  // A NAK was raised for the present gap; no second one until lines come that were expected or known.
  localparam int unsigned RowTxTimerBit = 5;  // tx_deadline runs.
  localparam int unsigned RowAckTimerBit = 6;  // ack_deadline runs.

  // What the classifier found in a frame. Bit numbers.
  localparam int unsigned FrameKindTaggedBit = 0;  // There is a VLAN tag (EtherType 0x8100).
  localparam int unsigned FrameKindIpv4Bit = 1;  // There is a whole IPv4 header.
  localparam int unsigned FrameKindIpv6Bit = 2;  // There is a whole IPv6 header.
  localparam int unsigned FrameKindPortsBit = 3;  // There are ports: UDP or TCP directly behind an IPv4 header without options or an IPv6 header, and no fragment.

  // Flags of a record. Bit numbers.
  localparam int unsigned RecordFirstBit = 0;  // First part of a message.
  localparam int unsigned RecordLastBit = 1;  // Last part of a message.

  // What is not described there, but the same for all modules.
`include "slotwire_types.svh"

endpackage
