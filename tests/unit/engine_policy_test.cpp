// Who may serve and connect.
#include "runtime/engine/services/policy.hpp"

#include <grp.h>
#include <gtest/gtest.h>

#include <array>

namespace slotwire::engine {
namespace {

constexpr uid_t kOwn = 4242;
constexpr uid_t kStranger = 5555;
constexpr std::array<gid_t, 1> kNoGroups{5555};

Policy policy(const std::string& rules) {
  return Policy(parse_config("node.name = \"b\"\n" + rules, "test.toml"), kOwn);
}

TEST(EnginePolicy, WithoutRulesRootAndTheOwnUserAndLinkedNodesMay) {
  const Policy p = policy("");
  EXPECT_TRUE(p.may_serve(0, kNoGroups, "app").allowed);
  EXPECT_TRUE(p.may_serve(kOwn, kNoGroups, "app").allowed);
  EXPECT_TRUE(p.may_connect(kOwn, kNoGroups, "app").allowed);
  EXPECT_TRUE(p.may_connect_remote("a", "app").allowed);
  EXPECT_EQ(p.may_serve(0, kNoGroups, "app").isolation, Isolation::shared);
  for (const auto& refused : {p.may_serve(kStranger, kNoGroups, "app"), p.may_connect(kStranger, kNoGroups, "app")}) {
    EXPECT_FALSE(refused.allowed);
    EXPECT_NE(refused.reason.find("user 5555"), std::string::npos) << refused.reason;
    EXPECT_NE(refused.reason.find("add a rule to test.toml"), std::string::npos) << refused.reason;
  }
}

TEST(EnginePolicy, WithRulesOnlyTheyAllowAndNotEvenRootIsAnException) {
  const Policy p = policy("[[allow]]\naction = \"serve\"\nservice = \"app/*\"\nusers = [33]\n");
  const auto allowed = p.may_serve(33, kNoGroups, "app/x");
  EXPECT_TRUE(allowed.allowed);
  EXPECT_EQ(allowed.rule_line, 2U);
  EXPECT_NE(allowed.reason.find("test.toml:2"), std::string::npos) << allowed.reason;
  EXPECT_FALSE(p.may_serve(33, kNoGroups, "other").allowed) << "another service";
  EXPECT_FALSE(p.may_connect(33, kNoGroups, "app/x").allowed) << "another action";
  EXPECT_FALSE(p.may_serve(0, kNoGroups, "app/x").allowed) << "root";
  EXPECT_FALSE(p.may_serve(kOwn, kNoGroups, "app/x").allowed) << "own user";
  EXPECT_FALSE(p.may_connect_remote("a", "app/x").allowed) << "a node";
  EXPECT_NE(p.may_connect_remote("a", "app/x").reason.find("node 'a' may not connect to service 'app/x'"),
            std::string::npos);
}

TEST(EnginePolicy, AnyOfAProcessesGroupsWillDo) {
  const Policy p = policy("[[allow]]\naction = \"connect\"\nservice = \"*\"\ngroups = [7]\n");
  const std::array<gid_t, 3> member{1, 2, 7};
  const std::array<gid_t, 2> other{1, 2};
  EXPECT_TRUE(p.may_connect(kStranger, member, "app").allowed);
  EXPECT_FALSE(p.may_connect(kStranger, other, "app").allowed);
  EXPECT_FALSE(p.may_connect(7, other, "app").allowed) << "a user's number is no group's";
}

TEST(EnginePolicy, NodesAndUsersAreApart) {
  const Policy p = policy(
      "[[allow]]\naction = \"connect\"\nservice = \"x\"\nnodes = [\"a\"]\n"
      "[[allow]]\naction = \"connect\"\nservice = \"y\"\nnodes = [\"*\"]\n"
      "[[allow]]\naction = \"connect\"\nservice = \"z\"\nusers = [\"*\"]\n");
  EXPECT_TRUE(p.may_connect_remote("a", "x").allowed);
  EXPECT_FALSE(p.may_connect_remote("c", "x").allowed);
  EXPECT_TRUE(p.may_connect_remote("c", "y").allowed);
  EXPECT_FALSE(p.may_connect_remote("c", "z").allowed) << "users = * means local users";
  EXPECT_TRUE(p.may_connect(kStranger, kNoGroups, "z").allowed);
  EXPECT_FALSE(p.may_connect(kStranger, kNoGroups, "y").allowed) << "nodes = * means nodes";
}

TEST(EnginePolicy, TheFirstRegionRuleThatNamesARegionDecidesWhoOpensItAndHow) {
  const Policy p = policy(
      "[[region]]\nname = \"prices-*\"\nisolation = \"strict\"\nusers = [33]\ngroups = [44]\n"
      "[[region]]\nname = \"*\"\nusers = [\"*\"]\n");
  const auto opened = p.may_open_region(33, kNoGroups, "prices-eur");
  EXPECT_TRUE(opened.allowed);
  EXPECT_EQ(opened.isolation, Isolation::strict);
  EXPECT_TRUE(p.may_open_region(7, std::array<gid_t, 1>{44}, "prices-eur").allowed);
  const auto refused = p.may_open_region(kStranger, kNoGroups, "prices-eur");
  EXPECT_FALSE(refused.allowed) << "the second rule fits too, and is not asked";
  EXPECT_NE(refused.reason.find("test.toml:2"), std::string::npos) << refused.reason;
  EXPECT_FALSE(p.may_open_region(0, kNoGroups, "prices-eur").allowed) << "root is no exception";
  EXPECT_EQ(p.may_open_region(kStranger, kNoGroups, "prices").isolation, Isolation::shared);
  EXPECT_TRUE(p.may_open_region(kStranger, kNoGroups, "prices").allowed);
  EXPECT_TRUE(policy("").may_open_region(kStranger, kNoGroups, "x").allowed) << "without rules each user has its own";
}

TEST(EnginePolicy, TheFirstRuleThatFitsDecidesTheIsolation) {
  const Policy p = policy(
      "[[allow]]\naction = \"connect\"\nservice = \"pay/*\"\nusers = [\"*\"]\nisolation = \"strict\"\n"
      "[[allow]]\naction = \"connect\"\nservice = \"*\"\nusers = [\"*\"]\n");
  EXPECT_EQ(p.may_connect(1, kNoGroups, "pay/card").isolation, Isolation::strict);
  EXPECT_EQ(p.may_connect(1, kNoGroups, "app").isolation, Isolation::shared);
  EXPECT_EQ(p.may_connect(1, kNoGroups, "app").rule_line, 7U);
}

TEST(EnginePolicy, NamesAreResolved) {
  const group* const root_group = getgrgid(0);
  ASSERT_NE(root_group, nullptr);
  const Policy p =
      policy(std::string("[[allow]]\naction = \"serve\"\nservice = \"*\"\nusers = [\"root\"]\ngroups = [\"") +
             root_group->gr_name + "\"]\n");
  const std::array<gid_t, 1> group_zero{0};
  EXPECT_TRUE(p.may_serve(0, kNoGroups, "app").allowed);
  EXPECT_TRUE(p.may_serve(kStranger, group_zero, "app").allowed);
  EXPECT_FALSE(p.may_serve(kStranger, kNoGroups, "app").allowed);
}

TEST(EnginePolicy, UnknownNamesAreAllReported) {
  try {
    policy(
        "[[allow]]\naction = \"serve\"\nservice = \"*\"\nusers = [\"no-such-user-1\", \"4294967295\"]\n"
        "[[allow]]\naction = \"serve\"\nservice = \"*\"\ngroups = [\"no-such-group-2\"]\n");
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    ASSERT_EQ(error.problems().size(), 3U) << error.what();
    EXPECT_NE(error.problems()[0].find("test.toml:2:1: key 'allow.users': 'no-such-user-1'"), std::string::npos)
        << error.what();
    EXPECT_NE(error.problems()[1].find("4294967295"), std::string::npos) << "the kernel's word for nobody at all";
    EXPECT_NE(error.problems()[2].find("key 'allow.groups': 'no-such-group-2'"), std::string::npos) << error.what();
  }
}

TEST(EnginePolicy, WhatAProcessAsksForIsPrintable) {
  EXPECT_NE(policy("").may_serve(kStranger, kNoGroups, "a\nb").reason.find("a\\x0ab"), std::string::npos);
}

}  // namespace
}  // namespace slotwire::engine
