// A keeper whose processes end: others are started in their place, and get what those had.
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <vector>

#include "unit/engine_keeper_support.hpp"

namespace slotwire::engine {
namespace {

/// One whose processes are started again when they end.
class RestartedKeeper : public SlowKeeper {
 protected:
  static constexpr std::uint64_t kTags = 100;

  static KeeperOptions restarting(std::size_t copies = 1000, unsigned starts = 3) {
    KeeperOptions options;
    options.copies = copies;
    options.starts_per_minute = starts;
    return options;
  }
  void serve(Keeper& keeper) {
    keeper.on_ready([this] { ++again_; });
    keeper.serve_in(loop_, [this](Keeper::News news, pid_t, const std::string&) { news_.push_back(news); });
  }
  void fill(Keeper& keeper) {
    for (std::uint64_t tag = 0; tag < kTags; ++tag) store_in_the_end(keeper, tag, memory_with(std::to_string(tag)));
  }
  void kill_and_notice(pid_t pid) {
    const std::size_t before = count(Keeper::News::gone);
    kill(pid, SIGKILL);
    run_until([&] { return count(Keeper::News::gone) > before; });
  }
  std::size_t count(Keeper::News which) const {
    return static_cast<std::size_t>(std::count(news_.begin(), news_.end(), which));
  }

  std::vector<Keeper::News> news_;
  int again_ = 0;
};

TEST_F(RestartedKeeper, HasEverythingThatTheOldOneHad) {
  {
    Keeper keeper = attach(restarting());
    serve(keeper);
    fill(keeper);
    ASSERT_TRUE(keeper.remove(7).ok());
    EXPECT_EQ(keeper.report().state, "keeps");
    const pid_t first = keeper.pid();
    again_ = 0;
    kill_and_notice(first);
    EXPECT_NE(keeper.report().state, "keeps");
    EXPECT_FALSE(keeper.ready()) << "a request waits for the new one";
    EXPECT_FALSE(store(keeper, 500, memory_with("x")).ok());
    ASSERT_TRUE(keeper.remove(8).ok()) << "what is removed meanwhile is not handed over";
    EXPECT_EQ(fetched(keeper, 9), "9") << "slotwired has a duplicate";
    run_until([&] { return count(Keeper::News::complete) == 1; });
    EXPECT_NE(keeper.pid(), first);
    EXPECT_GT(again_, 0) << "what waited is told";
    store_in_the_end(keeper, 500, memory_with("500"));
    const StoreReport report = keeper.report();
    EXPECT_EQ(report.state, "keeps");
    EXPECT_EQ(report.processes, std::vector<pid_t>{keeper.pid()});
    EXPECT_EQ(report.starts, 1U);
    EXPECT_EQ(report.kept, kTags - 1);
    EXPECT_EQ(report.text, "");
  }
  auto next = attach();
  auto kept = next.take_kept();
  ASSERT_EQ(kept.size(), kTags - 1);
  for (const auto& entry : kept) {
    EXPECT_EQ(content(entry.fds[0]), std::to_string(entry.tag));
    EXPECT_TRUE(entry.tag != 7 && entry.tag != 8);
  }
}

TEST_F(RestartedKeeper, OfALaterLifeHasWhatAnEarlierOneLeft) {
  {
    Keeper keeper = attach();
    for (std::uint64_t tag = 0; tag < 5; ++tag) ASSERT_TRUE(store(keeper, tag, memory_with(std::to_string(tag))).ok());
  }
  {
    Keeper keeper = attach(restarting());
    serve(keeper);
    kill_and_notice(keeper.pid());
    run_until([&] { return count(Keeper::News::complete) == 1; });
  }
  auto next = attach();
  EXPECT_EQ(next.take_kept().size(), 5U);
}

TEST_F(RestartedKeeper, KeepsWhatThereAreDuplicatesOfAndSaysWhatIsLost) {
  {
    Keeper keeper = attach(restarting(3));
    serve(keeper);
    for (std::uint64_t tag = 0; tag < 5; ++tag) store_in_the_end(keeper, tag, memory_with(std::to_string(tag)));
    kill_and_notice(keeper.pid());
    run_until([&] { return count(Keeper::News::complete) == 1; });
    StoreReport report = keeper.report();
    EXPECT_EQ(report.state, "incomplete");
    EXPECT_EQ(report.kept, 3U);
    EXPECT_EQ(report.lost, 2U);
    EXPECT_NE(report.text.find("LimitNOFILE"), std::string::npos) << report.text;
    EXPECT_FALSE(keeper.fetch(4).ok());
    EXPECT_TRUE(keeper.remove(4).ok()) << "it was stored, and whoever ends it need not know";
    EXPECT_TRUE(keeper.remove(3).ok());
    EXPECT_EQ(keeper.report().state, "keeps");
    ASSERT_TRUE(keeper.remove(0).ok());
    store_in_the_end(keeper, 4, memory_with("4"));
    EXPECT_EQ(keeper.report().kept, 3U);
  }
  auto next = attach();
  EXPECT_EQ(next.take_kept().size(), 3U);
}

TEST_F(RestartedKeeper, IsStartedSoOftenInAMinuteAndNotMoreOften) {
  Keeper keeper = attach(restarting(100, 2));
  serve(keeper);
  store_in_the_end(keeper, 1, memory_with("1"));
  for (std::size_t i = 1; i <= 2; ++i) {
    kill_and_notice(keeper.pid());
    run_until([&] { return count(Keeper::News::complete) == i; });
  }
  kill_and_notice(keeper.pid());
  EXPECT_TRUE(keeper.ready()) << "nobody waits for a minute";
  const auto refused = store(keeper, 2, memory_with("2"));
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().text.find("limits.keeper_starts"), std::string::npos) << refused.error().text;
  EXPECT_NE(refused.error().text.find("is started again in"), std::string::npos) << refused.error().text;
  const StoreReport report = keeper.report();
  EXPECT_EQ(report.state, "gone");
  EXPECT_EQ(report.waiting, 1U);
  EXPECT_EQ(report.kept, 0U);
  EXPECT_EQ(count(Keeper::News::started), 2U);
}

TEST_F(RestartedKeeper, OfSeveralProcessesOnlyTheOneThatEndedIsReplaced) {
  KeeperOptions options = restarting();
  options.max_descriptors = 40;
  options.descriptors = 120;
  {
    Keeper keeper = attach(options);
    ASSERT_EQ(keeper.processes(), 3U);
    serve(keeper);
    fill(keeper);
    std::vector<pid_t> all = keeper.report().processes;
    ASSERT_EQ(all.size(), 3U);
    kill_and_notice(all[1]);
    EXPECT_EQ(keeper.report().waiting, 40U);
    store_in_the_end(keeper, kTags, memory_with("another"));
    run_until([&] { return count(Keeper::News::complete) == 1; });
    const std::vector<pid_t> now = keeper.report().processes;
    ASSERT_EQ(now.size(), 3U);
    EXPECT_EQ(now[0], all[0]);
    EXPECT_NE(now[1], all[1]);
    EXPECT_EQ(now[2], all[2]);
  }
  auto next = attach(options);
  EXPECT_EQ(next.kept().size(), kTags + 1);
}

TEST_F(RestartedKeeper, ThatCannotBeStartedIsTriedAgainAndSaysWhy) {
  Keeper keeper = attach(restarting(100, 100));
  serve(keeper);
  ASSERT_EQ(chmod(dir_.path().c_str(), 0777), 0);
  kill_and_notice(keeper.pid());
  run_until([&] { return count(Keeper::News::not_started) == 2; });
  EXPECT_NE(keeper.report().text.find("others may write to the directory"), std::string::npos) << keeper.report().text;
  ASSERT_EQ(chmod(dir_.path().c_str(), 0700), 0);
  run_until([&] { return count(Keeper::News::started) == 1; });
  EXPECT_TRUE(store(keeper, 1, memory_with("1")).ok() || !keeper.ready());
}

TEST_F(RestartedKeeper, ThatWasKilledAndNotReplacedLeavesNoFilesAtTheEnd) {
  KeeperOptions options = restarting(100, 0);
  options.max_descriptors = 1;
  options.descriptors = 2;
  Keeper keeper = attach(options);
  ASSERT_EQ(keeper.processes(), 2U);
  serve(keeper);
  for (const pid_t pid : keeper.report().processes) kill_and_notice(pid);
  EXPECT_FALSE(std::filesystem::is_empty(dir_.path()));
  EXPECT_FALSE(keeper.quit().ok()) << "there was nothing to tell it";
  EXPECT_TRUE(std::filesystem::is_empty(dir_.path())) << "files are left behind";
}

TEST_F(RestartedKeeper, ThatIsJustStartingQuitsAndLeavesNothing) {
  Keeper keeper = attach(restarting());
  serve(keeper);
  store_in_the_end(keeper, 1, memory_with("1"));
  kill_and_notice(keeper.pid());
  run_until([&] { return keeper.report().state == "starts" || count(Keeper::News::started) == 1; });
  (void)keeper.quit();  // what is met there may still be the one that was killed: then nobody is left to be told
  EXPECT_TRUE(std::filesystem::is_empty(dir_.path())) << "files are left behind";
}

}  // namespace
}  // namespace slotwire::engine
