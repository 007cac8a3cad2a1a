// The soft card: slot memory in sealed memfds, doorbells as bells in shared pages, the pipeline in this thread, links
// over carriers.
#pragma once
#include <array>
#include <memory>
#include <vector>

#include "driver/card.hpp"
#include "driver/soft/bell_board.hpp"

namespace slotwire::driver {

/// Limits and periods of a soft card.
struct SoftCardOptions {
  std::size_t links = 64;           ///< link numbers 0..links-1
  std::uint32_t sweep_us = 500;     ///< between two sweeps over running timers
  std::size_t sweep_budget = 256;   ///< slots looked at in one sweep
  std::size_t receive_burst = 64;   ///< frames taken from one carrier in one poll
  std::size_t transmit_bursts = 4;  ///< bursts of kBurst frames sent in one poll
  std::uint64_t demote_us = 1000;   ///< a session whose bells are silent for this long must kick
};

class SoftCard : public Card, protected carriers::FrameSink {
 public:
  /// Frames handed to a carrier at once; a link whose carrier has less room is blocked until it has.
  static constexpr std::size_t kBurst = 64;

  /// `rows` is admin memory and must outlive the card; rows that are bound in it are taken up by adopt_slot() and
  /// recover().
  SoftCard(std::span<regs::SlotRow> rows, const SoftCardOptions& options, CardListener& listener);

  const Capabilities& capabilities() const override { return capabilities_; }
  void open_slot(std::uint16_t slot, unsigned in_order, unsigned out_order, bool with_output) override;
  void adopt_slot(std::uint16_t slot, unsigned in_order, unsigned out_order, SlotFiles files) override;
  const SlotFiles& files(std::uint16_t slot) const override { return slots_[slot].files; }
  void close_slot(std::uint16_t slot) override;
  void bind(std::uint16_t slot, const pipeline::Binding& binding) override;
  void recover(std::uint16_t slot) override;
  void unbind(std::uint16_t slot) override { pipeline_.unbind(slot); }
  void fault(std::uint16_t slot, regs::Fault cause) override { pipeline_.fault(slot, cause); }
  void look(std::uint16_t slot) override;
  bool drained(std::uint16_t slot) const override;
  const regs::SlotRow& row(std::uint16_t slot) const override { return pipeline_.row(slot); }
  const pipeline::SlotStats& stats(std::uint16_t slot) const override { return pipeline_.stats(slot); }
  void set_route(std::uint16_t link, carriers::Carrier& carrier, const pipeline::LinkParameters& config) override;
  void clear_route(std::uint16_t link) override;
  void poll_always(carriers::Carrier& carrier) override;
  bool link_up(std::uint16_t link) const override { return pipeline_.is_up(link); }
  void add_session(std::uint32_t session, slot::BellPage& bells, slot::PolledPage& polled, int kick) override {
    bells_.add(session, bells, polled, kick);
  }
  void remove_session(std::uint32_t session) override { bells_.remove(session); }
  void set_bell(std::uint32_t session, std::size_t local, std::uint32_t slot) override {
    bells_.set(session, local, slot);
  }
  void on_kick(std::uint32_t session) override { bells_.activate(session, now_us_); }
  bool poll(std::uint64_t now_us) override;
  bool prepare_sleep() override { return !pipeline_.ready() && bells_.prepare_sleep(); }
  std::uint32_t timer_us(std::uint64_t now_us) const override;
  std::uint64_t counter(regs::Counter counter) const override { return pipeline_.counter(counter); }
  void set_tap(FrameTap* tap) override { tap_ = tap; }

 protected:
  struct Slot {
    SlotFiles files;
    slot::Space own;              ///< A
    slot::Space other;            ///< B
    std::uint32_t signalled = 0;  ///< the WAIT that was answered last
  };
  void on_frame(std::uint16_t link, std::span<const std::byte> frame) override;
  void on_link(std::uint16_t link, bool up, std::string_view reason) override;
  /// Shows a frame that arrived to a capture.
  void show_frame(std::uint16_t link, std::span<const std::byte> frame) {
    if (tap_ != nullptr && frame.size() >= regs::kHeaderBytes) {
      tap_->on_frame(false, link, frame.first(regs::kHeaderBytes), frame.subspan(regs::kHeaderBytes));
    }
  }
  /// New files for a slot. Throws like open_slot().
  static SlotFiles make_files(std::uint16_t slot, unsigned in_order, unsigned out_order, bool with_output);
  /// Maps a slot's files. Throws like adopt_slot().
  static Slot make_slot(unsigned in_order, unsigned out_order, SlotFiles files);
  Slot& slot_at(std::uint16_t slot) { return slots_[slot]; }
  const Slot& slot_at(std::uint16_t slot) const { return slots_[slot]; }
  CardListener& listener() { return listener_; }
  BellBoard& bells() { return bells_; }
  bool has_carriers() const { return !carriers_.empty(); }
  std::uint64_t now_us() const { return now_us_; }
  /// The clock stands at `now_us` for what is called before the next poll().
  void advance(std::uint64_t now_us) { now_us_ = now_us; }
  /// Shows a slot's process its proxy marks, and wakes it if it sleeps for one that moved.
  static void show_marks(Slot& slot, std::uint32_t in_head, std::uint32_t out_tail);

 private:
  struct Route {
    carriers::Carrier* carrier = nullptr;
    bool blocked = false;
  };

  pipeline::SlotMemory memory_of(const Slot& slot) const;
  bool poll_carriers();
  bool transmit();
  bool publish();
  void report_events();
  void send_run(carriers::Carrier& carrier, std::span<const pipeline::TxFrame> frames);
  pipeline::Microseconds now() const { return static_cast<pipeline::Microseconds>(now_us_); }

  Capabilities capabilities_;
  SoftCardOptions options_;
  CardListener& listener_;
  pipeline::Pipeline pipeline_;
  BellBoard bells_;
  std::vector<Slot> slots_;
  std::vector<Route> routes_;
  std::vector<carriers::Carrier*> carriers_;  ///< each once
  carriers::Carrier* always_ = nullptr;       ///< in carriers_, whether a route has it or not
  std::size_t blocked_routes_ = 0;
  FrameTap* tap_ = nullptr;
  std::uint64_t now_us_ = 0;
  std::uint64_t next_sweep_us_ = 0;
  std::array<pipeline::TxFrame, kBurst> burst_{};
  std::array<pipeline::MarkUpdate, kBurst> moved_{};
};

}  // namespace slotwire::driver
