// However a stream is cut into pieces, an inspector finds the same messages and gives the same verdict.
#include <gtest/gtest.h>

#include <initializer_list>
#include <random>
#include <string>
#include <vector>

#include "core/inspect/parser.hpp"
#include "inspect_support.hpp"

namespace slotwire::test {
namespace {

using inspect::Language;
using inspect::Limits;
using inspect::Role;

struct Stream {
  Language language;
  Role role;
  std::string bytes;
};

/// Small limits, so that short streams meet them.
Limits small_limits() {
  Limits limits;
  limits.head_bytes = 90;
  limits.fields = 3;
  limits.depth = 2;
  limits.elements = 4;
  limits.bulk_bytes = 9;
  return limits;
}

const std::vector<Stream>& corpus() {
  static const std::string get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  static const std::string chunked = "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  static const std::string upgrade = "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
  static const std::vector<Stream> kStreams = [] {
    std::vector<Stream> streams;
    for (const std::string& bytes : std::initializer_list<std::string>{
             get,
             "\r\n" + get,
             get + "\r\n",
             get + "\r\n\r\n",
             get + "\r\n" + get,
             get + "\r",
             get + "\r\r\n",
             get + "\n",
             get + " ",
             get + "\r\nGE",
             get + get,
             "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab" + get,
             "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab\r\n\r\n",
             chunked + "3\r\nabc\r\n0\r\n\r\n" + get,
             chunked + "3;a=b\r\nabc\r\n0\r\nT: t\r\n\r\n\r\n",
             chunked + "0\r\n\r\n",
             chunked + "00\r\n\r\n",
             chunked + "0\r\nT: t\r\n\r\n",
             chunked + "0\r\nT : t\r\n\r\n",
             chunked + "3\r\nabcd\r\n0\r\n\r\n",
             chunked + "3\r\nabc0\r\n\r\n",
             chunked + "\r\n",
             chunked + "x\r\n\r\n",
             chunked + "3 \r\nabc\r\n0\r\n\r\n",
             chunked + "0;\r\n\r\n",
             chunked + "0\r\n\r\r\n",
             chunked + "0\r\n\n",
             chunked + "fffffffffffffffff\r\n",
             chunked + "3\nabc\r\n0\r\n\r\n",
             chunked + "3\r\nabc\n0\r\n\r\n",
             chunked + "0\r\nT: " + std::string(80, 't') + "\r\n\r\n",
             chunked + "1;" + std::string(95, 'x') + "\r\na\r\n",
             upgrade + "\x81",
             upgrade + "G",
             upgrade + "\r",
             upgrade + "\r\n" + get,
             upgrade + get,
             upgrade + "A\x85 x",
             upgrade + "\x81\x05 frame",
             upgrade + "\n\n",
             upgrade + "\xa0\xa0" + get,
             upgrade + "\x01\x85 frame",
             upgrade + "\x02 no frame",
             upgrade + " GET / HTTP/1.1\r\n",
             std::string("GET / HTTP/1.1\r\nHost: h\r\nA: a\r\nB: b\r\n\r\n"),
             std::string("GET /\n"),
             std::string("GET / HTTP/1.1\r\n folded: 1\r\n\r\n"),
             std::string("GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n"),
             std::string("GET / HTTP/1.1\r\n\r\n"),
             std::string("GET / HTTP/2.0\r\n\r\n"),
             std::string("*1\r\n$4\r\nPING\r\n"),
             std::string("\x16\x03\x01"),
             std::string("GET / HTTP/1.1\r\nHost: ") + std::string(80, 'h') + "\r\n\r\n",
             std::string("GET /") + std::string(100, 'h'),
         })
      streams.push_back({Language::http, Role::request, bytes});
    for (const std::string& bytes : std::initializer_list<std::string>{
             std::string("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 304 Not Modified\r\n\r\n"),
             std::string("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nto the end\r\n"),
             std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n\r\n"),
             std::string("HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x05 frames"),
             std::string("HTTP/1.1 204 No Content\r\n\r\n\r\n"),
             std::string("HTTP/1.1 200\r\n\r\n"),
             std::string("HTTP/1.1 20 OK\r\n\r\n"),
             std::string("\r\nHTTP/1.1 200 OK\r\n\r\n"),
         })
      streams.push_back({Language::http, Role::reply, bytes});
    for (const char* const bytes :
         {"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n", "PING\n\r\n\nGET k\r\n", "*1\r\n$4\r\nPINGx\r\n", "*x\r\n",
          "*1\n$1\r\na\r\n", "*5\r\n", "*2\r\n$10\r\n", "*1\r\n$2\r\na\r\n", "*0\r\n*-1\r\nPING\r\n", "hello \x01\r\n",
          "*1\r\n:1\r\n", "*00000000000000000000000000000000000001\r\n$1\r\na\r\n"})
      streams.push_back({Language::redis, Role::request, bytes});
    for (const char* const bytes :
         {"+OK\r\n$3\r\nabc\r\n*2\r\n:1\r\n*1\r\n$-1\r\n", "$-1\r\n-ERR x\r\n%1\r\n+a\r\n+b\r\n",
          "*1\r\n*1\r\n*1\r\n:1\r\n", ":x\r\n", "\r\n", "+a\n", "|1\r\n+a\r\n+b\r\n:1\r\n", "?\r\n"})
      streams.push_back({Language::redis, Role::reply, bytes});
    return streams;
  }();
  return kStreams;
}

TEST(InspectCuts, EveryPairOfCutsGivesTheSame) {
  for (const Stream& stream : corpus()) {
    expect_the_same_however_cut(stream.language, stream.role, stream.bytes);
    expect_the_same_however_cut(stream.language, stream.role, stream.bytes, small_limits());
  }
}

TEST(InspectCuts, EveryEndOfTheStreamGivesTheSame) {
  for (const Stream& stream : corpus())
    expect_the_same_wherever_it_ends(stream.language, stream.role, stream.bytes, small_limits());
}

/// Bytes of the corpus are replaced, left out and doubled; the seed is fixed.
TEST(InspectCuts, DamagedStreamsGiveTheSame) {
  std::mt19937 random(20261130);  // NOLINT(cert-msc51-cpp): the same in each run
  constexpr std::string_view kBytes = "\r\n \t:;,0aG\x01\x7f\x80*$";
  constexpr int kRounds = 40;
  for (const Stream& stream : corpus()) {
    for (int round = 0; round < kRounds; ++round) {
      std::string bytes = stream.bytes;
      const std::size_t at = random() % bytes.size();
      const char c = kBytes[random() % kBytes.size()];
      switch (random() % 3) {
        case 0:
          bytes[at] = c;
          break;
        case 1:
          bytes.erase(at, 1);
          break;
        default:
          bytes.insert(at, 1, c);
      }
      const Parsed whole = parse_cut(stream.language, stream.role, bytes, {});
      for (std::size_t cut = 1; cut < bytes.size(); ++cut)
        ASSERT_EQ(parse_cut(stream.language, stream.role, bytes, {cut}), whole)
            << testing::PrintToString(bytes) << " cut at " << cut;
      ASSERT_EQ(parse_in(1, stream.language, stream.role, bytes), whole) << testing::PrintToString(bytes);
    }
  }
}

}  // namespace
}  // namespace slotwire::test
