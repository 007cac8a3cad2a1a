// Who may have an accepted connection before it is proved whose it is: places for callers, which any stranger can take.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>

#include "core/carriers/socket.hpp"

namespace slotwire::gate {

/// Where a caller comes from, as its places are counted: an IPv4 address, or the /64 of an IPv6 address, which is what
/// one host has for itself.
using Source = std::array<std::uint8_t, 17>;
Source source_of(const carriers::Address& address);

/// Counts callers; no socket and no clock. A new caller always gets a place: where there is none the oldest one goes,
/// which a stranger that says nothing is sooner or later and a peer that says hello never is for long. Callers from the
/// addresses of peers have places of their own, so strangers cannot displace them.
class Admission {
 public:
  struct Limits {
    std::size_t callers = 1;     ///< from addresses that are no peer's
    std::size_t per_source = 1;  ///< from one source, whosever it is
  };
  struct Displaced {
    std::uint64_t caller = 0;
    bool of_source = false;  ///< for the limit of its own source
  };

  explicit Admission(Limits limits) : limits_(limits) {}

  /// Callers from there have places of their own, those that are here already included.
  void know(const carriers::Address& peer);
  /// `caller`: greater than that of every caller before. Returns who has to go for it, and has left already.
  std::optional<Displaced> admit(std::uint64_t caller, const carriers::Address& from);
  /// Does nothing when it is not there.
  void leave(std::uint64_t caller);
  std::size_t count() const { return sources_.size(); }
  std::size_t known() const { return known_.size(); }

 private:
  Limits limits_;
  std::set<Source> known_;
  std::map<std::uint64_t, Source> sources_;              ///< by caller
  std::map<Source, std::set<std::uint64_t>> of_source_;  ///< callers of each, oldest first
  std::set<std::uint64_t> strangers_;                    ///< oldest first
};

}  // namespace slotwire::gate
