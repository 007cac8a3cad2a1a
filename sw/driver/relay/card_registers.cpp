#include "driver/relay/card_registers.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "driver/relay/slot_relay.hpp"

namespace slotwire::driver {
namespace {

/// Most that a card may say of itself (docs/registers.md): what has an address, and what fits a link's row.
constexpr std::size_t kMostLines = ((std::size_t{1} << regs::kCardAddressBits) - regs::kCardMemory) / regs::kLineBytes;
constexpr std::uint32_t kMostFrameLines = 1023;

using Line = std::array<std::byte, regs::kLineBytes>;

std::uint32_t word_at(std::span<const std::byte> bytes, std::size_t offset) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

}  // namespace

std::string CardRegisters::why() const {
  if (stuck_) return "a command of the card does not end; reset the card";
  return bus_.broken().empty() ? "the card does not answer as a card does; reset it" : bus_.broken();
}

std::optional<std::uint32_t> CardRegisters::read32(std::size_t address) {
  std::uint32_t value = 0;
  if (!bus_.read(address, std::as_writable_bytes(std::span(&value, 1)))) return std::nullopt;
  return value;
}

CardInfo CardRegisters::read_info(std::size_t slots) {
  Line page{};
  if (!bus_.read(regs::kCardCapabilities, page)) throw std::runtime_error(why());
  if (word_at(page, regs::kCapMagic) != regs::kCapMagicValue) {
    throw std::runtime_error("what is there is no Slotwire card (its capability page says something else)");
  }
  if (const std::uint32_t version = word_at(page, regs::kCapVersion); version != regs::kCapVersionValue) {
    throw std::runtime_error("the card has version " + std::to_string(version) + " of the registers, this slotwired " +
                             std::to_string(regs::kCapVersionValue) + "; install releases that match");
  }
  const CardInfo info{.slots = word_at(page, regs::kCapSlots),
                      .links = word_at(page, regs::kCapLinks),
                      .max_order = word_at(page, regs::kCapMaxRingOrder),
                      .memory_lines = word_at(page, regs::kCapMemoryLines),
                      .max_frame_lines = word_at(page, regs::kCapMaxFrameLines),
                      .vectors = word_at(page, regs::kCapVectors),
                      .dma = word_at(page, regs::kCapDma) == 1};
  if (info.slots < slots) {
    throw std::runtime_error("the card has " + std::to_string(info.slots) + " slots, the node " +
                             std::to_string(slots) + "; lower limits.slots");
  }
  if (info.slots > regs::kMaxSlots || info.links == 0 || info.links > regs::kMaxSlots ||
      info.max_order > regs::kMaxRingOrder || info.memory_lines <= kReservedLines || info.memory_lines > kMostLines ||
      info.max_frame_lines == 0 || info.max_frame_lines > kMostFrameLines || info.vectors == 0) {
    throw std::runtime_error("the card's capability page makes no sense; reset the card");
  }
  return info;
}

std::optional<std::uint64_t> CardRegisters::read_incarnation() {
  Line token{};
  if (!bus_.read(memory_address(0), token)) return std::nullopt;
  std::uint64_t found = 0;
  std::memcpy(&found, token.data(), sizeof found);
  return found;
}

void CardRegisters::write_incarnation(std::uint64_t incarnation) {
  Line token{};
  std::memcpy(token.data(), &incarnation, sizeof incarnation);
  bus_.write(memory_address(0), token);
}

void CardRegisters::enable_interrupts() {
  bus_.write32(regs::kCardControl + regs::kCtlEnabled, ~std::uint32_t{0});
  bus_.write32(regs::kCardControl + regs::kCtlModeration, 0);
}

void CardRegisters::clear_interrupts() {
  bus_.write32(regs::kCardControl + regs::kCtlPending, ~std::uint32_t{0});
}

void CardRegisters::write_own(const CardAddress& own) {
  const std::array<std::uint32_t, 4> registers{own.ip, own.port, mac_high(own.mac), mac_low(own.mac)};
  bus_.write(regs::kCardControl + regs::kCtlOwnIp, std::as_bytes(std::span(registers)));
}

void CardRegisters::write_row(std::uint16_t slot, const regs::SlotRow& row) {
  bus_.write(row_address(slot), std::as_bytes(std::span(&row, 1)));
}

std::optional<regs::SlotRow> CardRegisters::read_row(std::uint16_t slot) {
  regs::SlotRow row{};
  if (!bus_.read(row_address(slot), std::as_writable_bytes(std::span(&row, 1)))) return std::nullopt;
  return row;
}

void CardRegisters::write_dma_row(std::uint16_t slot, const regs::DmaRow& row) {
  Line line{};
  std::memcpy(line.data(), &row, sizeof row);
  bus_.write(dma_row_address(slot), line);
}

void CardRegisters::write_link(std::uint16_t link, const regs::LinkRow& row) {
  Line line{};
  std::memcpy(line.data(), &row, sizeof row);
  bus_.write(regs::kCardLinkRows + std::size_t{link} * regs::kLineBytes, line);
}

bool CardRegisters::command(regs::CardCommand what, std::uint16_t target, regs::Fault cause) {
  constexpr std::size_t kCommand = regs::kCardControl + regs::kCtlCommand;
  for (int looks = 0; looks < kCommandLooks; ++looks) {
    const std::optional<std::uint32_t> busy = read32(kCommand);
    if (!busy) return false;
    if (*busy != 0) continue;
    bus_.write32(kCommand, static_cast<std::uint32_t>(what) | static_cast<std::uint32_t>(cause) << 8 |
                               std::uint32_t{target} << 16);
    stuck_ = false;
    return true;
  }
  stuck_ = true;  // the card is taken up anew
  return false;
}

std::optional<std::uint32_t> CardRegisters::take_moved() {
  constexpr std::size_t kMoved = regs::kCardControl + regs::kCtlMoved;
  const std::optional<std::uint32_t> moved = read32(kMoved);
  if (!moved) return std::nullopt;
  if ((*moved >> 31) == 0) return kNothing;
  bus_.write32(kMoved, 0);
  return *moved & 0xffff;
}

std::optional<CardRegisters::Event> CardRegisters::take_event() {
  constexpr std::size_t kEvent = regs::kCardControl + regs::kCtlEvent;
  const std::optional<std::uint32_t> event = read32(kEvent);
  if (!event) return std::nullopt;
  if ((*event >> 30) == 0) return Event{};
  bus_.write32(kEvent, 0);
  return Event{.any = true,
               .lost = (*event >> 30 & 1) != 0,
               .stopped = (*event >> 31) != 0,
               .slot = static_cast<std::uint16_t>(*event & 0xffff),
               .fault = static_cast<regs::Fault>(*event >> 16 & 0xff)};
}

std::optional<CardRegisters::Counters> CardRegisters::read_counters() {
  constexpr std::size_t kPerLine = regs::kLineBytes / sizeof(std::uint64_t);
  constexpr auto whole_lines = [](std::size_t counters) { return (counters + kPerLine - 1) / kPerLine * kPerLine; };
  std::array<std::uint64_t, whole_lines(regs::kCounterCount)> pipeline{};
  std::array<std::uint64_t, whole_lines(regs::kCardCounterCount)> card{};
  if (!bus_.read(regs::kCardCapabilities + regs::kCapCounters, std::as_writable_bytes(std::span(pipeline))) ||
      !bus_.read(regs::kCardCapabilities + regs::kCapCardCounters, std::as_writable_bytes(std::span(card)))) {
    return std::nullopt;
  }
  Counters counters;
  std::copy_n(pipeline.begin(), counters.pipeline.size(), counters.pipeline.begin());
  std::copy_n(card.begin(), counters.card.size(), counters.card.begin());
  return counters;
}

}  // namespace slotwire::driver
