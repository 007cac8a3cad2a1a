/* slotwire.h: the process library of Slotwire, C ABI.
 *
 * A process opens a context (its session with the node's engine), serves services and connects to them. A connection is
 * one slot: a ring towards the peer and a ring from it, in shared memory. Sending and receiving make no system call and
 * take no lock while the other side keeps up.
 *
 * Threads: a context and everything made from it belong to the thread that opened it. A call from another thread
 * returns SW_WRONG_THREAD and does nothing (checked in release builds too); a function without a status does nothing
 * then. Use one context per thread; sw_context_adopt() moves a whole context to the calling thread. Any thread may call
 * sw_interrupt() and sw_poller_interrupt(), and so may a signal handler. Any thread may also call sw_status_name(),
 * sw_last_error() and sw_version().
 *
 * Errors: unless its comment says otherwise, a function that returns int returns SW_OK (0) or another sw_status.
 * sw_last_error() then has a sentence for people: what happened, and what to do. Comments name the statuses that are
 * specific to a function. Besides them,
 *   - every function may return SW_INVALID (a NULL handle or argument, a value that is out of range), SW_WRONG_THREAD
 *     and SW_NO_MEMORY;
 *   - a function that waits returns SW_AGAIN if its timeout is 0 and it would have to wait. When its timeout passes it
 *     returns SW_TIMED_OUT, or SW_LINK_DOWN or SW_ENGINE_GONE if that is the reason why nothing happened; a wait for a
 *     connection returns SW_CANCELLED after sw_interrupt();
 *   - once a connection has ended, functions that send or wait on it return why: SW_PEER_CLOSED, SW_PEER_DIED, SW_LOST,
 *     SW_BROKEN, SW_FAULTED or SW_TOO_LARGE. Functions that receive return it after the last message or byte.
 * Back-pressure is SW_AGAIN, never an endless wait: a function that may wait takes a timeout.
 *
 * Versions: the structs that may grow start with their size; set it with SW_INIT before the struct is passed, also
 * where the library fills it. New fields are added at the end; a library that is given a smaller struct uses the
 * defaults for the rest. A pointer to options may be NULL: all defaults. Soname: libslotwire.so.0.
 */
#ifndef SLOTWIRE_H
#define SLOTWIRE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SW_API __attribute__((visibility("default")))
#else
#define SW_API
#endif

#define SW_ABI_VERSION 1
/* The header is C: NOLINTBEGIN(modernize-use-using). */
/* Sets the size field of a struct and zeroes the rest: struct sw_options o; SW_INIT(o); */
#define SW_INIT(object)                             \
  do {                                              \
    __builtin_memset(&(object), 0, sizeof(object)); \
    (object).size = (uint32_t)sizeof(object);       \
  } while (0)

/* Milliseconds to wait, from the call on. 0: do not wait (SW_AGAIN). Negative: no limit. */
typedef int64_t sw_timeout_ms;
#define SW_FOREVER ((sw_timeout_ms)-1)

typedef enum sw_status {
  SW_OK = 0,
  SW_AGAIN = 1,         /* not now: there is no room, or nothing to read; wait for the descriptor and try again */
  SW_TIMED_OUT = 2,     /* the deadline passed */
  SW_CANCELLED = 3,     /* sw_interrupt() or sw_poller_interrupt() was called */
  SW_PEER_CLOSED = 4,   /* the peer closed in good order, and everything it sent has been read */
  SW_PEER_DIED = 5,     /* the peer's process ended without closing */
  SW_REFUSED = 6,       /* a policy or a quota forbids it */
  SW_NO_SERVICE = 7,    /* no process serves this name, neither here nor on a node that the directory names */
  SW_LINK_DOWN = 8,     /* the link to the peer's node is down; what was sent waits in the ring and will arrive */
  SW_ENGINE_GONE = 9,   /* slotwired cannot be reached (not running, or wrong socket path) */
  SW_LOST = 10,         /* the connection's memory is gone: the node at one end started anew */
  SW_TOO_LARGE = 11,    /* larger than a ring or a stated limit */
  SW_WRONG_THREAD = 12, /* the object belongs to another thread */
  SW_VERSION = 13,      /* the library and the engine, or the two nodes, do not speak the same version */
  SW_INVALID = 14,      /* an argument is invalid, or the call does not fit what was called before */
  SW_BROKEN = 15,       /* the peer wrote invalid data, or a long message was cut off; the connection is unusable */
  SW_FAULTED = 16,      /* this process's own slot was faulted by the proxy (its marks were out of range) */
  SW_NO_MEMORY = 17,    /* no slot memory, or no descriptors left */
  SW_REMOTE_ERROR = 18, /* the server answered with an error: see the message's code and text */
  SW_BUSY = 19          /* a call or a loan is under way, or a stated number of things is reached */
} sw_status;

typedef struct sw_context sw_context;
typedef struct sw_service sw_service;
typedef struct sw_connection sw_connection;
typedef struct sw_poller sw_poller;

/* Name of a status ("timed out"); never NULL. Any thread. */
SW_API const char* sw_status_name(int status);
/* Why the calling thread's last call failed, and what to do; empty if it succeeded or returned SW_AGAIN. Valid until
 * the thread's next call. */
SW_API const char* sw_last_error(void);
/* Release of the library, such as "0.1.0". Any thread. */
SW_API const char* sw_version(void);

/* ---- context ---- */

typedef struct sw_options {
  uint32_t size;
  const char* socket;   /* control socket; NULL: $SLOTWIRE_SOCKET, else /run/slotwire/slotwire.sock */
  const char* name;     /* name of this process for people, longer than 63 bytes: cut; NULL: the program's name */
  uint32_t spin_us;     /* how long a wait spins, microseconds; 0 or UINT32_MAX: what the node's configuration says */
  uint32_t yield_us;    /* how long it then yields, microseconds; 0 or UINT32_MAX: the same */
  uint64_t max_message; /* largest message that is received in parts, bytes; 0: 64 MiB. A larger one ends its connection
                           with SW_TOO_LARGE */
  uint64_t max_unfinished; /* bytes of all messages of this context that are received in parts and not complete; a
                              connection that would take more than half of what is left is ended with SW_TOO_LARGE.
                              0: no limit */
  uint32_t background;     /* 1: sw_open() does not wait for slotwired, which need not be running:
                              sw_context_process() attaches as soon as it is. Until then connecting gives
                              SW_ENGINE_GONE. For event loops */
  uint32_t reserved;       /* 0 */
  uint64_t cache_bytes;    /* size of the exchange cache, if this process makes it: 1 MiB to 64 GiB;
                              0: $SLOTWIRE_CACHE_BYTES, else 64 MiB; SW_NO_CACHE (or 0 in the variable): this context
                              uses no cache */
} sw_options;
#define SW_NO_CACHE UINT64_MAX

/* Opens a session; waits for slotwired's answer for at most 5 s. SW_ENGINE_GONE, SW_REFUSED, SW_VERSION, SW_TIMED_OUT;
 * with `background` none of them, and it does not wait. */
SW_API int sw_open(const sw_options* options, sw_context** out);
/* Closes every service and connection of the context in good order, then the session. Its pollers must be destroyed
 * before. From another thread than the owner's it does nothing but to set sw_last_error(). NULL is allowed. */
SW_API void sw_close(sw_context* context);
/* Moves the context and everything made from it to the calling thread. No other thread may be using it, or use it
 * afterwards. */
SW_API int sw_context_adopt(sw_context* context);
/* A descriptor that is readable when sw_context_process() has something to do (events of the engine: accepted
 * connections, peers that closed). Owned by the library. Watch it with epoll, io_uring or an event loop. NULL: -1. */
SW_API int sw_context_fd(const sw_context* context);
/* Takes the engine's events; resumes the session after a restart of the engine, one step a call. Never waits. */
SW_API int sw_context_process(sw_context* context);
/* Name of the node; empty as long as a context of `background` is not attached. Valid until the context is closed or
 * attaches to another slotwired. */
SW_API const char* sw_context_node(const sw_context* context);

/* Whether the context is attached to its slotwired. SW_AGAIN: the first try has not ended. Any other status but SW_OK:
 * how the last try ended; sw_last_error() names the socket, the reason and what to do. sw_context_process() goes on
 * trying. Never waits. */
SW_API int sw_context_attached(const sw_context* context);

/* ---- figures ---- */

enum { SW_CLIENT = 1, SW_SERVER = 2, SW_MAX_FIGURES = 16, SW_FIGURE_BUCKETS = 18, SW_FIGURE_LIMITS = 4 };

/* What this process has done for a service (SW_SERVER), or asked of it (SW_CLIENT), since it was started. */
typedef struct sw_figures {
  uint32_t size;
  uint32_t role;       /* SW_CLIENT or SW_SERVER */
  const char* service; /* name of the service */
  uint64_t requests;   /* requests that have ended */
  uint64_t errors;     /* requests among them that failed */
  uint64_t sum_us;     /* time of all requests, microseconds */
  /* Numbers of requests by their time. Each bucket counts those that took at most its bound, and more than the bound
   * before: 50, 100, 200, 500 us, 1, 2, 5, 10, 20, 50, 100, 200, 500 ms, 1, 2, 5, 10 s. The last bucket counts those
   * that took longer. */
  uint64_t buckets[SW_FIGURE_BUCKETS];
  const char* exemplar_trace; /* number of the trace of one of the requests, 1 to 32 digits and letters; NULL: none */
  uint64_t exemplar_us;       /* time of that request, microseconds */
  /* Requests that this process refused to send by a limit of its own (slotwire_breaker.hpp): requests under way,
   * requests of one process, requests that wait, retries. */
  uint64_t limited[SW_FIGURE_LIMITS];
} sw_figures;

/* Sends slotwired the figures of at most SW_MAX_FIGURES services and roles; each call replaces what was sent before.
 * `slotwire-page` shows them and gives them to Prometheus. About once a second is enough. Never waits; while slotwired
 * is away nothing is sent, and SW_OK is returned. */
SW_API int sw_report(sw_context* context, const sw_figures* figures, size_t count);

/* ---- health ---- */

/* slotwired asks each process that serves, every `health.interval`, whether it is alive. The library answers from
 * within the process's calls; a process that makes none for a long time counts as failing. */
enum {
  SW_HEALTH_WELL = 0,
  SW_HEALTH_FAILING = 1, /* it does not answer, or says that it is not ready */
  SW_HEALTH_DRAINED = 2  /* by `slotwire drain`: nothing new should go to it */
};

/* Says whether what this context serves can take requests (not 0: yes, as at first). While it cannot, its services
 * count as failing: others that serve the same get the new connections. Never waits; holds over restarts of slotwired.
 */
SW_API int sw_set_ready(sw_context* context, int ready);

/* ---- services ---- */

typedef struct sw_serve_options {
  uint32_t size;
  uint32_t backlog; /* connections that wait for sw_accept(); further ones are closed at once. 0: 256 */
} sw_serve_options;

/* Serves `name` ([A-Za-z0-9._/-]{1,63}) in this process, beside other processes that serve it (connections take turns).
 * Waits for slotwired's answer for at most 5 s. SW_INVALID (also: this context serves the name already), SW_REFUSED (a
 * policy or a quota), SW_ENGINE_GONE, SW_TIMED_OUT. */
SW_API int sw_serve(sw_context* context, const char* name, const sw_serve_options* options, sw_service** out);
/* The next connection that was made to the service. SW_AGAIN, SW_TIMED_OUT. */
SW_API int sw_accept(sw_service* service, sw_timeout_ms timeout, sw_connection** out);
/* Readable when sw_accept() may return a connection: the same descriptor as sw_context_fd(). */
SW_API int sw_service_fd(const sw_service* service);
/* Ends serving, but connections that were made before can still be accepted (until SW_AGAIN), so that none of them is
 * closed unseen. Then sw_service_close(). Waits for at most 5 s. SW_ENGINE_GONE, SW_TIMED_OUT: slotwired did not
 * confirm it. */
SW_API int sw_service_end(sw_service* service);
/* Ends serving, as sw_service_end() and with its wait, and closes the connections that were not accepted; accepted ones
 * go on. NULL is allowed. */
SW_API void sw_service_close(sw_service* service);

/* ---- connections ---- */

typedef struct sw_connect_options {
  uint32_t size;
  uint32_t in_bytes;  /* ring towards the peer, bytes: rounded up to a power of two from 4 KiB on, at most the node's
                         memory.max_ring (2 MiB), else SW_INVALID; 0: the node's memory.ring (64 KiB) */
  uint32_t out_bytes; /* ring from the peer, the same */
  uint32_t bulk; /* 1: for streams and large messages. A ring whose bytes are 0 above gets up to 1 MiB, a 256th part of
                    the slot memory that this process may still take, and at least memory.ring. Each end's node
                    reserves that memory at once */
  uint32_t one_shot; /* 1: for one exchange. The connection gives its slot and the memory of its rings back by itself
                        when the answer to its call has been handed out, or sw_call() has failed, or the peer has ended
                        its stream after this end ended its own. Then it is as if the peer had closed it
                        (SW_PEER_CLOSED). The answer stays valid until it is released; the handle has to be closed as
                        always. Calls over it are not answered from the exchange cache */
} sw_connect_options;

typedef struct sw_peer {
  uint32_t size;
  char node[64];     /* the peer's node; as the others, it ends with a zero byte */
  char service[64];  /* the service that the connection was made to */
  char name[64];     /* the peer process's name */
  uint32_t pid, uid; /* of the peer process, on its node, as its engine saw them */
  uint32_t slot;     /* this end's slot number, as slotwire status shows it */
  uint32_t direct;   /* 1: both ends are on this node and share one ring */
  uint32_t link_up;  /* 0: the link to the peer's node is down now */
} sw_peer;

/* Connects to a process that serves `service`, on this node or on one that the directory names. It tries again while a
 * link is down or slotwired is being restarted, until the timeout passes. With a timeout of 0 it asks slotwired and
 * looks once for the answer: mostly it is not there, which gives SW_AGAIN, and the connection is given up. Use
 * sw_start_connect() not to wait. SW_NO_SERVICE, SW_REFUSED, SW_LINK_DOWN, SW_ENGINE_GONE, SW_TIMED_OUT, SW_AGAIN,
 * SW_NO_MEMORY. */
SW_API int sw_connect(sw_context* context, const char* service, const sw_connect_options* options,
                      sw_timeout_ms timeout, sw_connection** out);
/* Closes in good order: what was sent is still delivered. Never waits. Messages and loans that are still held become
 * invalid. NULL is allowed. */
SW_API void sw_connection_close(sw_connection* connection);
/* Who is at the other end. */
SW_API int sw_connection_peer(const sw_connection* connection, sw_peer* out);
/* What the peer's slotwired thinks of the process that serves at the other end, as far as it is known here:
 * SW_HEALTH_*. The connection works all the same. Of a connection that was accepted always SW_HEALTH_WELL. Only the
 * thread of the context; for others, and for NULL, SW_HEALTH_WELL. */
SW_API int sw_connection_health(const sw_connection* connection);
/* Connects without waiting, for event loops: sw_connected() gives the outcome, in any order, when the context's
 * descriptor was readable or sw_poller_wait() returned. `token` comes back with it. `timeout` is how long slotwired may
 * take. Unlike sw_connect() it does not try again while a link is down. SW_BUSY (1024 are under way, outcomes that were
 * not taken included), SW_ENGINE_GONE (also until the session is resumed). */
SW_API int sw_start_connect(sw_context* context, const char* service, const sw_connect_options* options,
                            sw_timeout_ms timeout, void* token);
/* The outcome of one sw_start_connect(): SW_OK and the connection, or a status of sw_connect() and no connection
 * (NULL), and its token. SW_AGAIN (and token NULL): none yet. Never waits. */
SW_API int sw_connected(sw_context* context, void** token, sw_connection** out);
/* The context that the connection was made from; NULL for NULL. */
SW_API sw_context* sw_connection_context(const sw_connection* connection);

/* Waiting for a connection in an event loop of your own:
 *   1. Try (send, receive). On SW_AGAIN, go on with step 2.
 *   2. sw_arm(). If it returns SW_AGAIN, what you wait for is there already: go to 1.
 *   3. Sleep until the descriptor is readable.
 *   4. sw_disarm(), and go to 1.
 * Watch the context's descriptor as well, and call sw_context_process() when it is readable: the death of a peer is
 * reported there. `what` is SW_READABLE, SW_WRITABLE or both: a message (or the end) can be received; there is room for
 * what was refused with SW_AGAIN last, or for one line (64 bytes) if nothing was. */
enum { SW_READABLE = 1, SW_WRITABLE = 2 };
/* The descriptor of step 3, owned by the library. -1 for NULL. */
SW_API int sw_connection_fd(const sw_connection* connection);
/* SW_OK: sleep. SW_AGAIN: do not. Never waits. */
SW_API int sw_arm(sw_connection* connection, int what);
SW_API void sw_disarm(sw_connection* connection);
/* Waits until one of `what` holds. SW_OK, SW_AGAIN, SW_TIMED_OUT, or why it never will (SW_PEER_DIED, ...). */
SW_API int sw_wait(sw_connection* connection, int what, sw_timeout_ms timeout);

/* ---- messages ---- */

typedef enum sw_kind {
  SW_MESSAGE = 1, /* one-way */
  SW_REQUEST = 2, /* answer with sw_reply() or sw_reply_error() */
  SW_REPLY = 3,   /* the answer to a call of sw_start_call() */
  SW_ERROR = 4,   /* an error as the answer: code, and a text as its data */
  SW_CANCEL = 5   /* the peer no longer wants the answer to request `id` */
} sw_kind;

typedef struct sw_message {
  uint32_t size;
  uint32_t kind;    /* sw_kind */
  const void* data; /* in the ring itself where it fits, so without a copy; valid until sw_release() */
  uint64_t length;  /* bytes */
  uint32_t id;      /* of a request, its answer or its cancellation: the number of the call; else 0 */
  uint16_t code;    /* method of a request (0 to 65534), code of an error; else 0 */
  uint16_t reserved;
  int64_t deadline_us; /* of a request: microseconds that were left when it was sent, at most 4000 s; negative: none */
  void* owner;         /* the library's */
} sw_message;

/* Sends a one-way message of 0 bytes up to the peer's sw_options.max_message: one that is larger than a quarter of the
 * ring and finds no room as a whole is cut into parts, which the peer puts together again. Waits for room at most
 * `timeout`. With 0 the message must fit as a whole: SW_AGAIN if it does not fit now, SW_TOO_LARGE if it never will. A
 * message in parts whose timeout passes (or whose wait is interrupted) half-way leaves the connection SW_BROKEN, since
 * the peer has its first part: close it then. SW_BUSY: a loan is open, or sw_reply_some() has not finished. */
SW_API int sw_send(sw_connection* connection, const void* data, size_t length, sw_timeout_ms timeout);

/* Sends several one-way messages, which become visible to the peer together; this costs less than sending one at a
 * time. Sends as many of them, from the first on, as fit now as a whole, and sets *sent to their number. If the first
 * one does not fit it fails as sw_send() with a timeout of 0. Never waits. */
typedef struct sw_buffer {
  const void* data;
  size_t length;
} sw_buffer;
SW_API int sw_send_batch(sw_connection* connection, const sw_buffer* messages, size_t count, size_t* sent);

/* A place in the slot's own memory that the caller writes to. */
typedef struct sw_loan {
  uint32_t size;
  void* data;      /* valid until the loan is committed or abandoned */
  uint64_t length; /* bytes */
} sw_loan;
/* Loans room for one message of at most `length` bytes: write it at `data`, then sw_commit() or sw_abandon(). Nothing
 * is visible before the commit. A connection has one loan at a time. Never waits. SW_AGAIN (no room now), SW_TOO_LARGE
 * (more than the ring), SW_BUSY. */
SW_API int sw_loan_message(sw_connection* connection, size_t length, sw_loan* out);
/* Sends the first `length` bytes of the loan as a message of `kind` (SW_MESSAGE, SW_REQUEST, SW_REPLY or SW_ERROR) with
 * this code and id: 0 and 0 for a message, 0 and the request's id for a reply, a method and a number that no other call
 * has for a request. SW_INVALID: there is no loan, or it is shorter. */
SW_API int sw_commit(sw_connection* connection, uint32_t kind, uint16_t code, uint32_t id, size_t length);
/* Gives the loan back unsent; does nothing if there is none. */
SW_API void sw_abandon(sw_connection* connection);

/* The next message of any kind. Its data stays in the ring until sw_release(); messages are released in any order, and
 * the ring is freed in the order of arrival. SW_AGAIN, SW_TIMED_OUT, SW_LINK_DOWN, SW_ENGINE_GONE, SW_CANCELLED;
 * SW_INVALID: the peer uses the connection as a byte stream. */
SW_API int sw_receive(sw_connection* connection, sw_timeout_ms timeout, sw_message* out);
/* Gives a message back, before its connection is closed. Releasing one twice does nothing. */
SW_API void sw_release(sw_connection* connection, sw_message* message);

/* Takes the messages that are there, at most `count` of them, and sets *received to their number. The room of up to 16
 * of them, at most an eighth of the ring, is given back together, when all of these were released. Each of `messages`
 * was set up by SW_INIT. If there is none it fails as sw_receive() with a timeout of 0. Never waits.
 * SW_VERSION: sw_message of another release. */
SW_API int sw_receive_batch(sw_connection* connection, sw_message* messages, size_t count, size_t* received);
/* Gives several messages back at once, which costs less than one at a time. */
SW_API void sw_release_batch(sw_connection* connection, sw_message* messages, size_t count);

/* Calls `method` (0 to 65534; 65535 is the library's ping): sends a request and waits for its answer. The timeout is
 * for both, and the server is told what is left of it (4000 s at most). Messages that arrive meanwhile are kept for
 * sw_receive(), up to 4096 and up to sw_options.max_message bytes; the others stay in the ring. After SW_TIMED_OUT,
 * SW_CANCELLED, SW_LINK_DOWN, SW_ENGINE_GONE or SW_BUSY the peer is told (SW_CANCEL) if the request was sent, and a
 * late answer is discarded. SW_OK and SW_REMOTE_ERROR: *reply is the answer, or the server's code and text; release it.
 * SW_BUSY: a call or a loan is under way, or that much waits for sw_receive(). Otherwise as sw_send(). */
SW_API int sw_call(sw_connection* connection, uint16_t method, const void* data, size_t length, sw_timeout_ms timeout,
                   sw_message* reply);
/* Several calls at once: sends the request, and sets *id to the number of the call. The answer comes by
 * sw_call_answer(), or by sw_receive() with that id. `timeout` is how long to wait for room, and what the server is
 * told; it does not end the call. Otherwise as sw_send(). */
SW_API int sw_start_call(sw_connection* connection, uint16_t method, const void* data, size_t length,
                         sw_timeout_ms timeout, uint32_t* id);
/* The answer to one of them: waits as sw_call() does, and keeps what arrives meanwhile for sw_receive(), the answers to
 * other calls included. After SW_TIMED_OUT, SW_AGAIN and the like the call is still under way: ask again, or
 * sw_cancel_call(). */
SW_API int sw_call_answer(sw_connection* connection, uint32_t id, sw_timeout_ms timeout, sw_message* reply);
/* Gives a call up: the server is told if there is room, and a late answer is discarded (those of the last 1024 calls
 * that were given up). Never waits. SW_BUSY: a loan is open. */
SW_API int sw_cancel_call(sw_connection* connection, uint32_t id);
/* Makes the wait on the connection that is under way in the owner's thread, or the next one, return SW_CANCELLED. The
 * connection must stay open meanwhile. Any thread; async-signal-safe. */
SW_API void sw_interrupt(sw_connection* connection);
/* Answers request `id`; the id is not checked. Lengths, timeout and errors are those of sw_send(). */
SW_API int sw_reply(sw_connection* connection, uint32_t id, const void* data, size_t length, sw_timeout_ms timeout);
/* Sends what there is room for of a reply, from byte *done on (0 at first), and moves *done. SW_AGAIN: call again with
 * the same arguments when the connection is writable; nothing else can be sent on it until SW_OK. Never waits. */
SW_API int sw_reply_some(sw_connection* connection, uint32_t id, const void* data, size_t length, size_t* done);
/* Answers request `id` with an error: a code of the server's own (0 to 65534) and a text for people (NULL: none).
 * Otherwise as sw_reply(). */
SW_API int sw_reply_error(sw_connection* connection, uint32_t id, uint16_t code, const char* text,
                          sw_timeout_ms timeout);
/* Returns 1 if the peer has cancelled request `id`, else 0; it returns no status. Looks at what has arrived, without
 * taking it. After 1024 cancellations it forgets them and begins anew. */
SW_API int sw_is_cancelled(sw_connection* connection, uint32_t id);

/* ---- the exchange cache ---- (docs/cache.md says what is guaranteed)
 *
 * A server may say for how long a reply is valid, and for which key. Processes of one user on one node share such
 * replies: sw_call_cached() returns one that is there without asking the server, and when several ask for the same at
 * once, one request goes out. */

/* Calls, unless there is a reply to this method and key (0 to 1024 bytes) that is still valid. Replies are released as
 * those of sw_call(); one from the cache is a copy and has id 0. Statuses and timeout are those of sw_call(), also
 * while it waits for the call of another process. If there is no cache it is sw_call(). */
SW_API int sw_call_cached(sw_connection* connection, uint16_t method, const void* key, size_t key_length,
                          const void* data, size_t length, sw_timeout_ms timeout, sw_message* reply);

typedef struct sw_cacheable {
  uint32_t size;
  uint32_t ttl_ms;   /* milliseconds for which the reply is valid, from when the client sent its request; 0: not kept */
  const void* key;   /* what the reply is the reply to; it is kept if the client asked for this key */
  size_t key_length; /* bytes, at most 1024 */
  uint64_t tag;      /* by which it can be invalidated together with others; 0: none */
} sw_cacheable;
/* sw_reply(), and the client's node may keep the reply. It is sw_reply() if the client did not use sw_call_cached(). */
SW_API int sw_reply_cached(sw_connection* connection, uint32_t id, const void* data, size_t length,
                           const sw_cacheable* cacheable, sw_timeout_ms timeout);

enum { SW_INVALIDATE_KEY = 1, SW_INVALIDATE_TAG = 2, SW_INVALIDATE_ALL = 3 };
typedef struct sw_invalidation {
  uint32_t size;
  uint32_t what;     /* SW_INVALIDATE_...: the reply to `method` and `key`, those with `tag`, or all of the service */
  const void* key;   /* of SW_INVALIDATE_KEY */
  size_t key_length; /* bytes, at most 1024 */
  uint64_t tag;      /* of SW_INVALIDATE_TAG */
  uint16_t method;   /* of SW_INVALIDATE_KEY */
  uint16_t reserved[3];
} sw_invalidation;
/* Tells the client at the other end that replies which were sent before are no longer valid. Waits for room at most
 * `timeout`. SW_OK also if the client has never asked for a reply that may be kept. Any other status: it was not
 * told. */
SW_API int sw_invalidate(sw_connection* connection, const sw_invalidation* what, sw_timeout_ms timeout);
/* The same for all clients of a service that are connected to this context. `timeout` is for all of them together. If
 * some were not told, the others were, and sw_last_error() says how many. */
SW_API int sw_invalidate_service(sw_service* service, const sw_invalidation* what, sw_timeout_ms timeout);

/* ---- byte stream ---- (do not mix with messages on one connection)
 *
 * None of these waits but sw_flush(); sw_wait() and sw_arm() do that for them. SW_INVALID: the peer sends messages. */

/* Writes as many of the bytes as there is room for, at least one unless `length` is 0; *done: how many. SW_AGAIN,
 * SW_BUSY (a loan is open). */
SW_API int sw_write(sw_connection* connection, const void* data, size_t length, size_t* done);
/* Reads as many bytes as are there, at most `length` and at least one unless that is 0; *done: how many. SW_AGAIN;
 * SW_PEER_CLOSED: the peer ended its stream, or closed, and all its bytes have been read. */
SW_API int sw_read(sw_connection* connection, void* data, size_t length, size_t* done);
/* Writing without a copy: loans the room there is now, at most a quarter of the ring and at least `least` bytes (at
 * most that quarter is asked for). Fill it and sw_commit_stream() what was filled, or sw_abandon(). SW_AGAIN: less than
 * `least` is free. SW_BUSY: a loan is open. */
SW_API int sw_loan_stream(sw_connection* connection, size_t least, sw_loan* out);
/* Sends the first `length` bytes of the loan; 0 gives it back. SW_INVALID: there is no loan, or it is shorter. */
SW_API int sw_commit_stream(sw_connection* connection, size_t length);
/* Reading without a copy: the next bytes where they lie in the ring, valid until sw_consume_stream(). SW_OK and
 * *length 0: the peer ended its stream by sw_shutdown(). SW_AGAIN; SW_PEER_CLOSED: it closed without doing so. */
SW_API int sw_peek_stream(sw_connection* connection, const void** data, size_t* length);
/* Takes the first `length` of the bytes that sw_peek_stream() showed. SW_INVALID: it showed fewer. */
SW_API int sw_consume_stream(sw_connection* connection, size_t length);
/* The next bytes where they lie in the ring, as out->data and out->length, valid until sw_release(); sw_read() and the
 * like go on behind them. Several pieces may be out at a time, and be released in any order: the peer gets the room of
 * one back when those before it were released, too. A piece is at most what the peer wrote at once, so at most a
 * quarter of the ring. SW_INIT(*out) before its first use. SW_AGAIN; SW_PEER_CLOSED: the peer ended its stream, or
 * closed. */
SW_API int sw_take_stream(sw_connection* connection, sw_message* out);
/* No more bytes follow from this end: the peer's sw_read() returns SW_PEER_CLOSED after the last one; its own direction
 * goes on. SW_AGAIN: the ring is full, try again when it is writable. */
SW_API int sw_shutdown(sw_connection* connection);
/* Waits until the peer's node has everything that was sent, messages or bytes; on a direct pair, until the peer has
 * read it. */
SW_API int sw_flush(sw_connection* connection, sw_timeout_ms timeout);

/* ---- many at once ---- */

typedef struct sw_ready {
  void* token;   /* as given to sw_poller_add */
  uint32_t what; /* SW_READABLE, SW_WRITABLE; all that was asked for when the connection has ended */
  uint32_t reserved;
} sw_ready;

/* A set of connections of one context, and the context's events, waited for together. A wait costs time by the number
 * of connections that are ready, not by the number in the set. */
SW_API int sw_poller_create(sw_context* context, sw_poller** out);
/* Its connections stay open. Before sw_close(). From another thread than the owner's it does nothing but to set
 * sw_last_error(). NULL is allowed. */
SW_API void sw_poller_destroy(sw_poller* poller);
/* Adds a connection of the poller's context. `what`: SW_READABLE, SW_WRITABLE, both, or 0: it is not reported,
 * not even its end, until sw_poller_set() asks for something. A connection that is closed leaves its poller by itself.
 * SW_INVALID: it is in a poller already. SW_NO_MEMORY: the kernel watches no more descriptors
 * (fs.epoll.max_user_watches). */
SW_API int sw_poller_add(sw_poller* poller, sw_connection* connection, int what, void* token);
/* Changes what a connection is waited for. SW_INVALID: it is not in this poller. */
SW_API int sw_poller_set(sw_poller* poller, sw_connection* connection, int what);
/* Takes a connection out of the poller. SW_INVALID: it is not in this poller. */
SW_API int sw_poller_remove(sw_poller* poller, sw_connection* connection);
/* Waits; fills at most `max` (1 or more) of `ready`, and sets *count to how many. SW_OK with *count 0 means that the
 * context had events (sw_accept() and sw_connected() may now succeed); it comes before connections that are ready, so
 * that these do not hide it. SW_AGAIN (timeout 0 and nothing there), SW_TIMED_OUT, SW_CANCELLED. */
SW_API int sw_poller_wait(sw_poller* poller, sw_ready* ready, size_t max, sw_timeout_ms timeout, size_t* count);
/* Makes the sw_poller_wait() that is under way, or the next one, return SW_CANCELLED. The poller must exist meanwhile.
 * Any thread; async-signal-safe. */
SW_API void sw_poller_interrupt(sw_poller* poller);
/* For nesting in an event loop: once sw_poller_arm() has returned SW_OK, the descriptor is readable when
 * sw_poller_wait() with a timeout of 0 would return something. -1 for NULL. */
SW_API int sw_poller_fd(const sw_poller* poller);
/* SW_OK: sleep until the descriptor is readable. SW_AGAIN: sw_poller_wait() would return something now. Never waits. */
SW_API int sw_poller_arm(sw_poller* poller);
/* NOLINTEND(modernize-use-using) */
#ifdef __cplusplus
}
#endif

#endif /* SLOTWIRE_H */
