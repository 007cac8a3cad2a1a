// The publishing end of a topic: blocks are loaned, filled in place, and published to every subscriber.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/blocks/pool.hpp"
#include "core/slot/waiter.hpp"
#include "runtime/blocks/waits.hpp"

namespace slotwire::blocks {

struct PublisherOptions {
  std::size_t block_bytes = std::size_t{4} << 20;  ///< memory for blocks, rounded up to a power of two
  std::uint32_t entries = 256;                     ///< messages in the list at most, a power of two from 2 to 65536
  std::uint32_t history = 0;                       ///< messages that are kept for subscribers which come later
  slot::WaitPolicy wait{};
  bool for_link = false;  ///< publishes what came from another node: not for subscribers that take it to one
};

/// Why a loan or a publish did not come about.
enum class Room : std::uint8_t {
  yes,
  not_now,    ///< a subscriber that blocks has not released enough, or the deadline has passed
  too_large,  ///< larger than the memory for blocks
  no_loan,    ///< the block is not on loan from this publisher
  refused,    ///< a subscriber with Overflow::fail does not keep up; see slow_subscriber()
};

/// One thread.
class Publisher {
 public:
  struct Loan {
    std::span<std::byte> data{};
    BlockPlace place = 0;
  };

  /// Throws std::invalid_argument, std::system_error or std::runtime_error with what to do; so do the calls that wait,
  /// in a region whose slotwired has stopped.
  Publisher(Region& region, const std::string& topic, const PublisherOptions& options);
  ~Publisher();
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  /// A block of at least `bytes`, uninitialised. Waits for subscribers until `deadline`; the time that has passed
  /// already: does not wait.
  Room loan(std::size_t bytes, const Deadline& deadline, Loan& out);
  /// Publishes the first `bytes` of a loan, which is no longer the caller's then. Unless Room::yes, it still is.
  Room publish(const Loan& loan, std::size_t bytes, const Deadline& deadline);
  /// Gives a loan back. False: it is none of this publisher's.
  bool abandon(const Loan& loan);

  /// Subscribers that have this publisher's memory mapped: they get what is published from now on, even if this process
  /// dies right after. Others that have subscribed get it too, if this process lives until they look.
  std::size_t subscribers();
  /// Waits until there are `count`. False: the deadline has passed.
  bool wait_for_subscribers(std::size_t count, const Deadline& deadline);
  /// Number of the process with the slowest subscriber that is waited for; 0: none.
  std::uint32_t slow_subscriber() const;
  /// Whether slotwired copies what is published to the subscribers (a strict region): it is the only one then that this
  /// end waits for.
  bool is_copied() const { return !region_.means().sweeps(); }
  /// For an event loop, after a loan or publish with a deadline of now did not find room: arm(); if that is true, wait
  /// until fd() is readable; disarm(); try again. False: try again now.
  bool arm();
  void disarm();
  /// Readable also when a process that subscribes has ended: subscribers() takes note of it.
  int fd() const { return sleeper_.fd(); }
  /// The largest message that there can be room for, bytes.
  std::size_t largest() const { return pool_.largest(); }

  Position published() const { return list_.tail(); }
  /// Blocks that are loaned, in the list, or held by a subscriber.
  std::size_t used_blocks() const { return pool_.allocated_blocks(); }
  std::size_t limbo() const { return list_.limbo(); }
  struct Loans {
    std::size_t blocks = 0;
    std::uint64_t bytes = 0;  ///< of the blocks, which are at least as large as was asked for
  };
  /// What is on loan now. While something is, takes time in proportion to the memory for blocks.
  Loans loans() const;

 private:
  static constexpr BlockPlace kUnitPlaces = BlockPool::kUnitBytes / kPlaceBytes;
  struct Known {
    const CursorEntry* entry = nullptr;
    SocketAddress address;
    std::uint32_t pid = 0;
    std::uint32_t woken = 0;  ///< the WAIT that was answered last
  };
  ListHeader& header() const { return *reinterpret_cast<ListHeader*>(mapping_.data()); }
  void refresh();
  void look_for_subscribers() {
    if (region_.generation() != generation_) refresh();
  }
  /// Takes off the list what may go. False: nothing went.
  bool make_room();
  void ask_to_be_woken();
  void retire(Position limit);
  bool is_on_loan(BlockPlace place) const {
    return place % kUnitPlaces == 0 && place / kUnitPlaces < on_loan_.size() && on_loan_[place / kUnitPlaces];
  }
  void wake_subscribers();
  bool refuses() const;
  /// make_room() until `enough()`, at most until the deadline.
  template <typename Enough>
  Room wait_for_room(const Deadline& deadline, Enough&& enough);

  Region& region_;
  PublisherOptions options_;
  slot::Fd file_;
  slot::Mapping mapping_;
  BlockPool pool_;
  std::byte* blocks_ = nullptr;
  ListWriter<> list_;
  Sleeper sleeper_;
  std::uint32_t number_ = 0;  ///< of the list, for the region's means
  std::size_t index_ = 0;     ///< of the publication
  std::uint64_t serial_ = 0;
  std::uint64_t generation_ = 0;
  std::vector<Known> known_;
  bool ordered_ = false;       ///< every subscriber makes the barrier for both sides before it sleeps
  bool barrier_ = false;       ///< so does this end
  bool barrier_lost_ = false;  ///< the kernel took it back, and subscribers may not know yet
  std::uint32_t wait_number_ = 0;
  std::uint32_t since_retired_ = 0;
  std::vector<bool> on_loan_;  ///< by the unit in which a block starts
  std::size_t loans_ = 0;      ///< how many are set
};

}  // namespace slotwire::blocks
