// Ends the process when a call into XRT does not return. XRT's library waits without a limit for a device that does not
// answer (and in emulation turns in a circle), so nobody else can.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace slotwire::driver {

class Watchdog {
 public:
  static constexpr int kExitStatus = 3;  ///< of a process that the watchdog ended

  /// `device`: its name in the message. From now on, each call may take `limit`.
  Watchdog(std::string device, std::chrono::milliseconds limit);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  /// A call, for as long as it lives; one at a time, from one thread. `what` must be a literal. `times`: of the limit,
  /// for calls that take long.
  class Call {
   public:
    Call(Watchdog& dog, const char* what, int times = 1);
    ~Call() { dog_.since_ns_.store(0, std::memory_order_release); }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    Watchdog& dog_;
  };

  /// Says what happened and what to do, and ends the process at once: XRT's own way out would wait for the device.
  [[noreturn]] void give_up(const std::string& what) const;

 private:
  void run();

  std::string device_;
  std::chrono::milliseconds limit_;
  std::atomic<std::int64_t> since_ns_{0};  ///< on the steady clock; 0: no call is under way
  std::atomic<const char*> what_{""};
  std::atomic<int> times_{1};
  std::mutex mutex_;
  std::condition_variable ending_;
  bool end_ = false;
  std::thread thread_;
};

}  // namespace slotwire::driver
