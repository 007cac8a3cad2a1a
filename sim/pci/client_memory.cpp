#include "sim/pci/client_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <iterator>

namespace slotwire::sim {

std::string ClientMemory::map(int file, std::uint64_t offset, std::uint64_t address, std::uint64_t bytes) {
  if (bytes == 0 || (offset | address | bytes) % regs::kPageBytes != 0 || address + bytes < address ||
      offset + bytes < offset) {
    return "a region is of whole pages";
  }
  if (regions_.size() >= kMostRegions) return "too many regions";
  const auto next = regions_.lower_bound(address);
  if ((next != regions_.end() && next->first - address < bytes) ||
      (next != regions_.begin() && address - std::prev(next)->first < std::prev(next)->second.bytes)) {
    return "something is mapped there";
  }
  // What is behind a file's end must not end the card, and the end must stay where it is.
  const int seals = ::fcntl(file, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) return "the file can be cut: give a memfd with F_SEAL_SHRINK";
  struct stat status {};
  if (::fstat(file, &status) != 0) return std::strerror(errno);
  if (static_cast<std::uint64_t>(status.st_size) < offset + bytes) return "the file is shorter than the region";
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, static_cast<off_t>(offset));
  if (memory == MAP_FAILED) return std::strerror(errno);
  regions_.emplace(address, Region{static_cast<std::byte*>(memory), bytes});
  return {};
}

bool ClientMemory::unmap(std::uint64_t address, std::uint64_t bytes) {
  const auto found = regions_.find(address);
  if (found == regions_.end() || found->second.bytes != bytes) return false;
  ::munmap(found->second.memory, found->second.bytes);
  regions_.erase(found);
  return true;
}

void ClientMemory::unmap_all() {
  while (!regions_.empty()) unmap(regions_.begin()->first, regions_.begin()->second.bytes);
}

bool ClientMemory::write(std::uint64_t address, const Line& data, std::uint64_t strobes) {
  if (!allowed()) return false;
  const std::uint64_t line = address / regs::kLineBytes * regs::kLineBytes;
  auto next = regions_.upper_bound(line);
  if (next == regions_.begin() || line - std::prev(next)->first >= std::prev(next)->second.bytes) {
    ++faults_;
    return true;
  }
  std::byte* const to = std::prev(next)->second.memory + (line - std::prev(next)->first);
  constexpr std::uint64_t kWord = 0xf;
  const int first = std::countr_zero(strobes);
  if (strobes != 0 && strobes == kWord << first && first % 4 == 0) {
    // A mark: whoever sees it sees the lines before it.
    std::uint32_t value = 0;
    std::memcpy(&value, data.data() + first, sizeof value);
    std::atomic_ref<std::uint32_t>(*reinterpret_cast<std::uint32_t*>(to + first))
        .store(value, std::memory_order_release);
    return true;
  }
  for (std::size_t i = 0; i < data.size(); ++i) {
    if ((strobes >> i & 1) != 0) to[i] = data[i];
  }
  return true;
}

}  // namespace slotwire::sim
