// The RTL of the PCIe card's shell (slotwire_pcie_host), behind the bridge's stand-in and in front of a simulated
// card's host port: what a PCI function does with its BARs goes this way.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "sim/simcard/host_port.hpp"

namespace slotwire::sim {

class PcieHostPort final : public AccessPort {
 public:
  /// Slots, links and interrupt vectors that the shell was built for; the card behind it must have as many.
  static constexpr std::uint32_t kSlots = 64, kLinks = 16, kVectors = 4;
  static constexpr std::size_t kMostWaiting = 64;  ///< accesses that wait for the bridge

  /// `card`: taken by the shell an access a clock at most, and outlives this. `reset_card`: the shell resets the core.
  PcieHostPort(AccessPort& card, std::uint64_t seed, std::function<void()> reset_card);
  ~PcieHostPort() override;
  PcieHostPort(const PcieHostPort&) = delete;
  PcieHostPort& operator=(const PcieHostPort&) = delete;

  bool write(std::uint32_t address, const Bytes& data, std::uint64_t strobes) override;
  bool read(std::uint32_t address) override;
  bool answered() const override;
  Reply take_answer() override;

  /// Nothing of the host's is under way in the shell or the bridge.
  bool idle() const;
  void clock();
  /// The card raised these interrupts.
  void interrupt(std::uint32_t vectors);
  /// Vectors whose messages the shell has asked for since the last call.
  std::uint32_t take_messages();
  /// What was read and not answered is forgotten. clock() until it is no longer resetting().
  void function_reset();
  bool resetting() const;
  /// The first breach of the port's rules; empty if there was none.
  const std::string& violation() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace slotwire::sim
