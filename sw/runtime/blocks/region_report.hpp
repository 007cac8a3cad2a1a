// What a region holds, for people who look: slotwire blocks.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/blocks/region.hpp"

namespace slotwire::blocks {

struct SubscriberReport {
  std::uint32_t pid = 0;
  Overflow overflow = Overflow::none;
  Position released = 0;   ///< of the publisher's messages
  std::uint64_t held = 0;  ///< messages that it named as held; those of one that blocks are all after `released`
  std::uint64_t behind_bytes = 0;  ///< of the messages after `released` that are still there
  bool sleeps = false;
  bool for_link = false;  ///< it takes messages to another node
};

struct PublisherReport {
  std::string topic;
  std::uint32_t pid = 0;
  bool for_link = false;  ///< its messages come from another node
  std::uint64_t block_bytes = 0;
  std::uint32_t entries = 0;
  Position published = 0;
  Position oldest = 0;           ///< first message that is still there
  std::uint64_t kept_bytes = 0;  ///< of the messages from `oldest` on
  bool sleeps = false;           ///< it waits for room
  std::vector<SubscriberReport> subscribers{};
};

/// A subscriber of a topic that nobody publishes.
struct IdleSubscriberReport {
  std::string topic;
  std::uint32_t pid = 0;
};

struct RegionReport {
  std::string name;
  std::size_t processes = 0;  ///< attached, without the one that asks
  std::vector<PublisherReport> publishers{};
  std::vector<IdleSubscriberReport> idle{};
};

/// What the processes of this host want of a topic.
struct Interest {
  std::string topic;
  Overflow overflow = Overflow::drop_oldest;  ///< of the subscriber that may lose least: block, fail, drop_oldest
  std::uint32_t history = 0;                  ///< the most that one asked for
};
/// Topics that are subscribed to, without those subscribers that take messages to other nodes, by name.
std::vector<Interest> interests_in(Region& region);
/// The same. Under the lock.
std::vector<Interest> interests_of_others(Region& region);
/// Topics that other members publish, without what came from other nodes, each once. Under the lock.
std::vector<std::string> publications_of_others(Region& region);
/// Processes that subscribe to `topic`.
std::vector<std::uint32_t> subscribers_of(Region& region, const std::string& topic);

/// Regions of this user that processes are attached to. Throws std::runtime_error.
std::vector<std::string> region_names();
/// What `region` holds now. Throws std::system_error.
RegionReport report_on(Region& region);
/// "block", "drop-oldest", "fail".
const char* name(Overflow overflow);

}  // namespace slotwire::blocks
