// Programs that slotwire serve runs: input, output, limits.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>

#include "tools/slotwire/run_program.hpp"

namespace {
using namespace slotwire::cli;
using std::chrono::seconds;

ProgramResult run(const std::string& command, const std::string& input, std::size_t most = 1 << 20) {
  return run_program(command, std::as_bytes(std::span(input)), seconds(60), most, [] { return true; });
}

TEST(RunProgram, GivesInputAndTakesOutput) {
  const ProgramResult result = run("tr a-z A-Z", "some text");
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.output, "SOME TEXT");
  EXPECT_FALSE(result.too_slow || result.too_much);
}

TEST(RunProgram, CarriesMoreThanPipesHold) {
  const std::string input(700'000, 'x');
  EXPECT_EQ(run("cat", input).output, input);
}

TEST(RunProgram, AProgramNeedNotReadItsInput) {
  const ProgramResult result = run("echo done", std::string(1'000'000, 'x'));
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.output, "done\n");
}

TEST(RunProgram, TellsTheExitStatusOrTheSignal) {
  EXPECT_EQ(run("exit 9", "").status, 9);
  EXPECT_EQ(run("kill -TERM $$", "").status, 128 + SIGTERM);
  EXPECT_EQ(run("no-such-program-anywhere 2>/dev/null", "").status, 127);
}

TEST(RunProgram, KillsWhatWritesTooMuch) {
  const ProgramResult result = run("cat /dev/zero", "", 1000);
  EXPECT_TRUE(result.too_much);
  EXPECT_EQ(result.status, 128 + SIGKILL);
}

TEST(RunProgram, KillsWhatNobodyWaitsFor) {
  int asked = 0;
  const ProgramResult result =
      run_program("sleep 1000 & sleep 1000", {}, seconds(60), 1000, [&] { return ++asked < 2; });
  EXPECT_TRUE(result.too_slow);
  EXPECT_EQ(asked, 2);
}

TEST(RunProgram, AChildThatHoldsTheOutputIsNotWaitedFor) {
  // In a session of its own no kill of the program's group reaches it. Its input is a pipe that this test holds open.
  std::array<int, 2> life{};
  ASSERT_EQ(::pipe(life.data()), 0);
  ::fcntl(life[1], F_SETFD, FD_CLOEXEC);
  const std::string child = "setsid sh -c 'echo late; read x <&" + std::to_string(life[0]) + "' & echo done; exit 3";
  const ProgramResult result = run(child, "");
  EXPECT_FALSE(result.too_slow);
  EXPECT_EQ(result.status, 3);
  EXPECT_NE(result.output.find("done"), std::string::npos);
  ::close(life[1]);
  ::close(life[0]);
}

TEST(RunProgram, AChildThatHoldsTheOutputOfAKilledProgramIsNotWaitedForEither) {
  std::array<int, 2> life{};
  ASSERT_EQ(::pipe(life.data()), 0);
  ::fcntl(life[1], F_SETFD, FD_CLOEXEC);
  const std::string child = "setsid sh -c 'read x <&" + std::to_string(life[0]) + "' & sleep 1000";
  const ProgramResult result = run_program(child, {}, std::chrono::milliseconds(300), 1000, [] { return true; });
  EXPECT_TRUE(result.too_slow);
  ::close(life[1]);
  ::close(life[0]);
}

TEST(RunProgram, KillsWhatTakesTooLong) {
  const ProgramResult result = run_program("sleep 1000", {}, std::chrono::milliseconds(1), 1000, [] { return true; });
  EXPECT_TRUE(result.too_slow);
}

}  // namespace
