// What a card needs in clocks, measured in simulation, and how fast the simulation is.
//
//   bench_card [--runs N] [--json FILE]
//
// Clocks are those of the core, with slot memory that answers after kMemoryClocks. A floor is what the ports alone
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
#include <stdexcept>

#include "pipeline/frame.hpp"
#include "sim/card/card_driver.hpp"
#include "sim/lockstep/program.hpp"

namespace {
using namespace slotwire;
using nlohmann::json;
using sim::SimCardDriver;

constexpr unsigned kMemoryClocks = 3;  ///< of a read of the on-chip memory (sw_slot_mem) with its output register
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
      if (first && !first_in) first_in = clock;
      if (last) last_in = clock;
      return;
    }
    if (first && !first_out) first_out = clock;
    if (last) {
      last_out = clock;
      ++frames_out;
    }
  }
  void interrupt(std::uint64_t clock, std::uint32_t /*vectors*/) override {
    if (!interrupted) interrupted = clock;
  }
  void memory_write(std::uint64_t clock, std::uint32_t /*line*/) override { written = clock; }

  std::uint64_t doorbell = 0, last_in = 0, last_out = 0, written = 0, frames_out = 0;
  std::optional<std::uint64_t> first_in, first_out, interrupted;
};

/// A card with every slot bound over one link.
class Bench {
 public:
  Bench(unsigned slots, std::uint64_t seed, unsigned order, std::uint32_t lines_per_frame) : order_(order) {
    sim::SimCoreOptions options;
    options.kind = sim::find_card(slots, false, false);
    options.seed = seed;
    options.memory_latency = kMemoryClocks;
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

  // From a frame's last beat to the interrupt that says that its mark has moved.
  double wire_to_mark() {
    double sum = 0;
    constexpr std::uint32_t kTimes = 16;
    while (driver->pop_moved()) {
    }
    for (std::uint32_t i = 0; i < kTimes; ++i) {
      const auto slot = static_cast<std::uint16_t>(i * 7 % 16);
      need(driver->write_word(static_cast<std::uint32_t>(regs::kCardControl + regs::kCtlPending), ~0U));
      need(driver->rest());
      clocks.interrupted.reset();
      receive(frame(slot, regs::FrameType::data, heads_[slot]++, 0, 1));
      run_until([&] { return clocks.interrupted.has_value(); });
      sum += static_cast<double>(*clocks.interrupted - clocks.last_in);
      need(driver->rest());
      while (driver->pop_moved()) {
      }
    }
    return sum / kTimes;
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

  /// Clocks from the first beat in to the last line's write.
  double receive_all(std::uint32_t slots, std::uint32_t lines, std::uint32_t lines_per_frame) {
    clocks.first_in.reset();
    for (std::uint32_t at = 0; at < lines; at += lines_per_frame) {
      for (std::uint32_t slot = 0; slot < slots; ++slot) {
        receive(frame(static_cast<std::uint16_t>(slot), regs::FrameType::data, at, 0, lines_per_frame));
      }
    }
    need(driver->rest());
    return static_cast<double>(clocks.written - *clocks.first_in + 1);
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

double small_send(unsigned slots, std::uint64_t run) {
  constexpr std::uint32_t kLines = 16, kSlots = 16;
  Bench bench(slots, run, 5, 1);
  return bench.send_all(kSlots, kLines, std::uint64_t{kSlots} * kLines) / (kSlots * kLines);
}

/// Messages of one line out and back in, on all slots, for a while of real time.
std::pair<double, double> simulation(std::uint64_t run) {
  constexpr double kSeconds = 0.5;
  Bench bench(16, run, 5, 1);
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

std::vector<Case> cases() {
  constexpr std::uint32_t kLong = 1024;
  return {
      {"doorbell-to-wire", "doorbell to first beat", "clocks", kMemoryClocks,
       [](std::uint64_t run) { return Bench(16, run, 5, kFrameLines).doorbell_to_wire(); }},
      {"wire-to-mark", "last beat to interrupt", "clocks", kMemoryClocks,
       [](std::uint64_t run) { return Bench(16, run, 5, kFrameLines).wire_to_mark(); }},
      {"small-frames", "send, per frame of one line", "clocks", 2.0,
       [](std::uint64_t run) { return small_send(16, run); }},
      {"small-frames/receive", "receive, per frame of one line", "clocks", 2.0,
       [](std::uint64_t run) { return Bench(16, run, 5, 1).receive_all(16, 16, 1) / (16 * 16); }},
      {"long-messages", "send, per line", "clocks", (kFrameLines + 1.0) / kFrameLines,
       [](std::uint64_t run) {
         Bench bench(16, run, 10, kFrameLines);
         return bench.send_all(1, kLong, kLong / kFrameLines) / kLong;
       }},
      {"long-messages/receive", "receive, per line", "clocks", (kFrameLines + 1.0) / kFrameLines,
       [](std::uint64_t run) { return Bench(16, run, 10, kFrameLines).receive_all(1, kLong, kFrameLines) / kLong; }},
      {"slots-1024-vs-16", "doorbell to first beat, 1024 slots against 16", "ratio", 1.0,
       [](std::uint64_t run) {
         return Bench(1024, run, 5, kFrameLines).doorbell_to_wire() / Bench(16, run, 5, kFrameLines).doorbell_to_wire();
       }},
      {"slots-1024-vs-16/small-frames", "send, per frame of one line, 1024 slots against 16", "ratio", 1.0,
       [](std::uint64_t run) { return small_send(1024, run) / small_send(16, run); }},
      {"sim-clocks-per-second", "speed of the simulation", "clocks/s", std::nullopt,
       [](std::uint64_t run) { return simulation(run).first; }},
      {"sim-messages-per-second", "speed of the simulation", "messages/s", std::nullopt,
       [](std::uint64_t run) { return simulation(run).second; }},
  };
}

int run(std::uint64_t runs, const std::string& path) {
  json rows = json::array();
  for (const Case& c : cases()) {
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
  std::string path;
  app.set_version_flag("--version", SLOTWIRE_VERSION);
  app.add_option("--runs", runs, "Runs of every case")->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("--json", path, "Where to write the result; none: standard output");
  CLI11_PARSE(app, argc, argv);
  return run(runs, path);
} catch (const std::exception& error) {
  std::fprintf(stderr, "bench_card: %s\n", error.what());
  return 1;
}
