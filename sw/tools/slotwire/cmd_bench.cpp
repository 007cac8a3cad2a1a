// slotwire bench: processes that call a service as fast as it answers, with every answer checked.
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <new>
#include <nlohmann/json.hpp>
#include <span>
#include <system_error>
#include <vector>

#include "core/slot/memory.hpp"
#include "tools/slotwire/common.hpp"
#include "tools/slotwire/count_option.hpp"
#include "tools/slotwire/histogram.hpp"
#include "tools/slotwire/text.hpp"

namespace slotwire::cli {
namespace {

using Json = nlohmann::json;
using std::chrono::microseconds;

constexpr std::size_t kMaxProcesses = 256;

struct BenchOptions {
  Common common;
  std::string service;
  std::size_t processes = 1;
  std::uint64_t size = 64;
  microseconds duration{10'000'000};
  std::uint64_t count = 0;
  microseconds interval{0};
  microseconds timeout{10'000'000};
  microseconds connect_timeout{10'000'000};
};

/// What one calling process and the one that watches share.
struct Caller {
  Histogram times;
  std::atomic<std::uint64_t> sent{0};
  std::atomic<std::uint64_t> wrong{0};   ///< answers whose content was not what was sent
  std::atomic<std::uint64_t> failed{0};  ///< calls without an answer, or answered with an error
  std::atomic<std::uint64_t> extra{0};   ///< answers that nobody asked for
  std::atomic<int> exit_code{0};
  std::array<char, 256> error{};
};

/// Memory shared with the processes forked from this one.
class Board {
 public:
  explicit Board(std::size_t callers) : callers_(callers) {
    memory_ = ::mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "cannot get shared memory");
    stop_ = ::new (memory_) std::atomic<bool>(false);
    for (std::size_t i = 0; i < callers_; ++i) ::new (place(i)) Caller();
  }
  ~Board() { ::munmap(memory_, bytes()); }
  Board(const Board&) = delete;
  Board& operator=(const Board&) = delete;

  std::atomic<bool>& stop() { return *stop_; }
  Caller& caller(std::size_t i) { return *std::launder(reinterpret_cast<Caller*>(place(i))); }

 private:
  static constexpr std::size_t kHead = 64;
  std::size_t bytes() const { return kHead + (callers_ * sizeof(Caller)); }
  std::byte* place(std::size_t i) { return static_cast<std::byte*>(memory_) + kHead + (i * sizeof(Caller)); }

  std::size_t callers_;
  void* memory_ = nullptr;
  std::atomic<bool>* stop_ = nullptr;
};

/// Fills a body so that every call's is different and its answer can be told from every other.
void fill(std::span<std::uint8_t> body, std::uint64_t caller, std::uint64_t number) {
  std::uint64_t state = (caller << 40) ^ number ^ 0x9e3779b97f4a7c15;
  std::size_t at = 0;
  for (; at + sizeof state <= body.size(); at += sizeof state) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    std::memcpy(body.data() + at, &state, sizeof state);
  }
  for (; at < body.size(); ++at) body[at] = static_cast<std::uint8_t>(state >> (8 * (at % 8)));
}

void call_until_stopped(const BenchOptions& options, std::size_t number, Board& board, sw_connection& connection) {
  Caller& self = board.caller(number);
  std::vector<std::uint8_t> body(options.size);
  const std::uint64_t most = options.count == 0 ? UINT64_MAX : options.count;
  for (std::uint64_t i = 0; i < most && !board.stop().load(std::memory_order_relaxed); ++i) {
    fill(body, number, i);
    const auto start = std::chrono::steady_clock::now();
    sw_message reply;
    SW_INIT(reply);
    self.sent.fetch_add(1, std::memory_order_relaxed);
    const int status = sw_call(&connection, 0, body.data(), body.size(), to_ms(options.timeout), &reply);
    if (status != SW_OK && status != SW_REMOTE_ERROR) {
      self.failed.fetch_add(1, std::memory_order_relaxed);
      fail(status, "call " + std::to_string(i) + " to '" + options.service + "' was not answered");
    }
    self.times.add(static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count()));
    if (status == SW_REMOTE_ERROR) {
      self.failed.fetch_add(1, std::memory_order_relaxed);
    } else if (reply.length != body.size() ||
               (!body.empty() && std::memcmp(reply.data, body.data(), body.size()) != 0)) {
      self.wrong.fetch_add(1, std::memory_order_relaxed);
    }
    sw_release(&connection, &reply);
  }
  sw_message more;
  SW_INIT(more);
  while (sw_receive(&connection, 0, &more) == SW_OK) {
    self.extra.fetch_add(1, std::memory_order_relaxed);
    sw_release(&connection, &more);
  }
}

/// A calling process, from its fork to its end. `ready`: closed when connected; `go`: closed by the watcher when all
/// are.
[[noreturn]] void run_caller(const BenchOptions& options, std::size_t number, Board& board, slot::Fd ready,
                             slot::Fd go) {
  Caller& self = board.caller(number);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::signal(SIGINT, SIG_IGN);  // the watcher decides when to stop
  try {
    const ContextPtr context = open_context(options.common, "slotwire-bench-" + std::to_string(number));
    const ConnectionPtr connection = connect(*context, options.service, options.connect_timeout);
    ready = slot::Fd();
    char byte = 0;
    while (::read(go.get(), &byte, 1) < 0 && errno == EINTR) {
    }
    call_until_stopped(options, number, board, *connection);
  } catch (const CommandError& error) {
    std::snprintf(self.error.data(), self.error.size(), "%s", error.what());
    self.exit_code = error.code();
  } catch (const std::exception& error) {
    std::snprintf(self.error.data(), self.error.size(), "%s", error.what());
    self.exit_code = kExitFailed;
  }
  std::fflush(nullptr);
  ::_exit(self.exit_code);
}

struct Sums {
  Histogram times;
  std::uint64_t sent = 0, wrong = 0, failed = 0, extra = 0;
};

Sums sum_up(Board& board, std::size_t callers) {
  Sums sums;
  for (std::size_t i = 0; i < callers; ++i) {
    const Caller& caller = board.caller(i);
    sums.times.merge(caller.times);
    sums.sent += caller.sent;
    sums.wrong += caller.wrong;
    sums.failed += caller.failed;
    sums.extra += caller.extra;
  }
  return sums;
}

Json json_of(const BenchOptions& options, const Sums& sums, double seconds) {
  const auto us = [](std::uint64_t ns) { return static_cast<double>(ns) / 1000; };
  return Json{{"service", options.service},
              {"processes", options.processes},
              {"bytes", options.size},
              {"seconds", seconds},
              {"sent", sums.sent},
              {"answered", sums.times.count()},
              {"wrong", sums.wrong},
              {"failed", sums.failed},
              {"extra", sums.extra},
              {"lost", sums.sent - sums.times.count()},
              {"calls_per_s", static_cast<double>(sums.times.count()) / seconds},
              {"mean_us", sums.times.mean() / 1000},
              {"min_us", us(sums.times.least())},
              {"p50_us", us(sums.times.at(0.5))},
              {"p99_us", us(sums.times.at(0.99))},
              {"p999_us", us(sums.times.at(0.999))},
              {"max_us", us(sums.times.most())}};
}

void print_text(const BenchOptions& options, const Sums& sums, double seconds) {
  const auto time = [](std::uint64_t ns) { return time_text(static_cast<double>(ns)); };
  std::printf("%zu processes calling '%s' with %s for %.1f s\n", options.processes, options.service.c_str(),
              bytes_text(static_cast<double>(options.size)).c_str(), seconds);
  std::printf("  rate     %s calls/s, %s/s each way\n",
              count_text(static_cast<double>(sums.times.count()) / seconds).c_str(),
              bytes_text(static_cast<double>(sums.times.count() * options.size) / seconds).c_str());
  std::printf("  latency  p50 %s  p99 %s  p99.9 %s  max %s\n", time(sums.times.at(0.5)).c_str(),
              time(sums.times.at(0.99)).c_str(), time(sums.times.at(0.999)).c_str(), time(sums.times.most()).c_str());
  std::printf("  calls    %llu sent, %llu answered, %llu failed, %llu wrong, %llu answered twice\n",
              static_cast<unsigned long long>(sums.sent), static_cast<unsigned long long>(sums.times.count()),
              static_cast<unsigned long long>(sums.failed), static_cast<unsigned long long>(sums.wrong),
              static_cast<unsigned long long>(sums.extra));
}

void print_progress(const BenchOptions& options, const Sums& now, const Sums& before, double seconds) {
  Sums since = now;
  since.times.subtract(before.times);
  since.sent -= before.sent;
  if (options.common.json) {
    std::printf("%s\n", json_of(options, since, seconds).dump().c_str());
  } else {
    std::printf("%s calls/s  p50 %s  p99 %s\n", count_text(static_cast<double>(since.times.count()) / seconds).c_str(),
                time_text(static_cast<double>(since.times.at(0.5))).c_str(),
                time_text(static_cast<double>(since.times.at(0.99))).c_str());
  }
  flush_output();
}

/// The calling processes; those that still run are killed when it goes.
class Family {
 public:
  ~Family() {
    for (const pid_t pid : running_) ::kill(pid, SIGKILL);
    for (const pid_t pid : running_) ::waitpid(pid, nullptr, 0);
  }
  void add(pid_t pid) { running_.push_back(pid); }
  /// Takes note of those that have ended; true: all have.
  bool all_ended() {
    std::erase_if(running_, [](pid_t pid) { return ::waitpid(pid, nullptr, WNOHANG) != 0; });
    return running_.empty();
  }

 private:
  std::vector<pid_t> running_;
};

int run_bench(const BenchOptions& options) {
  Board board(options.processes);
  StopSignal stop;
  Family family;
  std::array<int, 2> ready{};
  std::array<int, 2> go{};
  if (::pipe2(ready.data(), O_CLOEXEC) != 0 || ::pipe2(go.data(), O_CLOEXEC) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot create a pipe");
  }
  slot::Fd ready_read(ready[0]);
  slot::Fd ready_write(ready[1]);
  slot::Fd go_read(go[0]);
  slot::Fd go_write(go[1]);
  std::fflush(nullptr);
  for (std::size_t i = 0; i < options.processes; ++i) {
    const pid_t pid = ::fork();
    if (pid < 0) throw std::system_error(errno, std::generic_category(), "cannot start a calling process");
    if (pid == 0) {
      go_write = slot::Fd();
      run_caller(options, i, board, std::move(ready_write), std::move(go_read));
    }
    family.add(pid);
  }
  ready_write = slot::Fd();
  char byte = 0;
  while (::read(ready_read.get(), &byte, 1) < 0 && errno == EINTR && !stop.stopped()) {
  }
  go_write = slot::Fd();

  const auto start = std::chrono::steady_clock::now();
  const auto end = start + options.duration;
  const microseconds interval = options.interval.count() == 0 ? microseconds(100'000) : options.interval;
  Sums before;
  auto before_at = start;
  while (!family.all_ended()) {
    const auto now = std::chrono::steady_clock::now();
    if (options.count == 0 && now >= end) board.stop() = true;
    if (stop.stopped()) board.stop() = true;
    constexpr microseconds kPause(20'000);
    const auto left = std::chrono::duration_cast<microseconds>(before_at + interval - now);
    if (board.stop()) {
      ::poll(nullptr, 0, 1);
    } else {
      stop.wait(std::clamp(left, microseconds(1000), kPause));
    }
    if (options.interval.count() == 0 || std::chrono::steady_clock::now() - before_at < interval || board.stop())
      continue;
    const Sums sums = sum_up(board, options.processes);
    const auto at = std::chrono::steady_clock::now();
    print_progress(options, sums, before, std::chrono::duration<double>(at - before_at).count());
    before = sums;
    before_at = at;
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const Sums sums = sum_up(board, options.processes);
  if (options.common.json) {
    Json line = json_of(options, sums, seconds);
    line["final"] = true;
    std::printf("%s\n", line.dump().c_str());
  } else {
    print_text(options, sums, seconds);
  }
  flush_output();
  for (std::size_t i = 0; i < options.processes; ++i) {
    const Caller& caller = board.caller(i);
    if (caller.exit_code != 0) throw CommandError(caller.exit_code, caller.error.data());
  }
  const bool good = sums.wrong == 0 && sums.failed == 0 && sums.extra == 0 && sums.sent == sums.times.count();
  return good ? kExitOk : kExitFailed;
}

}  // namespace

void add_bench(CLI::App& app, Command& command) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* sub =
      app.add_subcommand("bench", "Call a service from several processes as fast as it answers; check every answer");
  sub->add_option("SERVICE", options->service, "a service that echoes ('slotwire serve SERVICE --echo')")
      ->required()
      ->check(service_name());
  sub->add_option("-p,--processes", options->processes,
                  "calling processes, each with one connection and one call at a time")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{1}, kMaxProcesses));
  add_size(*sub, "-s,--size", options->size, 0, std::uint64_t{64} << 20, "body of each call (default 64)");
  add_duration(*sub, "-d,--duration", options->duration, microseconds(1000), microseconds(3'600'000'000),
               "how long (default 10s)");
  add_count(*sub, "-n,--count", options->count, "so many calls by each process instead of --duration");
  add_duration(*sub, "-i,--interval", options->interval, microseconds(10'000), microseconds(3'600'000'000),
               "print rates this often meanwhile (default: only at the end)");
  add_duration(*sub, "-W,--timeout", options->timeout, microseconds(1000), microseconds(3'600'000'000),
               "a call that takes longer fails and ends the run (default 10s)");
  add_common(*sub, options->common, "print one JSON object a line for each interval, then one with \"final\": true");
  sub->footer(
      R"(Each process connects, waits until all have, then makes one call after another. Every call's body is different
and every answer is compared with it. Latencies are exact to 1.6 %. Exit status 0 only if every call was answered
exactly once with the right content.

Example: slotwire bench echo -p 8 -s 256 -d 10s -i 1s)");
  sub->callback([options, &command] { command = [options] { return run_bench(*options); }; });
}

}  // namespace slotwire::cli
