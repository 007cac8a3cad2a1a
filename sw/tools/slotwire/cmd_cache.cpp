// slotwire cache: what the exchange caches of this user hold, and how often they were of use.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "runtime/cache/node_cache.hpp"
#include "runtime/control/printable.hpp"
#include "tools/slotwire/common.hpp"
#include "tools/slotwire/text.hpp"

namespace slotwire::cli {
namespace {

using Json = nlohmann::json;

struct CacheOptions {
  std::string service;
  bool json = false;
};

std::vector<cache::Totals> wanted(const cache::Cache& cache, const CacheOptions& options) {
  std::vector<cache::Totals> totals = cache.totals();
  if (!options.service.empty())
    std::erase_if(totals, [&](const cache::Totals& one) { return one.name != options.service; });
  return totals;
}

Json json_of(const cache::Cache& cache, const CacheOptions& options) {
  Json services = Json::array();
  for (const cache::Totals& one : wanted(cache, options)) {
    services.push_back({{"service", one.name},
                        {"entries", one.entries},
                        {"bytes", one.bytes},
                        {"hits", one.hits},
                        {"hit_bytes", one.hit_bytes},
                        {"hit_age_ms", one.hit_age_ms},
                        {"oldest_hit_ms", one.oldest_hit_ms},
                        {"misses", one.misses},
                        {"waits", one.waits},
                        {"stores", one.stores},
                        {"refused", one.refused},
                        {"evictions", one.evictions},
                        {"expirations", one.expirations},
                        {"invalidations", one.invalidations}});
  }
  const cache::Geometry& geometry = cache.geometry();
  return {{"node", cache.label()},
          {"bytes", geometry.bytes},
          {"largest_value", cache.largest_value(0)},
          {"most_entries", geometry.shards * geometry.buckets * cache::kBucketEntries},
          {"locks_taken_over", cache.locks_taken_over()},
          {"services", services}};
}

void print(const cache::Cache& cache, const CacheOptions& options) {
  std::printf("Cache of node %s: %s\n", control::printable(cache.label()).c_str(),
              bytes_text(static_cast<double>(cache.geometry().bytes)).c_str());
  Table table({{"SERVICE"},
               {"ENTRIES", true},
               {"BYTES", true},
               {"HITS", true},
               {"RATIO", true},
               {"AGE", true},
               {"OLDEST", true},
               {"WAITS", true},
               {"STORES", true},
               {"REFUSED", true},
               {"EVICTED", true},
               {"EXPIRED", true},
               {"INVALIDATIONS", true}});
  const auto age = [](double ms) { return time_text(ms * 1e6); };
  for (const cache::Totals& one : wanted(cache, options)) {
    const auto hits = static_cast<double>(one.hits);
    const double asked = hits + static_cast<double>(one.misses);
    std::array<char, 16> ratio{};
    std::snprintf(ratio.data(), ratio.size(), "%.1f %%", asked == 0 ? 0.0 : hits * 100 / asked);
    table.add({control::printable(one.name), std::to_string(one.entries), bytes_text(static_cast<double>(one.bytes)),
               std::to_string(one.hits), ratio.data(),
               one.hits == 0 ? "-" : age(static_cast<double>(one.hit_age_ms) / hits),
               one.hits == 0 ? "-" : age(static_cast<double>(one.oldest_hit_ms)), std::to_string(one.waits),
               std::to_string(one.stores), std::to_string(one.refused), std::to_string(one.evictions),
               std::to_string(one.expirations), std::to_string(one.invalidations)});
  }
  std::printf("%s", table.empty() ? "  nothing was asked for\n" : table.text().c_str());
}

int run_cache(const CacheOptions& options) {
  Json all = Json::array();
  bool found = false;
  for (const std::string& name : cache::NodeCache::names()) {
    const std::shared_ptr<cache::NodeCache> opened = cache::NodeCache::open_existing(name);
    if (!opened) continue;  // the last process left it just now
    found = true;
    if (options.json) {
      all.push_back(json_of(opened->cache(), options));
    } else {
      print(opened->cache(), options);
    }
  }
  if (options.json) {
    std::printf("%s\n", all.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  } else if (!found) {
    std::printf("No caches: no process of this user has made a call that a cache may answer.\n");
  }
  return kExitOk;
}

}  // namespace

void add_cache(CLI::App& app, Command& command) {
  auto options = std::make_shared<CacheOptions>();
  CLI::App* sub = app.add_subcommand("cache", "Show the exchange caches of this user and how much they were used");
  sub->add_option("--service", options->service, "this service only")->check(service_name());
  sub->add_flag("--json", options->json, "print one JSON array, an object for each cache");
  sub->footer(
      R"(A cache belongs to one user and one node; it exists as long as a process that uses it. RATIO is the part of the calls that it
answered, AGE how old its replies were on average when it did, OLDEST the oldest of them. WAITS counts calls that waited for the call
of another process, REFUSED replies that were not kept: too large, asked for less often than what is there, or invalidated meanwhile.

Examples: slotwire cache
          slotwire cache --service orders --json | jq '.[].services[0].hits')");
  sub->callback([options, &command] { command = [options] { return run_cache(*options); }; });
}

}  // namespace slotwire::cli
