#include "measure.hpp"

#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <set>
#include <sstream>
#include <vector>

#include "handover.hpp"

namespace slotwire::bench {
namespace {

constexpr int kBoardDescriptor = 3;
/// A measurement that takes this long hangs.
constexpr int kLimitMs = 60'000;

template <std::size_t N>
void copy_text(const std::string& text, char (&into)[N]) {
  if (text.size() >= N) throw std::invalid_argument("too long for the board: " + text);
  text.copy(into, text.size());
  into[text.size()] = 0;
}

std::string text_of(const std::filesystem::path& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

const Contender& find(const std::string& name) {
  for (const Contender& contender : contenders()) {
    if (contender.name == name) return contender;
  }
  throw std::invalid_argument("no contender is called " + name);
}

void pin(int core) {
  if (core < 0) return;
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  if (::sched_setaffinity(0, sizeof cores, &cores) != 0) fail("cannot bind a side to its core");
}

/// Both sides of a measurement and how to wait for them.
class Sides {
 public:
  void start(Role role, unsigned index, const BoardMemory& board, const std::filesystem::path& directory) {
    const std::string name = (role == Role::client ? "client" : "server") + std::to_string(index);
    logs_.push_back(directory / (name + ".log"));
    children_.push_back(fault::Child::start(
        {"/proc/self/exe", "--side", role == Role::client ? "client" : "server", std::to_string(index)}, board.fd(),
        logs_.back()));
  }
  pid_t last_pid() const { return children_.back().pid(); }

  /// Waits until all have ended well. Throws with what one said that did not; the others are killed then.
  void wait(const Board& board) {
    const std::int64_t end = fault::now_ms() + kLimitMs;
    std::vector<slot::Fd> ends;
    std::vector<pollfd> polled;
    for (const fault::Child& child : children_) {
      ends.emplace_back(static_cast<int>(::syscall(SYS_pidfd_open, child.pid(), 0)));
      if (!ends.back()) fail("cannot watch a side");
      polled.push_back({ends.back().get(), POLLIN, 0});
    }
    for (std::size_t left = children_.size(); left > 0;) {
      const auto wait_ms = static_cast<int>(end - fault::now_ms());
      if (wait_ms <= 0)
        throw std::runtime_error("the measurement did not end within " + std::to_string(kLimitMs / 1000) + " s" +
                                 said(board));
      if (::poll(polled.data(), polled.size(), wait_ms) <= 0) continue;
      for (std::size_t i = 0; i < polled.size(); ++i) {
        if (polled[i].revents == 0) continue;
        polled[i] = {-1, 0, 0};
        --left;
        const int status = children_[i].stop(0, kLimitMs);
        if (status != 0)
          throw std::runtime_error(logs_[i].stem().string() + " ended with status " + std::to_string(status) +
                                   said(board));
      }
    }
  }

 private:
  std::string said(const Board& board) const {
    std::string text = board.problem[0] != 0 ? std::string(": ") + board.problem : std::string();
    for (const auto& log : logs_) {
      if (const std::string lines = text_of(log); !lines.empty()) text += "\n" + log.stem().string() + ": " + lines;
    }
    return text;
  }
  std::vector<fault::Child> children_;
  std::vector<std::filesystem::path> logs_;
};

}  // namespace

Harness::Harness() : clock_(measure_clock()) {
  std::string pattern = (std::filesystem::temp_directory_path() / "slotwire-bench-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) fail("no temporary directory");
  directory_ = pattern;
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) fail("cannot ask for the cores");
  std::vector<int> cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &allowed)) cores.push_back(core);
  }
  // Neighbours in number may be threads of one core.
  first_core_ = cores.front();
  second_core_ = cores[cores.size() / 2];
}

Harness::~Harness() {
  daemons_.clear();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

const Daemon* Harness::daemon(const Contender& contender) {
  if (!contender.traits.start) return nullptr;
  using Start = std::unique_ptr<Daemon> (*)(const std::filesystem::path&);
  const Start* const function = contender.traits.start.target<Start>();
  std::unique_ptr<Daemon>& daemon = daemons_[reinterpret_cast<const void*>(*function)];
  if (!daemon) daemon = contender.traits.start(directory_ / ("daemon-" + std::to_string(daemons_.size())));
  return daemon.get();
}

Outcome Harness::run(const Measurement& measurement) {
  const Contender& contender = *measurement.contender;
  const Daemon* const its_daemon = daemon(contender);
  const std::filesystem::path directory = directory_ / std::to_string(++number_);
  std::filesystem::create_directory(directory);
  const BoardMemory board;
  Job& job = board->job;
  copy_text(contender.name, job.contender);
  copy_text(directory.string(), job.directory);
  if (its_daemon != nullptr) copy_text(its_daemon->endpoint(), job.endpoint);
  job.kind = measurement.kind;
  job.waiting = measurement.waiting;
  job.number = number_;
  job.size = static_cast<std::uint32_t>(measurement.size);
  job.subscribers = measurement.subscribers;
  job.verify = measurement.verify ? 1 : 0;
  job.milliseconds = measurement.milliseconds;
  job.client_core = first_core_;
  job.server_core = measurement.placement == Placement::same_core ? first_core_ : second_core_;
  if (contender.traits.own_threads && measurement.placement == Placement::two_cores)
    job.client_core = job.server_core = -1;
  job.clock = clock_;
  const auto add = [&](pid_t pid) { board->pids.at(board->processes++) = pid; };
  if (its_daemon != nullptr) {
    for (const pid_t pid : its_daemon->pids()) add(pid);
  }
  Sides sides;
  for (unsigned i = 0; i < measurement.subscribers; ++i) {
    sides.start(Role::server, i, board, directory);
    add(sides.last_pid());
  }
  sides.start(Role::client, 0, board, directory);
  add(sides.last_pid());
  sides.wait(*board);
  const Outcome outcome{.closed = board->closed, .open = board->open, .delivered = board->delivered.load()};
  std::filesystem::remove_all(directory);
  return outcome;
}

int run_side(Role role, unsigned index) {
  const BoardMemory memory(kBoardDescriptor);
  Board& board = *memory;
  try {
    const Job& job = board.job;
    pin(role == Role::client ? job.client_core : job.server_core);
    if (role == Role::client) wait_until_at_least(board.bound, job.subscribers);
    find(job.contender).run(Setup{.role = role, .index = index, .board = board});
    return 0;
  } catch (const std::exception& error) {
    std::snprintf(board.problem, sizeof board.problem, "%s %u of %s: %s", role == Role::client ? "client" : "server",
                  index, board.job.contender, error.what());
    return 1;
  }
}

}  // namespace slotwire::bench
