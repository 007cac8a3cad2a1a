// Regions: who makes one, who finds it, and what is left when everybody has gone.
#include <sys/stat.h>

#include <fstream>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "region_fixture.hpp"

namespace slotwire::blocks::test {
namespace {

/// Names in the kernel's table of sockets that begin like those of a region.
std::vector<std::string> names_of(const std::string& region) {
  std::ifstream file("/proc/net/unix");
  std::vector<std::string> found;
  for (std::string line; std::getline(file, line);) {
    if (line.find("." + region + ".") != std::string::npos || line.find("." + region + "~") != std::string::npos)
      found.push_back(line);
  }
  return found;
}

TEST_F(RegionTest, TheSecondProcessFindsTheRegionOfTheFirst) {
  Region first(name_);
  first.memory().subscriptions[7].member = 12345;
  const std::string name = name_;
  Process second([&](Process&) {
    Region region(name);
    return region.memory().subscriptions[7].member == 12345 && region.self() != 0 ? 0 : 1;
  });
  EXPECT_EQ(second.wait(), 0);
}

TEST_F(RegionTest, TheRegionOutlivesWhoMadeIt) {
  const std::string name = name_;
  Process maker([&](Process& self) {
    Region region(name);
    region.memory().subscriptions[7].member = 12345;
    self.say();
    self.hear();
    return 0;
  });
  ASSERT_EQ(maker.hear(), '.');
  Region second(name_);
  maker.kill();
  Region third(name_);
  EXPECT_EQ(third.memory().subscriptions[7].member, 12345U);
  EXPECT_EQ(third.self(), 0U) << "the dead member was not swept";
}

TEST_F(RegionTest, NothingIsLeftOfARegionThatNobodyHas) {
  {
    Region region(name_);
    Publisher publisher(region, "t", {});
    Subscriber subscriber(region, "t", {});
    EXPECT_FALSE(names_of(name_).empty());
  }
  EXPECT_TRUE(names_of(name_).empty());
  Region next(name_);
  EXPECT_EQ(next.self(), 0U);
  EXPECT_EQ(next.generation(), 1U) << "an old region was found";
}

// A descriptor's number is used again: the name of a socket says where a region was.
TEST_F(RegionTest, ADescriptorThatIsAnotherRegionsByNowIsNotJoined) {
  Region first(name_);
  first.memory().subscriptions[7].member = 12345;
  std::string holder;
  for (const std::string& line : names_of(name_)) {
    if (line.find('~') == std::string::npos) holder = line.substr(line.find('@') + 1);
  }
  ASSERT_FALSE(holder.empty());
  const std::string other = name_ + "-b";
  const std::string stale = holder.replace(holder.find("." + name_ + "."), name_.size() + 2, "." + other + ".");
  const SocketAddress address = SocketAddress::abstract(stale);
  const slot::Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(socket.get(), address.get(), address.length), 0);
  Region second(other);
  EXPECT_NE(second.memory().subscriptions[7].member, 12345U);
}

TEST_F(RegionTest, NamesAreChecked) {
  EXPECT_THROW(Region(""), std::invalid_argument);
  EXPECT_THROW(Region("a.b"), std::invalid_argument);
  EXPECT_THROW(Region(std::string(32, 'a')), std::invalid_argument);
}

TEST_F(RegionTest, AChildThatWasForkedIsNotAttached) {
  Region region(name_);
  Publisher publisher(region, "t", {});
  auto subscriber = std::make_unique<Subscriber>(region, "t", SubscriberOptions{});
  ASSERT_EQ(publisher.subscribers(), 1U);
  const pid_t child = ::fork();
  if (child == 0) {
    subscriber.reset();
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(publisher.subscribers(), 1U);
}

// Everybody starts at the same moment, many times, and some are killed while they attach.
TEST_F(RegionTest, ProcessesThatStartAtTheSameMomentNeverMakeTwo) {
  constexpr int kRounds = 10;
  constexpr int kProcesses = 20;
  std::mt19937 random(3);
  for (int round = 0; round < kRounds; ++round) {
    const std::string name = name_ + "-" + std::to_string(round);
    struct Shared {
      std::atomic<bool> go;
      std::array<std::atomic<std::uint64_t>, kProcesses> inodes;
    };
    slot::Fd file = slot::create_sealed_file("shared", 4096);
    const slot::Mapping mapping = slot::map_file(file.get(), 4096, slot::Access::read_write);
    auto& shared = *reinterpret_cast<Shared*>(mapping.data());
    std::vector<std::unique_ptr<Process>> processes;
    for (std::size_t i = 0; i < kProcesses; ++i) {
      processes.push_back(std::make_unique<Process>([&, i](Process& self) {
        while (!shared.go.load()) ::sched_yield();
        Region region(name, std::chrono::seconds(60));
        // Everybody writes the region's own mark into it, and says what it sees there.
        std::uint64_t mine = (std::uint64_t{1} << 32) + i;
        auto& mark = *reinterpret_cast<std::atomic<std::uint64_t>*>(&region.memory().publications[0].serial);
        std::uint64_t none = 0;
        mark.compare_exchange_strong(none, mine);
        shared.inodes[i].store(mark.load());
        self.say();
        self.hear();
        return 0;
      }));
    }
    shared.go.store(true);
    const std::size_t victim = random() % kProcesses;
    processes[victim]->kill();
    std::set<std::uint64_t> regions;
    for (std::size_t i = 0; i < kProcesses; ++i) {
      if (i == victim) continue;
      ASSERT_EQ(processes[i]->hear(), '.');
      regions.insert(shared.inodes[i].load());
    }
    EXPECT_EQ(regions.size(), 1U) << "round " << round;
    processes.clear();
    EXPECT_TRUE(names_of(name).empty());
  }
}

}  // namespace
}  // namespace slotwire::blocks::test
