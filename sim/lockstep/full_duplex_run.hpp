// The run of full_duplex.hpp: one object with the card, its far ends and the host's processes. full_duplex.cpp begins
// and ends it and binds its slots; full_duplex_ports.cpp is what happens at the wire and at the host's port.
#pragma once
#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sim/card/card_driver.hpp"
#include "sim/lockstep/full_duplex.hpp"
#include "sim/lockstep/full_duplex_parts.hpp"
#include "sim/lockstep/program.hpp"

namespace slotwire::lockstep::duplex {

using pipeline::Pipeline;
using sim::SimCardDriver;

inline constexpr std::uint16_t kLinks = 2;         ///< 0: long frames, 1: frames of one line
inline constexpr std::uint16_t kHostileSlots = 2;  ///< the last ones: only ever bound by rows that are refused
inline constexpr unsigned kLongOrder = 10, kShortOrder = 8;
inline constexpr std::uint16_t kLongFrameLines = 22;  ///< of an Ethernet frame of 1500 bytes
inline constexpr std::uint32_t kRegionLines = 2048;   ///< of a ring's places
inline constexpr std::uint32_t kClocksPerUs = 250;
inline constexpr std::uint64_t kWarmUp = 5'000;  ///< clocks until both directions are full
/// A slot may wait for so many times the clocks in which something has to move: with stress others are fed for a while.
inline constexpr std::uint64_t kSlotPatience = 2, kStressedSlotPatience = 5;
inline constexpr std::uint64_t kPhaseClocks = 4'000;  ///< about so long is everything equally unkind
inline constexpr std::uint64_t kGuardClocks = 2'000;  ///< memory of a slot that was freed is not touched for so long
inline constexpr std::size_t kFewRequests = 6;        ///< that wait at the host's port when it is not to be full
inline constexpr std::size_t kManyRequests = 96;
inline constexpr std::uint32_t kManyReads = 150;
inline constexpr std::uint32_t kStormLines = 256;   ///< of each slot that are acknowledged one by one
inline constexpr std::uint64_t kStormWait = 2'500;  ///< clocks in which they come
inline constexpr std::uint32_t kGarbage = 0xdeadbeef;

class FullDuplex {
 public:
  explicit FullDuplex(const FullDuplexOptions& options) : options_(options), random_(options.seed ^ 0xd0b1e) {}

  FullDuplexResult run();

 private:
  void need(bool good) {
    if (!good) throw Failure{driver_->error()};
  }
  [[noreturn]] static void fail(const Life& life, const std::string& what) {
    throw Failure{"slot " + std::to_string(life.slot) + ", epoch " + std::to_string(life.epoch) + ": " + what};
  }
  std::uint32_t now_us() const { return static_cast<std::uint32_t>(core_->now() / kClocksPerUs); }
  sim::Line line_of(std::uint32_t fill, Position at) const {
    sim::Line line;
    fill_line(line.data(), fill, at);
    return line;
  }
  Life* live(const Asked& asked) {
    Slot& slot = slots_[asked.slot];
    return slot.stage == SlotStage::live && slot.life.epoch == asked.epoch ? &slot.life : nullptr;
  }
  void progress(Life& life) { life.last_progress = last_progress_ = core_->now(); }
  void something_moved() { last_progress_ = core_->now(); }

  void build();
  sim::SimStalls stalls() const;
  void tick();
  void hang();
  void new_phase();
  // The wire.
  void take_frames();
  void check_frame(std::uint16_t link, const pipeline::Header& header, std::span<const std::byte> lines);
  void far_processes();
  void feed();
  void make_storm();
  // The host.
  bool ask(Asked asked, std::uint32_t address);
  void ask_event();
  void answers();
  void answered(const Asked& asked, const sim::Line& line);
  void host_turn();
  void came(Life& life, Position out_tail);
  void released(Life& life, Position in_head);
  void ring(Life& life);
  void ring_bells();
  void read_lines();
  void hostile_turn();
  bool write_refused_row();
  void write_rows();
  // A line that slot memory refuses.
  void refuse();
  void stopped(const regs::SlotRow& row, Slot& slot);
  // Slots.
  void churn();
  void free_slot(Slot& slot);
  void bind(std::uint16_t slot);
  void begin(Slot& slot);
  void check_guards();
  void watch_progress();
  bool due() const;
  std::string what_is_due() const;

  void end();
  bool settled() const;
  void rest();
  void check_counters();
  void take_all_events();
  void break_memory();

  FullDuplexOptions options_;
  sim::Random random_;
  FullDuplexResult result_;
  std::unique_ptr<sim::SimCore> core_;
  std::unique_ptr<SimCardDriver> driver_;
  Watcher watcher_;
  std::vector<Slot> slots_;
  std::vector<bool> ever_refused_;  ///< slots of which memory refused a line at some time
  std::array<std::vector<regs::SlotRow>, kLinks> far_rows_;
  std::array<std::unique_ptr<Pipeline>, kLinks> far_;
  /// Every life that was, by slot and epoch: what is still on its way of it must be right.
  std::map<std::pair<std::uint16_t, std::uint16_t>, std::pair<std::uint32_t, unsigned>> fills_;
  struct Guard {
    std::uint32_t base = 0, lines = 0;
    std::uint64_t until = 0;
  };
  std::deque<Guard> guards_;
  std::deque<Asked> asked_;
  std::deque<Bytes> strays_in_, strays_out_, storm_;
  std::optional<std::uint16_t> only_link_;  ///< that is fed
  std::uint64_t held_until_ = 0;            ///< nothing comes in before, so that there is much to acknowledge
  Bytes frame_;
  std::uint64_t start_ = 0, next_churn_ = 0, next_phase_ = 0, next_check_ = 0, next_row_ = 0, next_refusal_ = 0,
                hostile_events_ = 0, popped_ = 0, refused_ = 0;
  std::uint64_t last_progress_ = 0;  ///< of anything
  /// OUT_TAIL of each life that ended so: no frame of it may acknowledge more, however late it is sent.
  std::map<std::pair<std::uint16_t, std::uint16_t>, Position> ends_;
  std::optional<std::uint16_t> refused_slot_;  ///< that memory refuses a line of; one at a time
  std::uint64_t refusals_ = 0;                 ///< that there were before it
  std::uint16_t turn_slot_ = 0, feed_link_ = 0, next_epoch_ = 1;
  bool storms_ = false, turn_head_ = false, closing_ = false, feeding_ = true, eager_ = false, takes_events_ = true,
       flag_seen_ = false, event_asked_ = false;
  unsigned feed_permille_ = 1000, stray_permille_ = 0, hostile_permille_ = 0;
};

}  // namespace slotwire::lockstep::duplex
