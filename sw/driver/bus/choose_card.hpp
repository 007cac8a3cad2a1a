// Which card a node has: the ways to one, tried in order, and why each was or was not taken.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "driver/bus/host_bus.hpp"
#include "driver/bus/pcie/find.hpp"

namespace slotwire::driver {

/// In the order of the configuration's choices.
enum class CardKind : std::uint8_t { automatic, xrt, pcie, vfio_user, socket, software };
std::string_view card_kind_name(CardKind kind);

/// What the configuration says of the card, and where the system is looked at.
struct CardWish {
  CardKind kind = CardKind::software;
  std::string xrt;            ///< kind xrt: socket of slotwire-xrt-host
  std::string socket;         ///< kind socket: of whoever serves a card, as a simulated one
  std::string vfio_user;      ///< kind vfio_user: path of the simulated card's socket
  std::string pci;            ///< PCI address; empty: the only card there is
  bool sysfs_access = false;  ///< map BARs from sysfs, without VFIO
  bool without_iommu = false;
  std::filesystem::path sysfs = kSysfs;
  std::filesystem::path dev_vfio = "/dev/vfio";
};

/// What came of one way: a bus that a card answers on, or why there is none.
struct WayResult {
  std::unique_ptr<HostBus> bus;
  std::string name;    ///< of what was reached
  std::string reason;  ///< without a bus: what is missing and what to do
};

struct ChosenCard {
  CardKind kind = CardKind::software;
  std::unique_ptr<HostBus> bus;  ///< none: the card is software
  std::string name;              ///< "PCIe 0000:3b:00.0 (VFIO)"; "software"
  std::string why;               ///< one line: wanted, or what was tried before
};

/// automatic: XRT, then PCIe, then software. Any other kind: that one, or std::runtime_error with what to do.
ChosenCard choose_card(const CardWish& wish);

}  // namespace slotwire::driver
