// The other end of a link while a program is made up: a software pipeline with processes that only count lines, and the
// frames on their way in both directions.
#pragma once
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "sim/lockstep/program.hpp"

namespace slotwire::lockstep {

/// How a process behaves.
struct Habits {
  std::uint32_t write_burst = 4;  ///< lines at most
  std::uint32_t read_burst = 4;
  unsigned read_permille = 500;  ///< a slow reader has few
};

class Peer {
 public:
  static constexpr std::size_t kSlots = 64;
  static constexpr std::size_t kMaxInFlight = 64;  ///< frames each way; the oldest are lost beyond

  Peer(std::uint16_t link, const pipeline::LinkParameters& figures, unsigned max_order, Microseconds now);

  /// Binds its slot as the counterpart of `bind`.
  void bind(const Bind& bind, std::uint32_t fill, const Habits& habits, Microseconds now);
  void unbind(std::uint16_t slot);
  bool bound(std::uint16_t slot) const {
    return rows_[slot].state == static_cast<std::uint8_t>(regs::SlotState::bound);
  }
  /// A free slot, if there is one.
  std::optional<std::uint16_t> free_slot(sim::Random& random) const;

  /// An Ethernet frame of the card sets out.
  void send(const Bytes& frame);
  /// Frames arrive, processes act, timers are looked at, frames set out.
  void turn(sim::Random& random, Microseconds now, unsigned loss_permille, unsigned disorder_permille);
  /// The link goes down or up at this end too.
  void set_up(bool up, Microseconds now);
  /// The next frame that reaches the card.
  std::optional<FrameIn> arrive(sim::Random& random, unsigned loss_permille, unsigned disorder_permille);
  bool has_frames() const { return !to_card_.empty(); }

 private:
  struct End {
    Position in_tail = 0, out_head = 0;
    std::uint32_t fill = 0;
    Habits habits;
  };

  std::uint16_t link_;
  std::vector<regs::SlotRow> rows_;
  std::vector<End> ends_;
  // Lines are made up again from their position where they are needed, so that one ring of each kind does for all.
  Bytes in_ring_, out_ring_;
  std::unique_ptr<pipeline::Pipeline> pipe_;
  std::deque<Bytes> from_card_;
  std::deque<FrameIn> to_card_;
};

}  // namespace slotwire::lockstep
