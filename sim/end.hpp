// One end of a simulated connection: its rings, its process, and what the process knows.
#pragma once
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "core/pipeline/pipeline.hpp"
#include "core/slot/memory.hpp"
#include "sim/random.hpp"

namespace slotwire::sim {

using pipeline::Position;

/// A ring of 2^order lines: in plain memory, or in a space file mapped twice in a row (`mirrored`, order 6 and more).
class RingMemory {
 public:
  RingMemory(unsigned order, bool mirrored) : order_(order) {
    if (mirrored) {
      const slot::Fd file = slot::create_sealed_file("slotwire-sim", slot::space_file_bytes(order));
      space_ = slot::Space(file.get(), order, slot::Access::read_write);
    } else {
      plain_.resize(regs::kLineBytes << order);
    }
  }
  slot::RingView view() { return {space_ ? space_.ring() : plain_.data(), order_, static_cast<bool>(space_)}; }
  std::uint32_t lines() const { return std::uint32_t{1} << order_; }

 private:
  unsigned order_;
  slot::Space space_;
  std::vector<std::byte> plain_;
};

/// How a process behaves.
struct Habits {
  unsigned write_permille = 500;  ///< of its turns it writes in
  std::uint32_t write_burst = 8;  ///< lines at most
  unsigned read_permille = 500;   ///< a slow reader has few
  std::uint32_t read_burst = 8;
  unsigned ring_permille = 900;  ///< else it forgets its bell until the next turn
  bool hostile = false;          ///< writes marks that cannot be, now and then
};

struct End {
  End(std::uint32_t pairing_id, unsigned which, std::uint16_t its_node, std::uint16_t its_slot, RingMemory in_ring,
      RingMemory out_ring)
      : pairing(pairing_id),
        side(which),
        node(its_node),
        slot(its_slot),
        in(std::move(in_ring)),
        out(std::move(out_ring)) {}

  std::uint32_t pairing;
  unsigned side;  ///< 0 or 1
  std::uint16_t node, slot;
  RingMemory in, out;
  Habits habits;

  bool bound = false;
  std::uint32_t generation = 0;                  ///< of the pairing that this end is bound for
  Position in_tail = 0, out_head = 0;            ///< the process's marks
  Position pub_in_head = 0, pub_out_tail = 0;    ///< the proxy's marks as published
  Position seen_in_head = 0, seen_out_tail = 0;  ///< the row's, when last checked

  std::uint64_t lines_read = 0;
};

/// A connection: two ends. While it is bound anew, the ends differ in their generation.
struct Pairing {
  std::uint32_t id = 0;
  std::vector<End> ends;  ///< two
  std::uint32_t generation = 0;
  std::uint16_t epoch = 0;
  Position start[2] = {0, 0};  ///< position of the first line that end 0 and end 1 write

  bool hostile() const { return ends[0].habits.hostile || ends[1].habits.hostile; }
};

/// The content of a line: told by who wrote it, for which pairing, and where it stands.
inline void fill_line(std::byte* line, std::uint32_t pairing, std::uint32_t generation, unsigned side, Position at) {
  std::uint64_t words[regs::kLineBytes / 8];
  std::uint64_t x =
      mix((std::uint64_t{pairing} << 40) ^ (std::uint64_t{generation} << 33) ^ (std::uint64_t{side} << 32) ^ at);
  for (std::uint64_t& word : words) word = x += 0x9e3779b97f4a7c15U;
  std::memcpy(line, words, sizeof words);
}
inline bool line_is(const std::byte* line, std::uint32_t pairing, std::uint32_t generation, unsigned side,
                    Position at) {
  std::byte expected[regs::kLineBytes];
  fill_line(expected, pairing, generation, side, at);
  return std::memcmp(line, expected, sizeof expected) == 0;
}

}  // namespace slotwire::sim
