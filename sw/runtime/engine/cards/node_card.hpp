// The card of a node: chosen and opened from the configuration, with what only its kind has.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "driver/card.hpp"
#include "driver/relay/relay_card.hpp"
#include "driver/sharded/sharded_card.hpp"
#include "runtime/engine/admin/admin.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/host/event_loop.hpp"
#include "runtime/engine/host/node_log.hpp"

namespace slotwire::engine {

/// What a card is opened with. All of it outlives the card.
struct CardParts {
  const Config& config;
  Admin& admin;
  EventLoop& loop;
  NodeLog& log;
  driver::CardListener& listener;
  std::vector<driver::ShardWorkerPlace> workers;  ///< threads that slots of links are divided among; may be none
};

/// One thread, the engine's. What the transports hold outlives it: its threads use their carriers.
class NodeCard {
 public:
  /// What was chosen, for people.
  struct Chosen {
    std::string kind, name, why;
  };

  /// Throws std::runtime_error with a text that says what to do.
  explicit NodeCard(CardParts parts);
  /// A card that was opened elsewhere, in software and without threads.
  explicit NodeCard(std::unique_ptr<driver::Card> card) : card_(std::move(card)) {}

  driver::Card& card() { return *card_; }
  const driver::Card& card() const { return *card_; }
  const Chosen& chosen() const { return chosen_; }
  /// The hardware stays away for good, and software carries its links.
  void replaced_by_software(std::string_view why);

  /// Lines in a frame of the hardware, at most; 0: the card is software.
  std::size_t hardware_lines() const { return relay_ == nullptr ? 0 : relay_->info().max_frame_lines; }

  // --- threads ---

  std::size_t workers() const { return shards_ == nullptr ? 0 : shards_->workers(); }
  /// Slots of the link belong to the workers from now on; before any of them is opened.
  void spread(std::uint16_t link) {
    if (shards_ != nullptr) shards_->spread(link);
  }
  void start_workers() {
    if (shards_ != nullptr) shards_->start();
  }
  /// Runs `f()` in the thread of the first worker, or here where there is none, and waits for it.
  template <class F>
  void run_on_first(F&& f) {
    if (shards_ == nullptr) return f();
    shards_->run_on(0, std::forward<F>(f));
  }
  /// Runs `f()` in the thread of a worker, 0..workers()-1, and waits for it.
  template <class F>
  void run_on(std::size_t worker, F&& f) {
    shards_->run_on(worker, std::forward<F>(f));
  }
  driver::WorkerReport report(std::size_t worker) { return shards_->report(worker); }

 private:
  void open_relay(const CardParts& parts, const driver::SoftCardOptions& options, std::unique_ptr<driver::HostBus> bus);
  void open_sharded(CardParts& parts, const driver::SoftCardOptions& options);

  Chosen chosen_;
  std::unique_ptr<driver::Card> card_;
  driver::ShardedCard* shards_ = nullptr;  ///< card_, where it has threads
  driver::RelayCard* relay_ = nullptr;     ///< card_, where there is hardware
};

}  // namespace slotwire::engine
