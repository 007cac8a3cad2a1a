#include "sim/pci/transaction_log.hpp"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <stdexcept>

namespace slotwire::sim {

std::uint64_t pci_value(std::span<const std::byte> bytes) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof value));
  return value;
}

void TransactionLog::write_to(const std::string& file) {
  file_.open(file, std::ios::binary | std::ios::trunc);
  if (!file_)
    throw std::runtime_error("the log " + file + " cannot be written; choose a directory that can be written to");
}

void TransactionLog::add(const PciTransaction& transaction) {
  static constexpr std::array<const char*, 7> kNames{"config_read", "config_write", "read",     "write",
                                                     "refused",     "reset",        "interrupt"};
  ++counts_[static_cast<std::size_t>(transaction.op)];
  if (kept_.size() == kKept) kept_.pop_front();
  kept_.push_back(transaction);
  if (!file_.is_open()) return;
  std::array<char, 96> line{};
  const char bar = transaction.bar == PciTransaction::kNoBar ? '-' : static_cast<char>('0' + transaction.bar);
  const int n = std::snprintf(line.data(), line.size(), "%s %c %" PRIx64 " %zx %" PRIx64 "\n",
                              kNames[static_cast<std::size_t>(transaction.op)], bar, transaction.offset,
                              transaction.width, transaction.value);
  file_.write(line.data(), n);
}

}  // namespace slotwire::sim
