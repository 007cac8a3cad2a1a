// Links that are spread over workers: one link for the engine, though each worker has its own state of it.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "driver/card.hpp"

namespace slotwire::driver {

/// A link as one worker sees it.
struct WorkerLink {
  bool up = false;
  std::uint32_t changes = 0;  ///< since the link has its carrier; 0: nothing was told yet
  std::string reason;         ///< of `up`
  std::string down_reason;    ///< why it went down last
};

/// Belongs to the card's thread.
class SpreadLinks {
 public:
  /// Links 0..links-1, each spread over `workers` workers or none. `listener` outlives this.
  SpreadLinks(std::size_t links, std::size_t workers, CardListener& listener)
      : links_(links), workers_(workers), listener_(listener) {}

  void spread(std::uint16_t link);
  bool is_spread(std::uint16_t link) const { return link < links_.size() && !links_[link].on.empty(); }
  /// The link lost its carrier: it is down with every worker, and the listener is not told.
  void clear(std::uint16_t link);
  /// Up with every worker.
  bool up(std::uint16_t link) const { return links_[link].up(); }
  /// A worker's link has a new state. The listener is told what holds for all workers; states in between that nobody
  /// saw are left out, but not that the link was down in between.
  void take(std::uint16_t link, std::size_t worker, const WorkerLink& state);

 private:
  struct Link {
    bool told_up = false;
    std::string told_reason;
    std::vector<WorkerLink> on;  ///< by worker; empty: not spread
    bool up() const;
  };
  void tell(std::uint16_t link, bool up, const std::string& reason);

  std::vector<Link> links_;
  std::size_t workers_;
  CardListener& listener_;
};

}  // namespace slotwire::driver
