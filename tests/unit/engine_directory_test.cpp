// The static directory: lookups, reloads, limits.
#include "runtime/engine/services/directory.hpp"

#include <gtest/gtest.h>

#include <optional>

#include "temporary_directory.hpp"

namespace slotwire::engine {
namespace {

using Nodes = std::vector<std::string>;

/// The answer of a directory that answers at once.
Whereabouts ask(Directory& directory, std::string_view service) {
  std::optional<Whereabouts> answer;
  int answers = 0;
  directory.lookup(service, [&](const Whereabouts& whereabouts) {
    answer = whereabouts;
    ++answers;
  });
  EXPECT_EQ(answers, 1);
  return answer.value_or(Whereabouts{});
}

class EngineDirectory : public testing::Test {
 protected:
  DirectoryConfig limits(std::uint32_t services = 100, std::uint32_t nodes = 3) const {
    return {(dir_.path() / "d.toml").string(), services, nodes};
  }
  void write(const std::string& text) const { dir_.write("d.toml", text); }

  test::TemporaryDirectory dir_;
};

TEST(EngineDirectoryStatic, AnswersFromTheConfiguration) {
  StaticDirectory directory({{"app", {"b", "a"}, false, {}}}, {"", 10, 10});
  EXPECT_EQ(ask(directory, "app").knowledge, Knowledge::known);
  EXPECT_EQ(ask(directory, "app").nodes, (Nodes{"b", "a"})) << "in the order written";
  EXPECT_FALSE(ask(directory, "app").spread);
  EXPECT_EQ(ask(directory, "ap").knowledge, Knowledge::none);
  EXPECT_TRUE(ask(directory, "ap").nodes.empty());
  EXPECT_EQ(ask(directory, "app").version, directory.version());
}

TEST_F(EngineDirectory, FileAddsToTheConfiguration) {
  write("[[service]]\nname = \"app\"\nnodes = [\"a\", \"c\"]\n[[service]]\nname = \"db\"\nnodes = [\"d\"]\n");
  StaticDirectory directory({{"app", {"b", "a"}, false, {}}}, limits());
  EXPECT_EQ(ask(directory, "app").nodes, (Nodes{"b", "a", "c"}));
  EXPECT_EQ(ask(directory, "db").nodes, (Nodes{"d"}));
  EXPECT_EQ(directory.size(), 2U);
}

TEST_F(EngineDirectory, SaysWhatIsInspected) {
  write(
      "[[service]]\nname = \"web\"\nnodes = [\"a\"]\ninspect = \"http\"\ninspect_refuses = true\n"
      "[[service]]\nname = \"db\"\nnodes = [\"a\"]\ninspect = \"redis\"\n");
  StaticDirectory directory({{.name = "db", .nodes = {"a"}, .at = {}, .inspect = inspect::Language::records}},
                            limits());
  EXPECT_EQ(ask(directory, "web").inspect, inspect::Language::http);
  EXPECT_TRUE(ask(directory, "web").inspect_refuses);
  EXPECT_EQ(ask(directory, "db").inspect, inspect::Language::records) << "the configuration's word counts";
  EXPECT_FALSE(ask(directory, "db").inspect_refuses);
}

TEST_F(EngineDirectory, ReloadTellsOnlyOfChanges) {
  write("[[service]]\nname = \"app\"\nnodes = [\"a\"]\n");
  StaticDirectory directory({}, limits());
  std::vector<std::uint64_t> told;
  directory.on_change([&](std::uint64_t version) { told.push_back(version); });
  ASSERT_TRUE(directory.reload().ok());
  EXPECT_TRUE(told.empty()) << "nothing is different";
  write("[[service]]\nname = \"app\"\nnodes = [\"b\"]\n");
  ASSERT_TRUE(directory.reload().ok());
  EXPECT_EQ(told, std::vector<std::uint64_t>{directory.version()});
  EXPECT_EQ(ask(directory, "app").nodes, (Nodes{"b"}));
  directory.on_change({});
  write("");
  ASSERT_TRUE(directory.reload().ok());
  EXPECT_EQ(told.size(), 1U);
  EXPECT_EQ(ask(directory, "app").knowledge, Knowledge::none);
}

TEST_F(EngineDirectory, ACallBackMaySetAnother) {
  write("");
  StaticDirectory directory({}, limits());
  int first = 0, second = 0;
  directory.on_change([&](std::uint64_t) {
    directory.on_change([&](std::uint64_t) { ++second; });
    ++first;
  });
  write("[[service]]\nname = \"app\"\nnodes = [\"a\"]\n");
  ASSERT_TRUE(directory.reload().ok());
  write("");
  ASSERT_TRUE(directory.reload().ok());
  EXPECT_EQ(first, 1);
  EXPECT_EQ(second, 1);
}

TEST_F(EngineDirectory, AWrongFileChangesNothing) {
  write("[[service]]\nname = \"app\"\nnodes = [\"a\"]\n");
  StaticDirectory directory({}, limits());
  const auto version = directory.version();
  write("[[service]]\nname = \"app\"\nnodes = 5\n");
  const auto result = directory.reload();
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.error().text.find("d.toml:3:9: key 'service.nodes'"), std::string::npos) << result.error().text;
  EXPECT_NE(result.error().text.find("stays as it was"), std::string::npos);
  EXPECT_EQ(directory.version(), version);
  EXPECT_EQ(ask(directory, "app").nodes, (Nodes{"a"}));
}

TEST_F(EngineDirectory, LimitsHold) {
  write("[[service]]\nname = \"a\"\nnodes = [\"a\"]\n[[service]]\nname = \"b\"\nnodes = [\"a\", \"b\"]\n");
  EXPECT_THROW(StaticDirectory({}, limits(1)), ConfigError);
  EXPECT_THROW(StaticDirectory({}, limits(2, 1)), ConfigError);
  EXPECT_NO_THROW(StaticDirectory({}, limits(2, 2)));
  write("[[service]]\nname = \"a\"\nnodes = [\"a\"]\n[[service]]\nname = \"a\"\nnodes = [\"b\"]\n");
  EXPECT_THROW(StaticDirectory({}, limits()), ConfigError) << "twice in one file";
}

TEST_F(EngineDirectory, AnAbsentFileIsAnErrorAtStart) {
  EXPECT_THROW(StaticDirectory({}, limits()), ConfigError);
}

TEST_F(EngineDirectory, ReplaceTakesNewServicesAndFile) {
  write("[[service]]\nname = \"app\"\nnodes = [\"a\"]\n");
  StaticDirectory directory({}, limits());
  ASSERT_TRUE(directory.replace({{"web", {"w"}, true, {}}}, {"", 10, 10}).ok());
  EXPECT_EQ(ask(directory, "app").knowledge, Knowledge::none);
  EXPECT_EQ(ask(directory, "web").nodes, (Nodes{"w"}));
  EXPECT_TRUE(ask(directory, "web").spread);
}

TEST_F(EngineDirectory, SaysWhichNodesHaveNoLink) {
  Config config;
  config.node.name = "web1";
  config.links.emplace_back().peer = "app1";
  const StaticDirectory directory({{"shop", {"app1", "ap1", "web1", "elsewhere"}, false, {}}}, {"", 10, 10});
  EXPECT_EQ(
      directory.nodes_without_link(config),
      (std::vector<std::string>{
          "service 'shop' names node 'ap1', which is the peer of no [[link]], so it is not found there; did you mean "
          "'app1'?",
          "service 'shop' names node 'elsewhere', which is the peer of no [[link]], so it is not found there"}));
}

}  // namespace
}  // namespace slotwire::engine
