#include "driver/relay/slot_relay.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "core/slot/ring.hpp"

namespace slotwire::driver {
namespace {

/// From a mark to one that is never taken for a later one, however far the card is ahead or behind.
constexpr std::uint32_t kHalfCircle = std::uint32_t{1} << 31;

slot::RingView view_of(const slot::Space& space) {
  return {space.ring(), space.order(), space.mirrored()};
}
std::uint32_t mark_at(std::span<const std::byte> page, std::size_t offset) {
  std::uint32_t value = 0;
  std::memcpy(&value, page.data() + offset, sizeof value);
  return value;
}

}  // namespace

void marks_from_pages(regs::SlotRow& row, const slot::Space& own, const slot::Space& other) {
  const std::uint32_t in_tail = own.marks().tail.load(std::memory_order_acquire);
  const std::uint32_t out_head = own.marks().head.load(std::memory_order_acquire);
  row.in_head = other.marks().head.load(std::memory_order_acquire);
  row.out_tail = other.marks().tail.load(std::memory_order_acquire);
  // In the place of a mark that cannot be: the one that rules nothing out that the card may say.
  const bool in_fits = in_tail - row.in_head <= own.lines();
  const bool out_fits = row.out_tail - out_head <= other.lines();
  row.in_tail = in_fits ? in_tail : row.in_head + own.lines();
  row.out_head = out_fits ? out_head : row.out_tail;
}

SlotRelay::SlotRelay(HostBus& bus) : bus_(bus), buffer_(std::size_t{regs::kLineBytes} << regs::kMaxRingOrder) {}

/// Lines of the process's input ring into the card's.
void SlotRelay::copy_in(const regs::SlotRow& row, const slot::Space& own, std::uint32_t from, std::uint32_t lines) {
  const slot::RingView ring = view_of(own);
  const std::uint32_t size = ring_lines(row.in_order);
  while (lines != 0) {
    const std::uint32_t to_end = size - (from & (size - 1));
    const std::uint32_t n = std::min({lines, to_end, ring.contiguous(from, lines)});
    const std::span<std::byte> bytes = std::span(buffer_).first(std::size_t{n} * regs::kLineBytes);
    // Read once into a copy of our own: the process may still write.
    std::memcpy(bytes.data(), ring.at(from), bytes.size());
    bus_.write(memory_address(row.in_base + (from & (size - 1))), bytes);
    from += n;
    lines -= n;
  }
}

/// Lines of the card's output ring into the process's.
bool SlotRelay::copy_out(const regs::SlotRow& row, slot::Space& other, std::uint32_t from, std::uint32_t lines) {
  const slot::RingView ring = view_of(other);
  const std::uint32_t size = ring_lines(row.out_order);
  while (lines != 0) {
    const std::uint32_t to_end = size - (from & (size - 1));
    const std::uint32_t n = std::min({lines, to_end, ring.contiguous(from, lines)});
    const std::span<std::byte> bytes = std::span(buffer_).first(std::size_t{n} * regs::kLineBytes);
    if (!bus_.read(memory_address(row.out_base + (from & (size - 1))), bytes)) return false;
    std::memcpy(ring.at(from), bytes.data(), bytes.size());
    from += n;
    lines -= n;
  }
  return true;
}

SlotRelay::Rung SlotRelay::ring(std::uint16_t slot, regs::SlotRow& row, const slot::Space& own,
                                const ProcessMarks& marks, bool moved_only) {
  Rung rung;
  const std::uint32_t in_tail = marks.in_tail, out_head = marks.out_head;
  const std::size_t page = regs::kCardProcessPages + std::size_t{slot} * regs::kPageBytes;
  const std::uint32_t produced = in_tail - row.in_tail, consumed = out_head - row.out_head;
  // A mark that cannot be is for the card to fault (R10). The card may be ahead of what the process was told and find
  // nothing wrong with it, though its lines never came: it gets one that it must refuse, whatever it released.
  if (produced > ring_lines(row.in_order) - (row.in_tail - row.in_head)) {
    bus_.write32(page + regs::kMarkTail, row.in_head + kHalfCircle);
    rung.refused = rung.moved = true;
    return rung;
  }
  if (produced != 0) {
    copy_in(row, own, row.in_tail, produced);
    row.in_tail = in_tail;
    rung.lines = produced;
  }
  if (produced != 0 || !moved_only) bus_.write32(page + regs::kMarkTail, in_tail);
  if (consumed > row.out_tail - row.out_head) {
    bus_.write32(page + regs::kMarkHead, row.out_head + kHalfCircle);
    rung.refused = rung.moved = true;
    return rung;
  }
  row.out_head = out_head;
  if (consumed != 0 || !moved_only) bus_.write32(page + regs::kMarkHead, out_head);
  rung.moved = produced != 0 || consumed != 0 || !moved_only;
  return rung;
}

std::optional<SlotRelay::Marks> SlotRelay::shown(std::uint16_t slot) {
  std::array<std::byte, 2 * regs::kLineBytes> page{};
  if (!bus_.read(regs::kCardProxyPages + std::size_t{slot} * regs::kPageBytes, page)) return std::nullopt;
  return Marks{mark_at(page, regs::kInHead), mark_at(page, regs::kOutTail)};
}

bool SlotRelay::follows(const regs::SlotRow& row, const Marks& marks) {
  const std::uint32_t delivered = marks.out_tail - row.out_tail, released = marks.in_head - row.in_head;
  return delivered <= ring_lines(row.out_order) - (row.out_tail - row.out_head) &&
         released <= row.in_tail - row.in_head;
}

std::optional<std::uint32_t> SlotRelay::take(std::uint16_t slot, regs::SlotRow& row, slot::Space& other) {
  const std::optional<Marks> marks = shown(slot);
  if (!marks) return std::nullopt;
  if (!follows(row, *marks)) return 0;  // this pairing's are told when they move
  const std::uint32_t delivered = marks->out_tail - row.out_tail;
  if (delivered != 0 && !copy_out(row, other, row.out_tail, delivered)) return std::nullopt;
  row.out_tail = marks->out_tail;
  row.in_head = marks->in_head;
  return delivered;
}

}  // namespace slotwire::driver
