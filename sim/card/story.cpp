#include "sim/card/story.hpp"

#include <cinttypes>
#include <cstdarg>
#include <cstring>
#include <string>

#include "pipeline/frame.hpp"
#include "sim/card/card_driver.hpp"
#include "sim/card/ethernet.hpp"

namespace slotwire::sim {
namespace {

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

void Story::tell(std::uint64_t clock, const char* format, ...) {
  std::fprintf(out_, "clock %8" PRIu64 "  +%-5" PRIu64 " ", clock, clock - since_);
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(out_, format, arguments);
  va_end(arguments);
  std::fputc('\n', out_);
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
    tell(clock, "host     writes the row: %s", std::string(regs::name(state)).c_str());
  } else if (write && (address == process + regs::kInTail || address == process + regs::kOutHead)) {
    since_ = clock;
    tell(clock, "host     doorbell %s = 0x%x", address == process + regs::kInTail ? "IN_TAIL" : "OUT_HEAD",
         word(data, 0));
  } else if (!write && (address == proxy + regs::kOutTail || address == proxy + regs::kInHead)) {
    tell(clock, "host     reads the mark %s", address == proxy + regs::kOutTail ? "OUT_TAIL" : "IN_HEAD");
  } else if (address >= regs::kCardMemory) {
    const auto line = static_cast<std::uint32_t>((address - regs::kCardMemory) / regs::kLineBytes);
    for (const bool output : {false, true}) {
      if (!in_ring(line, output)) continue;
      tell(clock, "host     %s line %u of the %s ring", write ? "writes" : "reads", index(line, output),
           output ? "output" : "input");
    }
  }
}

void Story::memory_read(std::uint64_t clock, std::uint32_t line) {
  const bool ours = in_ring(line, false);
  if (reads_.size() < kMaxUnderWay) reads_.push_back(ours ? std::int64_t{index(line, false)} : -1);
  if (ours) tell(clock, "memory   line %u of the input ring is read", index(line, false));
}

void Story::memory_answer(std::uint64_t clock) {
  if (reads_.empty()) return;
  const std::int64_t line = reads_.front();
  reads_.pop_front();
  if (line >= 0) tell(clock, "memory   line %" PRId64 " of the input ring comes", line);
}

void Story::memory_write(std::uint64_t clock, std::uint32_t line) {
  const bool ours = in_ring(line, true);
  if (writes_.size() < kMaxUnderWay) writes_.push_back(ours ? std::int64_t{index(line, true)} : -1);
  if (ours) tell(clock, "memory   line %u of the output ring is written", index(line, true));
}

void Story::memory_done(std::uint64_t clock) {
  if (writes_.empty()) return;
  const std::int64_t line = writes_.front();
  writes_.pop_front();
  if (line >= 0) tell(clock, "memory   line %" PRId64 " of the output ring can be seen", line);
}

void Story::wire_beat(std::uint64_t clock, bool out, bool first, bool last, const Line& data) {
  bool& ours = out ? frame_out_ : frame_in_;
  if (first) {
    const pipeline::Header h =
        pipeline::decode(std::span<const std::byte>(data).subspan<kCarrierBytes, regs::kHeaderBytes>());
    ours = is_datagram(data) && (out ? h.src_slot : h.dst_slot) == slot_;
    if (ours && !out) since_ = clock;
    if (ours) {
      tell(clock, "wire %s %s: seq 0x%x, ack 0x%x, credit %u%s", out ? "out" : "in ",
           std::string(regs::name(h.type)).c_str(), h.seq, h.ack, h.credit, last ? "; the only beat" : "; first beat");
    }
  } else if (ours && last) {
    tell(clock, "wire %s last beat", out ? "out" : "in ");
  }
}

void Story::interrupt(std::uint64_t clock, std::uint32_t vectors) {
  const unsigned vector = slot_ % vectors_;
  if (((vectors >> vector) & 1) != 0) tell(clock, "host     interrupt, vector %u", vector);
}

}  // namespace slotwire::sim
