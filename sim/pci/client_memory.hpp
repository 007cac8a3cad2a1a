// The memory that a driver maps for the card, as an IOMMU does it: regions of files at bus addresses, which the card
// writes into by DMA. Thread rules: one thread.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "sim/card/host_memory.hpp"

namespace slotwire::sim {

class ClientMemory final : public HostMemory {
 public:
  /// Regions at once: two files for each of the most slots that a simulated card has, and as much again.
  static constexpr std::size_t kMostRegions = 8192;

  ClientMemory() = default;
  ~ClientMemory() override { unmap_all(); }
  ClientMemory(const ClientMemory&) = delete;
  ClientMemory& operator=(const ClientMemory&) = delete;

  /// Maps `bytes` of `file` from `offset` on at bus address `address`, all multiples of a page. The file is a
  /// memfd that cannot be cut (F_SEAL_SHRINK). Returns why not; empty: it is mapped. It stays when the descriptor is
  /// closed.
  std::string map(int file, std::uint64_t offset, std::uint64_t address, std::uint64_t bytes);
  /// Ends the mapping of just this region. False: there is none.
  bool unmap(std::uint64_t address, std::uint64_t bytes);
  void unmap_all();
  bool empty() const { return regions_.empty(); }
  /// May the function write at all (bus mastering)? Else each write is refused.
  std::function<bool()> allowed = [] { return true; };

  bool write(std::uint64_t address, const Line& data, std::uint64_t strobes) override;
  /// Writes to addresses that were not mapped: they changed nothing, and the card was not told.
  std::uint64_t faults() const { return faults_; }

 private:
  struct Region {
    std::byte* memory = nullptr;
    std::uint64_t bytes = 0;
  };
  std::map<std::uint64_t, Region> regions_;  ///< by address; they do not overlap
  std::uint64_t faults_ = 0;
};

}  // namespace slotwire::sim
