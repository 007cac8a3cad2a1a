// Parts on their way in: put in order, joined to messages, acknowledged, and limited by the credit that was given.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "core/http_stream/buffer_pool.hpp"
#include "core/http_stream/bundle.hpp"

namespace slotwire::http_stream {

/// What became of a part.
enum class Taken : std::uint8_t {
  taken,
  duplicate,
  no_credit,  ///< more than the peer was allowed; not received
  too_long    ///< its message exceeds max_message: the peer broke the rules
};

class ReceiveQueue {
 public:
  ReceiveQueue(const SessionOptions& options, BufferPool* pool)
      // Whoever shares its memory with nobody needs not find out what the peer needs.
      : options_(options), pool_(pool), window_(pool == nullptr ? options.window_max : options.window_min) {}
  ~ReceiveQueue();
  ReceiveQueue(const ReceiveQueue&) = delete;
  ReceiveQueue& operator=(const ReceiveQueue&) = delete;

  Taken add(const PartView& part);
  /// The next whole message.
  std::optional<Bytes> receive();
  bool has_message() const { return !messages_.empty(); }
  /// Every part below this number was received.
  std::uint64_t next() const { return next_; }
  /// Parts beyond next(), at most kMaxRanges ranges.
  std::vector<PartRange> ranges() const;

  /// The credit that the peer may be given now; it counts as given. Grows the window of a peer that uses it.
  std::uint64_t give_credit();
  /// The peer may be waiting for credit, and there is more to give than it knows of.
  bool credit_due() const;
  /// Bytes that are held: parts out of order, and messages that were not received yet.
  std::size_t bytes() const { return bytes_; }
  std::size_t window() const { return window_; }
  /// Discards what is not a whole message in order. Messages can still be received.
  void stop();

 private:
  struct Ahead {
    Bytes bytes;
    bool continues = false;
  };
  struct Whole {
    Bytes bytes;
    std::uint64_t cost = 0;
  };
  bool append(std::span<const std::byte> bytes, bool continues);
  std::uint64_t possible_credit() const { return taken_cost_ + window_; }

  SessionOptions options_;
  BufferPool* pool_;
  std::uint64_t next_ = 0;
  std::map<std::uint64_t, Ahead> ahead_;
  std::map<std::uint64_t, std::uint64_t> ranges_;  ///< first number to the one after the last
  Bytes joining_;                                  ///< the message whose parts are still coming
  std::uint64_t joining_cost_ = 0;
  std::deque<Whole> messages_;
  std::size_t bytes_ = 0;
  std::size_t window_, lent_ = 0;
  std::uint64_t in_cost_ = 0;     ///< of all parts that are in order
  std::uint64_t ahead_cost_ = 0;  ///< of all that are not
  std::uint64_t taken_cost_ = 0;  ///< of all that were received by the application
  std::uint64_t credit_ = 0;      ///< given
  std::uint64_t grown_at_ = 0;    ///< in_cost_ when the window was set
};

}  // namespace slotwire::http_stream
