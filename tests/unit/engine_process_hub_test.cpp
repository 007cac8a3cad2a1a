// What requests cost their user: the time that they take, whatever they are.
#include "runtime/engine/sessions/process_hub.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <functional>
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
  void on_request(Client&, const control::RequestPacket&, std::vector<slot::Fd>&) override {
    ++served;
    timeline.advance(each_us);
    if (act) act();
  }
  sim::Timeline& timeline;
  std::uint64_t each_us = 0;
  int served = 0;
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
  const std::uint64_t tokens = rooms.config.limits.requests_per_user;
  // The bucket was full, so the first second has twice the tokens.
  const int slow = served_in_a_second(40 * kTokenUs);
  EXPECT_LE(static_cast<std::uint64_t>(slow), (2 * tokens / 40) + 2);
  const int again = served_in_a_second(40 * kTokenUs);
  EXPECT_LE(static_cast<std::uint64_t>(again), (tokens / 40) + 2) << "a user gets a bounded part of the thread's time";
  EXPECT_GE(again, 1);
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
