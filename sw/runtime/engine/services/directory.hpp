// Which nodes serve which service. One interface; the static directory reads it from the configuration and a file.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/engine/config/config.hpp"
#include "runtime/engine/host/result.hpp"

namespace slotwire::engine {

enum class Knowledge : std::uint8_t {
  unknown_yet,  ///< the store cannot say now (not reached, still loading); a change is reported when it can
  none,         ///< nobody serves it
  known,
};

/// The answer to one lookup.
struct Whereabouts {
  Knowledge knowledge = Knowledge::unknown_yet;
  std::vector<std::string> nodes;  ///< in the order to try them; not empty exactly when known
  std::uint64_t version = 0;       ///< the directory's version that the answer is from
  bool spread = false;             ///< connections take turns among the nodes
  inspect::Language inspect = inspect::Language::none;
  bool inspect_refuses = false;
};

/// Every call comes from the engine's thread, and so does every call back. A store behind a network keeps that rule by
/// handing its answers to the engine's reactor.
class Directory {
 public:
  using LookupId = std::uint64_t;
  using Answer = std::function<void(const Whereabouts&)>;
  using Changed = std::function<void(std::uint64_t version)>;

  virtual ~Directory() = default;

  /// Answers exactly once, possibly before it returns, never after cancel(). An implementation that waits for others
  /// has a limit for lookups under way, and answers unknown_yet beyond it.
  virtual LookupId lookup(std::string_view service, Answer answer) = 0;
  /// Forgets a lookup that has not been answered; any other id is ignored.
  virtual void cancel(LookupId id) = 0;
  /// Calls `show(name, nodes)` for at most `most` services that it knows now.
  virtual void each(std::size_t most,
                    const std::function<void(const std::string&, const std::vector<std::string>&)>& show) const = 0;
  /// Grows with every change.
  virtual std::uint64_t version() const = 0;
  /// Calls `changed` after each change, in place of whoever was called before; an empty function ends it.
  virtual void on_change(Changed changed) = 0;
};

/// The [[service]] tables of the configuration, and those of a file that reload() reads again. A service in both has
/// the nodes of both, the configuration's first, and is inspected as the configuration says if it does. Knows
/// everything at once: no answer is ever unknown_yet.
class StaticDirectory : public Directory {
 public:
  /// `limits.file` may be empty. Throws ConfigError when the file is wrong.
  StaticDirectory(std::vector<ServiceConfig> services, DirectoryConfig limits);

  LookupId lookup(std::string_view service, Answer answer) override;
  void cancel(LookupId id) override;
  void each(std::size_t most,
            const std::function<void(const std::string&, const std::vector<std::string>&)>& show) const override;
  std::uint64_t version() const override { return version_; }
  void on_change(Changed changed) override { changed_ = std::move(changed); }

  /// Reads the file again. When it is wrong, what was known stays and the error says what is wrong. The version grows
  /// and the change is reported only when something is different.
  [[nodiscard]] Result<void> reload();
  /// Replaces what came from the configuration and the file's name too, then as reload().
  [[nodiscard]] Result<void> replace(std::vector<ServiceConfig> services, DirectoryConfig limits);

  std::size_t size() const { return table_.size(); }

  /// A line for each node that a service names and that is neither `config`'s own nor the peer of a [[link]] of it: the
  /// service is not found there. At most a hundred.
  std::vector<std::string> nodes_without_link(const Config& config) const;

 private:
  struct Entry {
    std::vector<std::string> nodes;
    bool spread = false;
    inspect::Language inspect = inspect::Language::none;
    bool inspect_refuses = false;
    bool operator==(const Entry&) const = default;
  };
  using Table = std::map<std::string, Entry, std::less<>>;

  static Table build(const std::vector<ServiceConfig>& services, const DirectoryConfig& limits);

  std::vector<ServiceConfig> services_;
  DirectoryConfig limits_;
  Table table_;
  std::uint64_t version_ = 1;
  LookupId last_lookup_ = 0;
  Changed changed_;
};

}  // namespace slotwire::engine
