// Messages: sent whole or in parts, received in place or put together.
#include <algorithm>
#include <utility>

#include "runtime/client/connection.hpp"

namespace slotwire::client {

using slot::RecordHeader;
using slot::RecordKind;

namespace {

/// Messages of a batch from which on it is written past the caches. In a bare ring that took 6 ns for a record in
/// batches of 64, plain stores 31; for single records it is several times slower than those.
constexpr std::size_t kStreamedBatch = 16;
/// Messages whose lines are given back together when they were received by one call; and of the ring they are at most
/// this part, so that a program which keeps one of them does not keep its peer from sending the next.
constexpr std::size_t kRunMessages = 16;
constexpr std::uint32_t kRunPart = 8;
/// Lines by which what comes next is asked for ahead: where a record begins is known only when the header of the one
/// before it is there, so the processor does not do it by itself.
constexpr std::size_t kFetchedAhead = 16;

}  // namespace

Failure Connection::may_send() {
  if (loaned_) return {SW_BUSY, "a loan is open on this connection: commit or abandon it first"};
  if (sending_parts_) return {SW_BUSY, "a message is being sent in parts on this connection: go on with it first"};
  return end_failure();
}

Failure Connection::send_some(RecordHeader header, std::span<const std::byte> data, std::size_t& done) {
  if (Failure failure = sending_parts_ ? end_failure() : may_send(); failure.status != SW_OK) return failure;
  if (done > data.size() || (done != 0) != sending_parts_)
    return {SW_INVALID, "this is not the message that was begun"};
  header.flags |= slot::kWhole;
  if (done == 0 && writer_.write(header, data)) {
    done = data.size();
    notify_written();
    return {};
  }
  const std::size_t most = writer_.capacity() / 4;
  do {
    const std::size_t n = std::min(most, data.size() - done);
    wanted_lines_ = static_cast<std::uint32_t>(slot::record_lines(n));
    const std::uint32_t lines = wanted_lines_;
    if (writer_.producer().writable(lines) < lines) return wait(SW_WRITABLE, Deadline(0), [] { return false; });
    header.flags = static_cast<std::uint8_t>((header.flags & slot::kCacheable) | (done == 0 ? slot::kFirstPart : 0) |
                                             (done + n == data.size() ? slot::kLastPart : 0));
    writer_.write(header, data.subspan(done, n));
    notify_written();
    done += n;
    sending_parts_ = done < data.size();
  } while (sending_parts_);
  return {};
}

Failure Connection::send(RecordHeader header, std::span<const std::byte> data, const Deadline& deadline) {
  if (Failure failure = may_send(); failure.status != SW_OK) return failure;
  header.flags |= slot::kWhole;
  if (writer_.write(header, data)) {
    notify_written();
    return {};
  }
  if (Failure end = end_failure(); end.status != SW_OK) return end;
  const bool fits = data.size() <= writer_.capacity();
  if (deadline.immediate()) {
    if (!fits) {
      return {SW_TOO_LARGE, "a message of " + std::to_string(data.size()) + " bytes does not fit the ring (" +
                                std::to_string(writer_.capacity()) +
                                "): send it with a timeout, or connect with a larger in_bytes"};
    }
    wanted_lines_ = static_cast<std::uint32_t>(slot::record_lines(data.size()));
    return wait(SW_WRITABLE, deadline, [] { return false; });
  }
  if (data.size() > writer_.capacity() / 4) return send_parts(header, data, deadline);
  const auto lines = static_cast<std::uint32_t>(slot::record_lines(data.size()));
  if (Failure failure = wait(SW_WRITABLE, deadline, [&] { return writer_.producer().writable(lines) >= lines; });
      failure.status != SW_OK) {
    return failure;
  }
  writer_.write(header, data);
  notify_written();
  return {};
}

Failure Connection::send_parts(RecordHeader header, std::span<const std::byte> data, const Deadline& deadline) {
  const std::size_t part = writer_.capacity() / 4;
  for (std::size_t offset = 0; offset < data.size();) {
    const std::size_t n = std::min(part, data.size() - offset);
    const auto lines = static_cast<std::uint32_t>(slot::record_lines(n));
    Failure failure = wait(SW_WRITABLE, deadline, [&] { return writer_.producer().writable(lines) >= lines; });
    if (failure.status != SW_OK) {
      if (offset == 0) return failure;
      if (end_.status == SW_OK)
        broken("a message of " + std::to_string(data.size()) + " bytes was cut off half-way (" + failure.text + ")");
      return failure;
    }
    header.flags = static_cast<std::uint8_t>((header.flags & slot::kCacheable) | (offset == 0 ? slot::kFirstPart : 0) |
                                             (offset + n == data.size() ? slot::kLastPart : 0));
    writer_.write(header, data.subspan(offset, n));
    notify_written();
    offset += n;
  }
  return {};
}

Failure Connection::loan(std::size_t length, std::span<std::byte>& out) {
  if (Failure failure = may_send(); failure.status != SW_OK) return failure;
  if (length > writer_.capacity()) {
    return {SW_TOO_LARGE, "a loan of " + std::to_string(length) + " bytes does not fit the ring (" +
                              std::to_string(writer_.capacity()) + "): connect with a larger in_bytes"};
  }
  const std::optional<std::span<std::byte>> place = writer_.reserve(length);
  if (!place) {
    wanted_lines_ = static_cast<std::uint32_t>(slot::record_lines(length));
    return wait(SW_WRITABLE, Deadline(0), [] { return false; });
  }
  out = *place;
  loan_ = length;
  loaned_ = true;
  return {};
}

Failure Connection::commit(RecordHeader header) {
  if (!loaned_) return {SW_INVALID, "there is no loan to commit on this connection"};
  if (header.length > loan_) return {SW_INVALID, "more bytes are committed than were loaned"};
  loaned_ = false;
  header.flags = slot::kWhole;
  writer_.commit(header);
  notify_written();
  return {};
}

void Connection::free_released() {
  const std::uint32_t lines = held_.take_released();
  if (lines == 0 || detached_) return;
  reader_.consumer().release(lines);
  // So that it stays within a ring of the head, however rarely is_cancelled() is asked.
  const slot::Position head = reader_.consumer().head();
  if (scanned_ - head > other_.lines()) scanned_ = head;
  notify_consumed(lines);
}

Connection::Incoming Connection::as_copy(const RecordHeader& header, std::vector<std::byte> data) {
  Held& held = held_.hold_copy(std::move(data));
  return {header, held.copy, &held};
}

void Connection::drop(Held* held) {
  held_.release(*held);
  free_released();
}

/// The next message that has arrived as a whole. None with SW_OK in `failure`: nothing yet.
std::optional<Connection::Incoming> Connection::next_incoming(Failure& failure) {
  if (detached_) {
    failure = end_;
    return std::nullopt;
  }
  while (const std::optional<slot::RecordView> view = reader_.peek(held_.lines())) {
    const RecordHeader& header = view->header;
    if (failure = look_at(*view, held_.lines()); failure.status != SW_OK) return std::nullopt;
    if (header.kind == RecordKind::stream || header.kind == RecordKind::end_of_stream) {
      failure = {SW_INVALID, "the peer uses this connection as a byte stream: use sw_read"};
      return std::nullopt;
    }
    if ((header.flags & slot::kWhole) == slot::kWhole && !assembly_.open) {
      const bool looked_at = scanned_ - reader_.consumer().head() > held_.lines();
      Incoming incoming{header, view->payload, &held_.hold_lines(view->lines)};
      if ((header.flags & slot::kCacheable) == 0) return incoming;
      if (!take_note(incoming, looked_at)) {
        failure = broken("the peer sent a damaged cache header");
        return std::nullopt;
      }
      if (header.kind != RecordKind::message) return incoming;
      drop(incoming.held);  // an invalidation
      continue;
    }
    const bool first = (header.flags & slot::kFirstPart) != 0;
    if (first == assembly_.open ||
        (!first && (header.kind != assembly_.header.kind || header.id != assembly_.header.id))) {
      failure = broken("the peer sent the parts of a message out of order");
      return std::nullopt;
    }
    if (first) {
      assembly_.open = true;
      assembly_.header = header;
    }
    if (failure = assemble(view->payload); failure.status != SW_OK) return std::nullopt;
    drop(&held_.hold_lines(view->lines));
    if ((header.flags & slot::kLastPart) != 0) {
      assembly_.open = false;
      limits_.unfinished -= std::exchange(assembly_.counted, 0);
      Incoming whole = as_copy(assembly_.header, std::exchange(assembly_.data, {}));
      // What is said of the cache comes in one record.
      const bool may_have_note = assembly_.header.kind != RecordKind::message;
      if ((assembly_.header.flags & slot::kCacheable) == 0 || (may_have_note && take_note(whole, false))) return whole;
      drop(whole.held);
      failure = broken("the peer sent a damaged cache header");
      return std::nullopt;
    }
  }
  if (reader_.broken()) failure = end_failure();
  return std::nullopt;
}

/// Adds a part to the message that comes in parts. What is kept of all such messages has a limit; a connection may
/// take as much more as is left for the others, so that no single one takes it all.
Failure Connection::assemble(std::span<const std::byte> part) {
  const std::size_t size = assembly_.data.size() + part.size();
  const auto too_large = [&](const std::string& text) {
    Failure failure = broken(text);
    failure.status = SW_TOO_LARGE;
    limits_.unfinished -= std::exchange(assembly_.counted, 0);
    assembly_.data = {};
    return failure;
  };
  if (size > limits_.max_message) {
    return too_large("the peer sent a message of more than " + std::to_string(limits_.max_message) +
                     " bytes (sw_options.max_message)");
  }
  if (size > assembly_.data.capacity()) {
    const std::uint64_t capacity =
        std::min<std::uint64_t>(std::max<std::uint64_t>(size, 2 * assembly_.data.capacity()), limits_.max_message);
    const std::uint64_t others = limits_.unfinished - assembly_.counted;
    if (limits_.max_unfinished != 0 &&
        (others > limits_.max_unfinished || capacity > (limits_.max_unfinished - others) / 2)) {
      return too_large("messages that are not complete take too much memory (sw_options.max_unfinished = " +
                       std::to_string(limits_.max_unfinished) + " bytes)");
    }
    assembly_.data.reserve(capacity);
    limits_.unfinished = others + capacity;
    assembly_.counted = capacity;
  }
  assembly_.data.insert(assembly_.data.end(), part.begin(), part.end());
  return {};
}

/// Is the message for the program; pings and late answers are not.
bool Connection::wanted(const Incoming& incoming) {
  const RecordHeader& header = incoming.header;
  switch (header.kind) {
    case RecordKind::reply:
    case RecordKind::error:
      return !given_up_.take(header.id);
    case RecordKind::request:
      if (header.code != kPingMethod) return true;
      // A ping that finds no room is dropped: the one who pings counts it as lost.
      if (sending_parts_) return false;
      if (writer_.write({.kind = RecordKind::reply, .id = header.id}, incoming.data)) notify_written();
      return false;
    case RecordKind::cancel:
      cancelled_.add(header.id);
      return true;
    default:
      return true;
  }
}

void Connection::hand_out(const Incoming& incoming, sw_message& out) {
  out.kind = static_cast<std::uint32_t>(incoming.header.kind);
  out.data = incoming.data.data();
  out.length = incoming.data.size();
  out.id = incoming.header.id;
  out.code = incoming.header.code;
  out.deadline_us = incoming.header.deadline_us == 0 ? -1 : static_cast<std::int64_t>(incoming.header.deadline_us);
  out.owner = incoming.held;
}

bool Connection::is_plain(const RecordHeader& header) {
  return header.flags == slot::kWhole &&
         (header.kind == RecordKind::message || (header.kind == RecordKind::request && header.code != kPingMethod));
}

std::size_t Connection::receive_run(std::span<sw_message> out) {
  if (!inbox_.empty() || assembly_.open || inspection_ || end_.status != SW_OK) return 0;
  const std::uint32_t most_lines = other_.lines() / kRunPart;
  std::size_t received = 0;
  Held* run = nullptr;
  while (received < std::min(out.size(), kRunMessages)) {
    const std::optional<slot::RecordView> view = reader_.peek(held_.lines());
    if (!view || !is_plain(view->header)) break;
    if (run == nullptr) {
      run = &held_.hold_lines(view->lines);
    } else if (run->lines + view->lines <= most_lines) {
      held_.extend(*run, view->lines);
    } else {
      break;
    }
    for (std::size_t line = kFetchedAhead; line < kFetchedAhead + view->lines && line < 2 * kFetchedAhead; ++line)
      __builtin_prefetch(view->payload.data() + (line * regs::kLineBytes));
    hand_out({view->header, view->payload, run}, out[received++]);
  }
  return received;
}

bool Connection::receive_now(sw_message& out) {
  if (!inbox_.empty() || assembly_.open || inspection_ || end_.status != SW_OK) return false;
  const std::optional<slot::RecordView> view = reader_.peek(held_.lines());
  if (!view || !is_plain(view->header)) return false;
  hand_out({view->header, view->payload, &held_.hold_lines(view->lines)}, out);
  return true;
}

Failure Connection::receive_batch(std::span<sw_message> out, std::size_t& received) {
  received = 0;
  while (received < out.size()) {
    if (const std::size_t run = receive_run(out.subspan(received)); run != 0) {
      received += run;
      continue;
    }
    Failure failure = receive(Deadline(0), out[received]);
    if (failure.status != SW_OK) return received == 0 ? failure : Failure{};
    ++received;
  }
  return {};
}

void Connection::release_batch(std::span<sw_message> messages) {
  for (sw_message& message : messages) {
    if (message.owner == nullptr) continue;
    held_.release(*static_cast<Held*>(message.owner));
    message.owner = nullptr;
    message.data = nullptr;
  }
  free_released();
}

Failure Connection::send_batch(std::span<const sw_buffer> messages, std::size_t& sent) {
  sent = 0;
  if (Failure failure = may_send(); failure.status != SW_OK) return failure;
  for (const sw_buffer& message : messages) {
    const std::span<const std::byte> data(static_cast<const std::byte*>(message.data), message.length);
    if (!writer_.stage({.kind = RecordKind::message}, data, messages.size() >= kStreamedBatch)) break;
    ++sent;
  }
  if (sent != 0) {
    writer_.publish();
    notify_written();
    return {};
  }
  if (messages.empty()) return {};
  // Says why not; or sends it, if there is room by now.
  const std::span<const std::byte> first(static_cast<const std::byte*>(messages[0].data), messages[0].length);
  Failure failure = send({.kind = RecordKind::message}, first, Deadline(0));
  if (failure.status == SW_OK) sent = 1;
  return failure;
}

Failure Connection::receive(const Deadline& deadline, sw_message& out) {
  while (true) {
    if (!inbox_.empty()) {
      hand_out(complete(take_kept(inbox_.begin())), out);
      return {};
    }
    Failure failure;
    if (const std::optional<Incoming> incoming = next_incoming(failure)) {
      if (wanted(*incoming)) {
        hand_out(complete(*incoming), out);
        return {};
      }
      drop(incoming->held);
      continue;
    }
    if (failure.status != SW_OK) return failure;
    if (failure = wait_for_records(deadline); failure.status != SW_OK) return failure;
  }
}

void Connection::release(sw_message& message) {
  if (message.owner == nullptr) return;
  drop(static_cast<Held*>(message.owner));
  message.owner = nullptr;
  message.data = nullptr;
}

}  // namespace slotwire::client
