// A program of lockstep: concrete steps, made up front, so that it can be shortened, written to a file and replayed.
//
// Steps are taken as they come: one that makes no sense when it comes (its predecessor was cut out) has no effect or
// the effect that the protocol gives it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/pipeline/pipeline.hpp"
#include "sim/card/ethernet.hpp"
#include "sim/random.hpp"

namespace slotwire::lockstep {

using Bytes = std::vector<std::byte>;
using pipeline::Microseconds;
using pipeline::Position;

/// Limits of a program; one read from a file is refused beyond them.
inline constexpr std::size_t kMaxSteps = 1'000'000;
inline constexpr std::uint32_t kMaxProgramSlots = 4096;
inline constexpr std::uint32_t kMaxProgramLinks = 64;
/// Longest frame that a step may make, in lines and in bytes.
inline constexpr std::uint32_t kMaxStepLines = 64;
inline constexpr std::uint32_t kMaxStrayBytes = 9000;
/// A frame of this link comes from an address that is no link's peer.
inline constexpr std::uint16_t kStranger = 0xffff;

/// Time passes.
struct Advance {
  static constexpr std::string_view kName = "advance";
  std::uint32_t us = 0;
  template <typename V>
  void fields(V&& v) {
    v("us", us);
  }
};
/// The process writes lines from a position on into its input space; rings no bell.
struct Write {
  static constexpr std::string_view kName = "write";
  std::uint16_t slot = 0;
  Position at = 0;
  std::uint16_t lines = 0;
  std::uint32_t fill = 0;  ///< see fill_line()
  template <typename V>
  void fields(V&& v) {
    v("slot", slot), v("at", at), v("lines", lines), v("fill", fill);
  }
};
/// The process writes IN_TAIL.
struct InTail {
  static constexpr std::string_view kName = "in_tail";
  std::uint16_t slot = 0;
  Position value = 0;
  template <typename V>
  void fields(V&& v) {
    v("slot", slot), v("value", value);
  }
};
/// The process writes OUT_HEAD.
struct OutHead {
  static constexpr std::string_view kName = "out_head";
  std::uint16_t slot = 0;
  Position value = 0;
  template <typename V>
  void fields(V&& v) {
    v("slot", slot), v("value", value);
  }
};
/// A frame for our address comes in from the wire.
struct FrameIn {
  static constexpr std::string_view kName = "frame";
  std::uint16_t link = 0;  ///< the link from whose peer it comes, or kStranger
  std::uint8_t version = regs::kVersion, type = 0, flags = 0;
  std::uint16_t dst_slot = 0, src_slot = 0, epoch = 0;
  std::uint32_t seq = 0, ack = 0;
  std::uint16_t credit = 0;
  std::uint16_t lines = 0;  ///< the one at i holds fill_line(fill, seq + i)
  std::uint32_t fill = 0;
  std::uint16_t extra = 0;    ///< bytes after the last line
  std::uint16_t cut = 0;      ///< not 0: only this many bytes less one of the link frame
  std::uint32_t crc_xor = 0;  ///< not 0: the CRC is wrong by this
  std::uint8_t damaged = 0;   ///< the port marks it as damaged
  std::uint8_t pad = 0;       ///< bytes behind the datagram, which are not its
  std::uint16_t missing = 0;  ///< bytes that are cut from the end of the Ethernet frame, as far as 60 are left
  template <typename V>
  void fields(V&& v) {
    v("link", link), v("version", version), v("type", type), v("flags", flags), v("dst", dst_slot), v("src", src_slot);
    v("epoch", epoch), v("seq", seq), v("ack", ack), v("credit", credit), v("lines", lines), v("fill", fill);
    v("extra", extra), v("cut", cut), v("crc_xor", crc_xor), v("damaged", damaged);
    v("pad", pad), v("missing", missing);
  }
};
/// A data frame of the slot's peer that brings lines and no other news, and slot memory refuses one of them.
struct RefusedFrame {
  static constexpr std::string_view kName = "refused_frame";
  std::uint16_t link = 0, dst_slot = 0, src_slot = 0, epoch = 0;
  std::uint32_t seq = 0, ack = 0;
  std::uint16_t lines = 1;
  std::uint16_t nth = 1;  ///< which of the lines that are written
  std::uint32_t fill = 0;
  FrameIn frame() const {
    return {.link = link,
            .dst_slot = dst_slot,
            .src_slot = src_slot,
            .epoch = epoch,
            .seq = seq,
            .ack = ack,
            .lines = lines,
            .fill = fill};
  }
  template <typename V>
  void fields(V&& v) {
    v("link", link), v("dst", dst_slot), v("src", src_slot), v("epoch", epoch), v("seq", seq), v("ack", ack);
    v("lines", lines), v("nth", nth), v("fill", fill);
  }
};
/// In what a frame that is not ours differs from one that is.
enum class Likeness : std::uint8_t {
  none,
  other_mac,
  other_type,
  other_protocol,
  other_ip,
  other_port,
  fragment,
  options,
  other_length
};
inline constexpr std::uint8_t kLikenesses = 9;
/// A frame that is not ours, from the wire or from the host.
struct Stray {
  static constexpr std::string_view kName = "stray";
  std::uint8_t from_host = 0;
  std::uint8_t likeness = 0;
  std::uint16_t bytes = 60;
  std::uint32_t fill = 0;
  std::uint8_t damaged = 0;  ///< from the wire: the port marks it as damaged
  template <typename V>
  void fields(V&& v) {
    v("from_host", from_host), v("likeness", likeness), v("bytes", bytes), v("fill", fill), v("damaged", damaged);
  }
};
struct Bind {
  static constexpr std::string_view kName = "bind";
  std::uint16_t slot = 0, link = 0, peer_slot = 0, epoch = 0;
  std::uint8_t in_order = 0, out_order = 0;
  std::uint16_t credit = 0;
  Position in_tail = 0, in_head = 0, out_tail = 0, out_head = 0;
  std::uint16_t in_place = 0, out_place = 0;  ///< which of the places in the slot's region that hold such a ring
  template <typename V>
  void fields(V&& v) {
    v("slot", slot), v("link", link), v("peer_slot", peer_slot), v("epoch", epoch), v("in_order", in_order);
    v("out_order", out_order), v("credit", credit), v("in_tail", in_tail), v("in_head", in_head);
    v("out_tail", out_tail), v("out_head", out_head), v("in_place", in_place), v("out_place", out_place);
  }
};
struct Unbind {
  static constexpr std::string_view kName = "unbind";
  std::uint16_t slot = 0;
  template <typename V>
  void fields(V&& v) {
    v("slot", slot);
  }
};
/// The link's figures change, up or down.
struct Figures {
  static constexpr std::string_view kName = "figures";
  std::uint16_t link = 0, lines_per_frame = 22;
  Microseconds rto_us = 10'000, rto_max_us = 1'000'000, ack_delay_us = 1'000;
  template <typename V>
  void fields(V&& v) {
    v("link", link), v("lines_per_frame", lines_per_frame), v("rto_us", rto_us), v("rto_max_us", rto_max_us);
    v("ack_delay_us", ack_delay_us);
  }
};
struct LinkUp {
  static constexpr std::string_view kName = "link_up";
  std::uint16_t link = 0;
  template <typename V>
  void fields(V&& v) {
    v("link", link);
  }
};
struct LinkDown {
  static constexpr std::string_view kName = "link_down";
  std::uint16_t link = 0;
  template <typename V>
  void fields(V&& v) {
    v("link", link);
  }
};
/// The engine faults a slot.
struct FaultSlot {
  static constexpr std::string_view kName = "fault";
  std::uint16_t slot = 0;
  std::uint8_t cause = 0;
  template <typename V>
  void fields(V&& v) {
    v("slot", slot), v("cause", cause);
  }
};
/// The card is reset and recovered from its kept fields (R9); the links that were up come up again.
struct Reset {
  static constexpr std::string_view kName = "reset";
  template <typename V>
  void fields(V&& /*v*/) {}
};

using Action = std::variant<Advance, Write, InTail, OutHead, FrameIn, Stray, Bind, Unbind, Figures, LinkUp, LinkDown,
                            FaultSlot, Reset, RefusedFrame>;
inline constexpr std::size_t kActionKinds = std::variant_size_v<Action>;

struct Step {
  Action action;
  bool together = false;  ///< the next step comes at once, without waiting for rest
};

struct Program {
  std::uint64_t seed = 0;
  std::uint32_t slots = 16, links = 4;
  unsigned max_order = 10;
  std::uint32_t frame_lines = 32;
  std::uint32_t memory_lines = 1U << 16;
  Microseconds start_us = 0;
  std::vector<Step> steps;

  /// Lines of slot memory for each of the two rings of a slot.
  std::uint32_t region_lines() const { return memory_lines / (2 * slots); }
  /// First line of a ring.
  std::uint32_t base(std::uint16_t slot, bool out, unsigned order, std::uint16_t place) const {
    const std::uint32_t places = region_lines() >> order;
    return region_lines() * (2U * slot + (out ? 1U : 0U)) + ((place % places) << order);
  }
};

/// 0 to n - 1, as numbers of slots or links, for a range-based loop; n at most 65535.
class Numbers {
 public:
  struct Iterator {
    std::uint16_t value;
    std::uint16_t operator*() const { return value; }
    Iterator& operator++() {
      ++value;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return value != other.value; }
  };
  explicit Numbers(std::size_t n) : end_{static_cast<std::uint16_t>(n)} {}
  Iterator begin() const { return {0}; }
  Iterator end() const { return end_; }

 private:
  Iterator end_;
};
inline Numbers numbers(std::size_t n) {
  return Numbers(n);
}

std::string_view name(const Action& action);
/// One line of text for a step.
std::string to_text(const Step& step);
/// The whole program as text, one step a line.
std::string to_text(const Program& program);
/// Reads what to_text() wrote. Throws std::invalid_argument that names the line and what is wrong with it.
Program parse_program(std::string_view text);

/// The address of the card and of a link's peer. Those of kStranger are nobody's.
sim::Endpoint own_endpoint();
sim::Endpoint peer_endpoint(std::uint16_t link);

/// The content of a line that is written at a position.
void fill_line(std::byte* line, std::uint32_t fill, Position at);
/// The Ethernet frame of a step.
void build_frame(const FrameIn& step, Bytes& out);
void build_frame(const Stray& step, Bytes& out);

}  // namespace slotwire::lockstep
