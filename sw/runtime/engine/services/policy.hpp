// Who may serve and connect: the [[allow]] rules of the configuration, with their names resolved.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/engine/config/config.hpp"

namespace slotwire::engine {

/// The answer to one question. `reason` is for people: which rule allowed it, or why nothing did and what would.
struct Decision {
  bool allowed = false;
  Isolation isolation = Isolation::shared;  ///< meaningful when allowed
  std::uint32_t rule_line = 0;              ///< line of the rule in the configuration; 0: no rule, the built-in default
  std::string reason;
};

/// Immutable; any thread may ask. A reload makes a new Policy and replaces the old one.
/// Without any rule root and `own_uid` may serve and connect, and so may linked nodes; with rules, only what one
/// allows.
class Policy {
 public:
  /// Looks up every user and group of the rules. Throws ConfigError naming each that does not exist.
  Policy(const Config& config, uid_t own_uid);

  /// May a local process serve `service`? `gids` are all its groups, the primary one included.
  Decision may_serve(uid_t uid, std::span<const gid_t> gids, std::string_view service) const;
  /// May a local process connect to `service`, wherever that is served?
  Decision may_connect(uid_t uid, std::span<const gid_t> gids, std::string_view service) const;
  /// May a local process open the region? The isolation is meaningful when it may.
  Decision may_open_region(uid_t uid, std::span<const gid_t> gids, std::string_view region) const;
  /// May processes of the linked node `node` connect to `service` here? `node` is the name that the link proved.
  Decision may_connect_remote(std::string_view node, std::string_view service) const;

 private:
  struct Rule {
    Action action;
    Isolation isolation;
    std::uint32_t line;
    std::string service;
    bool all_users = false;
    std::vector<uid_t> users;
    std::vector<gid_t> groups;
    bool all_nodes = false;
    std::vector<std::string> nodes;
  };

  static bool fits_process(const Rule& rule, uid_t uid, std::span<const gid_t> gids);
  template <class Fits>
  Decision decide(Action action, std::string_view service, const std::string& who, Fits fits) const;
  Decision decide_local(Action action, uid_t uid, std::span<const gid_t> gids, std::string_view service) const;

  std::string source_;
  uid_t own_uid_;
  std::vector<Rule> rules_;
  std::vector<Rule> regions_;  ///< `service` is the region's pattern
};

}  // namespace slotwire::engine
