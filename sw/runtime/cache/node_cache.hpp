// The cache of one user on one node: memory that the user's processes share, made by the first of them that needs it,
// and gone with the last ("Who shares a cache" in docs/cache.md). No engine has a part in it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/cache/cache.hpp"
#include "core/slot/memory.hpp"

namespace slotwire::cache {

inline constexpr std::size_t kDefaultBytes = std::size_t{64} << 20;

/// CLOCK_BOOTTIME, which also counts the time that the machine sleeps.
Time boot_time();
/// This process, and whether another one lives; of an owner only the bits of short_owner() when `is_short`.
Owner own_name();
bool is_alive(Owner owner, bool is_short);

class NodeCache {
 public:
  /// The cache of the node that `label` names (the same text in all its processes), made with so many bytes if there is
  /// none. Contexts of one process share one. Throws std::system_error or std::runtime_error with what to do.
  static std::shared_ptr<NodeCache> open(const std::string& label, std::size_t bytes);
  /// Names of all caches of this user, for open_existing().
  static std::vector<std::string> names();
  /// Joins the cache with this name. nullptr: the last process left it just now.
  static std::shared_ptr<NodeCache> open_existing(const std::string& name);

  Cache& cache() { return *cache_; }
  std::span<std::byte> memory() const { return {mapping_.data(), mapping_.size()}; }
  /// False in a child that was forked: it has this object too, and nobody finds the memory through it.
  bool is_own() const;

 private:
  NodeCache() = default;
  bool join(const std::string& prefix, const std::string& label);
  void make(const std::string& label, std::size_t bytes);
  void view();

  slot::Fd file_, socket_;
  slot::Mapping mapping_;
  std::unique_ptr<Cache> cache_;
  Owner owner_ = 0;
};

/// The text that names a node: its name and the path of its control socket.
std::string label_of(const std::string& node, const std::string& socket);

}  // namespace slotwire::cache
