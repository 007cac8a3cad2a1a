// The carrier of two slots on one node that may share no memory: what is sent on a link comes back on the same link.
#pragma once
#include <vector>

#include "core/carriers/carrier.hpp"
#include "core/carriers/poller.hpp"

namespace slotwire::carriers {

struct LoopbackOptions {
  std::size_t lines_per_frame = 128;
  /// Bytes of frames that wait for poll() at most; at least one frame.
  std::size_t queue_limit = std::size_t{1} << 20;
  std::size_t max_links = 1024;  ///< at most 65535
};

/// Keeps order, loses nothing while room() is respected.
class LoopbackCarrier final : public Carrier {
 public:
  /// Throws std::invalid_argument (an option out of range) or std::system_error.
  explicit LoopbackCarrier(const LoopbackOptions& options = {});

  /// `link`: 0..max_links-1, not added yet; else std::invalid_argument. Up with the next poll().
  void add_link(std::uint16_t link);
  /// Forgets the link and what waits for it. Does nothing when it is not there.
  void remove_link(std::uint16_t link);

  std::string_view name() const override { return "loopback"; }
  std::size_t lines_per_frame() const override { return options_.lines_per_frame; }
  std::size_t room(std::uint16_t link) const override;
  void send(std::span<const pipeline::TxFrame> frames) override;
  std::size_t poll(std::uint64_t now_us, std::size_t max_frames, FrameSink& sink) override;
  int fd() const override { return poller_.fd(); }
  const CarrierCounters& counters() const override { return counters_; }

 private:
  enum class State : std::uint8_t { none, added, up };
  struct Entry {
    std::uint16_t link;
    std::size_t bytes;
  };
  /// Frames in the order of sending. Two of them: while one is handed out, the sink may send into the other.
  struct Queue {
    std::vector<std::byte> bytes;
    std::vector<Entry> entries;
  };
  bool known(std::uint16_t link) const noexcept { return link < links_.size() && links_[link] != State::none; }

  LoopbackOptions options_;
  std::size_t frame_bytes_;
  Poller poller_;
  std::vector<State> links_;
  std::vector<std::uint16_t> added_;
  Queue filling_, draining_;
  std::size_t next_entry_ = 0, next_byte_ = 0;
  CarrierCounters counters_;
};

}  // namespace slotwire::carriers
