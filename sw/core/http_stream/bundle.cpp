#include "core/http_stream/bundle.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <limits>

#include "core/pipeline/crc32c.hpp"

namespace slotwire::http_stream {
namespace {

/// "SLH" and the version.
constexpr std::uint32_t kMagic = 0x534c4801;
constexpr std::size_t kChecksumAt = 4;
constexpr std::uint16_t kKnownFlags = 0x7f;
constexpr std::uint16_t kContinuesBit = 0x8000;

class Writer {
 public:
  explicit Writer(std::size_t bytes) { out_.reserve(bytes); }

  template <class Integer>
  void put(Integer value) {
    for (std::size_t i = sizeof(Integer); i-- > 0;) out_.push_back(static_cast<std::byte>(value >> (8 * i)));
  }
  void put(std::span<const std::byte> bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  void put(std::string_view text) { put(std::as_bytes(std::span(text))); }

  Bytes take() {
    const std::uint32_t crc = pipeline::crc32c(0, out_);
    for (std::size_t i = 0; i < 4; ++i) out_[kChecksumAt + i] = static_cast<std::byte>(crc >> (24 - 8 * i));
    return std::move(out_);
  }

 private:
  Bytes out_;
};

/// Reads fields until they run out; then failed() and zeros.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> body) : left_(body) {}

  template <class Integer>
  Integer get() {
    Integer value = 0;
    for (const std::byte byte : bytes(sizeof(Integer))) {
      value = static_cast<Integer>(static_cast<std::uint64_t>(value) << 8U | std::to_integer<std::uint64_t>(byte));
    }
    return value;
  }
  std::span<const std::byte> bytes(std::size_t count) {
    if (count > left_.size()) {
      failed_ = true;
      left_ = {};
      return {};
    }
    const auto piece = left_.first(count);
    left_ = left_.subspan(count);
    return piece;
  }
  bool failed() const noexcept { return failed_; }
  bool at_end() const noexcept { return left_.empty(); }

 private:
  std::span<const std::byte> left_;
  bool failed_ = false;
};

Key get_key(Reader& in) {
  Key key{};
  const auto bytes = in.bytes(key.size());
  std::copy(bytes.begin(), bytes.end(), key.begin());
  return key;
}

std::size_t size_of(const Bundle& bundle) {
  std::size_t size = kHeaderBytes + kOpenBytes + kCloseBytes + kMaxReasonBytes + kMaxRanges * kRangeBytes;
  for (const PartView& part : bundle.parts) size += kRunBytes + kPartHeaderBytes + part.bytes.size();
  return size;
}

/// The number of parts from `at` on that have consecutive numbers.
std::size_t run_length(const std::vector<PartView>& parts, std::size_t at) {
  std::size_t count = 1;
  constexpr std::size_t kLongest = std::numeric_limits<std::uint16_t>::max();
  while (at + count < parts.size() && count < kLongest && parts[at + count].number == parts[at].number + count) ++count;
  return count;
}

std::size_t count_runs(const std::vector<PartView>& parts) {
  std::size_t runs = 0;
  for (std::size_t at = 0; at < parts.size(); at += run_length(parts, at)) ++runs;
  return runs;
}

void put_runs(Writer& out, const std::vector<PartView>& parts) {
  for (std::size_t at = 0; at < parts.size();) {
    const std::size_t count = run_length(parts, at);
    out.put(parts[at].number);
    out.put(static_cast<std::uint16_t>(count));
    for (const std::size_t end = at + count; at < end; ++at) {
      const std::size_t length = parts[at].bytes.size();
      assert(length >= 1 && length <= kMaxPartBytes);
      out.put(static_cast<std::uint16_t>(length | (parts[at].continues ? kContinuesBit : 0U)));
      out.put(parts[at].bytes);
    }
  }
}

/// What is wrong with the fields of the fixed header taken together; null: nothing.
const char* wrong_header(const Bundle& bundle) {
  const bool response = bundle.has(kFlagResponse), duplex = bundle.has(kFlagDuplex), open = bundle.has(kFlagOpen);
  const bool keyless = bundle.key == Key{};
  if ((bundle.flags & ~kKnownFlags) != 0) return "has unknown flags";
  if (bundle.has(kFlagUnreadable) || bundle.has(kFlagUnknown))
    return response ? nullptr : "is a request with an answer";
  if (bundle.sequence == 0) return "has no number";
  if (duplex && (open || keyless)) return "opens a session over a duplex connection";
  if (!response && !duplex && (bundle.outstanding & 1U) == 0) return "does not await its own answer";
  if (!response && open && (!keyless || bundle.sequence != 1)) return "opens a session that has a key";
  if (!open && keyless) return "has no key";
  return nullptr;
}

/// Reads the ranges; false: out of order or beyond the numbers.
bool get_ranges(Reader& in, std::size_t count, Bundle& bundle) {
  std::uint64_t at = bundle.next;
  for (std::size_t i = 0; i < count; ++i) {
    const auto skip = in.get<std::uint32_t>(), length = in.get<std::uint32_t>();
    if (in.failed() || skip == 0 || length == 0) return false;
    if (at > kNever - skip || at + skip > kNever - length) return false;
    bundle.ranges.push_back({at + skip, length});
    at += std::uint64_t{skip} + length;
  }
  return true;
}

/// Reads the runs of parts; false: out of order, empty, or beyond the numbers.
bool get_runs(Reader& in, std::size_t runs, Bundle& bundle) {
  std::uint64_t lowest = 0;
  for (std::size_t i = 0; i < runs; ++i) {
    const auto first = in.get<std::uint64_t>();
    const auto count = in.get<std::uint16_t>();
    if (in.failed() || count == 0 || first < lowest || first > kNever - count) return false;
    for (std::uint16_t k = 0; k < count; ++k) {
      const auto head = in.get<std::uint16_t>();
      const auto bytes = in.bytes(head & kMaxPartBytes);
      if (in.failed() || bytes.empty()) return false;
      bundle.parts.push_back({first + k, (head & kContinuesBit) != 0, bytes});
    }
    lowest = first + count;
  }
  return true;
}

core::Error invalid(std::string_view why) {
  return {"the body " + std::string(why) + "; it is no bundle, or it was changed on its way"};
}

}  // namespace

Bytes encode(const Bundle& bundle) {
  const std::size_t ranges = std::min(bundle.ranges.size(), kMaxRanges);
  const std::size_t runs = count_runs(bundle.parts);
  assert(runs <= kMaxRuns);
  Writer out(size_of(bundle));
  out.put(kMagic);
  out.put(std::uint32_t{0});  // the checksum's place
  out.put(std::span<const std::byte>(bundle.key));
  out.put(bundle.sequence);
  out.put(bundle.echo);
  out.put(bundle.outstanding);
  out.put(bundle.delay_us);
  out.put(bundle.hold_ms);
  out.put(bundle.round_trip_us);
  out.put(bundle.flags);
  out.put(bundle.generation);
  out.put(bundle.wanted);
  out.put(bundle.unreadable);
  out.put(static_cast<std::uint8_t>(ranges));
  out.put(static_cast<std::uint8_t>(runs));
  out.put(bundle.next);
  out.put(bundle.credit);
  if (bundle.has(kFlagOpen)) {
    out.put(std::span<const std::byte>(bundle.nonce));
    out.put(bundle.max_message);
    out.put(bundle.bundle_bytes);
  }
  if (bundle.has(kFlagClose)) {
    const std::string_view text = std::string_view(bundle.reason.text).substr(0, kMaxReasonBytes);
    out.put(static_cast<std::uint8_t>(bundle.reason.code));
    out.put(static_cast<std::uint8_t>(text.size()));
    out.put(bundle.end);
    out.put(text);
  }
  std::uint64_t at = bundle.next;
  for (std::size_t i = 0; i < ranges; ++i) {
    const PartRange& range = bundle.ranges[i];
    out.put(static_cast<std::uint32_t>(range.first - at));
    out.put(static_cast<std::uint32_t>(range.count));
    at = range.first + range.count;
  }
  put_runs(out, bundle.parts);
  return out.take();
}

core::Result<Bundle> decode(std::span<const std::byte> body) {
  if (body.size() < kHeaderBytes) return invalid("is too short");
  if (body.size() > kMaxBundleBytes) return invalid("is too long");
  Reader in(body);
  if (in.get<std::uint32_t>() != kMagic) return invalid("does not begin as a bundle of this version");
  const auto claimed = in.get<std::uint32_t>();
  constexpr std::array<std::byte, 4> kZeros{};
  const std::uint32_t head = pipeline::crc32c(pipeline::crc32c(0, body.first(kChecksumAt)), kZeros);
  if (pipeline::crc32c(head, body.subspan(kChecksumAt + kZeros.size())) != claimed) return invalid("is damaged");

  Bundle bundle;
  bundle.key = get_key(in);
  bundle.sequence = in.get<std::uint64_t>();
  bundle.echo = in.get<std::uint64_t>();
  bundle.outstanding = in.get<std::uint64_t>();
  bundle.delay_us = in.get<std::uint32_t>();
  bundle.hold_ms = in.get<std::uint32_t>();
  bundle.round_trip_us = in.get<std::uint32_t>();
  bundle.flags = in.get<std::uint16_t>();
  bundle.generation = in.get<std::uint16_t>();
  bundle.wanted = in.get<std::uint8_t>();
  bundle.unreadable = in.get<std::uint8_t>();
  const auto ranges = in.get<std::uint8_t>(), runs = in.get<std::uint8_t>();
  bundle.next = in.get<std::uint64_t>();
  bundle.credit = in.get<std::uint64_t>();
  if (const char* why = wrong_header(bundle)) return invalid(why);
  if (ranges > kMaxRanges || runs > kMaxRuns) return invalid("has too many ranges or runs");
  if (bundle.has(kFlagOpen)) {
    bundle.nonce = get_key(in);
    bundle.max_message = in.get<std::uint32_t>();
    bundle.bundle_bytes = in.get<std::uint32_t>();
  }
  if (bundle.has(kFlagClose)) {
    const auto code = in.get<std::uint8_t>(), length = in.get<std::uint8_t>();
    bundle.end = in.get<std::uint64_t>();
    const auto text = in.bytes(length);
    if (code == 0 || code > static_cast<std::uint8_t>(kLastCloseCode) || length > kMaxReasonBytes) {
      return invalid("ends a session for an unknown reason");
    }
    bundle.reason.code = static_cast<CloseCode>(code);
    bundle.reason.text.assign(reinterpret_cast<const char*>(text.data()), text.size());
  }
  if (!get_ranges(in, ranges, bundle)) return invalid("acknowledges parts out of order");
  if (!get_runs(in, runs, bundle)) return invalid("has parts out of order, or is cut short");
  if (in.failed() || !in.at_end()) return invalid("has another length than it says");
  return bundle;
}

std::string_view name_of(CloseCode code) {
  constexpr std::array<std::string_view, 7> kNames = {
      "none", "done", "failed", "timed_out", "unknown_session", "refused", "protocol_error"};
  static_assert(kNames.size() == static_cast<std::size_t>(kLastCloseCode) + 1);
  const auto index = static_cast<std::size_t>(code);
  return index < kNames.size() ? kNames[index] : "invalid";
}

}  // namespace slotwire::http_stream
