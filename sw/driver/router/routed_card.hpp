// The card that the engine has: a router from slots and links to those who move their lines. It makes the memory of
// slots, gives each slot to a mover, and leads bells to the thread where the slot's lines move.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "driver/mover.hpp"
#include "driver/router/locked_tap.hpp"
#include "driver/router/session_bells.hpp"
#include "driver/sharded/spread_links.hpp"
#include "driver/sharded/thread_bells.hpp"

namespace slotwire::driver {

/// What all movers of a card share, and what outlives them. One object that does not move.
struct CardTables {
  /// `rows` is admin memory, and outlives this as `listener` does. Links are 0..links-1.
  CardTables(std::span<regs::SlotRow> rows, std::size_t links, std::size_t workers, CardListener& listener)
      : slots(rows.size()), slot_rows(rows), spread(links, workers, listener) {}
  SlotTables shared() { return {slot_rows, slots}; }

  std::vector<SlotMapping> slots;
  std::span<regs::SlotRow> slot_rows;
  SpreadLinks spread;
  std::vector<SlotCopy> copies;  ///< of what workers write; none without workers
  Inboxes inboxes{nullptr};      ///< by thread
  std::unique_ptr<Inbox> inbox;  ///< of the card's own thread; none without workers
};

/// What a routed card is made of. make_card() fills it in.
struct RoutedCardParts {
  Capabilities capabilities;
  std::optional<CardInfo> info;                   ///< of `hardware`
  std::unique_ptr<CardTables> tables;             ///< that the movers were made with
  std::unique_ptr<Mover> soft;                    ///< in the card's thread; moves what nobody else does
  std::unique_ptr<Mover> hardware;                ///< moves slots of links that are OnCard; null: there is none
  bool keep_files = false;                        ///< `hardware` needs the descriptors of slots that are open
  std::function<HostMemoryReport()> host_memory;  ///< of `hardware`
  std::vector<std::unique_ptr<Worker>> workers;   ///< move slots of links that are spread: slot modulo their number
  std::vector<int> descriptors;                   ///< that wake the card's thread, see Card::descriptors()
  std::size_t links = 0;                          ///< link numbers 0..links-1
  std::size_t sessions = 0;                       ///< sessions are 0..sessions-1
  std::uint64_t demote_us = 0;  ///< a session whose bells are silent for so many microseconds must kick
};

/// Belongs to the engine's thread, as every card. What workers have is seen as of the last call that concerned the
/// slot, the last fault or refresh().
class RoutedCard final : public Card {
 public:
  static constexpr std::size_t kMaxWorkers = kNoThread - 1;

  explicit RoutedCard(RoutedCardParts parts);
  ~RoutedCard() override;

  const Capabilities& capabilities() const override { return parts_.capabilities; }
  void prepare_slot(std::uint16_t slot, std::uint16_t link) override;
  void keep_output_on_card(std::uint16_t slot, std::string why) override;
  std::optional<OutputPlace> output(std::uint16_t slot) const override { return mover_of(slot).output(slot); }
  std::optional<HostMemoryReport> host_memory() const override;
  void open_slot(std::uint16_t slot, unsigned in_order, unsigned out_order, bool with_output) override;
  void adopt_slot(std::uint16_t slot, unsigned in_order, unsigned out_order, SlotFiles files) override;
  const SlotFiles& files(std::uint16_t slot) const override { return tables_.slots[slot].files; }
  SlotFiles take_space_files(std::uint16_t slot) override;
  void close_slot(std::uint16_t slot) override;
  bool make_spare(std::uint16_t slot) override;
  void reuse_slot(std::uint16_t slot, unsigned in_order, unsigned out_order) override;
  void bind(std::uint16_t slot, const pipeline::Binding& binding) override;
  void recover(std::uint16_t slot) override { mover_of(slot).recover(slot); }
  void unbind(std::uint16_t slot) override { mover_of(slot).unbind(slot); }
  void fault(std::uint16_t slot, regs::Fault cause) override { mover_of(slot).fault(slot, cause); }
  void look(std::uint16_t slot) override { mover_of(slot).look(std::span(&slot, 1), now_us_); }
  bool drained(std::uint16_t slot) const override { return mover_of(slot).drained(slot); }
  const regs::SlotRow& row(std::uint16_t slot) const override { return mover_of(slot).row(slot); }
  const pipeline::SlotStats& stats(std::uint16_t slot) const override { return mover_of(slot).stats(slot); }
  void refresh(std::span<const std::uint16_t> slots) override;

  void set_route(std::uint16_t link, const Route& route, const pipeline::LinkParameters& config) override;
  void clear_route(std::uint16_t link) override;
  void spread(std::uint16_t link) override;
  void poll_always(carriers::Carrier& carrier) override;
  bool link_up(std::uint16_t link) const override;
  std::optional<LinkFlowStatus> flow(std::uint16_t link) override;

  void add_session(std::uint32_t session, slot::BellPage& bells, slot::PolledPage& polled, int kick) override {
    bells_.add_session(session, bells, polled, kick);
  }
  void remove_session(std::uint32_t session) override { bells_.remove_session(session); }
  bool takes_bell(std::uint32_t session, std::size_t local, std::uint16_t slot) const override {
    return bells_.takes_bell(session, local, thread_of(slot));
  }
  void set_bell(std::uint32_t session, std::size_t local, std::uint32_t slot) override;
  void on_kick(std::uint32_t session) override { bells_.on_kick(session); }

  void start() override;
  std::span<const int> descriptors() const override { return parts_.descriptors; }
  bool poll(std::uint64_t now_us) override;
  void skip_carriers() override { parts_.soft->skip_carriers(); }
  void awake(std::uint64_t now_us) override { home_bells_.awake(now_us); }
  bool prepare_sleep() override;
  std::uint32_t timer_us(std::uint64_t now_us) const override;

  std::uint64_t counter(regs::Counter counter) const override;
  std::uint64_t counter(regs::CardCounter counter) const override;
  void set_tap(FrameTap* tap) override;
  const CardInfo* info() const override { return parts_.info ? &*parts_.info : nullptr; }
  std::size_t workers() const override { return parts_.workers.size(); }
  WorkerReport report(std::size_t worker) override { return parts_.workers[worker]->report(); }

 private:
  using MoverNumber = std::uint8_t;
  static constexpr MoverNumber kSoft = 0, kNoMover = 255;

  void run_on_worker(std::size_t worker, void (*invoke)(void*), void* what) override {
    parts_.workers[worker]->run(invoke, what);
  }
  std::vector<BellTaker*> takers();
  MoverNumber number_for(std::uint16_t slot, std::uint16_t link) const;
  Mover& mover_of(std::uint16_t slot) const;
  ThreadNumber thread_of(std::uint16_t slot) const;
  void give(std::uint16_t slot, MoverNumber to);
  void move(std::uint16_t slot, MoverNumber to, unsigned in_order, unsigned out_order);
  /// Pairs a slot whose pages hold the marks already.
  void bind_at_marks(std::uint16_t slot, const pipeline::Binding& binding);
  void take_up(std::uint16_t link);
  void look_at_home(std::span<const std::uint16_t> slots);

  RoutedCardParts parts_;
  CardTables& tables_;
  std::vector<Mover*> movers_;            ///< soft, hardware if there is one, workers
  MoverNumber hardware_ = kNoMover;       ///< in movers_
  MoverNumber first_worker_ = kNoMover;   ///< in movers_
  std::vector<MoverNumber> slot_movers_;  ///< by slot; kNoMover: nobody was chosen
  std::vector<MoverNumber> link_movers_;  ///< by link; of a link that is spread its first worker
  ThreadBells home_bells_;
  SessionBells bells_;
  LockedTap tap_;
  std::uint64_t now_us_ = 0;
};

}  // namespace slotwire::driver
