#include "sim/pci/pci_device.hpp"

#include <linux/pci_regs.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "core/regs/regs.hpp"

namespace slotwire::sim {
namespace {

constexpr std::size_t kLine = regs::kLineBytes;
constexpr std::uint64_t kAllBytes = ~std::uint64_t{0};
constexpr std::uint32_t kMsixEntryBytes = PCI_MSIX_ENTRY_SIZE;
constexpr std::uint32_t kGen3 = 3, kLanes = 16;  ///< what the link says of itself

constexpr std::uint64_t strobes_of(std::size_t from, std::size_t bytes) {
  return (bytes == kLine ? kAllBytes : (std::uint64_t{1} << bytes) - 1) << from;
}

}  // namespace

PciDevice::PciDevice(AccessPort& card, const PciGeometry& geometry, std::function<void()> reset_card)
    : card_(card), geometry_(geometry), reset_card_(std::move(reset_card)) {
  const std::uint64_t most_lines = ((std::uint64_t{1} << regs::kCardAddressBits) - regs::kCardMemory) / kLine;
  const std::uint64_t most_slots = (regs::kCardProxyPages - regs::kCardProcessPages) / regs::kPageBytes;
  if (!std::has_single_bit(geometry.slots) || geometry.slots > most_slots || geometry.vectors == 0 ||
      geometry.vectors > kMostVectors || !std::has_single_bit(geometry.memory_lines) ||
      geometry.memory_lines > most_lines || geometry.memory_lines < regs::kPageBytes / kLine) {
    throw std::invalid_argument("a PCI function cannot have " + std::to_string(geometry.slots) + " slots, " +
                                std::to_string(geometry.vectors) + " vectors and " +
                                std::to_string(geometry.memory_lines) + " lines of slot memory");
  }
  bar_bytes_[regs::kPciRegistersBar] = regs::kPciRegistersBytes;
  bar_bytes_[regs::kPciDoorbellsBar] = 2 * std::uint64_t{geometry.slots} * regs::kPageBytes;
  bar_bytes_[regs::kPciMemoryBar] = std::uint64_t{geometry.memory_lines} * kLine;
  power_up();
}

void PciDevice::power_up() {
  config_.fill(0);
  config32(PCI_VENDOR_ID) = regs::kPciVendor | std::uint32_t{regs::kPciDevice} << 16;
  config32(PCI_COMMAND) = std::uint32_t{PCI_STATUS_CAP_LIST} << 16;
  config32(PCI_CLASS_REVISION) = regs::kPciClass << 8 | regs::kCapVersionValue;
  if (geometry_.wide_memory) {
    config32(PCI_BASE_ADDRESS_0 + 4 * regs::kPciMemoryBar) =
        PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH;
  }
  config32(PCI_SUBSYSTEM_VENDOR_ID) = regs::kPciVendor | std::uint32_t{regs::kPciDevice} << 16;
  config32(PCI_CAPABILITY_LIST) = kPcieCapability;
  config32(kPcieCapability) =
      PCI_CAP_ID_EXP | std::uint32_t{kMsixCapability} << 8 | (2U | PCI_EXP_TYPE_ENDPOINT << 4) << 16;
  config32(kPcieCapability + PCI_EXP_DEVCAP) = PCI_EXP_DEVCAP_FLR | PCI_EXP_DEVCAP_RBER | 1U;  // 256 bytes of payload
  config32(kPcieCapability + PCI_EXP_LNKCAP) = kGen3 | kLanes << 4;
  config32(kPcieCapability + PCI_EXP_LNKCTL) = (kGen3 | kLanes << 4) << 16;
  config32(kMsixCapability) = PCI_CAP_ID_MSIX | (geometry_.vectors - 1) << 16;
  config32(kMsixCapability + PCI_MSIX_TABLE) = static_cast<std::uint32_t>(regs::kPciMsixTable) | regs::kPciRegistersBar;
  config32(kMsixCapability + PCI_MSIX_PBA) = static_cast<std::uint32_t>(regs::kPciMsixPending) | regs::kPciRegistersBar;
  msix_.fill({});
  pending_ = 0;
}

// ---- configuration space
// ----------------------------------------------------------------------------------------------

/// Which bits of the word at `offset` a write changes.
std::uint32_t PciDevice::writable(std::size_t offset) const {
  switch (offset) {
    case PCI_COMMAND:
      return PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE;
    case PCI_CACHE_LINE_SIZE:
    case PCI_INTERRUPT_LINE:
      return 0xff;
    case kPcieCapability + PCI_EXP_DEVCTL:
      return 0x7fff;  // the bit above starts a reset and reads 0
    case kMsixCapability:
      return std::uint32_t{PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL} << 16;
    default:
      break;
  }
  if (offset < PCI_BASE_ADDRESS_0 || offset >= PCI_BASE_ADDRESS_0 + 4 * kBars) return 0;
  const auto bar = static_cast<unsigned>((offset - PCI_BASE_ADDRESS_0) / 4);
  if (bar_bytes_[bar] != 0) return ~static_cast<std::uint32_t>(bar_bytes_[bar] - 1);
  const bool upper = geometry_.wide_memory && bar == regs::kPciMemoryBar + 1;
  return upper ? ~std::uint32_t{0} : 0;
}

std::uint32_t PciDevice::config_read(std::size_t offset, std::size_t width) {
  const std::uint32_t ones = width == 4 ? ~0U : (1U << (8 * (width & 3))) - 1;
  if ((width != 1 && width != 2 && width != 4) || offset % width != 0 || offset + width > kConfigBytes) {
    log_.add({PciOp::refused, PciTransaction::kNoBar, offset, width, 0});
    return ~0U;
  }
  const std::uint32_t value = config32(offset & ~std::size_t{3}) >> (8 * (offset & 3)) & ones;
  log_.add({PciOp::config_read, PciTransaction::kNoBar, offset, width, value});
  return value;
}

void PciDevice::config_write(std::size_t offset, std::size_t width, std::uint32_t value) {
  if ((width != 1 && width != 2 && width != 4) || offset % width != 0 || offset + width > kConfigBytes) {
    return log_.add({PciOp::refused, PciTransaction::kNoBar, offset, width, value});
  }
  log_.add({PciOp::config_write, PciTransaction::kNoBar, offset, width, value});
  const std::size_t word = offset & ~std::size_t{3};
  const unsigned shift = static_cast<unsigned>(8 * (offset & 3));
  const std::uint32_t lanes = (width == 4 ? ~0U : (1U << (8 * width)) - 1) << shift;
  const std::uint32_t mask = writable(word) & lanes;
  config32(word) = (config32(word) & ~mask) | (value << shift & mask);
  if (word == kPcieCapability + PCI_EXP_DEVCTL && (value << shift & lanes & PCI_EXP_DEVCTL_BCR_FLR) != 0)
    function_reset();
  deliver();
}

bool PciDevice::memory_enabled() const {
  return (config32(PCI_COMMAND) & PCI_COMMAND_MEMORY) != 0;
}

bool PciDevice::bus_master() const {
  return (config32(PCI_COMMAND) & PCI_COMMAND_MASTER) != 0;
}

std::optional<PciDevice::Place> PciDevice::decode(std::uint64_t address, std::size_t bytes) const {
  if (!memory_enabled()) return std::nullopt;
  for (unsigned bar = 0; bar < kBars; ++bar) {
    const std::uint64_t size = bar_bytes_[bar];
    if (size == 0) continue;
    std::uint64_t base = config32(PCI_BASE_ADDRESS_0 + 4 * bar) & ~std::uint32_t{15};
    if (geometry_.wide_memory && bar == regs::kPciMemoryBar) {
      base |= std::uint64_t{config32(PCI_BASE_ADDRESS_0 + 4 * (bar + 1))} << 32;
    }
    if (base != 0 && address >= base && address - base < size && bytes <= size - (address - base)) {
      return Place{bar, address - base};
    }
  }
  return std::nullopt;
}

// ---- BARs
// -------------------------------------------------------------------------------------------------------------

bool PciDevice::is_msix(unsigned bar, std::uint64_t offset) const {
  return bar == regs::kPciRegistersBar && offset >= regs::kPciMsixTable;
}

std::uint32_t PciDevice::card_address(unsigned bar, std::uint64_t offset) const {
  const auto at = static_cast<std::uint32_t>(offset);
  if (bar == regs::kPciMemoryBar) return static_cast<std::uint32_t>(regs::kCardMemory) + at;
  if (bar != regs::kPciDoorbellsBar) return at;
  const auto pages = static_cast<std::uint32_t>(geometry_.slots * regs::kPageBytes);
  return at < pages ? static_cast<std::uint32_t>(regs::kCardProcessPages) + at
                    : static_cast<std::uint32_t>(regs::kCardProxyPages) + (at - pages);
}

/// Slot memory takes any bytes. A mark is written alone and whole; registers, tables and pages move in whole words.
bool PciDevice::allowed(unsigned bar, std::uint64_t offset, std::size_t bytes, bool write) const {
  if (!memory_enabled() || bytes == 0 || bytes > kMaxAccess || offset >= bar_bytes(bar) ||
      bytes > bar_bytes(bar) - offset) {
    return false;
  }
  if (bar == regs::kPciMemoryBar) return true;
  if (offset % 4 != 0 || bytes % 4 != 0 || (bytes == 8 && offset % 8 != 0)) return false;
  if (bar == regs::kPciDoorbellsBar) {
    const std::uint64_t pages = bar_bytes(bar) / 2, in_page = offset % regs::kPageBytes;
    if (!write) return offset >= pages || bytes <= pages - offset;
    return offset < pages && bytes == 4 && (in_page == regs::kMarkTail || in_page == regs::kMarkHead);
  }
  // Below the MSI-X pages, or in them.
  return is_msix(bar, offset) ? bytes <= 8 : bytes <= regs::kPciMsixTable - offset;
}

std::uint32_t PciDevice::read_msix(std::uint64_t offset) const {
  if (offset == regs::kPciMsixPending) return pending_;
  const std::uint64_t at = offset - regs::kPciMsixTable;
  if (at >= std::uint64_t{geometry_.vectors} * kMsixEntryBytes) return 0;
  const MsixEntry& entry = msix_[at / kMsixEntryBytes];
  switch (at % kMsixEntryBytes) {
    case PCI_MSIX_ENTRY_LOWER_ADDR:
      return entry.address_low;
    case PCI_MSIX_ENTRY_UPPER_ADDR:
      return entry.address_high;
    case PCI_MSIX_ENTRY_DATA:
      return entry.data;
    default:
      return entry.control;
  }
}

void PciDevice::write_msix(std::uint64_t offset, std::uint32_t value) {
  const std::uint64_t at = offset - regs::kPciMsixTable;
  if (at >= std::uint64_t{geometry_.vectors} * kMsixEntryBytes) return;
  MsixEntry& entry = msix_[at / kMsixEntryBytes];
  switch (at % kMsixEntryBytes) {
    case PCI_MSIX_ENTRY_LOWER_ADDR:
      entry.address_low = value & ~std::uint32_t{3};
      break;
    case PCI_MSIX_ENTRY_UPPER_ADDR:
      entry.address_high = value;
      break;
    case PCI_MSIX_ENTRY_DATA:
      entry.data = value;
      break;
    default:
      entry.control = value & PCI_MSIX_ENTRY_CTRL_MASKBIT;
  }
}

void PciDevice::write(unsigned bar, std::uint64_t offset, std::span<const std::byte> data) {
  if (!allowed(bar, offset, data.size(), true)) {
    return log_.add({PciOp::refused, bar, offset, data.size(), pci_value(data)});
  }
  log_.add({PciOp::write, bar, offset, data.size(), pci_value(data)});
  if (is_msix(bar, offset)) {
    for (std::size_t at = 0; at < data.size(); at += 4) {
      write_msix(offset + at, static_cast<std::uint32_t>(pci_value(data.subspan(at, 4))));
    }
    return deliver();
  }
  at_ = card_address(bar, offset);
  data_.assign(data.begin(), data.end());
  writing_ = true;
  lines_done_ = 0;
  move_write();
}

bool PciDevice::move_write() {
  const std::size_t first = at_ / kLine, last = (at_ + data_.size() - 1) / kLine;
  bool moved = false;
  while (first + lines_done_ <= last) {
    const std::size_t line = (first + lines_done_) * kLine;
    const std::size_t from = std::max<std::size_t>(line, at_),
                      to = std::min<std::size_t>(line + kLine, at_ + data_.size());
    const std::span<const std::byte> piece = std::span(data_).subspan(from - at_, to - from);
    AccessPort::Bytes bytes{};
    std::memcpy(bytes.data() + from % kLine, piece.data(), piece.size());
    if (!card_.write(static_cast<std::uint32_t>(line), bytes, strobes_of(from % kLine, piece.size()))) return moved;
    ++lines_done_;
    moved = true;
  }
  writing_ = false;
  return moved;
}

void PciDevice::read(unsigned bar, std::uint64_t offset, std::size_t bytes) {
  answer_.reset();
  if (!allowed(bar, offset, bytes, false)) {
    log_.add({PciOp::refused, bar, offset, bytes, kAllBytes});
    answer_.emplace(std::min(bytes, kMaxAccess), std::byte{0xff});
    return;
  }
  access_ = {PciOp::read, bar, offset, bytes, 0};
  if (is_msix(bar, offset)) {
    answer_.emplace(bytes);
    for (std::size_t at = 0; at < bytes; at += 4) {
      const std::uint32_t value = read_msix(offset + at);
      std::memcpy(answer_->data() + at, &value, sizeof value);
    }
    access_.value = pci_value(*answer_);
    return log_.add(access_);
  }
  at_ = card_address(bar, offset);
  reading_ = true;
  lines_done_ = answered_ = 0;
  data_.clear();
  move_read();
}

bool PciDevice::move_read() {
  const std::size_t first = at_ / kLine, lines = (at_ + access_.width - 1) / kLine - first + 1;
  bool moved = false;
  while (lines_done_ < lines && card_.read(static_cast<std::uint32_t>((first + lines_done_) * kLine))) {
    ++lines_done_;
    moved = true;
  }
  while (answered_ < lines_done_ && card_.answered()) {
    const AccessPort::Reply reply = card_.take_answer();
    // Where there is nothing a host reads ones.
    if (reply.error) {
      data_.insert(data_.end(), kLine, std::byte{0xff});
    } else {
      data_.insert(data_.end(), reply.data.begin(), reply.data.end());
    }
    ++answered_;
    moved = true;
  }
  if (answered_ != lines) return moved;
  const auto begin = data_.begin() + static_cast<std::ptrdiff_t>(at_ % kLine);
  answer_.emplace(begin, begin + static_cast<std::ptrdiff_t>(access_.width));
  access_.value = pci_value(*answer_);
  log_.add(access_);
  reading_ = false;
  return true;
}

std::optional<std::vector<std::byte>> PciDevice::answer() {
  return std::exchange(answer_, std::nullopt);
}

bool PciDevice::poll() {
  if (writing_) return move_write();
  return reading_ && move_read();
}

// ---- reset and interrupts
// ---------------------------------------------------------------------------------------------

void PciDevice::function_reset() {
  log_.add({PciOp::reset, PciTransaction::kNoBar, 0, 0, 0});
  power_up();
  writing_ = false;
  if (reading_) {
    // Whoever waits gets what a function in reset answers.
    reading_ = false;
    answer_.emplace(access_.width, std::byte{0xff});
  }
  reset_card_();
}

void PciDevice::raise(std::uint32_t vectors) {
  if (vectors == 0) return;
  const std::uint32_t have = geometry_.vectors == 32 ? ~0U : (1U << geometry_.vectors) - 1;
  if ((config32(kMsixCapability) >> 16 & PCI_MSIX_FLAGS_ENABLE) == 0) return;
  pending_ |= vectors & have;
  deliver();
}

/// Sends what waits and is not masked.
void PciDevice::deliver() {
  const std::uint32_t flags = config32(kMsixCapability) >> 16;
  if (pending_ == 0 || (flags & PCI_MSIX_FLAGS_ENABLE) == 0 || (flags & PCI_MSIX_FLAGS_MASKALL) != 0) return;
  for (unsigned vector = 0; vector < geometry_.vectors; ++vector) {
    const std::uint32_t bit = 1U << vector;
    const MsixEntry& entry = msix_[vector];
    if ((pending_ & bit) == 0 || (entry.control & PCI_MSIX_ENTRY_CTRL_MASKBIT) != 0) continue;
    pending_ &= ~bit;
    log_.add({PciOp::interrupt, PciTransaction::kNoBar, vector, 0, entry.data});
    if (sink_ != nullptr) {
      sink_->message(vector, std::uint64_t{entry.address_high} << 32 | entry.address_low, entry.data);
    }
  }
}

void PciDevice::set_vector(unsigned vector, bool on, std::uint64_t address, std::uint32_t data) {
  if (vector >= geometry_.vectors) return;
  msix_[vector] = {static_cast<std::uint32_t>(address), static_cast<std::uint32_t>(address >> 32), data, on ? 0U : 1U};
  config32(kMsixCapability) |= std::uint32_t{PCI_MSIX_FLAGS_ENABLE} << 16;
  deliver();
}

}  // namespace slotwire::sim
