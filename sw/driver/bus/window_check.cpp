#include "driver/bus/window_check.hpp"

#include <stdexcept>
#include <string>

namespace slotwire::driver {
namespace {

/// Most lines that have a card address.
constexpr std::size_t kMostLines = ((std::size_t{1} << regs::kCardAddressBits) - regs::kCardMemory) / regs::kLineBytes;
/// Rows of the slot table that a window has room for.
constexpr std::uint32_t kWindowSlots = (regs::kWindowMemory - regs::kWindowSlotRows) / regs::kLineBytes;

}  // namespace

WindowCard check_window(WindowDevice& window) {
  const auto card = [&window](std::size_t offset) {
    return window.read(static_cast<std::uint32_t>(regs::kWindowCapabilities + offset));
  };
  if (window.read(regs::kShellMagic) != regs::kShellMagicValue) {
    throw std::runtime_error(
        "the window is not of this release; load the card with what is built from this release's hw/shells");
  }
  if (card(regs::kCapMagic) != regs::kCapMagicValue) {
    throw std::runtime_error(
        "there is no Slotwire card behind the window; load the card with what is built from this release's hw/shells");
  }
  if (const std::uint32_t version = card(regs::kCapVersion); version != regs::kCapVersionValue) {
    throw std::runtime_error("the card has version " + std::to_string(version) + " of the registers, this program " +
                             std::to_string(regs::kCapVersionValue) + "; install releases that match");
  }
  const WindowCard found{card(regs::kCapMemoryLines), card(regs::kCapSlots)};
  if (found.memory_lines == 0 || found.memory_lines > kMostLines || found.slots == 0 || found.slots > kWindowSlots) {
    throw std::runtime_error("the card's capability page makes no sense; reset the card");
  }
  return found;
}

}  // namespace slotwire::driver
