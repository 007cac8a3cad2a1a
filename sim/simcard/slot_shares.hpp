// Slots that a simulated card serves in shared memory, as a card serves pages of its BARs: it watches the process page
// of each, brings the lines before a mark and the mark to the core, fetches what the core delivers, and wakes the
// process.
//
// A real card is told by the store itself; this one looks between two bursts of clocks, and at least every millisecond.
// Processes may write what they like: a mark is read once, and one that cannot be is the core's to fault.
// Thread rules: one thread; only while nobody else has an access of the core's host port under way.
#pragma once
#include <map>

#include "driver/relay/slot_relay.hpp"
#include "sim/pci/slot_server.hpp"
#include "sim/simcard/core_bus.hpp"

namespace slotwire::sim {

class SlotShares final : public SlotServer {
 public:
  /// Clocks between two looks at the proxy marks while frames come in.
  static constexpr std::uint64_t kLookClocks = 128;

  /// `slots`: of the card, and so the most that are served.
  SlotShares(SimCore& core, std::uint32_t slots) : core_(core), bus_(core), relay_(bus_), slots_(slots) {}

  std::string share(const driver::vfio_user::ShareSlot& asked, ShareFds fds) override;
  void unshare(std::uint32_t slot) override { served_.erase(slot); }
  void unshare_all() override { served_.clear(); }

  /// A proxy mark may have moved, or is about to.
  void look() { look_ = true; }
  /// Moves marks and lines as far as they go now. True: something moved.
  bool poll();
  /// Empty; or how the core broke its promise to answer.
  const std::string& broken() const { return bus_.broken(); }

 private:
  struct Served {
    slot::Space own;    ///< A, which a card only reads
    slot::Space other;  ///< B
    slot::Fd wake;
    regs::SlotRow row;            ///< place and orders as the core has them, marks as far as they were carried
    std::uint32_t signalled = 0;  ///< the WAIT that was answered last
    bool refused = false;         ///< the core was told a mark that cannot be
  };

  bool take_all();

  SimCore& core_;
  CoreBus bus_;
  driver::SlotRelay relay_;
  std::uint32_t slots_;
  std::map<std::uint32_t, Served> served_;
  bool look_ = false;
  std::uint64_t next_look_ = 0;
};

}  // namespace slotwire::sim
