// engine-mutants: shows that the engines' simulation finds bugs in their rooms. Exit 0: every one was found.
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <string>

#include "sim/engine/engine_world.hpp"
#include "sim/engine/mutants.hpp"

namespace {

enum class Outcome { survived, found, crashed };

/// Runs seeds, every other one with several wires, until the simulation sees something wrong, and prints what.
bool finds(std::uint64_t seeds, const std::string& name) {
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    std::string what;
    try {
      const slotwire::sim::EngineResult result =
          slotwire::sim::run_engines({.seed = seed, .steps = 300, .carriers = seed % 2 == 0});
      if (!result.violation) continue;
      what = *result.violation;
    } catch (const std::exception& error) {
      what = error.what();
    }
    std::printf("seed %-4llu %s: %s\n", static_cast<unsigned long long>(seed), name.c_str(), what.c_str());
    return true;
  }
  return false;
}

/// In a process of its own: some bugs end it.
Outcome try_mutant(int number, std::uint64_t seeds, const std::string& name) {
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child == 0) {
    slotwire::engine::set_mutant(number);
    const bool found = finds(seeds, name);
    std::fflush(stdout);
    ::_exit(found ? 1 : 0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFEXITED(status)) return Outcome::crashed;
  return WEXITSTATUS(status) == 0 ? Outcome::survived : Outcome::found;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Puts bugs into the rooms of the engine and into the choice of a carrier, one at a time, and runs the engines' "
      "simulation until it finds them."};
  std::uint64_t seeds = 300;
  app.set_version_flag("--version", SLOTWIRE_VERSION);
  app.add_option("--seeds", seeds, "Seeds to try for each bug")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  constexpr std::uint64_t kSoundSeeds = 20;
  if (try_mutant(0, kSoundSeeds, "without a bug") != Outcome::survived) return 1;
  const auto names = slotwire::engine::mutant_names();
  int survived = 0;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string name(names[i]);
    switch (try_mutant(static_cast<int>(i + 1), seeds, name)) {
      case Outcome::survived:
        std::printf("SURVIVED  %s\n", name.c_str());
        ++survived;
        break;
      case Outcome::crashed:
        std::printf("crash     %s\n", name.c_str());
        break;
      case Outcome::found:
        break;
    }
  }
  std::printf("%zu bugs, %d survived\n", names.size(), survived);
  return survived == 0 ? 0 : 1;
}
