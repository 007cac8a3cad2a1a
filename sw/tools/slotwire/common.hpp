// What the subcommands of slotwire share: options, exit codes, errors, handles of the process library.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "slotwire.h"

namespace CLI {
class App;
class Option;
class Validator;
}  // namespace CLI

namespace slotwire::cli {

/// Exit statuses of slotwire; slotwire.1 lists them.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,
  kExitUsage = 2,
  kExitNoService = 3,
  kExitLinkDown = 4,
  kExitRefused = 5,
  kExitEngineGone = 69,
};

/// Ends a subcommand: `what()` goes to standard error, `code` becomes the exit status.
class CommandError : public std::runtime_error {
 public:
  CommandError(int code, const std::string& text) : std::runtime_error(text), code_(code) {}
  int code() const { return code_; }

 private:
  int code_;
};

/// Options that every subcommand has.
struct Common {
  std::string socket;  ///< control socket; empty: $SLOTWIRE_SOCKET, else /run/slotwire/slotwire.sock
  bool json = false;   ///< one JSON object, or one a line, instead of text
};

/// What main() runs after the arguments were understood; returns the exit status.
using Command = std::function<int()>;

// One function for each subcommand: declares its options on `app`; the chosen one puts itself into `command`.
void add_status(CLI::App& app, Command& command);
void add_slots(CLI::App& app, Command& command);
void add_top(CLI::App& app, Command& command);
void add_ping(CLI::App& app, Command& command);
void add_call(CLI::App& app, Command& command);
void add_serve(CLI::App& app, Command& command);
void add_bench(CLI::App& app, Command& command);
void add_capture(CLI::App& app, Command& command);
void add_stream(CLI::App& app, Command& command);
void add_tunnel(CLI::App& app, Command& command);
void add_blocks(CLI::App& app, Command& command);
void add_cache(CLI::App& app, Command& command);
void add_cut(CLI::App& app, Command& command);
void add_drain(CLI::App& app, Command& command);

// Standard output. What a subcommand prints is checked here alone: main() ends with finish_output(), and what runs for
// long sends each line on its way with one of the other two.

/// Throws CommandError when what was printed cannot be written: nobody would see what the subcommand is run for.
void flush_output();
/// The same for the log of a program that serves others: it says so once, goes on, and fails at its end.
void flush_log();
/// The exit status in the place of `code`: kExitFailed, and a line on standard error, when some of the output could not
/// be written.
int finish_output(int code);

/// Adds --socket and --json (`json_text` says what it prints).
void add_common(CLI::App& sub, Common& common, const std::string& json_text);
/// A duration option: "250ms", "2s", "50us", "1min"; a bare number is seconds. `least` to `most`.
CLI::Option* add_duration(CLI::App& sub, const std::string& name, std::chrono::microseconds& value,
                          std::chrono::microseconds least, std::chrono::microseconds most, const std::string& text);
/// A size option: "64KiB", "2MiB"; a bare number is bytes.
CLI::Option* add_size(CLI::App& sub, const std::string& name, std::uint64_t& value, std::uint64_t least,
                      std::uint64_t most, const std::string& text);

/// A validator for arguments that name a service.
const CLI::Validator& service_name();

/// The control socket that `common` means.
std::string socket_path(const Common& common);
/// The exit status for a status of the process library.
int exit_code_of(int status);
/// Throws CommandError for a status of the process library: `doing`, the library's sentence, and what to do next.
[[noreturn]] void fail(int status, const std::string& doing);
/// fail() unless `status` is SW_OK.
void check(int status, const std::string& doing);

struct ContextCloser {
  void operator()(sw_context* context) const { sw_close(context); }
};
struct ConnectionCloser {
  void operator()(sw_connection* connection) const { sw_connection_close(connection); }
};
struct PollerCloser {
  void operator()(sw_poller* poller) const { sw_poller_destroy(poller); }
};
using ContextPtr = std::unique_ptr<sw_context, ContextCloser>;
using ConnectionPtr = std::unique_ptr<sw_connection, ConnectionCloser>;
using PollerPtr = std::unique_ptr<sw_poller, PollerCloser>;

/// Opens a session named `name`. Throws CommandError.
ContextPtr open_context(const Common& common, const std::string& name);
/// Serves `name`; the service lives as long as the context. Throws CommandError.
sw_service* serve(sw_context& context, const std::string& name);
/// Connects to `service`. Throws CommandError.
ConnectionPtr connect(sw_context& context, const std::string& service, std::chrono::microseconds timeout);
PollerPtr create_poller(sw_context& context);
/// Milliseconds of the C ABI, rounded up.
sw_timeout_ms to_ms(std::chrono::microseconds time);

/// Catches SIGINT and SIGTERM for as long as it lives. One at a time.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  bool stopped() const;
  /// Readable once stopped.
  int fd() const;
  /// A call under way on `connection` ends with SW_CANCELLED when the signal comes; null: none.
  void interrupts(sw_connection* connection);
  /// Waits at most `time`; true: stopped.
  bool wait(std::chrono::microseconds time) const;
};

/// Raises the limit of open descriptors to the hard limit: each connection takes several.
void raise_descriptor_limit();

}  // namespace slotwire::cli
