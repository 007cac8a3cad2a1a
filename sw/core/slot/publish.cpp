#include "core/slot/publish.hpp"

#include <atomic>

#include "core/slot/waiter.hpp"

namespace slotwire::slot {
namespace {

/// Signals `event` if the process sleeps for a mark of `moved`.
void signal_sleeper(const MarkPage& process, int event, std::uint32_t& signalled, std::uint32_t moved,
                    Position out_tail) {
  const std::uint32_t wait = process.wait.load(std::memory_order_seq_cst);
  if ((wait & moved) == 0 || wait == signalled) return;
  // Read after WAIT, before which it was written.
  if (!reaches(out_tail, process.aim.load(std::memory_order_acquire))) moved &= ~kWaitReadable;
  if ((wait & moved) == 0) return;
  signalled = wait;
  signal_event(event);
}

}  // namespace

void publish_marks(MarkPage& proxy, const MarkPage& process, int wake, std::uint32_t& signalled, Position in_head,
                   Position out_tail) {
  const std::uint32_t moved = (proxy.tail.load(std::memory_order_relaxed) != out_tail ? kWaitReadable : 0U) |
                              (proxy.head.load(std::memory_order_relaxed) != in_head ? kWaitWritable : 0U);
  proxy.head.store(in_head, std::memory_order_seq_cst);
  proxy.tail.store(out_tail, std::memory_order_seq_cst);
  signal_sleeper(process, wake, signalled, moved, out_tail);
}

void wake_for_marks(const MarkPage& process, int wake, std::uint32_t& signalled, std::uint32_t moved,
                    Position out_tail) {
  // WAIT is read after the marks; whoever sleeps writes it before it looks at them once more.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  signal_sleeper(process, wake, signalled, moved, out_tail);
}

}  // namespace slotwire::slot
