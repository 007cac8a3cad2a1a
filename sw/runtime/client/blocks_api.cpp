// The C ABI of blocks: checks arguments and threads, turns outcomes into statuses.
#include <list>
#include <memory>
#include <new>
#include <string>
#include <system_error>
#include <thread>

#include "runtime/blocks/publisher.hpp"
#include "runtime/blocks/subscriber.hpp"
#include "runtime/client/c_abi.hpp"
#include "slotwire_blocks.h"

namespace blocks = slotwire::blocks;
using slotwire::client::Failure;
using slotwire::client::from_caller;
using slotwire::client::null_pointer;
using slotwire::client::report;
using slotwire::client::to_caller;

struct sw_publisher {
  sw_publisher(sw_region& owner, const std::string& topic, const blocks::PublisherOptions& options);
  sw_region& region;
  blocks::Publisher publisher;
};

struct sw_subscriber {
  sw_subscriber(sw_region& owner, const std::string& topic, const blocks::SubscriberOptions& options);
  sw_region& region;
  blocks::Subscriber subscriber;
};

struct sw_region {
  explicit sw_region(const char* name) : region(name == nullptr ? "default" : name) {}
  std::thread::id thread = std::this_thread::get_id();
  blocks::Region region;
  std::list<sw_publisher> publishers;
  std::list<sw_subscriber> subscribers;
};

sw_publisher::sw_publisher(sw_region& owner, const std::string& topic, const blocks::PublisherOptions& options)
    : region(owner), publisher(owner.region, topic, options) {}
sw_subscriber::sw_subscriber(sw_region& owner, const std::string& topic, const blocks::SubscriberOptions& options)
    : region(owner), subscriber(owner.region, topic, options) {}

namespace {

constexpr std::uint32_t kNoHold = ~std::uint32_t{0};

blocks::Deadline deadline_of(sw_timeout_ms timeout) {
  if (timeout < 0) return std::nullopt;
  if (timeout == 0) return std::chrono::steady_clock::time_point{};
  return std::chrono::steady_clock::now() + std::chrono::milliseconds(std::min<sw_timeout_ms>(timeout, 31'536'000'000));
}

/// Runs `body`, which returns a Failure, on behalf of the thread that owns `region`.
template <typename Body>
int guarded(const sw_region* region, Body&& body) {
  try {
    if (region == nullptr) return report({SW_INVALID, "a handle is NULL"});
    if (region->thread != std::this_thread::get_id()) {
      return report({SW_WRONG_THREAD, "a region belongs to the thread that opened it: use one region per thread"});
    }
    return report(body());
  } catch (const std::bad_alloc&) {
    return SW_NO_MEMORY;
  } catch (const std::invalid_argument& error) {
    return report({SW_INVALID, error.what()});
  } catch (const std::system_error& error) {
    return report({SW_NO_MEMORY, error.what()});
  } catch (const std::exception& error) {
    return report({SW_REFUSED, error.what()});
  }
}

const sw_region* region_of(const sw_publisher* publisher) {
  return publisher == nullptr ? nullptr : &publisher->region;
}
const sw_region* region_of(const sw_subscriber* subscriber) {
  return subscriber == nullptr ? nullptr : &subscriber->region;
}

Failure failure_of(blocks::Room room, const blocks::Publisher& publisher, sw_timeout_ms timeout, std::size_t bytes) {
  switch (room) {
    case blocks::Room::yes:
      return {};
    case blocks::Room::not_now:
      if (timeout == 0) return {SW_AGAIN, {}};
      if (publisher.slow_subscriber() == 0)
        return {SW_TIMED_OUT, "no block became free in time: all are on loan, or held by subscribers that drop"};
      if (publisher.is_copied()) {
        return {
            SW_TIMED_OUT,
            "no block became free in time: slotwired, which copies the messages of this region to the others, has not "
            "released them; one of the subscribers is behind, or slotwired is away (slotwire blocks, slotwire status)"};
      }
      return {SW_TIMED_OUT, "no block became free in time: process " + std::to_string(publisher.slow_subscriber()) +
                                " has not released its messages"};
    case blocks::Room::too_large:
      return {SW_TOO_LARGE,
              std::to_string(bytes) +
                  " bytes are more than the loan, or than the publisher's memory for blocks (block_bytes)"};
    case blocks::Room::no_loan:
      return {SW_INVALID, "the block is not on loan: it was published or given back, or is another publisher's"};
    case blocks::Room::refused:
      return {SW_REFUSED, "process " + std::to_string(publisher.slow_subscriber()) +
                              " does not keep up, and it asked for failure (SW_OVERFLOW_FAIL) instead of waiting"};
  }
  return {SW_INVALID, "unknown"};
}

}  // namespace

extern "C" {

int sw_region_open(const char* name, sw_region** out) {
  if (out == nullptr) return report(null_pointer());
  *out = nullptr;
  std::unique_ptr<sw_region> region;
  try {
    region = std::make_unique<sw_region>(name);
  } catch (const std::bad_alloc&) {
    return SW_NO_MEMORY;
  } catch (const std::invalid_argument& error) {
    return report({SW_INVALID, error.what()});
  } catch (const std::system_error& error) {
    const bool lack = error.code() == std::errc::too_many_files_open || error.code() == std::errc::not_enough_memory ||
                      error.code() == std::errc::too_many_files_open_in_system;
    return report({lack ? SW_NO_MEMORY : SW_REFUSED, error.what()});
  } catch (const std::exception& error) {
    return report({SW_REFUSED, error.what()});
  }
  *out = region.release();
  return report({});
}

void sw_region_close(sw_region* region) {
  if (region == nullptr) return;
  guarded(region, [&]() -> Failure {
    const std::unique_ptr<sw_region> owned(region);
    return {};
  });
}

int sw_publisher_open(sw_region* region, const char* topic, const sw_publisher_options* options, sw_publisher** out) {
  return guarded(region, [&]() -> Failure {
    if (topic == nullptr || out == nullptr) return null_pointer();
    const sw_publisher_options given = from_caller(options);
    blocks::PublisherOptions own;
    if (given.entries != 0) own.entries = given.entries;
    if (given.block_bytes != 0) own.block_bytes = given.block_bytes;
    own.history = given.history;
    *out = &region->publishers.emplace_back(*region, topic, own);
    return {};
  });
}

void sw_publisher_close(sw_publisher* publisher) {
  guarded(region_of(publisher), [&]() -> Failure {
    publisher->region.publishers.remove_if([&](const sw_publisher& one) { return &one == publisher; });
    return {};
  });
}

int sw_publisher_loan(sw_publisher* publisher, size_t length, sw_timeout_ms timeout, sw_block* out) {
  return guarded(region_of(publisher), [&]() -> Failure {
    if (out == nullptr) return null_pointer();
    blocks::Publisher::Loan loan;
    const blocks::Room room = publisher->publisher.loan(length, deadline_of(timeout), loan);
    if (room != blocks::Room::yes) return failure_of(room, publisher->publisher, timeout, length);
    sw_block block{};
    block.place = loan.place;
    block.data = loan.data.data();
    block.length = loan.data.size();
    to_caller(block, out);
    return {};
  });
}

int sw_publisher_publish(sw_publisher* publisher, const sw_block* block, size_t length, sw_timeout_ms timeout) {
  return guarded(region_of(publisher), [&]() -> Failure {
    if (block == nullptr) return null_pointer();
    const sw_block given = from_caller(block);
    const blocks::Publisher::Loan loan{{static_cast<std::byte*>(given.data), given.length}, given.place};
    return failure_of(publisher->publisher.publish(loan, length, deadline_of(timeout)), publisher->publisher, timeout,
                      length);
  });
}

void sw_publisher_abandon(sw_publisher* publisher, const sw_block* block) {
  guarded(region_of(publisher), [&]() -> Failure {
    if (block == nullptr) return null_pointer();
    const sw_block given = from_caller(block);
    if (publisher->publisher.abandon({{static_cast<std::byte*>(given.data), given.length}, given.place})) return {};
    return {SW_INVALID, "the block is not on loan: it was published or given back, or is another publisher's"};
  });
}

int sw_publisher_wait(sw_publisher* publisher, uint32_t count, sw_timeout_ms timeout) {
  return guarded(region_of(publisher), [&]() -> Failure {
    if (publisher->publisher.wait_for_subscribers(count, deadline_of(timeout))) return {};
    if (timeout == 0) return {SW_AGAIN, {}};
    return {SW_TIMED_OUT, "the topic has " + std::to_string(publisher->publisher.subscribers()) + " subscribers, " +
                              std::to_string(count) + " were waited for"};
  });
}

int sw_publisher_subscribers(sw_publisher* publisher, uint32_t* count) {
  return guarded(region_of(publisher), [&]() -> Failure {
    if (count == nullptr) return null_pointer();
    *count = static_cast<std::uint32_t>(publisher->publisher.subscribers());
    return {};
  });
}

int sw_subscriber_open(sw_region* region, const char* topic, const sw_subscriber_options* options,
                       sw_subscriber** out) {
  return guarded(region, [&]() -> Failure {
    if (topic == nullptr || out == nullptr) return null_pointer();
    const sw_subscriber_options given = from_caller(options);
    if (given.overflow > SW_OVERFLOW_FAIL)
      return {SW_INVALID, "sw_subscriber_options.overflow is none of SW_OVERFLOW_..."};
    blocks::SubscriberOptions own;
    if (given.overflow != 0) own.overflow = static_cast<blocks::Overflow>(given.overflow);
    own.history = given.history;
    *out = &region->subscribers.emplace_back(*region, topic, own);
    return {};
  });
}

void sw_subscriber_close(sw_subscriber* subscriber) {
  guarded(region_of(subscriber), [&]() -> Failure {
    subscriber->region.subscribers.remove_if([&](const sw_subscriber& one) { return &one == subscriber; });
    return {};
  });
}

int sw_subscriber_take(sw_subscriber* subscriber, sw_timeout_ms timeout, sw_view* out) {
  return guarded(region_of(subscriber), [&]() -> Failure {
    if (out == nullptr) return null_pointer();
    blocks::Subscriber::View view;
    switch (subscriber->subscriber.take(deadline_of(timeout), view)) {
      case blocks::Subscriber::Look::nothing_there:
        if (timeout == 0) return {SW_AGAIN, {}};
        return {SW_TIMED_OUT, "no message came in time"};
      case blocks::Subscriber::Look::holds_too_many:
        return {SW_BUSY, "a subscriber that drops the oldest holds 16 messages at most: release one first"};
      case blocks::Subscriber::Look::taken:
        break;
    }
    sw_view own{};
    own.publisher = view.publisher;
    own.data = view.data.data();
    own.length = view.data.size();
    own.position = view.taken.position;
    own.owner = view.source;
    own.place = view.taken.place;
    own.hold = view.taken.hold ? static_cast<std::uint32_t>(*view.taken.hold) : kNoHold;
    to_caller(own, out);
    return {};
  });
}

void sw_subscriber_release(sw_subscriber* subscriber, const sw_view* view) {
  guarded(region_of(subscriber), [&]() -> Failure {
    if (view == nullptr || view->owner == nullptr) return {SW_INVALID, "this is no view that was taken"};
    const sw_view given = from_caller(view);
    blocks::Subscriber::View own;
    own.source = static_cast<blocks::Subscriber::Source*>(given.owner);
    own.data = {static_cast<const std::byte*>(given.data), static_cast<std::size_t>(given.length)};
    own.taken.position = given.position;
    own.taken.place = given.place;
    if (given.hold != kNoHold) own.taken.hold = given.hold;
    subscriber->subscriber.release(own);
    return {};
  });
}

int sw_subscriber_dropped(const sw_subscriber* subscriber, uint64_t* dropped) {
  return guarded(region_of(subscriber), [&]() -> Failure {
    if (dropped == nullptr) return null_pointer();
    *dropped = subscriber->subscriber.dropped();
    return {};
  });
}

int sw_subscriber_publishers(sw_subscriber* subscriber, uint32_t* count) {
  return guarded(region_of(subscriber), [&]() -> Failure {
    if (count == nullptr) return null_pointer();
    *count = static_cast<std::uint32_t>(subscriber->subscriber.publishers());
    return {};
  });
}

int sw_subscriber_fd(const sw_subscriber* subscriber) {
  return subscriber == nullptr ? -1 : subscriber->subscriber.fd();
}

int sw_subscriber_arm(sw_subscriber* subscriber) {
  return guarded(region_of(subscriber), [&]() -> Failure {
    return {subscriber->subscriber.arm() ? SW_OK : SW_AGAIN, {}};
  });
}

void sw_subscriber_disarm(sw_subscriber* subscriber) {
  guarded(region_of(subscriber), [&]() -> Failure {
    subscriber->subscriber.disarm();
    return {};
  });
}

int sw_region_holding(const sw_region* region, sw_holding* out) {
  return guarded(region, [&]() -> Failure {
    if (out == nullptr) return null_pointer();
    sw_holding holding{};
    holding.publishers = static_cast<std::uint32_t>(region->publishers.size());
    holding.subscribers = static_cast<std::uint32_t>(region->subscribers.size());
    for (const sw_publisher& one : region->publishers) {
      const blocks::Publisher::Loans loans = one.publisher.loans();
      holding.used_blocks += one.publisher.used_blocks();
      holding.loaned_blocks += loans.blocks;
      holding.loaned_bytes += loans.bytes;
    }
    for (const sw_subscriber& one : region->subscribers) {
      const blocks::Subscriber::Views views = one.subscriber.views();
      holding.views += views.messages;
      holding.view_bytes += views.bytes;
      if (views.publisher == 0 || (holding.oldest_publisher != 0 && views.behind <= holding.oldest_behind)) continue;
      holding.oldest_behind = views.behind;
      holding.oldest_publisher = views.publisher;
    }
    to_caller(holding, out);
    return {};
  });
}

}  // extern "C"
