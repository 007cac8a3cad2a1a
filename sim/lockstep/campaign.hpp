// Campaigns of lockstep: many seeds against one kind of card, what they reached, and how a difference is shown.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "sim/lockstep/generator.hpp"
#include "sim/lockstep/runner.hpp"

namespace slotwire::lockstep {

/// Makes the card that is compared. Called in the thread that runs it.
using MakeCard = std::function<std::unique_ptr<Implementation>(const Program&)>;

struct CampaignOptions {
  std::uint64_t first = 1;
  std::uint64_t seeds = 50;
  unsigned jobs = 1;
  GeneratorOptions program;
  std::string shrunk_file;  ///< where the shortened program of a difference goes
  bool shrink = true;
  bool require_points = false;  ///< a point that was not reached is a failure
  bool verbose = false;
};

struct CampaignResult {
  std::uint64_t seeds = 0, steps = 0, settled = 0;
  bool differed = false;
  Coverage coverage;
  double seconds = 0;
};

/// Runs the seeds until one differs, and prints that one: seed, step, what, both values, clock, the shortened program.
CampaignResult run_campaign(const CampaignOptions& options, const MakeCard& make);

/// Runs one program and prints what came of it. True: no difference.
bool replay(const Program& program, const MakeCard& make);

/// Runs every mutant of the software pipeline until a seed finds it, at most `seeds`. Prints a line for each. True: all
/// were found.
bool check_mutants(const GeneratorOptions& program, std::uint64_t first, std::uint64_t seeds);
/// A software pipeline with one bug (1.. in the order of mutant_names()).
MakeCard mutant_card(unsigned number);

}  // namespace slotwire::lockstep
