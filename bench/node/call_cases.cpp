#include "call_cases.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>

#include "cases.hpp"

namespace slotwire::bench {
namespace {

constexpr std::size_t kWarmCalls = 64;  ///< of each caller and server, before the clock starts

/// Keeps `under_way` calls under way on the ends in turn until `count` are answered. With one under way there may be
/// several ends.
void make_calls(const std::vector<std::unique_ptr<CallEnd>>& ends, std::size_t under_way, std::size_t count,
                double* latencies) {
  std::vector<double> begun(count);
  std::size_t started = 0, finished = 0;
  const auto start = [&] {
    begun[started] = clock_us(CLOCK_MONOTONIC);
    ends[started % ends.size()]->start(started);
    ++started;
  };
  while (started < std::min(under_way, count)) start();
  while (finished < count) {
    ends[finished % ends.size()]->finish([&](std::size_t number) {
      if (latencies != nullptr) latencies[number] = clock_us(CLOCK_MONOTONIC) - begun[number];
      ++finished;
      if (started < count) start();
    });
  }
}

/// Lets all callers begin at one time: reading waits until it is opened.
class Gate {
 public:
  Gate() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe for the callers");
    read_ = slot::Fd(ends[0]);
    write_ = slot::Fd(ends[1]);
  }
  void open() { write_ = slot::Fd(); }
  /// In a caller.
  void wait() {
    write_ = slot::Fd();
    char none = 0;
    while (::read(read_.get(), &none, 1) > 0) {
    }
  }

 private:
  slot::Fd read_, write_;
};

}  // namespace

std::vector<Value> measure_calls(const CallShape& shape, std::size_t calls, const Contender& contender) {
  const std::size_t each = std::max<std::size_t>(calls / shape.callers, 1), total = each * shape.callers;
  SharedArray<double> latencies(total), callers_us(shape.callers);
  std::vector<Part> servers, callers;
  std::vector<std::string> endpoints;
  std::vector<pid_t> server_pids;
  for (std::size_t i = 0; i < shape.servers; ++i) {
    servers.emplace_back(contender.name + ": server", [&](const Ready& ready) { contender.echo(ready, i); });
    endpoints.push_back(servers.back().wait());
    server_pids.push_back(servers.back().pid());
  }
  Gate gate;
  for (std::size_t i = 0; i < shape.callers; ++i) {
    callers.emplace_back(contender.name + ": caller", [&](const Ready& ready) {
      std::vector<std::unique_ptr<CallEnd>> ends;
      for (const std::string& endpoint : endpoints) ends.push_back(contender.call(endpoint));
      make_calls(ends, shape.under_way, std::max(kWarmCalls * ends.size(), shape.under_way), nullptr);
      ready("warm");
      gate.wait();
      const double cpu = clock_us(CLOCK_PROCESS_CPUTIME_ID);
      make_calls(ends, shape.under_way, each, latencies.data() + (i * each));
      callers_us[i] = clock_us(CLOCK_PROCESS_CPUTIME_ID) - cpu;
      ready("done");
      while (true) ::pause();  // with its connections, which are not closed while others measure
    });
  }
  for (Part& caller : callers) caller.wait();
  std::vector<pid_t> ends = server_pids;
  for (const Part& caller : callers) ends.push_back(caller.pid());
  const double servers_before = cpu_us_of(server_pids), proxies_before = cpu_us_of(contender.proxies);
  const double ends_slept_before = sleeps_of(ends), proxies_slept_before = sleeps_of(contender.proxies);
  const double begin = clock_us(CLOCK_MONOTONIC);
  gate.open();
  for (Part& caller : callers) caller.wait();
  const double elapsed = clock_us(CLOCK_MONOTONIC) - begin;
  const double proxies_us = cpu_us_of(contender.proxies) - proxies_before;
  const double proxies_slept = sleeps_of(contender.proxies) - proxies_slept_before;
  const double ends_slept = sleeps_of(ends) - ends_slept_before;
  double cpu = cpu_us_of(server_pids) - servers_before + proxies_us;
  for (std::size_t i = 0; i < shape.callers; ++i) cpu += callers_us[i];
  std::sort(latencies.data(), latencies.data() + total);
  const auto count = static_cast<double>(total);
  std::vector<Value> values{{"p50", "us", latencies[total / 2]},
                            {"p99", "us", latencies[total * 99 / 100]},
                            {"calls", "calls/s", count * 1e6 / elapsed},
                            {"processor time per call", "us", cpu / count},
                            {"sleeps per call", "", (ends_slept + proxies_slept) / count}};
  if (!contender.proxies.empty()) {
    values.push_back({"processor time per call, all slotwired", "us", proxies_us / count});
    values.push_back({"sleeps per call, all slotwired", "", proxies_slept / count});
  }
  return values;
}

void run_calls(Stage& stage, const std::string& name) {
  static const std::map<std::string, CallShape> shapes{
      {"call-1", {}}, {"call-16", {.callers = 16}}, {"call-64", {.callers = 64}}, {"under-way-64", {.under_way = 64}}};
  const CallShape shape = shapes.at(name);
  const std::size_t count = stage.scale().calls * (shape.under_way > 1 ? 10 : 1);
  std::vector<Contender> all{slotwire_contender(stage.pair()), relay_asleep(), relay_awake()};
  all.insert(all.end(), peers().begin(), peers().end());
  stage.figures().set_floor(name, "bare tcp");
  for (int run = 0; run < stage.scale().runs; ++run) {
    for (const Contender& contender : all) {
      if (shape.under_way == 1 ? contender.only_several : contender.only_single) continue;
      for (const Value& value : measure_calls(shape, count, contender))
        stage.figures().add(name, contender.name, value);
    }
  }
}

void run_peers(Stage& stage, const std::string& name) {
  constexpr std::size_t kPeers = 4;
  const std::unique_ptr<fault::Cluster> nodes = stage.make_nodes(kPeers + 1);
  stage.figures().set_floor(name, "bare tcp");
  const std::vector<Contender> all{slotwire_contender(*nodes), relay_asleep(), relay_awake(), bare_tcp()};
  for (int run = 0; run < stage.scale().runs; ++run) {
    for (const Contender& contender : all) {
      for (const std::size_t servers : {kPeers, std::size_t{1}}) {
        for (const Value& value : measure_calls({.servers = servers}, stage.scale().calls, contender))
          stage.figures().add(name, contender.name + (servers == 1 ? ", one of them" : ""), value);
      }
    }
  }
}

void run_hog(Stage& stage, const std::string& name) {
  stage.figures().set_floor(name, "bare tcp");
  const std::vector<Contender> all{slotwire_contender(stage.pair()), relay_asleep(), bare_tcp()};
  for (int run = 0; run < stage.scale().runs; ++run) {
    for (const Contender& contender : all) {
      for (const bool hog : {true, false}) {
        const std::vector<Part> hogs = hog ? start_hogs() : std::vector<Part>();
        for (const Value& value : measure_calls({}, stage.scale().calls / 2, contender))
          stage.figures().add(name, contender.name + (hog ? "" : ", no hog"), value);
      }
    }
  }
}

}  // namespace slotwire::bench
