// The generated constants and names, as code uses them.
#include "core/regs/regs.hpp"

#include <cctype>
#include <cstring>
#include <set>
#include <string>

#include <gtest/gtest.h>

namespace {
using namespace slotwire;

template <typename Enum>
void expect_names(std::size_t first, std::size_t count) {
  std::set<std::string_view> names;
  std::set<std::string_view> texts;
  for (std::size_t number = first; number < first + count; ++number) {
    const auto value = static_cast<Enum>(number);
    const std::string_view name = regs::name(value);
    EXPECT_NE(name, "unknown") << number;
    EXPECT_TRUE(names.insert(name).second) << name << " names two values";
    EXPECT_TRUE(texts.insert(regs::describe(value)).second) << name;
    EXPECT_FALSE(regs::describe(value).starts_with("Unknown")) << name;
    EXPECT_EQ(regs::describe(value).find('\n'), std::string_view::npos) << name;
    for (const char letter : name) {
      // Names are used in metrics, where nothing else is allowed.
      EXPECT_TRUE(std::islower(static_cast<unsigned char>(letter)) != 0 || letter == '_') << name;
    }
  }
  for (std::size_t number = 0; number < 256; ++number) {
    if (number < first || number >= first + count) {
      EXPECT_EQ(regs::name(static_cast<Enum>(number)), "unknown") << number;
      EXPECT_TRUE(regs::describe(static_cast<Enum>(number)).starts_with("Unknown")) << number;
    }
  }
}

TEST(Regs, EveryCounterHasItsOwnName) {
  expect_names<regs::Counter>(0, regs::kCounterCount);
}
TEST(Regs, EveryFrameTypeHasItsOwnName) {
  expect_names<regs::FrameType>(0, 5);
}
TEST(Regs, EverySlotStateHasItsOwnName) {
  expect_names<regs::SlotState>(0, 4);
}
TEST(Regs, EveryFaultHasItsOwnName) {
  expect_names<regs::Fault>(0, 7);
}
TEST(Regs, EveryRecordKindHasItsOwnName) {
  expect_names<regs::RecordKind>(1, 7);
}

TEST(Regs, NamesStandBesideTheirOwnNumbers) {
  EXPECT_EQ(regs::name(regs::Counter::tx_frames), "tx_frames");
  EXPECT_EQ(regs::name(regs::Counter::drop_crc), "drop_crc");
  EXPECT_EQ(regs::name(regs::Counter::fault_out_head), "fault_out_head");
  EXPECT_EQ(regs::name(regs::FrameType::reset), "reset");
  EXPECT_EQ(regs::name(regs::Fault::peer_reset), "peer_reset");
  EXPECT_EQ(regs::name(regs::RecordKind::end_of_stream), "end_of_stream");
}

TEST(Regs, FaultsSayWhatToDo) {
  for (const auto fault : {regs::Fault::in_tail, regs::Fault::out_head, regs::Fault::peer_reset, regs::Fault::memory,
                           regs::Fault::admin, regs::Fault::memory_refused}) {
    EXPECT_NE(regs::describe(fault).find("open the connection"), std::string_view::npos) << regs::name(fault);
  }
}

TEST(Regs, MagicReadsAsTextInAddressOrder) {
  char text[4];
  std::memcpy(text, &regs::kCapMagicValue, sizeof text);
  EXPECT_EQ(std::string(text, sizeof text), "SLTW");
}

TEST(Regs, RowFlagsAreDistinctBits) {
  unsigned all = 0;
  for (const unsigned flag : {regs::kRowAckNow, regs::kRowNakNow, regs::kRowProbeNow, regs::kRowResetNow,
                              regs::kRowNakSent, regs::kRowTxTimer, regs::kRowAckTimer}) {
    EXPECT_EQ(all & flag, 0U);
    all |= flag;
  }
  EXPECT_EQ(all, 0x7fU);
}

}  // namespace
