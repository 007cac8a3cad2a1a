// The exchange cache under several threads, which are to it what processes are: readers never see a value that is not
// whole, or one that was invalid before they began to look.
#include <atomic>
#include <random>
#include <thread>

#include "cache_support.hpp"

namespace slotwire::cache::test {
namespace {

#ifdef __SANITIZE_THREAD__
constexpr int kSteps = 4000;
#else
constexpr int kSteps = 60'000;
#endif
constexpr std::size_t kKeys = 200;

/// The value of `key` in version `version`: its length and every byte follow from both.
std::string value_of(std::size_t key, std::uint64_t version) {
  std::string value = std::to_string(key) + ":" + std::to_string(version) + ":";
  value.append((key * 37 + version * 101) % 5000, static_cast<char>('a' + (version % 26)));
  return value;
}

/// The version of a value that is whole; ~0: it is not.
std::uint64_t version_in(const std::string& value, std::size_t key) {
  const std::size_t colon = value.find(':');
  if (colon == std::string::npos || value.substr(0, colon) != std::to_string(key)) return ~std::uint64_t{0};
  const std::uint64_t version = std::strtoull(value.c_str() + colon + 1, nullptr, 10);
  return value == value_of(key, version) ? version : ~std::uint64_t{0};
}

TEST(CacheThreads, ReadersSeeWholeValuesAndNoneThatWasInvalidated) {
  // Small enough that the log goes round all the time.
  Owned owned(kMiB);
  std::atomic<Time> clock{1};
  // Versions at or below this were invalidated, for each key.
  std::array<std::atomic<std::uint64_t>, kKeys> invalid{};
  std::atomic<std::uint64_t> hits{0};
  std::atomic<bool> failed{false};
  const auto work = [&](unsigned number) {
    Cache cache(owned.memory.span(), number + 1, [](Owner) { return true; });
    std::mt19937 random(number);
    std::vector<std::byte> buffer;
    for (int step = 0; step < kSteps && !failed; ++step) {
      const std::size_t index = random() % kKeys;
      const std::string text = "key " + std::to_string(index);
      const Key key = cache.key(owned.service, bytes_of(text));
      const std::uint64_t at_least = invalid.at(index).load();
      if (random() % 4 != 0) {
        const auto found = cache.find(key, clock.load(), buffer);
        if (!found) continue;
        ++hits;
        const std::string value(reinterpret_cast<const char*>(buffer.data()) + found->offset, found->length);
        const std::uint64_t version = version_in(value, index);
        if (version == ~std::uint64_t{0} || version <= at_least) {
          failed = true;
          ADD_FAILURE() << "version " << version << " of key " << index << " where " << at_least << " was invalid; "
                        << value.size() << " bytes: " << value.substr(0, 40);
        }
      } else if (random() % 16 != 0) {
        // Its version is when it was asked for.
        const Time asked = clock.fetch_add(1) + 1;
        const std::string value = value_of(index, asked);
        cache.store(key, {bytes_of(value), asked, 1'000'000, 0}, asked, random() % 2 == 0);
      } else {
        const Time now = clock.fetch_add(1) + 1;
        cache.invalidate(key, now);
        std::uint64_t before = invalid.at(index).load();
        while (before < now && !invalid.at(index).compare_exchange_weak(before, now)) {
        }
      }
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 4; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(hits.load(), static_cast<std::uint64_t>(kSteps) / 10);
  EXPECT_EQ(owned.cache->audit(clock.load()), "");
}

TEST(CacheThreads, AKeyThatOthersMoveIsAlwaysFound) {
  // One key is asked for more often than all others, so it is spared each time that the tail comes to it.
  Owned owned(kMiB);
  const std::string hot(4000, 'h');
  ASSERT_EQ(owned.store("hot", hot, 1, ~std::uint32_t{0}), Stored::yes);
  for (int i = 0; i < 20; ++i) owned.find("hot", 1);
  std::atomic<bool> done{false};
  std::thread writer([&] {
    Cache cache(owned.memory.span(), 2, [](Owner) { return true; });
    const std::string value(2000, 'w');
    for (int i = 0; i < kSteps / 4; ++i) {
      const std::string text = "key " + std::to_string(i);
      cache.store(cache.key(owned.service, bytes_of(text)), {bytes_of(value), 2, 1'000'000, 0}, 2, true);
    }
    done = true;
  });
  std::uint64_t looks = 0, missing = 0;
  while (!done) {
    ++looks;
    if (owned.find("hot", 2) != hot) ++missing;
  }
  writer.join();
  EXPECT_GT(looks, 0U);
  EXPECT_EQ(missing, 0U) << "of " << looks << " looks";
  EXPECT_EQ(owned.find("hot", 2), hot);
}

TEST(CacheThreads, OneOfManyLeads) {
  Owned owned(kMiB);
  std::atomic<int> leading{0}, led{0};
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < 4; ++number) {
    threads.emplace_back([&, number] {
      Flights flights = owned.cache->flights();
      const std::uint64_t hash = owned.key("a").hash;
      for (int i = 0; i < kSteps / 10; ++i) {
        const Flights::Ticket ticket = flights.join(hash, number + 1, 1000 * kMs);
        if (ticket.role != Flights::Role::leader) continue;
        if (++leading != 1) ADD_FAILURE() << "two lead";
        ++led;
        --leading;
        Flights::finish(ticket, FlightOutcome::stored);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(led.load(), 0);
}

}  // namespace
}  // namespace slotwire::cache::test
