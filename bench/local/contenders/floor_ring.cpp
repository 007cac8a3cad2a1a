// Floor of one-way messages: a ring of 64-byte records for one writer, as large as the largest ring of Slotwire. Each
// side remembers how far the other one was and looks again only when that does not suffice. One at a time, a record is
// published as it is written; a batch is written past the caches and published together.
#include "registry.hpp"
#include "sides.hpp"

namespace slotwire::bench {
namespace {

class RingEnd {
 public:
  explicit RingEnd(const Setup& setup)
      : ring_(*reinterpret_cast<Ring*>(setup.board.scratch.data())),
        readers_(setup.subscribers()),
        index_(setup.index) {
    if (setup.size() != kRecord) throw std::invalid_argument("the bare ring has records of 64 bytes");
    if (setup.role == Role::server) setup.bound();
  }

  void send(Bytes message) {
    wait_for_room(1);
    std::memcpy(at(tail_), message.data(), kRecord);
    ring_.tail.store(++tail_, std::memory_order_release);
  }
  void send_batch(Bytes all, std::size_t size) {
    const std::size_t count = all.size() / size;
    wait_for_room(count);
    for (std::size_t i = 0; i < count; ++i) stream(at(tail_ + i), all.data() + (i * size));
#if defined(__x86_64__)
    _mm_sfence();
#endif
    tail_ += count;
    ring_.tail.store(tail_, std::memory_order_release);
  }
  template <typename Take>
  void receive_some(Take take) {
    std::uint64_t& mine = seen_head_;
    while (tail_ == mine) tail_ = ring_.tail.load(std::memory_order_acquire);
    while (mine != tail_) take(Bytes(at(mine++), kRecord));
    ring_.heads[index_].head.store(mine, std::memory_order_release);
  }
  template <typename Take>
  void receive(Take take) {
    receive_some(take);
  }

 private:
  static constexpr std::size_t kRecord = 64;
  static constexpr std::size_t kRecords = (std::size_t{2} << 20) / kRecord;
  struct alignas(64) Head {
    std::atomic<std::uint64_t> head;
  };
  struct Ring {
    alignas(64) std::atomic<std::uint64_t> tail;
    Head heads[kMaxSubscribers];
    alignas(4096) std::byte records[kRecords * kRecord];
  };
  static_assert(sizeof(Ring) <= kScratchBytes);

  std::byte* at(std::uint64_t record) const {
    return ring_.records + ((record % kRecords) * kRecord);
  }
  void wait_for_room(std::size_t records) {
    while (tail_ + records - seen_head_ > kRecords) {
      std::uint64_t least = UINT64_MAX;
      for (std::size_t i = 0; i < readers_; ++i)
        least = std::min(least, ring_.heads[i].head.load(std::memory_order_acquire));
      seen_head_ = least;
    }
  }
  static void stream(std::byte* to, const std::byte* from) {
#if defined(__x86_64__)
    for (std::size_t i = 0; i < kRecord; i += sizeof(__m128i)) {
      _mm_stream_si128(reinterpret_cast<__m128i*>(to + i), _mm_load_si128(reinterpret_cast<const __m128i*>(from + i)));
    }
#else
    std::memcpy(to, from, kRecord);
#endif
  }

  Ring& ring_;
  std::size_t readers_;
  unsigned index_;
  std::uint64_t tail_ = 0;       ///< writer: its own; reader: as it was seen last
  std::uint64_t seen_head_ = 0;  ///< writer: the least as it was seen last; reader: its own
};

}  // namespace

Contender floor_ring() {
  return make_contender<RingEnd>("floor: ring",
                                 {.group = Group::floor, .blocks = false, .round_trips = false, .largest = 64});
}

}  // namespace slotwire::bench
