// The control messages, each defined once: between a process (or a tool) and its engine, and between two engines.
// docs/control.md describes them for people; codec.hpp writes and reads them.
//
// A message is a plain struct. Its fields() lists every field with its key and its limits, for writing and reading
// alike: must() is a field that has to be there, may() one that keeps its default when it is absent. Reading ignores
// keys that are not listed, and refuses a field of another type, length or range.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "runtime/control/fields.hpp"

namespace slotwire::control {

/// Versions of the protocol between engines, and of that between an engine and its processes. A hello or resume of
/// another version is read no further than its version. Version 2 of the latter: a kick and a wake are timerfds.
inline constexpr std::int64_t kVersion = 1;
inline constexpr std::int64_t kProcessVersion = 2;

inline constexpr std::size_t kMaxName = 63;          ///< bytes of the name of a node or a process; longer ones are cut
inline constexpr std::size_t kMaxServiceText = 255;  ///< bytes; what a service may be called is for the engine to say
inline constexpr std::size_t kMaxText = 1000;        ///< bytes of a text for people; longer ones are cut
inline constexpr std::size_t kMaxCode = 32;          ///< bytes of the code of an error
inline constexpr std::size_t kTokenBytes = 16;
inline constexpr std::size_t kMaxHeldSlots = 4096;   ///< slots of one session
inline constexpr std::size_t kMaxPorts = 16;         ///< UDP ports of a node over DPDK
inline constexpr std::size_t kMaxSyncPairs = 65536;  ///< pairs in one sync
inline constexpr std::size_t kMaxPage = 128;         ///< rows in one answer to "slots" or "sessions"
inline constexpr std::size_t kMaxFigures = 16;       ///< services and roles that one process reports
inline constexpr std::size_t kFigureBuckets = 18;
inline constexpr std::size_t kMaxFigurePage = 32;      ///< rows in one answer to "figures"
inline constexpr std::size_t kMaxTrace = 32;           ///< digits of a trace's number
inline constexpr std::size_t kMaxHealthServices = 64;  ///< services in one question of a node about another's health
inline constexpr std::size_t kMaxKeyText = 64;         ///< bytes of the hexadecimal text of a key
inline constexpr std::size_t kMaxRegionText = 31;      ///< bytes of a region's name
inline constexpr std::size_t kMaxLabels = 64;          ///< kinds of messages that are counted apart for a service
inline constexpr std::size_t kMaxLabelText = 24;       ///< bytes of the name of one
inline constexpr std::size_t kMaxInspectionPage = 8;   ///< rows in one answer to "inspections"

using Token = std::array<std::byte, kTokenBytes>;

/// Why a connection ended.
enum class End : std::uint8_t { none = 0, closed, died, fault, peer_fault, lost };
std::string_view end_name(End end);
/// An unknown name of a later release is `died`.
End end_from_name(std::string_view name);

/// What an engine thinks of a process that serves. Its numbers are part of the C ABI.
enum class Health : std::uint8_t {
  well = 0,
  failing,  ///< it does not answer, or says that it cannot take requests
  drained,  ///< by command: nothing new may go to it
};
std::string_view health_name(Health health);
/// An unknown name of a later release is `failing`.
Health health_from_name(std::string_view name);

/// A request that cannot be met: `code` is one of docs/control.md, `text` is for people. Thrown by the engine's rooms
/// while they handle a request; the boundary of the room that took the request turns it into an answer.
struct Refusal {
  std::string code;
  std::string text;
};

/// A process, as the engine of its node describes it.
struct ProcessInfo {
  std::string name;
  std::uint32_t pid = 0;
  std::uint32_t uid = 0;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.may("name", m.name, cut(kMaxName));
    v.may("pid", m.pid);
    v.may("uid", m.uid);
  }
};

// ---- requests of processes and tools ----

struct Hello {
  static constexpr std::string_view kName = "hello";
  std::int64_t version = kProcessVersion;
  std::string name = "unnamed";
  bool probes = false;  ///< the process answers the event `probe`
  bool spares = false;  ///< the process knows spare slots: Close::spare, SlotInfo::again and the event `forget`

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    if (!v.version("version", m.version, kProcessVersion)) return;
    v.may("name", m.name, cut(kMaxName));
    v.may("probes", m.probes);
    v.may("spares", m.spares);
  }
};

struct Resume {
  static constexpr std::string_view kName = "resume";
  std::int64_t version = kProcessVersion;
  std::uint64_t session = 0;
  std::string token;                 ///< hexadecimal; a wrong one is another session's, not an invalid message
  std::vector<std::uint32_t> slots;  ///< local indices that the process still holds
  bool probes = false;               ///< as in Hello
  bool spares = false;               ///< as in Hello

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    if (!v.version("version", m.version, kProcessVersion)) return;
    v.must("session", m.session);
    v.must("token", m.token, cut(2 * kTokenBytes + 1));
    v.must("slots", m.slots, kMaxHeldSlots);
    v.may("probes", m.probes);
    v.may("spares", m.spares);
  }
};

struct Serve {
  static constexpr std::string_view kName = "serve";
  std::string service;
  std::uint32_t backlog = 0;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("service", m.service, at_most(kMaxServiceText));
    v.may("backlog", m.backlog);
  }
};

struct Unserve {
  static constexpr std::string_view kName = "unserve";
  std::string service;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("service", m.service, at_most(kMaxServiceText));
  }
};

struct Connect {
  static constexpr std::string_view kName = "connect";
  std::string service;
  std::uint64_t in_bytes = 0, out_bytes = 0;  ///< sizes of the rings; 0: the node's default
  bool bulk = false;                          ///< where they are 0: larger than that while there is room
  std::int64_t timeout_ms = 10'000;           ///< the engine clamps it

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("service", m.service, at_most(kMaxServiceText));
    v.may("in_bytes", m.in_bytes);
    v.may("out_bytes", m.out_bytes);
    v.may("bulk", m.bulk);
    v.may("timeout_ms", m.timeout_ms);
  }
};

struct Close {
  static constexpr std::string_view kName = "close";
  std::uint32_t local = 0;
  bool spare = false;  ///< the process keeps the slot's memory for its next connection

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("local", m.local);
    v.if_true("spare", m.spare);
  }
};

struct Bye {
  static constexpr std::string_view kName = "bye";
  template <class Self, class V>
  static void fields(Self&, V&) {}
};

struct StatusRequest {
  static constexpr std::string_view kName = "status";
  template <class Self, class V>
  static void fields(Self&, V&) {}
};

struct SlotsRequest {
  static constexpr std::string_view kName = "slots";
  std::uint64_t from = 0;
  std::uint64_t max = kMaxPage;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.may("from", m.from);
    v.may("max", m.max);
  }
};

struct SessionsRequest {
  static constexpr std::string_view kName = "sessions";
  std::uint64_t from = 0;
  std::uint64_t max = kMaxPage;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.may("from", m.from);
    v.may("max", m.max);
  }
};

struct CaptureRequest {
  static constexpr std::string_view kName = "capture";
  std::string link;           ///< a peer; empty: all links
  std::uint32_t snaplen = 0;  ///< bytes kept of each frame; 0: all

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.may("link", m.link, at_most(kMaxName));
    v.may("snaplen", m.snaplen);
  }
};

struct Cut {
  static constexpr std::string_view kName = "cut";
  std::string link;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("link", m.link, at_most(kMaxName));
  }
};

/// What a process has done for a service, or asked of it, since it was started.
struct Figures {
  std::string service;
  std::string role;  ///< "client" or "server"
  std::uint64_t requests = 0, errors = 0, sum_us = 0;
  std::vector<std::uint64_t> buckets;  ///< kFigureBuckets of them (slotwire.h, sw_figures)
  std::uint64_t exemplar_us = 0;       ///< time of the request below
  std::string exemplar_trace;          ///< number of the trace of one late request; empty: none
  /// Requests that the process refused to send by a limit of its own.
  std::uint64_t limited_requests = 0, limited_process = 0, limited_waiting = 0, limited_retries = 0;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("service", m.service, at_most(kMaxServiceText));
    v.must("role", m.role, at_most(6));
    v.must("requests", m.requests);
    v.must("errors", m.errors);
    v.must("sum_us", m.sum_us);
    v.must("buckets", m.buckets, kFigureBuckets);
    v.may("exemplar_us", m.exemplar_us);
    v.unless_empty("exemplar_trace", m.exemplar_trace, at_most(kMaxTrace));
    v.may("limited_requests", m.limited_requests);
    v.may("limited_process", m.limited_process);
    v.may("limited_waiting", m.limited_waiting);
    v.may("limited_retries", m.limited_retries);
  }
};

/// Has no answer.
struct Report {
  static constexpr std::string_view kName = "report";
  std::vector<Figures> figures;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("figures", m.figures, kMaxFigures);
  }
};

/// How many messages of one kind were found.
struct InspectedLabel {
  std::string label;
  std::uint64_t count = 0;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("label", m.label, at_most(kMaxLabelText));
    v.must("count", m.count);
  }
};

/// What the sender found in connections to a service that it serves, since it said so last. Has no answer.
struct Inspected {
  static constexpr std::string_view kName = "inspected";
  std::string service;
  std::string language;
  std::vector<InspectedLabel> labels;
  std::uint64_t invalid = 0;  ///< connections that carried something else
  std::uint64_t refused = 0;  ///< of these, connections that were ended for it

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("service", m.service, at_most(kMaxServiceText));
    v.must("language", m.language, at_most(kMaxCode));
    v.must("labels", m.labels, kMaxLabels);
    v.may("invalid", m.invalid);
    v.may("refused", m.refused);
  }
};

/// What was found in the connections of services.
struct InspectionsRequest {
  static constexpr std::string_view kName = "inspections";
  std::uint64_t from = 0;
  std::uint64_t max = kMaxInspectionPage;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.may("from", m.from);
    v.may("max", m.max);
  }
};

/// The answer to the event `probe`, or news of `ready` without one. Has no answer.
struct Alive {
  static constexpr std::string_view kName = "alive";
  std::uint64_t probe = 0;  ///< of the event; 0: none
  bool ready = true;        ///< false: the process lives, and what it serves cannot take requests

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("probe", m.probe);
    v.may("ready", m.ready);
  }
};

/// A process gets no new connection, or gets them again.
struct Drain {
  static constexpr std::string_view kName = "drain";
  std::uint32_t pid = 0;
  bool on = true;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("pid", m.pid);
    v.may("on", m.on);
  }
};

struct FiguresRequest {
  static constexpr std::string_view kName = "figures";
  std::uint64_t from = 0;
  std::uint64_t max = kMaxFigurePage;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.may("from", m.from);
    v.may("max", m.max);
  }
};

/// Where the sender's blocks of `region` live: asked before a region is opened or made, and before a publisher makes
/// its memory.
struct RegionRequest {
  static constexpr std::string_view kName = "region";
  std::string region;
  std::uint64_t pid_namespace = 0;  ///< inode of the sender's /proc/self/ns/pid: which numbers its pids are
  bool make = false;                ///< nobody has the region: the engine makes its directory
  std::uint64_t bytes = 0;          ///< of block memory that the sender is about to make itself

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("region", m.region, at_most(kMaxRegionText));
    v.must("pid_namespace", m.pid_namespace);
    v.may("make", m.make);
    v.may("bytes", m.bytes);
  }
};

struct RegionsRequest {
  static constexpr std::string_view kName = "regions";
  std::uint64_t from = 0;
  std::uint64_t max = kMaxPage;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.may("from", m.from);
    v.may("max", m.max);
  }
};

/// Descriptors of the processes that are attached to regions.
struct AttachedRequest {
  static constexpr std::string_view kName = "attached";
  std::uint64_t from = 0;
  std::uint64_t max = kMaxPage;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.may("from", m.from);
    v.may("max", m.max);
  }
};

/// Descriptors of lists, with those of their blocks.
struct BlocksRequest {
  static constexpr std::string_view kName = "blocks";
  std::uint64_t from = 0;
  std::uint64_t max = kMaxPage;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.may("from", m.from);
    v.may("max", m.max);
  }
};

using Request =
    std::variant<Hello, Resume, Serve, Unserve, Connect, Close, Bye, StatusRequest, SlotsRequest, SessionsRequest,
                 CaptureRequest, Cut, Report, FiguresRequest, Inspected, InspectionsRequest, Alive, Drain,
                 RegionRequest, RegionsRequest, AttachedRequest, BlocksRequest>;

// ---- answers of the engine ----

struct HelloAnswer {
  std::uint64_t session = 0;
  std::string token;
  std::string node;
  std::uint32_t spin_us = 2, yield_us = 50;
  std::uint32_t spare_slots = 0;  ///< how many spare slots the process may keep

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("session", m.session);
    v.must("token", m.token, at_most(2 * kTokenBytes));
    v.must("node", m.node, at_most(kMaxName));
    v.may("spin_us", m.spin_us);
    v.may("yield_us", m.yield_us);
    v.may("spare_slots", m.spare_slots);
  }
};

/// With `make` and isolation "shared": the directory comes along, a descriptor. With "strict": the directory of a cell
/// and the socket of its channel come along.
struct RegionAnswer {
  std::string node;
  std::string isolation = "shared";
  bool kept = false;   ///< the engine has the region, or makes it
  std::string prefix;  ///< of a cell: begins the names of the sockets at which its two sides are woken

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("node", m.node, at_most(kMaxName));
    v.must("isolation", m.isolation, at_most(kMaxCode));
    v.may("kept", m.kept);
    v.unless_empty("prefix", m.prefix, at_most(kMaxName));
  }
};

/// One slot of a process that came back whose peer has gone meanwhile.
struct ClosedSlot {
  std::uint32_t local = 0;
  End reason = End::died;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("local", m.local);
    v.named("reason", m.reason, end_name, end_from_name);
  }
};

struct ResumeAnswer {
  std::string node;
  std::vector<ClosedSlot> closed;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.may("node", m.node, at_most(kMaxName));
    v.may("closed", m.closed, kMaxHeldSlots);
  }
};

/// The other end of a slot, as its process is told of it.
struct PeerInfo {
  std::string node;
  std::string name;
  std::uint32_t pid = 0;
  std::uint32_t uid = 0;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("node", m.node, cut(kMaxName));
    v.must("name", m.name, cut(kMaxName));
    v.must("pid", m.pid);
    v.must("uid", m.uid);
  }
};

/// A slot, as its process is told of it: the answer to connect, and part of the event `accepted`.
struct SlotInfo {
  std::uint16_t slot = 0;
  std::uint32_t local = 0;
  std::uint8_t in_order = 0, out_order = 0;
  std::string service;
  bool direct = false;
  bool link_up = true;
  bool again = false;            ///< its memory is that of the process's spare slot of this number; no descriptors
  std::string inspect;           ///< of the service's end: the language that its process is to look for; empty: none
  bool inspect_refuses = false;  ///< what is not that language ends the connection
  PeerInfo peer;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("slot", m.slot);
    v.must("local", m.local);
    v.must("in_order", m.in_order);
    v.must("out_order", m.out_order);
    v.must("service", m.service, at_most(kMaxName));
    v.must("direct", m.direct);
    v.may("link_up", m.link_up);
    v.if_true("again", m.again);
    v.unless_empty("inspect", m.inspect, at_most(kMaxCode));
    if (!m.inspect.empty()) v.may("inspect_refuses", m.inspect_refuses);
    v.must("peer", m.peer);
  }
};

/// An answer without fields.
struct Done {
  template <class Self, class V>
  static void fields(Self&, V&) {}
};

// ---- events of the engine ----

struct Accepted {
  static constexpr std::string_view kName = "accepted";
  SlotInfo slot;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    SlotInfo::fields(m.slot, v);
  }
};

struct Closed {
  static constexpr std::string_view kName = "closed";
  std::uint32_t local = 0;
  End reason = End::died;
  std::string text;  ///< may be empty

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("local", m.local);
    v.named("reason", m.reason, end_name, end_from_name);
    v.unless_empty("text", m.text, cut(kMaxText));
  }
};

struct LinkEvent {
  static constexpr std::string_view kName = "link";
  std::string node;
  bool up = false;
  std::string text;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("node", m.node, at_most(kMaxName));
    v.must("up", m.up);
    v.may("text", m.text, cut(kMaxText));
  }
};

/// Is the process alive? It answers with `alive`. At most one waits for its answer.
struct Probe {
  static constexpr std::string_view kName = "probe";
  std::uint64_t probe = 0;  ///< from 1

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("probe", m.probe);
  }
};

/// What is thought of the process at the other end of a connection.
struct HealthEvent {
  static constexpr std::string_view kName = "health";
  std::uint32_t local = 0;
  Health health = Health::well;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("local", m.local);
    v.named("health", m.health, health_name, health_from_name);
  }
};

/// Spare slots that the process has no longer: it unmaps their memory. Those that it has not are no error.
struct Forget {
  static constexpr std::string_view kName = "forget";
  std::vector<std::uint32_t> slots;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("slots", m.slots, kMaxHeldSlots);
  }
};

using Event = std::variant<Accepted, Closed, LinkEvent, Probe, HealthEvent, Forget>;

// ---- between two engines ----

struct PeerHello {
  static constexpr std::string_view kName = "hello";
  std::int64_t version = kVersion;
  std::string node;
  std::uint64_t incarnation = 0;     ///< hexadecimal on the wire
  std::uint16_t udp_port = 0;        ///< 0: none
  std::uint16_t tcp_port = 0;        ///< 0: none
  std::uint16_t frame_lines = 0;     ///< most lines that the sender takes in a frame of the link; 0: any
  std::vector<std::byte> token;      ///< kTokenBytes, of the node that dials; else absent
  std::string encryption = "none";   ///< of the link's frames
  std::vector<std::uint16_t> ports;  ///< UDP ports that the sender wants the link's frames on; empty: udp_port alone
  std::string paths;                 ///< carriers that the link may change between, such as "udp,tcp,http"; best first

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    if (!v.version("version", m.version, kVersion)) return v.may("node", m.node, cut(kMaxName));
    v.must("node", m.node, at_most(kMaxName));
    v.hex64("incarnation", m.incarnation);
    v.may("udp_port", m.udp_port);
    v.may("tcp_port", m.tcp_port);
    v.may("frame_lines", m.frame_lines);
    v.hex_unless_empty("token", m.token, kTokenBytes);
    v.may("encryption", m.encryption, at_most(kMaxCode));
    v.list_unless_empty("ports", m.ports, kMaxPorts);
    v.unless_empty("paths", m.paths, at_most(kMaxName));
  }
};

struct PeerError {
  static constexpr std::string_view kName = "error";
  std::string text;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("text", m.text, cut(kMaxText));
  }
};

/// One pairing, as the sender of a sync sees it. On the wire: [slot of the receiver, slot of the sender, epoch].
struct SyncPair {
  std::uint16_t receiver_slot = 0;
  std::uint16_t sender_slot = 0;
  std::uint16_t epoch = 0;
};

struct Sync {
  static constexpr std::string_view kName = "sync";
  std::vector<SyncPair> pairs;
  bool last = true;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.triples("pairs", m.pairs, kMaxSyncPairs);
    v.must("last", m.last);
  }
};

struct Open {
  static constexpr std::string_view kName = "open";
  std::uint64_t id = 0;
  std::string service;
  std::uint16_t slot = 0, epoch = 0;
  std::uint8_t in_order = 0, out_order = 0;   ///< of the sender
  std::uint32_t in_first = 0, out_first = 0;  ///< first positions of its rings
  ProcessInfo from;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("id", m.id);
    v.must("service", m.service, cut(kMaxName));
    v.must("slot", m.slot);
    v.must("epoch", m.epoch);
    v.must("in_order", m.in_order);
    v.must("out_order", m.out_order);
    v.must("in_first", m.in_first);
    v.must("out_first", m.out_first);
    v.must("from", m.from);
  }
};

struct Opened {
  static constexpr std::string_view kName = "opened";
  std::uint64_t id = 0;
  std::uint16_t slot = 0;
  ProcessInfo to;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("id", m.id);
    v.must("slot", m.slot);
    v.must("to", m.to);
  }
};

struct Refused {
  static constexpr std::string_view kName = "refused";
  std::uint64_t id = 0;
  std::string code;
  std::string text;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("id", m.id);
    v.must("code", m.code, cut(kMaxCode));
    v.must("text", m.text, cut(kMaxText));
  }
};

struct PeerClose {
  static constexpr std::string_view kName = "close";
  static constexpr std::int32_t kUnknownSlot = -1;
  std::int32_t slot = kUnknownSlot;  ///< of the receiver
  std::uint16_t from_slot = 0;
  std::uint16_t epoch = 0;
  End reason = End::closed;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("slot", m.slot);
    v.must("from_slot", m.from_slot);
    v.must("epoch", m.epoch);
    v.named("reason", m.reason, end_name, end_from_name);
  }
};

struct Key {
  static constexpr std::string_view kName = "key";
  std::uint32_t key = 0;  ///< its id
  std::string suite;
  std::string secret, salt;  ///< hexadecimal; how long they are is for the suite to say

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("key", m.key);
    v.must("suite", m.suite, at_most(kMaxCode));
    v.must("secret", m.secret, at_most(kMaxKeyText));
    v.must("salt", m.salt, at_most(kMaxKeyText));
  }
};

struct KeyTaken {
  static constexpr std::string_view kName = "key_taken";
  std::uint32_t key = 0;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("key", m.key);
  }
};

struct Ping {
  static constexpr std::string_view kName = "ping";
  template <class Self, class V>
  static void fields(Self&, V&) {}
};

struct Pong {
  static constexpr std::string_view kName = "pong";
  template <class Self, class V>
  static void fields(Self&, V&) {}
};

/// A service, as one node asks another about it.
struct ServiceName {
  std::string service;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("service", m.service, at_most(kMaxName));
  }
};

/// How are these services? Answered with `health`, in the same order.
struct AskHealth {
  static constexpr std::string_view kName = "ask_health";
  std::vector<ServiceName> services;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("services", m.services, kMaxHealthServices);
  }
};

struct ServiceHealth {
  std::string service;
  std::uint32_t processes = 0;  ///< that serve it
  std::uint32_t well = 0;       ///< of them

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("service", m.service, at_most(kMaxName));
    v.must("processes", m.processes);
    v.must("well", m.well);
  }
};

struct HealthAnswer {
  static constexpr std::string_view kName = "health";
  std::vector<ServiceHealth> services;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("services", m.services, kMaxHealthServices);
  }
};

/// What the sender thinks of the process that serves the sender's end of a pairing. A pairing that has ended is not an
/// error.
struct SlotHealth {
  static constexpr std::string_view kName = "slot_health";
  std::uint16_t slot = 0;  ///< of the receiver
  std::uint16_t from_slot = 0;
  std::uint16_t epoch = 0;
  Health health = Health::well;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("slot", m.slot);
    v.must("from_slot", m.from_slot);
    v.must("epoch", m.epoch);
    v.named("health", m.health, health_name, health_from_name);
  }
};

/// A message of a later release, which the receiver ignores.
struct UnknownMessage {
  std::string type;  ///< at most kMaxCode bytes
};

using PeerMessage = std::variant<PeerHello, PeerError, Sync, Open, Opened, Refused, PeerClose, Key, KeyTaken, Ping,
                                 Pong, AskHealth, HealthAnswer, SlotHealth, UnknownMessage>;

}  // namespace slotwire::control
