// A session comes back to a restarted engine step by step.
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <thread>

#include "client_support.hpp"

namespace slotwire::test {
namespace {

using Resume = PlayedSession;

TEST_F(Resume, DoesNotWaitForAnEngineThatTakesItsTime) {
  restart();
  const Json resume = hear("resume");
  EXPECT_EQ(resume.at("session"), 7);
  EXPECT_EQ(resume.at("slots"), Json::array());
  // It has not answered yet: nothing can be asked, and nothing waits.
  EXPECT_EQ(sw_context_process(context_), SW_OK);
  EXPECT_EQ(start_connect(), SW_ENGINE_GONE);
  sw_connection* connection = nullptr;
  EXPECT_EQ(sw_connect(context_, "t", nullptr, 0, &connection), SW_ENGINE_GONE);
  EXPECT_FALSE(engine_.called()) << "it knocked again before its patience was over";
  answer(resume, {{"closed", Json::array()}});
  step();
  EXPECT_EQ(hear("serve").at("service"), "s");
  EXPECT_EQ(start_connect(), SW_OK) << sw_last_error();
  hear("connect");
}

TEST_F(Resume, OpensANewSessionWithAnEngineThatKeptNothing) {
  restart();
  answer(hear("resume"), {{"error", {{"code", "no_session"}, {"text", "it started anew"}}}});
  step();
  const Json hello = hear("hello");
  EXPECT_EQ(start_connect(), SW_ENGINE_GONE);
  ASSERT_TRUE(engine_.welcome(*peer_, number_of(hello)));
  step();
  EXPECT_EQ(hear("serve").at("service"), "s");
  EXPECT_EQ(start_connect(), SW_OK) << sw_last_error();
}

TEST_F(Resume, TriesAgainWhenItIsTurnedAway) {
  for (const char* code : {"busy", "version", "restarting"}) {
    restart();
    answer(hear("resume"), {{"error", {{"code", code}, {"text", "not now"}}}});
    step();
    EXPECT_EQ(start_connect(), SW_ENGINE_GONE);
  }
  restart();
  answer(hear("resume"), {{"closed", "nonsense"}});
  step();
  restart();
  answer(hear("resume"));
  step();
  EXPECT_EQ(start_connect(), SW_OK) << sw_last_error();
}

TEST_F(Resume, GivesUpAnEngineThatNeverAnswers) {
  restart();
  const std::string first = FakeEngine::hear(*peer_);
  const auto begin = std::chrono::steady_clock::now();
  std::optional<FakeEngine::Peer> silent = std::move(peer_);
  while (!engine_.called()) step();
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4)) << "it has 5 s to answer";
  EXPECT_EQ(FakeEngine::hear(*silent), "") << "the connection that was given up is still open";
  peer_.emplace(engine_.accept());
  answer(hear("resume"));
  step();
  EXPECT_EQ(start_connect(), SW_OK) << sw_last_error();
}

TEST_F(Resume, IsWaitedForByARequestThatMayWait) {
  restart();
  const Json resume = hear("resume");
  std::thread playing([&] {
    answer(resume);
    hear("serve");
    answer(hear("connect"), {{"error", {{"code", "no_service"}, {"text", "nobody serves 't'"}}}});
  });
  sw_connection* connection = nullptr;
  EXPECT_EQ(sw_connect(context_, "t", nullptr, kPatienceMs, &connection), SW_NO_SERVICE) << sw_last_error();
  playing.join();
}

TEST_F(Resume, TellsOfAConnectionThatWasClosedMeanwhile) {
  sw_connection* const connection = connect();
  restart();
  const Json resume = hear("resume");
  EXPECT_EQ(resume.at("slots"), Json::array({kLocal}));
  sw_connection_close(connection);
  answer(resume);
  step();
  // Else the engine would keep the slot for as long as the process lives.
  EXPECT_EQ(hear("close").at("local"), kLocal);
}

}  // namespace
}  // namespace slotwire::test
