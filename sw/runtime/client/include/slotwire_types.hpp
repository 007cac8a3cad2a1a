// slotwire_types.hpp: what the functions of slotwire.hpp take and return: statuses, results, deadlines, options.
// Include slotwire.hpp instead of this file. These are plain values: any thread may use them, one thread at a time.
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "slotwire.h"

namespace slotwire {

// ---- errors ----

/// Why something did not happen. The same values as sw_status, where each is explained.
enum class Status : int {
  ok = 0,
  again = 1,          ///< not now: no room, or nothing there
  timed_out = 2,      ///< the deadline passed
  cancelled = 3,      ///< an interrupt() was called
  peer_closed = 4,    ///< the peer closed in good order; everything it sent has been read
  peer_died = 5,      ///< the peer's process ended without closing
  refused = 6,        ///< a policy or a quota forbids it
  no_service = 7,     ///< no process serves this name
  link_down = 8,      ///< the link to the peer's node is down; what was sent waits and will arrive
  engine_gone = 9,    ///< slotwired cannot be reached
  lost = 10,          ///< the connection's memory is gone: a node started anew
  too_large = 11,     ///< larger than a ring or a stated limit
  wrong_thread = 12,  ///< the object belongs to another thread
  version = 13,       ///< two programs of different, incompatible releases
  invalid = 14,       ///< an argument is invalid, or the call does not fit what was called before
  broken = 15,        ///< the peer wrote invalid data, or a long message was cut off
  faulted = 16,       ///< this process's own slot was faulted by the proxy
  no_memory = 17,     ///< no slot memory, or no descriptors left
  remote_error = 18,  ///< the server answered with an error: see Error::code and Error::text
  busy = 19           ///< a call or a loan is under way, or a stated number of things is reached
};
static_assert(static_cast<int>(Status::ok) == SW_OK && static_cast<int>(Status::again) == SW_AGAIN);
static_assert(static_cast<int>(Status::timed_out) == SW_TIMED_OUT &&
              static_cast<int>(Status::cancelled) == SW_CANCELLED);
static_assert(static_cast<int>(Status::peer_closed) == SW_PEER_CLOSED);
static_assert(static_cast<int>(Status::peer_died) == SW_PEER_DIED && static_cast<int>(Status::refused) == SW_REFUSED);
static_assert(static_cast<int>(Status::no_service) == SW_NO_SERVICE);
static_assert(static_cast<int>(Status::link_down) == SW_LINK_DOWN);
static_assert(static_cast<int>(Status::engine_gone) == SW_ENGINE_GONE && static_cast<int>(Status::lost) == SW_LOST);
static_assert(static_cast<int>(Status::too_large) == SW_TOO_LARGE);
static_assert(static_cast<int>(Status::wrong_thread) == SW_WRONG_THREAD);
static_assert(static_cast<int>(Status::version) == SW_VERSION && static_cast<int>(Status::invalid) == SW_INVALID);
static_assert(static_cast<int>(Status::broken) == SW_BROKEN && static_cast<int>(Status::faulted) == SW_FAULTED);
static_assert(static_cast<int>(Status::no_memory) == SW_NO_MEMORY);
static_assert(static_cast<int>(Status::remote_error) == SW_REMOTE_ERROR && static_cast<int>(Status::busy) == SW_BUSY);

/// Name of a status, such as "timed out". Any thread.
inline std::string_view name(Status status) {
  return sw_status_name(static_cast<int>(status));
}

/// What went wrong.
struct Error {
  Status status = Status::invalid;
  std::string text;        ///< what happened, where, and what to do; empty for Status::again
  std::uint16_t code = 0;  ///< with Status::remote_error: the server's code, and `text` is the server's text
};

/// A T or an Error. Test it first: value(), * and -> of an Error end the program with its text.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : held_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : held_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return held_.index() == 0; }
  explicit operator bool() const { return ok(); }
  Status status() const { return ok() ? Status::ok : std::get_if<1>(&held_)->status; }
  /// Only if !ok().
  const Error& error() const& { return *std::get_if<1>(&held_); }
  Error&& error() && { return std::move(*std::get_if<1>(&held_)); }

  T& value() & { return check(), *std::get_if<0>(&held_); }
  const T& value() const& { return check(), *std::get_if<0>(&held_); }
  T&& value() && { return check(), std::move(*std::get_if<0>(&held_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  void check() const {
    if (ok()) return;
    std::fprintf(stderr, "slotwire: the value of a failed call was used: %s\n", error().text.c_str());
    std::abort();
  }
  std::variant<T, Error> held_;
};

/// Nothing or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}
  bool ok() const { return !error_; }
  explicit operator bool() const { return ok(); }
  Status status() const { return ok() ? Status::ok : error_->status; }
  /// Only if !ok().
  const Error& error() const { return *error_; }

 private:
  std::optional<Error> error_;
};

// ---- arguments ----

/// When a wait ends: milliseconds from the call that it is given to. So a Deadline that is given to two calls allows
/// each of them the whole time; for a common end give each call the same time_point.
class Deadline {
 public:
  /// A timeout, rounded up to 1 ms; more than a year is a year. 0 or less: does not wait.
  template <typename Rep, typename Period>
  Deadline(std::chrono::duration<Rep, Period> timeout) : ms_(rounded(timeout)) {}
  /// A time; what is left of it is computed here. In the past: does not wait.
  Deadline(std::chrono::steady_clock::time_point at) : Deadline(at - std::chrono::steady_clock::now()) {}
  /// No limit.
  static Deadline never() { return Deadline(SW_FOREVER); }
  /// Does not wait.
  static Deadline now() { return Deadline(sw_timeout_ms{0}); }
  /// Milliseconds, as the C ABI takes it.
  sw_timeout_ms ms() const { return ms_; }

 private:
  explicit Deadline(sw_timeout_ms ms) : ms_(ms) {}
  template <typename Duration>
  static sw_timeout_ms rounded(Duration timeout) {
    if (timeout <= Duration::zero()) return 0;
    if (timeout >= std::chrono::hours(24 * 365)) return sw_timeout_ms{24} * 365 * 3'600'000;
    return std::chrono::ceil<std::chrono::milliseconds>(timeout).count();
  }
  sw_timeout_ms ms_;
};

/// A view of bytes to send: of a span, a string or a literal (without its final zero). They must stay valid until the
/// function that takes it returns.
class Data {
 public:
  Data() = default;
  template <typename Bytes>
  requires std::convertible_to<const Bytes&, std::span<const std::byte>> Data(const Bytes& bytes) : bytes_(bytes) {}
  Data(std::string_view text) : bytes_(std::as_bytes(std::span(text.data(), text.size()))) {}
  Data(const std::string& text) : Data(std::string_view(text)) {}
  Data(const char* text) : Data(std::string_view(text)) {}
  const std::byte* data() const { return bytes_.data(); }
  std::size_t size() const { return bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
};

struct ContextOptions {
  std::string socket{};  ///< control socket; empty: $SLOTWIRE_SOCKET, else /run/slotwire/slotwire.sock
  std::string name{};    ///< of this process, for people; longer than 63 bytes: cut; empty: the program's
  /// How long a wait spins, and how long it then yields: 1 us to 1 s (0 counts as 1 us); none: what the node's
  /// configuration says.
  std::optional<std::chrono::microseconds> spin{}, yield{};
  std::uint64_t max_message = 0;  ///< largest message that is received in parts, bytes; 0: 64 MiB
  /// Bytes of the exchange cache, if this process makes it: 1 MiB to 64 GiB; 0: $SLOTWIRE_CACHE_BYTES, else 64 MiB;
  /// SW_NO_CACHE: none is used.
  std::uint64_t cache_bytes = 0;
};

/// For how long a reply is valid, and what it is the reply to (docs/cache.md).
struct Cacheable {
  std::chrono::milliseconds ttl{};  ///< from when the client sent its request; at most 49 days; 0: it is not kept
  Data key;                         ///< 0 to 1024 bytes
  std::uint64_t tag = 0;            ///< by which it can be invalidated together with others; 0: none
};

/// Which replies are no longer valid.
struct Invalidation {
  /// The reply to a key (0 to 1024 bytes) of a method.
  static Invalidation of_key(std::uint16_t method, Data key) { return {SW_INVALIDATE_KEY, method, key, 0}; }
  /// Replies that were sent with this tag.
  static Invalidation of_tag(std::uint64_t tag) { return {SW_INVALIDATE_TAG, 0, Data(), tag}; }
  /// All replies of the service.
  static Invalidation of_all() { return {SW_INVALIDATE_ALL, 0, Data(), 0}; }

  std::uint32_t what;  ///< SW_INVALIDATE_KEY, _TAG or _ALL; the members below are those of sw_invalidation
  std::uint16_t method;
  Data key;
  std::uint64_t tag;
};

struct ServeOptions {
  std::uint32_t backlog = 0;  ///< connections that wait for accept(); further ones are closed at once; 0: 256
};

struct ConnectOptions {
  /// Ring towards the peer, bytes: rounded up to a power of two from 4 KiB on, at most the node's memory.max_ring (2
  /// MiB); 0: the node's memory.ring (64 KiB).
  std::uint32_t in_bytes = 0;
  std::uint32_t out_bytes = 0;  ///< ring from the peer, the same
  /// For streams and large messages: rings whose bytes are 0 are larger than memory.ring while there is room, up to 1
  /// MiB (sw_connect_options.bulk in slotwire.h).
  bool bulk = false;
  /// For one call, or one stream each way: the slot and its memory are given back when that is complete, though the
  /// Connection and the answer live on (sw_connect_options.one_shot).
  bool one_shot = false;
};

/// Health of a process that serves.
enum class Health : int {
  well = SW_HEALTH_WELL,
  failing = SW_HEALTH_FAILING,  ///< it does not answer slotwired, or says that it is not ready
  drained = SW_HEALTH_DRAINED,  ///< by `slotwire drain`: nothing new should go to it
};

/// Who is at the other end.
struct Peer {
  std::string node, service, name;  ///< its node, the connection's service, the process's name
  std::uint32_t pid = 0, uid = 0;   ///< on its node, as that node's engine saw them
  std::uint32_t slot = 0;           ///< this end's slot number, as `slotwire status` shows it
  bool direct = false;              ///< both ends are on this node and share one ring
  bool link_up = true;              ///< false: the link to the peer's node is down now
};

/// What a connection is waited for. readable: a message, bytes or the end can be received; writable: there is room for
/// what was refused with Status::again last, or for one line (64 bytes) if nothing was.
enum class Interest : int {
  none = 0,
  readable = SW_READABLE,
  writable = SW_WRITABLE,
  both = SW_READABLE | SW_WRITABLE
};

/// What a received message is.
enum class Kind : std::uint32_t {
  message = SW_MESSAGE,  ///< one-way
  request = SW_REQUEST,  ///< answer it with reply() or reply_error()
  reply = SW_REPLY,      ///< the answer to a call of start_call()
  error = SW_ERROR,      ///< an error as the answer: code() and text()
  cancel = SW_CANCEL     ///< the peer no longer wants the answer to request id()
};

}  // namespace slotwire
