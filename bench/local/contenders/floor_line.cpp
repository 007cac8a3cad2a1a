// Floor of spinning round trips: a message of 64 bytes is one cache line in shared memory, whose first word says that
// it is there. A longer one is copied behind that line, as one copy in each direction is what a system without loans
// needs at least; with loans it is written there.
#include "registry.hpp"
#include "sides.hpp"

namespace slotwire::bench {
namespace {

class LineEnd {
 public:
  explicit LineEnd(const Setup& setup)
      : size_(setup.size()),
        mine_(setup.board.scratch.data() + (setup.role == Role::client ? 0 : kHalf)),
        theirs_(setup.board.scratch.data() + (setup.role == Role::client ? kHalf : 0)),
        loans_(setup.job().kind == Kind::loan || setup.job().kind == Kind::pass) {
    if (setup.role == Role::server) setup.bound();
  }

  void send(Bytes message) {
    std::memcpy(mine_ + 8, message.data() + 8, message.size() - 8);
    std::uint64_t first = 0;
    std::memcpy(&first, message.data(), sizeof first);
    word(mine_).store(first, std::memory_order_release);
  }
  template <typename Fill>
  void send_loan(std::size_t size, Fill fill) {
    const std::span<std::byte> room(mine_ + kLine, size);
    fill(room);
    std::uint64_t first = 0;
    std::memcpy(&first, room.data(), sizeof first);
    word(mine_).store(first, std::memory_order_release);
  }
  template <typename Take>
  void receive(Take take) {
    // With a pause: asking for the line again and again delays the one who writes it.
    std::uint64_t first = last_;
    while ((first = word(theirs_).load(std::memory_order_acquire)) == last_) pause_cpu();
    last_ = first;
    take(Bytes(theirs_ + (loans_ ? kLine : 0), size_));
  }

 private:
  static constexpr std::size_t kLine = 64;
  static constexpr std::size_t kHalf = kScratchBytes / 2;
  static std::atomic<std::uint64_t>& word(std::byte* at) { return *reinterpret_cast<std::atomic<std::uint64_t>*>(at); }
  std::size_t size_;
  std::byte *mine_, *theirs_;
  std::uint64_t last_ = 0;
  bool loans_;
};

}  // namespace

Contender floor_line() {
  return make_contender<LineEnd>("floor: line", {.group = Group::floor, .blocks = false});
}

}  // namespace slotwire::bench
