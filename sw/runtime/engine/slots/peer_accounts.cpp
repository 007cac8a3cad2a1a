#include "runtime/engine/slots/peer_accounts.hpp"

#include <algorithm>

#include "runtime/engine/config/config_values.hpp"

namespace slotwire::engine {

/// One row of the table of what peers may have.
struct PeerAccounts::Rule {
  std::string_view what;  ///< as it is said to people
  std::string_view quota_key;
  std::uint64_t quota = 0;
  std::string_view table_key;
  std::uint64_t table = 0;
  std::uint64_t used = 0;  ///< of the table, by everybody
  bool bytes = false;

  std::string text(std::uint64_t amount) const { return bytes ? describe_size(amount) : std::to_string(amount); }
};

PeerAccounts::Rule PeerAccounts::rule_of(PeerResource resource) const {
  const LimitsConfig& l = config_.limits;
  switch (resource) {
    case PeerResource::slots:
      return {.what = "slots",
              .quota_key = "limits.slots_per_peer",
              .quota = l.slots_per_peer,
              .table_key = "limits.slots",
              .table = l.slots,
              .used = users_.total(Resource::slots)};
    case PeerResource::memory:
      return {.what = "of slot memory",
              .quota_key = "limits.memory_per_peer",
              .quota = l.memory_per_peer,
              .table_key = "memory.slot_memory",
              .table = config_.memory.slot_memory,
              .used = users_.total(Resource::memory),
              .bytes = true};
    case PeerResource::pending_opens:
      break;
  }
  return {.what = "connections that are being opened",
          .quota_key = "limits.pending_opens_per_peer",
          .quota = l.pending_opens_per_peer,
          .table_key = "limits.pending_opens",
          .table = l.pending_opens,
          .used = total(PeerResource::pending_opens)};
}

std::optional<control::Refusal> PeerAccounts::forbids(std::string_view peer, PeerResource resource,
                                                      std::uint64_t amount) const {
  const Rule rule = rule_of(resource);
  const std::uint64_t held = this->held(peer, resource);
  const std::string here = " of node '" + config_.node.name + "'";
  const auto refusal = [&](const std::string& text) {
    return control::Refusal{"quota", "the link to node '" + std::string(peer) + "' has " + text};
  };
  if (held + amount > rule.quota) {
    return refusal(rule.text(held) + " of its " + rule.text(rule.quota) + " " + std::string(rule.what) + here +
                   " in use: close connections, or raise " + std::string(rule.quota_key) + " there");
  }
  const std::uint64_t open_to_peers = rule.table - reserve_of(rule.table, config_.limits.reserve);
  const std::uint64_t free = rule.used < open_to_peers ? open_to_peers - rule.used : 0;
  // Memory comes in pieces that can be a large part of the whole: the share is of what is free when it is taken.
  const std::uint64_t left = rule.bytes && amount <= free ? free - amount : free;
  if (amount > free || held + amount > left * config_.limits.peer_share) {
    return refusal(rule.text(held) + " " + std::string(rule.what) + here + " in use, and only " + rule.text(free) +
                   " are free: it may have limits.peer_share = " + std::to_string(config_.limits.peer_share) +
                   " times as many; close connections, or raise " + std::string(rule.table_key) +
                   " or limits.peer_share there");
  }
  return std::nullopt;
}

void PeerAccounts::check(std::string_view peer, PeerResource resource, std::uint64_t amount) {
  if (std::optional<control::Refusal> refusal = forbids(peer, resource, amount)) {
    ++account(peer).refused;
    throw *std::move(refusal);
  }
}

PeerAccounts::Account& PeerAccounts::account(std::string_view peer) {
  const auto found = accounts_.find(peer);
  if (found != accounts_.end()) return found->second;
  Account fresh;
  fresh.micro_opens = full_bucket();
  return accounts_.emplace(std::string(peer), fresh).first->second;
}

void PeerAccounts::take(std::string_view peer, PeerResource resource, std::uint64_t amount) {
  account(peer).held[static_cast<std::size_t>(resource)] += amount;
  totals_[static_cast<std::size_t>(resource)] += amount;
}

void PeerAccounts::give(std::string_view peer, PeerResource resource, std::uint64_t amount) {
  const auto found = accounts_.find(peer);
  if (found == accounts_.end()) return;
  std::uint64_t& held = found->second.held[static_cast<std::size_t>(resource)];
  const std::uint64_t given = std::min(held, amount);
  held -= given;
  totals_[static_cast<std::size_t>(resource)] -= given;
}

void PeerAccounts::spend_open(std::string_view peer, std::uint64_t now_us) {
  Account& a = account(peer);
  const std::uint64_t passed = now_us > a.filled_us ? now_us - a.filled_us : 0;
  a.filled_us = now_us;
  // A second fills the bucket, so a longer time counts as one.
  constexpr std::uint64_t kFull = 1'000'000;
  const auto more = static_cast<std::int64_t>(std::min(passed, kFull) * config_.limits.opens_per_peer);
  a.micro_opens = std::min(full_bucket(), a.micro_opens + more);
  constexpr std::int64_t kOne = 1'000'000;
  if (a.micro_opens < kOne) {
    ++a.refused;
    throw control::Refusal{
        "busy", "the link to node '" + std::string(peer) + "' asks node '" + config_.node.name +
                    "' for more than limits.opens_per_peer = " + std::to_string(config_.limits.opens_per_peer) +
                    " connections a second: try again in a moment, or raise it there"};
  }
  a.micro_opens -= kOne;
}

std::uint64_t PeerAccounts::held(std::string_view peer, PeerResource resource) const {
  const auto found = accounts_.find(peer);
  return found == accounts_.end() ? 0 : found->second.held[static_cast<std::size_t>(resource)];
}

std::uint64_t PeerAccounts::refused(std::string_view peer) const {
  const auto found = accounts_.find(peer);
  return found == accounts_.end() ? 0 : found->second.refused;
}

}  // namespace slotwire::engine
