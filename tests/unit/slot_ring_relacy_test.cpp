// A ring with WAIT and wake-ups under the memory model of C++. What is run is ring.hpp itself; what lies in the lines
// is plain data, and an end that sleeps for ever is a deadlock.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>

#include "core/slot/ring.hpp"
#include "relacy_atomics.hpp"

namespace {
using namespace slotwire::slot;
using slotwire::test::relacy_fence;
using slotwire::test::RelacyAtomic;
using slotwire::test::search_with_relacy;

/// What is left out or relaxed, to see that the search finds it.
enum class Fault : std::uint8_t { none, tail_stored, head_stored, no_barrier, no_second_look };
Fault fault = Fault::none;  ///< of the search that runs

constexpr unsigned kOrder = 1;
constexpr Position kMessages = 3;

/// One end's WAIT, and what wakes it.
struct Sleep {
  RelacyAtomic<std::uint32_t> wait;
  rl::generic_event event;
  std::uint32_t number = 0;  ///< of the last wait
  std::uint32_t woken = 0;   ///< the other end's: the wait that it answered last

  /// As Connection::wait(), without heavy barriers.
  template <typename Ready>
  void until(Ready&& ready) {
    while (!ready()) {
      wait.store(++number, std::memory_order_seq_cst);
      // For what the language says of a sequentially consistent load and the other end's fence, and relacy leaves out.
      relacy_fence();
      if (fault == Fault::no_second_look || !ready()) event.wait(false, false, RL_INFO);
      wait.store(0, std::memory_order_relaxed);
      event.reset(RL_INFO);
    }
  }
  /// By the other end, after it has moved its mark.
  void wake() {
    if (fault != Fault::no_barrier) relacy_fence();
    const std::uint32_t now = wait.load(std::memory_order_relaxed);
    if (now == 0 || now == woken) return;
    woken = now;
    event.set(RL_INFO);
  }
};

struct Ring : rl::test_suite<Ring, 2> {
  RelacyAtomic<Position> tail, head;
  Sleep writer, reader;
  std::array<rl::var<Position>, std::size_t{1} << kOrder> lines;

  void before() {
    tail.weak_stores = fault == Fault::tail_stored;
    head.weak_stores = fault == Fault::head_stored;
    writer.event.init(true, false, RL_INFO);
    reader.event.init(true, false, RL_INFO);
  }
  void after() {
    writer.event.deinit(RL_INFO);
    reader.event.deinit(RL_INFO);
  }
  void thread(unsigned index) { index == 0 ? write() : read(); }

  void write() {
    BasicProducer<RelacyAtomic> producer({.order = kOrder}, tail, head);
    for (Position i = 0; i < kMessages; ++i) {
      writer.until([&] { return producer.writable() != 0; });
      lines[producer.tail() % lines.size()](RL_INFO) = i;
      producer.commit(1);
      reader.wake();
    }
    RL_ASSERT(!producer.broken());
  }
  void read() {
    BasicConsumer<RelacyAtomic> consumer({.order = kOrder}, head, tail);
    for (Position i = 0; i < kMessages; ++i) {
      reader.until([&] { return consumer.readable() != 0; });
      const Position line = lines[consumer.head() % lines.size()](RL_INFO);
      RL_ASSERT(line == i);
      consumer.release(1);
      writer.wake();
    }
    RL_ASSERT(!consumer.broken());
  }
};

std::string fault_of(Fault seeded) {
  fault = seeded;
  const auto searched = search_with_relacy<Ring>(3);
  fault = Fault::none;
  return searched.fault;
}

TEST(SlotRingRelacy, EverythingArrivesAndNobodySleepsForEver) {
  for (const unsigned switches : {3U, 4U}) {
    const auto searched = search_with_relacy<Ring>(switches);
    EXPECT_EQ(searched.fault, "");
    std::printf("%ju runs\n", static_cast<std::uintmax_t>(searched.runs));
    EXPECT_GT(searched.runs, 1000U);
  }
}

TEST(SlotRingRelacy, FaultsAreFound) {
  for (const Fault each : {Fault::tail_stored, Fault::head_stored, Fault::no_barrier, Fault::no_second_look}) {
    EXPECT_NE(fault_of(each), "") << static_cast<int>(each);
  }
}

}  // namespace
