// Heads of HTTP messages: hostile ones, whole and byte by byte.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "web/http/head.hpp"
#include "web/http/text.hpp"

namespace slotwire::web::http {
namespace {

/// The head in `text` fed in pieces of `step` bytes; the rest is what was not taken.
Result<Head> parse(std::string_view text, std::size_t step, bool request, std::string* rest = nullptr,
                   HeadLimits limits = {}) {
  HeadCollector collector(limits.bytes);
  while (!text.empty() && collector.state() == HeadCollector::State::incomplete) {
    const std::string_view piece = text.substr(0, step);
    const std::size_t taken = collector.feed(piece);
    text.remove_prefix(taken);
    if (taken < piece.size()) break;
  }
  if (rest != nullptr) *rest = text;
  if (collector.state() == HeadCollector::State::incomplete) return Error{Status::again, "incomplete", 0};
  if (collector.state() == HeadCollector::State::invalid) return collector.problem();
  return request ? parse_request(collector.take(), limits) : parse_response(collector.take(), limits);
}

/// 0: accepted; else the status of the refusal. The same in whatever pieces it comes.
unsigned verdict(std::string_view text, bool request = true) {
  std::vector<unsigned> found;
  for (const std::size_t step : {text.size(), std::size_t{1}, std::size_t{3}}) {
    const Result<Head> head = parse(text, step, request);
    if (!head) {
      found.push_back(head.error().code);
      continue;
    }
    const Result<Framing> framing = request ? request_framing(*head) : response_framing(*head, "GET");
    found.push_back(framing ? 0 : framing.error().code);
  }
  EXPECT_EQ(found[0], found[1]) << text;
  EXPECT_EQ(found[0], found[2]) << text;
  return found[0];
}

TEST(HttpHead, AnOrdinaryRequestIsSplit) {
  for (const std::size_t step : {std::size_t{1}, std::size_t{1000}}) {
    std::string rest;
    const Result<Head> head =
        parse("PUT /a?b=c HTTP/1.1\r\nHost: x:80\r\nX-Empty:\r\nx-List:  a, B \r\n\r\nbody", step, true, &rest);
    ASSERT_TRUE(head) << head.error().text;
    EXPECT_EQ(head->method, "PUT");
    EXPECT_EQ(head->target, "/a?b=c");
    EXPECT_FALSE(head->http_1_0);
    ASSERT_EQ(head->fields.size(), 3U);
    EXPECT_EQ(head->field("HOST"), "x:80");
    EXPECT_TRUE(head->has_field("x-empty"));
    EXPECT_EQ(head->field("x-empty"), "");
    EXPECT_TRUE(head->has_token("X-LIST", "b"));
    EXPECT_FALSE(head->has_token("X-LIST", "c"));
    EXPECT_EQ(rest, "body");
  }
}

TEST(HttpHead, ViewsStayValidWhenTheHeadIsMoved) {
  Result<Head> parsed = parse("GET / HTTP/1.0\r\nA: b\r\n\r\n", 5, true);
  ASSERT_TRUE(parsed);
  const Head moved = *std::move(parsed);
  EXPECT_EQ(moved.method, "GET");
  EXPECT_EQ(moved.field("a"), "b");
  EXPECT_TRUE(moved.http_1_0);
}

TEST(HttpHead, RequestsThatCouldBeReadInTwoWaysAreRefused) {
  const std::string begin = "POST / HTTP/1.1\r\nHost: x\r\n";
  const auto with = [&](const std::string& fields) { return verdict(begin + fields + "\r\n"); };
  EXPECT_EQ(with(""), 0U);
  EXPECT_EQ(with("Content-Length: 5\r\n"), 0U);
  EXPECT_EQ(with("Transfer-Encoding: chunked\r\n"), 0U);
  EXPECT_EQ(with("transfer-encoding: CHUNKED\r\n"), 0U);
  for (const char* const fields : {"Content-Length: 5\r\nContent-Length: 5\r\n",
                                   "Content-Length: 5\r\nContent-Length: 6\r\n",
                                   "Content-Length: 5, 5\r\n",
                                   "Content-Length: -5\r\n",
                                   "Content-Length: +5\r\n",
                                   "Content-Length: 0x5\r\n",
                                   "Content-Length: 5 5\r\n",
                                   "Content-Length:\r\n",
                                   "Content-Length: 9223372036854775808\r\n",
                                   "Content-Length: 99999999999999999999999\r\n",
                                   "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                                   "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                                   "Content-Length : 5\r\n",
                                   " Content-Length: 5\r\n",
                                   "X: a\r\n b\r\n",
                                   "X: a\r\n\tb\r\n",
                                   "X: a\nY: b\r\n",
                                   "X: a\rY: b\r\n",
                                   "X: a\x01\r\n",
                                   "X: a\x7f\r\n",
                                   "X\x01: a\r\n",
                                   "X Y: a\r\n",
                                   ": a\r\n",
                                   "X\r\n",
                                   "X(: a\r\n",
                                   "Host: x\r\n",
                                   "X: \xc3\xa9\r\nHost: y\r\n"}) {
    EXPECT_EQ(with(fields), 400U) << fields;
  }
  EXPECT_EQ(verdict(begin + std::string("X: a\0b\r\n", 8) + "\r\n"), 400U);
  for (const char* const fields : {"Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: identity\r\n",
                                   "Transfer-Encoding: xchunked\r\n", "Transfer-Encoding:\r\n"}) {
    EXPECT_NE(with(fields), 0U) << fields;
  }
  EXPECT_NE(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 0U);
  EXPECT_NE(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"), 0U);
  EXPECT_EQ(with("X: \xc3\xa9\r\n"), 0U) << "bytes above 127 are allowed in values";
}

TEST(HttpHead, FirstLinesThatAreInvalidAreRefused) {
  const auto first = [](const std::string& line) { return verdict(line + "\r\nHost: x\r\n\r\n"); };
  EXPECT_EQ(first("GET / HTTP/1.1"), 0U);
  EXPECT_EQ(first("GET http://x/ HTTP/1.1"), 0U);
  EXPECT_EQ(first("OPTIONS * HTTP/1.1"), 0U);
  EXPECT_EQ(first("BREW / HTTP/1.1"), 0U) << "methods that nobody knows are the application's affair";
  for (const char* const line :
       {"GET  / HTTP/1.1", "GET /  HTTP/1.1", " GET / HTTP/1.1", "GET / HTTP/1.1 ", "GET /a b HTTP/1.1",
        "GET /#a HTTP/1.1", "GET * HTTP/1.1", "GET a HTTP/1.1", "GET ftp://x/ HTTP/1.1", "GET /", "GET",
        "G(T / HTTP/1.1", "GET\t/\tHTTP/1.1", "GET / http/1.1", "GET / HTTP/11", "GET / HTTP/1.1x", ""}) {
    EXPECT_NE(first(line), 0U) << line;
  }
  EXPECT_EQ(first("GET / HTTP/2.0"), 505U);
  EXPECT_EQ(first("CONNECT x:1 HTTP/1.1"), 501U);
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\n\r\n"), 400U) << "no Host";
  EXPECT_EQ(verdict("GET / HTTP/1.0\r\n\r\n"), 0U);
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), 400U);
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"), 400U);
  EXPECT_EQ(verdict("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400U);
}

TEST(HttpHead, SizesAreLimited) {
  const HeadLimits limits{.bytes = 100, .fields = 3};
  const std::string begin = "GET / HTTP/1.1\r\n";
  const std::string largest = begin + "X: " + std::string(100 - begin.size() - 7, 'a') + "\r\n\r\n";
  ASSERT_EQ(largest.size(), 100U);
  EXPECT_TRUE(parse(largest, 7, true, nullptr, limits));
  EXPECT_EQ(parse(begin + "X: " + std::string(100 - begin.size() - 6, 'a') + "\r\n\r\n", 7, true, nullptr, limits)
                .error()
                .code,
            431);
  EXPECT_TRUE(parse(begin + "A: b\r\nA: b\r\nA: b\r\n\r\n", 7, true, nullptr, limits));
  EXPECT_EQ(parse(begin + "A: b\r\nA: b\r\nA: b\r\nA: b\r\n\r\n", 7, true, nullptr, limits).error().code, 431);
}

TEST(HttpHead, ResponsesAreFramed) {
  const auto framing = [](const std::string& text, std::string_view method) {
    const Result<Head> head = parse(text, text.size(), false);
    EXPECT_TRUE(head) << head.error().text;
    const Result<Framing> found = response_framing(*head, method);
    EXPECT_TRUE(found) << found.error().text;
    return *found;
  };
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  EXPECT_EQ(framing(ok + "\r\n", "GET").kind, BodyKind::until_end);
  EXPECT_FALSE(framing(ok + "\r\n", "GET").keep);
  EXPECT_EQ(framing(ok + "Content-Length: 7\r\n\r\n", "GET").length, 7U);
  EXPECT_TRUE(framing(ok + "Content-Length: 7\r\n\r\n", "GET").keep);
  EXPECT_FALSE(framing(ok + "Content-Length: 7\r\nConnection: x, Close\r\n\r\n", "GET").keep);
  EXPECT_FALSE(framing("HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n", "GET").keep);
  EXPECT_EQ(framing(ok + "Content-Length: 7\r\n\r\n", "HEAD").kind, BodyKind::none);
  EXPECT_EQ(framing("HTTP/1.1 204 \r\n\r\n", "GET").kind, BodyKind::none);
  EXPECT_EQ(framing("HTTP/1.1 304 x\r\nContent-Length: 7\r\n\r\n", "GET").kind, BodyKind::none);
  EXPECT_EQ(framing("HTTP/1.1 100 Continue\r\n\r\n", "GET").kind, BodyKind::none);
  EXPECT_EQ(framing(ok + "Transfer-Encoding: chunked\r\n\r\n", "GET").kind, BodyKind::chunked);
  for (const char* const text :
       {"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 600 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n",
        "200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "HTTP/1.1 200 O\x01K\r\n\r\n",
        "SIP/2.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"}) {
    EXPECT_NE(verdict(text, false), 0U) << text;
  }
}

TEST(HttpHead, FieldsOfOneConnectionAreKnown) {
  const Result<Head> head = parse("GET / HTTP/1.1\r\nHost: x\r\nConnection: X-Private, close\r\n\r\n", 100, true);
  ASSERT_TRUE(head);
  for (const char* const name :
       {"Connection", "keep-alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "x-private"})
    EXPECT_TRUE(is_hop_by_hop(*head, name)) << name;
  for (const char* const name : {"Host", "Content-Length", "X-Public"})
    EXPECT_FALSE(is_hop_by_hop(*head, name)) << name;
}

TEST(HttpHead, AConnectionFieldCannotRemoveWhatIsForWhoeverAnswers) {
  const Result<Head> head = parse(
      "GET / HTTP/1.1\r\nHost: x\r\nConnection: Host, content-length, X-Private\r\n"
      "Connection: Cookie, x-forwarded-for, X-Real-IP, Authorization, X-Forwarded-\r\n\r\n",
      1000, true);
  ASSERT_TRUE(head);
  for (const char* const name : {"Host", "Content-Length", "cookie", "X-Forwarded-For", "X-Real-IP", "authorization"})
    EXPECT_FALSE(is_hop_by_hop(*head, name)) << name;
  for (const char* const name : {"X-Private", "Transfer-Encoding"}) EXPECT_TRUE(is_hop_by_hop(*head, name)) << name;
}

TEST(HttpText, NamesAndValuesThatWouldInjectAreInvalid) {
  for (const char* const name : {"", "a b", "a:", "a\r\n", "a\n", "\xc3\xa9"})
    EXPECT_FALSE(is_valid_name(name)) << name;
  for (const char* const value : {"a\r\nb: c", "a\nb", "a\rb", "\x01", " a", "a ", "\x7f"})
    EXPECT_FALSE(is_valid_value(value)) << value;
  EXPECT_TRUE(is_valid_name("x-Y_z"));
  EXPECT_TRUE(is_valid_value(""));
  EXPECT_TRUE(is_valid_value("a \t\xc3\xa9"));
}

}  // namespace
}  // namespace slotwire::web::http
