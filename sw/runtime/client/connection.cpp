#include "runtime/client/connection.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "runtime/client/whole_number.hpp"

namespace slotwire::client {
namespace {

using slot::RecordHeader;
using slot::RecordKind;

/// Looks without waiting between two looks at the control socket, so that a process that only polls learns of a peer
/// that died.
constexpr std::uint32_t kLooksPerControl = 64;
/// Requests that the peer cancelled, kept until asked for; forgotten all at once beyond it.
constexpr std::size_t kMaxCancelled = 1024;
/// Longest deadline that a request can carry (32 bits of microseconds), in milliseconds.
constexpr std::int64_t kMaxDeadlineMs = 4'000'000;

slot::RingView view_of(const slot::Space& space) {
  return {space.ring(), space.order(), space.mirrored()};
}

std::uint32_t quarter(std::uint32_t lines) {
  return lines < 4 ? 1 : lines / 4;
}

std::uint32_t deadline_us(const Deadline& deadline) {
  if (deadline.never()) return 0;
  return static_cast<std::uint32_t>(std::min(deadline.left_ms(), kMaxDeadlineMs) * 1000);
}

}  // namespace

ConnectionInfo parse_info(const Json& json) {
  ConnectionInfo info;
  info.slot = whole_number<std::uint32_t>(json.at("slot"));
  info.local = whole_number<std::uint32_t>(json.at("local"));
  info.in_order = whole_number<unsigned>(json.at("in_order"));
  info.out_order = whole_number<unsigned>(json.at("out_order"));
  info.direct = json.at("direct").get<bool>();
  info.link_up = json.value("link_up", true);
  info.service = json.at("service").get<std::string>();
  const Json& peer = json.at("peer");
  info.node = peer.at("node").get<std::string>();
  info.name = peer.value("name", std::string());
  info.pid = number_or(peer, "pid", std::uint32_t{0});
  info.uid = number_or(peer, "uid", std::uint32_t{0});
  return info;
}

Connection::Connection(Session& session, ConnectionInfo info, std::vector<slot::Fd> fds, slot::WaitPolicy policy,
                       std::uint64_t max_message)
    : session_(session), info_(std::move(info)), policy_(policy), max_message_(max_message), link_up_(info_.link_up) {
  if (fds.size() != (info_.direct ? 4U : 3U))
    throw std::invalid_argument("slotwired sent the wrong number of descriptors for a slot");
  if (info_.local >= slot::kMaxSessionSlots) throw std::invalid_argument("slotwired sent a bell that does not exist");
  own_ = slot::Space(fds[0].get(), info_.in_order, slot::Access::read_write);
  other_ = slot::Space(fds[1].get(), info_.out_order, slot::Access::read_only);
  if (!own_.mirrored() || !other_.mirrored())
    throw std::invalid_argument("slotwired sent a ring that is smaller than a page");
  wake_ = std::move(fds[2]);
  if (info_.direct) peer_wake_ = std::move(fds[3]);
  writer_ = slot::RecordWriter(slot::Producer(view_of(own_), own_.marks().tail, other_.marks().head));
  reader_ = slot::RecordReader(slot::Consumer(view_of(other_), own_.marks().head, other_.marks().tail));
}

// --- what the session tells ---

void Connection::ended(int status, std::string text) {
  if (end_.status != SW_OK) return;
  end_ = {status, std::move(text)};
  slot::signal_event(wake_.get());  // whoever waits for the descriptor learns of it
}

void Connection::set_link(bool up, const std::string& text) {
  link_up_ = up;
  info_.link_up = up;
  link_text_ = text;
}

// --- the other side ---

void Connection::notify_written() {
  wanted_lines_ = 1;
  if (!info_.direct) {
    consumed_unrung_ = 0;
    session_.ring(info_.local);
    return;
  }
  const std::uint32_t wait = other_.marks().wait.load(std::memory_order_seq_cst);
  if ((wait & slot::kWaitReadable) == 0 || wait == peer_signalled_) return;
  peer_signalled_ = wait;
  slot::signal_event(peer_wake_.get());
}

void Connection::notify_consumed(std::uint32_t lines) {
  if (info_.direct) {
    const std::uint32_t wait = other_.marks().wait.load(std::memory_order_seq_cst);
    if ((wait & slot::kWaitWritable) == 0 || wait == peer_signalled_) return;
    peer_signalled_ = wait;
    slot::signal_event(peer_wake_.get());
    return;
  }
  // The proxy sends a window update for a quarter of the ring, so ringing for less would be for nothing.
  consumed_unrung_ += lines;
  if (consumed_unrung_ < quarter(other_.lines())) return;
  consumed_unrung_ = 0;
  session_.ring(info_.local);
}

Failure Connection::broken(const std::string& text) {
  if (end_.status == SW_OK) {
    end_ = {SW_BROKEN, "connection to '" + info_.service + "' (slot " + std::to_string(info_.slot) + "): " + text +
                           "; close it and connect anew"};
  }
  return end_;
}

Failure Connection::end_failure() {
  if (end_.status != SW_OK) return end_;
  if (reader_.broken()) return broken("the peer wrote a record or a mark that cannot be");
  if (writer_.producer().broken()) return broken("the peer released more than it was given");
  return {};
}

// --- waiting ---

bool Connection::holds(int what) {
  if (end_.status != SW_OK || reader_.broken() || writer_.producer().broken()) return true;
  if ((what & SW_READABLE) != 0 && (!inbox_.empty() || reader_.peek(held_lines_) || reader_.broken())) return true;
  return (what & SW_WRITABLE) != 0 && writer_.producer().writable(wanted_lines_) >= wanted_lines_;
}

bool Connection::arm(int what) {
  wait_number_ += slot::kWaitStep;
  if (wait_number_ == 0) wait_number_ = slot::kWaitStep;
  const std::uint32_t bits =
      ((what & SW_READABLE) != 0 ? slot::kWaitReadable : 0U) | ((what & SW_WRITABLE) != 0 ? slot::kWaitWritable : 0U);
  own_.marks().wait.store(wait_number_ | bits, std::memory_order_seq_cst);
  if (!holds(what)) return true;
  disarm();
  return false;
}

void Connection::disarm() {
  own_.marks().wait.store(0, std::memory_order_relaxed);
  slot::drain_event(wake_.get());
}

Failure Connection::wait_failure() const {
  const std::string where = "connection to '" + info_.service + "' (slot " + std::to_string(info_.slot) + ")";
  if (!info_.direct && !session_.attached())
    return {SW_ENGINE_GONE, where + ": slotwired is away; what was sent waits in the ring"};
  if (!link_up_)
    return {SW_LINK_DOWN, where + ": the link to node '" + info_.node + "' is down (" + link_text_ +
                              "); what was sent waits in the ring"};
  return {SW_TIMED_OUT, where + ": nothing happened in time"};
}

Failure Connection::wait(int what, const Deadline& deadline, const std::function<bool()>& condition) {
  slot::Waiter waiter(policy_);
  while (true) {
    if (condition()) return {};
    if (interrupted_.exchange(false)) return {SW_CANCELLED, "interrupted"};
    if (Failure end = end_failure(); end.status != SW_OK) return end;
    if (deadline.immediate()) {
      if (++idle_looks_ % kLooksPerControl == 0) session_.process();
      return {SW_AGAIN, {}};
    }
    if (waiter.next() == slot::Waiter::Step::again) continue;
    if (deadline.passed()) return wait_failure();
    // Tell the other side that this one sleeps, look once more, sleep.
    wait_number_ += slot::kWaitStep;
    if (wait_number_ == 0) wait_number_ = slot::kWaitStep;
    const std::uint32_t bits =
        ((what & SW_READABLE) != 0 ? slot::kWaitReadable : 0U) | ((what & SW_WRITABLE) != 0 ? slot::kWaitWritable : 0U);
    own_.marks().wait.store(wait_number_ | bits, std::memory_order_seq_cst);
    if (!condition() && !interrupted_) {
      std::array<pollfd, 2> fds{{{wake_.get(), POLLIN, 0}, {session_.fd(), POLLIN, 0}}};
      ::poll(fds.data(), fds.size(), deadline.poll_ms());
      if (fds[1].revents != 0) session_.process();
    }
    disarm();
    waiter.reset();
  }
}

// --- sending ---

Failure Connection::may_send() {
  if (loaned_) return {SW_BUSY, "a loan is open on this connection: commit or abandon it first"};
  return end_failure();
}

Failure Connection::send(RecordHeader header, std::span<const std::byte> data, const Deadline& deadline) {
  if (Failure failure = may_send(); failure.status != SW_OK) return failure;
  header.flags = slot::kWhole;
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
    header.flags = static_cast<std::uint8_t>((offset == 0 ? slot::kFirstPart : 0) |
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

Failure Connection::write(std::span<const std::byte> data, std::size_t& done) {
  done = 0;
  if (Failure failure = may_send(); failure.status != SW_OK) return failure;
  const std::size_t part = writer_.capacity() / 4;
  while (done < data.size()) {
    const std::size_t n = std::min({writer_.room(), part, data.size() - done});
    if (n == 0) break;
    writer_.write({.kind = RecordKind::stream}, data.subspan(done, n));
    done += n;
  }
  if (done == 0 && !data.empty()) return wait(SW_WRITABLE, Deadline(0), [] { return false; });
  if (done != 0) notify_written();
  return {};
}

Failure Connection::end_stream() {
  if (Failure failure = may_send(); failure.status != SW_OK) return failure;
  if (!writer_.write({.kind = RecordKind::end_of_stream}, {}))
    return wait(SW_WRITABLE, Deadline(0), [] { return false; });
  notify_written();
  return {};
}

Failure Connection::loan_stream(std::size_t least, std::span<std::byte>& out) {
  if (Failure failure = may_send(); failure.status != SW_OK) return failure;
  const std::size_t part = writer_.capacity() / 4;
  least = std::clamp<std::size_t>(least, 1, part);
  const std::size_t room = std::min(writer_.room(), part);
  if (room < least) {
    wanted_lines_ = static_cast<std::uint32_t>(slot::record_lines(least));
    return wait(SW_WRITABLE, Deadline(0), [] { return false; });
  }
  const std::optional<std::span<std::byte>> place = writer_.reserve(room);
  if (!place) return end_failure();
  out = *place;
  loan_ = room;
  loaned_ = true;
  return {};
}

Failure Connection::commit_stream(std::size_t length) {
  if (!loaned_) return {SW_INVALID, "there is no loan to commit on this connection"};
  if (length > loan_) return {SW_INVALID, "more bytes are committed than were loaned"};
  loaned_ = false;
  if (length == 0) return {};
  writer_.commit({.length = static_cast<std::uint32_t>(length), .kind = RecordKind::stream});
  notify_written();
  return {};
}

Failure Connection::flush(const Deadline& deadline) {
  return wait(SW_WRITABLE, deadline,
              [&] { return writer_.producer().outstanding() == 0 && !writer_.producer().broken(); });
}

// --- receiving ---

void Connection::hold_lines(std::uint32_t lines, bool released) {
  held_.push_back(std::make_unique<Held>(Held{lines, released, {}}));
  held_lines_ += lines;
  if (released) free_released();
}

void Connection::free_released() {
  std::uint32_t lines = 0;
  while (!held_.empty() && held_.front()->released) {
    lines += held_.front()->lines;
    held_.pop_front();
  }
  if (lines == 0) return;
  held_lines_ -= lines;
  reader_.consumer().release(lines);
  notify_consumed(lines);
}

Connection::Incoming Connection::as_copy(const RecordHeader& header, std::vector<std::byte> data) {
  auto held = std::make_unique<Held>();
  held->copy = std::move(data);
  Incoming incoming{header, held->copy, held.get()};
  copies_.emplace(held.get(), std::move(held));
  return incoming;
}

void Connection::drop(Held* held) {
  if (copies_.erase(held) != 0) return;
  held->released = true;
  free_released();
}

/// The next message that has arrived as a whole. None with SW_OK in `failure`: nothing yet.
std::optional<Connection::Incoming> Connection::next_incoming(Failure& failure) {
  while (const std::optional<slot::RecordView> view = reader_.peek(held_lines_)) {
    const RecordHeader& header = view->header;
    if (header.kind == RecordKind::stream || header.kind == RecordKind::end_of_stream) {
      failure = {SW_INVALID, "the peer uses this connection as a byte stream: use sw_read"};
      return std::nullopt;
    }
    if (header.flags == slot::kWhole && !assembly_.open) {
      hold_lines(view->lines, false);
      return Incoming{header, view->payload, held_.back().get()};
    }
    const bool first = (header.flags & slot::kFirstPart) != 0;
    if (first == assembly_.open ||
        (!first && (header.kind != assembly_.header.kind || header.id != assembly_.header.id))) {
      failure = broken("the peer sent the parts of a message out of order");
      return std::nullopt;
    }
    if (first) assembly_ = {true, header, {}};
    if (assembly_.data.size() + header.length > max_message_) {
      failure = broken("the peer sent a message of more than " + std::to_string(max_message_) +
                       " bytes (sw_options.max_message)");
      failure.status = SW_TOO_LARGE;
      return std::nullopt;
    }
    assembly_.data.insert(assembly_.data.end(), view->payload.begin(), view->payload.end());
    hold_lines(view->lines, true);
    if ((header.flags & slot::kLastPart) != 0) {
      assembly_.open = false;
      return as_copy(assembly_.header, std::exchange(assembly_.data, {}));
    }
  }
  if (reader_.broken()) failure = end_failure();
  return std::nullopt;
}

/// Is the message for the program; pings and late answers are not.
bool Connection::wanted(const Incoming& incoming) {
  const RecordHeader& header = incoming.header;
  switch (header.kind) {
    case RecordKind::reply:
    case RecordKind::error:
      return abandoned_.erase(header.id) == 0;
    case RecordKind::request:
      if (header.code != kPingMethod) return true;
      // A ping that finds no room is dropped: the one who pings counts it as lost.
      if (writer_.write({.kind = RecordKind::reply, .id = header.id}, incoming.data)) notify_written();
      return false;
    case RecordKind::cancel:
      if (cancelled_.size() >= kMaxCancelled) cancelled_.clear();
      cancelled_.insert(header.id);
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

Failure Connection::receive(const Deadline& deadline, sw_message& out) {
  while (true) {
    if (!inbox_.empty()) {
      hand_out(inbox_.front(), out);
      inbox_.pop_front();
      return {};
    }
    Failure failure;
    if (const std::optional<Incoming> incoming = next_incoming(failure)) {
      if (wanted(*incoming)) {
        hand_out(*incoming, out);
        return {};
      }
      drop(incoming->held);
      continue;
    }
    if (failure.status != SW_OK) return failure;
    const auto something = [&] { return reader_.peek(held_lines_).has_value() || reader_.broken(); };
    if (failure = wait(SW_READABLE, deadline, something); failure.status != SW_OK) return failure;
  }
}

void Connection::release(sw_message& message) {
  if (message.owner == nullptr) return;
  drop(static_cast<Held*>(message.owner));
  message.owner = nullptr;
  message.data = nullptr;
}

Failure Connection::read(std::span<std::byte> into, std::size_t& done) {
  done = 0;
  while (done < into.size() && !stream_ended_) {
    const std::optional<slot::RecordView> view = reader_.peek();
    if (!view) break;
    if (view->header.kind == RecordKind::end_of_stream) {
      stream_ended_ = true;
    } else if (view->header.kind != RecordKind::stream) {
      return {SW_INVALID, "the peer sends messages on this connection: use sw_receive"};
    } else {
      const std::size_t n = std::min(view->payload.size() - stream_offset_, into.size() - done);
      if (n != 0) std::memcpy(into.data() + done, view->payload.data() + stream_offset_, n);
      done += n;
      stream_offset_ += n;
      if (stream_offset_ < view->payload.size()) break;
    }
    stream_offset_ = 0;
    reader_.release(*view);
    notify_consumed(view->lines);
  }
  if (done != 0 || into.empty()) return {};
  if (stream_ended_) return {SW_PEER_CLOSED, "the peer ended its stream"};
  return wait(SW_READABLE, Deadline(0), [] { return false; });
}

/// The stream record with bytes that were not read yet; takes the end of the stream. Empty: none there, or `failure`.
std::optional<slot::RecordView> Connection::next_stream_record(Failure& failure) {
  while (!stream_ended_) {
    std::optional<slot::RecordView> view = reader_.peek();
    if (!view) return std::nullopt;
    const bool end = view->header.kind == RecordKind::end_of_stream;
    if (!end && view->header.kind != RecordKind::stream) {
      failure = {SW_INVALID, "the peer sends messages on this connection: use sw_receive"};
      return std::nullopt;
    }
    if (!end && stream_offset_ < view->payload.size()) return view;
    stream_ended_ = end;
    stream_offset_ = 0;
    reader_.release(*view);
    notify_consumed(view->lines);
  }
  return std::nullopt;
}

Failure Connection::peek_stream(std::span<const std::byte>& out) {
  out = {};
  Failure failure;
  if (const std::optional<slot::RecordView> view = next_stream_record(failure)) {
    out = view->payload.subspan(stream_offset_);
    return {};
  }
  if (failure.status != SW_OK || stream_ended_) return failure;
  return wait(SW_READABLE, Deadline(0), [] { return false; });
}

Failure Connection::consume_stream(std::size_t length) {
  Failure failure;
  const std::optional<slot::RecordView> view = next_stream_record(failure);
  if (failure.status != SW_OK) return failure;
  if (!view || length > view->payload.size() - stream_offset_) {
    return {SW_INVALID, "more bytes are consumed than sw_peek_stream showed"};
  }
  stream_offset_ += length;
  if (stream_offset_ < view->payload.size()) return {};
  stream_offset_ = 0;
  reader_.release(*view);
  notify_consumed(view->lines);
  return {};
}

// --- calls ---

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
  if (!abandoned_.insert(id).second) return;
  abandoned_order_.push_back(id);
  if (abandoned_order_.size() <= kMaxAbandonedCalls) return;
  abandoned_.erase(abandoned_order_.front());
  abandoned_order_.pop_front();
}

Failure Connection::cancel(std::uint32_t id) {
  if (Failure failure = may_send(); failure.status != SW_OK) return failure;
  give_up_call(id);
  return {};
}

Failure Connection::stash(Incoming incoming) {
  if (inbox_.size() >= kMaxInbox) {
    return {SW_BUSY, std::to_string(kMaxInbox) + " messages wait for sw_receive: take them before calling again"};
  }
  inbox_.push_back(incoming);
  if (held_lines_ <= other_.lines() / 2) return {};
  // Lines that stay held must not take the room that the answer needs. All of them: the room of the later ones comes
  // free only after that of the first.
  for (Incoming& waiting : inbox_) {
    if (waiting.held->lines == 0) continue;
    std::vector<std::byte> data(waiting.data.begin(), waiting.data.end());
    const RecordHeader header = waiting.header;
    drop(waiting.held);
    waiting = as_copy(header, std::move(data));
  }
  return {};
}

Failure Connection::call(std::uint16_t method, std::span<const std::byte> data, const Deadline& deadline,
                         sw_message& reply) {
  if (calling_) return {SW_BUSY, "a call is under way on this connection"};
  std::uint32_t id = 0;
  if (Failure failure = start_call(method, data, deadline, id); failure.status != SW_OK) return failure;
  calling_ = true;
  Failure failure;
  while (true) {
    std::optional<Incoming> incoming = next_incoming(failure);
    if (incoming && (incoming->header.kind == RecordKind::reply || incoming->header.kind == RecordKind::error) &&
        incoming->header.id == id) {
      hand_out(*incoming, reply);
      if (incoming->header.kind == RecordKind::error) {
        failure = {SW_REMOTE_ERROR,
                   "the server answered with error " + std::to_string(incoming->header.code) + ": " +
                       std::string(reinterpret_cast<const char*>(incoming->data.data()), incoming->data.size())};
      }
      break;
    }
    if (incoming) {
      if (!wanted(*incoming)) {
        drop(incoming->held);
      } else if (failure = stash(*incoming); failure.status != SW_OK) {
        break;
      }
      continue;
    }
    if (failure.status != SW_OK) break;
    const auto something = [&] { return reader_.peek(held_lines_).has_value() || reader_.broken(); };
    failure = wait(SW_READABLE, deadline, something);
    if (failure.status != SW_OK) break;
  }
  calling_ = false;
  if (failure.status == SW_TIMED_OUT || failure.status == SW_CANCELLED || failure.status == SW_LINK_DOWN ||
      failure.status == SW_ENGINE_GONE || failure.status == SW_AGAIN) {
    give_up_call(id);
  }
  return failure;
}

bool Connection::is_cancelled(std::uint32_t id) {
  if (cancelled_.contains(id)) return true;
  std::uint32_t skip = held_lines_;
  while (const std::optional<slot::RecordView> view = reader_.peek(skip)) {
    if (view->header.kind == RecordKind::cancel && view->header.id == id) return true;
    skip += view->lines;
    if (skip >= other_.lines()) break;
  }
  return false;
}

void Connection::interrupt() {
  interrupted_ = true;
  slot::signal_event(wake_.get());
}

}  // namespace slotwire::client
