// The executing server of the slotwire contender: answers /1k and /64k with so many bytes. One process, one thread.
//   bench_web_app SERVICE
#include <csignal>
#include <cstdio>
#include <string>

#include "slotwire_web.hpp"

namespace web = slotwire::web;

namespace {

const web::Server* running = nullptr;
void on_signal(int /*number*/) {
  running->stop();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: bench_web_app SERVICE\n"), 2;
  const std::string small(1024, 'x'), large(65536, 'x');
  auto server = web::Server::open({.name = "bench-app"}, argv[1], [&](const web::ExchangePtr& x) {
    x->respond(200, {{"content-type", "text/plain"}}, x->path() == "/64k" ? large : small);
  });
  if (!server) return std::fprintf(stderr, "%s\n", server.error().text.c_str()), 1;
  running = &*server;
  std::signal(SIGTERM, on_signal);
  std::printf("serving %s\n", argv[1]);
  std::fflush(stdout);
  return server->run() ? 0 : 1;
}
