// What the C ABI says to arguments that cannot be: it says so, and touches nothing.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "client_support.hpp"

namespace slotwire::test {
namespace {

class Arguments : public PlayedSession {
 protected:
  struct Call {
    const char* what;
    std::function<int()> call;
  };
  static void all_are(int status, std::string_view text, const std::vector<Call>& calls) {
    for (const Call& call : calls) {
      EXPECT_EQ(call.call(), status) << call.what;
      EXPECT_NE(std::string_view(sw_last_error()).find(text), std::string_view::npos) << call.what;
    }
  }
};

TEST_F(Arguments, ThatAreNullAreRefused) {
  sw_connection* const c = connect();
  sw_connection* connection = nullptr;
  sw_poller* poller = nullptr;
  sw_ready ready{};
  sw_message message;
  SW_INIT(message);
  std::uint32_t id = 0;
  std::size_t n = 0;
  const void* data = nullptr;
  char byte = 0;
  ASSERT_EQ(sw_poller_create(context_, &poller), SW_OK);
  sw_cacheable no_key;
  SW_INIT(no_key);
  no_key.key_length = 1;
  all_are(SW_INVALID, "an argument is NULL",
          {{"open", [&] { return sw_open(nullptr, nullptr); }},
           {"serve", [&] { return sw_serve(context_, nullptr, nullptr, &service_); }},
           {"serve out", [&] { return sw_serve(context_, "u", nullptr, nullptr); }},
           {"accept", [&] { return sw_accept(service_, 0, nullptr); }},
           {"connect", [&] { return sw_connect(context_, nullptr, nullptr, 0, &connection); }},
           {"connect out", [&] { return sw_connect(context_, "u", nullptr, 0, nullptr); }},
           {"start_connect", [&] { return sw_start_connect(context_, nullptr, nullptr, 0, nullptr); }},
           {"connected", [&] { return sw_connected(context_, nullptr, &connection); }},
           {"peer", [&] { return sw_connection_peer(c, nullptr); }},
           {"send", [&] { return sw_send(c, nullptr, 1, 0); }},
           {"loan", [&] { return sw_loan_message(c, 1, nullptr); }},
           {"loan_stream", [&] { return sw_loan_stream(c, 1, nullptr); }},
           {"receive", [&] { return sw_receive(c, 0, nullptr); }},
           {"call", [&] { return sw_call(c, 1, nullptr, 1, 0, &message); }},
           {"call reply", [&] { return sw_call(c, 1, "x", 1, 0, nullptr); }},
           {"start_call", [&] { return sw_start_call(c, 1, nullptr, 1, 0, &id); }},
           {"start_call id", [&] { return sw_start_call(c, 1, "x", 1, 0, nullptr); }},
           {"reply", [&] { return sw_reply(c, 1, nullptr, 1, 0); }},
           {"call_cached key", [&] { return sw_call_cached(c, 1, nullptr, 1, "x", 1, 0, &message); }},
           {"call_cached", [&] { return sw_call_cached(c, 1, "k", 1, nullptr, 1, 0, &message); }},
           {"call_cached reply", [&] { return sw_call_cached(c, 1, "k", 1, "x", 1, 0, nullptr); }},
           {"reply_cached", [&] { return sw_reply_cached(c, 1, "x", 1, nullptr, 0); }},
           {"reply_cached key", [&] { return sw_reply_cached(c, 1, "x", 1, &no_key, 0); }},
           {"invalidate", [&] { return sw_invalidate(c, nullptr, 0); }},
           {"invalidate service", [&] { return sw_invalidate_service(service_, nullptr, 0); }},
           {"write", [&] { return sw_write(c, nullptr, 1, &n); }},
           {"write done", [&] { return sw_write(c, "x", 1, nullptr); }},
           {"read", [&] { return sw_read(c, nullptr, 1, &n); }},
           {"read done", [&] { return sw_read(c, &byte, 1, nullptr); }},
           {"peek", [&] { return sw_peek_stream(c, nullptr, &n); }},
           {"peek length", [&] { return sw_peek_stream(c, &data, nullptr); }},
           {"poller", [&] { return sw_poller_create(context_, nullptr); }},
           {"poller add", [&] { return sw_poller_add(nullptr, c, SW_READABLE, nullptr); }},
           {"poller set", [&] { return sw_poller_set(nullptr, c, SW_READABLE); }},
           {"poller remove", [&] { return sw_poller_remove(nullptr, c); }},
           {"poller wait", [&] { return sw_poller_wait(poller, nullptr, 1, 0, &n); }},
           {"poller wait count", [&] { return sw_poller_wait(poller, &ready, 1, 0, nullptr); }}});
  // No bytes need no place.
  EXPECT_EQ(sw_send(c, nullptr, 0, 0), SW_OK) << sw_last_error();
  EXPECT_EQ(sw_poller_wait(poller, &ready, 0, 0, &n), SW_INVALID);
  sw_poller_destroy(poller);
}

TEST_F(Arguments, WithoutAHandleAreRefused) {
  sw_connection* connection = nullptr;
  sw_message message;
  SW_INIT(message);
  all_are(SW_INVALID, "a handle is NULL",
          {{"process", [&] { return sw_context_process(nullptr); }},
           {"serve", [&] { return sw_serve(nullptr, "u", nullptr, &service_); }},
           {"accept", [&] { return sw_accept(nullptr, 0, &connection); }},
           {"send", [&] { return sw_send(nullptr, "x", 1, 0); }},
           {"receive", [&] { return sw_receive(nullptr, 0, &message); }},
           {"commit", [&] { return sw_commit(nullptr, SW_MESSAGE, 0, 0, 0); }},
           {"wait", [&] { return sw_wait(nullptr, SW_READABLE, 0); }},
           {"poller wait", [&] { return sw_poller_wait(nullptr, nullptr, 0, 0, nullptr); }}});
  sw_connection_close(nullptr);
  sw_service_close(nullptr);
  sw_close(nullptr);
}

TEST_F(Arguments, ThatDoNotFitAreRefused) {
  sw_connection* const c = connect();
  // A message that could never be given back is not taken from the ring.
  sw_message message{};
  all_are(SW_INVALID, "SW_INIT",
          {{"receive", [&] { return sw_receive(c, 0, &message); }},
           {"call", [&] { return sw_call(c, 1, "x", 1, 0, &message); }},
           {"call_answer", [&] { return sw_call_answer(c, 1, 0, &message); }},
           {"call_cached", [&] { return sw_call_cached(c, 1, "k", 1, "x", 1, 0, &message); }}});
  const std::array<sw_buffer, 2> batch{{{"x", 1}, {nullptr, 1}}};
  std::size_t sent = 0;
  all_are(SW_INVALID, "NULL", {{"send_batch", [&] { return sw_send_batch(c, batch.data(), batch.size(), &sent); }}});
  sw_options options;
  SW_INIT(options);
  options.socket = "/nonexistent";
  options.background = 1;
  sw_context* other = nullptr;
  ASSERT_EQ(sw_open(&options, &other), SW_OK) << sw_last_error();
  sw_poller* poller = nullptr;
  ASSERT_EQ(sw_poller_create(other, &poller), SW_OK) << sw_last_error();
  all_are(SW_INVALID, "another context",
          {{"poller add", [&] { return sw_poller_add(poller, c, SW_READABLE, nullptr); }}});
  sw_poller_destroy(poller);
  sw_close(other);
}

TEST_F(Arguments, OfASocketThatIsNotThereAreNamedWhileTheContextAttachesInTheBackground) {
  const std::string path = testing::TempDir() + "slotwire-nobody-" + std::to_string(::getpid());
  sw_options options;
  SW_INIT(options);
  options.socket = path.c_str();
  options.background = 1;
  sw_context* other = nullptr;
  ASSERT_EQ(sw_open(&options, &other), SW_OK) << sw_last_error();
  EXPECT_EQ(sw_context_attached(other), SW_AGAIN) << "it has not been tried yet";
  ASSERT_EQ(sw_context_process(other), SW_OK);
  for (const auto& ask : std::initializer_list<std::function<int()>>{
           [&] { return sw_context_attached(other); },
           [&] { return sw_start_connect(other, "t", nullptr, 1000, nullptr); }}) {
    EXPECT_EQ(ask(), SW_ENGINE_GONE);
    EXPECT_NE(std::string(sw_last_error()).find("cannot be reached at " + path + " (No such file or directory)"),
              std::string::npos)
        << sw_last_error();
  }
  sw_close(other);
  EXPECT_EQ(sw_context_attached(context_), SW_OK);
}

TEST_F(Arguments, OfAnotherThreadAreRefused) {
  sw_connection* const c = connect();
  std::thread([&] {
    all_are(SW_WRONG_THREAD, "one context per thread",
            {{"process", [&] { return sw_context_process(context_); }},
             {"send", [&] { return sw_send(c, "x", 1, 0); }},
             // The thread is looked at first: nothing else of the context may be.
             {"send nothing", [&] { return sw_send(c, nullptr, 1, 0); }}});
  }).join();
}

TEST_F(Arguments, OfAnotherThreadCloseNothing) {
  sw_poller* poller = nullptr;
  ASSERT_EQ(sw_poller_create(context_, &poller), SW_OK) << sw_last_error();
  std::thread([&] {
    sw_poller_destroy(poller);
    EXPECT_NE(std::string(sw_last_error()).find("one context per thread"), std::string::npos) << sw_last_error();
    sw_poller_destroy(nullptr);
    sw_close(context_);
    EXPECT_NE(std::string(sw_last_error()).find("one context per thread"), std::string::npos) << sw_last_error();
    sw_close(nullptr);
  }).join();
  sw_ready ready;
  std::size_t n = 0;
  EXPECT_EQ(sw_poller_wait(poller, &ready, 1, 0, &n), SW_AGAIN) << sw_last_error();
  EXPECT_EQ(start_connect(), SW_OK) << sw_last_error();
  hear("connect");
  sw_poller_destroy(poller);
}

TEST_F(Arguments, ConnectWithoutATimeoutLooksOnce) {
  sw_connection* connection = nullptr;
  EXPECT_EQ(sw_connect(context_, "t", nullptr, 0, &connection), SW_AGAIN);
  EXPECT_STREQ(sw_last_error(), "");
  EXPECT_EQ(connection, nullptr);
  // The answer comes when nobody waits for it: the connection is given back.
  const std::vector<int> fds = engine_.slot();
  answer(hear("connect"),
         {{"slot", 5},
          {"local", kLocal},
          {"in_order", FakeEngine::kOrder},
          {"out_order", FakeEngine::kOrder},
          {"service", "t"},
          {"direct", false},
          {"peer", {{"node", "n"}}}},
         {fds[0], fds[1], fds[2]});
  step();
  EXPECT_EQ(hear("close").at("local"), kLocal);
}

TEST_F(Arguments, OfTheEngineThatAreNoNumbersOfOursAreNotUnderstood) {
  for (const char* local : {"3e40", "-1", "4294967296", "1.5", "\"3\"", "null"}) {
    ASSERT_EQ(start_connect(), SW_OK);
    const std::vector<int> fds = engine_.slot();
    answer(hear("connect"),
           {{"slot", 5},
            {"local", Json::parse(local)},
            {"in_order", FakeEngine::kOrder},
            {"out_order", FakeEngine::kOrder},
            {"service", "t"},
            {"direct", false},
            {"peer", {{"node", "n"}}}},
           {fds[0], fds[1], fds[2]});
    step();
    void* token = nullptr;
    sw_connection* connection = nullptr;
    EXPECT_EQ(sw_connected(context_, &token, &connection), SW_VERSION) << local << ": " << sw_last_error();
  }
}

}  // namespace
}  // namespace slotwire::test
