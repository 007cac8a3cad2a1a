// slotwire.hpp: the process library of Slotwire for C++20. Header-only, over the C ABI in slotwire.h: link libslotwire.
//
//   auto context = slotwire::Context::open();                       // a session with this node's slotwired
//   if (!context) return complain(context.error().text);
//   auto connection = context->connect("orders", 2s);               // whoever serves it, here or on another node
//   auto reply = connection->call(1, "how many?", 500ms);           // a request and its answer
//   if (reply) use(reply->text());                                  // in place in the ring, until `reply` goes
//
// Threads: a Context and all that is made from it (Service, Connection, Message, Loan, Poller) belong to the thread
// that opened it; a call from another thread gives Status::wrong_thread and does nothing. Use one Context per thread;
// Context::adopt() moves a whole one. The only exceptions, which any thread and any signal handler may call, are
// Connection::interrupt() and Poller::interrupt().
//
// Errors: nothing throws but std::bad_alloc. A function that can fail returns Result<T>: a T, or an Error with a Status
// and a sentence for people. No room and nothing there are Status::again (their text is empty, so that trying costs
// nothing).
//
// Waiting: a function that may wait takes a Deadline. A duration is a timeout (0: do not wait, again at once), a
// steady_clock::time_point is a time, Deadline::never() is no limit. The resolution is 1 ms, rounded up.
//
// Lifetimes, inner before outer, as local variables are destroyed anyway: Message, Loan, Call and Request before their
// Connection;
// Connection, Service and Poller before their Context. Moving any of them keeps the others valid.
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

/// A received message. Its bytes lie in the ring where they fit (a long one was put together in memory) and stay until
/// the object goes; keep few and briefly, for the peer cannot use their room meanwhile. Messages may go in any order.
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
  std::span<const std::byte> data() const { return {static_cast<const std::byte*>(message_.data), size()}; }
  std::string_view text() const { return {static_cast<const char*>(message_.data), size()}; }
  std::size_t size() const { return static_cast<std::size_t>(message_.length); }
  /// Of a request, its answer or its cancellation; matches start_call().
  std::uint32_t id() const { return message_.id; }
  /// Method of a request (0 to 65534), code of an error.
  std::uint16_t code() const { return message_.code; }
  /// Of a request: the time that was left when it was sent. None: the caller waits for ever.
  std::optional<std::chrono::microseconds> time_left() const {
    if (message_.deadline_us < 0) return std::nullopt;
    return std::chrono::microseconds(message_.deadline_us);
  }
  /// Gives the room back now.
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

/// Room for one message in the slot itself: write into data(), then commit. Nothing is visible before, and an object
/// that goes uncommitted gives the room back. One loan at a time on a connection; sending meanwhile is Status::busy.
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

  std::span<std::byte> data() const { return bytes_; }
  /// Sends the first `size` bytes (at most data().size()) as a one-way message.
  Result<void> commit(std::size_t size) { return finish(SW_MESSAGE, 0, 0, size); }
  Result<void> commit() { return commit(bytes_.size()); }
  /// Sends them as the answer to request `id`.
  Result<void> commit_reply(std::uint32_t id, std::size_t size) { return finish(SW_REPLY, 0, id, size); }
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

/// The connection seen as two streams of bytes. Both ends use it so, or neither. A view: the Connection stays the
/// owner.
class Stream {
 public:
  /// Writes what there is room for, at least one byte; how many. again, and why it never will.
  Result<std::size_t> write(Data data) {
    std::size_t done = 0;
    const int status = sw_write(connection_, data.data(), data.size(), &done);
    if (status != SW_OK) return detail::error_of(status);
    return done;
  }
  /// Reads what is there, at least one byte; how many. again; peer_closed after the peer's last byte; peer_died.
  Result<std::size_t> read(std::span<std::byte> into) {
    std::size_t done = 0;
    const int status = sw_read(connection_, into.data(), into.size(), &done);
    if (status != SW_OK) return detail::error_of(status);
    return done;
  }
  /// Writes all of it. After timed_out a part of it may have been written.
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
  /// Waits for at least one byte.
  Result<std::size_t> read_some(std::span<std::byte> into, Deadline deadline) {
    while (true) {
      std::size_t done = 0;
      int status = sw_read(connection_, into.data(), into.size(), &done);
      if (status == SW_OK) return done;
      if (status == SW_AGAIN) status = sw_wait(connection_, SW_READABLE, deadline.ms());
      if (status != SW_OK) return detail::error_of(status);
    }
  }
  /// Room to write in place: what there is, at least `least` bytes (cut to a quarter of the ring, the most there is).
  /// Write into it, then commit(). Until then nothing else can be sent. again: less is free.
  Result<std::span<std::byte>> loan(std::size_t least) {
    sw_loan loan;
    SW_INIT(loan);
    if (const int status = sw_loan_stream(connection_, least, &loan); status != SW_OK) return detail::error_of(status);
    return std::span(static_cast<std::byte*>(loan.data), static_cast<std::size_t>(loan.length));
  }
  /// Sends the first `size` bytes of the loan.
  Result<void> commit(std::size_t size) { return detail::result_of(sw_commit_stream(connection_, size)); }
  /// The next bytes where they lie in the ring, valid until consume(). None and no error: the peer ended its stream.
  /// again, peer_closed (it closed without ending the stream), peer_died.
  Result<std::span<const std::byte>> peek() {
    const void* data = nullptr;
    std::size_t size = 0;
    if (const int status = sw_peek_stream(connection_, &data, &size); status != SW_OK) return detail::error_of(status);
    return std::span(static_cast<const std::byte*>(data), size);
  }
  /// Takes the first `size` bytes of what peek() showed.
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

/// A call under way, made by Connection::begin_call(). One that goes before its answer was taken is cancelled: the
/// server is told, and a late answer is dropped.
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

  /// Its answer; once. Other messages that arrive meanwhile, answers to other calls too, are kept. again (with
  /// Deadline::now()), timed_out, cancelled, link_down, engine_gone: it is still under way, ask again or let it go.
  /// remote_error: the server said no. invalid: the answer was taken, or the call cancelled.
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
  void cancel() {
    if (connection_ != nullptr) sw_cancel_call(std::exchange(connection_, nullptr), id_);
  }

 private:
  friend class Connection;
  Call(sw_connection* connection, std::uint32_t id) : connection_(connection), id_(id) {}
  sw_connection* connection_;
  std::uint32_t id_;
};

/// A request to be answered, made of a message of Kind::request. Its bytes lie in the ring and go with it. One that
/// goes without an answer fails: its caller gets the error kUnanswered.
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

  std::uint32_t id() const { return id_; }
  std::uint16_t method() const { return message_.code(); }
  std::span<const std::byte> data() const { return message_.data(); }
  std::string_view text() const { return message_.text(); }
  /// Time that the caller still waits; none: for ever. Below 0: it has given up. (Without the time that the request was
  /// on its way.)
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
  Result<Peer> peer() const { return detail::peer_of(connection_); }

  /// Answers; the first answer counts. It is sent now if there is room. If not it is kept: deliver() sends it.
  void reply(Data data) { answer({}, data); }
  /// reply(), and the caller's node may keep it (docs/cache.md).
  void reply_cached(Data data, const Cacheable& cacheable) {
    Answer how;
    how.key.assign(cacheable.key.data(), cacheable.key.data() + cacheable.key.size());
    how.cacheable = cacheable;
    answer(std::move(how), data);
  }
  /// Answers with an error: a code of the service's own, and a text for people.
  void reply_error(std::uint16_t code, std::string_view text) {
    Answer how;
    how.error = code;
    answer(std::move(how), text);
  }
  /// There was an answer, sent or kept.
  bool answered() const { return !open_; }
  /// Sends an answer that was kept. again, timed_out, too_large (longer than the ring, with Deadline::now()): it is
  /// kept on. Any other error is the connection's, and the answer is dropped.
  Result<void> deliver(Deadline deadline) {
    if (!kept_) return {};
    const int status = send(*kept_, kept_->bytes, deadline);
    if (status != SW_AGAIN && status != SW_TIMED_OUT && status != SW_TOO_LARGE && status != SW_LINK_DOWN &&
        status != SW_ENGINE_GONE) {
      kept_.reset();
    }
    return detail::result_of(status);
  }
  bool delivered() const { return !open_ && !kept_; }
  /// Gives the room of the request's bytes back; an answer that is kept stays.
  void release() { message_.release(); }
  /// Lets it go without an answer: nobody waits for one.
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
/// closes in good order: what was sent is still delivered.
class Connection {
 public:
  static constexpr std::size_t kBatch = 64;  ///< messages of a batch that are handed to the library at once
  Result<Peer> peer() const { return detail::peer_of(handle_.get()); }

  /// Sends a one-way message of any length, from 0 bytes up to what the peer accepts (ContextOptions::max_message). One
  /// that is longer than the ring is cut and put together again, and needs a deadline; if it is cut off half-way the
  /// connection is broken for both ends. again (with Deadline::now()), timed_out, link_down, engine_gone, too_large,
  /// peer_closed, peer_died, lost, busy.
  Result<void> send(Data data, Deadline deadline) {
    return detail::result_of(sw_send(handle_.get(), data.data(), data.size(), deadline.ms()));
  }
  /// Sends those of `messages`, from the first on, that fit now as a whole; how many. They become visible to the peer
  /// together, which costs less than one at a time. again, busy, and why it never will.
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
  /// The messages that are there, at most as many as `into` has places; how many. Fails as receive(Deadline::now()) if
  /// there is none. release() gives them back together.
  Result<std::size_t> receive_batch(std::span<Message> into) {
    std::array<sw_message, kBatch> some;
    const std::size_t most = std::min(kBatch, into.size());
    for (std::size_t i = 0; i < most; ++i) some[i].size = sizeof(sw_message);
    std::size_t received = 0;
    if (const int status = sw_receive_batch(handle_.get(), some.data(), most, &received); status != SW_OK)
      return detail::error_of(status);
    for (std::size_t i = 0; i < received; ++i) into[i] = Message(handle_.get(), some[i]);
    return received;
  }
  /// Gives messages of this connection back, which costs less than one at a time.
  void release(std::span<Message> messages) {
    for (std::size_t done = 0; done < messages.size(); done += kBatch) {
      std::array<sw_message, kBatch> some;
      const std::size_t count = std::min(kBatch, messages.size() - done);
      for (std::size_t i = 0; i < count; ++i) {
        Message& message = messages[done + i];
        some[i] = message.message_;
        if (std::exchange(message.connection_, nullptr) == nullptr) some[i].owner = nullptr;
        message.message_ = {};
      }
      sw_release_batch(handle_.get(), some.data(), count);
    }
  }
  /// Room for a message of at most `size` bytes in the ring itself. again, too_large (more than the ring), busy.
  Result<Loan> loan(std::size_t size) {
    sw_loan loan;
    SW_INIT(loan);
    if (const int status = sw_loan_message(handle_.get(), size, &loan); status != SW_OK)
      return detail::error_of(status);
    return Loan(handle_.get(), {static_cast<std::byte*>(loan.data), static_cast<std::size_t>(loan.length)});
  }
  /// The next message of any kind. again, timed_out, link_down; peer_closed and peer_died after the last message;
  /// broken, too_large.
  Result<Message> receive(Deadline deadline) {
    sw_message message;
    SW_INIT(message);
    if (const int status = sw_receive(handle_.get(), deadline.ms(), &message); status != SW_OK)
      return detail::error_of(status);
    return Message(handle_.get(), message);
  }

  /// A request with `method` (0 to 65534) and its answer. The deadline travels with the request. Messages that arrive
  /// meanwhile are kept for receive(). After timed_out, cancelled, link_down or engine_gone the peer is told, and a
  /// late answer is dropped. remote_error: the server said no, Error::code and Error::text are its own.
  Result<Message> call(std::uint16_t method, Data data, Deadline deadline) {
    sw_message message;
    SW_INIT(message);
    const int status = sw_call(handle_.get(), method, data.data(), data.size(), deadline.ms(), &message);
    if (status == SW_OK) return Message(handle_.get(), message);
    if (status != SW_REMOTE_ERROR) return detail::error_of(status);
    return detail::remote_error_of(Message(handle_.get(), message));
  }
  /// call(), unless the cache of this node has a valid reply to `method` and `key`, or somebody else's call will bring
  /// it (docs/cache.md). The bytes of a reply from the cache are a copy.
  Result<Message> call_cached(std::uint16_t method, Data key, Data data, Deadline deadline) {
    sw_message message;
    SW_INIT(message);
    const int status = sw_call_cached(handle_.get(), method, key.data(), key.size(), data.data(), data.size(),
                                      deadline.ms(), &message);
    if (status == SW_OK) return Message(handle_.get(), message);
    if (status != SW_REMOTE_ERROR) return detail::error_of(status);
    return detail::remote_error_of(Message(handle_.get(), message));
  }
  /// Begins a call, for many at once. The deadline is how long to wait for room, and what the server is told; it does
  /// not end the call, letting the Call go does.
  Result<Call> begin_call(std::uint16_t method, Data data, Deadline deadline) {
    const Result<std::uint32_t> id = start_call(method, data, deadline);
    if (!id) return id.error();
    return Call(handle_.get(), *id);
  }
  /// The same by number, for programs that keep account of their calls themselves. The answer comes from receive(), as
  /// Kind::reply or Kind::error with this number. The deadline is how long to wait for room, and what the server is
  /// told; nobody watches it afterwards: cancel() when it is over.
  Result<std::uint32_t> start_call(std::uint16_t method, Data data, Deadline deadline) {
    std::uint32_t id = 0;
    const int status = sw_start_call(handle_.get(), method, data.data(), data.size(), deadline.ms(), &id);
    if (status != SW_OK) return detail::error_of(status);
    return id;
  }
  /// Gives a call of start_call() up: the server is told, a late answer is dropped (of the last 1024 calls given up).
  Result<void> cancel(std::uint32_t id) { return detail::result_of(sw_cancel_call(handle_.get(), id)); }
  /// Makes the wait that is under way, or the next one, return Status::cancelled. Any thread; async-signal-safe.
  void interrupt() const { sw_interrupt(handle_.get()); }

  /// Answers request `id` of receive(). Errors as of send().
  Result<void> reply(std::uint32_t id, Data data, Deadline deadline) {
    return detail::result_of(sw_reply(handle_.get(), id, data.data(), data.size(), deadline.ms()));
  }
  /// The same, and the caller's node may keep the reply if the caller can use that.
  Result<void> reply_cached(std::uint32_t id, Data data, const Cacheable& cacheable, Deadline deadline) {
    const sw_cacheable given = detail::given_cacheable(cacheable);
    return detail::result_of(sw_reply_cached(handle_.get(), id, data.data(), data.size(), &given, deadline.ms()));
  }
  /// Tells the client that replies which it had are valid no more. again, timed_out: it was not told.
  Result<void> invalidate(const Invalidation& what, Deadline deadline) {
    const sw_invalidation given = detail::given_invalidation(what);
    return detail::result_of(sw_invalidate(handle_.get(), &given, deadline.ms()));
  }
  /// Answers it with an error: a code of the server's own, and a text for people.
  Result<void> reply_error(std::uint32_t id, std::uint16_t code, const std::string& text, Deadline deadline) {
    return detail::result_of(sw_reply_error(handle_.get(), id, code, text.c_str(), deadline.ms()));
  }
  /// Has the peer given request `id` up? Looks at what has arrived, without taking it.
  bool is_cancelled(std::uint32_t id) const { return sw_is_cancelled(handle_.get(), id) == 1; }

  Stream stream() const { return Stream(handle_.get()); }
  /// Waits until everything that was sent is in the peer's node (direct: has been read by the peer).
  Result<void> flush(Deadline deadline) { return detail::result_of(sw_flush(handle_.get(), deadline.ms())); }

  /// Waits until one of `what` holds, or tells why it never will (peer_died, ...). writable: what the last refused send
  /// needs.
  Result<void> wait(Interest what, Deadline deadline) {
    return detail::result_of(sw_wait(handle_.get(), static_cast<int>(what), deadline.ms()));
  }
  /// For an event loop of your own: try; on again arm(); if that is ok, sleep until fd() is readable; disarm(); try.
  /// again from arm(): it is there already, do not sleep. Watch Context::fd() as well. The library owns the descriptor.
  int fd() const { return sw_connection_fd(handle_.get()); }
  Result<void> arm(Interest what) { return detail::result_of(sw_arm(handle_.get(), static_cast<int>(what))); }
  void disarm() { sw_disarm(handle_.get()); }

  /// Closes now. Its messages and loans must be gone.
  void close() { handle_.reset(); }
  sw_connection* handle() const { return handle_.get(); }

 private:
  friend class Service;
  friend class Context;
  explicit Connection(sw_connection* connection) : handle_(connection) {}
  detail::Handle<sw_connection, sw_connection_close> handle_;
};

/// A name that this process serves, beside other processes that serve it: connections take turns. Destroying it stops
/// serving; accepted connections go on, those not accepted yet are closed.
class Service {
 public:
  /// The next connection. again, timed_out.
  Result<Connection> accept(Deadline deadline) {
    sw_connection* connection = nullptr;
    if (const int status = sw_accept(handle_.get(), deadline.ms(), &connection); status != SW_OK)
      return detail::error_of(status);
    return Connection(connection);
  }
  /// Connection::invalidate() for all clients that are connected. An error: some of them were not told.
  Result<void> invalidate(const Invalidation& what, Deadline deadline) {
    const sw_invalidation given = detail::given_invalidation(what);
    return detail::result_of(sw_invalidate_service(handle_.get(), &given, deadline.ms()));
  }
  /// Readable when accept() may succeed: the context's descriptor.
  int fd() const { return sw_service_fd(handle_.get()); }
  /// Ends serving, but connections that were made before can still be accepted, until again. Then close().
  Result<void> end() { return detail::result_of(sw_service_end(handle_.get())); }
  void close() { handle_.reset(); }

 private:
  friend class Context;
  explicit Service(sw_service* service) : handle_(service) {}
  detail::Handle<sw_service, sw_service_close> handle_;
};

/// What became of a Context::start_connect().
struct Connected {
  void* token;  ///< as given there
  Result<Connection> connection;
};

/// A session with the node's slotwired. If that is killed, connections go on; the session is taken up again when it is
/// back.
/// What this process does for a service, or asks of it: counts and times, told to slotwired by Context::report(). One
/// thread.
class Figures {
 public:
  enum class Role : std::uint32_t { client = SW_CLIENT, server = SW_SERVER };
  Figures(std::string service, Role role) : service_(std::move(service)), role_(role) {}

  /// A request has ended. `trace`: the number of its trace (the 32 digits of a W3C traceparent), if it has one.
  void add(std::chrono::microseconds took, bool failed, std::string_view trace = {}) {
    const auto us = static_cast<std::uint64_t>(std::max<std::chrono::microseconds::rep>(took.count(), 0));
    const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), us);
    ++buckets_.at(static_cast<std::size_t>(bound - kBounds.begin()));
    ++requests_;
    errors_ += failed ? 1 : 0;
    sum_us_ += us;
    // One of the slow requests since the last report.
    if (trace.empty() || us < exemplar_us_) return;
    exemplar_us_ = us;
    trace_ = trace.substr(0, 32);
  }
  const std::string& service() const { return service_; }
  std::uint64_t requests() const { return requests_; }
  /// As sw_report() takes them; valid until the next add(). The traced request is then forgotten.
  sw_figures take() {
    sw_figures told;
    SW_INIT(told);
    told.role = static_cast<std::uint32_t>(role_);
    told.service = service_.c_str();
    told.requests = requests_;
    told.errors = errors_;
    told.sum_us = sum_us_;
    std::copy(buckets_.begin(), buckets_.end(), std::begin(told.buckets));
    told.exemplar_trace = trace_.empty() ? nullptr : trace_.c_str();
    told.exemplar_us = std::exchange(exemplar_us_, 0);
    return told;
  }
  /// Upper bounds of the buckets but the last, microseconds.
  static constexpr std::array<std::uint64_t, SW_FIGURE_BUCKETS - 1> kBounds{
      50,     100,     200,     500,     1'000,     2'000,     5'000,     10'000,    20'000,
      50'000, 100'000, 200'000, 500'000, 1'000'000, 2'000'000, 5'000'000, 10'000'000};

 private:
  std::string service_, trace_;
  Role role_;
  std::array<std::uint64_t, SW_FIGURE_BUCKETS> buckets_{};
  std::uint64_t requests_ = 0, errors_ = 0, sum_us_ = 0, exemplar_us_ = 0;
};

class Context {
 public:
  /// engine_gone, refused, version, no_memory.
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
  /// Moves the context and all that was made from it to the calling thread; the old thread must be out of it.
  Result<void> adopt() { return detail::result_of(sw_context_adopt(handle_.get())); }

  /// Tells slotwired the figures of at most 16 services and roles, all of them each time; about once a second is
  /// enough. Never waits. invalid.
  Result<void> report(std::span<Figures* const> figures) {
    std::array<sw_figures, SW_MAX_FIGURES> given{};
    if (figures.size() > given.size()) return detail::error_of(sw_report(handle_.get(), given.data(), figures.size()));
    for (std::size_t i = 0; i < figures.size(); ++i) given.at(i) = figures[i]->take();
    return detail::result_of(sw_report(handle_.get(), given.data(), figures.size()));
  }

  /// Serves `service`: 1 to 63 of a-z 0-9 . _ -. refused (policy, quota), invalid, engine_gone.
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
  /// is down and for a slotwired that is being restarted. no_service, refused, link_down, engine_gone, timed_out,
  /// no_memory.
  Result<Connection> connect(const std::string& service, Deadline deadline, const ConnectOptions& options = {}) {
    const sw_connect_options given = given_options(options);
    sw_connection* made = nullptr;
    const int status = sw_connect(handle_.get(), service.c_str(), &given, deadline.ms(), &made);
    if (status != SW_OK) return detail::error_of(status);
    return Connection(made);
  }

  /// Starts to connect without waiting, for event loops. Does not wait for a link that is down. busy (1024 are under
  /// way).
  Result<void> start_connect(const std::string& service, Deadline deadline, void* token,
                             const ConnectOptions& options = {}) {
    const sw_connect_options given = given_options(options);
    return detail::result_of(sw_start_connect(handle_.get(), service.c_str(), &given, deadline.ms(), token));
  }
  /// The outcome of one start_connect(), in any order, after the context had events. None: there is none yet.
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
  /// Takes what slotwired has sent: new connections, peers that closed or died, links. Never waits.
  Result<void> process() { return detail::result_of(sw_context_process(handle_.get())); }
  /// Name of this node.
  std::string_view node() const { return sw_context_node(handle_.get()); }
  void close() { handle_.reset(); }
  sw_context* handle() const { return handle_.get(); }

 private:
  static sw_connect_options given_options(const ConnectOptions& options) {
    sw_connect_options given;
    SW_INIT(given);
    given.in_bytes = options.in_bytes;
    given.out_bytes = options.out_bytes;
    return given;
  }
  explicit Context(sw_context* context) : handle_(context) {}
  detail::Handle<sw_context, sw_close> handle_;
};

// ---- many at once ----

/// A connection that can go on.
struct Ready {
  void* token = nullptr;           ///< as given to Poller::add()
  Interest what = Interest::none;  ///< both when the connection has ended: the next call on it tells why
};

/// Connections of one context, and the context's events, waited for together; a wait costs by those that are ready. A
/// connection leaves its poller when it is closed.
class Poller {
 public:
  /// Connections that one wait() tells of at most; the others are told by the next.
  static constexpr std::size_t kMaxReady = 64;

  static Result<Poller> create(Context& context) {
    sw_poller* poller = nullptr;
    if (const int status = sw_poller_create(context.handle(), &poller); status != SW_OK)
      return detail::error_of(status);
    return Poller(poller);
  }
  /// no_memory, invalid (it is in a poller already).
  Result<void> add(Connection& connection, Interest what, void* token) {
    return detail::result_of(sw_poller_add(handle_.get(), connection.handle(), static_cast<int>(what), token));
  }
  Result<void> set(Connection& connection, Interest what) {
    return detail::result_of(sw_poller_set(handle_.get(), connection.handle(), static_cast<int>(what)));
  }
  Result<void> remove(Connection& connection) {
    return detail::result_of(sw_poller_remove(handle_.get(), connection.handle()));
  }
  /// Those that are ready; valid until the next wait. None and no error: the context had events, accept() may succeed
  /// now. timed_out, cancelled.
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
  /// For nesting in an event loop: readable when wait() would return something, once arm() was ok. again: it would now.
  int fd() const { return sw_poller_fd(handle_.get()); }
  Result<void> arm() { return detail::result_of(sw_poller_arm(handle_.get())); }

 private:
  explicit Poller(sw_poller* poller) : handle_(poller) { ready_.reserve(kMaxReady); }
  detail::Handle<sw_poller, sw_poller_destroy> handle_;
  std::vector<Ready> ready_;
};

}  // namespace slotwire
