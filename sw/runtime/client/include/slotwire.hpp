// slotwire.hpp: the process library of Slotwire for C++20. Header-only, over the C ABI in slotwire.h: link libslotwire.
//
//   auto context = slotwire::Context::open();                       // a session with this node's slotwired
//   if (!context) return complain(context.error().text);
//   auto connection = context->connect("orders", 2s);               // whoever serves it, here or on another node
//   auto reply = connection->call(1, "how many?", 500ms);           // a request and its answer
//   if (reply) use(reply->text());                       // in place in the ring, until `reply` is destroyed
//
// Threads: a Context and all that is made from it (Service, Connection, Message, Loan, Poller) belong to the thread
// that opened it; a call from another thread gives Status::wrong_thread and does nothing. Use one Context per thread;
// Context::adopt() moves a whole one. The only exceptions, which any thread and any signal handler may call, are
// Connection::interrupt() and Poller::interrupt(); the object must exist meanwhile.
//
// Errors: nothing throws but std::bad_alloc. A function that can fail returns Result<T>: a T, or an Error with a Status
// and a sentence for people. Comments name the statuses that are specific to a function. Besides them,
//   - every function may return invalid, wrong_thread and no_memory;
//   - a function that waits returns again if its deadline is Deadline::now() and it would have to wait (again has no
//     text, so that trying costs nothing). When its deadline passes it returns timed_out, or link_down or engine_gone
//     if that is the reason why nothing happened; a wait for a connection returns cancelled after interrupt();
//   - once a connection has ended, functions that send or wait on it return why ("the end" below): peer_closed,
//     peer_died, lost, broken, faulted or too_large. Functions that receive return it after the last message or byte.
//
// Waiting: a function that may wait takes a Deadline. A duration is a timeout (0: do not wait), a
// steady_clock::time_point is a time, Deadline::never() is no limit. The resolution is 1 ms, rounded up. A function
// without a Deadline never waits, unless its comment says for how long it may.
//
// Lifetimes, inner before outer, as local variables are destroyed anyway: Message, Loan, Call and Request before their
// Connection; Connection, Service and Poller before their Context. Moving any of them keeps the others valid. An object
// that was moved from may be destroyed or assigned to, and nothing else.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "slotwire_figures.hpp"
#include "slotwire_types.hpp"

namespace slotwire {

namespace detail {

inline Error error_of(int status) {
  // Asking for the text costs something, and back-pressure is no error.
  return {static_cast<Status>(status), status == SW_AGAIN ? std::string() : std::string(sw_last_error()), 0};
}
inline Result<void> result_of(int status) {
  if (status == SW_OK) return {};
  return error_of(status);
}

/// Owns a handle of the C ABI.
template <typename T, void (*Close)(T*)>
class Handle {
 public:
  explicit Handle(T* handle = nullptr) : handle_(handle) {}
  Handle(Handle&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Handle& operator=(Handle&& other) noexcept {
    if (this != &other) {
      reset();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  ~Handle() { reset(); }
  void reset() {
    if (handle_ != nullptr) Close(std::exchange(handle_, nullptr));
  }
  T* get() const { return handle_; }

 private:
  T* handle_;
};

}  // namespace detail

namespace detail {

inline sw_cacheable given_cacheable(const Cacheable& cacheable) {
  sw_cacheable given;
  SW_INIT(given);
  given.ttl_ms = static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(cacheable.ttl.count(), 0, std::numeric_limits<std::uint32_t>::max()));
  given.key = cacheable.key.data();
  given.key_length = cacheable.key.size();
  given.tag = cacheable.tag;
  return given;
}
inline sw_invalidation given_invalidation(const Invalidation& what) {
  sw_invalidation given;
  SW_INIT(given);
  given.what = what.what;
  given.method = what.method;
  given.key = what.key.data();
  given.key_length = what.key.size();
  given.tag = what.tag;
  return given;
}

}  // namespace detail

// ---- messages ----

/// A received message. Its bytes lie in the ring where they fit (a long one was put together in memory) and stay valid
/// until the object is destroyed. Keep few of them and briefly: the peer cannot use their room meanwhile. Messages may
/// be destroyed in any order.
class Message {
 public:
  Message() = default;
  Message(Message&& other) noexcept
      : connection_(std::exchange(other.connection_, nullptr)), message_(std::exchange(other.message_, sw_message{})) {}
  Message& operator=(Message&& other) noexcept {
    if (this != &other) {
      release();
      connection_ = std::exchange(other.connection_, nullptr);
      message_ = std::exchange(other.message_, sw_message{});
    }
    return *this;
  }
  ~Message() { release(); }

  Kind kind() const { return static_cast<Kind>(message_.kind); }
  /// Its bytes, as such and as text.
  std::span<const std::byte> data() const { return {static_cast<const std::byte*>(message_.data), size()}; }
  std::string_view text() const { return {static_cast<const char*>(message_.data), size()}; }
  /// Bytes.
  std::size_t size() const { return static_cast<std::size_t>(message_.length); }
  /// Of a request, its answer or its cancellation: the number that start_call() returned; else 0.
  std::uint32_t id() const { return message_.id; }
  /// Method of a request (0 to 65534), code of an error.
  std::uint16_t code() const { return message_.code; }
  /// Of a request: the time that was left when it was sent, at most 4000 s. None: the caller waits for ever.
  std::optional<std::chrono::microseconds> time_left() const {
    if (message_.deadline_us < 0) return std::nullopt;
    return std::chrono::microseconds(message_.deadline_us);
  }
  /// Gives the room back now; the message is empty afterwards.
  void release() {
    if (connection_ != nullptr) sw_release(std::exchange(connection_, nullptr), &message_);
    message_ = {};
  }

 private:
  friend class Connection;
  friend class Call;
  friend class Request;
  Message(sw_connection* connection, const sw_message& message) : connection_(connection), message_(message) {}
  sw_connection* connection_ = nullptr;
  sw_message message_{};
};

/// Room for one message in the slot itself: write into data(), then commit. Nothing is visible before. An object that
/// is destroyed uncommitted gives the room back. A connection has one loan at a time; sending meanwhile is
/// Status::busy.
class Loan {
 public:
  Loan(Loan&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)), bytes_(other.bytes_) {}
  Loan& operator=(Loan&& other) noexcept {
    if (this != &other) {
      abandon();
      connection_ = std::exchange(other.connection_, nullptr);
      bytes_ = other.bytes_;
    }
    return *this;
  }
  ~Loan() { abandon(); }

  /// The room; its contents are undefined before they are written.
  std::span<std::byte> data() const { return bytes_; }
  /// Sends the first `size` bytes (at most data().size()) as a one-way message.
  Result<void> commit(std::size_t size) { return finish(SW_MESSAGE, 0, 0, size); }
  /// The whole of it.
  Result<void> commit() { return commit(bytes_.size()); }
  /// Sends them as the answer to request `id`.
  Result<void> commit_reply(std::uint32_t id, std::size_t size) { return finish(SW_REPLY, 0, id, size); }
  /// Gives the room back now.
  void abandon() {
    if (connection_ != nullptr) sw_abandon(std::exchange(connection_, nullptr));
  }

 private:
  friend class Connection;
  Loan(sw_connection* connection, std::span<std::byte> bytes) : connection_(connection), bytes_(bytes) {}
  Result<void> finish(std::uint32_t kind, std::uint16_t code, std::uint32_t id, std::size_t size) {
    if (connection_ == nullptr) return Error{Status::invalid, "the loan was committed or abandoned before", 0};
    const int status = sw_commit(connection_, kind, code, id, size);
    if (status == SW_OK) connection_ = nullptr;
    return detail::result_of(status);
  }
  sw_connection* connection_;
  std::span<std::byte> bytes_;
};

// ---- connections ----

/// The connection seen as two streams of bytes. Both ends use it so, or neither: Status::invalid if the peer sends
/// messages. A view: the Connection stays the owner, and must outlive it.
class Stream {
 public:
  /// Writes what there is room for, at least one byte unless `data` is empty; returns how many. again, busy, the end.
  Result<std::size_t> write(Data data) {
    std::size_t done = 0;
    const int status = sw_write(connection_, data.data(), data.size(), &done);
    if (status != SW_OK) return detail::error_of(status);
    return done;
  }
  /// Reads what is there, at least one byte unless `into` is empty; returns how many. again; peer_closed after the last
  /// byte of a peer that ended its stream or closed; the end.
  Result<std::size_t> read(std::span<std::byte> into) {
    std::size_t done = 0;
    const int status = sw_read(connection_, into.data(), into.size(), &done);
    if (status != SW_OK) return detail::error_of(status);
    return done;
  }
  /// Writes all of it. After any error a part of it may have been written.
  Result<void> write_all(Data data, Deadline deadline) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(deadline.ms());
    for (std::size_t done = 0; done < data.size();) {
      std::size_t n = 0;
      int status = sw_write(connection_, data.data() + done, data.size() - done, &n);
      done += n;
      if (status == SW_AGAIN) {
        const Deadline left = deadline.ms() < 0 ? deadline : Deadline(end);
        status = sw_wait(connection_, SW_WRITABLE, left.ms());
      }
      if (status != SW_OK) return detail::error_of(status);
    }
    return {};
  }
  /// read(), but waits for at least one byte.
  Result<std::size_t> read_some(std::span<std::byte> into, Deadline deadline) {
    while (true) {
      std::size_t done = 0;
      int status = sw_read(connection_, into.data(), into.size(), &done);
      if (status == SW_OK) return done;
      if (status == SW_AGAIN) status = sw_wait(connection_, SW_READABLE, deadline.ms());
      if (status != SW_OK) return detail::error_of(status);
    }
  }
  /// Room to write in place: what there is now, at least `least` bytes and at most a quarter of the ring (a larger
  /// `least` counts as that). Write into it, then commit(). Until then nothing else can be sent. again: less is free.
  Result<std::span<std::byte>> loan(std::size_t least) {
    sw_loan loan;
    SW_INIT(loan);
    if (const int status = sw_loan_stream(connection_, least, &loan); status != SW_OK) return detail::error_of(status);
    return std::span(static_cast<std::byte*>(loan.data), static_cast<std::size_t>(loan.length));
  }
  /// Sends the first `size` bytes of the loan; 0 gives it back.
  Result<void> commit(std::size_t size) { return detail::result_of(sw_commit_stream(connection_, size)); }
  /// The next bytes where they lie in the ring, valid until consume(). None and no error: the peer ended its stream.
  /// again, peer_closed (it closed without ending the stream), peer_died.
  Result<std::span<const std::byte>> peek() {
    const void* data = nullptr;
    std::size_t size = 0;
    if (const int status = sw_peek_stream(connection_, &data, &size); status != SW_OK) return detail::error_of(status);
    return std::span(static_cast<const std::byte*>(data), size);
  }
  /// Takes the first `size` bytes of what peek() showed. invalid: it showed fewer.
  Result<void> consume(std::size_t size) { return detail::result_of(sw_consume_stream(connection_, size)); }
  /// No more bytes follow from this end; the other direction goes on. again when the ring is full.
  Result<void> shutdown() { return detail::result_of(sw_shutdown(connection_)); }

 private:
  friend class Connection;
  explicit Stream(sw_connection* connection) : connection_(connection) {}
  sw_connection* connection_;
};

// ---- calls ----

namespace detail {

/// What a call of the C ABI gave: the reply, or why there is none.
inline Error remote_error_of(const Message& answer) {
  return Error{Status::remote_error, std::string(answer.text()), answer.code()};
}
inline Result<Peer> peer_of(const sw_connection* connection) {
  sw_peer peer;
  SW_INIT(peer);
  if (const int status = sw_connection_peer(connection, &peer); status != SW_OK) return error_of(status);
  return Peer{peer.node, peer.service, peer.name, peer.pid, peer.uid, peer.slot, peer.direct != 0, peer.link_up != 0};
}

}  // namespace detail

/// A call under way, made by Connection::begin_call(). One that is destroyed before its answer was taken is cancelled:
/// the server is told, and a late answer is discarded.
class Call {
 public:
  Call(Call&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)), id_(other.id_) {}
  Call& operator=(Call&& other) noexcept {
    if (this != &other) {
      cancel();
      connection_ = std::exchange(other.connection_, nullptr);
      id_ = other.id_;
    }
    return *this;
  }
  ~Call() { cancel(); }

  /// Its answer, which can be taken once. Other messages that arrive meanwhile, answers to other calls too, are kept,
  /// at most 4096 (then busy). again, timed_out, cancelled, link_down, engine_gone: it is still under way, ask again or
  /// let it go. remote_error: the server answered with an error. invalid: the answer was taken, or the call cancelled.
  Result<Message> answer(Deadline deadline) {
    if (connection_ == nullptr)
      return Error{Status::invalid, "the answer to this call was taken, or it was cancelled", 0};
    sw_message message;
    SW_INIT(message);
    const int status = sw_call_answer(connection_, id_, deadline.ms(), &message);
    if (status != SW_OK && status != SW_REMOTE_ERROR) return detail::error_of(status);
    Message answer(std::exchange(connection_, nullptr), message);
    if (status == SW_REMOTE_ERROR) return detail::remote_error_of(answer);
    return answer;
  }
  /// Whether the answer can still be asked for.
  bool is_under_way() const { return connection_ != nullptr; }
  /// The number that the server sees as Request::id().
  std::uint32_t id() const { return id_; }
  /// Gives the call up now.
  void cancel() {
    if (connection_ != nullptr) sw_cancel_call(std::exchange(connection_, nullptr), id_);
  }

 private:
  friend class Connection;
  Call(sw_connection* connection, std::uint32_t id) : connection_(connection), id_(id) {}
  sw_connection* connection_;
  std::uint32_t id_;
};

/// A request to be answered, made of a message of Kind::request. Its bytes lie in the ring and are given back with it.
/// One that is destroyed without an answer fails: its caller gets the error kUnanswered. None of its functions waits
/// but deliver().
class Request {
 public:
  /// Code of the error that the caller of a request without an answer gets. Method and code 65535 are the library's.
  static constexpr std::uint16_t kUnanswered = 65535;

  explicit Request(Message message)
      : message_(std::move(message)),
        connection_(message_.connection_),
        id_(message_.id()),
        open_(message_.kind() == Kind::request && connection_ != nullptr),
        begun_(std::chrono::steady_clock::now()) {}
  Request(Request&& other) noexcept
      : message_(std::move(other.message_)),
        connection_(other.connection_),
        id_(other.id_),
        open_(std::exchange(other.open_, false)),
        begun_(other.begun_),
        kept_(std::exchange(other.kept_, std::nullopt)) {}
  Request& operator=(Request&& other) noexcept {
    if (this != &other) {
      fail();
      message_ = std::move(other.message_);
      connection_ = other.connection_;
      id_ = other.id_;
      open_ = std::exchange(other.open_, false);
      begun_ = other.begun_;
      kept_ = std::exchange(other.kept_, std::nullopt);
    }
    return *this;
  }
  ~Request() { fail(); }

  /// Number of the call, unique among the caller's calls on this connection.
  std::uint32_t id() const { return id_; }
  /// 0 to 65534.
  std::uint16_t method() const { return message_.code(); }
  /// The bytes of the request, as such and as text; empty after release().
  std::span<const std::byte> data() const { return message_.data(); }
  std::string_view text() const { return message_.text(); }
  /// How long the caller still waits: what was left when it sent the request, less the time since this object was made.
  /// None: for ever. Below 0: it has given up. (The time that the request was on its way is not known.)
  std::optional<std::chrono::microseconds> time_left() const {
    const std::optional<std::chrono::microseconds> left = message_.time_left();
    if (!left) return std::nullopt;
    return *left - std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begun_);
  }
  /// The caller has cancelled it. Looks at what has arrived, without taking it.
  bool is_cancelled() const { return connection_ != nullptr && sw_is_cancelled(connection_, id_) == 1; }
  /// The caller cancelled it, or its deadline has passed: the answer is not wanted any more.
  bool is_abandoned() const {
    if (is_cancelled()) return true;
    const auto left = time_left();
    return left && left->count() <= 0;
  }
  /// The caller.
  Result<Peer> peer() const { return detail::peer_of(connection_); }

  /// Answers; the first answer counts, and none is sent to a caller that has given up. It is sent now if there is room.
  /// If not, a copy of it is kept, which deliver() sends.
  void reply(Data data) { answer({}, data); }
  /// reply(), and the caller's node may keep the reply (docs/cache.md).
  void reply_cached(Data data, const Cacheable& cacheable) {
    Answer how;
    how.key.assign(cacheable.key.data(), cacheable.key.data() + cacheable.key.size());
    how.cacheable = cacheable;
    answer(std::move(how), data);
  }
  /// Answers with an error: a code of the service's own (0 to 65534), and a text for people.
  void reply_error(std::uint16_t code, std::string_view text) {
    Answer how;
    how.error = code;
    answer(std::move(how), text);
  }
  /// Whether there was an answer, sent or kept.
  bool answered() const { return !open_; }
  /// Sends an answer that was kept. again, timed_out, link_down, engine_gone, too_large (longer than the ring, with
  /// Deadline::now()): it is still kept. Any other error is the connection's, and the answer is discarded.
  Result<void> deliver(Deadline deadline) {
    if (!kept_) return {};
    const int status = send(*kept_, kept_->bytes, deadline);
    if (status != SW_AGAIN && status != SW_TIMED_OUT && status != SW_TOO_LARGE && status != SW_LINK_DOWN &&
        status != SW_ENGINE_GONE) {
      kept_.reset();
    }
    return detail::result_of(status);
  }
  /// Whether the answer was sent, or discarded.
  bool delivered() const { return !open_ && !kept_; }
  /// Gives the room of the request's bytes back; an answer that is kept stays.
  void release() { message_.release(); }
  /// Ends it without an answer, for a caller that does not wait for one any more.
  void drop() {
    open_ = false;
    kept_.reset();
  }

 private:
  struct Answer {
    std::optional<std::uint16_t> error{};
    std::optional<Cacheable> cacheable{};  ///< its key is `key`
    std::vector<std::byte> key{};
    std::vector<std::byte> bytes{};
  };
  int send(const Answer& how, std::span<const std::byte> bytes, Deadline deadline) {
    if (how.cacheable) {
      Cacheable cacheable = *how.cacheable;
      cacheable.key = how.key;
      const sw_cacheable given = detail::given_cacheable(cacheable);
      return sw_reply_cached(connection_, id_, bytes.data(), bytes.size(), &given, deadline.ms());
    }
    if (!how.error) return sw_reply(connection_, id_, bytes.data(), bytes.size(), deadline.ms());
    const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return sw_reply_error(connection_, id_, *how.error, text.c_str(), deadline.ms());
  }
  void answer(Answer how, Data data) {
    if (!std::exchange(open_, false) || is_abandoned()) return;
    const std::span<const std::byte> bytes(data.data(), data.size());
    const int status = send(how, bytes, Deadline::now());
    if (status != SW_AGAIN && status != SW_TOO_LARGE) return;
    how.bytes.assign(bytes.begin(), bytes.end());
    kept_ = std::move(how);
  }
  void fail() {
    if (open_) reply_error(kUnanswered, "the server gave no answer");
    if (kept_) (void)deliver(Deadline::now());
  }

  Message message_;
  sw_connection* connection_;
  std::uint32_t id_;
  bool open_;  ///< not answered
  std::chrono::steady_clock::time_point begun_;
  std::optional<Answer> kept_;  ///< found no room
};

/// One end of a connection. Sending and receiving make no system call while the other side keeps up. Destroying it
/// closes it in good order, without waiting: what was sent is still delivered.
class Connection {
 public:
  /// What the peer's slotwired thinks of the process that serves at the other end. The connection works all the same.
  Health health() const { return static_cast<Health>(sw_connection_health(handle_.get())); }
  static constexpr std::size_t kBatch = 64;  ///< messages of a batch that are handed to the library at once
  /// Who is at the other end.
  Result<Peer> peer() const { return detail::peer_of(handle_.get()); }

  /// Sends a one-way message of 0 bytes up to what the peer accepts (its ContextOptions::max_message). One that is
  /// longer than the ring is cut into parts, which the peer puts together again, and needs a deadline. If the deadline
  /// passes half-way the connection is broken: close it. again, timed_out, link_down, engine_gone, cancelled, too_large
  /// (longer than the ring, with Deadline::now()), busy (a loan is open), the end.
  Result<void> send(Data data, Deadline deadline) {
    return detail::result_of(sw_send(handle_.get(), data.data(), data.size(), deadline.ms()));
  }
  /// Sends those of `messages`, from the first on, that fit now as a whole; returns how many. Up to kBatch of them
  /// become visible to the peer together, which costs less than one at a time. again, too_large, busy, the end.
  Result<std::size_t> send_batch(std::span<const Data> messages) {
    std::size_t sent = 0;
    while (sent < messages.size()) {
      std::array<sw_buffer, kBatch> some;
      const std::size_t count = std::min(kBatch, messages.size() - sent);
      for (std::size_t i = 0; i < count; ++i) some[i] = {messages[sent + i].data(), messages[sent + i].size()};
      std::size_t done = 0;
      const int status = sw_send_batch(handle_.get(), some.data(), count, &done);
      sent += done;
      if (status != SW_OK && sent == 0) return detail::error_of(status);
      if (done < count) break;
    }
    return sent;
  }
  /// Takes the messages that are there, at most kBatch and at most as many as `into` has places; returns how many. If
  /// there is none it fails as receive(Deadline::now()). release() gives them back together.
  Result<std::size_t> receive_batch(std::span<Message> into) {
    std::array<sw_message, kBatch> some;
    const std::size_t most = std::min(kBatch, into.size());
    for (std::size_t i = 0; i < most; ++i) some[i].size = sizeof(sw_message);
    std::size_t received = 0;
    if (const int status = sw_receive_batch(handle_.get(), some.data(), most, &received); status != SW_OK)
      return detail::error_of(status);
    for (std::size_t i = 0; i < received; ++i) {
      Message& message = into[i];
      if (message.connection_ != nullptr) message.release();
      message.connection_ = handle_.get();
      message.message_ = some[i];
    }
    return received;
  }
  /// Gives messages of this connection back, which costs less than one at a time.
  void release(std::span<Message> messages) {
    for (std::size_t done = 0; done < messages.size(); done += kBatch) {
      std::array<sw_message, kBatch> some;
      const std::size_t count = std::min(kBatch, messages.size() - done);
      for (std::size_t i = 0; i < count; ++i) {
        Message& message = messages[done + i];
        // All that releasing looks at.
        some[i].size = sizeof(sw_message);
        some[i].owner = std::exchange(message.connection_, nullptr) == nullptr ? nullptr : message.message_.owner;
        message.message_ = {};
      }
      sw_release_batch(handle_.get(), some.data(), count);
    }
  }
  /// Room for a message of at most `size` bytes in the ring itself. again, too_large (more than the ring), busy, the
  /// end.
  Result<Loan> loan(std::size_t size) {
    sw_loan loan;
    SW_INIT(loan);
    if (const int status = sw_loan_message(handle_.get(), size, &loan); status != SW_OK)
      return detail::error_of(status);
    return Loan(handle_.get(), {static_cast<std::byte*>(loan.data), static_cast<std::size_t>(loan.length)});
  }
  /// The next message of any kind. again, timed_out, link_down, engine_gone, cancelled; the end after the last message.
  Result<Message> receive(Deadline deadline) {
    sw_message message;
    SW_INIT(message);
    if (const int status = sw_receive(handle_.get(), deadline.ms(), &message); status != SW_OK)
      return detail::error_of(status);
    return Message(handle_.get(), message);
  }

  /// Sends a request with `method` (0 to 65534) and waits for its answer. The request tells the server what is left of
  /// the deadline. Messages that arrive meanwhile are kept for receive(), at most 4096 (then busy). After timed_out,
  /// cancelled, link_down or engine_gone the peer is told, and a late answer is discarded. remote_error: the server
  /// answered with an error, Error::code and Error::text are its own. Otherwise as send().
  Result<Message> call(std::uint16_t method, Data data, Deadline deadline) {
    sw_message message;
    SW_INIT(message);
    const int status = sw_call(handle_.get(), method, data.data(), data.size(), deadline.ms(), &message);
    if (status == SW_OK) return Message(handle_.get(), message);
    if (status != SW_REMOTE_ERROR) return detail::error_of(status);
    return detail::remote_error_of(Message(handle_.get(), message));
  }
  /// call(), unless the cache of this node has a valid reply to `method` and `key` (0 to 1024 bytes), or the call of
  /// another process brings it (docs/cache.md). A reply from the cache is a copy, and its id is 0.
  Result<Message> call_cached(std::uint16_t method, Data key, Data data, Deadline deadline) {
    sw_message message;
    SW_INIT(message);
    const int status = sw_call_cached(handle_.get(), method, key.data(), key.size(), data.data(), data.size(),
                                      deadline.ms(), &message);
    if (status == SW_OK) return Message(handle_.get(), message);
    if (status != SW_REMOTE_ERROR) return detail::error_of(status);
    return detail::remote_error_of(Message(handle_.get(), message));
  }
  /// Begins a call, for many at once. The deadline is how long to wait for room, and what the server is told. It does
  /// not end the call; destroying the Call does. Otherwise as send().
  Result<Call> begin_call(std::uint16_t method, Data data, Deadline deadline) {
    const Result<std::uint32_t> id = start_call(method, data, deadline);
    if (!id) return id.error();
    return Call(handle_.get(), *id);
  }
  /// The same by number, for programs that keep account of their calls themselves. The answer comes from receive(), as
  /// Kind::reply or Kind::error with this number. Nothing watches the deadline afterwards: cancel() when it has passed.
  Result<std::uint32_t> start_call(std::uint16_t method, Data data, Deadline deadline) {
    std::uint32_t id = 0;
    const int status = sw_start_call(handle_.get(), method, data.data(), data.size(), deadline.ms(), &id);
    if (status != SW_OK) return detail::error_of(status);
    return id;
  }
  /// Gives a call of start_call() up: the server is told if there is room, and a late answer is discarded (those of the
  /// last 1024 calls that were given up). busy: a loan is open.
  Result<void> cancel(std::uint32_t id) { return detail::result_of(sw_cancel_call(handle_.get(), id)); }
  /// Makes the wait that is under way, or the next one, return Status::cancelled. Any thread; async-signal-safe.
  void interrupt() const { sw_interrupt(handle_.get()); }

  /// Answers request `id` of receive(). Length and errors are those of send().
  Result<void> reply(std::uint32_t id, Data data, Deadline deadline) {
    return detail::result_of(sw_reply(handle_.get(), id, data.data(), data.size(), deadline.ms()));
  }
  /// The same, and the caller's node may keep the reply if the caller used call_cached().
  Result<void> reply_cached(std::uint32_t id, Data data, const Cacheable& cacheable, Deadline deadline) {
    const sw_cacheable given = detail::given_cacheable(cacheable);
    return detail::result_of(sw_reply_cached(handle_.get(), id, data.data(), data.size(), &given, deadline.ms()));
  }
  /// Tells the client that replies which were sent before are no longer valid. Any error: it was not told.
  Result<void> invalidate(const Invalidation& what, Deadline deadline) {
    const sw_invalidation given = detail::given_invalidation(what);
    return detail::result_of(sw_invalidate(handle_.get(), &given, deadline.ms()));
  }
  /// Answers request `id` with an error: a code of the server's own (0 to 65534), and a text for people.
  Result<void> reply_error(std::uint32_t id, std::uint16_t code, const std::string& text, Deadline deadline) {
    return detail::result_of(sw_reply_error(handle_.get(), id, code, text.c_str(), deadline.ms()));
  }
  /// Whether the peer has given request `id` up. Looks at what has arrived, without taking it. After 1024 cancellations
  /// it forgets them and begins anew.
  bool is_cancelled(std::uint32_t id) const { return sw_is_cancelled(handle_.get(), id) == 1; }

  /// The connection as a stream of bytes.
  Stream stream() const { return Stream(handle_.get()); }
  /// Waits until the peer's node has everything that was sent (on a direct pair: until the peer has read it).
  Result<void> flush(Deadline deadline) { return detail::result_of(sw_flush(handle_.get(), deadline.ms())); }

  /// Waits until one of `what` holds. again, timed_out, link_down, engine_gone, cancelled, the end.
  Result<void> wait(Interest what, Deadline deadline) {
    return detail::result_of(sw_wait(handle_.get(), static_cast<int>(what), deadline.ms()));
  }
  /// For an event loop of your own: try; on again arm(); if that is ok, sleep until fd() is readable; disarm(); try.
  /// Watch Context::fd() as well. The library owns the descriptor.
  int fd() const { return sw_connection_fd(handle_.get()); }
  /// again: what you wait for is there already, do not sleep.
  Result<void> arm(Interest what) { return detail::result_of(sw_arm(handle_.get(), static_cast<int>(what))); }
  void disarm() { sw_disarm(handle_.get()); }

  /// Closes now. Its messages, loans, calls and requests must have been destroyed.
  void close() { handle_.reset(); }
  /// For functions of the C ABI; stays this object's.
  sw_connection* handle() const { return handle_.get(); }

 private:
  friend class Service;
  friend class Context;
  explicit Connection(sw_connection* connection) : handle_(connection) {}
  detail::Handle<sw_connection, sw_connection_close> handle_;
};

/// A name that this process serves, beside other processes that serve it: connections take turns. Destroying it stops
/// serving, which waits for slotwired for at most 5 s; accepted connections go on, those not accepted yet are closed.
class Service {
 public:
  /// The next connection. again, timed_out.
  Result<Connection> accept(Deadline deadline) {
    sw_connection* connection = nullptr;
    if (const int status = sw_accept(handle_.get(), deadline.ms(), &connection); status != SW_OK)
      return detail::error_of(status);
    return Connection(connection);
  }
  /// Connection::invalidate() for all clients that are connected, with one deadline for all of them. An error: some of
  /// them were not told, and its text says how many.
  Result<void> invalidate(const Invalidation& what, Deadline deadline) {
    const sw_invalidation given = detail::given_invalidation(what);
    return detail::result_of(sw_invalidate_service(handle_.get(), &given, deadline.ms()));
  }
  /// Readable when accept() may succeed: the context's descriptor.
  int fd() const { return sw_service_fd(handle_.get()); }
  /// Ends serving, but connections that were made before can still be accepted, until again. Then close(). Waits for at
  /// most 5 s. engine_gone, timed_out: slotwired did not confirm it.
  Result<void> end() { return detail::result_of(sw_service_end(handle_.get())); }
  /// As the destructor.
  void close() { handle_.reset(); }

 private:
  friend class Context;
  explicit Service(sw_service* service) : handle_(service) {}
  detail::Handle<sw_service, sw_service_close> handle_;
};

/// The outcome of a Context::start_connect().
struct Connected {
  void* token;                    ///< as given there
  Result<Connection> connection;  ///< or an error, as of connect()
};

/// A session with the node's slotwired. If slotwired is killed, connections go on, and the session is resumed when it
/// is back. Destroying it closes everything in good order.
class Context {
 public:
  /// Waits for slotwired's answer for at most 5 s. engine_gone, refused, version, timed_out, no_memory.
  static Result<Context> open(const ContextOptions& options = {}) {
    const auto us = [](const std::optional<std::chrono::microseconds>& time) {
      if (!time) return std::numeric_limits<std::uint32_t>::max();
      return static_cast<std::uint32_t>(std::min<std::chrono::microseconds::rep>(
          std::max<std::chrono::microseconds::rep>(time->count(), 1), 1'000'000));
    };
    sw_options given;
    SW_INIT(given);
    given.socket = options.socket.empty() ? nullptr : options.socket.c_str();
    given.name = options.name.empty() ? nullptr : options.name.c_str();
    given.spin_us = us(options.spin);
    given.yield_us = us(options.yield);
    given.max_message = options.max_message;
    given.cache_bytes = options.cache_bytes;
    sw_context* context = nullptr;
    if (const int status = sw_open(&given, &context); status != SW_OK) return detail::error_of(status);
    return Context(context);
  }
  /// Moves the context and all that was made from it to the calling thread. No other thread may be using it, or use it
  /// afterwards.
  Result<void> adopt() { return detail::result_of(sw_context_adopt(handle_.get())); }

  /// Sends slotwired the figures of at most 16 services and roles; each call replaces what was sent before. About once
  /// a second is enough. While slotwired is away nothing is sent, and that is no error. invalid.
  Result<void> report(std::span<Figures* const> figures) {
    std::array<sw_figures, SW_MAX_FIGURES> given{};
    if (figures.size() > given.size()) return detail::error_of(sw_report(handle_.get(), given.data(), figures.size()));
    for (std::size_t i = 0; i < figures.size(); ++i) given.at(i) = figures[i]->take();
    return detail::result_of(sw_report(handle_.get(), given.data(), figures.size()));
  }

  /// Says whether what this context serves can take requests; at first it can. While it cannot, slotwired gives new
  /// connections to others that serve the same. Never waits.
  Result<void> set_ready(bool ready) { return detail::result_of(sw_set_ready(handle_.get(), ready ? 1 : 0)); }

  /// Serves `service`: 1 to 63 of A-Z a-z 0-9 . _ / -. Waits for slotwired's answer for at most 5 s. refused (policy,
  /// quota), invalid (also: this context serves it already), engine_gone, timed_out.
  Result<Service> serve(const std::string& service, const ServeOptions& options = {}) {
    sw_serve_options given;
    SW_INIT(given);
    given.backlog = options.backlog;
    sw_service* made = nullptr;
    if (const int status = sw_serve(handle_.get(), service.c_str(), &given, &made); status != SW_OK)
      return detail::error_of(status);
    return Service(made);
  }
  /// Connects to a process that serves `service`, on this node or one that the directory names. Waits for a link that
  /// is down and for a slotwired that is being restarted. It always asks slotwired, so Deadline::now() gives timed_out.
  /// no_service, refused, link_down, engine_gone, timed_out, no_memory; invalid (also: rings above memory.max_ring).
  Result<Connection> connect(const std::string& service, Deadline deadline, const ConnectOptions& options = {}) {
    const sw_connect_options given = given_options(options);
    sw_connection* made = nullptr;
    const int status = sw_connect(handle_.get(), service.c_str(), &given, deadline.ms(), &made);
    if (status != SW_OK) return detail::error_of(status);
    return Connection(made);
  }

  /// Starts to connect without waiting, for event loops: connected() gives the outcome, with `token`. The deadline is
  /// how long slotwired may take; a link that is down is not waited for. busy (1024 are under way, outcomes that were
  /// not taken included), engine_gone.
  Result<void> start_connect(const std::string& service, Deadline deadline, void* token,
                             const ConnectOptions& options = {}) {
    const sw_connect_options given = given_options(options);
    return detail::result_of(sw_start_connect(handle_.get(), service.c_str(), &given, deadline.ms(), token));
  }
  /// The outcome of one start_connect(), in any order, after the context had events. std::nullopt: there is none yet.
  std::optional<Connected> connected() {
    void* token = nullptr;
    sw_connection* made = nullptr;
    const int status = sw_connected(handle_.get(), &token, &made);
    if (status == SW_AGAIN) return std::nullopt;
    if (status != SW_OK) return Connected{token, detail::error_of(status)};
    return Connected{token, Connection(made)};
  }

  /// Readable when process() has something to do. For an event loop; functions that wait call process() themselves.
  int fd() const { return sw_context_fd(handle_.get()); }
  /// Takes what slotwired has sent: new connections, peers that closed or died, links that went up or down. Resumes the
  /// session after a restart of slotwired, one step a call.
  Result<void> process() { return detail::result_of(sw_context_process(handle_.get())); }
  /// Whether this context is attached to slotwired; else why the last try failed. `again`: it has not ended.
  Result<void> attached() const { return detail::result_of(sw_context_attached(handle_.get())); }
  /// Name of this node.
  std::string_view node() const { return sw_context_node(handle_.get()); }
  /// As the destructor.
  void close() { handle_.reset(); }
  /// For functions of the C ABI; stays this object's.
  sw_context* handle() const { return handle_.get(); }

 private:
  static sw_connect_options given_options(const ConnectOptions& options) {
    sw_connect_options given;
    SW_INIT(given);
    given.in_bytes = options.in_bytes;
    given.out_bytes = options.out_bytes;
    given.bulk = options.bulk ? 1 : 0;
    given.one_shot = options.one_shot ? 1 : 0;
    return given;
  }
  explicit Context(sw_context* context) : handle_(context) {}
  detail::Handle<sw_context, sw_close> handle_;
};

// ---- many at once ----

/// A connection that is ready.
struct Ready {
  void* token = nullptr;           ///< as given to Poller::add()
  Interest what = Interest::none;  ///< all that was asked for when it has ended: the next call on it tells why
};

/// Connections of one context, and the context's events, waited for together. The cost of a wait depends on the number
/// of connections that are ready. A connection leaves its poller when it is closed.
class Poller {
 public:
  /// Connections that one wait() reports at most; the next one reports the others.
  static constexpr std::size_t kMaxReady = 64;

  /// no_memory.
  static Result<Poller> create(Context& context) {
    sw_poller* poller = nullptr;
    if (const int status = sw_poller_create(context.handle(), &poller); status != SW_OK)
      return detail::error_of(status);
    return Poller(poller);
  }
  /// Adds a connection of the poller's context. Interest::none: it is not reported, not even its end, until set() asks
  /// for something. no_memory, invalid (it is in a poller already).
  Result<void> add(Connection& connection, Interest what, void* token) {
    return detail::result_of(sw_poller_add(handle_.get(), connection.handle(), static_cast<int>(what), token));
  }
  /// Changes what a connection is waited for. invalid: it is not in this poller.
  Result<void> set(Connection& connection, Interest what) {
    return detail::result_of(sw_poller_set(handle_.get(), connection.handle(), static_cast<int>(what)));
  }
  /// Takes a connection out. invalid: it is not in this poller.
  Result<void> remove(Connection& connection) {
    return detail::result_of(sw_poller_remove(handle_.get(), connection.handle()));
  }
  /// Those that are ready, at most kMaxReady; valid until the next wait. None and no error: the context had events,
  /// Service::accept() and Context::connected() may succeed now. again, timed_out, cancelled.
  Result<std::span<const Ready>> wait(Deadline deadline) {
    std::array<sw_ready, kMaxReady> found;
    std::size_t count = 0;
    const int status = sw_poller_wait(handle_.get(), found.data(), found.size(), deadline.ms(), &count);
    if (status != SW_OK) return detail::error_of(status);
    ready_.clear();
    for (std::size_t i = 0; i < count; ++i) ready_.push_back({found[i].token, static_cast<Interest>(found[i].what)});
    return std::span<const Ready>(ready_);
  }
  /// Makes the wait that is under way, or the next one, return Status::cancelled. Any thread; async-signal-safe.
  void interrupt() const { sw_poller_interrupt(handle_.get()); }
  /// For nesting in an event loop: once arm() was ok, fd() is readable when wait() would return something.
  int fd() const { return sw_poller_fd(handle_.get()); }
  /// again: wait() would return something now, do not sleep.
  Result<void> arm() { return detail::result_of(sw_poller_arm(handle_.get())); }

 private:
  explicit Poller(sw_poller* poller) : handle_(poller) { ready_.reserve(kMaxReady); }
  detail::Handle<sw_poller, sw_poller_destroy> handle_;
  std::vector<Ready> ready_;
};

}  // namespace slotwire
