// Barriers for two processes of which one sleeps rarely and the other looks often ("Waking" in docs/decisions.md).
//
// "Store a mark, then look whether the other side sleeps" needs a barrier between the two, since a processor may look
// before its store is visible. The barrier waits for the store, and so for the cache line, at every message. Instead
// the side that is about to sleep makes the barrier for both: heavy_barrier() makes every running thread of every
// process that can_be_ordered() execute one, wherever it is, and a thread that is not running has executed one already.
#pragma once

namespace slotwire::slot {

/// Whether another process's heavy_barrier() reaches the threads of this one. The first call asks the kernel for it
/// (membarrier(2), MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, since Linux 4.16). False: this process makes a barrier of
/// its own between its store and its look. Any thread.
bool can_be_ordered() noexcept;

/// A sequentially consistent fence in this thread and, where the kernel offers it, in all threads of all processes that
/// can_be_ordered(). False: in this thread only. Takes a system call, and an interrupt of each processor that runs such
/// a thread. Any thread.
bool heavy_barrier() noexcept;

}  // namespace slotwire::slot
