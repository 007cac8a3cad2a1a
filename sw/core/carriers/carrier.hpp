// What a link runs over. One interface, one conformance suite (tests/carrier) that every carrier passes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/pipeline/frame.hpp"

namespace slotwire::carriers {

/// Where received frames go. `link` is the link whose peer sent the frame; `frame` is header plus payload as they came,
/// of any length, unchecked. The bytes are valid during the call only. Called from Carrier::poll() only. Of the carrier
/// that calls, it may use send(), room() and counters(), nothing else.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  /// False if nobody has use for the frame: it is damaged or not authentic, or nothing here waits for it. A carrier may
  /// serve a source of such frames less than others.
  virtual bool on_frame(std::uint16_t link, std::span<const std::byte> frame) = 0;
  /// The carrier of `link` came up (frames may flow) or went down (frames in flight may be lost). `reason` is for
  /// people. A link starts down. One that cannot be brought up may be reported down again, when the reason is a new
  /// one. One that is up is reported up again when it takes another path: frames in flight may be lost, and
  /// lines_per_frame_of() and retransmit_floor_us() may have changed. Not called when a link is removed.
  virtual void on_link(std::uint16_t link, bool up, std::string_view reason) = 0;
  /// The next `frames` frames of `link` arrived with a congestion mark of the network (ECN CE): before on_frame().
  virtual void on_marked(std::uint16_t /*link*/, std::uint32_t /*frames*/) {}
};

/// Counts of one carrier since its start. Monotonic. Bytes are those of frames: link headers and payload, without what
/// the carrier adds. Calls are system calls (or their like): frames by calls is how well batching works.
struct CarrierCounters {
  std::uint64_t tx_frames = 0, tx_bytes = 0, tx_calls = 0, tx_dropped = 0;
  std::uint64_t rx_frames = 0, rx_bytes = 0, rx_calls = 0, rx_unknown_peer = 0, rx_malformed = 0;
  std::uint64_t rx_other_port = 0;  ///< of rx_unknown_peer: from the host of a peer, but another port than the peer's
  std::uint64_t rx_too_large = 0;   ///< of rx_malformed: from a peer, but larger than a frame may be here
  std::uint64_t rx_useless = 0;     ///< frames of rx_frames that the sink had no use for
  std::uint64_t rx_floods = 0;      ///< times that useless frames and strangers' came so often that they were put off
  std::uint64_t connects = 0, disconnects = 0;
};

/// A carrier serves any number of links, up to a limit in its options; each kind has its own add_link(), remove_link().
/// All calls come from one thread, the one that polls it.
/// A carrier may lose, double or reorder frames; it never invents or alters the address (link) that a frame came from.
class Carrier {
 public:
  virtual ~Carrier() = default;
  virtual std::string_view name() const = 0;

  /// Lines that one frame may carry on this carrier: (MTU - headers) / 64 for datagrams.
  virtual std::size_t lines_per_frame() const = 0;
  /// The same for one link, where links of one carrier differ; never less.
  virtual std::size_t lines_per_frame_of(std::uint16_t /*link*/) const { return lines_per_frame(); }

  /// The least first retransmission timeout, in microseconds, that makes sense for the link now: a path that itself
  /// loses nothing while it is up only gets slower by early ones. 0: any.
  virtual std::uint32_t retransmit_floor_us(std::uint16_t /*link*/) const { return 0; }

  /// Nothing below this carrier keeps the link from flooding the network that it shares: who sends has to.
  virtual bool needs_congestion_control(std::uint16_t /*link*/) const { return false; }

  /// Frames that send() takes for `link` now without losing one for want of room; 0: the link is blocked, wait for
  /// writable.
  virtual std::size_t room(std::uint16_t link) const = 0;

  /// Sends frames (in batches where the kernel can). Payload is copied or handed to the kernel before return. A frame
  /// for a link that is unknown, down or has no room, or one above lines_per_frame(), is dropped and counted
  /// (tx_dropped). No errors: a connection that turns out broken is told to the sink by the next poll().
  virtual void send(std::span<const pipeline::TxFrame> frames) = 0;

  /// Receives what is there, at most `max_frames`, into `sink`; also accepts, connects, reconnects and flushes what was
  /// blocked. `now_us` is the caller's clock in microseconds; it runs like CLOCK_MONOTONIC (reconnection delays wake
  /// fd() by it). `max_frames` is at least 1. Returns the number of frames. Never waits.
  virtual std::size_t poll(std::uint64_t now_us, std::size_t max_frames, FrameSink& sink) = 0;

  /// A descriptor that is readable (epoll) whenever poll() has something to do, reconnection timers included; so a
  /// caller may sleep on it without a timeout.
  virtual int fd() const = 0;

  virtual const CarrierCounters& counters() const = 0;
};

}  // namespace slotwire::carriers
