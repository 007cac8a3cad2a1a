// Records: what processes put into a ring. Layout in docs/architecture.md, "Records".
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include "core/slot/ring.hpp"
#include "core/slot/stream_copy.hpp"

namespace slotwire::slot {

static_assert(std::endian::native == std::endian::little, "records are little-endian and copied as they stand");

using regs::RecordKind;

inline constexpr std::uint8_t kFirstPart = regs::kRecordFirst;
inline constexpr std::uint8_t kLastPart = regs::kRecordLast;
inline constexpr std::uint8_t kWhole = kFirstPart | kLastPart;
/// Request: a cacheable reply is welcome. Reply and message: the payload begins with a cache header (docs/cache.md).
inline constexpr std::uint8_t kCacheable = 0x04;

/// Whether a record of this kind may have these flags.
constexpr bool flags_fit(RecordKind kind, std::uint8_t flags) {
  const bool may_be_cacheable = kind == RecordKind::message || kind == RecordKind::request || kind == RecordKind::reply;
  return (flags & ~(kWhole | (may_be_cacheable ? kCacheable : 0))) == 0;
}

/// A record's header as it lies in the ring.
struct RecordHeader {
  std::uint32_t length = 0;               ///< payload bytes in this record
  RecordKind kind = RecordKind::message;  ///< what it is
  std::uint8_t flags = kWhole;            ///< first and last part
  std::uint16_t code = 0;                 ///< method of a request, status of an error
  std::uint32_t id = 0;                   ///< matches request, reply, error and cancel
  std::uint32_t deadline_us = 0;          ///< microseconds left when it was written; 0: none
};
inline constexpr std::size_t kRecordHeaderBytes = regs::kRecordHeaderBytes;
static_assert(sizeof(RecordHeader) == kRecordHeaderBytes);
static_assert(offsetof(RecordHeader, length) == regs::kRecLength && offsetof(RecordHeader, kind) == regs::kRecKind &&
              offsetof(RecordHeader, flags) == regs::kRecFlags && offsetof(RecordHeader, code) == regs::kRecCode &&
              offsetof(RecordHeader, id) == regs::kRecId && offsetof(RecordHeader, deadline_us) == regs::kRecDeadline);

/// Lines that a record with `payload` bytes takes.
constexpr std::uint64_t record_lines(std::uint64_t payload) {
  return (payload + kRecordHeaderBytes + regs::kLineBytes - 1) / regs::kLineBytes;
}
/// Most payload bytes of one record in a ring of `lines` lines.
constexpr std::size_t record_capacity(std::uint32_t lines) {
  return (std::size_t{lines} * regs::kLineBytes) - kRecordHeaderBytes;
}

/// Writes records into a mirrored ring. Belongs to one thread.
class RecordWriter {
 public:
  RecordWriter() = default;
  explicit RecordWriter(Producer producer) : producer_(producer) {}

  /// Room for a record with exactly `payload` bytes, or empty if it does not fit now (or ever: see capacity()). The
  /// span is the payload's place in the ring; nothing is visible before commit().
  std::optional<std::span<std::byte>> reserve(std::size_t payload) {
    if (payload > capacity()) return std::nullopt;
    const auto lines = static_cast<std::uint32_t>(record_lines(payload));
    if (producer_.writable(lines) < lines) return std::nullopt;
    return producer_.reserve(lines).subspan(kRecordHeaderBytes, payload);
  }
  /// Publishes the record reserved last, with `header.length` bytes (at most what was reserved).
  void commit(const RecordHeader& header) {
    const auto lines = static_cast<std::uint32_t>(record_lines(header.length));
    std::memcpy(producer_.reserve(lines).data(), &header, sizeof header);
    producer_.commit(lines);
  }
  /// Writes a whole record if it fits now. header.length is set here.
  bool write(RecordHeader header, std::span<const std::byte> payload) {
    const auto place = reserve(payload.size());
    if (!place) return false;
    header.length = static_cast<std::uint32_t>(payload.size());
    if (!payload.empty()) std::memcpy(place->data(), payload.data(), payload.size());
    commit(header);
    return true;
  }
  /// As write(), but nothing is visible before publish(). Between the two nothing else may be written. `streams`: with
  /// stores that do not fetch the lines first, which pays for many records and costs for a few.
  bool stage(RecordHeader header, std::span<const std::byte> payload, bool streams) {
    if (payload.size() > capacity()) return false;
    const auto lines = static_cast<std::uint32_t>(record_lines(payload.size()));
    if (producer_.writable(staged_ + lines) < staged_ + lines) return false;
    std::byte* const place = producer_.place(staged_, lines);
    header.length = static_cast<std::uint32_t>(payload.size());
    if (streams) {
      stream(place, header, payload);
    } else {
      std::memcpy(place, &header, sizeof header);
      if (!payload.empty()) std::memcpy(place + sizeof header, payload.data(), payload.size());
    }
    staged_ += lines;
    return true;
  }
  /// Makes everything that was staged visible at once.
  void publish() {
    stream_fence();
    producer_.commit(std::exchange(staged_, 0));
  }
  /// Payload bytes that fit into one record now; 0 if not even a line is free.
  std::size_t room() {
    const std::uint32_t lines = producer_.writable(producer_.ring().lines());
    return lines == 0 ? 0 : record_capacity(lines);
  }
  /// Most payload bytes of one record in this ring.
  std::size_t capacity() const { return record_capacity(producer_.ring().lines()); }
  /// The other side wrote a mark that cannot be.
  bool broken() const { return producer_.broken(); }
  /// A hint for who spins (Producer::moved()).
  bool moved() const { return producer_.moved(); }
  Producer& producer() { return producer_; }

 private:
  static void stream(std::byte* place, const RecordHeader& header, std::span<const std::byte> payload) {
    alignas(regs::kLineBytes) std::array<std::byte, regs::kLineBytes> line{};
    std::memcpy(line.data(), &header, sizeof header);
    std::size_t at = sizeof header;
    while (true) {
      const std::size_t n = std::min(line.size() - at, payload.size());
      if (n != 0) std::memcpy(line.data() + at, payload.data(), n);
      stream_line(place, line.data());
      payload = payload.subspan(n);
      if (payload.empty()) return;
      place += line.size();
      at = 0;
    }
  }

  Producer producer_;
  std::uint32_t staged_ = 0;  ///< lines written after the tail
};

/// A record in a ring: its header (a checked local copy) and its payload in place.
struct RecordView {
  RecordHeader header;
  std::span<const std::byte> payload;
  std::uint32_t lines = 0;  ///< what to release when done with it
};

/// Reads records from a mirrored ring. Everything the other side wrote is checked. Belongs to one thread.
class RecordReader {
 public:
  RecordReader() = default;
  explicit RecordReader(Consumer consumer) : consumer_(consumer) {}

  /// The record that begins `skip` lines after the head if it is there as a whole; nothing otherwise, or when the ring
  /// is broken(). The lines before it are records that were peeked at and not released yet.
  std::optional<RecordView> peek(std::uint32_t skip = 0) {
    if (broken() || consumer_.readable(skip + 1) <= skip) return std::nullopt;
    RecordView view;
    std::memcpy(&view.header, consumer_.peek(skip).data(), sizeof view.header);
    const std::uint64_t lines = record_lines(view.header.length);
    const auto kind = static_cast<std::uint8_t>(view.header.kind);
    if (lines > consumer_.ring().lines() || kind < static_cast<std::uint8_t>(RecordKind::message) ||
        kind > static_cast<std::uint8_t>(RecordKind::end_of_stream) ||
        !flags_fit(view.header.kind, view.header.flags)) {
      malformed_ = true;
      return std::nullopt;
    }
    view.lines = static_cast<std::uint32_t>(lines);
    if (consumer_.readable(skip + view.lines) < skip + view.lines) return std::nullopt;  // the rest is still on its way
    view.payload = consumer_.peek(skip).subspan(kRecordHeaderBytes, view.header.length);
    return view;
  }
  /// Where the tail must be at least for peek(skip) to return a record, as far as is known: behind the record whose
  /// header is there, or behind the next line.
  Position needs(std::uint32_t skip = 0) {
    std::uint64_t lines = skip + std::uint64_t{1};
    if (!broken() && consumer_.readable(skip + 1) > skip) {
      RecordHeader header;
      std::memcpy(&header, consumer_.peek(skip).data(), sizeof header);
      lines = skip + record_lines(header.length);
    }
    // What never fits into the ring while records are held: any line is worth a look.
    if (lines > consumer_.ring().lines()) lines = skip + std::uint64_t{1};
    return consumer_.head() + static_cast<Position>(lines);
  }
  /// Gives the lines of a record from peek() back.
  void release(const RecordView& view) { consumer_.release(view.lines); }
  /// The other side wrote a mark or a record that cannot be; nothing more is read.
  bool broken() const { return malformed_ || consumer_.broken(); }
  /// A hint for who spins (Consumer::moved()).
  bool moved() const { return consumer_.moved(); }
  Consumer& consumer() { return consumer_; }

 private:
  Consumer consumer_;
  bool malformed_ = false;
};

}  // namespace slotwire::slot
