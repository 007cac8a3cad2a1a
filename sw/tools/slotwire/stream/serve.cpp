// `slotwire stream serve`: sessions over HTTP, whose streams become TCP connections to configured targets.
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "runtime/control/printable.hpp"
#include "runtime/http/heap.hpp"
#include "runtime/http/stream_server.hpp"
#include "runtime/http/stream_set.hpp"
#include "tools/slotwire/common.hpp"
#include "tools/slotwire/stream/options.hpp"
#include "tools/slotwire/tunnel/tcp.hpp"

namespace slotwire::cli {

using http::StreamSet;
using http::StreamSummary;
namespace {

using http_stream::ResetCode;
using http_stream::ServerEvent;
using http_stream::SessionNumber;
using http_stream::StreamNumber;

constexpr const char* kDefaultPort = "8080";
/// For clients to be told that the server stops.
constexpr std::chrono::microseconds kServeFarewell{1'000'000};
constexpr std::size_t kMaxNameInLog = 80;

struct Target {
  std::string name;
  TcpAddress address;
};

/// "[NAME=]HOST:PORT".
Target parse_target(const std::string& text) {
  const std::size_t equals = text.find('=');
  const std::string address = equals == std::string::npos ? text : text.substr(equals + 1);
  return {equals == std::string::npos ? text : text.substr(0, equals), resolve(address, false)};
}

/// ":8080" is every address of the host, "10.0.0.1" takes the default port.
std::vector<carriers::Address> parse_listen(const std::string& text) {
  if (!text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    throw CommandError(kExitUsage, "--http: '" + text + "' is a port alone; write :" + text +
                                       " for every address of this host, or 127.0.0.1:" + text);
  }
  std::string whole = text;
  const bool has_port = text.rfind(':') != std::string::npos && !text.ends_with(']');
  if (!has_port) whole += std::string(":") + kDefaultPort;
  if (!whole.starts_with(':') && !whole.starts_with("*:")) {
    try {
      return {carriers::Address::resolve(whole)};
    } catch (const std::exception& error) {
      throw CommandError(kExitUsage, "--http: " + std::string(error.what()));
    }
  }
  const std::string port = whole.substr(whole.find(':') + 1);
  std::vector<carriers::Address> all{carriers::Address::resolve("0.0.0.0:" + port)};
  // Some systems have no IPv6.
  const slot::Fd probe(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (probe) all.push_back(carriers::Address::resolve("[::]:" + port));
  return all;
}

class StreamServe final : private http::SessionHandler {
 public:
  explicit StreamServe(const StreamServeOptions& options);
  int run();

 private:
  struct Session {
    std::unique_ptr<StreamSet> streams;
    std::string source;
    bool told_memory = false;  ///< that the memory of streams does not suffice for it
  };
  /// A target that is being connected to.
  struct Connecting {
    SessionNumber session = 0;
    StreamNumber stream = 0;
    const Target* target = nullptr;
    slot::Fd fd;
    std::unique_ptr<http::Watch> watch;
    std::unique_ptr<http::Timer> late;
  };

  void on_session(const ServerEvent& event) override;
  void on_turn() override;
  void opened(SessionNumber number);
  void closed(SessionNumber number);
  void touch(SessionNumber number);
  bool waits(SessionNumber number);
  void stream_opened(SessionNumber session, StreamNumber stream, const std::string& name);
  void connected(std::uint64_t number, const char* problem);
  void refuse(SessionNumber session, StreamNumber stream, ResetCode code, const std::string& why);
  void note_ended(SessionNumber session, const StreamSummary& summary);
  void tell_memory(SessionNumber number, Session& session);
  std::string label(SessionNumber number) const;
  void stop();

  const StreamServeOptions& options_;
  std::vector<Target> targets_;
  StopSignal signal_;
  http::Loop loop_;
  std::unique_ptr<http::StreamServer> server_;
  http_stream::StreamMemory memory_;
  std::map<SessionNumber, Session> sessions_;
  std::set<SessionNumber> dirty_, waiting_;
  std::map<std::uint64_t, Connecting> connecting_;
  std::uint64_t last_connecting_ = 0, streams_ = 0, broken_ = 0;
  http::Timer farewell_;
  std::unique_ptr<http::Watch> signal_watch_;
  bool stopping_ = false;
};

std::vector<carriers::Address> listen_addresses(const StreamServeOptions& options) {
  std::vector<carriers::Address> all;
  for (const std::string& text : options.addresses) {
    for (const carriers::Address& address : parse_listen(text)) all.push_back(address);
  }
  return all;
}

StreamServe::StreamServe(const StreamServeOptions& options)
    : options_(options),
      memory_(static_cast<std::size_t>(options.stream_memory)),
      farewell_(loop_, [this] { loop_.stop(); }) {
  for (const std::string& text : options.targets) {
    Target target = parse_target(text);
    if (target.name.empty()) throw CommandError(kExitUsage, "target '" + text + "' has an empty name before '='");
    const bool twice =
        std::any_of(targets_.begin(), targets_.end(), [&](const Target& other) { return other.name == target.name; });
    if (twice) throw CommandError(kExitUsage, "two targets are named '" + target.name + "': clients reach one of them");
    targets_.push_back(std::move(target));
  }
  http::ServerOptions http;
  http.addresses = listen_addresses(options);
  http.paths = {options.path};
  http.tls = read_tls(options.tls);
  if (!options.tls.ca.empty() && options.tls.certificate.empty()) {
    throw CommandError(kExitUsage,
                       "--ca asks clients for certificates, which needs HTTPS: give --certificate and --key");
  }
  http.limits = options.limits;
  try {
    for (const std::string& text : options.trusted_proxies) http.trusted_proxies.push_back(http::Network::parse(text));
  } catch (const std::exception& error) {
    throw CommandError(kExitUsage, std::string("--trusted-proxy: ") + error.what());
  }
  http_stream::ServerOptions sessions = options.sessions;
  sessions.hold_max_us = to_us(options.hold);
  sessions.grace_us = to_us(options.grace);
  sessions.total_bytes = static_cast<std::size_t>(options.memory);
  server_ =
      std::make_unique<http::StreamServer>(loop_, std::move(http), sessions, static_cast<http::SessionHandler&>(*this));
  signal_watch_ = std::make_unique<http::Watch>(loop_, signal_.fd(), [this](http::Readiness) { stop(); });
  signal_watch_->want({true, false});
}

int StreamServe::run() {
  for (const carriers::Address& address : server_->addresses()) {
    log_line("serving " + std::string(options_.tls.certificate.empty() ? "http" : "https") + "://" +
             address.to_string() + options_.path + ", targets:" + [this] {
               std::string names;
               for (const Target& target : targets_) names += " " + target.name;
               return names;
             }());
  }
  loop_.run();
  const http::ServerCounters c = server_->counters();
  log_line("stopped: " + std::to_string(streams_) + " streams, " + std::to_string(broken_) + " of them broken; " +
           std::to_string(c.requests) + " requests on " + std::to_string(c.accepted) + " connections, " +
           std::to_string(c.malformed + c.too_large + c.not_found) + " requests refused, " +
           std::to_string(c.turned_away + c.evicted) + " connections turned away or evicted, " +
           std::to_string(memory_.refused_streams) + " streams refused for want of memory");
  return kExitOk;
}

void StreamServe::stop() {
  signal_watch_.reset();
  stopping_ = true;
  for (auto& [number, session] : sessions_) {
    if (auto* const pipe = server_->sessions().session(number)) {
      pipe->close({http_stream::CloseCode::done, "the server stops"});
    }
  }
  if (sessions_.empty()) return loop_.stop();
  farewell_.after(kServeFarewell);
  server_->touch();
}

// ---- sessions ----

std::string StreamServe::label(SessionNumber number) const {
  const auto found = sessions_.find(number);
  return "session " + std::to_string(number) +
         (found == sessions_.end() || found->second.source.empty() ? "" : " from " + found->second.source);
}

void StreamServe::touch(SessionNumber number) {
  dirty_.insert(number);
  server_->touch();
}

void StreamServe::on_session(const ServerEvent& event) {
  switch (event.kind) {
    case ServerEvent::Kind::opened:
      return opened(event.session);
    case ServerEvent::Kind::readable:
    case ServerEvent::Kind::writable:
      dirty_.insert(event.session);
      return;
    case ServerEvent::Kind::silent:
      if (options_.verbose) log_line(label(event.session) + ": silent; it may be resumed");
      return;
    case ServerEvent::Kind::resumed:
      if (options_.verbose) log_line(label(event.session) + ": resumed");
      return;
    case ServerEvent::Kind::way:
      if (options_.verbose) {
        log_line(label(event.session) + (server_->sessions().duplex_attached(event.session)
                                             ? ": goes over a WebSocket"
                                             : ": goes by requests again"));
      }
      return;
    case ServerEvent::Kind::closed:
      return closed(event.session);
  }
}

void StreamServe::on_turn() {
  // No event says that what streams wait for was acknowledged.
  std::erase_if(waiting_, [this](SessionNumber number) {
    if (waits(number)) return false;
    dirty_.insert(number);
    return true;
  });
  // Driving one session may touch it again, for the next turn.
  const std::set<SessionNumber> now = std::exchange(dirty_, {});
  for (const SessionNumber number : now) {
    const auto found = sessions_.find(number);
    if (found == sessions_.end()) continue;
    found->second.streams->drive();
    tell_memory(number, found->second);
    if (waits(number)) waiting_.insert(number);
  }
}

/// Streams of the session wait until less is unacknowledged.
bool StreamServe::waits(SessionNumber number) {
  const auto* const pipe = server_->sessions().session(number);
  return pipe != nullptr && pipe->unacknowledged() >= options_.streams.pipe_bytes;
}

void StreamServe::opened(SessionNumber number) {
  auto* const pipe = server_->sessions().session(number);
  if (pipe == nullptr) return;
  http_stream::StreamsOptions streams = options_.streams;
  streams.window_bytes = static_cast<std::size_t>(options_.stream_window);
  StreamSet::Callbacks callbacks;
  callbacks.touch = [this, number] { touch(number); };
  callbacks.ended = [this, number](const StreamSummary& summary) { note_ended(number, summary); };
  callbacks.opened = [this, number](StreamNumber stream, const std::string& name) {
    stream_opened(number, stream, name);
  };
  Session& session = sessions_[number];
  session.source = server_->sessions().source(number);
  session.streams =
      std::make_unique<StreamSet>(loop_, *pipe, http_stream::Role::server, streams, std::move(callbacks), &memory_);
  if (options_.verbose) log_line(label(number) + ": opened");
  dirty_.insert(number);
}

void StreamServe::closed(SessionNumber number) {
  const auto found = sessions_.find(number);
  if (found != sessions_.end()) {
    // Messages that came before the end are still taken, then every stream that is open is reset.
    found->second.streams->drive();
    const auto* const pipe = server_->sessions().session(number);
    const http_stream::CloseReason reason = pipe != nullptr ? pipe->reason() : http_stream::CloseReason{};
    if (options_.verbose || reason.code != http_stream::CloseCode::done) {
      log_line(label(number) + ": closed: " + std::string(http_stream::name_of(reason.code)) +
               (reason.text.empty() ? "" : ": " + reason.text));
    }
    sessions_.erase(found);
  }
  server_->sessions().release(number);
  if (stopping_ && sessions_.empty()) loop_.stop();
}

// ---- streams ----

void StreamServe::stream_opened(SessionNumber session, StreamNumber stream, const std::string& name) {
  const Target* target = nullptr;
  for (const Target& each : targets_) {
    if (each.name == name || (name.empty() && target == nullptr)) target = &each;
  }
  if (target == nullptr) {
    return refuse(session, stream, ResetCode::no_target,
                  "there is no target '" + control::printable(name, kMaxNameInLog) + "'");
  }
  const std::uint64_t number = ++last_connecting_;
  Connecting& one = connecting_[number];
  one.session = session;
  one.stream = stream;
  one.target = target;
  one.fd = start_connecting(target->address);
  if (!one.fd) {
    const std::string why = "cannot connect to " + target->name + ": " + carriers::errno_text(errno);
    connecting_.erase(number);
    return refuse(session, stream, ResetCode::failed, why);
  }
  one.late = std::make_unique<http::Timer>(loop_, [this, number] { connected(number, "no answer in time"); });
  one.late->after(options_.connect_timeout);
  one.watch = std::make_unique<http::Watch>(loop_, one.fd.get(),
                                            [this, number](http::Readiness) { connected(number, nullptr); });
  one.watch->want({false, true});
}

/// The connection to a target is there, or failed with its pending error or `problem`.
void StreamServe::connected(std::uint64_t number, const char* problem) {
  const auto found = connecting_.find(number);
  if (found == connecting_.end()) return;
  Connecting one = std::move(found->second);
  connecting_.erase(found);
  one.watch.reset();
  const int error = problem == nullptr ? socket_error(one.fd.get()) : 0;
  if (problem != nullptr || error != 0) {
    return refuse(one.session, one.stream, ResetCode::failed,
                  "cannot connect to " + one.target->name + ": " +
                      (problem != nullptr ? std::string(problem) : carriers::errno_text(error)));
  }
  const auto session = sessions_.find(one.session);
  if (session == sessions_.end()) return;
  session->second.streams->join(one.stream, {std::move(one.fd), {}}, one.target->name);
}

void StreamServe::refuse(SessionNumber session, StreamNumber stream, ResetCode code, const std::string& why) {
  log_line(label(session) + " stream " + std::to_string(stream) + ": refused: " + why);
  const auto found = sessions_.find(session);
  if (found != sessions_.end()) found->second.streams->refuse(stream, code);
}

/// Once for each session: a client may ask for streams again and again.
void StreamServe::tell_memory(SessionNumber number, Session& session) {
  if (session.streams->refused_for_memory() == 0 || std::exchange(session.told_memory, true)) return;
  log_line(label(number) + ": streams refused: it has as much of the memory of streams as is left (" +
           std::to_string(memory_.used()) + " of " + std::to_string(memory_.limit()) +
           " bytes are in use, --stream-memory)");
}

void StreamServe::note_ended(SessionNumber session, const StreamSummary& s) {
  ++streams_;
  broken_ += s.in_order ? 0U : 1U;
  if (options_.quiet) return;
  std::array<char, 32> seconds{};
  std::snprintf(seconds.data(), seconds.size(), "%.3f", s.time.count());
  log_line(label(session) + " stream " + (s.stream != 0 ? std::to_string(s.stream) + " " : "") + "to " + s.label +
           ": " + std::to_string(s.bytes_out) + " bytes to the target, " + std::to_string(s.bytes_in) + " from it, " +
           seconds.data() + " s: " + (s.in_order ? "closed" : "broken") + ": " + s.reason);
}

}  // namespace

int run_stream_serve(const StreamServeOptions& options) {
  http::keep_freed_memory();
  std::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  StreamServe serve(options);
  return serve.run();
}

}  // namespace slotwire::cli
