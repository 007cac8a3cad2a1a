#include "runtime/engine/services/directory.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "core/suggestion.hpp"

namespace slotwire::engine {

StaticDirectory::StaticDirectory(std::vector<ServiceConfig> services, DirectoryConfig limits)
    : services_(std::move(services)), limits_(std::move(limits)), table_(build(services_, limits_)) {}

StaticDirectory::Table StaticDirectory::build(const std::vector<ServiceConfig>& services,
                                              const DirectoryConfig& limits) {
  std::vector<std::string> problems;
  Table table;
  const auto add = [&](const std::vector<ServiceConfig>& from, const std::string& source) {
    std::set<std::string> seen;
    for (const auto& service : from) {
      if (!seen.insert(service.name).second) {
        problems.push_back(
            format_problem(source, service.at, "service.name",
                           "'" + service.name + "' is there twice; keep one [[service]] with all its nodes"));
      }
      Entry& entry = table[service.name];
      std::vector<std::string>& nodes = entry.nodes;
      entry.spread = entry.spread || service.spread;
      if (entry.inspect == inspect::Language::none) {
        entry.inspect = service.inspect;
        entry.inspect_refuses = service.inspect_refuses;
      }
      for (const auto& node : service.nodes) {
        if (std::find(nodes.begin(), nodes.end(), node) == nodes.end()) nodes.push_back(node);
      }
      if (nodes.size() > limits.nodes_per_service) {
        problems.push_back(format_problem(
            source, service.at, "service.nodes",
            "'" + service.name + "' has " + std::to_string(nodes.size()) +
                " nodes, more than directory.nodes_per_service = " + std::to_string(limits.nodes_per_service) +
                "; raise that or remove nodes"));
      }
    }
  };
  add(services, "configuration");
  if (!limits.file.empty()) add(load_services(limits.file), limits.file);
  if (table.size() > limits.services) {
    problems.push_back((limits.file.empty() ? std::string("configuration") : limits.file) + ": " +
                       std::to_string(table.size()) + " services, more than directory.services = " +
                       std::to_string(limits.services) + "; raise that or remove services");
  }
  if (!problems.empty()) throw ConfigError(std::move(problems));
  return table;
}

Directory::LookupId StaticDirectory::lookup(std::string_view service, Answer answer) {
  Whereabouts whereabouts{Knowledge::none, {}, version_};
  if (const auto found = table_.find(service); found != table_.end()) {
    whereabouts.knowledge = Knowledge::known;
    whereabouts.nodes = found->second.nodes;
    whereabouts.spread = found->second.spread;
    whereabouts.inspect = found->second.inspect;
    whereabouts.inspect_refuses = found->second.inspect_refuses;
  }
  const LookupId id = ++last_lookup_;
  answer(whereabouts);
  return id;
}

void StaticDirectory::each(std::size_t most,
                           const std::function<void(const std::string&, const std::vector<std::string>&)>& show) const {
  for (const auto& [name, entry] : table_) {
    if (most-- == 0) return;
    show(name, entry.nodes);
  }
}

void StaticDirectory::cancel(LookupId) {}

Result<void> StaticDirectory::reload() {
  return replace(services_, limits_);
}

Result<void> StaticDirectory::replace(std::vector<ServiceConfig> services, DirectoryConfig limits) {
  Table table;
  try {
    table = build(services, limits);
  } catch (const ConfigError& error) {
    return Error{std::string("the directory stays as it was: ") + error.what()};
  }
  services_ = std::move(services);
  limits_ = std::move(limits);
  if (table == table_) return {};
  table_ = std::move(table);
  ++version_;
  // A copy, so that whoever is called may set another.
  if (const Changed changed = changed_) changed(version_);
  return {};
}

std::vector<std::string> StaticDirectory::nodes_without_link(const Config& config) const {
  constexpr std::size_t kMostLines = 100;
  std::vector<std::string_view> known{config.node.name};
  for (const LinkConfig& link : config.links) known.emplace_back(link.peer);
  std::vector<std::string> lines;
  for (const auto& [service, entry] : table_) {
    for (const std::string& node : entry.nodes) {
      if (std::find(known.begin(), known.end(), node) != known.end()) continue;
      if (lines.size() == kMostLines) return lines;
      const std::string_view meant = core::suggestion(node, known);
      lines.push_back("service '" + service + "' names node '" + node +
                      "', which is the peer of no [[link]], so it is " + "not found there" +
                      (meant.empty() ? "" : "; did you mean '" + std::string(meant) + "'?"));
    }
  }
  return lines;
}

}  // namespace slotwire::engine
