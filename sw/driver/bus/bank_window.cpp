#include "driver/bus/bank_window.hpp"

#include <algorithm>
#include <cstring>

namespace slotwire::driver {
namespace {

constexpr std::size_t kWord = 4;
constexpr std::size_t kBankBytes = (std::size_t{1} << regs::kWindowBits) - regs::kWindowMemory;

}  // namespace

std::uint32_t BankWindow::show(std::size_t offset) {
  if (const std::size_t bank = offset / kBankBytes; bank != bank_) {
    write(regs::kShellBank, static_cast<std::uint32_t>(bank));
    bank_ = bank;
  }
  return static_cast<std::uint32_t>(regs::kWindowMemory + offset % kBankBytes);
}

void BankWindow::write_memory(std::size_t offset, std::span<const std::byte> data) {
  while (!data.empty()) {
    const std::size_t in_word = offset % kWord, n = std::min(kWord - in_word, data.size());
    const std::uint32_t at = show(offset - in_word);
    std::uint32_t value = n == kWord ? 0 : read(at);
    std::memcpy(reinterpret_cast<std::byte*>(&value) + in_word, data.data(), n);
    write(at, value);
    offset += n;
    data = data.subspan(n);
  }
}

void BankWindow::read_memory(std::size_t offset, std::span<std::byte> data) {
  while (!data.empty()) {
    const std::size_t in_word = offset % kWord, n = std::min(kWord - in_word, data.size());
    const std::uint32_t value = read(show(offset - in_word));
    std::memcpy(data.data(), reinterpret_cast<const std::byte*>(&value) + in_word, n);
    offset += n;
    data = data.subspan(n);
  }
}

}  // namespace slotwire::driver
