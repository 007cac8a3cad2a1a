// A context whose slotwired the test plays, in the same thread wherever the library must not wait.
#pragma once
#include <gtest/gtest.h>
#include <poll.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "fake_engine.hpp"
#include "slotwire.h"

namespace slotwire::test {

using Json = nlohmann::json;

inline constexpr int kPatienceMs = 20'000;

class PlayedSession : public ::testing::Test {
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

  /// A connection to "t", which some other node serves.
  sw_connection* connect() {
    if (start_connect() != SW_OK) throw std::runtime_error(sw_last_error());
    const std::vector<int> fds = engine_.slot();
    answer(hear("connect"), slot_of("t"), {fds[0], fds[1], fds[2]});
    step();
    void* token = nullptr;
    sw_connection* connection = nullptr;
    if (sw_connected(context_, &token, &connection) != SW_OK) throw std::runtime_error(sw_last_error());
    return connection;
  }
  /// A connection of somebody to "s", which this process serves. `more`: fields of the event.
  sw_connection* accept(const Json& more) {
    Json event = slot_of("s");
    event["ev"] = "accepted";
    event.update(more);
    const std::vector<int> fds = engine_.slot();
    if (!peer_->send(event.dump(), {fds[0], fds[1], fds[2]})) throw std::runtime_error("the process has hung up");
    step();
    sw_connection* connection = nullptr;
    if (sw_accept(service_, 0, &connection) != SW_OK) throw std::runtime_error(sw_last_error());
    return connection;
  }
  static Json slot_of(const std::string& service) {
    return {{"slot", 5},
            {"local", kLocal},
            {"in_order", FakeEngine::kOrder},
            {"out_order", FakeEngine::kOrder},
            {"service", service},
            {"direct", false},
            {"link_up", true},
            {"peer", {{"node", "n"}, {"name", "p"}, {"pid", 1}, {"uid", 0}}}};
  }

  /// Local index of the connection of connect().
  static constexpr int kLocal = 3;
  FakeEngine engine_;
  std::optional<FakeEngine::Peer> peer_;
  sw_context* context_ = nullptr;
  sw_service* service_ = nullptr;
};

}  // namespace slotwire::test
