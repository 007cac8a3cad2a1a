// A session comes back to a restarted engine step by step: the test plays the engine, in the same thread wherever the
// library must not wait.
#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>

#include "fake_engine.hpp"
#include "slotwire.h"

namespace slotwire::test {
namespace {

using Json = nlohmann::json;

constexpr int kPatienceMs = 20'000;

class Resume : public ::testing::Test {
 protected:
  /// Opens the context and serves "s" in it.
  void SetUp() override {
    std::thread playing([&] {
      peer_.emplace(engine_.accept());
      engine_.welcome(*peer_, number_of(hear("hello")));
      answer(hear("serve"));
    });
    const std::string path = engine_.path();
    sw_options options;
    SW_INIT(options);
    options.socket = path.c_str();
    const int opened = sw_open(&options, &context_);
    const int serving = opened == SW_OK ? sw_serve(context_, "s", nullptr, &service_) : opened;
    playing.join();
    ASSERT_EQ(serving, SW_OK) << sw_last_error();
  }
  void TearDown() override {
    sw_close(context_);
    peer_.reset();
  }

  /// The engine dies; the process notices and knocks again.
  void restart() {
    peer_.reset();
    while (!engine_.called()) step();
    peer_.emplace(engine_.accept());
  }
  /// Waits until the context has something to do, and lets it.
  void step() {
    pollfd wait{sw_context_fd(context_), POLLIN, 0};
    if (::poll(&wait, 1, kPatienceMs) != 1) throw std::runtime_error("the context has nothing to do");
    if (sw_context_process(context_) != SW_OK) throw std::runtime_error(sw_last_error());
  }
  /// The next request, which must be an `op`.
  Json hear(const std::string& op) {
    const std::string text = FakeEngine::hear(*peer_);
    Json request = Json::parse(text, nullptr, false);
    if (!request.is_object() || request.value("op", "") != op) throw std::runtime_error("not a " + op + ": " + text);
    return request;
  }
  static std::uint64_t number_of(const Json& request) { return request.at("id").get<std::uint64_t>(); }
  void answer(const Json& request, Json fields = Json::object(), const std::vector<int>& fds = {}) {
    fields["id"] = request.at("id");
    if (!fields.contains("error")) fields["ok"] = true;
    EXPECT_TRUE(peer_->send(fields.dump(), fds)) << "the process has hung up";
  }
  /// Is a request that waits for nothing taken now?
  int start_connect() { return sw_start_connect(context_, "t", nullptr, 1000, nullptr); }

  FakeEngine engine_;
  std::optional<FakeEngine::Peer> peer_;
  sw_context* context_ = nullptr;
  sw_service* service_ = nullptr;
};

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
  ASSERT_EQ(start_connect(), SW_OK);
  answer(hear("connect"),
         {{"slot", 5},
          {"local", 3},
          {"in_order", FakeEngine::kOrder},
          {"out_order", FakeEngine::kOrder},
          {"service", "t"},
          {"direct", false},
          {"link_up", true},
          {"peer", {{"node", "n"}, {"name", "p"}, {"pid", 1}, {"uid", 0}}}},
         {engine_.slot()[0], engine_.slot()[1], engine_.slot()[2]});
  step();
  void* token = nullptr;
  sw_connection* connection = nullptr;
  ASSERT_EQ(sw_connected(context_, &token, &connection), SW_OK) << sw_last_error();
  restart();
  const Json resume = hear("resume");
  EXPECT_EQ(resume.at("slots"), Json::array({3}));
  sw_connection_close(connection);
  answer(resume);
  step();
  // Else the engine would keep the slot for as long as the process lives.
  EXPECT_EQ(hear("close").at("local"), 3);
}

}  // namespace
}  // namespace slotwire::test
