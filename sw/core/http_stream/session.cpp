#include "core/http_stream/session.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace slotwire::http_stream {
namespace {

std::size_t described_bytes(const Bundle& bundle) {
  return kHeaderBytes + (bundle.has(kFlagOpen) ? kOpenBytes : 0) +
         (bundle.has(kFlagClose) ? kCloseBytes + std::min(bundle.reason.text.size(), kMaxReasonBytes) : 0) +
         bundle.ranges.size() * kRangeBytes;
}

}  // namespace

SessionOptions normalized(SessionOptions options) {
  constexpr std::size_t kLongestMessage = std::size_t{16} << 20U;
  options.max_message = std::clamp<std::size_t>(options.max_message, 1, kLongestMessage);
  options.part_bytes = std::clamp<std::size_t>(options.part_bytes, 1, kMaxPartBytes);
  options.bundle_bytes = std::clamp(options.bundle_bytes, kMinBundleBytes + options.part_bytes, kMaxBundleBytes);
  options.bundle_bytes_max = std::clamp(options.bundle_bytes_max, options.bundle_bytes, kMaxBundleBytes);
  options.longer_retry_us = std::max<std::uint64_t>(options.longer_retry_us, kMillisecond);
  options.longer_retry_max_us = std::max(options.longer_retry_max_us, options.longer_retry_us);
  options.bundle_messages =
      std::clamp<std::size_t>(options.bundle_messages, 1, std::numeric_limits<std::uint16_t>::max());
  const std::size_t parts = (options.max_message + options.part_bytes - 1) / options.part_bytes;
  const std::size_t message_cost = options.max_message + parts * kPartCost;
  options.send_bytes = std::max(options.send_bytes, options.max_message);
  options.send_messages = std::max(options.send_messages, parts);
  options.window_min = std::max(options.window_min, message_cost);
  options.window_max = std::max(options.window_max, options.window_min);
  return options;
}

void SessionEnd::describe(Bundle& bundle) {
  bundle.next = in_.next();
  bundle.ranges = in_.ranges();
  bundle.credit = in_.give_credit();
  bundle.unreadable = unreadable_;
  received_bytes_ = 0;
  if (!own_close_) return;
  bundle.set(kFlagClose);
  bundle.reason = *own_close_;
  bundle.end = cut_ ? 0 : out_.end();
}

Filled SessionEnd::fill(Bundle& bundle, Carrier carrier, std::uint64_t now_us) {
  const std::size_t taken = described_bytes(bundle);
  // Trials are for bodies of HTTP. What passes over a duplex connection follows from them.
  const bool duplex = bundle.has(kFlagDuplex);
  const std::size_t most = duplex ? pace_.bundle_bytes() : pace_.next_bytes(taken + out_.ready_bytes(), now_us);
  Filled filled;
  std::size_t left = most - std::min(most, taken);
  const std::size_t room = left;
  filled.parts = out_.fill(bundle, left, options_.bundle_messages, carrier);
  filled.bytes = taken + room - left;
  if (!duplex) pace_.sent(filled.bytes);
  return filled;
}

std::optional<std::string> SessionEnd::take(const Bundle& bundle) {
  if (!out_.acknowledge(bundle.next, bundle.ranges)) return "the peer acknowledged what was never sent";
  out_.raise_credit(bundle.credit);
  for (const PartView& part : bundle.parts) {
    switch (in_.add(part)) {
      case Taken::taken:
        received_bytes_ += part.bytes.size();
        break;
      case Taken::duplicate:
        ++duplicates_;
        received_bytes_ += 1;  // its acknowledgement may have been lost
        break;
      case Taken::no_credit:
        break;
      case Taken::too_long:
        return "the peer sent a message of more than " + std::to_string(options_.max_message) + " bytes";
    }
  }
  if (bundle.has(kFlagClose) && (!peer_close_ || bundle.end < peer_end_)) {
    if (!peer_close_) peer_close_ = bundle.reason;
    peer_end_ = bundle.end;
  }
  return std::nullopt;
}

std::optional<std::string> SessionEnd::meet(const Bundle& bundle) {
  if (!out_.limit_message(bundle.max_message)) {
    return "a message is waiting that is longer than the " + std::to_string(bundle.max_message) +
           " bytes that the peer takes";
  }
  pace_.limit_bundle(bundle.bundle_bytes);
  out_.raise_credit(bundle.credit);
  return std::nullopt;
}

bool SessionEnd::full_bundle() const {
  const std::size_t room = pace_.full_bytes() - kHeaderBytes - kRunBytes;
  const std::size_t part = options_.part_bytes + kPartHeaderBytes;
  const std::size_t full = room > 2 * part ? room - part : room / 2;
  return out_.ready_bytes() >= full || out_.ready_parts() >= options_.bundle_messages;
}

std::uint8_t SessionEnd::ready_bundles() const {
  // Not by how long they may become: what waits comes in several pieces, and each needs a request.
  const std::size_t each = std::min(pace_.bundle_bytes(), options_.bundle_bytes);
  const std::size_t by_bytes = (out_.ready_bytes() + each - 1) / each;
  return static_cast<std::uint8_t>(std::min<std::size_t>(by_bytes, std::numeric_limits<std::uint8_t>::max()));
}

void SessionEnd::close(CloseReason reason) {
  if (own_close_) return;
  reason.text.resize(std::min(reason.text.size(), kMaxReasonBytes));
  if (reason.code == CloseCode::none) reason.code = CloseCode::done;
  own_close_ = std::move(reason);
}

void SessionEnd::cut(CloseReason reason) {
  close(std::move(reason));
  cut_ = true;
  out_.clear();
}

}  // namespace slotwire::http_stream
