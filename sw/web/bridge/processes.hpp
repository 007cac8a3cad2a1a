// Starts the processes of an application, watches them, starts them anew, and ends them.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "web/bridge/bridge.hpp"

namespace slotwire::web::bridge {

struct ProcessOptions {
  /// The program and its arguments. "{n}" is replaced by the number of the process, "{port}" by its port, "{socket}" by
  /// the path of its socket, "{address}" by both.
  std::vector<std::string> command;
  Clock::duration start_time = std::chrono::seconds(30);  ///< until its socket accepts
  Clock::duration end_time = std::chrono::seconds(10);    ///< from SIGTERM to SIGKILL
  /// For a process to finish its requests before it is started anew by restart_in_turn(); later they are broken off.
  Clock::duration rest_time = std::chrono::seconds(30);
  Clock::duration first_pause = std::chrono::milliseconds(100);  ///< before it is started anew; doubles
  Clock::duration most_pause = std::chrono::seconds(10);
};

/// "prog 'an argument' another": words without a shell; quotes and backslashes as a shell has them. Throws
/// std::runtime_error.
std::vector<std::string> split_command(const std::string& text);
/// Throws std::runtime_error when a word has a "{name}" that nothing replaces.
void check_command(const std::vector<std::string>& words);

class ProcessManager;

/// One process: one after the other, under one number. It leads a process group of its own.
class ManagedProcess final : public Source {
 public:
  ManagedProcess(ProcessManager& manager, std::size_t number);
  ~ManagedProcess() override;
  /// Tries its address, and starts it when nobody accepts connections there; otherwise later.
  void start();
  /// SIGTERM, later SIGKILL. `ended` is called when it has ended, and it is not started anew by itself.
  void end(std::function<void()> ended);
  /// Its socket should accept and does not.
  void suspect();
  bool runs() const { return pid_ > 0; }
  void on_events(std::uint32_t events) override;

 private:
  struct Output final : public Source {
    explicit Output(ManagedProcess& process) : process(process) {}
    void on_events(std::uint32_t) override { process.read_output(); }
    ManagedProcess& process;
    slot::Fd fd;
    std::string line;
  };
  struct Probe final : public Source {
    explicit Probe(ManagedProcess& process) : process(process) {}
    void on_events(std::uint32_t) override { process.probed(); }
    ManagedProcess& process;
    slot::Fd fd;
  };
  void try_address();
  void tried();
  void is_taken();
  void run();
  void probe();
  void probed();
  bool has_ended() const;
  bool is_answered_by_it();
  void stop_probe();
  void read_output();
  void close_output();
  void exited();
  void start_again();
  std::string title() const;

  ProcessManager& manager_;
  std::size_t number_;
  pid_t pid_ = 0;
  slot::Fd pidfd_;
  Output output_;
  Probe probe_;
  Timer timer_, probe_timer_;
  Clock::duration pause_{}, probe_pause_{};
  Clock::time_point started_{}, tried_since_{};
  bool accepting_ = false;
  bool said_stranger_ = false;  ///< that somebody else accepts at its address
  std::function<void()> ended_;
};

/// One thread. Its processes are ended when this process ends, however that comes about.
class ProcessManager {
 public:
  ProcessManager(Bridge& bridge, ProcessOptions options);
  void start();
  /// Each in turn: no new requests, those under way are finished, the process is ended and a new one started. No
  /// request fails. Ignored while one is under way.
  void restart_in_turn();
  /// Ends all; `ended` is called when they have.
  void end(std::function<void()> ended);

  Bridge& bridge() { return bridge_; }
  const ProcessOptions& options() const { return options_; }
  std::vector<std::string> command(std::size_t number) const;
  /// A process accepts.
  void is_ready(std::size_t number);

 private:
  void restart(std::size_t number);
  void rested(std::size_t number);

  Bridge& bridge_;
  ProcessOptions options_;
  std::vector<std::unique_ptr<ManagedProcess>> processes_;
  bool restarting_ = false, ending_ = false;
  std::size_t restarted_ = 0;
  bool rested_ = false;  ///< the process that is to be started anew is being ended
  Timer rest_timer_;
  std::size_t left_ = 0;
  std::function<void()> ended_;
};

}  // namespace slotwire::web::bridge
