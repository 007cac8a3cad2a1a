// What every user (uid) of a node holds and asks for, and what it may still take.
//
// A user is what SO_PEERCRED says: processes of a user namespace that is not mapped to this one are all of the
// overflow uid, and so one user. Root and the user that slotwired runs as have no quotas, since they may change the
// configuration; a reserve of the node's tables is theirs alone.
#pragma once
#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "runtime/control/codec.hpp"
#include "runtime/engine/config/config.hpp"

namespace slotwire::engine {

/// What users are counted by.
enum class Resource : std::uint8_t {
  sessions,
  slots,   ///< until they are free, so that draining ones count
  memory,  ///< bytes of slot memory
  services,
  pending_opens,
  tool_connections,  ///< connections to the control socket without a session
  unread,            ///< bytes of answers and events that wait because the client does not read
  regions,           ///< regions that are kept, and cells
  block_memory,      ///< bytes of regions' directories and blocks
  cell_memory,       ///< bytes of these that slotwired made for blocks in cells
  mapped,            ///< bytes of slot memory that a card may write into
};
inline constexpr std::size_t kResources = 11;
using Holdings = std::array<std::uint64_t, kResources>;

/// What `percent` of a table is that is kept for root: rounded up, but never more than half of the table.
std::uint64_t reserve_of(std::uint64_t table, std::uint32_t percent);

/// What requests cost of limits.requests_per_user, at least.
inline constexpr std::uint32_t kCheapRequest = 1;
inline constexpr std::uint32_t kInvalidRequest = 2;
inline constexpr std::uint32_t kMappingRequest = 4;  ///< makes descriptors and maps memory
inline constexpr std::uint32_t kReportRequest = 8;   ///< walks through tables
/// Microseconds of processor time that a token is worth: whoever asks for what takes longer pays for the time.
inline constexpr std::uint64_t kTokenUs = 25;
/// Tokens that a user must have left before the next of its requests is read.
inline constexpr std::uint32_t kTokensAtOnce = 8;

/// One thread. Memory is bounded: a user has an entry while it holds something or has spent tokens lately.
class UserAccounts {
 public:
  /// What a user holds, given back when the object goes.
  class Charge {
   public:
    Charge() = default;
    Charge(UserAccounts& accounts, uid_t uid, Resource resource, std::uint64_t amount = 1)
        : accounts_(&accounts), uid_(uid), resource_(resource), amount_(amount) {
      accounts.take(uid, resource, amount);
    }
    Charge(Charge&& other) noexcept { *this = std::move(other); }
    Charge& operator=(Charge&& other) noexcept {
      if (this == &other) return *this;
      release();
      accounts_ = std::exchange(other.accounts_, nullptr);
      uid_ = other.uid_;
      resource_ = other.resource_;
      amount_ = std::exchange(other.amount_, 0);
      return *this;
    }
    Charge(const Charge&) = delete;
    Charge& operator=(const Charge&) = delete;
    ~Charge() { release(); }

    std::uint64_t amount() const { return amount_; }
    /// Holds so much from now on.
    void set(std::uint64_t amount);
    void release();

   private:
    UserAccounts* accounts_ = nullptr;
    uid_t uid_ = 0;
    Resource resource_ = Resource::sessions;
    std::uint64_t amount_ = 0;
  };

  /// What was turned away, for the status.
  struct Counters {
    std::uint64_t refused = 0;      ///< requests that a quota of a user forbade
    std::uint64_t turned_away = 0;  ///< connections that were closed at once
    std::uint64_t cut_off = 0;      ///< clients that did not read, or said nothing
    std::uint64_t delayed = 0;      ///< times that a client without tokens had to wait for others
  };

  /// `own`: the user that slotwired runs as.
  UserAccounts(const Config& config, uid_t own) : config_(config), own_(own) {}

  bool trusted(uid_t uid) const { return uid == 0 || uid == own_; }
  /// Why the user may not take so much more; nothing when it may.
  std::optional<control::Refusal> forbids(uid_t uid, Resource resource, std::uint64_t amount = 1) const;
  /// Whether it is the user's own quota that forbids so much more, however much others give up.
  bool is_over_quota(uid_t uid, Resource resource, std::uint64_t amount = 1) const;
  /// How much more of it the user may take now.
  std::uint64_t room(uid_t uid, Resource resource) const;
  /// The same as forbids() as an exception; counted.
  void check(uid_t uid, Resource resource, std::uint64_t amount = 1);
  /// Counts without asking: what was checked, and what an earlier life left.
  void take(uid_t uid, Resource resource, std::uint64_t amount = 1);
  void give(uid_t uid, Resource resource, std::uint64_t amount = 1);

  std::uint64_t held(uid_t uid, Resource resource) const;
  std::uint64_t total(Resource resource) const { return totals_[static_cast<std::size_t>(resource)]; }

  // --- requests, by a bucket of tokens for each user ---

  /// Microseconds until a request of the user may be read; 0: now.
  std::uint64_t wait_us(uid_t uid, std::uint64_t now_us);
  /// A request was served. The bucket may go below zero.
  void spend(uid_t uid, std::uint32_t tokens, std::uint64_t now_us);

  /// Forgets users that hold nothing and whose bucket is full again; call it from a timer.
  void sweep(std::uint64_t now_us);

  std::size_t users() const { return accounts_.size(); }
  /// Calls `show` for at most `most` users, those that hold most slots first.
  void each(std::size_t most, const std::function<void(uid_t, const Holdings&)>& show) const;
  Counters& counters() { return counters_; }
  const Counters& counters() const { return counters_; }

 private:
  struct Account {
    Holdings held{};
    std::int64_t micro_tokens = 0;
    std::uint64_t filled_us = 0;  ///< when micro_tokens was worked out

    bool idle() const { return held == Holdings{}; }
  };
  struct Rule;

  Rule rule_of(Resource resource) const;
  Account& account(uid_t uid);
  void refill(Account& account, std::uint64_t now_us) const;
  std::int64_t full_bucket() const { return std::int64_t{config_.limits.requests_per_user} * 1'000'000; }

  const Config& config_;
  uid_t own_;
  std::unordered_map<uid_t, Account> accounts_;
  Holdings totals_{};
  Counters counters_;
};

}  // namespace slotwire::engine
