// The capture of a node: at most one at a time, for whoever may ask for it.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "driver/card.hpp"
#include "runtime/control/codec.hpp"
#include "runtime/engine/host/node_log.hpp"
#include "runtime/engine/status/capture_tap.hpp"

namespace slotwire::engine {

/// One thread, the card's.
class Capture {
 public:
  /// `show` says whom the card shows its frames to from now on; null: nobody (driver::Card::set_tap()).
  using Show = std::function<void(driver::FrameTap*)>;
  Capture(Show show, NodeLog& log) : show_(std::move(show)), log_(log) {}
  ~Capture() { show_(nullptr); }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  /// Who asked for a capture.
  struct Holder {
    std::uint32_t uid = 0;
    std::int32_t pid = 0;
  };

  /// Sends frames into `socket` from now on, of one link or of all; `snaplen` bytes of each, 0: all. Throws Refusal
  /// (busy) when another capture is running; root ends one of another user by its own.
  void start(slot::Fd socket, std::optional<std::uint16_t> link, std::uint32_t snaplen, Holder holder);
  /// Ends a capture whose reader has ended, or has taken nothing for kPatienceUs while there were frames.
  void tick(std::uint64_t now_us);

  static constexpr std::uint64_t kPatienceUs = 10'000'000;

 private:
  Show show_;
  NodeLog& log_;

  void end(const std::string& why);

  std::unique_ptr<CaptureTap> tap_;
  Holder holder_;
  std::uint64_t taken_ = 0, dropped_ = 0;          ///< by the reader so far, at the last look
  std::optional<std::uint64_t> stalled_since_us_;  ///< frames are dropped and none is taken
};

}  // namespace slotwire::engine
