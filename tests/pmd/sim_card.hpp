// A simulated card of a test: its program with a wire that the test holds the other end of, and its queues for
// net_slotwire.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <string>
#include <vector>

#include "core/slot/memory.hpp"

namespace slotwire::test {

using Frame = std::vector<std::byte>;

class SimCard {
 public:
  /// Longest wait for a frame or for the program; it is shared with other tests, and simulated.
  static constexpr int kPatienceMs = 60'000;

  /// Starts it and waits until it is ready. `wire`: as slotwire-simcard's; empty: one that the test holds. Throws
  /// std::runtime_error.
  explicit SimCard(const std::string& wire = {});
  ~SimCard();
  SimCard(const SimCard&) = delete;
  SimCard& operator=(const SimCard&) = delete;

  const std::string& queues() const { return queues_; }
  /// Onto the wire. False: it is gone.
  bool send(const Frame& frame) const;
  /// The next frame from the wire; empty: none came in time.
  Frame receive(int timeout_ms = kPatienceMs) const;
  bool alive() const;
  void kill();
  /// Starts it anew at the same place, after kill(). Throws std::runtime_error.
  void restart();

 private:
  std::string directory_, queues_, given_wire_;
  pid_t pid_ = -1;
  slot::Fd output_, wire_;
};

}  // namespace slotwire::test
