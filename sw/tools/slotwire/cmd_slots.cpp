// slotwire slots: the node's slots, whose they are, and how far their lines have come.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "tools/slotwire/slot_rows.hpp"

namespace slotwire::cli {
namespace {

struct SlotsOptions {
  Common common;
  SlotFilter filter;
};

int run_slots(const SlotsOptions& options) {
  ControlClient client(options.common);
  const Json slots = slots_of(client, options.filter);
  if (options.common.json) {
    std::printf("%s\n", slots.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    std::printf("%s", slot_text(slots).c_str());
  }
  return kExitOk;
}

}  // namespace

void add_slots(CLI::App& app, Command& command) {
  auto options = std::make_shared<SlotsOptions>();
  CLI::App* sub = app.add_subcommand("slots", "Show the slots of the node: owner, peer, marks, lines moved");
  sub->add_option("--process", options->filter.process, "those of this process only: its pid, or its name");
  sub->add_option("--service", options->filter.service, "those of connections to this service only")
      ->check(service_name());
  add_common(*sub, options->common, "print one JSON array, an object for each slot");
  sub->footer(
      R"(UNREAD counts lines that wait for this process, UNSENT lines that the peer does not have yet, AGAIN lines that were
sent more than once. Slots of one node that share a ring (pairing direct) show '-': no proxy moves their lines. With
--process and --service only slots that fit both are shown.

Examples: slotwire slots --service orders
          slotwire slots --process 4711
          slotwire slots --json | jq '.[] | select(.state != "open")')");
  sub->callback([options, &command] { command = [options] { return run_slots(*options); }; });
}

}  // namespace slotwire::cli
