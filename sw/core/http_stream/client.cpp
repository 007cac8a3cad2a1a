#include "core/http_stream/client.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <deque>
#include <limits>
#include <utility>
#include <vector>

#include "core/http_stream/duplex_tries.hpp"
#include "core/http_stream/learning.hpp"
#include "core/http_stream/session.hpp"

namespace slotwire::http_stream {
namespace {

/// Time beyond a time-out that an HTTP client gets before it ends a request by itself.
constexpr std::uint64_t kTransferSlack = 2 * kSecond;
/// Time after which what was received is acknowledged by a request of its own.
constexpr std::uint64_t kAcknowledge = 500 * kMillisecond;
/// Time for which messages gather before an acknowledgement goes over a duplex connection.
constexpr std::uint64_t kDuplexAcknowledge = 5 * kMillisecond;
/// A held request that ends sooner did not end because it was held.
constexpr std::uint64_t kShortestCut = 900 * kMillisecond;
constexpr unsigned kContentTooLarge = 413;
/// Round trip from which on requests are held for what a large transfer is answered with.
constexpr std::uint64_t kFarUs = 5 * kMillisecond;

ClientOptions normalized(ClientOptions options) {
  options.session = normalized(options.session);
  options.max_requests = std::clamp<std::size_t>(options.max_requests, 2, kMaxRequests);
  options.held_requests = std::clamp<std::size_t>(options.held_requests, 1, options.max_requests - 1);
  options.hold_max_us = std::max(options.hold_max_us, options.hold_min_us);
  options.hold_us = std::clamp(options.hold_us, options.hold_min_us, options.hold_max_us);
  options.timeout_min_us = std::max<std::uint64_t>(options.timeout_min_us, kMillisecond);
  options.timeout_max_us = std::max(options.timeout_max_us, options.timeout_min_us);
  options.retry_first_us = std::max<std::uint64_t>(options.retry_first_us, kMillisecond);
  options.retry_max_us = std::max(options.retry_max_us, options.retry_first_us);
  options.give_up_requests = std::max<std::size_t>(options.give_up_requests, 1);
  options.duplex_silence_us = std::max<std::uint64_t>(options.duplex_silence_us, 100 * kMillisecond);
  options.duplex_open_us = std::max<std::uint64_t>(options.duplex_open_us, 100 * kMillisecond);
  options.duplex_retry_first_us = std::max<std::uint64_t>(options.duplex_retry_first_us, 10 * kMillisecond);
  options.duplex_retry_max_us = std::max(options.duplex_retry_max_us, options.duplex_retry_first_us);
  return options;
}

std::uint64_t later(std::uint64_t at, std::uint64_t by) {
  return at > kNever - by ? kNever : at + by;
}

}  // namespace

struct Client::State {
  /// A request whose answer is awaited.
  struct Awaited {
    RequestNumber number = 0;
    std::uint64_t sent_us = 0;
    std::uint64_t hold_us = 0;           ///< 0: to be answered at once
    std::uint64_t answer_by_us = 0;      ///< without an answer it is given up then
    std::uint64_t parts_by_us = kNever;  ///< its parts are sent again then
    std::uint64_t late_us = 0;           ///< that the server may take for the acknowledgement
    bool displaced = false;              ///< newer requests oblige the server to answer it
    bool spared = false;                 ///< its time was prolonged once
    bool probe = false;                  ///< of the probe at the start
    bool closes = false;
    std::vector<PartRange> parts;
    std::size_t bytes = 0;  ///< of its body
  };
  enum class Failure : std::uint8_t { cut, silence, other };

  State(const ClientOptions& opts, const Key& a_nonce, const std::optional<Learned>& learned)
      : options(normalized(opts)),
        nonce(a_nonce),
        end(options.session, nullptr),
        holds(options, learned),
        tries(options, learned),
        round_trip(options.timeout_first_us, options.timeout_min_us, options.timeout_max_us),
        target(options.held_requests),
        jitter(std::bit_cast<std::array<std::uint64_t, 2>>(a_nonce)[0]) {
    if (learned && learned->bundle_bytes != 0) end.pace().limit_bundle(learned->bundle_bytes);
  }

  void see(std::uint64_t now) { now_us = std::max(now_us, now); }
  bool trouble() const { return failures >= 2; }
  /// When a duplex connection counts as dead: after silence, and sooner when the server owes an answer.
  std::uint64_t duplex_lost_at() const {
    std::uint64_t patience_us = options.duplex_silence_us / 4;
    if (duplex_newest == 0) {
      patience_us = std::min(patience_us, std::max(options.duplex_first_us, 2 * round_trip.timeout_us()));
    }
    return std::min(later(duplex_heard_us, options.duplex_silence_us), later(duplex_unanswered_us, patience_us));
  }
  std::uint64_t gather_until() const { return later(partial_us, end.pace().gather_us()); }

  /// After failures one request is made at a time. Those that the server holds by right say nothing about the way, and
  /// are not waited for.
  bool may_retry() const {
    return awaited.size() < options.max_requests &&
           std::all_of(awaited.begin(), awaited.end(), [](const Awaited& a) { return a.hold_us != 0; });
  }
  bool wants_request() const;
  Request make_request(bool answer_now, bool probe);
  void answer_deadlines(const Awaited& newest, std::size_t held, std::uint64_t late_us);
  std::uint64_t patience() const;
  void sends_much();
  void open_answer(const Bundle& bundle);
  void answer(std::optional<Awaited> request, const Bundle& bundle);
  void learn(const std::optional<Awaited>& request, const Bundle& bundle);
  void took(const Bundle& bundle);
  void failed(Awaited request, std::string_view text, Failure kind);
  std::optional<Awaited> take_awaited(RequestNumber id);
  void expire();
  void parts_unanswered(const Awaited& request);
  void wait_on(RequestNumber answered);
  bool spare(Awaited& request);
  void finish(const CloseReason& why);
  bool may_try_duplex() const { return opened && used && !duplex && !end.closing() && !trouble(); }
  void lose_duplex(std::string_view why);
  std::uint64_t deadline() const;
  std::uint64_t random() {
    jitter ^= jitter << 13U, jitter ^= jitter >> 7U, jitter ^= jitter << 17U;
    return jitter;
  }

  ClientOptions options;
  Key nonce;
  Key key{};
  SessionEnd end;
  HoldLearner holds;
  DuplexTries tries;
  RoundTrip round_trip;
  ClientCounters counters;
  CloseReason reason;
  bool opened = false, ended = false;
  bool used = false;        ///< the server has answered a request with the key, so the session exists for it
  bool confirming = false;  ///< the peer has ended the session; it is told that this end knows
  bool confirmed = false;   ///< and has answered that
  std::uint64_t now_us = 0;
  std::uint64_t close_by_us = kNever, open_by_us = kNever;

  std::deque<Awaited> awaited;  ///< ascending
  std::deque<RequestNumber> abandoned;
  RequestNumber next_number = 1;
  std::size_t target;            ///< requests that are kept outstanding
  std::uint64_t partial_us = 0;  ///< when the last bundle with parts that was not full was sent
  std::uint64_t full_answer_us = 0;
  std::uint64_t acknowledge_by_us = kNever;
  unsigned probes_left = 0;

  std::size_t failures = 0;
  std::uint64_t failed_us = 0, retry_us = 0;
  std::uint64_t answered_us = 0;  ///< when something was last heard
  std::uint64_t jitter;

  bool duplex = false, close_said = false;
  std::uint16_t generation = 0;
  std::uint64_t duplex_number = 0, duplex_newest = 0, duplex_newest_us = 0, duplex_heard_us = 0, duplex_said_us = 0,
                duplex_unanswered_us = kNever;
  std::uint64_t timed_number = 0, timed_us = 0;  ///< the bundle whose echo gives the round trip; 0: none
};

// Requests.

bool Client::State::wants_request() const {
  if (now_us < retry_us || duplex) return false;
  if (!opened || trouble()) return may_retry();
  if (awaited.size() >= options.max_requests) return false;
  if (awaited.size() < target || probes_left != 0) return true;
  if (end.full_bundle() || (end.out().ready() && now_us >= gather_until())) return true;
  if (now_us >= acknowledge_by_us || end.in().credit_due()) return true;
  const bool told = std::any_of(awaited.begin(), awaited.end(), [](const Awaited& a) { return a.closes; });
  return end.closing() && !told;
}

Request Client::State::make_request(bool answer_now, bool probe) {
  Bundle bundle;
  bundle.key = key;
  bundle.sequence = next_number++;
  bundle.generation = generation;
  bundle.round_trip_us = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(round_trip.smoothed_us(), std::numeric_limits<std::uint32_t>::max()));
  const std::size_t held = std::min(target, options.max_requests - 1);
  bundle.wanted = static_cast<std::uint8_t>(held);

  Awaited request;
  request.number = bundle.sequence;
  request.sent_us = now_us;
  request.hold_us = answer_now ? 0 : holds.hold_us();
  if (probe) {
    request.hold_us = std::min(request.hold_us, options.probe_hold_us);
    request.probe = true;
    --probes_left;
  }
  if (request.hold_us == 0) bundle.set(kFlagAnswerNow);
  bundle.hold_ms = static_cast<std::uint32_t>(request.hold_us / kMillisecond);

  // The map has room for so many requests only; older ones are not awaited any more.
  while (!awaited.empty() && awaited.front().number + kMaxRequests <= request.number) {
    abandoned.push_back(awaited.front().number);
    end.out().lose(awaited.front().parts, awaited.front().number);
    awaited.pop_front();
  }
  bundle.outstanding = 1;
  for (const Awaited& other : awaited) bundle.outstanding |= std::uint64_t{1} << (request.number - other.number);

  end.describe(bundle);
  acknowledge_by_us = kNever;
  if (opened) {
    const bool full = end.full_bundle();
    Filled filled = end.fill(bundle, request.number, now_us);
    request.parts = std::move(filled.parts);
    request.bytes = filled.bytes;
    if (!request.parts.empty() && !full) partial_us = now_us;
    if (full) sends_much();
    if (!request.parts.empty() && request.hold_us != 0) bundle.delay_us = static_cast<std::uint32_t>(patience());
  } else {
    bundle.set(kFlagOpen);
    bundle.nonce = nonce;
    bundle.max_message = static_cast<std::uint32_t>(options.session.max_message);
    bundle.bundle_bytes = static_cast<std::uint32_t>(options.session.bundle_bytes_max);
    bundle.sequence = 1;
  }
  request.closes = bundle.has(kFlagClose);
  const std::uint64_t timeout = round_trip.timeout_us();
  // The second request of the probe may have to wait for the first one.
  const std::uint64_t wait_us =
      request.probe ? std::max(request.hold_us, options.probe_hold_us + timeout) : request.hold_us;
  request.answer_by_us = later(now_us, wait_us + timeout);
  // As long as the server may take for the acknowledgement.
  const std::uint64_t late_us = request.late_us = std::max<std::uint64_t>(end.pace().gather_us(), bundle.delay_us);
  if (!request.parts.empty()) request.parts_by_us = later(now_us, timeout + late_us);
  Request made{request.number, encode(bundle), wait_us + timeout + kTransferSlack};
  awaited.push_back(std::move(request));
  answer_deadlines(awaited.back(), held, late_us);
  ++counters.requests;
  return made;
}

/// What answers the application's messages comes in pieces. On a long way each piece needs a request that is held
/// already: the next one would be a round trip late.
void Client::State::sends_much() {
  if (round_trip.smoothed_us() < kFarUs) return;
  full_answer_us = now_us;
  target = std::max(target, std::min(options.max_requests / 2, target + 1));
}

/// How long the acknowledgement of the next request may wait for messages of the server. While half of the requests are
/// free nothing depends on it, and it saves a request and an answer for each message that is answered by another one.
std::uint64_t Client::State::patience() const {
  return awaited.size() < options.max_requests / 2 ? options.session.acknowledge_us : 0;
}

/// The server holds no more than `held` requests, the newest ones: older ones are answered when `newest` has arrived.
void Client::State::answer_deadlines(const Awaited& newest, std::size_t held, std::uint64_t late_us) {
  if (newest.hold_us == 0) return;
  const std::uint64_t by = later(newest.sent_us, round_trip.timeout_us() + late_us);
  for (std::size_t i = awaited.size(); i-- > 0;) {
    if (awaited[i].hold_us == 0) continue;
    if (held > 0) {
      --held;
    } else if (by < awaited[i].answer_by_us) {
      awaited[i].answer_by_us = by;
      awaited[i].displaced = true;
    }
  }
}

std::optional<Client::State::Awaited> Client::State::take_awaited(RequestNumber id) {
  const auto found = std::find_if(awaited.begin(), awaited.end(), [id](const Awaited& a) { return a.number == id; });
  if (found == awaited.end()) return std::nullopt;
  std::optional<Awaited> taken(std::move(*found));
  awaited.erase(found);
  return taken;
}

// Answers.

/// What an answer says about the way: round trip, hold time, load.
void Client::State::learn(const std::optional<Awaited>& request, const Bundle& bundle) {
  if (request) {
    const std::uint64_t took_us = now_us - request->sent_us;
    if (took_us >= bundle.delay_us) {
      round_trip.measured(took_us - bundle.delay_us);
      end.pace().round_trip(round_trip.smoothed_us(), now_us);
    }
    const bool whole = request->hold_us != 0 && bundle.delay_us >= request->hold_us / 10 * 9;
    if (whole) holds.whole_hold();
    // A request that was sent well before the hold ended should have ended it.
    const std::uint64_t early = later(request->sent_us, bundle.delay_us / 2);
    const std::size_t held = std::max<std::size_t>(1, std::min(target, options.max_requests - 1));
    const auto newer = std::count_if(awaited.begin(), awaited.end(), [&](const Awaited& a) {
      return a.number > request->number && later(a.sent_us, round_trip.timeout_us()) < now_us && a.sent_us < early;
    });
    if (whole && (newer >= static_cast<std::ptrdiff_t>(held) || (request->probe && newer != 0))) {
      holds.passed_held(false);
      if (!holds.probed()) probes_left = 2;
    }
    const bool passed = std::any_of(awaited.begin(), awaited.end(),
                                    [&](const Awaited& a) { return a.number < request->number && a.hold_us != 0; });
    if (passed) holds.passed_held(true);
    // The server holds fewer than are asked for: what neither end needed came back at once.
    const bool needless = request->hold_us != 0 && !whole && request->parts.empty() && bundle.parts.empty();
    if (needless && target > options.held_requests) --target;
  }
  const bool full = bundle.wanted > 0;
  if (full) {
    full_answer_us = now_us;
    target = std::min(options.max_requests - 1, std::max<std::size_t>(target + 1, bundle.wanted));
  } else if (now_us >= later(full_answer_us, options.held_idle_us)) {
    target = options.held_requests;
  }
}

/// Takes what every readable bundle of the server brings.
void Client::State::took(const Bundle& bundle) {
  failures = 0;
  retry_us = 0;
  answered_us = now_us;
  if (const auto wrong = end.take(bundle)) {
    if (end.closing()) return finish({CloseCode::protocol_error, *wrong});
    end.cut({CloseCode::protocol_error, *wrong});
    return;
  }
  counters.duplicate_parts = end.duplicates();
  if (end.acknowledgement_due()) acknowledge_by_us = std::min(acknowledge_by_us, later(now_us, kAcknowledge));
  if (!end.peer_closed()) return;
  if (end.closing()) {
    // Other answers that were on their way do not say that the server knows.
    if (end.out().empty() && (!confirming || confirmed)) finish(*end.own_reason());
    return;
  }
  // The server has ended the session. It waits to hear that this is known.
  reason = *end.peer_reason();
  confirming = true;
  end.cut(reason);
}

void Client::State::open_answer(const Bundle& bundle) {
  if (bundle.has(kFlagClose)) {
    finish(bundle.reason);
    return;
  }
  key = bundle.key;
  opened = true;
  failures = 0;
  retry_us = 0;
  answered_us = now_us;
  if (const auto wrong = end.meet(bundle)) {
    end.cut({CloseCode::protocol_error, *wrong});
  }
  // One request that is held for a short time only, and one that should not have to wait for it.
  if (options.probe_hold_us != 0) probes_left = 2;
}

void Client::State::answer(std::optional<Awaited> request, const Bundle& bundle) {
  ++counters.responses;
  if (request && !opened) round_trip.measured(now_us - request->sent_us);
  if (bundle.has(kFlagOpen)) {
    if (!opened && bundle.nonce == nonce) open_answer(bundle);
    return;
  }
  used = true;
  confirmed |= confirming && request && request->closes;
  learn(request, bundle);
  took(bundle);
  if (!request) return;
  end.pace().passed(request->bytes);
  end.out().lose(request->parts, request->number);
  wait_on(request->number);
}

/// While older requests are answered, those behind them have not waited in vain: their parts' time-out begins anew.
void Client::State::wait_on(RequestNumber answered) {
  const std::uint64_t by = later(now_us, round_trip.timeout_us());
  for (Awaited& other : awaited) {
    if (other.number < answered) continue;
    const std::uint64_t other_by = later(by, other.late_us);
    if (other.parts_by_us != kNever) other.parts_by_us = std::max(other.parts_by_us, other_by);
    if (other.hold_us == 0 || other.displaced) other.answer_by_us = std::max(other.answer_by_us, other_by);
  }
}

void Client::on_response(RequestNumber id, unsigned status, std::span<const std::byte> body, std::uint64_t now_us) {
  State& s = *state_;
  s.see(now_us);
  auto request = s.take_awaited(id);
  if (s.ended) return;
  auto failed = [&](std::string_view text, State::Failure kind = State::Failure::other) {
    if (request) s.failed(std::move(*request), text, kind);
  };
  const auto decoded = decode(body);
  if (!decoded.ok()) {
    if (status == kContentTooLarge) {
      s.end.pace().limit_bundle((request && request->bytes != 0 ? request->bytes : s.end.pace().most_bytes()) / 2);
    }
    if (status >= 200 && status < 300) {
      s.end.count_unreadable();
      ++s.counters.unreadable;
      return failed("an answer could not be read: " + decoded.error().text);
    }
    constexpr std::array<unsigned, 4> kCuts = {408, 502, 503, 504};
    const bool cut = std::find(kCuts.begin(), kCuts.end(), status) != kCuts.end();
    return failed("the answer was status " + std::to_string(status), cut ? State::Failure::cut : State::Failure::other);
  }
  const Bundle& bundle = decoded.value();
  if (!bundle.has(kFlagResponse)) return failed("the answer is a request: does the address lead to this program?");
  if (bundle.has(kFlagUnreadable)) return failed("the server could not read a request");
  if (bundle.sequence != id && !(bundle.has(kFlagOpen) && !s.opened)) return failed("the answer is to another request");
  if (bundle.has(kFlagUnknown)) {
    if (s.opened) s.finish({CloseCode::unknown_session, "the server does not know the session (any more)"});
    return;
  }
  if (s.opened && !bundle.has(kFlagOpen) && bundle.key != s.key) return failed("the answer is for another session");
  s.answer(std::move(request), bundle);
}

void Client::on_failure(RequestNumber id, std::string_view text, std::uint64_t now_us) {
  State& s = *state_;
  s.see(now_us);
  auto request = s.take_awaited(id);
  if (request && !s.ended) s.failed(std::move(*request), text, State::Failure::cut);
}

/// A request has no answer: what it carried is sent again. So many in succession are the end.
void Client::State::failed(Awaited request, std::string_view text, Failure kind) {
  ++counters.failures;
  end.out().lose(request.parts, request.number);
  end.pace().failed(request.bytes, now_us);
  const std::uint64_t age = now_us - request.sent_us;
  const bool held = request.hold_us != 0 && !request.displaced && counters.responses != 0 && failures == 0;
  const bool cut = held && kind == Failure::cut && age >= kShortestCut && age > round_trip.timeout_us();
  if (cut) holds.cut(age);
  if (held && kind == Failure::silence) holds.silent_cut();
  if (request.sent_us < failed_us && failures != 0) return;  // on its way together with one that was counted
  ++failures;
  failed_us = now_us;
  if (failures >= options.give_up_requests) {
    finish({CloseCode::failed, std::to_string(failures) +
                                   " requests in succession were not answered; the last one: " + std::string(text)});
    return;
  }
  if (failures < 2) return;  // one may be lost by chance, or with a connection that was not used for long
  std::uint64_t delay = options.retry_first_us;
  for (std::size_t i = 2; i < failures && delay < options.retry_max_us; ++i) delay *= 2;
  delay = std::min(delay, options.retry_max_us);
  retry_us = later(now_us, delay / 2 + random() % (delay / 2 + 1));
}

// Time.

/// Parts were sent so long ago that their acknowledgement should be here.
void Client::State::parts_unanswered(const Awaited& request) {
  const std::uint64_t sent_us = request.sent_us;
  // While it is not known whether held requests let others pass, the probe's end says more than a time-out.
  const auto probe = std::find_if(awaited.begin(), awaited.end(), [](const Awaited& a) { return a.probe; });
  if (probe != awaited.end() && !holds.probed() && now_us < probe->answer_by_us) {
    for (Awaited& other : awaited) {
      if (now_us >= other.parts_by_us) other.parts_by_us = probe->answer_by_us;
    }
    return;
  }
  round_trip.timed_out();
  end.pace().failed(request.bytes, now_us);
  for (Awaited& other : awaited) {
    if (other.sent_us > sent_us) break;
    end.out().lose(other.parts, other.number);
    other.parts_by_us = kNever;
    // Nothing at all was heard since: no request of that time will be answered.
    if (answered_us < sent_us) other.answer_by_us = std::min(other.answer_by_us, now_us), other.displaced = true;
  }
}

/// Newer requests that were to displace this one may have been answered before it arrived, and then the server still
/// holds it by right. It gets more time once; its answer may be lost all the same.
bool Client::State::spare(Awaited& request) {
  if (request.hold_us == 0 || !request.displaced || request.spared || answered_us < request.sent_us) return false;
  const auto newer = std::count_if(awaited.begin(), awaited.end(), [&](const Awaited& other) {
    return other.number > request.number && other.hold_us != 0;
  });
  if (newer >= static_cast<std::ptrdiff_t>(std::min(target, options.max_requests - 1))) return false;
  request.spared = true;
  request.answer_by_us = later(now_us, 2 * round_trip.timeout_us());
  return true;
}

void Client::State::expire() {
  if (ended) return;
  if (options.open_us != 0 && !opened) {
    open_by_us = std::min(open_by_us, later(now_us, options.open_us));
    if (now_us >= open_by_us) return finish({CloseCode::failed, "the server has not answered in time"});
  }
  // close() is told no time, so its time runs from the next call that is.
  if (end.closing()) close_by_us = std::min(close_by_us, later(now_us, options.session.close_us));
  if (now_us >= close_by_us) {
    finish(confirming ? reason : *end.own_reason());
    return;
  }
  if (duplex && now_us >= duplex_lost_at()) {
    lose_duplex(duplex_newest == 0 ? "it was made, and nothing came over it" : "it fell silent");
  }
  if (tries.late(now_us)) tries.failed("it was not made in time", now_us, random());
  for (const Awaited& request : awaited) {
    if (now_us >= request.parts_by_us) parts_unanswered(request);
  }
  for (std::size_t i = 0; i < awaited.size() && !ended;) {
    if (now_us < awaited[i].answer_by_us || spare(awaited[i])) {
      ++i;
      continue;
    }
    Awaited request = std::move(awaited[i]);
    awaited.erase(awaited.begin() + static_cast<std::ptrdiff_t>(i));
    abandoned.push_back(request.number);
    ++counters.timeouts;
    failed(std::move(request), "nothing came back in time", Failure::silence);
  }
}

void Client::State::finish(const CloseReason& why) {
  if (ended) return;
  ended = true;
  const bool own = end.own_reason() && !confirming && why.code != CloseCode::failed;
  reason = own ? *end.own_reason() : why;
  for (const Awaited& request : awaited) abandoned.push_back(request.number);
  awaited.clear();
  duplex = false;
  end.out().clear();
  end.in().stop();
}

void Client::tick(std::uint64_t now_us) {
  state_->see(now_us);
  state_->expire();
}

std::uint64_t Client::deadline() const {
  return state_->ended ? kNever : state_->deadline();
}

std::uint64_t Client::State::deadline() const {
  std::uint64_t at = opened ? close_by_us : std::min(close_by_us, open_by_us);
  for (const auto& request : awaited) at = std::min({at, request.answer_by_us, request.parts_by_us});
  if (duplex) {
    // What is due already waits for the owner to take it, not for a time.
    const std::uint64_t say = later(duplex_said_us, options.duplex_silence_us / 4);
    for (const std::uint64_t due : {say, acknowledge_by_us, end.out().ready() ? gather_until() : kNever}) {
      if (due > now_us) at = std::min(at, due);
    }
    return std::min(at, duplex_lost_at());
  }
  if (tries.trying() || may_try_duplex()) at = std::min(at, tries.deadline(now_us));
  if (!opened || trouble()) return may_retry() ? std::min(at, retry_us) : at;
  if (awaited.size() >= options.max_requests) return at;
  at = std::min(at, std::max(acknowledge_by_us, retry_us));
  if (awaited.size() < target) at = std::min(at, retry_us);
  return end.out().ready() ? std::min(at, std::max(gather_until(), retry_us)) : at;
}

std::optional<Request> Client::next_request(std::uint64_t now_us) {
  State& s = *state_;
  s.see(now_us);
  s.expire();
  if (s.ended || !s.wants_request()) return std::nullopt;
  // A request alone on its way must bring an acknowledgement of what it carries.
  const bool alone = s.awaited.empty() && s.end.out().ready();
  const bool second_probe = s.probes_left == 1;
  return s.make_request(!s.opened || s.trouble() || s.confirming || alone || second_probe, s.probes_left != 0);
}

std::optional<RequestNumber> Client::next_abandoned() {
  auto& abandoned = state_->abandoned;
  if (abandoned.empty()) return std::nullopt;
  const RequestNumber id = abandoned.front();
  abandoned.pop_front();
  return id;
}

// Duplex.

bool Client::next_duplex_try(std::uint64_t now_us) {
  State& s = *state_;
  s.see(now_us);
  s.expire();
  if (s.ended || !s.may_try_duplex() || !s.tries.due(s.now_us)) return false;
  s.tries.begin(s.now_us);
  ++s.counters.duplex_tries;
  return true;
}

bool Client::duplex_trying() const {
  return !state_->ended && state_->tries.trying();
}

void Client::on_duplex_failed(std::string_view why, std::uint64_t now_us) {
  State& s = *state_;
  s.see(now_us);
  if (!s.ended && s.tries.trying()) s.tries.failed(why, s.now_us, s.random());
}

DuplexReport Client::duplex_report() const {
  const State& s = *state_;
  using State = DuplexReport::State;
  DuplexReport report{State::waiting, s.tries.failures()};
  if (!s.tries.wanted()) {
    report.state = State::off;
  } else if (s.duplex) {
    report.state = State::attached;
  } else if (s.tries.trying()) {
    report.state = State::trying;
  } else if (report.failures.count != 0) {
    report.state = State::resting;
  }
  return report;
}

bool Client::attach_duplex(std::uint64_t now_us) {
  State& s = *state_;
  s.see(now_us);
  if (s.ended || !s.opened || s.duplex) return false;
  s.duplex = true;
  s.tries.attached(s.now_us);
  ++s.generation;
  s.duplex_number = s.duplex_newest = s.timed_number = 0;
  s.duplex_heard_us = s.now_us;
  s.duplex_said_us = 0;
  s.duplex_unanswered_us = kNever;
  s.probes_left = 0;
  s.close_said = false;
  ++s.counters.duplex_attached;
  return true;
}

std::optional<Bytes> Client::next_bundle(std::uint64_t now_us) {
  State& s = *state_;
  s.see(now_us);
  s.expire();
  if (s.ended || !s.duplex) return std::nullopt;
  const bool first = s.duplex_number == 0;
  const bool quiet = s.now_us >= later(s.duplex_said_us, s.options.duplex_silence_us / 4);
  const bool parts = s.end.full_bundle() || (s.end.out().ready() && s.now_us >= s.gather_until());
  const bool acknowledge = s.now_us >= s.acknowledge_by_us || s.end.in().credit_due() ||
                           s.end.received_bytes() >= s.options.session.bundle_bytes;
  const bool close = s.end.closing() && !s.close_said;
  if (!first && !quiet && !parts && !acknowledge && !close) return std::nullopt;
  Bundle bundle;
  bundle.key = s.key;
  bundle.set(kFlagDuplex);
  bundle.sequence = ++s.duplex_number;
  bundle.generation = s.generation;
  bundle.round_trip_us = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(s.round_trip.smoothed_us(), std::numeric_limits<std::uint32_t>::max()));
  bundle.echo = s.duplex_newest;
  bundle.delay_us = static_cast<std::uint32_t>(s.now_us - s.duplex_newest_us);
  s.end.describe(bundle);
  s.close_said = bundle.has(kFlagClose);
  s.acknowledge_by_us = kNever;
  const bool full = s.end.full_bundle();
  const Filled filled = s.end.fill(bundle, kDuplexCarrier | s.generation, s.now_us);
  if (!filled.parts.empty() && !full) s.partial_us = s.now_us;
  s.duplex_said_us = s.now_us;
  s.duplex_unanswered_us = std::min(s.duplex_unanswered_us, s.now_us);
  if (s.timed_number == 0) {
    s.timed_number = bundle.sequence;
    s.timed_us = s.now_us;
  }
  Bytes body = encode(bundle);
  if (s.confirming) s.finish(s.reason);
  return body;
}

void Client::on_bundle(std::span<const std::byte> body, std::uint64_t now_us) {
  State& s = *state_;
  s.see(now_us);
  if (s.ended || !s.duplex) return;
  const auto decoded = decode(body);
  if (!decoded.ok()) {
    ++s.counters.unreadable;
    s.lose_duplex("what came over it is damaged");
    return;
  }
  const Bundle& bundle = decoded.value();
  if (bundle.has(kFlagUnknown)) return s.finish({CloseCode::unknown_session, "the server does not know the session"});
  const bool ours = bundle.has(kFlagDuplex) && bundle.has(kFlagResponse) && bundle.key == s.key;
  if (!ours || bundle.sequence != s.duplex_newest + 1) return s.lose_duplex("it loses what is sent, or mixes it up");
  s.tries.heard();
  s.duplex_heard_us = s.now_us;
  s.duplex_unanswered_us = kNever;
  s.duplex_newest = bundle.sequence;
  s.duplex_newest_us = s.now_us;
  if (s.timed_number != 0 && bundle.echo >= s.timed_number) {
    const std::uint64_t took_us = s.now_us - s.timed_us;
    if (bundle.echo == s.timed_number && took_us >= bundle.delay_us) {
      s.round_trip.measured(took_us - bundle.delay_us);
      s.end.pace().round_trip(s.round_trip.smoothed_us(), s.now_us);
    }
    s.timed_number = 0;
  }
  s.took(bundle);
  if (s.end.acknowledgement_due()) {
    s.acknowledge_by_us = std::min(s.acknowledge_by_us, later(s.now_us, kDuplexAcknowledge));
  }
}

void Client::State::lose_duplex(std::string_view why) {
  duplex = false;
  tries.lost(why, now_us, random());
  ++generation;
  ++counters.duplex_lost;
  end.out().lose_all();
}

void Client::on_duplex_lost(std::uint64_t now_us, std::string_view why) {
  State& s = *state_;
  s.see(now_us);
  if (!s.ended && s.duplex) s.lose_duplex(why);
}

bool Client::duplex_attached() const {
  return state_->duplex;
}

// The application's side.

Client::Client(const ClientOptions& options, const Key& nonce, const std::optional<Learned>& learned)
    : state_(std::make_unique<State>(options, nonce, learned)) {}
Client::~Client() = default;

bool Client::send(std::span<const std::byte> message) {
  return !state_->ended && state_->end.send(message);
}
std::optional<Bytes> Client::receive() {
  return state_->end.receive();
}
std::size_t Client::room() const {
  return state_->ended ? 0 : state_->end.room();
}
std::size_t Client::space() const {
  return state_->ended ? 0 : state_->end.space();
}
std::size_t Client::unacknowledged() const {
  return state_->end.out().bytes();
}

void Client::close(CloseReason reason) {
  State& s = *state_;
  if (s.ended || s.end.closing()) return;
  s.end.close(std::move(reason));
  if (!s.opened && s.awaited.empty()) s.finish(*s.end.own_reason());
}

SessionState Client::state() const {
  const State& s = *state_;
  if (s.ended) return SessionState::closed;
  if (s.end.closing()) return SessionState::closing;
  if (!s.opened) return SessionState::opening;
  return s.trouble() ? SessionState::silent : SessionState::up;
}

const CloseReason& Client::reason() const {
  return state_->reason;
}
const ClientCounters& Client::counters() const {
  state_->counters.resent_parts = state_->end.out().resent_parts();
  return state_->counters;
}
std::size_t Client::outstanding() const {
  return state_->awaited.size();
}

Learned Client::learned() const {
  const State& s = *state_;
  return {.hold_us = s.holds.hold_us(),
          .cut_us = s.holds.cut_us(),
          .bundle_bytes = s.end.pace().ceiling_bytes(),
          .serial = s.holds.serial(),
          .probed = s.holds.probed(),
          .round_trip_us = s.round_trip.smoothed_us(),
          .duplex = s.tries.failures()};
}

}  // namespace slotwire::http_stream
