// What a card needs in clocks, measured in simulation, and how fast the simulation is.
//
//   bench_card [--runs N] [--json FILE] [--pcie]
//
// Clocks are those of the core with the slot memory of hw/rtl/prim/sw_slot_mem.sv. A floor is what the ports alone
// need: the latency of memory, or the beats that a frame takes on the wire.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <stdexcept>

#include "core/pipeline/frame.hpp"
#include "host_output.hpp"
#include "pcie_model.hpp"
#include "sim/card/card_driver.hpp"
#include "sim/lockstep/program.hpp"

namespace {
using namespace slotwire;
using nlohmann::json;
using sim::SimCardDriver;

constexpr unsigned kReadClocks = 3;   ///< of slot memory: as the cards of bench/card/CMakeLists.txt
constexpr unsigned kWriteClocks = 2;  ///< until slot memory says that a write is done
constexpr std::uint16_t kPeerSlot = 2;
constexpr std::uint32_t kFrameLines = 32;
constexpr std::uint64_t kPatience = 2'000'000;  ///< clocks

/// When what was last seen at the ports.
class Clocks final : public sim::PortWatcher {
 public:
  void host_request(std::uint64_t clock, bool write, std::uint32_t address, const sim::Line& /*data*/) override {
    if (write && address >= regs::kCardProcessPages && address < regs::kCardProxyPages) doorbell = clock;
  }
  void wire_beat(std::uint64_t clock, bool out, bool first, bool last, const sim::Line& /*data*/) override {
    if (!out) {
      if (last) last_in = clock;
      return;
    }
    if (first && !first_out) first_out = clock;
    if (!first) {
      ++lines_out;
      last_line_out = clock;
    }
    if (last) {
      last_out = clock;
      ++frames_out;
    }
  }
  void interrupt(std::uint64_t clock, std::uint32_t /*vectors*/) override {
    if (!interrupted) interrupted = clock;
  }
  void memory_write(std::uint64_t clock, std::uint32_t /*line*/) override {
    written = clock;
    if (++lines_written == count_from) counted_from = clock;
  }
  void out_tail(std::uint64_t clock) override { shown = clock; }

  std::uint64_t doorbell = 0, last_in = 0, last_out = 0, written = 0, frames_out = 0;
  std::uint64_t lines_out = 0, last_line_out = 0;                     ///< acknowledgements have none
  std::uint64_t lines_written = 0, count_from = 0, counted_from = 0;  ///< when line number count_from was written
  std::optional<std::uint64_t> first_out, interrupted, shown;
};

/// A card with every slot bound over one link.
class Bench {
 public:
  /// `on_chip`: with slot memory in RTL, else with the simulation's.
  Bench(unsigned slots, std::uint64_t seed, unsigned order, std::uint32_t lines_per_frame, bool on_chip = true)
      : order_(order) {
    sim::SimCoreOptions options;
    const auto kinds = sim::card_kinds();
    const auto kind = std::find_if(kinds.begin(), kinds.end(),
                                   [&](const sim::CardKind& k) { return k.slots == slots && k.rtl_memory == on_chip; });
    if (kind == kinds.end()) throw std::runtime_error("this build has no such card");
    options.kind = &*kind;
    options.seed = seed;
    core = std::make_unique<sim::SimCore>(options);
    core->watch(&clocks);
    driver = std::make_unique<SimCardDriver>(*core);
    driver->each_clock([this] {
      while (!core->wire_out().empty()) core->wire_out().pop();
    });
    core->reset();
    need(driver->configure(lockstep::own_endpoint()));
    const sim::Endpoint peer = lockstep::peer_endpoint(0);
    regs::LinkRow link{};
    link.up = 1;
    link.lines_per_frame = static_cast<std::uint16_t>(lines_per_frame);
    link.rto_us = 1'000'000;
    link.rto_max_us = 1'000'000;
    link.ack_delay_us = 1'000'000;
    link.peer_ip = peer.ip;
    link.peer_port = peer.port;
    need(driver->write_link(0, link));
    need(driver->command(regs::CardCommand::link_up, 0));
    need(driver->write_word(static_cast<std::uint32_t>(regs::kCardControl + regs::kCtlEnabled), ~0U));
    region_ = core->memory_lines() / (2 * slots);
    for (std::uint32_t slot = 0; slot < slots; ++slot) {
      regs::SlotRow row{};
      row.state = static_cast<std::uint8_t>(regs::SlotState::bound);
      row.in_order = row.out_order = static_cast<std::uint8_t>(order);
      row.peer_slot = kPeerSlot;
      row.limit = 1U << order;
      row.in_base = region_ * 2 * slot;
      row.out_base = row.in_base + region_;
      need(driver->write_row(static_cast<std::uint16_t>(slot), row));
    }
    need(driver->rest());
  }

  void need(bool good) const {
    if (!good) throw std::runtime_error(driver->error());
  }
  template <typename Done>
  void run_until(Done done) {
    for (std::uint64_t n = 0; !done(); ++n) {
      if (n == kPatience) throw std::runtime_error("the card does not get there");
      driver->clock();
    }
  }
  lockstep::FrameIn frame(std::uint16_t slot, regs::FrameType type, std::uint32_t seq, std::uint32_t ack,
                          std::uint32_t lines) const {
    lockstep::FrameIn f;
    f.type = static_cast<std::uint8_t>(type);
    f.dst_slot = slot;
    f.src_slot = kPeerSlot;
    f.seq = seq;
    f.ack = ack;
    f.credit = static_cast<std::uint16_t>(1U << order_);
    f.lines = static_cast<std::uint16_t>(lines);
    return f;
  }
  void receive(const lockstep::FrameIn& f) {
    build_frame(f, bytes_);
    run_until([&] { return !core->wire_in().full(); });
    core->wire_in().push(bytes_);
  }

  // From the doorbell at the bus to the first beat on the wire, with everything at rest.
  double doorbell_to_wire() {
    double sum = 0;
    constexpr std::uint32_t kTimes = 16;
    for (std::uint32_t i = 0; i < kTimes; ++i) {
      const auto slot = static_cast<std::uint16_t>(i * 7 % 16);
      const std::uint32_t at = tails_[slot]++;
      need(driver->write_line(SimCardDriver::memory_address(region_ * 2 * slot + at), {}));
      need(driver->rest());
      clocks.first_out.reset();
      need(driver->doorbell(slot, false, tails_[slot]));
      run_until([&] { return clocks.first_out.has_value(); });
      sum += static_cast<double>(*clocks.first_out - clocks.doorbell);
      receive(frame(slot, regs::FrameType::ack, 0, tails_[slot], 0));
      need(driver->rest());
    }
    return sum / kTimes;
  }

  /// From a frame's last beat to the first clock in which a read of its mark sees it, and to the interrupt that tells
  /// of it.
  std::pair<double, double> wire_to_mark() {
    double mark = 0, interrupt = 0;
    constexpr std::uint32_t kTimes = 16;
    while (driver->pop_moved()) {
    }
    for (std::uint32_t i = 0; i < kTimes; ++i) {
      const auto slot = static_cast<std::uint16_t>(i * 7 % 16);
      need(driver->write_word(static_cast<std::uint32_t>(regs::kCardControl + regs::kCtlPending), ~0U));
      need(driver->rest());
      clocks.interrupted.reset();
      clocks.shown.reset();
      receive(frame(slot, regs::FrameType::data, heads_[slot]++, 0, 1));
      run_until([&] { return clocks.interrupted.has_value(); });
      mark += static_cast<double>(clocks.shown.value() - clocks.last_in);
      interrupt += static_cast<double>(*clocks.interrupted - clocks.last_in);
      need(driver->rest());
      while (driver->pop_moved()) {
      }
    }
    return {mark / kTimes, interrupt / kTimes};
  }

  /// Clocks from the first beat out to the last one, when `slots` slots are to send `lines` lines each at once.
  double send_all(std::uint32_t slots, std::uint32_t lines, std::uint64_t frames) {
    clocks.first_out.reset();
    clocks.frames_out = 0;
    for (std::uint32_t slot = 0; slot < slots; ++slot)
      need(driver->doorbell(static_cast<std::uint16_t>(slot), false, lines));
    run_until([&] { return clocks.frames_out >= frames; });
    return static_cast<double>(clocks.last_out - *clocks.first_out + 1);
  }

  /// Clocks from the last line of the first frame to the last line of the last one, as they are written: the time of
  /// all frames but the first.
  double receive_all(std::uint32_t slots, std::uint32_t lines, std::uint32_t lines_per_frame) {
    clocks.lines_written = 0;
    clocks.count_from = lines_per_frame;
    for (std::uint32_t at = 0; at < lines; at += lines_per_frame) {
      for (std::uint32_t slot = 0; slot < slots; ++slot) {
        receive(frame(static_cast<std::uint16_t>(slot), regs::FrameType::data, at, 0, lines_per_frame));
      }
    }
    need(driver->rest());
    if (clocks.lines_written != std::uint64_t{slots} * lines) throw std::runtime_error("not every line was written");
    return static_cast<double>(clocks.written - clocks.counted_from);
  }

  /// Clocks for a frame of one line, when all slots send `lines` of them and as many come in for each at the same time:
  /// those of the slower direction.
  double both_ways(std::uint32_t slots, std::uint32_t lines) {
    const std::uint64_t all = std::uint64_t{slots} * lines;
    clocks.first_out.reset();
    clocks.lines_out = clocks.lines_written = 0;
    clocks.count_from = 1;
    std::uint64_t came = 0;
    const auto feed = [&] {
      for (; came < all && !core->wire_in().full(); ++came) {
        build_frame(frame(static_cast<std::uint16_t>(came % slots), regs::FrameType::data,
                          static_cast<std::uint32_t>(came / slots), 0, 1),
                    bytes_);
        core->wire_in().push(bytes_);
      }
    };
    for (std::uint32_t slot = 0; slot < slots; ++slot) {
      feed();
      need(driver->doorbell(static_cast<std::uint16_t>(slot), false, lines));
    }
    run_until([&] {
      feed();
      return clocks.lines_out >= all && clocks.lines_written >= all;
    });
    const auto frames = static_cast<double>(all);
    return std::max(static_cast<double>(clocks.last_line_out - *clocks.first_out + 1) / frames,
                    static_cast<double>(clocks.written - clocks.counted_from) / (frames - 1));
  }

  Clocks clocks;
  std::unique_ptr<sim::SimCore> core;
  std::unique_ptr<SimCardDriver> driver;

 private:
  unsigned order_;
  std::uint32_t region_ = 0;
  std::map<std::uint16_t, std::uint32_t> tails_, heads_;
  lockstep::Bytes bytes_;
};

struct Case {
  std::string name, metric, unit;
  std::optional<double> floor;
  std::function<double(std::uint64_t run)> measure;
};

/// Clocks for a frame of one line, when all slots send `lines` of them.
double small_send(unsigned slots, unsigned order, std::uint32_t lines, std::uint64_t run) {
  const std::uint64_t frames = std::uint64_t{slots} * lines;
  return Bench(slots, run, order, 1).send_all(slots, lines, frames) / static_cast<double>(frames);
}
double small_receive(unsigned slots, unsigned order, std::uint32_t lines, std::uint64_t run) {
  return Bench(slots, run, order, 1).receive_all(slots, lines, 1) / (slots * lines - 1.0);
}

double small_both(unsigned slots, unsigned order, std::uint32_t lines, std::uint64_t run) {
  return Bench(slots, run, order, 1).both_ways(slots, lines);
}

/// How many of the beats that the wire has in `clocks` carry `frames` frames of kFrameLines lines.
double share(std::uint32_t frames, double clocks) {
  return 100.0 * frames * (kFrameLines + 1.0) / clocks;
}

/// Messages of one line out and back in, on all slots, for a while of real time.
std::pair<double, double> simulation(std::uint64_t run) {
  constexpr double kSeconds = 0.5;
  Bench bench(16, run, 5, 1, false);
  std::uint64_t messages = 0;
  std::array<std::uint32_t, 16> at{};
  const std::uint64_t first = bench.core->now();
  const auto start = std::chrono::steady_clock::now();
  double seconds = 0;
  while (seconds < kSeconds) {
    for (const std::uint16_t slot : lockstep::numbers(at.size())) {
      // Out, in with the acknowledgement, and consumed.
      bench.need(bench.driver->write_line(SimCardDriver::memory_address(2048U * 2 * slot + (at[slot] & 31)), {}));
      bench.need(bench.driver->doorbell(slot, false, at[slot] + 1));
      bench.receive(bench.frame(slot, regs::FrameType::data, at[slot], at[slot], 1));
      ++at[slot];
      messages += 2;
    }
    bench.run_until([&] { return bench.core->idle(); });
    for (const std::uint16_t slot : lockstep::numbers(at.size()))
      bench.need(bench.driver->doorbell(slot, true, at[slot]));
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  return {static_cast<double>(bench.core->now() - first) / seconds, static_cast<double>(messages) / seconds};
}

constexpr std::uint64_t kAnswerClocks =
    static_cast<std::uint64_t>(bench::PcieParameters{}.bridge_answer_ns / bench::PcieParameters{}.clock_ns);

bench::HostOutputTimes host_output(std::uint64_t run, std::uint32_t lines, std::uint64_t answer_clocks) {
  constexpr unsigned kMessages = 50;
  return bench::measure_host_output(run, lines, kMessages, answer_clocks);
}

std::vector<Case> cases() {
  constexpr std::uint32_t kLong = 1024, kFrames = kLong / kFrameLines;
  constexpr unsigned kLongOrder = 10, kMany = 1024;
  return {
      {"doorbell-to-wire", "doorbell to first beat", "clocks", kReadClocks,
       [](std::uint64_t run) { return Bench(16, run, 5, kFrameLines).doorbell_to_wire(); }},
      {"wire-to-mark", "last beat to mark", "clocks", kWriteClocks,
       [](std::uint64_t run) { return Bench(16, run, 5, kFrameLines).wire_to_mark().first; }},
      {"wire-to-mark/interrupt", "last beat to interrupt", "clocks", kWriteClocks,
       [](std::uint64_t run) { return Bench(16, run, 5, kFrameLines).wire_to_mark().second; }},
      {"small-frames", "send, per frame of one line", "clocks", 2.0,
       [](std::uint64_t run) { return small_send(16, 8, 256, run); }},
      {"small-frames/receive", "receive, per frame of one line", "clocks", 2.0,
       [](std::uint64_t run) { return small_receive(16, 8, 256, run); }},
      {"small-frames/both", "send and receive at the same time, per frame of one line, the slower direction", "clocks",
       2.0, [](std::uint64_t run) { return small_both(16, 8, 256, run); }},
      {"long-messages", "send, beats used", "%", 100.0,
       [](std::uint64_t run) {
         return share(kFrames, Bench(16, run, kLongOrder, kFrameLines).send_all(1, kLong, kFrames));
       }},
      {"long-messages/receive", "receive, beats used", "%", 100.0,
       [](std::uint64_t run) {
         return share(kFrames - 1, Bench(16, run, kLongOrder, kFrameLines).receive_all(1, kLong, kFrameLines));
       }},
      {"slots-1024-vs-16", "doorbell to first beat, 1024 slots against 16", "ratio", 1.0,
       [](std::uint64_t run) {
         return Bench(kMany, run, 5, kFrameLines).doorbell_to_wire() /
                Bench(16, run, 5, kFrameLines).doorbell_to_wire();
       }},
      {"slots-1024-vs-16/small-frames", "send, per frame of one line, all of 1024 slots against all of 16", "ratio",
       1.0, [](std::uint64_t run) { return small_send(kMany, 5, 4, run) / small_send(16, 8, 256, run); }},
      {"slots-1024-vs-16/receive", "receive, per frame of one line, all of 1024 slots against all of 16", "ratio", 1.0,
       [](std::uint64_t run) { return small_receive(kMany, 5, 4, run) / small_receive(16, 8, 256, run); }},
      {"slots-1024-vs-16/both",
       "send and receive at the same time, per frame of one line, all of 1024 slots against all of 16", "ratio", 1.0,
       [](std::uint64_t run) { return small_both(kMany, 5, 4, run) / small_both(16, 8, 256, run); }},
      {"host-output/doorbell-to-wire", "whole PCIe card: doorbell at the bridge to first beat at the MAC", "ns",
       std::nullopt, [](std::uint64_t run) { return host_output(run, 1, 1).doorbell_to_wire_ns; }},
      {"host-output/wire-to-mark", "whole PCIe card: last beat at the MAC to the mark's write, answers at once", "ns",
       std::nullopt, [](std::uint64_t run) { return host_output(run, 1, 1).wire_to_mark_ns; }},
      {"host-output/wire-to-mark/answer-80ns", "the same with answers of the bridge after 20 clocks", "ns",
       std::nullopt, [](std::uint64_t run) { return host_output(run, 1, kAnswerClocks).wire_to_mark_ns; }},
      {"sim-clocks-per-second", "speed of the simulation", "clocks/s", std::nullopt,
       [](std::uint64_t run) { return simulation(run).first; }},
      {"sim-messages-per-second", "speed of the simulation", "messages/s", std::nullopt,
       [](std::uint64_t run) { return simulation(run).second; }},
  };
}

/// What a host would see of these clocks behind a bus: a model (pcie_model.hpp), not a measurement.
std::vector<Case> pcie_cases() {
  using bench::Notice;
  using bench::OutputSpace;
  const auto model = [](std::uint64_t run) {
    return bench::PcieModel({}, Bench(16, run, 5, kFrameLines).doorbell_to_wire(),
                            Bench(16, run, 5, kFrameLines).wire_to_mark().first);
  };
  std::vector<Case> made;
  const double floor = 4 * bench::PcieParameters{}.posted_ns();  // four crossings of the bus
  for (const std::uint32_t lines : {1U, 16U}) {
    const std::string size = std::to_string(lines * 64) + "B";
    for (const auto& [space, where] :
         {std::pair{OutputSpace::card, "output-on-card"}, {OutputSpace::host, "output-in-host"}}) {
      for (const auto& [notice, how] : {std::pair{Notice::polling, "polling"}, {Notice::interrupt, "interrupt"}}) {
        made.push_back({"pcie-model/round-trip/" + size + "/" + where + "/" + how,
                        "model: call and answer, combined stores", "ns", floor,
                        [=, space = space, notice = notice](std::uint64_t run) {
                          return model(run).round_trip_ns(lines, 64, space, notice);
                        }});
      }
    }
    made.push_back({"pcie-model/round-trip/" + size + "/output-in-host/whole-cards",
                    "model: call and answer, combined stores, polling; whole cards in simulation", "ns", floor,
                    [=](std::uint64_t run) {
                      const auto times = host_output(run, lines, kAnswerClocks);
                      return model(run).host_round_trip_ns(lines, 64, times.doorbell_to_wire_ns, times.wire_to_mark_ns);
                    }});
    for (const auto& [bytes, how] : {std::pair{64.0, "combined"}, {8.0, "stores-of-8"}}) {
      made.push_back({"pcie-model/messages/" + size + "/" + how, "model: what the bus carries to the card",
                      "messages/s", std::nullopt,
                      [=, bytes = bytes](std::uint64_t run) { return model(run).messages_per_second(lines, bytes); }});
    }
  }
  return made;
}

int run(std::uint64_t runs, const std::string& path, bool pcie, const std::string& wanted) {
  json rows = json::array();
  const std::regex names(wanted);
  for (const Case& c : pcie ? pcie_cases() : cases()) {
    if (!std::regex_search(c.name, names)) continue;
    std::vector<double> values;
    for (std::uint64_t i = 1; i <= runs; ++i) values.push_back(c.measure(i));
    std::sort(values.begin(), values.end());
    const double median = values[values.size() / 2];
    rows.push_back({{"suite", "card"},
                    {"case", c.name},
                    {"metric", c.metric},
                    {"unit", c.unit},
                    {"value", median},
                    {"runs", runs},
                    {"spread", {values.front(), values.back()}},
                    {"floor", c.floor ? json(*c.floor) : json()},
                    {"ratio_to_floor", c.floor ? json(median / *c.floor) : json()},
                    {"peers", json::object()}});
  }
  if (path.empty()) {
    std::printf("%s\n", rows.dump(1).c_str());
  } else {
    std::ofstream(path) << rows.dump(1) << "\n";
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app{
      "Measures the card in simulation: clocks from doorbell to wire and back, frames, lines, and the simulator's "
      "speed."};
  std::uint64_t runs = 5;
  std::string path, cases = ".";
  app.set_version_flag("--version", SLOTWIRE_VERSION);
  app.add_option("--runs", runs, "Runs of every case")->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("--json", path, "Where to write the result; none: standard output");
  app.add_option("--cases", cases, "Only cases whose name this regular expression finds")->type_name("REGEX");
  bool pcie = false;
  app.add_flag("--pcie", pcie,
               "What the card would cost behind PCI Express: a model from published figures, no measurement");
  CLI11_PARSE(app, argc, argv);
  return run(runs, path, pcie, cases);
} catch (const std::exception& error) {
  std::fprintf(stderr, "bench_card: %s\n", error.what());
  return 1;
}
