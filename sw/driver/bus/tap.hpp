// A TAP interface: a network interface of the host whose frames a program sends and receives.
#pragma once
#include <cstddef>
#include <span>
#include <string>

#include "core/slot/memory.hpp"

namespace slotwire::driver {

/// The calling thread is in another network namespace for as long as this lives; in its own when the name is empty.
class InNamespace {
 public:
  /// `name`: a path, or a name that `ip netns` knows. Throws std::runtime_error.
  explicit InNamespace(const std::string& name);
  ~InNamespace();
  InNamespace(const InNamespace&) = delete;
  InNamespace& operator=(const InNamespace&) = delete;

 private:
  slot::Fd home_;
};

class Tap {
 public:
  /// Makes interface `name` (1 to 15 characters) in a network namespace (empty: this one). It has the same MAC address
  /// whenever it is made under that name there. Throws std::runtime_error.
  Tap(const std::string& name, const std::string& where);
  /// The next frame that the host sent, into `room`; 0: none now. Never waits.
  std::size_t receive(std::span<std::byte> room);
  /// Gives the host a frame; it is lost when the interface is down or its queue is full.
  void send(std::span<const std::byte> frame);
  /// Readable when receive() may have something.
  int fd() const { return fd_.get(); }

 private:
  slot::Fd fd_;
};

}  // namespace slotwire::driver
