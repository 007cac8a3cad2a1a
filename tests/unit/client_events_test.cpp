// Events of slotwired that are handled while something else is waited for: the context's descriptor still tells of
// them.
#include <gtest/gtest.h>

#include "client_support.hpp"

namespace slotwire::test {
namespace {

class Events : public PlayedSession {
 protected:
  bool is_readable() const {
    pollfd now{sw_context_fd(context_), POLLIN, 0};
    return ::poll(&now, 1, 0) == 1;
  }
  /// Somebody connects to "s".
  void say_accepted() {
    const std::vector<int> fds = engine_.slot();
    const Json event = {{"ev", "accepted"},
                        {"slot", 6},
                        {"local", kLocal + 1},
                        {"in_order", FakeEngine::kOrder},
                        {"out_order", FakeEngine::kOrder},
                        {"service", "s"},
                        {"direct", false},
                        {"link_up", true},
                        {"peer", {{"node", "n"}, {"name", "p"}, {"pid", 1}, {"uid", 0}}}};
    ASSERT_TRUE(peer_->send(event.dump(), {fds[0], fds[1], fds[2]}));
  }
  /// The context's descriptor is readable, one connection can be accepted, and then it is readable no more.
  void expect_one_to_accept() {
    EXPECT_TRUE(is_readable());
    sw_connection* accepted = nullptr;
    EXPECT_EQ(sw_accept(service_, 0, &accepted), SW_OK);
    EXPECT_EQ(sw_accept(service_, 0, &accepted), SW_AGAIN);
    EXPECT_FALSE(is_readable());
  }
};

/// Looks that find nothing, as many as it takes for one to look at the control socket too.
constexpr int kManyLooks = 1000;

TEST_F(Events, AreToldAfterLooksAtAStream) {
  sw_connection* const c = connect();
  ASSERT_FALSE(is_readable());
  say_accepted();
  for (int i = 0; i < kManyLooks; ++i) {
    const void* data = nullptr;
    std::size_t length = 0;
    ASSERT_EQ(sw_peek_stream(c, &data, &length), SW_AGAIN);
  }
  expect_one_to_accept();
}

TEST_F(Events, AreToldAfterAWait) {
  sw_connection* const c = connect();
  say_accepted();
  EXPECT_EQ(sw_wait(c, SW_READABLE, 1), SW_TIMED_OUT);
  expect_one_to_accept();
}

TEST_F(Events, AreToldAfterAWaitForAnotherService) {
  sw_service* other = nullptr;
  std::thread playing([&] { answer(hear("serve")); });
  const int serving = sw_serve(context_, "u", nullptr, &other);
  playing.join();
  ASSERT_EQ(serving, SW_OK) << sw_last_error();
  say_accepted();
  sw_connection* none = nullptr;
  EXPECT_EQ(sw_accept(other, 1, &none), SW_TIMED_OUT);
  EXPECT_TRUE(is_readable());
  EXPECT_EQ(sw_accept(other, 0, &none), SW_AGAIN);
  expect_one_to_accept();
}

TEST_F(Events, AreToldByThePollerAfterAWait) {
  sw_connection* const c = connect();
  sw_poller* poller = nullptr;
  ASSERT_EQ(sw_poller_create(context_, &poller), SW_OK);
  say_accepted();
  EXPECT_EQ(sw_wait(c, SW_READABLE, 1), SW_TIMED_OUT);
  sw_ready ready{};
  std::size_t count = 1;
  EXPECT_EQ(sw_poller_wait(poller, &ready, 1, kPatienceMs, &count), SW_OK);
  EXPECT_EQ(count, 0U);
  EXPECT_FALSE(is_readable()) << "the poller has told of it";
  EXPECT_EQ(sw_poller_wait(poller, &ready, 1, 0, &count), SW_AGAIN);
  sw_poller_destroy(poller);
}

}  // namespace
}  // namespace slotwire::test
