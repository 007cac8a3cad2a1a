#include "sim/lockstep/runner.hpp"

#include <algorithm>
#include <cstring>

namespace slotwire::lockstep {
namespace {

/// Steps that touch one slot, or none, and nothing that slots share: they may come at once.
bool may_join(const Action& action) {
  return std::holds_alternative<Write>(action) || std::holds_alternative<InTail>(action) ||
         std::holds_alternative<OutHead>(action) || std::holds_alternative<FrameIn>(action) ||
         std::holds_alternative<Stray>(action);
}

/// What is between two moments of rest. Of each slot only one thing happens in it, so that the outcome has one answer;
/// only the bell for lines may follow upon them.
class Batch {
 public:
  explicit Batch(std::size_t slots) : last_(slots, Use::none) {}
  bool allows(const Action& action) const {
    if (!may_join(action)) return open_.empty();
    const auto slot = slot_of(action, last_.size());
    if (!slot || last_[*slot] == Use::none) return true;
    return last_[*slot] == Use::lines &&
           (std::holds_alternative<Write>(action) || std::holds_alternative<InTail>(action));
  }
  void add(const Action& action) {
    const auto slot = slot_of(action, last_.size());
    open_.push_back(slot.value_or(0));
    if (slot) last_[*slot] = std::holds_alternative<Write>(action) ? Use::lines : Use::other;
  }
  void clear() {
    for (const std::uint16_t slot : open_) last_[slot] = Use::none;
    open_.clear();
  }

 private:
  enum class Use : std::uint8_t { none, lines, other };
  std::vector<Use> last_;
  std::vector<std::uint16_t> open_;
};

template <typename T>
void append(std::vector<T>& to, std::vector<T>& from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

template <typename T>
void join(std::vector<T>& to, const std::vector<T>& from) {
  for (const T& value : from) {
    if (std::find(to.begin(), to.end(), value) == to.end()) to.push_back(value);
  }
}

class Run {
 public:
  Run(const Program& program, Implementation& seen, Coverage* coverage)
      : program_(program),
        seen_card_(seen),
        coverage_(coverage),
        batch_(program.slots),
        up_(program.links, false),
        figures_(program.links),
        now_(program.start_us) {
    golden_.start(program);
    seen_card_.start(program);
    golden_.observe(part_);
    before_ = after_ = {part_.rows, part_.counters};
    part_.clear();
  }

  RunResult run() {
    for (const Step& step : program_.steps) {
      if (!batch_.allows(step.action) && !settle()) break;
      ++result_.steps;
      take(step);
      if ((!step.together || !may_join(step.action)) && !settle()) break;
    }
    if (!result_.difference && settle()) compare_rings();
    count();
    return std::move(result_);
  }

 private:
  void count() {
    if (coverage_ != nullptr) coverage_->add_counters(after_.counters, part_.card_counters);
  }

  void take(const Step& step) {
    if (std::holds_alternative<Reset>(step.action)) count();
    if (const auto* advance = std::get_if<Advance>(&step.action)) now_ += advance->us;
    if (const auto* link = std::get_if<LinkUp>(&step.action)) up_[link->link] = true;
    if (const auto* link = std::get_if<LinkDown>(&step.action)) up_[link->link] = false;
    if (const auto* f = std::get_if<Figures>(&step.action)) {
      figures_[f->link] = {f->lines_per_frame, f->rto_us, f->rto_max_us, f->ack_delay_us};
    }
    // The right card comes to rest after every step: of one slot only one thing happens in a batch.
    golden_.apply(step.action, now_);
    problem_ = golden_.settle(now_);
    golden_.observe(part_);
    std::swap(before_, after_);
    after_.rows = part_.rows;
    after_.counters = part_.counters;
    if (coverage_ != nullptr) coverage_->step({step.action, before_, after_, part_.wire, up_, figures_, now_});
    append(expected_.wire, part_.wire);
    append(expected_.to_host, part_.to_host);
    append(expected_.events, part_.events);
    join(expected_.moved, part_.moved);
    join(expected_.written, part_.written);
    seen_card_.apply(step.action, now_);
    batch_.add(step.action);
  }

  /// False: they differ.
  bool settle() {
    batch_.clear();
    std::string what = problem_.empty() ? seen_card_.settle(now_) : problem_;
    seen_card_.observe(seen_);
    expected_.rows = part_.rows.empty() ? after_.rows : part_.rows;
    expected_.marks = part_.marks;
    expected_.counters = after_.counters;
    expected_.card_counters = part_.card_counters;
    if (expected_.marks.empty()) expected_.marks.resize(program_.slots);
    if (what.empty()) what = compare(expected_, seen_);
    if (what.empty()) what = compare_written();
    expected_.clear();
    seen_clock_ = seen_.clock;
    const std::uint64_t clock = seen_.clock;
    seen_.clear();
    ++result_.settled;
    if (what.empty()) return true;
    result_.difference = Difference{result_.steps, what, clock};
    return false;
  }

  std::string compare_line(std::uint16_t slot, std::uint32_t index) {
    std::array<std::byte, regs::kLineBytes> expected{}, seen{};
    golden_.out_line(slot, index, expected);
    seen_card_.out_line(slot, index, seen);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      if (expected[i] == seen[i]) continue;
      return "slot " + std::to_string(slot) + ", line " + std::to_string(index) + " of the output ring, byte " +
             std::to_string(i) + ": expected " + std::to_string(std::to_integer<int>(expected[i])) + ", seen " +
             std::to_string(std::to_integer<int>(seen[i]));
    }
    return "";
  }

  std::string compare_written() {
    for (const LineWritten& line : expected_.written) {
      if (std::string what = compare_line(line.slot, line.index); !what.empty()) return what;
    }
    return "";
  }

  /// At the end every line of every output ring, written or not.
  void compare_rings() {
    for (const std::uint16_t slot : numbers(program_.slots)) {
      const regs::SlotRow& row = after_.rows[slot];
      if (row.state == static_cast<std::uint8_t>(regs::SlotState::free)) continue;
      for (std::uint32_t index = 0; index < 1U << row.out_order; ++index) {
        if (std::string what = compare_line(slot, index); !what.empty()) {
          result_.difference = Difference{result_.steps, "at the end: " + what, seen_clock_};
          return;
        }
      }
    }
  }

  const Program& program_;
  Implementation& seen_card_;
  Coverage* coverage_;
  GoldenCard golden_;
  Batch batch_;
  std::vector<bool> up_;
  std::vector<pipeline::LinkParameters> figures_;
  Microseconds now_;
  Snapshot before_, after_;
  Observation part_, expected_, seen_;
  std::uint64_t seen_clock_ = 0;
  std::string problem_;
  RunResult result_;
};

}  // namespace

RunResult run(const Program& program, Implementation& seen, Coverage* coverage) {
  return Run(program, seen, coverage).run();
}

Program shrink(Program program, const Differs& differs, unsigned max_runs) {
  // Delta debugging: leave out pieces, halve the pieces when none can be left out.
  unsigned runs = 0;
  const auto still = [&](const Program& candidate) { return runs++ < max_runs && differs(candidate); };
  // First the end: nothing after the difference matters. A search by halves finds where that is.
  std::size_t low = 0, high = program.steps.size();
  while (high - low > 1) {
    const std::size_t middle = low + (high - low) / 2;
    Program candidate = program;
    candidate.steps.resize(middle);
    (still(candidate) ? high : low) = middle;
  }
  program.steps.resize(high);
  std::size_t piece = std::max<std::size_t>(program.steps.size() / 2, 1);
  for (;;) {
    bool removed = false;
    for (std::size_t at = 0; at < program.steps.size() && runs < max_runs;) {
      Program candidate = program;
      const auto from = candidate.steps.begin() + static_cast<std::ptrdiff_t>(at);
      const std::size_t n = std::min(piece, candidate.steps.size() - at);
      candidate.steps.erase(from, from + static_cast<std::ptrdiff_t>(n));
      if (still(candidate)) {
        program = std::move(candidate);
        removed = true;
      } else {
        at += n;
      }
    }
    if (runs >= max_runs) break;
    if (piece > 1) {
      piece = piece / 2;
    } else if (!removed) {
      break;
    }
  }
  // Steps apart from each other are easier to read.
  for (std::size_t i = 0; i < program.steps.size() && runs < max_runs; ++i) {
    if (!program.steps[i].together) continue;
    program.steps[i].together = false;
    if (!still(program)) program.steps[i].together = true;
  }
  return program;
}

}  // namespace slotwire::lockstep
