// What both ends of a session do alike: numbering, acknowledging, credit, pace, and the agreement to end.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/http_stream/bundle.hpp"
#include "core/http_stream/pace.hpp"
#include "core/http_stream/receive_queue.hpp"
#include "core/http_stream/send_queue.hpp"

namespace slotwire::http_stream {

/// Moves every option into its range, so that the rest of the code can rely on it.
SessionOptions normalized(SessionOptions options);

/// What a bundle carries.
struct Filled {
  std::vector<PartRange> parts;
  std::size_t bytes = 0;  ///< of the whole body
};

class SessionEnd {
 public:
  SessionEnd(const SessionOptions& options, BufferPool* pool)
      : options_(options), out_(options, pool), in_(options, pool), pace_(options) {}

  // Messages.
  bool send(std::span<const std::byte> message) { return !own_close_ && out_.push(message); }
  std::optional<Bytes> receive() { return in_.receive(); }
  std::size_t room() const { return own_close_ ? 0 : out_.room(); }
  std::size_t space() const { return own_close_ ? 0 : out_.space(); }

  // Bundles.

  /// Writes acknowledgement, credit and end of session into a bundle, and counts all that as told.
  void describe(Bundle& bundle);
  /// Adds parts to a described bundle, up to the bundle size. Returns what was added.
  Filled fill(Bundle& bundle, Carrier carrier, std::uint64_t now_us);
  /// Takes acknowledgement, credit, parts and end of session. A text: the peer broke the rules that way.
  std::optional<std::string> take(const Bundle& bundle);
  /// What the opening exchange says of the peer. A text: the two do not fit.
  std::optional<std::string> meet(const Bundle& bundle);

  /// As many bytes or parts wait as one bundle takes.
  bool full_bundle() const;
  /// Full bundles, a last one that is not full included, which could be sent now. At most 255.
  std::uint8_t ready_bundles() const;
  /// Something was received since describe().
  bool acknowledgement_due() const { return received_bytes_ != 0; }
  std::size_t received_bytes() const { return received_bytes_; }
  std::uint64_t duplicates() const { return duplicates_; }
  void count_unreadable() { ++unreadable_; }

  // The end.

  /// Ends this direction after what was sent; the first reason stays.
  void close(CloseReason reason);
  /// Ends it at once: what was sent is discarded.
  void cut(CloseReason reason);
  bool closing() const { return own_close_.has_value(); }
  /// The peer said that it ends, and everything before that was received.
  bool peer_closed() const { return peer_close_ && in_.next() >= peer_end_; }
  const std::optional<CloseReason>& own_reason() const { return own_close_; }
  const std::optional<CloseReason>& peer_reason() const { return peer_close_; }

  SendQueue& out() { return out_; }
  const SendQueue& out() const { return out_; }
  ReceiveQueue& in() { return in_; }
  const ReceiveQueue& in() const { return in_; }
  Pace& pace() { return pace_; }
  const Pace& pace() const { return pace_; }
  const SessionOptions& options() const { return options_; }

 private:
  SessionOptions options_;
  SendQueue out_;
  ReceiveQueue in_;
  Pace pace_;
  std::optional<CloseReason> own_close_, peer_close_;
  bool cut_ = false;
  std::uint64_t peer_end_ = 0;
  std::size_t received_bytes_ = 0;
  std::uint64_t duplicates_ = 0;
  std::uint8_t unreadable_ = 0;
};

}  // namespace slotwire::http_stream
