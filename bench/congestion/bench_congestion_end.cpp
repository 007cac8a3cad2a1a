// One end of bulk traffic for bench_congestion.py; ends.hpp says what each does and prints.
//
//   bench_congestion_end sink SERVICE [-n CONNECTIONS]            the slotwired of $SLOTWIRE_SOCKET
//   bench_congestion_end send SERVICE [-n CONNECTIONS] [--ring BYTES] [--time MS] [--patience MS]
//   bench_congestion_end tcp-sink ADDRESS:PORT [-n CONNECTIONS]
//   bench_congestion_end tcp-send ADDRESS:PORT [-n CONNECTIONS] [--algorithm NAME] [--time MS]
#include <sys/prctl.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>

#include "ends.hpp"

namespace {

using namespace slotwire::bench;

void add_sender(CLI::App& app, const char* name, SenderOptions& options, bool tcp, void (*run)(const SenderOptions&)) {
  CLI::App& sub = *app.add_subcommand(name, "sends as much as it can");
  sub.add_option("to", options.to, tcp ? "address:port" : "a service")->required();
  sub.add_option("-n", options.connections, "connections")->check(CLI::Range(1, 4096));
  sub.add_option("--first", options.first, "number of the first stream");
  sub.add_option_function<unsigned>(
      "--time", [&](unsigned ms) { options.time = std::chrono::milliseconds(ms); }, "ms");
  sub.add_option_function<unsigned>(
      "--patience", [&](unsigned ms) { options.patience = std::chrono::milliseconds(ms); },
      "ms, for connecting and for what is on its way at the end");
  if (tcp) {
    sub.add_option("--algorithm", options.algorithm, "TCP_CONGESTION");
  } else {
    sub.add_option("--ring", options.ring_bytes, "of each connection, bytes")->check(CLI::Range(4096, 2 << 20));
  }
  sub.callback([&options, run] { run(options); });
}

void add_sink(CLI::App& app, const char* name, SinkOptions& options, void (*run)(const SinkOptions&)) {
  CLI::App& sub = *app.add_subcommand(name, "receives until all connections have ended");
  sub.add_option("at", options.at, "a service, or address:port")->required();
  sub.add_option("-n", options.connections, "connections")->check(CLI::Range(1, 4096));
  sub.callback([&options, run] { run(options); });
}

}  // namespace

int main(int argc, char** argv) {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  SenderOptions sender;
  SinkOptions sink;
  CLI::App app("One end of bulk traffic");
  app.require_subcommand(1);
  add_sender(app, "send", sender, false, send_over_slotwire);
  add_sender(app, "tcp-send", sender, true, send_over_tcp);
  add_sink(app, "sink", sink, sink_of_slotwire);
  add_sink(app, "tcp-sink", sink, sink_of_tcp);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_congestion_end: %s\n", error.what());
    return 1;
  }
  return 0;
}
