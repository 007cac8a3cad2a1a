#include "runtime/engine/config/config_keys.hpp"

#include <array>

#include "core/carriers/dpdk/dpdk.hpp"
#include "core/carriers/dpdk/host.hpp"
#include "core/regs/regs.hpp"
#include "runtime/engine/config/transport_kind.hpp"

namespace slotwire::engine {
namespace {

constexpr std::uint64_t operator""_KiB(unsigned long long n) {
  return n << 10;
}
constexpr std::uint64_t operator""_MiB(unsigned long long n) {
  return n << 20;
}
constexpr std::uint64_t operator""_GiB(unsigned long long n) {
  return n << 30;
}
constexpr std::uint64_t operator""_us(unsigned long long n) {
  return n;
}
constexpr std::uint64_t operator""_ms(unsigned long long n) {
  return n * 1000;
}
constexpr std::uint64_t operator""_s(unsigned long long n) {
  return n * 1'000'000;
}

/// A session names its slots by their bit in the bell page.
constexpr std::uint64_t kMaxSlotsPerSession = regs::kBellWordCount * 64;
/// The largest ring that the slot table can describe.
constexpr std::uint64_t kMaxRing = regs::kLineBytes << regs::kMaxRingOrder;
static_assert(kMaxRing == 2_MiB && kMaxSlotsPerSession == 4096);

constexpr auto kSections = std::to_array<Section>({
    {"node", false, "Who this node is and where its files are.", nullptr},
    {"memory", false, "Slot memory. All sizes are bytes with a unit: B, KiB, MiB, GiB.", nullptr},
    {"limits", false, "What one engine holds at most. What goes over a limit is refused with an error that names it.",
     nullptr},
    {"gate", false,
     "The process slotwire-gate, which slotwired starts: it alone talks to other nodes on control connections, and has "
     "the key of `[tls]`.",
     nullptr},
    {"wait", false, "How processes and the proxy wait: they spin, then yield, then sleep. An idle node sleeps.",
     nullptr},
    {"protocol", false, "Timers of the link protocol.", nullptr},
    {"congestion", false,
     "What links over \"udp\" and \"dpdk\" send into a network that others share; over \"tcp\" and \"http\" TCP "
     "decides.",
     nullptr},
    {"encryption", false,
     "Keys of links with `encryption`. A key is changed while frames flow, without a pause; while the control "
     "connection "
     "is down the old one serves on, for 4294967296 frames at most.",
     nullptr},
    {"listen", false,
     "Addresses for other nodes. One that is absent is not listened on; a node without any links needs none.", nullptr},
    {"http", false,
     "Links over HTTP, for networks that let nothing else out: the server of `listen.http`, and the way to the servers "
     "of "
     "other nodes. docs/through-firewalls.md shows how to set it up.",
     nullptr},
    {"card", false,
     "A card that carries links: it sends and receives on its own, and slotwired relays between it and the processes. "
     "Links over other carriers are served in software beside it. Where the card is software, its links run over UDP "
     "at its address.",
     nullptr},
    {"dpdk", false,
     "A network port that slotwired drives itself with DPDK; links with carrier = \"dpdk\" run over it. It has an "
     "address of its own, which no interface of the node may have, and answers ARP for it. Peers reach it as any UDP "
     "carrier: their `[[link]]` has its address as `udp`.",
     nullptr},
    {"tls", false,
     "Certificates of control connections and stream carriers: `certificate`, `key` and `ca`, or none of them. The "
     "files are read "
     "again on SIGHUP.",
     nullptr},
    {"log", false, "Where the log goes. The file is opened again on SIGHUP.", nullptr},
    {"directory", false, "Which nodes serve what, beyond the `[[service]]` tables.", nullptr},
    {"health", false,
     "Processes that serve, and other nodes that serve the same, are asked whether they are well. Those that are not "
     "get no new connections while another is well.",
     nullptr},
    {"link", true, "A persistent connection to one other node.",
     [](Config& c, Position at) { c.links.emplace_back().at = at; }},
    {"service", true, "The nodes that serve a service, in the order to try them. Also the form of `directory.file`.",
     [](Config& c, Position at) { c.services.emplace_back().at = at; }},
    {"allow", true,
     "Who may do what. Without any rule, root and the user that slotwired runs as may serve and connect, and linked "
     "nodes may connect. With rules, only what a rule allows is allowed; the first that fits decides the isolation. "
     "A rule needs `users`, `groups` or `nodes`, and fits whoever is in any of them.",
     [](Config& c, Position at) { c.allow.emplace_back().at = at; }},
    {"region", true,
     "Who shares blocks of memory on this node, and how (docs/blocks.md). The first rule whose name fits decides. A "
     "region that no rule "
     "names is shared by the processes of one user, each user for itself.",
     [](Config& c, Position at) { c.regions.emplace_back().at = at; }},
});

// The table is laid out by hand: clang-format 14 does not understand these lambdas.
// clang-format off
const std::array kKeys = std::to_array<Key>({
    {"node", "name", Kind::node_name, true, "", 0, 0, "", "", "The node's name, the same everywhere.",
     [](Config& c) -> auto& { return c.node.name; }},
    {"node", "run_dir", Kind::path, false, "\"/run/slotwire\"", 0, 0, "", "",
     "Directory of the node's sockets. Only slotwired's user and root may write to it.",
     [](Config& c) -> auto& { return c.node.run_dir; }},
    {"node", "control_socket", Kind::path, false, "", 0, 0, "", "`run_dir`/`name`.sock",
     "Socket that processes connect to, at most 107 bytes long.",
     [](Config& c) -> auto& { return c.node.control_socket; }},
    {"node", "control_socket_mode", Kind::mode, false, "\"0666\"", 0, 0, "", "",
     "Permissions of the control socket. Who may do what is decided by `[[allow]]`, not by this mode.",
     [](Config& c) -> auto& { return c.node.control_socket_mode; }},
    {"node", "recover", Kind::boolean, false, "true", 0, 0, "", "",
     "Take over the slots and sessions that a slotwired left which was killed.",
     [](Config& c) -> auto& { return c.node.recover; }},

    {"memory", "slot_memory", Kind::power_size, false, "\"1GiB\"", 64_KiB, 64_GiB, "", "",
     "Total of all rings. A ring takes memory when it is made, and none before.",
     [](Config& c) -> auto& { return c.memory.slot_memory; }},
    {"memory", "ring", Kind::power_size, false, "\"64KiB\"", 4_KiB, kMaxRing, "", "",
     "Ring for each direction where the process does not say.", [](Config& c) -> auto& { return c.memory.ring; }},
    {"memory", "bulk_ring", Kind::power_size, false, "", 4_KiB, kMaxRing, "", "1MiB, or `max_ring` if smaller",
     "Largest ring for each direction where the process does not say and asks for a connection for streams or large messages "
     "(`bulk`): it gets a 256th part of the slot memory that it may still take, at least `ring` and at most this.",
     [](Config& c) -> auto& { return c.memory.bulk_ring; }},
    {"memory", "max_ring", Kind::power_size, false, "\"2MiB\"", 4_KiB, kMaxRing, "", "",
     "Largest ring that a process gets.", [](Config& c) -> auto& { return c.memory.max_ring; }},

    {"limits", "slots", Kind::count, false, "4096", 1, regs::kMaxSlots - 1, "", "", "Slots of the node.",
     [](Config& c) -> auto& { return c.limits.slots; }},
    {"limits", "sessions", Kind::count, false, "1024", 1, 65535, "", "", "Connected processes.",
     [](Config& c) -> auto& { return c.limits.sessions; }},
    {"limits", "slots_per_session", Kind::count, false, "", 1, kMaxSlotsPerSession, "",
     "1024, or `slots` if smaller", "Slots of one process.",
     [](Config& c) -> auto& { return c.limits.slots_per_session; }},
    {"limits", "memory_per_session", Kind::size, false, "", 4_KiB, 64_GiB, "", "512MiB, or `slot_memory` if smaller",
     "Slot memory of one process.", [](Config& c) -> auto& { return c.limits.memory_per_session; }},
    {"limits", "spare_slots", Kind::count, false, "64", 0, kMaxSlotsPerSession, "", "",
     "Closed slots of one process whose memory it keeps, and uses again for its next connections; 0: none. They count for the user "
     "as slots and slot memory in use, and are given up when these are wanted for new connections.",
     [](Config& c) -> auto& { return c.limits.spare_slots; }},
    {"limits", "spare_time", Kind::duration, false, "\"10s\"", 0_us, 3600_s, "", "",
     "How long such memory is kept without use.", [](Config& c) -> auto& { return c.limits.spare_time; }},
    {"limits", "services", Kind::count, false, "1024", 1, 65535, "", "",
     "Services that processes of the node serve.", [](Config& c) -> auto& { return c.limits.services; }},
    {"limits", "services_per_session", Kind::count, false, "", 1, 65535, "", "64, or `services` if smaller",
     "Services that one process serves.", [](Config& c) -> auto& { return c.limits.services_per_session; }},
    {"limits", "pending_opens", Kind::count, false, "1024", 1, 65535, "", "",
     "Connections that are being opened at one time.", [](Config& c) -> auto& { return c.limits.pending_opens; }},
    {"limits", "control_message", Kind::size, false, "\"64KiB\"", 1_KiB, 16_MiB, "", "",
     "Largest packet on the control socket.", [](Config& c) -> auto& { return c.limits.control_message; }},
    {"limits", "backlog", Kind::count, false, "256", 1, 65535, "", "",
     "Opened connections that wait in a serving process until it takes them.",
     [](Config& c) -> auto& { return c.limits.backlog; }},
    {"limits", "links", Kind::count, false, "64", 1, 4096, "", "", "Links to other nodes.",
     [](Config& c) -> auto& { return c.limits.links; }},
    {"limits", "sessions_per_user", Kind::count, false, "", 1, 65535, "", "`sessions`",
     "Connected processes of one user. Root and the user that slotwired runs as have no limits of users.",
     [](Config& c) -> auto& { return c.limits.sessions_per_user; }},
    {"limits", "slots_per_user", Kind::count, false, "", 1, regs::kMaxSlots - 1, "", "`slots`",
     "Slots of one user, those that drain included. Of a connection within the node both slots are the connecting user's.",
     [](Config& c) -> auto& { return c.limits.slots_per_user; }},
    {"limits", "memory_per_user", Kind::size, false, "", 4_KiB, 64_GiB, "", "`slot_memory`",
     "Slot memory of one user.", [](Config& c) -> auto& { return c.limits.memory_per_user; }},
    {"limits", "mapped_per_user", Kind::size, false, "", 0, 64_GiB, "", "`memory_per_user`",
     "Of that, what a card may write into, and what is therefore locked in memory: the output rings of one user, each with a "
     "page of marks. Slots beyond it have their output rings on the card.",
     [](Config& c) -> auto& { return c.limits.mapped_per_user; }},
    {"limits", "services_per_user", Kind::count, false, "", 1, 65535, "", "`services`",
     "Services that processes of one user were the first to serve.",
     [](Config& c) -> auto& { return c.limits.services_per_user; }},
    {"limits", "pending_opens_per_user", Kind::count, false, "", 1, 65535, "", "`pending_opens`",
     "Connections to other nodes that one user is opening at one time.",
     [](Config& c) -> auto& { return c.limits.pending_opens_per_user; }},
    {"limits", "tool_connections", Kind::count, false, "256", 1, 65535, "", "",
     "Connections to the control socket without a session: tools, and processes that have not said hello yet. One that says "
     "nothing for `handshake` is closed.", [](Config& c) -> auto& { return c.limits.tool_connections; }},
    {"limits", "tool_connections_per_user", Kind::count, false, "", 1, 65535, "", "64, or `tool_connections` if smaller",
     "Such connections of one user.", [](Config& c) -> auto& { return c.limits.tool_connections_per_user; }},
    {"limits", "user_share", Kind::count, false, "3", 1, 1000, "", "",
     "A user may take one more of what a table holds while it has at most so many times what is free in it for users: with 3 one "
     "user gets three quarters, two get three sevenths each, and whoever comes next gets a part of the rest.",
     [](Config& c) -> auto& { return c.limits.user_share; }},
    {"limits", "reserve", Kind::count, false, "5", 0, 50, "", "",
     "Percent of sessions, slots, slot memory, services, opens and tool connections that only root and the user that slotwired "
     "runs as may take. Peers may not take it either.", [](Config& c) -> auto& { return c.limits.reserve; }},
    {"limits", "slots_per_peer", Kind::count, false, "", 1, regs::kMaxSlots - 1, "", "`slots`",
     "Slots of connections that one peer has opened, until they are free. They count for the serving user, too.",
     [](Config& c) -> auto& { return c.limits.slots_per_peer; }},
    {"limits", "memory_per_peer", Kind::size, false, "", 4_KiB, 64_GiB, "", "`slot_memory`",
     "Slot memory of these.", [](Config& c) -> auto& { return c.limits.memory_per_peer; }},
    {"limits", "pending_opens_per_peer", Kind::count, false, "", 1, 65535, "", "`pending_opens`",
     "Connections with one peer that are being opened at one time, by either side.",
     [](Config& c) -> auto& { return c.limits.pending_opens_per_peer; }},
    {"limits", "opens_per_peer", Kind::count, false, "15000", 1, 1'000'000, "", "",
     "Connections that one peer may ask for in a second, and as many at once after a pause. What is more is refused as `busy`.",
     [](Config& c) -> auto& { return c.limits.opens_per_peer; }},
    {"limits", "peer_share", Kind::count, false, "", 1, 1000, "", "2, or `user_share` if smaller",
     "A peer may take one more slot, byte of slot memory or pending open while it has at most so many times what is free: with 2 one "
     "peer gets two thirds of what is not reserved, two get two fifths each. At most `user_share`, so that one peer alone "
     "cannot use up the share of the user that serves it.",
     [](Config& c) -> auto& { return c.limits.peer_share; }},
    {"limits", "link_down", Kind::duration, false, "\"10min\"", 0_us, 86400_s, "", "",
     "How long a link may be down before the connections over it end (`lost`), so that what they hold comes back; 0: they wait for "
     "ever. A start of slotwired begins anew.",
     [](Config& c) -> auto& { return c.limits.link_down; }},
    {"limits", "requests_per_user", Kind::count, false, "8000", 16, 10'000'000, "", "",
     "Requests on the control socket that one user, root too, gets served in a second before those of users who ask for more, and "
     "as many at once after a pause. A `connect` or `hello` counts 4, `status` and lists 8, and any that takes longer one for each "
     "25 us of processor time; what is more is served while nobody else asks.",
     [](Config& c) -> auto& { return c.limits.requests_per_user; }},
    {"limits", "unread_per_client", Kind::size, false, "", 4_KiB, 1_GiB, "", "256KiB, or 4 times `control_message` if larger",
     "Answers and events that wait for one client, beyond what its socket holds. One that does not read more is cut off.",
     [](Config& c) -> auto& { return c.limits.unread_per_client; }},
    {"limits", "unread_per_user", Kind::size, false, "", 4_KiB, 16_GiB, "", "16 times `unread_per_client`",
     "The same for all clients of one user.", [](Config& c) -> auto& { return c.limits.unread_per_user; }},
    {"limits", "unread", Kind::size, false, "", 4_KiB, 64_GiB, "", "128 times `unread_per_client`",
     "The same for all clients of the node.", [](Config& c) -> auto& { return c.limits.unread; }},
    {"limits", "linger", Kind::duration, false, "\"30s\"", 1_ms, 3600_s, "", "",
     "How long a closing slot may go on sending what is in its ring.",
     [](Config& c) -> auto& { return c.limits.linger; }},
    {"limits", "handshake", Kind::duration, false, "\"5s\"", 10_ms, 60_s, "", "",
     "How long a peer may take to say who it is.", [](Config& c) -> auto& { return c.limits.handshake; }},
    {"limits", "callers", Kind::count, false, "64", 1, 65536, "", "",
     "Accepted control connections that have not proved whose they are, at most. The oldest one is closed for a new one. "
     "Connections from hosts that a `[[link]]` names do not count.",
     [](Config& c) -> auto& { return c.limits.callers; }},
    {"limits", "callers_per_source", Kind::count, false, "8", 1, 65536, "", "",
     "The same from one address (IPv6: from one /64), at most; holds for hosts of a `[[link]]` too.",
     [](Config& c) -> auto& { return c.limits.callers_per_source; }},
    {"limits", "peer_messages", Kind::count, false, "30000", 10, 1'000'000, "", "",
     "Control messages that one peer may send in a second; a message counts once more for each KiB of it. One that sends more is read "
     "more slowly.",
     [](Config& c) -> auto& { return c.limits.peer_messages; }},
    {"limits", "keeper_starts", Kind::count, false, "6", 0, 600, "", "",
     "Times in a minute that a process of the keeper which has ended is started anew; 0: never. Until it is there, nobody can attach "
     "or connect.",
     [](Config& c) -> auto& { return c.limits.keeper_starts; }},
    {"limits", "regions", Kind::count, false, "256", 1, 4096, "", "",
     "Regions that slotwired keeps, and processes in regions with `isolation = \"strict\"`, each of which has a cell of its own.",
     [](Config& c) -> auto& { return c.limits.regions; }},
    {"limits", "regions_per_user", Kind::count, false, "", 1, 4096, "", "`regions`", "The same of one user.",
     [](Config& c) -> auto& { return c.limits.regions_per_user; }},
    {"limits", "region_processes", Kind::count, false, "1024", 1, 65536, "", "",
     "Processes in kept regions whose end wakes slotwired. The end of more of them is looked for about once a second.",
     [](Config& c) -> auto& { return c.limits.region_processes; }},
    {"limits", "region_lists", Kind::count, false, "256", 0, 65536, "", "",
     "Lists of messages in kept regions whose files slotwired keeps open, each with a descriptor, so that `slotwire blocks --held` "
     "shows their blocks, also when the publisher has ended. Of more of them it shows what subscribers say alone.",
     [](Config& c) -> auto& { return c.limits.region_lists; }},
    {"limits", "block_memory", Kind::size, false, "\"1GiB\"", 1_MiB, 64_GiB, "", "",
     "Memory for blocks that slotwired makes, which is that of regions with `isolation = \"strict\"`. `user_share` and `reserve` hold "
     "for it.",
     [](Config& c) -> auto& { return c.limits.block_memory; }},
    {"limits", "block_memory_per_user", Kind::size, false, "\"16GiB\"", 1_MiB, 64_GiB, "", "",
     "Memory for blocks of one user in all regions; a publisher that would have more is refused.",
     [](Config& c) -> auto& { return c.limits.block_memory_per_user; }},
    {"limits", "cell_memory", Kind::power_size, false, "\"4MiB\"", 4_KiB, 64_MiB, "", "",
     "Memory for copies of the messages of one topic for one process, in a region with `isolation = \"strict\"`. A message that is larger is "
     "not delivered.",
     [](Config& c) -> auto& { return c.limits.cell_memory; }},
    {"limits", "cell_topics", Kind::count, false, "64", 1, 256, "", "",
     "Topics that one process publishes in such a region, and topics that it subscribes to.",
     [](Config& c) -> auto& { return c.limits.cell_topics; }},

    {"gate", "user", Kind::text, false, "", 0, 0, "", "`slotwire-gate` if there is such a user, else `nobody`",
     "User that the gate becomes when slotwired runs as root; otherwise it stays who slotwired is.",
     [](Config& c) -> auto& { return c.gate.user; }},

    {"wait", "spin", Kind::duration, false, "\"2us\"", 0_us, 1_ms, "", "",
     "How long a process looks again at once, unless it says otherwise. On few cores keep it short.",
     [](Config& c) -> auto& { return c.wait.spin; }},
    {"wait", "yield", Kind::duration, false, "\"50us\"", 0_us, 10_ms, "", "",
     "How long after that it looks between giving up the core, where that has paid lately.",
     [](Config& c) -> auto& { return c.wait.yield; }},
    {"wait", "proxy_spin", Kind::duration, false, "\"0us\"", 0_us, 1_ms, "", "",
     "How long the proxy looks again at once. Its looks are system calls: above 0 only where it has a core of its own.",
     [](Config& c) -> auto& { return c.wait.proxy_spin; }},
    {"wait", "proxy_yield", Kind::duration, false, "\"50us\"", 0_us, 10_ms, "", "",
     "How long after that it looks between giving up the core, where that has paid lately. Shorter than a round trip it "
     "never pays.",
     [](Config& c) -> auto& { return c.wait.proxy_yield; }},

    {"protocol", "retransmit", Kind::duration, false, "\"10ms\"", 100_us, 10_s, "", "",
     "First wait for an acknowledgement before lines are sent again; doubled each time.",
     [](Config& c) -> auto& { return c.protocol.retransmit; }},
    {"protocol", "retransmit_max", Kind::duration, false, "\"1s\"", 100_us, 60_s, "", "", "Longest such wait.",
     [](Config& c) -> auto& { return c.protocol.retransmit_max; }},
    {"protocol", "ack_delay", Kind::duration, false, "\"1ms\"", 0_us, 1_s, "", "",
     "How long an acknowledgement waits for a frame that can carry it.",
     [](Config& c) -> auto& { return c.protocol.ack_delay; }},
    {"protocol", "sweep", Kind::duration, false, "\"500us\"", 10_us, 1_s, "", "",
     "How often the timers are looked at.", [](Config& c) -> auto& { return c.protocol.sweep; }},

    {"encryption", "rekey_frames", Kind::count, false, "16777216", 64, 1U << 31U, "", "",
     "A key is changed after so many frames were sent under it.",
     [](Config& c) -> auto& { return c.encryption.rekey_frames; }},
    {"encryption", "rekey_after", Kind::duration, false, "\"1h\"", 1_s, 86400_s, "", "",
     "And so long after the first frame under it. A link on which nothing is sent keeps its key.",
     [](Config& c) -> auto& { return c.encryption.rekey_after; }},
    {"congestion", "algorithm", Kind::choice, false, "\"cubic\"", 0, 0, "cubic|delay|fixed", "",
     "What decides. `cubic` shares a network as TCP does (RFC 9438). `delay` keeps queues short, in networks whose other senders do "
     "so, too. `fixed` sends at `rate` whatever happens, and is taken for peers in `dedicated` networks alone.", [](Config& c,
     std::size_t choice) { c.congestion.algorithm = static_cast<congestion::Kind>(choice); }},
    {"congestion", "target_delay", Kind::duration, false, "\"1ms\"", 10_us, 1_s, "", "",
     "Of `delay`: the time in queues that it aims at.", [](Config& c) -> auto& { return c.congestion.target_delay; }},
    {"congestion", "rate", Kind::count, false, "1000", 1, 1'000'000, "", "",
     "Of `fixed`: megabits of payload a second, for each link.", [](Config& c) -> auto& { return c.congestion.rate; }},
    {"congestion", "dedicated", Kind::text_list, false, "", 0, 64, "", "none",
     "Networks, such as \"10.0.0.0/8\", in which a link has the paths for itself.",
     [](Config& c) -> auto& { return c.congestion.dedicated; }},
    {"congestion", "ecn", Kind::boolean, false, "true", 0, 0, "", "",
     "Let routers mark frames instead of dropping them (ECN), on carrier \"udp\".",
     [](Config& c) -> auto& { return c.congestion.ecn; }},

    {"encryption", "library", Kind::choice, false, "\"auto\"", 0, 0, "auto|openssl|dpdk", "",
     "Who computes AES-GCM on links with carrier = \"dpdk\"; on other links OpenSSL does. `auto` takes DPDK's driver "
     "crypto_aesni_gcm where it, its library and the processor's instructions are there, else OpenSSL; `slotwire status` says which, and "
     "why. With `dpdk` slotwired does not start without it.", [](Config& c,
     std::size_t choice) { c.encryption.library = static_cast<CipherChoice>(choice); }},

    {"listen", "control", Kind::listen_address, false, "", 0, 0, "", "not listening",
     "Control connections of other nodes, TCP. Usual: `\"0.0.0.0:7400\"`.",
     [](Config& c) -> auto& { return c.listen.control; }},
    {"listen", "udp", Kind::listen_address, false, "", 0, 0, "", "not listening",
     "The UDP carrier; links over UDP need it. Usual: `\"0.0.0.0:7401\"`.",
     [](Config& c) -> auto& { return c.listen.udp; }},
    {"listen", "tcp", Kind::listen_address, false, "", 0, 0, "", "not listening",
     "The TCP carrier; links over TCP that the peer dials need it. Usual: `\"0.0.0.0:7402\"`.",
     [](Config& c) -> auto& { return c.listen.tcp; }},
    {"listen", "http", Kind::listen_address, false, "", 0, 0, "", "not listening",
     "HTTP server for links with carrier \"auto\" whose peers reach this node through proxies. It can stand behind a web "
     "server that passes `http.path` on.",
     [](Config& c) -> auto& { return c.listen.http; }},
    {"listen", "mtu", Kind::count, false, "1500", 576, 65535, "", "",
     "Largest IP packet in bytes that all paths to the peers carry.",
     [](Config& c) -> auto& { return c.listen.mtu; }},

    {"card", "kind", Kind::choice, false, "", 0, 0, "auto|xrt|pcie|vfio-user|socket|software",
     "`socket` or `vfio-user` if that key is given, else `auto` if `address` is, else `software`",
     "How the card is reached. `auto` tries XRT, then PCIe, and is software if neither is there; any other must be there.",
     [](Config& c, std::size_t choice) { c.card.chosen = static_cast<driver::CardKind>(choice); }},
    {"card", "xrt", Kind::path, false, "\"/run/slotwire-xrt/0.sock\"", 0, 0, "", "",
     "Socket of slotwire-xrt-host, which has an Alveo card open through XRT.",
     [](Config& c) -> auto& { return c.card.xrt; }},
    {"card", "pci", Kind::text, false, "", 0, 0, "", "the only card there is",
     "PCI address of the card, as `lspci -D` shows it.", [](Config& c) -> auto& { return c.card.pci; }},
    {"card", "pci_access", Kind::choice, false, "\"vfio\"", 0, 0, "vfio|sysfs", "",
     "How the card's BARs are mapped. `sysfs` has no interrupts and nothing holds the card back: for development.",
     [](Config& c, std::size_t choice) { c.card.sysfs = choice == 1; }},
    {"card", "allow_no_iommu", Kind::boolean, false, "false", 0, 0, "", "",
     "Take a card that no IOMMU holds back from the memory of others.",
     [](Config& c) -> auto& { return c.card.allow_no_iommu; }},
    {"card", "host_output", Kind::boolean, false, "true", 0, 0, "", "",
     "Let a card that can write output rings and marks into memory of this host, where processes read them without the "
     "bus. Needs an IOMMU; the memory is locked. Without it, and with `false`, slotwired reads the rings on the card.",
     [](Config& c) -> auto& { return c.card.host_output; }},
    {"card", "give_up", Kind::duration, false, "\"30s\"", 0_us, 3600_s, "", "",
     "How long a card that went away is waited for before its links go over UDP at `address`; 0: for ever. "
     "Connections over it end then; with a card that comes back in time they go on if it kept its memory.",
     [](Config& c) -> auto& { return c.card.give_up; }},
    {"card", "vfio_user", Kind::path, false, "", 0, 0, "", "none",
     "Socket of a simulated card that is a PCI function (slotwire-simcard --vfio-user).",
     [](Config& c) -> auto& { return c.card.vfio_user; }},
    {"card", "socket", Kind::path, false, "", 0, 0, "", "none",
     "Socket of a program that serves a card (slotwire-simcard --bus, slotwire-opennic-host).",
     [](Config& c) -> auto& { return c.card.socket; }},
    {"card", "address", Kind::listen_address, false, "", 0, 0, "", "none",
     "The card's own IPv4 address and UDP port; an interface of this node must have the address. "
     "Usual: the address of the card's interface, port 7401.",
     [](Config& c) -> auto& { return c.card.address; }},

    {"dpdk", "port", Kind::text, false, "", 0, 0, "", "no port",
     "The port: a virtual device of DPDK with its arguments (`\"net_af_xdp0,iface=eth1\"`: an interface that is "
     "shared with the kernel), or the PCI address of a NIC that is bound to vfio-pci (`\"0000:01:00.0\"`).",
     [](Config& c) -> auto& { return c.dpdk.port; }},
    {"dpdk", "address", Kind::listen_address, false, "", 0, 0, "", "none",
     "The port's own IPv4 address and UDP port, which must not be 0. Usual port: 7401.",
     [](Config& c) -> auto& { return c.dpdk.address; }},
    {"dpdk", "prefix", Kind::count, false, "24", 1, 32, "", "",
     "Bits of the network's part of the address: peers in it are asked for themselves (ARP), others reached through the gateway.",
     [](Config& c) -> auto& { return c.dpdk.prefix; }},
    {"dpdk", "gateway", Kind::text, false, "", 0, 0, "", "none: peers in the port's network only",
     "IPv4 address of the router, in the port's network.", [](Config& c) -> auto& { return c.dpdk.gateway; }},
    {"dpdk", "kernel_interface", Kind::text, false, "", 0, 0, "", "none: what is not for the port's address is discarded",
     "An interface of the kernel (TAP) that gets all that comes to the port and is not for its address, and whose frames leave through the "
     "port; made if it is not there. Not with net_af_packet and net_af_xdp, where the kernel has its frames anyway.",
     [](Config& c) -> auto& { return c.dpdk.kernel_interface; }},
    {"dpdk", "vlan", Kind::count, false, "", 1, carriers::kMaxVlan, "", "none: frames have no tag",
     "VLAN of the port's frames: they are sent with this tag (802.1Q), and no others are taken.",
     [](Config& c) -> auto& { return c.dpdk.vlan; }},
    {"dpdk", "rx_descriptors", Kind::count, false, "1024", carriers::kMinDpdkDescriptors, carriers::kMaxDpdkDescriptors, "", "",
     "Frames that may wait in the port until slotwired takes them.", [](Config& c) -> auto& { return c.dpdk.rx_descriptors; }},
    {"dpdk", "tx_descriptors", Kind::count, false, "512", carriers::kMinDpdkDescriptors, carriers::kMaxDpdkDescriptors, "", "",
     "Frames that may wait in the port until they are sent.", [](Config& c) -> auto& { return c.dpdk.tx_descriptors; }},
    {"dpdk", "zero_copy", Kind::choice, false, "\"auto\"", 0, 0, "auto|off|on", "",
     "Whether lines are sent from where they are in slot memory instead of copied into the port's buffers first. `auto`: with drivers "
     "that are known to do it right, from the length on at which it was measured to pay. `on`: always, and slotwired does not start where "
     "the driver cannot. Encrypted frames are never sent from slot memory.", [](Config& c,
     std::size_t choice) { c.dpdk.zero_copy = static_cast<carriers::ZeroCopy>(choice); }},
    {"dpdk", "hugepages", Kind::boolean, false, "true", 0, 0, "", "",
     "Take DPDK's memory from hugepages. Without them it is slower, and NICs cannot be used.",
     [](Config& c) -> auto& { return c.dpdk.hugepages; }},
    {"dpdk", "memory", Kind::size, false, "\"128MiB\"", 32_MiB, 64_GiB, "", "",
     "Memory that DPDK takes, for all buffers.", [](Config& c) -> auto& { return c.dpdk.memory; }},
    {"dpdk", "lcore", Kind::count, false, "", 0, carriers::kMaxCpu, "", "any that slotwired may run on",
     "CPU that slotwired is bound to; with `lcores` its main thread.", [](Config& c) -> auto& { return c.dpdk.lcore; }},
    {"dpdk", "lcores", Kind::cpu_list, false, "", 1, carriers::kMaxDpdkQueues, "", "none: everything runs in one thread",
     "CPUs, each with a thread and a pair of queues of the port of its own, among which the slots of links over the port are "
     "divided: `[2, 3]`. Such links cannot be encrypted. Everything else stays in the main thread.",
     [](Config& c) -> auto& { return c.dpdk.lcores; }},
    {"dpdk", "eal", Kind::text_list, false, "", 1, carriers::kMaxEalArguments, "", "none",
     "Further arguments of DPDK's set-up (EAL), each a text of its own: `[\"--iova-mode=va\"]`.",
     [](Config& c) -> auto& { return c.dpdk.eal; }},

    {"http", "path", Kind::text, false, "\"/slotwire\"", 0, 0, "", "",
     "Path that the server answers on; everything else is not found.",
     [](Config& c) -> auto& { return c.http.path; }},
    {"http", "tls", Kind::boolean, false, "false", 0, 0, "", "",
     "The server speaks HTTPS, with the certificate and key of `[tls]`. Not needed where a web server in front does, and not for "
     "secrecy: control connections have TLS of their own within the session where `[tls]` is given, and frames are encrypted.",
     [](Config& c) -> auto& { return c.http.tls; }},
    {"http", "sessions_per_source", Kind::count, false, "16", 1, 4096, "", "",
     "Sessions from one address (IPv6: /64) that the server has at most; `limits.links` bounds those of all.",
     [](Config& c) -> auto& { return c.http.sessions_per_source; }},
    {"http", "trusted_proxies", Kind::text_list, false, "", 0, 64, "", "none",
     "Addresses or networks of web servers in front, whose X-Forwarded-For says where a session comes from: `[\"10.0.0.0/24\"]`.",
     [](Config& c) -> auto& { return c.http.trusted_proxies; }},
    {"http", "proxy", Kind::text, false, "", 0, 0, "", "as the environment variables http_proxy, https_proxy, all_proxy and no_proxy say",
     "Proxy on the way to other nodes, `\"http://proxy.example:3128\"`; `\"none\"`: none.",
     [](Config& c) -> auto& { return c.http.proxy_text; }},
    {"http", "proxy_user", Kind::text, false, "", 0, 0, "", "none", "User name for a proxy that wants one (Basic or Digest).",
     [](Config& c) -> auto& { return c.http.proxy_user; }},
    {"http", "proxy_password_file", Kind::path, false, "", 0, 0, "", "none",
     "File whose first line is the password for the proxy.", [](Config& c) -> auto& { return c.http.proxy_password_file; }},
    {"http", "proxy_negotiate", Kind::boolean, false, "false", 0, 0, "", "",
     "Authenticate to the proxy by Kerberos (Negotiate).", [](Config& c) -> auto& { return c.http.proxy_negotiate; }},
    {"http", "ca", Kind::path, false, "", 0, 0, "", "the system's",
     "Certificates, PEM, that HTTPS servers of other nodes (or a proxy that intercepts TLS) must be signed by, at most 16 KiB.",
     [](Config& c) -> auto& { return c.http.ca; }},
    {"http", "requests", Kind::count, false, "16", 2, 64, "", "",
     "Requests of one session that are under way at a time. What a session carries is at most so many bodies for each round trip.",
     [](Config& c) -> auto& { return c.http.requests; }},
    {"http", "body", Kind::size, false, "\"512KiB\"", 16_KiB, 1_MiB, "", "",
     "Longest body of a request or an answer. Bodies have at most 60,000 bytes at first, and become longer while several of them wait and "
     "longer ones pass; never where a login is configured, since some proxies hang on longer bodies then.",
     [](Config& c) -> auto& { return c.http.body; }},
    {"http", "answer", Kind::duration, false, "\"5s\"", 100_ms, 600_s, "", "",
     "Time in which a URL of a `[[link]]` with several must have given its first answer, before the next one is tried.",
     [](Config& c) -> auto& { return c.http.answer; }},
    {"http", "hold", Kind::duration, false, "\"25s\"", 1_s, 45_s, "", "",
     "Longest time that a request waits for an answer with nothing to say. A shorter limit of a proxy is found out.",
     [](Config& c) -> auto& { return c.http.hold; }},
    {"http", "websocket", Kind::boolean, false, "true", 0, 0, "", "",
     "Whether a session to another node goes over a WebSocket where an upgrade to one passes. Where it does not, or is cut, or "
     "carries nothing, the session goes on by requests.", [](Config& c) -> auto& { return c.http.websocket; }},
    {"http", "websocket_retry", Kind::duration, false, "\"5s\"", 10_ms, 3600_s, "", "",
     "Time after which a WebSocket is tried again that could not be made or was lost. It doubles with each failure in succession.",
     [](Config& c) -> auto& { return c.http.websocket_retry; }},
    {"http", "websocket_retry_max", Kind::duration, false, "\"30min\"", 10_ms, 86'400_s, "", "",
     "Longest of these times.", [](Config& c) -> auto& { return c.http.websocket_retry_max; }},

    {"tls", "certificate", Kind::path, false, "", 0, 0, "", "no TLS",
     "This node's certificate chain, PEM; its name is the node's.",
     [](Config& c) -> auto& { return c.tls.certificate; }},
    {"tls", "key", Kind::path, false, "", 0, 0, "", "no TLS", "The certificate's private key, PEM.",
     [](Config& c) -> auto& { return c.tls.key; }},
    {"tls", "ca", Kind::path, false, "", 0, 0, "", "no TLS", "Certificates that peers must be signed by, PEM.",
     [](Config& c) -> auto& { return c.tls.ca; }},
    {"tls", "crl", Kind::path, false, "", 0, 0, "", "no certificate is revoked",
     "Certificates that the CA has revoked, PEM (a CRL). It holds for links that exist, too, from SIGHUP on. Once it is out of "
     "date no peer is let in, so bring it up to date in time.", [](Config& c) -> auto& { return c.tls.crl; }},

    {"log", "level", Kind::choice, false, "\"info\"", 0, 0, "trace|debug|info|warn|error|off", "",
     "Least important lines that are written.", [](Config& c,
     std::size_t choice) { c.log.level = static_cast<LogLevel>(choice); }},
    {"log", "format", Kind::choice, false, "\"text\"", 0, 0, "text|json", "",
     "How lines are written. \"json\" is one JSON object a line (docs/operate.md).", [](Config& c,
     std::size_t choice) { c.log.json = choice == 1; }},
    {"log", "file", Kind::path, false, "", 0, 0, "", "standard error", "File that lines are appended to.",
     [](Config& c) -> auto& { return c.log.file; }},

    {"directory", "file", Kind::path, false, "", 0, 0, "", "none",
     "File with `[[service]]` tables, read again on SIGHUP.", [](Config& c) -> auto& { return c.directory.file; }},
    {"directory", "services", Kind::count, false, "16384", 1, 1'000'000, "", "",
     "Services that the directory holds at most, from both sources.",
     [](Config& c) -> auto& { return c.directory.services; }},
    {"directory", "nodes_per_service", Kind::count, false, "64", 1, 4096, "", "", "Nodes of one service at most.",
     [](Config& c) -> auto& { return c.directory.nodes_per_service; }},

    {"health", "interval", Kind::duration, false, "\"2s\"", 0, 3600_s, "", "",
     "Time between two questions to a process that serves, and to a node about services that several nodes serve; "
     "0: nobody is asked. No answer in this time is a bad answer.",
     [](Config& c) -> auto& { return c.health.interval; }},
    {"health", "fall", Kind::count, false, "3", 1, 100, "", "",
     "Bad answers in a row after which a process or a node counts as failing.",
     [](Config& c) -> auto& { return c.health.fall; }},
    {"health", "rise", Kind::count, false, "2", 1, 100, "", "",
     "Good answers in a row after which it counts as well again.",
     [](Config& c) -> auto& { return c.health.rise; }},
    {"health", "services", Kind::count, false, "1024", 1, 65536, "", "",
     "Services that other nodes are asked about at most: those that processes here connected to last.",
     [](Config& c) -> auto& { return c.health.services; }},

    {"link", "peer", Kind::node_name, true, "", 0, 0, "", "", "Name of the other node.",
     [](Config& c) -> auto& { return c.links.back().peer; }},
    {"link", "control", Kind::peer_address, false, "", 0, 0, "", "none: the peer dials",
     "Where the peer listens for control connections.", [](Config& c) -> auto& { return c.links.back().control; }},
    {"link", "carrier", Kind::transport, false, "\"udp\"", 0, 0, "", "",
     "What the link runs over. Both nodes must say the same, but \"card\", \"dpdk\" and \"udp\" are the same on the wire. "
     "\"auto\" chooses among UDP, TCP and HTTP.",
     [](Config& c) -> auto& { return c.links.back().carrier; }},
    {"link", "udp", Kind::peer_address, false, "", 0, 0, "", "host of `control`, port 7401; without `control`, the host and the port that the peer's hello comes from and names",
     "Where the peer's UDP carrier, card or DPDK port is.", [](Config& c) -> auto& { return c.links.back().udp; }},
    {"link", "tcp", Kind::peer_address, false, "", 0, 0, "", "host of `control`, port 7402; without `control`, the host and the port that the peer's hello comes from and names",
     "Where the peer's TCP carrier is.", [](Config& c) -> auto& { return c.links.back().tcp; }},
    {"link", "http", Kind::text_list, false, "", 1, 8, "", "none",
     "URLs of the peer's HTTP server, in the order to try them: `[\"https://example.org/slotwire\"]`. Only the node that dials needs them.",
     [](Config& c) -> auto& { return c.links.back().http; }},
    {"link", "carriers", Kind::text_list, false, "", 1, 3, "", "all that both nodes have of `[\"udp\", \"tcp\", \"http\"]`",
     "With carrier = \"auto\": what the link may go over, best first. It takes the first one over which the peer answers, and moves to a "
     "better one, or away from one that falls silent, while it is up.",
     [](Config& c) -> auto& { return c.links.back().carriers; }},
    {"link", "dial", Kind::boolean, false, "", 0, 0, "", "true on the node whose name sorts first",
     "Whether this node makes the connections; the other one waits for them.",
     [](Config& c) -> auto& { return c.links.back().dial; }},
    {"link", "encryption", Kind::choice, false, "", 0, 0, "none|aes-128-gcm|aes-256-gcm",
     "\"aes-256-gcm\" with `[tls]`, else \"none\"",
     "Whether frames are encrypted and authenticated on carriers \"udp\" and \"dpdk\", and how. Both nodes must say the same. Needs "
     "`[tls]`, since keys come over the control connection. With `[tls]`, frames go in the clear only where \"none\" is written; a "
     "warning in the log says so. A card's pipeline does not encrypt, so a link with carrier = \"card\" needs \"none\" then. A link over "
     "\"tcp\" has TLS where `[tls]` is given, and needs `[tls]` if this is not \"none\".", [](Config& c,
     std::size_t choice) { c.links.back().encryption = static_cast<carriers::CipherSuite>(choice); }},

    {"link", "congestion", Kind::choice, false, "", 0, 0, "cubic|delay|fixed", "`congestion.algorithm`",
     "What decides how much this link sends.", [](Config& c,
     std::size_t choice) { c.links.back().congestion = static_cast<congestion::Kind>(choice); }},

    {"service", "name", Kind::service_name, true, "", 0, 0, "", "", "Name of the service.",
     [](Config& c) -> auto& { return c.services.back().name; }},
    {"service", "nodes", Kind::node_list, true, "", 1, 4096, "", "", "Nodes that serve it.",
     [](Config& c) -> auto& { return c.services.back().nodes; }},
    {"service", "spread", Kind::boolean, false, "false", 0, 0, "", "",
     "true: connections take turns among the nodes, this one included if it is named. false: processes of this node come "
     "first, then the nodes in their order; another one is asked only while the link to the one before is down.",
     [](Config& c) -> auto& { return c.services.back().spread; }},
    {"service", "inspect", Kind::choice, false, "\"none\"", 0, 0, inspect::kLanguages, "",
     "What processes of this node that serve it look for in what callers send, and count (docs/inspection.md). It costs "
     "them time for each message.", [](Config& c,
     std::size_t choice) { c.services.back().inspect = static_cast<inspect::Language>(choice); }},
    {"service", "inspect_refuses", Kind::boolean, false, "false", 0, 0, "", "",
     "true: a connection that carries something else than `inspect` says ends before the program reads it.",
     [](Config& c) -> auto& { return c.services.back().inspect_refuses; }},

    {"allow", "action", Kind::choice, true, "", 0, 0, "serve|connect", "", "What is allowed.", [](Config& c,
     std::size_t choice) { c.allow.back().action = static_cast<Action>(choice); }},
    {"allow", "service", Kind::service_pattern, true, "", 0, 0, "", "", "Services that the rule is about.",
     [](Config& c) -> auto& { return c.allow.back().service; }},
    {"allow", "users", Kind::principal_list, false, "", 1, 1024, "", "nobody",
     "Local users that may: names or numbers, or `\"*\"` for all.",
     [](Config& c) -> auto& { return c.allow.back().users; }},
    {"allow", "groups", Kind::principal_list, false, "", 1, 1024, "", "nobody",
     "Local groups whose members may: names or numbers.", [](Config& c) -> auto& { return c.allow.back().groups; }},
    {"allow", "nodes", Kind::node_patterns, false, "", 1, 4096, "", "no node",
     "Linked nodes whose processes may connect, or `\"*\"` for all; that node's own policy decides which processes.",
     [](Config& c) -> auto& { return c.allow.back().nodes; }},
    {"allow", "isolation", Kind::choice, false, "\"shared\"", 0, 0, "shared|strict", "",
     "For two slots of this node: `shared` joins them by one ring that both map, `strict` copies and shares nothing.",
     [](Config& c, std::size_t choice) { c.allow.back().isolation = static_cast<Isolation>(choice); }},

    {"region", "name", Kind::service_pattern, true, "", 0, 0, "", "", "Regions that the rule is about.",
     [](Config& c) -> auto& { return c.regions.back().name; }},
    {"region", "isolation", Kind::choice, false, "\"shared\"", 0, 0, "shared|strict", "",
     "`shared`: processes of one user read each other's blocks in place, and users do not meet. `strict`: all users of the rule meet; each "
     "process shares memory with slotwired alone, which copies.",
     [](Config& c, std::size_t choice) { c.regions.back().isolation = static_cast<Isolation>(choice); }},
    {"region", "users", Kind::principal_list, false, "", 1, 1024, "", "nobody",
     "Local users that may open it: names or numbers, or `\"*\"` for all.",
     [](Config& c) -> auto& { return c.regions.back().users; }},
    {"region", "groups", Kind::principal_list, false, "", 1, 1024, "", "nobody",
     "Local groups whose members may: names or numbers.", [](Config& c) -> auto& { return c.regions.back().groups; }},
});
// clang-format on

std::string quoted_list(std::string_view choices) {
  std::string out;
  for (const auto choice : split_choices(choices)) {
    if (!out.empty()) out += ", ";
    out += '"';
    out += choice;
    out += '"';
  }
  return out;
}

std::string range(const Key& key, std::string (*format)(std::uint64_t)) {
  return key.max == 0 ? "" : " from " + format(key.min) + " to " + format(key.max);
}

/// A value that the key takes: the usual one, else its default, else its least one.
std::string example(const Key& key, std::uint64_t usual, std::string (*format)(std::uint64_t)) {
  if (key.max == 0 || (usual >= key.min && usual <= key.max)) return '"' + format(usual) + '"';
  return key.standard.empty() ? '"' + format(key.min) + '"' : std::string(key.standard);
}

}  // namespace

std::span<const Section> config_sections() {
  return kSections;
}
std::span<const Key> config_keys() {
  return kKeys;
}

const Key* find_key(std::string_view section, std::string_view name) {
  for (const Key& key : kKeys) {
    if (key.section == section && key.name == name) return &key;
  }
  return nullptr;
}

std::vector<std::string_view> split_choices(std::string_view choices) {
  std::vector<std::string_view> out;
  while (!choices.empty()) {
    const auto bar = std::min(choices.find('|'), choices.size());
    out.push_back(choices.substr(0, bar));
    choices.remove_prefix(std::min(bar + 1, choices.size()));
  }
  return out;
}

std::string describe_expected(const Key& key) {
  const auto number = [](std::uint64_t n) { return std::to_string(n); };
  const auto duration = [](std::uint64_t us) {
    return format_duration(std::chrono::microseconds(static_cast<std::int64_t>(us)));
  };
  switch (key.kind) {
    case Kind::text:
      return "a text";
    case Kind::path:
      return "a path";
    case Kind::node_name:
      return "1 to 63 of a-z, 0-9 and '-'";
    case Kind::service_name:
      return "1 to 63 of A-Z, a-z, 0-9 and '._/-'";
    case Kind::service_pattern:
      return "a service's name, with '*' for any characters and '?' for any one";
    case Kind::power_size:
      return "a power of two" + range(key, format_size) + ", such as " + example(key, 64_KiB, format_size);
    case Kind::size:
      return "a size" + range(key, format_size) + ", such as " + example(key, 64_KiB, format_size);
    case Kind::duration:
      return "a duration" + range(key, duration) + ", such as " + example(key, 10_ms, duration);
    case Kind::count:
      return "a whole number" + range(key, number);
    case Kind::boolean:
      return "true or false";
    case Kind::mode:
      return "octal permissions from \"0600\" to \"0777\"";
    case Kind::listen_address:
      return "\"address:port\" with a numeric address, port 0 to let the kernel choose";
    case Kind::peer_address:
      return "\"host:port\", port 1 to 65535";
    case Kind::choice:
      return "one of " + quoted_list(key.choices);
    case Kind::transport: {
      std::string names;
      for (const TransportKind& kind : transport_kinds()) {
        if (!names.empty()) names += ", ";
        names.append("\"").append(kind.name).append("\"");
      }
      return "one of " + names;
    }
    case Kind::cpu_list:
      return "a list of" + range(key, number).substr(5) + " different CPUs, numbers from 0 to " +
             number(carriers::kMaxCpu);
    case Kind::text_list:
      return "a list of" + range(key, number).substr(5) + " texts";
    case Kind::node_list:
      return "a list of" + range(key, number).substr(5) + " node names";
    case Kind::node_patterns:
      return "a list of" + range(key, number).substr(5) + " node names, or [\"*\"]";
    case Kind::principal_list:
      return "a list of" + range(key, number).substr(5) + " names or numbers";
  }
  return "";
}

}  // namespace slotwire::engine
