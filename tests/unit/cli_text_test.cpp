// Tables and units as people see them.
#include <gtest/gtest.h>

#include "tools/slotwire/text.hpp"

namespace {
using namespace slotwire::cli;

TEST(CliText, ColumnsAreAsWideAsTheirWidestCell) {
  Table table({{"NAME"}, {"COUNT", true}, {"WHY"}});
  table.add({"a", "1", "short"});
  table.add({"longer", "123456", ""});
  EXPECT_EQ(table.text(""), "NAME     COUNT  WHY\na            1  short\nlonger  123456  \n");
}

TEST(CliText, ACellOfSeveralBytesACharacterTakesItsColumns) {
  Table table({{"X"}, {"Y"}});
  table.add({"\xc3\xa4", "b"});
  EXPECT_EQ(table.text(""), "X  Y\n\xc3\xa4  b\n");
}

TEST(CliText, MissingCellsAreEmpty) {
  Table table({{"X"}, {"Y"}});
  table.add({"a"});
  EXPECT_EQ(table.text("-"), "-X  Y\n-a  \n");
}

TEST(CliText, UnitsFollowTheSize) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(1023), "1023 B");
  EXPECT_EQ(bytes_text(1024), "1.00 KiB");
  EXPECT_EQ(bytes_text(10.5 * 1048576), "10.5 MiB");
  EXPECT_EQ(count_text(9999), "9999");
  EXPECT_EQ(count_text(12345), "12.3k");
  EXPECT_EQ(count_text(1.5e6), "1.50M");
  EXPECT_EQ(time_text(999), "999 ns");
  EXPECT_EQ(time_text(1500), "1.50 us");
  EXPECT_EQ(time_text(123'456'789), "123 ms");
  EXPECT_EQ(time_text(2.5e9), "2.50 s");
  EXPECT_EQ(uptime_text(59), "00:00:59");
  EXPECT_EQ(uptime_text(2 * 86400 + 3661), "2d 01:01:01");
}

}  // namespace
