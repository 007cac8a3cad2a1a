// Calls that the exchange cache may answer, replies that it may keep, and what is said to be no longer valid.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include "runtime/cache/query.hpp"
#include "runtime/client/connection.hpp"

namespace slotwire::client {
namespace {

using slot::RecordHeader;
using slot::RecordKind;

/// Calls that find their answer in the cache look at what the engine has sent at most this often.
constexpr cache::Time kControlEveryNs = 1'000'000;
constexpr cache::Time kNever = ~cache::Time{0};
constexpr cache::Time kNsPerMs = 1'000'000;

/// The key in the cache: what the program calls the key is one of a method.
struct InnerKey {
  InnerKey(std::uint16_t method, std::span<const std::byte> key) {
    std::memcpy(bytes.data(), &method, sizeof method);
    std::copy(key.begin(), key.end(), bytes.begin() + sizeof method);
    length = sizeof method + key.size();
  }
  std::span<const std::byte> span() const { return std::span(bytes).first(length); }
  std::array<std::byte, cache::kMaxInnerKey> bytes;  // not zeroed: most keys are short
  std::size_t length = 0;
};

bool same(std::span<const std::byte> a, std::span<const std::byte> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

Failure check_key(std::size_t length) {
  if (length <= cache::kMaxKey) return {};
  return {SW_INVALID, "a key of the cache has at most " + std::to_string(cache::kMaxKey) + " bytes, this one has " +
                          std::to_string(length)};
}

}  // namespace

void CacheUse::configure(std::string socket, std::uint64_t bytes) {
  socket_ = std::move(socket);
  bytes_ = bytes;
  if (bytes_ == 0) {
    const char* const given = std::getenv("SLOTWIRE_CACHE_BYTES");
    char* end = nullptr;
    bytes_ = given == nullptr || *given == '\0' ? cache::kDefaultBytes : std::strtoull(given, &end, 10);
    if (end != nullptr && *end != '\0') {
      tried_ = true;
      why_not_ = "SLOTWIRE_CACHE_BYTES is '" + std::string(given) + "', which is no number of bytes";
    } else if (bytes_ == 0) {
      bytes_ = SW_NO_CACHE;
    }
  }
}

cache::Cache* CacheUse::get(const std::string& node) {
  if (!tried_) {
    tried_ = true;
    if (bytes_ == SW_NO_CACHE) {
      why_not_ = "the cache is turned off (sw_options.cache_bytes or SLOTWIRE_CACHE_BYTES)";
    } else {
      try {
        opened_ = cache::NodeCache::open(cache::label_of(node, socket_), bytes_);
      } catch (const std::exception& error) {
        why_not_ = error.what();
      }
    }
  }
  return opened_ ? &opened_->cache() : nullptr;
}

cache::Cache* Connection::cache() {
  if (!cache_asked_) {
    cache_asked_ = true;
    cache_ = cache_use_.get(session_.node());
    if (cache_ != nullptr) {
      const std::optional<cache::ServiceId> service = cache_->service(info_.service);
      if (service) {
        cache_service_ = *service;
      } else {
        cache_ = nullptr;  // more services than the cache has numbers for
      }
    }
  }
  return cache_;
}

void Connection::invalidated(const RecordHeader& header, const CacheNote& note) {
  if (note.header.word == CacheWord::tell_me) tells_invalidations_ = true;
  if (cache_ == nullptr) return;  // nothing was ever kept through this connection
  const cache::Time now = cache::boot_time();
  switch (note.header.word) {
    case CacheWord::forget_key:
      cache_->invalidate(cache_->key(cache_service_, InnerKey(header.code, note.key).span()), now);
      break;
    case CacheWord::forget_tag:
      cache_->invalidate_tag(cache_service_, note.header.tag, now);
      break;
    case CacheWord::forget_all:
      cache_->invalidate_all(cache_service_, now);
      break;
    case CacheWord::keep:
    case CacheWord::tell_me:
      break;
  }
}

bool Connection::take_note(Incoming& incoming, bool looked_at) {
  const RecordHeader& header = incoming.header;
  if (header.kind == RecordKind::request) {
    asked_.add(header.id);
    tells_invalidations_ = true;
    return true;
  }
  const std::optional<CacheNote> note = CacheNote::of(header.kind, incoming.data);
  if (!note) return false;
  if (header.kind == RecordKind::message) {
    if (!looked_at) invalidated(header, *note);
    return true;
  }
  incoming.note = *note;
  incoming.data = incoming.data.subspan(note->bytes);
  return true;
}

Failure Connection::call_cached(std::uint16_t method, std::span<const std::byte> key, std::span<const std::byte> data,
                                const Deadline& deadline, sw_message& reply) {
  // The reply's key would lie in a ring that is given back.
  if (one_shot_) return call(method, data, deadline, reply);
  if (Failure failure = check_key(key.size()); failure.status != SW_OK) return failure;
  cache::Cache* const cache = this->cache();
  if (cache == nullptr || method == kPingMethod) return call(method, data, deadline, reply);
  if (calling_) return {SW_BUSY, "a call is under way on this connection"};
  const cache::Time now = cache::boot_time();
  if (now - control_looked_ >= kControlEveryNs) {
    control_looked_ = now;
    session_.process_in_passing();
  }
  look_ahead();  // invalidations that have arrived come first
  if (Failure end = end_failure(); end.status != SW_OK) return end;
  const InnerKey inner(method, key);
  const cache::Key name = cache->key(cache_service_, inner.span());
  Held& held = held_.hold_room();
  cache::Query query(*cache, name, held.copy);
  if (query.look(now)) {
    hand_out_found(query.found(), held, reply);
    ask_for_invalidations();
    return {};
  }
  const cache::Time end = deadline.never() ? kNever : now + (static_cast<cache::Time>(deadline.left_ms()) * kNsPerMs);
  switch (query.wait(end, policy_, [this] { return interrupted_.load() && interrupted_.exchange(false); })) {
    case cache::Query::Result::found:
      hand_out_found(query.found(), held, reply);
      ask_for_invalidations();
      return {};
    case cache::Query::Result::timed_out:
      held_.release(held);
      return {SW_TIMED_OUT, "connection to '" + info_.service +
                                "': another process of this node asks for the same, and got no answer in time"};
    case cache::Query::Result::interrupted:
      held_.release(held);
      return {SW_CANCELLED, "interrupted"};
    case cache::Query::Result::ask:
      break;
  }
  held_.release(held);
  CacheNote note;
  const cache::Time asked = cache::boot_time();
  Failure failure = call_noted(method, data, deadline, reply, note);
  const bool answered = failure.status == SW_OK || failure.status == SW_REMOTE_ERROR;
  if (failure.status == SW_OK && note.header.ttl_ms != 0 && same(note.key, key)) {
    query.store({.value = {static_cast<const std::byte*>(reply.data), reply.length},
                 .asked = asked,
                 .ttl_ms = note.header.ttl_ms,
                 .tag = note.header.tag});
  } else if (answered) {
    query.answered();
  }
  return failure;
}

/// A client whose calls were all answered by the cache is not known to the server as one that has to be told.
void Connection::ask_for_invalidations() {
  if (asked_for_invalidations_ || !is_usable()) return;
  const CacheHeader note{.word = CacheWord::tell_me};
  asked_for_invalidations_ = send_now({.kind = RecordKind::message, .flags = slot::kWhole | slot::kCacheable},
                                      std::as_bytes(std::span(&note, 1)));
}

void Connection::hand_out_found(const cache::Found& found, Held& held, sw_message& out) {
  out.kind = SW_REPLY;
  out.data = held.copy.data() + found.offset;
  out.length = found.length;
  out.id = 0;
  out.code = 0;
  out.deadline_us = -1;
  out.owner = &held;
}

Failure Connection::call_noted(std::uint16_t method, std::span<const std::byte> data, const Deadline& deadline,
                               sw_message& reply, CacheNote& note) {
  if (Failure failure = may_keep(); failure.status != SW_OK) return failure;
  const std::uint32_t id = ++next_call_;
  Failure failure = send({.kind = RecordKind::request,
                          .flags = slot::kWhole | slot::kCacheable,
                          .code = method,
                          .id = id,
                          .deadline_us = deadline_us(deadline)},
                         data, deadline);
  if (failure.status != SW_OK) return failure;
  asked_for_invalidations_ = true;
  failure = answer_of(id, deadline, reply, &note);
  if (may_pass(failure.status)) give_up_call(id);
  return failure;
}

Failure Connection::send_noted(RecordHeader header, const CacheHeader& note, std::span<const std::byte> key,
                               std::span<const std::byte> data, const Deadline& deadline) {
  header.flags = slot::kWhole | slot::kCacheable;
  const std::size_t total = sizeof note + key.size() + data.size();
  const auto fill = [&](std::byte* to) {
    std::memcpy(to, &note, sizeof note);
    std::copy(key.begin(), key.end(), to + sizeof note);
    std::copy(data.begin(), data.end(), to + sizeof note + key.size());
  };
  if (Failure failure = may_send(); failure.status != SW_OK) return failure;
  if (const std::optional<std::span<std::byte>> place = writer_.reserve(total)) {
    fill(place->data());
    header.length = static_cast<std::uint32_t>(total);
    writer_.commit(header);
    notify_written();
    return {};
  }
  std::vector<std::byte> whole(total);
  fill(whole.data());
  return send(header, whole, deadline);
}

Failure Connection::reply_cached(std::uint32_t id, std::span<const std::byte> data, const sw_cacheable& cacheable,
                                 const Deadline& deadline) {
  const std::span<const std::byte> key(static_cast<const std::byte*>(cacheable.key), cacheable.key_length);
  if (Failure failure = check_key(key.size()); failure.status != SW_OK) return failure;
  // Kept until the reply is sent, so that a try which found no room can be repeated.
  if (cacheable.ttl_ms == 0 || !asked_.contains(id)) return send({.kind = RecordKind::reply, .id = id}, data, deadline);
  const CacheHeader note{
      .ttl_ms = cacheable.ttl_ms, .key_length = static_cast<std::uint16_t>(key.size()), .tag = cacheable.tag};
  Failure failure = send_noted({.kind = RecordKind::reply, .id = id}, note, key, data, deadline);
  if (failure.status == SW_OK) asked_.take(id);
  return failure;
}

Failure Connection::invalidate(const sw_invalidation& what, const Deadline& deadline) {
  const std::span<const std::byte> key(static_cast<const std::byte*>(what.key), what.key_length);
  if (what.what < SW_INVALIDATE_KEY || what.what > SW_INVALIDATE_ALL)
    return {SW_INVALID, "an invalidation is of a key, of a tag or of all"};
  if (Failure failure = check_key(key.size()); failure.status != SW_OK) return failure;
  look_ahead();                                     // the client may just have said so
  if (!tells_invalidations_) return end_failure();  // this client has asked for nothing that is kept
  const bool of_key = what.what == SW_INVALIDATE_KEY;
  const CacheHeader note{.key_length = static_cast<std::uint16_t>(of_key ? key.size() : 0),
                         .word = static_cast<CacheWord>(what.what),
                         .tag = what.what == SW_INVALIDATE_TAG ? what.tag : 0};
  // In one record, which the other end can look at before it takes it.
  const auto lines = static_cast<std::uint32_t>(slot::record_lines(sizeof note + note.key_length));
  if (Failure failure = may_send(); failure.status != SW_OK) return failure;
  wanted_lines_ = lines;
  Failure failure = wait(SW_WRITABLE, deadline, [&] { return writer_.producer().writable(lines) >= lines; });
  if (failure.status != SW_OK) return failure;
  return send_noted({.kind = RecordKind::message, .code = what.method}, note, key.first(note.key_length), {}, deadline);
}

}  // namespace slotwire::client
