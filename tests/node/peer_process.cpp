// A process for tests to kill: node_peer_process SOCKET SERVICE serve|connect COUNT
//   serve    accepts one connection, sends COUNT messages, says "ready", keeps the connection
//   connect  connects, sends COUNT messages, says "ready", keeps the connection
//   call-once  makes a call over a one-shot connection
// Ends when its standard input, or whoever started it, does.
#include <poll.h>
#include <sys/prctl.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "slotwire.hpp"

int main(int argc, char** argv) {
  using namespace std::chrono_literals;
  if (argc != 5) return 2;
  const auto fail = [](const slotwire::Error& error) {
    std::fprintf(stderr, "node_peer_process: %s\n", error.text.c_str());
    return 1;
  };
  auto context = slotwire::Context::open({.socket = argv[1], .name = "victim"});
  if (!context) return fail(context.error());
  const bool serves = std::string(argv[3]) == "serve";
  std::optional<slotwire::Service> service;
  if (serves) {
    auto served = context->serve(argv[2]);
    if (!served) return fail(served.error());
    service.emplace(*std::move(served));
    std::puts("serving");
    std::fflush(stdout);
  }
  const bool once = std::string(argv[3]) == "call-once";
  auto connection = serves ? service->accept(20s) : context->connect(argv[2], 20s, {.one_shot = once});
  if (!connection) return fail(connection.error());
  if (once) return connection->call(1, "question", slotwire::Deadline::never()) ? 0 : 1;
  for (int i = 0; i < std::atoi(argv[4]); ++i) {
    if (auto sent = connection->send(std::to_string(i), 20s); !sent) return fail(sent.error());
  }
  std::puts("ready");
  std::fflush(stdout);
  while (connection->receive(slotwire::Deadline::never())) {  // what comes does not end it
  }
  return 1;
}
