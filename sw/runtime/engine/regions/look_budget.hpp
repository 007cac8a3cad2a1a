// What looking at what users have written into their directories may cost.
#pragma once
#include <sys/types.h>

#include <algorithm>
#include <cstddef>
#include <map>

namespace slotwire::engine {

/// Counted in system calls, for each user and tick. One look may go beyond it; what is above it counts for the next
/// tick. One thread.
class LookBudget {
 public:
  /// A few milliseconds.
  static constexpr std::size_t kPerUser = 512;

  bool is_spent(uid_t uid) const {
    const auto found = spent_.find(uid);
    return found != spent_.end() && found->second >= kPerUser;
  }
  void spend(uid_t uid, std::size_t cost) { spent_[uid] += cost; }
  /// A tick has passed.
  void renew() {
    for (auto& [uid, spent] : spent_) spent -= std::min(spent, kPerUser);
    std::erase_if(spent_, [](const auto& entry) { return entry.second == 0; });
  }

 private:
  std::map<uid_t, std::size_t> spent_;
};

}  // namespace slotwire::engine
