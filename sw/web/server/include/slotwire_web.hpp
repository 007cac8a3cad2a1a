// slotwire_web.hpp: an executing server in one thread. Web servers hand it HTTP requests through slots (the protocol is
// in docs/http-over-slots.md); a function answers them, at once or later. Link libslotwire_web and libslotwire.
//
//   auto server = slotwire::web::Server::open({}, "hello", [](const slotwire::web::ExchangePtr& x) {
//     x->respond(200, {{"content-type", "text/plain"}}, "hello\n");
//   });
//   if (server) return server->run() ? 0 : 1;  // until stop(), which any thread and any signal handler may call
//
// An Exchange is one request and its response. Whoever keeps its pointer can answer later. When the last pointer is
// destroyed, an exchange that was not answered is answered with 500, and a response that was not finished is broken
// off.
//
// Threads: a Server and its exchanges belong to the thread that called open(). Any thread may destroy an ExchangePtr,
// and may call Server::stop(), Server::kill(), Poster::post() and Exchange::poster().
//
// Errors: nothing throws but std::bad_alloc. Status::again: not now; the callback that is named beside the function
// will be called when it is worth trying again. An exception of a handler ends the program. Only Server::run() waits.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "slotwire.hpp"
#include "slotwire_web_fields.hpp"

namespace slotwire::web {

class Exchange;
using ExchangePtr = std::shared_ptr<Exchange>;
/// Called for each request when its head has arrived; its body may still be on the way.
using Handler = std::function<void(const ExchangePtr&)>;

/// A view of the fields of a response: a list in braces or a vector, which must stay valid until the function that
/// takes it returns.
class FieldList {
 public:
  FieldList() = default;
  FieldList(std::initializer_list<Field> fields) : fields_(fields.begin(), fields.size()) {}
  FieldList(std::span<const Field> fields) : fields_(fields) {}
  FieldList(const std::vector<Field>& fields) : fields_(fields) {}
  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }

 private:
  std::span<const Field> fields_;
};

/// Why an exchange is over before its response was finished.
enum class Abort : std::uint8_t {
  none,         ///< it is not
  client_gone,  ///< the web server closed the connection or died, mostly because the browser left
  deadline,     ///< its time is over (Slotwire-Timeout, or ServerOptions::max_time)
  stopped,      ///< the drain time of the server is over
  invalid,      ///< the body was invalid or too large, or the handler broke the response off
};
/// Its name, for logs. Any thread.
std::string_view name(Abort why);

/// How one request went; for logs.
struct Finished {
  std::string_view method, target;
  std::string_view client;  ///< "nginx(4711)@web1"
  unsigned status = 0;      ///< of the response; 0: none was begun
  Abort abort = Abort::none;
  std::uint64_t body_in = 0, body_out = 0;  ///< bytes
  std::chrono::microseconds time{};
  /// Of a request that was answered without the handler: why.
  std::string_view problem{};
  /// The number of its trace, 32 digits, if it has a traceparent of W3C Trace Context; else empty.
  std::string_view trace{};
};

struct ServerOptions {
  /// Further ones wait until others have closed; the one that has been idle longest is asked to close.
  std::size_t max_connections = 1024;
  /// Under way at one time; more are refused with 503 and Slotwire-Unprocessed, so that another server can take them.
  std::size_t max_requests = 1024;
  /// Requests that could begin now beside those under way, which web servers are told in Slotwire-Credit when they are
  /// few (32 or fewer). Called once for each response, in the server's thread. Empty: what max_requests leaves.
  std::function<std::size_t()> credit;
  /// Bytes and fields of a head; 431 beyond.
  std::size_t max_head = std::size_t{64} << 10U, max_fields = 256;
  /// Connections of one user (of one node) whose head has begun and not ended; more end the one that began first.
  std::size_t max_unfinished_heads = 64;
  /// The same of one process of a node.
  std::size_t max_unfinished_heads_per_process = 32;
  std::uint64_t max_body = std::numeric_limits<std::uint64_t>::max();  ///< of a request, bytes; 413 above
  /// Of a response that its client has not taken yet, kept for one connection; respond() refuses a longer body.
  std::size_t max_unsent = std::size_t{16} << 20U;
  /// For a request without Slotwire-Timeout, and at most for one with it. 0: no limit.
  std::chrono::milliseconds max_time{0};
  std::chrono::milliseconds head_time{30'000};  ///< from the first byte of a head to its end
  /// For a client to close after a last response, or when its place is needed.
  std::chrono::milliseconds linger_time{5'000};
  std::chrono::milliseconds drain_time{30'000};  ///< from stop() to the end of whoever is still there
  ServeOptions serve{};
  std::function<void(const Finished&)> on_finished{};  ///< must not call the server
};

namespace detail {
class ServerConnection;
class ServerCore;
struct ExchangeState;
class Mailbox;
}  // namespace detail

/// Runs functions in a server's thread. Copyable; outlives the server. Any thread.
class Poster {
 public:
  /// False: the server is gone, and `work` was not taken.
  bool post(std::function<void()> work) const;

 private:
  friend class Exchange;
  friend class Server;
  explicit Poster(std::shared_ptr<detail::Mailbox> mailbox) : mailbox_(std::move(mailbox)) {}
  std::shared_ptr<detail::Mailbox> mailbox_;
};

/// One request and its response.
class Exchange {
 public:
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  // ---- the request; valid as long as the Exchange ----

  std::string_view method() const;
  /// As it was sent: "/path?query".
  std::string_view target() const;
  /// The target without its query.
  std::string_view path() const;
  std::span<const Field> fields() const;
  /// The value of the first field of this name, upper and lower case being the same; empty if there is none.
  std::string_view field(std::string_view name) const;
  /// Bytes of the body, if they were announced. 0: there is none.
  std::optional<std::uint64_t> content_length() const;
  bool has_body() const;
  /// Time that is left (Slotwire-Timeout, or ServerOptions::max_time); none: no limit.
  std::optional<std::chrono::microseconds> time_left() const;
  /// The web server's process.
  const Peer& client() const;
  /// The protocol that the client asks to change to: the field Upgrade of a request with Connection: upgrade. Empty: it
  /// does not ask.
  std::string_view upgrade_to() const;

  // ---- its body; read as you take it, the client's sender waits meanwhile ----

  /// The next bytes where they lie in the ring, valid until consume_body() or the next turn of the server. None and no
  /// error: the end. again: on_body(). Any other error: the exchange is over.
  Result<std::span<const std::byte>> peek_body();
  /// Takes the first `bytes` of what peek_body() showed.
  void consume_body(std::size_t bytes);
  /// Both, with a copy. 0 and no error: the end.
  Result<std::size_t> read_body(std::span<std::byte> into);
  /// `callback` is called soon, and whenever peek_body() is worth trying again after it returned again. There is one at
  /// a time; an empty function removes it. It may hold the ExchangePtr: it is destroyed when the exchange is over.
  void on_body(std::function<void()> callback);
  /// The whole body, at most `limit` bytes; too_large: longer (answer with 413). `done` is called once, perhaps within
  /// this call, and not at all when the exchange is over before. Uses on_body().
  void collect_body(std::size_t limit, std::function<void(Result<std::string>)> done);

  // ---- the response; cancelled: the exchange is over; invalid: a wrong use, problem() says which ----

  /// A whole response; what the client does not take at once is kept. The library sets Content-Length, Connection and
  /// Transfer-Encoding. too_large (max_unsent).
  Status respond(unsigned status, const FieldList& fields = {}, Data body = {});
  /// 503 with Slotwire-Unprocessed: nothing of the request was done, another server may do it.
  Status refuse();
  /// Begins a response whose body follows by write() and finish(). Without `length` it goes in chunks. For a response
  /// without a body (HEAD, 204, 304) what is written is ignored.
  Status start(unsigned status, const FieldList& fields = {}, std::optional<std::uint64_t> length = std::nullopt);
  /// Writes what there is room for, at least one byte; returns how many. again: on_room().
  Result<std::size_t> write(Data data);
  /// Room for body in the ring itself, at least `least` bytes (or the most that is possible, if that is less): fill it,
  /// then commit(). again: on_room(). Nothing else may be called on the exchange in between. An empty span: the body is
  /// ignored (HEAD).
  Result<std::span<std::byte>> loan(std::size_t least);
  /// Sends the first `bytes` of the loan; 0 gives it back.
  Status commit(std::size_t bytes);
  /// `callback` is called soon, and whenever write() or loan() is worth trying again after it returned again. Otherwise
  /// as on_body().
  void on_room(std::function<void()> callback);
  /// The end of the body; the exchange is over.
  Status finish();
  /// 101: afterwards body and response are the two directions of a stream of bytes, and finish() ends this one's.
  /// `fields`: without Connection and Upgrade.
  Status upgrade(std::string_view protocol, const FieldList& fields = {});
  /// What was wrong with the last of these, for people.
  const std::string& problem() const;
  /// Whether a response was begun.
  bool is_started() const;
  /// Breaks the response off in a way that the client notices: closes the connection.
  void break_off();

  // ---- its end ----

  /// Called once when the exchange is over early: stop working on it. Not called after finish() or respond().
  void on_abort(std::function<void(Abort)> callback);
  /// Why it is over early; Abort::none if it is not.
  Abort aborted() const;
  /// Answered, broken off or aborted.
  bool is_over() const;
  /// For another thread that wants to answer: keep the ExchangePtr and post() a function that does. Any thread.
  Poster poster() const;

 private:
  friend class detail::ServerConnection;
  friend class detail::ServerCore;
  explicit Exchange(std::unique_ptr<detail::ExchangeState> state);
  void collect(std::size_t limit);
  std::unique_ptr<detail::ExchangeState> state_;
};

/// Serves one name in the thread that calls open(). Movable.
class Server {
 public:
  /// Errors are those of Context::open() and Context::serve().
  static Result<Server> open(const ContextOptions& context, const std::string& service, Handler handler,
                             ServerOptions options = {});
  Server(Server&&) noexcept;
  Server& operator=(Server&&) noexcept;
  ~Server();

  /// Runs until a stop() has been carried out. In the thread that called open(). invalid: called from within a
  /// callback.
  Result<void> run();
  /// Ends in good order: serves no longer, asks clients to begin no new request and waits until they have closed, at
  /// most ServerOptions::drain_time. The Server must exist meanwhile. Any thread; async-signal-safe.
  void stop() const;
  /// Ends at once: what is under way is aborted. As stop().
  void kill() const;

  // For an event loop of your own: step() whenever fd() is readable, whenever something else was done to an exchange,
  // and at next_time(). Before it sleeps the loop calls arm(), and sleeps only if that is ok.

  /// Does what can be done now, without waiting. True: something was done. As run(), not from within a callback: a
  /// handler that runs the loop that it was called from leaves the server out.
  Result<bool> step();
  /// Owned by the library.
  int fd() const;
  /// again: call step(), do not sleep.
  Result<void> arm();
  /// When step() is due next; none: not before something happens.
  std::optional<std::chrono::steady_clock::time_point> next_time() const;
  /// A stop() or kill() has been carried out: nothing is left to do.
  bool is_over() const;

  /// A stop() or kill() was called.
  bool is_draining() const;
  /// Connections of web servers now.
  std::size_t connections() const;
  /// Requests under way now.
  std::size_t requests() const;
  /// Heads that were ended by ServerOptions::max_unfinished_heads so far.
  std::uint64_t heads_given_up() const;
  /// As Exchange::poster().
  Poster poster() const;
  Context& context();

 private:
  explicit Server(std::unique_ptr<detail::ServerCore> core);
  std::unique_ptr<detail::ServerCore> core_;
};

}  // namespace slotwire::web
