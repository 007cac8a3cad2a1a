// An executing server that streams: bodies of any length, without holding them.
//   example_web_stream [SERVICE]
//   PUT  /count      answers with the number of bytes of the body
//   GET  /zeros/N    answers with N bytes
//   POST /mirror     answers with the body while it arrives
//   GET  /wait       never answers; prints why it was given up
#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "slotwire_web.hpp"

namespace web = slotwire::web;

namespace {

const web::Server* running = nullptr;

void on_signal(int) {
  running->stop();
}

/// A callback of an exchange that keeps the exchange: it lasts until the response is finished.
void count(const web::ExchangePtr& x) {
  x->on_body([x, sum = std::size_t{0}]() mutable {
    while (true) {
      const auto data = x->peek_body();
      if (!data) return;  // again: called when more is there; anything else: the exchange is over
      if (data->empty()) break;
      sum += data->size();
      x->consume_body(data->size());
    }
    x->respond(200, {{"content-type", "text/plain"}}, std::to_string(sum) + "\n");
  });
}

void zeros(const web::ExchangePtr& x, std::uint64_t size) {
  x->start(200, {{"content-type", "application/octet-stream"}}, size);
  x->on_room([x, left = size]() mutable {
    while (left > 0) {
      const auto room = x->loan(1);  // in the ring itself
      if (!room) return;             // again: called when there is room
      if (room->empty()) break;      // a HEAD request has no body in its response
      const std::size_t n = std::min<std::uint64_t>(room->size(), left);
      std::memset(room->data(), 0, n);
      x->commit(n);
      left -= n;
    }
    x->finish();
  });
}

void mirror(const web::ExchangePtr& x) {
  x->start(200, {{"content-type", x->field("content-type")}}, x->content_length());
  const auto move = [x] {
    while (true) {
      const auto data = x->peek_body();
      if (!data) return;
      if (data->empty()) break;
      const auto written = x->write(*data);
      if (!written) return;
      x->consume_body(*written);
    }
    x->finish();
  };
  x->on_body(move);
  x->on_room(move);
}

void handle(const web::ExchangePtr& x) {
  const std::string_view path = x->path();
  if (path == "/count") {
    count(x);
  } else if (path == "/mirror") {
    mirror(x);
  } else if (path.starts_with("/zeros/")) {
    std::uint64_t size = 0;
    std::from_chars(path.data() + 7, path.data() + path.size(), size);
    zeros(x, size);
  } else if (path == "/wait") {
    x->on_abort([x](web::Abort why) {
      std::printf("given up: %s\n", std::string(web::name(why)).c_str());
      std::fflush(stdout);
    });
    std::printf("waiting\n");
    std::fflush(stdout);
  } else {
    x->respond(404, {{"content-type", "text/plain"}}, "there is /count, /zeros/N, /mirror and /wait\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string service = argc > 1 ? argv[1] : "web";
  web::ServerOptions options;
  options.drain_time = std::chrono::seconds(10);
  auto server = web::Server::open({}, service, handle, options);
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
