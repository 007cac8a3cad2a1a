// slotwire_classifier against a model in C++: which rule decides over random frames and rules, and that frames stay
// whole and in order.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <deque>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "Vrtl_classifier.h"
#include "bench.hpp"
#include "core/regs/regs.hpp"

namespace slotwire::rtl_test {
namespace {

constexpr std::size_t kRules = 16;  // As in tests/rtl/CMakeLists.txt.
constexpr std::uint64_t kClocks = 4;
constexpr auto kDefaultLine = static_cast<unsigned>(regs::kClassifierDefault / regs::kLineBytes);
using Frame = std::vector<std::uint8_t>;
using regs::ClassifierAction;
using regs::ClassifierRule;

/// A frame's fields, read byte by byte from its first line as the description of a rule says.
ClassifierRule fields_of(const Frame& frame) {
  ClassifierRule key{};
  const std::size_t there = std::min<std::size_t>(frame.size(), 64);
  const auto number = [&](std::size_t at, std::size_t bytes) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) value = value << 8 | frame[at + i];
    return value;
  };
  if (there >= 6) {
    key.dst_mac_high = number(0, 4);
    key.dst_mac_low = static_cast<std::uint16_t>(number(4, 2));
  }
  std::size_t at = 14;
  if (there >= 18 && number(12, 2) == 0x8100) {
    key.kinds |= regs::kFrameKindTagged;
    key.vlan = static_cast<std::uint16_t>(number(14, 2));
    at = 18;
  }
  if (there >= at) key.ether_type = static_cast<std::uint16_t>(number(at - 2, 2));
  std::size_t ports = 0;
  if (key.ether_type == 0x0800 && there >= at + 20 && frame[at] >> 4 == 4 && (frame[at] & 15) >= 5) {
    key.kinds |= regs::kFrameKindIpv4;
    key.protocol = frame[at + 9];
    key.src_ip = number(at + 12, 4);
    key.dst_ip = number(at + 16, 4);
    if ((frame[at] & 15) == 5 && (number(at + 6, 2) & 0x3fff) == 0) ports = at + 20;
  } else if (key.ether_type == 0x86dd && there >= at + 40 && frame[at] >> 4 == 6) {
    key.kinds |= regs::kFrameKindIpv6;
    key.protocol = frame[at + 6];
    ports = at + 40;
  }
  if (ports != 0 && there >= ports + 4 && (key.protocol == 17 || key.protocol == 6)) {
    key.kinds |= regs::kFrameKindPorts;
    key.src_port = static_cast<std::uint16_t>(number(ports, 2));
    key.dst_port = static_cast<std::uint16_t>(number(ports + 2, 2));
  }
  return key;
}

constexpr std::size_t kValueAt = offsetof(ClassifierRule, dst_mac_high);
constexpr std::size_t kMaskAt = offsetof(ClassifierRule, dst_mac_high_mask);
constexpr std::size_t kKeyBytes = kMaskAt - kValueAt;

bool matches(const ClassifierRule& rule, const ClassifierRule& key) {
  const auto action = static_cast<ClassifierAction>(rule.action);
  if (action != ClassifierAction::queue && action != ClassifierAction::drop) return false;
  std::uint8_t r[sizeof rule], k[sizeof key];
  std::memcpy(r, &rule, sizeof rule);
  std::memcpy(k, &key, sizeof key);
  for (std::size_t i = 0; i < kKeyBytes; ++i) {
    if (((r[kValueAt + i] ^ k[kValueAt + i]) & r[kMaskAt + i]) != 0) return false;
  }
  return true;
}

struct Verdict {
  bool drop = false, marks = false;
  std::uint32_t mark = 0, queue = 0;
  int rule = -1;
};

struct Model {
  std::array<ClassifierRule, kRules> rules{};
  Verdict otherwise;

  Verdict look(const Frame& frame) const {
    const ClassifierRule key = fields_of(frame);
    for (std::size_t i = 0; i < kRules; ++i) {
      const ClassifierRule& rule = rules[i];
      if (!matches(rule, key)) continue;
      const bool marks = (rule.marks & 1) != 0;
      return {static_cast<ClassifierAction>(rule.action) == ClassifierAction::drop, marks,
              marks ? rule.mark & 0xff'ffff : 0, rule.host_queue & 0xffU, static_cast<int>(i)};
    }
    return otherwise;
  }
};

/// Few values for each field, so that rules and frames meet often.
Frame random_frame(sim::Random& random) {
  Frame frame;
  const auto put_number = [&](std::uint64_t value, std::size_t bytes) {
    while (bytes-- > 0) frame.push_back(static_cast<std::uint8_t>(value >> 8 * bytes));
  };
  put_number(0x0200'0000'0000 + random.below(3), 6);
  put_number(0x0200'0000'1000, 6);
  const bool tagged = random.chance(400);
  if (tagged) put_number(0x8100'0000U | random.below(3) << 13 | random.below(4), 4);
  const std::uint32_t what = random.below(10);
  const std::uint8_t protocols[] = {6, 17, 17, 1};
  const std::uint8_t protocol = protocols[random.below(4)];
  if (what < 6) {
    put_number(0x0800, 2);
    const std::uint8_t first[] = {0x45, 0x45, 0x45, 0x45, 0x46, 0x44, 0x65};
    put_number(first[random.below(7)], 1);
    put_number(random.bits32(), 5);
    const std::uint32_t fragments[] = {0, 0, 0x4000, 0x2000, 0x0001};
    put_number(fragments[random.below(5)], 2);
    put_number(64, 1);
    put_number(protocol, 1);
    put_number(random.bits32(), 2);
    put_number(0x0a00'0000 + random.below(4), 4);
    put_number(0x0a00'0100 + random.below(4), 4);
  } else if (what < 9) {
    put_number(0x86dd, 2);
    put_number(random.chance(900) ? 0x60 : 0x40, 1);
    put_number(random.bits32(), 5);
    put_number(protocol, 1);
    put_number(64, 1);
    for (int i = 0; i < 8; ++i) put_number(random.bits32(), 4);
  } else {
    put_number(random.chance(500) ? 0x0806 : 0x8100, 2);
  }
  put_number(7000 + random.below(3), 2);
  put_number(8000 + random.below(3), 2);
  const std::size_t length = random.chance(300) ? 1 + random.below(80) : 60 + random.below(300);
  while (frame.size() < length) frame.push_back(static_cast<std::uint8_t>(random.bits32()));
  frame.resize(length);
  return frame;
}

/// A rule that some frame matches, with a few of its fields; now and then one that is not there or with odd masks.
ClassifierRule random_rule(sim::Random& random) {
  ClassifierRule rule = fields_of(random_frame(random));
  std::uint8_t bytes[sizeof rule];
  std::memcpy(bytes, &rule, sizeof rule);
  constexpr std::array<std::array<std::size_t, 2>, 10> kFields{
      {{0, 4}, {4, 4}, {8, 4}, {12, 2}, {14, 2}, {16, 2}, {18, 2}, {20, 2}, {22, 1}, {23, 1}}};
  for (const auto& [at, size] : kFields) {
    if (!random.chance(350)) continue;
    for (std::size_t i = 0; i < size; ++i)
      bytes[kMaskAt + at + i] = random.chance(800) ? 0xff : static_cast<std::uint8_t>(random.bits32());
  }
  std::memcpy(&rule, bytes, sizeof rule);
  const std::uint8_t actions[] = {0, 1, 1, 1, 2, 3};
  rule.action = actions[random.below(6)];
  rule.marks = static_cast<std::uint8_t>(random.bits32());
  rule.mark = random.bits32();
  rule.host_queue = static_cast<std::uint16_t>(random.bits32());
  rule.reserved = random.bits32();
  return rule;
}

class Classifier {
 public:
  explicit Classifier(std::uint64_t seed) : bench(seed) {
    dut().s_tvalid_i = dut().we_i = 0;
    bench.reset();
  }
  Vrtl_classifier& dut() { return *bench.dut; }

  void write(unsigned line, const void* row) {
    Line bytes;
    std::memcpy(bytes.data(), row, bytes.size());
    put(dut().row_i, bytes);
    dut().line_i = static_cast<std::uint8_t>(line);
    dut().we_i = 1;
  }
  void offer(const Frame& frame, std::size_t at, bool damaged) {
    Line line = random_line(bench.random);  // what keep leaves out means nothing
    const std::size_t bytes = std::min<std::size_t>(frame.size() - at, 64);
    std::memcpy(line.data(), frame.data() + at, bytes);
    put(dut().s_tdata_i, line);
    dut().s_tkeep_i = ~0ULL >> (64 - bytes);
    dut().s_tlast_i = at + bytes == frame.size();
    dut().s_tuser_i = damaged;
    dut().s_tvalid_i = 1;
  }

  Bench<Vrtl_classifier> bench;
};

struct Expected {
  Frame frame;
  Verdict verdict;
  bool damaged = false;
  int first_clock = 0;
};

TEST(RtlClassifier, DecidesAsTheModelAndKeepsFramesAsTheyAre) {
  std::size_t moved = 0, dropped = 0, marked = 0, unmatched = 0;
  std::array<std::size_t, kRules> decided{};
  for (std::uint64_t seed = 1; seed <= 4 * kSeeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Classifier classifier(seed);
    auto& bench = classifier.bench;
    auto& dut = classifier.dut();
    Model model;
    std::deque<Expected> expected;
    Frame incoming = random_frame(bench.random), outgoing;
    std::size_t at = 0;
    bool damaged = false;
    Eagerness writer;
    for (int clock = 0; clock < 2500; ++clock) {
      // Rules change under way: a frame is treated by the old ones or the new ones, whole.
      dut.we_i = 0;
      const std::uint32_t change = bench.random.below(clock < 40 ? 2 : 60);
      ClassifierRule rule{};
      unsigned line = 99;
      if (change == 0) {
        line = bench.random.below(kRules);
        rule = random_rule(bench.random);
        classifier.write(line, &rule);
      } else if (bench.random.below(200) == 0) {
        line = kDefaultLine;
        rule.action = static_cast<std::uint8_t>(bench.random.below(4));
        rule.host_queue = static_cast<std::uint16_t>(bench.random.bits32());
        classifier.write(line, &rule);
      }
      dut.s_tvalid_i = 0;
      dut.s_tlast_i = bench.random.chance(500);  // of a beat that is not there
      if (writer(bench.random)) classifier.offer(incoming, at, damaged = bench.random.chance(30));
      bench.settle();
      if (dut.m_tvalid_o) {
        ASSERT_FALSE(expected.empty()) << "a beat from nowhere";
        const Expected& wanted = expected.front();
        const Line data = get(dut.m_tdata_o);
        for (std::size_t i = 0; i < 64 && (dut.m_tkeep_o >> i & 1) != 0; ++i) outgoing.push_back(data[i]);
        ASSERT_EQ(dut.m_drop_o != 0, wanted.verdict.drop) << "rule " << wanted.verdict.rule;
        ASSERT_EQ(dut.m_verdict_o & 0xff, wanted.verdict.queue) << "rule " << wanted.verdict.rule;
        ASSERT_EQ(dut.m_verdict_o >> 8 & 0xff'ffff, wanted.verdict.mark) << "rule " << wanted.verdict.rule;
        ASSERT_EQ(dut.m_verdict_o >> 32 & 1, wanted.verdict.marks ? 1U : 0U);
        if (dut.m_tlast_o) {
          ASSERT_EQ(outgoing, wanted.frame);
          ASSERT_EQ(dut.m_tuser_o != 0, wanted.damaged);
          ++moved;
          dropped += wanted.verdict.drop;
          marked += wanted.verdict.marks;
          unmatched += wanted.verdict.rule < 0;
          if (wanted.verdict.rule >= 0) ++decided[static_cast<std::size_t>(wanted.verdict.rule)];
          expected.pop_front();
          outgoing.clear();
        }
      }
      ASSERT_TRUE(!dut.idle_o || expected.empty());
      const bool taken = dut.s_tvalid_i != 0;
      bench.tick();
      if (taken && at == 0) expected.push_back({incoming, {}, false, clock});
      if (taken && (at += 64) >= incoming.size()) {
        expected.back().damaged = damaged;
        incoming = random_frame(bench.random);
        at = 0;
      }
      if (line < kRules) model.rules[line] = rule;
      if (line == kDefaultLine) {
        model.otherwise.drop = static_cast<ClassifierAction>(rule.action) == ClassifierAction::drop;
        model.otherwise.queue = rule.host_queue & 0xffU;
      }
      // When the rules decide over a frame, and when what no rule matches is decided.
      for (Expected& frame : expected) {
        if (frame.first_clock + 1 == clock) frame.verdict = model.look(frame.frame);
        if (frame.first_clock + 2 == clock && frame.verdict.rule < 0) frame.verdict = model.otherwise;
      }
    }
  }
  EXPECT_GT(moved, 20'000U);
  EXPECT_GT(dropped, 2'000U);
  EXPECT_GT(marked, 2'000U);
  EXPECT_GT(unmatched, 1'000U);
  for (std::size_t i = 0; i < kRules; ++i) EXPECT_GT(decided[i], 50U) << "rule " << i;
}

/// A rule that matches just what tshark read in a frame (tests/vectors/foreign.py), all bits of it.
ClassifierRule rule_of(const nlohmann::json& read) {
  ClassifierRule rule{};
  const auto mac = read["dst_mac"].get<std::uint64_t>();
  rule.dst_mac_high = static_cast<std::uint32_t>(mac >> 16);
  rule.dst_mac_low = static_cast<std::uint16_t>(mac & 0xffff);
  rule.src_ip = read["src_ip"];
  rule.dst_ip = read["dst_ip"];
  rule.ether_type = read["ether_type"];
  rule.vlan = read["vlan"];
  rule.src_port = read["src_port"];
  rule.dst_port = read["dst_port"];
  rule.protocol = read["protocol"];
  const auto kind = [&](const char* name, std::uint8_t bit) {
    if (read[name].get<bool>()) rule.kinds = static_cast<std::uint8_t>(rule.kinds | bit);
  };
  kind("tagged", regs::kFrameKindTagged);
  kind("ipv4", regs::kFrameKindIpv4);
  kind("ipv6", regs::kFrameKindIpv6);
  kind("ports", regs::kFrameKindPorts);
  std::memset(reinterpret_cast<std::uint8_t*>(&rule) + kMaskAt, 0xff, kKeyBytes);
  return rule;
}

TEST(RtlClassifier, FindsTheFieldsThatTsharkFinds) {
  std::ifstream file(SLOTWIRE_FOREIGN_FRAMES);
  const nlohmann::json frames = nlohmann::json::parse(file)["to_card"];
  Classifier classifier(11);
  auto& bench = classifier.bench;
  auto& dut = classifier.dut();
  /// Offers the frame; the queue that its first beat goes to.
  const auto queue_of = [&](const Frame& frame) {
    for (std::size_t at = 0; at < frame.size(); at += 64) {
      classifier.offer(frame, at, false);
      bench.tick();
    }
    dut.s_tvalid_i = 0;
    for (std::uint64_t i = 1; i < kClocks; ++i) bench.tick();
    bench.settle();
    EXPECT_TRUE(dut.m_tvalid_o);
    const auto queue = static_cast<unsigned>(dut.m_verdict_o & 0xff);
    bench.tick();
    return queue;
  };
  for (const nlohmann::json& read : frames) {
    SCOPED_TRACE(read["made_by"].get<std::string>() + ": " + read["name"].get<std::string>());
    const std::string hex = read["bytes"];
    Frame frame;
    for (std::size_t i = 0; i < hex.size(); i += 2)
      frame.push_back(static_cast<std::uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    const ClassifierRule exact = rule_of(read["rule"]);
    const auto with = [&](ClassifierRule rule) {
      rule.action = static_cast<std::uint8_t>(ClassifierAction::queue);
      rule.host_queue = 7;
      classifier.write(0, &rule);
      bench.tick();
      dut.we_i = 0;
      bench.tick();
      return queue_of(frame);
    };
    EXPECT_EQ(with(exact), 7U);
    // Not if any bit of the frame's fields were another one.
    for (std::size_t bit = 0; bit < kKeyBytes * 8; ++bit) {
      ClassifierRule other = exact;
      reinterpret_cast<std::uint8_t*>(&other)[kValueAt + bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
      ASSERT_EQ(with(other), 0U) << "bit " << bit;
    }
  }
}

TEST(RtlClassifier, PassesEverythingToQueueZeroAfterAReset) {
  Classifier classifier(7);
  auto& bench = classifier.bench;
  auto& dut = classifier.dut();
  ClassifierRule all{};
  all.action = static_cast<std::uint8_t>(ClassifierAction::drop);
  classifier.write(3, &all);
  bench.tick();
  dut.we_i = 0;
  classifier.offer(Frame(60, 1), 0, false);
  bench.tick();
  dut.s_tvalid_i = 0;
  for (std::uint64_t i = 1; i < kClocks; ++i) bench.tick();
  bench.settle();
  ASSERT_TRUE(dut.m_tvalid_o);
  EXPECT_TRUE(dut.m_drop_o);
  bench.reset();
  classifier.offer(Frame(60, 1), 0, false);
  bench.tick();
  dut.s_tvalid_i = 0;
  for (std::uint64_t i = 1; i < kClocks; ++i) bench.tick();
  bench.settle();
  ASSERT_TRUE(dut.m_tvalid_o) << "four clocks";
  EXPECT_FALSE(dut.m_drop_o);
  EXPECT_EQ(dut.m_verdict_o, 0U);
}

}  // namespace
}  // namespace slotwire::rtl_test
