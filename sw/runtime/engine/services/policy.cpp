#include "runtime/engine/services/policy.hpp"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <limits>
#include <optional>

namespace slotwire::engine {
namespace {

constexpr std::size_t kFirstNameBuffer = 1024;
constexpr std::size_t kMaxNameBuffer = 1 << 20;  // a group of many thousand members fits

/// A number written as such. The largest one means "no user" to the kernel and is none here.
template <class Id>
std::optional<Id> numeric_id(const std::string& name) {
  Id id = 0;
  const char* const end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data(), end, id);
  if (error != std::errc{} || rest != end || id == std::numeric_limits<Id>::max()) return std::nullopt;
  return id;
}

/// Calls getpwnam_r or getgrnam_r with a buffer that grows as long as the library asks for more.
template <class Record, class Lookup>
bool look_up(const std::string& name, Lookup lookup, Record& record, std::vector<char>& buffer) {
  for (std::size_t size = kFirstNameBuffer; size <= kMaxNameBuffer; size *= 4) {
    buffer.resize(size);
    Record* found = nullptr;
    const int error = lookup(name.c_str(), &record, buffer.data(), buffer.size(), &found);
    if (error != ERANGE) return found != nullptr;
  }
  return false;
}

std::optional<uid_t> user_id(const std::string& name) {
  if (const auto id = numeric_id<uid_t>(name)) return id;
  passwd record{};
  std::vector<char> buffer;
  if (!look_up(name, getpwnam_r, record, buffer)) return std::nullopt;
  return record.pw_uid;
}

std::optional<gid_t> group_id(const std::string& name) {
  if (const auto id = numeric_id<gid_t>(name)) return id;
  group record{};
  std::vector<char> buffer;
  if (!look_up(name, getgrnam_r, record, buffer)) return std::nullopt;
  return record.gr_gid;
}

template <class Range, class Value>
bool contains(const Range& range, const Value& value) {
  return std::find(range.begin(), range.end(), value) != range.end();
}

const char* verb(Action action) {
  return action == Action::serve ? "serve" : "connect to";
}
const char* name(Action action) {
  return action == Action::serve ? "serve" : "connect";
}

}  // namespace

Policy::Policy(const Config& config, uid_t own_uid) : source_(config.source), own_uid_(own_uid) {
  std::vector<std::string> problems;
  const auto add_principals = [&](const auto& from, const std::string& table, Rule& rule) {
    const auto unknown = [&](const std::string& key, const std::string& who) {
      problems.push_back(
          format_problem(config.source, from.at, table + "." + key,
                         "'" + printable(who) + "' is not known to this system; create it or remove it"));
    };
    for (const auto& user : from.users) {
      if (user == "*") {
        rule.all_users = true;
      } else if (const auto id = user_id(user)) {
        rule.users.push_back(*id);
      } else {
        unknown("users", user);
      }
    }
    for (const auto& group : from.groups) {
      if (const auto id = group_id(group)) {
        rule.groups.push_back(*id);
      } else {
        unknown("groups", group);
      }
    }
  };
  for (const auto& from : config.allow) {
    Rule rule{from.action, from.isolation, from.at.line, from.service, false, {}, {}, false, {}};
    add_principals(from, "allow", rule);
    rule.all_nodes = contains(from.nodes, std::string("*"));
    rule.nodes = from.nodes;
    rules_.push_back(std::move(rule));
  }
  for (const auto& from : config.regions) {
    Rule rule{Action::connect, from.isolation, from.at.line, from.name, false, {}, {}, false, {}};
    add_principals(from, "region", rule);
    regions_.push_back(std::move(rule));
  }
  if (!problems.empty()) throw ConfigError(std::move(problems));
}

bool Policy::fits_process(const Rule& rule, uid_t uid, std::span<const gid_t> gids) {
  return rule.all_users || contains(rule.users, uid) ||
         std::any_of(gids.begin(), gids.end(), [&](gid_t gid) { return contains(rule.groups, gid); });
}

Decision Policy::may_open_region(uid_t uid, std::span<const gid_t> gids, std::string_view region) const {
  for (const auto& rule : regions_) {
    if (!matches_service_pattern(rule.service, region)) continue;
    const std::string where = source_ + ":" + std::to_string(rule.line);
    if (fits_process(rule, uid, gids)) return {true, rule.isolation, rule.line, "allowed by the rule at " + where};
    return {false, rule.isolation, rule.line,
            "user " + std::to_string(uid) + " may not open region '" + printable(region) +
                "': the [[region]] rule at " + where +
                " names other users and groups; add it there, or ask who runs slotwired"};
  }
  return {true, Isolation::shared, 0, "allowed: no [[region]] rule names it"};
}

template <class Fits>
Decision Policy::decide(Action action, std::string_view service, const std::string& who, Fits fits) const {
  for (const auto& rule : rules_) {
    if (rule.action != action || !matches_service_pattern(rule.service, service) || !fits(rule)) continue;
    return {true, rule.isolation, rule.line, "allowed by the rule at " + source_ + ":" + std::to_string(rule.line)};
  }
  return {false, Isolation::shared, 0,
          who + " may not " + verb(action) + " service '" + printable(service) +
              "': no [[allow]] rule with action = \"" + name(action) + "\" in " + source_ +
              " fits; add one, or ask who runs slotwired"};
}

Decision Policy::decide_local(Action action, uid_t uid, std::span<const gid_t> gids, std::string_view service) const {
  const std::string who = "user " + std::to_string(uid);
  if (rules_.empty()) {
    if (uid == 0 || uid == own_uid_) return {true, Isolation::shared, 0, "allowed: there are no [[allow]] rules"};
    return {false, Isolation::shared, 0,
            who + " may not " + verb(action) + " service '" + printable(service) +
                "': without [[allow]] rules only root and user " + std::to_string(own_uid_) + " may; add a rule to " +
                source_ + ", or ask who runs slotwired"};
  }
  return decide(action, service, who, [&](const Rule& rule) { return fits_process(rule, uid, gids); });
}

Decision Policy::may_serve(uid_t uid, std::span<const gid_t> gids, std::string_view service) const {
  return decide_local(Action::serve, uid, gids, service);
}

Decision Policy::may_connect(uid_t uid, std::span<const gid_t> gids, std::string_view service) const {
  return decide_local(Action::connect, uid, gids, service);
}

Decision Policy::may_connect_remote(std::string_view node, std::string_view service) const {
  if (rules_.empty()) return {true, Isolation::shared, 0, "allowed: there are no [[allow]] rules"};
  return decide(Action::connect, service, "node '" + printable(node) + "'",
                [&](const Rule& rule) { return rule.all_nodes || contains(rule.nodes, node); });
}

}  // namespace slotwire::engine
