#include "runtime/http/header_check.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace slotwire::http {
namespace {

TEST(HeaderScan, FindsTheEndWhereverThePiecesAreCut) {
  const std::string header = "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n";
  for (std::size_t cut = 0; cut < header.size(); ++cut) {
    HeaderScan scan;
    EXPECT_EQ(scan.scan(std::string_view(header).substr(0, cut)), HeaderScan::Result::incomplete) << cut;
    EXPECT_EQ(scan.scan(header + "body"), HeaderScan::Result::complete) << cut;
    EXPECT_EQ(scan.length(), header.size());
  }
}

TEST(HeaderScan, FindsFaultsWhereverThePiecesAreCut) {
  for (const std::string header :
       {"GET / HTTP/1.1\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\n A: b\r\n\r\n", "\r\nGET /\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", "GET / HTTP/1.1\r\nA: b\r\n\rc"}) {
    for (std::size_t cut = 0; cut < header.size(); ++cut) {
      HeaderScan scan;
      if (scan.scan(std::string_view(header).substr(0, cut)) == HeaderScan::Result::invalid) continue;
      EXPECT_EQ(scan.scan(header), HeaderScan::Result::invalid) << header << cut;
      EXPECT_STRNE(scan.reason(), "");
    }
  }
}

TEST(CheckFraming, ReasonsEndTheSentenceThatTheyStandIn) {
  Framing good;
  good.post = true;
  good.hosts = good.content_lengths = 1;
  good.host = "x";
  good.content_length = "1";
  ASSERT_EQ(check_framing(good, 10).status, 0U);
  std::vector<Framing> bad(11, good);
  bad[0].hosts = 0;
  bad[1].hosts = 2;
  bad[2].host = "a b";
  bad[3].transfer_encodings = 1;
  for (std::size_t i = 4; i < 7; ++i) {
    bad[i].transfer_encodings = 1;
    bad[i].content_lengths = 0;
    bad[i].transfer_encoding = i == 4 ? "gzip" : "chunked";
  }
  bad[5].http_1_0 = true;
  bad[7].content_lengths = 2;
  bad[8].content_lengths = 0;
  bad[9].content_length = "11";
  bad[10].post = false;
  for (const Framing& framing : bad) {
    const Verdict verdict = check_framing(framing, 10);
    ASSERT_NE(verdict.status, 0U);
    const std::string reason = verdict.reason;
    // "the request has ...": a thing, or the want of one.
    bool thing = reason.starts_with("Transfer-Encoding ");
    for (const char* article : {"a ", "an ", "no ", "both ", "more than one "})
      thing = thing || reason.starts_with(article);
    EXPECT_TRUE(thing) << reason;
  }
}

TEST(PathOfTarget, TakesOriginAndAbsoluteForm) {
  EXPECT_EQ(path_of_target("/s"), "/s");
  EXPECT_EQ(path_of_target("/s/x?y=/z"), "/s/x");
  EXPECT_EQ(path_of_target("http://host/s?x"), "/s");
  EXPECT_EQ(path_of_target("HTTPS://host:1/s"), "/s");
  EXPECT_EQ(path_of_target("http://host"), "/");
  EXPECT_EQ(path_of_target("*"), "");
  EXPECT_EQ(path_of_target("host:443"), "");
  EXPECT_EQ(path_of_target("ftp://host/s"), "");
  EXPECT_EQ(path_of_target(""), "");
}

TEST(IsBeneath, KeepsToWholeSegments) {
  EXPECT_TRUE(is_beneath("/s", "/s"));
  EXPECT_TRUE(is_beneath("/s/", "/s"));
  EXPECT_TRUE(is_beneath("/s/x", "/s"));
  EXPECT_TRUE(is_beneath("/s/x", "/s/"));
  EXPECT_FALSE(is_beneath("/sx", "/s"));
  EXPECT_FALSE(is_beneath("/", "/s"));
  EXPECT_TRUE(is_beneath("/x", "/"));
}

}  // namespace
}  // namespace slotwire::http
