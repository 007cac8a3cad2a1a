// Serves "echo": answers each request with what it held. Ends on SIGINT and SIGTERM.
//   echo_server [SERVICE]
#include <csignal>
#include <cstdio>
#include <string>

#include "slotwire_server.hpp"

namespace {

const slotwire::Server* running = nullptr;

extern "C" void stop(int) {
  running->stop();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string service = argc > 1 ? argv[1] : "echo";
  auto server = slotwire::Server::open({.name = "echo_server"}, service,
                                       [](slotwire::Request& request) { request.reply(request.data()); });
  if (!server) {
    std::fprintf(stderr, "echo_server: %s\n", server.error().text.c_str());
    return 1;
  }
  running = &*server;
  std::signal(SIGINT, stop);
  std::signal(SIGTERM, stop);
  std::printf("serving '%s' on node '%s'\n", service.c_str(), std::string(server->context().node()).c_str());
  std::fflush(stdout);
  if (const auto ran = server->run(); !ran) {
    std::fprintf(stderr, "echo_server: %s\n", ran.error().text.c_str());
    return 1;
  }
  return 0;
}
