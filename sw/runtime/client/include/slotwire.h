/* slotwire.h: the process library of Slotwire, C ABI.
 *
 * A process opens a context (its session with the node's engine), serves services and connects to them. A connection is
 * one slot: a ring towards the peer and a ring from it, in shared memory. Sending and receiving make no system call and
 * take no lock while the other side keeps up.
 *
 * Threads: a context and everything made from it belong to the thread that opened it. A call from another thread
 * returns SW_WRONG_THREAD and does nothing (checked in release builds too). Use one context per thread;
 * sw_context_adopt() moves a whole context to the calling thread. sw_cancel_* is the one exception and says so.
 *
 * Errors: functions return 0 (SW_OK) or one of sw_status. sw_last_error() has a sentence for people: what happened, and
 * what to do. Back-pressure is SW_AGAIN, never an endless wait: a function that may wait takes a timeout.
 *
 * Versions: every struct that crosses the boundary starts with its size; set it with SW_INIT. New fields are added at
 * the end; a library that is given a smaller struct uses the defaults for the rest. Soname: libslotwire.so.0.
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

/* Milliseconds to wait. 0: do not wait (SW_AGAIN). Negative: no limit. */
typedef int64_t sw_timeout_ms;
#define SW_FOREVER ((sw_timeout_ms)-1)

typedef enum sw_status {
  SW_OK = 0,
  SW_AGAIN = 1,         /* not now: no room, or nothing there; wait for the descriptor and try again */
  SW_TIMED_OUT = 2,     /* the deadline passed */
  SW_CANCELLED = 3,     /* the call was cancelled */
  SW_PEER_CLOSED = 4,   /* the peer closed in good order, and everything it sent has been read */
  SW_PEER_DIED = 5,     /* the peer's process ended without closing */
  SW_REFUSED = 6,       /* a policy or a quota says no */
  SW_NO_SERVICE = 7,    /* nobody serves this name, on no node that the directory names */
  SW_LINK_DOWN = 8,     /* the link to the peer's node is down; what was sent waits in the ring and will arrive */
  SW_ENGINE_GONE = 9,   /* slotwired cannot be reached (not running, or wrong socket path) */
  SW_LOST = 10,         /* the connection's memory is gone: the node at one end started anew */
  SW_TOO_LARGE = 11,    /* larger than a ring or a stated limit */
  SW_WRONG_THREAD = 12, /* the object belongs to another thread */
  SW_VERSION = 13,      /* the library and the engine, or the two nodes, do not speak the same version */
  SW_INVALID = 14,      /* an argument that cannot be */
  SW_BROKEN = 15,       /* the peer wrote what no honest peer writes; the connection is unusable */
  SW_FAULTED = 16,      /* this process's own slot was faulted by the proxy (its marks were out of range) */
  SW_NO_MEMORY = 17,    /* no slot memory, or no descriptors left */
  SW_REMOTE_ERROR = 18, /* the server answered with an error: see the message's code and text */
  SW_BUSY = 19          /* a call of this kind is under way on this connection */
} sw_status;

typedef struct sw_context sw_context;
typedef struct sw_service sw_service;
typedef struct sw_connection sw_connection;
typedef struct sw_poller sw_poller;

/* Name of a status ("timed out"); never NULL. Any thread. */
SW_API const char* sw_status_name(int status);
/* What happened last on this thread, with what to do; empty if nothing went wrong. Valid until the thread's next call.
 */
SW_API const char* sw_last_error(void);
/* "0.1.0". Any thread. */
SW_API const char* sw_version(void);

/* ---- context ---- */

typedef struct sw_options {
  uint32_t size;
  const char* socket;   /* control socket; NULL: $SLOTWIRE_SOCKET, else /run/slotwire/slotwire.sock */
  const char* name;     /* name of this process for people; NULL: the program's name */
  uint32_t spin_us;     /* how long a wait spins; UINT32_MAX: as the node says. 0 with SW_INIT means as the node says */
  uint32_t yield_us;    /* how long it then yields; as above */
  uint64_t max_message; /* largest message put together from parts, bytes; 0: 64 MiB */
  uint64_t max_unfinished; /* of all messages that are not complete yet, bytes; a connection that would take more than
                              half of what is left of it is ended with SW_TOO_LARGE. 0: no limit */
  uint32_t background;     /* 1: sw_open() does not wait for slotwired, which need not be there: sw_context_process()
                              attaches as soon as it is, and comes back to it as after a restart. Until then
                              connecting gives SW_ENGINE_GONE. For event loops */
  uint32_t reserved;
  uint64_t cache_bytes; /* of the exchange cache, if this process makes it: at least 1 MiB; 0: $SLOTWIRE_CACHE_BYTES,
                           else 64 MiB; SW_NO_CACHE (or 0 in the variable): this context uses none */
} sw_options;
#define SW_NO_CACHE UINT64_MAX

/* Opens a session. SW_ENGINE_GONE, SW_REFUSED, SW_VERSION; with `background` none of them. */
SW_API int sw_open(const sw_options* options, sw_context** out);
/* Closes every service and connection of the context in good order, then the session. NULL is allowed. */
SW_API void sw_close(sw_context* context);
/* Moves the context and everything made from it to the calling thread. The old thread must be out of it. */
SW_API int sw_context_adopt(sw_context* context);
/* A descriptor that is readable when sw_context_process() has something to do (events of the engine: accepted
 * connections, peers that closed). Owned by the library. It joins epoll, io_uring or an event loop. */
SW_API int sw_context_fd(const sw_context* context);
/* Takes the engine's events; resumes the session after a restart of the engine, one step a call. Never waits. */
SW_API int sw_context_process(sw_context* context);
/* Name of the node; valid as long as the context. */
SW_API const char* sw_context_node(const sw_context* context);

/* ---- figures ---- */

enum { SW_CLIENT = 1, SW_SERVER = 2, SW_MAX_FIGURES = 16, SW_FIGURE_BUCKETS = 18 };

/* What this process has done for a service (SW_SERVER), or asked of it (SW_CLIENT), since it was started. */
typedef struct sw_figures {
  uint32_t size;
  uint32_t role; /* SW_CLIENT or SW_SERVER */
  const char* service;
  uint64_t requests;
  uint64_t errors; /* requests among them that failed */
  uint64_t sum_us; /* time of all requests, microseconds */
  /* Requests that took at most 50, 100, 200, 500 us, 1, 2, 5, 10, 20, 50, 100, 200, 500 ms, 1, 2, 5, 10 s and more than
   * the bound before; the last one: longer. */
  uint64_t buckets[SW_FIGURE_BUCKETS];
  const char* exemplar_trace; /* number of the trace of one request, at most 32 digits and letters, and its time; NULL:
                                 none */
  uint64_t exemplar_us;
} sw_figures;

/* Tells slotwired the figures of at most SW_MAX_FIGURES services and roles, all of them each time; `slotwire-page`
 * shows them and gives them to Prometheus. About once a second is enough. Never waits; while slotwired is away nothing
 * is told. SW_INVALID. */
SW_API int sw_report(sw_context* context, const sw_figures* figures, size_t count);

/* ---- services ---- */

typedef struct sw_serve_options {
  uint32_t size;
  uint32_t backlog; /* connections that wait for sw_accept; 0: 256 */
} sw_serve_options;

/* Serves `name` ([A-Za-z0-9._/-]{1,63}) in this process, beside other processes that serve it (connections take turns).
 * SW_REFUSED. */
SW_API int sw_serve(sw_context* context, const char* name, const sw_serve_options* options, sw_service** out);
/* The next connection that was made to the service. SW_AGAIN, SW_TIMED_OUT. */
SW_API int sw_accept(sw_service* service, sw_timeout_ms timeout, sw_connection** out);
/* Readable when sw_accept() would return a connection, or after sw_context_process() is due. The same as
 * sw_context_fd(). */
SW_API int sw_service_fd(const sw_service* service);
/* Ends serving, but connections that were made before can still be accepted (until SW_AGAIN), so that none of them is
 * closed unseen. Then sw_service_close(). SW_ENGINE_GONE, SW_TIMED_OUT: slotwired was not told. */
SW_API int sw_service_end(sw_service* service);
SW_API void sw_service_close(sw_service* service);

/* ---- connections ---- */

typedef struct sw_connect_options {
  uint32_t size;
  uint32_t in_bytes;  /* ring towards the peer, a power of two, 4096 bytes to 2 MiB; 0: the node's default */
  uint32_t out_bytes; /* ring from the peer */
} sw_connect_options;

typedef struct sw_peer {
  uint32_t size;
  char node[64]; /* the peer's node */
  char service[64];
  char name[64];     /* the peer process's name */
  uint32_t pid, uid; /* of the peer process, on its node, as its engine saw them */
  uint32_t slot;     /* this end's slot number, as slotwire status shows it */
  uint32_t direct;   /* 1: both ends are on this node and share one ring */
  uint32_t link_up;  /* 0: the link to the peer's node is down now */
} sw_peer;

/* Connects to a process that serves `service`, on this node or on one that the directory names.
 * SW_NO_SERVICE, SW_REFUSED, SW_LINK_DOWN, SW_TIMED_OUT, SW_NO_MEMORY. */
SW_API int sw_connect(sw_context* context, const char* service, const sw_connect_options* options,
                      sw_timeout_ms timeout, sw_connection** out);
/* Closes in good order: what was sent is still delivered. Messages that are still held become invalid. NULL is allowed.
 */
SW_API void sw_connection_close(sw_connection* connection);
SW_API int sw_connection_peer(const sw_connection* connection, sw_peer* out);
/* Connects without waiting, for event loops: sw_connected() gives the outcome, in any order, when the context's
 * descriptor was readable or sw_poller_wait() returned. `token` comes back with it. Unlike sw_connect() it does not try
 * again while a link is down. SW_BUSY (1024 are under way), SW_ENGINE_GONE (also until the session is resumed). */
SW_API int sw_start_connect(sw_context* context, const char* service, const sw_connect_options* options,
                            sw_timeout_ms timeout, void* token);
/* The outcome of one sw_start_connect(): SW_OK and the connection, or why not, and its token. SW_AGAIN (and token
 * NULL): none yet. */
SW_API int sw_connected(sw_context* context, void** token, sw_connection** out);
/* The context that the connection was made from. */
SW_API sw_context* sw_connection_context(const sw_connection* connection);

/* Waiting for a connection in an event loop of your own:
 *   1. try (send, receive); on SW_AGAIN  2. sw_arm()  3. if that returns SW_OK, wait for the descriptor to become
 * readable and
 *   4. sw_disarm(), then try again. sw_arm() returns SW_AGAIN when what you wait for is there already: do not sleep
 * then. The context's descriptor must be watched as well (a peer that dies is told there). */
enum { SW_READABLE = 1, SW_WRITABLE = 2 };
SW_API int sw_connection_fd(const sw_connection* connection);
SW_API int sw_arm(sw_connection* connection, int what);
SW_API void sw_disarm(sw_connection* connection);
/* Waits until one of `what` holds. SW_OK, SW_TIMED_OUT, or why it never will (SW_PEER_DIED, ...). */
SW_API int sw_wait(sw_connection* connection, int what, sw_timeout_ms timeout);

/* ---- messages ---- */

typedef enum sw_kind {
  SW_MESSAGE = 1, /* one-way */
  SW_REQUEST = 2, /* answer with sw_reply or sw_reply_error */
  SW_REPLY = 3,
  SW_ERROR = 4, /* an error as the answer: code, and a text as its data */
  SW_CANCEL = 5 /* the peer no longer wants the answer to request `id` */
} sw_kind;

typedef struct sw_message {
  uint32_t size;
  uint32_t kind;    /* sw_kind */
  const void* data; /* in the ring itself where it fits, so without a copy; valid until sw_release */
  uint64_t length;  /* bytes */
  uint32_t id;      /* of the request */
  uint16_t code;    /* method of a request, code of an error */
  uint16_t reserved;
  int64_t deadline_us; /* of a request: microseconds left when it was received; negative: none */
  void* owner;         /* the library's */
} sw_message;

/* Sends a one-way message of any length: one that is larger than the ring is cut and put together again. Waits for room
 * at most `timeout`; with 0 the message must fit as a whole (SW_AGAIN now, SW_TOO_LARGE never). A message longer than
 * the ring that times out half-way leaves the connection SW_BROKEN for both ends, since the peer has its first part. */
SW_API int sw_send(sw_connection* connection, const void* data, size_t length, sw_timeout_ms timeout);

/* Several one-way messages that become visible to the peer together, which costs less than one at a time: sends as many
 * of them, from the first on, as fit now as a whole; *sent of them. Fails as sw_send() without a timeout does if the
 * first does not fit. */
typedef struct sw_buffer {
  const void* data;
  size_t length;
} sw_buffer;
SW_API int sw_send_batch(sw_connection* connection, const sw_buffer* messages, size_t count, size_t* sent);

/* Loans room in the slot: write `length` bytes at *data, then sw_commit (at most that many). One loan at a time;
 * nothing is visible before the commit; sw_abandon gives it back. SW_AGAIN, SW_TOO_LARGE (more than the ring). */
typedef struct sw_loan {
  uint32_t size;
  void* data;
  uint64_t length;
} sw_loan;
SW_API int sw_loan_message(sw_connection* connection, size_t length, sw_loan* out);
SW_API int sw_commit(sw_connection* connection, uint32_t kind, uint16_t code, uint32_t id, size_t length);
SW_API void sw_abandon(sw_connection* connection);

/* The next message. Data stays in the ring until sw_release; messages are released in any order, and the ring is freed
 * in the order of arrival. SW_AGAIN, SW_TIMED_OUT, SW_PEER_CLOSED, SW_PEER_DIED (after the last message), SW_BROKEN,
 * SW_TOO_LARGE. */
SW_API int sw_receive(sw_connection* connection, sw_timeout_ms timeout, sw_message* out);
SW_API void sw_release(sw_connection* connection, sw_message* message);

/* The messages that are there, at most `count`; *received of them. Each of `messages` was set up by SW_INIT. Fails as
 * sw_receive() without a timeout does if there is none. sw_release_batch() gives the room of several back at once,
 * which costs less than one at a time. */
SW_API int sw_receive_batch(sw_connection* connection, sw_message* messages, size_t count, size_t* received);
SW_API void sw_release_batch(sw_connection* connection, sw_message* messages, size_t count);

/* Calls: a request and its answer. The deadline travels with the request. Other messages that arrive meanwhile are kept
 * for sw_receive. After SW_TIMED_OUT or SW_CANCELLED the peer is told (SW_CANCEL) and a late answer is dropped.
 * SW_REMOTE_ERROR: *reply holds the server's code and text. */
SW_API int sw_call(sw_connection* connection, uint16_t method, const void* data, size_t length, sw_timeout_ms timeout,
                   sw_message* reply);
/* Several calls at once: start, then receive answers with sw_receive, by id. */
SW_API int sw_start_call(sw_connection* connection, uint16_t method, const void* data, size_t length,
                         sw_timeout_ms timeout, uint32_t* id);
/* The answer to one of them: waits as sw_call does, and keeps what arrives meanwhile for sw_receive, the answers to
 * other calls included. After SW_TIMED_OUT and the like the call is still under way: ask again, or sw_cancel_call(). */
SW_API int sw_call_answer(sw_connection* connection, uint32_t id, sw_timeout_ms timeout, sw_message* reply);
SW_API int sw_cancel_call(sw_connection* connection, uint32_t id);
/* Makes a sw_call that is under way in the owner's thread return SW_CANCELLED. Any thread; async-signal-safe. */
SW_API void sw_interrupt(sw_connection* connection);
SW_API int sw_reply(sw_connection* connection, uint32_t id, const void* data, size_t length, sw_timeout_ms timeout);
/* Sends what there is room for of a reply, from byte *done on (0 at first), and moves *done. SW_AGAIN: call again with
 * the same arguments when the connection is writable; nothing else can be sent on it until SW_OK. Never waits. */
SW_API int sw_reply_some(sw_connection* connection, uint32_t id, const void* data, size_t length, size_t* done);
SW_API int sw_reply_error(sw_connection* connection, uint32_t id, uint16_t code, const char* text,
                          sw_timeout_ms timeout);
/* ---- the exchange cache ---- (docs/cache.md says what is guaranteed)
 *
 * A server may say for how long a reply is valid, and for which key. Processes of one user on one node share such
 * replies: sw_call_cached() returns one that is there without asking the server, and when several ask for the same at
 * once, one request goes out. */

/* Calls, unless there is a reply to this method and key (at most 1024 bytes) that is still valid. Replies are the same
 * as those of sw_call(); one from the cache has id 0. Returns when sw_call() would, also while it waits for the call of
 * another process. If there is no cache it is sw_call(). */
SW_API int sw_call_cached(sw_connection* connection, uint16_t method, const void* key, size_t key_length,
                          const void* data, size_t length, sw_timeout_ms timeout, sw_message* reply);

typedef struct sw_cacheable {
  uint32_t size;
  uint32_t ttl_ms; /* for how long the reply is valid, from when the client sent its request; 0: it is not kept */
  const void* key; /* what the reply is the reply to, at most 1024 bytes; it is kept if the client asked for this key */
  size_t key_length;
  uint64_t tag; /* by which it can be invalidated together with others; 0: none */
} sw_cacheable;
/* sw_reply(), and the client's node may keep the reply. If the client did not call sw_call_cached(), it is
 * sw_reply(). */
SW_API int sw_reply_cached(sw_connection* connection, uint32_t id, const void* data, size_t length,
                           const sw_cacheable* cacheable, sw_timeout_ms timeout);

enum { SW_INVALIDATE_KEY = 1, SW_INVALIDATE_TAG = 2, SW_INVALIDATE_ALL = 3 };
typedef struct sw_invalidation {
  uint32_t size;
  uint32_t what; /* SW_INVALIDATE_...: the reply to `method` and `key`, those with `tag`, or all of the service */
  const void* key;
  size_t key_length;
  uint64_t tag;
  uint16_t method;
  uint16_t reserved[3];
} sw_invalidation;
/* Tells the client at the other end that replies which it had before are valid no more. Waits for room at most
 * `timeout`. SW_AGAIN, SW_TIMED_OUT: it was not told. */
SW_API int sw_invalidate(sw_connection* connection, const sw_invalidation* what, sw_timeout_ms timeout);
/* The same for all clients of a service that are connected to this context. `timeout` is for all of them together. If
 * some were not told, the others were, and sw_last_error() says how many. */
SW_API int sw_invalidate_service(sw_service* service, const sw_invalidation* what, sw_timeout_ms timeout);

/* Has the peer cancelled request `id`? Looks at what has arrived already, without taking it. */
SW_API int sw_is_cancelled(sw_connection* connection, uint32_t id);

/* ---- byte stream ---- (do not mix with messages on one connection) */

/* Writes and reads as many bytes as there is room for, at least one. *done: how many. SW_AGAIN; at the end
 * SW_PEER_CLOSED. */
SW_API int sw_write(sw_connection* connection, const void* data, size_t length, size_t* done);
SW_API int sw_read(sw_connection* connection, void* data, size_t length, size_t* done);
/* The same without a copy. sw_loan_stream() loans the room there is now, at most a quarter of the ring and at least
 * `least` bytes (cut to that quarter): fill it and sw_commit_stream() what was filled, or sw_abandon(). SW_AGAIN: less
 * than `least` is free. */
SW_API int sw_loan_stream(sw_connection* connection, size_t least, sw_loan* out);
SW_API int sw_commit_stream(sw_connection* connection, size_t length);
/* The next bytes where they lie in the ring, without taking them; valid until sw_consume_stream(), which takes the
 * first `length` of them. SW_OK and *length 0: the peer ended its stream by sw_shutdown(). SW_AGAIN; SW_PEER_CLOSED: it
 * closed without doing so. */
SW_API int sw_peek_stream(sw_connection* connection, const void** data, size_t* length);
SW_API int sw_consume_stream(sw_connection* connection, size_t length);
/* No more bytes follow from this end: the peer's sw_read returns SW_PEER_CLOSED after the last one; its own direction
 * goes on. */
SW_API int sw_shutdown(sw_connection* connection);
/* Has the peer's proxy everything that was sent? SW_OK once it has, else SW_TIMED_OUT. For a direct pair: the peer has
 * read it. */
SW_API int sw_flush(sw_connection* connection, sw_timeout_ms timeout);

/* ---- many at once ---- */

typedef struct sw_ready {
  void* token;   /* as given to sw_poller_add */
  uint32_t what; /* SW_READABLE, SW_WRITABLE; both when the connection has ended */
  uint32_t reserved;
} sw_ready;

/* A set of connections (and the context's events) waited for together: O(ready), by epoll underneath. */
SW_API int sw_poller_create(sw_context* context, sw_poller** out);
SW_API void sw_poller_destroy(sw_poller* poller);
SW_API int sw_poller_add(sw_poller* poller, sw_connection* connection, int what, void* token);
SW_API int sw_poller_set(sw_poller* poller, sw_connection* connection, int what);
SW_API int sw_poller_remove(sw_poller* poller, sw_connection* connection);
/* Waits; fills at most `max`. SW_OK with *count 0 tells that the context had events (sw_accept, sw_connected may now
 * succeed); it comes before connections that are ready, so that these do not hide it. SW_AGAIN (timeout 0 and nothing
 * there), SW_TIMED_OUT. */
SW_API int sw_poller_wait(sw_poller* poller, sw_ready* ready, size_t max, sw_timeout_ms timeout, size_t* count);
/* Makes the sw_poller_wait that is under way, or the next one, return SW_CANCELLED. Any thread; async-signal-safe. */
SW_API void sw_poller_interrupt(sw_poller* poller);
/* For nesting in an event loop: readable when sw_poller_wait(.., 0, ..) would return something, once sw_poller_arm()
 * returned SW_OK. */
SW_API int sw_poller_fd(const sw_poller* poller);
SW_API int sw_poller_arm(sw_poller* poller);
/* NOLINTEND(modernize-use-using) */
#ifdef __cplusplus
}
#endif

#endif /* SLOTWIRE_H */
