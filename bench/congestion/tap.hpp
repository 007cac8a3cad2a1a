// A TAP device in a network namespace of its own, and the descriptor through which its frames come and go.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "core/slot/memory.hpp"

namespace slotwire::bench {

class Tap {
 public:
  /// Makes a network namespace with one device, which is down and has no address. The calling thread is in the new
  /// namespace afterwards. Needs CAP_SYS_ADMIN and CAP_NET_ADMIN. A std::system_error says what failed.
  explicit Tap(const std::string& device);

  int fd() const { return device_.get(); }
  /// A path by which others enter the namespace (nsenter --net=PATH) while this process lives.
  std::string space_path() const;

  /// The next frame, cut to `into`: how long it is; 0: there is none.
  std::size_t read(std::span<std::byte> into);
  /// False: the device did not take the frame (it is down).
  bool write(std::span<const std::byte> frame);

 private:
  slot::Fd space_, device_;
};

}  // namespace slotwire::bench
