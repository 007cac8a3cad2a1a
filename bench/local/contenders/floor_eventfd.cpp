// The same as the floor with futexes, with an eventfd in each direction.
#include <sys/eventfd.h>
#include <unistd.h>

#include "handover.hpp"
#include "registry.hpp"
#include "sides.hpp"

namespace slotwire::bench {
namespace {

class EventEnd {
 public:
  explicit EventEnd(const Setup& setup)
      : size_(setup.size()),
        mine_(setup.board.scratch.data() + (setup.role == Role::client ? 0 : kHalf)),
        theirs_(setup.board.scratch.data() + (setup.role == Role::client ? kHalf : 0)),
        events_(share_descriptors(setup, 0, 2,
                                  [] {
                                    std::vector<slot::Fd> made;
                                    for (int i = 0; i < 2; ++i) made.emplace_back(::eventfd(0, EFD_CLOEXEC));
                                    return made;
                                  })),
        signal_(events_[setup.role == Role::client ? 0 : 1].get()),
        wait_(events_[setup.role == Role::client ? 1 : 0].get()) {}
  void send(Bytes message) {
    std::memcpy(mine_, message.data(), message.size());
    const std::uint64_t one = 1;
    if (::write(signal_, &one, sizeof one) < 0) fail("cannot signal an eventfd");
  }
  template <typename Take>
  void receive(Take take) {
    std::uint64_t count = 0;
    if (::read(wait_, &count, sizeof count) < 0) fail("cannot wait for an eventfd");
    take(Bytes(theirs_, size_));
  }

 private:
  static constexpr std::size_t kHalf = kScratchBytes / 2;
  std::size_t size_;
  std::byte *mine_, *theirs_;
  std::vector<slot::Fd> events_;
  int signal_, wait_;
};

}  // namespace

Contender floor_eventfd() {
  return make_contender<EventEnd>("floor: eventfd", {.group = Group::floor, .spins = false, .largest = 4 << 20});
}

}  // namespace slotwire::bench
