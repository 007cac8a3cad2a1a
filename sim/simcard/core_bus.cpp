#include "sim/simcard/core_bus.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

namespace slotwire::sim {

void CoreBus::write(std::size_t address, std::span<const std::byte> data) {
  while (!data.empty()) {
    const std::size_t offset = address % regs::kLineBytes, n = std::min(data.size(), regs::kLineBytes - offset);
    Line line{};
    std::memcpy(line.data() + offset, data.data(), n);
    const std::uint64_t strobes = (~std::uint64_t{0} >> (regs::kLineBytes - n)) << offset;
    if (!driver_.write_line(static_cast<std::uint32_t>(address - offset), line, strobes)) return;
    address += n;
    data = data.subspan(n);
  }
}

bool CoreBus::read(std::size_t address, std::span<std::byte> data) {
  if (data.empty()) return true;
  const std::size_t offset = address % regs::kLineBytes;
  const std::size_t lines = (offset + data.size() + regs::kLineBytes - 1) / regs::kLineBytes;
  std::vector<std::uint32_t> addresses(lines);
  for (std::size_t i = 0; i < lines; ++i) {
    addresses[i] = static_cast<std::uint32_t>(address - offset + i * regs::kLineBytes);
  }
  std::vector<Line> found(lines);
  if (!driver_.read_lines(addresses, found)) return false;
  std::memcpy(data.data(), reinterpret_cast<const std::byte*>(found.data()) + offset, data.size());
  return true;
}

}  // namespace slotwire::sim
