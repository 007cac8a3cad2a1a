#include <algorithm>
#include <cstdio>
#include <map>

#include "core/pipeline/frame.hpp"
#include "sim/lockstep/implementation.hpp"

namespace slotwire::lockstep {
namespace {

std::string hex(std::uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

std::string unequal(const std::string& what, std::uint64_t expected, std::uint64_t seen) {
  return what + ": expected " + hex(expected) + ", seen " + hex(seen);
}

/// A frame in a few words.
std::string describe(const SentFrame& frame) {
  std::string text = std::to_string(frame.bytes.size()) + " bytes";
  if (frame.slot != kPassed && frame.bytes.size() >= sim::kCarrierBytes + regs::kHeaderBytes) {
    const std::span<const std::byte> bytes(frame.bytes);
    const pipeline::Header h = pipeline::decode(bytes.subspan<sim::kCarrierBytes, regs::kHeaderBytes>());
    text += " (" + std::string(regs::name(h.type)) + " to slot " + std::to_string(h.dst_slot) + " from slot " +
            std::to_string(h.src_slot) + ", epoch " + hex(h.epoch) + ", seq " + hex(h.seq) + ", ack " + hex(h.ack) +
            ", credit " + std::to_string(h.credit) + ", crc " + hex(h.crc) + ")";
  }
  if (frame.clock != 0) text += " at clock " + std::to_string(frame.clock);
  return text;
}

std::string compare_bytes(const Bytes& expected, const Bytes& seen) {
  const std::size_t common = std::min(expected.size(), seen.size());
  for (std::size_t i = 0; i < common; ++i) {
    if (expected[i] != seen[i]) {
      return unequal("byte " + std::to_string(i), std::to_integer<std::uint64_t>(expected[i]),
                     std::to_integer<std::uint64_t>(seen[i]));
    }
  }
  return expected.size() == seen.size() ? "" : unequal("length", expected.size(), seen.size());
}

std::string compare_wire(const std::vector<SentFrame>& expected, const std::vector<SentFrame>& seen) {
  // Slots may take turns in another order; the frames of one slot have one order.
  std::map<std::uint16_t, std::pair<std::vector<const SentFrame*>, std::vector<const SentFrame*>>> by_slot;
  for (const SentFrame& frame : expected) by_slot[frame.slot].first.push_back(&frame);
  for (const SentFrame& frame : seen) by_slot[frame.slot].second.push_back(&frame);
  for (const auto& [slot, frames] : by_slot) {
    const auto& [wanted, got] = frames;
    const std::string who = slot == kPassed ? "passed frame " : "slot " + std::to_string(slot) + ", frame ";
    for (std::size_t i = 0; i < std::max(wanted.size(), got.size()); ++i) {
      const std::string which = who + std::to_string(i + 1);
      if (i >= got.size()) return which + ": expected " + describe(*wanted[i]) + ", seen none";
      if (i >= wanted.size()) return which + ": expected none, seen " + describe(*got[i]);
      const std::string difference = compare_bytes(wanted[i]->bytes, got[i]->bytes);
      if (!difference.empty()) {
        std::string text = which;
        text.append(", ").append(difference);
        text.append("\n  expected ").append(describe(*wanted[i])).append("\n  seen     ").append(describe(*got[i]));
        return text;
      }
    }
  }
  return "";
}

std::string compare_rows(std::size_t slot, const regs::SlotRow& e, const regs::SlotRow& s) {
  const std::string who = "slot " + std::to_string(slot) + ", row ";
  std::string result;
  const auto field = [&](const char* name, std::uint64_t expected, std::uint64_t seen) {
    if (expected != seen && result.empty()) result = unequal(who + name, expected, seen);
  };
  // A deadline means something while its timer runs; the rings' places are the card's own.
  field("state", e.state, s.state);
  if (e.state == static_cast<std::uint8_t>(regs::SlotState::free)) return result;
  field("fault", e.fault, s.fault);
  field("flags", e.flags, s.flags);
  field("in_order", e.in_order, s.in_order);
  field("out_order", e.out_order, s.out_order);
  field("link", e.link, s.link);
  field("peer_slot", e.peer_slot, s.peer_slot);
  field("epoch", e.epoch, s.epoch);
  field("in_tail", e.in_tail, s.in_tail);
  field("sent", e.sent, s.sent);
  field("in_head", e.in_head, s.in_head);
  field("limit", e.limit, s.limit);
  field("high", e.high, s.high);
  field("out_tail", e.out_tail, s.out_tail);
  field("out_head", e.out_head, s.out_head);
  field("told_ack", e.told_ack, s.told_ack);
  field("told_limit", e.told_limit, s.told_limit);
  field("backoff", e.backoff, s.backoff);
  if ((e.flags & regs::kRowTxTimer) != 0) field("tx_deadline", e.tx_deadline, s.tx_deadline);
  if ((e.flags & regs::kRowAckTimer) != 0) field("ack_deadline", e.ack_deadline, s.ack_deadline);
  return result;
}

template <typename T>
std::vector<T> sorted(std::vector<T> values) {
  std::sort(values.begin(), values.end());
  return values;
}

std::string list(const std::vector<std::uint32_t>& values) {
  std::string text;
  for (const std::uint32_t value : values) {
    if (!text.empty()) text += ' ';
    text += std::to_string(value);
  }
  return "{" + text + "}";
}

std::string compare_sets(const char* what, const std::vector<std::uint32_t>& expected,
                         const std::vector<std::uint32_t>& seen) {
  return expected == seen ? "" : std::string(what) + ": expected " + list(expected) + ", seen " + list(seen);
}

}  // namespace

std::string compare(const Observation& expected, const Observation& seen) {
  if (!seen.wrong.empty()) return seen.wrong;
  if (!expected.wrong.empty()) return "of what is expected: " + expected.wrong;
  std::string difference = compare_wire(expected.wire, seen.wire);
  for (std::size_t slot = 0; slot < expected.rows.size() && difference.empty(); ++slot) {
    difference = compare_rows(slot, expected.rows[slot], seen.rows[slot]);
    if (!difference.empty() || expected.rows[slot].state == static_cast<std::uint8_t>(regs::SlotState::free)) continue;
    const std::string who = "slot " + std::to_string(slot) + ", mark ";
    const ProxyMarks& e = expected.marks[slot];
    const ProxyMarks& s = seen.marks[slot];
    if (e.out_tail != s.out_tail) difference = unequal(who + "OUT_TAIL", e.out_tail, s.out_tail);
    if (e.in_head != s.in_head) difference = unequal(who + "IN_HEAD", e.in_head, s.in_head);
  }
  for (std::size_t i = 0; i < regs::kCounterCount && difference.empty(); ++i) {
    if (expected.counters[i] == seen.counters[i]) continue;
    difference = unequal("counter " + std::string(regs::name(static_cast<regs::Counter>(i))), expected.counters[i],
                         seen.counters[i]);
  }
  for (std::size_t i = 0; i < regs::kCardCounterCount && difference.empty(); ++i) {
    if (expected.card_counters[i] == seen.card_counters[i]) continue;
    difference = unequal("card counter " + std::string(regs::name(static_cast<regs::CardCounter>(i))),
                         expected.card_counters[i], seen.card_counters[i]);
  }
  if (!difference.empty()) return difference;
  if (expected.to_host.size() != seen.to_host.size()) {
    return unequal("frames passed to the host", expected.to_host.size(), seen.to_host.size());
  }
  for (std::size_t i = 0; i < expected.to_host.size(); ++i) {
    difference = compare_bytes(expected.to_host[i], seen.to_host[i]);
    if (!difference.empty()) return "frame " + std::to_string(i + 1) + " passed to the host, " + difference;
  }
  const auto keys = [](const auto& values, auto&& number) {
    std::vector<std::uint32_t> all;
    all.reserve(values.size());
    for (const auto& value : values) all.push_back(static_cast<std::uint32_t>(number(value)));
    return sorted(std::move(all));
  };
  const auto event = [](const pipeline::SlotEvent& e) {
    return std::uint32_t{e.slot} * 16U + static_cast<unsigned>(e.fault);
  };
  difference = compare_sets("events (slot * 16 + fault)", keys(expected.events, event), keys(seen.events, event));
  if (!difference.empty()) return difference;
  const auto same = [](std::uint16_t slot) { return slot; };
  difference = compare_sets("slots whose marks moved", keys(expected.moved, same), keys(seen.moved, same));
  if (!difference.empty()) return difference;
  const std::vector<LineWritten> wanted = sorted(expected.written), got = sorted(seen.written);
  for (std::size_t i = 0; i < std::max(wanted.size(), got.size()); ++i) {
    if (i < wanted.size() && i < got.size() && wanted[i] == got[i]) continue;
    const bool missing = i >= got.size() || (i < wanted.size() && wanted[i] < got[i]);
    const LineWritten& line = missing ? wanted[i] : got[i];
    return "slot " + std::to_string(line.slot) + ", line " + std::to_string(line.index) +
           " of the output ring: " + (missing ? "expected to be written, is not" : "written, expected not to be");
  }
  return "";
}

}  // namespace slotwire::lockstep
