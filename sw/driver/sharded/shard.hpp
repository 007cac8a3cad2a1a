// One of the soft cards that a ShardedCard consists of, each in a thread of its own.
#pragma once
#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "driver/sharded/number_set.hpp"
#include "driver/soft/soft_card.hpp"

namespace slotwire::driver {

/// All shards have the same rows; each touches the rows of its own slots and no others. A row is a cache line, so they
/// do not get into each other's way. Belongs to one thread, but for what is said to be for any.
class Shard final : public SoftCard {
 public:
  using Place = std::uint8_t;  ///< number of a shard
  static constexpr Place kNowhere = 255;
  using SoftCard::Slot;

  /// `all` are the shards by their numbers, complete before the first bell rings. Sessions are 0..sessions-1.
  Shard(Place number, const std::vector<Shard*>& all, std::size_t sessions, std::span<regs::SlotRow> rows,
        const SoftCardOptions& options, CardListener& listener);

  // --- any thread ---

  /// Reads the marks of `slot`, which is this shard's.
  void look_soon(std::uint16_t slot) noexcept;
  /// The session kicked, for a bell in a word of this shard.
  void kicked(std::uint32_t session) noexcept;
  /// Ends the thread's sleep, or the one that it is about to begin. What it is woken for stands before the call.
  void wake() noexcept;

  // --- its own thread ---

  /// Readable when somebody woke this shard while it slept; woken() empties it.
  int wake_fd() const noexcept { return wake_.get(); }
  void woken() noexcept;
  /// The caller's clock, for what is called before the next poll().
  using SoftCard::advance;

  /// Takes up a slot of this shard. Everything that takes long was done by make().
  void install(std::uint16_t slot, Slot made);
  /// Unbinds the slot and gives its memory to the caller.
  Slot release(std::uint16_t slot);
  /// Makes a slot's files; any thread. Throws like SoftCard::open_slot().
  static SlotFiles files_for(std::uint16_t slot, unsigned in_order, unsigned out_order, bool with_output) {
    return make_files(slot, in_order, out_order, with_output);
  }
  /// Maps a slot's memory; any thread. Throws like SoftCard::adopt_slot().
  static Slot make(unsigned in_order, unsigned out_order, SlotFiles files) {
    return make_slot(in_order, out_order, std::move(files));
  }

  /// `words` of the session are this shard's from now on, and no others. The session is added when it is not known.
  void own_words(std::uint32_t session, slot::BellPage& page, slot::PolledPage& polled, slot::BellWords words);
  /// Bell `local` of the session, in a word of this shard, leads to `slot` of shard `place`.
  void lead(std::uint32_t session, std::size_t local, std::uint16_t slot, Place place);
  /// It leads nowhere any more.
  void lead_nowhere(std::uint32_t session, std::size_t local, std::uint16_t slot);

  /// Whether any link has a route.
  using SoftCard::has_carriers;
  void remove_session(std::uint32_t session) override;
  void look(std::uint16_t slot) override;
  bool poll(std::uint64_t now_us) override;
  bool prepare_sleep() override;
  /// Those of the pipeline, and frames for slots of other shards among `drop_unbound`.
  std::uint64_t counter(regs::Counter counter) const override;

 private:
  void on_frame(std::uint16_t link, std::span<const std::byte> frame) override;

  const Place number_;
  const std::vector<Shard*>& all_;
  std::vector<Place> where_;  ///< of its own slots, and of those that its bells lead to
  std::vector<bool> sessions_;
  NumberSet looks_, kicks_;
  std::atomic<bool> asleep_{false};
  slot::Fd wake_ = slot::create_event();
  std::uint64_t strange_frames_ = 0;
};

}  // namespace slotwire::driver
