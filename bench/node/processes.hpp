// Processes of a measurement and what they share.
#pragma once
#include <sys/mman.h>
#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/slot/memory.hpp"

namespace slotwire::bench {

/// Microseconds of a clock.
double clock_us(clockid_t clock);
/// Processor time of other processes, together.
double cpu_us_of(const std::vector<pid_t>& pids);
/// Times that processes have slept, that is that they had to be woken.
double sleeps_of(const std::vector<pid_t>& pids);
double median(std::vector<double> values);

/// An array in memory that forked processes share.
template <typename T>
class SharedArray {
 public:
  explicit SharedArray(std::size_t count) : bytes_(count * sizeof(T)) {
    void* const memory = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error("no memory that the processes of a benchmark share");
    items_ = static_cast<T*>(memory);
    for (std::size_t i = 0; i < count; ++i) new (items_ + i) T{};
  }
  ~SharedArray() { ::munmap(items_, bytes_); }
  SharedArray(const SharedArray&) = delete;
  SharedArray& operator=(const SharedArray&) = delete;
  T& operator[](std::size_t i) { return items_[i]; }
  const T& operator[](std::size_t i) const { return items_[i]; }
  T* data() { return items_; }

 private:
  std::size_t bytes_;
  T* items_ = nullptr;
};

/// Says once where a process can be reached, and then once that it has done its part.
using Ready = std::function<void(const std::string& text)>;

/// A forked process, which is killed at the end.
class Part {
 public:
  /// The function may return: the process then waits to be killed, so that nothing of it is lost. If it throws, the
  /// process says why on standard error and ends.
  Part(const std::string& what, const std::function<void(const Ready&)>& run);
  ~Part();
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;
  Part(Part&& other) noexcept;
  Part& operator=(Part&&) = delete;

  pid_t pid() const { return pid_; }
  /// The next text that it said. Throws if it ended without, or says nothing for a long time.
  std::string wait();

 private:
  std::string what_;
  pid_t pid_ = -1;
  slot::Fd said_;
};

/// A process for each processor that computes and does nothing else.
std::vector<Part> start_hogs();

/// Where a program is: in $PATH, or in /usr/sbin or the newest PostgreSQL. Empty: nowhere.
std::string find_program(const std::string& name);
/// Waits until a process listens at the port, without connecting to it. Throws.
void wait_for_listener(std::uint16_t port, const std::string& what);

}  // namespace slotwire::bench
