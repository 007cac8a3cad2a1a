#include "sim/card/story.hpp"

#include <cinttypes>
#include <cstring>
#include <string>

#include "core/pipeline/frame.hpp"
#include "sim/card/card_driver.hpp"
#include "sim/card/ethernet.hpp"

namespace slotwire::sim {
namespace {

std::string hex(std::uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%x", value);
  return text;
}
std::string number(std::int64_t value) {
  return std::to_string(value);
}

std::uint32_t word(const Line& line, std::size_t offset) {
  std::uint32_t value = 0;
  std::memcpy(&value, line.data() + offset, sizeof value);
  return value;
}

/// Is the first line of a frame that of IPv4 and UDP. Whose it is the link header says.
bool is_datagram(const Line& line) {
  return line[12] == std::byte{0x08} && line[13] == std::byte{0} && line[kEthernetBytes] == std::byte{0x45} &&
         line[kEthernetBytes + 9] == std::byte{17};
}

}  // namespace

void Story::tell(std::uint64_t clock, const std::string& what) {
  std::fprintf(out_, "clock %8" PRIu64 "  +%-5" PRIu64 " %s\n", clock, clock - since_, what.c_str());
}

bool Story::in_ring(std::uint32_t line, bool output) const {
  if (row_.state == static_cast<std::uint8_t>(regs::SlotState::free)) return false;
  return line - (output ? row_.out_base : row_.in_base) < 1U << (output ? row_.out_order : row_.in_order);
}

std::uint32_t Story::index(std::uint32_t line, bool output) const {
  return line - (output ? row_.out_base : row_.in_base);
}

void Story::host_request(std::uint64_t clock, bool write, std::uint32_t address, const Line& data) {
  const std::uint32_t process = SimCardDriver::process_page(slot_), proxy = SimCardDriver::proxy_page(slot_);
  if (write && address == SimCardDriver::row_address(slot_)) {
    std::memcpy(&row_, data.data(), sizeof row_);
    since_ = clock;
    const auto state = static_cast<regs::SlotState>(row_.state);
    tell(clock, "host     writes the row: " + std::string(regs::name(state)));
  } else if (write && (address == process + regs::kInTail || address == process + regs::kOutHead)) {
    since_ = clock;
    tell(clock, std::string("host     doorbell ") + (address == process + regs::kInTail ? "IN_TAIL" : "OUT_HEAD") +
                    " = " + hex(word(data, 0)));
  } else if (!write && (address == proxy + regs::kOutTail || address == proxy + regs::kInHead)) {
    tell(clock, std::string("host     reads the mark ") + (address == proxy + regs::kOutTail ? "OUT_TAIL" : "IN_HEAD"));
  } else if (address >= regs::kCardMemory) {
    const auto line = static_cast<std::uint32_t>((address - regs::kCardMemory) / regs::kLineBytes);
    for (const bool output : {false, true}) {
      if (!in_ring(line, output)) continue;
      tell(clock, std::string("host     ") + (write ? "writes" : "reads") + " line " + number(index(line, output)) +
                      " of the " + (output ? "output" : "input") + " ring");
    }
  }
}

void Story::memory_read(std::uint64_t clock, std::uint32_t line) {
  const bool ours = in_ring(line, false);
  if (reads_.size() < kMaxUnderWay) reads_.push_back(ours ? std::int64_t{index(line, false)} : -1);
  if (ours) tell(clock, "memory   line " + number(index(line, false)) + " of the input ring is read");
}

void Story::memory_answer(std::uint64_t clock) {
  if (reads_.empty()) return;
  const std::int64_t line = reads_.front();
  reads_.pop_front();
  if (line >= 0) tell(clock, "memory   line " + number(line) + " of the input ring comes");
}

void Story::memory_write(std::uint64_t clock, std::uint32_t line) {
  const bool ours = in_ring(line, true);
  if (writes_.size() < kMaxUnderWay) writes_.push_back(ours ? std::int64_t{index(line, true)} : -1);
  if (ours) tell(clock, "memory   line " + number(index(line, true)) + " of the output ring is written");
}

void Story::memory_done(std::uint64_t clock) {
  if (writes_.empty()) return;
  const std::int64_t line = writes_.front();
  writes_.pop_front();
  if (line >= 0) tell(clock, "memory   line " + number(line) + " of the output ring can be seen");
}

void Story::wire_beat(std::uint64_t clock, bool out, bool first, bool last, const Line& data) {
  bool& ours = out ? frame_out_ : frame_in_;
  if (first) {
    const pipeline::Header h =
        pipeline::decode(std::span<const std::byte>(data).subspan<kCarrierBytes, regs::kHeaderBytes>());
    ours = is_datagram(data) && (out ? h.src_slot : h.dst_slot) == slot_;
    if (ours && !out) since_ = clock;
    if (ours) {
      tell(clock, std::string("wire ") + (out ? "out " : "in  ") + std::string(regs::name(h.type)) + ": seq " +
                      hex(h.seq) + ", ack " + hex(h.ack) + ", credit " + number(h.credit) +
                      (last ? "; the only beat" : "; first beat"));
    }
  } else if (ours && last) {
    tell(clock, std::string("wire ") + (out ? "out" : "in ") + " last beat");
  }
}

void Story::interrupt(std::uint64_t clock, std::uint32_t vectors) {
  const unsigned vector = slot_ % vectors_;
  if (((vectors >> vector) & 1) != 0) tell(clock, "host     interrupt, vector " + number(vector));
}

}  // namespace slotwire::sim
