// What requests cost their user: the time that they take, whatever they are.
#include "runtime/engine/sessions/process_hub.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "unit/engine_rooms.hpp"

namespace slotwire::engine {
namespace {

/// Requests take as long as the test says.
struct Slow final : RequestHandler {
  explicit Slow(sim::Timeline& timeline) : timeline(timeline) {}
  void on_request(Client& client, const control::RequestPacket&, std::vector<slot::Fd>&) override {
    ++served;
    users.push_back(client.who.uid);
    timeline.advance(each_us);
    if (act) act();
  }
  sim::Timeline& timeline;
  std::uint64_t each_us = 0;
  int served = 0;
  std::vector<uid_t> users{};  ///< of the requests, in their order
  std::function<void()> act{};
};

class Hub : public testing::Test {
 protected:
  static constexpr uid_t kAda = 60'001;

  Hub() {
    pipe = std::make_shared<sim::PacketPipe>(rooms.timeline);
    hub.add(pipe->engine_end(), Rooms::who(100, kAda));
  }
  /// Requests that are served of very many within a second.
  int served_in_a_second(std::uint64_t each_us) {
    handler.each_us = each_us;
    handler.served = 0;
    const std::uint64_t end = rooms.timeline.now_us() + 1'000'000;
    while (rooms.timeline.now_us() < end) {
      pipe->send(control::encode_request(0, control::Unserve{"x"}));
      rooms.loop.run();
      rooms.timeline.advance(10);
    }
    return handler.served;
  }

  Rooms rooms{room_config("")};
  Slow handler{rooms.timeline};
  ProcessHub hub{rooms.config, rooms.loop, rooms.log, rooms.sessions, handler};
  std::shared_ptr<sim::PacketPipe> pipe;
};

TEST_F(Hub, ARequestThatTakesLongCostsAsMuchAsManyQuickOnes) {
  UserAccounts& users = rooms.sessions.users();
  const std::uint64_t tokens = rooms.config.limits.requests_per_user;
  int served = 0;
  handler.each_us = 40 * kTokenUs;
  while (users.wait_us(kAda, rooms.timeline.now_us()) == 0) {
    pipe->send(control::encode_request(0, control::Unserve{"x"}));
    rooms.loop.run();
    ++served;
  }
  // A second's tokens at once, and those of the time that they took.
  EXPECT_GE(static_cast<std::uint64_t>(served), tokens / 40);
  EXPECT_LE(static_cast<std::uint64_t>(served), (2 * tokens / 40) + 2);
}

TEST_F(Hub, AUserAloneIsServedBeyondItsTokens) {
  constexpr int kRequestsOfASecond = 1000;
  EXPECT_GE(served_in_a_second(1000), kRequestsOfASecond * 9 / 10);
  EXPECT_NE(rooms.sessions.users().wait_us(kAda, rooms.timeline.now_us()), 0U) << "it has used up its tokens";
  EXPECT_GE(served_in_a_second(1000), kRequestsOfASecond * 9 / 10) << "and nobody else wants anything";
}

TEST_F(Hub, WhoHasTokensIsServedBeforeAllWhoHaveNone) {
  constexpr uid_t kBob = 60'002;
  constexpr int kClients = 20, kBobs = 50;
  std::vector<std::shared_ptr<sim::PacketPipe>> flood;
  for (int i = 0; i < kClients; ++i) {
    flood.push_back(std::make_shared<sim::PacketPipe>(rooms.timeline));
    hub.add(flood.back()->engine_end(), Rooms::who(200 + i, kAda));
  }
  const auto bob = std::make_shared<sim::PacketPipe>(rooms.timeline);
  hub.add(bob->engine_end(), Rooms::who(300, kBob));
  served_in_a_second(1000);
  served_in_a_second(1000);
  handler.each_us = 200;
  handler.users.clear();
  std::size_t before = 0;
  for (int i = 0; i < kBobs; ++i) {
    for (const auto& one : flood) one->send(control::encode_request(0, control::Unserve{"x"}));
    rooms.loop.run();
    bob->send(control::encode_request(0, control::Unserve{"x"}));
    const std::size_t asked = handler.users.size();
    while (std::count(handler.users.begin(), handler.users.end(), kBob) <= i) rooms.loop.run();
    before += handler.users.size() - asked - 1;
  }
  EXPECT_LE(before, static_cast<std::size_t>(kBobs)) << "at most one turn of the flood is before each request";
  const auto adas = [&] { return std::count(handler.users.begin(), handler.users.end(), kAda); };
  const auto so_far = adas();
  for (int i = 0; i < 2 * kClients; ++i) rooms.loop.run();
  EXPECT_GE(adas(), so_far + kClients) << "the flood goes on when nobody else asks";
  EXPECT_GT(rooms.sessions.users().counters().delayed, 0U);
}

TEST_F(Hub, AQuickRequestCostsWhatItsKindCosts) {
  handler.each_us = 0;
  pipe->send(control::encode_request(0, control::Unserve{"x"}));
  rooms.loop.run();
  EXPECT_EQ(handler.served, 1);
  EXPECT_EQ(hub.clients(), 1U);
}

/// Whatever goes wrong in a request costs that request: its client gets an answer and may go on.
TEST_F(Hub, ARequestThatThrowsCostsItself) {
  const std::vector<std::function<void()>> throwing = {
      [] { throw std::runtime_error("a fault"); },
      [] { throw std::bad_alloc(); },
      [] { throw std::system_error(EMFILE, std::generic_category(), "no descriptor"); },
      [] {
        throw control::Refusal{"quota", "no more of them"};
      },
  };
  for (const auto& act : throwing) {
    handler.act = act;
    pipe->send(control::encode_request(7, control::Unserve{"x"}));
    rooms.loop.run();
    const std::optional<control::Packet> answer = pipe->receive();
    ASSERT_TRUE(answer);
    EXPECT_NE(answer->text.find("\"id\":7"), std::string::npos) << answer->text;
    EXPECT_NE(answer->text.find("error"), std::string::npos) << answer->text;
  }
  EXPECT_EQ(handler.served, static_cast<int>(throwing.size()));
  EXPECT_EQ(hub.clients(), 1U);
  EXPECT_FALSE(pipe->ended());
}

}  // namespace
}  // namespace slotwire::engine
