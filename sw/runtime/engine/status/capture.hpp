// The capture of a node: at most one at a time, for whoever may ask for it.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>

#include "driver/card.hpp"
#include "runtime/engine/host/node_log.hpp"
#include "runtime/engine/status/capture_tap.hpp"

namespace slotwire::engine {

/// One thread, the card's.
class Capture {
 public:
  Capture(driver::Card& card, NodeLog& log) : card_(card), log_(log) {}
  ~Capture() { card_.set_tap(nullptr); }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  /// Sends frames into `socket` from now on, of one link or of all; `snaplen` bytes of each, 0: all. False: another
  /// capture is running.
  bool start(slot::Fd socket, std::optional<std::uint16_t> link, std::uint32_t snaplen);
  /// Ends a capture whose reader has ended.
  void tick();

 private:
  driver::Card& card_;
  NodeLog& log_;
  std::unique_ptr<CaptureTap> tap_;
};

}  // namespace slotwire::engine
