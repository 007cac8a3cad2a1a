// What a proxy before the server may understand differently than the server is refused, one test for each case; and the
// connection ends with the refusal, so that nothing behind it is taken for a request.
#include <gtest/gtest.h>

#include "raw_http.hpp"
#include "site.hpp"

namespace slotwire {
namespace {

using test::RawClient;
using test::RawResponse;
using test::Site;
using namespace std::string_literals;

/// What a smuggler wants the server to see.
const std::string kSecond = "POST /s/echo HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\n\r\nsmuggled";

void expect_refused(const std::string& request, unsigned status) {
  Site site;
  RawClient client(site.port());
  client.send(request);
  client.half_close();
  const std::string all = client.to_end();
  ASSERT_EQ(all.rfind("HTTP/1.", 0), 0U) << all;
  EXPECT_EQ(all.substr(9, 3), std::to_string(status)) << all;
  EXPECT_EQ(all.find("HTTP/1.1 200"), std::string::npos) << "a second request was answered: " << all;
  EXPECT_EQ(site.requests(), 0U);
}

TEST(HttpStrict, ContentLengthAndTransferEncoding) {
  expect_refused(
      "POST /s/echo HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" +
          kSecond,
      400);
}
TEST(HttpStrict, TransferEncodingAndContentLength) {
  expect_refused(
      "POST /s/echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" +
          kSecond,
      400);
}
TEST(HttpStrict, UnequalContentLengths) {
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\nContent-Length: 90\r\n\r\n" + kSecond,
                 400);
}
TEST(HttpStrict, EqualContentLengths) {
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab", 400);
}
TEST(HttpStrict, ListOfContentLengths) {
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test\r\nContent-Length: 2, 2\r\n\r\nab", 400);
}
TEST(HttpStrict, SignedContentLength) {
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test\r\nContent-Length: +2\r\n\r\nab", 400);
}
TEST(HttpStrict, NegativeContentLength) {
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test\r\nContent-Length: -1\r\n\r\n", 400);
}
TEST(HttpStrict, HexadecimalContentLength) {
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test\r\nContent-Length: 0x2\r\n\r\nab", 400);
}
TEST(HttpStrict, EmptyContentLength) {
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test\r\nContent-Length: \r\n\r\n", 400);
}
TEST(HttpStrict, ContentLengthBeyondAllNumbers) {
  // Beast calls it malformed before the limit is looked at.
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400);
}
TEST(HttpStrict, NoContentLength) {
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test\r\n\r\n", 411);
}
TEST(HttpStrict, Chunked) {
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", 411);
}
TEST(HttpStrict, UnknownTransferEncoding) {
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + kSecond, 400);
}
TEST(HttpStrict, ChunkedTwice) {
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400);
}
TEST(HttpStrict, TwoTransferEncodings) {
  expect_refused(
      "POST /s/echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
      "identity\r\n\r\n0\r\n\r\n",
      400);
}
TEST(HttpStrict, TransferEncodingWithATab) {
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding:\tchunked\x0b\r\n\r\n0\r\n\r\n", 400);
}
TEST(HttpStrict, TransferEncodingInHttp10) {
  expect_refused("POST /s/echo HTTP/1.0\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + kSecond, 400);
}
TEST(HttpStrict, FoldedLine) {
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test\r\nX-A: 1\r\n Content-Length: 9\r\nContent-Length: 2\r\n\r\nab",
                 400);
}
TEST(HttpStrict, FoldedFirstField) {
  expect_refused("POST /s/echo HTTP/1.1\r\n\tHost: test\r\nContent-Length: 2\r\n\r\nab", 400);
}
TEST(HttpStrict, SpaceBeforeTheColon) {
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test\r\nContent-Length : 2\r\n\r\nab", 400);
}
TEST(HttpStrict, BareLineFeeds) {
  expect_refused("POST /s/echo HTTP/1.1\nHost: test\nContent-Length: 2\n\nab", 400);
}
TEST(HttpStrict, BareLineFeedInAField) {
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test\r\nX-A: b\nContent-Length: 8\r\nContent-Length: 2\r\n\r\nab",
                 400);
}
TEST(HttpStrict, BareCarriageReturn) {
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test\r\nX-A: b\rContent-Length: 8\r\nContent-Length: 2\r\n\r\nab",
                 400);
}
TEST(HttpStrict, NulInAField) {
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test\r\nX-A: b\0c\r\nContent-Length: 2\r\n\r\nab"s, 400);
}
TEST(HttpStrict, NulInAFieldName) {
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test\r\nContent-Length\0: 2\r\n\r\nab"s, 400);
}
TEST(HttpStrict, EmptyFieldName) {
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test\r\n: x\r\nContent-Length: 2\r\n\r\nab", 400);
}
TEST(HttpStrict, FieldWithoutAColon) {
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test\r\nnonsense\r\nContent-Length: 2\r\n\r\nab", 400);
}
TEST(HttpStrict, NoHost) {
  expect_refused("POST /s/echo HTTP/1.1\r\nContent-Length: 2\r\n\r\nab", 400);
}
TEST(HttpStrict, TwoHosts) {
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test\r\nHost: other\r\nContent-Length: 2\r\n\r\nab", 400);
}
TEST(HttpStrict, InvalidHost) {
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test/other\r\nContent-Length: 2\r\n\r\nab", 400);
}
TEST(HttpStrict, EmptyLineBeforeTheRequest) {
  expect_refused("\r\nPOST /s/echo HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nab", 400);
}
TEST(HttpStrict, BodyOfAGet) {
  expect_refused("GET /s HTTP/1.1\r\nHost: test\r\nContent-Length: 70\r\n\r\n" + kSecond, 400);
}
TEST(HttpStrict, Http09) {
  expect_refused("GET /s\r\n\r\n", 400);
}
TEST(HttpStrict, Http2Preface) {
  expect_refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400);
}
TEST(HttpStrict, UnknownMinorVersion) {
  expect_refused("POST /s/echo HTTP/1.7\r\nHost: test\r\nContent-Length: 2\r\n\r\nab", 400);
}
TEST(HttpStrict, NoHttpAtAll) {
  expect_refused("SSH-2.0-OpenSSH_9.2\r\n\r\n", 400);
}
TEST(HttpStrict, SpacesInTheTarget) {
  expect_refused("POST /s/echo /x HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nab", 400);
}
TEST(HttpStrict, UnknownExpectation) {
  expect_refused("POST /s/echo HTTP/1.1\r\nHost: test\r\nExpect: more\r\nContent-Length: 2\r\n\r\nab", 417);
}
TEST(HttpStrict, OtherPaths) {
  for (const char* const path : {"/", "/sx", "/x/s", "/S", "//s", "/%73", "*", "http://test", "s"}) {
    SCOPED_TRACE(path);
    Site site;
    RawClient client(site.port());
    client.send(std::string("POST ") + path + " HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nab");
    const RawResponse response = client.response();
    EXPECT_TRUE(response.status == 404 || response.status == 400) << response.head;
    EXPECT_EQ(site.requests(), 0U);
  }
}
TEST(HttpStrict, OtherMethods) {
  for (const char* const method : {"PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "PATCH", "INVENTED"}) {
    SCOPED_TRACE(method);
    Site site;
    RawClient client(site.port());
    client.send(std::string(method) + " /s/echo HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
    const RawResponse response = client.response();
    EXPECT_EQ(response.status, 405U);
    EXPECT_EQ(response.field("Allow"), "GET, POST");
    EXPECT_EQ(site.requests(), 0U);
  }
}
TEST(HttpStrict, Connect) {
  expect_refused("CONNECT test:22 HTTP/1.1\r\nHost: test:22\r\n\r\n", 404);
}

}  // namespace
}  // namespace slotwire
