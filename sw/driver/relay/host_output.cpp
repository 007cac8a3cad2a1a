#include "driver/relay/host_output.hpp"

#include <cassert>

namespace slotwire::driver {

HostOutput::HostOutput(HostBus& bus, CardRegisters& card, std::size_t slots, bool wanted)
    : bus_(bus), card_(card), wanted_(wanted), pages_(slots) {}

void HostOutput::forget(Pages& pages) {
  if (pages.bytes != 0) {
    --slots_mapped_;
    bytes_mapped_ -= pages.bytes;
  }
  pages = {};
}

void HostOutput::reached(bool can) {
  for (Pages& pages : pages_) forget(pages);  // they ended with the connection, and a reset left no row valid
  if (!wanted_) {
    obstacle_ = "card.host_output is false";
  } else if (bus_.shares_slots()) {
    obstacle_ = "the card serves the slots of processes itself";
  } else if (!can) {
    obstacle_ = "the card cannot write into host memory (its register DMA says 0)";
  } else {
    obstacle_ = bus_.dma_obstacle({kFirstAddress, pages_.size() * kSlotAddresses});
  }
}

std::string HostOutput::map(std::uint16_t slot, const SlotMapping& memory) {
  if (!obstacle_.empty()) return obstacle_;
  Pages& pages = pages_[slot];
  assert(pages.bytes == 0);
  Pages made;
  made.memory = reinterpret_cast<std::byte*>(&memory.other.marks());
  made.bytes = slot::space_file_bytes(memory.other.order());
  made.order = static_cast<std::uint8_t>(memory.other.order());
  std::string why = bus_.map_pages({address_of(slot), made.memory, made.bytes, memory.files.other.get()});
  if (!why.empty()) return why;
  pages = made;
  ++slots_mapped_;
  bytes_mapped_ += made.bytes;
  return why;
}

void HostOutput::unmap(std::uint16_t slot) {
  Pages& pages = pages_[slot];
  if (pages.bytes == 0) return;
  bus_.unmap_pages({address_of(slot), pages.memory, pages.bytes, -1});
  forget(pages);
}

void HostOutput::allow(std::uint16_t slot) {
  Pages& pages = pages_[slot];
  assert(pages.bytes != 0);
  constexpr unsigned kHigh = 32;
  const std::uint64_t marks = address_of(slot), ring = marks + regs::kPageBytes;
  regs::DmaRow row{};
  row.valid = 1;
  row.order = pages.order;
  row.marks_low = static_cast<std::uint32_t>(marks);
  row.marks_high = static_cast<std::uint32_t>(marks >> kHigh);
  row.ring_low = static_cast<std::uint32_t>(ring);
  row.ring_high = static_cast<std::uint32_t>(ring >> kHigh);
  card_.write_dma_row(slot, row);
  pages.allowed = true;
}

bool HostOutput::take_back(std::uint16_t slot) {
  if (!pages_[slot].allowed) return true;
  card_.write_dma_row(slot, {});
  pages_[slot].allowed = false;
  return settle(slot);
}

bool HostOutput::settle(std::uint16_t slot) {
  return card_.settle_dma(slot);
}

}  // namespace slotwire::driver
