// The host's queues of a simulated card: what the DMA engine of a shell does for net_slotwire on a real one. Moves
// frames between the card's host path and the rings of a driver (driver/pmd/host_queues.hpp), by the queue and the mark
// that stand beside each frame; filters by MAC address, makes and looks at checksums; writes the classifier's rules.
//
// A driver may write what it likes into the memory and send what it likes: it loses its own frames, or its connection.
// Thread rules: one thread.
#pragma once
#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/slot/memory.hpp"
#include "driver/bus/host_bus.hpp"
#include "driver/pmd/host_queues.hpp"
#include "sim/card/frame_queue.hpp"

namespace slotwire::sim {

class QueueServer {
 public:
  /// Frames that one ring gives in a row.
  static constexpr unsigned kBurst = 32;

  /// Listens on `path` (an old socket there is replaced, anything else is left). `bus` reaches the card's registers.
  /// Throws std::runtime_error.
  QueueServer(std::string path, FrameQueue& from_host, FrameQueue& to_host, driver::HostBus& bus);
  ~QueueServer();
  QueueServer(const QueueServer&) = delete;
  QueueServer& operator=(const QueueServer&) = delete;

  /// Moves frames and answers the driver as far as it goes now. `port_free`: nobody has an access of the core's host
  /// port under way. True: something moved.
  bool poll(bool port_free);
  /// The card forgot its rules: they are written again.
  void card_was_reset();
  /// Readable when poll() may have something to do.
  int fd() const { return epoll_.get(); }
  /// Call before and after waiting for fd(). False: there is something to do.
  bool may_sleep();
  void awake();

 private:
  using Request = driver::host_queues::Request;
  static constexpr std::size_t kRules = 16;
  static constexpr std::size_t kDefault = kRules;  ///< its place in dirty_

  bool accept();
  bool take_request();
  bool answer(std::uint32_t status);
  bool hello(std::uint32_t queues);
  std::uint32_t set(const Request& request);
  void forget_rules();
  void write_rules();
  bool take_frames();
  bool give_frames();
  bool take_frame(std::uint32_t queue, std::uint32_t position);
  bool wanted(std::span<const std::byte> frame) const;
  void drop(const char* why);

  std::string path_;
  FrameQueue& from_host_;
  FrameQueue& to_host_;
  driver::HostBus& bus_;
  slot::Fd epoll_, listener_, client_, kick_;
  std::vector<slot::Fd> signals_;  ///< of the receive queues
  slot::Mapping mapping_;
  driver::host_queues::Memory memory_;
  std::uint32_t queues_ = 0;  ///< of the memory; 0: no hello yet
  std::uint32_t used_ = 0, flags_ = 0, max_frame_ = 0;
  std::array<std::uint8_t, 6> mac_{};
  std::array<std::uint32_t, driver::host_queues::kMaxQueues> produced_{}, consumed_{};  ///< own positions
  bool answer_due_ = false;                                                             ///< once the rules are written
  std::array<std::array<std::byte, regs::kClassifierRuleBytes>, kRules> rules_{};
  std::uint32_t default_ = 0;
  std::bitset<kRules + 1> dirty_;
};

}  // namespace slotwire::sim
