// A card made of variables: registers, rows, marks and memory as docs/registers.md has them, and what R10 says of
// marks. It sends no frames: the test says what the peer releases and delivers.
#pragma once
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/regs/regs.hpp"
#include "core/slot/memory.hpp"
#include "driver/bus/host_bus.hpp"

namespace slotwire::test {

using Line = std::array<std::byte, regs::kLineBytes>;

class ModelCard {
 public:
  std::uint32_t slots = 8, links = 4, max_order = 10, memory_lines = 1024, frame_lines = 22, vectors = 1;
  std::array<std::uint64_t, regs::kCounterCount> counters{};
  std::array<std::uint64_t, regs::kCardCounterCount> card_counters{};
  std::uint32_t magic = regs::kCapMagicValue, version = regs::kCapVersionValue;
  std::vector<regs::SlotRow> rows = std::vector<regs::SlotRow>(8);
  std::map<std::size_t, Line> memory;  ///< by line
  std::map<std::size_t, regs::LinkRow> link_rows;
  std::deque<std::uint32_t> moved, events, commands;
  std::array<std::uint32_t, 4> own{};
  std::uint32_t interrupts = 0, enabled = 0;
  bool command_busy = false;
  bool there = true;    ///< it can be reached
  bool answers = true;  ///< else it is there and says nothing
  std::string log;      ///< "m": memory written, "t", "h": doorbells, "r": row
  std::function<void()> on_memory_read;
  // Output spaces in host memory.
  bool dma = false;
  std::vector<regs::DmaRow> dma_rows = std::vector<regs::DmaRow>(8);
  std::map<std::uint64_t, driver::DmaPages> mapped;  ///< by bus address
  std::string dma_obstacle, map_obstacle;            ///< of the bus
  bool maps_files = false;
  bool late = false;       ///< marks are in host memory only once the driver has asked for a DMA row
  std::string violation;   ///< the first thing that no driver may do
  std::uint64_t lost = 0;  ///< writes to where nothing is mapped

  // What the wire does.
  void deliver(std::uint16_t slot, std::span<const Line> lines) {
    regs::SlotRow& row = rows[slot];
    for (const Line& line : lines) {
      if (row.out_base == regs::kRowBaseDma) {
        write_host(slot, regs::kPageBytes + (row.out_tail++ & ((1U << row.out_order) - 1)) * regs::kLineBytes, line);
        continue;
      }
      memory[row.out_base + (row.out_tail & ((1U << row.out_order) - 1))] = line;
      ++row.out_tail;
    }
    tell_moved(slot);
  }
  void release(std::uint16_t slot, std::uint32_t lines) {
    rows[slot].in_head += lines;
    tell_moved(slot);
  }
  void tell_moved(std::uint16_t slot) {
    if (!late) show_in_host(slot);
    moved.push_back(0x8000'0000U | slot);
    interrupts |= 1;
  }
  void stop(std::uint16_t slot, regs::SlotState state, regs::Fault fault) {
    rows[slot].state = static_cast<std::uint8_t>(state);
    rows[slot].fault = static_cast<std::uint8_t>(fault);
    events.push_back(0x8000'0000U | static_cast<std::uint32_t>(fault) << 16 | slot);
    interrupts |= 1;
  }
  /// As after its reset line: rows are free, their marks and the memory stay.
  void reset() {
    for (regs::SlotRow& row : rows) row.state = 0;
    for (regs::DmaRow& row : dma_rows) row = {};
    link_rows.clear();
    moved.clear();
    events.clear();
    own = {};
    interrupts = enabled = 0;
  }
  regs::SlotState state(std::uint16_t slot) const { return static_cast<regs::SlotState>(rows[slot].state); }

  void broken(const char* what) {
    if (violation.empty()) violation = what;
  }
  /// Writes to the slot's pages at `at` from the mark page on, as far as the slot's DMA row and the IOMMU let it.
  void write_host(std::uint16_t slot, std::size_t at, std::span<const std::byte> data) {
    const regs::DmaRow& row = dma_rows[slot];
    if (row.valid == 0) return broken("the card wrote without a DMA row");
    const std::uint64_t to = at < regs::kPageBytes
                                 ? (std::uint64_t{row.marks_high} << 32 | row.marks_low) + at
                                 : (std::uint64_t{row.ring_high} << 32 | row.ring_low) + (at - regs::kPageBytes);
    for (const auto& [address, pages] : mapped) {
      if (to < address || to - address + data.size() > pages.bytes) continue;
      std::memcpy(pages.memory + (to - address), data.data(), data.size());
      return;
    }
    ++lost;
  }
  void show_in_host(std::uint16_t slot) {
    const regs::SlotRow& row = rows[slot];
    if (row.out_base != regs::kRowBaseDma || dma_rows[slot].valid == 0) return;
    write_host(slot, regs::kOutTail, std::as_bytes(std::span(&row.out_tail, 1)));
    write_host(slot, regs::kInHead, std::as_bytes(std::span(&row.in_head, 1)));
  }

  // What the driver does.
  void write(std::size_t address, std::span<const std::byte> data) {
    const std::uint32_t word = word_of(data);
    if (address >= regs::kCardMemory) {
      log += 'm';
      for (std::size_t at = 0; at < data.size(); at += regs::kLineBytes) {
        std::memcpy(memory[(address - regs::kCardMemory + at) / regs::kLineBytes].data(), data.data() + at,
                    regs::kLineBytes);
      }
    } else if (address >= regs::kCardProcessPages) {
      const std::size_t slot = (address - regs::kCardProcessPages) / regs::kPageBytes;
      const bool tail = address % regs::kPageBytes == regs::kMarkTail;
      log += tail ? 't' : 'h';
      doorbell(static_cast<std::uint16_t>(slot), tail, word);
    } else if (address >= regs::kCardDmaRows) {
      log += 'd';
      const std::size_t slot = (address - regs::kCardDmaRows) / regs::kLineBytes;
      std::memcpy(&dma_rows.at(slot), data.data(), sizeof(regs::DmaRow));
      if (dma_rows[slot].valid == 0 && rows.at(slot).state == 1) broken("a DMA row was taken back from a bound slot");
    } else if (address >= regs::kCardLinkRows) {
      std::memcpy(&link_rows[(address - regs::kCardLinkRows) / regs::kLineBytes], data.data(), sizeof(regs::LinkRow));
    } else if (address >= regs::kCardSlotRows) {
      log += 'r';
      const std::size_t slot = (address - regs::kCardSlotRows) / regs::kSlotRowBytes;
      std::memcpy(&rows.at(slot), data.data(), sizeof(regs::SlotRow));
      if (rows[slot].state == 1 && rows[slot].out_base == regs::kRowBaseDma) {
        if (dma_rows[slot].valid == 0) broken("a slot was bound before its DMA row was there");
        show_in_host(static_cast<std::uint16_t>(slot));
      }
    } else {
      write_control(address - regs::kCardControl, data, word);
    }
  }
  void read(std::size_t address, std::span<std::byte> data) {
    std::fill(data.begin(), data.end(), std::byte{0});
    if (address >= regs::kCardMemory) {
      if (on_memory_read) on_memory_read();
      for (std::size_t at = 0; at < data.size(); at += regs::kLineBytes) {
        const auto line = memory.find((address - regs::kCardMemory + at) / regs::kLineBytes);
        if (line != memory.end()) std::memcpy(data.data() + at, line->second.data(), regs::kLineBytes);
      }
    } else if (address >= regs::kCardProxyPages) {
      const regs::SlotRow& row = rows.at((address - regs::kCardProxyPages) / regs::kPageBytes);
      put(data, regs::kOutTail, row.out_tail);
      put(data, regs::kInHead, row.in_head);
    } else if (address >= regs::kCardDmaRows && address < regs::kCardProcessPages) {
      log += 'D';
      const regs::DmaRow& row = dma_rows.at((address - regs::kCardDmaRows) / regs::kLineBytes);
      std::memcpy(data.data(), &row, std::min(data.size(), sizeof row));
      for (std::size_t slot = 0; slot < rows.size(); ++slot) show_in_host(static_cast<std::uint16_t>(slot));
    } else if (address >= regs::kCardSlotRows && address < regs::kCardLinkRows) {
      std::memcpy(data.data(), &rows.at((address - regs::kCardSlotRows) / regs::kSlotRowBytes), data.size());
    } else if (address == regs::kCardControl + regs::kCtlMoved) {
      put(data, 0, moved.empty() ? 0 : moved.front());
    } else if (address == regs::kCardControl + regs::kCtlEvent) {
      put(data, 0, events.empty() ? 0 : events.front());
    } else if (address == regs::kCardControl + regs::kCtlCommand) {
      put(data, 0, command_busy ? 1 : 0);
    } else if (address == regs::kCardCapabilities) {
      put(data, regs::kCapMagic, magic);
      put(data, regs::kCapVersion, version);
      put(data, regs::kCapSlots, slots);
      put(data, regs::kCapLinks, links);
      put(data, regs::kCapMaxRingOrder, max_order);
      put(data, regs::kCapMemoryLines, memory_lines);
      put(data, regs::kCapMaxFrameLines, frame_lines);
      put(data, regs::kCapVectors, vectors);
      put(data, regs::kCapDma, dma ? 1 : 0);
    } else if (address == regs::kCardCapabilities + regs::kCapCounters) {
      for (std::size_t i = 0; i < counters.size(); ++i) std::memcpy(data.data() + 8 * i, &counters[i], 8);
    } else if (address == regs::kCardCapabilities + regs::kCapCardCounters) {
      for (std::size_t i = 0; i < card_counters.size(); ++i) std::memcpy(data.data() + 8 * i, &card_counters[i], 8);
    }
  }

 private:
  static std::uint32_t word_of(std::span<const std::byte> data) {
    std::uint32_t word = 0;
    std::memcpy(&word, data.data(), sizeof word);
    return word;
  }
  static void put(std::span<std::byte> data, std::size_t at, std::uint32_t value) {
    std::memcpy(data.data() + at, &value, sizeof value);
  }
  void doorbell(std::uint16_t slot, bool tail, std::uint32_t mark) {
    regs::SlotRow& row = rows.at(slot);
    if (state(slot) != regs::SlotState::bound) return;
    if (tail) {
      if (mark - row.in_tail > (1U << row.in_order) - (row.in_tail - row.in_head)) {
        return stop(slot, regs::SlotState::faulted, regs::Fault::in_tail);
      }
      row.in_tail = mark;
    } else {
      if (mark - row.out_head > row.out_tail - row.out_head) {
        return stop(slot, regs::SlotState::faulted, regs::Fault::out_head);
      }
      row.out_head = mark;
    }
  }
  void write_control(std::size_t at, std::span<const std::byte> data, std::uint32_t word) {
    if (at == regs::kCtlOwnIp) std::memcpy(own.data(), data.data(), data.size());
    if (at == regs::kCtlCommand && !command_busy) commands.push_back(word);
    if (at == regs::kCtlMoved && !moved.empty()) moved.pop_front();
    if (at == regs::kCtlEvent && !events.empty()) events.pop_front();
    if (at == regs::kCtlEnabled) enabled = word;
  }
};

/// The bus to a ModelCard, which outlives it. Nothing is kept back but by the card.
class ModelBus final : public driver::HostBus {
 public:
  explicit ModelBus(ModelCard& card) : card_(card) {}
  void write(std::size_t address, std::span<const std::byte> data) override {
    if (up()) card_.write(address, data);
  }
  bool read(std::size_t address, std::span<std::byte> data) override {
    if (!up() || !card_.answers) {
      connected_ = false;
      broken_ = "the model card is away";
      return false;
    }
    card_.read(address, data);
    return true;
  }
  void flush() override { up(); }
  std::uint32_t take_interrupts() override { return up() ? std::exchange(card_.interrupts, 0U) : 0; }
  int fd() const override { return fd_.get(); }
  const std::string& broken() const override { return broken_; }
  std::string dma_obstacle(const driver::DmaRange&) const override { return card_.dma_obstacle; }
  std::string map_pages(const driver::DmaPages& pages) override {
    if (!card_.map_obstacle.empty()) return card_.map_obstacle;
    card_.log += 'M';
    card_.mapped[pages.address] = pages;
    return {};
  }
  void unmap_pages(const driver::DmaPages& pages) override {
    card_.log += 'U';
    card_.mapped.erase(pages.address);
    if (!connected_ || !card_.there) return;
    for (const regs::DmaRow& row : card_.dma_rows) {
      const std::uint64_t marks = std::uint64_t{row.marks_high} << 32 | row.marks_low;
      if (row.valid != 0 && marks == pages.address) card_.broken("pages were unmapped that a DMA row names");
    }
  }
  bool maps_files() const override { return card_.maps_files; }
  bool reconnect() override {
    card_.mapped.clear();
    fd_ = slot::Fd(::eventfd(0, EFD_CLOEXEC));
    connected_ = card_.there;
    broken_ = connected_ ? "" : "the model card is away";
    return connected_;
  }

 private:
  bool up() {
    if (connected_ && !card_.there) {
      connected_ = false;
      broken_ = "the model card is away";
    }
    return connected_;
  }
  ModelCard& card_;
  slot::Fd fd_;  ///< one that never gets readable: the tests poll
  bool connected_ = false;
  std::string broken_ = "not connected yet";
};

}  // namespace slotwire::test
