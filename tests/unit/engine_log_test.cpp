// The log's lines, its file, and the limit for lines that repeat.
#include "runtime/engine/host/log.hpp"

#include <gtest/gtest.h>

#include <regex>

#include "temporary_directory.hpp"

namespace slotwire::engine {
namespace {

using std::chrono::seconds;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

class EngineLog : public testing::Test {
 protected:
  LogConfig config(LogLevel level = LogLevel::info) const { return {level, (dir_.path() / "log").string()}; }
  test::TemporaryDirectory dir_;
};

TEST_F(EngineLog, LinesHaveTimeLevelAndText) {
  Log log(config());
  log.logger().warn("link to {} is down", "web-1");
  const std::regex form(
      R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d warning slotwired\[\d+\]: link to web-1 is down\n)");
  EXPECT_TRUE(std::regex_match(dir_.read("log"), form)) << dir_.read("log");
}

TEST_F(EngineLog, WhatOthersWroteForgesNoLineAndMovesNoCursor) {
  Log log(config());
  log.logger().info("peer '{}'",
                    "a\nb\x1b[2J\x07 \xc2\x9b"
                    "31m \xe2\x80\xae"
                    "evil \xff caf\xc3\xa9 \xe2\x80\xa8");
  ASSERT_EQ(lines_of(dir_.read("log")).size(), 1U);
  EXPECT_NE(dir_.read("log").find("peer 'a?b?[2J? ?31m ?evil ? caf\xc3\xa9 ?'"), std::string::npos) << dir_.read("log");
  log.logger().info("{}", std::string(100'000, 'x'));
  EXPECT_LT(dir_.read("log").size(), 10'000U);
}

TEST_F(EngineLog, LevelDecidesAndCanChange) {
  Log log(config(LogLevel::warn));
  log.logger().info("one");
  log.logger().error("two");
  log.set_level(LogLevel::info);
  log.logger().info("three");
  log.set_level(LogLevel::off);
  log.logger().critical("four");
  const auto lines = lines_of(dir_.read("log"));
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_NE(lines[0].find("two"), std::string::npos);
  EXPECT_NE(lines[1].find("three"), std::string::npos);
}

TEST_F(EngineLog, ReopenGoesOnInANewFile) {
  Log log(config());
  log.logger().info("before");
  std::filesystem::rename(dir_.path() / "log", dir_.path() / "log.1");
  log.logger().info("still the old");
  ASSERT_TRUE(log.reopen().ok());
  log.logger().info("after");
  EXPECT_EQ(lines_of(dir_.read("log.1")).size(), 2U);
  ASSERT_EQ(lines_of(dir_.read("log")).size(), 1U);
  EXPECT_NE(dir_.read("log").find("after"), std::string::npos);
}

TEST_F(EngineLog, AppendsToWhatIsThere) {
  { Log(config()).logger().info("first"); }
  { Log(config()).logger().info("second"); }
  EXPECT_EQ(lines_of(dir_.read("log")).size(), 2U);
}

TEST_F(EngineLog, AFileThatCannotBeOpenedIsAnError) {
  const LogConfig wrong{LogLevel::info, dir_.path().string()};
  EXPECT_THROW(Log{wrong}, std::runtime_error);
  Log log(config());
  std::filesystem::rename(dir_.path() / "log", dir_.path() / "log.1");
  std::filesystem::create_directory(dir_.path() / "log");
  EXPECT_FALSE(log.reopen().ok());
  log.logger().info("goes on");
  const auto lines = lines_of(dir_.read("log.1"));
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_NE(lines[0].find("cannot be opened again"), std::string::npos) << lines[0];
  EXPECT_NE(lines[1].find("goes on"), std::string::npos) << lines[1];
}

TEST(EngineLogLimiter, LetsTheFirstThroughAndCountsTheRest) {
  LogLimiter limiter({3, seconds(10), 8});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limiter.admit("a", seconds(1)).write);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(limiter.admit("a", seconds(2)).write);
  EXPECT_TRUE(limiter.admit("b", seconds(2)).write) << "keys are apart";
  EXPECT_FALSE(limiter.admit("a", seconds(10)).write) << "not over yet";
  const auto next = limiter.admit("a", seconds(11));
  EXPECT_TRUE(next.write);
  EXPECT_EQ(next.held_back, 6U);
  EXPECT_EQ(limiter.admit("a", seconds(12)).held_back, 0U) << "said once";
}

TEST(EngineLogLimiter, SweepSaysWhatNobodyAskedForAgain) {
  LogLimiter limiter({1, seconds(10), 8});
  for (int i = 0; i < 4; ++i) limiter.admit("a", seconds(0));
  limiter.admit("b", seconds(0));
  std::vector<std::pair<std::string, std::uint64_t>> said;
  const auto note = [&](std::string_view key, std::uint64_t count) { said.emplace_back(key, count); };
  limiter.sweep(seconds(9), note);
  EXPECT_TRUE(said.empty());
  limiter.sweep(seconds(10), note);
  ASSERT_EQ(said.size(), 1U);
  EXPECT_EQ(said[0].first, "a");
  EXPECT_EQ(said[0].second, 3U);
  limiter.sweep(seconds(30), note);
  EXPECT_EQ(said.size(), 1U);
}

TEST(EngineLogLimiter, KeysBeyondTheTableShareOneAllowance) {
  LogLimiter limiter({1, seconds(10), 2});
  EXPECT_TRUE(limiter.admit("a", seconds(0)).write);
  EXPECT_TRUE(limiter.admit("b", seconds(0)).write);
  EXPECT_TRUE(limiter.admit("c", seconds(0)).write);
  EXPECT_FALSE(limiter.admit("d", seconds(0)).write);
  EXPECT_FALSE(limiter.admit("e", seconds(0)).write);
  std::uint64_t others = 0;
  limiter.sweep(seconds(10), [&](std::string_view, std::uint64_t count) { others += count; });
  EXPECT_EQ(others, 2U);
  EXPECT_TRUE(limiter.admit("d", seconds(10)).write) << "the sweep made room";
}

TEST_F(EngineLog, LimitedLogWritesTheSummary) {
  Log log(config());
  LimitedLog limited(log.shared(), {2, seconds(10), 8});
  for (int i = 0; i < 5; ++i) limited.write(seconds(0), "bad frame", spdlog::level::warn, "a bad frame {}");
  limited.write(seconds(10), "bad frame", spdlog::level::warn, "another");
  limited.write(seconds(10), "bad frame", spdlog::level::debug, "not at this level, not counted");
  for (int i = 0; i < 2; ++i) limited.write(seconds(11), "bad frame", spdlog::level::warn, "more");
  limited.sweep(seconds(20));
  const auto lines = lines_of(dir_.read("log"));
  ASSERT_EQ(lines.size(), 6U) << dir_.read("log");
  EXPECT_NE(lines[0].find("a bad frame {}"), std::string::npos) << "text is no format";
  EXPECT_NE(lines[2].find("bad frame: ... and 3 more"), std::string::npos);
  EXPECT_NE(lines[3].find("another"), std::string::npos);
  EXPECT_NE(lines[5].find("bad frame: ... and 1 more"), std::string::npos);
}

}  // namespace
}  // namespace slotwire::engine
