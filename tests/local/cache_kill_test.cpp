// A process that asks, stores, moves, evicts and invalidates may die at any of its steps. At every one a copy of the
// cache is looked through as if it had died there: readers see whole values alone, the next writer is not stuck, and
// then everything is in order. Some of the times it is really killed.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <functional>
#include <map>
#include <memory>
#include <system_error>
#include <vector>

#include "../unit/cache_support.hpp"
#include "runtime/cache/node_cache.hpp"
#include "runtime/cache/query.hpp"
#include "stepped_process.hpp"

namespace slotwire::cache::test {
namespace {

#if defined(__x86_64__)
using blocks::test::SteppedProcess;
using Point = SteppedProcess::Point;

constexpr int kCalls = 40;
constexpr std::uint32_t kTtl = ~std::uint32_t{0};

std::string value_of(const std::string& key, int version, std::size_t length) {
  std::string value = key + "/" + std::to_string(version) + "/";
  value.append(length, static_cast<char>('a' + version));
  return value;
}
bool is_whole(const std::string& value, const std::string& key) {
  if (!value.starts_with(key + "/") || value.size() < key.size() + 3) return false;
  const int version = value[key.size() + 1] - '0';
  const std::size_t length = value.size() - value_of(key, version, 0).size();
  return value == value_of(key, version, length);
}

struct Step {
  std::string key;
  std::size_t length;
  bool hot = false;  ///< spared when the tail comes to it
};

/// Fills the log, the front of it with entries that are asked for often.
std::vector<Step> fill(Cache& cache, ServiceId service, Time now) {
  std::vector<Step> all;
  std::vector<std::byte> buffer;
  std::size_t words = 0;
  for (int i = 0; words + 400 < cache.geometry().log_words; ++i) {
    const Step step{"k" + std::to_string(i), i % 7 == 3 ? 2400U : 900U, i % 3 == 0};
    const std::string value = value_of(step.key, 1, step.length);
    const Key key = cache.key(service, bytes_of(step.key));
    for (int n = 0; step.hot && n < 10; ++n) cache.find(key, now, buffer);
    if (cache.store(key, {bytes_of(value), now, kTtl, i % 5 == 0 ? 9U : 0U}, now) != Stored::yes) break;
    words += (value.size() + step.key.size()) / 8 + 5;
    all.push_back(step);
  }
  return all;
}

/// What the process that dies does.
int life(const std::string& label) {
  const std::shared_ptr<NodeCache> opened = NodeCache::open(label, kMiB);
  Cache& cache = opened->cache();
  const ServiceId service = *cache.service("svc");
  if (!cache.service("its own")) return 1;
  std::vector<std::byte> buffer;
  for (int i = 0; i < kCalls; ++i) {
    // New ones, which are wanted, and some of those that are there.
    const std::string text = i % 4 == 3 ? "k" + std::to_string(i) : "new" + std::to_string(i);
    const Key key = cache.key(service, bytes_of(text));
    Query query(cache, key, buffer);
    if (query.look(boot_time()) && i % 4 != 3) return 2;
    if (i % 4 != 3 && query.wait(~Time{0}, {}, [] { return false; }) != Query::Result::ask) return 3;
    const std::string value = value_of(text, 2, i % 5 == 4 ? 2000 : 150);
    if (i % 2 == 0) {
      query.store({bytes_of(value), boot_time(), kTtl, 9});
    } else {
      cache.store(key, {bytes_of(value), boot_time(), kTtl, 0}, boot_time(), true);
      query.answered();
    }
  }
  cache.invalidate(cache.key(service, bytes_of("k3")), boot_time());
  cache.invalidate_tag(service, 9, boot_time());
  cache.invalidate_all(service, boot_time());
  return 0;
}

class KillCache : public ::testing::Test {
 protected:
  void SetUp() override {
    try {
      SteppedProcess process([] { return 0; }, false);
      while (process.step() != Point::has_ended) {
      }
    } catch (const std::system_error& error) {
      GTEST_SKIP() << error.what() << " (ptrace)";
    }
  }
  /// A cache that is full, and what is in it.
  void make(const std::string& name) {
    label_ = name + std::to_string(::getpid());
    opened_ = NodeCache::open(label_, kMiB);
    service_ = *opened_->cache().service("svc");
    steps_ = fill(opened_->cache(), service_, boot_time());
    ASSERT_GT(steps_.size(), 100U);
  }
  /// What is wrong with this memory if the process `dead` died when it was so. Empty: nothing.
  std::string fault(std::span<std::byte> memory, pid_t dead) {
    const auto is_dead = [dead](Owner owner) {
      return static_cast<pid_t>(owner & ((Owner{1} << kPidBits) - 1)) == dead;
    };
    if (const std::string wrong = Cache::check(memory); !wrong.empty()) return wrong;
    Cache cache(memory, own_name(), [&](Owner owner) { return !is_dead(owner); });
    const Time now = boot_time();
    std::vector<std::byte> buffer;
    const auto wrong_in = [&](const std::string& key) -> std::string {
      const auto found = cache.find(cache.key(service_, bytes_of(key)), now, buffer);
      if (!found) return {};
      const std::string value(reinterpret_cast<const char*>(buffer.data()) + found->offset, found->length);
      return is_whole(value, key) ? "" : "'" + key + "' has '" + value.substr(0, 60) + "'";
    };
    for (const Step& step : steps_) {
      if (std::string wrong = wrong_in(step.key); !wrong.empty()) return wrong;
    }
    for (int i = 0; i < kCalls; ++i) {
      if (std::string wrong = wrong_in("new" + std::to_string(i)); !wrong.empty()) return wrong;
    }
    // Who wants the same now leads, or takes over.
    for (int i = 0; i < kCalls; ++i) {
      const std::string text = "new" + std::to_string(i);
      const Key key = cache.key(service_, bytes_of(text));
      Flights flights = cache.flights();
      Flights::Ticket ticket = flights.join(key.hash, own_name(), now);
      if (ticket.role != Flights::Role::leader &&
          (!is_dead(Flights::owner_of(ticket)) || !flights.take_over(ticket, key.hash, own_name(), now)))
        return "nobody can ask for 'new" + std::to_string(i) + "'";
      Flights::finish(ticket, FlightOutcome::gave_up);
    }
    const auto count = [&] {
      return std::count_if(steps_.begin(), steps_.end(), [&](const Step& step) {
        return cache.find(cache.key(service_, bytes_of(step.key)), now, buffer).has_value();
      });
    };
    const auto before = count();
    const std::string value = value_of("after", 3, 500);
    const std::string name = "after";
    const Key after = cache.key(service_, bytes_of(name));
    if (cache.store(after, {bytes_of(value), now + 1, kTtl, 0}, now + 1, true) != Stored::yes)
      return "nothing can be stored any more";
    if (!cache.find(after, now + 1, buffer)) return "what was stored afterwards is not found";
    // What has to go for it is a few entries, not all of a shard that a writer left in disorder.
    if (const auto after_it = count(); after_it + 8 < before)
      return "of " + std::to_string(before) + " entries " + std::to_string(after_it) + " are left";
    if (!cache.service("another")) return "no service can be added any more";
    return cache.audit(now + 1);
  }

  std::string label_;
  std::shared_ptr<NodeCache> opened_;
  ServiceId service_ = 0;
  std::vector<Step> steps_;
};

TEST_F(KillCache, AtEveryStepWholeEntriesAreLeftAndNobodyIsStuck) {
  make("steps");
  const std::span<std::byte> memory = opened_->memory();
  const Memory copy(memory.size());
  SteppedProcess process([this] { return life(label_); }, true);
  std::size_t points = 0, takeovers = 0;
  while (true) {
    const Point point = process.step();
    if (point == Point::has_ended) break;
    if (point != Point::has_stored) continue;
    ++points;
    std::memcpy(copy.span().data(), memory.data(), memory.size());
    const std::string wrong = fault(copy.span(), process.pid());
    ASSERT_EQ(wrong, "") << "after store " << points;
    Cache cache(copy.span(), 1, [](Owner) { return true; });
    takeovers += cache.locks_taken_over();
  }
  EXPECT_EQ(process.status(), 0);
  EXPECT_GT(points, 1000U);
  EXPECT_GT(takeovers, points / 4) << "it did not die with the lock";
  const Totals totals = opened_->cache().totals().at(0);
  EXPECT_GT(totals.evictions, 0U);
  RecordProperty("points", static_cast<int>(points));
}

TEST_F(KillCache, ReallyKilledItLeavesACacheForTheOthers) {
  for (std::size_t killed_at = 5; killed_at < 1500; killed_at = killed_at * 5 / 4) {
    make("killed" + std::to_string(killed_at) + "-");
    SteppedProcess process([this] { return life(label_); }, true);
    std::size_t points = 0;
    Point point = Point::enters_call;
    while (points < killed_at && point != Point::has_ended) {
      point = process.step();
      if (point == Point::has_stored) ++points;
    }
    if (point == Point::has_ended) break;
    const pid_t pid = process.pid();
    process.kill();
    ASSERT_EQ(fault(opened_->memory(), pid), "") << "killed after store " << killed_at;
    opened_.reset();
  }
}
#endif

}  // namespace
}  // namespace slotwire::cache::test
