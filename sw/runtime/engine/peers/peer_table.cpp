#include "runtime/engine/peers/peer_table.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <stdexcept>

#include "core/overloaded.hpp"
#include "runtime/engine/config/config_values.hpp"
#include "runtime/engine/peers/key_exchange.hpp"

namespace slotwire::engine {
namespace {

constexpr std::uint64_t kFirstBackoffUs = 50'000;
constexpr std::uint64_t kMaxBackoffUs = 2'000'000;
/// A control connection that was up for so long is dialled again after the shortest delay.
constexpr std::uint64_t kStableUs = 1'000'000;
/// A peer that was not heard of for so long is taken for dead, though its connection does not say so: three pings.
constexpr std::uint64_t kSilenceUs = 3'000'000;
/// Messages of one peer handled at a time, and processor time after which no further one is, so that one peer cannot
/// keep the others waiting.
constexpr int kMessagesAtOnce = 16;
constexpr std::uint64_t kTurnUs = 100;
/// Between pings, less than the second that four ticks take. Each costs a wake-up of four processes.
constexpr std::uint64_t kPingUs = 900'000;
/// Ticks that are further apart say that this slotwired stood still.
constexpr std::uint64_t kStandstillUs = 1'000'000;
/// Until a name that could not be looked up is looked up again.
constexpr std::uint64_t kLookUpAgainUs = 1'000'000;
/// Pairs in one sync message: about 20 bytes each.
constexpr std::size_t kSyncPairs = 16384;

std::uint64_t next_backoff(std::uint64_t last_us) {
  return last_us == 0 ? kFirstBackoffUs : std::min(last_us * 2, kMaxBackoffUs);
}

carriers::Address numeric_or_none(const std::optional<HostPort>& at) {
  return at && is_numeric_host(at->host) ? address_of(*at) : carriers::Address();
}

}  // namespace

PeerTable::PeerTable(PeerParts parts) : parts_(parts), peers_(parts_.config.limits.links) {
  for (const LinkConfig& config : parts_.config.links) {
    auto peer = std::make_unique<Peer>();
    peer->link = {number_of(config.peer), &config, numeric_or_none(config.udp), numeric_or_none(config.tcp)};
    peer->transport = parts_.transports.find(config.carrier);
    if (peer->transport == nullptr) {
      throw std::runtime_error("the link to node '" + config.peer + "' wants carrier = \"" + config.carrier +
                               "\", which this node does not have");
    }
    peer->usable_us = parts_.loop.now_us();
    peers_[peer->link.index] = std::move(peer);
  }
}

/// The number that the link to `peer` had in an earlier life, since rows in admin memory name it, or a free one.
std::uint16_t PeerTable::number_of(const std::string& peer) {
  AdminHeader& header = parts_.admin.header();
  const std::size_t links = std::min<std::size_t>(parts_.config.limits.links, kMaxAdminLinks);
  std::size_t free = links;
  for (std::size_t i = 0; i < links; ++i) {
    const std::string_view name = get_name(header.links[i]);
    if (name == peer) return static_cast<std::uint16_t>(i);
    if (name.empty() && free == links) free = i;
  }
  if (free == links) {
    throw std::runtime_error("more [[link]] tables than limits.links allows (" + std::to_string(links) + ")");
  }
  set_name(header.links[free], peer);
  return static_cast<std::uint16_t>(free);
}

void PeerTable::use(SlotTable& slots, OpenHandler& opens) {
  slots_ = &slots;
  opens_ = &opens;
}

void PeerTable::start() {
  for (const auto& peer : peers_) {
    if (peer && parts_.config.tls.enabled() && peer->transport->encryption(peer->link) == "none") {
      parts_.log->warn(
          "link to '{}': frames are neither encrypted nor authenticated (encryption = \"none\"), although "
          "[tls] protects the control connection; whoever sees them can change them",
          peer->name());
    }
  }
  parts_.network.listen([this](std::unique_ptr<ControlChannel> channel, const control::PeerHello& hello,
                               const carriers::Address& from) { introduce(std::move(channel), hello, from); });
  for (const auto& peer : peers_) {
    if (peer && peer->link.config->dial) dial(*peer);
  }
}

Peer* PeerTable::find(std::string_view node) {
  for (const auto& peer : peers_) {
    if (peer && peer->name() == node) return peer.get();
  }
  return nullptr;
}

std::vector<LinkInfo> PeerTable::links_of(std::string_view transport) const {
  std::vector<LinkInfo> links;
  for (const auto& peer : peers_) {
    if (peer && peer->link.config->carrier == transport) links.push_back(peer->link);
  }
  return links;
}

// ---- connecting ----

void PeerTable::dial(Peer& peer) {
  peer.retry.reset();
  try {
    adopt(peer,
          parts_.network.dial(*peer.link.config, static_cast<std::uint64_t>(parts_.config.limits.handshake.count())));
  } catch (const std::exception& error) {
    return lost(peer, error.what());
  }
  say_hello(peer, data_address(peer.link.udp, 0, {}));
}

void PeerTable::adopt(Peer& peer, std::unique_ptr<ControlChannel> channel) {
  const std::uint16_t link = peer.link.index;
  channel->on_ready([this, link] { on_ready(link); });
  peer.control = std::move(channel);
}

/// `to`: where frames of the link go, if that is known yet.
void PeerTable::say_hello(Peer& peer, const carriers::Address& to) {
  control::PeerHello hello;
  hello.node = parts_.config.node.name;
  hello.incarnation = parts_.admin.header().incarnation;
  hello.encryption = carriers::suite_name(peer.link.config->encryption);
  peer.transport->fill_hello(peer.link, to, hello);
  peer.control->send(control::encode_peer(hello));
}

std::string PeerTable::objection(const control::PeerHello& hello) {
  const std::string& own = parts_.config.node.name;
  const Peer* const peer = find(hello.node);
  if (peer == nullptr) return "node '" + own + "' has no [[link]] with peer = \"" + hello.node + "\"";
  if (peer->link.config->dial) {
    return "node '" + own + "' dials this link itself; set dial = false for it on one of the two nodes";
  }
  return {};
}

void PeerTable::introduce(std::unique_ptr<ControlChannel> channel, const control::PeerHello& hello,
                          const carriers::Address& from) {
  if (const std::string why = stopping_ ? "the node stops" : objection(hello); !why.empty()) {
    parts_.log.limited(
        "turned away", spdlog::level::warn,
        "control connection " + (from.valid() ? "from " + from.to_string() : "over HTTP") + " turned away: " + why);
    channel->send(control::encode_peer(control::PeerError{why}));
    return;
  }
  Peer& peer = *find(hello.node);
  const carriers::Address host = from.valid() ? from.with_port(0) : from;
  if (const std::uint64_t now = parts_.loop.now_us(); now < peer.not_before_us && host == peer.held_off) {
    const std::string wait = "the connection before this one ended as soon as it had begun (" + peer.reason +
                             "); the next is taken in " + std::to_string((peer.not_before_us - now + 999) / 1000) +
                             " ms";
    parts_.log.limited("too soon " + peer.name(), spdlog::level::warn,
                       "control connection of node '" + peer.name() + "' turned away: " + wait);
    channel->send(control::encode_peer(control::PeerError{wait}));
    return;
  }
  // The newest connection is the one: the peer has restarted before the old one was seen to end.
  // Whose place is taken from elsewhere has not ended its connection itself, and may come back at once.
  if (peer.control) lost(peer, "its node connected anew", host == peer.host);
  peer.host = host;
  adopt(peer, std::move(channel));
  say_hello(peer, data_address(peer.link.udp, hello.udp_port, from));
  guard(peer, [&] { take_hello(peer, hello, from); });
}

void PeerTable::lost(Peer& peer, const std::string& why, bool by_itself) {
  const bool was_up = peer.control_up;
  // One that ends right after its beginning will do so again: both nodes may find each other's hello wanting.
  const std::uint64_t now = parts_.loop.now_us();
  const bool stable = was_up && now - peer.up_us >= kStableUs;
  if (stable) peer.backoff_us = 0;
  peer.control.reset();
  peer.control_up = false;
  peer.waits = false;
  peer.reason = why;
  if (was_up) {
    parts_.log.limited(
        "link " + peer.name() + " lost", spdlog::level::warn,
        "link to '" + peer.name() + "': control connection lost: " + why + "; lines go on as long as the carrier does");
    opens_->on_peer_lost(peer, "the link to node '" + peer.name() + "' went down: " + why);
    slots_->tell_link(peer.link.index, event_of(peer));
  } else {
    parts_.log.limited("link " + peer.name(), spdlog::level::warn, "link to '" + peer.name() + "': " + why);
  }
  if (peer.link.config->dial) {
    retry_later(peer);
  } else if (!stable && by_itself) {
    hold_off(peer, now);
  }
}

/// A peer that connects again and again would cost this node a beginning and an end of the link each time. One that
/// keeps to the delays of `retry_later` never comes too soon. It holds for the address that it came from alone: without
/// TLS anybody can say that he is the peer, and would keep it out.
void PeerTable::hold_off(Peer& peer, std::uint64_t now_us) {
  peer.held_off = peer.host;
  peer.backoff_us = next_backoff(peer.backoff_us);
  peer.not_before_us = now_us + peer.backoff_us / 2;
}

void PeerTable::retry_later(Peer& peer) {
  if (peer.retry || stopping_) return;
  peer.backoff_us = next_backoff(peer.backoff_us);
  const std::uint16_t link = peer.link.index;
  peer.retry = parts_.loop.after(peer.backoff_us, [this, link] { dial(*peers_[link]); });
}

/// Tells the peer why, and drops the connection.
void PeerTable::refuse(Peer& peer, const std::string& why) {
  ++peer.refused;
  if (peer.control) peer.control->send(control::encode_peer(control::PeerError{why}));
  lost(peer, why);
}

/// The peer's certificate does not hold any more: nothing of it is taken until it connects with one that does.
void PeerTable::shut_out(Peer& peer, const std::string& why) {
  parts_.log.limited("shut out " + peer.name(), spdlog::level::err, "link to '" + peer.name() + "' is closed: " + why);
  peer.transport->shut_out(peer.link.index);
  slots_->link_lost(peer.link.index, "node '" + peer.name() + "' was shut out: " + why);
}

void PeerTable::cut(Peer& peer) {
  peer.transport->cut(peer.link.index);
  lost(peer, "cut by request");
}

/// A link that is up and whose frames do not arrive looks as if nobody had anything to say: it is told once.
void PeerTable::look_at_complaint(Peer& peer) {
  const std::string complaint = peer.transport->complaint(peer.link.index);
  if (!complaint.empty() && peer.complaint.empty()) {
    parts_.log.limited("complaint " + peer.name(), spdlog::level::warn, "link to '" + peer.name() + "': " + complaint);
  }
  peer.complaint = complaint;
}

/// A peer that stays away, or whose frames do not come, holds slots and memory of this node: not for ever.
void PeerTable::look_at_absence(Peer& peer) {
  if (peer.usable()) peer.usable_us = parts_.loop.now_us();
  const auto patience = static_cast<std::uint64_t>(parts_.config.limits.link_down.count());
  if (patience == 0 || down_us(peer) <= patience) return;
  const std::string why = "the link to node '" + peer.name() + "' was down for longer than limits.link_down = " +
                          format_duration(parts_.config.limits.link_down);
  const std::size_t ended = slots_->give_up_link(peer.link.index, why);
  if (ended == 0) return;
  parts_.log.limited("given up " + peer.name(), spdlog::level::warn,
                     why + ": its " + std::to_string(ended) + " connections end, and their slots are given back");
}

/// Time in which this slotwired stood still (stopped, or without a processor) is nobody's silence: nothing was read.
void PeerTable::pass_over_standstill(std::uint64_t now) {
  const std::uint64_t since = ticked_us_ == 0 ? 0 : now - ticked_us_;
  ticked_us_ = now;
  if (since <= kStandstillUs) return;
  for (const auto& peer : peers_) {
    if (!peer) continue;
    peer->heard_us = std::min(now, peer->heard_us + since);
    peer->usable_us = std::min(now, peer->usable_us + since);
  }
}

void PeerTable::tick() {
  const std::uint64_t now = parts_.loop.now_us();
  pass_over_standstill(now);
  for (const auto& peer : peers_) {
    if (!peer) continue;
    look_at_complaint(*peer);
    look_at_absence(*peer);
    if (peer->control_up && !peer->waits && now - peer->heard_us > kSilenceUs) {
      lost(*peer, "nothing was heard from it for 3 s");
    } else if (peer->control_up && now - peer->pinged_us > kPingUs) {
      peer->pinged_us = now;
      send(peer->link.index, control::Ping{});
    }
  }
  tend_keys();
}

// ---- messages ----

void PeerTable::send(std::uint16_t link, const control::PeerMessage& message) {
  Peer* const peer = at(link);
  if (peer == nullptr || !peer->control || !peer->control_up) return;
  switch (peer->control->send(control::encode_peer(message))) {
    case ControlChannel::Sent::no_room:
      return lost(*peer, "it does not read its control connection");
    case ControlChannel::Sent::too_long:
      parts_.log.limited("too long " + peer->name(), spdlog::level::err,
                         "a control message to '" + peer->name() + "' is too long and was not sent");
      break;
    case ControlChannel::Sent::sent:
    case ControlChannel::Sent::closed:
      break;
  }
}

void PeerTable::on_ready(std::uint16_t link) {
  Peer& peer = *peers_[link];
  const std::uint64_t begin_us = parts_.loop.used_us();
  for (int handled = 0; peer.control && !peer.waits; ++handled) {
    if (handled == kMessagesAtOnce || (handled != 0 && parts_.loop.used_us() - begin_us >= kTurnUs)) {
      // What is left is here already, so nothing else would come back to it.
      if (std::exchange(peer.more, true)) return;
      parts_.loop.after(0, [this, link] {
        peers_[link]->more = false;
        on_ready(link);
      });
      return;
    }
    const std::optional<std::string> text = peer.control->next();
    if (!text) break;
    peer.heard_us = parts_.loop.now_us();
    guard(peer, [&] { handle(peer, *text); });
  }
  if (!peer.control || !peer.control->closed()) return;
  const std::string why = peer.control->reason();
  const bool revoked = peer.control->revoked();
  lost(peer, why);
  if (revoked) shut_out(peer, why);
}

/// The boundary of what a peer can do: whatever is wrong with its message costs its connection and nothing else.
template <class Action>
void PeerTable::guard(Peer& peer, const Action& action) {
  try {
    return action();
  } catch (const Refusal& refusal) {
    refuse(peer, "it sent " + refusal.text);
  } catch (const std::exception& error) {
    refuse(peer, std::string("a message of it could not be handled: ") + error.what());
  } catch (...) {
    refuse(peer, "a message of it could not be handled");
  }
}

void PeerTable::handle(Peer& peer, const std::string& text) {
  const Result<control::PeerMessage> message = control::decode_peer(text);
  if (!message.ok()) {
    return refuse(peer, "it sent a message that cannot be understood: " + message.error().text);
  }
  if (const auto* error = std::get_if<control::PeerError>(&message.value())) {
    return lost(peer, "it said: " + error->text);
  }
  if (const auto* hello = std::get_if<control::PeerHello>(&message.value())) {
    if (peer.control_up) return refuse(peer, "it said hello twice");
    return take_hello(peer, *hello, carriers::Address());
  }
  if (!peer.control_up) return refuse(peer, "it did not begin with a hello");
  dispatch(peer, message.value());
}

/// A pairing may have ended while a message that names it was on its way; a slot that there never is has not. Throws
/// Refusal.
void PeerTable::check_slot(std::int64_t slot, std::string_view message) const {
  if (slot >= 0 && static_cast<std::uint64_t>(slot) < slots_->count()) return;
  throw Refusal{"bad_request", "a '" + std::string(message) + "' that names slot " + std::to_string(slot) + "; node '" +
                                   parts_.config.node.name + "' has slots 0 to " + std::to_string(slots_->count() - 1)};
}

void PeerTable::dispatch(Peer& peer, const control::PeerMessage& message) {
  std::visit(
      Overloaded{[&](const control::Open& m) { opens_->on_open(peer, m); },
                 [&](const control::Opened& m) { opens_->on_opened(peer, m); },
                 [&](const control::Refused& m) { opens_->on_refused(peer, m); },
                 [&](const control::PeerClose& m) {
                   if (m.slot != control::PeerClose::kUnknownSlot) check_slot(m.slot, m.kName);
                   opens_->on_given_up(peer, m);
                   slots_->peer_closed(peer.link.index, m);
                 },
                 [&](const control::Sync& m) { take_sync(peer, m); }, [&](const control::Key& m) { take_key(peer, m); },
                 [&](const control::KeyTaken& m) { take_key_taken(peer, m); },
                 [&](const control::AskHealth& m) { opens_->on_ask_health(peer, m); },
                 [&](const control::HealthAnswer& m) { opens_->on_health(peer, m); },
                 [&](const control::SlotHealth& m) {
                   check_slot(m.slot, m.kName);
                   opens_->on_slot_health(peer, m);
                 },
                 [&](const control::Ping&) { send(peer.link.index, control::Pong{}); }, [](const control::Pong&) {},
                 [](const control::PeerHello&) {}, [](const control::PeerError&) {},
                 [&](const control::UnknownMessage& m) {
                   parts_.log.limited("type", spdlog::level::warn,
                                      "node '" + peer.name() + "' sent a message of unknown type '" + m.type + "'");
                 }},
      message);
}

void PeerTable::take_hello(Peer& peer, const control::PeerHello& hello, const carriers::Address& from) {
  const std::string own = "node '" + parts_.config.node.name + "' ";
  if (hello.version != control::kVersion) {
    refuse(peer, own + "speaks version " + std::to_string(control::kVersion) +
                     " of the control protocol, the other node version " + std::to_string(hello.version) +
                     "; install releases of slotwired that match");
    return;
  }
  if (hello.node != peer.name()) {
    const std::optional<HostPort>& at = peer.link.config->control;
    return refuse(peer, "the node at " + (at ? to_string(*at) : "the other end") + " is '" + hello.node + "', not '" +
                            peer.name() + "'");
  }
  if (const std::string mismatch = peer.transport->mismatch(peer.link, hello); !mismatch.empty()) {
    refuse(peer, own + mismatch);
    return;
  }
  if (std::find(hello.ports.begin(), hello.ports.end(), 0) != hello.ports.end())
    return refuse(peer, "it sent a 'hello' with port 0 in 'ports'; ports are 1 to 65535");
  const bool anew = peer.incarnation != 0 && peer.incarnation != hello.incarnation;
  peer.incarnation = hello.incarnation;
  peer.control_up = true;
  peer.heard_us = peer.up_us = parts_.loop.now_us();
  if (peer.usable()) peer.usable_us = peer.up_us;
  peer.synced.clear();
  peer.sync_ended = false;
  ++peer.control_connects;
  parts_.log.limited("link " + peer.name() + " up", spdlog::level::info,
                     "link to '" + peer.name() + "': control connection up" + std::string(parts_.network.protection()));
  if (anew) {
    parts_.log.limited("anew " + peer.name(), spdlog::level::warn,
                       "node '" + peer.name() + "' started anew and has lost its slots: connections with it end");
    slots_->link_lost(peer.link.index, "node '" + peer.name() + "' started anew");
  }
  find_route(peer, hello, from);
  restart_keys(peer);
  send_sync(peer);
  slots_->tell_link(peer.link.index, event_of(peer));
}

/// Data addresses that are names are looked up at each hello. Frames go where they went until the answer is there.
void PeerTable::find_route(Peer& peer, const control::PeerHello& hello, const carriers::Address& from) {
  ++peer.route_asked;
  // The keys of a link exist from its route on, so nothing that the peer says of them can be taken before.
  const bool no_keys =
      peer.link.config->encryption != carriers::CipherSuite::none && peer.transport->keys(peer.link.index) == nullptr;
  if (look_up(peer, hello, from, {})) {
    peer.waits = no_keys;
  } else {
    route(peer, hello, from);
  }
}

/// Looks up the first data address that is a name and is not in `done`. False: there is none.
bool PeerTable::look_up(Peer& peer, const control::PeerHello& hello, const carriers::Address& from,
                        std::vector<HostPort> done) {
  const LinkConfig& config = *peer.link.config;
  const AddressNeeds needs = peer.transport->needs(peer.link);
  const std::array<std::pair<bool, const std::optional<HostPort>*>, 2> addresses{
      {{needs.udp, &config.udp}, {needs.tcp, &config.tcp}}};
  for (const auto& one : addresses) {
    const std::optional<HostPort>& at = *one.second;
    if (!one.first || !at || is_numeric_host(at->host)) continue;
    if (std::any_of(done.begin(), done.end(), [&](const HostPort& d) { return d.host == at->host; })) continue;
    done.push_back(*at);
    const std::uint16_t link = peer.link.index;
    const std::uint64_t question = peer.route_asked;
    parts_.network.resolve(done.back().host, [this, link, question, hello, from,
                                              done](const Result<std::vector<carriers::Address>>& found) {
      if (peers_[link]->route_asked == question) take_addresses(*peers_[link], hello, from, done, found);
    });
    return true;
  }
  return false;
}

void PeerTable::take_addresses(Peer& peer, const control::PeerHello& hello, const carriers::Address& from,
                               const std::vector<HostPort>& done, const Result<std::vector<carriers::Address>>& found) {
  if (!peer.control_up) return;
  const std::uint16_t link = peer.link.index;
  const AddressNeeds needs = peer.transport->needs(peer.link);
  if (found.ok()) {
    const int family = peer.transport->family();
    const auto& all = found.value();
    const auto fits = std::find_if(all.begin(), all.end(), [&](const carriers::Address& address) {
      return family == AF_UNSPEC || address.family() == family;
    });
    const carriers::Address& address = fits == all.end() ? all.front() : *fits;
    const LinkConfig& config = *peer.link.config;
    const auto is = [&](const std::optional<HostPort>& at) { return at && at->host == done.back().host; };
    if (is(config.udp)) peer.link.udp = address.with_port(config.udp->port);
    if (is(config.tcp)) peer.link.tcp = address.with_port(config.tcp->port);
  } else {
    if (needs.must) peer.reason = found.error().text;
    parts_.log.limited("route " + peer.name(), needs.must ? spdlog::level::err : spdlog::level::warn,
                       "link to '" + peer.name() + "': " + (needs.must ? "no carrier yet: " : "") + found.error().text);
    parts_.loop.after(kLookUpAgainUs, [this, link, question = peer.route_asked, hello, from] {
      if (peers_[link]->control_up && peers_[link]->route_asked == question) find_route(*peers_[link], hello, from);
    });
    if (needs.must) return;
  }
  if (look_up(peer, hello, from, done)) return;
  const bool had_keys = peer.transport->keys(link) != nullptr;
  route(peer, hello, from);
  if (!had_keys) restart_keys(peer);
  peer.waits = false;
  on_ready(link);
}

void PeerTable::route(Peer& peer, const control::PeerHello& hello, const carriers::Address& from) {
  try {
    peer.transport->route(peer.link, hello, from);
  } catch (const std::exception& error) {
    peer.reason = error.what();
    parts_.log.limited("link " + peer.name() + " carrier", spdlog::level::err,
                       "link to '" + peer.name() + "': no carrier: " + error.what());
  }
}

void PeerTable::carrier_changed(std::uint16_t link, bool up, std::string_view reason) {
  Peer* const peer = at(link);
  if (peer == nullptr) return;
  peer->carrier_up = up;
  if (peer->usable()) peer->usable_us = parts_.loop.now_us();
  if (!up) peer->reason = std::string(reason);
  parts_.log.limited("link " + peer->name() + " carrier", spdlog::level::info,
                     "link to '" + peer->name() + "': carrier " + peer->link.config->carrier + (up ? " up" : " down") +
                         (reason.empty() ? "" : ": ") + std::string(reason));
  slots_->tell_link(link, event_of(*peer));
}

void PeerTable::tell_links(std::uint32_t session) {
  for (const auto& peer : peers_) {
    if (peer) slots_->tell_link(peer->link.index, event_of(*peer), session);
  }
}

void PeerTable::send_sync(Peer& peer) {
  const std::vector<control::SyncPair> pairs = slots_->pairs_of(peer.link.index);
  std::size_t sent = 0;
  do {
    control::Sync message;
    const std::size_t some = std::min(kSyncPairs, pairs.size() - sent);
    const auto from = pairs.begin() + static_cast<std::ptrdiff_t>(sent);
    message.pairs.assign(from, from + static_cast<std::ptrdiff_t>(some));
    sent += some;
    message.last = sent == pairs.size();
    send(peer.link.index, message);
  } while (sent < pairs.size());
}

void PeerTable::take_sync(Peer& peer, const control::Sync& message) {
  if (peer.sync_ended) throw Refusal{"bad_request", "a second 'sync'; the one after its hello had ended"};
  for (const control::SyncPair& pair : message.pairs) {
    check_slot(pair.receiver_slot, message.kName);
    if (peer.synced.size() >= slots_->count())
      throw Refusal{"bad_request", "a 'sync' with more pairs than there are slots"};
    peer.synced.emplace(pair.receiver_slot, pair.epoch);
  }
  if (!message.last) return;
  peer.sync_ended = true;
  // What this node has and the peer has not ended while the two could not talk.
  slots_->keep_only(peer.link.index, [&](std::uint16_t slot, std::uint16_t epoch) {
    return peer.synced.contains({slot, epoch});
  });
  peer.synced.clear();
}

// ---- keys ----

/// The control connection is new: both ends change their keys.
void PeerTable::restart_keys(Peer& peer) {
  carriers::LinkKeys* const keys = peer.transport->keys(peer.link.index);
  if (keys == nullptr) return;
  keys->restart();
  if (!peer.carrier_up) peer.reason = "its peer has not taken a key yet";
  tend_keys(peer);
}

void PeerTable::tend_keys() {
  for (const auto& peer : peers_) {
    if (peer) tend_keys(*peer);
  }
}

/// While there is no control connection, everything waits.
void PeerTable::tend_keys(Peer& peer) {
  carriers::LinkKeys* const keys = peer.transport->keys(peer.link.index);
  if (keys == nullptr || !peer.control_up) return;
  const bool random = engine::tend_keys(*keys, parts_.loop.now_us(), [&](const control::PeerMessage& message) {
    send(peer.link.index, message);
    return peer.control_up;
  });
  if (!random) {
    parts_.log.limited("keys", spdlog::level::err,
                       "the system has no random bytes for keys; encrypted links go on with the ones they have");
  }
}

void PeerTable::take_key(Peer& peer, const control::Key& message) {
  carriers::LinkKeys* const keys = peer.transport->keys(peer.link.index);
  if (keys == nullptr) throw Refusal{"bad_request", "a key for a link without encryption"};
  const Result<std::optional<control::KeyTaken>> taken = engine::take_key(*keys, message, parts_.loop.now_us());
  if (!taken.ok()) throw Refusal{"bad_request", taken.error().text};
  if (taken.value()) send(peer.link.index, *taken.value());
}

void PeerTable::take_key_taken(Peer& peer, const control::KeyTaken& message) {
  carriers::LinkKeys* const keys = peer.transport->keys(peer.link.index);
  if (keys == nullptr || !keys->taken(message.key)) {
    throw Refusal{"bad_request", "an answer to a key that was not offered"};
  }
  parts_.log->debug("link to '{}': frames are sealed under key {:08x}", peer.name(), message.key);
  peer.transport->wake_keys(peer.link.index);
}

}  // namespace slotwire::engine
