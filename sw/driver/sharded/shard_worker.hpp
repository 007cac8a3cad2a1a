// A mover with a thread of its own: it moves the lines of its slots, takes the bells in its words, runs what the card's
// thread hands it, and tells what happened. It waits for nobody.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/slot/waiter.hpp"
#include "driver/sharded/spread_links.hpp"
#include "driver/sharded/thread_bells.hpp"
#include "driver/soft/soft_mover.hpp"

namespace slotwire::driver {

/// What a worker is made of.
struct WorkerPlace {
  /// Of the links that are spread over the workers; used in the worker's thread only, outlives the worker.
  carriers::Carrier* carrier = nullptr;
  /// First thing in the worker's thread. May throw std::exception.
  std::function<void()> enter;
  std::string name;  ///< for people: "CPU 2"
};

/// What workers of a card have in common.
struct WorkerOptions {
  SoftMoverOptions soft;
  slot::WaitPolicy wait;               ///< of the workers, and of the card's thread that waits for one
  std::uint64_t (*clock)() = nullptr;  ///< microseconds, the clock of Card::poll()
};

/// The last that happened in a worker, as its thread wrote it: states, not a queue, so nothing can overflow. A number
/// in `slots` or `links` says that there is something new; what, is read in the worker's thread.
struct WorkerNews {
  WorkerNews(std::size_t slot_count, std::size_t link_count)
      : slots(slot_count), links(link_count), faults(slot_count, regs::Fault::none), link_states(link_count) {}

  NumberSet slots;                  ///< faulted, or drained after it was watched
  NumberSet links;                  ///< up, down or down for another reason
  std::vector<regs::Fault> faults;  ///< by slot; none: nothing to tell
  std::vector<WorkerLink> link_states;
};

/// row(), stats() and counter() are copies: a row is right but for its marks, which like stats() and counter() are as
/// of the last look(), fault or refresh().
class ShardWorker final : public Worker, private CardListener {
 public:
  /// How long a call waits for a thread that does not begin with what it is to do; it is lost then.
  static constexpr std::chrono::milliseconds kCallLimit{20'000};

  /// Thread `number` of a card with the inboxes `all`, to which the caller adds inbox(). Faults are told to `listener`
  /// and links to `links`, as worker `number - 1`, both in poll(); `copies` is a table by slot number. All outlive
  /// this.
  ShardWorker(WorkerPlace place, ThreadNumber number, const SlotTables& tables, std::span<SlotCopy> copies,
              const Inboxes& all, std::size_t sessions, const WorkerOptions& options, CardListener& listener,
              SpreadLinks& links);
  ~ShardWorker() override;
  ShardWorker(const ShardWorker&) = delete;
  ShardWorker& operator=(const ShardWorker&) = delete;

  /// What other threads leave for this one.
  Inbox& inbox() { return inbox_; }

  // --- the card's thread ---

  void start() override;
  void stop() noexcept override;
  void run(void (*invoke)(void*), void* what) override;
  WorkerReport report() override;

  void open(std::uint16_t slot, unsigned in_order, unsigned out_order) override;
  void close(std::uint16_t slot) override;
  void bind(std::uint16_t slot, const pipeline::Binding& binding) override;
  void recover(std::uint16_t slot) override;
  void unbind(std::uint16_t slot) override;
  void fault(std::uint16_t slot, regs::Fault cause) override;
  /// A slot that is not drained is watched: poll() has something to do once it is.
  void look(std::span<const std::uint16_t> slots, std::uint64_t now_us) override;
  bool drained(std::uint16_t slot) const override;
  const regs::SlotRow& row(std::uint16_t slot) const override { return copies_[slot].row; }
  const pipeline::SlotStats& stats(std::uint16_t slot) const override { return copies_[slot].stats; }
  void refresh(std::span<const std::uint16_t> slots) override;
  /// Over the worker's own carrier, whatever the route names.
  void set_route(std::uint16_t link, const Route& route, const pipeline::LinkParameters& config) override;
  void clear_route(std::uint16_t link) override;
  bool link_up(std::uint16_t link) const override { return links_.up(link); }
  std::optional<LinkFlowStatus> flow(std::uint16_t link) override {
    std::optional<LinkFlowStatus> status;
    in_thread([&] { status = soft_.flow(link); });
    return status;
  }
  void poll_always(carriers::Carrier& carrier) override;
  bool poll(std::uint64_t now_us) override;
  bool prepare_sleep() override { return true; }  // what comes is told through the inbox of the card's thread
  std::uint32_t timer_us(std::uint64_t /*now_us*/) const override { return pipeline::Pipeline::kNoTimer; }
  std::uint64_t counter(regs::Counter counter) const override { return counters_[static_cast<std::size_t>(counter)]; }
  void set_tap(FrameTap* tap) override;

  void lead(const SessionWords& words, std::size_t local, std::uint16_t slot, ThreadNumber where) override;
  void lead_nowhere(const SessionWords& words, std::size_t local, std::uint16_t slot) override;
  void remove_session(std::uint32_t session) override;
  void kicked(std::uint32_t session) override { inbox_.kicked(session); }

 private:
  struct Call {
    void (*invoke)(void*) = nullptr;
    void* what = nullptr;
    std::exception_ptr error;
  };
  struct Loop;

  // The card's thread.
  template <class F>
  void in_thread(F&& f) {
    run([](void* what) { (*static_cast<std::remove_reference_t<F>*>(what))(); }, &f);
  }
  template <class F>
  void at(std::uint16_t slot, F&& f);
  void check() const;
  void hand_over(Call& call);
  bool withdraw(Call& call) noexcept;
  bool take_news();

  // The worker's thread, or in_thread().
  void on_fault(std::uint16_t slot, regs::Fault fault) override;
  void on_link(std::uint16_t link, bool up, std::string_view reason) override;
  void copy(std::uint16_t slot);
  void watch(std::uint16_t slot);
  bool serve() noexcept;
  void see_drained();
  void thread_main() noexcept;
  void fail(const std::string& why) noexcept;

  // Of the card's thread.
  WorkerPlace place_;
  const ThreadNumber number_;
  const Inboxes& all_;
  slot::WaitPolicy wait_;
  std::uint64_t (*clock_)();
  CardListener& listener_;
  SpreadLinks& links_;
  std::vector<bool> open_;  ///< by slot
  std::size_t open_slots_ = 0;
  std::array<std::uint64_t, regs::kCounterCount> counters_{};

  // Of the worker's thread; of the card's where there is none.
  std::span<SlotCopy> copies_;  ///< the card's thread reads those of open slots between calls
  SoftMover soft_;
  ThreadBells bells_;
  std::vector<std::uint16_t> watched_;
  bool carrier_watched_ = false;  ///< the carrier's descriptor ends a sleep: not before somebody polls it

  // Of both.
  Inbox inbox_;
  WorkerNews news_;
  std::atomic<Call*> call_{nullptr};
  std::atomic<std::uint64_t> answered_{0};
  std::atomic<bool> caller_waits_{false}, stopping_{false}, failed_{false};
  std::atomic<std::uint64_t> sleeps_{0};
  slot::Fd answer_ = slot::create_event();
  std::string failure_;         ///< written before failed_
  std::exception_ptr entered_;  ///< what enter() threw
  std::thread thread_;
};

}  // namespace slotwire::driver
