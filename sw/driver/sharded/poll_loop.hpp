// The loop of a thread that moves lines: it polls while there is something to do, waits a little, then sleeps.
#pragma once
#include "core/slot/waiter.hpp"

namespace slotwire::driver {

/// Runs until `thread.stopping()`. Of `thread` it calls
///   bool step()           does what there is to do, without waiting; true: there was something
///   bool look_around()    called after each step: looks now and then, without waiting, at what step() does not look at
///   bool prepare_sleep()  asks everybody to wake it from now on; false: something came in between
///   void sleep()          sleeps until somebody wakes it or a timer of its own is due
template <class Thread>
void run_poll_loop(Thread& thread, slot::WaitPolicy policy) {
  slot::Waiter waiter(policy);
  while (!thread.stopping()) {
    if (thread.step()) waiter.reset();
    if (thread.look_around()) continue;
    if (waiter.next() == slot::Waiter::Step::again) continue;
    if (!thread.prepare_sleep()) continue;
    // What came before everybody was asked has to be seen; what comes from now on wakes.
    if (thread.step()) continue;
    thread.sleep();
    waiter.reset();
  }
}

}  // namespace slotwire::driver
