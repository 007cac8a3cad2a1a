// `slotwire stream connect`: one stream for standard input and output, or one for each TCP connection that is accepted,
// all of them on one session.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "runtime/http/heap.hpp"
#include "runtime/http/stream_client.hpp"
#include "runtime/http/stream_set.hpp"
#include "tools/slotwire/common.hpp"
#include "tools/slotwire/stream/options.hpp"
#include "tools/slotwire/tunnel/tcp.hpp"

namespace slotwire::cli {

using http::StreamPipe;
using http::StreamSet;
using http::StreamSummary;
namespace {

using http_stream::CloseCode;
using http_stream::SessionState;

constexpr int kBacklog = 256;
constexpr int kAcceptAtOnce = 32;
/// For what was said last to reach the server when the program is to end: by itself, and by a signal.
constexpr std::chrono::microseconds kFarewell{2'000'000}, kSignalFarewell{500'000};
constexpr std::size_t kMaxTroubles = 16;
/// With --listen, before a session takes the place of one that ended: first and longest.
constexpr std::chrono::microseconds kAgainFirst{500'000}, kAgainMost{10'000'000};

/// Standard input or output without waiting. Whoever shares it with this process finds it as it was, but for an output
/// that is no terminal: that must be closed when its direction ends, and a descriptor kept for later would keep it
/// open.
class Unblocked {
 public:
  explicit Unblocked(int fd) : flags_(::fcntl(fd, F_GETFL)) {
    // As open_standard_descriptors() left it: nothing can be written to it.
    if (fd != STDIN_FILENO && (flags_ < 0 || (flags_ & O_ACCMODE) == O_RDONLY)) {
      throw CommandError(kExitFailed, "standard output is closed, or is not open for writing");
    }
    if (flags_ < 0) throw CommandError(kExitFailed, "standard input is closed");
    if (fd == STDIN_FILENO || ::isatty(fd) == 1) kept_ = copy_of(fd);
    ::fcntl(fd, F_SETFL, flags_ | O_NONBLOCK);
  }
  ~Unblocked() {
    if (kept_) ::fcntl(kept_.get(), F_SETFL, flags_);
  }
  Unblocked(const Unblocked&) = delete;
  Unblocked& operator=(const Unblocked&) = delete;

  static slot::Fd copy_of(int fd) {
    slot::Fd copy(::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    if (!copy) throw CommandError(kExitFailed, "cannot copy a descriptor: " + carriers::errno_text(errno));
    return copy;
  }

 private:
  int flags_;
  slot::Fd kept_;
};

/// "user:password", the first line of a file or the value of a variable.
http::Login read_login(const std::string& file, const char* variable, bool negotiate) {
  http::Login login;
  login.negotiate = negotiate;
  std::string text;
  if (!file.empty()) {
    std::ifstream stream(file);
    if (!std::getline(stream, text)) throw CommandError(kExitFailed, "cannot read a line of '" + file + "'");
    if (text.ends_with('\r')) text.pop_back();
  } else if (const char* const value = std::getenv(variable)) {
    text = value;
  }
  if (text.empty()) return login;
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos || colon == 0) {
    throw CommandError(
        kExitUsage, (file.empty() ? "$" + std::string(variable) : "'" + file + "'") + " does not hold USER:PASSWORD");
  }
  login.user = text.substr(0, colon);
  login.password = text.substr(colon + 1);
  return login;
}

http::ClientOptions http_options(const StreamConnectOptions& options) {
  http::ClientOptions http;
  http.url = options.url;
  http.proxy = options.proxy;
  http.proxy_login = read_login(options.proxy_user_file, "SLOTWIRE_PROXY_USER", options.proxy_negotiate);
  http.server_login = read_login(options.server_user_file, "SLOTWIRE_SERVER_USER", options.server_negotiate);
  http.tls = read_tls(options.tls);
  http.connect_time = options.connect_timeout;
  http.connections = options.session.max_requests + 2;
  return http;
}

class StreamConnect final : private http::PipeHandler {
 public:
  explicit StreamConnect(const StreamConnectOptions& options);
  int run();

 private:
  void on_turn() override;
  void on_state(SessionState state) override;
  void on_trouble(const std::string& text) override;
  void on_way(const http_stream::DuplexReport& report) override;
  void begin();
  void open_standard();
  void accept();
  void ended(const StreamSummary& summary);
  void session_ended();
  void stop();
  void finish(int code, const std::string& why, std::chrono::microseconds farewell = kFarewell);
  void say(const std::string& text) const {
    if (options_.verbose) log_line(text);
  }

  const StreamConnectOptions& options_;
  const http::ClientOptions http_;
  StopSignal signal_;
  std::optional<Unblocked> input_, output_;
  http::Loop loop_;
  std::unique_ptr<http::StreamClient> client_;
  http_stream::StreamMemory memory_;
  std::unique_ptr<StreamSet> streams_;
  slot::Fd listener_;
  http::Timer again_, farewell_;
  std::unique_ptr<http::Watch> signal_watch_, listener_watch_;
  std::chrono::microseconds pause_ = kAgainFirst;
  std::optional<int> code_;  ///< exit status, once it is known
  std::string why_;
  std::set<std::string> told_;  ///< reasons of trouble, each of which is said once until the session is up
  std::optional<http_stream::Learned> learned_;  ///< of the way, for the session that follows one that ended
  bool was_up_ = false;
};

StreamConnect::StreamConnect(const StreamConnectOptions& options)
    : options_(options),
      http_(http_options(options)),
      memory_(static_cast<std::size_t>(options.stream_memory)),
      again_(loop_, [this] { begin(); }),
      farewell_(loop_, [this] { loop_.stop(); }) {
  if (options.listen.empty()) {
    input_.emplace(STDIN_FILENO);
    output_.emplace(STDOUT_FILENO);
  } else {
    listener_ = listen_on(resolve(options.listen, true), kBacklog);
    listener_watch_ = std::make_unique<http::Watch>(loop_, listener_.get(), [this](http::Readiness) { accept(); });
  }
  signal_watch_ = std::make_unique<http::Watch>(loop_, signal_.fd(), [this](http::Readiness) { stop(); });
  signal_watch_->want({true, false});
}

int StreamConnect::run() {
  begin();
  if (listener_) {
    log_line("connections to " + carriers::Address::bound_to(listener_.get()).to_string() + " go to " +
             client_->client().url().text());
    listener_watch_->want({true, false});
  } else {
    open_standard();
  }
  loop_.run();
  if (client_) say("at the end: " + client_->pipe().learned().text());
  const int code = code_.value_or(kExitFailed);
  if (code != kExitOk) throw CommandError(code, why_);
  return code;
}

void StreamConnect::begin() {
  streams_.reset();
  client_.reset();
  http_stream::ClientOptions session = options_.session;
  session.hold_us = to_us(options_.hold);
  session.duplex = !options_.no_websocket;
  session.duplex_retry_first_us = to_us(options_.websocket_retry);
  session.duplex_retry_max_us = to_us(options_.websocket_retry_max);
  session.session.bundle_bytes_max = static_cast<std::size_t>(options_.body);
  session.session.bundle_bytes = std::min(session.session.bundle_bytes, session.session.bundle_bytes_max);
  try {
    client_ =
        std::make_unique<http::StreamClient>(loop_, http_, session, static_cast<http::PipeHandler&>(*this), learned_);
  } catch (const std::exception& error) {
    throw CommandError(kExitUsage, error.what());
  }
  http_stream::StreamsOptions streams = options_.streams;
  streams.window_bytes = static_cast<std::size_t>(options_.stream_window);
  StreamSet::Callbacks callbacks;
  callbacks.touch = [this] { client_->touch(); };
  callbacks.ended = [this](const StreamSummary& summary) { ended(summary); };
  streams_ = std::make_unique<StreamSet>(loop_, client_->pipe(), http_stream::Role::client, streams,
                                         std::move(callbacks), &memory_);
  const std::string proxy = client_->report().proxy;
  say("connecting to " + client_->client().url().text() + (proxy.empty() ? "" : " through the proxy " + proxy));
  if (listener_watch_) listener_watch_->want({true, false});
}

void StreamConnect::open_standard() {
  const auto stream = streams_->open(options_.target);
  if (!stream.ok()) throw CommandError(kExitFailed, stream.error().text);
  StreamPipe::Ends ends{Unblocked::copy_of(STDIN_FILENO), Unblocked::copy_of(STDOUT_FILENO)};
  // The copies are closed when their direction ends; the originals would keep a pipe open.
  const slot::Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (null) {
    ::dup2(null.get(), STDIN_FILENO);
    ::dup2(null.get(), STDOUT_FILENO);
  }
  streams_->join(stream.value(), std::move(ends), "standard input");
}

void StreamConnect::accept() {
  for (int i = 0; i < kAcceptAtOnce; ++i) {
    slot::Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) return;
    set_no_delay(fd.get());
    const std::string from = peer_text(fd.get());
    const auto stream = streams_->open(options_.target);
    if (!stream.ok()) {
      reset_on_close(fd.get());
      log_line("connection of " + from + " refused: " + stream.error().text);
      continue;
    }
    streams_->join(stream.value(), {std::move(fd), {}}, from);
  }
}

void StreamConnect::ended(const StreamSummary& s) {
  std::array<char, 32> seconds{};
  std::snprintf(seconds.data(), seconds.size(), "%.3f", s.time.count());
  const std::string text = s.label + ": " + std::to_string(s.bytes_in) + " bytes sent, " + std::to_string(s.bytes_out) +
                           " received, " + seconds.data() + " s: " + (s.in_order ? "closed" : "broken") + ": " +
                           s.reason;
  if (listener_) {
    if (!options_.quiet) log_line("connection of " + text);
    return;
  }
  say(text);
  if (s.in_order) return finish(kExitOk, "");
  using http_stream::ResetCode;
  const int code = s.code == ResetCode::no_target                               ? kExitNoService
                   : s.code == ResetCode::refused || s.code == ResetCode::limit ? kExitRefused
                                                                                : kExitFailed;
  // The end of the session has its own reason.
  if (client_->state() == SessionState::closed) return session_ended();
  finish(code, "the stream to " + (options_.target.empty() ? "the server's target" : "'" + options_.target + "'") +
                   " broke off: " + s.reason);
}

void StreamConnect::on_turn() {
  if (streams_) streams_->drive();
}

void StreamConnect::on_trouble(const std::string& text) {
  if (told_.size() >= kMaxTroubles) told_.clear();
  if (!told_.insert(text).second) return;
  // A session that is up mends itself. Where there is none, whoever waits for it learns why.
  if (options_.verbose || client_->state() != SessionState::up) log_line("trouble: " + text);
}

void StreamConnect::on_way(const http_stream::DuplexReport& report) {
  using State = http_stream::DuplexReport::State;
  if (report.state == State::attached) return say("the session goes over a WebSocket");
  if (report.state != State::resting) return;
  const std::uint64_t now = http::Loop::now_us();
  const std::uint64_t wait_ms = report.failures.next_us > now ? (report.failures.next_us - now) / 1'000 : 0;
  say("the session goes by requests: " + report.failures.why + "; a WebSocket is tried again in " +
      std::to_string(wait_ms) + " ms");
}

void StreamConnect::on_state(SessionState state) {
  switch (state) {
    case SessionState::up: {
      const http::ClientReport report = client_->report();
      say(std::string(was_up_ ? "the session goes on" : "the session is up") +
          (report.proxy_scheme.empty() ? "" : ", " + report.proxy_scheme + " authentication at the proxy") +
          (report.server_scheme.empty() ? "" : ", " + report.server_scheme + " authentication at the server") + "; " +
          client_->pipe().learned().text());
      was_up_ = true;
      pause_ = kAgainFirst;
      told_.clear();
      return;
    }
    case SessionState::silent:
      return say("no answer; trying again");
    case SessionState::closed:
      return session_ended();
    default:
      return;
  }
}

void StreamConnect::session_ended() {
  if (code_) return loop_.stop();
  const std::string why = client_->reason();
  learned_ = client_->pipe().learned();
  const auto fatal = client_->fatal();
  if (listener_ && (was_up_ || !fatal)) {
    log_line("the session ended: " + why + "; another one is begun");
    listener_watch_->want({});
    again_.after(pause_);
    pause_ = std::min(2 * pause_, kAgainMost);
    // What was open ends now.
    return streams_->drive();
  }
  using http::FailureKind;
  const bool refused = client_->pipe().reason().code == CloseCode::refused || fatal == FailureKind::certificate ||
                       fatal == FailureKind::proxy_login || fatal == FailureKind::server_login ||
                       fatal == FailureKind::proxy_refused;
  code_ = refused ? kExitRefused : kExitLinkDown;
  why_ = "the session with " + client_->client().url().text() + (was_up_ ? " ended: " : " did not begin: ") + why;
  loop_.stop();
}

/// SIGINT or SIGTERM. A second one ends the program even while the server is still to be told.
void StreamConnect::stop() {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(signal_.fd(), &count, sizeof count);
  // A server that does not answer cannot be told anything.
  const bool told = client_->state() == SessionState::up && !code_;
  finish(kExitOk, "stopped", kSignalFarewell);
  if (!told) loop_.stop();
}

/// Ends the session and then the program.
void StreamConnect::finish(int code, const std::string& why, std::chrono::microseconds farewell) {
  if (code_) return;
  code_ = code;
  why_ = why;
  if (client_->state() == SessionState::closed) return loop_.stop();
  client_->pipe().close({CloseCode::done, ""});
  client_->touch();
  farewell_.after(farewell);
}

}  // namespace

int run_stream_connect(const StreamConnectOptions& options) {
  http::keep_freed_memory();
  std::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  StreamConnect connect(options);
  return connect.run();
}

}  // namespace slotwire::cli
