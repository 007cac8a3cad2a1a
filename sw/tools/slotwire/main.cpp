// slotwire: looks at a node, talks to services, and carries TCP connections through slots.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "core/slot/open_files.hpp"
#include "runtime/control/printable.hpp"
#include "tools/slotwire/common.hpp"
#include "tools/slotwire/web/web.hpp"
#include "tools/usage/wrong_usage.hpp"

namespace {

constexpr const char* kFooter =
    R"(Exit status: 0 done, 1 failed, 2 wrong usage, 3 no such service, 4 link down, 5 refused by policy or quota,
69 slotwired cannot be reached.

'slotwire COMMAND --help' is the manual of a command, slotwire(1) the whole of them.)";

}  // namespace

int main(int argc, char** argv) {
  using namespace slotwire::cli;
  slotwire::slot::open_standard_descriptors();
  CLI::App app{"Looks at a Slotwire node, talks to services, and carries TCP connections through slots or HTTP."};
  app.set_version_flag("--version", "slotwire " SLOTWIRE_VERSION);
  app.require_subcommand(1);
  app.footer(kFooter);
  Command command;
  add_status(app, command);
  add_slots(app, command);
  add_top(app, command);
  add_ping(app, command);
  add_call(app, command);
  add_serve(app, command);
  add_tunnel(app, command);
  add_web(app, command);
  add_stream(app, command);
  add_capture(app, command);
  add_bench(app, command);
  add_blocks(app, command);
  add_cache(app, command);
  add_cut(app, command);
  add_drain(app, command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return finish_output(wrong_usage(app, error, argc, argv) ? kExitUsage : kExitOk);
  }
  try {
    return finish_output(command());
  } catch (const CommandError& error) {
    std::fprintf(stderr, "slotwire: %s\n", slotwire::control::printable(error.what()).c_str());
    return error.code();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "slotwire: %s\n", slotwire::control::printable(error.what()).c_str());
    return kExitFailed;
  }
}
