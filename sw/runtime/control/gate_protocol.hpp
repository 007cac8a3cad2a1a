// What slotwired and its gate (sw/runtime/gate/) say to each other, over one SOCK_SEQPACKET pair.
//
// A packet is a header of 12 bytes and a body of at most kGateBody bytes. The body of `message` is a control message
// between engines or a piece of one, that of `messages` several of them; all others that have one are a JSON object,
// written and read by the fields below. Both sides may be hostile to each other: who receives checks every packet.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/control/codec.hpp"

namespace slotwire::control {

/// Bytes of one control message between engines, at most.
inline constexpr std::size_t kMaxPeerMessage = std::size_t{1} << 20U;

inline constexpr std::size_t kGateHeader = 12;
inline constexpr std::size_t kGateBody = std::size_t{32} << 10U;
inline constexpr std::size_t kGatePacket = kGateHeader + kGateBody;
/// Bytes of messages of one channel that one side may have sent and the other not given back (`credit`): two messages
/// from the gate, four to it. A peer that does not read its connection uses them up.
inline constexpr std::size_t kGateWindowIn = 2 * kMaxPeerMessage;
inline constexpr std::size_t kGateWindowOut = 4 * kMaxPeerMessage;
/// Fewer bytes are not given back: what a window lacks by that is less than the message that it must have room for.
inline constexpr std::size_t kGateGiveBack = std::size_t{256} << 10U;
static_assert(kGateGiveBack + kMaxPeerMessage <= kGateWindowIn && kGateGiveBack + kMaxPeerMessage <= kGateWindowOut);

/// A file of certificates, a key or a list of revoked ones is smaller.
inline constexpr std::size_t kMaxPemFile = std::size_t{4} << 20U;

enum class GateKind : std::uint8_t {
  setup = 1,  ///< to the gate, first and once: GateSetup; descriptors: see there
  known,      ///< to the gate: GateHosts, of peers; their callers have places of their own
  ready,      ///< from the gate, once: it serves from here on
  failed,     ///< from the gate instead of ready, then it ends: GateText
  dial,       ///< to the gate: GateDial, for a new channel (an odd number)
  caller,     ///< from the gate: GateCaller, a new channel (an even number) that said hello
  take,       ///< to the gate: the caller is a peer
  message,    ///< both ways: a piece of a message
  credit,     ///< both ways: `value` bytes of messages were taken, at least kGateGiveBack
  close,      ///< to the gate: nothing more comes for the channel, and nothing more is to come
  closed,     ///< from the gate: GateClosed
  resolve,    ///< to the gate: GateHost; `channel` numbers the question
  resolved,   ///< from the gate: GateAddresses, with the number of the question
  reload,     ///< to the gate: GateSetup again, of which the files count
  reloaded,   ///< from the gate: GateText, empty: the new files hold
  notice,     ///< from the gate: GateText for the log; `value`: GateNotice
  counters,   ///< from the gate: GateCounters
  // Sessions carry frames of links over HTTP; `channel` numbers them, apart from connections.
  keep_session,     ///< to the gate: GateSession, to be kept open from now on (an odd number)
  session_up,       ///< from the gate: GateSessionUp; one of a peer has an even number that is new
  frames,           ///< to the gate: whose frames the session carries; descriptor: their SOCK_SEQPACKET
  refuse_session,   ///< to the gate: it is no link's
  session_trouble,  ///< from the gate: GateText, why a session that is to be kept is not up
  session_way,      ///< from the gate: GateSessionWay, of a session that is kept, or is up
  messages,         ///< both ways: whole messages, of any channels, as GateBatch writes them
};
inline constexpr std::uint8_t kLastGateKind = static_cast<std::uint8_t>(GateKind::messages);

/// What a notice is about: lines of one subject share an allowance in the log. That about the own certificate is what
/// is suspicious or wrong about it from now on; empty: nothing.
enum class GateNotice : std::uint8_t { caller, late, turned_away, full, names, files, certificate };
inline constexpr std::uint32_t kGateNotices = 7;

struct GatePacket {
  GateKind kind = GateKind::notice;
  bool last = true;  ///< of a message: the piece that ends it
  std::uint32_t channel = 0;
  std::uint32_t value = 0;
  std::string body;
};

std::string encode_gate(const GatePacket& packet);
/// An Error: too short, too long, or of no known kind.
core::Result<GatePacket> decode_gate(std::string_view bytes);

/// One whole message of a channel.
struct GateMessage {
  std::uint32_t channel = 0;
  std::string_view text;  ///< never empty
};

/// Short messages that wait to go in one packet, since each packet may wake whoever reads it. One thread.
class GateBatch {
 public:
  /// False: it does not fit into what is left of the packet, or into none at all.
  bool add(std::uint32_t channel, std::string_view message);
  bool empty() const noexcept { return body_.empty(); }
  /// What was added since the last time, which is not empty.
  GatePacket take();

 private:
  std::string body_;
};
/// The messages of a packet of the kind `messages`, which refer to its body. An Error: they do not fill it as they say.
core::Result<std::vector<GateMessage>> read_batch(const GatePacket& packet);

/// A packet whose body is `message`.
template <class M>
GatePacket gate_packet(GateKind kind, std::uint32_t channel, const M& message) {
  return {kind, true, channel, 0, detail::dump(detail::to_json(message))};
}
template <class M>
core::Result<M> gate_body(const GatePacket& packet) {
  const core::Result<Json> json = parse_json(packet.body);
  if (!json.ok()) return json.error();
  return detail::from_json<M>(json.value());
}

inline constexpr std::size_t kMaxHost = 253;       ///< bytes of a host's name
inline constexpr std::size_t kMaxKnownHosts = 64;  ///< in one packet
inline constexpr std::size_t kMaxAddresses = 16;   ///< of one name
inline constexpr std::size_t kMaxAddressText = 96;
inline constexpr std::size_t kMaxHello = 4096;
inline constexpr std::size_t kMaxUrl = 1024;
inline constexpr std::size_t kMaxWord = 256;
inline constexpr std::size_t kMaxWords = 64;
inline constexpr std::size_t kMaxUrls = 8;
/// A text keeps no line ends on its way, so PEM goes by lines.
inline constexpr std::size_t kMaxCaLines = 320;
/// Bytes of what proves that a session is a link's: sent to the peer in the hello of the node that dials.
inline constexpr std::size_t kMaxSessionToken = 2 * kTokenBytes;

struct GateHost {
  std::string host;  ///< a name or a numeric address

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("host", m.host, at_most(kMaxHost));
  }
};

struct GateHosts {
  std::vector<GateHost> hosts;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("hosts", m.hosts, kMaxKnownHosts);
  }
};

struct GateWord {
  std::string word;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("word", m.word, at_most(kMaxWord));
  }
};

/// Of the HTTP server. Where TLS is spoken, certificate and key are those of [tls].
struct GateHttpServer {
  bool tls = false;
  std::string path;
  std::uint64_t handshake_us = 0;         ///< that a session may take to prove that it is a peer's
  std::uint32_t sessions = 0;             ///< at most
  std::uint32_t sessions_per_source = 0;  ///< unless the source is a trusted proxy
  std::uint64_t body_bytes = 0;           ///< of the longest body
  std::vector<GateWord> trusted_proxies;  ///< networks whose X-Forwarded-For holds

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("tls", m.tls);
    v.must("path", m.path, at_most(kMaxUrl));
    v.must("handshake_us", m.handshake_us);
    v.must("sessions", m.sessions);
    v.must("sessions_per_source", m.sessions_per_source);
    v.must("body_bytes", m.body_bytes);
    v.must("trusted_proxies", m.trusted_proxies, kMaxWords);
  }
};

/// Descriptors with it, in this order: the listening socket if `listens`; that of the HTTP server if `http_listens`;
/// certificate, key and CA if `tls`; the CRL if `crl`.
struct GateSetup {
  std::string node;
  bool listens = false;
  bool http_listens = false;
  GateHttpServer http;  ///< if http_listens
  bool tls = false;
  bool crl = false;
  std::string user;                       ///< whom to become; empty: whoever it is already
  std::uint64_t handshake_us = 0;         ///< that a caller may take to say hello
  std::uint32_t callers = 0;              ///< connections that are not proved, at most
  std::uint32_t callers_per_source = 0;   ///< of those from one address (IPv6: /64)
  std::uint32_t channels = 0;             ///< connections that are proved, at most
  std::uint32_t messages_per_second = 0;  ///< of one peer

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("node", m.node, at_most(kMaxName));
    v.must("listens", m.listens);
    v.must("http_listens", m.http_listens);
    v.must("http", m.http);
    v.must("tls", m.tls);
    v.must("crl", m.crl);
    v.must("user", m.user, at_most(kMaxName));
    v.must("handshake_us", m.handshake_us);
    v.must("callers", m.callers);
    v.must("callers_per_source", m.callers_per_source);
    v.must("channels", m.channels);
    v.must("messages_per_second", m.messages_per_second);
  }
};

struct GateText {
  std::string text;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("text", m.text, cut(kMaxText));
  }
};

/// Without a host: over the session to the peer alone.
struct GateDial {
  std::string peer;  ///< whom the certificate must name
  std::string host;
  std::uint16_t port = 0;
  std::uint64_t timeout_us = 0;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("peer", m.peer, at_most(kMaxName));
    v.must("host", m.host, at_most(kMaxHost));
    v.must("port", m.port);
    v.must("timeout_us", m.timeout_us);
  }
};

struct GateUrl {
  std::string url;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("url", m.url, at_most(kMaxUrl));
  }
};

/// One way through a proxy, as the environment or the configuration says.
struct GateProxy {
  bool chosen = false;                                       ///< `proxy` holds, and the environment does not count
  std::string proxy;                                         ///< a URL; empty: none
  std::string http_proxy, https_proxy, all_proxy, no_proxy;  ///< of the environment
  std::string user, password;
  bool negotiate = false;

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("chosen", m.chosen);
    v.must("proxy", m.proxy, at_most(kMaxUrl));
    v.must("http_proxy", m.http_proxy, at_most(kMaxUrl));
    v.must("https_proxy", m.https_proxy, at_most(kMaxUrl));
    v.must("all_proxy", m.all_proxy, at_most(kMaxUrl));
    v.must("no_proxy", m.no_proxy, at_most(kMaxHello));
    v.must("user", m.user, at_most(kMaxWord));
    v.must("password", m.password, at_most(kMaxWord));
    v.must("negotiate", m.negotiate);
  }
};

/// A session to a peer. Its URLs are tried in turn.
struct GateSession {
  std::string peer;
  std::string token;  ///< hexadecimal
  std::vector<GateUrl> urls;
  GateProxy proxy;
  std::vector<GateWord> ca;      ///< lines of PEM: who may sign HTTPS servers; empty: the system's
  std::uint32_t requests = 0;    ///< under way at a time, at most
  std::uint64_t body_bytes = 0;  ///< of the longest body
  std::uint64_t hold_us = 0;     ///< that the server may keep a request
  std::uint64_t answer_us = 0;   ///< that one of several URLs may take for its first answer
  bool websocket = false;        ///< is tried
  std::uint64_t websocket_retry_us = 0, websocket_retry_max_us = 0;  ///< after one that failed: first, and longest
  bool last_resort = false;  ///< control connections try the peer's address before it

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("peer", m.peer, at_most(kMaxName));
    v.must("token", m.token, at_most(kMaxSessionToken));
    v.must("urls", m.urls, kMaxUrls);
    v.must("proxy", m.proxy);
    v.must("ca", m.ca, kMaxCaLines);
    v.must("requests", m.requests);
    v.must("body_bytes", m.body_bytes);
    v.must("hold_us", m.hold_us);
    v.must("answer_us", m.answer_us);
    v.must("websocket", m.websocket);
    v.must("websocket_retry_us", m.websocket_retry_us);
    v.must("websocket_retry_max_us", m.websocket_retry_max_us);
    v.must("last_resort", m.last_resort);
  }
};

struct GateSessionUp {
  std::string token;  ///< hexadecimal, as the node that dials gave it
  std::string what;   ///< the way that it takes, for people

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("token", m.token, at_most(kMaxSessionToken));
    v.must("what", m.what, cut(kMaxText));
  }
};

/// How the bundles of a session travel from now on.
struct GateSessionWay {
  bool websocket = false;
  std::string why;             ///< why not over a WebSocket, for people
  std::uint64_t retry_us = 0;  ///< until one is tried again; 0: none will be

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("websocket", m.websocket);
    v.must("why", m.why, cut(kMaxText));
    v.must("retry_us", m.retry_us);
  }
};

struct GateCaller {
  std::string from;   ///< address with port
  bool http = false;  ///< it came over HTTP, so that `from` may be a proxy's
  std::string hello;  ///< a PeerHello; with TLS the certificate names its node

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("from", m.from, at_most(kMaxAddressText));
    v.must("http", m.http);
    v.must("hello", m.hello, at_most(kMaxHello));
  }
};

struct GateClosed {
  std::string text;
  bool revoked = false;  ///< the peer's certificate does not hold any more

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("text", m.text, cut(kMaxText));
    v.may("revoked", m.revoked);
  }
};

struct GateAddresses {
  std::vector<GateHost> addresses;  ///< numeric
  std::string text;                 ///< why there are none

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("addresses", m.addresses, kMaxAddresses);
    v.must("text", m.text, cut(kMaxText));
  }
};

struct GateCounters {
  std::uint64_t callers = 0;      ///< now, not proved
  std::uint64_t channels = 0;     ///< now, proved
  std::uint64_t accepted = 0;     ///< connections ever accepted
  std::uint64_t proved = 0;       ///< of those, that became a peer's
  std::uint64_t displaced = 0;    ///< ended for a newer one, since all places were taken
  std::uint64_t over_source = 0;  ///< the same, since all places of their source were taken
  std::uint64_t late = 0;         ///< said no hello in time
  std::uint64_t turned_away = 0;  ///< said what is no hello, or could not prove it
  std::uint64_t invalid = 0;      ///< messages that could not be understood
  std::uint64_t slowed = 0;       ///< times that a peer was not read since it sent too much

  template <class Self, class V>
  static void fields(Self& m, V& v) {
    v.must("callers", m.callers);
    v.must("channels", m.channels);
    v.must("accepted", m.accepted);
    v.must("proved", m.proved);
    v.must("displaced", m.displaced);
    v.must("over_source", m.over_source);
    v.must("late", m.late);
    v.must("turned_away", m.turned_away);
    v.must("invalid", m.invalid);
    v.must("slowed", m.slowed);
  }
};

}  // namespace slotwire::control
