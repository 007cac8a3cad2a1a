#include "driver/bus/pcie/pcie_bus.hpp"

#include <linux/pci_regs.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/regs/regs.hpp"

namespace slotwire::driver {
namespace {

// What an event of the epoll belongs to; below: the vector of an eventfd.
constexpr std::uint32_t kFunctionTag = PciFunction::kMostVectors, kTimerTag = kFunctionTag + 1;
constexpr int kMostEvents = static_cast<int>(kTimerTag) + 1;

constexpr std::size_t kEnabled = regs::kCardControl + regs::kCtlEnabled;

/// Is any word of it all ones. A function may go, or come back after a reset, in the middle of what is read.
bool has_ones(std::span<const std::byte> bytes) {
  for (std::size_t at = 0; at + sizeof(std::uint32_t) <= bytes.size(); at += sizeof(std::uint32_t)) {
    std::uint32_t word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    if (word == ~0U) return true;
  }
  return false;
}

}  // namespace

PcieBus::PcieBus(std::unique_ptr<PciFunction> function)
    : function_(std::move(function)), broken_(function_->name() + ": not connected yet") {}

bool PcieBus::lost(const std::string& why) {
  broken_ = function_->name() + ": " + why;
  return false;
}

bool PcieBus::failed() {
  broken_ = function_->error().empty() ? function_->name() + ": does not answer" : function_->error();
  return false;
}

bool PcieBus::reconnect() {
  lines_written_ = armed_ = false;
  events_ = {};
  timer_ = {};
  for (slot::Fd& irq : irqs_) irq = {};
  broken_.clear();
  const bool there = open();
  if (there) reached_before_ = true;
  return there;
}

bool PcieBus::open() {
  if (!function_->open()) return failed();
  if (!check_card()) return false;
  // One that went away, or got stuck, starts from its marks.
  if (reached_before_ && !function_->reset()) return failed();
  return enable() && set_up_events();
}

/// Is it a card, with the BARs of one.
bool PcieBus::check_card() {
  std::uint32_t ids = 0;
  if (!function_->config_read(PCI_VENDOR_ID, std::as_writable_bytes(std::span(&ids, 1)))) return failed();
  if (ids == ~0U) return lost("it does not answer, its ids read as ones; is the card still in its place and powered");
  if (ids != (regs::kPciVendor | std::uint32_t{regs::kPciDevice} << 16)) {
    return lost("it is no Slotwire card (another vendor or device id); choose another one");
  }
  if (function_->bar_bytes(regs::kPciRegistersBar) < regs::kPciRegistersBytes ||
      function_->bar_bytes(regs::kPciDoorbellsBar) < 2 * regs::kPageBytes ||
      function_->bar_bytes(regs::kPciMemoryBar) == 0) {
    return lost(
        "its BARs are not those of a card; the host bridge may have had no room for them, look at the kernel's log");
  }
  return true;
}

bool PcieBus::enable() {
  std::uint16_t command = 0;
  if (!function_->config_read(PCI_COMMAND, std::as_writable_bytes(std::span(&command, 1)))) return failed();
  command = static_cast<std::uint16_t>(command | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
  if (!function_->config_write(PCI_COMMAND, std::as_bytes(std::span(&command, 1)))) return failed();
  std::array<std::uint32_t, regs::kLineBytes / 4> page{};
  if (!function_->read(regs::kPciRegistersBar, regs::kCardCapabilities, std::as_writable_bytes(std::span(page)))) {
    return failed();
  }
  if (page[regs::kCapMagic / 4] == ~0U) return lost("its registers read as ones; reset the card or load its bitstream");
  if (page[regs::kCapMagic / 4] != regs::kCapMagicValue) {
    return lost("its capability page says something else than a card's; load a Slotwire bitstream");
  }
  slots_ = page[regs::kCapSlots / 4];
  const std::uint64_t memory = std::uint64_t{page[regs::kCapMemoryLines / 4]} * regs::kLineBytes;
  if (slots_ == 0 || slots_ > regs::kMaxSlots ||
      function_->bar_bytes(regs::kPciDoorbellsBar) < 2 * std::size_t{slots_} * regs::kPageBytes ||
      function_->bar_bytes(regs::kPciMemoryBar) < memory) {
    return lost("its BARs are smaller than its slots and memory; load a bitstream whose parts fit each other");
  }
  return true;
}

bool PcieBus::watch(int fd, std::uint32_t tag) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = tag;
  return epoll_ctl(events_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

bool PcieBus::set_up_events() {
  events_ = slot::Fd(epoll_create1(EPOLL_CLOEXEC));
  timer_ = slot::Fd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  const unsigned vectors = std::min(function_->vectors(), PciFunction::kMostVectors);
  std::vector<int> fds;
  bool ok = events_ && timer_ && watch(timer_.get(), kTimerTag);
  for (unsigned vector = 0; ok && vector < vectors; ++vector) {
    irqs_[vector] = slot::Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    fds.push_back(irqs_[vector].get());
    ok = irqs_[vector] && watch(fds.back(), vector);
  }
  if (function_->fd() >= 0) ok = ok && watch(function_->fd(), kFunctionTag);
  if (!ok) return lost("descriptors for its interrupts cannot be had; raise the limit of files");
  itimerspec every{};
  const long ms = vectors == 0 ? kPollMs : kLivenessMs;
  every.it_interval = every.it_value = {ms / 1000, ms % 1000 * 1'000'000};
  timerfd_settime(timer_.get(), 0, &every, nullptr);
  return vectors == 0 || function_->set_interrupts(fds) || failed();
}

/// Where a card address is; `bytes` 0: nowhere.
PcieBus::Place PcieBus::place(std::size_t address) const {
  const std::size_t pages = std::size_t{slots_} * regs::kPageBytes;
  if (address >= regs::kCardMemory) {
    const std::size_t offset = address - regs::kCardMemory, bytes = function_->bar_bytes(regs::kPciMemoryBar);
    return {regs::kPciMemoryBar, offset, offset < bytes ? bytes - offset : 0};
  }
  if (address >= regs::kCardProxyPages) {
    const std::size_t offset = address - regs::kCardProxyPages;
    return {regs::kPciDoorbellsBar, pages + offset, offset < pages ? pages - offset : 0};
  }
  if (address >= regs::kCardProcessPages) {
    const std::size_t offset = address - regs::kCardProcessPages;
    return {regs::kPciDoorbellsBar, offset, offset < pages ? pages - offset : 0};
  }
  return {regs::kPciRegistersBar, address, address < regs::kPciMsixTable ? regs::kPciMsixTable - address : 0};
}

void PcieBus::write(std::size_t address, std::span<const std::byte> data) {
  const Place at = place(address);
  if (!broken_.empty() || at.bytes < data.size()) return;
  // A doorbell, a row or a command must not overtake the lines before it.
  const bool lines = at.bar == regs::kPciMemoryBar;
  if (!lines && std::exchange(lines_written_, false)) function_->fence();
  lines_written_ = lines_written_ || lines;
  if (address == kEnabled) armed_ = true;
  function_->write(at.bar, at.offset, data);
}

bool PcieBus::read(std::size_t address, std::span<std::byte> data) {
  const Place at = place(address);
  if (!broken_.empty() || at.bytes < data.size()) return false;
  if (std::exchange(lines_written_, false)) function_->fence();
  if (!function_->read(at.bar, at.offset, data)) return failed();
  // Ones are what a card that is gone answers; they may also be what is there.
  return !has_ones(data) || alive();
}

/// A card that was reset has no interrupts enabled: somebody else did that, and its slots stand still.
bool PcieBus::still_armed() {
  std::uint32_t enabled = 0;
  if (!function_->read(regs::kPciRegistersBar, kEnabled, std::as_writable_bytes(std::span(&enabled, 1))))
    return failed();
  return enabled != 0 || lost("the card was reset by someone else; it is taken up again");
}

bool PcieBus::alive() {
  std::uint32_t magic = 0;
  const std::size_t at = regs::kCardCapabilities + regs::kCapMagic;
  if (!function_->read(regs::kPciRegistersBar, at, std::as_writable_bytes(std::span(&magic, 1)))) return failed();
  if (magic == regs::kCapMagicValue) return !armed_ || still_armed();
  return lost(magic == ~0U
                  ? "the card is gone, its registers read as ones; look at the kernel's log and the card's power"
                  : "its capability page changed; was another bitstream loaded");
}

void PcieBus::flush() {
  if (!broken_.empty()) return;
  if (std::exchange(lines_written_, false)) function_->fence();
  function_->flush();
  if (!function_->error().empty()) failed();
}

bool PcieBus::share_slot(const SlotShare& share) {
  if (!broken_.empty()) return false;
  return function_->share_slot(share) || failed();
}

bool PcieBus::unshare_slot(std::uint16_t slot) {
  if (!broken_.empty()) return false;
  return function_->unshare_slot(slot) || failed();
}

std::uint32_t PcieBus::take_interrupts() {
  std::uint32_t raised = 0;
  if (!broken_.empty()) return 0;
  std::array<epoll_event, kMostEvents> events{};
  const int n = epoll_wait(events_.get(), events.data(), kMostEvents, 0);
  for (int i = 0; i < n && broken_.empty(); ++i) {
    const std::uint32_t tag = events[static_cast<std::size_t>(i)].data.u32;
    std::uint64_t count = 0;
    if (tag == kFunctionTag) {
      function_->look();
      if (!function_->error().empty()) failed();
    } else if (tag == kTimerTag) {
      static_cast<void>(!::read(timer_.get(), &count, sizeof count));
      if (function_->vectors() != 0) {
        alive();
      } else {
        std::uint32_t pending = 0;
        if (read(regs::kCardControl + regs::kCtlPending, std::as_writable_bytes(std::span(&pending, 1))))
          raised |= pending;
      }
    } else if (::read(irqs_[tag].get(), &count, sizeof count) == sizeof count) {
      raised |= 1U << tag;
    }
  }
  return raised;
}

}  // namespace slotwire::driver
