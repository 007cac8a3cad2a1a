#include "tools/slotwire/capture_decoder.hpp"

#include <algorithm>
#include <cstring>

#include "core/regs/regs.hpp"

namespace slotwire::cli {
namespace {

using inspect::Inspector;
using inspect::Language;
using inspect::Role;
using slot::RecordHeader;
using slot::RecordKind;

/// Longest record: a ring of the largest size.
constexpr std::uint64_t kMaxRecordLines = 32768;

/// Whether these bytes may be the header of a record: what libslotwire leaves zero is zero.
bool is_plausible(const RecordHeader& header) {
  const auto kind = static_cast<std::uint8_t>(header.kind);
  if (kind < static_cast<std::uint8_t>(RecordKind::message) ||
      kind > static_cast<std::uint8_t>(RecordKind::end_of_stream) || !slot::flags_fit(header.kind, header.flags) ||
      slot::record_lines(header.length) > kMaxRecordLines) {
    return false;
  }
  switch (header.kind) {
    case RecordKind::stream:
    case RecordKind::end_of_stream:
      return header.code == 0 && header.id == 0 && header.deadline_us == 0 && header.flags == slot::kWhole;
    case RecordKind::message:
      return header.deadline_us == 0;
    case RecordKind::request:
      return header.id != 0;
    default:
      return header.id != 0 && header.deadline_us == 0;
  }
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

/// Shows what an inspector finds, and tells the inspector of the other direction which replies it is to expect.
class CaptureDecoder::Telling final : public inspect::Listener {
 public:
  Telling(CaptureDecoder& decoder, const Frame& frame, std::uint16_t slot, Direction& direction, Direction* other)
      : decoder_(decoder), frame_(frame), slot_(slot), direction_(direction), other_(other) {}

  void on_message(const inspect::Message& message) override {
    show(inspect::name_of(direction_.inspector->language()), message.label, message.summary, false);
    if (direction_.inspector->language() != Language::http) return;
    if (other_ != nullptr && other_->inspector != nullptr) {
      other_->inspector->expect_reply(message.reply_has_no_body);
    } else if (direction_.early.size() < kMaxEarly) {
      direction_.early.push_back(message.reply_has_no_body);
    }
  }
  /// The direction has its inspector now.
  void take_early() {
    if (other_ == nullptr) return;
    for (const bool without_body : std::exchange(other_->early, {})) direction_.inspector->expect_reply(without_body);
  }
  void show(std::string_view language, std::string_view label, std::string_view text, bool invalid) {
    decoder_.show_({.time_ns = frame_.time_ns,
                    .link = frame_.link,
                    .slot = slot_,
                    .outgoing = frame_.outgoing,
                    .invalid = invalid,
                    .service = direction_.facts.service,
                    .language = language,
                    .label = label,
                    .text = text});
  }

 private:
  CaptureDecoder& decoder_;
  const Frame& frame_;
  std::uint16_t slot_;
  Direction& direction_;
  Direction* other_;
};

void CaptureDecoder::frame(const Frame& frame) {
  if (frame.bytes.size() <= regs::kHeaderBytes || (frame.within_node && !frame.outgoing)) return;
  const auto header = pipeline::decode(frame.bytes.first<regs::kHeaderBytes>());
  const std::span<const std::byte> payload = frame.bytes.subspan(regs::kHeaderBytes);
  if (header.type != regs::FrameType::data) return;
  ++frames_;
  const std::uint16_t own = frame.outgoing ? header.src_slot : header.dst_slot;
  const std::uint16_t other = frame.outgoing ? header.dst_slot : header.src_slot;
  const Key key{frame.link, frame.outgoing, own};
  Direction& direction = direction_of(key, header.epoch);
  const bool lost = direction.dropped != frame.dropped;
  direction.used = frames_;
  if (direction.given_up) return;
  std::span<const std::byte> fresh = payload.first(payload.size() - (payload.size() % regs::kLineBytes));
  if (direction.in_step) {
    const auto ahead = static_cast<std::int32_t>(header.seq - direction.next);
    if (ahead > 0 && !lost) return;  // it is sent again: the receiver takes lines in their order alone
    if (ahead > 0) {
      direction.in_step = false;
    } else {
      const std::size_t known = static_cast<std::size_t>(-static_cast<std::int64_t>(ahead)) * regs::kLineBytes;
      if (known >= fresh.size()) return;
      fresh = fresh.subspan(known);
    }
  }
  direction.dropped = frame.dropped;
  if (!direction.in_step) {
    direction.lines_left = direction.payload_left = 0;
    direction.inspector.reset();
    direction.next = header.seq;
  }
  lines(frame, key, other, direction, fresh);
  if (!frame.whole) direction.in_step = false;
}

CaptureDecoder::Direction& CaptureDecoder::direction_of(const Key& key, std::uint16_t epoch) {
  const auto found = directions_.find(key);
  if (found != directions_.end() && found->second.epoch == epoch) return found->second;
  if (found == directions_.end() && directions_.size() >= kMaxDirections) make_room();
  Direction& direction = directions_[key];
  direction = {};
  direction.epoch = epoch;
  const auto& [link, outgoing, slot] = key;
  // The two directions of a connection have one slot here.
  const auto back = directions_.find({link, !outgoing, slot});
  direction.facts = back != directions_.end() && back->second.epoch == epoch ? back->second.facts : ask_(slot);
  return direction;
}

void CaptureDecoder::make_room() {
  const auto oldest = std::min_element(directions_.begin(), directions_.end(),
                                       [](const auto& a, const auto& b) { return a.second.used < b.second.used; });
  directions_.erase(oldest);
}

/// Reads whole lines that come next.
void CaptureDecoder::lines(const Frame& frame, const Key& key, std::uint16_t other_slot, Direction& direction,
                           std::span<const std::byte> lines) {
  const std::uint16_t own = std::get<2>(key);
  const auto back = frame.within_node ? directions_.find({frame.link, true, other_slot})
                                      : directions_.find({frame.link, !frame.outgoing, own});
  Telling telling(*this, frame, own, direction, back == directions_.end() ? nullptr : &back->second);
  direction.next += static_cast<std::uint32_t>(lines.size() / regs::kLineBytes);
  while (!lines.empty()) {
    std::size_t skipped = 0;
    if (direction.lines_left == 0) {
      if (!begin_record(direction, lines.first<regs::kLineBytes>(), telling)) return;
      skipped = slot::kRecordHeaderBytes;
    }
    const std::size_t room = std::min(lines.size(), std::size_t{direction.lines_left} * regs::kLineBytes);
    const std::size_t payload = std::min<std::size_t>(room - skipped, direction.payload_left);
    if (!take_payload(direction, text_of(lines.subspan(skipped, payload)), frame.outgoing, telling)) return;
    direction.payload_left -= static_cast<std::uint32_t>(payload);
    direction.lines_left -= static_cast<std::uint32_t>(room / regs::kLineBytes);
    lines = lines.subspan(room);
  }
}

/// False: the rest of the frame is not read.
bool CaptureDecoder::begin_record(Direction& direction, std::span<const std::byte> line, Telling& telling) {
  std::memcpy(&direction.header, line.data(), sizeof direction.header);
  const bool good = is_plausible(direction.header);
  if (!good) {
    // In the middle of a record, most likely; or a process that writes what is no record.
    if (direction.in_step) telling.show("records", "invalid", "bytes that are no record", true);
    direction.given_up = direction.in_step;
    return false;
  }
  direction.in_step = true;
  direction.lines_left = static_cast<std::uint32_t>(slot::record_lines(direction.header.length));
  direction.payload_left = direction.header.length;
  direction.guessed_now = true;
  return true;
}

Role CaptureDecoder::role_of(const Direction& direction, bool outgoing) const {
  const bool acceptor = direction.facts.acceptor.value_or(false);
  return acceptor == outgoing ? Role::reply : Role::request;
}

/// The first piece of a record begins it.
bool CaptureDecoder::take_payload(Direction& direction, std::string_view payload, bool outgoing, Telling& telling) {
  const bool begins = std::exchange(direction.guessed_now, false);
  if (begins && direction.inspector == nullptr) {
    const inspect::Guess guess = inspect::guess(direction.header, payload);
    const bool stream =
        direction.header.kind == RecordKind::stream || direction.header.kind == RecordKind::end_of_stream;
    const Language language = language_.value_or(guess.language);
    const bool known = direction.facts.acceptor.has_value() || !guess.role;
    if (!language_ && language == Language::records && stream) {
      telling.show("records", "stream", "stream, " + std::to_string(direction.header.length) + " bytes", false);
      return true;
    }
    direction.inspector = std::make_unique<Inspector>(language, known ? role_of(direction, outgoing) : *guess.role,
                                                      inspect::Join::middle);
    telling.take_early();
  }
  if (direction.inspector == nullptr) return true;
  Inspector& inspector = *direction.inspector;
  if ((begins && !inspector.begin(direction.header, telling)) || !inspector.feed(payload, telling)) {
    telling.show(inspect::name_of(inspector.language()), "invalid", inspector.problem(), true);
    direction.given_up = true;
    return false;
  }
  return true;
}

}  // namespace slotwire::cli
