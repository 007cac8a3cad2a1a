// Round trips and throughput of one connection: same node, two nodes over UDP and TCP, encrypted, beside bare UDP and
// TCP.
#include "round_trips.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <stdexcept>

#include "cases.hpp"
#include "contenders/slot_end.hpp"

namespace slotwire::bench {
namespace {

using nlohmann::json;

constexpr std::size_t kSmall = 40;                     // one line with its record header
constexpr std::size_t kLarge = std::size_t{64} << 10;  // of the throughput cases
constexpr const char* kEncrypted = "two nodes, udp, aes-256-gcm";

double now_us() {
  return clock_us(CLOCK_MONOTONIC);
}

struct Latency {
  double p50 = 0, p99 = 0, rate = 0;
};

Latency summarise(std::vector<double>& us, double total_us) {
  std::sort(us.begin(), us.end());
  return {us[us.size() / 2], us[us.size() * 99 / 100], static_cast<double>(us.size()) * 1e6 / total_us};
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

/// A bare socket pair of two processes; the child echoes `size` bytes, or swallows them and answers one byte a series.
struct BarePair {
  BarePair(int type, std::size_t size, bool swallow, std::size_t series) {
    const slot::Fd listener(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
    sockaddr_in address = loopback(0);
    socklen_t length = sizeof address;
    if (::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
        ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0 ||
        (type == SOCK_STREAM && ::listen(listener.get(), 1) != 0)) {
      throw std::runtime_error("no bare listener");
    }
    child = ::fork();
    if (child == 0) {
      int fd = listener.get();
      if (type == SOCK_STREAM) fd = ::accept(fd, nullptr, nullptr);
      const int one = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      std::vector<char> buffer(std::max<std::size_t>(size, 1 << 16));
      std::size_t got = 0;
      while (true) {
        sockaddr_in peer{};
        socklen_t peer_length = sizeof peer;
        const ssize_t n =
            ::recvfrom(fd, buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&peer), &peer_length);
        if (n <= 0) ::_exit(0);
        if (!swallow) {
          ::sendto(fd, buffer.data(), static_cast<std::size_t>(n), 0,
                   type == SOCK_DGRAM ? reinterpret_cast<sockaddr*>(&peer) : nullptr,
                   type == SOCK_DGRAM ? peer_length : 0);
          continue;
        }
        got += static_cast<std::size_t>(n);
        while (got >= series) {
          got -= series;
          ::send(fd, "x", 1, 0);
        }
      }
    }
    fd = slot::Fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
    const int one = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("no bare connection");
  }
  ~BarePair() {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  slot::Fd fd;
  pid_t child = -1;
};

Latency bare_round_trip(int type, int calls) {
  BarePair pair(type, kSmall, false, 0);
  std::array<char, kSmall> data{};
  std::vector<double> us;
  const double begin = now_us();
  for (int i = 0; i < calls; ++i) {
    const double t = now_us();
    ::send(pair.fd.get(), data.data(), data.size(), 0);
    std::size_t got = 0;
    while (got < data.size()) {
      const ssize_t n = ::recv(pair.fd.get(), data.data(), data.size() - got, 0);
      if (n <= 0) throw std::runtime_error("the bare echo ended");
      got += static_cast<std::size_t>(n);
    }
    us.push_back(now_us() - t);
  }
  return summarise(us, now_us() - begin);
}

double bare_stream(std::size_t message, std::size_t count) {
  const std::size_t series = message * count;
  BarePair pair(SOCK_STREAM, message, true, series);
  const std::vector<char> data(message);
  const double begin = now_us();
  for (std::size_t i = 0; i < count; ++i) {
    std::size_t sent = 0;
    while (sent < message) {
      const ssize_t n = ::send(pair.fd.get(), data.data() + sent, message - sent, 0);
      if (n <= 0) throw std::runtime_error("the bare stream ended");
      sent += static_cast<std::size_t>(n);
    }
  }
  char end = 0;
  if (::recv(pair.fd.get(), &end, 1, 0) != 1) throw std::runtime_error("the bare stream was not answered");
  return now_us() - begin;
}

struct Caller {
  Caller(const std::string& socket, const std::string& service) : context(socket) {
    sw_connect_options rings;
    SW_INIT(rings);
    rings.in_bytes = rings.out_bytes = 1 << 20;
    connection = context.connect(service, &rings);
  }

  Latency round_trip(int calls) {
    std::array<char, kSmall> data{};
    std::vector<double> us;
    const double begin = now_us();
    for (int i = 0; i < calls; ++i) {
      const double t = now_us();
      sw_message reply;
      SW_INIT(reply);
      check(sw_call(connection, 0, data.data(), data.size(), kWaitMs, &reply), "cannot call");
      sw_release(connection, &reply);
      us.push_back(now_us() - t);
    }
    return summarise(us, now_us() - begin);
  }

  /// Microseconds for `count` one-way messages and an answer to the last.
  double one_way(std::size_t message, std::size_t count) {
    const std::vector<char> data(message);
    const double begin = now_us();
    for (std::size_t i = 0; i < count; ++i) check(sw_send(connection, data.data(), data.size(), kWaitMs), "send");
    sw_message reply;
    SW_INIT(reply);
    check(sw_call(connection, 0, nullptr, 0, kWaitMs, &reply), "last call");
    sw_release(connection, &reply);
    return now_us() - begin;
  }

  SlotContext context;
  sw_connection* connection = nullptr;
};

}  // namespace

int print_one_connection(const std::string& socket, const std::string& service, int count, const std::string& what) {
  Caller caller(socket, service);
  caller.round_trip(std::min(count, 1000));  // warm
  json result;
  if (what == "round-trips") {
    const Latency latency = caller.round_trip(count);
    result = {{"p50", latency.p50}, {"p99", latency.p99}};
  } else {
    const auto messages = static_cast<std::size_t>(count);
    result = {{"rate", static_cast<double>(messages) * 1e6 / caller.one_way(kSmall, messages)}};
  }
  std::printf("%s\n", result.dump().c_str());
  return 0;
}

void run_round_trips(Stage& stage, const std::string& name) {
  const int calls = static_cast<int>(stage.scale().calls);
  const std::size_t small_count = stage.scale().calls * 10,
                    large_count = std::max<std::size_t>(stage.scale().calls / 10, 10);
  const fault::Cluster& udp = stage.pair();
  const std::unique_ptr<fault::Cluster> tcp = stage.make_nodes(2, "", "tcp");
  const std::unique_ptr<fault::Cluster> sealed = stage.make_nodes(2, "", "udp", "aes-256-gcm");
  const std::string service = fault::Cluster::service(1);
  std::vector<Part> servers;
  for (const fault::Cluster* const nodes :
       std::initializer_list<const fault::Cluster*>{&udp, tcp.get(), sealed.get()}) {
    servers.emplace_back("server",
                         [&](const Ready& ready) { serve_echo(nodes->socket(1), service, [&] { ready(service); }); });
    servers.back().wait();
  }
  Figures& figures = stage.figures();
  const auto round_trip = [&](const std::string& contender, const Latency& l) {
    figures.add(name, contender, {"round-trip p50", "us", l.p50});
    figures.add(name, contender, {"round-trip p99", "us", l.p99});
    figures.add(name, contender, {"round-trip calls", "calls/s", l.rate});
  };
  const auto throughput = [&](const std::string& contender, double small_us, double large_us) {
    figures.add(name, contender, {"40-byte messages", "messages/s", static_cast<double>(small_count) * 1e6 / small_us});
    figures.add(name, contender, {"64 KiB messages", "MB/s", static_cast<double>(large_count * kLarge) / large_us});
  };
  const auto through = [&](const std::string& contender, const std::string& socket) {
    Caller caller(socket, service);
    caller.round_trip(std::max(calls / 10, 1));  // warm
    round_trip(contender, caller.round_trip(calls));
    const double small_us = caller.one_way(kSmall, small_count);
    throughput(contender, small_us, caller.one_way(kLarge, large_count));
  };
  for (const char* const metric : {"round-trip p50", "round-trip p99", "round-trip calls"})
    figures.set_floor(name, "bare udp", metric);
  figures.set_floor(name, "bare tcp");
  for (int run = 0; run < stage.scale().runs; ++run) {
    round_trip("bare udp", bare_round_trip(SOCK_DGRAM, calls));
    round_trip("bare tcp", bare_round_trip(SOCK_STREAM, calls));
    const double small_us = bare_stream(kSmall, small_count);
    throughput("bare tcp", small_us, bare_stream(kLarge, large_count));
    through("same node", udp.socket(1));
    through("two nodes, udp", udp.socket(0));
    through(kEncrypted, sealed->socket(0));
    through("two nodes, tcp", tcp->socket(0));
  }
}

}  // namespace slotwire::bench
