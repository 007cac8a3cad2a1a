// Floor of round trips between sleepers: the message and a futex word in shared memory, FUTEX_WAKE and FUTEX_WAIT for
// each message.
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "registry.hpp"
#include "sides.hpp"

namespace slotwire::bench {
namespace {

class FutexEnd {
 public:
  explicit FutexEnd(const Setup& setup)
      : size_(setup.size()),
        mine_(at(setup, setup.role == Role::client ? 0 : kHalf)),
        theirs_(at(setup, setup.role == Role::client ? kHalf : 0)) {
    if (setup.role == Role::server) setup.bound();
  }
  void send(Bytes message) {
    std::memcpy(mine_.message, message.data(), message.size());
    mine_.count.fetch_add(1, std::memory_order_release);
    ::syscall(SYS_futex, &mine_.count, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  }
  template <typename Take>
  void receive(Take take) {
    while (theirs_.count.load(std::memory_order_acquire) == taken_)
      ::syscall(SYS_futex, &theirs_.count, FUTEX_WAIT, taken_, nullptr, nullptr, 0);
    ++taken_;
    take(Bytes(theirs_.message, size_));
  }

 private:
  static constexpr std::size_t kHalf = kScratchBytes / 2;
  struct Box {
    alignas(64) std::atomic<std::uint32_t> count;
    alignas(64) std::byte message[kHalf - 64];
  };
  static Box& at(const Setup& setup, std::size_t offset) {
    return *reinterpret_cast<Box*>(setup.board.scratch.data() + offset);
  }
  std::size_t size_;
  Box &mine_, &theirs_;
  std::uint32_t taken_ = 0;
};

}  // namespace

Contender floor_futex() {
  return make_contender<FutexEnd>("floor: futex", {.group = Group::floor, .spins = false, .largest = 4 << 20});
}

}  // namespace slotwire::bench
