// A look for a reply: in the cache, or from a call of somebody else that is on its way; else the caller asks and, if it
// is the one whom others wait for, tells how that ended.
#pragma once
#include <functional>
#include <optional>
#include <vector>

#include "core/cache/cache.hpp"
#include "core/slot/waiter.hpp"

namespace slotwire::cache {

/// One thread. While it is the leader of a flight others wait for it; its destructor tells them that it gave up.
class Query {
 public:
  enum class Result {
    found,        ///< the value is in the buffer
    ask,          ///< send the request, then store() or answered()
    timed_out,    ///< others were waited for until the deadline
    interrupted,  ///< `is_interrupted` said so
  };

  /// `key` stays the caller's. `buffer` is where a value goes.
  Query(Cache& cache, const Key& key, std::vector<std::byte>& buffer) : cache_(cache), key_(key), buffer_(buffer) {}
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  ~Query() { finish(FlightOutcome::gave_up); }

  /// Looks into the cache only.
  bool look(Time now);
  /// Finds out what to do after a miss. `deadline`: when the caller's time ends, of boot_time(); others wait no longer
  /// for it either.
  Result wait(Time deadline, const slot::WaitPolicy& policy, const std::function<bool()>& is_interrupted);
  const Found& found() const { return found_; }

  /// Keeps the reply and tells those who wait.
  Stored store(const Reply& reply);
  /// There was an answer that is not kept.
  void answered() { finish(FlightOutcome::answered); }

 private:
  enum class Change { ended, leader_gone, timed_out, interrupted };
  Change follow(Time deadline, const slot::WaitPolicy& policy, const std::function<bool()>& is_interrupted);
  bool look_again();
  void finish(FlightOutcome outcome);

  Cache& cache_;
  const Key& key_;
  std::vector<std::byte>& buffer_;
  Found found_;
  std::optional<Flights::Ticket> ticket_;
};

}  // namespace slotwire::cache
