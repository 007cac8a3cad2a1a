// The byte stream: integrity through small rings, half close, both ends.
#include <gtest/gtest.h>

#include "ends.hpp"

namespace slotwire::test {
namespace {

using namespace std::chrono_literals;

class Streams : public EveryTopology {};
INSTANTIATE_TEST_SUITE_P(Node, Streams, every_topology(), topology_name);

TEST_P(Streams, CarryBytesAsTheyAreInBothDirectionsAtOnce) {
  Ends e = ends({.in_bytes = 8192, .out_bytes = 4096});
  constexpr std::size_t kBytes = 3'000'000;
  struct Way {
    Stream from, to;
    std::vector<std::byte> sent, received;
    std::size_t written = 0;
    bool ended = false, done = false;
  };
  Way ways[] = {{e.client.stream(), e.server.stream(), pattern(kBytes, 1), {}, 0, false, false},
                {e.server.stream(), e.client.stream(), pattern(kBytes / 2, 2), {}, 0, false, false}};
  std::vector<std::byte> buffer(100'000);
  std::uint64_t dice = 1;
  const auto some = [&](std::size_t most) {
    dice = (dice * 6364136223846793005U) + 1442695040888963407U;
    return 1 + static_cast<std::size_t>((dice >> 33) % most);
  };
  const auto deadline = std::chrono::steady_clock::now() + 3 * kPatience;
  while (!ways[0].done || !ways[1].done) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    for (Way& way : ways) {
      if (way.written < way.sent.size()) {
        const std::size_t n = std::min(some(20'000), way.sent.size() - way.written);
        const Result<std::size_t> written = way.from.write(std::span(way.sent).subspan(way.written, n));
        if (written)
          way.written += *written;
        else
          ASSERT_EQ(written.status(), Status::again) << written.error().text;
      } else if (!way.ended) {
        const Result<void> ended = way.from.shutdown();
        if (ended)
          way.ended = true;
        else
          ASSERT_EQ(ended.status(), Status::again);
      }
      if (way.done) continue;
      const Result<std::size_t> read = way.to.read(std::span(buffer).first(some(buffer.size())));
      if (read) {
        way.received.insert(way.received.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(*read));
      } else if (read.status() == Status::peer_closed) {
        way.done = true;
      } else {
        ASSERT_EQ(read.status(), Status::again) << read.error().text;
      }
    }
  }
  EXPECT_TRUE(same(ways[0].received, ways[0].sent));
  EXPECT_TRUE(same(ways[1].received, ways[1].sent));
}

TEST_P(Streams, EndOneDirectionAndGoOnInTheOther) {
  Ends e = ends();
  std::vector<std::byte> buffer(100);
  ASSERT_TRUE(e.client.stream().write_all("the last words", kPatience));
  ASSERT_TRUE(e.client.stream().shutdown());
  const Result<std::size_t> read = e.server.stream().read_some(buffer, kPatience);
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(*read, 14U);
  EXPECT_EQ(e.server.stream().read_some(buffer, kPatience).status(), Status::peer_closed);
  EXPECT_EQ(e.server.stream().read_some(buffer, kPatience).status(), Status::peer_closed);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(e.server.stream().write_all("still here", kPatience));
    std::size_t got = 0;
    while (got < 10) {
      const Result<std::size_t> n = e.client.stream().read_some(std::span(buffer).subspan(got, 10 - got), kPatience);
      ASSERT_TRUE(n) << n.error().text;
      got += *n;
    }
  }
  // Closing the whole connection ends this direction too, after what was written.
  ASSERT_TRUE(e.server.stream().write_all("bye", kPatience));
  e.server.close();
  const Result<std::size_t> bye = e.client.stream().read_some(buffer, kPatience);
  ASSERT_TRUE(bye) << bye.error().text;
  EXPECT_EQ(*bye, 3U);
  EXPECT_EQ(e.client.stream().read_some(buffer, kPatience).status(), Status::peer_closed);
}

TEST_P(Streams, PushBackAndAreFlushed) {
  Ends e = ends({.in_bytes = 4096, .out_bytes = 4096});
  const std::vector<std::byte> bytes = pattern(1000, 1);
  std::size_t written = 0;
  while (true) {
    const Result<std::size_t> n = e.client.stream().write(bytes);
    if (n) {
      written += *n;
      ASSERT_LT(written, 20'000U);
    } else if (e.client.wait(Interest::writable, 100ms).status() == Status::timed_out) {
      break;  // both rings are full and nobody reads
    }
  }
  EXPECT_EQ(e.client.stream().write_all(bytes, 30ms).status(), Status::timed_out);
  EXPECT_EQ(e.client.flush(30ms).status(), Status::timed_out);
  std::vector<std::byte> buffer(512);
  std::size_t got = 0;
  while (got < written) {
    const Result<std::size_t> n = e.server.stream().read_some(buffer, kPatience);
    ASSERT_TRUE(n) << n.error().text;
    got += *n;
  }
  EXPECT_TRUE(e.client.flush(kPatience));
}

TEST_P(Streams, AndMessagesAreNotMixed) {
  Ends e = ends();
  ASSERT_TRUE(e.client.stream().write_all("bytes", kPatience));
  const Result<Message> message = e.server.receive(kPatience);
  EXPECT_EQ(message.status(), Status::invalid);
  ASSERT_TRUE(e.server.send("message", kPatience));
  std::vector<std::byte> buffer(10);
  EXPECT_EQ(e.client.stream().read_some(buffer, kPatience).status(), Status::invalid);
}

}  // namespace
}  // namespace slotwire::test
