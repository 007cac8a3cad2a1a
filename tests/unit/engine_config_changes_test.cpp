// What is said of a configuration that was read again.
#include "runtime/engine/config/config_changes.hpp"

#include <gtest/gtest.h>

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

TEST(ConfigChanges, KeysAreNamed) {
  EXPECT_EQ(changes("", "[memory]\nring = \"128KiB\"\n[wait]\nspin = \"3us\"\n"),
            (Changes{"memory.ring", "wait.spin"}));
  EXPECT_EQ(changes("[log]\nlevel = \"info\"\n", "[log]\nlevel = \"debug\"\n"), Changes{"log.level"});
  EXPECT_EQ(changes("", "[congestion]\nalgorithm = \"delay\"\n"), Changes{"congestion.algorithm"});
}

TEST(ConfigChanges, LinksAreNamedByTheirPeers) {
  EXPECT_EQ(changes(kListen + link("b"), kListen + link("b") + link("c")), Changes{"the [[link]] to 'c'"});
  EXPECT_EQ(changes(kListen + link("b") + link("c"), kListen + link("c")), Changes{"the [[link]] to 'b'"});
  EXPECT_EQ(changes(kListen + link("b"), kListen + link("b", "tcp = \"127.0.0.1:9\"\n")),
            Changes{"the [[link]] to 'b'"});
  EXPECT_EQ(changes(kListen + link("b") + link("c"), kListen + link("c") + link("b")), Changes{}) << "in another order";
}

}  // namespace
