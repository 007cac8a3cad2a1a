// What a link runs over. One interface, one conformance suite (tests/carrier) that every carrier passes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/frame.hpp"

namespace slotwire::carriers {

/// Where received frames go. `link` is the link whose peer sent the frame; `frame` is header plus payload as they came, of any
/// length, unchecked. The bytes are valid during the call only.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  virtual void on_frame(std::uint16_t link, std::span<const std::byte> frame) = 0;
  /// The carrier of `link` came up (frames may flow) or went down (frames in flight may be lost). `reason` is for people.
  virtual void on_link(std::uint16_t link, bool up, std::string_view reason) = 0;
};

/// Counts of one carrier since its start. Monotonic.
struct CarrierCounters {
  std::uint64_t tx_frames = 0, tx_bytes = 0, tx_calls = 0, tx_dropped = 0;
  std::uint64_t rx_frames = 0, rx_bytes = 0, rx_calls = 0, rx_unknown_peer = 0, rx_malformed = 0;
  std::uint64_t connects = 0, disconnects = 0;
};

/// A carrier serves any number of links. All calls come from one thread, the one that polls it.
/// A carrier may lose, double or reorder frames; it never invents or alters the address (link) that a frame came from.
class Carrier {
 public:
  virtual ~Carrier() = default;
  virtual std::string_view name() const = 0;

  /// Lines that one frame may carry on this carrier: (MTU - headers) / 64 for datagrams.
  virtual std::size_t lines_per_frame() const = 0;

  /// Frames that send() takes for `link` now without losing one for want of room; 0: the link is blocked, wait for writable.
  virtual std::size_t room(std::uint16_t link) const = 0;

  /// Sends frames (in batches where the kernel can). Payload is copied or handed to the kernel before return. A frame for a
  /// link that is down or has no room is dropped and counted (tx_dropped).
  virtual void send(std::span<const pipeline::TxFrame> frames) = 0;

  /// Receives what is there, at most `max_frames`, into `sink`; also accepts, connects, reconnects and flushes what was blocked.
  /// `now_us` is the caller's clock in microseconds (for reconnection delays). Returns the number of frames.
  virtual std::size_t poll(std::uint64_t now_us, std::size_t max_frames, FrameSink& sink) = 0;

  /// A descriptor that is readable (epoll) whenever poll() has something to do, reconnection timers included; so a caller may
  /// sleep on it without a timeout.
  virtual int fd() const = 0;

  virtual const CarrierCounters& counters() const = 0;
};

}  // namespace slotwire::carriers
