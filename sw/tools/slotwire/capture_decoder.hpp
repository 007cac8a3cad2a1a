// Messages out of captured frames: lines in their order, records in the lines, messages in the records.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>

#include "core/inspect/inspector.hpp"
#include "core/pipeline/frame.hpp"
#include "core/slot/record.hpp"

namespace slotwire::cli {

/// One message, or one connection that said something else than it should.
struct DecodedMessage {
  std::uint64_t time_ns = 0;  ///< since 1970, of the frame that completed it
  std::uint16_t link = 0;
  std::uint16_t slot = 0;  ///< of the node that captures
  bool outgoing = false;
  bool invalid = false;  ///< `text` says why; nothing more is decoded of this direction
  std::string service;   ///< empty: not known
  std::string_view language, label, text;
};

/// What is known of a slot.
struct SlotFacts {
  std::string service;
  std::optional<bool> acceptor;  ///< the slot is the service's end; none: not known
};

/// Reads frames in the order in which they were captured. A connection that was there before is decoded from the first
/// message on that can be told apart; so is one of which frames were dropped. One thread.
class CaptureDecoder {
 public:
  /// Directions of connections that are remembered; the one that was silent longest makes room.
  static constexpr std::size_t kMaxDirections = 8192;
  /// Requests that are remembered of a connection before its first reply.
  static constexpr std::size_t kMaxEarly = 64;

  using Show = std::function<void(const DecodedMessage&)>;
  /// Called once for each connection.
  using Ask = std::function<SlotFacts(std::uint16_t slot)>;

  /// `language`: what every connection is said to speak; none: guessed from its bytes.
  CaptureDecoder(std::optional<inspect::Language> language, Ask ask, Show show)
      : language_(language), ask_(std::move(ask)), show_(std::move(show)) {}

  struct Frame {
    std::uint64_t time_ns = 0;
    std::uint64_t dropped = 0;  ///< frames that the capture has lost so far
    std::uint16_t link = 0;
    bool outgoing = false;
    bool within_node = false;  ///< both slots are of this node, which sees the frame twice
    std::span<const std::byte> bytes;
    bool whole = true;  ///< nothing of it was cut off
  };
  void frame(const Frame& frame);
  /// How many directions of connections are remembered.
  std::size_t directions() const { return directions_.size(); }

 private:
  /// Link, whether it goes out, and the slot of this node at its end.
  using Key = std::tuple<std::uint16_t, bool, std::uint16_t>;

  struct Direction {
    std::uint16_t epoch = 0;
    SlotFacts facts;
    std::uint64_t used = 0;     ///< number of the frame
    std::uint64_t dropped = 0;  ///< by the capture, at that frame
    bool in_step = false;       ///< it is known where records begin
    bool given_up = false;
    std::uint32_t next = 0;  ///< line that comes next
    slot::RecordHeader header;
    std::uint32_t lines_left = 0;    ///< of the record that is being read
    std::uint32_t payload_left = 0;  ///< bytes
    bool guessed_now = false;        ///< the record's language is being guessed
    std::unique_ptr<inspect::Inspector> inspector;
    std::deque<bool> early;  ///< requests that were seen before anything of the other direction: without a body back
  };
  class Telling;

  Direction& direction_of(const Key& key, std::uint16_t epoch);
  void make_room();
  void lines(const Frame& frame, const Key& key, std::uint16_t other_slot, Direction& direction,
             std::span<const std::byte> lines);
  bool begin_record(Direction& direction, std::span<const std::byte> line, Telling& telling);
  bool take_payload(Direction& direction, std::string_view payload, bool outgoing, Telling& telling);
  inspect::Role role_of(const Direction& direction, bool outgoing) const;

  std::optional<inspect::Language> language_;
  Ask ask_;
  Show show_;
  std::map<Key, Direction> directions_;
  std::uint64_t frames_ = 0;
};

}  // namespace slotwire::cli
