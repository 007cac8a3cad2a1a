// Messages out of captured frames, as slotwire capture --decode shows them.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "tools/slotwire/capture_decoder.hpp"

namespace slotwire::test {
namespace {

using cli::CaptureDecoder;
using cli::DecodedMessage;
using cli::SlotFacts;
using inspect::Language;
using slot::RecordHeader;
using slot::RecordKind;
using Lines = std::vector<std::byte>;

constexpr std::uint16_t kHere = 5;
constexpr std::uint16_t kThere = 9;

Lines record(RecordHeader header, std::string_view payload) {
  header.length = static_cast<std::uint32_t>(payload.size());
  Lines lines(slot::record_lines(payload.size()) * regs::kLineBytes);
  std::memcpy(lines.data(), &header, sizeof header);
  std::memcpy(lines.data() + sizeof header, payload.data(), payload.size());
  return lines;
}
Lines stream(std::string_view payload) {
  return record({.kind = RecordKind::stream}, payload);
}
Lines operator+(Lines a, const Lines& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

class Decoder : public testing::Test {
 protected:
  void make(std::optional<Language> language, std::optional<bool> acceptor = false) {
    decoder_.emplace(
        language,
        [this, acceptor](std::uint16_t slot) {
          asked_.push_back(slot);
          return SlotFacts{"web", acceptor};
        },
        [this](const DecodedMessage& message) {
          shown_.push_back((message.outgoing ? "> " : "< ") + std::string(message.language) + " " +
                           (message.invalid ? "invalid" : std::string(message.text)));
        });
  }
  /// A frame with `lines`, the first of which is line `seq` of the ring.
  void frame(bool outgoing, std::uint32_t seq, const Lines& lines, std::uint64_t dropped = 0, std::uint16_t epoch = 1) {
    pipeline::Header header;
    header.src_slot = outgoing ? kHere : kThere;
    header.dst_slot = outgoing ? kThere : kHere;
    header.seq = seq;
    header.epoch = epoch;
    Lines bytes(regs::kHeaderBytes);
    pipeline::encode(header, pipeline::HeaderBytes(bytes.data(), regs::kHeaderBytes));
    bytes = bytes + lines;
    decoder_->frame({.dropped = dropped, .link = 1, .outgoing = outgoing, .bytes = bytes});
  }
  std::optional<CaptureDecoder> decoder_;
  std::vector<std::string> shown_;
  std::vector<std::uint16_t> asked_;
};
using Shown = std::vector<std::string>;

Lines part(const Lines& lines, std::size_t from, std::size_t count) {
  const auto at = [&](std::size_t line) {
    return lines.begin() + static_cast<std::ptrdiff_t>(line * regs::kLineBytes);
  };
  return {at(from), at(from + count)};
}

TEST_F(Decoder, ShowsCallsAndTheirAnswers) {
  make(std::nullopt);
  frame(true, 100, record({.kind = RecordKind::request, .code = 3, .id = 7}, std::string(200, 'x')));
  frame(false, 40, record({.kind = RecordKind::reply, .id = 7}, "done"));
  EXPECT_EQ(shown_, (Shown{"> records call 3 id 7, 200 bytes", "< records reply id 7, 4 bytes"}));
  EXPECT_EQ(asked_, (std::vector<std::uint16_t>{kHere})) << "once for both directions";
}

TEST_F(Decoder, PutsAMessageTogetherThatIsCutAnywhere) {
  make(std::nullopt);
  const Lines request = stream("GET /" + std::string(300, 'a') + " HTTP/1.1\r\nHost: h\r\n") + stream("\r\n");
  for (std::uint32_t line = 0; line < request.size() / regs::kLineBytes; ++line)
    frame(true, 0xfffffffe + line, part(request, line, 1));  // its numbers pass through zero
  ASSERT_EQ(shown_.size(), 1U);
  EXPECT_EQ(shown_[0].substr(0, 20), "> http GET /aaaaaaaa");
}

TEST_F(Decoder, ShowsWhatIsSentAgainOnce) {
  make(Language::records);
  const Lines two = record({}, "one") + record({}, "two");
  frame(true, 10, part(two, 0, 1));
  frame(true, 12, record({}, "too early"));  // the receiver discards it
  frame(true, 10, two);
  frame(true, 11, part(two, 1, 1));
  frame(true, 12, record({}, "three"));
  EXPECT_EQ(shown_, (Shown{"> records message, 3 bytes", "> records message, 3 bytes", "> records message, 5 bytes"}));
}

TEST_F(Decoder, FindsTheNextMessageAfterFramesThatWereDropped) {
  make(Language::http);
  frame(true, 10, stream("GET /a HTTP/1.0\r\n\r\n"));
  frame(true, 20, part(stream("POST /b HTTP/1.0\r\nContent-Length: 500\r\n\r\n" + std::string(500, 'b')), 3, 2), 7);
  frame(true, 22, stream("GET /c HTTP/1.0\r\n\r\n"), 7);
  EXPECT_EQ(shown_, (Shown{"> http GET /a", "> http GET /c"}));
}

TEST_F(Decoder, JoinsAConnectionInTheMiddle) {
  make(Language::redis);
  frame(true, 10, part(stream("*2\r\n$3\r\nGET\r\n$90\r\n" + std::string(90, 'k') + "\r\n"), 1, 1));
  frame(true, 11, stream("rest of a command\r\n"));
  frame(true, 12, stream("*1\r\n$4\r\nPING\r\n"));
  EXPECT_EQ(shown_, Shown{"> redis PING"});
}

TEST_F(Decoder, KnowsWhichRepliesHaveNoBody) {
  make(std::nullopt);
  frame(true, 1, stream("HEAD /a HTTP/1.0\r\n\r\nGET /b HTTP/1.0\r\n\r\n"));
  frame(false, 1,
        stream("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx"));
  frame(true, 2, stream("HEAD /c HTTP/1.0\r\n\r\n"));
  frame(false, 3, stream("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 500 E\r\nContent-Length: 0\r\n\r\n"));
  EXPECT_EQ(shown_, (Shown{"> http HEAD /a", "> http GET /b", "< http 200 OK, 9 bytes", "< http 404 Not Found, 1 bytes",
                           "> http HEAD /c", "< http 200 OK, 9 bytes", "< http 500 E, 0 bytes"}));
}

TEST_F(Decoder, SaysOnceWhatIsInvalidAndGoesOnWithOthers) {
  make(Language::http);
  frame(true, 1, stream("GET / HTTP/1.0\r\n\r\n"));
  frame(true, 2, stream("rubbish\r\n\r\n"));
  frame(true, 3, stream("GET / HTTP/1.0\r\n\r\n"));
  frame(false, 1, stream("HTTP/1.1 200 OK\r\n\r\n"));
  EXPECT_EQ(shown_, (Shown{"> http GET /", "> http invalid", "< http 200 OK"}));
  frame(true, 1, stream("GET /new HTTP/1.0\r\n\r\n"), 0, 2);
  EXPECT_EQ(shown_.back(), "> http GET /new") << "the next connection in this slot";
}

TEST_F(Decoder, SurvivesAnyBytes) {
  for (const auto language :
       {std::optional<Language>(), std::optional(Language::http), std::optional(Language::records)}) {
    make(language, std::nullopt);
    std::uint64_t dice = 1;
    for (int i = 0; i < 20000; ++i) {
      Lines lines(regs::kLineBytes * (1 + (dice % 3)));
      for (std::byte& b : lines) {
        dice = (dice * 6364136223846793005U) + 1442695040888963407U;
        b = static_cast<std::byte>((dice >> 33) % (i % 2 == 0 ? 8 : 256));
      }
      frame((dice >> 40) % 2 == 0, static_cast<std::uint32_t>((dice >> 41) % 16), lines,
            (dice >> 50) % 64 == 0 ? 1U : 0U, static_cast<std::uint16_t>((dice >> 45) % 4));
    }
  }
}

TEST_F(Decoder, RemembersALimitedNumberOfConnections) {
  make(Language::records);
  for (std::uint32_t link = 0; link <= CaptureDecoder::kMaxDirections; ++link) {
    pipeline::Header header;
    header.src_slot = static_cast<std::uint16_t>(link);
    Lines bytes(regs::kHeaderBytes);
    pipeline::encode(header, pipeline::HeaderBytes(bytes.data(), regs::kHeaderBytes));
    bytes = bytes + record({}, "m");
    decoder_->frame({.link = 1, .outgoing = true, .bytes = bytes});
  }
  EXPECT_EQ(decoder_->directions(), CaptureDecoder::kMaxDirections);
  EXPECT_EQ(shown_.size(), CaptureDecoder::kMaxDirections + 1);
}

}  // namespace
}  // namespace slotwire::test
