// What a campaign has reached: a point for every branch of the rules of docs/protocol.md, seen from outside by what a
// step did to the row of its slot. The counters are points too.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/lockstep/implementation.hpp"

namespace slotwire::lockstep {

/// The right card before or after a step.
struct Snapshot {
  std::vector<regs::SlotRow> rows;
  std::array<std::uint64_t, regs::kCounterCount> counters{};
};

/// A step and what the right card did.
struct Deed {
  const Action& action;
  const Snapshot& before;
  const Snapshot& after;
  const std::vector<SentFrame>& sent;
  const std::vector<bool>& up;  ///< by link, after the step
  const std::vector<pipeline::LinkParameters>& figures;
  Microseconds now;  ///< after the step
};

/// The slot that a step is about, if it is about one that exists.
std::optional<std::uint16_t> slot_of(const Action& action, std::size_t slots);

class Coverage {
 public:
  Coverage();
  void step(const Deed& deed);
  /// Counters at the end of a program or before a reset of the card.
  void add_counters(const std::array<std::uint64_t, regs::kCounterCount>& counters,
                    const std::array<std::uint64_t, regs::kCardCounterCount>& card);
  void add(const Coverage& other);
  /// Names of points that were never reached. Counters of what no lockstep program provokes are left out.
  std::vector<std::string> missed() const;
  /// A table: steps by kind, counters, points.
  std::string report() const;
  std::uint64_t steps() const;
  std::size_t points() const { return points_.size(); }

 private:
  void hit(const char* name, bool reached);
  void slot_step(const Deed& deed, std::uint16_t slot);
  void frame(const FrameIn& f, const Deed& deed, std::uint16_t slot);
  void sends(const Deed& deed, std::uint16_t slot);
  void time_passed(const Deed& deed);
  void link_turned(const Deed& deed, std::uint16_t link, bool up);

  std::array<std::uint64_t, kActionKinds> by_kind_{};
  std::array<std::uint64_t, regs::kCounterCount> counters_{};
  std::array<std::uint64_t, regs::kCardCounterCount> card_counters_{};
  std::vector<std::pair<std::string, std::uint64_t>> points_;
};

}  // namespace slotwire::lockstep
