#include "runtime/gate/gate.hpp"

#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <exception>
#include <utility>

#include "core/carriers/certificate_check.hpp"

namespace slotwire::gate {
namespace {

using control::GateKind;
using control::GateNotice;
using control::GatePacket;

constexpr std::uint64_t kPacketsTag = 0, kListenerTag = 1, kResolverTag = 2, kFirstConnectionTag = 16;
constexpr std::size_t kEventsAtOnce = 64;
/// Of one connection, of slotwired, and accepted, before others have their turn.
constexpr int kMessagesAtOnce = 16, kPacketsAtOnce = 64, kAcceptAtOnce = 32;
constexpr std::uint64_t kSweepUs = 100'000;
constexpr std::uint64_t kCountersUs = 200'000;
/// For what was said last to a connection that is closed.
constexpr std::uint64_t kLeaveUs = 1'000'000;
/// After the system had no descriptor for a caller.
constexpr std::uint64_t kListenPauseUs = 100'000;
/// Of a peer's own address, before a session over HTTP is taken for a control connection.
constexpr std::uint64_t kDirectUs = 1'000'000;

/// A certificate that holds may not do so for ever.
constexpr std::uint64_t kLookAtCertificateUs = 3'600'000'000;

const carriers::TlsFiles kTlsNames{"tls.certificate", "tls.key", "tls.ca", "tls.crl"};

std::uint64_t now_us() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return (static_cast<std::uint64_t>(now.tv_sec) * 1'000'000) + (static_cast<std::uint64_t>(now.tv_nsec) / 1000);
}

/// A file that slotwired has opened: its place in it is shared, so it is read from its beginning by place.
core::Result<std::string> read_file(int fd, const std::string& what) {
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size > off_t{control::kMaxPemFile}) {
    return core::Error{what + " is no file of at most 4 MiB"};
  }
  std::string text(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t have = 0;
  while (have < text.size()) {
    const ssize_t n = ::pread(fd, text.data() + have, text.size() - have, static_cast<off_t>(have));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return core::Error{what + " cannot be read: " + carriers::errno_text(errno)};
    if (n == 0) break;
    have += static_cast<std::size_t>(n);
  }
  text.resize(have);
  return text;
}

}  // namespace

core::Result<Setup> take_setup(control::Packet&& packet, GateKind kind) {
  const core::Result<GatePacket> read = control::decode_gate(packet.text);
  if (!read.ok() || read.value().kind != kind) return core::Error{"slotwired did not begin with a setup"};
  core::Result<control::GateSetup> figures = control::gate_body<control::GateSetup>(read.value());
  if (!figures.ok()) return figures.error();
  Setup setup;
  setup.figures = std::move(figures).value();
  const control::GateSetup& f = setup.figures;
  const std::size_t wanted = (f.listens ? 1U : 0U) + (f.http_listens ? 1U : 0U) + (f.tls ? 3U : 0U) + (f.crl ? 1U : 0U);
  // Closed on every way out: the key is not to be read again.
  std::vector<slot::Fd> fds = std::move(packet.fds);
  if (fds.size() != wanted || (f.crl && !f.tls)) {
    return core::Error{"a setup came with " + std::to_string(fds.size()) + " descriptors"};
  }
  std::size_t at = 0;
  if (f.listens) setup.listener = std::move(fds[at++]);
  if (f.http_listens) setup.http_listener = std::move(fds[at++]);
  if (!f.tls) return setup;
  carriers::TlsTexts texts;
  const std::array<std::pair<std::string*, const char*>, 4> files{{{&texts.certificate, "tls.certificate"},
                                                                   {&texts.key, "tls.key"},
                                                                   {&texts.ca, "tls.ca"},
                                                                   {&texts.crl, "tls.crl"}}};
  for (std::size_t i = 0; i < (f.crl ? 4U : 3U); ++i) {
    core::Result<std::string> text = read_file(fds[at++].get(), files[i].second);
    if (!text.ok()) return text.error();
    *files[i].first = std::move(text).value();
  }
  if (f.http_listens && f.http.tls) setup.https = texts;
  if (f.crl && texts.crl.empty()) return core::Error{"tls.crl is empty"};
  try {
    setup.tls = std::make_shared<const carriers::TlsContext>(std::move(texts), kTlsNames);
  } catch (const std::exception& error) {
    return core::Error{error.what()};
  }
  return setup;
}

Gate::Gate(control::PacketSocket& packets, Setup setup, Resolver& resolver)
    : packets_(packets),
      figures_(std::move(setup.figures)),
      tls_(std::move(setup.tls)),
      listener_(std::move(setup.listener)),
      resolver_(resolver),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      admission_({figures_.callers, figures_.callers_per_source}) {
  if (!epoll_) carriers::throw_errno("making an epoll descriptor");
  const auto add = [&](int fd, std::uint64_t tag) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = tag;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) carriers::throw_errno("watching a descriptor");
  };
  add(packets_.fd(), kPacketsTag);
  add(resolver_.fd(), kResolverTag);
  if (listener_) add(listener_.get(), kListenerTag);
  listening_ = static_cast<bool>(listener_);
  if (figures_.http_listens) front().listen(std::move(setup.http_listener), figures_.http, setup.https);
}

Gate::~Gate() = default;

HttpFront& Gate::front() {
  if (!front_) {
    front_ = std::make_unique<HttpFront>(
        loop_, static_cast<FrontHost&>(*this), [this](const std::string& host, http::ResolveAnswer answer) {
          look_up(host, [answer = std::move(answer)](const Resolver::Found& found) { answer(found); });
        });
  }
  return *front_;
}

int Gate::run() {
  send({GateKind::ready, true, 0, 0, {}});
  look_at_certificate();
  run_alone();
  http::Watch watch(loop_, epoll_.get(), [this](http::Readiness) { turn_in_loop(); });
  watch.want({true, false});
  again_later_ = std::make_unique<http::Timer>(loop_, [this] { turn_in_loop(); });
  loop_.post([this] { turn_in_loop(); });
  if (!lost_ && !ended_) loop_.run();
  again_later_.reset();
  front_.reset();
  // What slotwired has said to peers goes out as far as their connections take it.
  for (const auto& [id, connection] : connections_) {
    connection->drive(now_us());
    connection->close("the node stops");
  }
  return lost_ ? 1 : 0;
}

void Gate::run_alone() {
  turn(0);
  while (!lost_ && !ended_ && !front_) turn(wait_ms());
}

void Gate::turn_in_loop() {
  turn(0);
  if (lost_ || ended_) return loop_.stop();
  const int wait = wait_ms();
  if (wait >= 0) {
    again_later_->after(std::chrono::milliseconds(wait));
  } else {
    again_later_->cancel();
  }
}

void Gate::turn(int wait_ms) {
  std::array<epoll_event, kEventsAtOnce> events;
  const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), wait_ms);
  std::vector<Id> ready(again_.begin(), again_.end());
  again_.clear();
  bool packets = false;
  for (int i = 0; i < n; ++i) {
    const std::uint64_t tag = events[static_cast<std::size_t>(i)].data.u64;
    if (tag == kPacketsTag) packets = true;
    if (tag == kListenerTag) accept();
    if (tag == kResolverTag) resolver_.take();
    if (tag >= kFirstConnectionTag) ready.push_back(static_cast<Id>(tag - kFirstConnectionTag));
  }
  if (packets && !take_packets()) ended_ = true;
  flush_connections();
  if (lost_ || ended_) return;
  for (const Id id : ready) pump(id);
  sweep();
  flush();
}

int Gate::wait_ms() const {
  if (!again_.empty()) return 0;
  if (!slowed_.empty()) return 1;
  const bool transient = std::any_of(connections_.begin(), connections_.end(), [](const auto& entry) {
    return entry.second->state() != Connection::State::proved;
  });
  if (transient || counters_changed_ || (listener_ && !listening_)) return static_cast<int>(kSweepUs / 1000);
  return tls_ ? static_cast<int>(kLookAtCertificateUs / 1000) : -1;
}

/// What was sent before goes before it.
void Gate::send(const GatePacket& packet) {
  if (packet.kind != GateKind::messages) flush();
  if (!packets_.send(control::encode_gate(packet))) {
    lost_ = true;
    loop_.stop();
  }
  const bool waiting = packets_.waiting();
  if (waiting == packets_waiting_) return;
  packets_waiting_ = waiting;
  epoll_event event{};
  event.events = static_cast<std::uint32_t>(EPOLLIN) | (waiting ? static_cast<std::uint32_t>(EPOLLOUT) : 0U);
  event.data.u64 = kPacketsTag;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, packets_.fd(), &event);
}

/// Short ones wait for the end of the turn; longer ones go at once, in pieces.
void Gate::send_message(Id id, std::string_view text) {
  if (batch_.add(id, text)) return;
  flush();
  if (batch_.add(id, text)) return;
  for (std::size_t at = 0; at < text.size(); at += control::kGateBody) {
    const std::size_t piece = std::min(control::kGateBody, text.size() - at);
    send({GateKind::message, at + piece == text.size(), id, 0, std::string(text.substr(at, piece))});
  }
}

void Gate::flush() {
  if (!batch_.empty()) send(batch_.take());
}

void Gate::notice(GateNotice about, const std::string& text) {
  GatePacket packet = control::gate_packet(GateKind::notice, 0, control::GateText{text});
  packet.value = static_cast<std::uint32_t>(about);
  send(packet);
}

// ---- slotwired ----

bool Gate::take_packets() {
  if (packets_waiting_) {
    if (!packets_.flush()) return false;
    if (!packets_.waiting()) {
      packets_waiting_ = false;
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = kPacketsTag;
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, packets_.fd(), &event);
    }
  }
  control::Packet packet;
  for (int i = 0; i < kPacketsAtOnce; ++i) {
    switch (packets_.receive(packet)) {
      case control::PacketChannel::Got::nothing:
        return true;
      case control::PacketChannel::Got::packet:
        if (!take_packet(std::move(packet))) {
          lost_ = true;
          return false;
        }
        break;
      default:
        return false;
    }
  }
  return true;
}

/// False: slotwired breaks the protocol.
bool Gate::take_packet(control::Packet&& packet) {
  core::Result<GatePacket> read = control::decode_gate(packet.text);
  if (!read.ok()) return false;
  const GatePacket& p = read.value();
  const auto found = connections_.find(p.channel);
  Connection* const connection = found == connections_.end() ? nullptr : found->second.get();
  switch (p.kind) {
    case GateKind::known: {
      const auto hosts = control::gate_body<control::GateHosts>(p);
      if (!hosts.ok()) return false;
      for (const control::GateHost& host : hosts.value().hosts) know(host.host);
      return true;
    }
    case GateKind::dial: {
      const auto wanted = control::gate_body<control::GateDial>(p);
      if (!wanted.ok() || p.channel % 2 == 0 || connection != nullptr) return false;
      dial(p.channel, wanted.value());
      return true;
    }
    case GateKind::resolve: {
      const auto host = control::gate_body<control::GateHost>(p);
      if (!host.ok()) return false;
      resolve(p.channel, host.value().host);
      return true;
    }
    case GateKind::reload:
      reload(std::move(packet));
      return true;
    case GateKind::keep_session: {
      const auto wanted = control::gate_body<control::GateSession>(p);
      return wanted.ok() && front().keep(p.channel, wanted.value());
    }
    case GateKind::frames: {
      if (packet.fds.size() != 1 || !front_) return false;
      front_->frames(p.channel, std::move(packet.fds.front()));
      return true;
    }
    case GateKind::refuse_session:
      if (!front_) return false;
      front_->refuse(p.channel);
      return true;
    case GateKind::take:
      // What is not there has ended meanwhile, and slotwired is told already.
      if (connection == nullptr || connection->state() != Connection::State::asked) return true;
      connection->proved();
      if (connection->session() && front_) front_->proved(*connection->session());
      admission_.leave(p.channel);
      ++counters_.proved;
      counters_changed_ = true;
      pump(p.channel);
      return true;
    case GateKind::message:
      return pass_on(p.channel, p.body, p.last);
    case GateKind::messages: {
      const auto messages = control::read_batch(p);
      if (!messages.ok()) return false;
      return std::all_of(messages.value().begin(), messages.value().end(), [&](const control::GateMessage& message) {
        return pass_on(message.channel, message.text, true);
      });
    }
    case GateKind::credit:
      if (connection == nullptr) return true;
      connection->gave_back(p.value);
      pump(p.channel);
      return true;
    case GateKind::close:
      if (connection == nullptr || connection->state() == Connection::State::leaving) return true;
      if (connection->state() == Connection::State::asked) {
        ++counters_.turned_away;
        counters_changed_ = true;
      }
      connection->leave("the node closed it", now_us() + kLeaveUs);
      pump(p.channel);
      return true;
    default:
      return false;
  }
}

bool Gate::pass_on(Id id, std::string_view text, bool last) {
  const auto found = connections_.find(id);
  // What is not there has ended meanwhile, and slotwired is told already.
  if (found == connections_.end() || found->second->state() == Connection::State::leaving) return true;
  if (!found->second->send_piece(text, last)) return false;
  written_.insert(id);
  return true;
}

/// What slotwired has said in a turn leaves together.
void Gate::flush_connections() {
  for (const Id id : std::exchange(written_, {})) {
    const auto found = connections_.find(id);
    if (found == connections_.end()) continue;
    found->second->flush();
    give_back(id, *found->second);
    watch(id, *found->second);
  }
}

void Gate::dial(Id id, const control::GateDial& wanted) {
  const std::uint64_t now = now_us();
  connections_[id] = std::make_unique<Connection>(wanted.peer, wanted.port, now + wanted.timeout_us,
                                                  figures_.messages_per_second, now);
  counters_changed_ = true;
  Connection& connection = *connections_.at(id);
  if (front_ && front_->keeps(wanted.peer)) {
    // The peer's own address comes first, for a moment.
    const bool direct = !wanted.host.empty();
    connection.use_session([this, peer = wanted.peer] { return front_->open_control(peer); }, tls_,
                           direct ? now + kDirectUs : now);
    if (!direct) return pump(id);
  } else if (wanted.host.empty()) {
    connection.fail("there is no address of it, and no session over HTTP to it");
    return pump(id);
  }
  look_up(wanted.host, [this, id](const Resolver::Found& found) {
    const auto there = connections_.find(id);
    if (there == connections_.end() || there->second->state() != Connection::State::resolving) return;
    if (found.ok()) {
      there->second->found(found.value(), tls_, now_us());
    } else {
      there->second->fail(found.error().text);
    }
    pump(id);
  });
}

void Gate::resolve(Id question, const std::string& host) {
  look_up(host, [this, question](const Resolver::Found& found) {
    control::GateAddresses answer;
    if (found.ok()) {
      for (const carriers::Address& address : found.value()) {
        std::string text = address.with_port(0).to_string();
        text.resize(text.size() - 2);  // without ":0"
        if (text.front() == '[') text = text.substr(1, text.size() - 2);
        answer.addresses.push_back({std::move(text)});
      }
    } else {
      answer.text = found.error().text;
    }
    send(control::gate_packet(GateKind::resolved, question, answer));
  });
}

/// An answer for a peer's name also says which callers have places of their own.
void Gate::look_up(const std::string& host, Resolver::Done done) {
  resolver_.resolve(host, [this, host, done = std::move(done)](const Resolver::Found& found) {
    if (found.ok() && known_names_.contains(host)) {
      for (const carriers::Address& address : found.value()) admission_.know(address);
    }
    done(found);
  });
}

void Gate::know(const std::string& host) {
  known_names_.insert(host);
  look_up(host, [this](const Resolver::Found& found) {
    if (!found.ok()) notice(GateNotice::names, found.error().text);
  });
}

void Gate::reload(control::Packet&& packet) {
  core::Result<Setup> setup = take_setup(std::move(packet), GateKind::reload);
  if (!setup.ok()) {
    return send(control::gate_packet(GateKind::reloaded, 0, control::GateText{setup.error().text}));
  }
  if ((setup.value().tls != nullptr) != (tls_ != nullptr)) {
    return send(control::gate_packet(GateKind::reloaded, 0,
                                     control::GateText{"[tls] was added or removed; restart slotwired for that"}));
  }
  if (setup.value().tls) {
    const std::string problem =
        carriers::check_own_certificate(*setup.value().tls, kTlsNames, figures_.node, std::time(nullptr)).problem;
    if (!problem.empty()) return send(control::gate_packet(GateKind::reloaded, 0, control::GateText{problem}));
  }
  tls_ = std::move(setup.value().tls);
  send(control::gate_packet(GateKind::reloaded, 0, control::GateText{}));
  if (!tls_) return;
  look_at_certificate();
  std::vector<Id> ids;
  for (const auto& [id, connection] : connections_) ids.push_back(id);
  for (const Id id : ids) {
    Connection& connection = *connections_.at(id);
    const std::string objection = connection.objection(*tls_);
    if (objection.empty()) continue;
    connection.say(control::encode_peer(control::PeerError{"your certificate does not hold any more: " + objection}));
    connection.close("its certificate does not hold any more: " + objection);
    end(id, true);
  }
}

/// Says what is wrong with the own certificate, and what will be, when that has changed. A start goes on all the same:
/// connections within the node need no certificate.
void Gate::look_at_certificate() {
  looked_at_certificate_us_ = now_us();
  if (!tls_) return;
  const carriers::CertificateVerdict verdict =
      carriers::check_own_certificate(*tls_, kTlsNames, figures_.node, std::time(nullptr));
  std::string text = verdict.problem;
  for (const std::string& warning : verdict.warnings) text += (text.empty() ? "" : "; ") + warning;
  if (text == about_certificate_) return;
  about_certificate_ = text;
  notice(GateNotice::certificate, text);
}

// ---- peers ----

void Gate::accept() {
  for (int i = 0; i < kAcceptAtOnce; ++i) {
    sockaddr_storage raw{};
    socklen_t length = sizeof raw;
    slot::Fd fd(::accept4(listener_.get(), reinterpret_cast<sockaddr*>(&raw), &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) {
      // These belong to one connection that died while it waited; the next may be fine.
      if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO) continue;
      if (errno == EAGAIN) return;
      notice(GateNotice::full, "no control connection can be accepted now: " + carriers::errno_text(errno));
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener_.get(), nullptr);
      listening_ = false;
      listen_again_us_ = now_us() + kListenPauseUs;
      return;
    }
    const auto from =
        carriers::Address::from(reinterpret_cast<const sockaddr*>(&raw), length).value_or(carriers::Address());
    admit(std::move(fd), from, std::nullopt);
  }
}

/// A caller, who has not said yet who it is.
void Gate::admit(slot::Fd fd, const carriers::Address& from, std::optional<http_stream::SessionNumber> session) {
  // Numbers go round after two thousand million; one that is in use is left out.
  do {
    last_caller_ += 2;
  } while (last_caller_ == 0 || connections_.contains(last_caller_));
  const Id id = last_caller_;
  ++counters_.accepted;
  counters_changed_ = true;
  if (const auto displaced = admission_.admit(id, from)) {
    ++(displaced->of_source ? counters_.over_source : counters_.displaced);
    const Id gone = static_cast<Id>(displaced->caller);
    Connection& old = *connections_.at(gone);
    old.close(std::string("a newer one took its place (limits.callers") +
              (displaced->of_source ? "_per_source)" : ")"));
    end(gone);
  }
  const std::uint64_t now = now_us();
  auto connection = std::make_unique<Connection>(std::move(fd), from, tls_, now + figures_.handshake_us,
                                                 figures_.messages_per_second, now);
  if (session) connection->came_over_http(*session);
  connections_[id] = std::move(connection);
  pump(id);
}

// ---- sessions over HTTP ----

void Gate::take_stream(slot::Fd stream, const carriers::Address& from, http_stream::SessionNumber session) {
  admit(std::move(stream), from, session);
  look_soon();
}

void Gate::session_up(std::uint32_t session, const std::string& token, const std::string& what) {
  send(control::gate_packet(GateKind::session_up, session, control::GateSessionUp{token, what}));
}

void Gate::session_trouble(std::uint32_t session, const std::string& why) {
  send(control::gate_packet(GateKind::session_trouble, session, control::GateText{why}));
}

void Gate::session_way(std::uint32_t session, const control::GateSessionWay& way) {
  send(control::gate_packet(GateKind::session_way, session, way));
}

/// What happened outside of a turn may have set times.
void Gate::look_soon() {
  if (again_later_) again_later_->after(std::chrono::microseconds(0));
}

/// Everything that a connection has to do now.
void Gate::pump(Id id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Connection& connection = *found->second;
  connection.drive(now_us());
  slowed_.erase(id);
  const bool was_slowed = connection.slowed;
  for (int handled = 0;; ++handled) {
    if (handled == kMessagesAtOnce) {
      again_.insert(id);
      break;
    }
    const std::optional<std::string> text = connection.next(now_us());
    if (!text) break;
    if (!take_message(id, connection, *text)) return;
  }
  if (connection.refused() != nullptr && !connection.closed()) return refuse_length(id, connection);
  if (connection.slowed) {
    if (!was_slowed) {
      ++counters_.slowed;
      counters_changed_ = true;
    }
    slowed_.insert(id);
  }
  if (connection.closed()) return end(id);
  give_back(id, connection);
  watch(id, connection);
}

bool Gate::take_message(Id id, Connection& connection, const std::string& text) {
  if (connection.state() == Connection::State::caller) {
    hello(id, connection, text);
    return connections_.contains(id);
  }
  const core::Result<control::PeerMessage> message = control::decode_peer(text);
  if (!message.ok()) {
    refuse_message(id, connection, "a message that cannot be understood: " + message.error().text);
    return false;
  }
  std::string written = text;
  if (const auto* unknown = std::get_if<control::UnknownMessage>(&message.value())) {
    written = control::detail::dump(control::Json{{"type", unknown->type}});
  } else {
    // Written anew: what slotwired parses has no fields that nobody knows.
    written = control::encode_peer(message.value());
  }
  // The codec writes no more than it reads, but for the escapes of a text.
  if (written.size() > control::kMaxPeerMessage) written = text;
  send_message(id, written);
  connection.passed(written.size());
  return true;
}

/// The peer announced a message that is too long: as one that cannot be understood. It is told, unless it speaks TLS.
void Gate::refuse_length(Id id, Connection& connection) {
  const std::string what = connection.refused()->refused();
  if (connection.refused()->refused_tls()) {
    connection.close(what);
    return end(id);
  }
  if (connection.state() == Connection::State::caller)
    return turn_away(id, connection, "it sent " + what, "you sent " + what);
  refuse_message(id, connection, what);
}

/// Says why to the peer and to slotwired, and lets the connection go.
void Gate::refuse_message(Id id, Connection& connection, const std::string& why) {
  ++counters_.invalid;
  counters_changed_ = true;
  connection.say(control::encode_peer(control::PeerError{"you sent " + why}));
  send(control::gate_packet(GateKind::closed, id, control::GateClosed{"it sent " + why, false}));
  connection.leave("it sent " + why, now_us() + kLeaveUs);
  pump(id);
}

void Gate::hello(Id id, Connection& connection, const std::string& text) {
  const core::Result<control::PeerMessage> message =
      text.size() > control::kMaxHello ? core::Result<control::PeerMessage>(core::Error{"it is too long"})
                                       : control::decode_peer(text);
  if (!message.ok()) {
    const std::string why = "the first message was not a hello: " + message.error().text;
    return turn_away(id, connection, why, why);
  }
  const auto* const hello = std::get_if<control::PeerHello>(&message.value());
  if (hello == nullptr) {
    const std::string why = "the first message was not a hello";
    return turn_away(id, connection, why, why);
  }
  if (!connection.peer_is(hello->node)) {
    const std::string why = "the certificate does not name node '" + hello->node + "'";
    return turn_away(id, connection, why, why);
  }
  connection.asked();
  send(control::gate_packet(
      GateKind::caller, id,
      control::GateCaller{connection.from().to_string(), connection.over_http(), control::encode_peer(*hello)}));
}

void Gate::turn_away(Id id, Connection& connection, const std::string& why, const std::string& told) {
  ++counters_.turned_away;
  counters_changed_ = true;
  notice(GateNotice::turned_away, "control connection from " + connection.from_text() + " turned away: " + why);
  connection.say(control::encode_peer(control::PeerError{told}));
  connection.leave(why, now_us() + kLeaveUs);
  pump(id);
}

/// A connection has closed: slotwired learns why, if it knows of it.
void Gate::end(Id id, bool revoked) {
  const auto found = connections_.find(id);
  Connection& connection = *found->second;
  switch (connection.state()) {
    case Connection::State::caller: {
      const bool late = now_us() >= connection.deadline_us();
      if (late) ++counters_.late;
      notice(late ? GateNotice::late : GateNotice::caller,
             "control connection from " + connection.from_text() +
                 (late ? " said nothing in time; closed: " : " ended before it said who it is: ") +
                 connection.reason());
      break;
    }
    case Connection::State::leaving:
      break;
    default:
      send(control::gate_packet(GateKind::closed, id, control::GateClosed{connection.reason(), revoked}));
      break;
  }
  if (connection.watched_fd >= 0 && connection.fd() >= 0) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection.watched_fd, nullptr);
  }
  admission_.leave(id);
  slowed_.erase(id);
  again_.erase(id);
  connections_.erase(found);
  counters_changed_ = true;
}

/// A descriptor without events is not watched at all: the kernel tells its end again and again otherwise.
void Gate::watch(Id id, Connection& connection) {
  const int fd = connection.fd();
  const std::uint32_t events = connection.events();
  if (fd == connection.watched_fd && events == connection.watched) return;
  epoll_event event{};
  event.events = events;
  event.data.u64 = kFirstConnectionTag + id;
  // A descriptor that was closed has left by itself, and its number may be another connection's by now.
  const bool there = fd == connection.watched_fd && connection.watched != 0;
  if (events == 0) {
    if (there) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  } else if (!there || ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  }
  connection.watched_fd = fd;
  connection.watched = events;
}

void Gate::give_back(Id id, Connection& connection) {
  const std::size_t sent = connection.take_sent();
  if (sent != 0) send({GateKind::credit, true, id, static_cast<std::uint32_t>(sent), {}});
}

/// What comes with time: ends of deadlines, rates that allow more, counters.
void Gate::sweep() {
  const std::uint64_t now = now_us();
  std::vector<Id> due;
  for (const Id id : slowed_) {
    const auto until = connections_.at(id)->paused_us(now);
    if (until && now >= *until) due.push_back(id);
  }
  if (now - sweep_us_ >= kSweepUs) {
    sweep_us_ = now;
    for (const auto& [id, connection] : connections_) {
      if (connection->state() == Connection::State::proved) continue;
      if (connection->state() == Connection::State::caller && now >= connection->deadline_us()) {
        connection->close("it did not say who it is in time");
      }
      due.push_back(id);
    }
    if (listener_ && !listening_ && now >= listen_again_us_) {
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = kListenerTag;
      listening_ = ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener_.get(), &event) == 0;
    }
  }
  for (const Id id : due) pump(id);
  if (now - looked_at_certificate_us_ >= kLookAtCertificateUs) look_at_certificate();
  if (counters_changed_ && now - counters_us_ >= kCountersUs) tell_counters();
}

void Gate::tell_counters() {
  counters_us_ = now_us();
  counters_changed_ = false;
  counters_.callers = admission_.count();
  counters_.channels =
      static_cast<std::uint64_t>(std::count_if(connections_.begin(), connections_.end(), [](const auto& entry) {
        return entry.second->state() == Connection::State::proved;
      }));
  send(control::gate_packet(GateKind::counters, 0, counters_));
}

}  // namespace slotwire::gate
