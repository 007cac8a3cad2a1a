// Messages: every size, order, back-pressure, loans, releases.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <deque>

#include "ends.hpp"

namespace slotwire::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kRing = 64 * 1024;
constexpr std::size_t kRecordHeader = 16;

class Messages : public EveryTopology {};
INSTANTIATE_TEST_SUITE_P(Node, Messages, every_topology(), topology_name);

TEST_P(Messages, OfEverySizeComeBackAsTheyWere) {
  ServerThread server(server_node().socket(), "svc", [](Request& request) { request.reply(request.data()); },
                      {.long_answer = kPatience});
  Result<Context> context = Context::open({.socket = client_node().socket(), .name = "client"});
  ASSERT_TRUE(context) << context.error().text;
  Result<Connection> connection = context->connect("svc", kPatience, {.in_bytes = kRing, .out_bytes = kRing});
  ASSERT_TRUE(connection) << connection.error().text;
  const std::size_t most = kRing - kRecordHeader;
  const std::size_t sizes[] = {0,
                               1,
                               47,
                               48,
                               49,
                               111,
                               112,
                               113,
                               4096,
                               most / 4 - 1,
                               most / 4,
                               most / 4 + 1,
                               most - 64,
                               most - 1,
                               most,
                               most + 1,
                               kRing,
                               kRing + 1,
                               3 * kRing + 17,
                               1U << 20,
                               8U << 20};
  std::uint64_t seed = 0;
  for (const std::size_t size : sizes) {
    const std::vector<std::byte> sent = pattern(size, ++seed);
    const Result<Message> reply = connection->call(1, sent, kPatience);
    ASSERT_TRUE(reply) << size << " bytes: " << reply.error().text;
    EXPECT_TRUE(same(reply->data(), sent)) << size << " bytes";
  }
}

TEST_P(Messages, KeepTheirOrderAndFillTheRingBothWays) {
  Ends e = ends({.in_bytes = 4096, .out_bytes = 4096});
  // Many times round a small ring, in both directions at once, with lengths that end everywhere in a line.
  constexpr std::uint32_t kMessages = 20000;
  struct Way {
    Connection& from;
    Connection& to;
    std::uint32_t sent = 0, received = 0;
  };
  Way ways[] = {{e.client, e.server}, {e.server, e.client}};
  const auto length_of = [](std::uint32_t i) { return 4 + ((i * 7919U) % 300U); };
  while (ways[0].received < kMessages || ways[1].received < kMessages) {
    for (Way& way : ways) {
      while (way.sent < kMessages) {
        std::vector<std::byte> bytes = pattern(length_of(way.sent), way.sent);
        std::memcpy(bytes.data(), &way.sent, sizeof way.sent);
        const Result<void> sent = way.from.send(bytes, Deadline::now());
        if (sent.status() == Status::again) break;
        ASSERT_TRUE(sent) << sent.error().text;
        ++way.sent;
      }
    }
    for (Way& way : ways) {
      if (way.received == way.sent) continue;
      const Result<Message> message = way.to.receive(kPatience);
      ASSERT_TRUE(message) << message.error().text;
      std::uint32_t number = 0;
      ASSERT_EQ(message->size(), length_of(way.received));
      std::memcpy(&number, message->data().data(), sizeof number);
      ASSERT_EQ(number, way.received);
      const std::vector<std::byte> whole = pattern(message->size(), number);
      ASSERT_TRUE(same(message->data().subspan(4), std::span(whole).subspan(4)));
      ++way.received;
    }
  }
}

TEST_P(Messages, SayAgainWhenTheRingIsFullAndWritableWhenItIsNot) {
  Ends e = ends({.in_bytes = 4096, .out_bytes = 4096});
  const std::vector<std::byte> bytes = pattern(48, 1);
  std::size_t sent = 0;
  // Over a link the peer's ring fills as well; then nothing moves any more.
  while (true) {
    if (e.client.send(bytes, Deadline::now())) {
      ++sent;
      ASSERT_LE(sent, 2U * 64);
      continue;
    }
    if (sent >= (GetParam().two_nodes || GetParam().strict ? 128U : 64U)) break;
    ASSERT_TRUE(e.client.wait(Interest::writable, kPatience));
  }
  EXPECT_EQ(e.client.send(bytes, Deadline::now()).status(), Status::again);
  EXPECT_EQ(e.client.wait(Interest::writable, 30ms).status(), Status::timed_out);
  EXPECT_EQ(e.client.send(bytes, 30ms).status(), Status::timed_out);
  // Half of what is there goes: there is room again, and the sender is told.
  for (std::size_t i = 0; i < sent / 2; ++i) ASSERT_TRUE(e.server.receive(kPatience));
  EXPECT_TRUE(e.client.wait(Interest::writable, kPatience));
  EXPECT_TRUE(e.client.send(bytes, kPatience));
  for (std::size_t i = 0; i < sent - sent / 2 + 1; ++i) ASSERT_TRUE(e.server.receive(kPatience)) << i;
  EXPECT_EQ(e.server.receive(Deadline::now()).status(), Status::again);
}

TEST_P(Messages, GoInBatchesOfWhatFits) {
  Ends e = ends({.in_bytes = 8192, .out_bytes = 8192});
  constexpr std::uint32_t kMessages = 5000;
  std::uint32_t sent = 0;
  std::uint32_t received = 0;
  std::array<Message, 7> into;
  while (received < kMessages) {
    std::vector<std::vector<std::byte>> bytes;
    for (std::uint32_t i = sent; i < kMessages && i < sent + 150; ++i) bytes.push_back(pattern((i * 7) % 200, i));
    const std::vector<Data> batch(bytes.begin(), bytes.end());
    const Result<std::size_t> went = e.client.send_batch(batch);
    if (went) {
      ASSERT_LE(*went, batch.size());
      sent += static_cast<std::uint32_t>(*went);
    } else {
      ASSERT_EQ(went.status(), Status::again) << went.error().text;
    }
    const Result<std::size_t> came = e.server.receive_batch(into);
    if (!came) {
      ASSERT_EQ(came.status(), Status::again) << came.error().text;
      if (received < sent) {
        ASSERT_TRUE(e.server.wait(Interest::readable, kPatience));
      }
      continue;
    }
    for (std::size_t i = 0; i < *came; ++i) {
      ASSERT_TRUE(same(into[i].data(), pattern((received * 7) % 200, received))) << received;
      ++received;
    }
    if (received % 2 == 0) into[0].release();  // one that was released before is no harm
    e.server.release(std::span(into).first(*came));
  }
  EXPECT_EQ(sent, kMessages);
  EXPECT_EQ(*e.client.send_batch({}), 0U);
}

TEST_P(Messages, OfABatchThatNeverFitsAreAnError) {
  Ends e = ends({.in_bytes = 4096, .out_bytes = 4096});
  const std::vector<std::byte> large = pattern(5000, 1);
  const std::vector<Data> batch{Data(std::string_view("first")), Data(large)};
  EXPECT_EQ(*e.client.send_batch(batch), 1U);
  EXPECT_EQ(e.client.send_batch(std::span(batch).subspan(1)).status(), Status::too_large);
  EXPECT_EQ(e.server.receive(kPatience)->text(), "first");
}

TEST_P(Messages, AreWrittenInPlaceByLoans) {
  Ends e = ends();
  for (std::uint32_t i = 0; i < 2000; ++i) {
    Result<Loan> loan = e.client.loan(500);
    ASSERT_TRUE(loan) << loan.error().text;
    ASSERT_EQ(loan->data().size(), 500U);
    if (i % 3 == 0) continue;  // given back: nothing is sent
    EXPECT_EQ(e.client.send("x", Deadline::now()).status(), Status::busy);
    const std::size_t size = i % 500;
    const std::vector<std::byte> bytes = pattern(size, i);
    std::copy(bytes.begin(), bytes.end(), loan->data().begin());
    EXPECT_EQ(loan->commit(501).status(), Status::invalid);
    ASSERT_TRUE(loan->commit(size));
    EXPECT_EQ(loan->commit(size).status(), Status::invalid);
    const Result<Message> message = e.server.receive(kPatience);
    ASSERT_TRUE(message) << message.error().text;
    EXPECT_TRUE(same(message->data(), bytes));
  }
  EXPECT_EQ(e.client.loan(std::size_t{1} << 30).status(), Status::too_large);
}

TEST_P(Messages, AreReleasedInAnyOrder) {
  Ends e = ends({.in_bytes = 8192, .out_bytes = 8192});
  std::deque<std::pair<std::uint32_t, Message>> held;
  std::uint32_t sent = 0;
  std::uint32_t received = 0;
  constexpr std::uint32_t kMessages = 5000;
  std::uint64_t dice = 1;
  while (received < kMessages) {
    while (sent < kMessages && e.client.send(pattern(40 + (sent % 100), sent), Deadline::now())) ++sent;
    Result<Message> message = e.server.receive(Deadline::now());
    if (message) {
      held.emplace_back(received++, *std::move(message));
    } else if (!held.empty()) {
      held.pop_front();  // the room of all that came after the first is held with it
    } else if (received < sent) {
      ASSERT_TRUE(e.server.wait(Interest::readable, kPatience));
    } else {
      ASSERT_TRUE(e.client.wait(Interest::writable, kPatience));
    }
    if (held.size() >= 20) {
      dice = (dice * 6364136223846793005U) + 1442695040888963407U;
      const auto at = held.begin() + static_cast<std::ptrdiff_t>((dice >> 33) % held.size());
      // Its bytes have stayed what they were, whatever was released before it.
      ASSERT_TRUE(same(at->second.data(), pattern(40 + (at->first % 100), at->first)));
      held.erase(at);
    }
  }
}

TEST_P(Messages, OfABatchAreReleasedOneByOneInAnyOrder) {
  Ends e = ends({.in_bytes = 8192});
  int sent = 0, taken = 0;
  std::vector<Message> kept;
  while (taken < 2000) {
    ASSERT_TRUE(eventually([&] {
      while (e.client.send(std::to_string(sent), Deadline::now())) ++sent;
      return e.server.wait(Interest::readable, Deadline::now()).ok();
    })) << taken
        << " of " << sent << " were taken";
    std::vector<Message> some(200);
    const Result<std::size_t> received = e.server.receive_batch(some);
    ASSERT_TRUE(received) << received.error().text;
    some.resize(*received);
    for (const Message& message : some) EXPECT_EQ(message.text(), std::to_string(taken++));
    for (const Message& old : kept) EXPECT_EQ(old.text(), std::to_string(taken - static_cast<int>(*received) - 1));
    // The last one is kept until the next batch is there: those before it must make room all the same. The others go
    // in some order, each by itself.
    kept.clear();
    kept.push_back(std::move(some.back()));
    for (std::size_t i = 0; i < some.size(); ++i) some[(i * 7) % some.size()].release();
    for (Message& message : some) message.release();
  }
}

TEST_P(Messages, ThatNobodyTakesDoNotKeepTheConnectionFromClosing) {
  Ends e = ends();
  ASSERT_TRUE(e.client.send("one", kPatience));
  ASSERT_TRUE(e.client.send("two", kPatience));
  e.client.close();
  const Result<Message> one = e.server.receive(kPatience);
  ASSERT_TRUE(one) << one.error().text;
  EXPECT_EQ(one->text(), "one");
  const Result<Message> two = e.server.receive(kPatience);
  ASSERT_TRUE(two) << two.error().text;
  EXPECT_EQ(two->text(), "two");
  const Result<Message> end = e.server.receive(kPatience);
  EXPECT_EQ(end.status(), Status::peer_closed) << end.error().text;
  EXPECT_EQ(e.server.send("late", kPatience).status(), Status::peer_closed);
}

TEST_P(Messages, KnowTheirPeer) {
  Ends e = ends({.in_bytes = 4096, .out_bytes = 8192});
  const Result<Peer> server = e.client.peer();
  ASSERT_TRUE(server);
  EXPECT_EQ(server->service, "svc");
  EXPECT_EQ(server->name, "server");
  EXPECT_EQ(server->node, server_node().name());
  EXPECT_EQ(server->pid, static_cast<std::uint32_t>(::getpid()));
  EXPECT_EQ(server->uid, ::getuid());
  EXPECT_EQ(server->direct, !GetParam().two_nodes && !GetParam().strict);
  EXPECT_TRUE(server->link_up);
  const Result<Peer> client = e.server.peer();
  ASSERT_TRUE(client);
  EXPECT_EQ(client->name, "client");
  EXPECT_EQ(client->node, client_node().name());
  EXPECT_EQ(e.client_context.node(), client_node().name());
}

TEST_P(Messages, LongerThanTheReceiverTakesBreakTheConnection) {
  Result<Context> client_context = Context::open({.socket = client_node().socket()});
  Result<Context> server_context = Context::open({.socket = server_node().socket(), .max_message = 100'000});
  ASSERT_TRUE(client_context && server_context);
  Result<Service> service = server_context->serve("svc");
  ASSERT_TRUE(service) << service.error().text;
  Result<Connection> client = client_context->connect("svc", kPatience, {.in_bytes = kRing, .out_bytes = kRing});
  ASSERT_TRUE(client) << client.error().text;
  Result<Connection> server = service->accept(kPatience);
  ASSERT_TRUE(server);
  EXPECT_EQ(client->send(pattern(200'000, 1), Deadline::now()).status(), Status::too_large);
  std::thread sender([&] {
    ASSERT_TRUE(client_context->adopt());
    (void)client->send(pattern(200'000, 1), 100ms);
  });
  const Result<Message> message = server->receive(kPatience);
  EXPECT_EQ(message.status(), Status::too_large) << (message ? "" : message.error().text);
  sender.join();
  ASSERT_TRUE(client_context->adopt());
}

}  // namespace
}  // namespace slotwire::test
