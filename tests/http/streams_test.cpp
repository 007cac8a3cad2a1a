#include "core/http_stream/streams.hpp"

#include <gtest/gtest.h>

#include "http/pair.hpp"

namespace slotwire::http_stream {
namespace {

/// Streams at both ends of a session.
struct Ends {
  explicit Ends(StreamsOptions options = {}, ClientOptions client_options = {}, ServerOptions server_options = {},
                std::uint64_t one_way_us = 1'000)
      : pair(client_options, server_options, one_way_us) {
    pair.settle();
    client.emplace(pair.client, Role::client, options);
    server.emplace(*pair.session, Role::server, options);
  }
  bool run(std::uint64_t for_us, const std::function<bool()>& until = nullptr) {
    return pair.run(for_us, [&] {
      client->drive();
      server->drive();
      const bool done = until && until();
      client->drive();
      server->drive();
      pair.pump();
      return done;
    });
  }
  static std::string read_all(Streams& streams, StreamNumber stream) {
    std::string text;
    Bytes buffer(10'000);
    while (const std::size_t count = streams.read(stream, buffer)) text += text_of(std::span(buffer).first(count));
    return text;
  }
  static std::size_t count(Streams& streams, StreamEvent::Kind kind) {
    std::size_t n = 0;
    while (const auto event = streams.next_event()) n += event->kind == kind ? 1U : 0U;
    return n;
  }

  Pair pair;
  std::optional<Streams> client, server;
};

TEST(HttpStreams, AStreamCarriesBytesBothWaysAndEndsInHalves) {
  Ends ends;
  const StreamNumber stream = ends.client->open("echo").value();
  EXPECT_EQ(ends.client->write(stream, bytes_of("hello")), 5U);
  ends.client->finish(stream);
  ends.run(kSecond);
  const auto event = ends.server->next_event();
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->kind, StreamEvent::Kind::opened);
  EXPECT_EQ(ends.server->target(stream), "echo");
  EXPECT_EQ(Ends::read_all(*ends.server, stream), "hello");
  EXPECT_TRUE(ends.server->at_end(stream));
  EXPECT_EQ(ends.server->write(stream, bytes_of("goodbye")), 7U) << "the other direction goes on";
  ends.server->finish(stream);
  ends.run(kSecond);
  EXPECT_EQ(Ends::read_all(*ends.client, stream), "goodbye");
  EXPECT_TRUE(ends.client->at_end(stream));
  EXPECT_EQ(Ends::count(*ends.client, StreamEvent::Kind::finished), 1U);
  EXPECT_EQ(Ends::count(*ends.server, StreamEvent::Kind::finished), 1U);
  ends.client->release(stream);
  ends.server->release(stream);
  EXPECT_EQ(ends.client->count() + ends.server->count(), 0U);
}

TEST(HttpStreams, BothEndsOpenStreams) {
  Ends ends;
  const StreamNumber one = ends.client->open("a").value(), two = ends.server->open("b").value();
  EXPECT_EQ(one % 2, 1U);
  EXPECT_EQ(two % 2, 0U);
  ends.run(kSecond);
  EXPECT_EQ(ends.client->target(two), "b");
  EXPECT_EQ(ends.server->target(one), "a");
}

TEST(HttpStreams, AStreamThatIsNotReadStopsNeitherOthersNorDatagrams) {
  StreamsOptions options;
  options.window_bytes = 100'000;
  ServerOptions server;
  server.session.window_max = server.session.window_min;
  Ends ends(options, {}, server);
  std::vector<StreamNumber> stuck;
  for (int i = 0; i < 20; ++i) stuck.push_back(ends.client->open("unread").value());
  const StreamNumber live = ends.client->open("read").value();
  const Bytes block(50'000, std::byte{1});
  std::size_t written = 0, read = 0, datagrams = 0;
  const bool done = ends.run(60 * kSecond, [&] {
    for (const StreamNumber stream : stuck) ends.client->write(stream, block);
    written += ends.client->write(live, block);
    read += Ends::read_all(*ends.server, live).size();
    if (datagrams < 100) ends.client->send_datagram(bytes_of("datagram"));
    while (ends.server->receive_datagram()) ++datagrams;
    return read > 5'000'000 && datagrams >= 100;
  });
  EXPECT_TRUE(done) << read << " bytes, " << datagrams << " datagrams, " << written;
  EXPECT_FALSE(ends.server->failure().has_value());
}

TEST(HttpStreams, AReaderThatComesBackGetsEverything) {
  StreamsOptions options;
  options.window_bytes = 70'000;
  Ends ends(options);
  const StreamNumber stream = ends.client->open("slow").value();
  std::string sent;
  for (int i = 0; i < 10; ++i) {
    const std::string text(33'333, static_cast<char>('a' + i));
    sent += text.substr(0, ends.client->write(stream, bytes_of(text)));
    ends.run(kSecond);
  }
  EXPECT_GT(sent.size(), 300'000U) << "the reader's window and the writer's buffer";
  EXPECT_LT(sent.size(), 333'330U);
  std::string read;
  ends.run(10 * kSecond, [&] {
    read += Ends::read_all(*ends.server, stream);
    return read.size() == sent.size();
  });
  EXPECT_TRUE(read == sent) << read.size() << " of " << sent.size();
}

TEST(HttpStreams, AFrameOfALinkIsADatagram) {
  Ends ends;
  const Bytes frame(22 + 1'023 * 64, std::byte{7});
  EXPECT_LE(frame.size(), Streams::max_datagram(SessionOptions{}.max_message));
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(ends.client->send_datagram(frame));
  std::size_t received = 0;
  ends.run(kSecond, [&] {
    while (const auto datagram = ends.server->receive_datagram()) received += *datagram == frame ? 1U : 0U;
    return false;
  });
  EXPECT_EQ(received, 10U);
}

TEST(HttpStreams, DatagramsThatNobodyTakesAreDiscardedAndCounted) {
  StreamsOptions options;
  options.datagram_bytes = 10'000;
  Ends ends(options);
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(ends.client->send_datagram(Bytes(999)));
  ends.run(kSecond);
  EXPECT_EQ(ends.server->discarded_datagrams(), 10U);
}

TEST(HttpStreams, AResetEndsBothDirectionsAtOnce) {
  Ends ends;
  const StreamNumber stream = ends.client->open("x").value();
  ends.client->write(stream, Bytes(1'000));
  ends.run(kSecond);
  ends.server->reset(stream, ResetCode::no_target);
  ends.run(kSecond);
  EXPECT_EQ(ends.client->reset_code(stream), ResetCode::no_target);
  EXPECT_EQ(ends.client->write(stream, Bytes(10)), 0U);
  EXPECT_TRUE(ends.client->at_end(stream));
  EXPECT_EQ(Ends::count(*ends.client, StreamEvent::Kind::reset), 1U);
}

TEST(HttpStreams, StreamsAreLimitedAtBothEnds) {
  StreamsOptions few;
  few.max_streams = 3;
  Ends ends;
  ends.server.emplace(*ends.pair.session, Role::server, few);
  std::vector<StreamNumber> streams;
  for (int i = 0; i < 5; ++i) streams.push_back(ends.client->open("x").value());
  ends.run(kSecond);
  EXPECT_EQ(ends.server->count(), 3U);
  EXPECT_EQ(ends.client->reset_code(streams[3]), ResetCode::limit);
  EXPECT_EQ(ends.client->reset_code(streams[4]), ResetCode::limit);
  for (int i = 0; i < 251; ++i) EXPECT_TRUE(ends.client->open("x").ok());
  EXPECT_FALSE(ends.client->open("x").ok());
  EXPECT_FALSE(ends.client->open(std::string(2'000, 'x')).ok());
}

TEST(HttpStreams, APeerThatSendsBeyondAWindowOrNonsenseIsFailedAndNothingCrashes) {
  for (unsigned first = 0; first < 256; ++first) {
    Ends ends;
    Bytes message{static_cast<std::byte>(first)};
    message.resize(1 + first % 20, std::byte{3});
    ASSERT_TRUE(ends.pair.client.send(message));
    ends.run(20 * kMillisecond);
    if (first > 5) {
      EXPECT_TRUE(ends.server->failure().has_value()) << first;
    }
    if (first > 8) break;
  }
  Ends ends;
  const StreamNumber stream = ends.client->open("x").value();
  ends.run(20 * kMillisecond);
  for (int i = 0; i < 100; ++i) {
    Bytes data{std::byte{2}, std::byte{0}, std::byte{0}, std::byte{0}, static_cast<std::byte>(stream)};
    data.resize(8'000);
    ASSERT_TRUE(ends.pair.client.send(data));
  }
  ends.run(kSecond);
  ASSERT_TRUE(ends.server->failure().has_value());
  EXPECT_EQ(ends.server->failure()->code, CloseCode::protocol_error);
}

TEST(HttpStreams, WhenTheSessionEndsEveryStreamIsReset) {
  Ends ends;
  const StreamNumber stream = ends.client->open("x").value();
  ends.run(kSecond);
  ends.pair.session->close({CloseCode::done, "over"});
  ends.run(5 * kSecond);
  EXPECT_EQ(ends.client->reset_code(stream), ResetCode::failed);
  ASSERT_TRUE(ends.client->failure().has_value());
  EXPECT_EQ(ends.client->failure()->text, "over");
  EXPECT_FALSE(ends.client->open("y").ok());
}

/// A server's end of two sessions whose streams share `memory`.
struct Sharing {
  explicit Sharing(std::size_t bytes, StreamsOptions options = {}) : memory(bytes), hog(options), other(options) {
    hog.server.emplace(*hog.pair.session, Role::server, options, &memory);
    other.server.emplace(*other.pair.session, Role::server, options, &memory);
  }
  StreamMemory memory;
  Ends hog, other;
};

TEST(HttpStreamMemory, ASessionThatFillsItLeavesTheOthersWhatTheyNeed) {
  constexpr std::size_t kMemory = std::size_t{8} << 20U;
  StreamsOptions options;
  options.window_bytes = std::size_t{1} << 20U;
  Sharing ends(kMemory, options);
  const Bytes block(50'000, std::byte{1});
  std::vector<StreamNumber> streams;
  for (int i = 0; i < 200; ++i) streams.push_back(ends.hog.client->open("unread").value());
  std::size_t most = 0, dropped = 0;
  ends.hog.run(20 * kSecond, [&] {
    for (const StreamNumber stream : streams) ends.hog.client->write(stream, block);
    most = std::max(most, ends.memory.used());
    return false;
  });
  for (const StreamNumber stream : streams) {
    dropped += ends.hog.client->reset_code(stream) == ResetCode::limit ? 1U : 0U;
  }
  EXPECT_GT(most, kMemory / 4);
  EXPECT_LE(most, kMemory / 2);
  EXPECT_GT(dropped, 0U);
  EXPECT_EQ(ends.hog.server->refused_for_memory(), dropped);
  EXPECT_EQ(ends.memory.refused_streams, dropped);
  EXPECT_FALSE(ends.hog.server->failure().has_value()) << "what it has goes on";

  const StreamNumber live = ends.other.client->open("read").value();
  std::size_t read = 0;
  EXPECT_TRUE(ends.other.run(60 * kSecond, [&] {
    ends.other.client->write(live, block);
    read += Ends::read_all(*ends.other.server, live).size();
    return read > 5'000'000;
  })) << read;
}

TEST(HttpStreamMemory, AStreamWithoutMoreMemoryIsSlowerAndLosesNothing) {
  StreamsOptions options;
  options.window_bytes = options.write_bytes = std::size_t{1} << 20U;
  Sharing ends(300'000, options);
  const StreamNumber stream = ends.hog.client->open("x").value();
  std::string sent, echoed;
  for (int i = 0; sent.size() < 1'000'000; ++i) sent += std::to_string(i);
  std::size_t written = 0, answered = 0;
  std::string received;
  EXPECT_TRUE(ends.hog.run(60 * kSecond,
                           [&] {
                             written +=
                                 ends.hog.client->write(stream, bytes_of(std::string_view(sent).substr(written)));
                             received += Ends::read_all(*ends.hog.server, stream);
                             answered +=
                                 ends.hog.server->write(stream, bytes_of(std::string_view(received).substr(answered)));
                             echoed += Ends::read_all(*ends.hog.client, stream);
                             return echoed.size() == sent.size();
                           }))
      << received.size() << ' ' << echoed.size();
  EXPECT_EQ(received, sent);
  EXPECT_EQ(echoed, sent);
  EXPECT_GT(ends.memory.short_windows, 0U);
  EXPECT_LE(ends.memory.used(), ends.memory.limit());
}

TEST(HttpStreamMemory, WhatEndsGivesItBack) {
  Sharing ends(std::size_t{8} << 20U);
  const StreamNumber one = ends.hog.client->open("x").value(), two = ends.hog.client->open("x").value();
  ends.hog.run(kSecond);
  EXPECT_GT(ends.memory.used(), 0U);
  ends.hog.server->reset(one, ResetCode::failed);
  ends.hog.server->release(one);
  EXPECT_GT(ends.memory.used(), 0U);
  ends.hog.server->release(two);
  EXPECT_EQ(ends.memory.used(), 0U);
  EXPECT_TRUE(ends.hog.server->open("y").ok());
  EXPECT_GT(ends.memory.used(), 0U);
  ends.hog.server.reset();
  EXPECT_EQ(ends.memory.used(), 0U);
}

}  // namespace
}  // namespace slotwire::http_stream
