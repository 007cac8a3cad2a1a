// The regions of a node: who may open them, and those that the engine keeps.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/engine/recovery/descriptor_store.hpp"
#include "runtime/engine/regions/descriptor_rows.hpp"
#include "runtime/engine/regions/kept_region.hpp"
#include "runtime/engine/regions/look_budget.hpp"
#include "runtime/engine/regions/strict_region.hpp"
#include "runtime/engine/services/policy.hpp"

namespace slotwire::engine {

/// One thread.
class RegionTable {
 public:
  RegionTable(RegionParts parts, const Policy& policy);

  struct Opened {
    control::RegionAnswer answer{};
    std::vector<int> fds{};  ///< that go with the answer; they stay the table's
    Cell* cell = nullptr;
  };
  /// A process asks where its memory is. Throws Refusal, or StoreLate.
  Opened open(const PeerCredentials& who, const control::RegionRequest& request);
  /// What open() returned has been sent: the process's end of a channel is the process's alone from now on.
  void sent(const Opened& opened);

  /// Takes over what an earlier life made, out of the store.
  void recover(const KeptTag& tag, std::vector<slot::Fd> fds);
  /// Takes over the regions that processes of this node have made. Call it when processes can already ask.
  void find_existing();
  /// About four times a second.
  void tick();

  /// Kept regions and cells.
  std::size_t size() const { return regions_.size() + cells_.size(); }
  /// Tags that lie in the store for them.
  std::size_t kept() const;
  /// Rows of the table for the status; at most control::kMaxPage from `from` on.
  control::Json report(std::uint64_t from, std::uint64_t max) const;
  /// Descriptors of attached processes (`attached`) and of lists with their blocks (`blocks`), for `viewer`: those of
  /// its own regions and cells, or all of them for root and slotwired's own user.
  control::Json attached(uid_t viewer, std::uint64_t from, std::uint64_t max);
  control::Json blocks(uid_t viewer, std::uint64_t from, std::uint64_t max);

 private:
  std::vector<DescribedRegion> described(uid_t viewer);
  KeptRegion* find(uid_t uid, const std::string& name);
  bool try_to_find(uid_t uid, const std::string& name);
  KeptRegion& make(const PeerCredentials& who, const std::string& name);
  KeptRegion& add(const std::string& name, uid_t uid, slot::Fd file, KeptRegion::Origin origin);
  std::uint32_t free_index() const;
  void look(std::uint32_t index, bool all);
  /// As look(), unless the regions of its user have had their share of this tick: then it is news for the next one.
  void look_if_due(std::uint32_t index, bool all);
  void check_room(uid_t uid);
  void open_cell(const PeerCredentials& who, const std::string& name, Opened& opened);
  StrictRegion& strict(const std::string& name);
  Cell::Events events_of(const std::string& name, std::uint32_t cell);
  void recover_cell(std::uint32_t index, std::vector<slot::Fd> fds);

  RegionParts parts_;
  const Policy& policy_;
  std::size_t watches_;     ///< that are left
  std::size_t list_files_;  ///< the same
  std::uint32_t ticks_ = 0;
  LookBudget budget_;
  std::map<std::uint32_t, bool> put_off_;  ///< regions that are to be looked at in the next one; true: `all`
  std::uint32_t first_ = 0;                ///< the region that a tick begins with
  std::map<std::uint32_t, std::unique_ptr<KeptRegion>> regions_;  ///< by their place
  std::map<std::uint32_t, std::string> cells_;                    ///< by their place: the region's name
  std::uint64_t made_bytes_ = 0;                                  ///< memory for blocks of all cells
  std::map<std::string, std::unique_ptr<StrictRegion>> strict_;
};

}  // namespace slotwire::engine
