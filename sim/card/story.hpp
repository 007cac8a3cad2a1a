// What happens to one slot of a simulated card, clock by clock, told from the card's ports alone: from its doorbell to
// its frame, from a frame to its mark.
#pragma once
#include <cstdint>
#include <cstdio>
#include <deque>
#include <string>

#include "sim/card/sim_core.hpp"

namespace slotwire::sim {

class Story final : public PortWatcher {
 public:
  /// Tells of `slot` to `out`, one line for each thing that happens. The card has `vectors` interrupt vectors.
  Story(std::uint16_t slot, std::FILE* out, unsigned vectors = 4) : slot_(slot), out_(out), vectors_(vectors) {}

  void host_request(std::uint64_t clock, bool write, std::uint32_t address, const Line& data) override;
  void memory_read(std::uint64_t clock, std::uint32_t line) override;
  void memory_answer(std::uint64_t clock) override;
  void memory_write(std::uint64_t clock, std::uint32_t line) override;
  void memory_done(std::uint64_t clock) override;
  void wire_beat(std::uint64_t clock, bool out, bool first, bool last, const Line& data) override;
  void interrupt(std::uint64_t clock, std::uint32_t vectors) override;

 private:
  static constexpr std::size_t kMaxUnderWay = 1'024;  ///< reads and writes of memory that are remembered

  void tell(std::uint64_t clock, const std::string& what);
  bool in_ring(std::uint32_t line, bool output) const;
  std::uint32_t index(std::uint32_t line, bool output) const;

  std::uint16_t slot_;
  std::FILE* out_;
  unsigned vectors_;
  regs::SlotRow row_{};                      ///< as the host wrote it: where the rings are
  std::uint64_t since_ = 0;                  ///< the last thing that set off others
  std::deque<std::int64_t> reads_, writes_;  ///< under way: the line in our ring, or -1 for others'
  bool frame_out_ = false, frame_in_ = false;
};

}  // namespace slotwire::sim
