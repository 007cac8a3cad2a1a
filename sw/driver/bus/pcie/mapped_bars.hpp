// BARs that are mapped into this process.
#pragma once
#include <array>
#include <cstddef>
#include <span>

#include "core/slot/memory.hpp"
#include "driver/bus/pcie/pci_function.hpp"
#include "driver/bus/pcie/stores.hpp"

namespace slotwire::driver {

class MappedBars {
 public:
  explicit MappedBars(Stores& stores = best_stores()) : stores_(&stores) {}

  /// `combined`: the mapping is write-combined, and fences matter.
  void set(unsigned bar, slot::Mapping mapping, bool combined);
  void clear();
  std::size_t bytes(unsigned bar) const { return bar < bars_.size() ? bars_[bar].mapping.size() : 0; }

  /// What PciFunction says of its own; accesses that are not inside the BAR do nothing.
  void write(unsigned bar, std::size_t offset, std::span<const std::byte> data);
  bool read(unsigned bar, std::size_t offset, std::span<std::byte> data) const;
  void fence();
  const Stores& stores() const { return *stores_; }

 private:
  struct Bar {
    slot::Mapping mapping;
    bool combined = false;
  };
  bool inside(unsigned bar, std::size_t offset, std::size_t bytes) const {
    return bar < bars_.size() && offset <= bars_[bar].mapping.size() && bytes <= bars_[bar].mapping.size() - offset &&
           offset % 4 == 0 && bytes % 4 == 0;
  }

  Stores* stores_;
  std::array<Bar, PciFunction::kBars> bars_;
  bool unfenced_ = false;  ///< combined stores were made since the last fence
};

}  // namespace slotwire::driver
