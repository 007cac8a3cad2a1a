/* slotwire_blocks.h: publishing and subscribing between processes of one host, C ABI. No engine is needed.
 *
 * A publisher loans a block of its own memory, writes a message into it, and publishes it; every subscriber of the
 * topic reads it where it lies, read-only, and releases it. Nothing is copied and no lock is taken. Processes meet in a
 * region: those of one user that open the same name share one, the first of them makes it, and when the last one ends
 * nothing is left of it.
 *
 * Threads: a region and everything made from it belong to the thread that opened it; a call from another thread returns
 * SW_WRONG_THREAD and does nothing. Errors, timeouts and SW_INIT are as in slotwire.h. Only a function with a timeout
 * waits for other processes' messages; opening and closing wait for processes that open or close at the same moment.
 */
#ifndef SLOTWIRE_BLOCKS_H
#define SLOTWIRE_BLOCKS_H

#include "slotwire.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The header is C: NOLINTBEGIN(modernize-use-using). */

typedef struct sw_region sw_region;
typedef struct sw_publisher sw_publisher;
typedef struct sw_subscriber sw_subscriber;

/* Attaches to the region `name` ([A-Za-z0-9_-]{1,31}; NULL: "default") of this user. SW_INVALID, SW_REFUSED (another
 * user holds a name that the region needs, other processes use another release, or 256 processes are attached),
 * SW_NO_MEMORY. */
SW_API int sw_region_open(const char* name, sw_region** out);
/* Closes the region and every publisher and subscriber of it. Views and blocks become invalid. NULL is allowed. */
SW_API void sw_region_close(sw_region* region);

/* ---- publishing ---- */

typedef struct sw_publisher_options {
  uint32_t size;
  uint32_t entries;     /* messages that can be published and not yet released, a power of two, 2 to 65536; 0: 256 */
  uint64_t block_bytes; /* memory for blocks, bytes, rounded up to a power of two, up to 32 GiB; 0: 4 MiB */
  uint32_t history;     /* messages that are kept for subscribers that come later, fewer than `entries` */
} sw_publisher_options;

/* A block on loan. */
typedef struct sw_block {
  uint32_t size;
  uint32_t place;  /* the library's */
  void* data;      /* aligned to 64 bytes; its contents are undefined before they are written */
  uint64_t length; /* bytes that were asked for */
} sw_block;

/* Publishes on `topic` (1 to 63 bytes), beside others that do. SW_INVALID, SW_REFUSED (the region has 256 publishers,
 * or 1024 pairs of publisher and subscriber), SW_NO_MEMORY (the memory for blocks is reserved here). */
SW_API int sw_publisher_open(sw_region* region, const char* topic, const sw_publisher_options* options,
                             sw_publisher** out);
/* Stops publishing; blocks on loan become invalid. What was published can still be taken by subscribers that have the
 * publisher's memory mapped. NULL is allowed. */
SW_API void sw_publisher_close(sw_publisher* publisher);
/* Loans a block for a message of at most `length` bytes. While no block is free it waits, at most `timeout`: SW_AGAIN,
 * SW_TIMED_OUT. SW_REFUSED: a subscriber with SW_OVERFLOW_FAIL does not keep up. SW_TOO_LARGE: more than the memory for
 * blocks can hold. */
SW_API int sw_publisher_loan(sw_publisher* publisher, size_t length, sw_timeout_ms timeout, sw_block* out);
/* Publishes the first `length` bytes of a loan, which no longer belongs to the caller then. While the list of messages
 * is full it waits and fails as sw_publisher_loan(); unless it returns SW_OK the loan stays the caller's. SW_TOO_LARGE:
 * `length` is more than the loan. SW_INVALID: the block is not on loan. */
SW_API int sw_publisher_publish(sw_publisher* publisher, const sw_block* block, size_t length, sw_timeout_ms timeout);
/* Gives a loan back unpublished. */
SW_API void sw_publisher_abandon(sw_publisher* publisher, const sw_block* block);
/* Waits until at least `count` subscribers have the publisher's memory mapped, which each does in its next call: they
 * get everything that is published from now on, even if this process ends right after. SW_AGAIN, SW_TIMED_OUT. */
SW_API int sw_publisher_wait(sw_publisher* publisher, uint32_t count, sw_timeout_ms timeout);
/* Sets *count to the number of subscribers that have the publisher's memory mapped now. */
SW_API int sw_publisher_subscribers(sw_publisher* publisher, uint32_t* count);

/* ---- subscribing ---- */

/* What happens when a subscriber is slower than a publisher. */
enum {
  SW_OVERFLOW_BLOCK = 1,       /* the publisher waits */
  SW_OVERFLOW_DROP_OLDEST = 2, /* the oldest messages that it has not taken are lost; it holds at most 16 at once */
  SW_OVERFLOW_FAIL = 3         /* the publisher's call fails with SW_REFUSED */
};

typedef struct sw_subscriber_options {
  uint32_t size;
  uint32_t overflow; /* SW_OVERFLOW_...; 0: SW_OVERFLOW_BLOCK */
  uint32_t history;  /* earlier messages that are wanted, of each publisher, as far as it still has them */
} sw_subscriber_options;

/* A message where it lies. */
typedef struct sw_view {
  uint32_t size;
  uint32_t publisher;   /* number of the process that published it */
  const void* data;     /* read-only memory of the publisher; valid until sw_subscriber_release() */
  uint64_t length;      /* bytes */
  uint64_t position;    /* its number among the messages of its publisher, from 0 */
  void* owner;          /* the library's */
  uint32_t place, hold; /* the library's */
} sw_view;

/* Subscribes to `topic` (1 to 63 bytes): gets the messages of all its publishers, those of each in order. SW_INVALID,
 * SW_REFUSED (the region has 256 subscribers, or 1024 pairs of publisher and subscriber), SW_NO_MEMORY. */
SW_API int sw_subscriber_open(sw_region* region, const char* topic, const sw_subscriber_options* options,
                              sw_subscriber** out);
/* Ends the subscription; views become invalid. NULL is allowed. */
SW_API void sw_subscriber_close(sw_subscriber* subscriber);
/* The next message; publishers take turns. SW_AGAIN, SW_TIMED_OUT; SW_BUSY: a subscriber with SW_OVERFLOW_DROP_OLDEST
 * holds 16 messages already. */
SW_API int sw_subscriber_take(sw_subscriber* subscriber, sw_timeout_ms timeout, sw_view* out);
/* Gives a message back, once; messages are given back in any order. */
SW_API void sw_subscriber_release(sw_subscriber* subscriber, const sw_view* view);
/* Sets *dropped to the number of messages that were lost because a publisher overtook this subscriber. */
SW_API int sw_subscriber_dropped(const sw_subscriber* subscriber, uint64_t* dropped);
/* Sets *count to the number of publishers of the topic now. */
SW_API int sw_subscriber_publishers(sw_subscriber* subscriber, uint32_t* count);

/* Waiting in an event loop: 1. take until SW_AGAIN  2. sw_subscriber_arm(); on SW_AGAIN go to 1  3. sleep until the
 * descriptor is readable  4. sw_subscriber_disarm(), and go to 1. None of these waits. */
SW_API int sw_subscriber_fd(const sw_subscriber* subscriber); /* owned by the library; -1 for NULL */
SW_API int sw_subscriber_arm(sw_subscriber* subscriber);      /* SW_OK: sleep; SW_AGAIN: a message may be there */
SW_API void sw_subscriber_disarm(sw_subscriber* subscriber);

/* ---- what a process holds ---- */

/* What this attachment holds of a region: its publishers' blocks, and the messages that its subscribers have taken. */
typedef struct sw_holding {
  uint32_t size;
  uint32_t publishers, subscribers;
  uint32_t oldest_publisher; /* number of the process that published the oldest view (see oldest_behind); 0: no view */
  uint64_t used_blocks;      /* blocks of its publishers that are not free: on loan, in the list, or held by somebody */
  uint64_t loaned_blocks;    /* those of them that are on loan: they were neither published nor abandoned */
  uint64_t loaned_bytes;     /* of those blocks, which are at least as large as was asked for */
  uint64_t views;            /* messages that were taken and not released */
  uint64_t view_bytes;       /* of those messages */
  uint64_t oldest_behind;    /* messages that were published after a view by its publisher: the most of all views */
} sw_holding;

/* Fills *out. Waits for nothing and asks nobody; while blocks are on loan it takes time in proportion to the memory for
 * blocks. The same thread as every other call with the region. What slotwired knows of all processes: slotwire blocks
 * --held. */
SW_API int sw_region_holding(const sw_region* region, sw_holding* out);

/* NOLINTEND(modernize-use-using). */

#ifdef __cplusplus
}
#endif

#endif
