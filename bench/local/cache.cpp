#include "cache.hpp"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <thread>

#include "contenders/slotwire_ends.hpp"
#include "core/cache/cache.hpp"

namespace slotwire::bench {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kManyKeys = 1'000'000;
constexpr std::uint16_t kGet = 1;

void bind_to_core(int core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  ::sched_setaffinity(0, sizeof cores, &cores);
}

ContextOptions options_of(const Daemon& daemon) {
  ContextOptions options;
  options.socket = daemon.endpoint();
  options.name = "bench_local";
  options.spin = 1'000'000us;
  options.yield = 1us;
  options.cache_bytes = std::size_t{64} << 20;
  return options;
}

/// Answers each request with the 8 bytes that are its key, as cacheable for an hour; looks for the next without sleep.
class Echo {
 public:
  Echo(const Daemon& daemon, int core) : thread_([this, &daemon, core] { run(daemon, core); }) {
    while (!serving_) std::this_thread::yield();
  }
  ~Echo() {
    ends_ = true;
    thread_.join();
  }
  Echo(const Echo&) = delete;
  Echo& operator=(const Echo&) = delete;

 private:
  void run(const Daemon& daemon, int core) {
    bind_to_core(core);
    Context context = must(Context::open(options_of(daemon)), "cannot open a session with slotwired");
    Service service = must(context.serve("bench-cache"), "cannot serve");
    serving_ = true;
    std::optional<Connection> connection;
    while (!ends_) {
      if (!connection) {
        if (Result<Connection> made = service.accept(Deadline::now())) connection.emplace(*std::move(made));
        continue;
      }
      const Result<Message> request = connection->receive(Deadline::now());
      if (!request || request->kind() != slotwire::Kind::request) {
        pause_cpu();
        continue;
      }
      const std::span<const std::byte> key = request->data();
      must(connection->reply_cached(request->id(), key, {.ttl = 1h, .key = key}, Deadline::never()), "cannot reply");
    }
  }
  std::atomic<bool> serving_{false}, ends_{false};
  std::thread thread_;
};

/// Times of single calls, in nanoseconds.
class Times {
 public:
  explicit Times(const Clock& clock) : clock_(clock) {}
  template <typename Call>
  void take(Call&& call) {
    const std::uint64_t begin = clock_.now();
    call();
    times_.push_back(clock_.ns(clock_.now() - begin));
  }
  double at(double part) {
    std::sort(times_.begin(), times_.end());
    return times_.at(static_cast<std::size_t>(static_cast<double>(times_.size() - 1) * part));
  }

 private:
  const Clock& clock_;
  std::vector<double> times_;
};

}  // namespace

std::vector<Value> measure_cache_hits(Harness& harness, unsigned milliseconds) {
  const Contender* slotwire = nullptr;
  for (const Contender& contender : contenders()) {
    if (contender.traits.group == Group::slotwire && contender.messages && contender.traits.start)
      slotwire = &contender;
  }
  if (slotwire == nullptr) throw std::logic_error("Slotwire is not among the contenders");
  const Daemon* const daemon = harness.daemon(*slotwire);
  cpu_set_t before;
  ::sched_getaffinity(0, sizeof before, &before);
  const Echo server(*daemon, harness.cores().second);
  bind_to_core(harness.cores().first);
  Context context = must(Context::open(options_of(*daemon)), "cannot open a session with slotwired");
  Connection connection = must(context.connect("bench-cache", 20s), "cannot connect");
  const auto request = [](const std::uint64_t& key) { return std::as_bytes(std::span(&key, 1)); };
  const auto check = [](const Result<Message>& reply, std::uint64_t key) {
    if (!reply || reply->size() != sizeof key || std::memcmp(reply->data().data(), &key, sizeof key) != 0)
      throw std::runtime_error("a reply is not that to its key");
  };
  const auto cached = [&](std::uint64_t key) {
    check(connection.call_cached(kGet, request(key), request(key), Deadline::never()), key);
  };
  const auto plain = [&](std::uint64_t key) { check(connection.call(kGet, request(key), Deadline::never()), key); };
  Times calls(harness.clock()), hits(harness.clock()), many(harness.clock());
  const auto fill_begin = std::chrono::steady_clock::now();
  for (std::uint64_t key = 0; key < kManyKeys; ++key) cached(key);
  const double fill_ns =
      std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - fill_begin).count();
  std::mt19937_64 random(1);
  // In turns, so that both meet the same machine.
  constexpr int kTurn = 200;
  const auto end = std::chrono::steady_clock::now() + (milliseconds * 3ms);
  while (std::chrono::steady_clock::now() < end) {
    for (int i = 0; i < kTurn; ++i) calls.take([&] { plain(1); });
    for (int i = 0; i < kTurn; ++i) hits.take([&] { cached(1); });
    for (int i = 0; i < kTurn; ++i) {
      const std::uint64_t key = random() % kManyKeys;
      many.take([&] { cached(key); });
    }
  }
  ::sched_setaffinity(0, sizeof before, &before);
  return {{"hit p50", "ns", hits.at(0.5)},
          {"hit p99", "ns", hits.at(0.99)},
          {"hit of 1,000,000 keys p50", "ns", many.at(0.5)},
          {"hit of 1,000,000 keys p99", "ns", many.at(0.99)},
          {"local call p50", "ns", calls.at(0.5)},
          {"local call p99", "ns", calls.at(0.99)},
          {"hit to local call p50", "", hits.at(0.5) / calls.at(0.5)},
          {"hit of 1,000,000 keys to local call p50", "", many.at(0.5) / calls.at(0.5)},
          {"call and store", "ns", fill_ns / kManyKeys}};
}

std::vector<Value> measure_cache_ratio(bool quick) {
  struct Size {
    std::size_t mebibytes;
    std::uint64_t keys;
    std::size_t value;
  };
  std::vector<Size> sizes{{1, 1'000'000, 8}, {4, 100'000, 100}};
  if (!quick) sizes.insert(sizes.end(), {{8, 1'000'000, 8}, {16, 1'000'000, 64}, {64, 4'000'000, 8}});
  std::vector<Value> values;
  for (const Size& size : sizes) {
    const std::size_t bytes = size.mebibytes << 20;
    const std::unique_ptr<std::byte, decltype(&std::free)> memory(
        static_cast<std::byte*>(std::aligned_alloc(4096, bytes)), std::free);
    std::memset(memory.get(), 0, bytes);
    const std::span<std::byte> whole(memory.get(), bytes);
    cache::Cache::format(whole, 1);
    cache::Cache cache(whole, 1, [](cache::Owner) { return true; });
    const cache::ServiceId service = *cache.service("bench");
    // How often the most popular ones are asked for.
    std::vector<double> sums(size.keys);
    double sum = 0;
    for (std::uint64_t i = 0; i < size.keys; ++i) sums[i] = sum += std::pow(static_cast<double>(i + 1), -0.99);
    std::mt19937_64 random(1);
    std::uniform_real_distribution<double> uniform(0, sum);
    std::vector<std::byte> buffer;
    const std::vector<std::byte> value(size.value);
    const auto run = [&](std::uint64_t count) {
      std::uint64_t hits = 0;
      for (std::uint64_t i = 0; i < count; ++i) {
        const auto rank =
            static_cast<std::uint64_t>(std::lower_bound(sums.begin(), sums.end(), uniform(random)) - sums.begin());
        const std::uint64_t number = rank * 0x9e37'79b9'7f4a'7c15;
        const cache::Key key = cache.key(service, std::as_bytes(std::span(&number, 1)));
        if (cache.find(key, 10, buffer)) {
          ++hits;
        } else {
          cache.store(key, {value, 10, 1000, 0}, 10);
        }
      }
      return static_cast<double>(hits) / static_cast<double>(count);
    };
    run(3 * size.keys);
    const double ratio = run(size.keys);
    // The best: the most popular keys, as many as the memory of the log could hold.
    const cache::Geometry& geometry = cache.geometry();
    const std::size_t entry = (24 + sizeof(std::uint64_t) + size.value + 7) / 8 * 8;
    const std::uint64_t most = std::min<std::uint64_t>(size.keys, geometry.shards * geometry.log_words * 8 / entry);
    const double best = sums[most - 1] / sum;
    const std::string what = " of Zipf over " + std::to_string(size.keys) + " keys, " + std::to_string(size.mebibytes) +
                             " MiB, values of " + std::to_string(size.value) + " bytes";
    values.push_back({"hit ratio" + what, "", ratio});
    values.push_back({"best hit ratio" + what, "", best});
    values.push_back({"hit ratio to best" + what, "", ratio / best});
  }
  return values;
}

}  // namespace slotwire::bench
