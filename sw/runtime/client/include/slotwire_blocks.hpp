// slotwire_blocks.hpp: publishing and subscribing between processes of one host, for C++20. No engine is needed.
// Header-only, over the C ABI in slotwire_blocks.h: link libslotwire.
//
//   auto region = slotwire::Region::open("prices");                      // made by the first process that opens it
//   auto publisher = region->publish("eur");
//   auto block = publisher->loan(1024, 1s);                              // memory that every subscriber reads in place
//   if (block) fill(block->data());
//   publisher->publish(std::move(*block), 100, 1s);                      // its first 100 bytes
//
//   auto subscriber = region->subscribe("eur", {.overflow = slotwire::Overflow::drop_oldest});
//   auto view = subscriber->take(1s);                                    // read-only, until `view` is destroyed
//   if (view) use(view->data());
//
// Threads, errors, deadlines as in slotwire.hpp. Lifetimes, inner before outer: View before its Subscriber, Block
// before its Publisher, all before the Region. Moving any of them keeps the others valid.
#pragma once

#include "slotwire.hpp"
#include "slotwire_blocks.h"

namespace slotwire {

/// What happens when a subscriber is slower than a publisher.
enum class Overflow : std::uint32_t {
  block = SW_OVERFLOW_BLOCK,              ///< the publisher waits
  drop_oldest = SW_OVERFLOW_DROP_OLDEST,  ///< the oldest messages are lost, see Subscriber::dropped()
  fail = SW_OVERFLOW_FAIL                 ///< the publisher's call fails with Status::refused
};

struct PublisherOptions {
  /// Messages that can be published and not yet released, a power of two, 2 to 65536; 0: 256.
  std::uint32_t entries = 0;
  std::uint64_t block_bytes = 0;  ///< memory for blocks, bytes, rounded up to a power of two, up to 32 GiB; 0: 4 MiB
  std::uint32_t history = 0;      ///< messages that are kept for subscribers that come later, fewer than `entries`
};

struct SubscriberOptions {
  Overflow overflow = Overflow::block;
  std::uint32_t history = 0;  ///< earlier messages that are wanted, of each publisher, as far as it still has them
};

/// A block on loan: write into data(), then Publisher::publish() it. One that is destroyed unpublished is given back.
class Block {
 public:
  Block(Block&& other) noexcept : publisher_(std::exchange(other.publisher_, nullptr)), block_(other.block_) {}
  Block& operator=(Block&& other) noexcept {
    if (this != &other) {
      abandon();
      publisher_ = std::exchange(other.publisher_, nullptr);
      block_ = other.block_;
    }
    return *this;
  }
  ~Block() { abandon(); }

  /// Aligned to 64 bytes; its contents are undefined before they are written.
  std::span<std::byte> data() const {
    return {static_cast<std::byte*>(block_.data), static_cast<std::size_t>(block_.length)};
  }
  /// Gives the block back now.
  void abandon() {
    if (publisher_ != nullptr) sw_publisher_abandon(std::exchange(publisher_, nullptr), &block_);
  }

 private:
  friend class Publisher;
  Block(sw_publisher* publisher, const sw_block& block) : publisher_(publisher), block_(block) {}
  sw_publisher* publisher_;
  sw_block block_;
};

/// One writer of a topic, with memory of its own. Destroying it stops publishing; what was published can still be taken
/// by subscribers that have its memory mapped.
class Publisher {
 public:
  /// A block for a message of at most `bytes`. Waits while none is free: again, timed_out. refused: a subscriber with
  /// Overflow::fail does not keep up. too_large: more than the memory for blocks can hold.
  Result<Block> loan(std::size_t bytes, Deadline deadline) {
    sw_block block;
    SW_INIT(block);
    if (const int status = sw_publisher_loan(handle_.get(), bytes, deadline.ms(), &block); status != SW_OK)
      return detail::error_of(status);
    return Block(handle_.get(), block);
  }
  /// Publishes the first `bytes` of `block`. Waits while the list of messages is full; errors are those of loan(), and
  /// invalid (the block is not on loan from this publisher). Unless it succeeds, `block` stays the caller's.
  Result<void> publish(Block&& block, std::size_t bytes, Deadline deadline) {
    if (block.publisher_ != handle_.get())
      return Error{Status::invalid, "the block is another publisher's, or was published or abandoned before", 0};
    const int status = sw_publisher_publish(handle_.get(), &block.block_, bytes, deadline.ms());
    if (status == SW_OK) block.publisher_ = nullptr;
    return detail::result_of(status);
  }
  /// The whole block.
  Result<void> publish(Block&& block, Deadline deadline) {
    const std::size_t bytes = block.data().size();
    return publish(std::move(block), bytes, deadline);
  }
  /// Waits until at least `count` subscribers have the publisher's memory mapped, which each does in its next call:
  /// they get everything that is published from now on, even if this process ends right after. again, timed_out.
  Result<void> wait_for_subscribers(std::uint32_t count, Deadline deadline) {
    return detail::result_of(sw_publisher_wait(handle_.get(), count, deadline.ms()));
  }
  /// Subscribers that have the publisher's memory mapped now.
  std::uint32_t subscribers() const {
    std::uint32_t count = 0;
    sw_publisher_subscribers(handle_.get(), &count);
    return count;
  }

 private:
  friend class Region;
  explicit Publisher(sw_publisher* publisher) : handle_(publisher) {}
  detail::Handle<sw_publisher, sw_publisher_close> handle_;
};

/// A message where it lies, in memory that is read-only here. It is given back when the object is destroyed.
class View {
 public:
  View(View&& other) noexcept : subscriber_(std::exchange(other.subscriber_, nullptr)), view_(other.view_) {}
  View& operator=(View&& other) noexcept {
    if (this != &other) {
      release();
      subscriber_ = std::exchange(other.subscriber_, nullptr);
      view_ = other.view_;
    }
    return *this;
  }
  ~View() { release(); }

  std::span<const std::byte> data() const {
    return {static_cast<const std::byte*>(view_.data), static_cast<std::size_t>(view_.length)};
  }
  /// Number of the process that published it.
  std::uint32_t publisher() const { return view_.publisher; }
  /// Its number among the messages of its publisher, from 0.
  std::uint64_t position() const { return view_.position; }
  /// Gives the message back now; data() is invalid afterwards.
  void release() {
    if (subscriber_ != nullptr) sw_subscriber_release(std::exchange(subscriber_, nullptr), &view_);
  }

 private:
  friend class Subscriber;
  View(sw_subscriber* subscriber, const sw_view& view) : subscriber_(subscriber), view_(view) {}
  sw_subscriber* subscriber_;
  sw_view view_;
};

/// Gets the messages of all publishers of a topic, those of each in order.
class Subscriber {
 public:
  /// The next message; publishers take turns. again, timed_out; busy: a subscriber with Overflow::drop_oldest holds 16
  /// messages already.
  Result<View> take(Deadline deadline) {
    sw_view view;
    SW_INIT(view);
    if (const int status = sw_subscriber_take(handle_.get(), deadline.ms(), &view); status != SW_OK)
      return detail::error_of(status);
    return View(handle_.get(), view);
  }
  /// Messages that were lost because a publisher overtook this subscriber.
  std::uint64_t dropped() const {
    std::uint64_t dropped = 0;
    sw_subscriber_dropped(handle_.get(), &dropped);
    return dropped;
  }
  /// Publishers of the topic now.
  std::uint32_t publishers() const {
    std::uint32_t count = 0;
    sw_subscriber_publishers(handle_.get(), &count);
    return count;
  }
  /// For an event loop: take() until again; if arm() is true, sleep until fd() is readable; disarm(); take() again. The
  /// library owns the descriptor.
  int fd() const { return sw_subscriber_fd(handle_.get()); }
  /// False: a message may be there, do not sleep.
  bool arm() { return sw_subscriber_arm(handle_.get()) == SW_OK; }
  void disarm() { sw_subscriber_disarm(handle_.get()); }

 private:
  friend class Region;
  explicit Subscriber(sw_subscriber* subscriber) : handle_(subscriber) {}
  detail::Handle<sw_subscriber, sw_subscriber_close> handle_;
};

/// A process's attachment to a region.
class Region {
 public:
  /// `name`: [A-Za-z0-9_-]{1,31}. invalid, refused (another user holds a name that the region needs, other processes
  /// use another release, or 256 processes are attached), no_memory.
  static Result<Region> open(const std::string& name = "default") {
    sw_region* region = nullptr;
    if (const int status = sw_region_open(name.c_str(), &region); status != SW_OK) return detail::error_of(status);
    return Region(region);
  }
  /// Publishes on `topic` (1 to 63 bytes). invalid, refused (the region has 256 publishers, or 1024 pairs of publisher
  /// and subscriber), no_memory (the memory for blocks is reserved here).
  Result<Publisher> publish(const std::string& topic, const PublisherOptions& options = {}) {
    sw_publisher_options own;
    SW_INIT(own);
    own.entries = options.entries;
    own.block_bytes = options.block_bytes;
    own.history = options.history;
    sw_publisher* publisher = nullptr;
    if (const int status = sw_publisher_open(handle_.get(), topic.c_str(), &own, &publisher); status != SW_OK)
      return detail::error_of(status);
    return Publisher(publisher);
  }
  /// Subscribes to `topic` (1 to 63 bytes). invalid, refused (the region has 256 subscribers, or 1024 such pairs),
  /// no_memory.
  Result<Subscriber> subscribe(const std::string& topic, const SubscriberOptions& options = {}) {
    sw_subscriber_options own;
    SW_INIT(own);
    own.overflow = static_cast<std::uint32_t>(options.overflow);
    own.history = options.history;
    sw_subscriber* subscriber = nullptr;
    if (const int status = sw_subscriber_open(handle_.get(), topic.c_str(), &own, &subscriber); status != SW_OK)
      return detail::error_of(status);
    return Subscriber(subscriber);
  }
  /// What this attachment holds: blocks of its publishers, and messages that its subscribers have taken. Waits for
  /// nothing.
  Result<sw_holding> holding() const {
    sw_holding holding;
    SW_INIT(holding);
    if (const int status = sw_region_holding(handle_.get(), &holding); status != SW_OK) return detail::error_of(status);
    return holding;
  }

 private:
  explicit Region(sw_region* region) : handle_(region) {}
  detail::Handle<sw_region, sw_region_close> handle_;
};

}  // namespace slotwire
