// One node for pipeline tests: a pipeline, its rows, its rings in plain memory, and the processes' marks.
#pragma once
#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "core/pipeline/pipeline.hpp"

namespace slotwire::testing {

using pipeline::Header;
using pipeline::Microseconds;
using pipeline::Position;
using Bytes = std::vector<std::byte>;

/// Time starts a little before the 32-bit count of microseconds wraps, so every test of time crosses the wrap.
inline constexpr Microseconds kStart = 0xffff'ff00;

/// The header of a frame; of a type that no frame has when there is no frame.
inline Header header_of(const Bytes& frame) {
  if (frame.size() < regs::kHeaderBytes) return {.version = 0, .type = static_cast<regs::FrameType>(0xff)};
  return pipeline::decode(std::span<const std::byte>(frame).first<regs::kHeaderBytes>());
}
inline std::size_t lines_of(const Bytes& frame) {
  return frame.size() < regs::kHeaderBytes ? 0 : (frame.size() - regs::kHeaderBytes) / regs::kLineBytes;
}

/// A frame of any content with the right CRC.
inline Bytes make_frame(Header header, std::span<const std::byte> payload = {}) {
  Bytes frame(regs::kHeaderBytes + payload.size());
  const pipeline::HeaderBytes out = std::span<std::byte>(frame).first<regs::kHeaderBytes>();
  pipeline::encode(header, out);
  header.crc = pipeline::frame_crc(pipeline::ConstHeaderBytes(out), payload);
  pipeline::encode(header, out);
  std::copy(payload.begin(), payload.end(), frame.begin() + regs::kHeaderBytes);
  return frame;
}

/// The content of line `index` of what a process writes into its slot number `slot`.
inline std::vector<std::byte> line_content(std::uint32_t slot, Position index) {
  std::mt19937 random(slot * 0x9e3779b9U + index);
  std::vector<std::byte> line(regs::kLineBytes);
  for (std::byte& byte : line) byte = static_cast<std::byte>(random() & 0xff);
  return line;
}
inline Bytes lines_content(std::uint32_t slot, Position first, std::uint32_t lines) {
  Bytes all;
  for (std::uint32_t i = 0; i < lines; ++i) {
    const auto line = line_content(slot, first + i);
    all.insert(all.end(), line.begin(), line.end());
  }
  return all;
}

class Node {
 public:
  explicit Node(std::size_t slots = 4, std::size_t links = 2) : rows(slots), pipe(rows, links), rings_(slots) {
    for (std::size_t link = 0; link < links; ++link) pipe.link_up(static_cast<std::uint16_t>(link), now);
  }

  void bind(std::uint16_t slot, const pipeline::Binding& binding) {
    make_rings(slot, binding.in_order, binding.out_order, binding.marks);
    pipe.bind(slot, binding, memory(slot), now);
  }
  /// Makes the rings of a slot without telling the pipeline.
  void make_rings(std::uint16_t slot, unsigned in_order, unsigned out_order, const pipeline::Marks& marks) {
    Rings& r = rings_[slot];
    r.in.assign(regs::kLineBytes << in_order, std::byte{0xee});
    r.out.assign(regs::kLineBytes << out_order, std::byte{0xee});
    r.in_order = in_order;
    r.out_order = out_order;
    r.in_tail = marks.in_tail;
    r.out_head = marks.out_head;
  }
  pipeline::SlotMemory memory(std::uint16_t slot) {
    Rings& r = rings_[slot];
    return {{r.in.data(), r.in_order, false}, {r.out.data(), r.out_order, false}};
  }

  /// The process writes `lines` lines and rings.
  void write(std::uint16_t slot, std::uint32_t lines) {
    Rings& r = rings_[slot];
    for (std::uint32_t i = 0; i < lines; ++i, ++r.in_tail) {
      const auto line = line_content(slot, r.in_tail);
      std::memcpy(memory(slot).in.at(r.in_tail), line.data(), line.size());
    }
    ring(slot);
  }
  /// The process consumes `lines` lines and rings. Returns them.
  Bytes read(std::uint16_t slot, std::uint32_t lines) {
    Rings& r = rings_[slot];
    Bytes all;
    for (std::uint32_t i = 0; i < lines; ++i, ++r.out_head) {
      const std::byte* line = memory(slot).out.at(r.out_head);
      all.insert(all.end(), line, line + regs::kLineBytes);
    }
    ring(slot);
    return all;
  }
  void ring(std::uint16_t slot) { pipe.doorbell(slot, rings_[slot].in_tail, rings_[slot].out_head, now); }

  /// What is due, at most `max` frames.
  std::vector<Bytes> frames(std::size_t max = 1000) {
    std::vector<Bytes> all;
    pipeline::TxFrame out;
    while (all.size() < max && pipe.transmit({&out, 1}, now) == 1) {
      links_used.push_back(out.link);
      Bytes frame(std::begin(out.header), std::end(out.header));
      frame.insert(frame.end(), out.payload.begin(), out.payload.end());
      all.push_back(std::move(frame));
    }
    return all;
  }
  /// The one frame that is due; empty when it is none or several.
  Bytes only_frame() {
    auto all = frames();
    return all.size() == 1 ? all.front() : Bytes{};
  }
  void receive(const Bytes& frame, std::uint16_t link = 0) { pipe.receive(link, frame, now); }
  void receive(const std::vector<Bytes>& frames) {
    for (const Bytes& frame : frames) receive(frame);
  }
  /// Time passes, and timers are looked at. Returns what sweep() said.
  Microseconds pass(Microseconds us) {
    now += us;
    return pipe.sweep(now, 100'000);
  }
  std::uint64_t count(regs::Counter counter) const { return pipe.counter(counter); }
  const regs::SlotRow& row(std::uint16_t slot) const { return pipe.row(slot); }
  bool has(std::uint16_t slot, std::uint8_t flag) const { return (pipe.row(slot).flags & flag) != 0; }
  regs::SlotState state(std::uint16_t slot) const { return static_cast<regs::SlotState>(pipe.row(slot).state); }

  Microseconds now = kStart;
  std::vector<regs::SlotRow> rows;
  pipeline::Pipeline pipe;
  std::vector<std::uint16_t> links_used;  ///< the link of every frame that frames() returned

 private:
  struct Rings {
    Bytes in, out;
    unsigned in_order = 0, out_order = 0;
    Position in_tail = 0, out_head = 0;
  };
  std::vector<Rings> rings_;
};

/// Slot 1 of node a paired with slot 2 of node b over link 0, with rings of 2^order lines in both directions.
struct Pair {
  static constexpr std::uint16_t kA = 1, kB = 2, kEpoch = 0x5a17;
  explicit Pair(unsigned order = 4, Position start = 0xffff'fff8) : size(1U << order) {
    const pipeline::Marks marks{start, start, start, start};
    a.bind(kA, {.link = 0,
                .peer_slot = kB,
                .epoch = kEpoch,
                .in_order = order,
                .out_order = order,
                .credit = size,
                .marks = marks});
    b.bind(kB, {.link = 0,
                .peer_slot = kA,
                .epoch = kEpoch,
                .in_order = order,
                .out_order = order,
                .credit = size,
                .marks = marks});
  }
  void pass(Microseconds us) {
    a.pass(us);
    b.pass(us);
  }
  /// Moves frames both ways until neither end has any.
  void settle() {
    for (;;) {
      const auto from_a = a.frames();
      const auto from_b = b.frames();
      if (from_a.empty() && from_b.empty()) return;
      b.receive(from_a);
      a.receive(from_b);
    }
  }
  /// A frame as a would send it to b, to be changed at will.
  Header from_a(regs::FrameType type) const {
    const regs::SlotRow& row = a.row(kA);
    Header header;
    header.type = type;
    header.dst_slot = kB;
    header.src_slot = kA;
    header.epoch = kEpoch;
    header.seq = row.sent;
    header.ack = row.out_tail;
    header.credit = static_cast<std::uint16_t>(size);
    return header;
  }

  std::uint32_t size;
  Node a, b;
};

}  // namespace slotwire::testing
