#include "runtime/engine/services/node_health.hpp"

#include <algorithm>

namespace slotwire::engine {

void NodeHealth::use(const std::string& service, std::span<const std::string> nodes) {
  auto found = services_.find(service);
  if (nodes.size() < 2 || config_.health.interval.count() == 0) {
    if (found != services_.end()) services_.erase(found);
    return;
  }
  if (found == services_.end()) {
    while (services_.size() >= config_.health.services) {
      services_.erase(std::min_element(services_.begin(), services_.end(),
                                       [](const auto& a, const auto& b) { return a.second.used < b.second.used; }));
    }
    found = services_.emplace(service, Service{}).first;
  }
  Service& entry = found->second;
  entry.used = ++uses_;
  std::erase_if(entry.nodes,
                [&](const auto& node) { return std::find(nodes.begin(), nodes.end(), node.first) == nodes.end(); });
  for (const std::string& node : nodes) {
    if (node != config_.node.name) entry.nodes.try_emplace(node);
  }
}

void NodeHealth::tick() {
  const auto interval = static_cast<std::uint64_t>(config_.health.interval.count());
  const std::uint64_t now = loop_.now_us();
  if (interval == 0) services_.clear();
  if (interval == 0 || now < next_us_) return;
  next_us_ = now + interval;
  for (const auto& peer : peers_.all()) {
    if (!peer || !peer->usable()) continue;  // a link that is down is known to be
    std::vector<std::string> services;
    for (auto& [name, service] : services_) {
      const auto node = service.nodes.find(peer->name());
      if (node == service.nodes.end()) continue;
      RemoteHealth& health = node->second;
      if (health.waiting && health.known) note(name, node->first, health, false);
      health.waiting = true;
      services.push_back(name);
    }
    ask(*peer, services);
  }
}

void NodeHealth::ask(const Peer& peer, const std::vector<std::string>& services) {
  control::AskHealth message;
  for (const std::string& service : services) {
    message.services.push_back({service});
    if (message.services.size() < control::kMaxHealthServices) continue;
    send(peer, message);
    message.services.clear();
  }
  if (!message.services.empty()) send(peer, message);
}

void NodeHealth::send(const Peer& peer, const control::AskHealth& message) {
  ++owed_[peer.link.index];  // before it is sent: that may find the connection lost
  peers_.send(peer.link.index, message);
}

void NodeHealth::on_health(const Peer& peer, const control::HealthAnswer& answer) {
  const auto owed = owed_.find(peer.link.index);
  if (owed == owed_.end()) throw Refusal{"bad_request", "an answer about health that nobody asked for"};
  if (--owed->second == 0) owed_.erase(owed);
  for (const control::ServiceHealth& said : answer.services) {
    const auto service = services_.find(said.service);
    if (service == services_.end()) continue;  // it made room meanwhile
    const auto node = service->second.nodes.find(peer.name());
    if (node == service->second.nodes.end()) continue;
    RemoteHealth& health = node->second;
    health.processes = said.processes;
    health.well = std::min(said.well, said.processes);
    health.known = true;
    if (!health.waiting) continue;
    health.waiting = false;
    note(said.service, node->first, health, health.well != 0);
  }
}

void NodeHealth::note(const std::string& service, const std::string& node, RemoteHealth& health, bool good) {
  if (!health.count.note(good, config_.health)) return;
  const std::string what = "service '" + service + "' on node '" + node + "' is ";
  if (!health.count.failing()) {
    log_.limited("health " + service, spdlog::level::info, what + "well again");
  } else if (health.waiting) {
    log_.limited("health " + service, spdlog::level::warn, what + "failing: the node does not answer");
  } else {
    log_.limited("health " + service, spdlog::level::warn,
                 what + "failing: of its " + std::to_string(health.processes) + " processes none is well");
  }
}

bool NodeHealth::is_failing(const std::string& service, const std::string& node) const {
  const auto found = services_.find(service);
  if (found == services_.end()) return false;
  const auto there = found->second.nodes.find(node);
  return there != found->second.nodes.end() && there->second.count.failing();
}

void NodeHealth::each(std::size_t most, const std::function<void(const std::string& service, const std::string& node,
                                                                 const RemoteHealth& health)>& show) const {
  for (const auto& [name, service] : services_) {
    for (const auto& [node, health] : service.nodes) {
      if (most-- == 0) return;
      show(name, node, health);
    }
  }
}

}  // namespace slotwire::engine
