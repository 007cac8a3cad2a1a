#include "driver/bus/window_port.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace slotwire::driver {
namespace {

constexpr std::size_t kLine = regs::kLineBytes, kWord = 4, kWords = kLine / kWord;
/// What the window has room for.
constexpr std::size_t kWindowSlots = (regs::kWindowMemory - regs::kWindowSlotRows) / kLine;
constexpr std::size_t kWindowLinks = (regs::kWindowProcessMarks / 2 - regs::kWindowLinkRows) / kLine;
constexpr std::size_t kMarkPair = 2 * kWord;  ///< a slot's two marks in the window
/// Readings of a counter's halves before it is taken as it is; its high half changes once in hours.
constexpr int kCounterReads = 4;

std::optional<std::uint32_t> within(std::size_t address, std::size_t base, std::size_t bytes, std::size_t window) {
  if (address < base || address - base >= bytes) return std::nullopt;
  return static_cast<std::uint32_t>(window + (address - base));
}

}  // namespace

std::optional<std::uint32_t> window_offset(std::uint32_t address) {
  if (auto at = within(address, regs::kCardCapabilities, regs::kPageBytes, regs::kWindowCapabilities)) return at;
  if (auto at = within(address, regs::kCardControl, regs::kPageBytes, regs::kWindowControl)) return at;
  if (auto at = within(address, regs::kCardClassifier, regs::kPageBytes, regs::kWindowClassifier)) return at;
  if (auto at = within(address, regs::kCardSlotRows, kWindowSlots * kLine, regs::kWindowSlotRows)) return at;
  if (auto at = within(address, regs::kCardLinkRows, kWindowLinks * kLine, regs::kWindowLinkRows)) return at;
  for (const auto& [pages, marks] : {std::pair{regs::kCardProcessPages, regs::kWindowProcessMarks},
                                     std::pair{regs::kCardProxyPages, regs::kWindowProxyMarks}}) {
    const auto page = within(address, pages, kWindowSlots * regs::kPageBytes, 0);
    if (!page) continue;
    const std::size_t mark = *page % regs::kPageBytes;
    if (mark != regs::kMarkTail && mark != regs::kMarkHead) return std::nullopt;
    return static_cast<std::uint32_t>(marks + *page / regs::kPageBytes * kMarkPair +
                                      (mark == regs::kMarkHead ? kWord : 0));
  }
  return std::nullopt;
}

WindowPort::WindowPort(WindowDevice& device, std::uint32_t memory_lines)
    : device_(device), memory_bytes_(std::size_t{memory_lines} * kLine) {
  run_.reserve(kMaxRun);
  read_.resize(kMaxRun);
}

bool WindowPort::in_memory(std::uint32_t address) const {
  return address >= regs::kCardMemory && address - regs::kCardMemory < memory_bytes_;
}

void WindowPort::flush() {
  if (run_.empty()) return;
  device_.write_memory(run_at_, run_);
  unsettled_ = true;
  run_.clear();
}

bool WindowPort::write(std::uint32_t address, const Bytes& data, std::uint64_t strobes) {
  do_reads();  // they came before
  if (strobes == 0) return true;
  // The bus writes one run of bytes.
  const auto first = static_cast<std::size_t>(std::countr_zero(strobes));
  const auto bytes = kLine - first - static_cast<std::size_t>(std::countl_zero(strobes));
  if (in_memory(address)) {
    const std::size_t at = address - regs::kCardMemory + first;
    if (!run_.empty() && (at != run_at_ + run_.size() || run_.size() + bytes > kMaxRun)) flush();
    if (run_.empty()) run_at_ = at;
    run_.insert(run_.end(), data.begin() + static_cast<std::ptrdiff_t>(first),
                data.begin() + static_cast<std::ptrdiff_t>(first + bytes));
    return true;
  }
  flush();
  if (unsettled_) {
    // Lines may take another way to the card than the register that tells of them.
    device_.settle_memory();
    unsettled_ = false;
  }
  for (std::size_t at = first; at + kWord <= first + bytes; at += kWord) {
    const auto offset = window_offset(static_cast<std::uint32_t>(address + at));
    if (!offset) continue;  // the card refuses it as well
    std::uint32_t value = 0;
    std::memcpy(&value, data.data() + at, kWord);
    device_.write(*offset, value);
  }
  return true;
}

bool WindowPort::read_words(std::uint32_t address, std::uint16_t words) {
  if (reads_.size() + answers_.size() >= kMaxReads) return false;
  reads_.push_back({address, words});
  return true;
}

AccessPort::Reply WindowPort::take_answer() {
  if (answers_.empty()) do_reads();
  const Reply reply = answers_.front();
  answers_.pop_front();
  return reply;
}

/// Lines of slot memory that follow one another are read together.
void WindowPort::do_reads() {
  if (!reads_.empty()) flush();
  while (!reads_.empty()) {
    const Read first = reads_.front();
    if (!in_memory(first.address)) {
      answers_.push_back(read_registers(first));
      reads_.pop_front();
      continue;
    }
    std::size_t lines = 1;
    while (lines < reads_.size() && (lines + 1) * kLine <= kMaxRun &&
           reads_[lines].address == first.address + lines * kLine && in_memory(reads_[lines].address)) {
      ++lines;
    }
    device_.read_memory(first.address - regs::kCardMemory, std::span(read_).first(lines * kLine));
    for (std::size_t line = 0; line < lines; ++line) {
      Reply reply;
      std::memcpy(reply.data.data(), read_.data() + line * kLine, kLine);
      answers_.push_back(reply);
      reads_.pop_front();
    }
  }
}

AccessPort::Reply WindowPort::read_registers(const Read& read) {
  Reply reply;
  const bool counters = read.address >= regs::kCardCapabilities + regs::kCapCounters &&
                        read.address < regs::kCardCapabilities + regs::kPageBytes;
  reply.error = true;
  for (std::size_t word = 0; word < kWords; ++word) {
    if ((read.words >> word & 1) == 0) continue;
    const auto offset = window_offset(static_cast<std::uint32_t>(read.address + word * kWord));
    if (!offset) continue;
    reply.error = false;
    if (counters && word % 2 == 0) {
      const std::uint64_t value = read_counter(*offset);
      std::memcpy(reply.data.data() + word * kWord, &value, sizeof value);
      ++word;
      continue;
    }
    const std::uint32_t value = device_.read(*offset);
    std::memcpy(reply.data.data() + word * kWord, &value, sizeof value);
  }
  return reply;
}

/// Both halves of the same moment.
std::uint64_t WindowPort::read_counter(std::uint32_t offset) {
  std::uint32_t high = device_.read(offset + kWord), low = 0;
  for (int reads = 0; reads < kCounterReads; ++reads) {
    low = device_.read(offset);
    const std::uint32_t again = device_.read(offset + kWord);
    if (again == high) break;
    high = again;
  }
  return std::uint64_t{high} << 32 | low;
}

}  // namespace slotwire::driver
