// Looks for cards among the PCI functions that the kernel knows.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace slotwire::driver {

struct PciLocation {
  std::string address;  ///< "0000:3b:00.0"
  std::string driver;   ///< bound to it; empty: none
  std::string group;    ///< number of its IOMMU group; empty: none (no IOMMU, or it is off)
};

/// Where sysfs is.
inline constexpr const char* kSysfs = "/sys";

/// Most PCI functions that are looked at.
inline constexpr std::size_t kMostFunctions = 4096;

/// All functions with a card's vendor and device id, by address. Nothing when there is no sysfs or no PCI.
std::vector<PciLocation> find_cards(const std::filesystem::path& sysfs = kSysfs);

struct FoundCard {
  PciLocation location;
  std::string error;  ///< not empty: there is none; why, and what to do
};

/// The card at `address` ("0000:3b:00.0" or "3b:00.0"), or the only one there is when it is empty.
FoundCard find_card(const std::string& address, const std::filesystem::path& sysfs = kSysfs);

}  // namespace slotwire::driver
