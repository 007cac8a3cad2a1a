#include "tools/slotwire/tunnel/tunnel.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace slotwire::cli {
namespace {

/// Ready connections and sockets taken at one time.
constexpr std::size_t kAtOnce = 256;
/// While connections are being made: how often their deadlines are looked at.
constexpr int kLateCheckMs = 250;
/// The longest that a wait yields before it sleeps.
constexpr std::chrono::microseconds kYield{50};

/// Tags of the descriptors that are no pipe's.
char poller_tag, stop_tag, listener_tag;

}  // namespace

Tunnel::Tunnel(const TunnelOptions& options, const std::string& name)
    : options_(options),
      log_(options.common.json, options.quiet),
      context_(open_context(options.common, name)),
      poller_(create_poller(*context_)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      waiter_({.spin = {}, .yield = kYield}) {
  ::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  watch(sw_poller_fd(poller_.get()), &poller_tag);
  watch(stop_.fd(), &stop_tag);
}

Tunnel::~Tunnel() {
  for (auto& [raw, pipe] : pipes_) pipe->close();
}

void Tunnel::watch(int fd, void* tag) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = tag;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
}

void Tunnel::watch_listener() {
  const bool wanted = listener_ >= 0 && !full();
  if (wanted == listening_) return;
  listening_ = wanted;
  if (wanted) {
    watch(listener_, &listener_tag);
  } else {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener_, nullptr);
    log_.trouble("all " + std::to_string(options_.connections) +
                 " connections are in use (--max-connections): new ones wait");
  }
}

Pipe& Tunnel::add(slot::Fd tcp, std::string tcp_peer) {
  auto pipe = std::make_unique<Pipe>(++last_number_, std::move(tcp), std::move(tcp_peer));
  Pipe& added = *pipe;
  pipes_.emplace(&added, std::move(pipe));
  ++connecting_;
  return added;
}

void Tunnel::watch_tcp(Pipe& pipe) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &pipe;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, pipe.tcp_fd(), &event) != 0) {
    abort(pipe, "the socket cannot be watched: " + std::string(std::strerror(errno)));
  }
}

void Tunnel::open(Pipe& pipe) {
  if (pipe.state() != Pipe::State::connecting) return;
  --connecting_;
  pipe.open();
  if (sw_poller_add(poller_.get(), pipe.slot(), SW_READABLE, &pipe) != SW_OK) return abort(pipe, sw_last_error());
  pipe.watched = SW_READABLE;
  drive(pipe);
}

void Tunnel::abort(Pipe& pipe, const std::string& reason) {
  if (pipe.state() == Pipe::State::ended) return;
  if (pipe.state() == Pipe::State::connecting) --connecting_;
  pipe.abort(reason);
  ended_.push_back(&pipe);
}

void Tunnel::drive(Pipe& pipe) {
  if (pipe.state() != Pipe::State::open) return;
  const bool more = pipe.drive();
  if (pipe.state() == Pipe::State::ended) {
    ended_.push_back(&pipe);
    return;
  }
  if (pipe.wants() != pipe.watched) {
    sw_poller_set(poller_.get(), pipe.slot(), pipe.wants());
    pipe.watched = pipe.wants();
  }
  if (more && !pipe.queued) {
    pipe.queued = true;
    queued_.push_back(&pipe);
  }
}

void Tunnel::drive_queued() {
  std::vector<Pipe*> now;
  now.swap(queued_);
  for (Pipe* pipe : now) {
    pipe->queued = false;
    drive(*pipe);
  }
}

/// Closes pipes that have ended. Only here, where no list of events points to them.
void Tunnel::bury() {
  if (ended_.empty()) return;
  for (Pipe* pipe : ended_) {
    on_ended(*pipe);
    std::erase(queued_, pipe);
    log_.ended(*pipe, options_.service);
    pipe->close();
    pipes_.erase(pipe);
  }
  ended_.clear();
  on_room();
}

void Tunnel::check_late() {
  const auto now = std::chrono::steady_clock::now();
  if (now - late_checked_ < std::chrono::milliseconds(kLateCheckMs)) return;
  late_checked_ = now;
  for (auto& [raw, pipe] : pipes_) {
    if (pipe->state() == Pipe::State::connecting && now - pipe->started > options_.connect_timeout)
      abort(*pipe, late_reason(*pipe));
  }
  on_late_check();
}

void Tunnel::take_slots(bool& worked) {
  std::array<sw_ready, kAtOnce> ready;
  std::size_t count = 0;
  const int status = sw_poller_wait(poller_.get(), ready.data(), ready.size(), 0, &count);
  if (status == SW_AGAIN) return;
  check(status, "cannot wait for slots");
  worked = true;
  for (std::size_t i = 0; i < count; ++i) drive(*static_cast<Pipe*>(ready[i].token));
  if (count == 0) on_context();
}

void Tunnel::take_sockets(int timeout_ms, bool& worked) {
  std::array<epoll_event, kAtOnce> events;
  const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms);
  for (int i = 0; i < n; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (event.data.ptr == &poller_tag || event.data.ptr == &stop_tag) continue;
    worked = true;
    if (event.data.ptr == &listener_tag) {
      on_listener();
      continue;
    }
    Pipe& pipe = *static_cast<Pipe*>(event.data.ptr);
    if (pipe.state() == Pipe::State::connecting) {
      on_connecting(pipe, event.events);
    } else if (pipe.state() == Pipe::State::open) {
      pipe.on_tcp(event.events);
      if (pipe.state() == Pipe::State::ended) {
        ended_.push_back(&pipe);
      } else {
        drive(pipe);
      }
    }
  }
}

int Tunnel::run() {
  while (!stop_.stopped()) {
    watch_listener();
    bool worked = !queued_.empty();
    drive_queued();
    take_slots(worked);
    take_sockets(0, worked);
    if (connecting_ != 0) check_late();
    bury();
    if (worked) {
      waiter_.found();
      continue;
    }
    if (waiter_.stay_awake()) continue;
    if (sw_poller_arm(poller_.get()) != SW_OK) continue;
    take_sockets(connecting_ != 0 ? kLateCheckMs : -1, worked);
    waiter_.slept();
  }
  listener_ = -1;
  for (auto& [raw, pipe] : pipes_) abort(*pipe, "the tunnel was stopped");
  bury();
  log_.sums();
  return kExitOk;
}

}  // namespace slotwire::cli
