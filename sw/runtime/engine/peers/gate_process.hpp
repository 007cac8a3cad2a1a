// The gate as a process of slotwired's: started with one end of a pair of sockets, and ended.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <string>

#include "core/slot/memory.hpp"

namespace slotwire::engine {

/// One life of slotwire-gate. Ends with it.
class GateProcess {
 public:
  /// `title`: what `ps` shows. Throws std::exception with what to do.
  GateProcess(const std::filesystem::path& program, const std::string& title);
  ~GateProcess();
  GateProcess(const GateProcess&) = delete;
  GateProcess& operator=(const GateProcess&) = delete;

  pid_t pid() const { return pid_; }
  /// This side's end of the pair, once.
  slot::Fd take_socket() { return std::move(socket_); }
  /// Waits for its end, which closing the socket brings about; kills it when that takes longer. How it ended, for
  /// people.
  std::string end(std::chrono::milliseconds patience);

 private:
  pid_t pid_ = -1;
  slot::Fd socket_, pidfd_;
};

/// Where slotwire-gate is: beside this program, or where it is installed. Throws std::runtime_error.
std::filesystem::path find_gate();

}  // namespace slotwire::engine
