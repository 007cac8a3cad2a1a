// A card: anything that holds slot memory and marks and runs a pipeline. The engine knows no other kind of proxy.
// make_card() (driver/router/make_card.hpp) composes one of what a node has.
//
// Thread rules: a card belongs to the engine's thread; all calls come from it, and so do those of the listener.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "core/carriers/carrier.hpp"
#include "core/carriers/socket.hpp"
#include "core/pipeline/pipeline.hpp"
#include "core/slot/bell.hpp"
#include "core/slot/memory.hpp"

namespace slotwire::driver {

/// What a card is and can do.
struct Capabilities {
  std::string kind;        ///< "soft": software alone; "relay": a card of metal or of a simulation, and software
  std::size_t slots = 0;   ///< slots that it has
  bool direct_map = true;  ///< processes may map slots and doorbells themselves; else the engine relays
};

/// The descriptors of one slot. As the engine keeps them: `own` and `other` may be mapped writable.
struct SlotFiles {
  slot::Fd own;    ///< space file A: process page and input ring
  slot::Fd other;  ///< space file B: proxy page and output ring; absent for a direct pair
  slot::Fd wake;   ///< event (core/slot/waiter.hpp) that wakes the process
};

/// What a card of metal or of a simulation says of itself, checked. Immutable while the card is used.
struct CardInfo {
  std::uint32_t slots = 0;            ///< 1..regs::kMaxSlots
  std::uint32_t links = 0;            ///< link numbers 0..links-1
  std::uint32_t max_order = 0;        ///< its largest ring has 2^max_order lines
  std::uint32_t memory_lines = 0;     ///< slot memory, lines of 64 bytes
  std::uint32_t max_frame_lines = 0;  ///< most lines in a frame
  std::uint32_t vectors = 0;          ///< interrupt vectors
  bool dma = false;                   ///< output rings and proxy marks can be in host memory
  bool operator==(const CardInfo&) const = default;
};

/// Output spaces that the card writes into memory of this host, where processes read them without the bus; for people.
struct HostMemoryReport {
  std::size_t slots = 0;    ///< that have one
  std::uint64_t bytes = 0;  ///< that the card was given
  std::string obstacle;     ///< why none can be there; empty: they can
};

/// Where the output space of one slot is.
struct OutputPlace {
  std::uint64_t mapped = 0;  ///< bytes of host memory that the card was given for it; 0: the space is on the card
  std::string_view why;      ///< it is on the card; good until the slot is closed
};

/// What a worker, a thread of a card, does and has; for people.
struct WorkerReport {
  std::string name;          ///< "CPU 2"
  std::uint64_t sleeps = 0;  ///< since its start
  std::size_t slots = 0;     ///< open
  std::array<std::uint64_t, regs::kCounterCount> counters{};
};

// How the frames of a link travel.

/// Over a carrier, which must outlive the link's route. Where the link is spread over workers, each worker's own
/// carrier takes its place.
struct OverCarrier {
  carriers::Carrier& carrier;
};
/// On the card of metal or of a simulation itself, to this neighbour: the IPv4 address and UDP port of the peer.
struct OnCard {
  carriers::Address neighbour;
};
using Route = std::variant<OverCarrier, OnCard>;

/// What a capture sees of each frame, when the frame leaves or arrives. A card with several threads calls it in each of
/// them, one at a time.
class FrameTap {
 public:
  virtual ~FrameTap() = default;
  virtual void on_frame(bool outgoing, std::uint16_t link, std::span<const std::byte> header,
                        std::span<const std::byte> payload) = 0;
};

/// What a card tells the engine; called from within Card::poll().
class CardListener {
 public:
  virtual ~CardListener() = default;
  /// The slot stopped: its process wrote marks that cannot be, or its peer's slot was faulted.
  virtual void on_fault(std::uint16_t slot, regs::Fault fault) = 0;
  virtual void on_link(std::uint16_t link, bool up, std::string_view reason) = 0;
  /// What Card::output() says of an open slot has changed. Also called from within other functions of the card than
  /// poll(); must not call back, but for output().
  virtual void on_output(std::uint16_t /*slot*/) {}
  /// A card of metal or of a simulation has been away for longer than the node waits for it. True: its links have other
  /// routes now (set_route() was called for each), and it will not be used again. False: nothing else carries them
  /// now; the card is waited for, and this is asked again.
  virtual bool on_card_gone(std::string_view /*why*/) { return false; }
};

/// A link under congestion control, for people.
struct LinkFlowStatus {
  pipeline::FlowReport flow;
  std::string_view algorithm;
  std::uint32_t trips = 0;  ///< how often the breaker took the link down
};

class Card {
 public:
  virtual ~Card() = default;
  virtual const Capabilities& capabilities() const = 0;

  // --- slot memory ---

  /// The slot is going to be opened, or adopted, for a pairing over `link`. Without this call: for one within the node.
  virtual void prepare_slot(std::uint16_t /*slot*/, std::uint16_t /*link*/) {}
  /// The output space of the slot that is going to be opened is not to be in host memory, because of `why`.
  virtual void keep_output_on_card(std::uint16_t /*slot*/, std::string /*why*/) {}
  /// Where the output space of an open slot is that a card of metal or of a simulation has; none: software has it.
  virtual std::optional<OutputPlace> output(std::uint16_t /*slot*/) const { return std::nullopt; }
  /// Of the card of metal or of a simulation; none: there is none.
  virtual std::optional<HostMemoryReport> host_memory() const { return std::nullopt; }
  /// Makes the memory of a slot: rings of 2^in_order and 2^out_order lines; no output space for a direct pair
  /// (`with_output` false). Throws std::system_error when memory or descriptors cannot be had.
  virtual void open_slot(std::uint16_t slot, unsigned in_order, unsigned out_order, bool with_output) = 0;
  /// Takes up memory that an earlier life of the engine made. Throws like open_slot, or std::invalid_argument.
  virtual void adopt_slot(std::uint16_t slot, unsigned in_order, unsigned out_order, SlotFiles files) = 0;
  /// The descriptors that the card has of the slot, valid until close_slot() or take_space_files(). Those of its spaces
  /// are to be kept and handed to processes; `wake` is there for as long as the slot is open.
  virtual const SlotFiles& files(std::uint16_t slot) const = 0;
  /// Gives the descriptors of the slot's spaces to the caller, so that an open slot costs this process one descriptor
  /// and not three: the card has the spaces mapped. None the second time. A card of metal or of a simulation that
  /// serves processes itself needs them, and gives duplicates each time. `wake` stays with the card. Throws
  /// std::system_error when a duplicate cannot be had.
  virtual SlotFiles take_space_files(std::uint16_t slot) = 0;
  /// Unpairs the slot and gives its memory back. What processes have mapped stays theirs until they unmap it.
  virtual void close_slot(std::uint16_t slot) = 0;
  /// Unpairs the slot and keeps its memory, mappings and `wake` for reuse_slot(), until close_slot(). False: nothing
  /// was done, since the memory cannot be used again.
  virtual bool make_spare(std::uint16_t /*slot*/) { return false; }
  /// Opens a spare slot again, as open_slot() does a new one: with empty rings and cleared marks in both pages. Lines
  /// of the last pairing lie behind the marks still. Throws std::runtime_error as open_slot(); the slot is spare then.
  virtual void reuse_slot(std::uint16_t /*slot*/, unsigned /*in_order*/, unsigned /*out_order*/) {}

  // --- pairing ---

  /// Pairs a slot that was just opened: its marks, in both pages too, are those of the binding.
  virtual void bind(std::uint16_t slot, const pipeline::Binding& binding) = 0;
  /// Takes up a bound row of admin memory from its marks.
  virtual void recover(std::uint16_t slot) = 0;
  virtual void unbind(std::uint16_t slot) = 0;
  virtual void fault(std::uint16_t slot, regs::Fault cause) = 0;
  /// Reads the process's marks now, whether its bell rang or not (at close, or before a slot is judged drained).
  virtual void look(std::uint16_t slot) = 0;
  /// Has everything that the process wrote been acknowledged.
  virtual bool drained(std::uint16_t slot) const = 0;
  virtual const regs::SlotRow& row(std::uint16_t slot) const = 0;
  virtual const pipeline::SlotStats& stats(std::uint16_t slot) const = 0;
  /// Brings row() and stats() of `slots`, and counter(), up to date where this thread is not the one that moves lines.
  virtual void refresh(std::span<const std::uint16_t> /*slots*/) {}

  // --- links ---

  /// Lets `link` run on `route`, in the place of the route that it had; the link starts down. Slots in software that
  /// are bound over a link that moves to the card of metal or of a simulation move there, too, at their marks; slots
  /// that such a card has stay with it, since nobody else knows what it took from the peer. Throws std::runtime_error
  /// or std::invalid_argument, saying what to do, when the link cannot run so: OnCard on a card without hardware, a
  /// link number or an address that the hardware cannot have.
  virtual void set_route(std::uint16_t link, const Route& route, const pipeline::LinkParameters& config) = 0;
  virtual void clear_route(std::uint16_t link) = 0;
  /// Divides the slots of `link` among the workers from now on; before any of them is opened or adopted. Without
  /// workers nothing changes.
  virtual void spread(std::uint16_t link) = 0;
  /// Polls `carrier` from now on, also while no link runs over it: it has other work. With workers: each polls its own
  /// carrier in the place of `carrier`.
  virtual void poll_always(carriers::Carrier& carrier) = 0;
  virtual bool link_up(std::uint16_t link) const = 0;
  /// What congestion control has of the link, over all workers; none: the link is not under congestion control here.
  virtual std::optional<LinkFlowStatus> flow(std::uint16_t /*link*/) { return std::nullopt; }

  // --- doorbells of sessions ---

  /// The session's bells from now on lead to the slots that set_bell() names.
  virtual void add_session(std::uint32_t session, slot::BellPage& bells, slot::PolledPage& polled, int kick) = 0;
  virtual void remove_session(std::uint32_t session) = 0;
  /// Whether bell `local` can lead to `slot` without a detour: of all that can be chosen, such a one is the best.
  virtual bool takes_bell(std::uint32_t /*session*/, std::size_t /*local*/, std::uint16_t /*slot*/) const {
    return true;
  }
  /// Bell `local` (0..4095) of the session belongs to `slot`; kNoSlot: to none.
  virtual void set_bell(std::uint32_t session, std::size_t local, std::uint32_t slot) = 0;
  static constexpr std::uint32_t kNoSlot = ~std::uint32_t{0};
  /// The session's kick descriptor is readable: poll its bells from now on.
  virtual void on_kick(std::uint32_t session) = 0;

  // --- running ---

  /// Begins the threads of the workers, if there are any. Throws std::exception, of the first that cannot begin its
  /// work. Up to here everything happens in the calling thread.
  virtual void start() {}
  /// Descriptors that become readable (epoll, level-triggered) when poll() has something to do, beside those of
  /// carriers and the sessions' kicks. They only wake the caller: poll() and prepare_sleep() empty them. They stay the
  /// same, and open, for as long as the card lives.
  virtual std::span<const int> descriptors() const = 0;
  /// Does what there is to do at `now_us` (the caller's clock, 64-bit microseconds). Returns whether there was
  /// anything.
  virtual bool poll(std::uint64_t now_us) = 0;
  /// The next poll() leaves the carriers out: their descriptors say that nothing came, or will say so before the caller
  /// sleeps. Saves a system call or more for each of them.
  virtual void skip_carriers() {}
  /// The caller is awake again after prepare_sleep(): processes whose bells were polled before need not kick.
  virtual void awake(std::uint64_t /*now_us*/) {}
  /// Asks processes to kick from now on. False: something came in between, poll again instead of sleeping.
  virtual bool prepare_sleep() = 0;
  /// Microseconds until poll() has a timer to serve; pipeline::Pipeline::kNoTimer: none is running.
  virtual std::uint32_t timer_us(std::uint64_t now_us) const = 0;

  // --- what it counts ---

  virtual std::uint64_t counter(regs::Counter counter) const = 0;
  /// What only the card of info() counts, since its reset; 0 without one.
  virtual std::uint64_t counter(regs::CardCounter counter) const = 0;
  /// Shows every frame that passes through this process to `tap` from now on; null: to nobody. Frames of a card of
  /// metal or of a simulation do not pass through here.
  virtual void set_tap(FrameTap* tap) = 0;
  /// The card of metal or of a simulation; null: there is none.
  virtual const CardInfo* info() const = 0;

  // --- workers: threads that move the slots of links that are spread ---

  virtual std::size_t workers() const = 0;
  /// Of worker 0..workers()-1. Throws std::runtime_error when the worker has ended or does not answer, as every call
  /// that needs it.
  virtual WorkerReport report(std::size_t worker) = 0;
  /// Runs `f()` in the thread of worker 0..workers()-1 and waits until it has run. Throws what `f` throws, else as
  /// report().
  template <class F>
  void run_on(std::size_t worker, F&& f) {
    run_on_worker(
        worker, [](void* what) { (*static_cast<std::remove_reference_t<F>*>(what))(); }, &f);
  }

 protected:
  virtual void run_on_worker(std::size_t worker, void (*invoke)(void*), void* what) = 0;
};

}  // namespace slotwire::driver
