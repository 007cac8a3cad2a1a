// The gate as a process of slotwired's: started with one end of a pair of sockets, and ended.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "core/slot/memory.hpp"

namespace slotwire::engine {

/// One life of a gate, as the network over it sees it.
class GateLife {
 public:
  virtual ~GateLife() = default;
  virtual pid_t pid() const = 0;
  /// This side's end of the pair, once.
  virtual slot::Fd take_socket() = 0;
  /// Waits for its end, which closing the socket brings about; kills it when that takes longer. Returns how it ended,
  /// for people.
  virtual std::string end(std::chrono::milliseconds patience) = 0;
};

/// Starts a gate. `title`: what `ps` shows. Throws std::exception with what to do.
using StartGate = std::function<std::unique_ptr<GateLife>(const std::string& title)>;

/// A process of slotwire-gate. Ends with the object.
class GateProcess final : public GateLife {
 public:
  /// As StartGate.
  GateProcess(const std::filesystem::path& program, const std::string& title);
  ~GateProcess() override;
  GateProcess(const GateProcess&) = delete;
  GateProcess& operator=(const GateProcess&) = delete;

  pid_t pid() const override { return pid_; }
  slot::Fd take_socket() override { return std::move(socket_); }
  std::string end(std::chrono::milliseconds patience) override;

 private:
  pid_t pid_ = -1;
  slot::Fd socket_, pidfd_;
};

/// Starts processes of slotwire-gate, which is beside this program or where it is installed. Throws std::runtime_error
/// when it is in neither place.
StartGate gate_processes();

}  // namespace slotwire::engine
