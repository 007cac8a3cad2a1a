// slotwire-xrt-host: the process that has an Alveo card open through XRT and serves it to slotwired on a socket.
#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <map>
#include <string>

#include <unistd.h>

#include "driver/bus/network_kernel.hpp"
#include "driver/bus/window_host.hpp"
#include "driver/bus/xrt/watchdog.hpp"
#include "driver/bus/xrt/xrt_window.hpp"
#include "runtime/control/program_end.hpp"
#include "tools/usage/wrong_usage.hpp"

namespace {

constexpr int kExitUnusable = 2;  ///< the device, the xclbin or the socket

std::atomic<bool> stopping{false};

void stop(int /*signal*/) {
  stopping.store(true, std::memory_order_release);
}

/// In emulation XRT writes to a device process that is gone.
void device_gone(int /*signal*/) {
  constexpr char kText[] =
      "slotwire-xrt-host: the device closed its connection; its connections end and slotwired goes on in software. "
      "Start the "
      "device and slotwire-xrt-host again\n";
  static_cast<void>(!::write(STDERR_FILENO, kText, sizeof kText - 1));
  ::_exit(slotwire::driver::Watchdog::kExitStatus);
}

/// XRT's library does not take it well when a device dies in the middle of an answer. What the signal does by itself
/// comes after this.
void crashed(int /*signal*/) {
  constexpr char kText[] =
      "slotwire-xrt-host: crashed, most likely in XRT's library as the device died; its connections end and slotwired "
      "goes on in "
      "software. Look at `xbutil examine` and start slotwire-xrt-host again\n";
  static_cast<void>(!::write(STDERR_FILENO, kText, sizeof kText - 1));
}

int serve(int argc, char** argv) {
  using slotwire::driver::XrtMemory;
  slotwire::driver::XrtOptions options;
  std::string bus, interface;
  bool fec = true;
  int limit_ms = 2000;
  CLI::App app("Has an Alveo card open through XRT and serves it to slotwired, which names the socket (card.xrt).");
  app.set_version_flag("--version", "slotwire-xrt-host " SLOTWIRE_VERSION);
  app.add_option("--device", options.device, "the card: its index, or its bus address as `xbutil examine` shows it")
      ->capture_default_str();
  app.add_option("--xclbin", options.xclbin, "the kernel's file, built from hw/shells/xrt")->required();
  app.add_option("--bus", bus, "unix socket for slotwired (card.xrt)")->required();
  app.add_option("--interface", interface,
                 "network interface NAME[@NETNS] to make for the host's own frames on the card's port");
  app.add_option("--memory", options.memory, "how slot memory is reached: automatic, mapped or copied")
      ->transform(CLI::CheckedTransformer(std::map<std::string, XrtMemory>{
          {"automatic", XrtMemory::automatic}, {"mapped", XrtMemory::mapped}, {"copied", XrtMemory::copied}}));
  app.add_option("--bank", options.bank,
                 "bank of device memory for slot memory; else the one that the kernel is linked to")
      ->check(CLI::Range(0, 255));
  app.add_option("--network", options.network, "the 100G kernel in the xclbin, or none: another program looks after it")
      ->capture_default_str();
  app.add_option("--fec", fec,
                 "error correction on the card's port, which both ends of a cable must have alike: rs or off")
      ->transform(CLI::CheckedTransformer(std::map<std::string, bool>{{"rs", true}, {"off", false}}))
      ->default_str("rs");
  app.add_option("--answer-timeout", limit_ms, "longest that the device may take for an access, milliseconds")
      ->check(CLI::Range(10, 60'000))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    using namespace slotwire::control;
    return end_of_output(slotwire::cli::wrong_usage(app, error, argc, argv) ? kEndUsage : kEndDone,
                         "slotwire-xrt-host");
  }
  if (options.network == "none") options.network.clear();
  std::signal(SIGINT, stop);
  std::signal(SIGTERM, stop);
  std::signal(SIGPIPE, device_gone);
  struct sigaction crash {};
  crash.sa_handler = crashed;
  crash.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int signal : {SIGSEGV, SIGABRT, SIGFPE, SIGBUS}) ::sigaction(signal, &crash, nullptr);
  slotwire::driver::Watchdog dog(options.device, std::chrono::milliseconds(limit_ms));
  slotwire::driver::XrtWindow window(options, dog);
  slotwire::driver::WindowHost host(window, window.memory_lines(), bus, interface);
  std::printf("ready: device %s (%s), %u slots, %u lines of slot memory, bus %s\n", options.device.c_str(),
              window.description().c_str(), window.slots(), window.memory_lines(), bus.c_str());
  std::fflush(stdout);
  slotwire::driver::NetworkKernel network(window);
  if (!options.network.empty()) {
    network.correct_errors(fec);
    host.each_look([&network, &options] {
      if (const auto news = network.news()) {
        std::fprintf(stderr, "slotwire-xrt-host: device %s: %s\n", options.device.c_str(), news->c_str());
      }
    });
  }
  host.run(stopping);
  // A device that ends at the same signal is no loss any more.
  std::signal(SIGPIPE, [](int) { ::_exit(0); });
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return serve(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "slotwire-xrt-host: %s\n", error.what());
    return kExitUnusable;
  }
}
