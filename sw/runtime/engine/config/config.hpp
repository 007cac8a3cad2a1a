// The configuration of slotwired. docs/configuration.md is the reference; it is generated from the table in
// config_keys.cpp.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "core/carriers/dpdk/dpdk.hpp"
#include "core/carriers/frame_cipher.hpp"
#include "core/congestion/algorithm.hpp"
#include "core/inspect/parser.hpp"
#include "driver/bus/choose_card.hpp"
#include "runtime/engine/config/config_values.hpp"

namespace slotwire::engine {

inline constexpr std::size_t kMaxConfigBytes = 1 << 20;  ///< a larger file is refused, it is not a configuration
inline constexpr std::size_t kMaxProblemsReported = 50;  ///< further problems are only counted
inline constexpr std::uint16_t kDefaultControlPort = 7400;
inline constexpr std::uint16_t kDefaultUdpPort = 7401;
inline constexpr std::uint16_t kDefaultTcpPort = 7402;

/// A configuration that cannot be used. what() holds one line for each problem:
/// `file:line:column: key 'x.y': what is wrong; what is expected`.
class ConfigError : public std::runtime_error {
 public:
  explicit ConfigError(std::vector<std::string> problems);
  /// One line for each problem, at most kMaxProblemsReported and one that counts the rest.
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  std::vector<std::string> problems_;
};

/// Where something stands in a configuration file, from 1; line 0 when it was not written down (a default).
struct Position {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};

enum class Action : std::uint8_t { serve, connect };
/// How two slots of one node are joined: one ring that both map, or two with the engine copying between them.
enum class Isolation : std::uint8_t { shared, strict };
enum class LogLevel : std::uint8_t { trace, debug, info, warn, error, off };

struct NodeConfig {
  std::string name;
  std::string run_dir;
  std::string control_socket;
  std::uint32_t control_socket_mode = 0;  ///< permission bits
  bool recover = false;
};

/// Bytes.
struct MemoryConfig {
  std::uint64_t slot_memory = 0;
  std::uint64_t ring = 0;
  std::uint64_t bulk_ring = 0;
  std::uint64_t max_ring = 0;
};

struct LimitsConfig {
  std::uint32_t slots = 0;
  std::uint32_t sessions = 0;
  std::uint32_t slots_per_session = 0;
  std::uint64_t memory_per_session = 0;  ///< bytes
  std::uint32_t spare_slots = 0;         ///< of a session
  std::chrono::microseconds spare_time{};
  std::uint32_t services = 0;
  std::uint32_t services_per_session = 0;
  std::uint32_t pending_opens = 0;
  std::uint64_t control_message = 0;  ///< bytes
  std::uint32_t backlog = 0;
  std::uint32_t links = 0;
  // Of one user (uid); root and slotwired's own user have none of these.
  std::uint32_t sessions_per_user = 0;
  std::uint32_t slots_per_user = 0;
  std::uint64_t memory_per_user = 0;  ///< bytes
  std::uint64_t mapped_per_user = 0;  ///< bytes
  std::uint32_t services_per_user = 0;
  std::uint32_t pending_opens_per_user = 0;
  std::uint32_t tool_connections = 0;
  std::uint32_t tool_connections_per_user = 0;
  std::uint32_t requests_per_user = 0;  ///< tokens a second
  std::uint32_t user_share = 0;         ///< times what is free
  std::uint32_t reserve = 0;            ///< percent of each table
  // Of one peer (link).
  std::uint32_t slots_per_peer = 0;
  std::uint64_t memory_per_peer = 0;  ///< bytes
  std::uint32_t pending_opens_per_peer = 0;
  std::uint32_t opens_per_peer = 0;       ///< a second
  std::uint32_t peer_share = 0;           ///< times what is free
  std::chrono::microseconds link_down{};  ///< until connections over a link that is down end; 0: never
  std::uint64_t unread_per_client = 0;    ///< bytes
  std::uint64_t unread_per_user = 0;      ///< bytes
  std::uint64_t unread = 0;               ///< bytes
  std::chrono::microseconds linger{};
  std::chrono::microseconds handshake{};
  std::uint32_t callers = 0;
  std::uint32_t callers_per_source = 0;
  std::uint32_t peer_messages = 0;  ///< a second
  std::uint32_t keeper_starts = 0;  ///< a minute
  std::uint32_t regions = 0;
  std::uint32_t regions_per_user = 0;
  std::uint32_t region_processes = 0;
  std::uint32_t region_lists = 0;
  std::uint64_t block_memory = 0;           ///< bytes
  std::uint64_t block_memory_per_user = 0;  ///< bytes
  std::uint64_t cell_memory = 0;            ///< bytes
  std::uint32_t cell_topics = 0;
};

/// The process that talks to other nodes for slotwired.
struct GateConfig {
  std::string user;  ///< empty: not written
};

struct WaitConfig {
  std::chrono::microseconds spin{};
  std::chrono::microseconds yield{};
  std::chrono::microseconds proxy_spin{};
  std::chrono::microseconds proxy_yield{};
};

struct ProtocolConfig {
  std::chrono::microseconds retransmit{};
  std::chrono::microseconds retransmit_max{};
  std::chrono::microseconds ack_delay{};
  std::chrono::microseconds sweep{};
};

/// Of links over carriers that share their network with others.
struct CongestionConfig {
  congestion::Kind algorithm = congestion::Kind::cubic;
  std::chrono::microseconds target_delay{};
  std::uint32_t rate = 0;              ///< megabits of payload a second
  std::vector<std::string> dedicated;  ///< networks
  bool ecn = false;
};

/// Who computes AES-GCM.
enum class CipherChoice : std::uint8_t { automatic, openssl, dpdk };

/// Of links with encryption.
struct EncryptionConfig {
  CipherChoice library = CipherChoice::automatic;  ///< of links over carrier dpdk; OpenSSL computes all others
  std::uint32_t rekey_frames = 0;
  std::chrono::microseconds rekey_after{};
};

/// Absent addresses: not listening. Hosts are numeric; port 0 lets the kernel choose one.
struct ListenConfig {
  std::optional<HostPort> control;
  std::optional<HostPort> udp;
  std::optional<HostPort> tcp;
  std::optional<HostPort> http;
  std::uint32_t mtu = 0;  ///< bytes of an IP packet
};

/// Links over HTTP.
struct HttpConfig {
  // The server of [listen] http.
  std::string path;  ///< begins with '/'
  bool tls = false;
  std::uint32_t sessions_per_source = 0;
  std::vector<std::string> trusted_proxies;  ///< networks
  // Towards the servers of other nodes.
  std::string proxy_text;  ///< a URL, "none", or empty: as the environment says
  std::string proxy_user;
  std::string proxy_password_file;
  bool proxy_negotiate = false;
  std::string ca;  ///< PEM file; empty: the system's
  std::uint32_t requests = 0;
  std::uint64_t body = 0;  ///< bytes
  std::chrono::microseconds hold{}, answer{};
  bool websocket = false;
  std::chrono::microseconds websocket_retry{}, websocket_retry_max{};
};

/// A card that carries links.
struct CardConfig {
  std::optional<driver::CardKind> chosen;  ///< as written; kind() is what holds
  std::string xrt;                         ///< socket of slotwire-xrt-host
  std::string socket;                      ///< of whoever serves a card, as a simulated one
  std::string vfio_user;                   ///< of a simulated card that is a PCI function
  std::string pci;                         ///< PCI address; empty: the only card there is
  bool sysfs = false;                      ///< BARs from sysfs instead of VFIO
  bool allow_no_iommu = false;
  bool host_output = true;              ///< the card may write into memory of this host
  std::chrono::microseconds give_up{};  ///< 0: never
  std::optional<HostPort> address;

  driver::CardKind kind() const {
    if (chosen) return *chosen;
    if (!socket.empty()) return driver::CardKind::socket;
    if (!vfio_user.empty()) return driver::CardKind::vfio_user;
    return address ? driver::CardKind::automatic : driver::CardKind::software;
  }
};

/// A network port of the node's own, driven by DPDK.
struct DpdkConfig {
  static constexpr std::uint32_t kAnyLcore = ~std::uint32_t{0};

  std::string port;  ///< empty: none
  std::optional<HostPort> address;
  std::uint32_t prefix = 0;      ///< bits
  std::string gateway;           ///< empty: none
  std::string kernel_interface;  ///< empty: none
  std::uint32_t vlan = 0;        ///< 0: none
  std::uint32_t rx_descriptors = 0, tx_descriptors = 0;
  carriers::ZeroCopy zero_copy = carriers::ZeroCopy::automatic;
  bool hugepages = false;
  std::uint64_t memory = 0;  ///< bytes
  std::uint32_t lcore = kAnyLcore;
  std::vector<std::uint32_t> lcores;  ///< CPUs of the workers; empty: no workers
  std::vector<std::string> eal;
};

/// Paths of PEM files: the first three given, or all empty (no TLS).
struct TlsConfig {
  std::string certificate;
  std::string key;
  std::string ca;
  std::string crl;  ///< empty: none

  bool enabled() const { return !certificate.empty(); }
};

struct LogConfig {
  LogLevel level = LogLevel::info;
  std::string file;   ///< empty: standard error
  bool json = false;  ///< one JSON object a line
};

struct LinkConfig {
  std::string peer;
  std::optional<HostPort> control;  ///< always there when dial is true
  std::string carrier = "udp";      ///< name of a transport (transport_kind.hpp)
  /// Data addresses of the peer. Where not written: control's host with the default port, or absent when there is no
  /// control address either (then the host that the peer dials from is the one).
  std::optional<HostPort> udp;
  std::optional<HostPort> tcp;
  std::vector<std::string> http;      ///< URLs of the peer's server, in the order to try them
  std::vector<std::string> carriers;  ///< of carrier "auto": what it may take, best first
  bool dial = false;
  carriers::CipherSuite encryption = carriers::CipherSuite::none;  ///< of frames; what runs over TCP has TLS instead
  bool encryption_given = false;                                   ///< it stands in the configuration
  std::optional<congestion::Kind> congestion;                      ///< not written: that of the node
  Position at;
};

struct DirectoryConfig {
  std::string file;  ///< empty: none
  std::uint32_t services = 0;
  std::uint32_t nodes_per_service = 0;
};

/// How processes that serve, and nodes that serve the same, are asked whether they are well.
struct HealthConfig {
  std::chrono::microseconds interval{};  ///< 0: nobody is asked
  std::uint32_t fall = 0, rise = 0;      ///< answers in a row that change what is thought
  std::uint32_t services = 0;            ///< that other nodes are asked about
};

struct ServiceConfig {
  std::string name;
  std::vector<std::string> nodes;  ///< in the order to try them
  bool spread = false;             ///< connections take turns among them instead
  Position at;
  /// What processes of this node that serve it find in its connections.
  inspect::Language inspect = inspect::Language::none;
  bool inspect_refuses = false;  ///< what is not that language ends the connection
};

/// One [[allow]] rule, names not resolved yet (policy.hpp does that). A number in users or groups is kept as decimal
/// text.
struct AllowConfig {
  Action action = Action::connect;
  std::string service;  ///< pattern
  std::vector<std::string> users;
  std::vector<std::string> groups;
  std::vector<std::string> nodes;
  Isolation isolation = Isolation::shared;
  Position at;
};

/// One [[region]] rule, names not resolved yet (policy.hpp does that).
struct RegionConfig {
  std::string name;  ///< pattern
  Isolation isolation = Isolation::shared;
  std::vector<std::string> users;
  std::vector<std::string> groups;
  Position at;
};

/// A whole, checked configuration: every value is in its range and no two contradict each other. A plain value; reading
/// it from several threads is fine as long as none writes.
struct Config {
  std::string source;  ///< the file's name, for messages
  NodeConfig node;
  MemoryConfig memory;
  LimitsConfig limits;
  GateConfig gate;
  WaitConfig wait;
  ProtocolConfig protocol;
  CongestionConfig congestion;
  EncryptionConfig encryption;
  ListenConfig listen;
  HttpConfig http;
  CardConfig card;
  DpdkConfig dpdk;
  TlsConfig tls;
  LogConfig log;
  DirectoryConfig directory;
  HealthConfig health;
  std::vector<LinkConfig> links;
  std::vector<ServiceConfig> services;
  std::vector<AllowConfig> allow;
  std::vector<RegionConfig> regions;
};

/// Reads and checks a configuration. `source` names it in messages; relative paths in it are taken from `base` (as they
/// stand when it is empty). Throws ConfigError with every problem found.
Config parse_config(std::string_view text, const std::string& source, const std::filesystem::path& base = {});
/// The same from a file of at most kMaxConfigBytes; relative paths are taken from the file's directory.
Config load_config(const std::filesystem::path& path);

/// Reads a directory file: [[service]] tables and nothing else. Throws ConfigError.
std::vector<ServiceConfig> parse_services(std::string_view text, const std::string& source);
std::vector<ServiceConfig> load_services(const std::filesystem::path& path);

/// docs/configuration.md: every key with its type, default, range and meaning, in Markdown.
std::string config_reference();

/// `file:line:column: key 'x.y': text`, the form of every problem.
std::string format_problem(const std::string& source, Position at, const std::string& key, const std::string& text);

/// Paths of the sockets and files that belong to a node; they and no others are in its run_dir.
std::filesystem::path keeper_socket_path(const std::filesystem::path& run_dir, std::string_view node);
std::filesystem::path keeper_lock_path(const std::filesystem::path& run_dir, std::string_view node);

/// Longest path that a unix socket address takes.
inline constexpr std::size_t kMaxSocketPath = 107;

}  // namespace slotwire::engine
