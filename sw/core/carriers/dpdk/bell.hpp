// What ends a sleep when frames arrive at a port.
#pragma once
#include <string_view>

namespace slotwire::carriers {

/// One thread. A port that has none is polled without end.
class Bell {
 public:
  Bell() = default;
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;
  virtual ~Bell() = default;
  /// What it is, for people.
  virtual std::string_view name() const noexcept = 0;
  /// Readable (epoll) when a frame has arrived since answer().
  virtual int fd() const noexcept = 0;
  /// The port was found empty: frames that arrive from now on ring. One that came just before may not, so the port is
  /// to be looked at once more. What rings late may leave fd() readable though the port is empty.
  virtual void answer() noexcept = 0;
  /// Frames are being taken, and answer() comes before the next sleep: until then it need not ring.
  virtual void mute() noexcept {}
};

}  // namespace slotwire::carriers
