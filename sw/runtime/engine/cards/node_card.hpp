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
#include "driver/router/make_card.hpp"
#include "runtime/engine/admin/admin.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/host/event_loop.hpp"
#include "runtime/engine/host/node_log.hpp"

namespace slotwire::engine {

/// Bytes of a frame on the wire that are no lines: Ethernet, IPv4, UDP and link header, less the 14 that the MTU does
/// not count.
inline constexpr std::size_t kHeaderBytesInMtu = 50;
/// Lines of the largest frame whose IP packet has `mtu` bytes.
constexpr std::size_t lines_in_mtu(std::size_t mtu) {
  return (mtu - kHeaderBytesInMtu) / regs::kLineBytes;
}

/// What a card is opened with. All of it outlives the card.
struct CardParts {
  const Config& config;
  Admin& admin;
  EventLoop& loop;
  NodeLog& log;
  driver::CardListener& listener;
  std::vector<driver::WorkerPlace> workers;  ///< threads that slots of links are divided among; may be none
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
  std::size_t hardware_lines() const { return card_->info() == nullptr ? 0 : card_->info()->max_frame_lines; }

  // --- threads ---

  std::size_t workers() const { return card_->workers(); }
  /// Slots of the link belong to the workers from now on; before any of them is opened.
  void spread(std::uint16_t link) { card_->spread(link); }
  void start_workers() { card_->start(); }
  /// Runs `f()` in the thread of the first worker, or here where there is none, and waits for it.
  template <class F>
  void run_on_first(F&& f) {
    if (workers() == 0) return f();
    card_->run_on(0, f);
  }
  /// Runs `f()` in the thread of a worker, 0..workers()-1, and waits for it.
  template <class F>
  void run_on(std::size_t worker, F&& f) {
    card_->run_on(worker, f);
  }
  driver::WorkerReport report(std::size_t worker) { return card_->report(worker); }

 private:
  void log_hardware(NodeLog& log) const;

  Chosen chosen_;
  std::unique_ptr<driver::Card> card_;
};

}  // namespace slotwire::engine
