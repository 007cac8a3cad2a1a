// The mover in software: the pipeline, and the carriers of its links, in one thread.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "driver/mover.hpp"
#include "driver/soft/link_control.hpp"

namespace slotwire::driver {

/// Limits and periods of a soft mover, and of the bells in its thread.
struct SoftMoverOptions {
  std::size_t links = 64;           ///< link numbers 0..links-1
  std::uint32_t sweep_us = 500;     ///< between two sweeps over running timers
  std::size_t sweep_budget = 256;   ///< slots looked at in one sweep
  std::size_t receive_burst = 64;   ///< frames taken from one carrier in one poll
  std::size_t transmit_bursts = 4;  ///< bursts of kBurst frames sent in one poll
  /// The clock of poll(), read again when a frame answers one that was timed; null: the time of poll() is good enough.
  std::uint64_t (*clock)() = nullptr;
  std::uint64_t demote_us = 1000;  ///< a session whose bells are silent for this long must kick
};

/// Belongs to one thread, and so do the calls of its listener.
class SoftMover final : public Mover, private carriers::FrameSink {
 public:
  /// Frames handed to a carrier at once; a link whose carrier has less room is blocked until it has.
  static constexpr std::size_t kBurst = 64;

  /// Which slots frames may name: all of the tables, as nobody else moves any of them at the same time, or those that
  /// are open here, as other threads write the rows of others.
  enum class Frames : std::uint8_t { of_any_slot, of_open_slots };

  SoftMover(const SlotTables& tables, const SoftMoverOptions& options, CardListener& listener,
            Frames frames = Frames::of_any_slot);

  void open(std::uint16_t slot, unsigned in_order, unsigned out_order) override;
  void close(std::uint16_t slot) override;
  void bind(std::uint16_t slot, const pipeline::Binding& binding) override;
  void recover(std::uint16_t slot) override;
  void unbind(std::uint16_t slot) override { pipeline_.unbind(slot); }
  void fault(std::uint16_t slot, regs::Fault cause) override { pipeline_.fault(slot, cause); }
  void look(std::span<const std::uint16_t> slots, std::uint64_t now_us) override;
  bool drained(std::uint16_t slot) const override;
  const regs::SlotRow& row(std::uint16_t slot) const override { return pipeline_.row(slot); }
  const pipeline::SlotStats& stats(std::uint16_t slot) const override { return pipeline_.stats(slot); }
  /// Throws std::invalid_argument for a route that is not over a carrier, and as Pipeline::set_link().
  void set_route(std::uint16_t link, const Route& route, const pipeline::LinkParameters& config) override;
  void clear_route(std::uint16_t link) override;
  bool link_up(std::uint16_t link) const override { return pipeline_.is_up(link); }
  std::optional<LinkFlowStatus> flow(std::uint16_t link) override;
  void poll_always(carriers::Carrier& carrier) override;
  bool poll(std::uint64_t now_us) override;
  void skip_carriers() override { skip_carriers_ = true; }
  bool prepare_sleep() override { return !pipeline_.ready(); }
  std::uint32_t timer_us(std::uint64_t now_us) const override;
  /// Those of the pipeline; frames for slots that are not open here are among `drop_unbound`.
  std::uint64_t counter(regs::Counter counter) const override;
  void set_tap(FrameTap* tap) override { tap_ = tap; }

  /// Polls any carrier: a link has a route, or poll_always() named one.
  bool has_carriers() const { return !carriers_.empty(); }
  /// The clock stands at `now_us` for what is called before the next poll().
  void advance(std::uint64_t now_us) { now_us_ = now_us; }
  std::uint64_t now_us() const { return now_us_; }

 private:
  struct LinkRoute {
    carriers::Carrier* carrier = nullptr;
    bool blocked = false;
    pipeline::LinkParameters wanted;  ///< as set_route() was told, before they are fitted to the carrier
    pipeline::LinkParameters fitted;
  };

  bool on_frame(std::uint16_t link, std::span<const std::byte> frame) override;
  void on_link(std::uint16_t link, bool up, std::string_view reason) override;
  void on_marked(std::uint16_t link, std::uint32_t frames) override { pipeline_.on_marked(link, frames); }
  void unblock(std::uint16_t link);
  void bring_up(std::uint16_t link);
  void decide();
  void take_down(std::uint16_t link, const std::string& why);
  void try_again();
  void fit(std::uint16_t link);
  void look_at(std::uint16_t slot);
  pipeline::SlotMemory memory_of(std::uint16_t slot) const;
  bool poll_carriers();
  bool transmit();
  bool publish();
  void report_events();
  void send_run(carriers::Carrier& carrier, std::span<const pipeline::TxFrame> frames);
  pipeline::Microseconds now() const { return static_cast<pipeline::Microseconds>(now_us_); }

  SoftMoverOptions options_;
  CardListener& listener_;
  std::span<SlotMapping> mappings_;
  pipeline::Pipeline pipeline_;
  std::vector<bool> open_;  ///< by slot; empty: frames may name any slot
  std::uint64_t strange_frames_ = 0;
  std::vector<LinkRoute> routes_;
  LinkControl control_;
  std::vector<carriers::Carrier*> carriers_;  ///< each once
  carriers::Carrier* always_ = nullptr;       ///< in carriers_, whether a route has it or not
  std::size_t blocked_routes_ = 0;
  FrameTap* tap_ = nullptr;
  bool skip_carriers_ = false;  ///< at the next poll
  std::uint64_t now_us_ = 0;
  std::uint64_t next_sweep_us_ = 0;
  std::array<pipeline::TxFrame, kBurst> burst_{};
  std::array<pipeline::MarkUpdate, kBurst> moved_{};
};

}  // namespace slotwire::driver
