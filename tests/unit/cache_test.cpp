// The exchange cache as one process sees it: what is found, for how long, and what has to go.
#include <map>
#include <random>

#include "cache_support.hpp"

namespace slotwire::cache::test {
namespace {

TEST(Cache, FindsWhatWasStored) {
  Owned owned(kMiB);
  EXPECT_EQ(owned.find("a", 5), "(none)");
  EXPECT_EQ(owned.store("a", "1", 5), Stored::yes);
  EXPECT_EQ(owned.find("a", 6), "1");
  EXPECT_EQ(owned.find("b", 6), "(none)");
  EXPECT_EQ(owned.store("a", "2", 7), Stored::yes);
  EXPECT_EQ(owned.find("a", 8), "2");
  EXPECT_EQ(owned.cache->store(owned.key("a"), {bytes_of("older"), 6, 1000, 0}, 8), Stored::older);
  EXPECT_EQ(owned.find("a", 8), "2");
  EXPECT_EQ(owned.store("", "empty key", 8), Stored::yes);
  EXPECT_EQ(owned.find("", 8), "empty key");
  EXPECT_EQ(owned.store("empty value", "", 8), Stored::yes);
  EXPECT_EQ(owned.find("empty value", 8), "");
  EXPECT_EQ(owned.cache->audit(8), "");
  const Totals totals = owned.cache->totals().at(0);
  EXPECT_EQ(totals.name, "svc");
  EXPECT_EQ(totals.hits, 5U);
  EXPECT_EQ(totals.misses, 2U);
  EXPECT_EQ(totals.stores, 4U);
  EXPECT_EQ(totals.refused, 1U);
  EXPECT_EQ(totals.entries, 3U);
}

TEST(Cache, TimeCountsFromTheRequest) {
  Owned owned(kMiB);
  const Time asked = 100 * kMs;
  // The reply came when half of its time was over.
  ASSERT_EQ(owned.cache->store(owned.key("a"), {bytes_of("v"), asked, 10, 0}, asked + (5 * kMs)), Stored::yes);
  EXPECT_EQ(owned.find("a", asked + (10 * kMs) - 1), "v");
  EXPECT_EQ(owned.find("a", asked + (10 * kMs)), "(none)");
  EXPECT_EQ(owned.find("a", asked - 1), "(none)") << "an entry from the future is no entry";
  // It came too late to be kept at all.
  EXPECT_EQ(owned.cache->store(owned.key("b"), {bytes_of("v"), asked, 10, 0}, asked + (10 * kMs)), Stored::invalidated);
  EXPECT_EQ(owned.cache->store(owned.key("b"), {bytes_of("v"), asked, 0, 0}, asked), Stored::invalidated);
  // The longest time to live there is.
  EXPECT_EQ(owned.cache->store(owned.key("c"), {bytes_of("v"), asked, ~std::uint32_t{0}, 0}, asked), Stored::yes);
  EXPECT_EQ(owned.find("c", asked + (Time{~std::uint32_t{0}} * kMs) - 1), "v");
  EXPECT_EQ(owned.find("c", asked + (Time{~std::uint32_t{0}} * kMs)), "(none)");
}

TEST(Cache, KeysAndValuesOfAllSizesComeBackWhole) {
  Owned owned(4 * kMiB);
  std::mt19937 random(1);
  Time now = 1;
  for (std::size_t key_length = 0; key_length < 40; ++key_length) {
    for (std::size_t length = 0; length < 40; ++length) {
      std::string key(key_length, 'k'), value(length, 'v');
      for (char& c : key) c = static_cast<char>(random());
      for (char& c : value) c = static_cast<char>(random());
      for (const std::uint64_t tag : {0U, 3U}) {
        ASSERT_EQ(owned.store(key, value, ++now, 1000, tag), Stored::yes);
        ASSERT_EQ(owned.find(key, now), value);
      }
    }
  }
  const std::string longest(kMaxInnerKey, 'k');
  const std::size_t most = owned.cache->largest_value(longest.size());
  EXPECT_EQ(owned.store(longest, std::string(most, 'x'), ++now), Stored::yes);
  EXPECT_EQ(owned.find(longest, now), std::string(most, 'x'));
  EXPECT_EQ(owned.store(longest, std::string(most + 1, 'x'), ++now), Stored::too_large);
  EXPECT_EQ(owned.store(longest + "k", "x", now), Stored::too_large);
  EXPECT_GE(most, (4 * kMiB / 64) - 2048) << "a value may take a sixty-fourth";
  EXPECT_EQ(owned.cache->audit(now), "");
}

TEST(Cache, InvalidationsEndWhatWasAskedForBefore) {
  Owned owned(kMiB);
  const auto fill = [&](Time asked) {
    for (const char* const key : {"a", "b", "c"}) owned.store(key, key, asked, 1000, key[0] == 'c' ? 9 : 0);
  };
  fill(10);
  owned.cache->invalidate(owned.key("a"), 20);
  EXPECT_EQ(owned.find("a", 20), "(none)");
  EXPECT_EQ(owned.find("b", 20), "b");
  EXPECT_EQ(owned.store("a", "late", 20), Stored::invalidated) << "its request was sent before the invalidation came";
  EXPECT_EQ(owned.store("a", "new", 21), Stored::yes);
  EXPECT_EQ(owned.find("a", 21), "new");
  owned.cache->invalidate_tag(owned.service, 9, 30);
  EXPECT_EQ(owned.find("c", 30), "(none)");
  EXPECT_EQ(owned.find("b", 30), "b");
  EXPECT_EQ(owned.store("c", "late", 30, 1000, 9), Stored::invalidated);
  EXPECT_EQ(owned.store("c", "other tag", 30, 1000, 8), Stored::yes);
  owned.cache->invalidate_all(owned.service, 40);
  for (const char* const key : {"a", "b", "c"}) EXPECT_EQ(owned.find(key, 41), "(none)");
  EXPECT_EQ(owned.store("a", "late", 40), Stored::invalidated);
  const ServiceId other = *owned.cache->service("other");
  EXPECT_EQ(owned.cache->store(owned.cache->key(other, bytes_of("a")), {bytes_of("o"), 40, 1000, 0}, 40), Stored::yes)
      << "another service's replies are not concerned";
  fill(50);
  EXPECT_EQ(owned.find("c", 50), "c");
  EXPECT_EQ(owned.cache->totals().at(0).invalidations, 3U);
  EXPECT_EQ(owned.cache->audit(50), "");
}

TEST(Cache, AnInvalidationDoesNotWaitForAWriterThatDoesNotComeOn) {
  Owned owned(kMiB);
  ASSERT_EQ(owned.store("a", "1", 10), Stored::yes);
  // The lock of the only shard; its owner is alive and does nothing.
  const Geometry geometry = owned.cache->geometry();
  ASSERT_EQ(geometry.shards, 1U);
  auto& shard = *reinterpret_cast<Shard*>(owned.memory.span().data() + geometry.first_shard);
  shard.owner.store(77);
  owned.cache->invalidate(owned.key("a"), 20);
  EXPECT_EQ(owned.find("a", 20), "(none)");
  EXPECT_EQ(owned.store("a", "2", 21), Stored::busy);
  shard.owner.store(0);
  EXPECT_EQ(owned.store("a", "late", 20), Stored::invalidated);
  EXPECT_EQ(owned.store("a", "2", 21), Stored::yes);
}

TEST(Cache, TheLockOfADeadProcessIsTakenOver) {
  Owned owned(kMiB);
  Cache cache(owned.memory.span(), 5, [](Owner owner) { return owner != 77; });
  auto& shard = *reinterpret_cast<Shard*>(owned.memory.span().data() + cache.geometry().first_shard);
  ASSERT_EQ(owned.store("a", "1", 10), Stored::yes);
  shard.owner.store(77);
  shard.accounts[owned.service].entries.store(1000);
  EXPECT_EQ(cache.store(owned.key("b"), {bytes_of("2"), 20, 1000, 0}, 20), Stored::yes);
  EXPECT_EQ(cache.locks_taken_over(), 1U);
  EXPECT_EQ(cache.totals().at(0).entries, 2U) << "what each service has was not counted anew";
  EXPECT_EQ(owned.find("a", 20), "1");
}

/// What was stored last, as a model has it.
struct Kept {
  std::string value;
  Time asked;
  std::uint32_t ttl_ms;
  std::uint64_t tag;
};

struct Model {
  bool is_valid(const Kept& kept, Time now) const {
    if (now - kept.asked >= kept.ttl_ms * kMs) return false;
    if (kept.asked <= all) return false;
    const auto tag = tags.find(kept.tag);
    return kept.tag == 0 || tag == tags.end() || kept.asked > tag->second;
  }
  std::map<std::string, Kept> kept;
  std::map<std::uint64_t, Time> tags;
  Time all = 0, last_invalidation = 0;
};

/// Random operations on a cache and a model of it. `is_roomy`: nothing needs to be evicted, so nothing may be missing.
void compare_with_model(std::size_t bytes, std::size_t keys, std::size_t longest, std::size_t longest_ttl_ms,
                        bool is_roomy, std::uint32_t seed) {
  Owned owned(bytes);
  Model model;
  std::mt19937 random(seed);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  Time now = kMs;
  std::size_t hits = 0;
  for (int step = 0; step < 60'000; ++step) {
    now += below(200) * 1000;
    const std::string key = "key " + std::to_string(below(keys));
    const auto entry = model.kept.find(key);
    switch (below(20)) {
      default: {
        const std::string found = owned.find(key, now);
        const bool is_there = entry != model.kept.end() && model.is_valid(entry->second, now);
        if (found != "(none)") {
          ASSERT_TRUE(is_there) << "step " << step << ": " << key << " is valid no more";
          ASSERT_TRUE(found == entry->second.value) << "step " << step << ": another value of " << key;
          ++hits;
        } else if (is_roomy) {
          ASSERT_FALSE(is_there) << "step " << step << ": " << key << " is missing";
        }
        break;
      }
      case 0:
      case 1:
      case 2:
      case 3:
      case 4: {
        // The request was sent a while ago; sometimes an older reply comes after a younger one.
        const Time asked = now - (below(300) * 1000);
        const Kept kept{std::string(below(longest), static_cast<char>('a' + below(26))) + std::to_string(step), asked,
                        static_cast<std::uint32_t>(1 + below(longest_ttl_ms)), below(4)};
        const Stored stored = owned.cache->store(owned.key(key), {bytes_of(kept.value), asked, kept.ttl_ms, kept.tag},
                                                 now, below(2) == 0);
        if (stored == Stored::yes) {
          ASSERT_TRUE(model.is_valid(kept, now));
          model.kept[key] = kept;
        } else if (stored == Stored::older) {
          ASSERT_TRUE(entry != model.kept.end() && entry->second.asked > asked);
        } else if (stored == Stored::invalidated) {
          ASSERT_TRUE(!model.is_valid(kept, now) || asked <= model.last_invalidation);
        } else {
          ASSERT_EQ(stored, Stored::no_room);
          ASSERT_FALSE(is_roomy);
        }
        break;
      }
      case 5:
        owned.cache->invalidate(owned.key(key), now);
        model.kept.erase(key);
        model.last_invalidation = now;
        break;
      case 6: {
        if (below(10) != 0) break;
        const std::uint64_t tag = 1 + below(3);
        owned.cache->invalidate_tag(owned.service, tag, now);
        model.tags[tag] = now;
        break;
      }
      case 7:
        if (below(50) != 0) break;
        owned.cache->invalidate_all(owned.service, now);
        model.all = now;
    }
    if (step % 5000 == 0) {
      ASSERT_EQ(owned.cache->audit(now), "") << "step " << step;
    }
  }
  EXPECT_GT(hits, 3000U);
  const Totals totals = owned.cache->totals().at(0);
  EXPECT_EQ(totals.evictions != 0, !is_roomy);
}

TEST(CacheModel, WithRoomForEverything) {
  for (std::uint32_t seed = 0; seed < 4; ++seed) compare_with_model(4 * kMiB, 300, 300, 400, true, seed);
}
TEST(CacheModel, WithRoomForAPart) {
  for (std::uint32_t seed = 0; seed < 4; ++seed) compare_with_model(kMiB, 1000, 5000, 4000, false, seed);
}

TEST(Cache, TakesAMillionKeysInSixtyFourMebibytes) {
  Owned owned(64 * kMiB);
  constexpr std::uint64_t kKeys = 1'000'000;
  for (std::uint64_t i = 0; i < kKeys; ++i) {
    const Key key = owned.cache->key(owned.service, std::as_bytes(std::span(&i, 1)));
    const std::uint64_t value = ~i;
    ASSERT_EQ(owned.cache->store(key, {std::as_bytes(std::span(&value, 1)), 10, 1000, 0}, 10), Stored::yes) << i;
  }
  std::uint64_t there = 0;
  for (std::uint64_t i = 0; i < kKeys; ++i) {
    const auto found =
        owned.cache->find(owned.cache->key(owned.service, std::as_bytes(std::span(&i, 1))), 20, owned.buffer);
    std::uint64_t value = 0;
    if (!found) continue;
    ASSERT_EQ(found->length, sizeof value);
    std::memcpy(&value, owned.buffer.data() + found->offset, sizeof value);
    ASSERT_EQ(value, ~i);
    ++there;
  }
  EXPECT_EQ(there, kKeys);
  EXPECT_EQ(owned.cache->totals().at(0).entries, kKeys);
}

TEST(Cache, AServiceCannotEvictMoreThanItsShareOfTheOthers) {
  Owned owned(kMiB);
  const ServiceId greedy = *owned.cache->service("greedy");
  Time now = 1;
  // As much as fits into a third, asked for once each.
  const std::size_t log = owned.cache->geometry().log_words * sizeof(Word);
  const std::string value(1000, 'v');
  std::size_t keys = 0;
  for (; keys * 1100 < log / 3; ++keys) ASSERT_EQ(owned.store("k" + std::to_string(keys), value, ++now), Stored::yes);
  // Many times the whole, and each asked for many times.
  for (int i = 0; i < 5000; ++i) {
    const std::string text = "g" + std::to_string(i);
    const Key key = owned.cache->key(greedy, bytes_of(text));
    for (int n = 0; n < 10; ++n) owned.cache->find(key, now, owned.buffer);
    owned.cache->store(key, {bytes_of(value), ++now, 1000, 0}, now, true);
  }
  std::size_t left = 0;
  for (std::size_t i = 0; i < keys; ++i) left += owned.find("k" + std::to_string(i), now) == value ? 1 : 0;
  EXPECT_EQ(left, keys);
  const Totals totals = owned.cache->totals().at(greedy);
  EXPECT_GT(totals.bytes, log / 3) << "what nobody else needs may be used";
  // The other way round: who has less than its share gets room from who has more.
  for (std::size_t i = 0; i < 2 * keys; ++i) owned.store("n" + std::to_string(i), value, ++now, 1000, 0, true);
  EXPECT_LE(owned.cache->totals().at(greedy).bytes, (log / 2) + 2200);
  EXPECT_EQ(owned.cache->audit(now), "");
}

TEST(Cache, HasRoomForSoManyServices) {
  Owned owned(kMiB);
  for (std::size_t i = 1; i < kMaxServices; ++i) {
    const std::string name = std::string(i == 1 ? 60 : 1, 'n') + std::to_string(i);
    const auto id = owned.cache->service(name);
    ASSERT_TRUE(id);
    EXPECT_EQ(*id, i);
    EXPECT_EQ(owned.cache->service(name), id);
  }
  EXPECT_FALSE(owned.cache->service("one more"));
  EXPECT_FALSE(owned.cache->service(std::string(64, 'x')));
  EXPECT_FALSE(owned.cache->service(""));
}

TEST(Cache, MemoryThatIsNoCacheIsRefused) {
  const Memory memory(kMiB);
  EXPECT_EQ(Cache::check(memory.span()), "it is no cache");
  Cache::format(memory.span(), 1, "node");
  EXPECT_EQ(Cache::check(memory.span()), "");
  auto& header = *reinterpret_cast<Header*>(memory.span().data());
  header.version.store(kVersion + 1);
  EXPECT_NE(Cache::check(memory.span()), "");
  header.version.store(kVersion);
  header.bytes.store(2 * kMiB);
  EXPECT_NE(Cache::check(memory.span()), "");
  EXPECT_NE(Cache::check(memory.span().first(kMiB / 2)), "");
}

/// Whatever stands in the memory: no call leaves it, none goes on for ever.
TEST(CacheHostile, DamagedMemoryCostsEntriesAndNothingElse) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 60; ++round) {
    Owned owned(kMiB);
    Time now = 10;
    for (int i = 0; i < 3000; ++i)
      owned.store("k" + std::to_string(i), std::string(random() % 300, 'v'), ++now, 1000, random() % 2);
    const std::span<std::byte> memory = owned.memory.span();
    const std::size_t from = round % 3 == 0 ? owned.cache->geometry().first_shard : sizeof(Header) / 2;
    const int damages = 1 << (random() % 14);
    for (int i = 0; i < damages; ++i) {
      const std::size_t at = from + (random() % (memory.size() - from - 8));
      const std::uint64_t word = random() >> (random() % 64);
      std::memcpy(memory.data() + at, &word, 1 + (random() % 8));
    }
    if (round % 4 == 1) {
      auto& shard = *reinterpret_cast<Shard*>(memory.data() + owned.cache->geometry().first_shard);
      (round % 8 == 1 ? shard.head : shard.tail).store(random() >> (random() % 64));
    }
    auto& shard = *reinterpret_cast<Shard*>(memory.data() + owned.cache->geometry().first_shard);
    shard.owner.store(0);
    for (int i = 0; i < 4000; ++i) {
      const std::string key = "k" + std::to_string(random() % 4000);
      ++now;
      owned.find(key, now);
      owned.store(key, std::string(random() % 300, 'w'), now, 1000, random() % 2, random() % 2 == 0);
      if (i % 100 == 0) owned.cache->invalidate(owned.key(key), now);
    }
    EXPECT_EQ(owned.cache->totals().size(), 1U);
    (void)owned.cache->audit(now);
  }
}

TEST(CacheFlights, OneLeadsAndOthersFollow) {
  Owned owned(kMiB);
  Flights flights = owned.cache->flights();
  const std::uint64_t hash = owned.key("a").hash;
  Flights::Ticket first = flights.join(hash, 11, 50 * kMs);
  EXPECT_EQ(first.role, Flights::Role::leader);
  Flights::Ticket second = flights.join(hash, 12, 99 * kMs);
  EXPECT_EQ(second.role, Flights::Role::follower);
  EXPECT_EQ(Flights::owner_of(second), 11U);
  EXPECT_TRUE(Flights::is_under_way(second));
  EXPECT_FALSE(Flights::is_overdue(second, 50 * kMs));
  EXPECT_TRUE(Flights::is_overdue(second, 52 * kMs));
  Flights::wait_for(second);
  EXPECT_TRUE(Flights::finish(first, FlightOutcome::answered)) << "somebody waits";
  EXPECT_FALSE(Flights::is_under_way(second));
  EXPECT_EQ(Flights::outcome_of(second), FlightOutcome::answered);
  Flights::Ticket third = flights.join(hash, 13, 50 * kMs);
  EXPECT_EQ(third.role, Flights::Role::leader);
  EXPECT_FALSE(Flights::finish(third, FlightOutcome::stored));
  EXPECT_EQ(Flights::outcome_of(third), FlightOutcome::stored);
}

TEST(CacheFlights, OnlyOneTakesOverFromALeaderThatHasGone) {
  Owned owned(kMiB);
  Flights flights = owned.cache->flights();
  const std::uint64_t hash = owned.key("a").hash;
  Flights::Ticket gone = flights.join(hash, 11, 50 * kMs);
  Flights::Ticket second = flights.join(hash, 12, 0);
  Flights::Ticket third = flights.join(hash, 13, 0);
  EXPECT_TRUE(flights.take_over(second, hash, 12, 70 * kMs));
  EXPECT_FALSE(flights.take_over(third, hash, 13, 70 * kMs));
  EXPECT_FALSE(Flights::is_under_way(third)) << "it looks again, and follows the new one";
  third = flights.join(hash, 13, 0);
  EXPECT_EQ(third.role, Flights::Role::follower);
  EXPECT_FALSE(Flights::is_overdue(third, 60 * kMs)) << "the time of the new leader counts";
  Flights::finish(gone, FlightOutcome::stored);  // the old one comes back
  EXPECT_TRUE(Flights::is_under_way(third));
  Flights::finish(second, FlightOutcome::stored);
  EXPECT_FALSE(Flights::is_under_way(third));
}

TEST(CacheFlights, AnotherKeyInTheSamePlaceGoesOutAlone) {
  Owned owned(kMiB);
  Flights flights = owned.cache->flights();
  const std::uint64_t hash = owned.key("a").hash;
  const Flights::Ticket first = flights.join(hash, 11, 50 * kMs);
  EXPECT_EQ(flights.join(hash ^ (std::uint64_t{1} << 50), 12, 0).role, Flights::Role::outsider);
  Flights::finish(first, FlightOutcome::stored);
}

}  // namespace
}  // namespace slotwire::cache::test
