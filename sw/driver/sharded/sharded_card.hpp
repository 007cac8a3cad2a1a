// A soft card whose slots are sharded over threads. One shard, the home, belongs to the engine's thread and has the
// slots of links like any soft card's; each worker has a thread, a pipeline and a carrier (a pair of queues of a port)
// of its own, and the slots whose number it is modulo the number of workers, of links that are spread over them.
//
// No lock and no waiting between workers, and a worker never waits for the engine's thread. The engine's thread hands
// control calls to a worker and waits until it has run them.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "driver/sharded/shard_worker.hpp"

namespace slotwire::driver {

struct ShardedCardOptions {
  SoftCardOptions card;                ///< of each shard
  std::size_t sessions = 1024;         ///< sessions are 0..sessions-1
  slot::WaitPolicy wait;               ///< of the workers, and of the engine's thread that waits for one
  std::uint64_t (*clock)() = nullptr;  ///< microseconds, the clock of poll()
};

/// What a worker does and has, for people.
struct WorkerReport {
  std::string name;
  std::uint64_t sleeps = 0;
  std::size_t slots = 0;  ///< open
  std::array<std::uint64_t, regs::kCounterCount> counters{};
};

/// A capture that several threads use: its lock is taken for each frame, but only while a capture is on.
class LockedTap final : public FrameTap {
 public:
  void set(FrameTap* tap) {
    const std::lock_guard hold(mutex_);
    tap_ = tap;
  }
  void on_frame(bool outgoing, std::uint16_t link, std::span<const std::byte> header,
                std::span<const std::byte> payload) override {
    const std::lock_guard hold(mutex_);
    if (tap_ != nullptr) tap_->on_frame(outgoing, link, header, payload);
  }

 private:
  std::mutex mutex_;
  FrameTap* tap_ = nullptr;
};

/// Belongs to the engine's thread, as every card. row(), stats() and counter() of what workers have are copies: those
/// of a row are right but for its marks, which like stats() and counter() are as of the last look(), on_fault() or
/// refresh().
class ShardedCard final : public Card {
 public:
  static constexpr std::size_t kMaxWorkers = Shard::kNowhere - 1;

  /// As SoftCard; 1..kMaxWorkers workers. Up to start() everything happens in the calling thread.
  ShardedCard(std::span<regs::SlotRow> rows, const ShardedCardOptions& options, CardListener& listener,
              std::vector<ShardWorkerPlace> workers);
  ~ShardedCard() override;

  /// Begins the threads. Throws std::exception, of the first that cannot begin its work.
  void start();
  /// Slots of `link` belong to the workers from now on; before any of them is opened.
  void spread(std::uint16_t link);
  std::size_t workers() const { return workers_.size(); }
  /// Runs `f()` in the thread of a worker, 0..workers()-1, and waits for it. Throws what `f` throws.
  template <class F>
  void run_on(std::size_t worker, F&& f) {
    workers_[worker]->run(std::forward<F>(f));
  }
  /// Throws std::runtime_error when a worker has ended, as every call that needs one.
  WorkerReport report(std::size_t worker);
  /// Readable (epoll) when there is something to do for poll(); woken() empties it.
  int fd() const { return home_.wake_fd(); }
  void woken() { home_.woken(); }

  const Capabilities& capabilities() const override { return home_.capabilities(); }
  void prepare_slot(std::uint16_t slot, std::uint16_t link) override;
  void open_slot(std::uint16_t slot, unsigned in_order, unsigned out_order, bool with_output) override;
  void adopt_slot(std::uint16_t slot, unsigned in_order, unsigned out_order, SlotFiles files) override;
  const SlotFiles& files(std::uint16_t slot) const override;
  void close_slot(std::uint16_t slot) override;
  void bind(std::uint16_t slot, const pipeline::Binding& binding) override;
  void recover(std::uint16_t slot) override;
  void unbind(std::uint16_t slot) override;
  void fault(std::uint16_t slot, regs::Fault cause) override;
  void look(std::uint16_t slot) override;
  bool drained(std::uint16_t slot) const override;
  const regs::SlotRow& row(std::uint16_t slot) const override;
  const pipeline::SlotStats& stats(std::uint16_t slot) const override;
  void refresh(std::span<const std::uint16_t> slots) override;
  /// Of a link that is spread each worker's carrier takes the place of `carrier`.
  void set_route(std::uint16_t link, carriers::Carrier& carrier, const pipeline::LinkParameters& config) override;
  void clear_route(std::uint16_t link) override;
  /// Each worker's own, in the place of `carrier`.
  void poll_always(carriers::Carrier& carrier) override;
  /// Of a link that is spread: on all workers.
  bool link_up(std::uint16_t link) const override;
  void add_session(std::uint32_t session, slot::BellPage& bells, slot::PolledPage& polled, int kick) override;
  void remove_session(std::uint32_t session) override;
  bool takes_bell(std::uint32_t session, std::size_t local, std::uint16_t slot) const override;
  void set_bell(std::uint32_t session, std::size_t local, std::uint32_t slot) override;
  void on_kick(std::uint32_t session) override;
  bool poll(std::uint64_t now_us) override;
  bool prepare_sleep() override { return home_.prepare_sleep(); }
  std::uint32_t timer_us(std::uint64_t now_us) const override { return home_.timer_us(now_us); }
  std::uint64_t counter(regs::Counter counter) const override;
  void set_tap(FrameTap* tap) override;

 private:
  using Place = Shard::Place;
  static constexpr Place kHome = 0;

  struct Session {
    slot::BellPage* bells = nullptr;
    slot::PolledPage* polled = nullptr;
    int kick = -1;
    std::array<Place, regs::kBellWordCount> owner{};  ///< of each word; kNowhere: its bells lead nowhere
    std::array<std::uint8_t, regs::kBellWordCount> used{};
    std::vector<slot::BellWords> words;  ///< by shard
    std::vector<bool> known;             ///< by shard: it was told of the session
    std::vector<std::uint32_t> leads;    ///< slots by local index
  };
  /// What the engine knows of a link that is spread.
  struct SpreadLink {
    bool spread = false;
    bool told_up = false;
    std::string told_reason;
    std::vector<ShardNews::LinkState> on;  ///< by worker
    bool up() const;
  };
  struct Copy {
    regs::SlotRow row{};
    pipeline::SlotStats stats;
  };

  Place place_of(std::uint16_t slot) const { return places_[slot] == Shard::kNowhere ? kHome : places_[slot]; }
  bool at_home(std::uint16_t slot) const { return place_of(slot) == kHome; }
  ShardWorker& worker_of(std::uint16_t slot) { return *workers_[place_of(slot) - 1U]; }
  /// Runs f(shard) in the thread of shard `place`.
  template <class F>
  void on(Place place, F&& f);
  /// The same where the slot is, and copies what may have changed.
  template <class F>
  void at(std::uint16_t slot, F&& f);
  void copy(std::uint16_t slot, const Shard& shard);
  bool take_news(std::size_t worker);
  void take_link(std::uint16_t link, std::size_t worker, const ShardNews::LinkState& state);
  void tell_link(std::uint16_t link, bool up, const std::string& reason);

  CardListener& listener_;
  std::vector<Shard*> all_;  ///< by place
  Shard home_;
  std::vector<std::unique_ptr<ShardWorker>> workers_;
  std::vector<Place> places_;                                             ///< by slot; kNowhere: not open
  std::vector<Copy> copies_;                                              ///< by slot, of those of workers
  std::vector<std::array<std::uint64_t, regs::kCounterCount>> counters_;  ///< by worker
  std::vector<SpreadLink> links_;
  std::vector<Session> sessions_;
  LockedTap tap_;
};

}  // namespace slotwire::driver
