// What a ring, a mark, a bell and a wait cost. Floors, measured in the same run: memcpy and a bare atomic ping-pong.
#include <benchmark/benchmark.h>

#include <cstring>
#include <thread>
#include <vector>

#include "core/pipeline/crc32c.hpp"
#include "core/slot/bell.hpp"
#include "core/slot/memory.hpp"
#include "core/slot/record.hpp"
#include "core/slot/waiter.hpp"

namespace {
using namespace slotwire;
using slot::Position;

constexpr unsigned kOrder = 12;  // 4096 lines, 256 KiB

struct Ring {
  slot::Fd file = slot::create_sealed_file("slotwire-bench", slot::space_file_bytes(kOrder));
  slot::Space space{file.get(), kOrder, slot::Access::read_write};
  std::atomic<Position>& tail = space.marks().tail;
  std::atomic<Position>& head = space.marks().head;
  slot::RingView view{space.ring(), kOrder, true};
};

void set_bytes(benchmark::State& state, std::size_t bytes) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(bytes));
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}

/// Floor of ring_record: copy in, copy out.
void floor_memcpy_twice(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  std::vector<std::byte> in(bytes, std::byte{1}), middle(bytes), out(bytes);
  for (auto _ : state) {
    std::memcpy(middle.data(), in.data(), bytes);
    benchmark::DoNotOptimize(middle.data());
    benchmark::ClobberMemory();
    std::memcpy(out.data(), middle.data(), bytes);
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  set_bytes(state, bytes);
}
BENCHMARK(floor_memcpy_twice)->Arg(64)->Arg(1024)->Arg(65536);

/// One thread writes a record and reads it.
void ring_record(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  Ring ring;
  slot::RecordWriter writer{slot::Producer(ring.view, ring.tail, ring.head)};
  slot::RecordReader reader{slot::Consumer(ring.view, ring.head, ring.tail)};
  const std::vector<std::byte> in(bytes, std::byte{1});
  std::vector<std::byte> out(bytes);
  for (auto _ : state) {
    if (!writer.write({}, in)) state.SkipWithError("the ring has no room");
    const auto record = reader.peek();
    if (!record) {
      state.SkipWithError("the record is not there");
      break;
    }
    std::memcpy(out.data(), record->payload.data(), bytes);
    benchmark::DoNotOptimize(out.data());
    reader.release(*record);
  }
  set_bytes(state, bytes);
}
BENCHMARK(ring_record)->Arg(64)->Arg(1024)->Arg(65536);

/// Floor of ring_ping_pong: one number to and fro between two threads that yield.
void floor_atomic_ping_pong(benchmark::State& state) {
  alignas(64) std::atomic<std::uint32_t> ping{0};
  alignas(64) std::atomic<std::uint32_t> pong{0};
  std::atomic<bool> stop{false};
  std::jthread other([&] {
    slot::Waiter waiter({});
    for (std::uint32_t last = 0; !stop;) {
      const std::uint32_t now = ping.load(std::memory_order_acquire);
      if (now == last) {
        if (waiter.next() == slot::Waiter::Step::sleep) std::this_thread::yield();
        continue;
      }
      waiter.reset();
      pong.store(last = now, std::memory_order_release);
    }
  });
  std::uint32_t n = 0;
  for (auto _ : state) {
    ping.store(++n, std::memory_order_release);
    slot::Waiter waiter({});
    while (pong.load(std::memory_order_acquire) != n) {
      if (waiter.next() == slot::Waiter::Step::sleep) std::this_thread::yield();
    }
  }
  stop = true;
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(floor_atomic_ping_pong)->UseRealTime();

/// A record to and fro between two threads, each waiting as processes do (without the sleep).
void ring_ping_pong(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  Ring there, back;
  std::atomic<bool> stop{false};
  const auto wait_for = [&stop](slot::RecordReader& reader) {
    slot::Waiter waiter({});
    for (;;) {
      if (auto record = reader.peek()) return record;
      if (stop) return std::optional<slot::RecordView>{};
      if (waiter.next() == slot::Waiter::Step::sleep) std::this_thread::yield();
    }
  };
  std::jthread other([&] {
    slot::RecordReader reader{slot::Consumer(there.view, there.head, there.tail)};
    slot::RecordWriter writer{slot::Producer(back.view, back.tail, back.head)};
    while (const auto record = wait_for(reader)) {
      writer.write({}, record->payload);
      reader.release(*record);
    }
  });
  slot::RecordWriter writer{slot::Producer(there.view, there.tail, there.head)};
  slot::RecordReader reader{slot::Consumer(back.view, back.head, back.tail)};
  const std::vector<std::byte> message(bytes, std::byte{1});
  for (auto _ : state) {
    writer.write({}, message);
    if (const auto record = wait_for(reader)) reader.release(*record);
  }
  stop = true;
  set_bytes(state, bytes);
}
BENCHMARK(ring_ping_pong)->Arg(64)->Arg(1024)->Arg(65536)->UseRealTime();

/// A process rings while the engine polls, and the engine takes the bell.
void bell_ring_and_take(benchmark::State& state) {
  slot::BellPage bells{};
  slot::PolledPage polled{};
  polled.polled = slot::kAllBellWords;
  std::size_t local = 0, taken = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(slot::ring_bell(bells, polled, local));
    local = (local + 61) % slot::kMaxSessionSlots;
    slot::take_bells(bells, [&](std::size_t) { ++taken; });
  }
  benchmark::DoNotOptimize(taken);
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(bell_ring_and_take);

/// The engine looks at a session that did not ring.
void bell_look(benchmark::State& state) {
  slot::BellPage bells{};
  for (auto _ : state) slot::take_bells(bells, [](std::size_t) {});
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(bell_look);

/// Floor of crc32c: copying the same bytes.
void floor_memcpy(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  const std::vector<std::byte> in(bytes, std::byte{1});
  std::vector<std::byte> out(bytes);
  for (auto _ : state) {
    std::memcpy(out.data(), in.data(), bytes);
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  set_bytes(state, bytes);
}
BENCHMARK(floor_memcpy)->Arg(64)->Arg(1408)->Arg(9000);

void crc32c(benchmark::State& state) {
  const std::vector<std::byte> bytes(static_cast<std::size_t>(state.range(0)), std::byte{1});
  for (auto _ : state) benchmark::DoNotOptimize(pipeline::crc32c(0, bytes));
  set_bytes(state, bytes.size());
}
BENCHMARK(crc32c)->Arg(64)->Arg(1408)->Arg(9000);

}  // namespace

BENCHMARK_MAIN();
