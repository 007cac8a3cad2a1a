#include "driver/bus/choose_card.hpp"

#include <array>
#include <stdexcept>

#include "driver/bus/pcie/pcie_bus.hpp"
#include "driver/bus/pcie/sysfs_function.hpp"
#include "driver/bus/pcie/vfio_function.hpp"
#include "driver/bus/pcie/vfio_user_function.hpp"
#include "driver/bus/socket_bus.hpp"

namespace slotwire::driver {
namespace {

/// Reaches the card at the other end.
WayResult reach(std::unique_ptr<HostBus> bus, std::string name) {
  if (!bus->reconnect()) return {nullptr, "", bus->broken()};
  return {std::move(bus), std::move(name), ""};
}

WayResult reach(std::unique_ptr<PciFunction> function) {
  auto bus = std::make_unique<PcieBus>(std::move(function));
  const PciFunction& reached = bus->function();
  if (!bus->reconnect()) return {nullptr, "", bus->broken()};
  std::string name = reached.name();  // with the address that was found
  return {std::move(bus), std::move(name), ""};
}

/// XRT's library and what it does to a process that uses it stay in slotwire-xrt-host (docs/decisions.md).
WayResult try_xrt(const CardWish& wish) {
  return reach(std::make_unique<SocketBus>(wish.xrt, SocketBus::kAnswerTimeoutMs,
                                           "slotwire-xrt-host (systemctl start slotwire-xrt@0)"),
               "XRT card at " + wish.xrt);
}

WayResult try_pcie(const CardWish& wish) {
  if (wish.sysfs_access) return reach(std::make_unique<SysfsFunction>(wish.pci, wish.sysfs));
  return reach(std::make_unique<VfioFunction>(wish.pci, VfioOptions{wish.without_iommu, wish.sysfs, wish.dev_vfio}));
}

WayResult try_vfio_user(const CardWish& wish) {
  return reach(std::make_unique<VfioUserFunction>(wish.vfio_user));
}

WayResult try_socket(const CardWish& wish) {
  return reach(std::make_unique<SocketBus>(wish.socket), "card at " + wish.socket);
}

WayResult take_software(const CardWish&) {
  return {nullptr, "software", ""};
}

struct Way {
  CardKind kind;
  bool automatic;  ///< tried without being asked for
  WayResult (*attempt)(const CardWish&);
};

constexpr std::array<Way, 5> kWays{{
    {CardKind::xrt, true, try_xrt},
    {CardKind::pcie, true, try_pcie},
    {CardKind::vfio_user, false, try_vfio_user},
    {CardKind::socket, false, try_socket},
    {CardKind::software, true, take_software},
}};

}  // namespace

std::string_view card_kind_name(CardKind kind) {
  static constexpr std::array<std::string_view, 6> kNames{"auto", "xrt", "pcie", "vfio-user", "socket", "software"};
  return kNames[static_cast<std::size_t>(kind)];
}

ChosenCard choose_card(const CardWish& wish) {
  std::string tried;
  for (const Way& way : kWays) {
    const bool wanted = way.kind == wish.kind;
    if (!wanted && (wish.kind != CardKind::automatic || !way.automatic)) continue;
    WayResult result = way.attempt(wish);
    if (result.reason.empty()) {
      std::string why = wanted ? "as configured" : tried.empty() ? "the first that is there" : "not " + tried;
      return {way.kind, std::move(result.bus), std::move(result.name), std::move(why)};
    }
    if (wanted) throw std::runtime_error(result.reason);
    tried += (tried.empty() ? "" : "; not ") + std::string(card_kind_name(way.kind)) + ": " + result.reason;
  }
  throw std::logic_error("there is always a way to software");
}

}  // namespace slotwire::driver
