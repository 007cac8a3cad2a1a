// What a step of the pipeline may cost: no allocation after construction. That idle slots cost nothing is for
// bench_pipeline to show: there is no count of it to compare.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "pipeline_support.hpp"

namespace {
std::size_t allocations = 0;
}  // namespace

// Replaced for this program, to count. Not inlined: gcc, inlining one of a pair, takes them for mismatched.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++allocations;
  void* memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace {
using namespace slotwire;
using namespace slotwire::testing;
using pipeline::Bitmap;

constexpr std::uint16_t kA = Pair::kA, kB = Pair::kB;

/// Moves what both pipelines have to say without using the heap. Some frames are lost.
void exchange(Pair& pair, int& clock) {
  for (bool any = true; any;) {
    any = false;
    for (Node* from : {&pair.a, &pair.b}) {
      Node& to = from == &pair.a ? pair.b : pair.a;
      pipeline::TxFrame out[4];
      const std::size_t n = from->pipe.transmit(out, from->now);
      any |= n != 0;
      for (std::size_t i = 0; i < n; ++i) {
        if (++clock % 7 == 0) continue;
        std::array<std::byte, regs::kHeaderBytes + 22 * regs::kLineBytes> bytes;
        std::copy(std::begin(out[i].header), std::end(out[i].header), bytes.begin());
        std::copy(out[i].payload.begin(), out[i].payload.end(), bytes.begin() + regs::kHeaderBytes);
        to.pipe.receive(0, std::span(bytes).first(regs::kHeaderBytes + out[i].payload.size()), to.now);
      }
    }
  }
}

TEST(PipelineCost, NothingIsAllocatedAfterConstruction) {
  Pair pair;
  const pipeline::SlotMemory memory = pair.b.memory(kB);
  int clock = 0;
  const std::size_t before = allocations;
  for (int round = 0; round < 2'000; ++round) {
    const regs::SlotRow& a = pair.a.row(kA);
    const regs::SlotRow& b = pair.b.row(kB);
    const std::uint32_t free = pair.size - (a.in_tail - a.in_head);
    pair.a.pipe.doorbell(kA, a.in_tail + free, a.out_head, pair.a.now);
    pair.b.pipe.doorbell(kB, b.in_tail, b.out_tail, pair.b.now);
    exchange(pair, clock);
    pair.pass(3'000);
    pipeline::MarkUpdate marks[4];
    pair.a.pipe.take_marks(marks);
    if (round % 50 == 0) {
      pair.a.pipe.link_down(0);
      pair.a.pipe.link_up(0, pair.a.now);
      pair.a.pipe.set_blocked(0, true);
      pair.a.pipe.set_blocked(0, false);
      pair.b.pipe.recover(kB, memory, b.in_tail, b.out_head, pair.b.now);
    }
  }
  pair.b.pipe.fault(kB, regs::Fault::admin);
  exchange(pair, clock);
  pipeline::SlotEvent events[4];
  pair.b.pipe.take_events(events);
  pair.b.pipe.unbind(kB);
  EXPECT_EQ(allocations, before);
  EXPECT_GT(pair.b.count(regs::Counter::rx_lines), 10'000U);
  EXPECT_GT(pair.a.count(regs::Counter::tx_lines_again), 10U);
}

TEST(PipelineCost, TheCountOfAllocationsWorks) {
  const std::size_t before = allocations;
  const auto something = std::make_unique<int>(1);
  EXPECT_EQ(allocations, before + 1);
}

}  // namespace
