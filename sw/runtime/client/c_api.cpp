// The C ABI: checks arguments and threads, turns failures into statuses and a last error.
#include <array>
#include <cstddef>
#include <cstring>
#include <new>
#include <string>
#include <type_traits>

#include "runtime/client/c_abi.hpp"
#include "runtime/client/context.hpp"
#include "slotwire.h"

using slotwire::client::Deadline;
using slotwire::client::Failure;
using slotwire::client::from_caller;
using slotwire::client::null_pointer;
using slotwire::client::report;
using slotwire::client::to_caller;
using slotwire::slot::RecordKind;

namespace {

constexpr const char* kDefaultSocket = "/run/slotwire/slotwire.sock";
constexpr std::uint64_t kDefaultMaxMessage = std::uint64_t{64} << 20;

std::string& last_error() {
  static thread_local std::string text;
  return text;
}
/// Whether last_error() holds a text: most calls have none, and neither set nor clear one.
constinit thread_local bool has_text = false;

}  // namespace

int slotwire::client::report(const Failure& failure) {
  if (has_text || !failure.text.empty()) {
    last_error() = failure.text;
    has_text = !failure.text.empty();
  }
  return failure.status;
}

namespace {

/// Runs `body`, which returns a Failure or nothing, on behalf of the thread that owns `context`. None of `needed` may
/// be NULL. Nothing is thrown across the ABI.
template <typename Body, typename... Needed>
int guarded(const sw_context* context, Body&& body, const Needed*... needed) {
  try {
    if (context == nullptr) return report({SW_INVALID, "a handle is NULL"});
    if (!context->here()) {
      return report(
          {SW_WRONG_THREAD,
           "a context belongs to the thread that opened it: use one context per thread, or sw_context_adopt()"});
    }
    const bool missing = ((needed == nullptr) || ...);
    if (missing) return report(null_pointer());
    if constexpr (std::is_void_v<decltype(body())>) {
      body();
      return report({});
    } else {
      return report(body());
    }
  } catch (const std::bad_alloc&) {
    return SW_NO_MEMORY;
  } catch (const std::exception& error) {
    return report({SW_INVALID, error.what()});
  }
}

const sw_context* context_of(const sw_connection* connection) {
  return connection == nullptr ? nullptr : connection->context;
}

/// The common case of a call: its thread is right, and no text of a failure has to be cleared.
bool may_hurry(const sw_connection* connection) {
  return connection != nullptr && !has_text && connection->context->here();
}

std::span<const std::byte> bytes(const void* data, std::size_t length) {
  return {static_cast<const std::byte*>(data), length};
}

/// Of the bytes of the caller, what guarded() may be asked to have: `data`, or anything when there are no bytes.
const void* needed_for(const void* data, std::size_t length) {
  return length == 0 ? static_cast<const void*>("") : data;
}

/// A message that is handed to the caller has its owner in it, or it could never be given back.
template <typename Take>
int taken(const sw_connection* connection, sw_message* out, Take&& take, const void* needed = "",
          const void* needed_too = "") {
  return guarded(
      context_of(connection),
      [&] {
        if (out->size < offsetof(sw_message, owner) + sizeof out->owner)
          return Failure{SW_INVALID, "the sw_message has no size: SW_INIT(message) before its first use"};
        sw_message message{};
        Failure failure = take(message);
        to_caller(message, out);
        return failure;
      },
      out, needed, needed_too);
}

/// Hands out what `lend` (Failure(std::span<std::byte>& place)) lends.
template <typename Lend>
int lent(const sw_connection* connection, sw_loan* out, Lend&& lend) {
  return guarded(
      context_of(connection),
      [&] {
        std::span<std::byte> place;
        Failure failure = lend(place);
        if (failure.status != SW_OK) return failure;
        sw_loan loan{};
        loan.data = place.data();
        loan.length = place.size();
        to_caller(loan, out);
        return failure;
      },
      out);
}

std::string program_name() {
  return program_invocation_short_name == nullptr ? "unnamed" : program_invocation_short_name;
}

}  // namespace

extern "C" {

const char* sw_status_name(int status) {
  switch (status) {
    case SW_OK:
      return "ok";
    case SW_AGAIN:
      return "try again";
    case SW_TIMED_OUT:
      return "timed out";
    case SW_CANCELLED:
      return "cancelled";
    case SW_PEER_CLOSED:
      return "peer closed";
    case SW_PEER_DIED:
      return "peer died";
    case SW_REFUSED:
      return "refused";
    case SW_NO_SERVICE:
      return "no such service";
    case SW_LINK_DOWN:
      return "link down";
    case SW_ENGINE_GONE:
      return "engine gone";
    case SW_LOST:
      return "connection lost";
    case SW_TOO_LARGE:
      return "too large";
    case SW_WRONG_THREAD:
      return "wrong thread";
    case SW_VERSION:
      return "version mismatch";
    case SW_INVALID:
      return "invalid argument";
    case SW_BROKEN:
      return "connection broken";
    case SW_FAULTED:
      return "slot faulted";
    case SW_NO_MEMORY:
      return "no memory";
    case SW_REMOTE_ERROR:
      return "error from the server";
    case SW_BUSY:
      return "busy";
    default:
      return "unknown status";
  }
}

const char* sw_last_error(void) {
  return last_error().c_str();
}
const char* sw_version(void) {
  return SLOTWIRE_VERSION;
}

int sw_open(const sw_options* options, sw_context** out) {
  try {
    if (out == nullptr) return report(null_pointer());
    const sw_options given = from_caller(options);
    const char* socket = given.socket != nullptr ? given.socket : std::getenv("SLOTWIRE_SOCKET");
    auto context = std::make_unique<sw_context>(
        socket != nullptr && *socket != 0 ? socket : kDefaultSocket,
        given.name != nullptr ? given.name : program_name(),
        slotwire::client::ReceiveLimits{given.max_message == 0 ? kDefaultMaxMessage : given.max_message,
                                        given.max_unfinished, 0},
        given.cache_bytes);
    const Failure failure = context->open(given);
    if (failure.status == SW_OK) *out = context.release();
    return report(failure);
  } catch (const std::exception& error) {
    return report({SW_NO_MEMORY, error.what()});
  }
}

void sw_close(sw_context* context) {
  if (context == nullptr || guarded(context, [] {}) != SW_OK) return;
  const std::unique_ptr<sw_context> owned(context);  // made by sw_open
}

int sw_context_adopt(sw_context* context) {
  if (context == nullptr) return report(null_pointer());
  context->adopt();
  return report({});
}

int sw_context_fd(const sw_context* context) {
  return context == nullptr ? -1 : const_cast<sw_context*>(context)->session().fd();
}

int sw_context_process(sw_context* context) {
  return guarded(context, [&] { context->session().process(); });
}

const char* sw_context_node(const sw_context* context) {
  return context == nullptr ? "" : const_cast<sw_context*>(context)->session().node().c_str();
}

int sw_context_attached(const sw_context* context) {
  return guarded(context, [&] { return context->session().attachment(); });
}

int sw_report(sw_context* context, const sw_figures* figures, size_t count) {
  return guarded(
      context,
      [&] {
        // Programs that were built with an earlier header have shorter elements.
        if (count > SW_MAX_FIGURES) return Failure{SW_INVALID, "figures of more than 16 services and roles"};
        std::array<sw_figures, SW_MAX_FIGURES> own{};
        for (std::size_t i = 0; i < count; ++i) {
          const std::uint32_t size = figures->size;
          if (size < offsetof(sw_figures, limited) || (i != 0 && size % alignof(sw_figures) != 0))
            return Failure{SW_INVALID, "figures need SW_INIT, a service, and the role SW_CLIENT or SW_SERVER"};
          own[i] = from_caller(reinterpret_cast<const sw_figures*>(reinterpret_cast<const char*>(figures) + i * size));
        }
        return context->report({own.data(), count});
      },
      figures);
}

int sw_serve(sw_context* context, const char* name, const sw_serve_options* options, sw_service** out) {
  return guarded(
      context, [&] { return context->serve(name, from_caller(options).backlog, *out); }, name, out);
}

int sw_accept(sw_service* service, sw_timeout_ms timeout, sw_connection** out) {
  return guarded(
      service == nullptr ? nullptr : service->context,
      [&] { return service->context->accept(*service, Deadline(timeout), *out); }, out);
}

int sw_service_fd(const sw_service* service) {
  return service == nullptr ? -1 : service->context->session().fd();
}

int sw_service_end(sw_service* service) {
  return guarded(
      service == nullptr ? nullptr : service->context, [&] { return service->context->end_service(*service); },
      service);
}

void sw_service_close(sw_service* service) {
  if (service == nullptr) return;
  guarded(service->context, [&] { service->context->unserve(service); });
}

int sw_connect(sw_context* context, const char* service, const sw_connect_options* options, sw_timeout_ms timeout,
               sw_connection** out) {
  return guarded(
      context, [&] { return context->connect(service, from_caller(options), Deadline(timeout), *out); }, service, out);
}

int sw_start_connect(sw_context* context, const char* service, const sw_connect_options* options, sw_timeout_ms timeout,
                     void* token) {
  return guarded(
      context, [&] { return context->start_connect(service, from_caller(options), Deadline(timeout), token); },
      service);
}

int sw_connected(sw_context* context, void** token, sw_connection** out) {
  return guarded(
      context, [&] { return context->connected(*token, *out); }, token, out);
}

void sw_connection_close(sw_connection* connection) {
  if (connection == nullptr) return;
  guarded(connection->context, [&] { connection->context->close(connection); });
}

int sw_set_ready(sw_context* context, int ready) {
  return guarded(context, [&] { context->session().set_ready(ready != 0); });
}

int sw_connection_health(const sw_connection* connection) {
  static_assert(SW_HEALTH_WELL == static_cast<int>(slotwire::control::Health::well) &&
                SW_HEALTH_FAILING == static_cast<int>(slotwire::control::Health::failing) &&
                SW_HEALTH_DRAINED == static_cast<int>(slotwire::control::Health::drained));
  if (connection == nullptr || !connection->context->here()) return SW_HEALTH_WELL;
  return static_cast<int>(connection->health);
}

int sw_connection_peer(const sw_connection* connection, sw_peer* out) {
  return guarded(
      context_of(connection),
      [&] {
        const slotwire::client::ConnectionInfo& info = connection->end->info();
        sw_peer peer{};
        const auto copy = [](char(&to)[64], const std::string& from) { from.copy(to, sizeof to - 1); };
        copy(peer.node, info.node);
        copy(peer.service, info.service);
        copy(peer.name, info.name);
        peer.pid = info.pid;
        peer.uid = info.uid;
        peer.slot = info.slot;
        peer.direct = info.direct ? 1 : 0;
        peer.link_up = info.link_up ? 1 : 0;
        to_caller(peer, out);
      },
      out);
}

sw_context* sw_connection_context(const sw_connection* connection) {
  return connection == nullptr ? nullptr : connection->context;
}
int sw_connection_fd(const sw_connection* connection) {
  return connection == nullptr ? -1 : connection->end->shown_fd();
}

int sw_arm(sw_connection* connection, int what) {
  return guarded(context_of(connection), [&] { return Failure{connection->end->arm(what) ? SW_OK : SW_AGAIN, {}}; });
}

void sw_disarm(sw_connection* connection) {
  guarded(context_of(connection), [&] { connection->end->disarm(); });
}

int sw_wait(sw_connection* connection, int what, sw_timeout_ms timeout) {
  return guarded(context_of(connection), [&] { return connection->end->wait(what, Deadline(timeout)); });
}

int sw_send(sw_connection* connection, const void* data, size_t length, sw_timeout_ms timeout) {
  if (may_hurry(connection) && (data != nullptr || length == 0) &&
      connection->end->send_now({.kind = RecordKind::message}, bytes(data, length)))
    return SW_OK;
  return guarded(
      context_of(connection),
      [&] { return connection->end->send({.kind = RecordKind::message}, bytes(data, length), Deadline(timeout)); },
      needed_for(data, length));
}

int sw_loan_message(sw_connection* connection, size_t length, sw_loan* out) {
  return lent(connection, out, [&](std::span<std::byte>& place) { return connection->end->loan(length, place); });
}

int sw_commit(sw_connection* connection, uint32_t kind, uint16_t code, uint32_t id, size_t length) {
  return guarded(context_of(connection), [&] {
    if (kind < SW_MESSAGE || kind > SW_ERROR)
      return Failure{SW_INVALID, "a loan is committed as SW_MESSAGE, SW_REQUEST, SW_REPLY or SW_ERROR"};
    if (length > UINT32_MAX) return Failure{SW_INVALID, "more bytes are committed than were loaned"};
    return connection->end->commit(
        {.length = static_cast<std::uint32_t>(length), .kind = static_cast<RecordKind>(kind), .code = code, .id = id});
  });
}

void sw_abandon(sw_connection* connection) {
  guarded(context_of(connection), [&] { connection->end->abandon(); });
}

int sw_send_batch(sw_connection* connection, const sw_buffer* messages, size_t count, size_t* sent) {
  return guarded(
      context_of(connection),
      [&] {
        for (std::size_t i = 0; i < count; ++i) {
          if (messages[i].data == nullptr && messages[i].length != 0) return null_pointer();
        }
        return connection->end->send_batch({messages, count}, *sent);
      },
      needed_for(messages, count), sent);
}

int sw_receive(sw_connection* connection, sw_timeout_ms timeout, sw_message* out) {
  if (may_hurry(connection) && out != nullptr && out->size == sizeof *out && connection->end->receive_now(*out))
    return SW_OK;
  return taken(connection, out,
               [&](sw_message& message) { return connection->end->receive(Deadline(timeout), message); });
}

int sw_receive_batch(sw_connection* connection, sw_message* messages, size_t count, size_t* received) {
  return guarded(
      context_of(connection),
      [&] {
        for (std::size_t i = 0; i < count; ++i) {
          if (messages[i].size != sizeof *messages)
            return Failure{SW_VERSION, "sw_receive_batch() takes sw_message as this release of the library has it"};
        }
        return connection->end->receive_batch({messages, count}, *received);
      },
      needed_for(messages, count), received);
}

void sw_release_batch(sw_connection* connection, sw_message* messages, size_t count) {
  guarded(
      context_of(connection),
      [&] {
        connection->end->release_batch({messages, count});
      },
      needed_for(messages, count));
}

void sw_release(sw_connection* connection, sw_message* message) {
  if (may_hurry(connection) && message != nullptr) {
    connection->end->release(*message);
    return;
  }
  guarded(
      context_of(connection), [&] { connection->end->release(*message); }, message);
}

int sw_call(sw_connection* connection, uint16_t method, const void* data, size_t length, sw_timeout_ms timeout,
            sw_message* reply) {
  return taken(
      connection, reply,
      [&](sw_message& message) {
        return connection->end->call(method, bytes(data, length), Deadline(timeout), message);
      },
      needed_for(data, length));
}

int sw_call_cached(sw_connection* connection, uint16_t method, const void* key, size_t key_length, const void* data,
                   size_t length, sw_timeout_ms timeout, sw_message* reply) {
  return taken(
      connection, reply,
      [&](sw_message& message) {
        return connection->end->call_cached(method, bytes(key, key_length), bytes(data, length), Deadline(timeout),
                                            message);
      },
      needed_for(key, key_length), needed_for(data, length));
}

int sw_start_call(sw_connection* connection, uint16_t method, const void* data, size_t length, sw_timeout_ms timeout,
                  uint32_t* id) {
  return guarded(
      context_of(connection),
      [&] { return connection->end->start_call(method, bytes(data, length), Deadline(timeout), *id); },
      needed_for(data, length), id);
}

int sw_call_answer(sw_connection* connection, uint32_t id, sw_timeout_ms timeout, sw_message* reply) {
  return taken(connection, reply,
               [&](sw_message& message) { return connection->end->answer_of(id, Deadline(timeout), message); });
}

int sw_cancel_call(sw_connection* connection, uint32_t id) {
  return guarded(context_of(connection), [&] { return connection->end->cancel(id); });
}

void sw_interrupt(sw_connection* connection) {
  if (connection != nullptr) connection->end->interrupt();
}

int sw_reply(sw_connection* connection, uint32_t id, const void* data, size_t length, sw_timeout_ms timeout) {
  return guarded(
      context_of(connection),
      [&] {
        return connection->end->send({.kind = RecordKind::reply, .id = id}, bytes(data, length), Deadline(timeout));
      },
      needed_for(data, length));
}

int sw_reply_cached(sw_connection* connection, uint32_t id, const void* data, size_t length,
                    const sw_cacheable* cacheable, sw_timeout_ms timeout) {
  return guarded(
      context_of(connection),
      [&] {
        const sw_cacheable given = from_caller(cacheable);
        if (given.key == nullptr && given.key_length != 0) return null_pointer();
        return connection->end->reply_cached(id, bytes(data, length), given, Deadline(timeout));
      },
      needed_for(data, length), cacheable);
}

int sw_invalidate(sw_connection* connection, const sw_invalidation* what, sw_timeout_ms timeout) {
  return guarded(
      context_of(connection),
      [&] {
        const sw_invalidation given = from_caller(what);
        if (given.key == nullptr && given.key_length != 0) return null_pointer();
        return connection->end->invalidate(given, Deadline(timeout));
      },
      what);
}

int sw_invalidate_service(sw_service* service, const sw_invalidation* what, sw_timeout_ms timeout) {
  return guarded(
      service == nullptr ? nullptr : service->context,
      [&] {
        const sw_invalidation given = from_caller(what);
        if (given.key == nullptr && given.key_length != 0) return null_pointer();
        return service->context->invalidate(*service, given, Deadline(timeout));
      },
      what);
}

int sw_reply_some(sw_connection* connection, uint32_t id, const void* data, size_t length, size_t* done) {
  return guarded(
      context_of(connection),
      [&] { return connection->end->send_some({.kind = RecordKind::reply, .id = id}, bytes(data, length), *done); },
      needed_for(data, length), done);
}

int sw_reply_error(sw_connection* connection, uint32_t id, uint16_t code, const char* text, sw_timeout_ms timeout) {
  return guarded(context_of(connection), [&] {
    const std::size_t length = text == nullptr ? 0 : std::strlen(text);
    return connection->end->send({.kind = RecordKind::error, .code = code, .id = id}, bytes(text, length),
                                 Deadline(timeout));
  });
}

int sw_is_cancelled(sw_connection* connection, uint32_t id) {
  int cancelled = 0;
  guarded(context_of(connection), [&] { cancelled = connection->end->is_cancelled(id) ? 1 : 0; });
  return cancelled;
}

int sw_write(sw_connection* connection, const void* data, size_t length, size_t* done) {
  return guarded(
      context_of(connection), [&] { return connection->end->write(bytes(data, length), *done); },
      needed_for(data, length), done);
}

int sw_read(sw_connection* connection, void* data, size_t length, size_t* done) {
  return guarded(
      context_of(connection),
      [&] {
        return connection->end->read({static_cast<std::byte*>(data), length}, *done);
      },
      needed_for(data, length), done);
}

int sw_loan_stream(sw_connection* connection, size_t least, sw_loan* out) {
  return lent(connection, out, [&](std::span<std::byte>& place) { return connection->end->loan_stream(least, place); });
}

int sw_commit_stream(sw_connection* connection, size_t length) {
  return guarded(context_of(connection), [&] { return connection->end->commit_stream(length); });
}

int sw_peek_stream(sw_connection* connection, const void** data, size_t* length) {
  return guarded(
      context_of(connection),
      [&] {
        std::span<const std::byte> there;
        Failure failure = connection->end->peek_stream(there);
        *data = there.data();
        *length = there.size();
        return failure;
      },
      data, length);
}

int sw_consume_stream(sw_connection* connection, size_t length) {
  return guarded(context_of(connection), [&] { return connection->end->consume_stream(length); });
}

int sw_take_stream(sw_connection* connection, sw_message* out) {
  return taken(connection, out, [&](sw_message& piece) { return connection->end->take_stream(piece); });
}

int sw_shutdown(sw_connection* connection) {
  return guarded(context_of(connection), [&] { return connection->end->end_stream(); });
}

int sw_flush(sw_connection* connection, sw_timeout_ms timeout) {
  return guarded(context_of(connection), [&] { return connection->end->flush(Deadline(timeout)); });
}

int sw_poller_create(sw_context* context, sw_poller** out) {
  return guarded(
      context, [&] { *out = std::make_unique<sw_poller>(*context).release(); }, out);
}

void sw_poller_destroy(sw_poller* poller) {
  if (poller == nullptr || guarded(&poller->context(), [] {}) != SW_OK) return;
  const std::unique_ptr<sw_poller> owned(poller);  // made by sw_poller_create
}

int sw_poller_add(sw_poller* poller, sw_connection* connection, int what, void* token) {
  return guarded(
      context_of(connection),
      [&] {
        if (&poller->context() != context_of(connection))
          return Failure{SW_INVALID, "the connection is of another context than the poller"};
        return poller->add(*connection, what, token);
      },
      poller);
}

int sw_poller_set(sw_poller* poller, sw_connection* connection, int what) {
  return guarded(
      context_of(connection), [&] { return poller->set(*connection, what); }, poller);
}

int sw_poller_remove(sw_poller* poller, sw_connection* connection) {
  return guarded(
      context_of(connection), [&] { return poller->remove(*connection); }, poller);
}

int sw_poller_wait(sw_poller* poller, sw_ready* ready, size_t max, sw_timeout_ms timeout, size_t* count) {
  return guarded(
      poller == nullptr ? nullptr : &poller->context(),
      [&] {
        if (max == 0) return Failure{SW_INVALID, "there is no room for a connection that is ready"};
        std::vector<sw_ready>& found = poller->scratch();
        found.clear();
        Failure failure = poller->wait(found, max, Deadline(timeout));
        *count = found.size();
        std::copy(found.begin(), found.end(), ready);
        return failure;
      },
      ready, count);
}

void sw_poller_interrupt(sw_poller* poller) {
  if (poller != nullptr) poller->interrupt();
}

int sw_poller_fd(const sw_poller* poller) {
  return poller == nullptr ? -1 : poller->fd();
}

int sw_poller_arm(sw_poller* poller) {
  return guarded(poller == nullptr ? nullptr : &poller->context(), [&] {
    return Failure{poller->arm() ? SW_OK : SW_AGAIN, {}};
  });
}

}  // extern "C"
