// What is said of a configuration that was read again.
#include "runtime/engine/config/config_changes.hpp"

#include <gtest/gtest.h>

#include <set>

namespace {
using namespace slotwire::engine;
using Changes = std::vector<std::string>;

Changes changes(const std::string& before, const std::string& after) {
  const std::string node = "[node]\nname = \"a\"\n";
  return changes_for_a_restart(parse_config(node + before, "test.toml"), parse_config(node + after, "test.toml"));
}

std::string link(const std::string& peer, const std::string& more = "") {
  return "[[link]]\npeer = \"" + peer + "\"\ncarrier = \"tcp\"\ndial = false\n" + more;
}
const std::string kListen = "[listen]\ncontrol = \"127.0.0.1:7400\"\ntcp = \"127.0.0.1:7402\"\n";

TEST(ConfigChanges, NoneWhereNothingChanged) {
  EXPECT_EQ(changes("", ""), Changes{});
  EXPECT_EQ(changes(kListen + link("b"), kListen + link("b")), Changes{});
}

TEST(ConfigChanges, WhatAReloadTakesUpIsLeftOut) {
  EXPECT_EQ(changes("", "[[service]]\nname = \"echo\"\nnodes = [\"b\"]\n"), Changes{});
  EXPECT_EQ(changes("", "[[allow]]\naction = \"connect\"\nservice = \"*\"\nusers = [\"*\"]\n"), Changes{});
}

TEST(ConfigChanges, LimitsOfUsersAndPeersAreTakenUpAndSizesOfTablesAreNot) {
  const std::string node = "[node]\nname = \"a\"\n";
  Config running = parse_config(node, "test.toml");
  const Config read = parse_config(
      node + "[limits]\nslots = 2000\nslots_per_user = 50\nslots_per_peer = 20\nlink_down = \"3s\"\n", "test.toml");
  EXPECT_EQ(changes_for_a_restart(running, read), Changes{"limits.slots changed"});
  const Changes taken = take_live_keys(running, read);
  EXPECT_EQ((std::set<std::string>{taken.begin(), taken.end()}),
            (std::set<std::string>{"limits.link_down", "limits.slots_per_peer", "limits.slots_per_user"}));
  EXPECT_EQ(running.limits.slots_per_user, 50U);
  EXPECT_EQ(running.limits.slots_per_peer, 20U);
  EXPECT_EQ(running.limits.link_down, std::chrono::seconds(3));
  EXPECT_EQ(running.limits.slots, 4096U) << "the table has the size that it was made with";
  EXPECT_EQ(take_live_keys(running, read), Changes{});
}

TEST(ConfigChanges, KeysOfTheDirectoryAreTakenUpAndSaid) {
  const std::string node = "[node]\nname = \"a\"\n";
  Config running = parse_config(node, "test.toml");
  const Config read = parse_config(node + "[directory]\nservices = 7\n", "test.toml");
  EXPECT_EQ(changes_for_a_restart(running, read), Changes{});
  EXPECT_EQ(take_live_keys(running, read), Changes{"directory.services"});
  EXPECT_EQ(take_live_keys(running, read), Changes{}) << "it is said once";
}

TEST(ConfigChanges, KeysAreNamed) {
  EXPECT_EQ(changes("", "[memory]\nring = \"128KiB\"\n[wait]\nspin = \"3us\"\n"),
            (Changes{"memory.ring changed", "wait.spin changed"}));
  EXPECT_EQ(changes("[log]\nlevel = \"info\"\n", "[log]\nlevel = \"debug\"\n"), Changes{"log.level changed"});
  EXPECT_EQ(changes("", "[congestion]\nalgorithm = \"delay\"\n"), Changes{"congestion.algorithm changed"});
}

TEST(ConfigChanges, LinksAreNamedByTheirPeers) {
  EXPECT_EQ(changes(kListen + link("b"), kListen + link("b") + link("c")), Changes{"the [[link]] to 'c' was added"});
  EXPECT_EQ(changes(kListen + link("b") + link("c"), kListen + link("c")), Changes{"the [[link]] to 'b' was removed"});
  EXPECT_EQ(changes(kListen + link("b"), kListen + link("b", "tcp = \"127.0.0.1:9\"\n")),
            Changes{"the [[link]] to 'b' changed"});
  EXPECT_EQ(changes(kListen + link("b") + link("c"), kListen + link("c") + link("b")), Changes{}) << "in another order";
}

}  // namespace
