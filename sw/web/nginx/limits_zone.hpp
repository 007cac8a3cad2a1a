// What all workers of one nginx count together: requests under way, by service and by process that serves it.
//
// Each worker writes counts of its own (its lane) and adds up those of all. So a worker that dies leaves nothing that
// cannot be given back: whoever notices clears its lane. Lanes outlive a reload, during which old and new workers count
// beside each other.
#pragma once
#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "web/nginx/nginx.hpp"

namespace slotwire::nginx {

/// Workers of one nginx that can count at a time, those that an old configuration leaves behind included.
inline constexpr std::size_t kMostLanes = 128;

/// Counts by lane, in shared memory: any worker reads them, each writes its own.
class LaneCounts {
 public:
  std::uint32_t sum(std::size_t lanes) const {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < lanes; ++i) sum += counts_.at(i).load(std::memory_order_relaxed);
    return sum;
  }
  void add(std::size_t lane) { counts_.at(lane).fetch_add(1, std::memory_order_relaxed); }
  void subtract(std::size_t lane) { counts_.at(lane).fetch_sub(1, std::memory_order_relaxed); }
  void clear(std::size_t lane) { counts_.at(lane).store(0, std::memory_order_relaxed); }

 private:
  std::array<std::atomic<std::uint32_t>, kMostLanes> counts_;
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free, "counts are shared between processes");

/// A process that serves a service, as all workers know it.
struct SharedProcess {
  SharedProcess* next;
  std::uint32_t pid;
  LaneCounts held;  ///< 1: a worker points here
  LaneCounts requests;
  std::size_t node_length;
  // the node's name follows
};

/// A service, as all workers know it.
struct SharedService {
  SharedService* next;
  SharedProcess* processes;
  LaneCounts held;
  LaneCounts requests;  ///< begun and not ended
  LaneCounts retries;   ///< of those, tries after the first
  std::size_t name_length;
  // the name follows
};

/// The zone in one process. nginx calls make() in the master; workers claim a lane each. One thread of each process;
/// the entries are guarded by the zone's mutex, which nginx gives back when a worker dies with it.
class LimitsZone {
 public:
  /// For slotwire_limits zone=NAME:SIZE. Null: it was refused, and nginx has been told why.
  static LimitsZone* add(ngx_conf_t* cf, ngx_str_t name, ssize_t size);

  const ngx_str_t& name() const { return name_; }
  /// A lane for this worker. False: there is none, which the log says.
  bool claim(ngx_log_t* log);
  /// Gives the lane back, with all that was counted in it.
  void leave();
  /// Gives back what workers that are gone counted; once a second, whichever worker calls it.
  void sweep_sometimes();

  /// The entries, made where they are missing; null: the zone is full, which is_wanted() tells the other workers. Each
  /// is given up once.
  SharedService* open(std::string_view name);
  SharedProcess* open(SharedService& service, std::string_view node, std::uint32_t pid);
  /// Whether a worker has found the zone full in the last two seconds: who has entries that nobody uses gives them
  /// back.
  bool is_wanted() const { return ngx_time() - shared_->full_at.load() <= 2; }
  void close(SharedService* service);
  void close(SharedService& service, SharedProcess* process);

  /// Counts one more request, or a try of one, unless `allows(requests, retries)` says no to what all have.
  template <typename Allows>
  bool begin(SharedService& service, bool retry, Allows allows) {
    const Lock lock(*this);
    if (!allows(service.requests.sum(lanes()), service.retries.sum(lanes()))) return false;
    service.requests.add(lane_);
    if (retry) service.retries.add(lane_);
    return true;
  }
  void end(SharedService& service, bool retry) {
    service.requests.subtract(lane_);
    if (retry) service.retries.subtract(lane_);
  }
  /// The same for one process, up to `most`; 0: no limit.
  bool begin(SharedProcess& process, ngx_uint_t most);
  void end(SharedProcess& process) { process.requests.subtract(lane_); }
  std::uint32_t requests(const SharedProcess& process) const { return process.requests.sum(lanes()); }

 private:
  struct Lane {
    std::atomic<pid_t> pid;              ///< 0: nobody's
    std::atomic<std::uint64_t> started;  ///< of that process, in clock ticks since the machine started
  };
  struct Shared {
    std::array<Lane, kMostLanes> lanes;
    std::atomic<std::size_t> used;  ///< lanes above were never claimed
    std::atomic<time_t> swept;      ///< when
    std::atomic<time_t> full_at;    ///< when a worker found no room for an entry
    SharedService* services;
  };
  class Lock {
   public:
    explicit Lock(LimitsZone& zone) : slab_(zone.slab_) { ngx_shmtx_lock(&slab_->mutex); }
    ~Lock() { ngx_shmtx_unlock(&slab_->mutex); }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

   private:
    ngx_slab_pool_t* slab_;
  };

  static ngx_int_t make(ngx_shm_zone_t* zone, void* old);
  /// Whether the running nginx has this zone with another size.
  static bool conflicts(const ngx_shm_zone_t& zone);
  template <typename Entry>
  Entry* make_entry(std::string_view text);
  std::size_t lanes() const { return shared_->used.load(std::memory_order_relaxed); }
  void sweep();
  void clear(std::size_t lane);

  ngx_str_t name_;
  ngx_slab_pool_t* slab_;
  Shared* shared_;
  std::size_t lane_;
  bool claimed_;
};

}  // namespace slotwire::nginx
