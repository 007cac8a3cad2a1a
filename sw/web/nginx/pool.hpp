// Warm connections to one service: opened ahead, lent to one request at a time, closed when nobody needs them.
#pragma once
#include <slotwire.hpp>
#include <slotwire_breaker.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "web/nginx/config.hpp"
#include "web/nginx/group.hpp"
#include "web/nginx/limits_zone.hpp"

namespace slotwire::nginx {

class ServicePool;
class Worker;
struct Peer;

/// A process that serves the service, as this worker knows it.
struct Process {
  std::string node;
  std::uint32_t pid = 0;
  std::uint64_t number = 0;                   ///< of this worker, never used twice
  std::size_t connections = 0;                ///< of this worker
  std::size_t outstanding = 0;                ///< requests of this worker under way
  SharedProcess* shared = nullptr;            ///< those of all workers; null: nobody counts them
  ngx_uint_t fails = 0;                       ///< in the last fail_timeout
  time_t failed_at = 0;                       ///< the last time
  std::size_t credit = kPlenty;               ///< requests that it would take beyond those, as it said last
  ngx_msec_t credit_at = 0;                   ///< when it said so
  time_t tried_at = 0;                        ///< when it was given a request after it had failed
  std::vector<class PooledConnection*> idle;  ///< the one used last at the end

  /// It has not said how many, or not lately.
  static constexpr std::size_t kPlenty = ~std::size_t{0};

  bool is_failing(const GroupMember& rules, time_t now) const;
  void note_failure(time_t now);
  void note_success();
  void note_credit(std::size_t requests);
  std::size_t credit_now() const;
  /// What its node thinks of it (SW_HEALTH_...), as far as its connections know.
  int health() const;
};

/// One connection to one process.
class PooledConnection {
 public:
  PooledConnection(ServicePool& pool, sw_connection* connection, Process& process, std::uint32_t slot)
      : pool_(pool), connection_(connection), process_(process), slot_(slot) {}
  ~PooledConnection() { sw_connection_close(connection_); }
  PooledConnection(const PooledConnection&) = delete;
  PooledConnection& operator=(const PooledConnection&) = delete;

  sw_connection* get() const { return connection_; }
  ServicePool& pool() const { return pool_; }
  Process& process() const { return process_; }
  std::uint32_t slot() const { return slot_; }
  /// Nothing of a response or a notice has come, and the peer has not gone.
  bool is_fresh() const;

  /// What the poller said: what the request that has it waits for becomes ready.
  void on_ready(std::uint32_t what);
  /// Asks to be told (again) when it becomes readable or writable.
  void want(int what);

  Peer* peer = nullptr;     ///< the request that it is lent to
  ngx_uint_t requests = 0;  ///< that it was lent to
  ngx_msec_t idle_since = 0;

 private:
  void watch(int what);

  ServicePool& pool_;
  sw_connection* connection_;
  Process& process_;
  std::uint32_t slot_;
  int watched_ = SW_READABLE;  ///< what the poller looks for
};

class ServicePool {
 public:
  ServicePool(Worker& worker, std::string service, const PoolLimits& limits);
  ~ServicePool();
  ServicePool(const ServicePool&) = delete;
  ServicePool& operator=(const ServicePool&) = delete;

  Worker& worker() const { return worker_; }
  /// It is named by the configuration, so it stays when it is unused.
  void keep() { kept_ = true; }
  const std::string& service() const { return service_; }

  /// An idle connection to the process with the fewest requests under way, not one that `peer` has tried unless all
  /// were, and one that fails only if all do. Null: none is idle.
  PooledConnection* take(Peer& peer, const GroupMember& rules);
  /// Every process with an idle connection has as many requests as slotwire_limits allows it.
  bool all_are_full() const;
  /// Counts a request, or a try of one, unless a limit forbids it: which one.
  Breaker::Limit begin_request(bool retry);
  void end_request(bool retry);
  /// Ends a loan: the connection carries the next request, or is closed.
  void give_back(PooledConnection& connection, bool reusable);
  /// Lets `peer` wait for a connection. False: too many wait already.
  bool enqueue(Peer& peer);
  void leave_queue(Peer& peer);
  /// Says in the log why a request that has waited in vain got no connection, as far as that is known.
  void explain(const Peer& peer) const;

  /// Everything that is known of it fails, so that others should be asked.
  bool is_failing(const GroupMember& rules, time_t now) const;
  /// Processes that `peer` has not tried, of those that are known.
  std::size_t untried(const Peer& peer) const;
  std::size_t processes() const { return processes_.size(); }

  void on_connected(int status, sw_connection* connection);
  /// An idle connection became readable: its peer says that it ends, or has gone.
  void on_idle_event(PooledConnection& connection);
  /// Opens as many connections as the pool should have. Call after anything that changes that.
  void refill();
  /// The library was asked whether something is there: it may have taken an event of slotwired on the way, which nobody
  /// is told of.
  void note_look();
  /// Closes what has been idle for long, forgets processes that are gone.
  void tidy();
  /// A request has ended, or a try of one.
  void count(std::chrono::microseconds took, bool failed, std::string_view trace) { figures_.add(took, failed, trace); }
  /// A request was refused by this limit.
  void refuse(Breaker::Limit limit);
  Figures& figures() { return figures_; }
  /// Lends idle connections to requests that wait.
  void serve_queue();
  /// Nobody needs it, and it has no connection.
  bool is_unused() const { return !kept_ && is_idle() && connections_.empty(); }
  /// Nobody needs it now: it can be ended, with its idle connections.
  bool may_be_ended() const { return !kept_ && is_idle(); }
  /// No process has been found that serves it.
  bool is_unresolved() const { return processes_.empty(); }
  ngx_msec_t last_used() const { return last_used_; }
  /// Whether it has entries in the zone of slotwire_limits that nobody uses now.
  bool may_unshare() const { return shared_ != nullptr && is_idle(); }
  /// Gives them back; the next request takes them anew.
  void unshare();

 private:
  /// The worker ends, and no request waits for a connection any more.
  bool is_ending() const;
  Process& process_of(const sw_peer& peer);
  bool lend(Process& process, Peer& peer);
  /// Whether the process may have one more request, as far as is known.
  bool may_have_another(const Process& process) const;
  Process* choose(const Peer& peer, const GroupMember& rules, time_t now, std::size_t& place) const;
  void fail_queue(int status);
  void forget(Process& process);
  /// No request is under way, waits, or is being sent from the memory of a connection.
  bool is_idle() const {
    return breaker_.requests() == 0 && waiting_ == 0 && connecting_ == 0 && connections_.size() == idle_;
  }
  void share();
  void share(Process& process);
  void close(PooledConnection& connection);
  void close_drained();

  Worker& worker_;
  std::string service_;
  const PoolLimits& limits_;
  Figures figures_;
  Breaker breaker_;
  LimitsZone* const zone_;           ///< where all workers count; null: each by itself
  SharedService* shared_ = nullptr;  ///< of this service in it; null: this worker counts by itself
  ngx_msec_t last_used_;             ///< when a request began
  std::size_t turn_ = 0;             ///< whose turn it is among processes with as few requests
  std::vector<std::unique_ptr<Process>> processes_;
  std::vector<std::unique_ptr<PooledConnection>> connections_;
  ngx_queue_t queue_;  ///< of Peer::link
  std::size_t waiting_ = 0, idle_ = 0, connecting_ = 0;
  ngx_msec_t next_try_ = 0;  ///< no connection is opened before, after one could not be
  ngx_msec_t backoff_ = 0;
  bool kept_ = false;
  int last_failure_ = SW_OK;  ///< that was logged
  std::string last_why_;      ///< what the library said of it
};

}  // namespace slotwire::nginx
