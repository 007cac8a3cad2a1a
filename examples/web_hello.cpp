// An executing server: answers HTTP requests that a web server hands it through slots.
//   example_web_hello [SERVICE]      until SIGTERM or SIGINT, which end it without failing a request
#include <charconv>
#include <csignal>
#include <cstdio>
#include <thread>

#include "slotwire_web.hpp"

using namespace std::chrono_literals;
namespace web = slotwire::web;

namespace {

const web::Server* running = nullptr;

void on_signal(int) {
  running->stop();
}

/// Works in a thread of its own, and answers in the server's.
void answer_from_another_thread(const web::ExchangePtr& x) {
  std::thread([x, poster = x->poster()]() mutable {
    const std::string text = "from another thread\n";
    poster.post([x, text] { x->respond(200, {{"content-type", "text/plain"}}, text); });
  }).detach();
}

void handle(const web::ExchangePtr& x) {
  if (x->path() == "/hello") {
    x->respond(200, {{"content-type", "text/plain"}}, "hello from slots\n");
  } else if (x->path() == "/echo") {
    x->collect_body(1 << 20, [x](slotwire::Result<std::string> body) {
      if (body) {
        x->respond(200, {{"content-type", x->field("content-type")}}, *body);
      } else {
        x->respond(413, {}, body.error().text);
      }
    });
  } else if (x->path() == "/thread") {
    answer_from_another_thread(x);
  } else {
    x->respond(404, {{"content-type", "text/plain"}}, "there is /hello, /echo and /thread\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string service = argc > 1 ? argv[1] : "web";
  auto server = web::Server::open({}, service, handle);
  if (!server) {
    std::fprintf(stderr, "%s\n", server.error().text.c_str());
    return 1;
  }
  running = &*server;
  std::signal(SIGTERM, on_signal);
  std::signal(SIGINT, on_signal);
  std::printf("serving '%s'\n", service.c_str());
  std::fflush(stdout);
  const auto ended = server->run();
  if (!ended) std::fprintf(stderr, "%s\n", ended.error().text.c_str());
  return ended ? 0 : 1;
}
