#include "runtime/engine/config/config_changes.hpp"

#include <algorithm>
#include <variant>

#include "runtime/engine/config/config_keys.hpp"

namespace slotwire::engine {
namespace {

/// Tables that a reload takes up whole.
constexpr std::string_view kReloaded[] = {"service", "allow", "region"};

/// Keys of [limits] that a reload takes up: what processes, users and peers may have, which is asked each time. All
/// others are sizes of tables, or were handed to somebody at the start.
constexpr std::string_view kLiveLimits[] = {"slots_per_session",
                                            "memory_per_session",
                                            "spare_slots",
                                            "spare_time",
                                            "services_per_session",
                                            "sessions_per_user",
                                            "slots_per_user",
                                            "memory_per_user",
                                            "mapped_per_user",
                                            "services_per_user",
                                            "regions_per_user",
                                            "block_memory",
                                            "block_memory_per_user",
                                            "cell_memory",
                                            "pending_opens_per_user",
                                            "user_share",
                                            "reserve",
                                            "slots_per_peer",
                                            "memory_per_peer",
                                            "pending_opens_per_peer",
                                            "opens_per_peer",
                                            "peer_share",
                                            "link_down",
                                            "tool_connections_per_user",
                                            "requests_per_user",
                                            "linger"};

bool is_live(const Key& key) {
  return key.section == "directory" || key.section == "health" ||
         (key.section == "limits" &&
          std::find(std::begin(kLiveLimits), std::end(kLiveLimits), key.name) != std::end(kLiveLimits));
}

bool is_reloaded(const Key& key) {
  return is_live(key) || std::find(std::begin(kReloaded), std::end(kReloaded), key.section) != std::end(kReloaded);
}

/// A choice cannot be read back by its key: those are compared by compare_choices().
bool differs(const Key& key, Config& before, Config& after) {
  return std::visit(
      [&](const auto target) {
        if constexpr (std::is_invocable_v<decltype(target), Config&>) {
          return target(before) != target(after);
        } else {
          return false;
        }
      },
      key.target);
}

void compare_choices(const Config& before, const Config& after, std::vector<std::string>& changed) {
  if (before.congestion.algorithm != after.congestion.algorithm) changed.emplace_back("congestion.algorithm changed");
  if (before.card.chosen != after.card.chosen || before.card.sysfs != after.card.sysfs)
    changed.emplace_back("[card] changed");
  if (before.log.level != after.log.level) changed.emplace_back("log.level changed");
  if (before.log.json != after.log.json) changed.emplace_back("log.format changed");
}

/// The keys of `section`, each from the last element where the section is a list.
bool section_differs(std::string_view section, Config& before, Config& after) {
  const auto keys = config_keys();
  return std::any_of(keys.begin(), keys.end(),
                     [&](const Key& key) { return key.section == section && differs(key, before, after); });
}

void compare_links(Config before, Config after, std::vector<std::string>& changed) {
  const std::vector<LinkConfig> old = std::move(before.links), now = std::move(after.links);
  for (const LinkConfig& link : now) {
    const auto same = std::find_if(old.begin(), old.end(), [&](const LinkConfig& o) { return o.peer == link.peer; });
    after.links = {link};
    if (same != old.end()) before.links = {*same};
    if (same == old.end()) {
      changed.push_back("the [[link]] to '" + link.peer + "' was added");
    } else if (section_differs("link", before, after) || same->encryption != link.encryption ||
               same->congestion != link.congestion) {
      changed.push_back("the [[link]] to '" + link.peer + "' changed");
    }
  }
  for (const LinkConfig& link : old) {
    if (std::none_of(now.begin(), now.end(), [&](const LinkConfig& n) { return n.peer == link.peer; }))
      changed.push_back("the [[link]] to '" + link.peer + "' was removed");
  }
}

}  // namespace

std::vector<std::string> changes_for_a_restart(const Config& before, const Config& after) {
  std::vector<std::string> changed;
  Config old = before, now = after;
  for (const Key& key : config_keys()) {
    const auto sections = config_sections();
    const auto section =
        std::find_if(sections.begin(), sections.end(), [&](const Section& s) { return s.name == key.section; });
    if (section->repeated || is_reloaded(key) || !differs(key, old, now)) continue;
    changed.push_back(std::string(key.section) + "." + std::string(key.name) + " changed");
  }
  compare_choices(before, after, changed);
  compare_links(before, after, changed);
  return changed;
}

std::vector<std::string> take_live_keys(Config& running, const Config& read) {
  std::vector<std::string> taken;
  Config from = read;
  for (const Key& key : config_keys()) {
    if (!is_live(key) || !differs(key, running, from)) continue;
    std::visit(
        [&](const auto target) {
          if constexpr (std::is_invocable_v<decltype(target), Config&>) target(running) = target(from);
        },
        key.target);
    taken.push_back(std::string(key.section) + "." + std::string(key.name));
  }
  return taken;
}

}  // namespace slotwire::engine
