// Programs of lockstep: text and back, hostile files, and that a seed is one program.
#include "sim/lockstep/program.hpp"

#include <gtest/gtest.h>

#include <initializer_list>

#include "sim/lockstep/generator.hpp"

namespace {
using namespace slotwire;

lockstep::Program some_program(std::uint64_t seed = 3) {
  lockstep::GeneratorOptions options;
  options.seed = seed;
  return lockstep::generate(options);
}

TEST(Program, IsTheSameAfterWritingAndReading) {
  for (std::uint64_t seed = 1; seed < 6; ++seed) {
    const std::string text = to_text(some_program(seed));
    EXPECT_EQ(to_text(lockstep::parse_program(text)), text);
  }
}

TEST(Program, OneSeedIsOneProgram) {
  EXPECT_EQ(to_text(some_program(7)), to_text(some_program(7)));
  EXPECT_NE(to_text(some_program(7)), to_text(some_program(8)));
}

TEST(Program, RefusesWhatNoProgramIs) {
  const std::string head =
      "slotwire-lockstep 1\nseed=1 slots=16 links=4 max_order=10 frame_lines=32 memory_lines=65536 start_us=0\n";
  EXPECT_NO_THROW(lockstep::parse_program(head));
  EXPECT_NO_THROW(lockstep::parse_program(head + "# a remark\n\nadvance us=5 together\n"));
  for (const char* step : {
           "advance us=5 us=6",
           "advance",
           "advance us=",
           "advance us=-1",
           "advance us=4294967296",
           "advance us=0xg",
           "advance us=5 later",
           "jump us=5",
           "in_tail slot=16 value=0",
           "in_tail slot=65536 value=0",
           "link_up link=4",
           "figures link=0 lines_per_frame=0 rto_us=1 rto_max_us=1 ack_delay_us=0",
           "figures link=0 lines_per_frame=1 rto_us=2 rto_max_us=1 ack_delay_us=0",
           "stray from_host=0 likeness=9 bytes=60 fill=0 damaged=0",
           "stray from_host=0 likeness=0 bytes=59 fill=0 damaged=0",
           "bind slot=0 link=0 peer_slot=0 epoch=0 in_order=11 out_order=0 credit=0 in_tail=0 in_head=0 out_tail=0 "
           "out_head=0 in_place=0 out_place=0",
           "bind slot=0 link=0 peer_slot=0 epoch=0 in_order=0 out_order=0 credit=0 in_tail=2 in_head=0 out_tail=0 "
           "out_head=0 in_place=0 out_place=0",
       }) {
    EXPECT_THROW(lockstep::parse_program(head + step + "\n"), std::invalid_argument) << step;
  }
  EXPECT_THROW(lockstep::parse_program(""), std::invalid_argument);
  EXPECT_THROW(lockstep::parse_program("slotwire-lockstep 2\n"), std::invalid_argument);
  for (const char* shape :
       {"slots=0 links=4 max_order=10", "slots=99999 links=4 max_order=10", "slots=16 links=0 max_order=10",
        "slots=16 links=4 max_order=16", "slots=64 links=4 max_order=15"}) {
    EXPECT_THROW(lockstep::parse_program(std::string("slotwire-lockstep 1\nseed=1 ") + shape +
                                         " frame_lines=32 memory_lines=65536 start_us=0\n"),
                 std::invalid_argument)
        << shape;
  }
}

TEST(Program, RingsStandInTheirSlotsRegion) {
  const lockstep::Program program = some_program();
  for (unsigned order = 0; order <= program.max_order; ++order) {
    for (const std::uint16_t place : std::initializer_list<std::uint16_t>{0, 1, 77, 65535}) {
      const std::uint32_t base = program.base(5, true, order, place);
      EXPECT_EQ(base % (1U << order), 0U);
      EXPECT_GE(base, program.region_lines() * 11);
      EXPECT_LE(base + (1U << order), program.region_lines() * 12);
    }
  }
}

}  // namespace
