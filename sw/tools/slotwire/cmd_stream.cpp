// slotwire stream: byte streams over HTTP, for programs that expect TCP where only HTTP passes.
#include <CLI/CLI.hpp>

#include <memory>

#include "tools/slotwire/common.hpp"
#include "tools/slotwire/stream/options.hpp"

namespace slotwire::cli {
namespace {

using std::chrono::microseconds;

constexpr microseconds kSecond{1'000'000};

constexpr const char* kStreamFooter =
    R"(Carries byte streams in plain HTTP requests and answers, so they pass proxies and firewalls that let nothing else
through. It needs no slotwired and no root. Each direction of a stream ends by itself. A session outlives its
connections: when a proxy or a network breaks them it goes on over new ones, and nothing is lost or doubled.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 the server has no such target, 4 the server cannot be reached or the
session was lost, 5 refused (a login, a certificate, a proxy's rule, a limit).

Example: reach sshd of a host behind an HTTP proxy (http_proxy and no_proxy are heeded):
  slotwire stream serve --http :8080 /s 127.0.0.1:22
  ssh -o ProxyCommand='slotwire stream connect http://host:8080/s' user@host

docs/through-firewalls.md has the set-up behind nginx, HAProxy and Apache.)";

constexpr std::uint64_t kLeastWindow = 65'536, kMostWindow = std::uint64_t{64} << 20U;
constexpr std::uint64_t kMaxMemory = std::uint64_t{1} << 40U;
constexpr std::size_t kMany = 1'000'000;

void add_tls(CLI::App& sub, StreamTlsFiles& files, const std::string& ca_text) {
  sub.add_option("--certificate", files.certificate, "PEM file with this end's certificate and intermediate ones")
      ->type_name("FILE");
  sub.add_option("--key", files.key, "PEM file with its private key")->type_name("FILE");
  sub.add_option("--ca", files.ca, ca_text)->type_name("FILE");
}

void add_count(CLI::App& sub, const std::string& name, std::size_t& value, std::size_t least, std::size_t most,
               const std::string& text) {
  sub.add_option(name, value, text)->capture_default_str()->check(CLI::Range(least, most))->type_name("N");
}

void add_stream_memory(CLI::App& sub, std::uint64_t& value) {
  add_size(
      sub, "--stream-memory", value, std::uint64_t{1} << 20U, kMaxMemory,
      "bytes that all streams of all sessions together may have (default 512MiB): 256 KiB each, and their windows. "
      "When it becomes scarce windows stay small, and a session that has as much as is left gets no more streams");
}

void add_serve_options(CLI::App& sub, StreamServeOptions& o) {
  sub.add_option("--http", o.addresses,
                 "address to listen on: HOST:PORT, HOST (port 8080), or :PORT for every address; may be repeated")
      ->required()
      ->allow_extra_args(false)
      ->type_name("ADDR[:PORT]");
  sub.add_option("PATH", o.path, "path that is served, with everything beneath it, such as /s")->required();
  sub.add_option("TARGET", o.targets,
                 "[NAME=]HOST:PORT that clients may reach, by its name or, without one, by HOST:PORT; the first one is "
                 "for clients that name none. Looked up once, at the start")
      ->required();
  add_tls(sub, o.tls, "PEM file of the CA whose certificates clients must have (default: none is asked for)");
  sub.add_option("--trusted-proxy", o.trusted_proxies,
                 "network (10.0.0.0/8) or address of a proxy whose X-Forwarded-For is believed; may be repeated")
      ->allow_extra_args(false)
      ->type_name("NETWORK");
  add_count(sub, "--max-connections", o.limits.connections, 1, kMany, "HTTP connections at one time");
  add_count(sub, "--max-connections-per-source", o.limits.connections_per_source, 1, kMany,
            "HTTP connections from one address (IPv6: from one /64), trusted proxies excepted");
  add_count(sub, "--max-sessions", o.sessions.max_sessions, 1, kMany, "sessions at one time");
  add_count(sub, "--max-sessions-per-source", o.sessions.max_sessions_per_source, 1, kMany,
            "sessions from one address");
  add_count(sub, "--max-streams", o.streams.max_streams, 1, kMany, "streams of one session");
  add_size(sub, "--memory", o.memory, std::uint64_t{1} << 20U, kMaxMemory,
           "bytes that all sessions together may hold, beside their streams (default 512MiB)");
  add_size(
      sub, "--stream-window", o.stream_window, kLeastWindow, kMostWindow,
      "bytes of one stream that wait for a target that does not read (default 1MiB); one round trip carries no more "
      "of a stream to the target");
  add_stream_memory(sub, o.stream_memory);
  add_duration(sub, "--hold", o.hold, kSecond, 600 * kSecond,
               "longest time for which a request is held (default 45s; clients may ask for less)");
  add_duration(sub, "--grace", o.grace, kSecond, 86'400 * kSecond,
               "time in which a silent session can be resumed (default 60s)");
  add_duration(sub, "--connect-timeout", o.connect_timeout, microseconds(1000), 3600 * kSecond,
               "for a target to accept (default 5s)");
  sub.add_flag("-q,--quiet", o.quiet, "no line for each stream");
  sub.add_flag("-v,--verbose", o.verbose, "a line for each session, too");
}

void add_connect_options(CLI::App& sub, StreamConnectOptions& o) {
  sub.add_option("URL", o.url, "http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH of a 'stream serve'")->required();
  sub.add_option("--target", o.target, "name of the server's target (default: its first)")->type_name("NAME");
  sub.add_option("--listen", o.listen,
                 "accept TCP connections on HOST:PORT and carry each as a stream of one session, instead of standard "
                 "input and output; port 0 takes a free one")
      ->type_name("HOST:PORT");
  sub.add_option_function<std::string>(
         "--proxy", [&o](const std::string& given) { o.proxy = given == "none" ? std::string() : given; },
         "URL of an HTTP proxy, or 'none' (default: as http_proxy, https_proxy, all_proxy and no_proxy say)")
      ->type_name("URL");
  sub.add_option("--proxy-user", o.proxy_user_file,
                 "file whose first line is USER:PASSWORD for the proxy (default: $SLOTWIRE_PROXY_USER)")
      ->type_name("FILE");
  sub.add_option("--server-user", o.server_user_file,
                 "file whose first line is USER:PASSWORD for the server (default: $SLOTWIRE_SERVER_USER)")
      ->type_name("FILE");
  sub.add_flag("--proxy-negotiate", o.proxy_negotiate, "log in to the proxy by a Kerberos ticket");
  sub.add_flag("--server-negotiate", o.server_negotiate, "log in to the server by a Kerberos ticket");
  add_tls(sub, o.tls, "PEM file of the CA that the server must have its certificate of (default: the system's)");
  add_count(sub, "--max-requests", o.session.max_requests, 2, http_stream::kMaxRequests,
            "requests on their way or held at one time");
  add_count(sub, "--held", o.session.held_requests, 1, http_stream::kMaxRequests - 1,
            "requests that the server may hold while nothing is to be said, fewer than --max-requests");
  add_size(
      sub, "--body", o.body, 16'384, http_stream::kMaxBundleBytes,
      "longest body of a request or an answer (default 512KiB); those of more than 60000 bytes are tried while much "
      "waits, and never with a login");
  add_size(
      sub, "--stream-window", o.stream_window, kLeastWindow, kMostWindow,
      "bytes of one stream that wait for whoever reads it here (default 4MiB); one round trip carries no more of a "
      "stream from the target");
  add_stream_memory(sub, o.stream_memory);
  add_duration(sub, "--hold", o.hold, kSecond, 600 * kSecond,
               "time for which the server may hold a request (default 25s; shortened where proxies cut it)");
  add_duration(sub, "--connect-timeout", o.connect_timeout, microseconds(1000), 3600 * kSecond,
               "for DNS, TCP, a proxy's CONNECT and TLS (default 10s)");
  sub.add_flag("--no-websocket", o.no_websocket,
               "make requests only (default: a WebSocket is tried, and requests go on where it does not pass)");
  add_duration(sub, "--websocket-retry", o.websocket_retry, microseconds(10'000), 3600 * kSecond,
               "before a WebSocket that failed is tried again; doubled by each failure (default 5s)");
  add_duration(sub, "--websocket-retry-max", o.websocket_retry_max, microseconds(10'000), 86'400 * kSecond,
               "longest of these times (default 30min)");
  add_count(sub, "--give-up", o.session.give_up_requests, 1, kMany,
            "unanswered requests after which the session is lost");
  add_count(sub, "--max-streams", o.streams.max_streams, 1, kMany, "streams at one time (--listen)");
  sub.get_option("--max-streams")->needs("--listen");
  sub.add_flag("-q,--quiet", o.quiet, "no line for each connection (--listen)");
  sub.add_flag("-v,--verbose", o.verbose, "say which proxy, login and hold time are in use, and what goes wrong");
}

/// What would have no effect is not taken.
void check_connect_options(const StreamConnectOptions& o) {
  if (o.session.held_requests < o.session.max_requests) return;
  throw CLI::ValidationError("--held", std::to_string(o.session.held_requests) + " of --max-requests " +
                                           std::to_string(o.session.max_requests) +
                                           " requests cannot be held: one is kept for what is sent; give at most " +
                                           std::to_string(o.session.max_requests - 1) + ", or raise --max-requests");
}

}  // namespace

void add_stream(CLI::App& app, Command& command) {
  CLI::App* stream = app.add_subcommand("stream", "Carry byte streams through HTTP, without slotwired");
  stream->require_subcommand(1);
  stream->footer(kStreamFooter);

  auto serve_options = std::make_shared<StreamServeOptions>();
  CLI::App* serve = stream->add_subcommand("serve", "Serve TCP targets to clients that come by HTTP");
  add_serve_options(*serve, *serve_options);
  serve->footer(kStreamFooter);
  serve->callback(
      [serve_options, &command] { command = [serve_options] { return run_stream_serve(*serve_options); }; });

  auto connect_options = std::make_shared<StreamConnectOptions>();
  CLI::App* connect = stream->add_subcommand("connect", "Reach a target of a 'stream serve'");
  add_connect_options(*connect, *connect_options);
  connect->footer(kStreamFooter);
  connect->callback([connect_options, &command] {
    check_connect_options(*connect_options);
    command = [connect_options] { return run_stream_connect(*connect_options); };
  });
}

}  // namespace slotwire::cli
