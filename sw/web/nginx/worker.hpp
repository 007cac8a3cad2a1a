// A worker process of nginx as a process of the node.
#pragma once
#include <slotwire.h>

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "web/nginx/pool.hpp"

namespace slotwire::nginx {

/// Attaches, waits on one descriptor in nginx's event loop, and owns the pools. Never waits.
class Worker {
 public:
  /// Services that a worker uses at a time.
  static constexpr std::size_t kMaxServices = 1024;

  /// The one of this process; null where requests are not handled.
  static Worker* here();
  static ngx_int_t start(ngx_cycle_t* cycle);
  static void stop();

  /// `zone`: where all workers count; null: each by itself.
  Worker(const PoolLimits& limits, LimitsZone* zone) : limits_(limits), zone_(zone) {}
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  sw_context* context() const { return context_; }
  sw_poller* poller() const { return poller_; }
  ngx_socket_t socket() const { return socket_; }
  ngx_pool_t* connection_pool() const { return connection_pool_; }
  const PoolLimits& limits() const { return limits_; }
  LimitsZone* zone() const { return zone_; }
  /// The pool of a service; null when there are too many.
  ServicePool* pool_of(std::string_view service);
  ServicePool* pool_of(const GroupMember& member);
  /// Has a look at all slots in this or the next turn of the event loop.
  void look_again();
  /// Looks at the pools again in `ms`, to open connections that could not be.
  void try_again_in(ngx_msec_t ms);

  /// Gives back the entries of the zone of slotwire_limits that this worker has not used for longest. False: it uses
  /// all.
  bool make_room_in_zone();
  /// Whether there was room for an entry; says in the log when that changes.
  void note_zone(bool room);
  /// Says in the log why slotwired cannot be reached: once, and again when the reason changes.
  void look_at_attachment();

 private:
  bool open(ngx_cycle_t* cycle, const ngx_str_t& socket);
  void look();
  bool end_least_recently_used();
  void take_outcomes();
  void refill();
  void tidy();
  void report();
  static void on_poll(ngx_event_t* event);
  static void on_tidy(ngx_event_t* event);
  static void on_retry(ngx_event_t* event);

  const PoolLimits limits_;
  LimitsZone* zone_;
  sw_context* context_ = nullptr;
  sw_poller* poller_ = nullptr;
  ngx_socket_t socket_ = -1;  ///< what nginx asks for errors of a connection of ours: it never has one
  ngx_connection_t* poll_ = nullptr;
  ngx_pool_t* connection_pool_ = nullptr;
  ngx_event_t tidy_{}, retry_{};
  std::unordered_map<std::string, std::unique_ptr<ServicePool>> pools_;
  std::uint64_t reported_ = 0;  ///< requests of all pools
  bool zone_full_ = false;      ///< as the log says
  std::string unreachable_;     ///< why slotwired cannot be reached, as the log says; empty: it was not asked to
};

}  // namespace slotwire::nginx
