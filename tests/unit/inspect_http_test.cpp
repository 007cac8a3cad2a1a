// HTTP as an inspector reads it.
#include <gtest/gtest.h>

#include <string>

#include "core/inspect/counts.hpp"
#include "core/inspect/http.hpp"
#include "inspect_support.hpp"

namespace slotwire::test {
namespace {

using inspect::Language;
using inspect::Limits;
using inspect::Role;
using Labels = std::vector<std::string>;

Parsed requests(std::string_view bytes, const Limits& limits = {}) {
  return parse(Language::http, Role::request, bytes, limits);
}
Parsed replies(std::string_view bytes) {
  return parse(Language::http, Role::reply, bytes);
}

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

TEST(InspectHttp, CountsRequestsWithBodiesOfEveryFraming) {
  const Parsed parsed = requests(std::string(kGet) +
                                 "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n\r\n"
                                 "GET /no HTTP/1.1\r\nHost: body\r\n"
                                 "PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                                 "3;x=y\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nTrailer: t\r\n\r\n"
                                 "BREW /pot HTTP/1.0\r\n\r\n" +
                                 std::string(kGet));
  EXPECT_TRUE(parsed.valid) << parsed.problem;
  EXPECT_TRUE(parsed.ended);
  EXPECT_EQ(parsed.labels, (Labels{"GET", "POST", "PUT", "other", "GET"}));
  EXPECT_EQ(parsed.summaries, (Labels{"GET /a", "POST /b, 30 bytes", "PUT /c, chunked", "BREW /pot", "GET /a"}));
}

TEST(InspectHttp, RefusesWhatIsNotHttp) {
  for (const std::string bytes : {
           "hello\r\n\r\n",
           "*1\r\n$4\r\nPING\r\n\r\n",
           "GET / HTTP/2.0\r\nHost: h\r\n\r\n",
           "CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n",
           "GET / HTTP/1.1\nHost: h\n\r\n\r\n",
           "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
           "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
           "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
           "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
       }) {
    const Parsed parsed = requests(bytes);
    EXPECT_FALSE(parsed.valid) << bytes;
    EXPECT_NE(parsed.problem, "");
  }
}

/// What two servers read in two ways, as nginx refuses it or stricter: one would take for the next request what the
/// other takes for a body, or a request for another host.
TEST(InspectHttp, RefusesWhatCouldBeReadInTwoWays) {
  const auto problem = [](const std::string& fields, const std::string& rest = "") {
    const Parsed parsed = requests("POST / HTTP/1.1\r\n" + fields + "\r\n" + rest);
    EXPECT_FALSE(parsed.valid) << fields << rest;
    EXPECT_EQ(parsed.labels, Labels{}) << fields;
    return parsed.problem;
  };
  EXPECT_EQ(problem("Host: a\r\nHost: a\r\n"), "more than one Host field");
  EXPECT_EQ(problem("Accept: a\r\n"), "a request of HTTP/1.1 without a Host field");
  for (const char* const host : {"", " ", "a b", "a/b", "a@b", "a\tb"})
    EXPECT_EQ(problem("Host: " + std::string(host) + "\r\n"), "a Host field that is invalid") << host;
  const std::string h = "Host: h\r\n";
  EXPECT_EQ(problem(h + "Content-Length: 4\r\ncontent-length: 4\r\n"), "more than one Content-Length field");
  for (const char* const length : {"4, 4", "4,4", "+4", "-4", "0x4", "4 4", "", "4;", "9223372036854775808"}) {
    EXPECT_EQ(problem(h + "Content-Length: " + length + "\r\n"), "a Content-Length field that is not one number")
        << length;
  }
  for (const char* const coding : {"gzip, chunked", "chunked, chunked", "chunked,", ", chunked", "chunked, gzip",
                                   "gzip", "identity", "", "\"chunked\"", "chunked;q=1", "xchunked"}) {
    EXPECT_EQ(problem(h + "Transfer-Encoding: " + coding + "\r\n"), "a Transfer-Encoding other than 'chunked'")
        << coding;
  }
  const std::string chunked = h + "Transfer-Encoding: chunked\r\n";
  EXPECT_EQ(problem(chunked + "Transfer-Encoding: chunked\r\n"), "more than one Transfer-Encoding field");
  EXPECT_EQ(problem(chunked + "Content-Length: 4\r\n"), "both Content-Length and Transfer-Encoding");
  EXPECT_EQ(problem("Content-Length: 4\r\n" + chunked), "both Content-Length and Transfer-Encoding");
  EXPECT_EQ(requests("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").problem,
            "a Transfer-Encoding field in HTTP/1.0");
  EXPECT_EQ(problem(h + "A: b\r\n c\r\n"), "a folded line in a head");
  EXPECT_EQ(problem(" Host: h\r\n"), "a folded line in a head");
  EXPECT_EQ(problem("Host : h\r\n"), "whitespace between a field's name and its colon");
  EXPECT_EQ(problem("Host\t: h\r\n"), "whitespace between a field's name and its colon");
  EXPECT_EQ(problem(h + ": a\r\n"), "a field whose name is invalid");
  EXPECT_EQ(problem(h + "A(: a\r\n"), "a field whose name is invalid");
  EXPECT_EQ(problem(h + "A\r\n"), "a field without a colon");
  EXPECT_EQ(problem(h + "A: a\rB: b\r\n"), "a carriage return without a line feed");
  EXPECT_EQ(problem(h + "A: a\r\rB: b\r\n"), "a carriage return without a line feed");
  EXPECT_EQ(problem(h + "A: a" + std::string(1, '\0') + "\r\n"), "a control character in a line");
  EXPECT_EQ(problem(h + "A: a\x7f\r\n"), "a control character in a line");
}

TEST(InspectHttp, RefusesChunksThatCouldBeReadInTwoWays) {
  const std::string head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const char* const rest : {"+3\r\n",
                                 "0x3\r\n",
                                 "\r\n",
                                 " 3\r\n",
                                 "3 \r\n",
                                 "3;\r\n",
                                 "3;a=\r\n",
                                 "3;a=\"b\r\n",
                                 "3 a\r\n",
                                 "-1\r\n",
                                 "1000000000000000\r\n",
                                 "fffffffffffffffffff3\r\n",
                                 "3\r\nabcd\r\n",
                                 "3\r\nabc\r\r\n",
                                 "3\ra\n",
                                 "0\r\nHost: b\r\n",
                                 "0\r\nContent-Length: 4\r\n",
                                 "0\r\nTransfer-Encoding: chunked\r\n",
                                 "0\r\nA : b\r\n",
                                 "0\r\nA: b\r\n c\r\n"}) {
    EXPECT_FALSE(requests(head + rest).valid) << rest;
  }
  EXPECT_TRUE(requests(head + "003 ; a = \"x\\\"y\" ;b\r\nabc\r\n0\r\nA: b\r\n\r\n").ended);
}

TEST(InspectHttp, RefusesRequestLinesThatServersReadInTwoWays) {
  for (const std::string line :
       {"GET  / HTTP/1.1", "GET /  HTTP/1.1", "GET / HTTP/1.1 ", " GET / HTTP/1.1", "GET /a b HTTP/1.1",
        "GET\t/ HTTP/1.1", "GET /", "GET a HTTP/1.1", "GET * HTTP/1.1", "G(T / HTTP/1.1", "GET / http/1.1",
        "GET / HTTP/1.2", "GET / HTTP/1.10", "GET /\x01 HTTP/1.1", "get / HTTP/1.1", "G!T / HTTP/1.1"}) {
    EXPECT_FALSE(requests(line + "\r\nHost: h\r\n\r\n").valid) << line;
  }
  for (const std::string line : {"OPTIONS * HTTP/1.1", "GET http://h/a HTTP/1.1", "GET /a?b=%c3%a9 HTTP/1.1"})
    EXPECT_TRUE(requests(line + "\r\nHost: h\r\n\r\n").ended) << line;
}

bool takes_target(const std::string& target) {
  return requests("GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n").ended;
}

TEST(InspectHttp, RefusesTargetsThatServersReadInTwoWays) {
  for (const char* const target : {"/#a",           "/?#a",         "/a\\b",
                                   "/a\xa0",        "/a\x85",       "/\xc3\xa9",
                                   "/?a=\xa0",      "/%",           "/%2",
                                   "/%zz",          "/%2z",         "/%00",
                                   "/..",           "/../x",        "/../../x",
                                   "/a/../../x",    "/a/./../../x", "/a//../../x",
                                   "/%2e%2e/x",     "/.%2E/x",      "/a/..%2f..%2Fx",
                                   "/a/%2e/../../x"}) {
    EXPECT_FALSE(takes_target(target)) << target;
  }
  for (const char* const target :
       {"/", "/%2f", "/a/..", "/a/../x", "/a/b/../../x", "/a/%2e%2e/x", "/...", "/..a/b", "/a/.../x", "/?../../x",
        "/?a=100%", "/?a=%u20ac", "/?p=C:\\dir", "/?a=%00", "/a?b=%7e&c=../../..", "/{}|^`\"<>", "//a/../b"}) {
    EXPECT_TRUE(takes_target(target)) << target;
  }
}

TEST(InspectHttp, RefusesAuthoritiesThatServersReadInTwoWays) {
  for (const std::string host : {"",        ":",      ":80",    "b@a",   "@",     "a:1:2",     "a:8x",      "a: 8",
                                 "a:65536", "a:-1",   "a\\b",   "a#b",   "[::1",  "[::1]a",    "[::1]:x",   "[]",
                                 "[:]",     "[g::1]", "a[::1]", "[:::]", "[1:2]", "[::1%25a]", "[1.2.3.4]", "a:000080",
                                 "a%00b",   "a%62",   "a..b",   ".a",    ".",     "a\"b",      "a\xc3\xa9"}) {
    EXPECT_FALSE(requests("GET http://" + host + "/ HTTP/1.1\r\nHost: " + host + "\r\n\r\n").valid) << host;
    EXPECT_FALSE(requests("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n").valid) << host;
  }
  for (const std::string host : {"a", "a.", "a.b-c_d", "a:80", "a:", "a:65535", "127.0.0.1:8080", "[::1]", "[::1]:80",
                                 "[::ffff:1.2.3.4]", "a:00080"}) {
    EXPECT_TRUE(requests("GET http://" + host + "/ HTTP/1.1\r\nHost: " + host + "\r\n\r\n").ended) << host;
    EXPECT_TRUE(requests("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n").ended) << host;
  }
  for (const char* const target :
       {"http:///", "http://", "http://?a", "https:///a", "http:/h/", "http://h?a", "ftp://h/"})
    EXPECT_FALSE(takes_target(target)) << target;
  for (const char* const target : {"http://h", "http://H:80/a", "https://h:443/", "http://h:/", "HTTP://h/"})
    EXPECT_TRUE(takes_target(target)) << target;
  const Parsed other = requests("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(other.problem, "a Host field that is not the target's host");
  EXPECT_FALSE(takes_target("http://h:81/"));
  EXPECT_FALSE(takes_target("https://h:80/"));
  EXPECT_FALSE(takes_target("http://h.other/"));
}

/// RFC 9112, 2.2: a server that waits for a request-line ignores an empty line.
TEST(InspectHttp, IgnoresOneEmptyLineBeforeARequest) {
  const std::string get(kGet);
  EXPECT_TRUE(requests(get + "\r\n").ended);
  EXPECT_EQ(requests("\r\n" + get + "\r\n" + get).labels, (Labels{"GET", "GET"}));
  EXPECT_FALSE(requests(get + "\r").ended);
  EXPECT_EQ(requests(get + "\r\n\r\n").problem, "an empty line instead of a message");
  EXPECT_FALSE(requests(get + "\n").valid);
  EXPECT_FALSE(replies("HTTP/1.1 204 No Content\r\n\r\n\r\n").valid) << "clients ignore none";
}

/// Replies are looked at for people who see what went over the wire: what is old but clear is shown.
TEST(InspectHttp, ReadsRepliesOfOldServers) {
  EXPECT_EQ(replies("HTTP/1.1 200\r\nA: b\r\n c\r\nContent-Length: 1\r\n\r\nx").labels, Labels{"2xx"});
  EXPECT_TRUE(replies("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n").ended);
  EXPECT_TRUE(replies("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nto the end").ended);
  EXPECT_FALSE(replies("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n").valid);
  EXPECT_FALSE(replies("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 2\r\n\r\n").valid);
}

/// Others take an LF alone for the end of a line, so it is refused where it stands, before its message is complete.
TEST(InspectHttp, RefusesALineThatEndsWithLfAlone) {
  const std::string head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const char* const rest : {"5\nhello", "5;x=\nhello", "5\r\nhello\r\n0\n", "0\r\nT: a\n", "5\r\nhello\n"}) {
    EXPECT_FALSE(parse(Language::http, Role::request, head + rest).valid) << rest;
  }
}

TEST(InspectHttp, ReadsALastChunkInPieces) {
  const Parsed parsed = parse(Language::http, Role::request,
                              "PUT /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: t\r\n\r\n");
  EXPECT_TRUE(parsed.valid);
  EXPECT_TRUE(parsed.ended);
}

TEST(InspectHttp, SaysWhenAStreamEndsInsideAMessage) {
  EXPECT_TRUE(requests(kGet).ended);
  EXPECT_TRUE(requests("").ended);
  EXPECT_FALSE(requests("GET / HT").ended);
  EXPECT_FALSE(requests("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab").ended);
}

TEST(InspectHttp, HasLimitsOfHeadsAndFieldsAndChunkLines) {
  Limits limits;
  limits.head_bytes = 1000;
  limits.fields = 10;
  EXPECT_FALSE(requests("GET /" + std::string(2000, 'a'), limits).valid);
  EXPECT_FALSE(requests("GET / HTTP/1.1\r\nHost: " + std::string(2000, 'a') + "\r\n\r\n", limits).valid);
  std::string fields = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 11; ++i) fields += "a: b\r\n";
  EXPECT_EQ(requests(fields + "\r\n", limits).problem, "a head with too many fields");
  EXPECT_FALSE(
      requests("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;" + std::string(2000, 'x'), limits)
          .valid);
}

/// Some servers skip bytes that are white space somewhere: Python's take Latin-1, Java's trim() takes control
/// characters.
TEST(InspectHttp, LooksAtRequestsBehindAnUpgradeThatOnlySomeServersFind) {
  const std::string upgrade = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
  for (const std::string before : {"\xa0", "\x85", "\x0b", "\x0c", "\x1c", "\x1f", " ", "\t", "\xa0\xa0", "\x85\xa0",
                                   "\r\xa0", "\n\xa0", "\x01", "\x08", "\x1b", "\x7f"}) {
    EXPECT_FALSE(requests(upgrade + before + "GET /b HTTP/1.1\r\nHost: y\r\nHost: z\r\n\r\n").valid) << before;
  }
  EXPECT_FALSE(requests(upgrade + std::string(1, '\0') + "GET /b HTTP/1.1\r\n\r\n").valid);
  for (const char* const frame : {"\x81\x85GET ", "\x01\x85GET ", "\x02\xfeGET ", "\x89\x80GET ", "\x88\x82GET "})
    EXPECT_TRUE(requests(upgrade + frame).valid) << frame;
}

TEST(InspectHttp, WhatFollowsAnUpgradeIsAWebSocketOrARequestOfAKnownMethod) {
  const std::string upgrade = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
  for (const std::string behind : {"XX", "(ET", "(ET /evil HTTP/1.1\r\n", "GET /evil\r\n", "GETX", "get /", "\x81o",
                                   "\xff ", "<a>", "\r\nXX / HTTP/1.1\r\n", "PROPFIND / HTTP/1.1\r\n"}) {
    EXPECT_FALSE(requests(upgrade + behind).valid) << behind;
  }
  for (const std::string before : {"", "\r\n"}) {
    const Parsed parsed =
        requests(upgrade + before + "DELETE /b HTTP/1.1\r\nHost: h\r\n\r\nPROPFIND / HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_TRUE(parsed.valid) << parsed.problem;
    EXPECT_EQ(parsed.labels, (Labels{"GET", "DELETE", "other"})) << "the rest is as ever";
  }
  EXPECT_FALSE(requests(upgrade + "GE").ended);
  EXPECT_FALSE(requests(upgrade + "\x81").ended);
}

TEST(InspectHttp, LooksAwayAfterAnUpgrade) {
  const Parsed parsed =
      requests("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x85 frames");
  EXPECT_TRUE(parsed.valid) << parsed.problem;
  EXPECT_TRUE(parsed.ended);
  EXPECT_EQ(parsed.labels, Labels{"GET"});
  const std::string_view ignored = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
  EXPECT_EQ(requests(std::string(ignored) + std::string(kGet)).labels, (Labels{"GET", "GET"}));
  EXPECT_TRUE(requests(std::string(ignored) + "\x81\x80").ended) << "two bytes are enough to tell";
  EXPECT_FALSE(requests(std::string(ignored) + "DELETE /a HTTP/1.1\nHost: h\n\n").valid);
  EXPECT_TRUE(requests(std::string(ignored) + "A\x85 a compressed part").valid) << "the first bits of a WebSocket's";
  EXPECT_TRUE(replies("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n\x81\x05 frames").valid);
}

TEST(InspectHttp, CountsRepliesByClass) {
  const Parsed parsed = replies(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 304 Not Modified\r\n"
      "Content-Length: 9\r\n\r\nHTTP/1.1 503 Busy\r\n\r\nto the end");
  EXPECT_TRUE(parsed.valid) << parsed.problem;
  EXPECT_TRUE(parsed.ended);
  EXPECT_EQ(parsed.labels, (Labels{"1xx", "2xx", "3xx", "5xx"}));
}

TEST(InspectHttp, ARequestWithHeadSaysThatItsReplyHasNoBody) {
  const auto parser = inspect::make_http_parser(Role::reply, {});
  Noted noted;
  parser->expect_reply(true);
  parser->expect_reply(false);
  EXPECT_TRUE(
      parser->feed("HTTP/1.1 100 Continue\r\n\r\n"
                   "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
                   "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
                   noted));
  EXPECT_EQ(noted.labels, (Labels{"1xx", "2xx", "4xx"}));
  const auto of_requests = inspect::make_http_parser(Role::request, {});
  Noted heads;
  EXPECT_TRUE(of_requests->feed("HEAD / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.0\r\n\r\n", heads));
  EXPECT_EQ(heads.no_body, (std::vector<bool>{true, false}));
}

TEST(InspectLabels, AreOfTheLanguage) {
  using inspect::is_request_label;
  for (const char* const label : {"GET", "QUERY", "other"}) EXPECT_TRUE(is_request_label(Language::http, label));
  for (const char* const label : {"get", "FLUSHALL", "2xx", ""}) EXPECT_FALSE(is_request_label(Language::http, label));
  for (const char* const label : {"SET", "other"}) EXPECT_TRUE(is_request_label(Language::redis, label));
  for (const char* const label : {"set", "FLUSHALL", "POST"}) EXPECT_FALSE(is_request_label(Language::redis, label));
  for (const char* const label : {"call 3", "call other", "message", "ping"})
    EXPECT_TRUE(is_request_label(Language::records, label));
  for (const char* const label : {"call 16", "GET"}) EXPECT_FALSE(is_request_label(Language::records, label));
  EXPECT_FALSE(is_request_label(Language::none, "other"));
}

TEST(InspectLabels, CountsStopAtTheLargestNumber) {
  inspect::Counts counts;
  counts.add("GET", 5);
  counts.add("GET", ~std::uint64_t{0});
  EXPECT_EQ(counts.by_label().at("GET"), ~std::uint64_t{0});
}

TEST(InspectHttp, SummariesAreShortAndPrintable) {
  const Parsed parsed = replies("HTTP/1.1 204 \xc3\xa9" + std::string(5000, 'x') + "\r\n\r\n");
  ASSERT_EQ(parsed.summaries.size(), 1U);
  EXPECT_LE(parsed.summaries[0].size(), Limits{}.summary_bytes);
  EXPECT_EQ(parsed.summaries[0].substr(0, 7), "204 ..x");
}

}  // namespace
}  // namespace slotwire::test
