// What sending takes of the processor with lines copied and with lines sent from where they are, for bench_dpdk.py.
//
//   bench_dpdk_lines --device PORT --other PORT --zero-copy on|off [--mtu BYTES] [--frames N] LINES...
//
// Two ports of one process, wired to each other. Prints {"LINES": nanoseconds a frame, ...}: processor time of send(),
// the median of bursts. The lines have just been read, as a pipeline does for the CRC.
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <vector>

#include "carriers/dpdk/dpdk_carrier.hpp"
#include "pipeline/frame.hpp"

namespace {

using namespace slotwire;
using carriers::PortCarrier;

constexpr std::size_t kBurst = 32;
/// Slot memory that the lines are in, in turn.
constexpr std::size_t kMemory = std::size_t{4} << 20U;
constexpr double kPatienceUs = 20e6;

double ns_of(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}
std::uint64_t now_us() {
  return static_cast<std::uint64_t>(ns_of(CLOCK_MONOTONIC) / 1e3);
}

/// net_tap gives its interface the port's own address, and who sits on the interface needs another one.
void set_mac(const std::string& interface) {
  const carriers::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  request.ifr_hwaddr.sa_data[0] = 2;
  request.ifr_hwaddr.sa_data[5] = 0x77;
  if (::ioctl(socket.get(), SIOCSIFHWADDR, &request) != 0) carriers::throw_errno("setting the address of " + interface);
}

struct Count final : carriers::FrameSink {
  void on_frame(std::uint16_t, std::span<const std::byte>) override { ++frames; }
  void on_link(std::uint16_t, bool is_up, std::string_view) override { up = is_up; }
  std::size_t frames = 0;
  bool up = false;
};

struct Ends {
  PortCarrier& from;
  PortCarrier& to;
  Count from_sink{}, to_sink{};

  void poll() {
    from.poll(now_us(), carriers::kDpdkBurst, from_sink);
    to.poll(now_us(), carriers::kDpdkBurst, to_sink);
  }
  template <class Done>
  void wait(const char* what, Done done) {
    const double end = ns_of(CLOCK_MONOTONIC) + kPatienceUs * 1e3;
    while (!done()) {
      poll();
      if (ns_of(CLOCK_MONOTONIC) > end) throw std::runtime_error(std::string("waited in vain for ") + what);
    }
  }
};

double measure(Ends& ends, std::size_t lines, std::size_t frames) {
  const std::vector<std::byte> memory(kMemory, std::byte{0x5a});
  const std::size_t bytes = lines * regs::kLineBytes;
  std::size_t at = 0;
  std::vector<double> ns;
  for (std::size_t sent = 0; sent < frames; sent += kBurst) {
    std::array<pipeline::TxFrame, kBurst> burst;
    for (pipeline::TxFrame& frame : burst) {
      if (at + bytes > memory.size()) at = 0;
      frame.payload = std::span(memory).subspan(at, bytes);
      at += bytes;
      pipeline::Header header;
      header.crc = pipeline::frame_crc(pipeline::HeaderBytes(frame.header), frame.payload);
      pipeline::encode(header, pipeline::HeaderBytes(frame.header));
    }
    const double begin = ns_of(CLOCK_THREAD_CPUTIME_ID);
    ends.from.send(burst);
    ns.push_back((ns_of(CLOCK_THREAD_CPUTIME_ID) - begin) / kBurst);
    const std::size_t all = ends.to_sink.frames + kBurst;
    ends.wait("frames", [&] { return ends.to_sink.frames >= all; });
  }
  std::sort(ns.begin(), ns.end());
  return ns[ns.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  try {
    CLI::App app{"Lines copied, and sent from where they are: see bench_dpdk.py."};
    carriers::DpdkOptions options;
    options.eal.hugepages = false;
    options.eal.memory = std::size_t{256} << 20U;
    std::string device, other, zero_copy;
    std::vector<std::size_t> lines;
    std::size_t frames = 20'000;
    app.add_option("--device", device, "the port that sends")->required();
    app.add_option("--other", other, "the one that receives")->required();
    app.add_option("--zero-copy", zero_copy)->required()->check(CLI::IsMember({"on", "off"}));
    app.add_option("--mtu", options.mtu);
    app.add_option("--frames", frames);
    app.add_option("lines", lines, "in a frame")->required();
    CLI11_PARSE(app, argc, argv);
    std::signal(SIGPIPE, SIG_IGN);
    const auto open = [&](const std::string& port, const char* address) {
      options.device = port;
      options.address = carriers::Address::parse(address);
      return std::make_unique<PortCarrier>(options);
    };
    options.zero_copy = zero_copy == "on" ? carriers::ZeroCopy::on : carriers::ZeroCopy::off;
    const auto from = open(device, "10.98.1.1:7401");
    options.zero_copy = carriers::ZeroCopy::off;
    if (device.rfind("net_tap", 0) == 0) set_mac(carriers::device_argument(device, "iface"));
    const auto to = open(other, "10.98.1.2:7401");
    from->add_link(0, to->local_address(), {});
    to->add_link(0, from->local_address(), {});
    Ends ends{*from, *to};
    ends.wait("the link", [&] { return ends.from_sink.up && ends.to_sink.up; });
    std::string text;
    for (const std::size_t n : lines) {
      measure(ends, n, frames / 10);  // to get warm
      text += (text.empty() ? "{\"" : ", \"") + std::to_string(n) + "\": " + std::to_string(measure(ends, n, frames));
    }
    std::printf("%s}\n", text.c_str());
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_dpdk_lines: %s\n", error.what());
    return 1;
  }
}
