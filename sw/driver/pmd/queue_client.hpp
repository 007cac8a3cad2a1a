// The driver's end of a card's host queues (host_queues.hpp): the connection and its memory, without DPDK.
//
// Thread rules: any number of threads; a ring belongs to one at a time.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "core/slot/memory.hpp"
#include "driver/pmd/host_queues.hpp"

namespace slotwire::driver {

class QueueClient {
 public:
  /// Longest wait for an answer of the card; a simulated card answers between two bursts of clocks.
  static constexpr int kPatienceMs = 10'000;

  /// Connects to a card's queue socket and asks for `queues` (1 to host_queues::kMaxQueues) pairs of rings. Throws
  /// std::runtime_error or std::system_error: what happened and what to do.
  QueueClient(const std::string& path, std::uint32_t queues);

  /// What the card said of itself: checked.
  const host_queues::Reply& info() const { return info_; }
  const host_queues::Memory& memory() const { return memory_; }
  std::uint32_t queues() const { return info_.queues; }
  /// Readable after the card put a frame into receive ring `queue` that was armed.
  int signal_fd(std::uint32_t queue) const { return signals_[queue].get(); }
  /// Readable when an answer is there that ask() has not taken yet, and for good once the card has gone.
  int connection_fd() const { return socket_.get(); }
  /// Wakes the card after a frame was produced, if it sleeps.
  void kick() const;

  /// 0, or a negative errno: -EIO when the card does not answer, and then at every later request.
  int set(std::uint32_t queues_in_use, std::uint32_t flags, std::uint32_t max_frame,
          const std::array<std::uint8_t, 6>& mac);
  int write_rule(std::uint32_t index, const regs::ClassifierRule& rule);
  int write_default_rule(regs::ClassifierAction action, std::uint32_t queue);

  /// The card is there and says that its port is up.
  bool link_up() const;

 private:
  int ask(const host_queues::Request& request);
  bool receive(host_queues::Reply& reply, std::vector<slot::Fd>& fds) const;

  std::mutex asking_;
  slot::Fd socket_, kick_;
  std::vector<slot::Fd> signals_;
  slot::Mapping mapping_;
  host_queues::Memory memory_;
  host_queues::Reply info_{};
  std::atomic<bool> broken_ = false;  ///< it did not answer: what comes later would be taken for something else
};

}  // namespace slotwire::driver
