// An echo server inside an epoll loop of its own, beside other descriptors: here, standard input, whose end ends the
// program.
//   event_loop [SERVICE]
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <map>
#include <string>

#include "slotwire.hpp"

namespace {

using slotwire::Connection;
using slotwire::Deadline;
using slotwire::Interest;
using slotwire::Status;

bool watch(int epoll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  return ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

/// Answers what has arrived until there is no more, and then asks to be woken. False: the connection has ended.
bool serve(Connection& connection) {
  while (true) {
    const auto request = connection.receive(Deadline::now());
    if (request) {
      // A peer that does not take its answers is not waited for: this thread has other things to do.
      if (request->kind() == slotwire::Kind::request &&
          !connection.reply(request->id(), request->data(), Deadline::now())) {
        return false;
      }
      continue;
    }
    if (request.status() != Status::again) return false;
    // Nothing there: say that this end sleeps. If something came in between, arm() says again.
    const auto armed = connection.arm(Interest::readable);
    if (armed) return true;
    if (armed.status() != Status::again) return false;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "echo";
  auto context = slotwire::Context::open({.name = "event_loop"});
  if (!context) {
    std::fprintf(stderr, "event_loop: %s\n", context.error().text.c_str());
    return 1;
  }
  auto service = context->serve(name);
  if (!service) {
    std::fprintf(stderr, "event_loop: %s\n", service.error().text.c_str());
    return 1;
  }
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0 || !watch(epoll, context->fd()) || !watch(epoll, STDIN_FILENO)) {
    std::perror("event_loop");
    return 1;
  }
  std::printf("serving '%s'\n", name.c_str());
  std::fflush(stdout);
  std::map<int, Connection> connections;
  std::array<epoll_event, 64> events;
  while (true) {
    const int n = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < n; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (fd == STDIN_FILENO) {
        std::array<char, 256> ignored;
        if (::read(fd, ignored.data(), ignored.size()) > 0) continue;
        connections.clear();  // before the context that they belong to
        ::close(epoll);
        return 0;
      }
      if (fd == context->fd()) {
        // Connections that were made, and ended; an ended one becomes readable itself.
        while (auto connection = service->accept(Deadline::now())) {
          const int own = connection->fd();
          const auto [place, fresh] = connections.insert_or_assign(own, *std::move(connection));
          if (!watch(epoll, own) || !serve(place->second)) connections.erase(place);
        }
        continue;
      }
      const auto found = connections.find(fd);
      if (found == connections.end()) continue;
      found->second.disarm();
      if (!serve(found->second)) connections.erase(found);  // closing the descriptor takes it out of epoll
    }
  }
}
