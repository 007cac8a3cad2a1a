#include "idle.hpp"

#include <poll.h>

#include "contenders/slotwire_ends.hpp"

namespace slotwire::bench {

std::vector<Value> measure_idle(Harness& harness, unsigned seconds) {
  using namespace std::chrono_literals;
  constexpr std::size_t kConnections = 500;
  const Contender* slotwire = nullptr;
  for (const Contender& contender : contenders()) {
    if (contender.name == "slotwire") slotwire = &contender;
  }
  if (slotwire == nullptr) throw std::logic_error("Slotwire is not among the contenders");
  const Daemon* const daemon = harness.daemon(*slotwire);
  ContextOptions options;
  options.socket = daemon->endpoint();
  Context server = must(Context::open(options), "cannot open a session with slotwired");
  Context client = must(Context::open(options), "cannot open a session with slotwired");
  Service service = must(server.serve("bench-idle"), "cannot serve");
  std::vector<Connection> ends;
  ConnectOptions rings;
  rings.in_bytes = rings.out_bytes = 4096;
  for (std::size_t i = 0; i < kConnections; ++i) {
    ends.push_back(must(client.connect("bench-idle", 20s, rings), "cannot connect"));
    ends.push_back(must(service.accept(20s), "no connection came"));
  }
  const BoardMemory memory;
  Board& board = *memory;
  for (const pid_t pid : daemon->pids()) board.pids.at(board.processes++) = pid;
  const std::uint64_t before = cpu_ns(board);
  const std::uint64_t begin = clock_ns(CLOCK_MONOTONIC);
  // The time is what is measured: nothing happens in it.
  ::poll(nullptr, 0, static_cast<int>(seconds * 1000));
  const std::uint64_t elapsed = clock_ns(CLOCK_MONOTONIC) - begin;
  const double spent = static_cast<double>(cpu_ns(board) - before);
  return {{"processor of slotwired", "%", spent * 100 / static_cast<double>(elapsed)}};
}

}  // namespace slotwire::bench
