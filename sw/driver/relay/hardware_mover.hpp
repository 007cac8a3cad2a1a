// The mover of a card of metal or of a simulation: the card's pipeline moves the lines of its slots, and this copies
// lines and marks between the slots' memory, which processes map, and the card's slot memory and marks, over a host
// bus. A bus that shares slots (HostBus::share_slot) leads to a card that copies itself: it is handed the files of each
// slot, and this keeps out. A card that can writes output spaces into the pages that processes have mapped
// (host_output.hpp); then this copies input spaces alone.
//
// Positions are the same on both sides, so the marks are still the state: after a restart of the engine the card goes
// on and this takes up where the marks stand; after a reset of the card its slots are bound again at their marks.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "driver/bus/host_bus.hpp"
#include "driver/mover.hpp"
#include "driver/relay/card_neighbours.hpp"
#include "driver/relay/card_registers.hpp"
#include "driver/relay/host_output.hpp"
#include "driver/relay/line_allocator.hpp"
#include "driver/relay/slot_relay.hpp"

namespace slotwire::driver {

struct HardwareOptions {
  std::size_t links = 64;         ///< link numbers 0..links-1; the card may have fewer
  std::uint64_t incarnation = 0;  ///< names the life of the rows: memory that another life used is not trusted
  /// A card that goes away is waited for so many microseconds before its links move to software
  /// (CardListener::on_card_gone); 0: for ever.
  std::uint64_t give_up_us = 0;
  std::size_t frame_lines = 22;  ///< most lines in a frame that the network takes
  bool host_output = true;       ///< the card may write output spaces into memory of this host, where it can
};

/// Belongs to one thread.
class HardwareMover final : public Mover, private NeighbourListener {
 public:
  /// Between two tries to reach a card that went away, microseconds.
  static constexpr std::uint64_t kRetryUs = 500'000;
  /// The same when there is something that does not answer as the card did: doubles up to this.
  static constexpr std::uint64_t kMostRetryUs = 32'000'000;
  /// How long counters that were read from the card are good for, microseconds.
  static constexpr std::uint64_t kCountersUs = 100'000;

  /// Reaches the card over `bus`, which may be connected already. Throws std::runtime_error (what is wrong with the
  /// card, and what to do) or std::system_error.
  HardwareMover(const SlotTables& tables, const HardwareOptions& options, CardListener& listener,
                std::unique_ptr<HostBus> bus, std::unique_ptr<CardNeighbours> neighbours);

  const CardInfo& info() const { return info_; }
  /// The card is handed the files of slots, and serves their processes itself.
  bool serves_processes() const { return bus_->shares_slots(); }
  /// The descriptors of slots' files are needed for as long as the slots are open.
  bool needs_files() const { return serves_processes() || (host_.obstacle().empty() && bus_->maps_files()); }
  HostMemoryReport host_memory() const { return host_.report(); }
  /// Readable (epoll) when poll() has something to do. They stay the same.
  std::array<int, 2> descriptors() const { return {watch_.get(), neighbours_->fd()}; }

  void keep_output_on_card(std::uint16_t slot, std::string why) override { places_[slot].why = std::move(why); }
  std::optional<OutputPlace> output(std::uint16_t slot) const override;
  /// Finds a place for the slot's rings: the card's memory, that of the output space in memory of this host where that
  /// can be. A slot without an output space has none.
  void open(std::uint16_t slot, unsigned in_order, unsigned out_order) override;
  bool had(std::uint16_t slot) const override { return rows_[slot].in_base != 0; }
  void adopt(std::uint16_t slot, unsigned in_order, unsigned out_order) override;
  void close(std::uint16_t slot) override;
  void bind(std::uint16_t slot, const pipeline::Binding& binding) override;
  void recover(std::uint16_t slot) override;
  void unbind(std::uint16_t slot) override;
  void fault(std::uint16_t slot, regs::Fault cause) override;
  void look(std::span<const std::uint16_t> slots, std::uint64_t now_us) override;
  bool drained(std::uint16_t slot) const override;
  const regs::SlotRow& row(std::uint16_t slot) const override { return rows_[slot]; }
  const pipeline::SlotStats& stats(std::uint16_t slot) const override { return stats_[slot]; }
  void set_route(std::uint16_t link, const Route& route, const pipeline::LinkParameters& config) override;
  void clear_route(std::uint16_t link) override;
  bool link_up(std::uint16_t link) const override { return links_[link].up && reached_; }
  bool poll(std::uint64_t now_us) override;
  bool prepare_sleep() override;
  std::uint32_t timer_us(std::uint64_t now_us) const override;
  std::uint64_t counter(regs::Counter counter) const override;
  std::uint64_t counter(regs::CardCounter counter) const override;

 private:
  struct Place {
    bool placed = false;   ///< its rings have a place in the card's memory
    bool carried = false;  ///< bound on the card
    bool shared = false;   ///< the card has its files and moves its lines and marks itself
    unsigned in_order = 0, out_order = 0;
    std::uint32_t in_base = 0;
    std::uint32_t out_base = 0;  ///< regs::kRowBaseDma: the output space is in memory of this host
    bool came = false;           ///< it was there until the card went away: what the card delivered last is there
    std::string why;             ///< it is not there
  };
  struct Link {
    bool routed = false;
    bool up = false;  ///< the way to the neighbour is known
    pipeline::LinkParameters config;
  };

  // hardware_reach.cpp: the card comes and goes
  bool connect();
  bool watch_bus();
  void reach();
  void free_strangers();
  bool try_again();
  bool give_up();
  void lose();

  // hardware_mover.cpp
  void on_neighbour(std::uint16_t link, bool known, std::string_view why) override;
  const CardRegisters::Counters& counters() const;
  bool carried(std::uint16_t slot) const { return places_[slot].carried; }
  bool fits(std::uint16_t slot) const;
  void place(std::uint16_t slot, unsigned in_order, unsigned out_order);
  bool in_host(std::uint16_t slot) const { return places_[slot].out_base == regs::kRowBaseDma; }
  std::optional<std::uint32_t> place_output(std::uint16_t slot, unsigned out_order);
  void place_output_anew(std::uint16_t slot);
  void release_place(std::uint16_t slot);
  void write_row(std::uint16_t slot) { card_.write_row(slot, rows_[slot]); }
  void write_link(std::uint16_t link);
  bool share(std::uint16_t slot);
  void unshare(std::uint16_t slot);
  void see_pages(std::uint16_t slot);
  void ring(std::uint16_t slot, bool moved_only);
  void refuse_row(std::uint16_t slot);
  void free_on_card(std::uint16_t slot);
  bool same_pairing(std::uint16_t slot, const regs::SlotRow& on_it) const;
  bool take_marks(std::uint16_t slot);
  bool take_shown(std::uint16_t slot);
  void see_host(std::uint16_t slot);
  bool take_moved();
  bool drain_card();
  bool take_event(const CardRegisters::Event& event);
  void stopped(std::uint16_t slot, regs::Fault fault);
  bool tell_stopped();

  std::span<regs::SlotRow> rows_;
  std::span<SlotMapping> mappings_;
  HardwareOptions options_;
  CardListener& listener_;
  std::unique_ptr<HostBus> bus_;
  std::unique_ptr<CardNeighbours> neighbours_;
  mutable CardRegisters card_;  ///< reading counters changes nothing that can be seen
  SlotRelay relay_;
  HostOutput host_;
  CardInfo info_;
  std::unique_ptr<LineAllocator> lines_;
  std::vector<Place> places_;
  std::vector<Link> links_;
  std::vector<pipeline::SlotStats> stats_;
  slot::Fd watch_;       ///< an epoll that holds the bus, whose descriptor changes when the card comes back
  bool routed_ = false;  ///< a link ran on the card: it has its own address
  bool reached_ = false;
  bool given_up_ = false;               ///< all is in software from now on
  bool look_once_ = false;              ///< at what the card has to tell, interrupt or not
  std::vector<std::uint16_t> moved_;    ///< whose marks in host memory are to be looked at
  std::vector<std::uint16_t> stopped_;  ///< that the listener was not told of
  std::uint64_t now_us_ = 0;            ///< of the last poll
  std::uint64_t next_try_us_ = 0, retry_us_ = kRetryUs;
  std::uint64_t lost_at_us_ = 0;
  mutable CardRegisters::Counters counters_{};
  mutable std::uint64_t counters_at_us_ = 0;
};

}  // namespace slotwire::driver
