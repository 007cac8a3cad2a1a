// The configuration: what is accepted, what is refused with which words, and that the reference page is the table.
#include "runtime/engine/config/config.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <ostream>
#include <set>
#include <sstream>

#include "runtime/engine/config/config_keys.hpp"
#include "temporary_directory.hpp"

namespace slotwire::engine {
namespace {

using std::chrono::microseconds;

Config parse(const std::string& text) {
  return parse_config(text, "test.toml");
}

/// The problems of a configuration that must be refused.
std::vector<std::string> problems(const std::string& text) {
  try {
    parse(text);
  } catch (const ConfigError& error) {
    return error.problems();
  }
  ADD_FAILURE() << "accepted:\n" << text;
  return {};
}

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  std::ostringstream out;
  out << file.rdbuf();
  return out.str();
}

TEST(EngineConfig, NodeNameIsEnoughAndEverythingElseHasADefault) {
  const Config c = parse("[node]\nname = \"web-1\"\n");
  EXPECT_EQ(c.node.name, "web-1");
  EXPECT_EQ(c.node.control_socket, "/run/slotwire/web-1.sock");
  EXPECT_EQ(c.node.control_socket_mode, 0666U);
  EXPECT_TRUE(c.node.recover);
  EXPECT_EQ(c.memory.slot_memory, 1ULL << 30);
  EXPECT_EQ(c.memory.bulk_ring, 1ULL << 20);
  EXPECT_EQ(c.memory.ring, 64ULL << 10);
  EXPECT_EQ(c.limits.slots, 4096U);
  EXPECT_EQ(c.limits.slots_per_session, 1024U);
  EXPECT_EQ(c.limits.memory_per_session, 512ULL << 20);
  EXPECT_EQ(c.limits.services_per_session, 64U);
  EXPECT_EQ(c.limits.linger, std::chrono::seconds(30));
  EXPECT_EQ(c.wait.spin, microseconds(2));
  EXPECT_EQ(c.wait.proxy_spin, microseconds(0)) << "a proxy's look is a system call";
  EXPECT_EQ(c.wait.proxy_yield, microseconds(50));
  EXPECT_EQ(c.protocol.sweep, microseconds(500));
  EXPECT_FALSE(c.listen.control);
  EXPECT_FALSE(c.tls.enabled());
  EXPECT_EQ(c.log.level, LogLevel::info);
}

TEST(EngineConfig, EveryKeyReachesItsField) {
  const Config c = parse(R"(
[node]
name = "b"
run_dir = "/tmp/s"
control_socket = "/tmp/c"
control_socket_mode = "0660"
recover = false
[memory]
slot_memory = "2GiB"
ring = "4KiB"
bulk_ring = "512KiB"
max_ring = "1MiB"
[limits]
slots = 65535
sessions = 11
slots_per_session = 12
memory_per_session = "24MiB"
services = 13
services_per_session = 5
pending_opens = 14
control_message = "2KiB"
backlog = 15
links = 16
sessions_per_user = 10
slots_per_user = 101
memory_per_user = "102MiB"
mapped_per_user = "55MiB"
services_per_user = 9
pending_opens_per_user = 8
tool_connections = 103
tool_connections_per_user = 100
requests_per_user = 105
user_share = 5
reserve = 6
slots_per_peer = 110
memory_per_peer = "111MiB"
pending_opens_per_peer = 12
opens_per_peer = 113
peer_share = 4
link_down = "114s"
unread_per_client = "107KiB"
unread_per_user = "108KiB"
unread = "109KiB"
linger = "17s"
handshake = "18ms"
[wait]
spin = "0us"
yield = "19us"
proxy_spin = "3us"
proxy_yield = "4us"
[protocol]
retransmit = "20ms"
retransmit_max = "21s"
ack_delay = "22us"
sweep = "23us"
[encryption]
rekey_frames = 260
rekey_after = "27s"
library = "openssl"
[listen]
control = "0.0.0.0:7400"
udp = "[::1]:0"
tcp = "127.0.0.1:7402"
mtu = 9000
[tls]
certificate = "/c.pem"
key = "/k.pem"
ca = "/ca.pem"
[log]
level = "warn"
file = "/var/log/slotwired.log"
[directory]
file = "/etc/slotwire/directory.toml"
services = 24
nodes_per_service = 25
[[link]]
peer = "c"
control = "c.example:7400"
encryption = "aes-128-gcm"
[[link]]
peer = "a"
carrier = "tcp"
tcp = "10.0.0.1:1"
udp = "10.0.0.1:2"
[[service]]
name = "app/v1"
nodes = ["a", "b"]
[[allow]]
action = "serve"
service = "app/*"
users = ["root", 33]
groups = ["adm"]
isolation = "strict"
[[allow]]
action = "connect"
service = "*"
nodes = ["*"]
)");
  EXPECT_EQ(c.node.run_dir, "/tmp/s");
  EXPECT_EQ(c.node.control_socket, "/tmp/c");
  EXPECT_EQ(c.node.control_socket_mode, 0660U);
  EXPECT_FALSE(c.node.recover);
  EXPECT_EQ(c.memory.slot_memory, 2ULL << 30);
  EXPECT_EQ(c.memory.bulk_ring, 512ULL << 10);
  EXPECT_EQ(c.memory.ring, 4096U);
  EXPECT_EQ(c.memory.max_ring, 1ULL << 20);
  EXPECT_EQ(c.limits.slots, 65535U);
  EXPECT_EQ(c.limits.sessions, 11U);
  EXPECT_EQ(c.limits.slots_per_session, 12U);
  EXPECT_EQ(c.limits.memory_per_session, 24ULL << 20);
  EXPECT_EQ(c.limits.services, 13U);
  EXPECT_EQ(c.limits.services_per_session, 5U);
  EXPECT_EQ(c.limits.pending_opens, 14U);
  EXPECT_EQ(c.limits.control_message, 2048U);
  EXPECT_EQ(c.limits.backlog, 15U);
  EXPECT_EQ(c.limits.links, 16U);
  EXPECT_EQ(c.limits.sessions_per_user, 10U);
  EXPECT_EQ(c.limits.slots_per_user, 101U);
  EXPECT_EQ(c.limits.memory_per_user, 102ULL << 20);
  EXPECT_EQ(c.limits.mapped_per_user, 55ULL << 20);
  EXPECT_EQ(c.limits.services_per_user, 9U);
  EXPECT_EQ(c.limits.pending_opens_per_user, 8U);
  EXPECT_EQ(c.limits.tool_connections, 103U);
  EXPECT_EQ(c.limits.tool_connections_per_user, 100U);
  EXPECT_EQ(c.limits.requests_per_user, 105U);
  EXPECT_EQ(c.limits.user_share, 5U);
  EXPECT_EQ(c.limits.reserve, 6U);
  EXPECT_EQ(c.limits.slots_per_peer, 110U);
  EXPECT_EQ(c.limits.memory_per_peer, 111ULL << 20);
  EXPECT_EQ(c.limits.pending_opens_per_peer, 12U);
  EXPECT_EQ(c.limits.opens_per_peer, 113U);
  EXPECT_EQ(c.limits.peer_share, 4U);
  EXPECT_EQ(c.limits.link_down, std::chrono::seconds(114));
  EXPECT_EQ(c.limits.unread_per_client, 107U << 10);
  EXPECT_EQ(c.limits.unread_per_user, 108U << 10);
  EXPECT_EQ(c.limits.unread, 109U << 10);
  EXPECT_EQ(c.limits.linger, std::chrono::seconds(17));
  EXPECT_EQ(c.limits.handshake, std::chrono::milliseconds(18));
  EXPECT_EQ(c.wait.spin, microseconds(0));
  EXPECT_EQ(c.wait.yield, microseconds(19));
  EXPECT_EQ(c.wait.proxy_spin, microseconds(3));
  EXPECT_EQ(c.wait.proxy_yield, microseconds(4));
  EXPECT_EQ(c.protocol.retransmit, std::chrono::milliseconds(20));
  EXPECT_EQ(c.protocol.retransmit_max, std::chrono::seconds(21));
  EXPECT_EQ(c.protocol.ack_delay, microseconds(22));
  EXPECT_EQ(c.protocol.sweep, microseconds(23));
  EXPECT_EQ(c.encryption.rekey_frames, 260U);
  EXPECT_EQ(c.encryption.rekey_after, std::chrono::seconds(27));
  EXPECT_EQ(c.encryption.library, CipherChoice::openssl);
  EXPECT_EQ(c.listen.control, (HostPort{"0.0.0.0", 7400}));
  EXPECT_EQ(c.listen.udp, (HostPort{"::1", 0}));
  EXPECT_EQ(c.listen.tcp, (HostPort{"127.0.0.1", 7402}));
  EXPECT_EQ(c.listen.mtu, 9000U);
  EXPECT_EQ(c.tls.certificate, "/c.pem");
  EXPECT_EQ(c.tls.key, "/k.pem");
  EXPECT_EQ(c.tls.ca, "/ca.pem");
  EXPECT_EQ(c.log.level, LogLevel::warn);
  EXPECT_EQ(c.log.file, "/var/log/slotwired.log");
  EXPECT_EQ(c.directory.file, "/etc/slotwire/directory.toml");
  EXPECT_EQ(c.directory.services, 24U);
  EXPECT_EQ(c.directory.nodes_per_service, 25U);
  ASSERT_EQ(c.links.size(), 2U);
  EXPECT_EQ(c.links[0].peer, "c");
  EXPECT_EQ(c.links[0].carrier, "udp");
  EXPECT_EQ(c.links[0].encryption, carriers::CipherSuite::aes_128_gcm);
  EXPECT_EQ(c.links[1].encryption, carriers::CipherSuite::none);
  EXPECT_TRUE(c.links[0].dial) << "b sorts before c";
  EXPECT_EQ(c.links[0].udp, (HostPort{"c.example", kDefaultUdpPort}));
  EXPECT_EQ(c.links[0].tcp, (HostPort{"c.example", kDefaultTcpPort}));
  EXPECT_EQ(c.links[1].carrier, "tcp");
  EXPECT_FALSE(c.links[1].dial) << "a sorts before b";
  EXPECT_FALSE(c.links[1].control);
  EXPECT_EQ(c.links[1].tcp, (HostPort{"10.0.0.1", 1}));
  EXPECT_EQ(c.links[1].udp, (HostPort{"10.0.0.1", 2}));
  ASSERT_EQ(c.services.size(), 1U);
  EXPECT_EQ(c.services[0].nodes, (std::vector<std::string>{"a", "b"}));
  ASSERT_EQ(c.allow.size(), 2U);
  EXPECT_EQ(c.allow[0].action, Action::serve);
  EXPECT_EQ(c.allow[0].users, (std::vector<std::string>{"root", "33"}));
  EXPECT_EQ(c.allow[0].groups, (std::vector<std::string>{"adm"}));
  EXPECT_EQ(c.allow[0].isolation, Isolation::strict);
  EXPECT_EQ(c.allow[1].nodes, (std::vector<std::string>{"*"}));
  EXPECT_EQ(c.allow[1].isolation, Isolation::shared);
}

TEST(EngineConfig, DatagramsAreEncryptedWhereThereIsTlsUnlessItSaysNone) {
  const std::string node = "[node]\nname = \"b\"\n[listen]\nudp = \"127.0.0.1:0\"\ntcp = \"127.0.0.1:0\"\n";
  const std::string tls = "[tls]\ncertificate = \"/c\"\nkey = \"/k\"\nca = \"/a\"\n";
  const auto encryption = [&](const std::string& before, const std::string& link) {
    return parse(node + before + "[[link]]\npeer = \"c\"\ncontrol = \"127.0.0.2:1\"\n" + link).links[0].encryption;
  };
  using carriers::CipherSuite;
  EXPECT_EQ(encryption("", ""), CipherSuite::none);
  EXPECT_EQ(encryption(tls, ""), CipherSuite::aes_256_gcm);
  EXPECT_EQ(encryption(tls, "encryption = \"none\"\n"), CipherSuite::none);
  EXPECT_EQ(encryption(tls, "encryption = \"aes-128-gcm\"\n"), CipherSuite::aes_128_gcm);
  EXPECT_EQ(encryption(tls, "carrier = \"tcp\"\n"), CipherSuite::none) << "TLS itself protects it";
}

TEST(EngineConfig, ALinkThatChoosesItsCarrierTakesWhatBothKeysSay) {
  const Config c = parse(R"(
[node]
name = "b"
[listen]
udp = "127.0.0.1:1"
http = "127.0.0.1:2"
[http]
path = "/x"
tls = true
sessions_per_source = 3
trusted_proxies = ["10.0.0.0/8"]
proxy = "http://proxy:3128"
proxy_user = "me"
proxy_password_file = "/p"
proxy_negotiate = true
ca = "/ca2.pem"
requests = 5
body = "100KiB"
answer = "9s"
hold = "7s"
websocket = false
websocket_retry = "2s"
websocket_retry_max = "3min"
[tls]
certificate = "/c"
key = "/k"
ca = "/a"
[[link]]
peer = "c"
carrier = "auto"
carriers = ["udp", "http"]
http = ["https://c.example/x", "http://c.example:8080/x"]
)");
  EXPECT_EQ(c.listen.http, (HostPort{"127.0.0.1", 2}));
  EXPECT_EQ(c.http.path, "/x");
  EXPECT_TRUE(c.http.tls);
  EXPECT_EQ(c.http.sessions_per_source, 3U);
  EXPECT_EQ(c.http.trusted_proxies, (std::vector<std::string>{"10.0.0.0/8"}));
  EXPECT_EQ(c.http.proxy_text, "http://proxy:3128");
  EXPECT_EQ(c.http.proxy_user, "me");
  EXPECT_EQ(c.http.proxy_password_file, "/p");
  EXPECT_TRUE(c.http.proxy_negotiate);
  EXPECT_EQ(c.http.ca, "/ca2.pem");
  EXPECT_EQ(c.http.requests, 5U);
  EXPECT_EQ(c.http.body, std::uint64_t{100} << 10U);
  EXPECT_EQ(c.http.answer, std::chrono::seconds(9));
  EXPECT_EQ(c.http.hold, std::chrono::seconds(7));
  EXPECT_FALSE(c.http.websocket);
  EXPECT_EQ(c.http.websocket_retry, std::chrono::seconds(2));
  EXPECT_EQ(c.http.websocket_retry_max, std::chrono::minutes(3));
  ASSERT_EQ(c.links.size(), 1U);
  EXPECT_EQ(c.links[0].carriers, (std::vector<std::string>{"udp", "http"}));
  EXPECT_EQ(c.links[0].http.size(), 2U);
  EXPECT_FALSE(c.links[0].control) << "a link over HTTP alone needs no address";
  EXPECT_EQ(c.links[0].encryption, carriers::CipherSuite::aes_256_gcm);
}

TEST(EngineConfig, TheKindOfCardFollowsFromWhatIsSaidOfIt) {
  using driver::CardKind;
  const auto kind = [](const std::string& card) {
    return parse_config("node.name = \"b\"\n[card]\n" + card, "test.toml").card.kind();
  };
  const std::string address = "address = \"10.0.0.1:7401\"\n";
  EXPECT_EQ(kind(""), CardKind::software);
  EXPECT_EQ(kind(address), CardKind::automatic);
  EXPECT_EQ(kind(address + "socket = \"/tmp/x\""), CardKind::socket);
  EXPECT_EQ(kind(address + "vfio_user = \"/tmp/x\""), CardKind::vfio_user);
  EXPECT_EQ(kind(address + "kind = \"pcie\""), CardKind::pcie);
  EXPECT_EQ(kind(address + "kind = \"xrt\""), CardKind::xrt);
  EXPECT_EQ(kind(address + "kind = \"auto\"\nsocket = \"/tmp/x\""), CardKind::automatic);
  EXPECT_EQ(kind("kind = \"software\"\nsocket = \"/tmp/x\""), CardKind::software);
}

TEST(EngineConfig, ACardMayStandBesideThreadsOfAPort) {
  const Config c = parse(
      "node.name = \"b\"\ndpdk.port = \"net_tap0\"\ndpdk.address = \"10.0.0.1:7401\"\ndpdk.lcores = [0]\n"
      "card.socket = \"/x\"\ncard.address = \"10.0.0.2:7401\"");
  EXPECT_EQ(c.card.kind(), driver::CardKind::socket);
  EXPECT_EQ(c.dpdk.lcores.size(), 1U);
}

TEST(EngineConfig, EveryProblemIsReportedAtOnceWithItsPlace) {
  const auto lines = problems(
      "[node]\n"
      "name = \"Web\"\n"
      "colour = 1\n"
      "[memory]\n"
      "ring = \"3KiB\"\n"
      "[limits]\n"
      "slots = \"many\"\n"
      "[nodes]\n"
      "[[link]]\n"
      "carrier = \"pigeon\"\n");
  const std::string all = [&] {
    std::string out;
    for (const auto& line : lines) out += line + "\n";
    return out;
  }();
  EXPECT_EQ(lines.size(), 7U) << all;
  EXPECT_NE(all.find("test.toml:2:8: key 'node.name': is \"Web\"; expected is 1 to 63 of a-z, 0-9 and '-'"),
            std::string::npos)
      << all;
  EXPECT_NE(all.find("test.toml:3:1: key 'node.colour': is unknown; expected is one of name, run_dir"),
            std::string::npos)
      << all;
  EXPECT_NE(all.find("test.toml:5:8: key 'memory.ring': is \"3KiB\"; expected is a power of two from 4KiB to 2MiB"),
            std::string::npos)
      << all;
  EXPECT_NE(
      all.find("test.toml:7:9: key 'limits.slots': is of type string; expected is a whole number from 1 to 65535"),
      std::string::npos)
      << all;
  EXPECT_NE(all.find("key 'nodes': is unknown"), std::string::npos) << all;
  EXPECT_NE(all.find("key 'link.carrier': is \"pigeon\"; expected is one of \"udp\", \"tcp\""), std::string::npos)
      << all;
  EXPECT_NE(all.find("key 'link.peer': is missing"), std::string::npos) << all;
}

struct Refused {
  const char* name;      ///< of the case, for ctest
  const char* text;      ///< after a valid [node] with the name "b"
  const char* expected;  ///< must be in the one problem
};

void PrintTo(const Refused& refused, std::ostream* out) {
  *out << refused.name;
}

class EngineConfigRefuses : public testing::TestWithParam<Refused> {};

TEST_P(EngineConfigRefuses, WithTheReason) {
  const auto lines = problems(std::string("node.name = \"b\"\n") + GetParam().text);
  ASSERT_EQ(lines.size(), 1U) << (lines.size() > 1 ? lines[1] : "");
  EXPECT_NE(lines[0].find(GetParam().expected), std::string::npos) << lines[0];
  EXPECT_EQ(lines[0].rfind("test.toml:", 0), 0U) << lines[0];
}

INSTANTIATE_TEST_SUITE_P(
    Values, EngineConfigRefuses,
    testing::Values(
        Refused{"SlotsOverMax", "limits.slots = 65536", "is 65536; expected is"},
        Refused{"SlotsNegative", "limits.slots = -1", "is -1; expected is"},
        Refused{"SlotsFraction", "limits.slots = 1.5", "floating-point"},
        Refused{"SectionIsNumber", "limits = 5", "is not a table; write [limits]"},
        Refused{"LinkIsTable", "link = {}", "write [[link]]"}, Refused{"LinkListOfNumbers", "link = [1]", "no table"},
        Refused{"RingTooSmall", "memory.ring = \"2KiB\"", "key 'memory.ring'"},
        Refused{"SizeWithoutUnit", "memory.ring = \"65536\"", "key 'memory.ring'"},
        Refused{"SizeAsNumber", "memory.ring = 65536", "is of type integer"},
        Refused{"SizeOverflowsNumber", "memory.slot_memory = \"99999999999999999999TiB\"", "key 'memory.slot_memory'"},
        Refused{"SizeOverflowsProduct", "memory.slot_memory = \"16777216TiB\"", "key 'memory.slot_memory'"},
        Refused{"DurationWithBlank", "wait.spin = \"2 us\"", "a duration from 0us to 1ms"},
        Refused{"DurationTooLong", "wait.spin = \"2ms\"", "key 'wait.spin'"},
        Refused{"BoolAsText", "node.recover = \"yes\"", "true or false"},
        Refused{"ModeWithoutOwner", "node.control_socket_mode = \"0066\"", "octal"},
        Refused{"ModeNotOctal", "node.control_socket_mode = \"888\"", "octal"},
        Refused{"EmptyPath", "node.run_dir = \"\"", "is empty"},
        Refused{"ZeroByte", "log.file = \"a\\u0000b\"", "zero byte"},
        Refused{"ListenOnName", "listen.control = \"localhost:7400\"", "numeric"},
        Refused{"ListenWithoutPort", "listen.control = \"0.0.0.0\"", "numeric"},
        Refused{"PortTooLarge", "listen.control = \"1.2.3.4:65536\"", "numeric"},
        Refused{"BadIpv4", "listen.control = \"1.2.3.400:1\"", "numeric"},
        Refused{"SmallMtu", "listen.mtu = 100", "is 100"},
        Refused{"UnknownLevel", "log.level = \"loud\"", "one of \"trace\""},
        Refused{"Syntax", "x y", "this is not TOML"},
        Refused{"BlankInService", "[[service]]\nname = \"a b\"\nnodes = [\"a\"]", "key 'service.name'"},
        Refused{"NoNodes", "[[service]]\nname = \"a\"\nnodes = []", "has 0 entries"},
        Refused{"NodeTwice", "[[service]]\nname = \"a\"\nnodes = [\"a\", \"a\"]", "twice"},
        Refused{"NodeUpperCase", "[[service]]\nname = \"a\"\nnodes = [\"A\"]", "has the entry \"A\""},
        Refused{"NodeAsNumber", "[[service]]\nname = \"a\"\nnodes = [1]", "another kind"},
        Refused{"PatternWithClass", "[[allow]]\naction = \"serve\"\nservice = \"[ab]\"\nusers = [1]",
                "key 'allow.service'"},
        Refused{"NegativeUser", "[[allow]]\naction = \"serve\"\nservice = \"*\"\nusers = [-1]", "another kind"}));

INSTANTIATE_TEST_SUITE_P(
    Contradictions, EngineConfigRefuses,
    testing::Values(
        Refused{"RingOverMaxRing", "memory.ring = \"1MiB\"\nmemory.max_ring = \"64KiB\"",
                "test.toml:2:15: key 'memory.ring': is 1MiB, more than memory.max_ring = 64KiB"},
        Refused{"RateThatNoAlgorithmUses", "congestion.rate = 100",
                "key 'congestion.rate': is given, but no link decides by \"fixed\"; remove it, or set"},
        Refused{"DedicatedThatNoAlgorithmUses", "congestion.dedicated = [\"10.0.0.0/8\"]",
                "key 'congestion.dedicated': is given, but no link decides by \"fixed\""},
        Refused{"TargetDelayThatNoAlgorithmUses", "congestion.target_delay = \"2ms\"",
                "key 'congestion.target_delay': is given, but no link decides by \"delay\""},
        Refused{"TargetDelayThatTheOnlyLinkDoesNotUse",
                "congestion.target_delay = \"2ms\"\ncongestion.algorithm = \"delay\"\n[listen]\nudp = \"127.0.0.1:0\"\n"
                "[[link]]\npeer = \"c\"\ncontrol = \"10.0.0.2:7400\"\ncongestion = \"cubic\"",
                "no link decides by \"delay\""},
        Refused{"CongestionOverTcp",
                "[[link]]\npeer = \"c\"\ncontrol = \"10.0.0.2:7400\"\ncarrier = \"tcp\"\ncongestion = \"delay\"",
                "key 'link.congestion': is given, but the link has carrier = \"tcp\", where TCP decides; remove it"},
        Refused{"PeersShareOverTheTable", "limits.slots = 100\nlimits.slots_per_peer = 101",
                "more than limits.slots = 100"},
        Refused{"CardWithoutAddress", "card.socket = \"/tmp/x\"", "key 'card.address': is missing"},
        Refused{"CardWithoutSocket", "[card]\nkind = \"socket\"\naddress = \"10.0.0.1:7401\"",
                "'card.socket' is missing"},
        Refused{"CardWithoutVfioUser", "[card]\nkind = \"vfio-user\"\naddress = \"10.0.0.1:7401\"",
                "'card.vfio_user' is missing"},
        Refused{"CardOfTwoKinds", "[card]\nsocket = \"/tmp/x\"\nvfio_user = \"/tmp/y\"\naddress = \"10.0.0.1:7401\"",
                "say which of them it is"},
        Refused{"CardOfUnknownKind", "card.kind = \"isa\"", "one of \"auto\", \"xrt\", \"pcie\""},
        Refused{"CardLinkWithoutAddress", "[[link]]\npeer = \"c\"\ncontrol = \"10.0.0.2:7400\"\ncarrier = \"card\"",
                "set 'card.address'"},
        Refused{"BulkRingOverMaxRing", "memory.bulk_ring = \"1MiB\"\nmemory.max_ring = \"64KiB\"",
                "key 'memory.bulk_ring': is 1MiB, more than memory.max_ring = 64KiB"},
        Refused{"MemoryForNoSlot", "memory.slot_memory = \"2MiB\"", "too little for one slot"},
        Refused{"SlotsPerSession", "limits.slots = 10\nlimits.slots_per_session = 11", "more than limits.slots = 10"},
        Refused{"ServicesPerSession", "limits.services = 10\nlimits.services_per_session = 11",
                "more than limits.services = 10"},
        Refused{"MemoryPerSession", "memory.slot_memory = \"16MiB\"\nlimits.memory_per_session = \"32MiB\"",
                "memory.slot_memory = 16MiB"},
        Refused{"RetransmitOverMax", "protocol.retransmit = \"2s\"", "longer than protocol.retransmit_max = 1s"},
        Refused{"WebSocketRetryOverMax", "http.websocket_retry_max = \"1s\"",
                "longer than http.websocket_retry_max = 1s"},
        Refused{"AckDelay", "protocol.ack_delay = \"10ms\"", "not shorter than protocol.retransmit"},
        Refused{"Sweep", "protocol.sweep = \"11ms\"", "longer than protocol.retransmit"},
        Refused{"ListenersAtOneAddress", "listen.control = \"127.0.0.1:1\"\nlisten.tcp = \"127.0.0.1:1\"",
                "key 'listen.tcp': is the address of listen.control as well"},
        Refused{"TwoPeersAtOneControlAddress",
                "listen.udp = \"0.0.0.0:1\"\n[[link]]\npeer = \"c\"\ncontrol = \"x:1\"\n[[link]]\npeer = "
                "\"d\"\ncontrol = \"x:1\"",
                "key 'link.control': is the address of node 'c' as well (x:1)"},
        Refused{"TwoPeersAtOneDataAddress",
                "listen.udp = \"0.0.0.0:1\"\n[[link]]\npeer = \"c\"\ncontrol = \"x:1\"\nudp = \"x:2\"\n"
                "[[link]]\npeer = \"d\"\n"
                "control = \"y:1\"\nudp = \"x:2\"",
                "key 'link.udp': is the address of node 'c' as well (x:2)"},
        Refused{"PartOfTls", "tls.certificate = \"/c\"\ntls.key = \"/k\"", "key 'tls.ca': is missing"},
        Refused{"LinkToItself", "listen.udp = \"0.0.0.0:1\"\n[[link]]\npeer = \"b\"\ncontrol = \"x:1\"\ndial = true",
                "is this node itself"},
        Refused{"LinkTwice",
                "listen.udp = \"0.0.0.0:1\"\n[[link]]\npeer = \"c\"\ncontrol = \"x:1\"\n[[link]]\npeer = "
                "\"c\"\ncontrol = \"x:1\"",
                "has a link already"},
        Refused{"DialWithoutAddress", "listen.udp = \"0.0.0.0:1\"\n[[link]]\npeer = \"c\"", "this node dials 'c'"},
        Refused{"NothingListens", "listen.udp = \"0.0.0.0:1\"\n[[link]]\npeer = \"a\"", "nothing listens"},
        Refused{"NoUdp", "[[link]]\npeer = \"c\"\ncontrol = \"x:1\"", "set 'listen.udp'"},
        Refused{"EncryptionWithoutTls",
                "listen.udp = \"0.0.0.0:1\"\n[[link]]\npeer = \"c\"\ncontrol = \"x:1\"\nencryption = \"aes-256-gcm\"",
                "which brings the keys, has no TLS; set 'tls.certificate'"},
        Refused{"EncryptionOverTcpWithoutTls",
                "[[link]]\npeer = \"c\"\ncontrol = \"x:1\"\ncarrier = \"tcp\"\nencryption = \"aes-128-gcm\"",
                "set 'tls.certificate'"},
        Refused{"EncryptionOnACard",
                "card.address = \"10.0.0.1:7401\"\n[tls]\ncertificate = \"/c\"\nkey = \"/k\"\nca = \"/a\"\n"
                "[[link]]\npeer = \"c\"\ncontrol = \"x:1\"\ncarrier = \"card\"\nencryption = \"aes-256-gcm\"",
                "a card, whose pipeline does not encrypt; use carrier"},
        Refused{"TlsAndACard",
                "card.address = \"10.0.0.1:7401\"\n[tls]\ncertificate = \"/c\"\nkey = \"/k\"\nca = \"/a\"\n"
                "[[link]]\npeer = \"c\"\ncontrol = \"x:1\"\ncarrier = \"card\"",
                "because of [tls] but the link runs over a card"},
        Refused{"UnknownEncryption", "[[link]]\npeer = \"c\"\nencryption = \"rot13\"", "\"aes-256-gcm\""},
        Refused{"RekeyTooSoon", "encryption.rekey_frames = 63", "from 64 to 2147483648"},
        Refused{"DpdkEncryptsNothing", "encryption.library = \"dpdk\"", "no encrypted link has carrier = \"dpdk\""},
        Refused{"NoDpdk", "[[link]]\npeer = \"c\"\ncontrol = \"x:1\"\ncarrier = \"dpdk\"", "set 'dpdk.port'"},
        Refused{"DpdkWithoutAddress", "dpdk.port = \"net_tap0\"", "give it an IPv4 address"},
        Refused{"DpdkWithoutPort", "dpdk.address = \"10.0.0.1:7401\"", "name the port"},
        Refused{"DpdkZeroCopy", "dpdk.zero_copy = true", "\"auto\""},
        Refused{"DpdkAnyPort", "dpdk.port = \"net_tap0\"\ndpdk.address = \"10.0.0.1:0\"", "a port from 1 to 65535"},
        Refused{"DpdkIpv6", "dpdk.port = \"net_tap0\"\ndpdk.address = \"[::1]:7401\"", "an IPv4 address"},
        Refused{"DpdkGateway", "dpdk.port = \"net_tap0\"\ndpdk.address = \"10.0.0.1:7401\"\ndpdk.gateway = \"router\"",
                "expected is an IPv4 address"},
        Refused{"DpdkMtu", "dpdk.port = \"net_tap0\"\ndpdk.address = \"10.0.0.1:7401\"\nlisten.mtu = 20000",
                "at most 9600 bytes"},
        Refused{"LcoresWithoutPort", "dpdk.lcores = [0]", "there is no port"},
        Refused{"LcoresTwice", "dpdk.lcores = [1, 0, 1]", "has 1 twice; expected is a list of 1 to 16 different CPUs"},
        Refused{"LcoresNone", "dpdk.lcores = []", "has 0 entries"},
        Refused{"LcoresTooHigh", "dpdk.lcores = [1024]", "has 1024; expected"},
        Refused{"LcoresNegative", "dpdk.lcores = [-1]", "has -1; expected"},
        Refused{"LcoresText", "dpdk.lcores = [\"0\"]", "has an entry of another kind"},
        Refused{"LcoresAndEncryption",
                "dpdk.port = \"net_tap0\"\ndpdk.address = \"10.0.0.1:7401\"\ndpdk.lcores = [0]\n"
                "tls.certificate = \"/c\"\ntls.key = \"/k\"\ntls.ca = \"/a\"\n[[link]]\npeer = \"c\"\n"
                "control = \"x:1\"\ncarrier = \"dpdk\"\nencryption = \"aes-128-gcm\"",
                "divided among the threads of 'dpdk.lcores'"},
        Refused{"DpdkEal", "dpdk.eal = [\"--x=y\", 3]", "has an entry of another kind"},
        Refused{"AutoUnknown",
                "listen.udp = \"0.0.0.0:1\"\n[[link]]\npeer = \"c\"\ncontrol = \"x:1\"\ncarrier = \"auto\"\n"
                "carriers = [\"udp\", \"pigeon\"]",
                "has \"pigeon\"; expected are"},
        Refused{"AutoLacksHttp",
                "listen.udp = \"0.0.0.0:1\"\n[[link]]\npeer = \"c\"\ncontrol = \"x:1\"\ncarrier = \"auto\"\n"
                "dial = true\ncarriers = [\"http\"]",
                "give 'http' with the URLs"},
        Refused{"AutoBesideUdp",
                "listen.udp = \"0.0.0.0:1\"\n[[link]]\npeer = \"c\"\ncontrol = \"x:1\"\ncarrier = \"auto\"\n"
                "[[link]]\npeer = \"d\"\ncontrol = \"y:1\"",
                "one port serves only one of the two"},
        Refused{"AutoUrl",
                "listen.udp = \"0.0.0.0:1\"\n[[link]]\npeer = \"c\"\ncontrol = \"x:1\"\ncarrier = \"auto\"\n"
                "http = [\"ftp://x/\"]",
                "expected are URLs such as"},
        Refused{"HttpWithoutAuto",
                "listen.udp = \"0.0.0.0:1\"\n[[link]]\npeer = \"c\"\ncontrol = \"x:1\"\nhttp = [\"http://x/\"]",
                "set carrier = \"auto\", or remove it"},
        Refused{"HttpPath", "http.path = \"slotwire\"", "a path that begins with '/'"},
        Refused{"HttpTls", "http.tls = true", "there are no certificates"},
        Refused{"NoTcp", "listen.control = \"0.0.0.0:1\"\n[[link]]\npeer = \"a\"\ncarrier = \"tcp\"",
                "set 'listen.tcp'"},
        Refused{
            "TooManyLinks",
            "limits.links = 1\nlisten.udp = \"0.0.0.0:1\"\n[[link]]\npeer = \"c\"\ncontrol = \"x:1\"\n[[link]]\npeer = "
            "\"d\"\ncontrol = \"y:1\"",
            "there are 2 [[link]] tables"},
        Refused{"ServiceTwice",
                "[[service]]\nname = \"s\"\nnodes = [\"a\"]\n[[service]]\nname = \"s\"\nnodes = [\"b\"]",
                "is there twice"},
        Refused{"TooManyNodes", "directory.nodes_per_service = 1\n[[service]]\nname = \"s\"\nnodes = [\"a\", \"b\"]",
                "has 2 nodes"},
        Refused{"StrictRegionForNobody", "[[region]]\nname = \"a\"\nisolation = \"strict\"", "nobody may open"},
        Refused{"RefusesNothing", "[[service]]\nname = \"s\"\nnodes = [\"a\"]\ninspect_refuses = true",
                "refuses nothing as long as"},
        Refused{"CellAboveAll", "limits.cell_memory = \"64MiB\"\nlimits.block_memory = \"1MiB\"",
                "limits.block_memory"},
        Refused{"MappedAboveMemory", "limits.memory_per_user = \"1MiB\"\nlimits.mapped_per_user = \"2MiB\"",
                "limits.memory_per_user"},
        Refused{"RegionRuleThatNeverDecides", "[[region]]\nname = \"prices-*\"\n[[region]]\nname = \"prices-?ur\"",
                "the rule never decides"},
        Refused{"RuleForNobody", "[[allow]]\naction = \"serve\"\nservice = \"*\"", "allows nobody"},
        Refused{"ServeFromNode", "[[allow]]\naction = \"serve\"\nservice = \"*\"\nnodes = [\"a\"]",
                "cannot serve here"}));

TEST(EngineConfig, KeysOfAnAlgorithmAreTakenWhereALinkUsesIt) {
  const std::string node = "[node]\nname = \"b\"\n[listen]\nudp = \"127.0.0.1:0\"\n";
  const std::string link = "[[link]]\npeer = \"c\"\ncontrol = \"10.0.0.2:7400\"\n";
  for (const std::string& good :
       {std::string("[congestion]\nalgorithm = \"delay\"\ntarget_delay = \"2ms\"\n"),
        "[congestion]\nalgorithm = \"delay\"\ntarget_delay = \"2ms\"\n" + link,
        "[congestion]\ntarget_delay = \"2ms\"\n" + link + "congestion = \"delay\"\n",
        "[congestion]\nrate = 7\ndedicated = [\"10.0.0.0/8\"]\n" + link + "congestion = \"fixed\"\n"}) {
    EXPECT_NO_THROW(parse_config(node + good, "test")) << good;
  }
}

TEST(EngineConfig, LimitsPerSessionFollowSmallerTotals) {
  const Config c = parse(
      "node.name = \"b\"\nlimits.slots = 10\nlimits.services = 3\nmemory.slot_memory = \"4MiB\"\nmemory.max_ring = "
      "\"64KiB\"");
  EXPECT_EQ(c.limits.slots_per_session, 10U);
  EXPECT_EQ(c.limits.services_per_session, 3U);
  EXPECT_EQ(c.limits.memory_per_session, 4ULL << 20);
}

TEST(EngineConfig, SocketPathsMustFitAnAddress) {
  const std::string long_dir = "/" + std::string(120, 'd');
  const auto lines = problems("node.name = \"b\"\nnode.run_dir = \"" + long_dir + "\"");
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_NE(lines[0].find("control_socket"), std::string::npos);
  EXPECT_NE(lines[1].find("keeper"), std::string::npos);
}

TEST(EngineConfig, ManyProblemsAreBounded) {
  std::string text = "[node]\nname = \"b\"\n";
  for (std::size_t i = 0; i < 2 * kMaxProblemsReported; ++i) text += "k" + std::to_string(i) + " = 1\n";
  const auto lines = problems(text);
  ASSERT_EQ(lines.size(), kMaxProblemsReported + 1);
  EXPECT_EQ(lines.back(), "... and 50 more problems");
}

TEST(EngineConfig, UnprintableInputDoesNotReachTheMessage) {
  const auto lines = problems("[node]\nname = \"a\\u001b[31m\\n\"\n");
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines[0].find("a\\x1b[31m\\x0a"), std::string::npos) << lines[0];
}

class EngineConfigFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "slotwire-config-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    dir_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  void write(const std::string& text) { std::ofstream(dir_ / "node.toml", std::ios::binary) << text; }

  std::filesystem::path dir_;
};

TEST_F(EngineConfigFile, RelativePathsAreTakenFromItsDirectory) {
  write("[node]\nname = \"b\"\nrun_dir = \"run\"\n[directory]\nfile = \"d.toml\"\n[log]\nfile = \"/var/log/x\"\n");
  const Config c = load_config(dir_ / "node.toml");
  EXPECT_EQ(c.node.run_dir, (dir_ / "run").string());
  EXPECT_EQ(c.node.control_socket, (dir_ / "run" / "b.sock").string());
  EXPECT_EQ(c.directory.file, (dir_ / "d.toml").string());
  EXPECT_EQ(c.log.file, "/var/log/x");
}

TEST_F(EngineConfigFile, RefusesWhatIsNoConfigurationFile) {
  EXPECT_THROW(load_config(dir_ / "absent.toml"), ConfigError);
  EXPECT_THROW(load_config(dir_), ConfigError);
  write(std::string(kMaxConfigBytes + 1, '#'));
  EXPECT_THROW(load_config(dir_ / "node.toml"), ConfigError);
}

TEST_F(EngineConfigFile, DirectoryFileHoldsServicesOnly) {
  const auto services = parse_services("[[service]]\nname = \"s\"\nnodes = [\"a\"]\n", "d.toml");
  ASSERT_EQ(services.size(), 1U);
  EXPECT_EQ(services[0].at.line, 1U);
  EXPECT_THROW(parse_services("[node]\nname = \"b\"\n", "d.toml"), ConfigError);
}

TEST(EngineConfigReference, PageIsWhatTheTableSays) {
  const auto page = read(std::filesystem::path(SLOTWIRE_SOURCE_DIR) / "docs" / "configuration.md");
  EXPECT_EQ(page, config_reference()) << "run: slotwired --print-config-reference > docs/configuration.md";
}

TEST(EngineConfigExamples, AllAreAccepted) {
  std::size_t seen = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(SLOTWIRE_SOURCE_DIR) / "examples")) {
    if (entry.path().extension() != ".toml") continue;
    ++seen;
    if (entry.path().filename() == "directory.toml") {
      EXPECT_NO_THROW(load_services(entry.path())) << entry.path();
    } else {
      EXPECT_NO_THROW(load_config(entry.path())) << entry.path();
    }
  }
  EXPECT_GT(seen, 0U);
}

/// The only problem of a configuration with one link over HTTP and `lines` in it.
std::string http_problem(const std::string& lines, const std::string& link = "") {
  const std::vector<std::string> found =
      problems("[node]\nname = \"a\"\n[listen]\nudp = \"127.0.0.1:0\"\n[http]\n" + lines +
               "\n[[link]]\npeer = \"b\"\ncarrier = \"auto\"\ncontrol = \"127.0.0.1:1\"\ndial = true\n" + link + "\n");
  EXPECT_EQ(found.size(), 1U) << lines << link;
  return found.empty() ? std::string() : found.front();
}

TEST(EngineConfigHttp, UrlsAreCheckedWithTheirPlaceAndWhatToWrite) {
  for (const char* url : {"example.org/x", "ftp://example.org/", "http://", "http:///x", "http://a:0/",
                          "http://a:99999/", "http://a:x/", "http://a b/", "http://[::1/", "http://[1.2.3.4]/",
                          "http://10.0.0.256/", "http://a/#x", "http://a/ x", "https://:443/", "http://a:/x"}) {
    const std::string problem = http_problem("", "http = [\"" + std::string(url) + "\"]");
    EXPECT_EQ(
        problem.find("test.toml:12:8: key 'link.http': has \"" + std::string(url) + "\"; expected are URLs such as"),
        0U)
        << problem;
  }
  for (const char* url :
       {"http://a", "https://a.example:8443/x?y=z", "http://[::1]:80/", "http://u:p@a/", "http://[::1]"}) {
    EXPECT_NO_THROW(parse("[node]\nname = \"a\"\n[[link]]\npeer = \"b\"\ncarrier = \"auto\"\ndial = true\nhttp = [\"" +
                          std::string(url) + "\"]\n"))
        << url;
  }
}

TEST(EngineConfigHttp, ProxiesPathsAndNetworksAreChecked) {
  for (const char* line : {"proxy = \"socks5://p:1\"", "proxy = \"http://\"", "proxy = \"p:99999\"", "proxy = \"p q\"",
                           "path = \"x\"", "path = \"/a b\"", "path = \"/a?b\"", "path = \"/a#b\"",
                           "trusted_proxies = [\"10.0.0.0/33\"]", "trusted_proxies = [\"proxy.example\"]",
                           "trusted_proxies = [\"::/129\"]", "trusted_proxies = [\"10.0.0.1\", \"10.0.0.0/\"]"}) {
    const std::string problem = http_problem(line);
    const std::string key = std::string(line).substr(0, std::string(line).find(' '));
    EXPECT_EQ(problem.find("test.toml:6:"), 0U) << problem;
    EXPECT_NE(problem.find("key 'http." + key + "': "), std::string::npos) << problem;
    EXPECT_NE(problem.find("; expected "), std::string::npos) << problem;
  }
  for (const char* line : {"proxy = \"none\"", "proxy = \"p:3128\"", "proxy = \"https://p\"", "path = \"/\"",
                           "trusted_proxies = [\"10.0.0.0/8\", \"2001:db8::/32\", \"::1\"]"}) {
    EXPECT_NO_THROW(parse("[node]\nname = \"a\"\n[http]\n" + std::string(line) + "\n")) << line;
  }
}

TEST(EngineConfigHttp, AUserAndAPasswordGoTogether) {
  EXPECT_NE(http_problem("proxy_user = \"me\"").find("set 'http.proxy_password_file'"), std::string::npos);
  EXPECT_NE(http_problem("proxy_password_file = \"/p\"").find("set 'http.proxy_user'"), std::string::npos);
  EXPECT_NO_THROW(parse("[node]\nname = \"a\"\n[http]\nproxy_user = \"me\"\nproxy_negotiate = true\n"));
}

/// What a configuration in a file says of the files that it names.
TEST(EngineConfigReference, EveryExampleIsAValueThatItsKeyTakes) {
  for (const Key& key : config_keys()) {
    const std::string expected = describe_expected(key);
    const std::size_t at = expected.find("such as \"");
    if (at == std::string::npos) continue;
    const std::string example = expected.substr(at + 9, expected.rfind('"') - at - 9);
    const bool duration = key.kind == Kind::duration;
    const auto value =
        duration ? static_cast<std::uint64_t>(parse_duration(example).value().count()) : parse_size(example).value();
    EXPECT_TRUE(key.max == 0 || (value >= key.min && value <= key.max)) << key.section << '.' << key.name << expected;
  }
}

TEST(EngineConfig, AMistypedNameIsAnsweredWithTheOneThatWasMeant) {
  const auto said = [](const std::string& text) { return problems("[node]\nname = \"web\"\n" + text).front(); };
  EXPECT_NE(said("[limits]\nslots_per_usr = 3\n").find("did you mean 'slots_per_user'?"), std::string::npos);
  EXPECT_NE(said("[limits]\nSlots-Per-User = 3\n").find("did you mean 'slots_per_user'?"), std::string::npos);
  EXPECT_NE(said("[limist]\n").find("did you mean 'limits'?"), std::string::npos);
  EXPECT_NE(said("[[links]]\n").find("did you mean 'link'?"), std::string::npos);
  EXPECT_EQ(said("[limits]\nbananas = 3\n").find("did you mean"), std::string::npos);
  EXPECT_EQ(said("[limits]\n" + std::string(4000, 's') + " = 3\n").find("did you mean"), std::string::npos);
}

TEST(EngineConfig, APeersShareIsNotAboveAUsers) {
  const std::string node = "[node]\nname = \"web\"\n[limits]\n";
  EXPECT_NE(problems(node + "peer_share = 4\n").front().find("'limits.user_share'"), std::string::npos);
  EXPECT_EQ(parse_config(node + "user_share = 1\n", "test").limits.peer_share, 1U);
  EXPECT_EQ(parse_config(node, "test").limits.peer_share, 2U);
}

TEST(EngineConfigValues, SizesAndDurationsComeBackAsWritten) {
  for (const char* text : {"0B", "1B", "63B", "4KiB", "3MiB", "7GiB", "2TiB"}) {
    ASSERT_TRUE(parse_size(text)) << text;
    EXPECT_EQ(format_size(*parse_size(text)), text);
  }
  EXPECT_EQ(describe_size(3355443), "3.1MiB (3355443 bytes)");
  EXPECT_EQ(describe_size(1025), "1.0KiB (1025 bytes)");
  for (const std::uint64_t whole : {0ULL, 1ULL, 1023ULL, 1024ULL, 65536ULL, 3072ULL * 1024 + 1024}) {
    EXPECT_EQ(describe_size(whole), format_size(whole));
  }
  for (const char* text : {"0us", "1us", "15ms", "7s", "5min", "24h"}) {
    ASSERT_TRUE(parse_duration(text)) << text;
    EXPECT_EQ(format_duration(*parse_duration(text)), text);
  }
  for (const char* text : {"", "KiB", "-1KiB", "1 KiB", "1kib", "1KiBx", "0x10B", "18446744073709551616B"}) {
    EXPECT_FALSE(parse_size(text)) << text;
  }
  for (const char* text : {"", "ms", "1", "1.5ms", "25h", "1m"}) EXPECT_FALSE(parse_duration(text)) << text;
}

TEST(EngineConfigValues, AddressesComeBackAsWritten) {
  for (const char* text : {"10.0.0.1:7400", "[::1]:7401", "db-1.example:1", "localhost:65535"}) {
    ASSERT_TRUE(parse_host_port(text)) << text;
    EXPECT_EQ(to_string(*parse_host_port(text)), text);
  }
  for (const char* text :
       {"", ":1", "a", "a:", "a:x", "a:-1", "a:1:2", "::1:7400", "[::1]", "[x]:1", "[]:1", "a b:1"}) {
    EXPECT_FALSE(parse_host_port(text)) << text;
  }
}

TEST(EngineConfigValues, PatternsMatchWholeNames) {
  EXPECT_TRUE(matches_service_pattern("*", "anything"));
  EXPECT_TRUE(matches_service_pattern("app/*", "app/"));
  EXPECT_TRUE(matches_service_pattern("a*b*c", "a-b-b-c"));
  EXPECT_TRUE(matches_service_pattern("a?c", "abc"));
  EXPECT_TRUE(matches_service_pattern("**", ""));
  EXPECT_FALSE(matches_service_pattern("app/*", "app"));
  EXPECT_FALSE(matches_service_pattern("app", "apps"));
  EXPECT_FALSE(matches_service_pattern("a?c", "ac"));
  EXPECT_FALSE(matches_service_pattern("a*b", "abc"));
  EXPECT_FALSE(matches_service_pattern("", "a"));
}

TEST(EngineConfigValues, APatternCoversOthers) {
  for (const auto& [pattern, other] : std::vector<std::pair<std::string, std::string>>{
           {"*", "a*b"}, {"a", "a"}, {"a*", "ab?c*"}, {"*a*", "*ba*"}, {"a?", "a?"}, {"a?", "ab"}, {"**", "*"}}) {
    EXPECT_TRUE(covers_pattern(pattern, other)) << pattern << " " << other;
  }
  for (const auto& [pattern, other] : std::vector<std::pair<std::string, std::string>>{
           {"a?", "a*"}, {"a", "a*"}, {"a*", "*"}, {"a?c", "abd"}, {"ab*", "a*"}, {std::string(63, '?'), "*"}}) {
    EXPECT_FALSE(covers_pattern(pattern, other)) << pattern << " " << other;
  }
}

TEST(EngineConfigValues, PrintableEscapesAndCuts) {
  EXPECT_EQ(printable("plain text"), "plain text");
  EXPECT_EQ(printable(std::string("a\0\n\x1b\xff\\", 6)), "a\\x00\\x0a\\x1b\\xff\\x5c");
  EXPECT_EQ(printable("abcdef", 3), "abc...");
}

}  // namespace
}  // namespace slotwire::engine
