// Encrypted links over a carrier of datagrams, beside links in the clear over the same one.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/carriers/carrier.hpp"
#include "core/carriers/link_keys.hpp"
#include "core/carriers/poller.hpp"

namespace slotwire::carriers {

/// Stands between a carrier of datagrams (UDP, DPDK) and who uses it; nobody else may poll that carrier or send by it.
/// An encrypted frame with n lines is as long as a clear one with n + 1, so the carrier below needs to know nothing.
/// Links are added here before they are added below; frames of links that were not are dropped, never passed in the
/// clear. An encrypted link is up when it is up below and the peer has taken a key of this end.
class SealedCarrier final : public Carrier, private FrameSink {
 public:
  /// `below` outlives this and has room for at least two lines a frame, else std::invalid_argument. Links are
  /// 0..max_links-1. Throws std::system_error (out of descriptors).
  SealedCarrier(Carrier& below, std::size_t max_links);

  /// `link` passes frames as they are. std::invalid_argument when it is there already or above the limit.
  void add_clear(std::uint16_t link);
  /// Frames of `link` are encrypted. The keys live until the link is removed.
  LinkKeys& add_sealed(std::uint16_t link, const LinkKeys::Options& options);
  /// Forgets the link; remove it below first. Does nothing when it is not there.
  void remove_link(std::uint16_t link);
  /// Of an encrypted link; null for others. After a change of keys poll() brings the link up or down.
  LinkKeys* keys(std::uint16_t link) noexcept;
  /// Makes poll() look at the links' keys.
  void wake() noexcept;
  /// Some link's keys want to be looked at (LinkKeys::due(), settled()), since the last call.
  bool look() noexcept { return std::exchange(look_, false); }

  std::string_view name() const override { return below_.name(); }
  /// Of any link.
  std::size_t lines_per_frame() const override { return below_.lines_per_frame() - 1; }
  std::size_t lines_per_frame_of(std::uint16_t link) const override;
  std::uint32_t retransmit_floor_us(std::uint16_t link) const override { return below_.retransmit_floor_us(link); }
  bool needs_congestion_control(std::uint16_t link) const override { return below_.needs_congestion_control(link); }
  std::size_t room(std::uint16_t link) const override;
  void send(std::span<const pipeline::TxFrame> frames) override;
  std::size_t poll(std::uint64_t now_us, std::size_t max_frames, FrameSink& sink) override;
  int fd() const override { return poller_.fd(); }
  /// Those of the carrier below, without the lines that encryption adds; what cannot be opened is not in rx_frames.
  const CarrierCounters& counters() const override;

 private:
  struct Link {
    bool known = false, up_below = false, up = false;
    std::unique_ptr<LinkKeys> keys;  ///< none: in the clear
    std::string reason;              ///< of the carrier below, for coming up
  };
  /// Frames handed down at once.
  static constexpr std::size_t kBatch = 64;

  bool on_frame(std::uint16_t link, std::span<const std::byte> frame) override;
  void on_link(std::uint16_t link, bool up, std::string_view reason) override;
  /// Of the frame that comes next: who cannot seal one cannot slow the link by marks.
  void on_marked(std::uint16_t /*link*/, std::uint32_t frames) override { marked_ = frames; }
  Link& add(std::uint16_t link);
  const Link* find(std::uint16_t link) const noexcept;
  void look_at(std::uint16_t number, FrameSink& sink);
  std::size_t seal_run(std::span<const pipeline::TxFrame> frames);
  std::size_t clear_run(std::span<const pipeline::TxFrame> frames);

  Carrier& below_;
  std::size_t frame_bytes_;  ///< of a datagram
  Poller poller_;
  std::vector<Link> links_;
  std::vector<std::uint16_t> sealed_links_;
  FrameSink* sink_ = nullptr;  ///< during poll()
  std::size_t delivered_ = 0;  ///< in this poll()
  std::uint32_t marked_ = 0;   ///< of the frame that comes next
  bool look_ = false;
  bool keys_changed_ = false;
  std::vector<std::byte> sealed_;  ///< of a batch
  std::vector<pipeline::TxFrame> batch_;
  std::vector<std::byte> opened_;
  std::uint64_t sealed_frames_ = 0;  ///< that went down and were not dropped at once
  std::uint64_t dropped_ = 0, rx_frames_ = 0, rx_bytes_ = 0;
  mutable CarrierCounters counters_;
};

}  // namespace slotwire::carriers
