// Composes the card of a node: software, a card of metal or of a simulation beside it, workers.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/slot/waiter.hpp"
#include "driver/bus/host_bus.hpp"
#include "driver/card.hpp"
#include "driver/relay/card_neighbours.hpp"
#include "driver/sharded/shard_worker.hpp"
#include "driver/soft/soft_mover.hpp"

namespace slotwire::driver {

/// A card of metal or of a simulation.
struct HardwareParts {
  /// The way to it; may be connected already.
  std::unique_ptr<HostBus> bus;
  /// Who its links lead to, for routes OnCard, and its own address.
  std::unique_ptr<CardNeighbours> neighbours;
  /// Names the life of the rows: memory of a card that another life used is not trusted.
  std::uint64_t incarnation = 0;
  /// A card that goes away is waited for so many microseconds before its links move to software
  /// (CardListener::on_card_gone); 0: for ever.
  std::uint64_t give_up_us = 0;
  /// Most lines in a frame that the network takes; the card's own limit applies as well.
  std::size_t frame_lines = 22;
  /// A card that can may write output spaces into memory of this host.
  bool host_output = true;
};

/// What a card is made of.
struct CardComposition {
  /// Admin memory, one row a slot; outlives the card. Rows that are bound in it are taken up by adopt_slot() and
  /// recover().
  std::span<regs::SlotRow> rows;
  SoftMoverOptions soft;                  ///< of software, in each thread
  std::optional<HardwareParts> hardware;  ///< none: no link runs OnCard
  std::vector<WorkerPlace> workers;    ///< a thread for each, up to RoutedCard::kMaxWorkers; none: one thread does all
  std::size_t sessions = 1024;         ///< sessions are 0..sessions-1
  slot::WaitPolicy wait;               ///< of the workers, and of the engine's thread that waits for one
  std::uint64_t (*clock)() = nullptr;  ///< with workers: microseconds, the clock of Card::poll()
};

/// `listener` outlives the card. Up to Card::start() everything happens in the calling thread. Throws
/// std::runtime_error, saying what is wrong with the hardware and what to do; std::invalid_argument, for parts that do
/// not fit together; std::system_error, when descriptors cannot be had.
std::unique_ptr<Card> make_card(CardComposition parts, CardListener& listener);

}  // namespace slotwire::driver
