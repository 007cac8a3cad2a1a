// The subscribers' node: publishes in the region what one connection brings of one topic.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/blocks/publisher.hpp"
#include "tools/slotwire/blocks_link/wire.hpp"
#include "tools/slotwire/common.hpp"

namespace slotwire::cli::blocks_link {

/// Messages are read from the connection into the blocks that subscribers read: nothing is held in between. A
/// subscriber that blocks stops the reading, so the ring fills, and the other node's publisher waits. One thread.
class Inlet {
 public:
  Inlet(blocks::Region& region, std::string node, Want want, std::size_t block_bytes);
  ~Inlet();
  Inlet(const Inlet&) = delete;
  Inlet& operator=(const Inlet&) = delete;

  void set_connection(ConnectionPtr connection);
  /// Its subscribers want more than before: an overflow of greater weight.
  void strengthen(blocks::Overflow overflow);
  /// As Outlet's.
  bool drive();
  bool arm();
  void disarm();
  /// As arm() and disarm(), where it may be armed still.
  bool arm_if_disarmed() { return armed_ || (armed_ = arm()); }
  void disarm_if_armed() {
    if (std::exchange(armed_, false)) disarm();
  }
  bool ended() const { return ended_; }
  const std::string& reason() const { return reason_; }
  int wants() const { return wants_; }
  sw_connection* connection() const { return connection_.get(); }
  int fd() const { return publisher_ ? publisher_->fd() : -1; }
  const std::string& topic() const { return want_.topic; }
  const std::string& node() const { return node_; }
  blocks::Overflow overflow() const { return want_.overflow; }
  std::uint64_t messages() const { return messages_; }
  /// Messages that were larger than the memory for blocks, and are lost.
  std::uint64_t too_large() const { return too_large_; }
  std::uint64_t too_large_bytes() const { return too_large_bytes_; }
  /// Messages that the other node lost for this one.
  std::uint64_t dropped() const { return dropped_; }

  int watched = 0;
  int watched_fd = -1;
  bool queued = false;

 private:
  bool armed_ = false;
  enum class Step : std::uint8_t { done, no_bytes, no_room };
  Step read(std::span<std::byte> into, std::size_t& have);
  Step header();
  Step message();
  Step small_frame();
  void end(std::string reason);

  blocks::Region& region_;
  std::string node_;
  Want want_;
  std::size_t block_bytes_;
  ConnectionPtr connection_;
  std::unique_ptr<blocks::Publisher> publisher_;
  PendingBytes pending_;
  FrameHeader header_{};
  std::size_t header_have_ = 0, body_have_ = 0;
  std::optional<blocks::Publisher::Loan> loan_;
  bool skipping_ = false;  ///< the message is too large: its bytes are read and discarded
  std::vector<std::byte> small_;
  std::uint64_t messages_ = 0, too_large_ = 0, too_large_bytes_ = 0, dropped_ = 0;
  int wants_ = SW_READABLE;
  bool waits_for_room_ = false;
  bool ended_ = false;
  std::string reason_;
};

}  // namespace slotwire::cli::blocks_link
