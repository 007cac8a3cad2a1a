#include "runtime/engine/peers/gate_network.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <deque>
#include <random>
#include <set>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

#include "core/slot/open_files.hpp"
#include "runtime/engine/host/stop_request.hpp"

namespace slotwire::engine {
namespace {

using control::GateKind;
using control::GatePacket;

constexpr int kPacketsAtOnce = 64;
constexpr std::size_t kQueuedPackets = 65'536;  // what may wait is bounded by the windows of the channels
constexpr std::size_t kMaxQuestions = 8192;
constexpr std::uint64_t kFirstRestartUs = 20'000, kLastRestartUs = 2'000'000;
/// A gate that has served for so long is started again after the shortest delay when it ends.
constexpr std::uint64_t kGateStableUs = 10'000'000;
/// For a gate that starts, and for what was said last at the end.
constexpr std::chrono::milliseconds kStart{10'000}, kEnd{2'000};
/// For a gate that has closed its end: a good one has ended by then, and slotwired does not wait for another.
constexpr std::chrono::milliseconds kGone{20};
/// The gate of a life that was killed may hold the address for a moment longer, and on a machine that has no time for
/// it for some seconds.
constexpr std::chrono::milliseconds kAddressInUse{10'000}, kAddressPause{10};
/// And after this time somebody is told.
constexpr std::chrono::milliseconds kAddressSilence{200};
constexpr std::array<const char*, control::kGateNotices> kNoticeKeys = {
    "caller", "late caller", "turned away", "callers", "names", "files", "certificate"};

carriers::Listener listen_at(const std::string& key, const HostPort& at, NodeLog& log) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string taken = key + " = " + to_string(at) + " is taken by another process";
  bool said = false;
  for (;;) {
    try {
      return carriers::Listener(carriers::Address::parse(to_string(at)));
    } catch (const std::system_error& error) {
      if (error.code().value() != EADDRINUSE) throw;
      const auto waited = std::chrono::steady_clock::now() - begin;
      if (waited >= kAddressInUse) {
        throw std::runtime_error(taken + "; end it ('ss -ltnp' shows which it is), or give another address");
      }
      if (!said && waited >= kAddressSilence) {
        said = true;
        log->warn("{}; slotwired tries again for {} s", taken,
                  std::chrono::duration_cast<std::chrono::seconds>(kAddressInUse).count());
      }
    }
    if (stop_is_requested()) throw StoppedAtStart(taken);
    std::this_thread::sleep_for(kAddressPause);
  }
}

slot::Fd open_file(const std::string& key, const std::string& path) {
  std::string problem;
  slot::Fd fd = slot::open_regular(path, control::kMaxPemFile, problem);
  if (!fd) throw std::runtime_error(key + ": " + problem);
  return fd;
}

}  // namespace

struct GateNetwork::Life {
  std::unique_ptr<GateLife> gate;
  control::PacketSocket packets;
  std::uint32_t events = EPOLLIN;

  explicit Life(std::unique_ptr<GateLife> started)
      : gate(std::move(started)), packets(gate->take_socket(), control::kGatePacket, kQueuedPackets) {}
};

class GateNetwork::Channel final : public ControlChannel {
 public:
  Channel(GateNetwork& network, std::uint32_t id) : network_(network), id_(id) { network_.channels_[id] = this; }
  ~Channel() override {
    network_.channels_.erase(id_);
    network_.woken_.erase(id_);
    if (!closed_) network_.send({GateKind::close, true, id_, 0, {}});
  }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  Sent send(std::string_view message) override {
    if (message.empty() || message.size() > control::kMaxPeerMessage) return Sent::too_long;
    if (closed_) return Sent::closed;
    if (unsent_ + message.size() > control::kGateWindowOut) return Sent::no_room;
    unsent_ += message.size();
    network_.send_message(id_, message);
    return closed_ ? Sent::closed : Sent::sent;
  }
  std::optional<std::string> next() override {
    if (messages_.empty()) return std::nullopt;
    std::string message = std::move(messages_.front());
    messages_.pop_front();
    held_ -= message.size();
    taken_ += message.size();
    if (!closed_ && taken_ >= control::kGateGiveBack)
      network_.send({GateKind::credit, true, id_, static_cast<std::uint32_t>(std::exchange(taken_, 0)), {}});
    return message;
  }
  bool closed() const override { return closed_ && messages_.empty(); }
  std::string reason() const override { return reason_; }
  bool revoked() const override { return revoked_; }
  void on_ready(std::function<void()> ready) override { ready_ = std::move(ready); }

  // What the gate says of it.
  /// False: it says more than it may.
  bool take_piece(std::string_view piece, bool last) {
    held_ += piece.size();
    if (held_ > control::kGateWindowIn || piece_.size() + piece.size() > control::kMaxPeerMessage) return false;
    piece_ += piece;
    if (last) messages_.push_back(std::exchange(piece_, {}));
    return true;
  }
  bool gave_back(std::uint32_t bytes) {
    if (bytes > unsent_) return false;
    unsent_ -= bytes;
    return true;
  }
  void end(const std::string& why, bool revoked) {
    closed_ = true;
    reason_ = why;
    revoked_ = revoked;
  }
  std::function<void()> ready() const { return ready_; }

 private:
  GateNetwork& network_;
  std::uint32_t id_;
  std::function<void()> ready_;
  std::deque<std::string> messages_;
  std::string piece_;
  std::size_t held_ = 0;    ///< bytes from the gate that were not taken yet
  std::size_t taken_ = 0;   ///< bytes that were taken and not given back to the gate
  std::size_t unsent_ = 0;  ///< bytes that the gate has not given back
  bool closed_ = false, revoked_ = false;
  std::string reason_;
};

GateNetwork::GateNetwork(const Config& config, EventLoop& loop, NodeLog& log, StartGate start_gate)
    : config_(config),
      loop_(loop),
      log_(log),
      start_gate_(std::move(start_gate)),
      sessions_(config, log, [this](const GatePacket& packet, int descriptor) { send(packet, descriptor); }),
      backoff_(kFirstRestartUs, kLastRestartUs, std::random_device{}()) {
  if (config_.listen.control) listener_.emplace(listen_at("listen.control", *config_.listen.control, log_));
  if (config_.listen.http) http_listener_.emplace(listen_at("listen.http", *config_.listen.http, log_));
  start(true);
  if (listener_) {
    log_->info("control connections on {}: {}", listener_->address().to_string(),
               config_.tls.enabled() ? "TLS" : "no TLS");
  }
  if (http_listener_) {
    log_->info("links over HTTP on {}: {}, path {}", http_listener_->address().to_string(),
               config_.http.tls ? "HTTPS" : "plain HTTP", config_.http.path);
  }
}

GateNetwork::~GateNetwork() {
  stop();
}

void GateNetwork::start(bool first) {
  retry_.reset();
  life_ =
      std::make_unique<Life>(start_gate_("slotwire-gate: node " + config_.node.name + " in " + config_.node.run_dir));
  // Where the kernel passes no descriptors here, there is no need to look for them before each packet is received. The
  // gate has nothing to say before it is set up.
  if (!slot::accept_descriptors(life_->packets.fd(), false))
    life_->packets.distrust([](std::string_view) { return false; });
  ++starts_;
  counters_ = {};
  reloads_ = 0;
  about_certificate_.clear();
  not_reloaded_.clear();  // it reads the files as they are now
  ready_us_.reset();
  send_setup(GateKind::setup);
  if (first) await_ready();
  life_->events = EPOLLIN;
  loop_.add(life_->packets.fd(), life_->events, [this](std::uint32_t events) { on_ready(events); });
  send_known();
  sessions_.tell_all();
}

/// The files are opened here, where there may be the right to, and read there: slotwired never reads the key.
void GateNetwork::send_setup(GateKind kind) {
  control::GateSetup setup;
  setup.node = config_.node.name;
  setup.listens = kind == GateKind::setup && listener_.has_value();
  setup.http_listens = kind == GateKind::setup && http_listener_.has_value();
  setup.http.tls = config_.http.tls;
  setup.http.path = config_.http.path;
  setup.http.handshake_us = static_cast<std::uint64_t>(config_.limits.handshake.count());
  setup.http.sessions = config_.limits.links;
  setup.http.sessions_per_source = config_.http.sessions_per_source;
  setup.http.body_bytes = config_.http.body;
  for (const std::string& network : config_.http.trusted_proxies) setup.http.trusted_proxies.push_back({network});
  setup.tls = config_.tls.enabled();
  setup.crl = !config_.tls.crl.empty();
  setup.user = config_.gate.user;
  setup.handshake_us = static_cast<std::uint64_t>(config_.limits.handshake.count());
  setup.callers = config_.limits.callers;
  setup.callers_per_source = config_.limits.callers_per_source;
  setup.channels = config_.limits.links;
  setup.messages_per_second = config_.limits.peer_messages;
  std::vector<slot::Fd> files;
  if (setup.tls) {
    files.push_back(open_file("tls.certificate", config_.tls.certificate));
    files.push_back(open_file("tls.key", config_.tls.key));
    files.push_back(open_file("tls.ca", config_.tls.ca));
    if (setup.crl) files.push_back(open_file("tls.crl", config_.tls.crl));
  }
  std::vector<int> fds;
  if (setup.listens) fds.push_back(listener_->fd());
  if (setup.http_listens) fds.push_back(http_listener_->fd());
  for (const slot::Fd& file : files) fds.push_back(file.get());
  if (!life_->packets.send(control::encode_gate(control::gate_packet(kind, 0, setup)), fds)) {
    throw std::runtime_error("the gate does not take its setup");
  }
}

/// The hosts that peers may dial from.
void GateNetwork::send_known() {
  std::set<std::string> hosts;
  for (const LinkConfig& link : config_.links) {
    for (const std::optional<HostPort>& at : {link.control, link.udp, link.tcp}) {
      if (at) hosts.insert(at->host);
    }
  }
  control::GateHosts some;
  for (const std::string& host : hosts) {
    some.hosts.push_back({host});
    if (some.hosts.size() < control::kMaxKnownHosts) continue;
    send(control::gate_packet(GateKind::known, 0, some));
    some.hosts.clear();
  }
  if (!some.hosts.empty()) send(control::gate_packet(GateKind::known, 0, some));
}

/// At the start of slotwired alone, which it fails: what is wrong is the configuration.
void GateNetwork::await_ready() {
  pollfd wait{life_->packets.fd(), POLLIN, 0};
  control::Packet packet;
  if (::poll(&wait, 1, static_cast<int>(kStart.count())) != 1) throw std::runtime_error("the gate does not answer");
  if (life_->packets.receive(packet) != control::PacketChannel::Got::packet) {
    throw std::runtime_error("the gate " + life_->gate->end(kEnd) + " before it served");
  }
  const Result<GatePacket> read = control::decode_gate(packet.text);
  if (read.ok() && read.value().kind == GateKind::ready) {
    ready_us_ = loop_.now_us();
    return;
  }
  std::string why = "it broke its protocol";
  if (read.ok() && read.value().kind == GateKind::failed) {
    if (const auto text = control::gate_body<control::GateText>(read.value()); text.ok()) why = text.value().text;
  }
  throw std::runtime_error("the gate cannot serve: " + why);
}

/// Short messages wait for flush(); longer ones go at once, in pieces.
void GateNetwork::send_message(std::uint32_t channel, std::string_view message) {
  if (batch_.add(channel, message)) return;
  flush();
  if (batch_.add(channel, message)) return;
  for (std::size_t at = 0; at < message.size(); at += control::kGateBody) {
    const std::size_t piece = std::min(control::kGateBody, message.size() - at);
    send({GateKind::message, at + piece == message.size(), channel, 0, std::string(message.substr(at, piece))});
  }
}

void GateNetwork::flush() {
  if (!batch_.empty()) send(batch_.take());
}

/// What was sent before goes before it.
void GateNetwork::send(const GatePacket& packet, int descriptor) {
  if (packet.kind != GateKind::messages) flush();
  // A gate that is gone is found out where its packets are read.
  if (!life_) return;
  std::vector<int> descriptors;
  if (descriptor >= 0) descriptors.push_back(descriptor);
  static_cast<void>(life_->packets.send(control::encode_gate(packet), descriptors));
  watch();
}

void GateNetwork::watch() {
  const std::uint32_t events =
      static_cast<std::uint32_t>(EPOLLIN) | (life_->packets.waiting() ? static_cast<std::uint32_t>(EPOLLOUT) : 0U);
  if (events == life_->events) return;
  life_->events = events;
  loop_.modify(life_->packets.fd(), events);
}

std::unique_ptr<ControlChannel> GateNetwork::dial(const LinkConfig& link, std::uint64_t timeout_us) {
  if (!life_) throw std::runtime_error("the gate of this node has ended and is started again");
  do {
    last_channel_ += 2;
  } while (channels_.contains(last_channel_));
  auto channel = std::make_unique<Channel>(*this, last_channel_);
  control::GateDial wanted{link.peer, {}, 0, timeout_us};
  if (link.control) {
    wanted.host = link.control->host;
    wanted.port = link.control->port;
  }
  send(control::gate_packet(GateKind::dial, last_channel_, wanted));
  return channel;
}

void GateNetwork::resolve(const std::string& host, OnAddresses found) {
  if (!life_) return found(Error{"the gate of this node has ended and is started again"});
  if (questions_.size() >= kMaxQuestions) return found(Error{"too many names are being looked up"});
  ++last_question_;
  questions_[last_question_] = std::move(found);
  send(control::gate_packet(GateKind::resolve, last_question_, control::GateHost{host}));
}

// ---- what the gate says ----

void GateNetwork::on_ready(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) {
    static_cast<void>(life_->packets.flush());
    watch();
  }
  control::Packet packet;
  std::string broken;
  for (int i = 0; i < kPacketsAtOnce && life_; ++i) {
    const control::PacketChannel::Got got = life_->packets.receive(packet);
    if (got == control::PacketChannel::Got::nothing) break;
    if (got == control::PacketChannel::Got::closed) return lost(life_->gate->end(kGone));
    if (got == control::PacketChannel::Got::too_long) return lost("sent a packet that is too long, and was ended");
    if (!take_packet(packet, broken)) return lost("broke its protocol (" + broken + "), and was ended");
  }
  wake_channels();
}

/// Channels are told after all packets of a turn, each once.
void GateNetwork::wake_channels() {
  for (const std::uint32_t id : std::exchange(woken_, {})) {
    const auto found = channels_.find(id);
    if (found == channels_.end()) continue;
    if (const std::function<void()> ready = found->second->ready()) ready();
  }
}

/// False: the gate says what it may not.
bool GateNetwork::take_packet(const control::Packet& packet, std::string& broken) {
  Result<GatePacket> read = control::decode_gate(packet.text);
  if (!read.ok()) return broken = read.error().text, false;
  GatePacket& p = read.value();
  if (!packet.fds.empty()) return broken = "descriptors", false;
  switch (p.kind) {
    case GateKind::ready:
      if (!ready_us_) ready_us_ = loop_.now_us();
      return true;
    case GateKind::failed: {
      const auto text = control::gate_body<control::GateText>(p);
      log_.limited("gate", spdlog::level::err, "the gate cannot serve: " + (text.ok() ? text.value().text : ""));
      return true;  // its end follows
    }
    case GateKind::caller:
      return take_caller(p, broken);
    case GateKind::message:
      return take_message(p, broken);
    case GateKind::messages:
      return take_messages(p, broken);
    case GateKind::credit: {
      const auto found = channels_.find(p.channel);
      if (found != channels_.end() && !found->second->gave_back(p.value)) return broken = "too much credit", false;
      return true;
    }
    case GateKind::closed: {
      const auto body = control::gate_body<control::GateClosed>(p);
      if (!body.ok()) return broken = body.error().text, false;
      const auto found = channels_.find(p.channel);
      if (found == channels_.end()) return true;
      found->second->end(body.value().text, body.value().revoked);
      woken_.insert(p.channel);
      return true;
    }
    case GateKind::resolved:
      take_addresses(p);
      return true;
    case GateKind::session_up:
      return sessions_.take_up(p, broken);
    case GateKind::session_trouble:
      return sessions_.take_trouble(p, broken);
    case GateKind::session_way:
      return sessions_.take_way(p, broken);
    case GateKind::reloaded: {
      const auto body = control::gate_body<control::GateText>(p);
      if (!body.ok()) return broken = body.error().text, false;
      if (reloads_ == 0) return broken = "an answer to no reload", false;
      --reloads_;
      not_reloaded_ = body.value().text;
      if (body.value().text.empty()) {
        log_->info("certificates, key and list of revoked certificates reloaded");
      } else {
        log_->error("certificates not reloaded, the old ones stay: {}", body.value().text);
      }
      return true;
    }
    case GateKind::notice: {
      const auto body = control::gate_body<control::GateText>(p);
      if (!body.ok() || p.value >= kNoticeKeys.size()) return broken = "a notice", false;
      if (p.value == static_cast<std::uint32_t>(control::GateNotice::certificate))
        about_certificate_ = body.value().text;
      if (!body.value().text.empty()) log_.limited(kNoticeKeys[p.value], spdlog::level::warn, body.value().text);
      return true;
    }
    case GateKind::counters: {
      auto body = control::gate_body<control::GateCounters>(p);
      if (!body.ok()) return broken = body.error().text, false;
      counters_ = body.value();
      return true;
    }
    default:
      broken = "a packet that is slotwired's to send";
      return false;
  }
}

bool GateNetwork::take_message(const GatePacket& packet, std::string& broken) {
  const auto found = channels_.find(packet.channel);
  if (found == channels_.end()) return true;  // closed here, which the gate did not know yet
  if (packet.body.empty() || !found->second->take_piece(packet.body, packet.last))
    return broken = "more than the window", false;
  if (packet.last) woken_.insert(packet.channel);
  return true;
}

bool GateNetwork::take_messages(const GatePacket& packet, std::string& broken) {
  const auto messages = control::read_batch(packet);
  if (!messages.ok()) return broken = messages.error().text, false;
  for (const control::GateMessage& message : messages.value()) {
    const auto found = channels_.find(message.channel);
    if (found == channels_.end()) continue;
    if (!found->second->take_piece(message.text, true)) return broken = "more than the window", false;
    woken_.insert(message.channel);
  }
  return true;
}

bool GateNetwork::take_caller(const GatePacket& packet, std::string& broken) {
  const auto body = control::gate_body<control::GateCaller>(packet);
  if (!body.ok()) return broken = body.error().text, false;
  if (packet.channel % 2 != 0 || packet.channel == 0 || channels_.contains(packet.channel)) {
    return broken = "the number of a caller", false;
  }
  const Result<control::PeerMessage> message = control::decode_peer(body.value().hello);
  const auto* const hello = message.ok() ? std::get_if<control::PeerHello>(&message.value()) : nullptr;
  if (hello == nullptr) return broken = "a caller without a hello", false;
  carriers::Address from;
  try {
    from = carriers::Address::parse(body.value().from);
  } catch (const std::exception&) {
    return broken = "a caller without an address", false;
  }
  // A proxy's address says nothing of where the peer takes frames.
  if (body.value().http) from = carriers::Address();
  auto channel = std::make_unique<Channel>(*this, packet.channel);
  if (!on_caller_) return true;
  // Taken by not being destroyed: what the channel says before goes out in any case.
  on_caller_(std::move(channel), *hello, from);
  if (channels_.contains(packet.channel)) send({GateKind::take, true, packet.channel, 0, {}});
  return true;
}

void GateNetwork::take_addresses(const GatePacket& packet) {
  const auto found = questions_.find(packet.channel);
  if (found == questions_.end()) return;
  const OnAddresses tell = std::move(found->second);
  questions_.erase(found);
  const auto body = control::gate_body<control::GateAddresses>(packet);
  if (!body.ok()) return tell(Error{"the gate's answer is invalid: " + body.error().text});
  std::vector<carriers::Address> addresses;
  for (const control::GateHost& entry : body.value().addresses) {
    const bool six = entry.host.find(':') != std::string::npos;
    try {
      addresses.push_back(carriers::Address::parse(six ? "[" + entry.host + "]:0" : entry.host + ":0"));
    } catch (const std::exception& error) {
      return tell(Error{std::string("the gate's answer is invalid: ") + error.what()});
    }
  }
  if (addresses.empty()) return tell(Error{body.value().text});
  tell(addresses);
}

void GateNetwork::lost(const std::string& why) {
  batch_ = {};  // its channels end with the gate
  loop_.remove(life_->packets.fd());
  life_.reset();
  // One that says that it serves and ends at once is started at growing intervals, too.
  if (ready_us_ && loop_.now_us() - *ready_us_ >= kGateStableUs) backoff_.reset();
  const std::uint64_t wait = backoff_.next();
  log_.limited("gate ended", spdlog::level::err,
               "the gate " + why + "; it is started again in " + std::to_string(wait / 1000) +
                   " ms, and control connections are made anew");
  for (const auto& [id, channel] : channels_) {
    channel->end("the gate of this node ended", false);
    woken_.insert(id);
  }
  std::map<std::uint32_t, OnAddresses> questions = std::exchange(questions_, {});
  for (const auto& [id, tell] : questions) tell(Error{"the gate of this node ended"});
  wake_channels();
  const auto again = [this](const auto& self) -> void {
    retry_.reset();
    try {
      start(false);
    } catch (const std::exception& error) {
      life_.reset();
      log_.limited("gate", spdlog::level::err, std::string("the gate cannot be started: ") + error.what());
      retry_ = loop_.after(backoff_.next(), [self] { self(self); });
    }
  };
  if (!stopped_ && !retry_) retry_ = loop_.after(wait, [again] { again(again); });
}

void GateNetwork::reload() {
  if (!life_ || !config_.tls.enabled()) return;
  try {
    send_setup(GateKind::reload);
    ++reloads_;
    watch();
  } catch (const std::exception& error) {
    not_reloaded_ = error.what();
    log_->error("certificates not reloaded, the old ones stay: {}", error.what());
  }
}

void GateNetwork::stop() {
  stopped_ = true;
  if (retry_) loop_.cancel(*retry_);
  retry_.reset();
  flush();
  if (!life_) return;
  const auto until = std::chrono::steady_clock::now() + kEnd;
  while (life_->packets.waiting() && life_->packets.flush() && std::chrono::steady_clock::now() < until) {
    pollfd wait{life_->packets.fd(), POLLOUT, 0};
    ::poll(&wait, 1, static_cast<int>(kAddressPause.count()));
  }
  loop_.remove(life_->packets.fd());
  // The gate reads all that was sent before it sees the end.
  const std::unique_ptr<Life> life = std::move(life_);
  ::shutdown(life->packets.fd(), SHUT_WR);
  life->gate->end(kEnd);
}

/// Counters are of this life of the gate, and at most a moment old.
control::Json GateNetwork::report() const {
  control::Json json = control::detail::to_json(counters_);
  json["pid"] = life_ ? life_->gate->pid() : -1;
  json["starts"] = starts_;
  if (!about_certificate_.empty()) json["certificate"] = about_certificate_;
  if (!not_reloaded_.empty()) json["certificate_not_reloaded"] = not_reloaded_;
  json["callers_limit"] = config_.limits.callers;
  return json;
}

}  // namespace slotwire::engine
