#include "runtime/cache/query.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

#include "runtime/cache/node_cache.hpp"

namespace slotwire::cache {
namespace {

/// A follower's sleeps: after each it looks whether its leader still lives, and whether it was interrupted.
constexpr Time kFirstSleepNs = 1'000'000, kLongestSleepNs = 16'000'000;
/// Leaders that a follower waits for before it asks without telling.
constexpr int kMostLeaders = 4;
/// Others wait no longer than this for a leader that has no deadline.
constexpr Time kLongestFlightNs = 60'000'000'000;

void sleep_on(std::atomic<std::uint32_t>& word, std::uint32_t value, Time ns) {
  timespec time{};
  time.tv_sec = static_cast<time_t>(ns / 1'000'000'000);
  time.tv_nsec = static_cast<long>(ns % 1'000'000'000);
  ::syscall(SYS_futex, &word, FUTEX_WAIT, value, &time, nullptr, 0);
}

void wake_all(std::atomic<std::uint32_t>& word) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, std::numeric_limits<int>::max(), nullptr, nullptr, 0);
}

}  // namespace

bool Query::look(Time now) {
  const std::optional<Found> found = cache_.find(key_, now, buffer_);
  if (found) found_ = *found;
  return found.has_value();
}

bool Query::look_again() {
  const std::optional<Found> found = cache_.find(key_, boot_time(), buffer_, true);
  if (found) found_ = *found;
  return found.has_value();
}

Query::Change Query::follow(Time deadline, const slot::WaitPolicy& policy,
                            const std::function<bool()>& is_interrupted) {
  Flight& place = *ticket_->place;
  slot::Waiter waiter(policy);
  Time sleep = kFirstSleepNs;
  while (true) {
    Flights::wait_for(*ticket_);
    if (place.turn.load(std::memory_order_seq_cst) != ticket_->turn || !Flights::is_under_way(*ticket_))
      return Change::ended;
    if (waiter.next() == slot::Waiter::Step::again) continue;
    const Time now = boot_time();
    if (now >= deadline) return Change::timed_out;
    if (is_interrupted()) return Change::interrupted;
    if (Flights::is_overdue(*ticket_, now) || !is_alive(Flights::owner_of(*ticket_), true)) return Change::leader_gone;
    sleep_on(place.turn, ticket_->turn, std::min(sleep, deadline - now));
    sleep = std::min(2 * sleep, kLongestSleepNs);
  }
}

Query::Result Query::wait(Time deadline, const slot::WaitPolicy& policy, const std::function<bool()>& is_interrupted) {
  Flights flights = cache_.flights();
  const Time own_end = std::min(deadline, boot_time() + kLongestFlightNs);
  for (int leaders = 0; leaders < kMostLeaders; ++leaders) {
    ticket_ = flights.join(key_.hash, cache_.self(), own_end);
    bool leads = ticket_->role == Flights::Role::leader;
    if (ticket_->role == Flights::Role::follower) {
      if (leaders == 0) cache_.count_wait(key_.service);
      switch (follow(deadline, policy, is_interrupted)) {
        case Change::ended:
          break;
        case Change::leader_gone:
          leads = flights.take_over(*ticket_, key_.hash, cache_.self(), own_end);
          break;
        case Change::timed_out:
          return Result::timed_out;
        case Change::interrupted:
          return Result::interrupted;
      }
    }
    if (ticket_->role == Flights::Role::outsider &&
        (Flights::is_overdue(*ticket_, boot_time()) || !is_alive(Flights::owner_of(*ticket_), true))) {
      leads = flights.take_over(*ticket_, key_.hash, cache_.self(), own_end);
    }
    // Whoever leads looks once more, too: the last leader may have stored its reply since the first look.
    if (look_again()) {
      finish(FlightOutcome::stored);
      return Result::found;
    }
    if (leads) return Result::ask;
    if (ticket_->role == Flights::Role::outsider || Flights::outcome_of(*ticket_) == FlightOutcome::answered) break;
  }
  ticket_.reset();
  return Result::ask;
}

Stored Query::store(const Reply& reply) {
  const bool wanted = ticket_ && ticket_->role == Flights::Role::leader && Flights::is_waited_for(*ticket_);
  const Stored stored = cache_.store(key_, reply, boot_time(), wanted);
  finish(stored == Stored::yes ? FlightOutcome::stored : FlightOutcome::answered);
  return stored;
}

void Query::finish(FlightOutcome outcome) {
  if (!ticket_) return;
  const Flights::Ticket ticket = *ticket_;
  ticket_.reset();
  if (ticket.role == Flights::Role::leader && Flights::finish(ticket, outcome)) wake_all(ticket.place->turn);
}

}  // namespace slotwire::cache
