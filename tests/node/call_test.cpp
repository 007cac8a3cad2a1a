// Calls: answers, errors, deadlines, cancellation, late answers, many at once; interrupting a wait.
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <csignal>
#include <map>
#include <thread>

#include "ends.hpp"

namespace slotwire::test {
namespace {

using namespace std::chrono_literals;

class Calls : public EveryTopology {};
INSTANTIATE_TEST_SUITE_P(Node, Calls, every_topology(), topology_name);

TEST_P(Calls, ManyAreUnderWayAtOnceAndAreAnsweredInAnyOrder) {
  Ends e = ends();
  std::map<std::uint32_t, std::string> waiting;
  for (int i = 0; i < 300; ++i) {
    const std::string text = "question " + std::to_string(i);
    const Result<std::uint32_t> id = e.client.start_call(7, text, kPatience);
    ASSERT_TRUE(id) << id.error().text;
    EXPECT_TRUE(waiting.emplace(*id, text).second) << "a number is used twice";
  }
  std::vector<Message> requests;
  for (int i = 0; i < 300; ++i) {
    Result<Message> request = e.server.receive(kPatience);
    ASSERT_TRUE(request) << request.error().text;
    EXPECT_EQ(request->kind(), Kind::request);
    EXPECT_EQ(request->code(), 7);
    ASSERT_TRUE(request->time_left());
    EXPECT_LE(*request->time_left(), kPatience);
    EXPECT_GT(*request->time_left(), 0s);
    requests.push_back(*std::move(request));
  }
  for (auto request = requests.rbegin(); request != requests.rend(); ++request) {
    if (request->id() % 5 == 0) {
      ASSERT_TRUE(e.server.reply_error(request->id(), 42, "no: " + std::string(request->text()), kPatience));
    } else {
      ASSERT_TRUE(e.server.reply(request->id(), "answer to " + std::string(request->text()), kPatience));
    }
  }
  while (!waiting.empty()) {
    const Result<Message> answer = e.client.receive(kPatience);
    ASSERT_TRUE(answer) << answer.error().text;
    const auto question = waiting.find(answer->id());
    ASSERT_NE(question, waiting.end()) << "answered twice";
    if (answer->id() % 5 == 0) {
      EXPECT_EQ(answer->kind(), Kind::error);
      EXPECT_EQ(answer->code(), 42);
      EXPECT_EQ(answer->text(), "no: " + question->second);
    } else {
      EXPECT_EQ(answer->kind(), Kind::reply);
      EXPECT_EQ(answer->text(), "answer to " + question->second);
    }
    waiting.erase(question);
  }
}

TEST_P(Calls, AsObjectsTakeTheirOwnAnswersAndKeepTheOthers) {
  Ends e = ends();
  std::vector<Call> calls;
  for (const char* const text : {"a", "b", "c", "d"}) {
    Result<Call> call = e.client.begin_call(3, text, kPatience);
    ASSERT_TRUE(call) << call.error().text;
    calls.push_back(*std::move(call));
  }
  EXPECT_EQ(calls[0].answer(Deadline::now()).status(), Status::again);
  EXPECT_TRUE(calls[0].is_under_way());
  std::vector<Request> requests;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    Result<Message> message = e.server.receive(kPatience);
    ASSERT_TRUE(message) << message.error().text;
    requests.emplace_back(*std::move(message));
    EXPECT_EQ(requests.back().id(), calls[i].id());
    EXPECT_EQ(requests.back().method(), 3);
  }
  ASSERT_TRUE(e.server.send("between", kPatience));
  for (auto request = requests.rbegin(); request != requests.rend(); ++request) {
    if (request->text() == "b") {
      request->reply_error(17, "not b");
    } else {
      request->reply("answer to " + std::string(request->text()));
    }
    EXPECT_TRUE(request->delivered());
  }
  const Result<Message> first = calls[0].answer(kPatience);
  ASSERT_TRUE(first) << first.error().text;
  EXPECT_EQ(first->text(), "answer to a");
  EXPECT_FALSE(calls[0].is_under_way());
  EXPECT_EQ(calls[0].answer(kPatience).status(), Status::invalid) << "an answer is taken once";
  const Result<Message> second = calls[1].answer(kPatience);
  EXPECT_EQ(second.status(), Status::remote_error);
  EXPECT_EQ(second.error().code, 17);
  EXPECT_EQ(second.error().text, "not b");
  const Result<Message> between = e.client.receive(kPatience);
  ASSERT_TRUE(between) << between.error().text;
  EXPECT_EQ(between->text(), "between");
  const Result<Message> last = calls[3].answer(Deadline::now());
  ASSERT_TRUE(last) << last.error().text;
  EXPECT_EQ(last->text(), "answer to d");
  calls.erase(calls.begin() + 2);  // its answer is here already: it is dropped
  EXPECT_EQ(e.client.receive(Deadline::now()).status(), Status::again);
}

TEST_P(Calls, AsObjectsAreCancelledWhenTheyGo) {
  Ends e = ends();
  std::uint32_t id = 0;
  {
    Result<Call> call = e.client.begin_call(3, "never mind", kPatience);
    ASSERT_TRUE(call) << call.error().text;
    id = call->id();
    EXPECT_EQ(call->answer(1ms).status(), Status::timed_out);
    const Call moved = *std::move(call);
    EXPECT_FALSE(call->is_under_way());
    EXPECT_TRUE(moved.is_under_way());
  }
  Result<Message> message = e.server.receive(kPatience);
  ASSERT_TRUE(message) << message.error().text;
  Request request(*std::move(message));
  EXPECT_EQ(request.id(), id);
  ASSERT_TRUE(e.server.wait(Interest::readable, kPatience));
  EXPECT_TRUE(request.is_abandoned());
  request.reply("nobody waits for it");  // is not sent
  ASSERT_TRUE(e.server.send("after it", kPatience));
  const Result<Message> next = e.client.receive(kPatience);
  ASSERT_TRUE(next) << next.error().text;
  EXPECT_EQ(next->text(), "after it");
}

TEST_P(Calls, FailWhenTheRequestGoesUnanswered) {
  Ends e = ends();
  Result<Call> call = e.client.begin_call(3, "hello?", kPatience);
  ASSERT_TRUE(call) << call.error().text;
  {
    Result<Message> message = e.server.receive(kPatience);
    ASSERT_TRUE(message) << message.error().text;
    Request request(*std::move(message));
    const Request moved = std::move(request);
    EXPECT_FALSE(moved.answered());
  }
  const Result<Message> answer = call->answer(kPatience);
  EXPECT_EQ(answer.status(), Status::remote_error);
  EXPECT_EQ(answer.error().code, Request::kUnanswered);
  EXPECT_EQ(e.client.receive(Deadline::now()).status(), Status::again) << "it failed twice";
}

// A cancelled request is found however much arrived before its cancellation, and each record is looked at once.
TEST_P(Calls, ThatAreCancelledAreFoundBehindOtherMessages) {
  Ends e = ends();
  Result<Call> call = e.client.begin_call(3, "q", kPatience);
  ASSERT_TRUE(call) << call.error().text;
  const Result<Message> request = e.server.receive(kPatience);
  ASSERT_TRUE(request) << request.error().text;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(e.client.send(std::to_string(i), kPatience));
    (void)e.server.is_cancelled(request->id());
  }
  EXPECT_FALSE(e.server.is_cancelled(request->id()));
  call->cancel();
  while (!e.server.is_cancelled(request->id())) ASSERT_TRUE(e.server.wait(Interest::readable, kPatience));
  for (int i = 0; i < 20; ++i) {
    const Result<Message> message = e.server.receive(kPatience);
    ASSERT_TRUE(message) << message.error().text;
    EXPECT_EQ(message->text(), std::to_string(i));
  }
  EXPECT_TRUE(e.server.is_cancelled(request->id()));
}

TEST_P(Calls, ToAHandlerBringItsAnswerOrItsError) {
  ServerThread server(server_node().socket(), "svc", [](Request& request) {
    if (request.method() == 1) return request.reply("one");
    if (request.method() == 2) return request.reply_error(99, "never heard of it");
    if (request.method() == 3) return;  // says nothing
    request.reply(std::to_string(request.time_left() ? 1 : 0));
  });
  Result<Context> context = Context::open({.socket = client_node().socket()});
  ASSERT_TRUE(context);
  Result<Connection> connection = context->connect("svc", kPatience);
  ASSERT_TRUE(connection) << connection.error().text;
  const Result<Message> one = connection->call(1, "", kPatience);
  ASSERT_TRUE(one) << one.error().text;
  EXPECT_EQ(one->text(), "one");
  const Result<Message> two = connection->call(2, "", kPatience);
  EXPECT_EQ(two.status(), Status::remote_error);
  EXPECT_EQ(two.error().code, 99);
  EXPECT_EQ(two.error().text, "never heard of it");
  const Result<Message> three = connection->call(3, "", kPatience);
  EXPECT_EQ(three.status(), Status::remote_error);
  EXPECT_EQ(three.error().code, Server::kNoAnswer);
  const Result<Message> bounded = connection->call(4, "", kPatience);
  ASSERT_TRUE(bounded);
  EXPECT_EQ(bounded->text(), "1");
  const Result<Message> endless = connection->call(4, "", Deadline::never());
  ASSERT_TRUE(endless);
  EXPECT_EQ(endless->text(), "0");
}

TEST_P(Calls, ThatTimeOutAreCancelledAndTheirLateAnswersDropped) {
  Ends e = ends();
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(e.client.call(1, "slow", 50ms).status(), Status::timed_out);
  EXPECT_GE(std::chrono::steady_clock::now() - begun, 50ms);
  const Result<Message> request = e.server.receive(kPatience);
  ASSERT_TRUE(request) << request.error().text;
  EXPECT_EQ(request->text(), "slow");
  ASSERT_TRUE(e.server.wait(Interest::readable, kPatience));
  EXPECT_TRUE(e.server.is_cancelled(request->id()));
  const Result<Message> cancel = e.server.receive(kPatience);
  ASSERT_TRUE(cancel) << cancel.error().text;
  EXPECT_EQ(cancel->kind(), Kind::cancel);
  EXPECT_EQ(cancel->id(), request->id());
  EXPECT_TRUE(e.server.is_cancelled(request->id()));
  EXPECT_FALSE(e.server.is_cancelled(request->id() + 1));
  ASSERT_TRUE(e.server.reply(request->id(), "too late", kPatience));
  ASSERT_TRUE(e.server.send("after it", kPatience));
  const Result<Message> next = e.client.receive(kPatience);
  ASSERT_TRUE(next) << next.error().text;
  EXPECT_EQ(next->text(), "after it");
}

TEST_P(Calls, KeepOtherMessagesForLater) {
  Ends e = ends({.in_bytes = 4096, .out_bytes = 4096});
  std::thread server([&] {
    ASSERT_TRUE(e.server_context.adopt());
    const Result<Message> request = e.server.receive(kPatience);
    ASSERT_TRUE(request);
    // More than the ring holds comes before the answer.
    for (int i = 0; i < 200; ++i) ASSERT_TRUE(e.server.send("news " + std::to_string(i), kPatience));
    ASSERT_TRUE(e.server.reply(request->id(), "answer", kPatience));
  });
  const Result<Message> answer = e.client.call(1, "question", kPatience);
  server.join();
  ASSERT_TRUE(e.server_context.adopt());
  ASSERT_TRUE(answer) << answer.error().text;
  EXPECT_EQ(answer->text(), "answer");
  for (int i = 0; i < 200; ++i) {
    const Result<Message> news = e.client.receive(Deadline::now());
    ASSERT_TRUE(news) << i << " " << news.error().text;
    EXPECT_EQ(news->text(), "news " + std::to_string(i));
  }
}

/// A call keeps 4096 messages for later; those beyond it stay in the ring, and none is lost.
TEST_P(Calls, LeaveInTheRingWhatTheyMayNotKeep) {
  constexpr int kMessages = 4200;
  Ends e = ends();
  std::thread server([&] {
    ASSERT_TRUE(e.server_context.adopt());
    for (int i = 0; i < kMessages; ++i) ASSERT_TRUE(e.server.send(std::to_string(i), kPatience));
  });
  EXPECT_EQ(e.client.call(1, "question", kPatience).status(), Status::busy);
  EXPECT_EQ(e.client.call(1, "not sent", kPatience).status(), Status::busy);
  for (int i = 0; i < kMessages; ++i) {
    const Result<Message> message = e.client.receive(kPatience);
    ASSERT_TRUE(message) << message.error().text << " at " << i;
    ASSERT_EQ(message->text(), std::to_string(i));
  }
  server.join();
  ASSERT_TRUE(e.server_context.adopt());
  // The first call was given up: its answer is discarded, and nothing of it is left in the ring.
  const Result<Message> request = e.server.receive(kPatience);
  ASSERT_TRUE(request) << request.error().text;
  EXPECT_EQ(request->text(), "question");
  (void)e.server.reply(request->id(), "late", kPatience);
  ASSERT_TRUE(e.server.send("last", kPatience));
  const Result<Message> last = e.client.receive(kPatience);
  ASSERT_TRUE(last) << last.error().text;
  EXPECT_EQ(last->text(), "last");
}

TEST_P(Calls, GivenUpByTheCallerAreNotAnswered) {
  Ends e = ends();
  const Result<std::uint32_t> first = e.client.start_call(1, "a", kPatience);
  const Result<std::uint32_t> second = e.client.start_call(1, "b", kPatience);
  ASSERT_TRUE(first && second);
  ASSERT_TRUE(e.client.cancel(*first));
  for (int i = 0; i < 2; ++i) {
    const Result<Message> request = e.server.receive(kPatience);
    ASSERT_TRUE(request);
    ASSERT_TRUE(e.server.reply(request->id(), request->text(), kPatience));
  }
  const Result<Message> answer = e.client.receive(kPatience);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->id(), *second);
  EXPECT_EQ(e.client.receive(30ms).status(), Status::timed_out);
}

TEST_P(Calls, AreInterruptedByAnotherThread) {
  Ends e = ends();
  std::thread other([&] {
    ASSERT_TRUE(e.server_context.adopt());
    ASSERT_TRUE(e.server.receive(kPatience));  // the call is under way
    e.client.interrupt();
  });
  EXPECT_EQ(e.client.call(1, "question", kPatience).status(), Status::cancelled);
  other.join();
  ASSERT_TRUE(e.server_context.adopt());
  // Once: what follows is not interrupted.
  ASSERT_TRUE(e.server.send("next", kPatience));
  EXPECT_TRUE(e.client.receive(kPatience));
}

const Connection* signalled_connection = nullptr;
extern "C" void interrupt_signalled(int) {
  signalled_connection->interrupt();
}

TEST_P(Calls, AreInterruptedByASignalHandler) {
  Ends e = ends();
  signalled_connection = &e.client;
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = interrupt_signalled;
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &before), 0);
  const pthread_t caller = ::pthread_self();
  std::thread other([&] {
    ASSERT_TRUE(e.server_context.adopt());
    ASSERT_TRUE(e.server.receive(kPatience));
    ::pthread_kill(caller, SIGUSR1);
  });
  EXPECT_EQ(e.client.call(1, "question", kPatience).status(), Status::cancelled);
  other.join();
  ASSERT_TRUE(e.server_context.adopt());
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST_P(Calls, FromAnotherThreadAreRefused) {
  Ends e = ends();
  std::thread other([&] {
    EXPECT_EQ(e.client.send("x", Deadline::now()).status(), Status::wrong_thread);
    EXPECT_EQ(e.client.receive(Deadline::now()).status(), Status::wrong_thread);
    EXPECT_EQ(e.client_context.serve("another").status(), Status::wrong_thread);
    EXPECT_EQ(Poller::create(e.client_context).status(), Status::wrong_thread);
  });
  other.join();
  EXPECT_EQ(e.server.receive(30ms).status(), Status::timed_out) << "the send of the wrong thread arrived";
}

TEST_P(Calls, CarryTheirPings) {
  Ends e = ends();
  constexpr std::uint16_t kPing = 65535;
  ASSERT_TRUE(e.client.start_call(kPing, "", kPatience));
  EXPECT_EQ(e.client.start_call(kPing, "with data", kPatience).status(), Status::invalid);
  // The library of whoever receives answers by itself, and the program does not see it.
  ASSERT_TRUE(e.server.wait(Interest::readable, kPatience));
  EXPECT_EQ(e.server.receive(Deadline::now()).status(), Status::again);
  const Result<Message> pong = e.client.receive(kPatience);
  ASSERT_TRUE(pong) << pong.error().text;
  EXPECT_EQ(pong->kind(), Kind::reply);
}

}  // namespace
}  // namespace slotwire::test
