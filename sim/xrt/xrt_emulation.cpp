// slotwire-xrt-emulation: the device process that XRT's library starts in hardware emulation, with the RTL kernel in
// it. The xclbin that sim/xrt/make_xclbin.py writes holds the command line of it.
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <exception>

#include "sim/simcard/wire.hpp"
#include "sim/xrt/emulation.hpp"
#include "sim/xrt/xrt_shell.hpp"

namespace slotwire::sim {
namespace {

// A signal handler sets it, in whatever thread the signal arrives.
std::atomic<bool> stopping{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only set what takes no lock");

/// Clocks between two looks at the world outside.
constexpr std::uint64_t kBurst = 64;
/// The device counts as busy for so many clocks (and microseconds, in its time) after something moved.
constexpr std::uint64_t kBusyClocks = 8000;
/// A device that is not busy sleeps, and is clocked now and then: its timers go on, slowly.
constexpr int kIdleMs = 1;
constexpr std::uint64_t kIdleClocks = 40;

int run(XrtShell& shell, Emulation& emulation, Wire& wire) {
  while (!stopping && !emulation.ended()) {
    bool any = emulation.poll();
    while (!shell.wire_out().empty()) {
      wire.send(shell.wire_out().front().bytes);
      shell.wire_out().pop();
      any = true;
    }
    while (!shell.wire_in().full()) {
      const std::size_t n = wire.receive(shell.wire_in().room());
      if (n == 0) break;
      shell.wire_in().commit(n, false);
      any = true;
    }
    if (any || shell.now() - shell.last_activity() < kBusyClocks) {
      shell.clock(kBurst);
    } else {
      std::array<pollfd, 2> watched{{{emulation.fd(), POLLIN, 0}, {wire.fd(), POLLIN, 0}}};
      ::poll(watched.data(), watched.size(), kIdleMs);
      shell.clock(kIdleClocks);
    }
    if (!shell.violation().empty()) {
      std::fprintf(stderr, "emulated device: %s\n", shell.violation().c_str());
      return 1;
    }
  }
  if (!emulation.error().empty()) std::fprintf(stderr, "emulated device: %s\n", emulation.error().c_str());
  return emulation.error().empty() ? 0 : 1;
}

int start(int argc, char** argv) {
  XrtShellOptions shell_options;
  EmulationOptions options;
  std::string wire = "none";
  std::uint32_t version = 0;
  CLI::App app("The device of XRT's hardware emulation: the Slotwire kernel, simulated. Started by XRT's library.");
  app.set_version_flag("--version", SLOTWIRE_VERSION);
  app.add_option("--wire", wire,
                 "none, tap:NAME[@NETNS], veth:NAME[@NETNS], listen:PATH, connect:PATH or pcap:FILE[,OUTPUT]");
  app.add_option("--seed", shell_options.seed, "of registers without a reset, memory latency and stalls")
      ->capture_default_str();
  app.add_option("--latency", shell_options.memory_latency, "clocks that device memory takes, at most")
      ->check(CLI::Range(1, 1000));
  app.add_flag("--random-latency", shell_options.random_latency, "device memory takes up to --latency clocks");
  app.add_option("--stalls", shell_options.stall_permille, "of a thousand clocks in which a port does not go on")
      ->check(CLI::Range(0, 900));
  const auto* reported =
      app.add_option("--report-version", version, "the card says that it has this version of the registers");
  app.add_flag(
      "--far-fec-off", [&options](std::int64_t) { options.far_correction = false; },
      "the other end of the network kernel's cable has no error correction");
  app.add_option("--bad-frames", options.bad_frames, "damaged frames that the network kernel has counted");
  CLI11_PARSE(app, argc, argv);
  if (*reported) options.version = version;
  struct sigaction action {};
  action.sa_handler = [](int) { stopping = true; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  XrtShell shell(shell_options);
  shell.reset();
  const auto outside = make_wire(wire);
  Emulation emulation(shell, options);
  std::fprintf(stderr, "emulated device: ready, process %d, wire %s\n", ::getpid(), wire.c_str());
  return run(shell, emulation, *outside);
}

}  // namespace
}  // namespace slotwire::sim

int main(int argc, char** argv) {
  try {
    return slotwire::sim::start(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "slotwire-xrt-emulation: %s\n", error.what());
    return 2;
  }
}
