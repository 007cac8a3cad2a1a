// Records as an inspector reads them, and what it makes of connections that it joins in the middle.
#include <gtest/gtest.h>

#include <string>

#include "core/inspect/counts.hpp"
#include "core/inspect/inspector.hpp"
#include "inspect_support.hpp"

namespace slotwire::test {
namespace {

using inspect::Inspector;
using inspect::Join;
using inspect::Language;
using inspect::Role;
using slot::RecordHeader;
using slot::RecordKind;
using RecordLabels = std::vector<std::string>;

bool stream(Inspector& inspector, std::string_view payload, Noted& noted) {
  return inspector.begin({.length = static_cast<std::uint32_t>(payload.size()), .kind = RecordKind::stream}, noted) &&
         inspector.feed(payload, noted);
}

TEST(InspectRecords, TellOfMessagesAndCallsOnce) {
  Inspector inspector(Language::records, Role::request, Join::beginning);
  Noted noted;
  const RecordHeader records[] = {
      {.length = 5},
      {.length = 10, .kind = RecordKind::request, .code = 3, .id = 7, .deadline_us = 500},
      {.length = 10, .kind = RecordKind::request, .code = 300, .id = 8},
      {.length = 10, .flags = slot::kFirstPart},
      {.length = 11, .flags = 0},
      {.length = 12, .flags = slot::kLastPart},
      {.kind = RecordKind::cancel, .id = 7},
      {.kind = RecordKind::request, .code = 0xffff, .id = 9},
  };
  for (const RecordHeader& header : records) ASSERT_TRUE(inspector.begin(header, noted)) << inspector.problem();
  EXPECT_EQ(noted.labels, (RecordLabels{"message", "call 3", "call other", "message", "cancel", "ping"}));
  EXPECT_EQ(noted.summaries[1], "call 3 id 7, 10 bytes, deadline 500 us");
  EXPECT_EQ(noted.summaries[2], "call 300 id 8, 10 bytes");
  EXPECT_EQ(noted.summaries[3], "message, 33 bytes");
}

TEST(InspectRecords, RefuseStreamsDamageAndPartsOutOfOrder) {
  const auto refuses = [](const RecordHeader& header) {
    Inspector inspector(Language::records, Role::request, Join::beginning);
    Noted noted;
    const bool good = inspector.begin(header, noted);
    EXPECT_EQ(good, inspector.problem().empty());
    return !good && !inspector.begin({}, noted);
  };
  EXPECT_TRUE(refuses({.kind = RecordKind::stream}));
  EXPECT_TRUE(refuses({.kind = static_cast<RecordKind>(9)}));
  EXPECT_TRUE(refuses({.flags = 0x80}));
  EXPECT_TRUE(refuses({.flags = slot::kLastPart}));
  EXPECT_TRUE(refuses({.length = 0xffffffff}));
  EXPECT_FALSE(refuses({}));
}

TEST(InspectRecords, AStreamThatIsNotTheLanguageIsRefusedAndAMessageToo) {
  Noted noted;
  Inspector http(Language::http, Role::request, Join::beginning);
  EXPECT_TRUE(stream(http, "GET / HTTP/1.1\r\nHost: h\r\n", noted));
  EXPECT_TRUE(stream(http, "\r\n", noted));
  EXPECT_FALSE(stream(http, "rubbish\r\n\r\n", noted));
  EXPECT_EQ(noted.labels, RecordLabels{"GET"});
  Inspector message(Language::redis, Role::request, Join::beginning);
  EXPECT_FALSE(message.begin({.length = 4}, noted));
  EXPECT_EQ(message.problem(), "a message, not a stream of bytes");
  Inspector ping(Language::redis, Role::request, Join::beginning);
  EXPECT_TRUE(ping.begin({.length = 4, .kind = RecordKind::request, .code = 0xffff}, noted));
  EXPECT_TRUE(ping.feed("!!\r\n", noted)) << "the library's own";
  Inspector ends(Language::http, Role::request, Join::beginning);
  EXPECT_TRUE(stream(ends, "GET / HT", noted));
  EXPECT_FALSE(ends.begin({.kind = RecordKind::end_of_stream}, noted));
}

TEST(InspectRecords, AConnectionJoinedInTheMiddleIsReadFromItsNextMessageOn) {
  Noted noted;
  Inspector inspector(Language::redis, Role::request, Join::middle);
  EXPECT_TRUE(stream(inspector, "end of a value$$$\r\n*1\r\n", noted));
  EXPECT_TRUE(stream(inspector, "*1\r\n$4\r\nPING\r\n", noted));
  EXPECT_TRUE(stream(inspector, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", noted));
  EXPECT_EQ(noted.labels, (RecordLabels{"PING", "GET"}));
  EXPECT_FALSE(stream(inspector, "!\r\n", noted)) << "from there on it is as strict as from the beginning";
}

TEST(InspectRecords, GuessesFromTheFirstBytes) {
  const auto of = [](std::string_view bytes) { return inspect::guess({.kind = RecordKind::stream}, bytes); };
  EXPECT_EQ(of("GET / HTTP/1.1\r\n").language, Language::http);
  EXPECT_EQ(of("GET / HTTP/1.1\r\n").role, Role::request);
  EXPECT_EQ(of("HTTP/1.1 200 OK").role, Role::reply);
  EXPECT_EQ(of("*1\r\n$4\r\nPING\r\n").language, Language::redis);
  EXPECT_EQ(of("+PONG\r\n").role, Role::reply);
  EXPECT_EQ(of("something else").language, Language::records);
  EXPECT_EQ(inspect::guess({}, "GET / HTTP/1.1").language, Language::records);
}

TEST(InspectCounts, HaveALimit) {
  inspect::Counts counts;
  for (int i = 0; i < 1000; ++i) counts.add("label " + std::to_string(i));
  EXPECT_EQ(counts.by_label().size(), inspect::Counts::kMaxLabels);
  EXPECT_EQ(counts.by_label().at("other"), 1000 - (inspect::Counts::kMaxLabels - 1));
}

}  // namespace
}  // namespace slotwire::test
