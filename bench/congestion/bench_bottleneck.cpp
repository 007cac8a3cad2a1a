// A path between two network namespaces with a bottleneck in each direction, in user space.
//
//   bench_bottleneck --rate MBIT [--delay MS] [--queue BYTES] [--ce BYTES] [--loss PERCENT] [--seed N] [--device NAME]
//                    [--samples MS]
//
// Makes two namespaces, `left` and `right`, with a TAP device in each, and carries IPv4 between them: random loss, a
// queue that is drained at the rate, a delay. An option with two values, as in --loss 1,0, gives the direction from
// left to right first. Prints a line of JSON with the paths of the namespaces, by which others enter them (nsenter),
// then one at each SIGUSR1 with what happened since the last one, and a last one at SIGTERM. Whoever starts it gives
// the devices addresses. Namespaces and devices go with it, and it goes with the process that started it. Needs root.
//
// A frame's time of leaving is known when it comes, so one thread with one queue for each direction is enough. It runs
// under SCHED_FIFO where that is allowed, so that processes that measure do not delay what they send.
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <exception>
#include <memory>
#include <system_error>

#include "bottleneck.hpp"
#include "tap.hpp"

namespace {

using namespace slotwire;
using bench::Path;
using bench::PathCounts;
using bench::PathOptions;
using bench::Tap;

constexpr std::size_t kDirections = 2;
/// The longest frame of a TAP device whose MTU nobody raised above this.
constexpr std::size_t kMostFrame = 16'384;
/// Frames that are read from one device before what is due is sent.
constexpr int kBurst = 16;
constexpr int kPriority = 10;

struct Options {
  std::vector<double> megabits{}, delay_ms{0}, loss_percent{0};
  std::vector<std::uint64_t> queue{250'000}, ce{};
  std::uint64_t seed = 1;
  std::string device = "bed0";
  unsigned samples_ms = 0;  ///< 0: none
};

Path::Time now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

template <class T>
T of(const std::vector<T>& values, std::size_t direction) {
  return values.at(std::min(direction, values.size() - 1));
}

/// A double that is no time would overflow; complaint() then names the range.
std::chrono::nanoseconds delay_of(double ms) {
  constexpr double kBeyond = 1e6;
  return std::chrono::nanoseconds(static_cast<std::int64_t>(std::clamp(ms, -1.0, kBeyond) * 1e6));
}

PathOptions path_options(const Options& options, std::size_t direction) {
  PathOptions path;
  path.megabits = of(options.megabits, direction);
  path.delay = delay_of(of(options.delay_ms, direction));
  path.queue_bytes = of(options.queue, direction);
  if (!options.ce.empty()) path.ce_bytes = of(options.ce, direction);
  path.loss = of(options.loss_percent, direction) / 100;
  path.seed = options.seed + direction;
  return path;
}

/// Two devices and what is between them.
class Relay {
 public:
  explicit Relay(const Options& options)
      : taps_{Tap(options.device), Tap(options.device)},
        paths_{Path(path_options(options, 0), now()), Path(path_options(options, 1), now())},
        sample_every_(options.samples_ms) {
    if (options.samples_ms > 0) next_sample_ = now();
  }

  const Tap& tap(std::size_t side) const { return taps_.at(side); }

  void send_due() {
    for (std::size_t direction = 0; direction < kDirections; ++direction) {
      while (std::optional<Path::Packet> packet = paths_.at(direction).take(now()))
        if (!taps_.at(1 - direction).write(packet->frame)) ++refused_;
    }
  }

  void receive(std::size_t side) {
    for (int i = 0; i < kBurst; ++i) {
      const std::size_t size = taps_.at(side).read(frame_);
      if (size == 0) return;
      const std::span<const std::byte> frame(frame_.data(), size);
      if (bench::is_ipv4(frame)) {
        paths_.at(side).offer(now(), frame);
      } else {
        ++foreign_;
      }
    }
  }

  /// When there is something to do; none: when a frame comes.
  std::optional<Path::Time> next() const {
    std::optional<Path::Time> first = next_sample_;
    for (const Path& path : paths_)
      if (const std::optional<Path::Time> leaves = path.next()) first = std::min(first.value_or(*leaves), *leaves);
    return first;
  }

  void sample_if_due() {
    const Path::Time time = now();
    if (!next_sample_ || time < *next_sample_) return;
    next_sample_ = time + sample_every_;
    std::printf("{\"t\": %.4f, \"queueing_ms\": [%.3f, %.3f]}\n", seconds(time),
                1e3 * seconds(paths_[0].queueing(time)), 1e3 * seconds(paths_[1].queueing(time)));
    std::fflush(stdout);
  }

  void print_report() {
    const Path::Time time = now();
    std::printf("{\"time_s\": %.6f, \"foreign\": %llu, \"refused\": %llu", seconds(time),
                number(std::exchange(foreign_, 0)), number(std::exchange(refused_, 0)));
    for (std::size_t direction = 0; direction < kDirections; ++direction) {
      const PathCounts c = paths_.at(direction).report(time);
      std::printf(
          ", \"%s\": {\"packets\": %llu, \"bytes\": %llu, \"dropped_queue\": %llu, \"dropped_random\": %llu, "
          "\"marked\": %llu, "
          "\"mean_queueing_ms\": %.4f, \"largest_queueing_ms\": %.4f, \"late\": %llu, \"largest_lateness_ms\": %.4f, "
          "\"over_s\": %.6f}",
          direction == 0 ? "to_right" : "to_left", number(c.packets), number(c.bytes), number(c.dropped_queue),
          number(c.dropped_random), number(c.marked), 1e3 * seconds(c.mean_queueing), 1e3 * seconds(c.largest_queueing),
          number(c.late), 1e3 * seconds(c.largest_lateness), seconds(c.over));
    }
    std::puts("}");
    std::fflush(stdout);
  }

 private:
  static unsigned long long number(std::uint64_t value) { return value; }
  static double seconds(std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); }

  std::array<Tap, kDirections> taps_;
  std::array<Path, kDirections> paths_;
  std::chrono::milliseconds sample_every_;
  std::optional<Path::Time> next_sample_;
  std::vector<std::byte> frame_ = std::vector<std::byte>(kMostFrame);
  std::uint64_t foreign_ = 0;  ///< frames that hold no IPv4; they are discarded
  std::uint64_t refused_ = 0;  ///< frames that a device did not take
};

sigset_t handled_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGUSR1, SIGTERM, SIGINT}) ::sigaddset(&set, signal);
  return set;
}

void run(Relay& relay, int signals) {
  std::array<pollfd, kDirections + 1> watched{
      {{relay.tap(0).fd(), POLLIN, 0}, {relay.tap(1).fd(), POLLIN, 0}, {signals, POLLIN, 0}}};
  while (true) {
    relay.send_due();
    relay.sample_if_due();
    const std::optional<Path::Time> next = relay.next();
    const Path::Time left = next ? std::max(*next - now(), Path::Time(0)) : Path::Time(0);
    const timespec timeout{left.count() / 1'000'000'000, left.count() % 1'000'000'000};
    if (::ppoll(watched.data(), watched.size(), next ? &timeout : nullptr, nullptr) < 0 && errno != EINTR)
      throw std::system_error(errno, std::system_category(), "cannot wait for frames");
    for (std::size_t side = 0; side < kDirections; ++side)
      if ((watched.at(side).revents & POLLIN) != 0) relay.receive(side);
    signalfd_siginfo signal{};
    if ((watched.at(kDirections).revents & POLLIN) == 0 || ::read(signals, &signal, sizeof signal) != sizeof signal)
      continue;
    relay.print_report();
    if (signal.ssi_signo != SIGUSR1) return;
  }
}

/// Whether it runs under SCHED_FIFO from now on.
bool become_realtime() {
  // A timer may be late by this; the least there is.
  ::prctl(PR_SET_TIMERSLACK, 1UL);
  const sched_param parameter{kPriority};
  return ::sched_setscheduler(0, SCHED_FIFO, &parameter) == 0;
}

void add_options(CLI::App& app, Options& options) {
  const auto pair = [&](const char* name, auto& values, const char* text) {
    return app.add_option(name, values, text)->delimiter(',')->expected(1, static_cast<int>(kDirections));
  };
  pair("--rate", options.megabits, "rate of the bottleneck, Mb/s of the wire")->required();
  pair("--delay", options.delay_ms, "delay after the queue, ms");
  pair("--queue", options.queue, "what may wait, bytes of the wire");
  pair("--ce", options.ce, "frames with ECT get CE while more than this waits, bytes; absent: never");
  pair("--loss", options.loss_percent, "random loss before the queue, percent");
  app.add_option("--seed", options.seed, "of the random loss");
  app.add_option("--samples", options.samples_ms, "says every so many ms how long the queues are; 0: never");
  app.add_option("--device", options.device, "name of the device in both namespaces");
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("A bottleneck between two network namespaces");
  add_options(app, options);
  CLI11_PARSE(app, argc, argv);
  try {
    const sigset_t set = handled_signals();
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    const slot::Fd signals(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals) throw std::system_error(errno, std::system_category(), "cannot make a signalfd");
    for (std::size_t direction = 0; direction < kDirections; ++direction)
      if (const auto wrong = bench::complaint(path_options(options, direction))) throw std::invalid_argument(*wrong);
    Relay relay(options);
    const bool realtime = become_realtime();
    std::printf("{\"left\": \"%s\", \"right\": \"%s\", \"device\": \"%s\", \"realtime\": %s}\n",
                relay.tap(0).space_path().c_str(), relay.tap(1).space_path().c_str(), options.device.c_str(),
                realtime ? "true" : "false");
    std::fflush(stdout);
    run(relay, signals.get());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_bottleneck: %s\n", error.what());
    return 1;
  }
  return 0;
}
