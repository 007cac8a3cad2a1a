// The loop of a thread that moves lines: it polls while there is something to do, waits a little, then sleeps.
#pragma once
#include "core/slot/poll_waiter.hpp"

namespace slotwire::driver {

/// Runs until `thread.stopping()`. Of `thread` it calls
///   bool step()           does what there is to do, without waiting; true: there was something
///   bool look_around()    called after each step: looks now and then, without waiting, at what step() does not look at
///   bool prepare_sleep()  asks everybody to wake it from now on; false: something came in between
///   bool last_step()      as step(), but may leave out what wakes sleep() at once when there is something to do
///   void sleep()          sleeps until somebody wakes it or a timer of its own is due
///   void awake()          whoever was asked need not wake it any more, slept or not
template <class Thread>
void run_poll_loop(Thread& thread, slot::WaitPolicy policy) {
  slot::PollWaiter waiter(policy);
  while (!thread.stopping()) {
    const bool busy = thread.step();
    if (busy) waiter.found();
    if (thread.look_around() || busy) continue;
    if (waiter.stay_awake()) continue;
    // What came before everybody was asked has to be seen; what comes from now on wakes.
    if (thread.prepare_sleep()) {
      if (thread.last_step()) {
        waiter.found();
      } else {
        thread.sleep();
        waiter.slept();
      }
    }
    thread.awake();
  }
}

}  // namespace slotwire::driver
