#include "sim/lockstep/campaign.hpp"

#include <atomic>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <thread>

#include "mutated_pipeline.hpp"

namespace slotwire::lockstep {
namespace {

void print_difference(const Program& program, const Difference& difference) {
  std::printf("seed %" PRIu64 ", step %zu of %zu", program.seed, difference.step, program.steps.size());
  if (difference.clock != 0) std::printf(", clock %" PRIu64, difference.clock);
  std::printf(": %s\n", difference.what.c_str());
  if (difference.step != 0 && difference.step <= program.steps.size()) {
    std::printf("  the step: %s\n", to_text(program.steps[difference.step - 1]).c_str());
  }
}

void show(const CampaignOptions& options, const Program& program, const Difference& difference, const MakeCard& make) {
  print_difference(program, difference);
  if (!options.shrink) return;
  const Program small = shrink(
      program, [&](const Program& candidate) { return run(candidate, *make(candidate)).difference.has_value(); });
  const RunResult result = run(small, *make(small));
  std::printf("shortened from %zu steps to %zu:\n", program.steps.size(), small.steps.size());
  if (result.difference) print_difference(small, *result.difference);
  std::ofstream(options.shrunk_file) << to_text(small);
  std::printf("%s\nreplay: lockstep --replay %s\n", to_text(small).c_str(), options.shrunk_file.c_str());
}

class MutantCard final : public Implementation {
 public:
  explicit MutantCard(unsigned number) : number_(number) {}
  void start(const Program& program) override {
    set_mutant(number_);
    card_.start(program);
  }
  void apply(const Action& action, Microseconds now) override { card_.apply(action, now); }
  std::string settle(Microseconds now) override { return card_.settle(now); }
  void observe(Observation& out) override { card_.observe(out); }
  void out_line(std::uint16_t slot, std::uint32_t index, std::span<std::byte, regs::kLineBytes> line) override {
    card_.out_line(slot, index, line);
  }

 private:
  unsigned number_;
  SoftwareCard<pipeline::MutatedPipeline> card_;
};

}  // namespace

CampaignResult run_campaign(const CampaignOptions& options, const MakeCard& make) {
  CampaignResult all;
  std::atomic<std::uint64_t> next{0};
  std::atomic<bool> differed{false};
  std::mutex output;
  const auto start = std::chrono::steady_clock::now();
  const auto work = [&] {
    for (std::uint64_t i = next++; i < options.seeds && !differed; i = next++) {
      GeneratorOptions generator = options.program;
      generator.seed = options.first + i;
      const Program program = generate(generator);
      Coverage coverage;
      const RunResult result = run(program, *make(program), &coverage);
      const std::lock_guard lock(output);
      ++all.seeds;
      all.steps += result.steps;
      all.settled += result.settled;
      all.coverage.add(coverage);
      if (options.verbose) {
        std::printf("seed %" PRIu64 ": %zu steps, %zu comparisons\n", program.seed, result.steps, result.settled);
      }
      if (result.difference && !differed.exchange(true)) show(options, program, *result.difference, make);
    }
  };
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 1; i < options.jobs; ++i) threads.emplace_back(work);
    work();
  }
  all.differed = differed;
  all.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return all;
}

bool replay(const Program& program, const MakeCard& make) {
  const auto card = make(program);
  const RunResult result = run(program, *card);
  if (result.difference) {
    print_difference(program, *result.difference);
    return false;
  }
  std::printf("%zu steps, %zu comparisons: no difference\n", result.steps, result.settled);
  return true;
}

MakeCard mutant_card(unsigned number) {
  return [number](const Program&) { return std::make_unique<MutantCard>(number); };
}

bool check_mutants(const GeneratorOptions& program, std::uint64_t first, std::uint64_t seeds) {
  // Every program once, and on it every mutant that was not found yet.
  const auto names = mutant_names();
  std::vector<bool> found(names.size(), false);
  std::size_t left = names.size();
  for (std::uint64_t i = 0; i < seeds && left != 0; ++i) {
    GeneratorOptions generator = program;
    generator.seed = first + i;
    const Program made = generate(generator);
    for (unsigned number = 0; number <= names.size(); ++number) {
      if (number != 0 && found[number - 1]) continue;
      MutantCard card(number);
      const RunResult result = run(made, card);
      if (!result.difference) continue;
      if (number == 0) {
        std::printf("without a bug: seed %" PRIu64 ", step %zu: %s\n", generator.seed, result.difference->step,
                    result.difference->what.c_str());
        return false;
      }
      found[number - 1] = true;
      --left;
      std::printf("%-28.*s found by seed %" PRIu64 ", step %zu\n", static_cast<int>(names[number - 1].size()),
                  names[number - 1].data(), generator.seed, result.difference->step);
    }
  }
  for (std::size_t n = 0; n < names.size(); ++n) {
    if (!found[n]) std::printf("%-28.*s NOT FOUND\n", static_cast<int>(names[n].size()), names[n].data());
  }
  std::printf("%zu of %zu mutants found\n", names.size() - left, names.size());
  return left == 0;
}

}  // namespace slotwire::lockstep
