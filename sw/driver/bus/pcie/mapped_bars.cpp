#include "driver/bus/pcie/mapped_bars.hpp"

#include <cstring>
#include <utility>

#include "core/regs/regs.hpp"

namespace slotwire::driver {

void MappedBars::set(unsigned bar, slot::Mapping mapping, bool combined) {
  if (bar < bars_.size()) bars_[bar] = {std::move(mapping), combined};
}

void MappedBars::clear() {
  for (Bar& bar : bars_) bar = {};
  unfenced_ = false;
}

void MappedBars::write(unsigned bar, std::size_t offset, std::span<const std::byte> data) {
  if (!inside(bar, offset, data.size())) return;
  std::byte* to = bars_[bar].mapping.data() + offset;
  bool lines = false;
  while (!data.empty()) {
    std::size_t n = 4;
    if (offset % regs::kLineBytes == 0 && data.size() >= regs::kLineBytes) {
      n = regs::kLineBytes;
      stores_->line(to, data.data());
      lines = true;
    } else if (offset % 8 == 0 && data.size() >= 8) {
      n = 8;
      std::uint64_t value = 0;
      std::memcpy(&value, data.data(), sizeof value);
      stores_->word8(to, value);
    } else {
      std::uint32_t value = 0;
      std::memcpy(&value, data.data(), sizeof value);
      stores_->word4(to, value);
    }
    to += n;
    offset += n;
    data = data.subspan(n);
  }
  if (bars_[bar].combined) {
    unfenced_ = true;
  } else if (lines) {
    stores_->fence();  // a direct store is weakly ordered in uncached memory, too
  }
}

bool MappedBars::read(unsigned bar, std::size_t offset, std::span<std::byte> data) const {
  if (!inside(bar, offset, data.size())) return false;
  const std::byte* from = bars_[bar].mapping.data() + offset;
  while (!data.empty()) {
    const std::size_t n = offset % 8 == 0 && data.size() >= 8 ? 8 : 4;
    if (n == 8) {
      const std::uint64_t value = *reinterpret_cast<const volatile std::uint64_t*>(from);
      std::memcpy(data.data(), &value, n);
    } else {
      const std::uint32_t value = *reinterpret_cast<const volatile std::uint32_t*>(from);
      std::memcpy(data.data(), &value, n);
    }
    from += n;
    offset += n;
    data = data.subspan(n);
  }
  return true;
}

void MappedBars::fence() {
  if (std::exchange(unfenced_, false)) stores_->fence();
}

}  // namespace slotwire::driver
