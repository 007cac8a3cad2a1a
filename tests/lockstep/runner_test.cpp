// The comparison of lockstep can fail, for every kind of thing that it looks at, and what it finds is made short.
#include "sim/lockstep/runner.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "mutated_pipeline.hpp"
#include "sim/lockstep/campaign.hpp"

namespace {
using namespace slotwire;
using namespace slotwire::lockstep;

Program program_of(std::uint64_t seed) {
  GeneratorOptions options;
  options.seed = seed;
  return generate(options);
}

std::size_t data_frames(const Program& program) {
  return static_cast<std::size_t>(std::count_if(program.steps.begin(), program.steps.end(), [](const Step& step) {
    const auto* frame = std::get_if<FrameIn>(&step.action);
    return frame != nullptr && frame->lines > 2;
  }));
}

TEST(Shrink, LeavesTheStepsThatMatterAndNoOthers) {
  const Program program = program_of(4);
  ASSERT_GT(data_frames(program), 3U);
  unsigned runs = 0;
  const Program small = shrink(program, [&](const Program& candidate) {
    ++runs;
    return data_frames(candidate) >= 3;
  });
  EXPECT_EQ(small.steps.size(), 3U);
  EXPECT_EQ(data_frames(small), 3U);
  EXPECT_LE(runs, kMaxShrinkRuns);
}

TEST(Shrink, StopsAtItsLimit) {
  unsigned runs = 0;
  shrink(
      program_of(4),
      [&](const Program& candidate) {
        ++runs;
        return data_frames(candidate) >= 3;
      },
      10);
  EXPECT_LE(runs, 10U);
}

TEST(Lockstep, TheRightPipelineDoesNotDiffer) {
  for (std::uint64_t seed = 500; seed < 520; ++seed) {
    GoldenCard card;
    const RunResult result = run(program_of(seed), card);
    EXPECT_FALSE(result.difference) << "seed " << seed << ": " << result.difference->what;
    EXPECT_GT(result.settled, 100U);
  }
}

TEST(Lockstep, AShortenedProgramStillDiffersAndReplays) {
  const auto names = mutant_names();
  const auto number =
      static_cast<unsigned>(std::find(names.begin(), names.end(), "nak-for-every-gap") - names.begin()) + 1;
  const MakeCard make = mutant_card(number);
  const Differs differs = [&](const Program& candidate) {
    return run(candidate, *make(candidate)).difference.has_value();
  };
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    const Program program = program_of(seed);
    if (!differs(program)) continue;
    const Program small = shrink(program, differs);
    // A link, a slot, and two gaps.
    EXPECT_LE(small.steps.size(), 6U);
    const Program again = parse_program(to_text(small));
    EXPECT_TRUE(differs(again));
    GoldenCard card;
    EXPECT_FALSE(run(again, card).difference);
    return;
  }
  ADD_FAILURE() << "no seed found the mutant";
}

/// A right card that shows one thing wrongly.
class Liar final : public Implementation {
 public:
  explicit Liar(std::function<void(Observation&)> lie) : lie_(std::move(lie)) {}
  void start(const Program& program) override { card_.start(program); }
  void apply(const Action& action, Microseconds now) override { card_.apply(action, now); }
  std::string settle(Microseconds now) override { return card_.settle(now); }
  void observe(Observation& out) override {
    card_.observe(out);
    lie_(out);
  }
  void out_line(std::uint16_t slot, std::uint32_t index, std::span<std::byte, regs::kLineBytes> line) override {
    card_.out_line(slot, index, line);
    if (corrupt) line[63] ^= std::byte{1};
  }
  bool corrupt = false;

 private:
  GoldenCard card_;
  std::function<void(Observation&)> lie_;
};

struct Lie {
  const char* name;
  const char* finds;
  std::function<void(Observation&)> tell;
};

TEST(Lockstep, FindsEveryKindOfDifference) {
  const auto first_bound = [](Observation& o) -> std::size_t {
    for (std::size_t i = 0; i < o.rows.size(); ++i) {
      if (o.rows[i].state != 0) return i;
    }
    return o.rows.size();
  };
  const std::vector<Lie> lies{
      {"a byte of a frame", "byte 63",
       [](Observation& o) {
         if (!o.wire.empty()) o.wire.back().bytes[63] ^= std::byte{1};
       }},
      {"a frame too few", "seen none",
       [](Observation& o) {
         if (!o.wire.empty()) o.wire.pop_back();
       }},
      {"a frame too many", "expected none",
       [](Observation& o) {
         if (!o.wire.empty()) o.wire.push_back(o.wire.back());
       }},
      {"a row", "row limit",
       [&](Observation& o) {
         if (auto i = first_bound(o); i < o.rows.size()) ++o.rows[i].limit;
       }},
      {"a mark", "mark IN_HEAD",
       [&](Observation& o) {
         if (auto i = first_bound(o); i < o.rows.size()) ++o.marks[i].in_head;
       }},
      {"a counter", "counter rx_acks",
       [](Observation& o) { ++o.counters[static_cast<std::size_t>(regs::Counter::rx_acks)]; }},
      {"a card counter", "card counter doorbells",
       [](Observation& o) { ++o.card_counters[static_cast<std::size_t>(regs::CardCounter::doorbells)]; }},
      {"a frame for the host", "passed to the host", [](Observation& o) { o.to_host.push_back(Bytes(60)); }},
      {"an event", "events",
       [](Observation& o) {
         o.events.push_back({3, regs::Fault::admin});
       }},
      {"a moved slot", "marks moved", [](Observation& o) { o.moved.push_back(15); }},
      {"a line", "expected not to be",
       [](Observation& o) {
         o.written.push_back({15, 1023});
       }},
      {"what must never be", "nobody's", [](Observation& o) { o.wrong = "nobody's"; }},
  };
  for (const Lie& lie : lies) {
    Liar card(lie.tell);
    const RunResult result = run(program_of(2), card);
    ASSERT_TRUE(result.difference) << lie.name;
    EXPECT_NE(result.difference->what.find(lie.finds), std::string::npos)
        << lie.name << ": " << result.difference->what;
  }
  Liar card([](Observation&) {});
  card.corrupt = true;
  const RunResult result = run(program_of(2), card);
  ASSERT_TRUE(result.difference);
  EXPECT_NE(result.difference->what.find("byte 63"), std::string::npos) << result.difference->what;
}

TEST(Coverage, ACampaignReachesEveryPoint) {
  Coverage all;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    GoldenCard card;
    Coverage one;
    const RunResult result = run(program_of(seed), card, &one);
    ASSERT_FALSE(result.difference);
    all.add(one);
  }
  for (const std::string& point : all.missed()) ADD_FAILURE() << "never reached: " << point;
  EXPECT_GT(all.points(), 70U);
  EXPECT_FALSE(Coverage().missed().empty());
}

}  // namespace
