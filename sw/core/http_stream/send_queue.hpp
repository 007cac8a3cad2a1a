// Messages on their way out: cut into parts, numbered, kept until the peer has acknowledged them, sent again when lost.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <set>
#include <span>
#include <vector>

#include "core/http_stream/buffer_pool.hpp"
#include "core/http_stream/bundle.hpp"

namespace slotwire::http_stream {

/// What carried a part: the number of a request, or kDuplexCarrier and the generation of the path.
using Carrier = std::uint64_t;
constexpr Carrier kDuplexCarrier = Carrier{1} << 63U;

class SendQueue {
 public:
  /// `pool`: who lends bytes beyond window_min of the options; null: nobody needs to.
  SendQueue(const SessionOptions& options, BufferPool* pool) : options_(options), pool_(pool) {}
  ~SendQueue() { clear(); }
  SendQueue(const SendQueue&) = delete;
  SendQueue& operator=(const SendQueue&) = delete;

  /// Takes a message of 1..max_message bytes, or returns false when it does not fit.
  bool push(std::span<const std::byte> message);
  /// Bytes of the longest message that push() takes.
  std::size_t room() const;
  /// Bytes of all messages that it takes now, one after the other.
  std::size_t space() const;
  /// Lowers the longest message that push() takes. False: a longer one is waiting.
  bool limit_message(std::size_t max_message);

  /// Adds parts to a bundle: lost ones first, then new ones as far as the peer's credit goes, at most `bytes` bytes
  /// with their headers and `count` parts; what they take is subtracted from `bytes`. They count as sent by `carrier`.
  /// Returns their ranges.
  std::vector<PartRange> fill(Bundle& bundle, std::size_t& bytes, std::size_t count, Carrier carrier);
  /// All of these parts, which were sent, have arrived.
  bool acknowledged(std::span<const PartRange> ranges) const;
  /// Everything below `next` and in `ranges` has arrived. False: something was acknowledged that was never sent.
  bool acknowledge(std::uint64_t next, std::span<const PartRange> ranges);
  /// What `carrier` carried of these ranges, and nothing else has carried since, is sent again unless it has arrived.
  void lose(std::span<const PartRange> ranges, Carrier carrier);
  /// The same with everything that was sent.
  void lose_all();
  /// The peer takes parts up to this total cost. It never falls.
  void raise_credit(std::uint64_t credit) { credit_ = credit > credit_ ? credit : credit_; }
  /// Discards everything.
  void clear();

  /// Something could be sent now, and how many bytes (with headers) and parts that would be.
  bool ready() const { return !lost_.empty() || new_fits(); }
  std::size_t ready_bytes() const;
  std::size_t ready_parts() const { return lost_.size() + (new_fits() ? parts_.size() - sent_ : 0); }
  bool empty() const { return parts_.empty(); }
  /// Bytes that were not acknowledged.
  std::size_t bytes() const { return bytes_; }
  /// Number after the last part.
  std::uint64_t end() const { return base_ + parts_.size(); }
  std::uint64_t resent_parts() const { return resent_; }

 private:
  struct Part {
    Bytes bytes;
    std::uint64_t cost_end = 0;  ///< cost of all parts up to and with this one
    Carrier carrier = 0;
    bool continues = false, arrived = false;
  };
  bool new_fits() const { return sent_ < parts_.size() && parts_[sent_].cost_end <= credit_; }
  std::size_t free_bytes() const;
  void arrived(Part& part, std::uint64_t number);
  void give_back();

  SessionOptions options_;
  BufferPool* pool_;
  std::deque<Part> parts_;  ///< the first one has the number base_
  std::uint64_t base_ = 0;
  std::size_t sent_ = 0;  ///< parts_[sent_] was never sent
  std::set<std::uint64_t> lost_;
  std::size_t lost_bytes_ = 0;  ///< with headers
  std::size_t bytes_ = 0, new_bytes_ = 0;
  std::size_t longest_ = 0;  ///< message that was taken so far
  std::size_t lent_ = 0;     ///< by the pool
  std::uint64_t cost_ = 0, sent_cost_ = 0, credit_ = 0, resent_ = 0;
};

}  // namespace slotwire::http_stream
