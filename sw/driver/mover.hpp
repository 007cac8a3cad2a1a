// A mover: whoever moves a slot's lines between its memory and its link. A card has one or several: the software
// pipeline in the caller's thread, the same in threads of their own, a card of metal or of a simulation. The router
// (driver/router/) gives each slot to one of them.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/slot/publish.hpp"
#include "driver/card.hpp"

namespace slotwire::driver {

/// Memory of one open slot. Entries of different slots share no cache line: movers in different threads write theirs.
struct alignas(64) SlotMapping {
  SlotFiles files;
  slot::Space own;              ///< space file A; invalid: the slot is not open
  slot::Space other;            ///< space file B; invalid for a direct pair
  std::uint32_t signalled = 0;  ///< the WAIT of the process that was answered last; its mover's

  /// Shows the process its proxy marks, and wakes it if it sleeps for one that moved. The slot must have both spaces.
  void show_marks(std::uint32_t in_head, std::uint32_t out_tail) {
    slot::publish_marks(other.marks(), own.marks(), files.wake.get(), signalled, in_head, out_tail);
  }
  /// The same for marks that somebody else stored in the proxy page: `moved` of them (slot::kWait*) since the last
  /// call.
  void wake_for(std::uint32_t moved, std::uint32_t out_tail) {
    slot::wake_for_marks(own.marks(), files.wake.get(), signalled, moved, out_tail);
  }
};

/// Tables by slot number that all movers of a card share. They outlive the movers. Between open() and close() the
/// entries of a slot belong to its mover, and nobody else writes them; `mappings[slot].files` do not change meanwhile
/// and anybody may read them.
struct SlotTables {
  std::span<regs::SlotRow> rows;  ///< admin memory
  std::span<SlotMapping> mappings;
};

/// Copies of what a worker's thread writes, for the card's thread: by slot number, one table for all workers.
struct SlotCopy {
  regs::SlotRow row{};
  pipeline::SlotStats stats;
};

/// Thread rules: all calls come from the card's thread, and so do those of the CardListener that the mover was made
/// with, from within poll().
class Mover {
 public:
  virtual ~Mover() = default;

  // --- slots ---

  /// As of Card.
  virtual void keep_output_on_card(std::uint16_t /*slot*/, std::string /*why*/) {}
  virtual std::optional<OutputPlace> output(std::uint16_t /*slot*/) const { return std::nullopt; }

  /// The slot, whose mapping is complete and whose rings have 2^in_order and 2^out_order lines, is this mover's from
  /// now on. Throws std::runtime_error, saying what to do, when it has no place for the slot; then the slot is not its.
  virtual void open(std::uint16_t slot, unsigned in_order, unsigned out_order) = 0;
  /// The row says that an earlier life of the engine gave the slot to this mover, and the mover may still have it.
  virtual bool had(std::uint16_t /*slot*/) const { return false; }
  /// As open(), of a slot of an earlier life of the engine. Everything in its row is checked: throws
  /// std::invalid_argument when the row does not fit the mover.
  virtual void adopt(std::uint16_t slot, unsigned in_order, unsigned out_order) { open(slot, in_order, out_order); }
  /// Unbinds the slot. When it returns, the mover uses the slot's entries no more.
  virtual void close(std::uint16_t slot) = 0;

  virtual void bind(std::uint16_t slot, const pipeline::Binding& binding) = 0;
  /// Takes up a bound row of admin memory from its marks.
  virtual void recover(std::uint16_t slot) = 0;
  /// Also for a slot that is not open, whose row remained: clears the row.
  virtual void unbind(std::uint16_t slot) = 0;
  virtual void fault(std::uint16_t slot, regs::Fault cause) = 0;
  /// Reads the process's marks of each slot, at `now_us` as of poll(). All of `slots` are this mover's.
  virtual void look(std::span<const std::uint16_t> slots, std::uint64_t now_us) = 0;
  /// Everything that the process wrote has been acknowledged.
  virtual bool drained(std::uint16_t slot) const = 0;
  virtual const regs::SlotRow& row(std::uint16_t slot) const = 0;
  virtual const pipeline::SlotStats& stats(std::uint16_t slot) const = 0;
  /// Brings row() and stats() of those of `slots` that are this mover's, and counter(), up to date.
  virtual void refresh(std::span<const std::uint16_t> /*slots*/) {}

  // --- links ---

  /// Replaces the route that the link had with this mover. Throws std::runtime_error, saying what to do, when the mover
  /// cannot carry the link on such a route.
  virtual void set_route(std::uint16_t link, const Route& route, const pipeline::LinkParameters& config) = 0;
  /// Clearing the route of a link that has none is not an error.
  virtual void clear_route(std::uint16_t link) = 0;
  virtual bool link_up(std::uint16_t link) const = 0;
  /// What congestion control has of the link; none: the mover does not control it.
  virtual std::optional<LinkFlowStatus> flow(std::uint16_t /*link*/) { return std::nullopt; }
  /// As Card::poll_always(). A mover without carriers has nothing to poll.
  virtual void poll_always(carriers::Carrier& /*carrier*/) {}

  // --- running ---

  /// As of Card. poll() calls the listener.
  virtual bool poll(std::uint64_t now_us) = 0;
  /// As of Card.
  virtual void skip_carriers() {}
  /// False: there is something to do at once. True: what comes from now on makes one of the descriptors readable that
  /// wake the caller's thread.
  virtual bool prepare_sleep() = 0;
  virtual std::uint32_t timer_us(std::uint64_t now_us) const = 0;

  // --- what it counts ---

  virtual std::uint64_t counter(regs::Counter counter) const = 0;
  /// What only a card of metal or of a simulation counts, since its reset; 0 without one.
  virtual std::uint64_t counter(regs::CardCounter /*counter*/) const { return 0; }
  /// A mover whose frames do not pass through this process shows none.
  virtual void set_tap(FrameTap* /*tap*/) {}
};

/// A number of one of the threads that take bells: 0, kHomeThread, is the card's own, the others are workers'.
using ThreadNumber = std::uint8_t;
inline constexpr ThreadNumber kHomeThread = 0;
inline constexpr ThreadNumber kNoThread = 255;

/// The bells of a session that belong to one thread.
struct SessionWords {
  std::uint32_t session = 0;
  slot::BellPage* bells = nullptr;
  slot::PolledPage* polled = nullptr;
  slot::BellWords words = 0;  ///< those of the thread; it alone takes their bells and sets their bits in `polled`
};

/// A thread that takes bells, seen from the card's thread.
class BellTaker {
 public:
  virtual ~BellTaker() = default;
  /// `words` are the thread's from now on, and no others of the session; bell `local`, in one of them, leads to `slot`,
  /// whose lines move in thread `where`. The session is added when it is not known.
  virtual void lead(const SessionWords& words, std::size_t local, std::uint16_t slot, ThreadNumber where) = 0;
  /// Bell `local`, which led to `slot`, leads nowhere any more; `words` are the thread's from now on, and no others.
  virtual void lead_nowhere(const SessionWords& words, std::size_t local, std::uint16_t slot) = 0;
  virtual void remove_session(std::uint32_t session) = 0;
  /// The session kicked, for a bell in a word of this thread: polls its bells from now on.
  virtual void kicked(std::uint32_t session) = 0;
};

/// A mover with a thread of its own, and a carrier of its own for the links that are spread over workers.
class Worker : public Mover, public BellTaker {
 public:
  /// Begins the thread. Throws std::exception when it cannot begin its work. Up to here everything happens in the
  /// calling thread.
  virtual void start() = 0;
  /// Ends the thread. Then, as before start(), everything happens in the calling thread.
  virtual void stop() noexcept = 0;
  /// Runs invoke(what) in the thread and waits for it. Throws what it throws, and std::runtime_error when the thread
  /// has ended or does not answer.
  virtual void run(void (*invoke)(void*), void* what) = 0;
  /// Throws as run().
  virtual WorkerReport report() = 0;
};

}  // namespace slotwire::driver
