// One end of a wire between two processes, for bench_dpdk.py. A frame with one line goes there and back, one at a time.
//
//   bench_dpdk_end --device PORT --address A:P --peer A:P [--carrier [--sleep]] [--calls N [--pause US]]
//   bench_dpdk_end --hop FILE [--calls N]
//   bench_dpdk_end --hop FILE --device PORT --address A:P --peer A:P
//
// With --calls it asks and prints {"p50", "p99"} in microseconds; without, it answers until SIGTERM. Without --carrier
// it is DPDK alone, polling: the floor. With it, the carrier; --sleep: on its descriptor, as an idle slotwired does.
// With --hop the line goes through shared memory instead, and with --device too it is moved between memory and port: a
// chain of four such processes is what two nodes are made of, without anything that they do.
#include <fcntl.h>
#include <poll.h>
#include <rte_mbuf.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "core/carriers/dpdk/dpdk_carrier.hpp"
#include "core/carriers/dpdk/eal.hpp"

namespace {

using namespace slotwire;
using carriers::Address;
using pipeline::Endpoint;

constexpr std::uint64_t kBroadcast = 0xffff'ffff'ffff;
/// Longest wait for an answer; frames may be lost.
constexpr double kAnswerUs = 1e6;
// A signal handler sets it, in whatever thread the signal arrives.
std::atomic<bool> stopping{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only set what takes no lock");

double now_us() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return (static_cast<double>(now.tv_sec) * 1e6) + (static_cast<double>(now.tv_nsec) / 1e3);
}

Endpoint endpoint(const Address& address) {
  sockaddr_in in{};
  std::memcpy(&in, address.data(), sizeof in);
  return {kBroadcast, ntohl(in.sin_addr.s_addr), ntohs(in.sin_port)};
}

/// What carries frames of one line: send one, look whether one has come.
class End {
 public:
  virtual ~End() = default;
  virtual bool ready() = 0;
  virtual void send() = 0;
  virtual bool take() = 0;
  /// False when nothing has woken it in a second.
  virtual bool sleep() { return true; }
};

class BareEnd final : public End {
 public:
  BareEnd(carriers::DpdkOptions options, const Endpoint& own, const Endpoint& peer)
      : own_(own), frame_(2 * regs::kLineBytes) {
    const std::string key = "net_af_xdp";
    carriers::start_eal(options.eal, false);
    if (options.device.rfind(key, 0) == 0) {
      xdp_ = carriers::XdpSteering::on_interface(carriers::device_argument(options.device, "iface"), 0, own);
      if (xdp_) options.device += ",xdp_prog=" + xdp_->path();
    }
    port_ = std::make_unique<carriers::Port>(options, own, false);
    Endpoint from = own;
    from.mac = port_->mac();
    const std::vector<std::byte> link(frame_.size() - pipeline::kCarrierBytes);
    pipeline::wrap(from, peer, link, frame_);
  }
  bool ready() override { return true; }
  void send() override {
    std::array<rte_mbuf*, 1> buffer{};
    if (!port_->allocate(0, buffer)) return;
    std::memcpy(rte_pktmbuf_mtod(buffer[0], std::byte*), frame_.data(), frame_.size());
    buffer[0]->data_len = static_cast<std::uint16_t>(frame_.size());
    buffer[0]->pkt_len = static_cast<std::uint32_t>(frame_.size());
    std::size_t refused = 0;
    if (port_->transmit(0, buffer, refused) == 0) ::rte_pktmbuf_free(buffer[0]);
  }
  bool take() override {
    std::array<rte_mbuf*, carriers::kDpdkBurst> buffers{};
    bool found = false;
    const std::size_t count = port_->receive(0, buffers);
    for (std::size_t i = 0; i < count; ++i) {
      const std::span<const std::byte> bytes(rte_pktmbuf_mtod(buffers[i], const std::byte*), buffers[i]->data_len);
      Endpoint own = own_;
      found = found || pipeline::unwrap(own, bytes).has_value();
      ::rte_pktmbuf_free(buffers[i]);
    }
    return found;
  }

 private:
  Endpoint own_;
  std::vector<std::byte> frame_;
  std::unique_ptr<carriers::XdpSteering> xdp_;
  std::unique_ptr<carriers::Port> port_;
};

class CarrierEnd final : public End, carriers::FrameSink {
 public:
  CarrierEnd(const carriers::DpdkOptions& options, const Address& peer)
      : line_(regs::kLineBytes), carrier_(std::make_unique<carriers::PortCarrier>(options)) {
    carrier_->add_link(0, peer, {});
  }
  bool ready() override {
    take();
    return up_;
  }
  void send() override {
    pipeline::TxFrame frame{};
    frame.payload = line_;
    carrier_->send({&frame, 1});
  }
  bool take() override {
    taken_ = 0;
    carrier_->poll(static_cast<std::uint64_t>(now_us()), carriers::kDpdkBurst, *this);
    return taken_ != 0;
  }
  bool sleep() override {
    pollfd entry{carrier_->fd(), POLLIN, 0};
    return ::poll(&entry, 1, 1000) != 0;
  }

 private:
  bool on_frame(std::uint16_t, std::span<const std::byte>) override {
    ++taken_;
    return true;
  }
  void on_link(std::uint16_t, bool up, std::string_view) override { up_ = up; }

  std::vector<std::byte> line_;
  std::unique_ptr<carriers::DpdkCarrier> carrier_;
  bool up_ = false;
  std::size_t taken_ = 0;
};

/// One line of memory each way between two processes, and a mark for each.
struct Hop {
  struct Way {
    alignas(regs::kLineBytes) std::atomic<std::uint32_t> mark;
    alignas(regs::kLineBytes) std::byte line[regs::kLineBytes];
  };
  Way up, down;
};

class HopEnd final : public End {
 public:
  /// `proxy`: the end that takes what goes up.
  HopEnd(const std::string& path, bool proxy) {
    const slot::Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!file || ::ftruncate(file.get(), sizeof(Hop)) != 0) carriers::throw_errno("opening " + path);
    memory_ = ::mmap(nullptr, sizeof(Hop), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (memory_ == MAP_FAILED) carriers::throw_errno("mapping " + path);
    Hop& hop = *static_cast<Hop*>(memory_);
    out_ = proxy ? &hop.down : &hop.up;
    in_ = proxy ? &hop.up : &hop.down;
    seen_ = in_->mark.load();
  }
  ~HopEnd() override { ::munmap(memory_, sizeof(Hop)); }
  HopEnd(const HopEnd&) = delete;
  HopEnd& operator=(const HopEnd&) = delete;
  bool ready() override { return true; }
  void send() override {
    std::memcpy(out_->line, line_.data(), line_.size());
    out_->mark.fetch_add(1, std::memory_order_release);
  }
  bool take() override {
    const std::uint32_t mark = in_->mark.load(std::memory_order_acquire);
    if (mark == seen_) {
      ::sched_yield();  // four processes share the processors
      return false;
    }
    seen_ = mark;
    std::memcpy(line_.data(), in_->line, line_.size());
    return true;
  }

 private:
  void* memory_ = nullptr;
  Hop::Way* out_ = nullptr;
  Hop::Way* in_ = nullptr;
  std::uint32_t seen_ = 0;
  std::array<std::byte, regs::kLineBytes> line_{};
};

int relay(End& memory, End& port) {
  while (!stopping) {
    if (memory.take()) port.send();
    if (port.take()) memory.send();
  }
  return 0;
}

int answer(End& end, bool sleep) {
  bool woken = true;
  while (!stopping) {
    const bool taken = end.take();
    if (taken && !woken) std::fprintf(stderr, "bench_dpdk_end: a frame was there and did not wake it\n");
    if (taken) end.send();
    woken = taken || !sleep || end.sleep() || stopping;
  }
  return 0;
}

int ask(End& end, int calls, unsigned pause_us) {
  while (!end.ready() && !stopping) {
  }
  std::vector<double> us;
  int lost = 0;
  for (int i = -calls / 10; i < calls && !stopping; ++i) {  // the first ones to get warm
    const double pause_end = now_us() + pause_us;
    if (pause_us != 0) ::usleep(pause_us / 2);
    while (now_us() < pause_end) end.take();  // awake again before it asks
    const double begin = now_us();
    end.send();
    bool taken = false;
    while (!(taken = end.take()) && now_us() - begin < kAnswerUs) {
    }
    if (!taken) ++lost;
    if (taken && i >= 0) us.push_back(now_us() - begin);
  }
  if (us.empty()) {
    std::fprintf(stderr, "bench_dpdk_end: nothing was answered; is the other end there?\n");
    return 1;
  }
  std::sort(us.begin(), us.end());
  std::printf("{\"p50\": %.2f, \"p99\": %.2f, \"lost\": %d}\n", us[us.size() / 2], us[us.size() * 99 / 100], lost);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    CLI::App app{"One end of a wire between two processes: see bench_dpdk.py."};
    carriers::DpdkOptions options;
    options.eal.hugepages = false;
    options.eal.memory = std::size_t{128} << 20;
    std::string address, peer, hop;
    bool carrier = false, sleep = false;
    int calls = 0;
    unsigned pause_us = 0;
    auto* const device = app.add_option("--device", options.device, "the port");
    device->needs(app.add_option("--address", address, "of this end"));
    device->needs(app.add_option("--peer", peer, "of the other end"));
    app.add_option("--hop", hop, "file of the memory that the line goes through");
    app.add_flag("--carrier", carrier, "the carrier instead of DPDK alone");
    app.add_flag("--sleep", sleep, "sleep while there is nothing to do");
    app.add_option("--calls", calls, "ask so often");
    app.add_option("--pause", pause_us, "microseconds before each");
    CLI11_PARSE(app, argc, argv);
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGTERM, [](int) { stopping = true; });
    std::unique_ptr<End> end;
    if (options.device.empty()) {
      end = std::make_unique<HopEnd>(hop, false);
      std::fprintf(stderr, "ready\n");
      return calls == 0 ? answer(*end, false) : ask(*end, calls, 0);
    }
    options.address = Address::parse(address);
    if (carrier) {
      end = std::make_unique<CarrierEnd>(options, Address::parse(peer));
    } else {
      Endpoint own = endpoint(options.address);
      end = std::make_unique<BareEnd>(options, own, endpoint(Address::parse(peer)));
    }
    std::unique_ptr<HopEnd> memory;
    if (!hop.empty()) memory = std::make_unique<HopEnd>(hop, true);
    std::fprintf(stderr, "ready\n");
    if (memory) return relay(*memory, *end);
    return calls == 0 ? answer(*end, sleep) : ask(*end, calls, pause_us);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_dpdk_end: %s\n", error.what());
    return 1;
  }
}
