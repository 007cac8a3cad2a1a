// What applications print is bounded on its way to the log.
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "web/bridge/error_lines.hpp"

namespace slotwire::web::bridge {
namespace {

using std::chrono::milliseconds;

class Printed : public testing::Test {
 protected:
  ErrorLines make(const ErrorLineOptions& options) {
    return {options, [this](const std::string& text) { noted_.push_back(text); }};
  }
  std::vector<std::string> noted_;
  Clock::time_point now_{std::chrono::hours(1)};
};

TEST_F(Printed, LinesBeyondTheLimitAreCountedAndSaidAtTheEndOfTheSecond) {
  ErrorLines lines = make({.lines = 2, .bytes = 1000});
  for (int i = 0; i < 5; ++i) lines.add(now_, "app", "abc");
  EXPECT_EQ(noted_, (std::vector<std::string>{"app: abc", "app: abc"}));
  EXPECT_TRUE(lines.has_left_out());
  lines.tick(now_ + milliseconds(999));
  EXPECT_EQ(noted_.size(), 2U);
  EXPECT_EQ(lines.end_of_second(), now_ + milliseconds(1000));
  lines.tick(lines.end_of_second());
  ASSERT_EQ(noted_.size(), 3U);
  EXPECT_EQ(noted_[2],
            "applications print more than the log takes: 3 lines with 9 bytes were left out (--error-lines 2, "
            "--error-bytes 1000, a second)");
  EXPECT_FALSE(lines.has_left_out());
  lines.add(now_ + milliseconds(1000), "app", "again");
  EXPECT_EQ(noted_.back(), "app: again");
}

TEST_F(Printed, ANewSecondSaysFirstWhatWasLeftOut) {
  ErrorLines lines = make({.lines = 1, .bytes = 1000});
  lines.add(now_, "app", "one");
  lines.add(now_, "app", "two");
  lines.add(now_ + milliseconds(5000), "app", "three");
  ASSERT_EQ(noted_.size(), 3U);
  EXPECT_NE(noted_[1].find("1 lines with 3 bytes were left out"), std::string::npos) << noted_[1];
  EXPECT_EQ(noted_[2], "app: three");
}

TEST_F(Printed, BytesAreLimitedToo) {
  ErrorLines lines = make({.lines = 100, .bytes = 20});
  lines.add(now_, "app", std::string(10, 'a'));
  lines.add(now_, "app", std::string(10, 'b'));
  lines.add(now_, "app", "");
  EXPECT_EQ(noted_, (std::vector<std::string>{"app: aaaaaaaaaa", "app: "}));
}

TEST_F(Printed, ControlCharactersAreEscapedAndARestIsSaid) {
  ErrorLines lines = make({});
  lines.add(now_, "app", std::string("a\x1b[2J\r\0\x7f", 8), 70000);
  EXPECT_EQ(noted_, std::vector<std::string>{"app: a\\x1b[2J\\x0d\\x00\\x7f... and 70000 bytes more"});
}

}  // namespace
}  // namespace slotwire::web::bridge
