#include "runtime/engine/regions/descriptor_rows.hpp"

#include <algorithm>

#include "runtime/control/printable.hpp"

namespace slotwire::engine {
namespace {

using control::Json;

/// Rows from one on, until the page is full.
class Page {
 public:
  Page(std::uint64_t from, std::uint64_t max) : from_(from), max_(std::min<std::uint64_t>(max, control::kMaxPage)) {}
  /// Whether the next row is to be made and given to add().
  bool takes() {
    const std::uint64_t row = at_++;
    if (row < from_ || next_ >= 0) return false;
    // A page has at least one row, so that whoever asks gets on.
    if (rows_.size() < max_ && (rows_.empty() || bytes_ < kDescriptorAnswerBytes)) return true;
    next_ = static_cast<std::int64_t>(row);
    return false;
  }
  void add(Json row) {
    bytes_ += row.dump(-1, ' ', false, Json::error_handler_t::replace).size();
    rows_.push_back(std::move(row));
  }
  Json answer(const char* name) { return Json{{name, std::move(rows_)}, {"next", next_}}; }

 private:
  std::uint64_t from_, max_, at_ = 0;
  std::size_t bytes_ = 0;
  std::int64_t next_ = -1;
  Json rows_ = Json::array();
};

Json topics_of(const std::vector<std::string>& topics) {
  Json shown = Json::array();
  for (std::size_t i = 0; i < std::min(topics.size(), RegionDescriptors::kMaxTopics); ++i)
    shown.push_back(control::printable(topics[i]));
  return shown;
}

std::uint64_t seconds_since(std::uint64_t then_us, std::uint64_t now_us) {
  return now_us > then_us ? (now_us - then_us) / 1'000'000 : 0;
}

const char* isolation_name(Isolation isolation) {
  return isolation == Isolation::strict ? "strict" : "shared";
}

Json json_of(const BlockDescriptor& block) {
  Json holders = Json::array();
  for (const BlockHolder& holder : block.holders) {
    holders.push_back({{"pid", holder.pid}, {"claim", name(holder.claim)}});
  }
  Json row{{"position", block.position}, {"state", name(block.state)}, {"holders", std::move(holders)}};
  if (block.more_holders != 0) row["more_holders"] = block.more_holders;
  if (block.offset) row["offset"] = *block.offset;
  if (block.length) row["bytes"] = *block.length;
  return row;
}

}  // namespace

Json attached_rows(const std::vector<DescribedRegion>& regions, const UserAccounts& users, std::uint64_t now_us,
                   std::uint64_t from, std::uint64_t max) {
  Page page(from, max);
  for (const DescribedRegion& region : regions) {
    for (const auto& [key, process] : region.descriptors->processes()) {
      if (!page.takes()) continue;
      page.add({{"region", region.name},
                {"uid", region.uid},
                {"isolation", isolation_name(region.isolation)},
                {"pid", key.first},
                {"pidfd", region.is_watched(key)},
                {"unit", control::printable(process.unit)},
                {"registered_s", seconds_since(process.registered_us, now_us)},
                {"memory", process.memory},
                {"most_memory", process.most_memory},
                {"growths", process.growths},
                {"publishers", process.writes.size()},
                {"subscribers", process.reads.size()},
                {"writes", topics_of(process.writes)},
                {"reads", topics_of(process.reads)},
                {"user_memory", users.held(region.uid, Resource::block_memory)},
                {"user_room", users.room(region.uid, Resource::block_memory)}});
    }
  }
  return page.answer("attached");
}

Json block_rows(const std::vector<DescribedRegion>& regions, std::uint64_t now_us, std::uint64_t from,
                std::uint64_t max) {
  Page page(from, max);
  for (const DescribedRegion& region : regions) {
    for (const auto& [key, list] : region.descriptors->lists()) {
      if (!page.takes()) continue;
      const ListBlocks found = region.descriptors->blocks_of(key, *region.memory, kShownBlocks);
      Json shown = Json::array();
      for (const BlockDescriptor& block : found.blocks) shown.push_back(json_of(block));
      Json row{{"region", region.name},
               {"uid", region.uid},
               {"isolation", isolation_name(region.isolation)},
               {"topic", control::printable(list.topic)},
               {"publisher", list.pid},
               {"published", list.published},
               {"serial", key.second},
               {"memory", list.bytes},
               {"registered_s", seconds_since(list.registered_us, now_us)},
               {"blocks", std::move(shown)},
               {"more", found.more}};
      if (found.invalid != 0) row["invalid"] = found.invalid;
      if (!found.damage.empty()) row["damage"] = found.damage;
      page.add(std::move(row));
    }
  }
  return page.answer("blocks");
}

}  // namespace slotwire::engine
