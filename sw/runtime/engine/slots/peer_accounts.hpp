// What every peer of a node holds and asks for over its link, and what it may still take.
//
// A peer is counted by the name of its node, which its [[link]] and its certificate have: one that starts anew, or
// whose link gets another number, finds its account as it was. It is counted for the slots of connections that its
// processes opened, until these slots are free. The user whose process serves them is counted for the same slots
// (UserAccounts).
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "runtime/control/codec.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/sessions/user_accounts.hpp"

namespace slotwire::engine {

/// What peers are counted by.
enum class PeerResource : std::uint8_t {
  slots,          ///< of connections that the peer opened, until they are free
  memory,         ///< bytes of slot memory of these
  pending_opens,  ///< connections that are being opened, by either side
};
inline constexpr std::size_t kPeerResources = 3;
using PeerHoldings = std::array<std::uint64_t, kPeerResources>;

/// One thread. Memory is bounded: there is an entry for each link of the configuration that was used, and for each peer
/// of an earlier configuration that still holds slots.
class PeerAccounts {
 public:
  /// A connection that is being opened, given back when the object goes. Outlived by the accounts.
  class OpenCharge {
   public:
    OpenCharge() = default;
    OpenCharge(PeerAccounts& accounts, std::string_view peer) : accounts_(&accounts), peer_(peer) {
      accounts.take(peer_, PeerResource::pending_opens);
    }
    OpenCharge(OpenCharge&& other) noexcept { *this = std::move(other); }
    OpenCharge& operator=(OpenCharge&& other) noexcept {
      if (this == &other) return *this;
      release();
      accounts_ = std::exchange(other.accounts_, nullptr);
      peer_ = std::move(other.peer_);
      return *this;
    }
    OpenCharge(const OpenCharge&) = delete;
    OpenCharge& operator=(const OpenCharge&) = delete;
    ~OpenCharge() { release(); }
    void release() {
      if (accounts_ != nullptr) accounts_->give(peer_, PeerResource::pending_opens);
      accounts_ = nullptr;
    }

   private:
    PeerAccounts* accounts_ = nullptr;
    std::string peer_;
  };

  /// `users` knows how much of the node's tables is in use by all together. Both outlive the object.
  PeerAccounts(const Config& config, const UserAccounts& users) : config_(config), users_(users) {}

  /// Why the peer may not take so much more (code `quota`); nothing when it may.
  std::optional<control::Refusal> forbids(std::string_view peer, PeerResource resource, std::uint64_t amount = 1) const;
  /// The same as an exception; counted.
  void check(std::string_view peer, PeerResource resource, std::uint64_t amount = 1);
  /// Counts without asking: what was checked, and what an earlier life left.
  void take(std::string_view peer, PeerResource resource, std::uint64_t amount = 1);
  void give(std::string_view peer, PeerResource resource, std::uint64_t amount = 1);

  /// The peer asks for a connection. Throws Refusal (`busy`) when it has used up what limits.opens_per_peer lets it ask
  /// for; counted.
  void spend_open(std::string_view peer, std::uint64_t now_us);

  std::uint64_t held(std::string_view peer, PeerResource resource) const;
  std::uint64_t total(PeerResource resource) const { return totals_[static_cast<std::size_t>(resource)]; }
  /// Opens of the peer that a limit of peers forbade.
  std::uint64_t refused(std::string_view peer) const;

 private:
  struct Account {
    PeerHoldings held{};
    std::uint64_t refused = 0;
    std::int64_t micro_opens = 0;  ///< that it may ask for now, in millionths
    std::uint64_t filled_us = 0;   ///< when micro_opens was worked out
  };
  struct Rule;

  Rule rule_of(PeerResource resource) const;
  Account& account(std::string_view peer);
  std::int64_t full_bucket() const { return std::int64_t{config_.limits.opens_per_peer} * 1'000'000; }

  const Config& config_;
  const UserAccounts& users_;
  std::map<std::string, Account, std::less<>> accounts_;
  PeerHoldings totals_{};
};

}  // namespace slotwire::engine
