// The publisher's node: takes the messages of one topic out of the region and into one connection.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "runtime/blocks/subscriber.hpp"
#include "tools/slotwire/blocks_link/wire.hpp"
#include "tools/slotwire/common.hpp"

namespace slotwire::cli::blocks_link {

/// One copy of each message crosses the link, however many subscribers the other node has. One thread.
class Outlet {
 public:
  Outlet(blocks::Region& region, ConnectionPtr connection);
  ~Outlet();
  Outlet(const Outlet&) = delete;
  Outlet& operator=(const Outlet&) = delete;

  /// Moves what can be moved, a bounded amount. True: more can be moved at once.
  bool drive();
  /// Before the loop sleeps. False: drive() first.
  bool arm();
  void disarm();
  /// As arm() and disarm(), where it may be armed still.
  bool arm_if_disarmed() { return armed_ || (armed_ = arm()); }
  void disarm_if_armed() {
    if (std::exchange(armed_, false)) disarm();
  }
  bool ended() const { return ended_; }
  /// Why it ended; empty: in good order.
  const std::string& reason() const { return reason_; }
  /// What it waits for on its connection: SW_READABLE, SW_WRITABLE.
  int wants() const { return wants_; }
  sw_connection* connection() const { return connection_.get(); }
  /// Of its present subscription; -1: none yet.
  int fd() const { return stages_.empty() ? -1 : stages_.back()->fd(); }
  const std::string& topic() const { return want_.topic; }
  const std::string& node() const { return node_; }
  std::uint64_t messages() const { return messages_; }

  int watched = 0;      ///< by the poller
  int watched_fd = -1;  ///< by epoll
  bool queued = false;

 private:
  bool armed_ = false;
  void listen();
  void take_want(const Want& want);
  bool next_message();
  /// False: no room, or it has ended.
  bool flush();
  void end(std::string reason);

  blocks::Region& region_;
  ConnectionPtr connection_;
  std::string node_;
  Want want_;
  /// Subscriptions, the newest last. A stronger one is made beside the one that there is, which is emptied first, so
  /// that no message falls between the two.
  std::deque<std::unique_ptr<blocks::Subscriber>> stages_;
  std::map<std::uint64_t, blocks::Position> next_;  ///< first position not sent yet, by publication
  std::optional<blocks::Subscriber::View> view_;
  std::size_t view_sent_ = 0;
  std::uint64_t view_bytes_ = 0;
  PendingBytes pending_;
  std::vector<std::byte> heard_;
  std::uint64_t dropped_before_ = 0, dropped_told_ = 0;
  std::uint64_t messages_ = 0;
  int wants_ = SW_READABLE;
  bool ended_ = false, closing_ = false;
  std::string reason_;
};

}  // namespace slotwire::cli::blocks_link
