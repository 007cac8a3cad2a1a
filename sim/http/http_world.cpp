#include "sim/http/http_world.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <memory>
#include <utility>

#include "sim/http/lossy_http.hpp"

namespace slotwire::sim {
namespace {

using http_stream::ClientOptions;
using http_stream::CloseCode;
using http_stream::MessagePipe;
using http_stream::ServerEvent;
using http_stream::ServerOptions;
using http_stream::SessionNumber;
using http_stream::SessionState;

constexpr std::uint64_t kSecond = 1'000'000;
constexpr std::uint64_t kHealUs = 300 * kSecond;  ///< everything has arrived so long after the way healed
constexpr std::uint64_t kNoticeUs = 25 * kSecond;
/// Tries for a duplex connection: their first and longest delay, and the time after which one has been made.
constexpr std::uint64_t kRetryUs = 1 * kSecond, kRetryMaxUs = 30 * kSecond, kAttachUs = 60 * kSecond;
constexpr std::uint64_t kCloseUs = 30 * kSecond;    ///< and so long after a close both ends know
constexpr std::uint64_t kForgetUs = 120 * kSecond;  ///< and so long after that nothing is left
constexpr std::uint64_t kMostSteps = 3'000'000;
constexpr unsigned kMostAtOnce = 20'000;  ///< steps without time passing
constexpr std::size_t kLastEvents = 30;

/// The messages of one direction of one session: what the n-th one is follows from the seed.
class Content {
 public:
  explicit Content(std::uint64_t seed) : seed_(seed) {}

  Bytes message(std::uint64_t number, std::size_t longest) const {
    Random random(mix(seed_ ^ number));
    std::size_t length = random.between(1, 200);
    if (random.chance(150)) length = random.between(1, 9'000);
    if (random.chance(30)) length = random.between(20'000, 66'000);
    Bytes bytes(std::clamp<std::size_t>(length, 1, longest));
    for (std::size_t i = 0; i < bytes.size(); i += sizeof(std::uint64_t)) {
      const std::uint64_t word = random.next();
      std::memcpy(bytes.data() + i, &word, std::min(sizeof word, bytes.size() - i));
    }
    return bytes;
  }

 private:
  std::uint64_t seed_;
};

/// One direction: what was sent and what was received.
struct Direction {
  Content content;
  std::uint64_t sent = 0, received = 0;
  std::uint64_t wanted = 0;  ///< messages that the application still has to send
  Bytes next{};              ///< the one with number `sent`, once it was made
};

struct Side {
  std::unique_ptr<http_stream::Client> client;
  Direction up{Content(0)}, down{Content(0)};
  SessionNumber session = 0;
  bool reads_up = true, reads_down = true;
  bool server_closed = false, released = false;
  bool wants_duplex = false;
  bool may_fail = false;  ///< the trouble is such that the client may give up
  http_stream::CloseReason server_reason;
};

class World {
 public:
  explicit World(const HttpRun& run);
  HttpResult run();

 private:
  void note(std::string what);
  std::string describe(std::size_t i);
  void violate(const std::string& what) { http_.violate(what); }
  HttpWay bad_way(std::size_t client);
  void chaos();
  void trouble(std::size_t i);
  void apply();
  void write(MessagePipe& pipe, Direction& direction);
  void read(MessagePipe& pipe, Direction& direction);
  void server_events();
  void check();
  void check_ended(const Side& side, const char* when);
  void check_closed(std::size_t i);
  template <class Done>
  bool run_until(std::uint64_t limit_us, Done done);
  void close_all();
  Side* side_of(SessionNumber session);

  HttpRun run_;
  Random random_;
  ServerOptions server_options_;
  std::unique_ptr<http_stream::Server> server_;
  std::vector<std::unique_ptr<http_stream::Server>> old_servers_;
  LossyHttp http_;
  std::vector<Side> sides_;
  HttpResult result_;
  std::deque<std::string> events_;
  bool quiet_ = false;  ///< the applications send nothing new
  std::size_t longest_;
};

ServerOptions server_options(Random& random) {
  ServerOptions options;
  options.session.send_bytes = std::size_t{random.between(100, 1'000)} << 10U;
  options.session.window_max = std::size_t{random.between(128, 600)} << 10U;
  options.max_sessions = 16;
  options.total_bytes = std::size_t{6} << 20U;
  if (random.chance(300)) options.max_held = random.between(1, 4);
  return options;
}

World::World(const HttpRun& run)
    : run_(run),
      random_(run.seed),
      server_options_(server_options(random_)),
      server_(std::make_unique<http_stream::Server>(server_options_,
                                                    [this](std::span<std::byte> bytes) {
                                                      for (auto& byte : bytes) {
                                                        byte = static_cast<std::byte>(random_.below(256));
                                                      }
                                                    })),
      http_(random_, *server_),
      longest_(server_options_.session.max_message) {
  const std::size_t clients = random_.between(1, 3);
  sides_.resize(clients);
  for (std::size_t i = 0; i < clients; ++i) {
    Side& side = sides_[i];
    ClientOptions options;
    options.max_requests = random_.chance(200) ? 2 : random_.between(2, 16);
    options.held_requests = random_.chance(300) ? random_.between(1, 6) : 1;
    options.session.bundle_bytes = random_.chance(300) ? random_.between(9'000, 30'000) : 60'000;
    options.session.part_bytes = random_.chance(300) ? random_.between(500, 8'192) : 8'192;
    options.session.send_bytes = std::size_t{random_.between(100, 1'000)} << 10U;
    options.session.window_max = std::size_t{random_.between(128, 600)} << 10U;
    options.give_up_requests = 25;
    side.wants_duplex = options.duplex = random_.chance(500);
    options.duplex_retry_first_us = kRetryUs;
    options.duplex_retry_max_us = kRetryMaxUs;
    options.duplex_proved_us = 10 * kSecond;
    http_stream::Key nonce{};
    for (auto& byte : nonce) byte = static_cast<std::byte>(random_.below(256));
    side.client = std::make_unique<http_stream::Client>(options, nonce);
    side.up.content = Content(mix(run.seed * 100 + 2 * i));
    side.down.content = Content(mix(run.seed * 100 + 2 * i + 1));
    http_.add(*side.client, bad_way(i));
    http_.expect_retry(i, kRetryUs, options.duplex_open_us);
  }
}

/// Draws what is wrong with a client's way.
HttpWay World::bad_way(std::size_t client) {
  HttpWay way;
  constexpr std::array<std::uint32_t, 6> kDelays = {100, 500, 2'000, 10'000, 30'000, 100'000};
  way.delay_us = kDelays[random_.below(kDelays.size())];
  way.jitter_us = way.delay_us * random_.below(3);
  const auto sometimes = [&](unsigned most) { return random_.chance(400) ? random_.below(most) : 0; };
  way.lose_request = sometimes(60);
  way.lose_response = sometimes(60);
  way.refuse = sometimes(60);
  way.cut_response = sometimes(60);
  way.repeat = sometimes(150);
  way.shorten = sometimes(50);
  way.damage = sometimes(50);
  way.late = sometimes(60);
  way.tell_gone = random_.below(1'001);
  if (random_.chance(250)) {
    way.hold_limit_us = std::uint64_t{random_.between(2'000, 20'000)} * 1'000;
    constexpr std::array<unsigned, 5> kStatus = {502, 503, 504, 408, 0};
    way.hold_status = kStatus[random_.below(kStatus.size())];
  }
  way.serial = random_.chance(50);
  if (random_.chance(100)) way.body_limit = random_.between(20'000, 50'000);
  way.refuse_duplex = sometimes(1'000);
  way.lose_duplex = sometimes(500);
  way.silent_duplex = sometimes(800);
  way.late_duplex = sometimes(800);
  if (random_.chance(300)) way.duplex_limit_us = std::uint64_t{random_.between(1, 20'000)} * 1'000;
  way.address = "10.0.0." + std::to_string(client);
  return way;
}

void World::note(std::string what) {
  const std::uint64_t ms = http_.now_us() / 1'000;
  events_.push_back(std::to_string(ms) + " ms: " + std::move(what));
  if (events_.size() > kLastEvents) events_.pop_front();
}

Side* World::side_of(SessionNumber session) {
  for (Side& side : sides_) {
    if (side.session == session) return &side;
  }
  return nullptr;
}

std::string World::describe(std::size_t i) {
  const Side& side = sides_[i];
  const auto direction = [](const Direction& d) {
    return std::to_string(d.received) + " of " + std::to_string(d.sent) + " and " + std::to_string(d.wanted);
  };
  MessagePipe* pipe = side.session == 0 ? nullptr : server_->session(side.session);
  std::string text = "client " + std::to_string(i) + ": up " + direction(side.up) + ", down " + direction(side.down);
  text += ", state " + std::to_string(static_cast<int>(side.client->state())) + ", outstanding " +
          std::to_string(side.client->outstanding()) + ", unacknowledged " +
          std::to_string(side.client->unacknowledged()) + ", room " + std::to_string(side.client->room());
  if (side.client->duplex_attached()) text += ", duplex";
  if (pipe != nullptr) {
    text += "; server's state " + std::to_string(static_cast<int>(pipe->state())) + ", unacknowledged " +
            std::to_string(pipe->unacknowledged()) + ", room " + std::to_string(pipe->room());
  }
  return text;
}

// Applications.

void World::write(MessagePipe& pipe, Direction& direction) {
  while (direction.wanted > 0) {
    if (direction.next.empty()) direction.next = direction.content.message(direction.sent, longest_);
    if (!pipe.send(direction.next)) return;
    direction.next.clear();
    ++direction.sent;
    --direction.wanted;
  }
}

void World::read(MessagePipe& pipe, Direction& direction) {
  while (const auto message = pipe.receive()) {
    if (direction.received >= direction.sent) return violate("a message arrives that was never sent");
    if (*message != direction.content.message(direction.received, longest_)) {
      return violate("message " + std::to_string(direction.received) + " is another than was sent");
    }
    ++direction.received;
    ++result_.messages;
    result_.hash = mix(result_.hash ^ message->size());
  }
}

void World::server_events() {
  while (const auto event = server_->next_event()) {
    if (event->kind == ServerEvent::Kind::opened) {
      const std::string source = server_->source(event->session);
      const auto client = static_cast<std::size_t>(source.back() - '0');
      Side& side = sides_[client];
      if (side.session != 0) violate("one client has two sessions");
      side.session = event->session;
      note("session " + std::to_string(event->session) + " of client " + std::to_string(client));
    }
    Side* side = side_of(event->session);
    if (event->kind == ServerEvent::Kind::closed && side != nullptr) {
      side->server_closed = true;
      MessagePipe* pipe = server_->session(event->session);
      if (pipe == nullptr) {
        violate("a session that was not released is gone");
        continue;
      }
      side->server_reason = pipe->reason();
      note("the server's end is closed: " + pipe->reason().text);
    }
  }
}

/// Lets every application do what it does, and both ends make of it what they do.
void World::apply() {
  server_events();
  for (std::size_t i = 0; i < sides_.size(); ++i) {
    Side& side = sides_[i];
    write(*side.client, side.up);
    if (side.reads_down) read(*side.client, side.down);
    MessagePipe* pipe = side.session == 0 ? nullptr : server_->session(side.session);
    if (pipe != nullptr) {
      write(*pipe, side.down);
      if (side.reads_up) read(*pipe, side.up);
    }
    http_.pump(i);
  }
  http_.pump_server();
  server_events();
}

void World::check() {
  if (server_->reserved_bytes() > server_options_.total_bytes) violate("sessions hold more than their limit");
  for (const Side& side : sides_) {
    const auto& client = *side.client;
    if (client.outstanding() > 16) violate("a client has more requests outstanding than it may");
    if (client.state() == SessionState::up && !client.duplex_attached() && client.outstanding() == 0) {
      violate("a session is up and no request is outstanding");
    }
    if (client.unacknowledged() > (std::size_t{1'100} << 10U)) violate("a client holds more than its limit");
    if (client.state() == SessionState::closed) check_ended(side, "in trouble");
  }
}

void World::check_ended(const Side& side, const char* when) {
  if (!side.may_fail) violate(std::string("a session ended ") + when + ": " + side.client->reason().text);
}

// Time.

template <class Done>
bool World::run_until(std::uint64_t limit_us, Done done) {
  unsigned at_once = 0;
  while (!http_.violation()) {
    apply();
    if (done()) return true;
    std::uint64_t next = std::min(http_.next_us(), server_->deadline());
    for (const Side& side : sides_) next = std::min(next, side.client->deadline());
    if (next > limit_us) {
      http_.advance(limit_us);
      return false;
    }
    at_once = next <= http_.now_us() ? at_once + 1 : 0;
    if (at_once > kMostAtOnce) violate("time does not pass: something is always due");
    if (++result_.steps > kMostSteps) violate("the run does not come to an end");
    http_.advance(std::max(next, http_.now_us()));
    http_.run_due();
    for (const Side& side : sides_) {
      if (side.client->deadline() <= http_.now_us()) side.client->tick(http_.now_us());
    }
    if (server_->deadline() <= http_.now_us()) server_->tick(http_.now_us());
    apply();
    if (!quiet_) check();
  }
  return false;
}

/// One random event in one client's life.
void World::trouble(std::size_t i) {
  Side& side = sides_[i];
  HttpWay& way = http_.way(i);
  switch (random_.below(12)) {
    case 0:
      side.reads_up = !side.reads_up;
      break;
    case 1:
      side.reads_down = !side.reads_down;
      break;
    case 2:
      if (http_.attach_duplex(i)) note("duplex attached");
      break;
    case 3:
      http_.cut_duplex(i, random_.chance(700), random_.chance(500));
      ++result_.cuts;
      break;
    case 4:
      http_.restart_proxy(i);
      note("proxy restarted");
      break;
    case 5:
      way.address = "10." + std::to_string(random_.below(250)) + ".0." + std::to_string(i);
      break;
    case 6:
      way.down = true;
      note("way " + std::to_string(i) + " is down");
      http_.at(http_.now_us() + random_.between(100'000, 12'000'000), [this, i] { http_.way(i).down = false; });
      break;
    case 7: {
      const bool down = way.down;
      way = bad_way(i);
      way.down = down;
      break;
    }
    default:
      break;
  }
  const auto burst = [this] { return random_.chance(50) ? random_.below(400) : random_.below(20); };
  side.up.wanted += random_.chance(600) ? burst() : 0;
  side.down.wanted += random_.chance(600) ? burst() : 0;
}

void World::chaos() {
  const std::uint64_t end = http_.now_us() + run_.trouble_us;
  const bool replaced = random_.chance(30);
  while (http_.now_us() < end && !http_.violation()) {
    const std::uint64_t until = http_.now_us() + random_.between(1'000, random_.chance(100) ? 8'000'000 : 600'000);
    run_until(until, [] { return false; });
    trouble(random_.below(static_cast<std::uint32_t>(sides_.size())));
  }
  if (!replaced) return;
  note("the server is another one");
  for (Side& side : sides_) side.may_fail = true, side.session = 0;
  old_servers_.push_back(std::move(server_));
  server_ = std::make_unique<http_stream::Server>(server_options_, [this](std::span<std::byte> bytes) {
    for (auto& byte : bytes) byte = static_cast<std::byte>(random_.below(256));
  });
  http_.replace_server(*server_);
}

/// Both ends of every session are closed for the same reason, and what was sent before has arrived.
void World::check_closed(std::size_t i) {
  const Side& side = sides_[i];
  const auto& reason = side.client->reason();
  if (side.client->state() != SessionState::closed) return violate("a client does not come to an end");
  if (!side.server_closed) return violate("a server's session does not come to an end");
  if (reason != side.server_reason) {
    violate("one end says '" + reason.text + "' and the other '" + side.server_reason.text + "'");
  }
}

void World::close_all() {
  std::vector<bool> by_client(sides_.size());
  for (std::size_t i = 0; i < sides_.size(); ++i) {
    Side& side = sides_[i];
    by_client[i] = random_.chance(500);
    // Something is sent and the session is closed at once: it must arrive all the same.
    Direction& direction = by_client[i] ? side.up : side.down;
    MessagePipe* pipe = by_client[i] ? side.client.get() : server_->session(side.session);
    if (pipe == nullptr) return violate("a session is lost");
    direction.wanted = random_.below(30);
    write(*pipe, direction);
    direction.wanted = 0;
    note(std::string(by_client[i] ? "client " : "server of client ") + std::to_string(i) + " closes; " + describe(i));
    pipe->close({CloseCode::done, "end of client " + std::to_string(i)});
  }
  run_until(http_.now_us() + kCloseUs, [this] {
    return std::all_of(sides_.begin(), sides_.end(), [](const Side& side) {
      return side.server_closed && side.client->state() == SessionState::closed;
    });
  });
  for (std::size_t i = 0; i < sides_.size() && !http_.violation(); ++i) {
    note(describe(i) + ", " + sides_[i].client->reason().text);
    check_closed(i);
    const Direction& direction = by_client[i] ? sides_[i].up : sides_[i].down;
    if (direction.received != direction.sent) violate("what was sent before the end did not arrive");
  }
}

HttpResult World::run() {
  chaos();
  // The way is good again, everyone reads, and nobody has more to send.
  quiet_ = true;
  note("healed");
  for (std::size_t i = 0; i < sides_.size(); ++i) {
    HttpWay good;
    good.address = http_.way(i).address;
    http_.way(i) = good;
    sides_[i].reads_up = sides_[i].reads_down = true;
  }
  const bool ended = run_until(http_.now_us() + kHealUs, [this] {
    return std::all_of(sides_.begin(), sides_.end(), [](const Side& side) {
      if (side.may_fail) return side.client->state() == SessionState::closed;
      return side.session != 0 && side.up.wanted == 0 && side.down.wanted == 0 && side.up.received == side.up.sent &&
             side.down.received == side.down.sent;
    });
  });
  if (!ended) {
    for (std::size_t i = 0; i < sides_.size(); ++i) note(describe(i));
    violate("not everything arrives although the way is good");
  }
  // A duplex connection may be dead without its ends knowing; that takes a while to be found.
  if (ended) run_until(http_.now_us() + kNoticeUs, [] { return false; });
  const bool replaced = !sides_.empty() && sides_[0].may_fail;
  const auto attached = [this] {
    return std::all_of(sides_.begin(), sides_.end(),
                       [](const Side& side) { return !side.wants_duplex || side.client->duplex_attached(); });
  };
  if (ended && !replaced && !run_until(http_.now_us() + kAttachUs, attached) && !http_.violation()) {
    violate("there is no duplex connection although the way is good");
  }
  if (replaced) {
    for (const Side& side : sides_) {
      if (side.client->reason().code != CloseCode::unknown_session)
        violate("a lost session is not reported as unknown");
      ++result_.ended;
    }
  } else if (!http_.violation()) {
    close_all();
  }
  for (Side& side : sides_) {
    const auto& counters = side.client->counters();
    result_.resent += counters.resent_parts;
    result_.duplicates += counters.duplicate_parts;
    if (side.session != 0) server_->release(side.session);
  }
  const auto nothing_left = [this] { return server_->sessions() == 0; };
  if (!http_.violation() && !run_until(http_.now_us() + kForgetUs, nothing_left)) {
    violate("the server keeps a session that was released");
  }
  if (!http_.violation() && server_->reserved_bytes() != 0) violate("the server keeps memory of sessions that ended");
  result_.violation = http_.violation();
  result_.requests = http_.requests();
  result_.bytes = http_.bundle_bytes();
  result_.duplex_tries = http_.duplex_tries();
  result_.hash = mix(result_.hash ^ mix(result_.requests) ^ result_.bytes);
  result_.events.assign(events_.begin(), events_.end());
  return result_;
}

}  // namespace

HttpResult run_http(const HttpRun& run) {
  return World(run).run();
}

}  // namespace slotwire::sim
