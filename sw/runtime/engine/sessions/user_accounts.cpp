#include "runtime/engine/sessions/user_accounts.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include "runtime/engine/config/config_values.hpp"

namespace slotwire::engine {
namespace {

/// Users without anything that are remembered for the tokens they spent; a user namespace has many uids.
constexpr std::size_t kMaxIdleUsers = 1024;
constexpr std::uint64_t kPercent = 100;
/// What is not the node's cannot be used up.
constexpr std::uint64_t kNoTable = std::uint64_t{1} << 62;

}  // namespace

std::uint64_t reserve_of(std::uint64_t table, std::uint32_t percent) {
  const std::uint64_t part = (table / kPercent * percent) + ((table % kPercent) * percent + kPercent - 1) / kPercent;
  return std::min(part, table / 2);
}

/// One row of the table of quotas.
struct UserAccounts::Rule {
  std::string_view what;  ///< as it is said to people
  std::string_view quota_key;
  std::uint64_t quota = 0;
  std::string_view table_key;
  std::uint64_t table = 0;
  std::uint64_t reserve = 0;
  bool bytes = false;
  bool shared = true;  ///< limits.user_share holds

  std::string text(std::uint64_t amount) const { return bytes ? describe_size(amount) : std::to_string(amount); }
};

UserAccounts::Rule UserAccounts::rule_of(Resource resource) const {
  const LimitsConfig& l = config_.limits;
  const auto reserved = [&](std::uint64_t table) { return reserve_of(table, l.reserve); };
  switch (resource) {
    case Resource::sessions:
      return {.what = "sessions",
              .quota_key = "limits.sessions_per_user",
              .quota = l.sessions_per_user,
              .table_key = "limits.sessions",
              .table = l.sessions,
              .reserve = reserved(l.sessions)};
    case Resource::slots:
      return {.what = "slots",
              .quota_key = "limits.slots_per_user",
              .quota = l.slots_per_user,
              .table_key = "limits.slots",
              .table = l.slots,
              .reserve = reserved(l.slots)};
    case Resource::memory: {
      const std::uint64_t table = config_.memory.slot_memory;
      return {.what = "of slot memory",
              .quota_key = "limits.memory_per_user",
              .quota = l.memory_per_user,
              .table_key = "memory.slot_memory",
              .table = table,
              .reserve = reserved(table),
              .bytes = true};
    }
    case Resource::mapped:
      // A part of its slot memory, which is shared out already.
      return {.what = "of memory that the card writes into",
              .quota_key = "limits.mapped_per_user",
              .quota = l.mapped_per_user,
              .table_key = "memory.slot_memory",
              .table = kNoTable,
              .bytes = true,
              .shared = false};
    case Resource::services:
      return {.what = "services",
              .quota_key = "limits.services_per_user",
              .quota = l.services_per_user,
              .table_key = "limits.services",
              .table = l.services,
              .reserve = reserved(l.services)};
    case Resource::pending_opens:
      return {.what = "connections that are being opened",
              .quota_key = "limits.pending_opens_per_user",
              .quota = l.pending_opens_per_user,
              .table_key = "limits.pending_opens",
              .table = l.pending_opens,
              .reserve = reserved(l.pending_opens)};
    case Resource::tool_connections:
      return {.what = "connections without a session",
              .quota_key = "limits.tool_connections_per_user",
              .quota = l.tool_connections_per_user,
              .table_key = "limits.tool_connections",
              .table = l.tool_connections,
              .reserve = reserved(l.tool_connections)};
    case Resource::regions:
      return {.what = "regions and cells",
              .quota_key = "limits.regions_per_user",
              .quota = l.regions_per_user,
              .table_key = "limits.regions",
              .table = l.regions,
              .reserve = reserved(l.regions)};
    case Resource::block_memory:
      // What processes share without slotwired is memory of theirs, and what they say of it costs nobody else.
      return {.what = "of memory for blocks",
              .quota_key = "limits.block_memory_per_user",
              .quota = l.block_memory_per_user,
              .table_key = "limits.block_memory",
              .table = kNoTable,
              .bytes = true,
              .shared = false};
    case Resource::cell_memory:
      return {.what = "of memory for blocks in strict regions",
              .quota_key = "limits.block_memory_per_user",
              .quota = l.block_memory_per_user,
              .table_key = "limits.block_memory",
              .table = l.block_memory,
              .reserve = reserved(l.block_memory),
              .bytes = true};
    case Resource::unread:
      break;
  }
  // Whoever does not read is cut off at a limit, and takes nothing from others before.
  return {.what = "of answers that it does not read",
          .quota_key = "limits.unread_per_user",
          .quota = l.unread_per_user,
          .table_key = "limits.unread",
          .table = l.unread,
          .bytes = true,
          .shared = false};
}

std::optional<control::Refusal> UserAccounts::forbids(uid_t uid, Resource resource, std::uint64_t amount) const {
  const Rule rule = rule_of(resource);
  const std::uint64_t used = total(resource);
  const std::uint64_t held = this->held(uid, resource);
  const std::string user = "user " + std::to_string(uid);
  const bool root = trusted(uid);
  // The tables themselves refuse what goes beyond them.
  if (root && resource != Resource::tool_connections && resource != Resource::unread) return std::nullopt;
  const std::uint64_t open_to_user = root ? rule.table : rule.table - rule.reserve;
  const std::uint64_t free = used < open_to_user ? open_to_user - used : 0;
  if (!root && held + amount > rule.quota) {
    return control::Refusal{"quota", user + " has " + rule.text(held) + " of its " + rule.text(rule.quota) + " " +
                                         std::string(rule.what) + " in use (raise " + std::string(rule.quota_key) +
                                         ")"};
  }
  if (amount > free) {
    return control::Refusal{
        "quota", rule.text(used) + " of the node's " + rule.text(rule.table) + " " + std::string(rule.what) +
                     " are in use, " + rule.text(held) + " by " + user +
                     (root ? "" : ", and " + rule.text(rule.reserve) + " are kept for root (limits.reserve)") +
                     "; raise " + std::string(rule.table_key)};
  }
  if (!root && rule.shared && held + amount > free * config_.limits.user_share) {
    return control::Refusal{
        "quota", user + " has " + rule.text(held) + " " + std::string(rule.what) + " and only " + rule.text(free) +
                     " are free: it may have limits.user_share = " + std::to_string(config_.limits.user_share) +
                     " times as many (raise " + std::string(rule.table_key) + ", or limits.user_share)"};
  }
  return std::nullopt;
}

bool UserAccounts::is_over_quota(uid_t uid, Resource resource, std::uint64_t amount) const {
  return !trusted(uid) && held(uid, resource) + amount > rule_of(resource).quota;
}

std::uint64_t UserAccounts::room(uid_t uid, Resource resource) const {
  const Rule rule = rule_of(resource);
  const std::uint64_t used = total(resource);
  const std::uint64_t held = this->held(uid, resource);
  const bool root = trusted(uid);
  const std::uint64_t open_to_user = root ? rule.table : rule.table - rule.reserve;
  const std::uint64_t free = used < open_to_user ? open_to_user - used : 0;
  if (root) return free;
  const auto left_of = [held](std::uint64_t most) { return most > held ? most - held : 0; };
  const std::uint64_t share = rule.shared ? left_of(free * config_.limits.user_share) : free;
  return std::min({free, left_of(rule.quota), share});
}

void UserAccounts::check(uid_t uid, Resource resource, std::uint64_t amount) {
  if (std::optional<control::Refusal> refusal = forbids(uid, resource, amount)) {
    ++counters_.refused;
    throw *std::move(refusal);
  }
}

UserAccounts::Account& UserAccounts::account(uid_t uid) {
  const auto found = accounts_.find(uid);
  if (found != accounts_.end()) return found->second;
  if (accounts_.size() >= kMaxIdleUsers) {
    // Those that hold something are bounded by the tables that they hold it in.
    const auto idle =
        std::find_if(accounts_.begin(), accounts_.end(), [](const auto& entry) { return entry.second.idle(); });
    if (idle != accounts_.end()) accounts_.erase(idle);
  }
  Account fresh;
  fresh.micro_tokens = full_bucket();
  return accounts_.emplace(uid, fresh).first->second;
}

void UserAccounts::take(uid_t uid, Resource resource, std::uint64_t amount) {
  if (amount == 0) return;
  account(uid).held[static_cast<std::size_t>(resource)] += amount;
  totals_[static_cast<std::size_t>(resource)] += amount;
}

void UserAccounts::give(uid_t uid, Resource resource, std::uint64_t amount) {
  const auto found = accounts_.find(uid);
  if (found == accounts_.end()) return;
  std::uint64_t& held = found->second.held[static_cast<std::size_t>(resource)];
  const std::uint64_t given = std::min(held, amount);
  held -= given;
  totals_[static_cast<std::size_t>(resource)] -= given;
}

std::uint64_t UserAccounts::held(uid_t uid, Resource resource) const {
  const auto found = accounts_.find(uid);
  return found == accounts_.end() ? 0 : found->second.held[static_cast<std::size_t>(resource)];
}

void UserAccounts::refill(Account& account, std::uint64_t now_us) const {
  const std::uint64_t passed = now_us > account.filled_us ? now_us - account.filled_us : 0;
  account.filled_us = now_us;
  // Longer than it takes to fill a bucket that is as far below zero as one may get.
  constexpr std::uint64_t kLongest = 3600'000'000;
  const auto more = static_cast<std::int64_t>(std::min(passed, kLongest) * config_.limits.requests_per_user);
  account.micro_tokens = std::min(full_bucket(), account.micro_tokens + more);
}

std::uint64_t UserAccounts::wait_us(uid_t uid, std::uint64_t now_us) {
  Account& a = account(uid);
  refill(a, now_us);
  const std::int64_t wanted = std::min(full_bucket(), std::int64_t{kTokensAtOnce} * 1'000'000);
  if (a.micro_tokens >= wanted) return 0;
  return (static_cast<std::uint64_t>(wanted - a.micro_tokens) / config_.limits.requests_per_user) + 1;
}

void UserAccounts::spend(uid_t uid, std::uint32_t tokens, std::uint64_t now_us) {
  Account& a = account(uid);
  refill(a, now_us);
  // As far below zero as one bucket: what was let in without asking is not held against a user for ever.
  a.micro_tokens = std::max(-full_bucket(), a.micro_tokens - (std::int64_t{tokens} * 1'000'000));
}

void UserAccounts::sweep(std::uint64_t now_us) {
  for (auto it = accounts_.begin(); it != accounts_.end();) {
    refill(it->second, now_us);
    it = it->second.idle() && it->second.micro_tokens >= full_bucket() ? accounts_.erase(it) : std::next(it);
  }
}

void UserAccounts::each(std::size_t most, const std::function<void(uid_t, const Holdings&)>& show) const {
  std::vector<std::pair<uid_t, const Holdings*>> rows;
  rows.reserve(accounts_.size());
  for (const auto& [uid, account] : accounts_) {
    if (!account.idle()) rows.emplace_back(uid, &account.held);
  }
  const auto slots = [](const auto& row) { return (*row.second)[static_cast<std::size_t>(Resource::slots)]; };
  std::sort(rows.begin(), rows.end(), [&](const auto& a, const auto& b) {
    return slots(a) != slots(b) ? slots(a) > slots(b) : a.first < b.first;
  });
  if (rows.size() > most) rows.resize(most);
  for (const auto& [uid, held] : rows) show(uid, *held);
}

void UserAccounts::Charge::set(std::uint64_t amount) {
  if (accounts_ == nullptr) return;
  if (amount > amount_) accounts_->take(uid_, resource_, amount - amount_);
  if (amount < amount_) accounts_->give(uid_, resource_, amount_ - amount);
  amount_ = amount;
}

void UserAccounts::Charge::release() {
  if (accounts_ != nullptr) accounts_->give(uid_, resource_, amount_);
  accounts_ = nullptr;
  amount_ = 0;
}

}  // namespace slotwire::engine
