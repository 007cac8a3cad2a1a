#include "sim/bottleneck/bottleneck.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>
#include <optional>

#include "core/congestion/decide.hpp"
#include "core/pipeline/pipeline.hpp"
#include "sim/end.hpp"
#include "sim/random.hpp"

namespace slotwire::congestion {
extern const Algorithm kMutatedCubic, kMutatedDelay, kMutatedFixed;
}

namespace slotwire::sim {
namespace {

using pipeline::Microseconds;
using Bytes = std::vector<std::byte>;
using Time = std::uint64_t;

/// How often each node looks: what a busy mover does.
constexpr Time kTickUs = 25;
constexpr Time kSweepUs = 500;
/// What Ethernet, IPv4 and UDP add to a frame on the wire, preamble and gap included.
constexpr std::size_t kWireBytes = 66;
constexpr std::uint16_t kFrameLines = 22;
constexpr std::size_t kBurst = 64;
/// A network without senders must bring everything home within so long.
constexpr Time kDrainUs = 30'000'000;

struct Violated {
  std::string what;
};

struct Arrival {
  Time time = 0;
  std::uint16_t pair = 0;
  bool marked = false;
  Bytes frame;
};

/// One direction through the router: a queue of bytes that leaves at the rate, then the delay.
class Direction {
 public:
  Direction(const Bottleneck& network, Random& random) : network_(network), random_(random) {}

  void send(std::uint16_t pair, Bytes frame, Time now) {
    const Time free = std::max(free_ns_, now * 1'000);
    const std::uint64_t waits = (free - now * 1'000) * network_.megabits / 8'000;  // bytes
    const std::size_t bytes = frame.size() + kWireBytes;
    if (counting_) ++frames;
    if (waits + bytes > network_.queue_bytes || random_.below(10'000) < network_.loss) {
      if (counting_) ++lost;
      return;
    }
    free_ns_ = free + bytes * 8'000 / network_.megabits;
    if (counting_) {
      carried += bytes;
      queue_us += (free - now * 1'000) / 1'000;
    }
    arrivals.push_back({free_ns_ / 1'000 + network_.delay_us, pair,
                        network_.mark_bytes != 0 && waits > network_.mark_bytes, std::move(frame)});
  }
  void count() { counting_ = true; }

  std::deque<Arrival> arrivals;
  std::uint64_t frames = 0, lost = 0, carried = 0, queue_us = 0;

 private:
  const Bottleneck& network_;
  Random& random_;
  Time free_ns_ = 0;
  bool counting_ = false;
};

class Node {
 public:
  Node(std::uint16_t pair, bool sends, std::size_t slots, unsigned order, const pipeline::LinkParameters& figures)
      : pair_(pair), sends_(sends), rows_(slots), pipe_(rows_, 1), settings_(figures.congestion) {
    pipe_.set_link(0, figures);
    pipe_.link_up(0, 0);
    pipe_.set_window(0, congestion::start(state_, settings_, figures.lines_per_frame), 0);
    for (std::uint16_t slot = 0; slot < slots; ++slot) {
      rings_.push_back({RingMemory(sends ? order : 0, false), RingMemory(sends ? 0 : order, false)});
      Ring& ring = rings_.back();
      pipe_.bind(slot,
                 {.link = 0,
                  .peer_slot = slot,
                  .epoch = 9,
                  .in_order = sends ? order : 0,
                  .out_order = sends ? 0 : order,
                  .credit = 1U << (sends ? order : 0),
                  .marks = {}},
                 {ring.in.view(), ring.out.view()}, 0);
    }
  }

  /// The processes write whatever fits, or read whatever is there.
  void act(Microseconds now, bool writes) {
    for (std::uint16_t slot = 0; slot < rings_.size(); ++slot) {
      Ring& ring = rings_[slot];
      const regs::SlotRow& row = rows_[slot];
      if (sends_) {
        if (!writes) continue;
        const std::uint32_t room = ring.in.lines() - (ring.at - row.in_head);
        if (room < ring.in.lines() / 4) continue;
        for (std::uint32_t i = 0; i < room; ++i, ++ring.at)
          fill_line(ring.in.view().at(ring.at), pair_, 0, slot, ring.at);
        pipe_.doorbell(slot, ring.at, 0, now);
      } else if (row.out_tail != ring.at) {
        for (; ring.at != row.out_tail; ++ring.at) {
          if (!line_is(ring.out.view().at(ring.at), pair_, 0, slot, ring.at)) {
            throw Violated{"link " + std::to_string(pair_) + " slot " + std::to_string(slot) + ": line " +
                           std::to_string(ring.at) + " is not what was written"};
          }
        }
        pipe_.doorbell(slot, 0, ring.at, now);
      }
    }
  }

  void receive(const Arrival& arrival, Microseconds now) {
    if (arrival.marked) pipe_.on_marked(0, 1);
    pipe_.receive(0, arrival.frame, now);
  }

  void work(Time time, Direction& out, const congestion::Algorithm& by) {
    const auto now = static_cast<Microseconds>(time);
    if (time >= swept_ + kSweepUs) {
      swept_ = time;
      pipe_.sweep(now, rows_.size());
    }
    while (pipe_.round_over() != pipeline::Pipeline::kNoLink) {
      pipe_.set_window(0, congestion::decide_by(by, state_, pipe_.take_round(0, now)), now);
    }
    pipeline::TxFrame frames[kBurst];
    const std::size_t count = pipe_.transmit(frames, now);
    for (const pipeline::TxFrame& frame : std::span(frames).first(count)) {
      Bytes bytes(std::begin(frame.header), std::end(frame.header));
      bytes.insert(bytes.end(), frame.payload.begin(), frame.payload.end());
      hash = mix(hash ^ time ^ (bytes.size() << 20) ^ (std::uint64_t{frame.slot} << 40));
      out.send(pair_, std::move(bytes), time);
    }
    check(now);
  }

  bool drained() const {
    return std::all_of(rows_.begin(), rows_.end(), [](const regs::SlotRow& row) { return row.in_head == row.in_tail; });
  }
  std::uint32_t delivered(std::uint16_t slot) const { return rows_[slot].out_tail; }
  const pipeline::Pipeline& pipe() const { return pipe_; }
  std::size_t slots() const { return rows_.size(); }

  std::uint64_t hash = 0;

 private:
  struct Ring {
    RingMemory in, out;
    Position at = 0;  ///< next to write, or to read
  };

  void check(Microseconds now) {
    pipe_.take_marks(marks_);
    const pipeline::FlowReport flow = pipe_.flow(0).report();
    const auto complain = [&](const std::string& what) {
      throw Violated{"link " + std::to_string(pair_) + (sends_ ? ", sender: " : ", receiver: ") + what};
    };
    if (flow.inflight != pipe_.inflight_of_slots(0)) complain("lines in flight are counted wrong");
    // A window that shrank lets what is in flight leave it.
    if (flow.inflight > std::max({flow.window, last_inflight_, std::uint32_t{kFrameLines}})) {
      complain(std::to_string(flow.inflight) + " lines are in flight, and the window is " +
               std::to_string(flow.window));
    }
    last_inflight_ = flow.inflight;
    if (pipe_.stalled(0, now)) complain("slots wait for the link, and nothing will wake them");
  }

  std::uint16_t pair_;
  bool sends_;
  std::vector<regs::SlotRow> rows_;
  pipeline::Pipeline pipe_;
  congestion::Settings settings_;
  congestion::State state_;
  std::vector<Ring> rings_;
  Time swept_ = 0;
  std::uint32_t last_inflight_ = 0;
  pipeline::MarkUpdate marks_[256];
};

struct Pair {
  std::unique_ptr<Node> sender, receiver;
  Time begins = 0;
  std::vector<std::uint32_t> half;  ///< lines of each slot when the second half began
};

class Run {
 public:
  explicit Run(const BottleneckOptions& options) : random_(mix(options.seed)), options_(options) {}

  BottleneckResult run() {
    set_mutant(options_.mutant);
    try {
      build();
      const Time half = length_ / 2;
      while (time_ < half) step(true);
      for (Pair& pair : pairs_) {
        for (std::uint16_t slot = 0; slot < pair.receiver->slots(); ++slot) {
          pair.half.push_back(pair.receiver->delivered(slot));
        }
      }
      there_->count();
      while (time_ < length_) step(true);
      measure(length_ - half);
      const Time ends = time_ + kDrainUs;
      while (!drained()) {
        step(false);
        if (time_ > ends) throw Violated{"not everything arrived half a minute after the last line was written"};
      }
      judge();
    } catch (const Violated& violated) {
      result_.violation = violated.what;
    }
    set_mutant(0);
    for (const Pair& pair : pairs_) result_.hash ^= mix(pair.sender->hash) + pair.receiver->hash;
    return result_;
  }

 private:
  void build() {
    Bottleneck& network = result_.network;
    constexpr std::uint32_t kRates[] = {10, 30, 100, 200};
    network.megabits = kRates[random_.below(4)];
    network.delay_us = random_.between(250, 20'000);
    const std::uint64_t product = std::uint64_t{network.megabits} * 2 * network.delay_us / 8;
    network.queue_bytes =
        static_cast<std::uint32_t>(std::max<std::uint64_t>(product * random_.between(2, 12) / 4, 30'000));
    if (random_.chance(400)) network.mark_bytes = network.queue_bytes / 5;
    if (random_.chance(300)) network.loss = random_.between(1, 30);
    result_.kind = options_.mutant != 0 ? static_cast<congestion::Kind>((options_.mutant - 1) / 2)
                                        : static_cast<congestion::Kind>(random_.below(3));
    const std::uint32_t links = random_.between(1, 4);
    pipeline::LinkParameters figures{.lines_per_frame = kFrameLines, .controlled = true};
    figures.congestion.kind = result_.kind;
    // Together nine tenths of what payload can have.
    figures.congestion.rate_bits = std::uint64_t{network.megabits} * 1'000'000 * 9 / 10 * 1408 / 1496 / links;
    there_.emplace(network, random_);
    back_.emplace(network, random_);
    for (std::uint16_t i = 0; i < links; ++i) {
      const std::uint32_t slots = random_.chance(300) ? random_.between(17, 100) : random_.between(1, 16);
      // Rings that hold what the path and its queue can: they are not the limit.
      unsigned order = random_.between(7, 9);
      while (order < 15 && (std::uint64_t{slots} << order) * regs::kLineBytes < product + network.queue_bytes) ++order;
      result_.slots.push_back(slots);
      Pair pair;
      pair.sender = std::make_unique<Node>(i, true, slots, order, figures);
      pair.receiver = std::make_unique<Node>(i, false, slots, order, figures);
      pair.begins = random_.below(300'000);
      pairs_.push_back(std::move(pair));
    }
    // Long enough for a few hundred round trips.
    length_ = std::clamp<Time>(Time{400} * 2 * network.delay_us, 3'000'000, 12'000'000);
    by_ = options_.mutant == 0 ? &congestion::algorithm(result_.kind) : mutated(result_.kind);
  }

  static const congestion::Algorithm* mutated(congestion::Kind kind) {
    switch (kind) {
      case congestion::Kind::cubic:
        return &congestion::kMutatedCubic;
      case congestion::Kind::delay:
        return &congestion::kMutatedDelay;
      case congestion::Kind::fixed:
        return &congestion::kMutatedFixed;
    }
    return nullptr;
  }

  void step(bool writes) {
    time_ += kTickUs;
    const auto now = static_cast<Microseconds>(time_);
    const auto deliver = [&](Direction& direction, bool to_receiver) {
      for (; !direction.arrivals.empty() && direction.arrivals.front().time <= time_; direction.arrivals.pop_front()) {
        const Arrival& arrival = direction.arrivals.front();
        Pair& pair = pairs_[arrival.pair];
        (to_receiver ? pair.receiver : pair.sender)->receive(arrival, now);
      }
    };
    deliver(*there_, true);
    deliver(*back_, false);
    for (Pair& pair : pairs_) {
      if (time_ < pair.begins) continue;
      pair.sender->act(now, writes);
      pair.receiver->act(now, writes);
      pair.sender->work(time_, *there_, *by_);
      pair.receiver->work(time_, *back_, *by_);
    }
  }

  bool drained() const {
    return std::all_of(pairs_.begin(), pairs_.end(), [](const Pair& pair) { return pair.sender->drained(); });
  }

  void measure(Time length) {
    double sum = 0, squares = 0, least = -1;
    for (const Pair& pair : pairs_) {
      std::uint64_t lines = 0;
      for (std::uint16_t slot = 0; slot < pair.receiver->slots(); ++slot) {
        const std::uint32_t of_slot = pair.receiver->delivered(slot) - pair.half[slot];
        lines += of_slot;
        if (of_slot == 0) throw Violated{"a slot got nothing through in the second half"};
      }
      const auto share = static_cast<double>(lines);
      sum += share;
      squares += share * share;
      if (least < 0 || share < least) least = share;
      result_.lines += lines;
      result_.again += pair.sender->pipe().counter(regs::Counter::tx_lines_again);
      result_.timeouts += pair.sender->pipe().counter(regs::Counter::timeouts);
    }
    const auto links = static_cast<double>(pairs_.size());
    // A full frame has 22 lines, and takes what its headers take, too.
    constexpr double kWireOfFrame = kFrameLines * 64 + regs::kHeaderBytes + kWireBytes;
    const double most = static_cast<double>(length) * result_.network.megabits / 8 / kWireOfFrame * kFrameLines;
    result_.utilisation = sum / most;
    result_.fairness = sum * sum / (links * squares);
    result_.least_share = least * links / sum;
    if (there_->frames != 0) {
      result_.lost = static_cast<double>(there_->lost) / static_cast<double>(there_->frames);
      result_.queue_us = there_->queue_us / std::max<std::uint64_t>(there_->frames - there_->lost, 1);
    }
  }

  /// What the algorithm must have come to. Bounds are what right ones kept with room, over 1,000 seeds.
  void judge() const {
    const BottleneckResult& r = result_;
    const Bottleneck& network = r.network;
    const auto links = static_cast<double>(pairs_.size());
    const auto at_least = [](const char* what, double is, double bound) {
      if (is < bound) throw Violated{what + (" is " + std::to_string(is)) + ", less than " + std::to_string(bound)};
    };
    const auto at_most = [](const char* what, double is, double bound) {
      if (is > bound) throw Violated{what + (" is " + std::to_string(is)) + ", more than " + std::to_string(bound)};
    };
    const double loss = network.loss / 10'000.0;
    // A queue that has no room for the least windows of all links drops, whatever they do.
    const bool tiny = network.queue_bytes < 8 * links * kFrameLines * 64;
    at_most("the share of lost frames", r.lost, 2 * loss + (tiny ? 0.08 : 0.03));
    at_least("the least link's share of an equal one", r.least_share, 0.02);
    if (network.loss == 0) {
      // Marks from a queue on that is shorter than the links' bursts cost more (RFC 8257, 5.1).
      at_least("the utilisation", r.utilisation, network.mark_bytes == 0 ? 0.8 : 0.5);
    } else {
      // What Reno gets (Mathis et al.): 1.22 / sqrt(loss) frames in a round trip. Two losses close to each other, and
      // acknowledgements that are lost, cost more here.
      const double frames_per_us = links * 1.22 / std::sqrt(loss) / (2.0 * network.delay_us + 2'000.0);
      const double most_per_us = network.megabits / 8.0 / (kFrameLines * 64.0);
      at_least("the utilisation", r.utilisation, 0.3 * std::min(1.0, frames_per_us / most_per_us));
    }
    if (r.kind == congestion::Kind::delay) {
      const double frame_us = kFrameLines * 64.0 * 8 / network.megabits;
      at_most("the mean time in the queue", static_cast<double>(r.queue_us), 2'500 + 4 * links * frame_us);
    }
  }

  Random random_;
  BottleneckOptions options_;
  BottleneckResult result_;
  std::optional<Direction> there_, back_;
  std::vector<Pair> pairs_;
  const congestion::Algorithm* by_ = nullptr;
  Time length_ = 0, time_ = 0;
};

}  // namespace

BottleneckResult run_bottleneck(const BottleneckOptions& options) {
  return Run(options).run();
}

}  // namespace slotwire::sim
