#include "runtime/engine/config/config_changes.hpp"

#include <algorithm>
#include <variant>

#include "runtime/engine/config/config_keys.hpp"

namespace slotwire::engine {
namespace {

/// Tables that a reload takes up whole.
constexpr std::string_view kReloaded[] = {"service", "allow", "directory"};

bool is_reloaded(std::string_view section) {
  return std::find(std::begin(kReloaded), std::end(kReloaded), section) != std::end(kReloaded);
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
  if (before.congestion.algorithm != after.congestion.algorithm) changed.emplace_back("congestion.algorithm");
  if (before.card.chosen != after.card.chosen || before.card.sysfs != after.card.sysfs) changed.emplace_back("[card]");
  if (before.log.level != after.log.level) changed.emplace_back("log.level");
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
    const bool differs = same == old.end() || section_differs("link", before, after) ||
                         same->encryption != link.encryption || same->congestion != link.congestion;
    if (differs) changed.push_back("the [[link]] to '" + link.peer + "'");
  }
  for (const LinkConfig& link : old) {
    if (std::none_of(now.begin(), now.end(), [&](const LinkConfig& n) { return n.peer == link.peer; }))
      changed.push_back("the [[link]] to '" + link.peer + "'");
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
    if (section->repeated || is_reloaded(key.section) || !differs(key, old, now)) continue;
    changed.push_back(std::string(key.section) + "." + std::string(key.name));
  }
  compare_choices(before, after, changed);
  compare_links(before, after, changed);
  return changed;
}

}  // namespace slotwire::engine
