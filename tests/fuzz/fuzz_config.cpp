// Whatever stands in a configuration: it is read, or refused by a ConfigError that says where. What is accepted can be
// used: its rules and its directory are built.
//
// An input's first byte chooses: 0 a configuration, 1 a directory file; the rest is the text.
#include "input.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/services/directory.hpp"
#include "runtime/engine/services/policy.hpp"

namespace {

using namespace slotwire;
using fuzz::require;

constexpr uid_t kOwn = 1000;

void check_problems(const engine::ConfigError& error) {
  const auto& problems = error.problems();
  require(!problems.empty() && problems.size() <= engine::kMaxProblemsReported + 1);
  // Behind the last that is reported stands how many more there are.
  for (std::size_t i = 0; i < problems.size(); ++i)
    require(problems[i].starts_with(i == engine::kMaxProblemsReported ? "... and " : "fuzzed"));
}

void read_config(std::string_view text) {
  try {
    const engine::Config config = engine::parse_config(text, "fuzzed", "/nonexistent");
    require(!config.node.name.empty());
    require(config.links.size() <= config.limits.links);
    const engine::Policy policy(config, kOwn);
    for (const engine::ServiceConfig& service : config.services) {
      static_cast<void>(policy.may_connect(kOwn, {}, service.name));
    }
    engine::DirectoryConfig directory = config.directory;
    directory.file.clear();
    const engine::StaticDirectory made(config.services, directory);
    require(made.size() <= config.services.size());
  } catch (const engine::ConfigError& error) {
    check_problems(error);
  }
}

void read_services(std::string_view text) {
  try {
    static_cast<void>(engine::parse_services(text, "fuzzed"));
  } catch (const engine::ConfigError& error) {
    check_problems(error);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  if (input.byte() % 2 == 0) {
    read_config(input.rest());
  } else {
    read_services(input.rest());
  }
  return 0;
}
