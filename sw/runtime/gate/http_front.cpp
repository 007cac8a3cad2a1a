#include "runtime/gate/http_front.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/http/stream_client.hpp"
#include "runtime/http/stream_set.hpp"

namespace slotwire::gate {
namespace {

using http_stream::ResetCode;
using http_stream::Role;
using http_stream::ServerEvent;
using http_stream::SessionNumber;
using http_stream::SessionState;
using http_stream::StreamNumber;

/// Names of streams. That of frames is followed by the link's token.
constexpr std::string_view kControl = "control", kFrames = "frames/";
/// Streams of one session: control connections, which come anew, and that of the frames.
constexpr std::size_t kStreams = 16;
constexpr std::size_t kStreamWindow = std::size_t{64} << 10U;
/// Bytes of frames that one session may have received and slotwired has not taken.
constexpr std::size_t kDatagramBytes = std::size_t{16} << 20U;
constexpr std::size_t kFrameBytes = 65'536;
/// That the longest takes in a session's queue, with parts that are not full.
constexpr std::size_t kFrameSpace = kFrameBytes + (std::size_t{16} << 10U);
/// Frames, and bytes of them, that are taken from slotwired before they are sent and others have their turn: as much as
/// one request carries, so that the peer works on the first while the next ones are read.
constexpr std::size_t kFramesAtOnce = 256;
/// Frames that one call of the system moves.
constexpr std::size_t kFramesInCall = 16;
constexpr std::size_t kBytesAtOnce = std::size_t{256} << 10U;
constexpr std::size_t kHead = http_stream::Streams::kDatagramHead;
/// Before a session is tried again: first, and longest.
constexpr std::chrono::microseconds kFirstRetry{200'000}, kLastRetry{10'000'000};
/// Before frames are offered to a node again that did not know the link.
constexpr std::chrono::microseconds kOfferAgain{500'000};
/// Between two offers of frames that a session may make: shorter than those of a node that offers again.
constexpr std::chrono::microseconds kOfferPause{200'000};
/// Sessions that are not proved to be a peer's, in all and from one source; the oldest makes room for a new one.
constexpr std::size_t kUnproved = 64, kUnprovedPerSource = 16;
/// For what is said last to a session that is ended.
constexpr std::uint64_t kCloseUs = 200'000;
constexpr std::chrono::microseconds kSweep{250'000};
constexpr std::uint32_t kMinRequests = 2, kMaxRequests = 64;

http_stream::StreamsOptions stream_options() {
  http_stream::StreamsOptions options;
  options.max_streams = kStreams;
  options.window_bytes = kStreamWindow;
  options.datagram_bytes = kDatagramBytes;
  return options;
}

/// Two ends of a stream of bytes within this process.
std::optional<std::pair<slot::Fd, slot::Fd>> pair_of_sockets() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) return std::nullopt;
  return std::pair<slot::Fd, slot::Fd>(slot::Fd(ends[0]), slot::Fd(ends[1]));
}

/// Only these are passed on: whoever offers frames may be anybody.
bool is_token(std::string_view text) {
  return text.size() == 2 * control::kTokenBytes &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::optional<std::string> text_or_none(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

void limit_bodies(http_stream::SessionOptions& options, std::uint64_t bytes) {
  options.bundle_bytes_max = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, http_stream::kMaxBundleBytes));
  options.bundle_bytes = std::min(options.bundle_bytes, options.bundle_bytes_max);
}

http::Environment environment_of(const control::GateProxy& proxy) {
  return [proxy](const char* name) -> std::optional<std::string> {
    const std::string_view wanted(name);
    if (wanted == "http_proxy") return text_or_none(proxy.http_proxy);
    if (wanted == "https_proxy") return text_or_none(proxy.https_proxy);
    if (wanted == "all_proxy") return text_or_none(proxy.all_proxy);
    if (wanted == "no_proxy") return text_or_none(proxy.no_proxy);
    return std::nullopt;
  };
}

}  // namespace

/// Where frames are received from slotwired, several in one call, each behind the head of its message. All sessions
/// share it, since what it holds is passed on at once.
class HttpFront::FramePlaces {
 public:
  FramePlaces() {
    for (std::size_t i = 0; i < kFramesInCall; ++i) {
      pieces_[i] = {bytes_.data() + i * kPlace + kHead, kFrameBytes};
      messages_[i].msg_hdr.msg_iov = &pieces_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
    }
  }
  /// As recvmmsg(), of at most `most` frames.
  int receive(int socket, std::size_t most) {
    return ::recvmmsg(socket, messages_.data(), static_cast<unsigned>(std::min(most, kFramesInCall)), MSG_DONTWAIT,
                      nullptr);
  }
  /// Frame `i` of those that were received, behind its head.
  std::span<std::byte> message(std::size_t i) {
    return std::span(bytes_).subspan(i * kPlace, kHead + messages_[i].msg_len);
  }

 private:
  static constexpr std::size_t kPlace = kHead + kFrameBytes;
  std::vector<std::byte> bytes_ = std::vector<std::byte>(kFramesInCall * kPlace);
  std::array<iovec, kFramesInCall> pieces_{};
  std::array<mmsghdr, kFramesInCall> messages_{};
};

/// One session, of either end: its streams, and the frames that pass through it.
class HttpFront::Session {
 public:
  Session(http::Loop& loop, FramePlaces& places, http_stream::MessagePipe& pipe, Role role, std::function<void()> touch,
          std::function<void(StreamNumber, const std::string&)> opened)
      : pipe_(pipe),
        role_(role),
        touch_(std::move(touch)),
        streams_(loop, pipe, role, stream_options(), {touch_, {}, std::move(opened)}),
        loop_(loop),
        places_(places) {}

  http::StreamSet& streams() { return streams_; }
  /// Something can be moved later that no event will speak of: frames or streams wait until less is unacknowledged.
  bool waits() const { return (socket_ && full_) || pipe_.unacknowledged() >= stream_options().pipe_bytes; }

  /// The frames' socket from now on.
  void attach(slot::Fd socket) {
    watch_.reset();
    socket_ = std::move(socket);
    pending_.clear();
    watch_ = std::make_unique<http::Watch>(loop_, socket_.get(), [this](http::Readiness ready) {
      if (ready.writable) to_slotwired();
      if (ready.readable) to_peer();
      want();
      touch_();
    });
    full_ = blocked_ = false;
    want();
    touch_();
  }
  bool attached() const { return static_cast<bool>(socket_); }
  /// Ends the passing of frames; slotwired sees the end of its socket.
  void detach() {
    watch_.reset();
    socket_.reset();
  }

  /// Moves what there is, both ways.
  void drive() {
    streams_.drive();
    if (!socket_) {
      // A peer sends frames after both ends have agreed; a server that keeps what comes before could be filled up.
      while (role_ == Role::server && streams_.receive_datagram()) {
      }
      return;
    }
    if (!blocked_) to_slotwired();
    // What slotwired has sent meanwhile shows itself by the descriptor.
    if (full_) to_peer();
    want();
  }

  bool proved = false;  ///< it is a peer's
  bool ending = false;  ///< close() was called
  std::uint64_t born_us = 0;
  std::string source;
  std::string token;                  ///< of the link, once its frames were offered
  std::uint32_t number = 0;           ///< that slotwired knows it by; 0: none
  std::uint64_t offer_from_us = 0;    ///< before that no further offer is taken
  std::optional<StreamNumber> offer;  ///< stream by which frames are agreed on

 private:
  void want() {
    if (watch_) watch_->want({!full_, blocked_});
  }

  void to_slotwired() {
    blocked_ = false;
    while (socket_) {
      while (pending_.size() < kFramesInCall) {
        auto frame = streams_.receive_headed_datagram();
        if (!frame) break;
        pending_.push_back(std::move(*frame));
      }
      if (pending_.empty()) return;
      std::array<iovec, kFramesInCall> pieces;
      std::array<mmsghdr, kFramesInCall> messages{};
      for (std::size_t i = 0; i < pending_.size(); ++i) {
        pieces[i] = {pending_[i].data() + kHead, pending_[i].size() - kHead};
        messages[i].msg_hdr.msg_iov = &pieces[i];
        messages[i].msg_hdr.msg_iovlen = 1;
      }
      const int sent = ::sendmmsg(socket_.get(), messages.data(), static_cast<unsigned>(pending_.size()),
                                  MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
        blocked_ = true;
        return;
      }
      if (sent < 0) return detach();
      pending_.erase(pending_.begin(), pending_.begin() + sent);
    }
  }

  void to_peer() {
    std::size_t bytes = 0, frames = 0;
    while (frames < kFramesAtOnce && bytes < kBytesAtOnce && socket_) {
      const std::size_t fit = std::min(pipe_.space() / kFrameSpace, kFramesInCall);
      full_ = fit == 0;
      if (full_) return;
      const int got = places_.receive(socket_.get(), fit);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) return detach();
      for (std::size_t i = 0; i < static_cast<std::size_t>(got); ++i) {
        const auto message = places_.message(i);
        // A packet socket reads nothing when its other end is closed. No frame is empty.
        if (message.size() == kHead) return detach();
        bytes += message.size() - kHead;
        static_cast<void>(streams_.send_headed_datagram(message));
      }
      frames += static_cast<std::size_t>(got);
      if (static_cast<std::size_t>(got) < fit) return;
    }
  }

  http_stream::MessagePipe& pipe_;
  Role role_;
  std::function<void()> touch_;
  http::StreamSet streams_;
  http::Loop& loop_;
  slot::Fd socket_;
  std::unique_ptr<http::Watch> watch_;
  FramePlaces& places_;
  std::vector<http_stream::Bytes> pending_;  ///< received, and not taken by slotwired yet; at most kFramesInCall
  bool full_ = false;                        ///< the session takes no more frames now
  bool blocked_ = false;                     ///< slotwired takes no more frames now
};

/// A session to a peer that is to be kept: begun anew whenever it ends.
class HttpFront::Kept final : private http::PipeHandler {
 public:
  Kept(HttpFront& front, std::uint32_t number, const control::GateSession& wanted)
      : front_(front),
        number_(number),
        wanted_(wanted),
        retry_(front.loop_, [this] { begin(); }),
        offer_again_(front.loop_, [this] { offer(); }) {
    begin();
  }
  ~Kept() override { front_.offered_.erase(number_); }

  const control::GateSession& wanted() const { return wanted_; }
  bool up() const { return client_ && client_->state() == SessionState::up; }

  std::optional<slot::Fd> open_control() {
    if (!up()) return std::nullopt;
    auto ends = pair_of_sockets();
    if (!ends) return std::nullopt;
    const auto stream = session_->streams().open(kControl);
    if (!stream.ok()) return std::nullopt;
    session_->streams().join(stream.value(), {std::move(ends->first), {}}, "control");
    client_->touch();
    return std::move(ends->second);
  }
  void frames(slot::Fd socket) {
    if (session_) session_->attach(std::move(socket));
  }
  /// slotwired has no route for the link yet.
  void refused() { offer_again_.after(kOfferAgain); }

 private:
  void begin() {
    const std::string& url = wanted_.urls[next_url_ % wanted_.urls.size()].url;
    front_.offered_.erase(number_);
    session_.reset();
    client_.reset();
    offered_up_ = false;
    try {
      http::ClientOptions http;
      http.url = url;
      http.environment = environment_of(wanted_.proxy);
      if (wanted_.proxy.chosen) http.proxy = wanted_.proxy.proxy;
      http.proxy_login = {wanted_.proxy.user, wanted_.proxy.password, wanted_.proxy.negotiate};
      for (const control::GateWord& line : wanted_.ca) http.tls.ca += line.word + '\n';
      http.resolve = front_.resolve_;
      http.connections = std::size_t{wanted_.requests} + 2;
      http_stream::ClientOptions options;
      options.max_requests = wanted_.requests;
      options.hold_us = wanted_.hold_us;
      // One alone is tried for as long as it takes.
      if (wanted_.urls.size() > 1) options.open_us = wanted_.answer_us;
      limit_bodies(options.session, wanted_.body_bytes);
      options.duplex = wanted_.websocket;
      options.duplex_retry_first_us = wanted_.websocket_retry_us;
      options.duplex_retry_max_us = wanted_.websocket_retry_max_us;
      client_ = std::make_unique<http::StreamClient>(front_.loop_, std::move(http), options,
                                                     static_cast<http::PipeHandler&>(*this), learned());
    } catch (const std::exception& error) {
      return failed(url + ": " + error.what());
    }
    session_ = std::make_unique<Session>(
        front_.loop_, *front_.places_, client_->pipe(), Role::client, [this] { client_->touch(); },
        [this](StreamNumber stream, const std::string&) {
          session_->streams().refuse(stream, ResetCode::refused);  // the server opens none
        });
    session_->token = wanted_.token;
    session_->number = number_;
    front_.offered_[number_] = session_.get();
  }

  /// `why`: empty: it was said already.
  void failed(const std::string& why) {
    if (!why.empty()) front_.host_.session_trouble(number_, why);
    told_.clear();
    ++next_url_;
    // All URLs are tried before there is a pause.
    if (next_url_ % wanted_.urls.size() == 0) pause_ = std::min(2 * pause_, kLastRetry);
    if (session_) session_->detach();
    retry_.after(next_url_ % wanted_.urls.size() == 0 ? pause_ : kFirstRetry);
  }

  /// Asks the peer to take frames of the link over this session.
  void offer() {
    if (!up() || session_->attached()) return;
    // The peer takes them already; slotwired had no route for the link.
    if (offered_up_) return front_.host_.session_up(number_, wanted_.token, what());
    if (session_->offer) session_->streams().refuse(*session_->offer, ResetCode::cancelled);
    session_->offer.reset();
    const auto stream = session_->streams().open(std::string(kFrames) + wanted_.token);
    if (stream.ok()) {
      session_->offer = stream.value();
    } else {
      offer_again_.after(kOfferAgain);
    }
    client_->touch();
  }

  void look_at_offer() {
    if (!session_->offer) return;
    switch (session_->streams().answer(*session_->offer)) {
      case http::StreamSet::Answer::none:
        return;
      case http::StreamSet::Answer::refused:
        session_->offer.reset();
        return offer_again_.after(kOfferAgain);
      case http::StreamSet::Answer::accepted:
        if (std::exchange(offered_up_, true)) return;
        pause_ = kFirstRetry;
        return front_.host_.session_up(number_, wanted_.token, what());
    }
  }

  std::string what() const {
    const http::ClientReport report = client_->report();
    std::string text = client_->client().url().text();
    if (!report.proxy.empty()) text += " through the proxy " + report.proxy;
    return text;
  }

  // What is learned is of one URL; the proxy follows from it, and stays.
  std::optional<http_stream::Learned> learned() const {
    const auto found = learned_.find(next_url_ % wanted_.urls.size());
    return found == learned_.end() ? std::nullopt : std::optional(found->second);
  }
  void learn() { learned_[next_url_ % wanted_.urls.size()] = client_->pipe().learned(); }

  void on_turn() override {
    if (!session_) return;
    session_->drive();
    look_at_offer();
  }
  void on_way(const http_stream::DuplexReport& report) override {
    learn();
    control::GateSessionWay way;
    way.websocket = report.state == http_stream::DuplexReport::State::attached;
    if (!way.websocket) {
      const std::uint64_t now = http::Loop::now_us();
      way.why = report.failures.why;
      way.retry_us = report.failures.next_us > now ? report.failures.next_us - now : 1;
    }
    front_.host_.session_way(number_, way);
  }
  void on_state(SessionState state) override {
    if (state == SessionState::up) {
      told_.clear();
      learn();
      if (!offered_up_ && !session_->offer) offer();
    }
    if (state != SessionState::closed) return;
    const std::string reason = client_->reason();
    learn();
    // The end of a session that never was up is no news beside the trouble that led to it.
    const bool told = !told_.empty() && reason.find(told_) != std::string::npos;
    failed(told ? std::string() : wanted_.urls[next_url_ % wanted_.urls.size()].url + ": " + reason);
  }
  void on_trouble(const std::string& text) override {
    if (up() || text == told_) return;
    told_ = text;
    front_.host_.session_trouble(number_, text);
  }

  HttpFront& front_;
  std::uint32_t number_;
  control::GateSession wanted_;
  std::unique_ptr<http::StreamClient> client_;
  std::unique_ptr<Session> session_;
  std::map<std::size_t, http_stream::Learned> learned_;  ///< by URL, at most one for each
  http::Timer retry_, offer_again_;
  std::chrono::microseconds pause_ = kFirstRetry;
  std::size_t next_url_ = 0;
  std::string told_;  ///< the latest trouble of the session, as slotwired knows it
  bool offered_up_ = false;
};

HttpFront::HttpFront(http::Loop& loop, FrontHost& host, http::ResolveHook resolve)
    : loop_(loop),
      host_(host),
      resolve_(std::move(resolve)),
      places_(std::make_unique<FramePlaces>()),
      sweep_(loop, [this] { sweep(); }) {}

HttpFront::~HttpFront() = default;

void HttpFront::listen(slot::Fd listener, const control::GateHttpServer& figures, const carriers::TlsTexts& tls) {
  http::ServerOptions http;
  http.listeners.push_back(std::move(listener));
  http.paths.push_back(figures.path);
  if (figures.tls) {
    http.tls.certificate = tls.certificate;
    http.tls.key = tls.key;
  }
  for (const control::GateWord& network : figures.trusted_proxies) {
    http.trusted_proxies.push_back(http::Network::parse(network.word));
  }
  http.limits.connections = std::size_t{figures.sessions} * kMaxRequests;
  http.limits.connections_per_source = std::size_t{figures.sessions_per_source} * kMaxRequests;
  http_stream::ServerOptions sessions;
  // Those that are not proved have places of their own, and those that are being ended have theirs for a moment.
  sessions.max_sessions = figures.sessions + 2 * kUnproved;
  sessions.max_sessions_per_source = figures.sessions_per_source + 2 * kUnprovedPerSource;
  sessions.session.close_us = kCloseUs;
  limit_bodies(sessions.session, figures.body_bytes);
  handshake_us_ = figures.handshake_us;
  server_ =
      std::make_unique<http::StreamServer>(loop_, std::move(http), sessions, static_cast<http::SessionHandler&>(*this));
}

bool HttpFront::keep(std::uint32_t session, const control::GateSession& wanted) {
  if (session % 2 == 0 || kept_.contains(session) || wanted.urls.empty() || wanted.requests < kMinRequests ||
      wanted.requests > kMaxRequests) {
    return false;
  }
  kept_[session] = std::make_unique<Kept>(*this, session, wanted);
  return true;
}

void HttpFront::frames(std::uint32_t session, slot::Fd socket) {
  if (const auto kept = kept_.find(session); kept != kept_.end()) return kept->second->frames(std::move(socket));
  const auto found = offered_.find(session);
  if (found == offered_.end()) return;
  Session& accepted = *found->second;
  if (accepted.offer) accepted.streams().accept(*accepted.offer);
  accepted.attach(std::move(socket));
  accepted.proved = true;
  for (const auto& [id, other] : accepted_) {
    if (other.get() == &accepted) tell_way(id, accepted);
  }
  // The peer has begun a new session; its former one would only keep a place.
  for (const auto& [id, other] : accepted_) {
    if (other.get() != &accepted && other->token == accepted.token) close(id, "a newer session took its place");
  }
}

void HttpFront::proved(SessionNumber session) {
  const auto found = accepted_.find(session);
  if (found != accepted_.end()) found->second->proved = true;
}

void HttpFront::close(SessionNumber session, const char* why) {
  if (http_stream::MessagePipe* const pipe = server_->sessions().session(session)) {
    pipe->close({http_stream::CloseCode::refused, why});
    server_->touch();
  }
}

void HttpFront::make_room() {
  sweep_.after(kSweep);
  const auto oldest = [this](const std::string* source, std::size_t most) {
    const Session* first = nullptr;
    SessionNumber which = 0;
    std::size_t count = 0;
    for (const auto& [id, session] : accepted_) {
      if (session->proved || session->ending || (source != nullptr && session->source != *source)) continue;
      ++count;
      if (first == nullptr || session->born_us < first->born_us) {
        first = session.get();
        which = id;
      }
    }
    if (count <= most) return;
    accepted_.at(which)->ending = true;
    close(which, "newer sessions took its place before it said who it is");
  };
  const std::string source = accepted_.rbegin()->second->source;
  oldest(&source, kUnprovedPerSource);
  oldest(nullptr, kUnproved);
}

void HttpFront::sweep() {
  const std::uint64_t now = http::Loop::now_us();
  bool left = false;
  for (const auto& [id, session] : accepted_) {
    if (session->proved || session->ending) continue;
    left = true;
    if (now - session->born_us < handshake_us_) continue;
    session->ending = true;
    close(id, "it did not say who it is in time");
  }
  if (left) sweep_.after(kSweep);
}

void HttpFront::refuse(std::uint32_t session) {
  if (const auto kept = kept_.find(session); kept != kept_.end()) return kept->second->refused();
  const auto found = offered_.find(session);
  if (found == offered_.end()) return;
  Session& accepted = *found->second;
  if (accepted.offer) accepted.streams().refuse(*accepted.offer, ResetCode::refused);
  accepted.offer.reset();
}

std::optional<slot::Fd> HttpFront::open_control(const std::string& peer) {
  for (const auto& [number, kept] : kept_) {
    if (kept->wanted().peer != peer) continue;
    if (auto stream = kept->open_control()) return stream;
  }
  return std::nullopt;
}

bool HttpFront::keeps(const std::string& peer) const {
  return std::any_of(kept_.begin(), kept_.end(),
                     [&](const auto& entry) { return entry.second->wanted().peer == peer; });
}

std::uint64_t HttpFront::sessions() const {
  return accepted_.size();
}

/// A number that slotwired does not know yet.
std::uint32_t HttpFront::number(Session& session) {
  do {
    last_number_ += 2;
  } while (last_number_ == 0 || offered_.contains(last_number_));
  offered_[last_number_] = &session;
  return last_number_;
}

// ---- sessions of peers ----

void HttpFront::on_session(const ServerEvent& event) {
  const auto found = accepted_.find(event.session);
  switch (event.kind) {
    case ServerEvent::Kind::opened: {
      http_stream::MessagePipe* const pipe = server_->sessions().session(event.session);
      const SessionNumber id = event.session;
      const auto opened = [this, id](StreamNumber stream, const std::string& target) {
        Session& session = *accepted_.at(id);
        const std::string from = server_->sessions().source(id);
        if (target == kControl) {
          auto ends = pair_of_sockets();
          carriers::Address address;
          try {
            address = carriers::Address::parse(from.find(':') == std::string::npos ? from + ":0" : "[" + from + "]:0");
          } catch (const std::exception&) {
            ends.reset();
          }
          if (!ends) return session.streams().refuse(stream, ResetCode::failed);
          session.streams().join(stream, {std::move(ends->first), {}}, "control");
          return host_.take_stream(std::move(ends->second), address, id);
        }
        if (target.rfind(kFrames, 0) != 0 || !is_token(std::string_view(target).substr(kFrames.size())))
          return session.streams().refuse(stream, ResetCode::no_target);
        // slotwired is not asked again and again for what a stranger makes up.
        const std::uint64_t now = http::Loop::now_us();
        if (now < session.offer_from_us) return session.streams().refuse(stream, ResetCode::refused);
        session.offer_from_us = now + static_cast<std::uint64_t>(kOfferPause.count());
        // Offered anew: what was agreed on before does not hold.
        if (session.offer) session.streams().refuse(*session.offer, ResetCode::cancelled);
        session.detach();
        session.offer = stream;
        session.token = target.substr(kFrames.size());
        if (session.number == 0) session.number = number(session);
        host_.session_up(session.number, session.token, "from " + from);
      };
      accepted_[id] = std::make_unique<Session>(
          loop_, *places_, *pipe, Role::server, [this, id] { touch(id); }, opened);
      accepted_[id]->born_us = http::Loop::now_us();
      accepted_[id]->source = server_->sessions().source(id);
      return make_room();
    }
    case ServerEvent::Kind::readable:
    case ServerEvent::Kind::writable:
      if (found != accepted_.end()) dirty_.insert(event.session);
      return;
    case ServerEvent::Kind::silent:
    case ServerEvent::Kind::resumed:
      return;
    case ServerEvent::Kind::way:
      if (found != accepted_.end() && found->second->attached()) tell_way(event.session, *found->second);
      return;
    case ServerEvent::Kind::closed:
      if (found != accepted_.end()) {
        // What came before the end is still taken.
        if (dirty_.contains(event.session)) found->second->drive();
        offered_.erase(found->second->number);
        accepted_.erase(found);
        dirty_.erase(event.session);
        waiting_.erase(event.session);
      }
      server_->sessions().release(event.session);
      return;
  }
}

/// Of a session whose frames slotwired takes.
void HttpFront::tell_way(SessionNumber id, const Session& session) {
  control::GateSessionWay way;
  way.websocket = server_->sessions().duplex_attached(id);
  host_.session_way(session.number, way);
}

void HttpFront::touch(SessionNumber session) {
  dirty_.insert(session);
  server_->touch();
}

void HttpFront::on_turn() {
  dirty_.insert(waiting_.begin(), waiting_.end());
  waiting_.clear();
  // Driving one session may touch it again, for the next turn.
  for (const SessionNumber id : std::exchange(dirty_, {})) {
    const auto found = accepted_.find(id);
    if (found == accepted_.end()) continue;
    ++drives_;
    found->second->drive();
    if (found->second->waits()) waiting_.insert(id);
  }
}

}  // namespace slotwire::gate
