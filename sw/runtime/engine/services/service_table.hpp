// Which processes of this node serve which services.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runtime/control/messages.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/sessions/user_accounts.hpp"

namespace slotwire::engine {

/// One thread. Sessions are named by their numbers.
class ServiceTable {
 public:
  ServiceTable(const Config& config, UserAccounts& users) : config_(config), users_(users) {}

  /// Does nothing when the session serves it already. `who` is for texts. Throws Refusal (quota).
  void serve(std::uint32_t session, uid_t uid, const std::string& service, const std::string& who);
  /// Does nothing when the session does not serve it.
  void unserve(std::uint32_t session, const std::string& service);
  /// The session has ended.
  void forget(std::uint32_t session);

  /// The next of the sessions that serve it, in turn, for which `ready` holds; none: there is no such session.
  std::optional<std::uint32_t> next(const std::string& service, const std::function<bool(std::uint32_t)>& ready);

  std::size_t size() const { return services_.size(); }
  const std::set<std::string>& of(std::uint32_t session) const;
  /// Calls `show` with each session that serves it.
  void each_of(const std::string& service, const std::function<void(std::uint32_t)>& show) const;
  /// Calls `show(name, processes)` for at most `most` services.
  void each(std::size_t most, const std::function<void(const std::string&, std::size_t)>& show) const;

 private:
  struct Service {
    std::vector<std::uint32_t> sessions;
    std::size_t next = 0;
    UserAccounts::Charge charge;  ///< of the user that served it first
  };

  const Config& config_;
  UserAccounts& users_;
  std::map<std::string, Service> services_;
  std::map<std::uint32_t, std::set<std::string>> by_session_;
};

}  // namespace slotwire::engine
