// What slotwired and its gate say to each other, with either of them hostile: the one that is attacked ends the other
// or takes it for gone, and holds no more than the windows of the protocol.
//
// An input's first byte chooses who is attacked: 0 slotwired (GateNetwork), 1 the gate, 2 the gate's setup. The rest is
// a row of steps; see the three functions at the end.
#include <netinet/in.h>
#include <spdlog/sinks/null_sink.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "input.hpp"
#include "runtime/control/gate_protocol.hpp"
#include "runtime/engine/peers/gate_network.hpp"
#include "runtime/gate/gate.hpp"
#include "sim/engine/sim_loop.hpp"

namespace {

using namespace slotwire;
using control::GateKind;
using control::GatePacket;
using control::Json;
using fuzz::Input;
using fuzz::require;

constexpr std::size_t kMaxSteps = 64;
constexpr std::size_t kMaxFds = 4;

/// Both ends of a pair of packet sockets; neither blocks.
std::array<slot::Fd, 2> make_pair() {
  std::array<int, 2> fds{};
  require(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) == 0);
  return {slot::Fd(fds[0]), slot::Fd(fds[1])};
}

std::string hello(Input& input) {
  control::PeerHello message;
  message.node = input.below(4) == 0 ? std::string(input.text(70)) : "peer";
  message.incarnation = input.byte();
  return control::encode_peer(message);
}

/// A body that is right for the kind, with values of the input.
std::string body_of(GateKind kind, Input& input) {
  const auto text = [&] { return std::string(input.text(1100)); };
  Json json = Json::object();
  switch (kind) {
    case GateKind::caller:
      json = {{"from", input.below(2) == 0 ? "10.0.0.1:5" : text()}, {"hello", hello(input)}};
      break;
    case GateKind::closed:
      json = {{"text", text()}, {"revoked", input.below(2) == 0}};
      break;
    case GateKind::resolved: {
      Json addresses = Json::array();
      for (std::size_t i = input.below(18); i > 0; --i) {
        addresses.push_back({{"host", input.below(2) == 0 ? "10.0.0.2" : text()}});
      }
      json = {{"addresses", std::move(addresses)}, {"text", text()}};
      break;
    }
    case GateKind::counters:
      json = control::detail::to_json(control::GateCounters{});
      json["callers"] = input.number<std::uint64_t>();
      break;
    case GateKind::dial:
      json = {{"peer", text()},
              {"host", text()},
              {"port", input.number<std::uint16_t>()},
              {"timeout_us", input.number<std::uint64_t>()}};
      break;
    case GateKind::known:
      json = {{"hosts", Json::array({Json{{"host", text()}}, Json{{"host", text()}}})}};
      break;
    case GateKind::resolve:
      json = {{"host", text()}};
      break;
    case GateKind::message:
      return input.below(2) == 0 ? control::encode_peer(control::Ping{}) : std::string(input.text(control::kGateBody));
    case GateKind::messages: {
      control::GateBatch batch;
      for (std::size_t i = input.below(5); i > 0; --i) {
        const auto channel = static_cast<std::uint32_t>(input.below(10));
        batch.add(channel, input.below(2) == 0 ? control::encode_peer(control::Ping{}) : text());
      }
      return batch.take().body;
    }
    case GateKind::credit:
    case GateKind::take:
    case GateKind::close:
    case GateKind::ready:
      return {};
    default:
      json = {{"text", text()}};
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// A packet of any kind: half of them with a body that is right.
std::string packet_of(Input& input) {
  GatePacket packet;
  packet.kind = static_cast<GateKind>(input.below(control::kLastGateKind + 2U));
  packet.last = input.below(8) != 0;
  packet.channel = input.below(16) == 0 ? input.number<std::uint32_t>() : static_cast<std::uint32_t>(input.below(10));
  packet.value = input.below(4) == 0 ? input.number<std::uint32_t>() : static_cast<std::uint32_t>(input.below(64));
  packet.body = input.below(2) == 0 ? std::string(input.text(control::kGateBody)) : body_of(packet.kind, input);
  std::string bytes = control::encode_gate(packet);
  const core::Result<GatePacket> read = control::decode_gate(bytes);
  if (read.ok()) require(control::encode_gate(read.value()) == bytes);
  if (input.below(32) == 0) bytes.resize(input.below(13));
  return bytes;
}

// ---- slotwired is attacked ----

class FakeGate final : public engine::GateLife {
 public:
  explicit FakeGate(slot::Fd socket) : socket_(std::move(socket)) {}
  pid_t pid() const override { return 1; }
  slot::Fd take_socket() override { return std::move(socket_); }
  std::string end(std::chrono::milliseconds) override {
    socket_.reset();
    return "ended";
  }

 private:
  slot::Fd socket_;
};

/// A user of the network: it takes callers, reads and answers.
class AttackOnNetwork {
 public:
  AttackOnNetwork() {
    network_ =
        std::make_unique<engine::GateNetwork>(config_, loop_, log_, [this](const std::string&) { return start(); });
    network_->listen([this](std::unique_ptr<engine::ControlChannel> channel, const control::PeerHello& hello,
                            const carriers::Address& from) {
      require(from.valid() && hello.node.size() <= control::kMaxName);
      if (channels_.size() < kMaxChannels) keep(std::move(channel));
    });
  }

  void run(Input& input) {
    for (std::size_t step = 0; step < kMaxSteps && !input.empty(); ++step) {
      act(input);
      for (int turn = 0; turn < 3; ++turn) {
        loop_.run();
        network_->flush();
      }
      require(network_->report().is_object());
    }
    channels_.clear();
    theirs_.reset();  // a gate that does not read is waited for at the stop
    network_->stop();
  }

 private:
  static constexpr std::size_t kMaxChannels = 8;

  static engine::Config config() {
    // Nobody calls but the hostile gate.
    return engine::parse_config(
        "[node]\nname = \"fuzzed\"\nrun_dir = \"/nonexistent\"\n[listen]\nudp = \"127.0.0.1:1\"\n[[link]]\npeer = "
        "\"peer\"\ncontrol = \"peer.example:2\"\n",
        "fuzzed");
  }
  std::unique_ptr<engine::GateLife> start() {
    auto [ours, theirs] = make_pair();
    theirs_ = std::move(theirs);
    send(control::encode_gate({GateKind::ready, true, 0, 0, {}}));
    return std::make_unique<FakeGate>(std::move(ours));
  }
  void send(const std::string& bytes) {
    ::send(theirs_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  void keep(std::unique_ptr<engine::ControlChannel> channel) {
    const int id = ++last_;
    channel->on_ready([this, id] { on_ready(id); });
    channels_.emplace(id, std::move(channel));
  }
  void on_ready(int id) {
    const auto found = channels_.find(id);
    require(found != channels_.end());
    if (reads_) {
      while (const auto text = found->second->next())
        require(!text->empty() && text->size() <= control::kMaxPeerMessage);
    }
    if (found->second->closed()) channels_.erase(found);
  }
  engine::ControlChannel* any(Input& input) {
    if (channels_.empty()) return nullptr;
    auto at = channels_.begin();
    std::advance(at, input.below(channels_.size()));
    return at->second.get();
  }

  void act(Input& input) {
    switch (input.below(12)) {
      case 0:
        try {
          if (channels_.size() < kMaxChannels) keep(network_->dial(config_.links[0], 1000));
        } catch (const std::runtime_error&) {  // the gate has just ended
        }
        return;
      case 1:
        ++asked_;
        return network_->resolve(std::string(input.text(300)), [this](const auto& found) {
          require(answered_ < asked_);
          ++answered_;
          if (found.ok()) require(!found.value().empty() && found.value().size() <= control::kMaxAddresses);
        });
      case 2:
        if (engine::ControlChannel* const channel = any(input)) {
          static_cast<void>(channel->send(std::string(1 + (std::size_t{input.byte()} << input.below(14)), 'x')));
        }
        return;
      case 3:
        reads_ = !reads_;
        return;
      case 4:
        if (!channels_.empty()) channels_.erase(channels_.begin());
        return;
      case 5:
        timeline_.advance(input.number<std::uint32_t>() % 3'000'000);
        return;
      case 6:
        if (input.below(4) == 0) theirs_.reset();
        return;
      case 7: {  // takes what was said
        std::array<char, 65536> ignored;
        while (::recv(theirs_.get(), ignored.data(), ignored.size(), MSG_DONTWAIT) > 0) {
        }
        return;
      }
      case 8:
        return network_->reload();
      default:
        send(packet_of(input));
    }
  }

  engine::Config config_ = config();
  sim::Timeline timeline_;
  sim::SimLoop loop_{timeline_};
  engine::NodeLog log_{std::make_shared<spdlog::logger>("fuzzed", std::make_shared<spdlog::sinks::null_sink_st>()),
                       loop_};
  slot::Fd theirs_;
  std::unique_ptr<engine::GateNetwork> network_;
  std::map<int, std::unique_ptr<engine::ControlChannel>> channels_;
  int last_ = 0;
  bool reads_ = true;
  std::size_t asked_ = 0, answered_ = 0;
};

// ---- the gate is attacked ----

/// A port of this program that nobody accepts at: where the gate may dial.
const carriers::Listener& own_port() {
  static const carriers::Listener listener(carriers::Address::parse("127.0.0.1:0"));
  return listener;
}

/// The same packet, but a dial leads nowhere else.
std::string tame(const std::string& bytes) {
  core::Result<GatePacket> read = control::decode_gate(bytes);
  if (!read.ok() || read.value().kind != GateKind::dial) return bytes;
  const auto dial = control::gate_body<control::GateDial>(read.value());
  if (!dial.ok()) return bytes;
  control::GateDial tamed = dial.value();
  tamed.host = "127.0.0.1";
  tamed.port = own_port().address().port();
  return control::encode_gate(control::gate_packet(GateKind::dial, read.value().channel, tamed));
}

slot::Fd call(const carriers::Listener& listener) {
  slot::Fd caller(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const linger at_once{1, 0};  // leaves no port waiting
  ::setsockopt(caller.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  const carriers::Address to = listener.address();
  if (::connect(caller.get(), to.data(), to.size()) != 0) return {};
  return caller;
}

/// What the gate said: good packets, and of no channel more than its window.
void check_said(const slot::Fd& slotwired) {
  std::map<std::uint32_t, std::size_t> bytes;
  std::vector<char> buffer(control::kGatePacket + 1);
  while (true) {
    const ssize_t n = ::recv(slotwired.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n <= 0) return;
    const core::Result<GatePacket> read = control::decode_gate({buffer.data(), static_cast<std::size_t>(n)});
    require(read.ok());
    if (read.value().kind == GateKind::message)
      require((bytes[read.value().channel] += read.value().body.size()) <= control::kGateWindowIn);
    if (read.value().kind != GateKind::messages) continue;
    const auto messages = control::read_batch(read.value());
    require(messages.ok());
    for (const control::GateMessage& message : messages.value())
      require((bytes[message.channel] += message.text.size()) <= control::kGateWindowIn);
  }
}

/// Callers, whose bytes wait in their connections, then everything that slotwired says, then its end.
void attack_gate(Input& input) {
  auto [ours, theirs] = make_pair();
  carriers::Listener listener(carriers::Address::parse("127.0.0.1:0"));
  std::vector<slot::Fd> callers;
  for (std::size_t i = input.below(4); i > 0; --i) {
    slot::Fd caller = call(listener);
    if (!caller) continue;
    std::string said;
    const auto say = [&](const std::string& text) {
      for (unsigned shift = 32; shift > 0; shift -= 8) said += static_cast<char>(text.size() >> (shift - 8));
      said += text;
    };
    if (input.below(4) != 0) say(hello(input));
    say(std::string(input.text(4096)));
    if (input.below(2) == 0) said += input.text(64);
    ::send(caller.get(), said.data(), said.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (input.below(2) == 0) ::shutdown(caller.get(), SHUT_WR);
    callers.push_back(std::move(caller));
  }
  for (std::size_t step = 0; step < kMaxSteps && !input.empty(); ++step) {
    const std::string bytes = tame(packet_of(input));
    if (::send(theirs.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) break;
  }
  ::shutdown(theirs.get(), SHUT_WR);
  gate::Setup setup;
  setup.figures.node = "fuzzed";
  setup.figures.listens = true;
  setup.figures.handshake_us = 1'000'000;
  setup.figures.callers = 2;
  setup.figures.callers_per_source = 2;
  setup.figures.channels = 4;
  setup.figures.messages_per_second = 1000;
  setup.listener = slot::Fd(::dup(listener.fd()));
  gate::Resolver resolver(0, control::kMaxAddresses, {});  // nothing is looked up
  control::PacketSocket packets(std::move(ours), control::kGatePacket, 65'536);
  gate::Gate served(packets, std::move(setup), resolver);
  const int status = served.run();
  require(status == 0 || status == 1);
  check_said(theirs);
}

slot::Fd file_of(std::string_view text) {
  slot::Fd file(::memfd_create("fuzzed", MFD_CLOEXEC));
  require(::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  return file;
}

/// A setup: its figures, and files that are anything.
void attack_setup(Input& input) {
  control::Packet packet;
  control::GateSetup figures;
  figures.node = std::string(input.text(64));
  figures.listens = input.below(4) == 0;
  figures.tls = input.below(4) != 0;
  figures.crl = input.below(2) == 0;
  for (std::size_t i = input.below(kMaxFds + 2); i > 0; --i) {
    packet.fds.push_back(input.below(16) == 0 ? slot::Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))
                                              : file_of(input.text(4096)));
  }
  packet.text = input.below(2) == 0 ? control::encode_gate(control::gate_packet(GateKind::setup, 0, figures))
                                    : std::string(input.text(4096));
  const core::Result<gate::Setup> setup = gate::take_setup(std::move(packet), GateKind::setup);
  if (setup.ok()) require(setup.value().figures.tls == (setup.value().tls != nullptr));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  switch (input.below(3)) {
    case 0:
      AttackOnNetwork().run(input);
      break;
    case 1:
      attack_gate(input);
      break;
    default:
      attack_setup(input);
  }
  return 0;
}
