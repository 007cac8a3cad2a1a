#include "sim/card/card_driver.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace slotwire::sim {
namespace {

static_assert(std::endian::native == std::endian::little, "tables and registers are copied as they stand");

std::uint32_t word(const Line& line, std::size_t offset) {
  std::uint32_t value = 0;
  std::memcpy(&value, line.data() + offset % regs::kLineBytes, sizeof value);
  return value;
}
void put_word(Line& line, std::size_t offset, std::uint32_t value) {
  std::memcpy(line.data() + offset, &value, sizeof value);
}
std::uint32_t line_of(std::size_t address) {
  return static_cast<std::uint32_t>(address & ~(regs::kLineBytes - 1));
}
constexpr std::uint32_t control(std::size_t offset) {
  return static_cast<std::uint32_t>(regs::kCardControl + offset);
}
constexpr std::uint32_t kThereIsOne = 1U << 31;

}  // namespace

std::uint32_t SimCardDriver::row_address(std::uint16_t slot) {
  return static_cast<std::uint32_t>(regs::kCardSlotRows + slot * regs::kLineBytes);
}
std::uint32_t SimCardDriver::link_address(std::uint16_t link) {
  return static_cast<std::uint32_t>(regs::kCardLinkRows + link * regs::kLineBytes);
}
std::uint32_t SimCardDriver::process_page(std::uint16_t slot) {
  return static_cast<std::uint32_t>(regs::kCardProcessPages + slot * regs::kPageBytes);
}
std::uint32_t SimCardDriver::proxy_page(std::uint16_t slot) {
  return static_cast<std::uint32_t>(regs::kCardProxyPages + slot * regs::kPageBytes);
}
std::uint32_t SimCardDriver::memory_address(std::uint32_t line) {
  return static_cast<std::uint32_t>(regs::kCardMemory + line * regs::kLineBytes);
}

bool SimCardDriver::failed(const std::string& what) {
  if (error_.empty()) error_ = "clock " + std::to_string(core_.now()) + ": " + what;
  return false;
}

void SimCardDriver::clock(std::uint64_t n) {
  for (; n != 0; --n) {
    core_.clock();
    if (each_clock_) each_clock_();
  }
}

bool SimCardDriver::wait_for_room() {
  for (std::uint64_t n = 0; !core_.host_room(); ++n) {
    if (n == kPatience) return failed("the host bus takes nothing");
    clock();
  }
  return true;
}

bool SimCardDriver::wait_for_answer() {
  for (std::uint64_t n = 0; !core_.host_answered(); ++n) {
    if (n == kPatience) return failed("the host bus does not answer");
    clock();
  }
  return true;
}

bool SimCardDriver::write_line(std::uint32_t address, const Line& data, std::uint64_t strobes) {
  if (!wait_for_room()) return false;
  ++writes_;
  return core_.host_write(address, data, strobes);
}

bool SimCardDriver::write_word(std::uint32_t address, std::uint32_t value) {
  const std::size_t offset = address % regs::kLineBytes;
  Line line{};
  put_word(line, offset, value);
  return write_line(line_of(address), line, std::uint64_t{0xf} << offset);
}

std::optional<Line> SimCardDriver::read_line(std::uint32_t address) {
  Line line;
  if (!read_lines({&address, 1}, {&line, 1})) return std::nullopt;
  return line;
}

std::optional<std::uint32_t> SimCardDriver::read_word(std::uint32_t address) {
  const auto line = read_line(line_of(address));
  return line ? std::optional(word(*line, address)) : std::nullopt;
}

bool SimCardDriver::read_lines(std::span<const std::uint32_t> addresses, std::span<Line> out) {
  std::size_t asked = 0;
  for (std::size_t answered = 0; answered < addresses.size();) {
    while (asked < addresses.size() && core_.host_read(addresses[asked])) ++asked;
    if (!wait_for_answer()) return false;
    for (; core_.host_answered(); ++answered) {
      const SimCore::Answer answer = core_.take_answer();
      if (answer.error) return failed("the card refuses a read of address " + std::to_string(addresses[answered]));
      out[answered] = answer.data;
    }
  }
  return true;
}

std::optional<SimCardDriver::Capabilities> SimCardDriver::probe() {
  const auto line = read_line(regs::kCardCapabilities);
  if (!line) return std::nullopt;
  if (word(*line, regs::kCapMagic) != regs::kCapMagicValue ||
      word(*line, regs::kCapVersion) != regs::kCapVersionValue) {
    failed("this is no card of this version");
    return std::nullopt;
  }
  return Capabilities{.slots = word(*line, regs::kCapSlots),
                      .links = word(*line, regs::kCapLinks),
                      .max_ring_order = word(*line, regs::kCapMaxRingOrder),
                      .memory_lines = word(*line, regs::kCapMemoryLines),
                      .max_frame_lines = word(*line, regs::kCapMaxFrameLines),
                      .vectors = word(*line, regs::kCapVectors),
                      .rules = word(*line, regs::kCapClassifierRules)};
}

bool SimCardDriver::configure(const Endpoint& own) {
  return write_word(control(regs::kCtlOwnIp), own.ip) && write_word(control(regs::kCtlOwnPort), own.port) &&
         write_word(control(regs::kCtlOwnMacHigh), static_cast<std::uint32_t>(own.mac >> 16)) &&
         write_word(control(regs::kCtlOwnMacLow), static_cast<std::uint32_t>(own.mac & 0xffff));
}

bool SimCardDriver::write_link(std::uint16_t link, const regs::LinkRow& row) {
  Line line{};
  std::memcpy(line.data(), &row, sizeof row);
  return write_line(link_address(link), line);
}

bool SimCardDriver::write_rule(std::size_t index, const regs::ClassifierRule& rule) {
  Line line{};
  std::memcpy(line.data(), &rule, sizeof rule);
  return write_line(static_cast<std::uint32_t>(regs::kCardClassifier + index * regs::kLineBytes), line);
}

bool SimCardDriver::write_default_rule(regs::ClassifierAction action, std::uint16_t queue) {
  return write_word(static_cast<std::uint32_t>(regs::kCardClassifier + regs::kClassifierDefault),
                    static_cast<std::uint32_t>(action) | std::uint32_t{queue} << 16);
}

bool SimCardDriver::command(regs::CardCommand command, std::uint16_t target, regs::Fault cause) {
  const std::uint32_t value =
      static_cast<std::uint32_t>(command) | (static_cast<std::uint32_t>(cause) << 8) | (std::uint32_t{target} << 16);
  if (!write_word(control(regs::kCtlCommand), value)) return false;
  for (std::uint64_t start = core_.now();;) {
    const auto busy = read_word(control(regs::kCtlCommand));
    if (!busy) return false;
    if (*busy == 0) return true;
    if (core_.now() - start > kPatience) return failed("a command does not end");
  }
}

bool SimCardDriver::write_row(std::uint16_t slot, const regs::SlotRow& row) {
  Line line{};
  std::memcpy(line.data(), &row, sizeof row);
  return write_line(row_address(slot), line);
}

std::optional<regs::SlotRow> SimCardDriver::read_row(std::uint16_t slot) {
  const auto line = read_line(row_address(slot));
  if (!line) return std::nullopt;
  regs::SlotRow row;
  std::memcpy(&row, line->data(), sizeof row);
  return row;
}

bool SimCardDriver::doorbell(std::uint16_t slot, bool out_head, std::uint32_t value) {
  return write_word(process_page(slot) + static_cast<std::uint32_t>(out_head ? regs::kOutHead : regs::kInTail), value);
}

std::optional<pipeline::SlotEvent> SimCardDriver::pop_event() {
  const auto value = read_word(control(regs::kCtlEvent));
  if (!value || (*value & kThereIsOne) == 0 || !write_word(control(regs::kCtlEvent), 0)) return std::nullopt;
  return pipeline::SlotEvent{static_cast<std::uint16_t>(*value & 0xffff),
                             static_cast<regs::Fault>((*value >> 16) & 0xff)};
}

std::optional<std::uint16_t> SimCardDriver::pop_moved() {
  const auto value = read_word(control(regs::kCtlMoved));
  if (!value || (*value & kThereIsOne) == 0 || !write_word(control(regs::kCtlMoved), 0)) return std::nullopt;
  return static_cast<std::uint16_t>(*value & 0xffff);
}

bool SimCardDriver::read_counters(std::array<std::uint64_t, regs::kCounterCount>& counters,
                                  std::array<std::uint64_t, regs::kCardCounterCount>& card) {
  constexpr std::size_t kPerLine = regs::kLineBytes / sizeof(std::uint64_t);
  constexpr std::size_t kLines = (regs::kCounterCount + kPerLine - 1) / kPerLine;
  constexpr std::size_t kCardLines = (regs::kCardCounterCount + kPerLine - 1) / kPerLine;
  std::array<std::uint32_t, kLines + kCardLines> addresses{};
  std::array<Line, kLines + kCardLines> lines{};
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    const std::size_t base = i < kLines ? regs::kCapCounters + i * regs::kLineBytes
                                        : regs::kCapCardCounters + (i - kLines) * regs::kLineBytes;
    addresses[i] = static_cast<std::uint32_t>(regs::kCardCapabilities + base);
  }
  if (!read_lines(addresses, lines)) return false;
  std::memcpy(counters.data(), lines.data(), sizeof counters);
  std::memcpy(card.data(), lines.data() + kLines, sizeof card);
  return true;
}

bool SimCardDriver::rest() {
  const std::uint64_t start = core_.now();
  std::uint64_t sweeps = core_.sweeps();
  std::uint64_t active = core_.last_activity();
  // The first pulse ends a sweep that had begun before.
  while (core_.sweeps() - sweeps <= kQuietSweeps) {
    if (core_.now() - start > kRestPatience) return failed("the card does not come to rest");
    if (!core_.violation().empty()) return failed(core_.violation());
    clock();
    if (core_.last_activity() != active || !core_.idle()) {
      active = core_.last_activity();
      sweeps = core_.sweeps();
    }
  }
  return true;
}

}  // namespace slotwire::sim
