#include "runtime/engine/services/service_table.hpp"

#include <algorithm>

namespace slotwire::engine {

using control::Refusal;

void ServiceTable::serve(std::uint32_t session, uid_t uid, const std::string& service, const std::string& who) {
  const std::set<std::string>& served = of(session);
  if (served.contains(service)) return;
  if (served.size() >= config_.limits.services_per_session) {
    throw Refusal{"quota",
                  who + " serves " + std::to_string(served.size()) + " services already (limits.services_per_session)"};
  }
  if (!services_.contains(service) && services_.size() >= config_.limits.services) {
    throw Refusal{"quota", "node '" + config_.node.name + "' has " + std::to_string(services_.size()) +
                               " services already (limits.services)"};
  }
  if (!services_.contains(service)) {
    users_.check(uid, Resource::services);
    services_[service].charge = UserAccounts::Charge(users_, uid, Resource::services);
  }
  by_session_[session].insert(service);
  services_[service].sessions.push_back(session);
}

void ServiceTable::unserve(std::uint32_t session, const std::string& service) {
  const auto served = by_session_.find(session);
  if (served == by_session_.end() || served->second.erase(service) == 0) return;
  if (served->second.empty()) by_session_.erase(served);
  const auto found = services_.find(service);
  std::erase(found->second.sessions, session);
  if (found->second.sessions.empty()) services_.erase(found);
}

void ServiceTable::forget(std::uint32_t session) {
  const std::set<std::string> served = of(session);
  for (const std::string& service : served) unserve(session, service);
}

std::optional<std::uint32_t> ServiceTable::next(const std::string& service,
                                                const std::function<bool(std::uint32_t)>& ready) {
  const auto found = services_.find(service);
  if (found == services_.end()) return std::nullopt;
  Service& s = found->second;
  for (std::size_t tried = 0; tried < s.sessions.size(); ++tried) {
    s.next = (s.next + 1) % s.sessions.size();
    if (ready(s.sessions[s.next])) return s.sessions[s.next];
  }
  return std::nullopt;
}

const std::set<std::string>& ServiceTable::of(std::uint32_t session) const {
  static const std::set<std::string> none;
  const auto found = by_session_.find(session);
  return found == by_session_.end() ? none : found->second;
}

void ServiceTable::each_of(const std::string& service, const std::function<void(std::uint32_t)>& show) const {
  const auto found = services_.find(service);
  if (found == services_.end()) return;
  for (const std::uint32_t session : found->second.sessions) show(session);
}

void ServiceTable::each(std::size_t most, const std::function<void(const std::string&, std::size_t)>& show) const {
  for (const auto& [name, service] : services_) {
    if (most-- == 0) return;
    show(name, service.sessions.size());
  }
}

}  // namespace slotwire::engine
