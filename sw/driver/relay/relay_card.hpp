// A card that the engine drives and relays for. Processes have the slots of a soft card; lines and marks of
// slots whose link the card carries are copied between these and the card's slot memory and marks, over a host bus. All
// other slots are a soft card's. So one node has links of both kinds, and a process cannot tell. A bus that shares
// slots (HostBus::share_slot) leads to a card that copies itself: the engine hands it the files of each slot and keeps
// out.
//
// Positions are the same on both sides, so the marks are still the state: after a restart of the engine the card goes
// on and the relay takes up where the marks stand; after a reset of the card its slots are bound again at their marks.
#pragma once
#include <memory>

#include "driver/bus/host_bus.hpp"
#include "driver/relay/card_port.hpp"
#include "driver/relay/line_allocator.hpp"
#include "driver/relay/slot_relay.hpp"
#include "driver/soft/soft_card.hpp"

namespace slotwire::driver {

/// What a card says of itself.
struct CardInfo {
  std::uint32_t slots = 0, links = 0, max_order = 0, memory_lines = 0, max_frame_lines = 0, vectors = 0;
  bool operator==(const CardInfo&) const = default;
};

class RelayCard final : public SoftCard {
 public:
  /// Between two tries to reach a card that went away.
  static constexpr std::uint64_t kRetryUs = 500'000;
  /// The same when there is something that does not answer as the card did: doubles up to this.
  static constexpr std::uint64_t kMostRetryUs = 32'000'000;
  /// How long counters that were read from the card are good for.
  static constexpr std::uint64_t kCountersUs = 100'000;
  /// Looks at the command register before a command counts as stuck.
  static constexpr int kCommandLooks = 1000;

  /// Reaches the card over `bus`, which may be connected already. `incarnation` names the life of the rows: memory of a
  /// card that another life used is not trusted. A card that goes away is waited for `give_up_us` (0: for ever) before
  /// its links move to software (CardListener::on_card_gone). Throws std::runtime_error (what is wrong with the card,
  /// and what to do).
  RelayCard(std::span<regs::SlotRow> rows, const SoftCardOptions& options, CardListener& listener,
            std::unique_ptr<HostBus> bus, std::uint64_t incarnation, std::uint64_t give_up_us = 0);

  const CardInfo& info() const { return info_; }
  /// Readable (epoll) when the card has something to tell.
  int fd() const { return watch_.get(); }

  const Capabilities& capabilities() const override { return capabilities_; }
  void open_slot(std::uint16_t slot, unsigned in_order, unsigned out_order, bool with_output) override;
  void adopt_slot(std::uint16_t slot, unsigned in_order, unsigned out_order, SlotFiles files) override;
  void close_slot(std::uint16_t slot) override;
  void bind(std::uint16_t slot, const pipeline::Binding& binding) override;
  void recover(std::uint16_t slot) override;
  void unbind(std::uint16_t slot) override;
  void fault(std::uint16_t slot, regs::Fault cause) override;
  void look(std::uint16_t slot) override;
  bool drained(std::uint16_t slot) const override;
  const pipeline::SlotStats& stats(std::uint16_t slot) const override;
  void set_route(std::uint16_t link, carriers::Carrier& carrier, const pipeline::LinkParameters& config) override;
  void clear_route(std::uint16_t link) override;
  bool link_up(std::uint16_t link) const override;
  bool poll(std::uint64_t now_us) override;
  bool prepare_sleep() override;
  std::uint32_t timer_us(std::uint64_t now_us) const override;
  std::uint64_t counter(regs::Counter counter) const override;

 private:
  struct Place {
    bool placed = false;   ///< its rings have a place in the card's memory
    bool carried = false;  ///< bound over a link of the card
    bool shared = false;   ///< the card has its files and moves its lines and marks itself
    unsigned in_order = 0, out_order = 0;
    std::uint32_t in_base = 0, out_base = 0;
  };
  struct CardLink {
    CardPort* port = nullptr;
    pipeline::LinkParameters config;
    bool up = false;
  };

  void on_link(std::uint16_t link, bool up, std::string_view reason) override;
  bool connect();
  bool watch_bus();
  void reach();
  void write_own();
  CardInfo read_info();
  bool try_again(std::uint64_t now_us);
  void free_strangers();
  std::string why() const;
  void lost_card();
  bool give_up(std::uint64_t now_us);
  void take_up(std::uint16_t link);
  bool carried(std::uint16_t slot) const { return places_[slot].carried; }
  bool on_card(std::uint16_t link) const { return link < links_.size() && links_[link].port != nullptr; }
  void place(std::uint16_t slot, unsigned in_order, unsigned out_order);
  void release_place(std::uint16_t slot);
  void write_row(std::uint16_t slot);
  void write_link(std::uint16_t link);
  bool command(regs::CardCommand what, std::uint16_t target, regs::Fault cause);
  bool share(std::uint16_t slot);
  void unshare(std::uint16_t slot);
  void see_pages(std::uint16_t slot);
  void ring(std::uint16_t slot, bool moved_only);
  void refuse_row(std::uint16_t slot);
  void free_on_card(std::uint16_t slot);
  bool read_row(std::uint16_t slot, regs::SlotRow& row);
  bool same_pairing(std::uint16_t slot, const regs::SlotRow& on_it) const;
  bool take_marks(std::uint16_t slot);
  bool drain_card();
  bool take_event(std::uint32_t event);
  void stopped(std::uint16_t slot, regs::Fault fault);
  bool tell_stopped();

  std::span<regs::SlotRow> rows_;
  Capabilities capabilities_;
  std::unique_ptr<HostBus> bus_;
  std::uint64_t incarnation_;
  CardInfo info_;
  std::unique_ptr<LineAllocator> lines_;
  std::vector<Place> places_;
  std::vector<CardLink> links_;
  std::vector<pipeline::SlotStats> stats_;
  CardPort* port_ = nullptr;
  slot::Fd watch_;  ///< an epoll that holds the bus, whose descriptor changes when the card comes back
  bool reached_ = false;
  bool given_up_ = false;               ///< all is in software from now on
  bool look_once_ = false;              ///< at what the card has to tell, interrupt or not
  bool stuck_ = false;                  ///< a command does not end
  std::vector<std::uint16_t> stopped_;  ///< that the listener was not told of
  std::uint64_t next_try_us_ = 0, retry_us_ = kRetryUs;
  std::uint64_t give_up_us_, lost_at_us_ = 0;
  SlotRelay relay_;
  mutable std::array<std::uint64_t, regs::kCounterCount> counters_{};
  mutable std::uint64_t counters_at_us_ = 0;
};

}  // namespace slotwire::driver
