// The subscribing end of a topic: messages of all its publishers, read where they lie.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/slot/waiter.hpp"
#include "runtime/blocks/waits.hpp"

namespace slotwire::blocks {

struct SubscriberOptions {
  Overflow overflow = Overflow::block;
  std::uint32_t history = 0;  ///< messages from before, of each publisher, if it still has them
  slot::WaitPolicy wait{};
  bool for_link = false;  ///< takes messages to another node: none that came from one
  /// Where an earlier subscriber stopped, for publications that it had: by place and serial of the publication.
  std::map<std::pair<std::uint32_t, std::uint64_t>, Position> resume{};
};

/// One thread. Views are released before their Subscriber goes.
class Subscriber {
 public:
  struct Source;
  /// A message in the publisher's memory, mapped read-only; unchanged by an honest publisher until it is released.
  struct View {
    std::span<const std::byte> data{};
    std::uint32_t publisher = 0;  ///< number of its process
    Source* source = nullptr;
    Taken taken{};
  };
  enum class Look : std::uint8_t {
    taken,
    nothing_there,   ///< within the deadline
    holds_too_many,  ///< release one first
  };

  /// Throws std::invalid_argument, std::runtime_error or std::system_error with what to do.
  Subscriber(Region& region, const std::string& topic, const SubscriberOptions& options);
  ~Subscriber();
  Subscriber(const Subscriber&) = delete;
  Subscriber& operator=(const Subscriber&) = delete;

  /// The next message: publishers take turns, each one's messages come in order. Waits until `deadline`.
  Look take(const Deadline& deadline, View& out);
  void release(const View& view);
  /// Names the publisher of a message among all that there ever were in this region.
  static std::uint64_t publication_serial(const View& view);

  struct Views {
    std::size_t messages = 0;
    std::uint64_t bytes = 0;
    /// Of the view whose publisher has published most since: how many messages that was, and the publisher's process.
    std::uint64_t behind = 0;
    std::uint32_t publisher = 0;  ///< 0: there are no views
  };
  /// What this end has taken and not released.
  Views views() const;

  /// For an event loop: arm(); if that is true, wait until fd() is readable; disarm(); take() until nothing is there.
  /// False: a message is there already.
  bool arm();
  void disarm();
  int fd() const { return sleeper_.fd(); }

  /// Publishers that have not ended.
  std::size_t publishers();
  std::uint64_t taken() const { return taken_; }
  /// Messages that were lost because this end was overtaken.
  std::uint64_t dropped() const;
  /// Publishers that wrote what no honest one writes; they were left.
  std::uint64_t broken_publishers() const { return broken_; }

 private:
  /// Removes the subscription and its cursors from the directory.
  void leave() noexcept;
  void refresh();
  void look_for_publishers() {
    if (region_.generation() != generation_) refresh();
  }
  std::unique_ptr<Source> attach(std::uint32_t publication, std::uint64_t generation);
  void detach(Source& source);
  Source& earliest_with_message(Source& source) const;
  Look look(View& out);
  void ask_to_be_woken();

  Region& region_;
  SubscriberOptions options_;
  std::string topic_;
  Sleeper sleeper_;
  std::uint32_t index_ = 0;  ///< of the subscription
  std::uint64_t generation_ = 0;
  std::vector<std::unique_ptr<Source>> sources_;
  std::size_t turn_ = 0;
  bool ordered_ = false;
  bool barrier_ = false;  ///< this end makes the barrier for both sides before it sleeps
  int short_sleeps_ = 0;  ///< that are still to come: publishers may rely on a barrier that was refused
  std::uint32_t wait_number_ = 0;
  std::uint32_t idle_looks_ = 0;
  std::uint64_t taken_ = 0;
  std::uint64_t held_bytes_ = 0;      ///< of the views that are out
  std::uint64_t dropped_before_ = 0;  ///< of publishers that have gone
  std::uint64_t broken_ = 0;
};

}  // namespace slotwire::blocks
