// Services: who serves what, in turn, within limits.
#include "runtime/engine/services/service_table.hpp"

#include <gtest/gtest.h>

#include "unit/engine_rooms.hpp"

namespace slotwire::engine {
namespace {

const auto kAnybody = [](std::uint32_t) { return true; };

TEST(ServiceTable, TakesTurnsAmongThoseThatAreReady) {
  const Config config = room_config();
  UserAccounts users(config, 0);
  ServiceTable table(config, users);
  for (const std::uint32_t session : {0U, 1U, 2U}) table.serve(session, 0, "orders", "somebody");
  table.serve(1, 0, "orders", "somebody");  // once more changes nothing
  std::vector<std::uint32_t> turns;
  for (int i = 0; i < 6; ++i) turns.push_back(table.next("orders", kAnybody).value());
  EXPECT_EQ(turns, (std::vector<std::uint32_t>{1, 2, 0, 1, 2, 0}));
  EXPECT_EQ(table.next("orders", [](std::uint32_t session) { return session == 2; }), 2U);
  EXPECT_FALSE(table.next("orders", [](std::uint32_t) { return false; }));
  EXPECT_FALSE(table.next("nothing", kAnybody));
}

TEST(ServiceTable, ForgetsAServiceWithItsLastSession) {
  const Config config = room_config();
  UserAccounts users(config, 0);
  ServiceTable table(config, users);
  table.serve(0, 0, "orders", "a");
  table.serve(1, 0, "orders", "b");
  table.serve(1, 0, "stock", "b");
  EXPECT_EQ(table.size(), 2U);
  table.unserve(0, "stock");
  table.forget(1);
  EXPECT_EQ(table.size(), 1U);
  EXPECT_EQ(table.next("orders", kAnybody), 0U);
  table.unserve(0, "orders");
  EXPECT_EQ(table.size(), 0U);
  EXPECT_TRUE(table.of(0).empty());
}

TEST(ServiceTable, HoldsItsLimits) {
  const Config config =
      parse_config("[node]\nname = \"left\"\n[limits]\nservices = 2\nservices_per_session = 1\n", "test");
  UserAccounts users(config, 0);
  ServiceTable table(config, users);
  table.serve(0, 0, "one", "a");
  EXPECT_EQ(refusal([&] { table.serve(0, 0, "two", "a"); }), "quota");
  table.serve(1, 0, "two", "b");
  EXPECT_EQ(refusal([&] { table.serve(2, 0, "three", "c"); }), "quota");
  table.serve(2, 0, "two", "c");
  EXPECT_EQ(table.size(), 2U);
}

}  // namespace
}  // namespace slotwire::engine
