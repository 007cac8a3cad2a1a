// Messages of other engines: the control connection. docs/control.md is the reference.
#include <algorithm>
#include <charconv>
#include <random>

#include "runtime/engine/engine.hpp"
#include "runtime/engine/hex.hpp"

namespace slotwire::engine {
namespace {

constexpr std::size_t kMaxPeerMessage = std::size_t{1} << 20;
constexpr std::uint64_t kFirstBackoffUs = 50'000;
constexpr std::uint64_t kMaxBackoffUs = 2'000'000;
/// Pairs in one sync message: about 20 bytes each.
constexpr std::size_t kSyncPairs = 16384;
/// Accepted control connections that have not said who they are.
constexpr std::size_t kMaxCallers = 64;

std::string hex64(std::uint64_t value) {
  char text[17] = {};
  std::to_chars(text, text + 16, value, 16);
  return text;
}

std::uint64_t parse_hex64(const std::string& text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return value;
}

/// The ports of a hello: where its node wants the frames of a link. A list that is missing or wrong is none.
std::vector<std::uint16_t> ports_of(const Json& hello) {
  const auto found = hello.find("ports");
  if (found == hello.end() || !found->is_array() || found->size() > carriers::kMaxDpdkQueues) return {};
  std::vector<std::uint16_t> ports;
  for (const Json& entry : *found) {
    if (!entry.is_number_unsigned()) return {};
    const auto port = entry.get<std::uint64_t>();
    if (port == 0 || port > 65535) return {};
    ports.push_back(static_cast<std::uint16_t>(port));
  }
  return ports;
}

/// Where frames of the link go: `configured`, else the host that it dials from with the port that it tells.
carriers::Address data_address(const std::optional<HostPort>& configured, const Json& hello, const char* port_key,
                               const carriers::Address& from) {
  if (configured) return address_of(*configured);
  const auto port = number_or(hello, port_key, std::uint16_t{0});
  return from.valid() && port != 0 ? from.with_port(port) : carriers::Address();
}

/// A process of another node, as that node's engine describes it.
struct PeerProcess {
  std::uint32_t pid = 0, uid = 0;
  std::string name;
};

PeerProcess peer_process(const Json& json) {
  return {number_or(json, "pid", 0U), number_or(json, "uid", 0U), json.value("name", std::string())};
}

pipeline::LinkConfig link_figures(const ProtocolConfig& protocol) {
  const auto us = [](std::chrono::microseconds t) { return static_cast<pipeline::Microseconds>(t.count()); };
  pipeline::LinkConfig config;
  config.retransmit_us = us(protocol.retransmit);
  config.retransmit_max_us = us(protocol.retransmit_max);
  config.ack_delay_us = us(protocol.ack_delay);
  return config;
}

}  // namespace

Engine::Link* Engine::link_to(std::string_view node) {
  for (const auto& link : links_) {
    if (link && link->config.peer == node) return link.get();
  }
  return nullptr;
}

void Engine::send_peer(Link& link, const Json& message) {
  if (!link.control || !link.control_up) return;
  const carriers::SendResult sent = link.control->send(message.dump(-1, ' ', false, Json::error_handler_t::replace));
  if (sent == carriers::SendResult::no_room) return control_lost(link, "it does not read its control connection");
  if (sent == carriers::SendResult::too_long)
    log().error("a control message to '{}' is too long and was not sent", link.config.peer);
  link.control->stream().flush();
  watch_control(link);
}

void Engine::watch_control(Link& link) {
  if (!link.control || link.control->stream().fd() < 0) return;
  const int fd = link.control->stream().fd();
  if (link.watched_fd == fd) {
    reactor_.modify(fd, link.control->stream().events());
    return;
  }
  link.watched_fd = fd;
  const std::uint16_t index = link.index;
  reactor_.add(fd, link.control->stream().events(), [this, index](std::uint32_t) { on_control(index); });
}

void Engine::dial(Link& link) {
  link.retry.reset();
  const std::uint64_t now = monotonic_us();
  carriers::StreamOptions options;
  options.output_limit = 4 * kMaxPeerMessage;
  options.tls = tls_;
  options.peer_name = link.config.peer;
  carriers::Stream stream;
  try {
    stream = carriers::Stream::connect(address_of(*link.config.control), options,
                                       now + static_cast<std::uint64_t>(config_.limits.handshake.count()));
  } catch (const std::exception& error) {
    return control_lost(link, error.what());
  }
  link.control = std::make_unique<carriers::MessageStream>(std::move(stream), kMaxPeerMessage);
  say_hello(*link.control, link, data_address(link.config.udp, Json::object(), "udp_port", {}));
  link.control->drive(now);
  if (link.control->stream().is_closed()) return control_lost(link, std::string(link.control->stream().reason()));
  watch_control(link);
}

/// `peer`: where frames of the link go, if that is known yet.
void Engine::say_hello(carriers::MessageStream& stream, const Link& link, const carriers::Address& peer) {
  Json hello{{"type", "hello"},
             {"version", kControlVersion},
             {"node", config_.node.name},
             {"incarnation", hex64(admin_->header().incarnation)},
             {"udp_port", link.config.carrier == LinkCarrier::card   ? config_.card.address->port
                          : link.config.carrier == LinkCarrier::dpdk ? dpdk_->local_address().port()
                          : udp_                                     ? udp_->local_address().port()
                                                                     : 0},
             {"tcp_port", tcp_->local_address().valid() ? tcp_->local_address().port() : 0},
             {"encryption", carriers::suite_name(link.config.encryption)}};
  if (link.config.dial) hello["token"] = hex_text(link.token);
  if (link.config.carrier == LinkCarrier::dpdk && peer.valid()) {
    on_dpdk([&] { hello["ports"] = dpdk_->ports(peer); });
  }
  stream.send(hello.dump());
  stream.stream().flush();
}

void Engine::accept_caller() {
  carriers::Address from;
  while (std::optional<carriers::Fd> fd = peer_listener_->accept(&from)) {
    if (callers_.size() >= kMaxCallers) {
      log_limited(
          "callers", spdlog::level::warn,
          "a control connection from " + from.to_string() + " was turned away: too many have not said who they are");
      continue;
    }
    const std::uint64_t now = monotonic_us();
    const std::uint64_t deadline = now + static_cast<std::uint64_t>(config_.limits.handshake.count());
    carriers::StreamOptions options;
    options.output_limit = 4 * kMaxPeerMessage;
    options.tls = tls_;
    const std::uint64_t id = ++last_id_;
    Caller caller{id,
                  carriers::MessageStream(carriers::Stream::accept(std::move(*fd), options, deadline), kMaxPeerMessage),
                  from, deadline, -1};
    caller.watched_fd = caller.stream.stream().fd();
    if (caller.watched_fd < 0) continue;
    reactor_.add(caller.watched_fd, caller.stream.stream().events(), [this, id](std::uint32_t) { on_caller(id); });
    callers_.emplace(id, std::move(caller));
  }
}

void Engine::on_caller(std::uint64_t id) {
  const auto found = callers_.find(id);
  if (found == callers_.end()) return;
  Caller& caller = found->second;
  caller.stream.drive(monotonic_us());
  const std::optional<std::string> text = caller.stream.next();
  if (!text) {
    if (caller.stream.stream().is_closed()) {
      log_limited("caller", spdlog::level::warn,
                  "control connection from " + caller.from.to_string() +
                      " ended before it said who it is: " + caller.stream.stream().reason());
      reactor_.remove(caller.watched_fd);
      callers_.erase(found);
    } else {
      reactor_.modify(caller.watched_fd, caller.stream.stream().events());
    }
    return;
  }
  reactor_.remove(caller.watched_fd);
  Caller known = std::move(caller);
  callers_.erase(found);
  const Json hello = Json::parse(*text, nullptr, false);
  const auto turn_away = [&](const std::string& why) {
    log_limited("turned away", spdlog::level::warn,
                "control connection from " + known.from.to_string() + " turned away: " + why);
    known.stream.send(Json{{"type", "error"}, {"text", why}}.dump());
    known.stream.stream().flush();
  };
  if (!hello.is_object() || hello.value("type", Json()) != "hello" || !hello.contains("node") ||
      !hello["node"].is_string()) {
    return turn_away("the first message was not a hello");
  }
  const std::string node = hello["node"].get<std::string>();
  Link* link = link_to(node);
  if (link == nullptr)
    return turn_away("node '" + config_.node.name + "' has no [[link]] with peer = \"" + node.substr(0, 63) + "\"");
  if (link->config.dial) {
    return turn_away("node '" + config_.node.name +
                     "' dials this link itself; set dial = false for it on one of the two nodes");
  }
  if (tls_ && !known.stream.stream().peer_is(node)) {
    return turn_away("the certificate does not name node '" + node.substr(0, 63) + "'");
  }
  // The newest connection is the one: the peer has restarted before the old one was seen to end.
  if (link->control) control_lost(*link, "its node connected anew");
  link->control = std::make_unique<carriers::MessageStream>(std::move(known.stream));
  try {
    say_hello(*link->control, *link, data_address(link->config.udp, hello, "udp_port", known.from));
  } catch (const Refusal& refusal) {
    return control_lost(*link, "its hello cannot be understood: " + refusal.text);
  }
  const std::uint16_t index = link->index;
  if (!take_hello(*link, hello, known.from)) return;
  watch_control(*link);
  on_control(index);  // more may have come with the hello
}

void Engine::on_control(std::uint16_t index) {
  Link& link = *links_[index];
  if (!link.control) return;
  link.control->drive(monotonic_us());
  while (link.control) {
    const std::optional<std::string> text = link.control->next();
    if (!text) break;
    link.heard_us = monotonic_us();
    const Json message = Json::parse(*text, nullptr, false);
    try {
      if (!message.is_object()) throw Refusal{"bad_request", "a message that is not a JSON object"};
      if (message.at("type") == "hello") {
        if (!take_hello(link, message, carriers::Address())) return;
      } else if (message.at("type") == "error") {
        return control_lost(link, "it said: " + message.at("text").get<std::string>().substr(0, 300));
      } else if (link.control_up) {
        handle_peer(link, message);
      } else {
        return control_lost(link, "it did not begin with a hello");
      }
    } catch (const Refusal& refusal) {
      return control_lost(link, "it sent " + refusal.text);
    } catch (const Json::exception& error) {
      return control_lost(link, std::string("it sent a message that cannot be understood: ") + error.what());
    }
  }
  if (!link.control) return;
  if (link.control->stream().is_closed()) return control_lost(link, std::string(link.control->stream().reason()));
  watch_control(link);
}

bool Engine::take_hello(Link& link, const Json& hello, const carriers::Address& from) {
  const auto refuse = [&](const std::string& why) {
    link.control->send(Json{{"type", "error"}, {"text", why}}.dump(-1, ' ', false, Json::error_handler_t::replace));
    link.control->stream().flush();
    control_lost(link, why);
    return false;
  };
  try {
    if (number_at<int>(hello, "version") != kControlVersion) {
      return refuse("node '" + config_.node.name + "' speaks version " + std::to_string(kControlVersion) +
                    " of the control protocol, the other node version " +
                    std::to_string(number_at<int>(hello, "version")) + "; install releases of slotwired that match");
    }
    if (hello.at("node").get<std::string>() != link.config.peer) {
      control_lost(link, "the node at " + to_string(*link.config.control) + " is '" +
                             hello["node"].get<std::string>().substr(0, 63) + "', not '" + link.config.peer + "'");
      return false;
    }
    if (const std::string mismatch = encryption_mismatch(link, hello); !mismatch.empty()) return refuse(mismatch);
    const std::uint64_t incarnation = parse_hex64(hello.at("incarnation").get<std::string>());
    const bool anew = link.incarnation != 0 && link.incarnation != incarnation;
    link.incarnation = incarnation;
    link.control_up = true;
    link.backoff_us = 0;
    link.heard_us = monotonic_us();
    link.synced.clear();
    ++link.reconnects;
    log().info("link to '{}': control connection up{}", link.config.peer, tls_ ? " (TLS 1.3)" : "");
    if (anew) {
      log().warn("node '{}' started anew and has lost its slots: connections with it end", link.config.peer);
      for (std::size_t slot = 0; slot < admin_->slots().size(); ++slot) {
        const SlotDescriptor& d = admin_->slots()[slot];
        if (d.pairing != Pairing::remote || card_->row(static_cast<std::uint16_t>(slot)).link != link.index ||
            d.phase == Phase::peer_gone) {
          continue;
        }
        peer_ended(static_cast<std::uint16_t>(slot), End::lost, "node '" + link.config.peer + "' started anew");
      }
    }
    route(link, hello, from);
    restart_keys(link);
    send_sync(link);
    tell_link(link);
    return link.control != nullptr;
  } catch (const Json::exception& error) {
    control_lost(link, std::string("its hello cannot be understood: ") + error.what());
    return false;
  } catch (const Refusal& refusal) {
    control_lost(link, "its hello cannot be understood: " + refusal.text);
    return false;
  }
}

void Engine::route(Link& link, const Json& hello, const carriers::Address& from) {
  carriers::Token token = link.token;
  if (!link.config.dial && !parse_hex(hello.value("token", std::string()), token)) token = {};
  pipeline::LinkConfig figures = link_figures(config_.protocol);
  const auto address = [&](const std::optional<HostPort>& configured, const char* port_key) {
    return data_address(configured, hello, port_key, from);
  };
  try {
    if (link.config.carrier == LinkCarrier::udp) {
      if (link.routed) return;
      const carriers::Address peer = address(link.config.udp, "udp_port");
      if (!udp_) throw std::runtime_error("this node does not listen on UDP (listen.udp)");
      if (!peer.valid()) throw std::runtime_error("the peer's UDP address is not known (set udp in its [[link]])");
      card_->set_route(link.index, driver::OverCarrier{join(link, *udp_, sealed_udp_)}, figures);
      udp_->add_link(link.index, peer);
    } else if (link.config.carrier == LinkCarrier::dpdk) {
      const std::vector<std::uint16_t> ports = ports_of(hello);
      if (link.routed && ports == link.peer_ports) return;
      const carriers::Address peer = address(link.config.udp, "udp_port");
      if (!peer.valid()) throw std::runtime_error("the peer's UDP address is not known (set udp in its [[link]])");
      if (!link.routed) {
        card_->set_route(link.index, driver::OverCarrier{join(link, *dpdk_, sealed_dpdk_)}, figures);
      }
      on_dpdk([&] {
        if (link.routed) dpdk_->remove_link(link.index);  // the peer has another number of threads now
        dpdk_->add_link(link.index, peer, ports);
      });
      link.peer_ports = ports;
    } else if (link.config.carrier == LinkCarrier::card) {
      if (link.routed) return;
      const carriers::Address peer = address(link.config.udp, "udp_port");
      if (!peer.valid()) throw std::runtime_error("the peer's UDP address is not known (set udp in its [[link]])");
      link.card_peer = peer;
      if (card_udp_) {
        card_->set_route(link.index, driver::OverCarrier{*card_udp_}, figures);
        card_udp_->add_link(link.index, peer);
      } else {
        card_->set_route(link.index, driver::OnCard{peer}, figures);
      }
    } else {
      if (link.routed && token == link.token) return;
      if (link.routed) tcp_->remove_link(link.index);
      const carriers::Address peer = link.config.dial ? address(link.config.tcp, "tcp_port") : carriers::Address();
      if (link.config.dial && !peer.valid())
        throw std::runtime_error("the peer's TCP address is not known (set tcp in its [[link]])");
      // TCP loses nothing while it stands, and link_up() goes back when it broke: an early timeout would only send
      // again what waits in its buffers.
      figures.retransmit_us = figures.retransmit_max_us;
      card_->set_route(link.index, driver::OverCarrier{*tcp_}, figures);
      tcp_->add_link({link.index, link.config.peer, link.config.dial, peer, token});
    }
    link.token = token;
    link.routed = true;
  } catch (const std::exception& error) {
    link.reason = error.what();
    log().error("link to '{}': no carrier: {}", link.config.peer, error.what());
  }
}

/// Links of the card are the same on the wire over UDP.
bool Engine::on_card_gone(std::string_view why) {
  try {
    card_udp_ = open_udp(address_of(*config_.card.address));
  } catch (const std::exception& error) {
    if (card_wait_ != error.what()) {
      card_wait_ = error.what();
      log().error(
          "the card stays away ({}) and its links cannot go over UDP: {}; they wait for the card, or for an "
          "interface with the address {}",
          why, error.what(), config_.card.address->host);
    }
    return false;
  }
  log().warn(
      "the card stays away ({}): its links go over UDP from now on, connections over it end; restart slotwired "
      "when the card is back",
      why);
  card_chosen_ = {std::string(driver::card_kind_name(driver::CardKind::software)), "software",
                  "the card went away: " + std::string(why)};
  for (const auto& link : links_) {
    if (!link || link->config.carrier != LinkCarrier::card || !link->routed) continue;
    card_->set_route(link->index, driver::OverCarrier{*card_udp_}, link_figures(config_.protocol));
    card_udp_->add_link(link->index, link->card_peer);
  }
  return true;
}

void Engine::control_lost(Link& link, std::string_view why) {
  const bool was_up = link.control_up;
  const std::string reason(why);
  if (link.watched_fd >= 0) reactor_.remove(link.watched_fd);
  link.watched_fd = -1;
  link.control.reset();
  link.control_up = false;
  link.reason = reason;
  if (was_up) {
    log().warn("link to '{}': control connection lost: {}; lines go on as long as the carrier does", link.config.peer,
               reason);
    fail_opens(link.index, "the link to node '" + link.config.peer + "' went down: " + reason);
    tell_link(link);
  } else {
    log_limited("link " + link.config.peer, spdlog::level::warn, "link to '" + link.config.peer + "': " + reason);
  }
  if (!link.config.dial || link.retry || stopping_) return;
  link.backoff_us = link.backoff_us == 0 ? kFirstBackoffUs : std::min(link.backoff_us * 2, kMaxBackoffUs);
  const std::uint16_t index = link.index;
  link.retry = reactor_.after(link.backoff_us, [this, index] { dial(*links_[index]); });
}

void Engine::fail_opens(std::uint16_t link, const std::string& text) {
  std::vector<std::uint64_t> failed;
  for (const auto& [id, open] : opens_) {
    if (open.link == link) failed.push_back(id);
  }
  for (const std::uint64_t id : failed) {
    const PendingOpen open = opens_.at(id);
    opens_.erase(id);
    reactor_.cancel(open.timer);
    if (admin_->slots()[open.slot].pairing == Pairing::opening) free_slot(open.slot);
    if (!sessions_[open.session] || admin_->sessions()[open.session].id != open.session_id) continue;
    tell(session_at(open.session), Json{{"id", open.request_id}, {"error", {{"code", "link_down"}, {"text", text}}}});
  }
}

void Engine::tell_link(Link& link, std::optional<std::uint32_t> only) {
  std::set<std::uint32_t> told;
  for (std::size_t slot = 0; slot < admin_->slots().size(); ++slot) {
    const SlotDescriptor& d = admin_->slots()[slot];
    if (d.pairing != Pairing::remote || d.session == kNoSession || (only && d.session != *only) ||
        card_->row(static_cast<std::uint16_t>(slot)).link != link.index || !told.insert(d.session).second) {
      continue;
    }
    tell(session_at(d.session),
         Json{{"ev", "link"}, {"node", link.config.peer}, {"up", usable(link)}, {"text", link.reason}});
  }
}

void Engine::handle_peer(Link& link, const Json& message) {
  const std::string type = message.at("type").get<std::string>();
  if (type == "open") return peer_open(link, message);
  if (type == "opened" || type == "refused") return peer_opened(link, message);
  if (type == "close") return peer_close(link, message);
  if (type == "sync") return peer_sync(link, message);
  if (type == "key") return peer_key(link, message);
  if (type == "key_taken") return peer_key_taken(link, message);
  if (type == "ping") return send_peer(link, Json{{"type", "pong"}});
  if (type == "pong") return;
  log_limited("type", spdlog::level::warn,
              "node '" + link.config.peer + "' sent a message of unknown type '" + type.substr(0, 32) + "'");
}

void Engine::peer_open(Link& link, const Json& message) {
  const auto id = number_at<std::uint64_t>(message, "id");
  const auto peer_slot = number_at<std::uint16_t>(message, "slot");
  const auto epoch = number_at<std::uint16_t>(message, "epoch");
  const auto their_in = number_at<unsigned>(message, "in_order");
  const auto their_out = number_at<unsigned>(message, "out_order");
  const std::string service = message.at("service").get<std::string>().substr(0, kNameBytes - 1);
  const PeerProcess from = peer_process(message.at("from"));
  const auto refused = [&](const Refusal& refusal) {
    log_limited("refused " + service, spdlog::level::info,
                "a connection from node '" + link.config.peer + "' to '" + service + "' was refused: " + refusal.text);
    send_peer(link, Json{{"type", "refused"}, {"id", id}, {"code", refusal.code}, {"text", refusal.text}});
  };
  try {
    const unsigned smallest = slot::Space::kFirstMirroredOrder;
    const auto too_large = [&](unsigned order) {
      return (std::uint64_t{regs::kLineBytes} << order) > config_.memory.max_ring;
    };
    if (their_in < smallest || their_out < smallest || their_in > regs::kMaxRingOrder ||
        their_out > regs::kMaxRingOrder || too_large(their_in) || too_large(their_out)) {
      throw Refusal{"bad_request", "rings of 2^" + std::to_string(their_in) + " and 2^" + std::to_string(their_out) +
                                       " lines are out of the range of node '" + config_.node.name +
                                       "' (memory.max_ring)"};
    }
    if (const Decision decision = policy_->may_connect_remote(link.config.peer, service); !decision.allowed) {
      throw Refusal{"refused", decision.reason};
    }
    Session* to = serving(service);
    if (to == nullptr && coming_back()) throw still_coming_back();
    if (to == nullptr)
      throw Refusal{"no_service", "no process on node '" + config_.node.name + "' serves '" + service + "'"};
    const std::uint16_t slot = open_slot(*to, &link, their_out, their_in, Pairing::remote, service, true);
    SlotDescriptor& d = admin_->slots()[slot];
    d.peer_pid = from.pid;
    d.peer_uid = from.uid;
    set_name(d.peer_name, from.name);
    set_name(d.peer_node, link.config.peer);
    card_->bind(slot, {.link = link.index,
                       .peer_slot = peer_slot,
                       .epoch = epoch,
                       .in_order = d.in_order,
                       .out_order = d.out_order,
                       .credit = std::uint32_t{1} << d.in_order,
                       .marks = {}});
    d.pairing = Pairing::remote;
    std::vector<slot::Fd> temporary;
    Json event = slot_json(slot);
    event["ev"] = "accepted";
    if (!tell(*to, event, slot_fds(slot, temporary))) {
      const std::string name = who(*to);
      free_slot(slot);
      throw Refusal{
          "busy", name + " on node '" + config_.node.name + "' serves '" + service + "' but does not take connections"};
    }
    const SessionRecord& record = admin_->sessions()[to->index];
    send_peer(link, Json{{"type", "opened"},
                         {"id", id},
                         {"slot", slot},
                         {"to", {{"name", get_name(record.name)}, {"pid", record.pid}, {"uid", record.uid}}}});
  } catch (const Refusal& refusal) {
    refused(refusal);
  }
}

void Engine::peer_opened(Link& link, const Json& message) {
  const auto found = opens_.find(number_at<std::uint64_t>(message, "id"));
  if (found == opens_.end() || found->second.link != link.index) return;  // given up meanwhile; the peer has been told
  // The whole message is read before anything is done for it.
  const bool refused = message.at("type") == "refused";
  const PeerProcess to = refused ? PeerProcess{} : peer_process(message.at("to"));
  const auto peer_slot = refused ? std::uint16_t{0} : number_at<std::uint16_t>(message, "slot");
  const std::string code = refused ? message.at("code").get<std::string>().substr(0, 32) : std::string();
  const std::string text = refused ? message.at("text").get<std::string>().substr(0, 1000) : std::string();
  const PendingOpen open = found->second;
  opens_.erase(found);
  reactor_.cancel(open.timer);
  SlotDescriptor& d = admin_->slots()[open.slot];
  const bool there = sessions_[open.session] && admin_->sessions()[open.session].id == open.session_id;
  if (refused) {
    free_slot(open.slot);
    if (there)
      tell(session_at(open.session), Json{{"id", open.request_id}, {"error", {{"code", code}, {"text", text}}}});
    return;
  }
  d.peer_pid = to.pid;
  d.peer_uid = to.uid;
  set_name(d.peer_name, to.name);
  card_->bind(open.slot, {.link = link.index,
                          .peer_slot = peer_slot,
                          .epoch = open.epoch,
                          .in_order = d.in_order,
                          .out_order = d.out_order,
                          .credit = std::uint32_t{1} << d.in_order,
                          .marks = {}});
  d.pairing = Pairing::remote;
  std::vector<slot::Fd> temporary;
  Json answer = slot_json(open.slot);
  answer["id"] = open.request_id;
  answer["ok"] = true;
  if (!there || !tell(session_at(open.session), answer, slot_fds(open.slot, temporary)))
    begin_close(open.slot, End::died);
}

void Engine::peer_close(Link& link, const Json& message) {
  const auto named = number_at<std::int64_t>(message, "slot");
  const auto from_slot = number_at<std::uint16_t>(message, "from_slot");
  const auto epoch = number_at<std::uint16_t>(message, "epoch");
  const End end = end_from_name(message.at("reason").get<std::string>());
  const auto matches = [&](std::size_t slot) {
    const regs::SlotRow& row = card_->row(static_cast<std::uint16_t>(slot));
    return admin_->slots()[slot].pairing == Pairing::remote &&
           static_cast<regs::SlotState>(row.state) != regs::SlotState::free && row.link == link.index &&
           row.peer_slot == from_slot && row.epoch == epoch;
  };
  std::size_t slot = named >= 0 ? static_cast<std::size_t>(named) : 0;
  if (named < 0) {
    while (slot < admin_->slots().size() && !matches(slot)) ++slot;
  }
  // A close for a pairing that is gone already is not an error: both ends may close at once.
  if (slot >= admin_->slots().size() || !matches(slot)) return;
  peer_ended(static_cast<std::uint16_t>(slot), end, {});
}

void Engine::send_sync(Link& link) {
  Json pairs = Json::array();
  const auto flush = [&](bool last) {
    send_peer(link, Json{{"type", "sync"}, {"pairs", pairs}, {"last", last}});
    pairs = Json::array();
  };
  for (std::size_t slot = 0; slot < admin_->slots().size(); ++slot) {
    const regs::SlotRow& row = card_->row(static_cast<std::uint16_t>(slot));
    if (admin_->slots()[slot].pairing != Pairing::remote || row.link != link.index ||
        static_cast<regs::SlotState>(row.state) == regs::SlotState::free) {
      continue;
    }
    pairs.push_back({row.peer_slot, slot, row.epoch});
    if (pairs.size() == kSyncPairs) flush(false);
  }
  flush(true);
}

void Engine::peer_sync(Link& link, const Json& message) {
  for (const Json& pair : message.at("pairs")) {
    if (link.synced.size() >= admin_->slots().size()) break;
    link.synced.emplace(whole_number<std::uint16_t>(pair.at(0), "slot"),
                        whole_number<std::uint16_t>(pair.at(2), "epoch"));
  }
  if (!message.at("last").get<bool>()) return;
  // What this node has and the peer has not ended while the two could not talk.
  for (std::size_t i = 0; i < admin_->slots().size(); ++i) {
    const auto slot = static_cast<std::uint16_t>(i);
    const SlotDescriptor& d = admin_->slots()[slot];
    const regs::SlotRow& row = card_->row(slot);
    if (d.pairing != Pairing::remote || row.link != link.index || d.phase == Phase::peer_gone ||
        static_cast<regs::SlotState>(row.state) == regs::SlotState::free || link.synced.contains({slot, row.epoch})) {
      continue;
    }
    peer_ended(slot, End::died, {});
  }
  link.synced.clear();
}

}  // namespace slotwire::engine
