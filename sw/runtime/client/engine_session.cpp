#include "runtime/client/engine_session.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "core/slot/waiter.hpp"
#include "runtime/control/engine_owner.hpp"

namespace slotwire::client {
namespace {

/// Text of one packet at most; the engine's own limit is limits.control_message.
constexpr std::size_t kMaxPacket = std::size_t{1} << 20;
constexpr std::size_t kPacketQueue = 64;
/// Between two attempts to come back to an engine that went away.
constexpr std::int64_t kRetryNs = 50'000'000;
/// An engine that does not answer a hello or a resume in this time is not one.
constexpr sw_timeout_ms kHelloMs = 5000;
/// Longer timeouts are cut to this, which is longer than any process lives.
constexpr sw_timeout_ms kLongestTimeout = sw_timeout_ms{1} << 40;

int status_of(const std::string& code) {
  if (code == "refused") return SW_REFUSED;
  if (code == "quota") return SW_REFUSED;
  if (code == "no_service") return SW_NO_SERVICE;
  if (code == "no_memory") return SW_NO_MEMORY;
  if (code == "link_down") return SW_LINK_DOWN;
  if (code == "timed_out") return SW_TIMED_OUT;
  if (code == "peer_gone") return SW_PEER_DIED;
  if (code == "version") return SW_VERSION;
  if (code == "busy") return SW_BUSY;
  if (code == "no_session") return SW_LOST;
  if (code == "restarting") return SW_ENGINE_GONE;
  return SW_INVALID;
}

/// What an answer says went wrong.
Failure failure_in(const control::Answer& answer) {
  if (!answer.refusal) return {};
  if (answer.refusal->code.empty()) {
    return {SW_VERSION, "slotwired's answer cannot be understood: an error without a code"};
  }
  return {status_of(answer.refusal->code), answer.refusal->text};
}

std::string_view name_of(const control::Request& request) {
  return std::visit([](const auto& message) { return message.kName; }, request);
}

}  // namespace

std::int64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return (static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000) + now.tv_nsec;
}

std::int64_t Deadline::end_ns() const {
  return monotonic_ns() + (std::min(timeout_, kLongestTimeout) * 1'000'000);
}

bool Deadline::passed() const {
  if (never()) return false;
  if (immediate()) return true;
  start();
  return monotonic_ns() >= at_ns_;
}

int Deadline::poll_ms() const {
  if (never()) return -1;
  if (immediate()) return 0;
  start();
  const std::int64_t left = at_ns_ - monotonic_ns();
  constexpr std::int64_t kLongestMs = 3'600'000;
  return left <= 0 ? 0 : static_cast<int>(std::min((left + 999'999) / 1'000'000, kLongestMs));
}

std::int64_t Deadline::left_ms() const {
  if (never()) return -1;
  if (immediate()) return 1;
  if (at_ns_ == 0) return std::min(timeout_, kLongestTimeout);
  return std::max<std::int64_t>(1, (at_ns_ - monotonic_ns()) / 1'000'000);
}

EngineSession::EngineSession(std::string socket_path, std::string name, SessionEvents& events)
    : path_(std::move(socket_path)),
      name_(std::move(name)),
      events_(events),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      pending_(slot::create_event()),
      timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
  for (const int fd : {pending_.get(), timer_.get()}) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  }
}

Failure EngineSession::connect_socket() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof address.sun_path) return {SW_INVALID, "the control socket's path is too long: " + path_};
  std::memcpy(address.sun_path, path_.data(), path_.size());
  slot::Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return {SW_NO_MEMORY, "cannot create a socket: " + std::string(std::strerror(errno))};
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    if (error == EACCES) {
      return {SW_REFUSED, "not permitted to use the control socket " + path_ + " (see node.control_socket_mode)"};
    }
    return {SW_ENGINE_GONE, "slotwired cannot be reached at " + path_ + " (" + std::strerror(error) +
                                "): start it, or name its socket by SLOTWIRE_SOCKET"};
  }
  if (const std::string wrong = control::wrong_engine_owner(fd.get(), path_); !wrong.empty()) {
    return {SW_REFUSED, "that is not slotwired: " + wrong};
  }
  turned_away_.clear();
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd.get();
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event);
  socket_ = std::make_unique<control::PacketSocket>(std::move(fd), kMaxPacket, kPacketQueue);
  return {};
}

Failure EngineSession::open() {
  if (Failure failure = connect_socket(); failure.status != SW_OK) return failure;
  control::Answer answer;
  std::vector<slot::Fd> fds;
  Failure failure = request(hello_message(), Deadline(kHelloMs), answer, fds);
  if (failure.status == SW_OK) failure = take_hello(answer, std::move(fds));
  if (failure.status != SW_OK) socket_.reset();
  return failure;
}

void EngineSession::open_later() {
  slot::signal_event(pending_.get());
}

Failure EngineSession::take_hello(const control::Answer& answer, std::vector<slot::Fd> fds) {
  const core::Result<control::HelloAnswer> hello = control::decode_answer<control::HelloAnswer>(answer);
  try {
    if (!hello.ok()) throw std::invalid_argument(hello.error().text);
    if (fds.size() != 3)
      throw std::invalid_argument("it sent " + std::to_string(fds.size()) + " descriptors instead of 3");
    for (std::size_t i = 0; i < 2; ++i) {
      if (const std::string wrong = slot::check_sealed_file(fds[i].get(), regs::kPageBytes); !wrong.empty()) {
        throw std::invalid_argument(wrong);
      }
    }
    if (!slot::is_event(fds[2].get())) throw std::invalid_argument("the kick is no timerfd");
    bells_ = slot::map_file(fds[0].get(), regs::kPageBytes, slot::Access::read_write);
    polled_ = slot::map_file(fds[1].get(), regs::kPageBytes, slot::Access::read_only);
    kick_ = std::move(fds[2]);
    id_ = hello.value().session;
    token_ = hello.value().token;
    node_ = hello.value().node;
    policy_.spin = std::chrono::microseconds(hello.value().spin_us);
    policy_.yield = std::chrono::microseconds(hello.value().yield_us);
    spare_slots_ = hello.value().spare_slots;
  } catch (const std::exception& error) {
    return {SW_VERSION, "the program at " + path_ + " does not answer like slotwired: " + error.what()};
  }
  return {};
}

control::Hello EngineSession::hello_message() const {
  return {.version = control::kProcessVersion, .name = name_, .probes = true, .spares = true};
}

control::Resume EngineSession::resume_message(std::vector<std::uint32_t> slots) const {
  return {.version = control::kProcessVersion,
          .session = id_,
          .token = token_,
          .slots = std::move(slots),
          .probes = true,
          .spares = true};
}

void EngineSession::set_ready(bool ready) {
  if (std::exchange(ready_, ready) != ready && attached()) post(control::Alive{.probe = 0, .ready = ready});
}

void EngineSession::bye() {
  if (!socket_ && id_ != 0 && connect_socket().status == SW_OK) {
    // A restarted engine still holds what this process had and has not come back for: it holds nothing any more.
    socket_->send(control::encode_request(0, resume_message({})));
  }
  if (!socket_) return;
  socket_->send(control::encode_request(0, control::Bye{}));
  socket_.reset();
}

void EngineSession::post(const control::Request& request) {
  if (socket_ && !socket_->send(control::encode_request(0, request))) lost_engine();
}

Failure EngineSession::request(const control::Request& request, const Deadline& deadline, control::Answer& answer,
                               std::vector<slot::Fd>& fds) {
  while (resuming_ != Resuming::no && step(deadline)) {
  }
  if (!attached()) return gone_failure();
  const std::uint64_t id = ++last_request_;
  waiting_for_ = id;
  answer_.reset();
  if (!socket_->send(control::encode_request(id, request))) {
    lost_engine();
    return gone_failure();
  }
  while (!answer_) {
    if (step(deadline)) continue;
    if (!socket_) return gone_failure();
    waiting_for_ = 0;
    return {SW_TIMED_OUT, "slotwired did not answer '" + std::string(name_of(request)) + "' in time"};
  }
  answer = std::move(answer_->first);
  fds = std::move(answer_->second);
  answer_.reset();
  return failure_in(answer);
}

bool EngineSession::step(const Deadline& deadline) {
  control::Packet packet;
  const control::PacketSocket::Got got = socket_->receive(packet);
  if (got == control::PacketSocket::Got::packet) {
    if (!take(packet)) slot::signal_event(pending_.get());
    return socket_ != nullptr;
  }
  if (got != control::PacketSocket::Got::nothing) {
    lost_engine();
    return false;
  }
  if (deadline.passed()) return false;
  pollfd wait{socket_->fd(), POLLIN, 0};
  if (socket_->waiting()) wait.events |= POLLOUT;
  ::poll(&wait, 1, deadline.poll_ms());
  if (socket_->waiting() && !socket_->flush()) lost_engine();
  return socket_ != nullptr;
}

Failure EngineSession::attachment() const {
  if (attached() && id_ != 0) return {};
  return last_try_.status == SW_OK ? Failure{SW_AGAIN, {}} : last_try_;
}

Failure EngineSession::gone_failure() const {
  if (!turned_away_.empty()) return {SW_REFUSED, "slotwired turned this process away: " + turned_away_};
  if (id_ == 0 && last_try_.status != SW_OK) return {SW_ENGINE_GONE, last_try_.text};
  if (id_ == 0) return {SW_ENGINE_GONE, "slotwired has not been reached yet (" + path_ + "); new requests wait for it"};
  return {SW_ENGINE_GONE, "slotwired went away (" + path_ + "); connections go on, new requests wait for it"};
}

Failure EngineSession::start(const control::Request& request, std::uint64_t& id) {
  if (!attached()) return gone_failure();
  id = ++last_request_;
  if (!socket_->send(control::encode_request(id, request))) {
    lost_engine();
    return gone_failure();
  }
  started_.insert(id);
  return {};
}

/// Returns true when the packet was the awaited answer (or one that came too late), false when it was an event or the
/// answer to start().
bool EngineSession::take(control::Packet& packet) {
  core::Result<control::FromEngine> message = control::decode_from_engine(packet.text);
  // What a later engine says and this library does not understand changes nothing here.
  if (!message.ok()) return true;
  if (const auto* event = std::get_if<control::Event>(&message.value())) {
    handle_event(*event, std::move(packet.fds));
    return false;
  }
  auto* const answer = std::get_if<control::Answer>(&message.value());
  if (answer == nullptr) return false;
  const std::uint64_t id = answer->id;
  // The engine closes the socket next.
  if (id == 0 && answer->refusal && answer->refusal->code == "quota") turned_away_ = answer->refusal->text;
  if (started_.erase(id) != 0) {
    events_.on_answer(id, failure_in(*answer), *answer, std::move(packet.fds));
    return false;
  }
  if (resuming_ != Resuming::no && id == resume_request_) {
    on_resume_answer(*answer, std::move(packet.fds));
    return false;
  }
  if (id == waiting_for_ && id != 0) {
    waiting_for_ = 0;
    answer_.emplace(std::move(*answer), std::move(packet.fds));
  } else if (const auto late = control::decode_answer<control::Close>(*answer); late.ok()) {
    // A connection that was opened after its connect had been given up: nobody holds it.
    post(late.value());
  }
  return true;
}

void EngineSession::handle_event(const control::Event& event, std::vector<slot::Fd> fds) {
  if (const auto* accepted = std::get_if<control::Accepted>(&event)) {
    events_.on_accepted(accepted->slot, std::move(fds));
  } else if (const auto* closed = std::get_if<control::Closed>(&event)) {
    events_.on_closed(closed->local, closed->reason, closed->text);
  } else if (const auto* link = std::get_if<control::LinkEvent>(&event)) {
    events_.on_link(link->node, link->up, link->text);
  } else if (const auto* probe = std::get_if<control::Probe>(&event)) {
    post(control::Alive{.probe = probe->probe, .ready = ready_});
  } else if (const auto* health = std::get_if<control::HealthEvent>(&event)) {
    events_.on_health(health->local, health->health);
  } else if (const auto* forget = std::get_if<control::Forget>(&event)) {
    events_.on_forget(forget->slots);
  }
}

void EngineSession::seen() {
  slot::drain_event(pending_.get());
}

void EngineSession::process() {
  seen();
  take_what_came();
}

void EngineSession::process_in_passing() {
  if (take_what_came()) slot::signal_event(pending_.get());
}

std::array<pollfd, 2> EngineSession::sources() const {
  const int socket = socket_ == nullptr ? -1 : socket_->fd();  // poll(2) leaves -1 out
  const bool sends = socket_ != nullptr && socket_->waiting();
  return {{{socket, static_cast<short>(sends ? POLLIN | POLLOUT : POLLIN), 0}, {timer_.get(), POLLIN, 0}}};
}

bool EngineSession::take_what_came() {
  bool any = false;
  if (!socket_) {
    try_resume();
  } else if (resuming_ != Resuming::no && monotonic_ns() >= resume_until_ns_) {
    not_taken_back({SW_TIMED_OUT, "the program at " + path_ + " did not answer like slotwired in " +
                                      std::to_string(kHelloMs) + " ms"});
  }
  while (socket_) {
    control::Packet packet;
    const control::PacketSocket::Got got = socket_->receive(packet);
    if (got == control::PacketSocket::Got::nothing) {
      if (socket_->waiting() && !socket_->flush()) lost_engine();
      break;
    }
    if (got != control::PacketSocket::Got::packet) {
      lost_engine();
      break;
    }
    any = !take(packet) || any;
  }
  return any;
}

void EngineSession::lost_engine() {
  socket_.reset();
  waiting_for_ = 0;
  resuming_ = Resuming::no;
  next_try_ns_ = 0;
  arm_timer(kRetryNs);
  const std::set<std::uint64_t> unanswered = std::exchange(started_, {});
  for (const std::uint64_t id : unanswered) events_.on_answer(id, gone_failure(), {}, {});
  if (!unanswered.empty()) slot::signal_event(pending_.get());
}

void EngineSession::not_taken_back(Failure why) {
  last_try_ = std::move(why);
  lost_engine();
  next_try_ns_ = monotonic_ns() + kRetryNs;
}

void EngineSession::arm_timer(std::int64_t ns) {
  itimerspec timer{};
  timer.it_value.tv_sec = ns / 1'000'000'000;
  timer.it_value.tv_nsec = ns % 1'000'000'000;
  ::timerfd_settime(timer_.get(), 0, &timer, nullptr);
}

void EngineSession::try_resume() {
  const std::int64_t now = monotonic_ns();
  if (now < next_try_ns_) return;
  next_try_ns_ = now + kRetryNs;
  arm_timer(kRetryNs);
  if (Failure failure = connect_socket(); failure.status != SW_OK) {
    last_try_ = std::move(failure);
    return;
  }
  if (id_ == 0) return ask_back(Resuming::hello, hello_message());
  ask_back(Resuming::resume, resume_message(events_.held()));
}

void EngineSession::ask_back(Resuming what, const control::Request& request) {
  resuming_ = what;
  resume_request_ = ++last_request_;
  resume_until_ns_ = monotonic_ns() + (kHelloMs * 1'000'000);
  arm_timer(kHelloMs * 1'000'000);
  if (!socket_->send(control::encode_request(resume_request_, request)))
    not_taken_back({SW_ENGINE_GONE, "slotwired went away (" + path_ + ") before it had taken this process back"});
}

void EngineSession::on_resume_answer(const control::Answer& answer, std::vector<slot::Fd> fds) {
  Failure failure = failure_in(answer);
  if (resuming_ == Resuming::resume) {
    // The engine started anew and knows nothing of what there was.
    if (failure.status == SW_LOST || failure.status == SW_REFUSED) {
      return ask_back(Resuming::hello, hello_message());
    }
    if (failure.status == SW_OK) failure = take_closed(answer);
    if (failure.status == SW_OK) events_.on_resumed();
  } else if (failure.status == SW_OK) {
    failure = take_hello(answer, std::move(fds));
    // Told only now: whoever learns that a connection is lost can go on with new ones.
    if (failure.status == SW_OK) events_.on_lost();
  }
  if (failure.status != SW_OK) return not_taken_back(std::move(failure));
  last_try_ = {};
  resuming_ = Resuming::no;
  arm_timer(0);
  serve_again();
}

Failure EngineSession::take_closed(const control::Answer& answer) {
  const core::Result<control::ResumeAnswer> resumed = control::decode_answer<control::ResumeAnswer>(answer);
  if (!resumed.ok()) return {SW_VERSION, "slotwired's answer cannot be understood: " + resumed.error().text};
  for (const control::ClosedSlot& closed : resumed.value().closed) events_.on_closed(closed.local, closed.reason, {});
  return {};
}

void EngineSession::serve_again() {
  if (!ready_) post(control::Alive{.probe = 0, .ready = false});
  for (const auto& [service, backlog] : services_) {
    post(control::Serve{.service = service, .backlog = backlog});
  }
}

}  // namespace slotwire::client
