#include "driver/bus/pcie/find.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <regex>

#include "core/regs/regs.hpp"

namespace slotwire::driver {
namespace {

namespace fs = std::filesystem;

/// The number that a file of sysfs holds ("0x534c"); -1 if there is none.
long number_in(const fs::path& file) {
  std::ifstream in(file);
  long value = -1;
  return in >> std::hex >> value ? value : -1;
}

/// The last part of what a link of sysfs leads to; empty if there is no link.
std::string link_name(const fs::path& link) {
  std::error_code error;
  const fs::path target = fs::read_symlink(link, error);
  return error ? "" : target.filename().string();
}

PciLocation locate(const fs::path& function) {
  return {function.filename().string(), link_name(function / "driver"), link_name(function / "iommu_group")};
}

bool is_card(const fs::path& function) {
  return number_in(function / "vendor") == regs::kPciVendor && number_in(function / "device") == regs::kPciDevice;
}

std::string ids() {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%04x:%04x", unsigned{regs::kPciVendor}, unsigned{regs::kPciDevice});
  return text.data();
}

}  // namespace

std::vector<PciLocation> find_cards(const fs::path& sysfs) {
  std::vector<PciLocation> found;
  std::error_code error;
  std::size_t looked = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(sysfs / "bus/pci/devices", error)) {
    if (++looked > kMostFunctions) break;
    if (is_card(entry.path())) found.push_back(locate(entry.path()));
  }
  std::ranges::sort(found, {}, &PciLocation::address);
  return found;
}

FoundCard find_card(const std::string& address, const fs::path& sysfs) {
  if (!address.empty()) {
    static const std::regex kForm("([0-9a-fA-F]{4}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\\.[0-7]");
    if (!std::regex_match(address, kForm)) {
      return {{}, "'" + address + "' is no PCI address; give one as lspci -D shows it, 0000:3b:00.0"};
    }
    std::string full = address.size() < 12 ? "0000:" + address : address;
    std::ranges::transform(full, full.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const fs::path function = sysfs / "bus/pci/devices" / full;
    if (!fs::exists(function)) {
      return {{}, "there is no PCI function " + full + "; compare with lspci -D -d " + ids()};
    }
    if (!is_card(function)) {
      return {{},
              "PCI function " + full + " is no Slotwire card (its ids are not " + ids() +
                  "); compare with lspci -D -d " + ids()};
    }
    return {locate(function), ""};
  }
  const std::vector<PciLocation> found = find_cards(sysfs);
  if (found.empty()) {
    return {{},
            "no PCI function has the ids of a card (" + ids() +
                "); if the card is in its place, load its bitstream and rescan the bus (echo 1 > /sys/bus/pci/rescan)"};
  }
  if (found.size() > 1) {
    std::string list;
    for (const PciLocation& card : found) list += " " + card.address;
    return {{}, "there are several cards:" + list + "; say which (card.pci)"};
  }
  return {found.front(), ""};
}

}  // namespace slotwire::driver
