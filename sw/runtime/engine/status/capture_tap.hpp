// Hands copies of frames to whoever captures (slotwire capture). Frames that the receiver is too slow for are counted,
// not waited for.
#pragma once
#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "driver/card.hpp"

namespace slotwire::engine {

/// One captured frame as it is sent: this header (host order: both ends are on one machine), then the bytes.
struct CaptureHeader {
  std::uint64_t time_ns = 0;   ///< CLOCK_REALTIME
  std::uint64_t dropped = 0;   ///< frames that found no room since the start of the capture
  std::uint32_t length = 0;    ///< bytes of the frame on the wire
  std::uint32_t captured = 0;  ///< bytes that follow
  std::uint16_t link = 0;
  std::uint8_t outgoing = 0;  ///< 1: sent by this node
  std::uint8_t reserved[5] = {};
};
static_assert(sizeof(CaptureHeader) == 32);

/// Largest frame that a capture takes; longer ones are cut.
inline constexpr std::size_t kMaxCapturedBytes = 16384;

class CaptureTap final : public driver::FrameTap {
 public:
  /// `socket`: a SOCK_SEQPACKET socket of the receiver. `link`: only this one. `snaplen`: bytes kept of each frame.
  CaptureTap(slot::Fd socket, std::optional<std::uint16_t> link, std::uint32_t snaplen);

  ~CaptureTap() override;
  CaptureTap(const CaptureTap&) = delete;
  CaptureTap& operator=(const CaptureTap&) = delete;

  void on_frame(bool outgoing, std::uint16_t link, std::span<const std::byte> header,
                std::span<const std::byte> payload) override;
  /// The receiver has gone; known also when no frame came since.
  bool closed() const;
  /// Frames that the receiver's socket took.
  std::uint64_t sent() const { return sent_.load(std::memory_order_relaxed); }
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  slot::Fd socket_;
  std::optional<std::uint16_t> link_;
  std::uint32_t snaplen_;
  // Read in the engine's thread while another one captures.
  std::atomic<std::uint64_t> sent_{0};
  std::atomic<std::uint64_t> dropped_{0};
  std::atomic<bool> closed_{false};
};

}  // namespace slotwire::engine
