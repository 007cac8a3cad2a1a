#include "core/http_stream/streams.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <unordered_map>
#include <utility>

namespace slotwire::http_stream {
namespace {

/// The first byte of every message.
enum class Kind : std::uint8_t { datagram = 0, open = 1, data = 2, credit = 3, end = 4, reset = 5 };
constexpr auto kLastKind = static_cast<std::uint8_t>(Kind::reset);

/// Bytes that may be sent on a stream before the peer has said anything.
constexpr std::uint64_t kFirstWindow = 65'536;
constexpr std::size_t kStreamHeaderBytes = 5;  ///< kind and number
constexpr std::size_t kCreditBytes = 8, kResetBytes = 1;
constexpr std::size_t kMaxTargetBytes = 1'024;
/// Refusals that wait for room in the pipe. A peer that makes more does not listen.
constexpr std::size_t kMaxRefusals = 4'096;

template <class Integer>
void put(Bytes& out, Integer value) {
  for (std::size_t i = sizeof(Integer); i-- > 0;) out.push_back(static_cast<std::byte>(value >> (8 * i)));
}

template <class Integer>
Integer get(std::span<const std::byte> bytes) {
  std::uint64_t value = 0;
  for (const std::byte byte : bytes.first(sizeof(Integer))) value = value << 8U | std::to_integer<std::uint64_t>(byte);
  return static_cast<Integer>(value);
}

Bytes begin_message(Kind kind, StreamNumber stream, std::size_t more) {
  Bytes out;
  out.reserve(kStreamHeaderBytes + more);
  out.push_back(static_cast<std::byte>(kind));
  put(out, stream);
  return out;
}

StreamsOptions normalized(StreamsOptions options) {
  options.max_streams = std::max<std::size_t>(options.max_streams, 1);
  options.window_bytes = std::max<std::size_t>(options.window_bytes, kFirstWindow);
  options.write_bytes = std::max<std::size_t>(options.write_bytes, 1);
  options.chunk_bytes = std::max<std::size_t>(options.chunk_bytes, 1);
  options.target_bytes = std::min(options.target_bytes, kMaxTargetBytes);
  return options;
}

/// Bytes in order, taken from the front.
class Fifo {
 public:
  std::size_t size() const { return bytes_.size() - begin_; }
  bool empty() const { return size() == 0; }
  void push(std::span<const std::byte> bytes) {
    if (begin_ > bytes_.size() / 2) {
      bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(begin_));
      begin_ = 0;
    }
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  std::span<const std::byte> front(std::size_t most) const {
    return std::span(bytes_).subspan(begin_, std::min(most, size()));
  }
  void pop(std::size_t count) {
    begin_ += count;
    if (empty()) clear();
  }
  void clear() {
    bytes_ = {};
    begin_ = 0;
  }

 private:
  Bytes bytes_;
  std::size_t begin_ = 0;
};

}  // namespace

struct Streams::State {
  struct Entry {
    std::string target;
    Fifo in, out;
    std::uint64_t received = 0, read = 0, in_credit = kFirstWindow;  ///< bytes from the beginning
    std::uint64_t sent = 0, out_credit = kFirstWindow;
    std::size_t in_window = 0, out_window = 0;  ///< bytes that either direction has for itself
    std::size_t reserved = 0;                   ///< of the memory, for everything
    bool open_due = false, credit_due = false, reset_due = false;
    bool finishing = false, end_sent = false, peer_ended = false;
    ResetCode reset = ResetCode::none;
    bool reset_by_peer = false;
    bool queued = false, told_readable = false, wants_room = false, told_finished = false;

    bool over() const { return reset != ResetCode::none; }
  };

  State(MessagePipe& a_pipe, Role a_role, const StreamsOptions& opts, StreamMemory* memory)
      : pipe(a_pipe), options(normalized(opts)), share(memory), own_parity(a_role == Role::client ? 1 : 0) {
    next_own = own_parity == 1 ? 1 : 2;
  }

  Entry* find(StreamNumber stream) {
    const auto found = streams.find(stream);
    return found == streams.end() ? nullptr : &found->second;
  }
  void queue(StreamNumber stream, Entry& entry) {
    if (!std::exchange(entry.queued, true)) to_send.push_back(stream);
  }
  void tell(StreamEvent::Kind kind, StreamNumber stream) { events.push_back({kind, stream}); }
  void fail(std::string text, CloseCode code = CloseCode::protocol_error);
  void take(Bytes message);
  void take_open(StreamNumber stream, std::span<const std::byte> rest);
  void take_data(StreamNumber stream, Entry& entry, std::span<const std::byte> bytes);
  void take_for(StreamNumber stream, Entry& entry, Kind kind, std::span<const std::byte> rest);
  bool begin(Entry& entry);
  void widen(Entry& entry, std::size_t& window, std::size_t most);
  void stop(Entry& entry, ResetCode code);
  void finished(StreamNumber stream, Entry& entry);
  void pump();
  bool pump_one(StreamNumber stream, Entry& entry, bool& more);
  bool send_control(Kind kind, StreamNumber stream, std::uint64_t credit, std::uint8_t code, std::string_view target);

  MessagePipe& pipe;
  StreamsOptions options;
  StreamMemory::Share share;
  std::uint64_t refused_for_memory = 0;
  StreamNumber own_parity, next_own;
  StreamNumber newest_own = 0, newest_peer = 0;
  std::unordered_map<StreamNumber, Entry> streams;
  std::deque<StreamNumber> to_send;  ///< streams with something to say, in turn
  std::deque<std::pair<StreamNumber, ResetCode>> refusals;
  std::deque<Bytes> datagrams;
  std::size_t datagram_bytes = 0;
  std::uint64_t discarded = 0;
  std::deque<StreamEvent> events;
  std::optional<CloseReason> failure;
};

// What the peer sends.

void Streams::State::fail(std::string text, CloseCode code) {
  if (failure) return;
  failure = CloseReason{code, std::move(text)};
  for (auto& [stream, entry] : streams) {
    // What was delivered to the end is not reset.
    if (entry.over() || entry.told_finished) continue;
    stop(entry, ResetCode::failed);
    entry.reset_by_peer = true;
    entry.reset_due = false;
    tell(StreamEvent::Kind::reset, stream);
  }
  to_send.clear();
  refusals.clear();
}

/// Takes what a stream needs at least. False: there is not enough memory.
bool Streams::State::begin(Entry& entry) {
  if (share.memory() == nullptr) {
    entry.in_window = options.window_bytes;
    entry.out_window = options.write_bytes;
    return true;
  }
  entry.in_window = kFirstWindow;
  entry.out_window = std::min<std::size_t>(kFirstWindow, options.write_bytes);
  const std::size_t cost = entry.in_window + entry.out_window + options.owner_bytes;
  if (!share.take(cost)) {
    ++share.memory()->refused_streams;
    return false;
  }
  entry.reserved = cost;
  while (share.plenty() && entry.in_window < options.window_bytes) {
    const std::size_t before = entry.in_window;
    widen(entry, entry.in_window, options.window_bytes);
    if (entry.in_window == before) break;
  }
  return true;
}

/// Doubles a window if there is memory for it.
void Streams::State::widen(Entry& entry, std::size_t& window, std::size_t most) {
  const std::size_t more = std::min(window, most - window);
  if (more == 0) return;
  if (!share.take(more)) {
    ++share.memory()->short_windows;
    return;
  }
  entry.reserved += more;
  window += more;
}

/// Both directions end, and what waits is discarded.
void Streams::State::stop(Entry& entry, ResetCode code) {
  entry.reset = code;
  entry.in.clear();
  entry.out.clear();
}

void Streams::State::finished(StreamNumber stream, Entry& entry) {
  if (entry.over() || !entry.end_sent || !entry.peer_ended || !entry.in.empty()) return;
  if (!std::exchange(entry.told_finished, true)) tell(StreamEvent::Kind::finished, stream);
}

void Streams::State::take_open(StreamNumber stream, std::span<const std::byte> rest) {
  if (stream % 2 == own_parity || stream <= newest_peer) return fail("the peer opened a stream with a wrong number");
  newest_peer = stream;
  const auto turn_down = [&](ResetCode code) {
    if (refusals.size() >= kMaxRefusals) return fail("the peer opens streams without end");
    refusals.emplace_back(stream, code);
  };
  if (streams.size() >= options.max_streams) return turn_down(ResetCode::limit);
  if (rest.size() > options.target_bytes) return turn_down(ResetCode::no_target);
  Entry& entry = streams[stream];
  if (!begin(entry)) {
    streams.erase(stream);
    ++refused_for_memory;
    return turn_down(ResetCode::limit);
  }
  entry.target.assign(reinterpret_cast<const char*>(rest.data()), rest.size());
  entry.credit_due = true;
  queue(stream, entry);
  tell(StreamEvent::Kind::opened, stream);
}

void Streams::State::take_data(StreamNumber stream, Entry& entry, std::span<const std::byte> bytes) {
  if (entry.peer_ended) return fail("the peer sent data after the end of a stream");
  entry.received += bytes.size();
  if (entry.received > entry.in_credit) return fail("the peer sent more on a stream than its window allows");
  entry.in.push(bytes);
  if (!std::exchange(entry.told_readable, true)) tell(StreamEvent::Kind::readable, stream);
}

void Streams::State::take_for(StreamNumber stream, Entry& entry, Kind kind, std::span<const std::byte> rest) {
  if (entry.over()) return;  // it was reset here, and the peer did not know yet
  switch (kind) {
    case Kind::data:
      return take_data(stream, entry, rest);
    case Kind::credit:
      entry.out_credit = std::max(entry.out_credit, get<std::uint64_t>(rest));
      if (!entry.out.empty()) queue(stream, entry);
      return;
    case Kind::end:
      if (entry.peer_ended) return fail("the peer ended a stream twice");
      entry.peer_ended = true;
      if (!std::exchange(entry.told_readable, true)) tell(StreamEvent::Kind::readable, stream);
      return finished(stream, entry);
    case Kind::reset: {
      const auto code = std::to_integer<std::uint8_t>(rest[0]);
      if (code == 0 || code > static_cast<std::uint8_t>(kLastResetCode))
        return fail("a stream was reset without a reason");
      stop(entry, static_cast<ResetCode>(code));
      entry.reset_by_peer = true;
      return tell(StreamEvent::Kind::reset, stream);
    }
    case Kind::datagram:
    case Kind::open:
      return;
  }
}

void Streams::State::take(Bytes message) {
  const auto first = std::to_integer<std::uint8_t>(message[0]);
  if (first > kLastKind) return fail("the peer sent a message of an unknown kind");
  const auto kind = static_cast<Kind>(first);
  if (kind == Kind::datagram) {
    if (datagram_bytes + message.size() > options.datagram_bytes) {
      ++discarded;
      return;
    }
    datagram_bytes += message.size();
    datagrams.push_back(std::move(message));
    return;
  }
  if (message.size() < kStreamHeaderBytes) return fail("the peer sent a message that is cut short");
  const auto stream = get<StreamNumber>(std::span(message).subspan(1));
  const auto rest = std::span<const std::byte>(message).subspan(kStreamHeaderBytes);
  const bool sized = kind == Kind::data     ? !rest.empty()
                     : kind == Kind::credit ? rest.size() == kCreditBytes
                     : kind == Kind::end    ? rest.empty()
                     : kind == Kind::reset  ? rest.size() == kResetBytes
                                            : true;
  if (!sized) return fail("the peer sent a message of a wrong length");
  if (kind == Kind::open) return take_open(stream, rest);
  if (Entry* entry = find(stream)) return take_for(stream, *entry, kind, rest);
  // It may be about a stream that was released here. It must have been opened.
  const StreamNumber newest = stream % 2 == own_parity ? newest_own : newest_peer;
  if (stream == 0 || stream > newest) fail("the peer spoke of a stream that was never opened");
}

// What goes out.

bool Streams::State::send_control(Kind kind, StreamNumber stream, std::uint64_t credit, std::uint8_t code,
                                  std::string_view target) {
  Bytes message = begin_message(kind, stream, kCreditBytes + target.size());
  if (kind == Kind::credit) put(message, credit);
  if (kind == Kind::reset) put(message, code);
  const auto name = std::as_bytes(std::span(target));
  message.insert(message.end(), name.begin(), name.end());
  return pipe.send(message);
}

/// Lets one stream say one thing of each kind. False: the pipe takes no more. `more`: it has more to say.
bool Streams::State::pump_one(StreamNumber stream, Entry& entry, bool& more) {
  if (entry.open_due) {
    if (!send_control(Kind::open, stream, 0, 0, entry.target)) return false;
    entry.open_due = false;
  }
  if (entry.reset_due) {
    if (!send_control(Kind::reset, stream, 0, static_cast<std::uint8_t>(entry.reset), {})) return false;
    entry.reset_due = false;
  }
  if (entry.over()) return true;
  if (entry.credit_due) {
    const std::uint64_t credit = entry.read + entry.in_window;
    if (!send_control(Kind::credit, stream, credit, 0, {})) return false;
    entry.in_credit = credit;
    entry.credit_due = false;
  }
  const std::uint64_t allowed = entry.out_credit - entry.sent;
  if (!entry.out.empty() && allowed != 0) {
    if (pipe.unacknowledged() >= options.pipe_bytes) return false;
    const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(options.chunk_bytes, allowed));
    const auto piece = entry.out.front(most);
    Bytes message = begin_message(Kind::data, stream, piece.size());
    message.insert(message.end(), piece.begin(), piece.end());
    if (!pipe.send(message)) return false;
    entry.sent += piece.size();
    entry.out.pop(piece.size());
    if (entry.wants_room && entry.out_window - entry.out.size() >= entry.out_window / 2) {
      entry.wants_room = false;
      tell(StreamEvent::Kind::writable, stream);
    }
    more = !entry.out.empty() && entry.sent < entry.out_credit;
  }
  if (entry.finishing && !entry.end_sent && entry.out.empty()) {
    if (!send_control(Kind::end, stream, 0, 0, {})) return false;
    entry.end_sent = true;
    finished(stream, entry);
  }
  return true;
}

void Streams::State::pump() {
  while (!refusals.empty()) {
    const auto& [stream, code] = refusals.front();
    if (!send_control(Kind::reset, stream, 0, static_cast<std::uint8_t>(code), {})) return;
    refusals.pop_front();
  }
  while (!to_send.empty()) {
    const StreamNumber stream = to_send.front();
    Entry* entry = find(stream);
    bool more = false;
    if (entry != nullptr && !pump_one(stream, *entry, more)) return;
    to_send.pop_front();
    if (entry == nullptr) continue;
    if (more) {
      to_send.push_back(stream);
    } else {
      entry->queued = false;
    }
  }
}

void Streams::drive() {
  State& s = *state_;
  if (s.failure) return;
  while (auto message = s.pipe.receive()) {
    s.take(std::move(*message));
    if (s.failure) return;
  }
  if (s.pipe.state() == SessionState::closed) {
    const CloseReason& reason = s.pipe.reason();
    s.fail(reason.text, reason.code);
    return;
  }
  s.pump();
}

// The owner's side.

Streams::Streams(MessagePipe& pipe, Role role, const StreamsOptions& options, StreamMemory* memory)
    : state_(std::make_unique<State>(pipe, role, options, memory)) {}
Streams::~Streams() = default;

core::Result<StreamNumber> Streams::open(std::string_view target) {
  State& s = *state_;
  if (s.failure) return core::Error{"the session has ended: " + s.failure->text};
  if (target.size() > s.options.target_bytes) {
    return core::Error{"the name of a target has " + std::to_string(target.size()) + " bytes; allowed are " +
                       std::to_string(s.options.target_bytes)};
  }
  if (s.streams.size() >= s.options.max_streams) {
    return core::Error{"the session has " + std::to_string(s.options.max_streams) + " streams, which is the limit"};
  }
  if (s.next_own > 0xffff'fff0U) return core::Error{"the numbers of streams are used up; begin a new session"};
  const StreamNumber stream = s.next_own;
  State::Entry& entry = s.streams[stream];
  if (!s.begin(entry)) {
    s.streams.erase(stream);
    return core::Error{"there is no memory for another stream: all streams together may have " +
                       std::to_string(s.share.memory()->limit()) + " bytes"};
  }
  s.next_own += 2;
  s.newest_own = stream;
  entry.target = target;
  entry.open_due = entry.credit_due = true;
  s.queue(stream, entry);
  return stream;
}

std::size_t Streams::writable(StreamNumber stream) const {
  const State::Entry* entry = state_->find(stream);
  if (entry == nullptr || entry->over() || entry->finishing) return 0;
  return entry->out_window - entry->out.size();
}

std::size_t Streams::write(StreamNumber stream, std::span<const std::byte> bytes) {
  State::Entry* entry = state_->find(stream);
  if (entry == nullptr) return 0;
  if (const std::size_t room = writable(stream); room != 0 && room < bytes.size()) {
    state_->widen(*entry, entry->out_window, state_->options.write_bytes);
  }
  const std::size_t count = std::min(bytes.size(), writable(stream));
  if (count < bytes.size()) entry->wants_room = true;
  if (count == 0) return 0;
  entry->out.push(bytes.first(count));
  state_->queue(stream, *entry);
  return count;
}

std::size_t Streams::read(StreamNumber stream, std::span<std::byte> into) {
  State& s = *state_;
  State::Entry* entry = s.find(stream);
  if (entry == nullptr) return 0;
  const auto piece = entry->in.front(into.size());
  std::copy(piece.begin(), piece.end(), into.begin());
  const std::size_t count = piece.size();
  entry->in.pop(count);
  entry->read += count;
  if (entry->in.empty()) entry->told_readable = entry->peer_ended;
  const std::uint64_t credit = entry->read + entry->in_window;
  if (!entry->peer_ended && !entry->over() && credit - entry->in_credit >= entry->in_window / 4) {
    s.widen(*entry, entry->in_window, s.options.window_bytes);
    entry->credit_due = true;
    s.queue(stream, *entry);
  }
  s.finished(stream, *entry);
  return count;
}

bool Streams::at_end(StreamNumber stream) const {
  const State::Entry* entry = state_->find(stream);
  return entry == nullptr || entry->over() || (entry->peer_ended && entry->in.empty());
}

void Streams::finish(StreamNumber stream) {
  State::Entry* entry = state_->find(stream);
  if (entry == nullptr || entry->over() || entry->finishing) return;
  entry->finishing = true;
  state_->queue(stream, *entry);
}

void Streams::reset(StreamNumber stream, ResetCode code) {
  State::Entry* entry = state_->find(stream);
  if (entry == nullptr || entry->over() || entry->told_finished) return;
  state_->stop(*entry, code == ResetCode::none ? ResetCode::cancelled : code);
  entry->reset_due = true;
  state_->queue(stream, *entry);
}

void Streams::release(StreamNumber stream) {
  State& s = *state_;
  State::Entry* entry = s.find(stream);
  if (entry == nullptr) return;
  const bool ended = entry->over() ? !entry->reset_due : entry->end_sent && entry->peer_ended;
  if (!ended && !s.failure) {
    // The peer was told nothing of a stream whose opening has not left.
    const ResetCode code = entry->over() ? entry->reset : ResetCode::cancelled;
    if (!entry->open_due) s.refusals.emplace_back(stream, code);
  }
  s.share.give_back(entry->reserved);
  s.streams.erase(stream);
}

std::string_view Streams::target(StreamNumber stream) const {
  const State::Entry* entry = state_->find(stream);
  return entry == nullptr ? std::string_view() : entry->target;
}

ResetCode Streams::reset_code(StreamNumber stream) const {
  const State::Entry* entry = state_->find(stream);
  return entry == nullptr ? ResetCode::none : entry->reset;
}

std::size_t Streams::count() const {
  return state_->streams.size();
}

std::uint64_t Streams::refused_for_memory() const {
  return state_->refused_for_memory;
}

bool Streams::send_datagram(std::span<const std::byte> datagram) {
  if (datagram.size() + kDatagramHead > state_->pipe.room()) return false;
  Bytes message(kDatagramHead + datagram.size());
  std::copy(datagram.begin(), datagram.end(), message.begin() + kDatagramHead);
  return send_headed_datagram(message);
}

bool Streams::send_headed_datagram(std::span<std::byte> message) {
  State& s = *state_;
  if (s.failure || message.size() <= kDatagramHead) return false;
  message[0] = static_cast<std::byte>(Kind::datagram);
  return s.pipe.send(message);
}

std::optional<Bytes> Streams::receive_datagram() {
  auto message = receive_headed_datagram();
  if (message) message->erase(message->begin(), message->begin() + kDatagramHead);
  return message;
}

std::optional<Bytes> Streams::receive_headed_datagram() {
  State& s = *state_;
  if (s.datagrams.empty()) return std::nullopt;
  Bytes message = std::move(s.datagrams.front());
  s.datagrams.pop_front();
  s.datagram_bytes -= message.size();
  return message;
}

std::uint64_t Streams::discarded_datagrams() const {
  return state_->discarded;
}

std::optional<StreamEvent> Streams::next_event() {
  auto& events = state_->events;
  if (events.empty()) return std::nullopt;
  const StreamEvent event = events.front();
  events.pop_front();
  return event;
}

const std::optional<CloseReason>& Streams::failure() const {
  return state_->failure;
}

}  // namespace slotwire::http_stream
