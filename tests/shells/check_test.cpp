// The checks of AXI ports find every breach that is seeded here, and nothing in what is right.
#include <gtest/gtest.h>

#include <vector>

#include "sim/axi/check.hpp"

namespace slotwire::sim::axi {
namespace {

const std::vector<std::uint32_t> kLine(16, 0xa5a5a5a5), kOther(16, 0x5a5a5a5a);
constexpr std::uint64_t kFull = ~std::uint64_t{0};

testing::AssertionResult says(const std::string& violation, const std::string& what) {
  if (violation.find(what) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "'" << violation << "' instead of '" << what << "'";
}

TEST(HandshakeCheck, WhatIsOfferedStays) {
  HandshakeCheck right("port");
  right.see(true, false, kLine);
  right.see(true, true, kLine);
  right.see(true, true, kOther);
  right.see(false, false, kLine);
  EXPECT_EQ(right.violation(), "");
  HandshakeCheck vanished("port");
  vanished.see(true, false, kLine);
  vanished.see(false, true, kLine);
  EXPECT_TRUE(says(vanished.violation(), "port: what was offered vanished"));
  HandshakeCheck changed("port");
  changed.see(true, false, kLine);
  changed.see(true, true, kOther);
  EXPECT_TRUE(says(changed.violation(), "changed"));
  HandshakeCheck reset("port");
  reset.see(true, false, kLine);
  reset.reset();
  reset.see(false, false, kLine);
  EXPECT_EQ(reset.violation(), "");
}

TEST(StreamCheck, PacketsHaveNoHoles) {
  const auto violation = [](std::initializer_list<StreamCheck::Beat> beats) {
    StreamCheck check("stream", 3);
    for (const auto& beat : beats) check.see(beat);
    return check.violation();
  };
  const StreamCheck::Beat whole{true, true, false, kLine, kFull}, last{true, true, true, kLine, 0x7};
  EXPECT_EQ(violation({whole, last, whole, whole, last}), "");
  EXPECT_TRUE(says(violation({{true, true, true, kLine, 0x5}}), "holes"));
  EXPECT_TRUE(says(violation({{true, true, true, kLine, 0}}), "without bytes"));
  EXPECT_TRUE(says(violation({{true, true, false, kLine, 0x7}}), "is short"));
  EXPECT_TRUE(says(violation({whole, whole, whole, last}), "more than 3"));
  EXPECT_TRUE(says(violation({{true, false, false, kLine, kFull}, {true, true, true, kLine, kFull}}), "changed"));
  EXPECT_TRUE(says(violation({{true, false, true, kLine, 0x7}, {true, true, true, kLine, 0x3}}), "changed"));
}

TEST(LiteCheck, AnswersAreToWhatWasAsked) {
  using Sample = LiteCheck::Sample;
  const auto violation = [](std::initializer_list<Sample> samples) {
    LiteCheck check("lite");
    for (const auto& sample : samples) check.see(sample);
    return check.violation();
  };
  const Sample address{.awvalid = true, .awready = true}, data{.wvalid = true, .wready = true},
      answer{.bvalid = true, .bready = true};
  const Sample read{.arvalid = true, .arready = true}, value{.rvalid = true, .rready = true};
  EXPECT_EQ(violation({address, data, answer, data, address, answer, read, read, value, value}), "");
  EXPECT_TRUE(says(violation({address, answer}), "a write that was not taken"));
  EXPECT_TRUE(says(violation({data, answer}), "a write that was not taken"));
  EXPECT_TRUE(says(violation({address, data, answer, answer}), "a write that was not taken"));
  EXPECT_TRUE(says(violation({read, value, value}), "a read that was not taken"));
  EXPECT_TRUE(says(violation({{.arvalid = true, .arready = true, .araddr = 2}}), "no word's"));
  EXPECT_TRUE(says(violation({read, {.rvalid = true, .rready = true, .rresp = 1}}), "EXOKAY"));
  EXPECT_TRUE(says(violation({{.awvalid = true, .awaddr = 4}, {.awvalid = true, .awready = true, .awaddr = 8}}),
                   "AW: what was offered changed"));
  EXPECT_TRUE(says(violation({read, {.rvalid = true, .rdata = 1}, {.rvalid = true, .rready = true, .rdata = 2}}),
                   "R: what was offered changed"));
}

TEST(MemoryCheck, BurstsAreWhatTheirAddressesSay) {
  using Sample = MemoryCheck::Sample;
  using Address = MemoryCheck::Address;
  const auto violation = [](std::initializer_list<Sample> samples) {
    MemoryCheck check("memory", 64, 2);
    for (const auto& sample : samples) check.see(sample);
    return check.violation();
  };
  const auto at = [](std::uint64_t address, std::uint32_t length = 0, std::uint32_t size = 6, std::uint32_t burst = 1) {
    return Address{true, true, address, 0, length, size, burst};
  };
  const auto aw = [](const Address& address) {
    Sample sample;
    sample.aw = address;
    return sample;
  };
  const auto ar = [](const Address& address) {
    Sample sample;
    sample.ar = address;
    return sample;
  };
  const auto w = [](bool last) {
    Sample sample;
    sample.wvalid = sample.wready = true;
    sample.wlast = last;
    sample.wdata = kLine;
    return sample;
  };
  const auto r = [](bool last) {
    Sample sample;
    sample.rvalid = sample.rready = true;
    sample.rlast = last;
    sample.rdata = kLine;
    return sample;
  };
  Sample b;
  b.bvalid = b.bready = true;
  EXPECT_EQ(violation({aw(at(0xfc0)), w(true), b, w(false), w(true), aw(at(0x1000, 1)), b, ar(at(0x40)),
                       ar(at(0x80, 1)), r(true), r(false), r(true)}),
            "");
  EXPECT_TRUE(says(violation({aw(at(0xfc0, 1))}), "crosses 4 KiB"));
  EXPECT_TRUE(says(violation({ar(at(0, 0, 7))}), "wider than the bus"));
  EXPECT_TRUE(says(violation({ar(at(0, 0, 6, 0))}), "not INCR"));
  EXPECT_TRUE(says(violation({aw(at(0)), w(false)}), "not marked"));
  EXPECT_TRUE(says(violation({aw(at(0, 1)), w(true)}), "another length"));
  EXPECT_TRUE(says(violation({aw(at(0)), b}), "not whole"));
  EXPECT_TRUE(says(violation({aw(at(0)), w(true), b, b}), "not whole"));
  EXPECT_TRUE(says(violation({r(true)}), "nobody asked for"));
  EXPECT_TRUE(says(violation({ar(at(0)), r(false)}), "marked wrongly"));
  EXPECT_TRUE(says(violation({ar(at(0)), ar(at(0)), ar(at(0))}), "more bursts under way than 2"));
  Sample waiting = aw(at(0));
  waiting.aw.ready = false;
  EXPECT_TRUE(says(violation({waiting, aw(at(64))}), "AW: what was offered changed"));
  Sample named = aw(at(0));
  named.aw.id = 1;
  EXPECT_TRUE(says(violation({named}), "an ID"));
}

}  // namespace
}  // namespace slotwire::sim::axi
