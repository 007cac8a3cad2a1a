// Round trips and throughput between processes: same node, two nodes over UDP and TCP, beside bare UDP and TCP in the
// same run.
//
//   bench_node [--runs N] [--calls N] [--cases all|calls|CASE,...] [--json FILE]
//
// Every figure is the median of several runs with its smallest and largest; floors are what two processes get from the
// kernel with nothing in between, measured in turn with the rest so that a machine that slows down slows all of them.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

#include "call_cases.hpp"
#include "cluster.hpp"
#include "slotwire.h"

namespace {

using namespace slotwire;
using fault::Child;
using fault::Cluster;
using nlohmann::json;

constexpr std::size_t kSmall = 40;                     // one line with its record header
constexpr std::size_t kLarge = std::size_t{64} << 10;  // of the throughput cases
constexpr int kWaitMs = 30'000;
/// Added to the name of a bare TCP case whose ends collect what they send.
constexpr const char* kTogether = ", sent together";
constexpr const char* kEncrypted = "two nodes, udp, aes-256-gcm";

void check(int status, const char* what) {
  if (status == SW_OK) return;
  throw std::runtime_error(std::string(what) + ": " + sw_status_name(status) + ": " + sw_last_error());
}

double now_us() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return (static_cast<double>(now.tv_sec) * 1e6) + (static_cast<double>(now.tv_nsec) / 1e3);
}

struct Latency {
  double p50 = 0, p99 = 0, rate = 0;
};

Latency summarise(std::vector<double>& us, double total_us) {
  std::sort(us.begin(), us.end());
  return {us[us.size() / 2], us[us.size() * 99 / 100], static_cast<double>(us.size()) * 1e6 / total_us};
}

// --- the processes at the other end ---

/// Answers requests; counts one-way messages and answers the last one of a series (code 1 asks for it).
int serve(const char* socket, const char* name) {
  sw_options options;
  SW_INIT(options);
  options.socket = socket;
  sw_context* context = nullptr;
  check(sw_open(&options, &context), "open");
  sw_service* service = nullptr;
  check(sw_serve(context, name, nullptr, &service), "serve");
  sw_poller* poller = nullptr;
  check(sw_poller_create(context, &poller), "poller");
  while (true) {
    sw_ready ready[64];
    std::size_t count = 0;
    check(sw_poller_wait(poller, ready, 64, SW_FOREVER, &count), "wait");
    sw_connection* connection = nullptr;
    while (sw_accept(service, 0, &connection) == SW_OK) sw_poller_add(poller, connection, SW_READABLE, connection);
    for (std::size_t i = 0; i < count; ++i) {
      connection = static_cast<sw_connection*>(ready[i].token);
      for (int budget = 0; budget < 256; ++budget) {
        sw_message message;
        SW_INIT(message);
        const int status = sw_receive(connection, 0, &message);
        if (status == SW_AGAIN) break;
        if (status != SW_OK) {
          sw_connection_close(connection);
          break;
        }
        if (message.kind == SW_REQUEST)
          check(sw_reply(connection, message.id, message.data, message.length, kWaitMs), "reply");
        sw_release(connection, &message);
      }
    }
  }
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

// --- through slots ---

struct Caller {
  Caller(const std::string& socket, const std::string& service) {
    sw_options options;
    SW_INIT(options);
    options.socket = socket.c_str();
    check(sw_open(&options, &context), "open");
    sw_connect_options connect;
    SW_INIT(connect);
    connect.in_bytes = connect.out_bytes = 1 << 20;
    if (!fault::eventually(
            kWaitMs, [&] { return sw_connect(context, service.c_str(), &connect, 5000, &connection) == SW_OK; })) {
      throw std::runtime_error("cannot connect to " + service + ": " + sw_last_error());
    }
  }
  ~Caller() { sw_close(context); }

  Latency round_trip(int calls) {
    std::array<char, kSmall> data{};
    std::vector<double> us;
    const double begin = now_us();
    for (int i = 0; i < calls; ++i) {
      const double t = now_us();
      sw_message reply;
      SW_INIT(reply);
      check(sw_call(connection, 0, data.data(), data.size(), kWaitMs, &reply), "call");
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

  sw_context* context = nullptr;
  sw_connection* connection = nullptr;
};

/// Processor time of a process in microseconds.
double cpu_us(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string field;
  double ticks = 0;
  for (int i = 3; i <= 15 && fields >> field; ++i) {
    if (i == 14 || i == 15) ticks += std::stod(field);
  }
  return ticks * 1e6 / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

struct Samples {
  std::map<std::string, std::map<std::string, std::vector<double>>> values;  // case -> metric -> runs
  void add(const std::string& name, const std::string& metric, double value) { values[name][metric].push_back(value); }
  bool has(const std::string& name, const std::string& metric) const {
    const auto found = values.find(name);
    return found != values.end() && found->second.contains(metric);
  }
};

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

/// For other benchmarks: calls or one-way messages of 40 bytes through one connection; prints what it measured.
int call(const char* socket, const char* service, int count, const std::string& what) {
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

/// Name of the bare TCP case beside the call case `name`.
std::string bare_case(const std::string& name) {
  return "bare tcp, " + name;
}

/// Cases with several calls under way, each beside bare TCP, in turn.
void run_call_cases(Samples& samples, std::size_t calls, const bench::CallNodes& nodes,
                    const std::vector<std::string>& only) {
  const auto add = [&](const std::string& name, const bench::CallResult& result) {
    samples.add(name, "calls", result.rate);
    samples.add(name, "call p50", result.p50);
    samples.add(name, "call p99", result.p99);
    samples.add(name, "processor time per call", result.cpu_us);
    if (result.proxies_us != 0) samples.add(name, "processor time per call, both slotwired", result.proxies_us);
  };
  for (const bench::CallShape& shape : bench::call_shapes()) {
    if (!only.empty() && std::find(only.begin(), only.end(), shape.name) == only.end()) continue;
    const std::size_t count = calls * (shape.under_way > 1 ? 10 : 1);
    add(bare_case(shape.name), bench::measure_bare_calls(shape, count, bench::Sending::each));
    if (shape.under_way > 1)
      add(bare_case(shape.name) + kTogether, bench::measure_bare_calls(shape, count, bench::Sending::together));
    add(shape.name, bench::measure_calls(shape, count, nodes));
  }
}

struct Options {
  int runs = 5;
  int calls = 20'000;
  bool only_calls = false;
  std::vector<std::string> only;  ///< of the call cases; empty: all of them
  std::string json_path, extra;
};

int run(const Options& options) {
  const int runs = options.runs;
  const int calls = options.calls;
  const std::string& json_path = options.json_path;
  fault::ClusterOptions udp_options;
  udp_options.slotwired = SLOTWIRE_SLOTWIRED;
  udp_options.extra = "[log]\nlevel = \"warn\"\n" + options.extra;
  fault::ClusterOptions tcp_options = udp_options;
  tcp_options.carrier = "tcp";
  fault::ClusterOptions sealed_options = udp_options;
  sealed_options.encryption = "aes-256-gcm";
  Cluster udp(udp_options);
  Cluster sealed(sealed_options);
  Cluster tcp(tcp_options);
  std::vector<Child> servers;
  for (Cluster* cluster : {&udp, &sealed, &tcp}) {
    for (std::size_t node = 0; node < 2; ++node) cluster->start(node);
    servers.push_back(Child::start({"/proc/self/exe", "--serve", cluster->socket(1), "on-b"}, -1,
                                   cluster->directory() / "server.log"));
  }
  Samples samples;
  const std::size_t small_count = static_cast<std::size_t>(calls) * 10;
  const std::size_t large_count = 2000;
  const auto round_trip = [&](const std::string& name, const Latency& l) {
    samples.add(name, "round-trip calls", l.rate);
    samples.add(name, "round-trip p50", l.p50);
    samples.add(name, "round-trip p99", l.p99);
  };
  const auto through = [&](const std::string& name, const std::string& socket) {
    Caller caller(socket, "on-b");
    caller.round_trip(calls / 10);  // warm
    round_trip(name, caller.round_trip(calls));
    samples.add(name, "40-byte messages", static_cast<double>(small_count) * 1e6 / caller.one_way(kSmall, small_count));
    samples.add(name, "64 KiB messages",
                static_cast<double>(large_count * kLarge) / caller.one_way(kLarge, large_count));
  };
  const bench::CallNodes call_nodes{
      .socket = udp.socket(0), .service = "on-b", .proxies = {udp.pid(0), udp.pid(1)}, .server = servers.front().pid()};
  for (int i = 0; i < runs; ++i) {
    std::fprintf(stderr, "run %d of %d\n", i + 1, runs);
    run_call_cases(samples, static_cast<std::size_t>(calls), call_nodes, options.only);
    if (options.only_calls) continue;
    round_trip("bare udp", bare_round_trip(SOCK_DGRAM, calls));
    round_trip("bare tcp", bare_round_trip(SOCK_STREAM, calls));
    samples.add("bare tcp", "40-byte messages",
                static_cast<double>(small_count) * 1e6 / bare_stream(kSmall, small_count));
    samples.add("bare tcp", "64 KiB messages",
                static_cast<double>(large_count * kLarge) / bare_stream(kLarge, large_count));
    through("same node", udp.socket(1));
    through("two nodes, udp", udp.socket(0));
    through(kEncrypted, sealed.socket(0));
    through("two nodes, tcp", tcp.socket(0));
  }
  if (!options.only_calls) {
    // Idle: nothing to do for a while, with everything attached.
    constexpr int kIdleMs = 5000;
    const double cpu_before = cpu_us(udp.pid(0)) + cpu_us(udp.pid(1));
    fault::eventually(kIdleMs, [] { return false; });
    const double idle = (cpu_us(udp.pid(0)) + cpu_us(udp.pid(1)) - cpu_before) / (2.0 * kIdleMs * 1000) * 100;
    samples.add("idle", "processor of an idle slotwired", idle);
  }

  json rows = json::array();
  const auto unit_of = [](const std::string& metric) {
    if (metric == "round-trip calls" || metric == "calls") return "calls/s";
    if (metric.starts_with("round-trip") || metric.starts_with("call") || metric.starts_with("processor time"))
      return "us";
    if (metric.starts_with("64")) return "MB/s";
    return metric.starts_with("processor") ? "%" : "messages/s";
  };
  for (const auto& [name, metrics] : samples.values) {
    for (const auto& [metric, values] : metrics) {
      // What encryption costs is seen beside the same link without it.
      const std::string bare = bare_case(name);
      const std::string floor_name = name == kEncrypted                 ? "two nodes, udp"
                                     : samples.values.contains(bare)    ? bare
                                     : name.starts_with("bare tcp, ")   ? name
                                     : metric.starts_with("round-trip") ? "bare udp"
                                                                        : "bare tcp";
      json row{{"suite", "node"},
               {"case", name},
               {"metric", metric},
               {"unit", unit_of(metric)},
               {"value", median(values)},
               {"runs", values.size()},
               {"spread",
                {*std::min_element(values.begin(), values.end()), *std::max_element(values.begin(), values.end())}},
               {"floor", nullptr},
               {"ratio_to_floor", nullptr},
               {"peers", json::object()}};
      if (name != "idle" && samples.has(floor_name, metric)) {
        const double floor = median(samples.values[floor_name][metric]);
        row["floor"] = floor;
        row["ratio_to_floor"] = median(values) / floor;
        for (const std::string& peer : {std::string("bare udp"), std::string("bare tcp"), bare, bare + kTogether}) {
          if (peer != name && samples.has(peer, metric)) row["peers"][peer] = median(samples.values[peer][metric]);
        }
      }
      rows.push_back(row);
    }
  }
  if (json_path.empty()) {
    std::printf("%s\n", rows.dump(1).c_str());
  } else {
    std::ofstream(json_path) << rows.dump(1) << "\n";
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 4 && std::string(argv[1]) == "--serve") return serve(argv[2], argv[3]);
    if (argc == 6 && std::string(argv[1]) == "--call") return call(argv[2], argv[3], std::stoi(argv[4]), argv[5]);
    CLI::App app{"Round trips and throughput between processes, beside bare UDP and TCP."};
    Options options;
    std::vector<std::string> cases{"all"};
    std::vector<std::string> known{"all", "calls"};
    for (const bench::CallShape& shape : bench::call_shapes()) known.push_back(shape.name);
    std::string& extra = options.extra;
    app.add_option("--config", extra, "more configuration for the nodes, e.g. '[wait]\\nyield = \"0us\"'");
    app.add_option("--runs", options.runs, "how often each case is measured")->capture_default_str();
    app.add_option("--calls", options.calls, "round trips in one run")->capture_default_str();
    app.add_option("--cases", cases, "which cases: all, those with calls under way (calls), or some of these by name")
        ->delimiter(',')
        ->check(CLI::IsMember(known))
        ->capture_default_str();
    app.add_option("--json", options.json_path, "where to write the result; none: standard output");
    CLI11_PARSE(app, argc, argv);
    for (std::size_t at = extra.find("\\n"); at != std::string::npos; at = extra.find("\\n"))
      extra.replace(at, 2, "\n");
    options.only_calls = std::find(cases.begin(), cases.end(), "all") == cases.end();
    if (std::find(cases.begin(), cases.end(), "calls") == cases.end() && options.only_calls) options.only = cases;
    return run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_node: %s\n", error.what());
    return 1;
  }
}
