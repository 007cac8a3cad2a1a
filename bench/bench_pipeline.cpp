// What the pipeline costs: a frame sent and received, with many slots active and with many idle. Floor, measured in the
// same run: copying the lines of a frame twice (into the frame, and into the output space).
#include <benchmark/benchmark.h>

#include <array>
#include <cstring>
#include <vector>

#include "core/pipeline/pipeline.hpp"

namespace {
using namespace slotwire;
using pipeline::Pipeline;

constexpr unsigned kOrder = 6;
constexpr std::size_t kRingBytes = regs::kLineBytes << kOrder;
constexpr std::size_t kBurst = 64;
constexpr std::size_t kFrameBytes = regs::kHeaderBytes + 22 * regs::kLineBytes;

/// Two proxies, `active` connections between slots of the same number, all other of `slots` slots bound and idle.
class TwoNodes {
 public:
  TwoNodes(std::size_t slots, std::size_t active)
      : active_(active),
        rows_a_(slots),
        rows_b_(slots),
        a_(rows_a_, 1),
        b_(rows_b_, 1),
        memory_(active * 2 * kRingBytes),
        idle_(kRingBytes) {
    a_.link_up(0, 0);
    b_.link_up(0, 0);
    for (std::size_t slot = 0; slot < slots; ++slot) {
      const auto number = static_cast<std::uint16_t>(slot);
      const pipeline::Binding binding{.link = 0,
                                      .peer_slot = number,
                                      .epoch = 1,
                                      .in_order = kOrder,
                                      .out_order = kOrder,
                                      .credit = 1U << kOrder,
                                      .marks = {}};
      a_.bind(number, binding, {{ring(slot, 0), kOrder, false}, {idle_.data(), kOrder, false}}, 0);
      b_.bind(number, binding, {{idle_.data(), kOrder, false}, {ring(slot, 1), kOrder, false}}, 0);
    }
  }

  /// Each active connection moves `lines` lines, from doorbell to doorbell. Returns the frames that this took.
  std::size_t round(std::uint32_t lines) {
    now_ += 10;
    for (std::size_t slot = 0; slot < active_; ++slot) {
      const regs::SlotRow& row = rows_a_[slot];
      a_.doorbell(static_cast<std::uint16_t>(slot), row.in_tail + lines, row.out_head, now_);
    }
    std::size_t frames = 0;
    for (std::size_t n = kBurst; n == kBurst;) frames += n = carry(a_, b_);
    for (std::size_t slot = 0; slot < active_; ++slot) {
      const regs::SlotRow& row = rows_b_[slot];
      b_.doorbell(static_cast<std::uint16_t>(slot), row.in_tail, row.out_tail, now_);
    }
    // Acknowledgements that wait for company do so no longer.
    now_ += 2'000;
    b_.sweep(now_, active_ + 1);
    for (std::size_t n = kBurst; n == kBurst;) frames += n = carry(b_, a_);
    while (b_.take_marks(marks_) != 0) {
    }
    while (a_.take_marks(marks_) != 0) {
    }
    return frames;
  }
  bool arrived() const { return rows_b_[0].out_tail == rows_a_[0].in_tail && rows_a_[0].in_head == rows_a_[0].in_tail; }

 private:
  std::byte* ring(std::size_t slot, std::size_t side) {
    return slot < active_ ? memory_.data() + ((slot * 2 + side) * kRingBytes) : idle_.data();
  }
  std::size_t carry(Pipeline& from, Pipeline& to) {
    const std::size_t n = from.transmit(burst_, now_);
    for (std::size_t i = 0; i < n; ++i) {
      std::memcpy(frame_.data(), burst_[i].header, regs::kHeaderBytes);
      if (!burst_[i].payload.empty()) {
        std::memcpy(frame_.data() + regs::kHeaderBytes, burst_[i].payload.data(), burst_[i].payload.size());
      }
      to.receive(0, std::span(frame_).first(regs::kHeaderBytes + burst_[i].payload.size()), now_);
    }
    return n;
  }

  std::size_t active_;
  std::vector<regs::SlotRow> rows_a_, rows_b_;
  Pipeline a_, b_;
  std::vector<std::byte> memory_, idle_;
  std::array<pipeline::TxFrame, kBurst> burst_;
  std::array<pipeline::MarkUpdate, kBurst> marks_;
  std::array<std::byte, kFrameBytes> frame_{};
  pipeline::Microseconds now_ = 0;
};

void run(benchmark::State& state, std::size_t slots, std::size_t active, std::uint32_t lines) {
  TwoNodes nodes(slots, active);
  std::size_t frames = 0;
  for (auto _ : state) frames += nodes.round(lines);
  if (!nodes.arrived()) state.SkipWithError("lines did not arrive");
  state.SetItemsProcessed(static_cast<std::int64_t>(frames));
  state.SetBytesProcessed(
      static_cast<std::int64_t>(static_cast<std::size_t>(state.iterations()) * active * lines * regs::kLineBytes));
}

/// Frames sent and received a second, all slots active: range(0) slots, range(1) lines a frame.
void pipeline_active(benchmark::State& state) {
  const auto slots = static_cast<std::size_t>(state.range(0));
  run(state, slots, slots, static_cast<std::uint32_t>(state.range(1)));
}
BENCHMARK(pipeline_active)->ArgNames({"slots", "lines"})->ArgsProduct({{1, 64, 4096}, {1, 16}});

/// One active slot among range(0): the cost of a round must not depend on it.
void pipeline_idle(benchmark::State& state) {
  run(state, static_cast<std::size_t>(state.range(0)), 1, 1);
}
BENCHMARK(pipeline_idle)->ArgName("slots")->Arg(16)->Arg(1024)->Arg(65536);

/// Floor of pipeline_active and seal_and_open: the lines of a frame copied twice.
void floor_memcpy_frame(benchmark::State& state) {
  const std::size_t bytes = static_cast<std::size_t>(state.range(0)) * regs::kLineBytes;
  const std::vector<std::byte> in(bytes, std::byte{1});
  std::vector<std::byte> frame(bytes), out(bytes);
  for (auto _ : state) {
    std::memcpy(frame.data(), in.data(), bytes);
    benchmark::DoNotOptimize(frame.data());
    benchmark::ClobberMemory();
    std::memcpy(out.data(), frame.data(), bytes);
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
  state.SetBytesProcessed(static_cast<std::int64_t>(static_cast<std::size_t>(state.iterations()) * bytes));
}
BENCHMARK(floor_memcpy_frame)->ArgName("lines")->Arg(1)->Arg(16)->Arg(21)->Arg(22)->Arg(139);

}  // namespace

BENCHMARK_MAIN();
