// A carrier whose path a test opens, closes, delays and makes lossy, in simulated time.
#pragma once
#include <algorithm>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/carriers/ladder.hpp"
#include "core/carriers/poller.hpp"

namespace slotwire::test {

inline constexpr std::uint16_t kLink = 3;

/// One end of a path that the test controls. Its descriptor is always readable, so it is polled at every turn.
class FakeCarrier final : public carriers::Carrier {
 public:
  explicit FakeCarrier(std::size_t lines) : lines_(lines) { poller_.wake(); }

  FakeCarrier* peer = nullptr;
  bool passes = true;          ///< what is sent arrives
  std::uint64_t delay_us = 0;  ///< of what is sent
  std::size_t limit = 1000;    ///< frames that may be under way
  std::size_t sent = 0;        ///< but path frames
  unsigned lost_percent = 0;   ///< of what is sent
  bool controlled = false;     ///< whoever sends has to control congestion
  std::mt19937_64 random{1};

  void set_up(bool up, std::string reason = "path") { news_.push_back({up, std::move(reason)}); }
  /// Arrives here as if it came from the peer.
  void inject(std::vector<std::byte> frame) { arriving_.push_front({now_, std::move(frame)}); }

  std::string_view name() const override { return "fake"; }
  std::size_t lines_per_frame() const override { return lines_; }
  bool needs_congestion_control(std::uint16_t) const override { return controlled; }
  std::size_t room(std::uint16_t) const override {
    return up_ && peer->arriving_.size() < limit ? limit - peer->arriving_.size() : 0;
  }
  void send(std::span<const pipeline::TxFrame> frames) override {
    for (const auto& frame : frames) {
      if (room(frame.link) == 0) {
        ++counters_.tx_dropped;
        continue;
      }
      ++counters_.tx_frames;
      std::vector<std::byte> bytes(std::begin(frame.header), std::end(frame.header));
      bytes.insert(bytes.end(), frame.payload.begin(), frame.payload.end());
      if (!carriers::PathFrame::decode(bytes)) ++sent;
      if (passes && random() % 100 >= lost_percent) peer->arriving_.push_back({now_ + delay_us, std::move(bytes)});
    }
  }
  std::size_t poll(std::uint64_t now_us, std::size_t max_frames, carriers::FrameSink& sink) override {
    now_ = now_us;
    for (; !news_.empty(); news_.pop_front()) {
      up_ = news_.front().first;
      sink.on_link(kLink, up_, news_.front().second);
    }
    std::size_t delivered = 0;
    while (delivered < max_frames && !arriving_.empty() && arriving_.front().first <= now_us) {
      const auto bytes = std::move(arriving_.front().second);
      arriving_.pop_front();
      if (!up_) continue;
      ++counters_.rx_frames;
      ++delivered;
      sink.on_frame(kLink, bytes);
    }
    return delivered;
  }
  int fd() const override { return poller_.fd(); }
  const carriers::CarrierCounters& counters() const override { return counters_; }

 private:
  std::size_t lines_;
  carriers::Poller poller_;
  bool up_ = false;
  std::uint64_t now_ = 0;
  std::deque<std::pair<bool, std::string>> news_;
  std::deque<std::pair<std::uint64_t, std::vector<std::byte>>> arriving_;
  carriers::CarrierCounters counters_;
};

}  // namespace slotwire::test
