// Calls that are on their way for a key, so that others who want the same wait for one answer instead of asking, too.
//
// Each key has one place, by its hash. One atomic exchange claims it and names the owner, so a process that dies at any
// step leaves either nothing or a claim that says whose it was. Waiting is the caller's business.
#pragma once
#include <array>
#include <cstdint>
#include <span>

#include "core/cache/layout.hpp"

namespace slotwire::cache {

/// How a call ended, for those who waited for it.
enum class FlightOutcome : std::uint32_t {
  none = 0,      ///< not known: the place has had another use since
  stored = 1,    ///< look into the cache
  answered = 2,  ///< there was an answer that is not kept: everybody asks for themselves
  gave_up = 3,   ///< no answer: one of those who waited asks instead
};

/// The 40 bits of an owner that a claim has room for.
constexpr std::uint64_t short_owner(Owner owner) {
  return owner & ((std::uint64_t{1} << 40) - 1);
}

class Flights {
 public:
  enum class Role {
    leader,    ///< asks, and calls finish()
    follower,  ///< somebody else asks: waits
    outsider,  ///< the place is taken for another key: asks without telling
  };
  struct Ticket {
    Role role = Role::outsider;
    Flight* place = nullptr;
    std::uint64_t claim = 0;  ///< of the leader
    std::uint32_t turn = 0;   ///< as it was before the claim was looked at
  };

  explicit Flights(std::span<Flight, kFlights> places) : places_(places) {}

  /// Who asks for the key with this hash. `deadline`: until when others may wait for `self`.
  Ticket join(std::uint64_t hash, Owner self, std::uint64_t deadline) {
    Flight& place = places_[hash % kFlights];
    Ticket ticket{.place = &place, .turn = place.turn.load(std::memory_order_acquire)};
    const std::uint64_t own = claim_of(hash, self);
    std::uint64_t found = 0;
    if (place.claim.compare_exchange_strong(found, own, std::memory_order_acq_rel)) {
      lead(ticket, own, deadline);
      return ticket;
    }
    ticket.claim = found;
    ticket.role = (found >> kTagShift) == (own >> kTagShift) ? Role::follower : Role::outsider;
    return ticket;
  }
  /// Takes the place of a leader that is no more, of the same key or of another one. False: somebody else did, or it
  /// has finished: look again.
  bool take_over(Ticket& ticket, std::uint64_t hash, Owner self, std::uint64_t deadline) {
    const std::uint64_t own = claim_of(hash, self);
    std::uint64_t expected = ticket.claim;
    if (!ticket.place->claim.compare_exchange_strong(expected, own, std::memory_order_acq_rel)) return false;
    lead(ticket, own, deadline);
    return true;
  }
  /// Ends the leader's call. True: others may sleep on Flight::turn.
  static bool finish(const Ticket& ticket, FlightOutcome outcome) {
    Flight& place = *ticket.place;
    std::uint64_t expected = ticket.claim;
    if (is_under_way(ticket)) {  // nobody took over from a leader that was thought dead
      place.outcome.store(((ticket.claim >> kTagShift) << kTagShift) | static_cast<std::uint64_t>(outcome),
                          std::memory_order_relaxed);
      place.deadline.store(0, std::memory_order_relaxed);
      place.claim.compare_exchange_strong(expected, 0, std::memory_order_seq_cst);
    }
    place.turn.fetch_add(1, std::memory_order_seq_cst);
    return place.waited_for.exchange(0, std::memory_order_seq_cst) != 0;
  }
  /// Says, before each sleep of a follower, that somebody waits; then Flight::turn is looked at once more.
  static void wait_for(const Ticket& ticket) { ticket.place->waited_for.store(1, std::memory_order_seq_cst); }
  static bool is_waited_for(const Ticket& ticket) {
    return ticket.place->waited_for.load(std::memory_order_relaxed) != 0;
  }
  /// Whether the follower's leader is still on its way.
  static bool is_under_way(const Ticket& ticket) {
    return ticket.place->claim.load(std::memory_order_acquire) == ticket.claim;
  }
  /// What became of a leader that is not under way any more.
  static FlightOutcome outcome_of(const Ticket& ticket) {
    const std::uint64_t outcome = ticket.place->outcome.load(std::memory_order_acquire);
    if ((outcome >> kTagShift) != (ticket.claim >> kTagShift)) return FlightOutcome::none;
    return static_cast<FlightOutcome>(outcome & 3);
  }
  /// Whether the leader has let its time pass; false as long as it has not said when that is.
  static bool is_overdue(const Ticket& ticket, std::uint64_t now) {
    const std::uint64_t word = ticket.place->deadline.load(std::memory_order_acquire);
    return word != 0 && (word & kMarkMask) == mark_of(ticket.claim) && now / kNsPerMs >= (word >> kMarkBits);
  }
  /// Of the leader, with the bits that short_owner() keeps.
  static std::uint64_t owner_of(const Ticket& ticket) { return short_owner(ticket.claim); }

 private:
  static constexpr unsigned kTagShift = 40;
  static constexpr unsigned kMarkBits = 24;
  static constexpr std::uint64_t kMarkMask = (std::uint64_t{1} << kMarkBits) - 1;
  static constexpr std::uint64_t kNsPerMs = 1'000'000;
  static std::uint64_t claim_of(std::uint64_t hash, Owner owner) {
    return ((hash >> kTagShift) << kTagShift) | short_owner(owner);
  }
  static void lead(Ticket& ticket, std::uint64_t claim, std::uint64_t deadline) {
    ticket.role = Role::leader;
    ticket.claim = claim;
    const std::uint64_t ms = (deadline / kNsPerMs) + 1;
    ticket.place->deadline.store((ms << kMarkBits) | mark_of(claim), std::memory_order_release);
  }
  /// Stands beside the deadline, so that nobody takes that of the place's last use for this one's.
  static std::uint64_t mark_of(std::uint64_t claim) { return (claim * 0x9e37'79b9'7f4a'7c15) >> (64 - kMarkBits); }

  std::span<Flight, kFlights> places_;
};

}  // namespace slotwire::cache
