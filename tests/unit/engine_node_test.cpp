// Two nodes joined in one test, in simulated time, over a transport that only this test has.
#include "runtime/engine/node.hpp"

#include <gtest/gtest.h>

#include "sim/engine/engine_world.hpp"
#include "sim/engine/sim_transport.hpp"

namespace slotwire::engine {
namespace {

TEST(TransportRegistry, AKindThatIsAddedMayBeConfiguredAndIsNamedInMessages) {
  sim::SimTransport::use_wires({});  // adds "sim"
  ASSERT_NE(find_transport_kind("sim"), nullptr);
  const std::string link = "[node]\nname = \"a\"\n[[link]]\npeer = \"b\"\ncontrol = \"127.0.0.1:1\"\ncarrier = ";
  EXPECT_EQ(parse_config(link + "\"sim\"\n", "test").links[0].carrier, "sim");
  try {
    parse_config(link + "\"smi\"\n", "test");
    ADD_FAILURE() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("\"sim\""), std::string::npos) << error.what();
  }
}

TEST(TransportRegistry, KindsAreUniqueAndCanBeOpened) {
  std::set<std::string_view> names;
  for (const TransportKind& kind : transport_kinds()) {
    EXPECT_TRUE(names.insert(kind.name).second) << kind.name;
    EXPECT_NE(kind.open, nullptr) << kind.name;
  }
  for (const char* name : {"udp", "tcp", "card", "dpdk"}) EXPECT_TRUE(names.contains(name)) << name;
}

/// Each seed is a run of two engines with everything that goes wrong; `simulate-engines` runs thousands.
TEST(Node, TwoEnginesHoldTheirInvariants) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const sim::EngineResult result = sim::run_engines({.seed = seed, .steps = 200});
    ASSERT_FALSE(result.violation) << "seed " << seed << ": " << *result.violation;
  }
}

TEST(Node, TheSameSeedIsTheSameRun) {
  const sim::EngineResult one = sim::run_engines({.seed = 7, .steps = 200});
  const sim::EngineResult two = sim::run_engines({.seed = 7, .steps = 200});
  EXPECT_EQ(one.hash, two.hash);
  EXPECT_EQ(one.lines, two.lines);
  EXPECT_NE(one.hash, sim::run_engines({.seed = 8, .steps = 200}).hash);
}

}  // namespace
}  // namespace slotwire::engine
