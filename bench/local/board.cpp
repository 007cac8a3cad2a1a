#include "board.hpp"

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

namespace slotwire::bench {
namespace {

slot::Mapping map(int fd) {
  return slot::map_file(fd, sizeof(Board), slot::Access::read_write);
}

slot::Fd create() {
  slot::Fd fd(::memfd_create("bench-local", 0));
  if (!fd || ::ftruncate(fd.get(), sizeof(Board)) != 0)
    throw std::system_error(errno, std::generic_category(), "cannot create the memory of a measurement");
  return fd;
}

}  // namespace

BoardMemory::BoardMemory() : fd_(create()), mapping_(map(fd_.get())) {}
BoardMemory::BoardMemory(int fd) : mapping_(map(fd)) {}

void wait_while(std::atomic<std::uint32_t>& word, std::uint32_t value) {
  while (word.load(std::memory_order_acquire) == value)
    ::syscall(SYS_futex, &word, FUTEX_WAIT, value, nullptr, nullptr, 0);
}

void wake_all(std::atomic<std::uint32_t>& word) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void count_up(std::atomic<std::uint32_t>& word) {
  word.fetch_add(1, std::memory_order_acq_rel);
  wake_all(word);
}

void wait_until_at_least(std::atomic<std::uint32_t>& word, std::uint32_t value) {
  for (std::uint32_t now = word.load(); now < value; now = word.load()) wait_while(word, now);
}

std::uint64_t cpu_ns(const Board& board) {
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < board.processes; ++i) {
    clockid_t clock{};
    if (::clock_getcpuclockid(board.pids[i], &clock) == 0) sum += clock_ns(clock);
  }
  return sum;
}

std::uint64_t voluntary_switches(const Board& board) {
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < board.processes; ++i) {
    std::error_code ignored;
    for (const auto& thread :
         std::filesystem::directory_iterator("/proc/" + std::to_string(board.pids[i]) + "/task", ignored)) {
      std::ifstream status(thread.path() / "status");
      const std::string key = "voluntary_ctxt_switches:";
      for (std::string line; std::getline(status, line);) {
        if (line.starts_with(key)) sum += std::stoull(line.substr(key.size()));
      }
    }
  }
  return sum;
}

Figures summarise(std::span<std::uint64_t> ticks, const Clock& clock) {
  if (ticks.empty()) return {};
  std::sort(ticks.begin(), ticks.end());
  return {.p50 = clock.ns(ticks[ticks.size() / 2]),
          .p99 = clock.ns(ticks[ticks.size() * 99 / 100]),
          .rate = 0,
          .cpu_ns = 0,
          .sleeps = 0};
}

}  // namespace slotwire::bench
