// A thread with a shard: it moves the lines of the shard's slots, runs what the engine's thread hands it, and tells
// what happened. It waits for nobody.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "driver/sharded/shard.hpp"

namespace slotwire::driver {

/// What a worker is made of.
struct ShardWorkerPlace {
  /// Of the links that are spread over the workers; used in the worker's thread only, outlives the worker.
  carriers::Carrier* carrier = nullptr;
  /// First thing in the worker's thread. May throw std::exception.
  std::function<void()> enter;
  std::string name;  ///< for people: "CPU 2"
};

/// The last that happened on a shard, as its thread wrote it: states, not a queue, so nothing can overflow. A number in
/// `slots` or `links` says that there is something new; what, is read in the shard's thread.
struct ShardNews {
  struct LinkState {
    bool up = false;
    std::uint32_t changes = 0;  ///< since the link has its carrier; 0: nothing was told yet
    std::string reason;         ///< of `up`
    std::string down_reason;    ///< why it went down last
  };
  ShardNews(std::size_t slot_count, std::size_t link_count)
      : slots(slot_count), links(link_count), faults(slot_count, regs::Fault::none), link_states(link_count) {}

  NumberSet slots;                  ///< faulted, or drained after ShardWorker::watch()
  NumberSet links;                  ///< up, down or down for another reason
  std::vector<regs::Fault> faults;  ///< by slot; none: nothing to tell
  std::vector<LinkState> link_states;
};

class ShardWorker final : private CardListener {
 public:
  /// How long run() waits for a thread that does not begin with what it is to do; it is lost then.
  static constexpr std::chrono::milliseconds kCallLimit{20'000};

  /// `all` as Shard takes it; the shard of the engine's thread is number 0. `clock` gives microseconds like poll().
  ShardWorker(ShardWorkerPlace place, Shard::Place number, const std::vector<Shard*>& all, std::size_t sessions,
              std::span<regs::SlotRow> rows, const SoftCardOptions& options, slot::WaitPolicy wait,
              std::uint64_t (*clock)());
  ~ShardWorker() override;
  ShardWorker(const ShardWorker&) = delete;
  ShardWorker& operator=(const ShardWorker&) = delete;

  // --- the engine's thread ---

  Shard& shard() { return shard_; }
  ShardNews& news() { return news_; }
  const std::string& name() const { return place_.name; }
  carriers::Carrier& carrier() { return *place_.carrier; }
  /// Begins the thread; returns when it has entered. Throws what `enter` threw, or std::system_error.
  void start();
  /// Ends the thread. Then, as before start(), everything may be called directly.
  void stop() noexcept;
  /// Runs `f()` in the worker's thread and waits for it; directly where there is no thread. `f` may throw: so does
  /// this, and std::runtime_error when the thread ended or does not answer.
  template <class F>
  void run(F&& f) {
    if (!thread_.joinable()) return f();
    Call call;
    call.what = &f;
    call.invoke = [](void* what) { (*static_cast<std::remove_reference_t<F>*>(what))(); };
    hand_over(call);
  }
  /// Throws std::runtime_error when the thread ended by an error.
  void check() const;
  std::uint64_t sleeps() const noexcept { return sleeps_.load(std::memory_order_relaxed); }

  // --- its own thread, or run() ---

  /// Tells in the news when the slot has nothing left to send, or stopped.
  void watch(std::uint16_t slot);
  void unwatch(std::uint16_t slot);
  /// Whether fd() of the carrier ends a sleep: not before somebody polls it.
  void watch_carrier(bool watched) noexcept { carrier_watched_ = watched; }

 private:
  struct Call {
    void (*invoke)(void*) = nullptr;
    void* what = nullptr;
    std::exception_ptr error;
  };
  struct Loop;

  void on_fault(std::uint16_t slot, regs::Fault fault) override;
  void on_link(std::uint16_t link, bool up, std::string_view reason) override;
  void hand_over(Call& call);
  bool withdraw(Call& call) noexcept;
  bool serve() noexcept;
  void see_drained();
  void thread_main() noexcept;
  void fail(const std::string& why) noexcept;

  ShardWorkerPlace place_;
  const std::vector<Shard*>& all_;
  slot::WaitPolicy wait_;
  std::uint64_t (*clock_)();
  ShardNews news_;
  Shard shard_;
  std::vector<std::uint16_t> watched_;
  bool carrier_watched_ = false;
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
