// Who decides for the links of a soft mover that are under congestion control: one algorithm and one breaker a link.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/congestion/algorithm.hpp"
#include "core/congestion/breaker.hpp"
#include "core/pipeline/pipeline.hpp"

namespace slotwire::driver {

class LinkControl {
 public:
  explicit LinkControl(std::size_t links) : links_(links) {}

  /// The link came up, or took another path: it begins anew.
  congestion::Decision begin(std::uint16_t link, const congestion::Settings& settings, std::uint16_t frame_lines) {
    links_[link].down_until_us = 0;
    return congestion::start(links_[link].state, settings, frame_lines);
  }
  congestion::Decision decide(std::uint16_t link, const congestion::Round& round) {
    return congestion::decide(links_[link].state, round);
  }
  /// Why the link is to be taken down after such a round; empty: it is not.
  std::string trips(std::uint16_t link, const congestion::Round& round) { return links_[link].breaker.look(round); }

  /// The link was taken down; it is tried again after a pause. Returns the pause in microseconds.
  std::uint64_t hold_down(std::uint16_t link, std::uint64_t now_us);
  /// The link is down for another reason, or gone.
  void forget(std::uint16_t link) { links_[link].down_until_us = 0; }
  bool holds_down(std::uint16_t link) const { return links_[link].down_until_us != 0; }
  /// Some link's pause may be over.
  bool due(std::uint64_t now_us) const { return now_us >= next_us_; }
  /// A link whose pause is over, which is forgotten; kNone: no other.
  static constexpr std::size_t kNone = ~std::size_t{0};
  std::size_t next_due(std::uint64_t now_us);
  std::uint64_t next_us() const { return next_us_; }

  congestion::Kind kind(std::uint16_t link) const { return links_[link].state.settings.kind; }
  std::uint32_t trips(std::uint16_t link) const { return links_[link].breaker.trips(); }

 private:
  struct Link {
    congestion::State state;
    congestion::Breaker breaker;
    std::uint64_t down_until_us = 0;  ///< 0: not held down
  };
  std::vector<Link> links_;
  std::uint64_t next_us_ = ~std::uint64_t{0};
};

}  // namespace slotwire::driver
