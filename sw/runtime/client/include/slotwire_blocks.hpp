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
//   auto view = subscriber->take(1s);                                    // read-only, until `view` goes
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
  std::uint32_t entries = 0;      ///< messages that wait at most, a power of two, 2 to 65536; 0: 256
  std::uint64_t block_bytes = 0;  ///< memory for blocks, rounded up to a power of two, up to 32 GiB; 0: 4 MiB
  std::uint32_t history = 0;      ///< messages kept for subscribers that come later, fewer than entries
};

struct SubscriberOptions {
  Overflow overflow = Overflow::block;
  std::uint32_t history = 0;  ///< messages from before, of each publisher, as far as it still has them
};

/// A block on loan: write into data(), then Publisher::publish() it. One that goes unpublished is given back.
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

  /// Aligned to 64 bytes; what stands there is left from before.
  std::span<std::byte> data() const {
    return {static_cast<std::byte*>(block_.data), static_cast<std::size_t>(block_.length)};
  }
  void abandon() {
    if (publisher_ != nullptr) sw_publisher_abandon(std::exchange(publisher_, nullptr), &block_);
  }

 private:
  friend class Publisher;
  Block(sw_publisher* publisher, const sw_block& block) : publisher_(publisher), block_(block) {}
  sw_publisher* publisher_;
  sw_block block_;
};

class Publisher {
 public:
  /// A block of at least `bytes`. While subscribers hold all of them it waits: again, timed_out. refused, too_large.
  Result<Block> loan(std::size_t bytes, Deadline deadline) {
    sw_block block;
    SW_INIT(block);
    if (const int status = sw_publisher_loan(handle_.get(), bytes, deadline.ms(), &block); status != SW_OK)
      return detail::error_of(status);
    return Block(handle_.get(), block);
  }
  /// Publishes the first `bytes` of `block`. Unless it succeeds, `block` stays the caller's.
  Result<void> publish(Block&& block, std::size_t bytes, Deadline deadline) {
    if (block.publisher_ != handle_.get())
      return Error{Status::invalid, "the block is another publisher's, or was published or abandoned before", 0};
    const int status = sw_publisher_publish(handle_.get(), &block.block_, bytes, deadline.ms());
    if (status == SW_OK) block.publisher_ = nullptr;
    return detail::result_of(status);
  }
  Result<void> publish(Block&& block, Deadline deadline) {
    const std::size_t bytes = block.data().size();
    return publish(std::move(block), bytes, deadline);
  }
  /// Waits until `count` subscribers have the publisher's memory mapped, which each does in its next call: they get
  /// everything which is published from now on, even if this process ends right after.
  Result<void> wait_for_subscribers(std::uint32_t count, Deadline deadline) {
    return detail::result_of(sw_publisher_wait(handle_.get(), count, deadline.ms()));
  }
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

/// A message where it lies, in memory that is read-only here. Given back when the object goes.
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
  void release() {
    if (subscriber_ != nullptr) sw_subscriber_release(std::exchange(subscriber_, nullptr), &view_);
  }

 private:
  friend class Subscriber;
  View(sw_subscriber* subscriber, const sw_view& view) : subscriber_(subscriber), view_(view) {}
  sw_subscriber* subscriber_;
  sw_view view_;
};

class Subscriber {
 public:
  /// The next message; publishers take turns. again, timed_out; busy: 16 are held already by one that drops.
  Result<View> take(Deadline deadline) {
    sw_view view;
    SW_INIT(view);
    if (const int status = sw_subscriber_take(handle_.get(), deadline.ms(), &view); status != SW_OK)
      return detail::error_of(status);
    return View(handle_.get(), view);
  }
  /// Messages lost because a publisher overtook this subscriber.
  std::uint64_t dropped() const {
    std::uint64_t dropped = 0;
    sw_subscriber_dropped(handle_.get(), &dropped);
    return dropped;
  }
  std::uint32_t publishers() const {
    std::uint32_t count = 0;
    sw_subscriber_publishers(handle_.get(), &count);
    return count;
  }
  /// For an event loop: take() until again; if arm(), wait until fd() is readable; disarm(); take() again.
  int fd() const { return sw_subscriber_fd(handle_.get()); }
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
  /// `name`: [A-Za-z0-9_-], 1 to 31 of them.
  static Result<Region> open(const std::string& name = "default") {
    sw_region* region = nullptr;
    if (const int status = sw_region_open(name.c_str(), &region); status != SW_OK) return detail::error_of(status);
    return Region(region);
  }
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

 private:
  explicit Region(sw_region* region) : handle_(region) {}
  detail::Handle<sw_region, sw_region_close> handle_;
};

}  // namespace slotwire
