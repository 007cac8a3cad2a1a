// Who may leave its barrier out: both sides sleep for every message, and none is missed, whoever's kernel offers
// membarrier(2), and if it takes it back later.
#include "core/slot/barrier.hpp"

#include "forbid_membarrier.hpp"
#include "region_fixture.hpp"

namespace slotwire::blocks::test {
namespace {

constexpr std::uint64_t kMessages = 2'000;
constexpr slot::WaitPolicy kSleepAtOnce{.spin = std::chrono::nanoseconds(0), .yield = std::chrono::nanoseconds(0)};

enum class Refused { never, from_the_start, later };

struct Case {
  const char* name;
  Refused client, server;
};
void PrintTo(const Case& one, std::ostream* out) {
  *out << one.name;
}

class Barrier : public ::testing::TestWithParam<Case> {
 protected:
  std::string name_ = "barrier-" + std::to_string(::getpid());
};
INSTANTIATE_TEST_SUITE_P(Local, Barrier,
                         ::testing::Values(Case{"offered", Refused::never, Refused::never},
                                           Case{"refused_here", Refused::from_the_start, Refused::never},
                                           Case{"refused_there", Refused::never, Refused::from_the_start},
                                           Case{"taken_back_here", Refused::later, Refused::never},
                                           Case{"taken_back_on_both", Refused::later, Refused::later}),
                         [](const auto& info) { return std::string(info.param.name); });

/// One side of a ping-pong; 0 if every number came.
int ping_pong(const std::string& name, bool client, Refused refused) {
  if (refused == Refused::from_the_start) slotwire::test::forbid_membarrier();
  Region region(name);
  Publisher out(region, client ? "to" : "from", {.entries = 4, .wait = kSleepAtOnce});
  Subscriber in(region, client ? "from" : "to", {.wait = kSleepAtOnce});
  if (!out.wait_for_subscribers(1, eventually())) return 1;
  for (std::uint64_t i = 0; i < kMessages; ++i) {
    if (refused == Refused::later && i == kMessages / 2) slotwire::test::forbid_membarrier();
    if (client && publish_number(out, i) != Room::yes) return 2;
    Subscriber::View view;
    if (in.take(eventually(), view) != Subscriber::Look::taken || number_in(view) != i) return 3;
    in.release(view);
    if (!client && publish_number(out, i) != Room::yes) return 4;
  }
  return 0;
}

TEST_P(Barrier, NoWakeUpIsMissed) {
  if (!slot::heavy_barrier()) GTEST_SKIP() << "this kernel has no membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED)";
  const Case one = GetParam();
  const std::string name = name_;
  Process server([&](Process&) { return ping_pong(name, false, one.server); });
  Process client([&](Process&) { return ping_pong(name, true, one.client); });
  EXPECT_EQ(client.wait(), 0);
  EXPECT_EQ(server.wait(), 0);
}

TEST(BarrierCall, IsRefusedWhereItIsForbidden) {
  blocks::test::Process process([](blocks::test::Process&) {
    slotwire::test::forbid_membarrier();
    return slot::heavy_barrier() ? 1 : 0;
  });
  EXPECT_EQ(process.wait(), 0);
}

}  // namespace
}  // namespace slotwire::blocks::test
