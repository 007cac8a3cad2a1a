// slotwire drain: takes one process that serves out of use, and puts it back.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "tools/slotwire/control_client.hpp"

namespace slotwire::cli {

namespace {

constexpr std::uint32_t kMostPid = 1U << 22U;  // Linux has no larger one

}  // namespace

void add_drain(CLI::App& app, Command& command) {
  struct Options {
    Common common;
    std::uint32_t pid = 0;
    bool undo = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand("drain", "Give a process that serves no new connections or requests");
  sub->add_option("PID", options->pid, "the process, on this node")->required()->check(CLI::Range(1U, kMostPid));
  sub->add_flag("--undo", options->undo, "give it new ones again");
  add_common(*sub, options->common, "print {\"pid\": ..., \"drained\": ...}");
  sub->footer(
      R"(Nobody is connected to the process any more, on whatever node, and web servers give it no new request: nginx
closes its connections to it as they become idle. What is under way goes on. The process itself is not told, and goes on
serving whoever has a connection. 'slotwire status --sessions' shows it as drained, and its SLOTS when all have left.
A drain lasts until --undo or the end of the process, also over a restart of slotwired. Only root and slotwired's own
user may do this.

Example: slotwire drain 4711 && slotwire status --sessions)");
  sub->callback([options, &command] {
    command = [options] {
      ControlClient(options->common).ask(control::Drain{.pid = options->pid, .on = !options->undo});
      if (options->common.json) {
        std::printf("%s\n", Json{{"pid", options->pid}, {"drained", !options->undo}}.dump().c_str());
      } else if (options->undo) {
        std::printf("process %u gets new connections again\n", options->pid);
      } else {
        std::printf("process %u gets nothing new; 'slotwire status --sessions' shows when it has no slots left\n",
                    options->pid);
      }
      return kExitOk;
    };
  });
}

}  // namespace slotwire::cli
