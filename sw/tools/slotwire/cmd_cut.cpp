// slotwire cut: drops the connections under a link, to see that it comes back.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "tools/slotwire/control_client.hpp"

namespace slotwire::cli {

void add_cut(CLI::App& app, Command& command) {
  struct Options {
    Common common;
    std::string peer;
  };
  auto options = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand("cut", "Drop a link's connections now; they come back by themselves");
  sub->add_option("PEER", options->peer, "the node at the other end of the link")->required();
  add_common(*sub, options->common, "print {\"peer\": ..., \"cut\": true}");
  sub->footer(R"(Drops the control connection to PEER and, on a stream carrier, the data connection. Nothing that
processes have sent is lost: it waits in their rings. Only root and slotwired's own user may do this.

Example: slotwire cut right && slotwire status)");
  sub->callback([options, &command] {
    command = [options] {
      ControlClient(options->common).ask(control::Cut{options->peer});
      if (options->common.json) {
        std::printf("%s\n", Json{{"peer", options->peer}, {"cut", true}}.dump().c_str());
      } else {
        std::printf("the connections to '%s' were dropped; 'slotwire status' shows when the link is up again\n",
                    options->peer.c_str());
      }
      return kExitOk;
    };
  });
}

}  // namespace slotwire::cli
