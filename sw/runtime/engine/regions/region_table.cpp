#include "runtime/engine/regions/region_table.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <stdexcept>

#include "runtime/blocks/meeting.hpp"
#include "runtime/engine/regions/found_memory.hpp"
#include "runtime/engine/regions/region_record.hpp"

namespace slotwire::engine {
namespace {

/// Announcements that are looked at when the engine starts.
constexpr std::size_t kMaxAnnounced = 4096;
/// Between two looks at processes that are not watched.
constexpr std::uint32_t kTicksPerLook = 4;
/// Where the cells' rows begin in the report: beyond the place of any region.
constexpr std::uint64_t kFirstCellRow = 1 << 16;

const char* origin_name(KeptRegion::Origin origin) {
  switch (origin) {
    case KeptRegion::Origin::made:
      return "made";
    case KeptRegion::Origin::found:
      return "found";
    case KeptRegion::Origin::kept:
      return "kept";
  }
  return "unknown";
}

/// So that processes of the user, and nobody else, can open it through /proc: what lies behind a descriptor of theirs
/// is looked up as theirs.
void give_to_user(const slot::Fd& file, uid_t uid) {
  if (::fchown(file.get(), uid, static_cast<gid_t>(-1)) == 0) return;
  // Other users cannot reach the descriptors of this user's processes, whatever the mode says.
  if (::fchmod(file.get(), 0666) != 0) throw Refusal{"no_memory", "the mode of a region's memory cannot be set"};
}

}  // namespace

RegionTable::RegionTable(RegionParts parts, const Policy& policy)
    : parts_(std::move(parts)),
      policy_(policy),
      watches_(parts_.config.limits.region_processes),
      list_files_(parts_.config.limits.region_lists) {}

KeptRegion* RegionTable::find(uid_t uid, const std::string& name) {
  for (const auto& [index, region] : regions_) {
    if (region->uid() == uid && region->name() == name) return region.get();
  }
  return nullptr;
}

std::uint32_t RegionTable::free_index() const {
  std::uint32_t index = 0;
  while (regions_.contains(index)) ++index;
  return index;
}

KeptRegion& RegionTable::add(const std::string& name, uid_t uid, slot::Fd file, KeptRegion::Origin origin) {
  const std::uint32_t index = free_index();
  auto region = std::make_unique<KeptRegion>(parts_, index, name, uid, std::move(file), origin, watches_, list_files_);
  region->on_end([this, index] { look_if_due(index, false); });
  KeptRegion& added = *region;
  regions_[index] = std::move(region);
  return added;
}

RegionTable::Opened RegionTable::open(const PeerCredentials& who, const control::RegionRequest& request) {
  if (const std::string wrong = blocks::wrong_region_name(request.region); !wrong.empty())
    throw Refusal{"bad_request", "in 'region': " + wrong};
  const Decision decision = policy_.may_open_region(who.uid, who.gids, request.region);
  if (!decision.allowed) throw Refusal{"refused", decision.reason};
  Opened opened;
  opened.answer.node = parts_.config.node.name;
  if (decision.isolation == Isolation::strict) {
    open_cell(who, request.region, opened);
    return opened;
  }
  // Processes whose numbers mean others here are left to themselves.
  if (request.pid_namespace != blocks::own_pid_namespace()) return opened;
  if (request.bytes != 0) {
    // What its other publishers have by now counts.
    if (const KeptRegion* const known = find(who.uid, request.region)) look(known->index(), false);
    parts_.users.check(who.uid, Resource::block_memory, request.bytes);
  }
  KeptRegion* region = find(who.uid, request.region);
  if (request.make) {
    region = &make(who, request.region);
    opened.fds.push_back(region->file().get());
  } else if (region == nullptr && request.bytes == 0 && try_to_find(who.uid, request.region)) {
    region = find(who.uid, request.region);
  }
  opened.answer.kept = region != nullptr;
  return opened;
}

void RegionTable::check_room(uid_t uid) {
  parts_.users.check(uid, Resource::regions);
  parts_.users.check(uid, Resource::block_memory, blocks::region_bytes());
  if (size() < parts_.config.limits.regions) return;
  throw Refusal{"quota", "all " + std::to_string(parts_.config.limits.regions) + " regions and cells of node '" +
                             parts_.config.node.name + "' are in use (limits.regions)"};
}

StrictRegion& RegionTable::strict(const std::string& name) {
  std::unique_ptr<StrictRegion>& region = strict_[name];
  if (!region) {
    region = std::make_unique<StrictRegion>(parts_, budget_, name, [this, name](std::uint32_t cell) {
      cells_.erase(cell);
      if (const auto found = strict_.find(name); found != strict_.end() && found->second->empty()) strict_.erase(found);
    });
  }
  return *region;
}

Cell::Events RegionTable::events_of(const std::string& name, std::uint32_t cell) {
  const auto look_soon = [this, name, cell] {
    if (const auto found = strict_.find(name); found != strict_.end()) found->second->look_soon(cell);
  };
  return {look_soon, look_soon};
}

void RegionTable::open_cell(const PeerCredentials& who, const std::string& name, Opened& opened) {
  check_room(who.uid);
  std::uint32_t index = 0;
  while (cells_.contains(index)) ++index;
  std::array<char, 2 * sizeof(std::uint64_t) + 1> random{};
  std::snprintf(random.data(), random.size(), "%08x%08x", parts_.random(), parts_.random());
  RegionRecord record{name, std::string("slotwire.cell.") + random.data(), who.uid, who.pid, who.start_time};
  auto cell = std::make_unique<Cell>(parts_, index, std::move(record), made_bytes_, events_of(name, index));
  cell->start();
  opened.answer.isolation = "strict";
  opened.answer.kept = true;
  opened.answer.prefix = cell->record().prefix;
  opened.fds = cell->for_process();
  opened.cell = cell.get();
  cells_[index] = name;
  strict(name).add(std::move(cell));
}

void RegionTable::sent(const Opened& opened) {
  if (opened.cell != nullptr) opened.cell->sent();
}

/// Whoever asks has the right to make it, and has looked for one. So if there is one, its processes have left, or are
/// in another network namespace.
KeptRegion& RegionTable::make(const PeerCredentials& who, const std::string& name) {
  if (const KeptRegion* const old = find(who.uid, name)) look(old->index(), true);
  check_room(who.uid);
  slot::Fd file = slot::create_sealed_file("slotwire-region", blocks::region_bytes());
  {
    const slot::Mapping mapping = slot::map_file(file.get(), blocks::region_bytes(), slot::Access::read_write);
    blocks::begin_region(*reinterpret_cast<blocks::RegionMemory*>(mapping.data()), name);
  }
  give_to_user(file, who.uid);
  const slot::Fd record = RegionRecord{.name = name, .prefix = {}, .uid = who.uid}.write();
  const std::array<int, 2> kept{file.get(), record.get()};
  if (const auto stored = parts_.store.store(KeptTag::of_region(free_index()).number(), kept); !stored.ok()) {
    if (!parts_.store.ready()) throw StoreLate(stored.error().text);
    throw Refusal{"no_memory", stored.error().text};
  }
  KeptRegion& made = add(name, who.uid, std::move(file), KeptRegion::Origin::made);
  made.expect();
  return made;
}

bool RegionTable::try_to_find(uid_t uid, const std::string& name) {
  if (size() >= parts_.config.limits.regions || parts_.users.forbids(uid, Resource::regions)) {
    parts_.log.limited("regions", spdlog::level::warn,
                       "region '" + name + "' of user " + std::to_string(uid) +
                           " is not taken over: limits.regions or limits.regions_per_user is reached; its processes go "
                           "on without slotwired");
    return false;
  }
  std::string why;
  slot::Fd file = find_directory(uid, name, why);
  if (!file) {
    if (!why.empty()) {
      parts_.log.limited("regions", spdlog::level::info,
                         why +
                             ": it goes on without slotwired, which can take over regions of its own user alone "
                             "unless it runs as root");
    }
    return false;
  }
  KeptRegion& found = add(name, uid, std::move(file), KeptRegion::Origin::found);
  found.expect();
  look(found.index(), true);
  if (find(uid, name) == nullptr) return false;
  parts_.log->info("region '{}' of user {} is taken over: {} processes had made it without slotwired", name, uid,
                   found.figures().processes);
  if (policy_.may_open_region(uid, {}, name).isolation == Isolation::strict) {
    parts_.log->warn(
        "region '{}' of user {} is shared, though its [[region]] rule says strict: processes made it while "
        "slotwired was away; they meet those of the strict region when they open it again",
        name, uid);
  }
  return true;
}

void RegionTable::find_existing() {
  for (const blocks::Announced& one : blocks::announced_by_all(kMaxAnnounced)) {
    if (!blocks::wrong_region_name(one.name).empty() || find(one.uid, one.name) != nullptr) continue;
    try_to_find(one.uid, one.name);
  }
}

void RegionTable::recover_cell(std::uint32_t index, std::vector<slot::Fd> fds) {
  if (fds.size() != 3) throw std::runtime_error("it is no cell");
  RegionRecord record = RegionRecord::read(fds[1]);
  const std::string name = record.name;
  auto cell =
      std::make_unique<Cell>(parts_, index, std::move(record), made_bytes_, events_of(name, index), std::move(fds));
  cell->start();
  cells_[index] = name;
  strict(name).add(std::move(cell));
}

void RegionTable::recover(const KeptTag& tag, std::vector<slot::Fd> fds) {
  if (tag.kind == KeptKind::cell) return recover_cell(tag.index, std::move(fds));
  if (tag.kind == KeptKind::list) {
    const std::uint32_t index = tag.index >> 16U;
    Cell* const cell = cells_.contains(index) ? strict(cells_.at(index)).find(index) : nullptr;
    if (cell == nullptr || fds.size() != 1) throw std::runtime_error("it belongs to no cell");
    return cell->recover_list(static_cast<std::uint16_t>(tag.index & 0xffffU), std::move(fds[0]));
  }
  if (fds.size() != 2) throw std::runtime_error("it is no region");
  const RegionRecord record = RegionRecord::read(fds[1]);
  auto region = std::make_unique<KeptRegion>(parts_, tag.index, record.name, record.uid, std::move(fds[0]),
                                             KeptRegion::Origin::kept, watches_, list_files_);
  region->on_end([this, index = tag.index] { look_if_due(index, false); });
  region->expect();
  regions_[tag.index] = std::move(region);
  look(tag.index, true);
}

void RegionTable::look(std::uint32_t index, bool all) {
  const auto found = regions_.find(index);
  if (found == regions_.end()) return;
  const bool stays = found->second->look(all);
  budget_.spend(found->second->uid(), found->second->take_cost());
  if (stays) return;
  parts_.log->debug("region '{}' of user {} has no process any more", found->second->name(), found->second->uid());
  // What was found is in no store.
  if (found->second->origin() != KeptRegion::Origin::found)
    parts_.log.note(parts_.store.remove(KeptTag::of_region(index).number()));
  regions_.erase(found);
}

void RegionTable::look_if_due(std::uint32_t index, bool all) {
  const auto found = regions_.find(index);
  if (found == regions_.end()) return;
  if (budget_.is_spent(found->second->uid())) {
    put_off_[index] = put_off_[index] || all;
    return;
  }
  look(index, all);
}

/// Begins with another region each time, so that each has its turn however much the others of its user cost.
void RegionTable::tick() {
  const bool all = ++ticks_ % kTicksPerLook == 0;
  std::map<std::uint32_t, bool> due = std::exchange(put_off_, {});
  for (const auto& [index, region] : regions_) {
    if (all || region->has_news()) due[index] = due[index] || all;
  }
  budget_.renew();
  for (const auto& [name, region] : strict_) region->on_tick();
  const auto begin = due.lower_bound(first_);
  const auto look_at = [this](auto from, auto to) {
    for (auto one = from; one != to; ++one) look_if_due(one->first, one->second);
  };
  look_at(begin, due.end());
  look_at(due.begin(), begin);
  // Those that were put off come first, from the first of them on behind which others were looked at.
  const auto next = put_off_.lower_bound(first_);
  first_ = next != put_off_.end() ? next->first : put_off_.empty() ? 0 : put_off_.begin()->first;
}

std::size_t RegionTable::kept() const {
  std::size_t tags = static_cast<std::size_t>(std::count_if(regions_.begin(), regions_.end(), [](const auto& region) {
    return region.second->origin() != KeptRegion::Origin::found;
  }));
  for (const auto& [name, region] : strict_) tags += region->kept();
  return tags;
}

control::Json RegionTable::report(std::uint64_t from, std::uint64_t max) const {
  control::Json rows = control::Json::array();
  std::int64_t next = -1;
  for (const auto& [index, region] : regions_) {
    if (index < from) continue;
    if (rows.size() == std::min<std::uint64_t>(max, control::kMaxPage)) {
      next = index;
      break;
    }
    const RegionFigures figures = region->figures();
    rows.push_back({{"region", region->name()},
                    {"uid", region->uid()},
                    {"isolation", "shared"},
                    {"origin", origin_name(region->origin())},
                    {"processes", figures.processes},
                    {"publishers", figures.publishers},
                    {"subscribers", figures.subscribers},
                    {"memory", figures.bytes}});
  }
  if (next < 0) {
    // Cells come after the regions; a page that has begun with them goes on where it stopped.
    std::uint64_t at = kFirstCellRow;
    for (const auto& [name, region] : strict_) {
      for (control::Json& row : region->report()) {
        if (at++ < from) continue;
        if (rows.size() == std::min<std::uint64_t>(max, control::kMaxPage)) {
          next = static_cast<std::int64_t>(at - 1);
          return control::Json{{"regions", std::move(rows)}, {"next", next}};
        }
        rows.push_back(std::move(row));
      }
    }
  }
  return control::Json{{"regions", std::move(rows)}, {"next", next}};
}

std::vector<DescribedRegion> RegionTable::described(uid_t viewer) {
  std::vector<DescribedRegion> all;
  const auto may_see = [&](uid_t uid) { return uid == viewer || parts_.users.trusted(viewer); };
  for (const auto& [index, region] : regions_) {
    if (!may_see(region->uid())) continue;
    all.push_back({region->name(), region->uid(), Isolation::shared, &region->descriptors(), &region->directory(),
                   [one = region.get()](const KeptRegion::Key& key) { return one->is_watched(key); }});
  }
  for (const auto& [name, region] : strict_) {
    region->visit_cells([&, &shown = name](Cell& cell) {
      if (!may_see(cell.record().uid)) return;
      const bool there = !cell.ended();
      all.push_back({shown, cell.record().uid, Isolation::strict, &cell.descriptors(), &cell.directory(),
                     [there](const KeptRegion::Key& /*key*/) { return there; }});
    });
  }
  return all;
}

control::Json RegionTable::attached(uid_t viewer, std::uint64_t from, std::uint64_t max) {
  return attached_rows(described(viewer), parts_.users, parts_.loop.now_us(), from, max);
}

control::Json RegionTable::blocks(uid_t viewer, std::uint64_t from, std::uint64_t max) {
  return block_rows(described(viewer), parts_.loop.now_us(), from, max);
}

}  // namespace slotwire::engine
