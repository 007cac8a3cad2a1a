#include "web/nginx/limits_zone.hpp"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <new>

namespace slotwire::nginx {
namespace {

/// Where /proc/PID/stat says when a process was started, counted behind the name in brackets.
constexpr int kStartField = 20;

/// When the process was started, in clock ticks since the machine was; 0: there is no such process.
std::uint64_t start_of(pid_t pid) {
  std::array<char, 64> path{};
  std::array<char, 1024> text{};
  ngx_snprintf(reinterpret_cast<u_char*>(path.data()), path.size() - 1, "/proc/%P/stat", pid);
  const int fd = ::open(path.data(), O_RDONLY | O_CLOEXEC);
  if (fd == -1) return 0;
  const ssize_t length = ::read(fd, text.data(), text.size() - 1);
  ::close(fd);
  if (length <= 0) return 0;
  const std::string_view line(text.data(), static_cast<std::size_t>(length));
  std::size_t at = line.rfind(')');  // the name may hold anything
  for (int field = 0; field < kStartField && at != std::string_view::npos; ++field) at = line.find(' ', at + 1);
  return at == std::string_view::npos ? 0 : std::strtoull(text.data() + at + 1, nullptr, 10);
}

/// Whether the process is the one that was started then.
bool is_alive(pid_t pid, std::uint64_t started) {
  if (::kill(pid, 0) != 0 && errno == ESRCH) return false;
  const std::uint64_t start = start_of(pid);
  return start == 0 || start == started;  // where /proc is hidden nobody knows better
}

template <typename Entry>
std::string_view text_behind(const Entry& entry, std::size_t length) {
  return {reinterpret_cast<const char*>(&entry + 1), length};
}

template <typename Entry>
void unlink(Entry*& first, const Entry* entry) {
  Entry** link = &first;
  while (*link != nullptr && *link != entry) link = &(*link)->next;
  if (*link != nullptr) *link = entry->next;
}

}  // namespace

/// A new entry with a text behind it; null: no memory. The zone's mutex is held.
template <typename Entry>
Entry* LimitsZone::make_entry(std::string_view text) {
  void* const memory = ngx_slab_calloc_locked(slab_, sizeof(Entry) + text.size());
  if (memory == nullptr) {
    shared_->full_at.store(ngx_time());
    return nullptr;
  }
  auto* const entry = new (memory) Entry{};
  ngx_memcpy(entry + 1, text.data(), text.size());
  return entry;
}

LimitsZone* LimitsZone::add(ngx_conf_t* cf, ngx_str_t name, ssize_t size) {
  ngx_shm_zone_t* const zone =
      ngx_shared_memory_add(cf, &name, static_cast<std::size_t>(size), &ngx_http_slotwire_module);
  if (zone == nullptr) return nullptr;
  if (zone->data != nullptr) {
    ngx_conf_log_error(
        NGX_LOG_EMERG, cf, 0,
        "the zone \"%V\" is used by another directive already: give that of slotwire_limits another name", &name);
    return nullptr;
  }
  auto* const self = allocate<LimitsZone>(cf->pool);
  if (self == nullptr) return nullptr;
  self->name_ = name;
  zone->data = self;
  zone->init = make;
  return self;
}

bool LimitsZone::conflicts(const ngx_shm_zone_t& zone) {
  // During a reload this is the configuration that runs. nginx gives a zone of another size new memory.
  const ngx_list_part_t* part = &const_cast<ngx_cycle_t*>(ngx_cycle)->shared_memory.part;
  for (; part != nullptr; part = part->next) {
    const auto* const zones = static_cast<const ngx_shm_zone_t*>(part->elts);
    for (ngx_uint_t i = 0; i < part->nelts; ++i) {
      if (zones[i].tag != zone.tag || view_of(zones[i].shm.name) != view_of(zone.shm.name)) continue;
      if (zones[i].shm.size == zone.shm.size) continue;
      ngx_log_error(
          NGX_LOG_EMERG, zone.shm.log, 0,
          "slotwire_limits: the size %uz of zone \"%V\" conflicts with the size %uz that it has in the running "
          "nginx, whose counts would be forgotten: keep the size, or give the zone another name",
          zone.shm.size, &zone.shm.name, zones[i].shm.size);
      return true;
    }
  }
  return false;
}

ngx_int_t LimitsZone::make(ngx_shm_zone_t* zone, void* old) {
  auto& self = *static_cast<LimitsZone*>(zone->data);
  self.slab_ = reinterpret_cast<ngx_slab_pool_t*>(zone->shm.addr);
  if (old != nullptr) {  // a reload: what is counted stays
    self.shared_ = static_cast<LimitsZone*>(old)->shared_;
    return NGX_OK;
  }
  if (conflicts(*zone)) return NGX_ERROR;
  if (zone->shm.exists != 0) {
    self.shared_ = static_cast<Shared*>(self.slab_->data);
    return NGX_OK;
  }
  void* const memory = ngx_slab_calloc(self.slab_, sizeof(Shared));
  if (memory == nullptr) return NGX_ERROR;
  self.shared_ = new (memory) Shared{};
  self.slab_->data = self.shared_;
  self.slab_->log_nomem = 0;  // the worker says what it does without
  return NGX_OK;
}

bool LimitsZone::claim(ngx_log_t* log) {
  sweep();
  const Lock lock(*this);
  for (std::size_t i = 0; i < kMostLanes; ++i) {
    Lane& lane = shared_->lanes.at(i);
    if (lane.pid.load() != 0) continue;
    lane_ = i;
    clear(i);
    lane.started.store(start_of(ngx_pid));
    lane.pid.store(ngx_pid);
    if (shared_->used.load() <= i) shared_->used.store(i + 1);
    claimed_ = true;
    return true;
  }
  ngx_log_error(NGX_LOG_ALERT, log, 0,
                "slotwire: the zone of slotwire_limits counts %uz workers at most: this one applies slotwire_limits by "
                "itself; lower worker_processes, or set worker_shutdown_timeout so that workers of before a reload end",
                kMostLanes);
  return false;
}

void LimitsZone::leave() {
  if (!claimed_) return;
  claimed_ = false;
  const Lock lock(*this);
  clear(lane_);
  shared_->lanes.at(lane_).pid.store(0);
}

void LimitsZone::sweep_sometimes() {
  const time_t now = ngx_time();
  time_t last = shared_->swept.load();
  // One of the workers does it for all.
  if (last != now && shared_->swept.compare_exchange_strong(last, now)) sweep();
}

void LimitsZone::sweep() {
  for (std::size_t i = 0; i < lanes(); ++i) {
    Lane& lane = shared_->lanes.at(i);
    const pid_t pid = lane.pid.load();
    // Found out without the mutex, for which requests wait.
    if (pid == 0 || (claimed_ && pid == ngx_pid) || is_alive(pid, lane.started.load())) continue;
    const Lock lock(*this);
    if (lane.pid.load() != pid) continue;
    clear(i);
    lane.pid.store(0);
  }
}

/// Nothing of the lane counts any more. The mutex is held.
void LimitsZone::clear(std::size_t lane) {
  for (SharedService *service = shared_->services, *next = nullptr; service != nullptr; service = next) {
    next = service->next;
    for (SharedProcess *process = service->processes, *behind = nullptr; process != nullptr; process = behind) {
      behind = process->next;
      process->requests.clear(lane);
      process->held.clear(lane);
      if (process->held.sum(kMostLanes) != 0) continue;
      unlink(service->processes, process);
      ngx_slab_free_locked(slab_, process);
    }
    service->requests.clear(lane);
    service->retries.clear(lane);
    service->held.clear(lane);
    if (service->held.sum(kMostLanes) != 0 || service->processes != nullptr) continue;
    unlink(shared_->services, service);
    ngx_slab_free_locked(slab_, service);
  }
}

SharedService* LimitsZone::open(std::string_view name) {
  const Lock lock(*this);
  SharedService* found = shared_->services;
  while (found != nullptr && text_behind(*found, found->name_length) != name) found = found->next;
  if (found == nullptr) {
    found = make_entry<SharedService>(name);
    if (found == nullptr) return nullptr;
    found->name_length = name.size();
    found->next = shared_->services;
    shared_->services = found;
  }
  found->held.add(lane_);
  return found;
}

SharedProcess* LimitsZone::open(SharedService& service, std::string_view node, std::uint32_t pid) {
  const Lock lock(*this);
  SharedProcess* found = service.processes;
  while (found != nullptr && (found->pid != pid || text_behind(*found, found->node_length) != node))
    found = found->next;
  if (found == nullptr) {
    found = make_entry<SharedProcess>(node);
    if (found == nullptr) return nullptr;
    found->node_length = node.size();
    found->pid = pid;
    found->next = service.processes;
    service.processes = found;
  }
  found->held.add(lane_);
  return found;
}

void LimitsZone::close(SharedService* service) {
  const Lock lock(*this);
  service->held.subtract(lane_);
  if (service->held.sum(kMostLanes) != 0 || service->processes != nullptr) return;
  unlink(shared_->services, service);
  ngx_slab_free_locked(slab_, service);
}

void LimitsZone::close(SharedService& service, SharedProcess* process) {
  const Lock lock(*this);
  process->held.subtract(lane_);
  if (process->held.sum(kMostLanes) != 0) return;
  unlink(service.processes, process);
  ngx_slab_free_locked(slab_, process);
}

bool LimitsZone::begin(SharedProcess& process, ngx_uint_t most) {
  const Lock lock(*this);
  if (most != 0 && process.requests.sum(lanes()) >= most) return false;
  process.requests.add(lane_);
  return true;
}

}  // namespace slotwire::nginx
