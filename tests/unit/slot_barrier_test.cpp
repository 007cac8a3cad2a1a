// Who sleeps makes the barrier for both (core/slot/barrier.hpp, connection_wait.cpp), on processors that keep stores
// back: every state that two such processors can be in is visited, and in none does an end sleep with a message there.
//
// The processors are x86's (TSO): each has a queue of stores that it sees itself and the other does not, which reach
// memory in order, one at a time, whenever. A fence empties the queue of its own processor; membarrier(2) those of
// both, at one moment within the call.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <set>

#include <utility>
#include <vector>

namespace {

using Word = std::uint8_t;

enum class Do : std::uint8_t {
  store,          ///< to memory word `a`, register `b`
  load,           ///< from memory word `a` into register `b`
  set,            ///< register `a` to number `b`
  copy,           ///< register `a` into register `b`
  add,            ///< number `b` to register `a`
  fence,          ///< empties the own queue
  membarrier,     ///< empties both queues
  settle,         ///< time passes: goes on once the queue of the other is empty
  jump,           ///< to `to`
  jump_if_equal,  ///< to `to` if registers `a` and `b` are
  wake,           ///< the other
  sleep,          ///< until woken
};
struct Step {
  Do what;
  Word a = 0, b = 0;
  std::size_t to = 0;
};
using Program = std::vector<Step>;

constexpr std::size_t kEnds = 2, kWords = 6, kRegisters = 6;

struct End {
  std::size_t at = 0;
  std::array<Word, kRegisters> registers{};
  std::deque<std::pair<Word, Word>> stores;
  bool woken = false;
  auto operator<=>(const End&) const = default;
};
struct State {
  std::array<Word, kWords> memory{};
  std::array<End, kEnds> ends;
  auto operator<=>(const State&) const = default;
};

struct Explored {
  std::size_t states = 0;
  std::size_t stuck = 0;  ///< states in which nothing happens any more, and an end sleeps
};

class Explorer {
 public:
  Explorer(Program first, Program second) : programs_{std::move(first), std::move(second)} {}

  Explored run(const State& start) {
    Explored result;
    std::vector<State> open{start};
    std::set<State> seen{start};
    while (!open.empty()) {
      const State state = open.back();
      open.pop_back();
      bool moves = false;
      const auto reach = [&](State&& next) {
        moves = true;
        const auto [place, is_new] = seen.insert(std::move(next));
        if (is_new) open.push_back(*place);
      };
      for (std::size_t i = 0; i < kEnds; ++i) {
        if (!state.ends[i].stores.empty()) {
          State next = state;
          drain_one(next, i);
          reach(std::move(next));
        }
        State next = state;
        if (step(next, i)) reach(std::move(next));
      }
      if (moves) continue;
      for (std::size_t i = 0; i < kEnds; ++i) {
        if (state.ends[i].at < programs_[i].size()) {
          ++result.stuck;
          break;
        }
      }
    }
    result.states = seen.size();
    return result;
  }

 private:
  static void drain_one(State& state, std::size_t i) {
    auto& stores = state.ends[i].stores;
    state.memory[stores.front().first] = stores.front().second;
    stores.pop_front();
  }
  static void drain(State& state, std::size_t i) {
    while (!state.ends[i].stores.empty()) drain_one(state, i);
  }
  /// False: this end cannot go on now, or has finished.
  bool step(State& state, std::size_t i) const {
    End& end = state.ends[i];
    End& other = state.ends[1 - i];
    if (end.at == programs_[i].size()) return false;
    const Step& now = programs_[i][end.at++];
    switch (now.what) {
      case Do::store:
        end.stores.emplace_back(now.a, end.registers[now.b]);
        break;
      case Do::load: {
        const auto own =
            std::find_if(end.stores.rbegin(), end.stores.rend(), [&](const auto& s) { return s.first == now.a; });
        end.registers[now.b] = own != end.stores.rend() ? own->second : state.memory[now.a];
        break;
      }
      case Do::set:
        end.registers[now.a] = now.b;
        break;
      case Do::copy:
        end.registers[now.b] = end.registers[now.a];
        break;
      case Do::add:
        end.registers[now.a] = static_cast<Word>(end.registers[now.a] + now.b);
        break;
      case Do::fence:
        drain(state, i);
        break;
      case Do::membarrier:
        drain(state, 0);
        drain(state, 1);
        break;
      case Do::settle:
        return other.stores.empty();
      case Do::jump:
        end.at = now.to;
        break;
      case Do::jump_if_equal:
        if (end.registers[now.a] == end.registers[now.b]) end.at = now.to;
        break;
      case Do::wake:
        other.woken = true;
        break;
      case Do::sleep:
        if (!end.woken) return false;
        end.woken = false;
        break;
    }
    return true;
  }

  std::array<Program, kEnds> programs_;
};

/// Memory of each end: how much it has sent, its WAIT, its BARRIER.
constexpr Word mark_of(std::size_t end) {
  return static_cast<Word>(end * 3);
}
constexpr Word wait_of(std::size_t end) {
  return static_cast<Word>((end * 3) + 1);
}
constexpr Word barrier_of(std::size_t end) {
  return static_cast<Word>((end * 3) + 2);
}

/// Registers. Those named like numbers keep them.
enum : Word { kMark, kWait, kWoken, kSeen, kWanted, kNumber };

struct Variant {
  bool makes_barrier = true;     ///< the sleeper calls membarrier
  bool says_barrier = true;      ///< its BARRIER is 1
  bool relies_anyway = false;    ///< the sender makes no fence, whatever BARRIER says
  bool looks_too_early = false;  ///< the sleeper looks before it makes the barrier
  bool refused = false;          ///< the kernel refuses the barrier from now on
  bool sleeps_when_refused = false;
  bool settles = true;  ///< stores of the sender reach memory before the sleeper, refused, tries again
};

/// Connection::write: the mark, the barrier unless the sleeper makes it, the look at WAIT, the wake-up.
void add_sender(Program& program, std::size_t self, Word messages, const Variant& variant) {
  const std::size_t other = 1 - self;
  for (Word n = 1; n <= messages; ++n) {
    program.push_back({Do::set, kMark, n});
    program.push_back({Do::store, mark_of(self), kMark});
    if (!variant.relies_anyway) {
      program.push_back({Do::load, barrier_of(other), kSeen});
      program.push_back({Do::set, kNumber, 1});
      program.push_back({Do::jump_if_equal, kSeen, kNumber, program.size() + 2});
      program.push_back({Do::fence});
    }
    program.push_back({Do::load, wait_of(other), kWait});
    program.push_back({Do::set, kNumber, 0});
    program.push_back({Do::jump_if_equal, kWait, kNumber, program.size() + 4});
    program.push_back({Do::jump_if_equal, kWait, kWoken, program.size() + 3});
    program.push_back({Do::copy, kWait, kWoken});
    program.push_back({Do::wake});
  }
}

/// Connection::wait: WAIT with a new number, the barrier for both, the last look, sleep; until all messages are there.
void add_sleeper(Program& program, std::size_t self, Word messages, const Variant& variant) {
  const std::size_t other = 1 - self;
  program.push_back({Do::set, kWanted, messages});
  program.push_back({Do::set, kWait, 0});
  std::vector<std::size_t> to_end;
  const auto look = [&] {
    program.push_back({Do::load, mark_of(other), kSeen});
    to_end.push_back(program.size());
    program.push_back({Do::jump_if_equal, kSeen, kWanted});
  };
  const auto wait = [&] {
    program.push_back({Do::add, kWait, 1});
    program.push_back({Do::store, wait_of(self), kWait});
    program.push_back({Do::fence});  // the store is sequentially consistent
  };
  const auto disarm = [&] {
    program.push_back({Do::set, kNumber, 0});
    program.push_back({Do::store, wait_of(self), kNumber});
  };
  if (variant.refused && !variant.sleeps_when_refused) {
    wait();
    program.push_back({Do::set, kNumber, 0});
    program.push_back({Do::store, barrier_of(self), kNumber});
    program.push_back({Do::fence});
    disarm();
    if (variant.settles) program.push_back({Do::settle});
  }
  const std::size_t again = program.size();
  wait();
  if (variant.looks_too_early) look();
  if (variant.makes_barrier && !variant.refused) program.push_back({Do::membarrier});
  if (!variant.looks_too_early) look();
  program.push_back({Do::sleep});
  disarm();
  program.push_back({Do::jump, 0, 0, again});
  for (const std::size_t at : to_end) program[at].to = program.size();
}

/// End 0 sends, end 1 waits for it.
Explored explore(const Variant& variant) {
  Program sender, sleeper;
  add_sender(sender, 0, 3, variant);
  add_sleeper(sleeper, 1, 3, variant);
  State start;
  start.memory[barrier_of(1)] = variant.says_barrier ? 1 : 0;
  return Explorer(sender, sleeper).run(start);
}

/// Each end sends, and then waits for the other.
Explored explore_both(const Variant& variant) {
  std::array<Program, kEnds> programs;
  for (std::size_t i = 0; i < kEnds; ++i) {
    add_sender(programs[i], i, 2, variant);
    add_sleeper(programs[i], i, 2, variant);
  }
  State start;
  for (std::size_t i = 0; i < kEnds; ++i) start.memory[barrier_of(i)] = variant.says_barrier ? 1 : 0;
  return Explorer(programs[0], programs[1]).run(start);
}

TEST(SlotBarrier, NoWakeUpIsLostWithTheSleepersBarrier) {
  const Explored one = explore({});
  const Explored both = explore_both({});
  EXPECT_EQ(one.stuck, 0U);
  EXPECT_EQ(both.stuck, 0U);
  EXPECT_GT(one.states, 500U);
  EXPECT_GT(both.states, 5000U);
  std::printf("%zu and %zu states\n", one.states, both.states);
}

TEST(SlotBarrier, NoneIsLostWithABarrierOnEachSide) {
  EXPECT_EQ(explore({.makes_barrier = false, .says_barrier = false}).stuck, 0U);
  EXPECT_EQ(explore_both({.makes_barrier = false, .says_barrier = false}).stuck, 0U);
}

TEST(SlotBarrier, NoneIsLostWhenTheKernelRefusesTheBarrier) {
  EXPECT_EQ(explore({.refused = true}).stuck, 0U);
}

TEST(SlotBarrier, FaultsAreFound) {
  EXPECT_NE(explore({.makes_barrier = false}).stuck, 0U) << "no barrier";
  EXPECT_NE(explore({.makes_barrier = false, .says_barrier = false, .relies_anyway = true}).stuck, 0U)
      << "the sender relies on a barrier though BARRIER is 0";
  EXPECT_NE(explore({.looks_too_early = true}).stuck, 0U) << "the sleeper looks before the barrier";
  EXPECT_NE(explore({.refused = true, .sleeps_when_refused = true}).stuck, 0U) << "the sleeper sleeps without it";
  EXPECT_NE(explore({.refused = true, .settles = false}).stuck, 0U)
      << "a store that was there before the refusal is still on its way at the next sleep";
}

}  // namespace
