// Calls: requests and their answers.
#include <algorithm>
#include <utility>

#include "runtime/client/connection.hpp"

namespace slotwire::client {
namespace {

using slot::RecordHeader;
using slot::RecordKind;

/// Longest deadline that a request can carry (32 bits of microseconds), in milliseconds.
constexpr std::int64_t kMaxDeadlineMs = 4'000'000;

bool is_answer(const RecordHeader& header, std::uint32_t id) {
  return (header.kind == RecordKind::reply || header.kind == RecordKind::error) && header.id == id;
}

}  // namespace

std::uint32_t deadline_us(const Deadline& deadline) {
  if (deadline.never()) return 0;
  return static_cast<std::uint32_t>(std::min(deadline.left_ms(), kMaxDeadlineMs) * 1000);
}

bool may_pass(int status) {
  return status == SW_TIMED_OUT || status == SW_CANCELLED || status == SW_LINK_DOWN || status == SW_ENGINE_GONE ||
         status == SW_AGAIN || status == SW_BUSY;
}

Failure Connection::start_call(std::uint16_t method, std::span<const std::byte> data, const Deadline& deadline,
                               std::uint32_t& id) {
  if (method == kPingMethod && !data.empty()) return {SW_INVALID, "method 65535 is the library's own ping"};
  id = ++next_call_;
  return send({.kind = RecordKind::request, .code = method, .id = id, .deadline_us = deadline_us(deadline)}, data,
              deadline);
}

void Connection::give_up_call(std::uint32_t id) {
  // The peer is told if there is room; if not it finds out that nobody reads the answer.
  if (end_.status == SW_OK && writer_.write({.kind = RecordKind::cancel, .id = id}, {})) notify_written();
  given_up_.add(id);
}

Failure Connection::cancel(std::uint32_t id) {
  if (Failure failure = may_send(); failure.status != SW_OK) return failure;
  if (const std::optional<Incoming> kept = take_kept_answer(id)) {
    drop(kept->held);  // it was answered already
    return {};
  }
  give_up_call(id);
  return {};
}

/// Whether what arrives may still be kept for receive().
Failure Connection::may_keep() const {
  if (inbox_.size() < kMaxInbox && inbox_bytes_ < limits_.max_message) return {};
  return {SW_BUSY, std::to_string(inbox_.size()) + " messages with " + std::to_string(inbox_bytes_) +
                       " bytes wait for sw_receive(): take them before calling again"};
}

void Connection::keep(const Incoming& incoming) {
  inbox_.push_back(incoming);
  inbox_bytes_ += incoming.data.size();
  if (held_.lines() <= other_.lines() / 2) return;
  // Lines that stay held must not take the room that the answer needs. All of them: the room of the later ones comes
  // free only after that of the first.
  for (Incoming& waiting : inbox_) {
    if (waiting.held->lines == 0) continue;
    std::vector<std::byte> data(waiting.data.begin(), waiting.data.end());
    const RecordHeader header = waiting.header;
    drop(waiting.held);
    waiting = as_copy(header, std::move(data));
  }
}

Connection::Incoming Connection::take_kept(std::deque<Incoming>::iterator at) {
  const Incoming kept = *at;
  inbox_.erase(at);
  inbox_bytes_ -= kept.data.size();
  return kept;
}

Failure Connection::call(std::uint16_t method, std::span<const std::byte> data, const Deadline& deadline,
                         sw_message& reply) {
  if (calling_) return {SW_BUSY, "a call is under way on this connection"};
  if (Failure failure = may_keep(); failure.status != SW_OK) return failure;
  std::uint32_t id = 0;
  if (Failure failure = start_call(method, data, deadline, id); failure.status != SW_OK) return failure;
  Failure failure = answer_of(id, deadline, reply);
  if (may_pass(failure.status)) give_up_call(id);
  finish_exchange();
  return failure;
}

std::optional<Connection::Incoming> Connection::take_kept_answer(std::uint32_t id) {
  const auto found =
      std::find_if(inbox_.begin(), inbox_.end(), [&](const Incoming& kept) { return is_answer(kept.header, id); });
  if (found == inbox_.end()) return std::nullopt;
  return take_kept(found);
}

Connection::Incoming Connection::complete(const Incoming& incoming) {
  const bool is_last = incoming.header.kind == RecordKind::reply || incoming.header.kind == RecordKind::error;
  if (!one_shot_ || !is_last) return incoming;
  Incoming copy = incoming;
  if (incoming.held->lines != 0) {
    copy = as_copy(incoming.header, {incoming.data.begin(), incoming.data.end()});
    drop(incoming.held);
  }
  finish_exchange();
  return copy;
}

Failure Connection::take_answer(const Incoming& incoming, sw_message& reply) {
  const Incoming answer = complete(incoming);
  hand_out(answer, reply);
  if (answer.header.kind == RecordKind::reply) return {};
  return {SW_REMOTE_ERROR, "the server answered with error " + std::to_string(answer.header.code) + ": " +
                               std::string(reinterpret_cast<const char*>(answer.data.data()), answer.data.size())};
}

Failure Connection::answer_of(std::uint32_t id, const Deadline& deadline, sw_message& reply) {
  return answer_of(id, deadline, reply, nullptr);
}

Failure Connection::answer_of(std::uint32_t id, const Deadline& deadline, sw_message& reply, CacheNote* note) {
  if (const std::optional<Incoming> kept = take_kept_answer(id)) return take_answer(*kept, reply);
  calling_ = true;
  Failure failure;
  // What was taken off the ring is kept, whatever the limit; the next one stays where it is.
  while ((failure = may_keep()).status == SW_OK) {
    const std::optional<Incoming> incoming = next_incoming(failure);
    if (incoming && is_answer(incoming->header, id)) {
      if (note != nullptr) *note = incoming->note;
      failure = take_answer(*incoming, reply);
      break;
    }
    if (incoming) {
      if (wanted(*incoming)) {
        keep(*incoming);
      } else {
        drop(incoming->held);
      }
    } else if (failure.status == SW_OK) {
      failure = wait_for_records(deadline);
    }
    if (failure.status != SW_OK) break;
  }
  calling_ = false;
  return failure;
}

/// Looks only at records that arrived since the last look, so a request costs one look however full the ring is.
void Connection::look_ahead() {
  if (detached_) return;
  const slot::Position head = reader_.consumer().head();
  // What was handed out was noted when it was.
  std::uint32_t skip = std::max(scanned_ - head, held_.lines());
  while (skip < other_.lines()) {
    const std::optional<slot::RecordView> view = reader_.peek(skip);
    if (!view) break;
    if (view->header.kind == RecordKind::cancel) cancelled_.add(view->header.id);
    if (view->header.kind == RecordKind::request && (view->header.flags & slot::kCacheable) != 0)
      tells_invalidations_ = true;
    if (view->header.kind == RecordKind::message && (view->header.flags & slot::kCacheable) != 0) {
      // A damaged one ends the connection when it is taken.
      if (const auto note = CacheNote::of(view->header.kind, view->payload)) invalidated(view->header, *note);
    }
    skip += view->lines;
  }
  scanned_ = head + skip;
}

bool Connection::is_cancelled(std::uint32_t id) {
  look_ahead();
  return cancelled_.contains(id);
}

}  // namespace slotwire::client
