#include "processes.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <sstream>
#include <string_view>
#include <system_error>

#include "cluster.hpp"
#include "contender.hpp"

namespace slotwire::bench {

double clock_us(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return (static_cast<double>(now.tv_sec) * 1e6) + (static_cast<double>(now.tv_nsec) / 1e3);
}

double cpu_us_of(const std::vector<pid_t>& pids) {
  double sum = 0;
  for (const pid_t pid : pids) {
    clockid_t clock = 0;
    if (::clock_getcpuclockid(pid, &clock) != 0) throw std::runtime_error("a process of the benchmark has ended");
    sum += clock_us(clock);
  }
  return sum;
}

double sleeps_of(const std::vector<pid_t>& pids) {
  double sum = 0;
  for (const pid_t pid : pids) {
    std::ifstream status("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(status, line);) {
      constexpr std::string_view kField = "voluntary_ctxt_switches:";
      if (line.starts_with(kField)) sum += std::stod(line.substr(kField.size()));
    }
  }
  return sum;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

Part::Part(const std::string& what, const std::function<void(const Ready&)>& run) : what_(what) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "no pipe");
  said_ = slot::Fd(pipe[0]);
  const slot::Fd say(pipe[1]);
  pid_ = ::fork();
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "cannot fork");
  if (pid_ != 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // whatever ends the benchmark ends its parts
  said_ = slot::Fd();
  try {
    run([&](const std::string& text) {
      const std::string line = text + "\n";
      if (::write(say.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) ::_exit(1);
    });
    while (true) ::pause();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_node: %s: %s\n", what.c_str(), error.what());
  }
  ::_exit(1);
}

Part::~Part() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

Part::Part(Part&& other) noexcept
    : what_(std::move(other.what_)), pid_(std::exchange(other.pid_, -1)), said_(std::move(other.said_)) {}

std::string Part::wait() {
  // Of each text at most one is under way, so a line is never followed by a part of the next one.
  std::string text;
  for (char next = 0;;) {
    pollfd readable{said_.get(), POLLIN, 0};
    if (::poll(&readable, 1, 10 * kWaitMs) != 1) throw std::runtime_error(what_ + " does not come to an end");
    if (::read(said_.get(), &next, 1) != 1) throw std::runtime_error(what_ + " ended early");
    if (next == '\n') return text;
    text += next;
  }
}

std::vector<Part> start_hogs() {
  std::vector<Part> hogs;
  for (long i = 0; i < ::sysconf(_SC_NPROCESSORS_ONLN); ++i) {
    hogs.emplace_back("a process that computes", [](const Ready&) {
      for (volatile unsigned long count = 0;;) count = count + 1;
    });
  }
  return hogs;
}

std::string find_program(const std::string& name) {
  std::vector<std::filesystem::path> places;
  std::istringstream path(std::getenv("PATH") != nullptr ? std::getenv("PATH") : "");
  for (std::string place; std::getline(path, place, ':');) places.emplace_back(place);
  places.emplace_back("/usr/sbin");
  std::error_code ignored;
  std::vector<std::filesystem::path> versions;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/lib/postgresql", ignored))
    versions.push_back(entry.path() / "bin");
  std::sort(versions.rbegin(), versions.rend());
  places.insert(places.end(), versions.begin(), versions.end());
  for (const std::filesystem::path& place : places) {
    if (::access((place / name).c_str(), X_OK) == 0) return (place / name).string();
  }
  return {};
}

void wait_for_listener(std::uint16_t port, const std::string& what) {
  constexpr const char* kListen = "0A";
  std::array<char, 8> digits{};
  std::snprintf(digits.data(), digits.size(), ":%04X", port);
  const bool listens = fault::eventually(kWaitMs, [&] {
    std::ifstream table("/proc/net/tcp");
    std::string number, local, remote, state, rest;
    std::getline(table, rest);
    while (table >> number >> local >> remote >> state && std::getline(table, rest)) {
      if (state == kListen && local.ends_with(digits.data())) return true;
    }
    return false;
  });
  if (!listens) throw std::runtime_error(what + " does not listen at port " + std::to_string(port));
}

}  // namespace slotwire::bench
