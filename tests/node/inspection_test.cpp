// Services that are inspected: what their processes count, and what they refuse.
#include <gtest/gtest.h>

#include "ends.hpp"
#include "raw_client.hpp"

namespace slotwire::test {
namespace {

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

class Inspected : public ::testing::TestWithParam<Topology> {
 protected:
  void start(const std::string& language, bool refuses) {
    ClusterOptions options = cluster_of(GetParam());
    options.services.clear();
    options.toml += "[[service]]\nname = \"svc\"\nnodes = [\"" + server_name() + "\"]\ninspect = \"" + language +
                    "\"\ninspect_refuses = " + (refuses ? "true" : "false") + "\n";
    cluster_.emplace(std::move(options));
    cluster_->start();
  }
  static std::string server_name() { return GetParam().two_nodes ? "right" : "left"; }
  Ends ends() { return open_ends((*cluster_)["left"].socket(), (*cluster_)[server_name()].socket()); }
  /// What the server's node knows of "svc"; null: nothing yet.
  Json found() {
    const Json rows = (*cluster_)[server_name()].request({{"op", "inspections"}})["inspections"];
    for (const Json& row : rows) {
      if (row["service"] == "svc") return row;
    }
    return {};
  }
  /// Waits until exactly this was found.
  void expect_found(const Json& messages, int invalid = 0, int refused = 0) {
    EXPECT_TRUE(eventually([&] {
      const Json row = found();
      return row.is_object() && row["messages"] == messages && row["invalid"] == invalid && row["refused"] == refused;
    })) << found().dump()
        << " instead of " << messages.dump();
  }
  static Result<std::size_t> read(Ends& e, std::string& into) {
    std::vector<std::byte> buffer(100'000);
    Result<std::size_t> got = e.server.stream().read_some(buffer, kPatience);
    if (got) into.append(reinterpret_cast<const char*>(buffer.data()), *got);
    return got;
  }
  std::optional<Cluster> cluster_;
};
INSTANTIATE_TEST_SUITE_P(Node, Inspected, ::testing::Values(kTopologies[0], kTopologies[1], kTopologies[2]),
                         topology_name);

TEST_P(Inspected, AProcessCannotInventWhatIsCounted) {
  start("http", true);
  RawClient liar((*cluster_)[server_name()].socket());
  ASSERT_TRUE(liar.ask({{"op", "hello"}, {"version", 2}, {"name", "liar"}}).value("ok", false));
  for (const char* const service : {"svc", "other"})
    ASSERT_TRUE(liar.ask({{"op", "serve"}, {"service", service}}).value("ok", false));
  const auto tell = [&](const std::string& service, const std::string& language, const std::string& label) {
    const Json answer = liar.ask({{"op", "inspected"},
                                  {"service", service},
                                  {"language", language},
                                  {"labels", {{{"label", label}, {"count", 7}}}},
                                  {"invalid", 1}});
    return answer.contains("error") ? answer["error"]["text"].get<std::string>() : "";
  };
  EXPECT_NE(tell("svc", "redis", "SET").find("is not inspected for that 'language'"), std::string::npos);
  EXPECT_NE(tell("other", "http", "GET").find("is not inspected for that 'language'"), std::string::npos);
  EXPECT_NE(tell("svc", "http", "FLUSHALL").find("a label that 'http' does not have"), std::string::npos);
  EXPECT_TRUE(found().is_null());
}

TEST_P(Inspected, RequestsAreCountedByMethodAndOutliveTheProcess) {
  start("http", true);
  {
    Ends e = ends();
    const std::string all = std::string(kGet) + "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 70000\r\n\r\n" +
                            std::string(70000, 'b') + std::string(kGet) + "BREW / HTTP/1.1\r\nHost: h\r\n\r\n";
    std::string got;
    std::size_t written = 0;
    while (got.size() < all.size()) {
      if (written < all.size()) {
        const Result<std::size_t> wrote = e.client.stream().write(std::string_view(all).substr(written));
        ASSERT_TRUE(wrote || wrote.status() == Status::again) << wrote.error().text;
        if (wrote) written += *wrote;
      }
      const Result<std::size_t> read_now = read(e, got);
      ASSERT_TRUE(read_now) << read_now.error().text;
    }
    EXPECT_EQ(got, all);
  }
  expect_found({{"GET", 2}, {"POST", 1}, {"other", 1}});
  {
    Ends again = ends();
    ASSERT_TRUE(again.client.stream().write_all(kGet, kPatience));
    std::string got;
    ASSERT_TRUE(read(again, got));
    again.server.close();
  }
  expect_found({{"GET", 3}, {"POST", 1}, {"other", 1}});
}

TEST_P(Inspected, WhatIsSomethingElseIsCountedAndDeliveredUnlessItIsRefused) {
  start("http", false);
  {
    Ends e = ends();
    ASSERT_TRUE(e.client.stream().write_all("*1\r\n$4\r\nPING\r\n\r\n", kPatience));
    std::string got;
    ASSERT_TRUE(read(e, got));
    EXPECT_EQ(got, "*1\r\n$4\r\nPING\r\n\r\n");
  }
  expect_found(Json::object(), 1, 0);
}

TEST_P(Inspected, WhatIsRefusedDoesNotReachTheProgram) {
  start("http", true);
  {
    Ends e = ends();
    ASSERT_TRUE(e.client.stream().write_all(kGet, kPatience));
    std::string got;
    ASSERT_TRUE(read(e, got));
    EXPECT_EQ(got, kGet);
    ASSERT_TRUE(e.client.stream().write_all("\x16\x03\x01 secret\r\n\r\n", kPatience));
    for (int i = 0; i < 3; ++i) {
      const auto refused = read(e, got);
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.status(), Status::broken);
      EXPECT_NE(refused.error().text.find("does not speak http"), std::string::npos) << refused.error().text;
      EXPECT_EQ(e.server.stream().peek().status(), Status::broken);
      EXPECT_EQ(e.server.receive(kPatience).status(), Status::broken);
    }
    EXPECT_EQ(got, kGet);
    Result<Connection> next = e.client_context.connect("svc", kPatience);
    ASSERT_TRUE(next) << "others go on";
    Result<Connection> accepted = e.service.accept(kPatience);
    ASSERT_TRUE(accepted);
    ASSERT_TRUE(next->stream().write_all(kGet, kPatience));
    std::vector<std::byte> buffer(1000);
    EXPECT_TRUE(accepted->stream().read_some(buffer, kPatience));
  }
  expect_found({{"GET", 2}}, 1, 1);
}

TEST_P(Inspected, AMessageToAServiceThatSpeaksAStreamIsRefusedButAPingIsAnswered) {
  start("redis", true);
  {
    Ends e = ends();
    const Result<std::uint32_t> ping = e.client.start_call(0xffff, "", kPatience);
    ASSERT_TRUE(ping);
    ASSERT_TRUE(e.client.stream().write_all("PING\r\n", kPatience));
    std::span<const std::byte> seen;
    ASSERT_TRUE(eventually([&] {
      (void)e.server.receive(std::chrono::milliseconds(0));  // the library answers the ping on the way
      const auto bytes = e.server.stream().peek();
      if (bytes) seen = *bytes;
      return bytes.ok();
    }));
    EXPECT_EQ(seen.size(), 6U);
    ASSERT_TRUE(e.server.stream().consume(6));
    ASSERT_TRUE(e.client.send("a message", kPatience));
    EXPECT_EQ(e.server.receive(kPatience).status(), Status::broken);
  }
  expect_found({{"PING", 1}}, 1, 1);
}

TEST_P(Inspected, CallsAreCountedByNumberAndStreamsRefused) {
  start("records", true);
  {
    Ends e = ends();
    for (const std::uint16_t method : {std::uint16_t{3}, std::uint16_t{3}, std::uint16_t{400}}) {
      ASSERT_TRUE(e.client.start_call(method, std::string(30'000, 'x'), kPatience));
      const Result<Message> request = e.server.receive(kPatience);
      ASSERT_TRUE(request) << request.error().text;
      EXPECT_EQ(request->text().size(), 30'000U);
      ASSERT_TRUE(e.server.reply(request->id(), "", kPatience));
    }
    ASSERT_TRUE(e.client.stream().write_all(kGet, kPatience));
    std::string got;
    EXPECT_EQ(read(e, got).status(), Status::broken);
    EXPECT_EQ(got, "");
  }
  expect_found({{"call 3", 2}, {"call other", 1}}, 1, 1);
}

TEST_P(Inspected, OnlyAProcessThatServesItSaysWhatItFound) {
  start("http", true);
  RawClient client((*cluster_)[server_name()].socket());
  const Json inspected{{"op", "inspected"},
                       {"id", 1},
                       {"service", "svc"},
                       {"language", "http"},
                       {"labels", {{{"label", "GET"}, {"count", 7}}}}};
  EXPECT_EQ(client.outcome(inspected.dump()), "no_session");
  ASSERT_TRUE(client.ask({{"op", "hello"}, {"version", 2}, {"name", "raw"}}).value("ok", false));
  EXPECT_EQ(client.outcome(inspected.dump()), "bad_request");
  ASSERT_TRUE(client.ask({{"op", "serve"}, {"service", "svc"}}).value("ok", false));
  Json wrong = inspected;
  wrong["language"] = "klingon";
  EXPECT_EQ(client.outcome(wrong.dump()), "bad_request");
  ASSERT_TRUE(client.send(inspected.dump()));
  expect_found({{"GET", 7}});
}

}  // namespace
}  // namespace slotwire::test
