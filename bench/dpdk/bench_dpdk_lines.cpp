// What sending takes of the processor with lines copied and with lines sent from where they are, for bench_dpdk.py.
//
//   bench_dpdk_lines --device PORT PORT --other PORT PORT [--mtu BYTES] [--frames N] --lines N...
//
// Two pairs of ports of one process, each wired to each other; the first copies. They take turns, burst by burst, since
// a processor changes its speed from one moment to the next. Prints {"copied": {"LINES": nanoseconds a frame, ...}, "in
// place": {...}}: processor time of send(), the median of bursts. The lines have just been read, as a pipeline does for
// the CRC.
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <memory>
#include <vector>

#include "core/carriers/dpdk/dpdk_carrier.hpp"
#include "core/pipeline/frame.hpp"

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
  bool on_frame(std::uint16_t, std::span<const std::byte>) override {
    ++frames;
    return true;
  }
  void on_link(std::uint16_t, bool is_up, std::string_view) override { up = is_up; }
  std::size_t frames = 0;
  bool up = false;
};

/// Two ports, and what is measured of the first.
class Ends {
 public:
  Ends(std::unique_ptr<PortCarrier> from, std::unique_ptr<PortCarrier> to)
      : from_(std::move(from)), to_(std::move(to)) {
    from_->add_link(0, to_->local_address(), {});
    to_->add_link(0, from_->local_address(), {});
    wait("the link", [&] { return from_sink_.up && to_sink_.up; });
  }

  void burst(std::span<const pipeline::TxFrame> frames) {
    const double begin = ns_of(CLOCK_THREAD_CPUTIME_ID);
    from_->send(frames);
    ns_.push_back((ns_of(CLOCK_THREAD_CPUTIME_ID) - begin) / static_cast<double>(frames.size()));
    const std::size_t all = to_sink_.frames + frames.size();
    wait("frames", [&] { return to_sink_.frames >= all; });
  }
  /// Of the bursts since the last call.
  double median() {
    std::sort(ns_.begin(), ns_.end());
    const double found = ns_[ns_.size() / 2];
    ns_.clear();
    return found;
  }

 private:
  template <class Done>
  void wait(const char* what, Done done) {
    const double end = ns_of(CLOCK_MONOTONIC) + kPatienceUs * 1e3;
    while (!done()) {
      from_->poll(now_us(), carriers::kDpdkBurst, from_sink_);
      to_->poll(now_us(), carriers::kDpdkBurst, to_sink_);
      if (ns_of(CLOCK_MONOTONIC) > end) throw std::runtime_error(std::string("waited in vain for ") + what);
    }
  }

  std::unique_ptr<PortCarrier> from_, to_;
  Count from_sink_, to_sink_;
  std::vector<double> ns_;
};

void measure(std::vector<Ends>& all, std::size_t lines, std::size_t frames) {
  static const std::vector<std::byte> memory(kMemory, std::byte{0x5a});
  const std::size_t bytes = lines * regs::kLineBytes;
  std::size_t at = 0;
  for (std::size_t sent = 0; sent < frames; sent += kBurst) {
    for (Ends& ends : all) {
      std::array<pipeline::TxFrame, kBurst> burst;
      for (pipeline::TxFrame& frame : burst) {
        if (at + bytes > memory.size()) at = 0;
        frame.payload = std::span(memory).subspan(at, bytes);
        at += bytes;
        pipeline::Header header;
        header.crc = pipeline::frame_crc(pipeline::HeaderBytes(frame.header), frame.payload);
        pipeline::encode(header, pipeline::HeaderBytes(frame.header));
      }
      ends.burst(burst);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    CLI::App app{"Lines copied, and sent from where they are: see bench_dpdk.py."};
    carriers::DpdkOptions options;
    options.eal.hugepages = false;
    options.eal.memory = std::size_t{256} << 20U;
    std::vector<std::string> devices, others;
    std::vector<std::size_t> lines;
    std::size_t frames = 20'000;
    app.add_option("--device", devices, "the ports that send: by copies, and in place")->required()->expected(2);
    app.add_option("--other", others, "those that receive")->required()->expected(2);
    app.add_option("--mtu", options.mtu);
    app.add_option("--frames", frames);
    app.add_option("--lines", lines, "in a frame")->required();
    CLI11_PARSE(app, argc, argv);
    std::signal(SIGPIPE, SIG_IGN);
    std::vector<Ends> all;
    for (std::size_t i = 0; i < 2; ++i) {
      const auto open = [&](const std::string& port, int host) {
        options.device = port;
        options.address = carriers::Address::parse("10.98." + std::to_string(i) + "." + std::to_string(host) + ":7401");
        return std::make_unique<PortCarrier>(options);
      };
      options.zero_copy = i == 1 ? carriers::ZeroCopy::on : carriers::ZeroCopy::off;
      auto from = open(devices[i], 1);
      options.zero_copy = carriers::ZeroCopy::off;
      if (devices[i].rfind("net_tap", 0) == 0) set_mac(carriers::device_argument(devices[i], "iface"));
      auto to = open(others[i], 2);
      all.emplace_back(std::move(from), std::move(to));
    }
    std::string text[2];
    for (const std::size_t n : lines) {
      measure(all, n, frames / 10);  // to get warm
      for (Ends& ends : all) ends.median();
      measure(all, n, frames);
      for (std::size_t i = 0; i < 2; ++i)
        text[i] += (text[i].empty() ? "\"" : ", \"") + std::to_string(n) + "\": " + std::to_string(all[i].median());
    }
    std::printf("{\"copied\": {%s}, \"in place\": {%s}}\n", text[0].c_str(), text[1].c_str());
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_dpdk_lines: %s\n", error.what());
    return 1;
  }
}
