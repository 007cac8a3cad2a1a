// slotwire ping: round-trip times to a process that serves a service.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "tools/slotwire/common.hpp"
#include "tools/slotwire/count_option.hpp"
#include "tools/slotwire/histogram.hpp"
#include "tools/slotwire/text.hpp"

namespace slotwire::cli {
namespace {

using Json = nlohmann::json;
using std::chrono::microseconds;

/// Method that every program's process library answers by itself.
constexpr std::uint16_t kPingMethod = 65535;

struct PingOptions {
  Common common;
  std::string service;
  std::uint64_t count = 0;
  microseconds interval{1'000'000};
  microseconds timeout{1'000'000};
};

struct Tally {
  Histogram times;
  std::uint64_t sent = 0;
  std::uint64_t lost = 0;
};

void print_one(const PingOptions& options, const sw_peer& peer, std::uint64_t number, std::optional<std::uint64_t> ns,
               int status) {
  if (options.common.json) {
    Json line{{"seq", number}, {"lost", !ns}};
    if (ns) line["rtt_us"] = static_cast<double>(*ns) / 1000;
    if (!ns) line["why"] = sw_status_name(status);
    std::printf("%s\n", line.dump().c_str());
  } else if (ns) {
    std::printf("answer from %s@%s: seq %llu time %s\n", peer.name, peer.node, static_cast<unsigned long long>(number),
                time_text(static_cast<double>(*ns)).c_str());
  } else {
    std::printf("no answer to seq %llu: %s\n", static_cast<unsigned long long>(number), sw_status_name(status));
  }
  flush_output();
}

void print_tally(const PingOptions& options, const sw_peer& peer, const Tally& tally) {
  const Histogram& times = tally.times;
  const auto us = [](double ns) { return ns / 1000; };
  if (options.common.json) {
    std::printf("%s\n", Json{{"service", options.service},
                             {"node", peer.node},
                             {"direct", peer.direct != 0},
                             {"sent", tally.sent},
                             {"received", times.count()},
                             {"lost", tally.lost},
                             {"min_us", us(static_cast<double>(times.least()))},
                             {"mean_us", us(times.mean())},
                             {"p50_us", us(static_cast<double>(times.at(0.5)))},
                             {"p99_us", us(static_cast<double>(times.at(0.99)))},
                             {"max_us", us(static_cast<double>(times.most()))}}
                            .dump()
                            .c_str());
    return;
  }
  const double share = tally.sent == 0 ? 0 : 100.0 * static_cast<double>(tally.lost) / static_cast<double>(tally.sent);
  std::printf("--- %s on %s%s ---\n%llu sent, %llu answered, %llu lost (%.1f %%)\n", options.service.c_str(), peer.node,
              peer.direct != 0 ? " (direct pair)" : "", static_cast<unsigned long long>(tally.sent),
              static_cast<unsigned long long>(times.count()), static_cast<unsigned long long>(tally.lost), share);
  if (times.count() != 0) {
    std::printf("min %s  avg %s  p50 %s  p99 %s  max %s\n", time_text(static_cast<double>(times.least())).c_str(),
                time_text(times.mean()).c_str(), time_text(static_cast<double>(times.at(0.5))).c_str(),
                time_text(static_cast<double>(times.at(0.99))).c_str(),
                time_text(static_cast<double>(times.most())).c_str());
  }
}

int run_ping(const PingOptions& options) {
  const ContextPtr context = open_context(options.common, "slotwire-ping");
  const ConnectionPtr connection = connect(*context, options.service, options.timeout * 5);
  sw_peer peer;
  SW_INIT(peer);
  check(sw_connection_peer(connection.get(), &peer), "cannot tell who answers");
  StopSignal stop;
  stop.interrupts(connection.get());
  Tally tally;
  int status = SW_OK;
  while (!stop.stopped() && (options.count == 0 || tally.sent < options.count)) {
    if (tally.sent != 0 && stop.wait(options.interval)) break;
    const auto start = std::chrono::steady_clock::now();
    sw_message reply;
    SW_INIT(reply);
    status = sw_call(connection.get(), kPingMethod, nullptr, 0, to_ms(options.timeout), &reply);
    const auto ns =
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count();
    if (status == SW_CANCELLED) break;
    ++tally.sent;
    if (status == SW_OK) {
      sw_release(connection.get(), &reply);
      tally.times.add(static_cast<std::uint64_t>(ns));
      print_one(options, peer, tally.sent, static_cast<std::uint64_t>(ns), status);
      continue;
    }
    ++tally.lost;
    print_one(options, peer, tally.sent, std::nullopt, status);
    const bool for_good =
        status != SW_TIMED_OUT && status != SW_LINK_DOWN && status != SW_ENGINE_GONE && status != SW_AGAIN;
    if (for_good) {
      print_tally(options, peer, tally);
      fail(status, "cannot go on");
    }
  }
  stop.interrupts(nullptr);
  print_tally(options, peer, tally);
  if (tally.times.count() != 0) return kExitOk;
  return status == SW_LINK_DOWN || status == SW_ENGINE_GONE ? exit_code_of(status) : kExitFailed;
}

}  // namespace

void add_ping(CLI::App& app, Command& command) {
  auto options = std::make_shared<PingOptions>();
  CLI::App* sub = app.add_subcommand("ping", "Measure round trips to a process that serves a service");
  sub->add_option("SERVICE", options->service, "the service")->required()->check(service_name());
  add_count(*sub, "-c,--count", options->count, "stop after so many (default: until Ctrl-C)");
  add_duration(*sub, "-i,--interval", options->interval, microseconds(0), microseconds(3'600'000'000),
               "time between two (default 1s)");
  add_duration(*sub, "-W,--timeout", options->timeout, microseconds(1000), microseconds(3'600'000'000),
               "an answer that takes longer is lost (default 1s)");
  add_common(*sub, options->common, "print one JSON object a line for each, then one with the figures");
  sub->footer(
      R"(The process library of whoever serves answers, whenever its program looks at the connection: a program that is
busy elsewhere answers late. A ping carries no data. Exit status 0 if anything was answered.

Example: slotwire ping orders -c 100 -i 10ms)");
  sub->callback([options, &command] { command = [options] { return run_ping(*options); }; });
}

}  // namespace slotwire::cli
