#include "core/http_stream/server_session.hpp"

#include <algorithm>
#include <limits>

namespace slotwire::http_stream {
namespace {

/// Time for which messages gather before an acknowledgement goes over a duplex connection.
constexpr std::uint64_t kDuplexAcknowledge = 5 * kMillisecond;

std::uint32_t clamp32(std::uint64_t value) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(value, std::numeric_limits<std::uint32_t>::max()));
}
std::uint64_t later(std::uint64_t at, std::uint64_t by) {
  return at > kNever - by ? kNever : at + by;
}

/// `bits` about numbers up to `newest`, seen from the newer number `to`.
std::uint64_t shifted(std::uint64_t bits, std::uint64_t newest, std::uint64_t to) {
  return to - newest >= kMaxRequests ? 0 : bits << (to - newest);
}

}  // namespace

ServerSession::ServerSession(SessionNumber number, const Key& key, std::string source, const ServerOptions& options,
                             BufferPool* pool, SessionOwner& owner)
    : number_(number),
      key_(key),
      source_(std::move(source)),
      options_(options),
      owner_(owner),
      end_(options.session, pool),
      heard_us_(owner.now_us()) {}

// The application's side.

bool ServerSession::send(std::span<const std::byte> message) {
  if (state_ == SessionState::closed) return false;
  const bool sent = end_.send(message);
  if (sent) {
    owner_.touched(*this);
  } else if (!end_.closing()) {
    wants_room_ = true;
  }
  return sent;
}

std::optional<Bytes> ServerSession::receive() {
  auto message = end_.receive();
  if (!end_.in().has_message()) told_readable_ = false;
  if (message && state_ != SessionState::closed && end_.in().credit_due()) owner_.touched(*this);
  return message;
}

void ServerSession::close(CloseReason reason) {
  if (state_ == SessionState::closed || end_.closing()) return;
  end_.close(std::move(reason));
  reason_ = *end_.own_reason();
  state_ = SessionState::closing;
  owner_.touched(*this);
}

void ServerSession::end_now(CloseReason reason) {
  if (state_ == SessionState::closed) return;
  if (!end_.closing()) reason_ = std::move(reason);
  state_ = SessionState::closed;
  end_.cut(reason_);
  end_.in().stop();
  answer_all();
  if (duplex_) owner_.end_duplex(*duplex_);
  duplex_.reset();
  carried_ = {};
  owner_.tell(*this, ServerEvent::Kind::closed);
}

// Requests.

bool ServerSession::awaited(std::uint64_t number) const {
  if (number > newest_) return true;
  return newest_ - number < kMaxRequests && (awaited_ >> (newest_ - number) & 1U) != 0;
}

bool ServerSession::seen(std::uint64_t number) const {
  return number <= newest_ && newest_ - number < kMaxRequests && (seen_ >> (newest_ - number) & 1U) != 0;
}

/// The client says which answers it awaits. What others carried has arrived or is lost.
void ServerSession::settle(const Bundle& bundle) {
  if (bundle.sequence > newest_) {
    seen_ = shifted(seen_, newest_, bundle.sequence);
    newest_ = bundle.sequence;
    awaited_ = bundle.outstanding;
    may_hold_ = std::clamp<std::size_t>(bundle.wanted, 1, options_.max_held);
  }
  std::erase_if(carried_, [this](Carried& carried) {
    if (awaited(carried.number)) return false;
    end_.out().lose(carried.parts, carried.number);
    if (carried.bytes > options_.session.bundle_bytes) long_.push_back(std::move(carried));
    return true;
  });
  for (std::size_t i = held_.size(); i-- > 0;) {
    if (!awaited(held_[i].number)) answer(i, false);
  }
}

/// Long answers that the client does not await any more have arrived, or have not.
void ServerSession::judge_long() {
  for (const Carried& carried : long_) {
    if (end_.out().acknowledged(carried.parts)) {
      end_.pace().passed(carried.bytes);
    } else {
      end_.pace().failed(carried.bytes, owner_.now_us());
    }
  }
  long_.clear();
}

void ServerSession::heard() {
  heard_us_ = owner_.now_us();
  if (state_ != SessionState::silent) return;
  state_ = SessionState::up;
  ++owner_.counters().resumed;
  owner_.tell(*this, ServerEvent::Kind::resumed);
}

void ServerSession::after_room() {
  if (!wants_room_ || end_.room() < options_.session.part_bytes) return;
  wants_room_ = false;
  owner_.tell(*this, ServerEvent::Kind::writable);
}

/// Takes what a bundle brings. False: the session has ended by that.
bool ServerSession::took(const Bundle& bundle) {
  const std::uint64_t duplicates = end_.duplicates();
  const auto wrong = end_.take(bundle);
  owner_.counters().duplicate_parts += end_.duplicates() - duplicates;
  if (wrong) {
    end_now({CloseCode::protocol_error, *wrong});
    return false;
  }
  end_.pace().round_trip(bundle.round_trip_us, owner_.now_us());
  after_room();
  if (end_.in().has_message() && !told_readable_) {
    told_readable_ = true;
    owner_.tell(*this, ServerEvent::Kind::readable);
  }
  if (!end_.peer_closed() || (end_.closing() && !end_.out().empty())) return true;
  end_now(*end_.peer_reason());
  return false;
}

void ServerSession::open(ExchangeId id, const Bundle& bundle) {
  Bundle answer;
  answer.key = key_;
  answer.sequence = bundle.sequence;
  answer.set(kFlagResponse);
  answer.set(kFlagOpen);
  answer.nonce = bundle.nonce;
  answer.max_message = clamp32(options_.session.max_message);
  answer.bundle_bytes = clamp32(options_.session.bundle_bytes_max);
  answer.hold_ms = clamp32(options_.hold_max_us / kMillisecond);
  if (const auto wrong = end_.meet(bundle)) end_.cut({CloseCode::refused, *wrong});
  end_.describe(answer);
  owner_.respond(id, answer);
}

bool ServerSession::request(ExchangeId id, const Bundle& bundle) {
  if (state_ == SessionState::closed) {
    answer_bundle(id, bundle.sequence, 0, false);
    return false;
  }
  if (state_ == SessionState::opening) {
    state_ = SessionState::up;
    owner_.tell(*this, ServerEvent::Kind::opened);
  }
  heard();
  // The client has given up its duplex connection, whether or not this end has noticed.
  if (duplex_ && static_cast<std::int16_t>(bundle.generation - generation_) > 0) {
    owner_.end_duplex(*duplex_);
    duplex_lost(*duplex_);
  }
  const bool repeated = seen(bundle.sequence);
  settle(bundle);
  const bool current = newest_ - bundle.sequence < kMaxRequests;
  if (current) seen_ |= std::uint64_t{1} << (newest_ - bundle.sequence);
  if (!took(bundle)) {
    answer_bundle(id, bundle.sequence, 0, false);
    return false;
  }
  judge_long();
  owner_.touched(*this);
  if (!current || !awaited(bundle.sequence)) {
    answer_bundle(id, bundle.sequence, 0, false);
    return false;
  }
  const std::uint64_t now = owner_.now_us();
  if (repeated) {
    ++owner_.counters().repeated;
    const auto same =
        std::find_if(held_.begin(), held_.end(), [&](const Held& held) { return held.number == bundle.sequence; });
    if (same != held_.end()) {
      // The client or a proxy sends it again, so the first copy's connection is probably dead.
      owner_.let_go(same->id);
      answer_bundle(same->id, bundle.sequence, now - same->since_us, false);
      same->id = id;
      return true;
    }
    // It was answered, and the answer is still awaited: the same once more, in an answer to this copy.
    std::erase_if(carried_, [&](const Carried& carried) {
      if (carried.number != bundle.sequence) return false;
      end_.out().lose(carried.parts, carried.number);
      end_.pace().failed(carried.bytes, now);
      return true;
    });
    answer_bundle(id, bundle.sequence, 0, true);
    return false;
  }
  const std::uint64_t hold_us = std::min<std::uint64_t>(bundle.hold_ms * kMillisecond, options_.hold_max_us);
  const bool at_once = bundle.has(kFlagAnswerNow) || duplex_.has_value();
  const Held held{bundle.sequence, id, now, at_once ? now : later(now, hold_us)};
  held_.insert(std::upper_bound(held_.begin(), held_.end(), held,
                                [](const Held& a, const Held& b) { return a.number < b.number; }),
               held);
  // What it carried is acknowledged soon, by the oldest request that is held. Much of it does not wait for more.
  const std::uint64_t late_us =
      std::max(end_.pace().gather_us(), std::min<std::uint64_t>(bundle.delay_us, options_.session.acknowledge_us));
  const bool much = end_.received_bytes() >= end_.pace().full_bytes() / 2;
  if (!bundle.parts.empty()) {
    held_.front().answer_by_us = std::min(held_.front().answer_by_us, later(now, much ? 0 : late_us));
  }
  hold_limit(late_us);
  return true;
}

/// No more than may_hold_ requests are held: the oldest of more are answered.
void ServerSession::hold_limit(std::uint64_t late_us) {
  const std::uint64_t by = later(owner_.now_us(), end_.full_bundle() ? 0 : late_us);
  for (std::size_t i = 0; i + may_hold_ < held_.size(); ++i) {
    held_[i].answer_by_us = std::min(held_[i].answer_by_us, by);
  }
}

void ServerSession::gone(ExchangeId id) {
  std::erase_if(held_, [id](const Held& held) { return held.id == id; });
  heard_us_ = owner_.now_us();
  owner_.touched(*this);
}

// Answers.

void ServerSession::answer_bundle(ExchangeId id, std::uint64_t number, std::uint64_t delay_us, bool with_parts) {
  Bundle bundle;
  bundle.key = key_;
  bundle.sequence = number;
  bundle.echo = newest_;
  bundle.delay_us = clamp32(delay_us);
  bundle.hold_ms = clamp32(options_.hold_max_us / kMillisecond);
  bundle.generation = generation_;
  bundle.set(kFlagResponse);
  end_.describe(bundle);
  if (with_parts) {
    const bool full = end_.full_bundle();
    const std::uint64_t resent = end_.out().resent_parts();
    Filled filled = end_.fill(bundle, number, owner_.now_us());
    owner_.counters().resent_parts += end_.out().resent_parts() - resent;
    if (!filled.parts.empty()) {
      if (!full) partial_us_ = owner_.now_us();
      carried_.push_back({number, std::move(filled.parts), filled.bytes});
    }
    const std::size_t more = end_.ready_bundles();
    bundle.wanted = static_cast<std::uint8_t>(more - std::min(more, held_.size()));
  }
  owner_.respond(id, bundle);
  heard_us_ = std::max(heard_us_, owner_.now_us());
}

void ServerSession::answer(std::size_t index, bool with_parts) {
  const Held held = held_[index];
  held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(index));
  owner_.let_go(held.id);
  answer_bundle(held.id, held.number, owner_.now_us() - held.since_us, with_parts);
}

void ServerSession::answer_all() {
  while (!held_.empty()) answer(0, false);
}

std::uint64_t ServerSession::gather_until() const {
  return later(partial_us_, end_.pace().gather_us());
}

void ServerSession::serve() {
  if (state_ == SessionState::closed) return;
  const std::uint64_t now = owner_.now_us();
  // close() is told no time, so its time runs from here.
  if (end_.closing()) close_by_us_ = std::min(close_by_us_, later(now, options_.session.close_us));
  for (std::size_t i = 0; i < held_.size();) {
    if (now >= held_[i].answer_by_us) {
      answer(i, true);
    } else {
      ++i;
    }
  }
  while (!held_.empty()) {
    const bool parts = end_.full_bundle() || (end_.out().ready() && now >= gather_until());
    if (!parts && !end_.in().credit_due() && !end_.closing() && !duplex_) break;
    answer(0, !duplex_);
  }
}

// Time.

void ServerSession::expire() {
  const std::uint64_t now = owner_.now_us();
  if (state_ == SessionState::closed || state_ == SessionState::opening) return;
  if (now >= close_by_us_) {
    end_now(reason_);
    return;
  }
  if (!held_.empty()) return;
  if (now >= later(heard_us_, options_.silent_us + options_.grace_us)) {
    ++owner_.counters().timed_out;
    end_now({CloseCode::timed_out, "the client has made no request within the grace time"});
  } else if (now >= later(heard_us_, options_.silent_us)) {
    if (duplex_) {
      owner_.end_duplex(*duplex_);
      duplex_lost(*duplex_);
    }
    if (state_ != SessionState::up) return;
    state_ = SessionState::silent;
    owner_.tell(*this, ServerEvent::Kind::silent);
  }
}

std::uint64_t ServerSession::deadline() const {
  if (state_ == SessionState::closed) return kNever;
  if (state_ == SessionState::opening) return later(heard_us_, options_.open_us);
  std::uint64_t at = close_by_us_;
  for (const Held& held : held_) at = std::min(at, held.answer_by_us);
  // What is due already waits for the owner to take it, not for a time.
  const std::uint64_t now = owner_.now_us();
  const bool gathers = (duplex_ || !held_.empty()) && end_.out().ready() && gather_until() > now;
  if (gathers) at = std::min(at, gather_until());
  if (duplex_ && acknowledge_by_us_ > now) at = std::min(at, acknowledge_by_us_);
  if (!held_.empty()) return at;
  const bool silent = state_ != SessionState::up && !duplex_;
  return std::min(at, later(heard_us_, options_.silent_us + (silent ? options_.grace_us : 0)));
}

// Duplex.

bool ServerSession::duplex_bundle(DuplexId id, const Bundle& bundle) {
  if (state_ == SessionState::closed || state_ == SessionState::opening) return false;
  if (duplex_ != id) {
    // An older connection that was late must not take the place of a newer one.
    if (static_cast<std::int16_t>(bundle.generation - generation_) <= 0) return false;
    if (duplex_) owner_.end_duplex(*duplex_);
    duplex_ = id;
    generation_ = bundle.generation;
    duplex_number_ = duplex_newest_ = 0;
    close_said_ = false;
    // Answers that are under way may arrive or not; what they carry goes over the new connection, too.
    end_.out().lose_all();
    end_.pace().forget_trial();
    carried_.clear();
    owner_.tell(*this, ServerEvent::Kind::way);
  }
  // A connection that loses bundles is not what its name says.
  if (bundle.sequence != duplex_newest_ + 1) {
    duplex_lost(id);
    return false;
  }
  heard();
  duplex_newest_ = bundle.sequence;
  duplex_newest_us_ = owner_.now_us();
  if (!took(bundle)) return false;
  // Every bundle is answered, so that the client knows that the connection lives.
  acknowledge_by_us_ = std::min(acknowledge_by_us_, later(owner_.now_us(), kDuplexAcknowledge));
  owner_.touched(*this);
  return true;
}

void ServerSession::duplex_lost(DuplexId id) {
  if (duplex_ != id) return;
  duplex_.reset();
  owner_.tell(*this, ServerEvent::Kind::way);
  heard_us_ = owner_.now_us();
  acknowledge_by_us_ = kNever;
  end_.out().lose_all();
  owner_.touched(*this);
}

std::optional<Bytes> ServerSession::next_duplex_bundle() {
  if (!duplex_) return std::nullopt;
  const std::uint64_t now = owner_.now_us();
  const bool parts = end_.full_bundle() || (end_.out().ready() && now >= gather_until());
  const bool acknowledge =
      now >= acknowledge_by_us_ || end_.in().credit_due() || end_.received_bytes() >= options_.session.bundle_bytes;
  if (!parts && !acknowledge && (!end_.closing() || close_said_)) return std::nullopt;
  Bundle bundle;
  bundle.key = key_;
  bundle.set(kFlagResponse);
  bundle.set(kFlagDuplex);
  bundle.sequence = ++duplex_number_;
  bundle.generation = generation_;
  bundle.echo = duplex_newest_;
  bundle.delay_us = clamp32(now - duplex_newest_us_);
  end_.describe(bundle);
  acknowledge_by_us_ = kNever;
  close_said_ = bundle.has(kFlagClose);
  const bool full = end_.full_bundle();
  const Filled filled = end_.fill(bundle, kDuplexCarrier | generation_, now);
  if (!filled.parts.empty() && !full) partial_us_ = now;
  return encode(bundle);
}

}  // namespace slotwire::http_stream
