#include "runtime/http/header_check.hpp"

#include <gtest/gtest.h>

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
