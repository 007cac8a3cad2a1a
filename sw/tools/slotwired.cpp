// slotwired: the engine of a node.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>

#include "core/slot/open_files.hpp"
#include "runtime/control/program_end.hpp"
#include "runtime/engine/config/config_files.hpp"
#include "runtime/engine/engine.hpp"
#include "runtime/engine/host/stop_request.hpp"
#include "runtime/engine/services/directory.hpp"
#include "runtime/engine/services/policy.hpp"
#include "tools/usage/wrong_usage.hpp"

namespace {

/// Exit status of a configuration that cannot be used, as systemd's and sysexits' readers know it.
constexpr int kExitConfig = 78;
constexpr const char* kProgram = "slotwired";

}  // namespace

int main(int argc, char** argv) {
  slotwire::slot::open_standard_descriptors();
  // A log that nobody reads any more must not end the engine.
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app{"The engine of a Slotwire node: gives processes slots and moves what is in them to other nodes."};
  std::string path = "/etc/slotwire/slotwired.toml";
  bool check = false;
  bool reference = false;
  app.add_option("-c,--config", path, "configuration file (TOML)")->capture_default_str();
  app.add_flag("--check", check, "check the configuration and exit: 0 if it is good, 78 if not");
  app.add_flag("--print-config-reference", reference, "print what every key means, in Markdown, and exit");
  app.set_version_flag("--version", "slotwired " SLOTWIRE_VERSION);
  using slotwire::control::end_of_output, slotwire::control::kEndDone, slotwire::control::kEndFailed;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool wrong = slotwire::cli::wrong_usage(app, error, argc, argv);
    return end_of_output(wrong ? slotwire::control::kEndUsage : kEndDone, kProgram);
  }
  try {
    if (reference) {
      std::fputs(slotwire::engine::config_reference().c_str(), stdout);
      return end_of_output(kEndDone, kProgram);
    }
    using slotwire::engine::FileCheck;
    slotwire::engine::Config config =
        slotwire::engine::load_config_and_files(path, check ? FileCheck::complete : FileCheck::opened);
    if (check) {
      // What a start would refuse beyond the file itself.
      slotwire::engine::Policy(config, ::getuid());
      const slotwire::engine::StaticDirectory directory(config.services, config.directory);
      for (const std::string& line : directory.nodes_without_link(config))
        std::fprintf(stderr, "%s: warning: %s\n", path.c_str(), line.c_str());
      for (const std::string& line : slotwire::engine::certificate_warnings(config))
        std::fprintf(stderr, "%s: warning: %s\n", path.c_str(), line.c_str());
      std::printf("%s: good, node '%s' with %zu links\n", path.c_str(), config.node.name.c_str(), config.links.size());
      return end_of_output(kEndDone, kProgram);
    }
    slotwire::engine::Engine engine(std::move(config));
    return engine.run();
  } catch (const slotwire::engine::StoppedAtStart& stopped) {
    std::fprintf(stderr, "slotwired: %s\n", stopped.what());
    return kEndDone;
  } catch (const slotwire::engine::ConfigError& error) {
    std::fprintf(stderr, "slotwired: the configuration cannot be used:\n%s\n", error.what());
    return kExitConfig;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "slotwired: %s\n", error.what());
    return kEndFailed;
  }
}
