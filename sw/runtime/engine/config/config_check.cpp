#include "runtime/engine/config/config_check.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "runtime/engine/config/congestion_values.hpp"
#include "runtime/engine/config/transport_kind.hpp"

namespace slotwire::engine {
namespace {

constexpr std::uint32_t kDefaultSlotsPerSession = 1024;
constexpr std::uint64_t kDefaultMemoryPerSession = 512ULL << 20;
constexpr std::uint32_t kDefaultServicesPerSession = 64;
constexpr std::uint32_t kDefaultPeerShare = 2;
constexpr std::uint64_t kDefaultBulkRing = 1ULL << 20;
constexpr std::uint64_t kRingsPerSlot = 2;
constexpr std::uint32_t kDefaultToolConnectionsPerUser = 64;
constexpr std::uint64_t kDefaultUnread = 256ULL << 10;
constexpr std::uint64_t kUnreadMessages = 4;
constexpr std::uint64_t kUnreadClientsOfUser = 16;
constexpr std::uint64_t kUnreadClients = 128;

class Checker {
 public:
  Checker(const Config& config, const Positions& positions, Problems& problems)
      : config_(config), positions_(positions), problems_(problems) {}

  void run() {
    paths();
    sizes();
    timers();
    check_congestion(
        config_, [&](const std::string& key) { return positions_.count(key) != 0; },
        [&](const std::string& key, const std::string& text) { problem(key, text); });
    transports();
    tls();
    links();
    services();
    rules();
  }

 private:
  Position at(const std::string& key, Position otherwise = {1, 1}) const {
    const auto found = positions_.find(key);
    return found == positions_.end() ? otherwise : found->second;
  }

  void problem(const std::string& key, const std::string& text) { problems_.add(at(key), key, text); }

  void not_over(const std::string& key, std::uint64_t value, const std::string& other, std::uint64_t limit,
                std::string (*format)(std::uint64_t)) {
    if (value > limit) {
      problem(key, "is " + format(value) + ", more than " + other + " = " + format(limit) +
                       "; lower the first or raise '" + other + "'");
    }
  }

  void paths() {
    const auto too_long = [](const std::string& path) { return path.size() > kMaxSocketPath; };
    if (too_long(config_.node.control_socket)) {
      problem("node.control_socket", "the path " + config_.node.control_socket + " is longer than " +
                                         std::to_string(kMaxSocketPath) +
                                         " bytes; give a shorter run_dir, name or control_socket");
    }
    if (too_long(keeper_socket_path(config_.node.run_dir, config_.node.name).string())) {
      problem("node.run_dir", "is too long for the keeper's socket in it (" + std::to_string(kMaxSocketPath) +
                                  " bytes); give a shorter run_dir or name");
    }
  }

  void sizes() {
    const auto& m = config_.memory;
    const auto& l = config_.limits;
    const auto number = [](std::uint64_t n) { return std::to_string(n); };
    not_over("memory.ring", m.ring, "memory.max_ring", m.max_ring, format_size);
    not_over("memory.bulk_ring", m.bulk_ring, "memory.max_ring", m.max_ring, format_size);
    if (m.slot_memory < kRingsPerSlot * m.max_ring) {
      problem("memory.slot_memory", "is " + format_size(m.slot_memory) +
                                        ", too little for one slot with two rings of " + format_size(m.max_ring) +
                                        "; raise it or lower 'memory.max_ring'");
    }
    not_over("limits.memory_per_session", l.memory_per_session, "memory.slot_memory", m.slot_memory, format_size);
    not_over("limits.slots_per_session", l.slots_per_session, "limits.slots", l.slots, number);
    not_over("limits.services_per_session", l.services_per_session, "limits.services", l.services, number);
    not_over("limits.sessions_per_user", l.sessions_per_user, "limits.sessions", l.sessions, number);
    not_over("limits.slots_per_user", l.slots_per_user, "limits.slots", l.slots, number);
    not_over("limits.memory_per_user", l.memory_per_user, "memory.slot_memory", m.slot_memory, format_size);
    not_over("limits.mapped_per_user", l.mapped_per_user, "limits.memory_per_user", l.memory_per_user, format_size);
    if (positions_.count("limits.cell_memory") != 0)
      not_over("limits.cell_memory", l.cell_memory, "limits.block_memory", l.block_memory, format_size);
    not_over("limits.regions_per_user", l.regions_per_user, "limits.regions", l.regions, number);
    not_over("limits.services_per_user", l.services_per_user, "limits.services", l.services, number);
    not_over("limits.pending_opens_per_user", l.pending_opens_per_user, "limits.pending_opens", l.pending_opens,
             number);
    not_over("limits.slots_per_peer", l.slots_per_peer, "limits.slots", l.slots, number);
    not_over("limits.peer_share", l.peer_share, "limits.user_share", l.user_share, number);
    not_over("limits.memory_per_peer", l.memory_per_peer, "memory.slot_memory", m.slot_memory, format_size);
    not_over("limits.pending_opens_per_peer", l.pending_opens_per_peer, "limits.pending_opens", l.pending_opens,
             number);
    not_over("limits.tool_connections_per_user", l.tool_connections_per_user, "limits.tool_connections",
             l.tool_connections, number);
    not_over("limits.control_message", l.control_message, "limits.unread_per_client", l.unread_per_client, format_size);
    not_over("limits.unread_per_client", l.unread_per_client, "limits.unread_per_user", l.unread_per_user, format_size);
    not_over("limits.unread_per_user", l.unread_per_user, "limits.unread", l.unread, format_size);
  }

  void timers() {
    const auto& p = config_.protocol;
    const auto longer = [&](const std::string& key, std::chrono::microseconds value, const std::string& other,
                            std::chrono::microseconds limit) {
      if (value > limit) {
        problem(key, "is " + format_duration(value) + ", longer than " + other + " = " + format_duration(limit) +
                         "; shorten the first or lengthen '" + other + "'");
      }
    };
    longer("protocol.retransmit", p.retransmit, "protocol.retransmit_max", p.retransmit_max);
    longer("protocol.sweep", p.sweep, "protocol.retransmit", p.retransmit);
    longer("http.websocket_retry", config_.http.websocket_retry, "http.websocket_retry_max",
           config_.http.websocket_retry_max);
    if (p.ack_delay >= p.retransmit) {
      problem("protocol.ack_delay", "is " + format_duration(p.ack_delay) +
                                        ", not shorter than protocol.retransmit = " + format_duration(p.retransmit) +
                                        ", so every line would be sent twice; shorten it");
    }
  }

  void transports() {
    for (const TransportKind& kind : transport_kinds()) {
      if (kind.check_node != nullptr) {
        kind.check_node(config_, [&](const std::string& key, const std::string& text) { problem(key, text); });
      }
    }
  }

  void tls() {
    const auto& t = config_.tls;
    const bool any = !t.certificate.empty() || !t.key.empty() || !t.ca.empty();
    if (!any && !t.crl.empty()) problem("tls.crl", "is given without the other keys of [tls]; give them too");
    if (!any) return;
    for (const auto& [key, value] : {std::pair<std::string, const std::string&>{"tls.certificate", t.certificate},
                                     {"tls.key", t.key},
                                     {"tls.ca", t.ca}}) {
      if (value.empty()) problem(key, "is missing although other keys of [tls] are given; give all three or none");
    }
  }

  void links() {
    if (config_.links.size() > config_.limits.links) {
      problem("limits.links", "is " + std::to_string(config_.limits.links) + " but there are " +
                                  std::to_string(config_.links.size()) + " [[link]] tables; raise it or remove links");
    }
    listeners();
    addresses();
    std::set<std::string> peers;
    for (std::size_t i = 0; i < config_.links.size(); ++i) link(i, config_.links[i], peers);
  }

  /// One address for two things that listen over TCP. Port 0 is a free one for each.
  void listeners() {
    std::map<std::string, std::string> taken;
    for (const auto& [key, at] :
         {std::pair<const char*, const std::optional<HostPort>&>{"listen.control", config_.listen.control},
          {"listen.tcp", config_.listen.tcp},
          {"listen.http", config_.listen.http}}) {
      if (!at || at->port == 0) continue;
      const auto [first, is_new] = taken.emplace(to_string(*at), key);
      if (!is_new) problem(key, "is the address of " + first->second + " as well; give each another port");
    }
  }

  /// Two peers cannot be at one address.
  void addresses() {
    std::map<std::pair<std::string, std::string>, std::string> taken;
    for (std::size_t i = 0; i < config_.links.size(); ++i) {
      const LinkConfig& link = config_.links[i];
      for (const auto& [name, at] : {std::pair<const char*, const std::optional<HostPort>&>{"control", link.control},
                                     {"udp", link.udp},
                                     {"tcp", link.tcp}}) {
        // An address that was not written is worked out of another one, and may not be used at all.
        const bool written = positions_.count("link#" + std::to_string(i) + "." + name) != 0;
        if (!at || at->port == 0 || !written) continue;
        const auto [first, is_new] = taken.emplace(std::pair(std::string(name), to_string(*at)), link.peer);
        if (is_new || first->second == link.peer) continue;
        problems_.add(
            this->at("link#" + std::to_string(i) + "." + name, link.at), std::string("link.") + name,
            "is the address of node '" + first->second + "' as well (" + to_string(*at) + "); correct one of the two");
      }
    }
  }

  void link(std::size_t index, const LinkConfig& link, std::set<std::string>& peers) {
    const auto add = [&](const std::string& name, const std::string& text) {
      problems_.add(at("link#" + std::to_string(index) + "." + name, link.at), "link." + name, text);
    };
    if (link.peer.empty()) return;  // a problem already
    if (link.peer == config_.node.name)
      add("peer", "is this node itself; name another node, a node needs no link to itself");
    if (!peers.insert(link.peer).second) {
      add("peer", "node '" + link.peer + "' has a link already; keep one [[link]] for each peer");
    }
    if (link.dial && !link.control && link.http.empty()) {
      add("control", "is missing although this node dials '" + link.peer +
                         "'; give the peer's control address, or dial = false and listen for it");
    }
    if (!link.dial && !config_.listen.control && (link.carrier != "auto" || !config_.listen.http)) {
      add("dial", "is false (the peer dials) but nothing listens; set 'listen.control', or dial = true");
    }
    if (link.carrier != "auto" && (!link.http.empty() || !link.carriers.empty())) {
      add(link.http.empty() ? "carriers" : "http",
          "is given, but the link has carrier = \"" + link.carrier + "\"; set carrier = \"auto\", or remove it");
    }
    if (const TransportKind* kind = find_transport_kind(link.carrier); kind != nullptr && kind->check_link != nullptr) {
      kind->check_link(config_, link, add);
    }
    check_link_congestion(config_, link, add);
    if (link.encryption != carriers::CipherSuite::none) {
      if (!config_.tls.enabled()) {
        add("encryption",
            "is \"" + std::string(carriers::suite_name(link.encryption)) +
                "\" but the control connection, which brings the keys, has no TLS; set 'tls.certificate', "
                "'tls.key' and 'tls.ca', or encryption = \"none\"");
      }
    }
  }

  void services() {
    const auto& d = config_.directory;
    if (config_.services.size() > d.services) {
      problem("directory.services", "is " + std::to_string(d.services) + " but there are " +
                                        std::to_string(config_.services.size()) +
                                        " [[service]] tables; raise it or remove services");
    }
    std::set<std::string> names;
    for (const auto& service : config_.services) {
      if (!service.name.empty() && !names.insert(service.name).second) {
        problems_.add(service.at, "service.name",
                      "'" + service.name + "' is there twice; keep one [[service]] with all its nodes");
      }
      if (service.inspect_refuses && service.inspect == inspect::Language::none) {
        problems_.add(service.at, "service.inspect_refuses",
                      "refuses nothing as long as 'inspect' does not say what the service speaks (inspect = \"http\")");
      }
      if (service.nodes.size() > d.nodes_per_service) {
        problems_.add(service.at, "service.nodes",
                      "has " + std::to_string(service.nodes.size()) +
                          " nodes, more than directory.nodes_per_service = " + std::to_string(d.nodes_per_service) +
                          "; raise that or remove nodes");
      }
    }
  }

  void rules() {
    for (const auto& rule : config_.allow) {
      if (rule.users.empty() && rule.groups.empty() && rule.nodes.empty()) {
        problems_.add(
            rule.at, "allow.users",
            "the rule allows nobody anything; give users, groups or nodes (users = [\"*\"] for every local user)");
      }
      if (rule.action == Action::serve && !rule.nodes.empty()) {
        problems_.add(rule.at, "allow.nodes",
                      "a process of another node cannot serve here; remove it, or action = \"connect\"");
      }
    }
    for (auto rule = config_.regions.begin(); rule != config_.regions.end(); ++rule) {
      if (rule->isolation == Isolation::strict && rule->users.empty() && rule->groups.empty()) {
        problems_.add(rule->at, "region.users",
                      "nobody may open such a region; give users or groups (users = [\"*\"] for every local user)");
      }
      const auto before = std::find_if(config_.regions.begin(), rule,
                                       [&](const auto& earlier) { return covers_pattern(earlier.name, rule->name); });
      if (before == rule) continue;
      problems_.add(rule->at, "region.name",
                    "the rule never decides: the one in line " + std::to_string(before->at.line) + " ('" +
                        before->name +
                        "') comes first and fits every name that this one fits; put this one before it, or remove it");
    }
  }

  const Config& config_;
  const Positions& positions_;
  Problems& problems_;
};

}  // namespace

namespace {

/// What one user may have where that is not written: what the node has, but of what costs nothing to ask for.
void complete_users(LimitsConfig& limits, const MemoryConfig& memory,
                    const std::function<bool(const std::string&)>& absent) {
  if (absent("limits.sessions_per_user")) limits.sessions_per_user = limits.sessions;
  if (absent("limits.slots_per_user")) limits.slots_per_user = limits.slots;
  if (absent("limits.memory_per_user")) limits.memory_per_user = memory.slot_memory;
  if (absent("limits.mapped_per_user")) limits.mapped_per_user = limits.memory_per_user;
  if (absent("limits.regions_per_user")) limits.regions_per_user = limits.regions;
  if (absent("limits.services_per_user")) limits.services_per_user = limits.services;
  if (absent("limits.pending_opens_per_user")) limits.pending_opens_per_user = limits.pending_opens;
  if (absent("limits.tool_connections_per_user")) {
    limits.tool_connections_per_user = std::min(kDefaultToolConnectionsPerUser, limits.tool_connections);
  }
  if (absent("limits.unread_per_client")) {
    limits.unread_per_client = std::max(kDefaultUnread, kUnreadMessages * limits.control_message);
  }
  if (absent("limits.unread_per_user")) limits.unread_per_user = kUnreadClientsOfUser * limits.unread_per_client;
  if (absent("limits.unread")) {
    limits.unread = std::max(kUnreadClients * limits.unread_per_client, limits.unread_per_user);
  }
}

}  // namespace

void complete(Config& config, const Positions& positions) {
  const auto absent = [&](const std::string& key) { return positions.count(key) == 0; };
  if (absent("node.control_socket") && !config.node.name.empty()) {
    config.node.control_socket = (std::filesystem::path(config.node.run_dir) / (config.node.name + ".sock")).string();
  }
  auto& limits = config.limits;
  if (absent("limits.slots_per_session")) limits.slots_per_session = std::min(kDefaultSlotsPerSession, limits.slots);
  if (absent("limits.memory_per_session")) {
    limits.memory_per_session = std::min(kDefaultMemoryPerSession, config.memory.slot_memory);
  }
  if (absent("limits.services_per_session")) {
    limits.services_per_session = std::min(kDefaultServicesPerSession, limits.services);
  }
  complete_users(limits, config.memory, absent);
  if (absent("limits.slots_per_peer")) limits.slots_per_peer = limits.slots;
  if (absent("memory.bulk_ring")) config.memory.bulk_ring = std::min(kDefaultBulkRing, config.memory.max_ring);
  if (absent("limits.peer_share")) limits.peer_share = std::min(kDefaultPeerShare, limits.user_share);
  if (absent("limits.memory_per_peer")) limits.memory_per_peer = config.memory.slot_memory;
  if (absent("limits.pending_opens_per_peer")) limits.pending_opens_per_peer = limits.pending_opens;
  for (std::size_t i = 0; i < config.links.size(); ++i) {
    auto& link = config.links[i];
    if (absent("link#" + std::to_string(i) + ".dial")) link.dial = config.node.name < link.peer;
    if (link.control && !link.udp) link.udp = HostPort{link.control->host, kDefaultUdpPort};
    if (link.control && !link.tcp) link.tcp = HostPort{link.control->host, kDefaultTcpPort};
    link.encryption_given = !absent("link#" + std::to_string(i) + ".encryption");
    const TransportKind* const kind = find_transport_kind(link.carrier);
    if (!link.encryption_given && config.tls.enabled() && kind != nullptr && kind->datagrams) {
      link.encryption = carriers::CipherSuite::aes_256_gcm;
    }
  }
}

void check_contradictions(const Config& config, const Positions& positions, Problems& problems) {
  Checker(config, positions, problems).run();
}

}  // namespace slotwire::engine
