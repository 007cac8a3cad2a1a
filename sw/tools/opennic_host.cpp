// slotwire-opennic-host: the process that has the window of a card in OpenNIC mapped and serves it to slotwired on a
// socket.
#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>

#include "driver/bus/bar_window.hpp"
#include "driver/bus/window_check.hpp"
#include "driver/bus/window_host.hpp"
#include "runtime/control/program_end.hpp"
#include "tools/usage/wrong_usage.hpp"

namespace {

constexpr int kExitUnusable = 2;  ///< the device or the socket

std::atomic<bool> stopping{false};

void stop(int /*signal*/) {
  stopping.store(true, std::memory_order_release);
}

int serve(int argc, char** argv) {
  std::string device, bar, bus;
  std::size_t offset = 0x100000;  // of the 250 MHz user box in OpenNIC's registers
  CLI::App app(
      "Has the window of a card in OpenNIC mapped and serves it to slotwired, which names the socket (card.socket).");
  app.set_version_flag("--version", "slotwire-opennic-host " SLOTWIRE_VERSION);
  auto* at = app.add_option("--device", device, "the card's bus address, 0000:3b:00.0");
  app.add_option("--bar", bar, "file of the BAR instead")->excludes(at);
  app.add_option("--offset", offset, "of the window in the BAR, bytes")->capture_default_str();
  app.add_option("--bus", bus, "unix socket for slotwired (card.socket)")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    using namespace slotwire::control;
    return end_of_output(slotwire::cli::wrong_usage(app, error, argc, argv) ? kEndUsage : kEndDone,
                         "slotwire-opennic-host");
  }
  if (device.empty() && bar.empty()) throw std::runtime_error("which card? Give --device, as lspci -D shows it");
  if (bar.empty()) bar = "/sys/bus/pci/devices/" + device + "/resource2";
  std::signal(SIGINT, stop);
  std::signal(SIGTERM, stop);
  slotwire::driver::BarWindow window(bar, offset);
  slotwire::driver::WindowCard card;
  try {
    card = slotwire::driver::check_window(window);
  } catch (const std::exception& error) {
    throw std::runtime_error(bar + ": " + error.what());
  }
  slotwire::driver::WindowHost host(window, card.memory_lines, bus, "");
  std::printf("ready: %s, %u slots, %u lines of slot memory, bus %s\n", bar.c_str(), card.slots, card.memory_lines,
              bus.c_str());
  std::fflush(stdout);
  host.run(stopping);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return serve(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "slotwire-opennic-host: %s\n", error.what());
    return kExitUnusable;
  }
}
