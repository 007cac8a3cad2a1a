// Redis as an inspector reads it.
#include <gtest/gtest.h>

#include <string>

#include "inspect_support.hpp"

namespace slotwire::test {
namespace {

using inspect::Language;
using inspect::Limits;
using inspect::Role;
using RedisLabels = std::vector<std::string>;

Parsed commands(std::string_view bytes, const Limits& limits = {}) {
  return parse(Language::redis, Role::request, bytes, limits);
}
Parsed answers(std::string_view bytes, const Limits& limits = {}) {
  return parse(Language::redis, Role::reply, bytes, limits);
}

TEST(InspectRedis, CountsCommandsAsArraysAndInline) {
  const Parsed parsed = commands(
      "*3\r\n$3\r\nset\r\n$3\r\nkey\r\n$7\r\na\r\nb*1x\r\n*1\r\n$4\r\nPING\r\nget key\r\nPING\n\r\n*0\r\n"
      "*2\r\n$7\r\nMODULE1\r\n$0\r\n\r\n");
  EXPECT_TRUE(parsed.valid) << parsed.problem;
  EXPECT_TRUE(parsed.ended);
  EXPECT_EQ(parsed.labels, (RedisLabels{"SET", "PING", "GET", "PING", "other"}));
  EXPECT_EQ(parsed.summaries, (RedisLabels{"set key and 1 more", "PING", "get key", "PING", "MODULE1 "}));
}

TEST(InspectRedis, DoesNotShowSecrets) {
  const Parsed parsed = commands("*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\nauth secret\r\n");
  EXPECT_EQ(parsed.summaries, (RedisLabels{"AUTH and 1 more", "auth and 1 more"}));
}

TEST(InspectRedis, RefusesWhatIsNotACommand) {
  for (const std::string bytes : {
           "*x\r\n",
           "*1\r\n:5\r\n",
           "*1\r\n$-1\r\n",
           "*1\r\n$3\r\nabcd\r\n",
           "*1\n",
           "*1\r\n$3\nabc\r\n",
           "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
           "\x16\x03\x01\r\n",
           "*9999999999999999999999\r\n",
       }) {
    EXPECT_FALSE(commands(bytes).valid) << bytes;
  }
}

TEST(InspectRedis, HasLimits) {
  Limits limits;
  limits.elements = 8;
  limits.bulk_bytes = 100;
  limits.head_bytes = 50;
  limits.depth = 3;
  EXPECT_TRUE(commands("*8\r\n", limits).valid);
  EXPECT_FALSE(commands("*9\r\n", limits).valid);
  EXPECT_FALSE(commands("*1\r\n$101\r\n", limits).valid);
  EXPECT_FALSE(commands(std::string(51, 'a'), limits).valid);
  EXPECT_FALSE(commands("*1\r\n$" + std::string(40, '0'), limits).valid);
  EXPECT_TRUE(answers("*1\r\n*1\r\n*1\r\n:1\r\n", limits).valid);
  EXPECT_FALSE(answers("*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", limits).valid);
  EXPECT_FALSE(answers("%5\r\n", limits).valid);
}

TEST(InspectRedis, ReadsEveryTypeOfReply) {
  const Parsed parsed = answers(
      "+OK\r\n-ERR no\r\n:-5\r\n$5\r\nhe\r\no\r\n$-1\r\n*-1\r\n*0\r\n_\r\n,3.14\r\n#t\r\n(12345678901234567890\r\n"
      "!5\r\nERR x\r\n=8\r\ntxt:abcd\r\n*2\r\n:1\r\n*2\r\n+a\r\n$1\r\nb\r\n%1\r\n+k\r\n:1\r\n~1\r\n:1\r\n"
      ">2\r\n+message\r\n+x\r\n|1\r\n+ttl\r\n:5\r\n:7\r\n");
  EXPECT_TRUE(parsed.valid) << parsed.problem;
  EXPECT_TRUE(parsed.ended);
  EXPECT_EQ(parsed.labels,
            (RedisLabels{"reply", "error", "reply", "reply", "reply", "reply", "reply", "reply", "reply", "reply",
                         "reply", "error", "reply", "reply", "reply", "reply", "push", "reply"}));
  EXPECT_EQ(parsed.summaries[1], "-ERR no");
  EXPECT_EQ(parsed.summaries[13], "*2, 3 values");
}

TEST(InspectRedis, RefusesDamagedReplies) {
  for (const std::string bytes : {"?\r\n", "#x\r\n", ":1a\r\n", ":\r\n", "$?\r\n", "*?\r\n", "_x\r\n", "+OK\n", "\r\n"})
    EXPECT_FALSE(answers(bytes).valid) << bytes;
  EXPECT_FALSE(answers("*2\r\n:1\r\n").ended);
}

}  // namespace
}  // namespace slotwire::test
