#include "web/nginx/worker.hpp"

#include <array>
#include <new>
#include <string>
#include <vector>

#include "web/nginx/group.hpp"

namespace slotwire::nginx {
namespace {

/// Connections that are ready, taken in one turn of the event loop.
constexpr std::size_t kReadyAtOnce = 256;
constexpr ngx_msec_t kTidyMs = 1000;
/// Services whose entries in the zone of slotwire_limits are given back each kTidyMs to workers that find it full.
constexpr std::size_t kGivenBackAtOnce = 16;

std::unique_ptr<Worker> worker;

bool was_used_before(const ServicePool& a, const ServicePool& b) {
  return static_cast<ngx_msec_int_t>(a.last_used() - b.last_used()) < 0;
}

}  // namespace

Worker* Worker::here() {
  return worker.get();
}

ngx_int_t Worker::start(ngx_cycle_t* cycle) {
  if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE) return NGX_OK;
  auto* const http = reinterpret_cast<ngx_http_conf_ctx_t*>(ngx_get_conf(cycle->conf_ctx, ngx_http_module));
  if (http == nullptr) return NGX_OK;
  const auto& conf = *static_cast<MainConf*>(http->main_conf[ngx_http_slotwire_module.ctx_index]);
  if (conf.groups.nelts == 0 && !conf.has_variables) return NGX_OK;
  if ((ngx_event_flags & NGX_USE_CLEAR_EVENT) == 0) {
    ngx_log_error(NGX_LOG_EMERG, cycle->log, 0, "slotwire_pass needs \"use epoll;\" in the block \"events\"");
    return NGX_ERROR;
  }
  LimitsZone* const zone = conf.limits_zone;
  auto made = std::make_unique<Worker>(conf.pool, zone != nullptr && zone->claim(cycle->log) ? zone : nullptr);
  if (!made->open(cycle, conf.socket)) return NGX_ERROR;
  worker = std::move(made);
  auto* const groups = static_cast<ServiceGroup**>(conf.groups.elts);
  for (ngx_uint_t i = 0; i < conf.groups.nelts; ++i) {
    auto* const members = static_cast<GroupMember*>(groups[i]->members.elts);
    for (ngx_uint_t j = 0; j < groups[i]->members.nelts; ++j) {
      if (members[j].down) continue;
      members[j].pool = worker->pool_of(view_of(members[j].service));
      if (members[j].pool == nullptr) continue;
      members[j].pool->keep();
      members[j].pool->refill();
    }
  }
  return NGX_OK;
}

void Worker::stop() {
  worker.reset();
}

bool Worker::open(ngx_cycle_t* cycle, const ngx_str_t& path) {
  const auto failed = [&](const char* what) {
    ngx_log_error(NGX_LOG_EMERG, cycle->log, 0, "slotwire: %s: %s", what, sw_last_error());
    return false;
  };
  sw_options options;
  SW_INIT(options);
  const std::string socket(view_of(path));
  const std::string name = "nginx";
  if (!socket.empty()) options.socket = socket.c_str();
  options.name = name.c_str();
  options.background = 1;
  if (sw_open(&options, &context_) != SW_OK) return failed("cannot prepare to attach to slotwired");
  if (sw_poller_create(context_, &poller_) != SW_OK) return failed("cannot watch slots");
  socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket_ == -1) {
    ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_socket_errno, "slotwire: cannot create a socket");
    return false;
  }
  connection_pool_ = ngx_create_pool(256, cycle->log);
  if (connection_pool_ == nullptr) return false;
  poll_ = ngx_get_connection(sw_poller_fd(poller_), cycle->log);
  if (poll_ == nullptr) return false;
  poll_->data = this;
  poll_->read->handler = on_poll;
  poll_->read->log = cycle->log;
  poll_->read->channel = 1;  // so that a worker that ends does not take it for a client's
  poll_->write->handler = on_poll;
  if (ngx_add_event(poll_->read, NGX_READ_EVENT, 0) != NGX_OK) return false;
  for (ngx_event_t* const timer : {&tidy_, &retry_}) {
    timer->data = poll_;
    timer->log = cycle->log;
    timer->cancelable = 1;
  }
  tidy_.handler = on_tidy;
  retry_.handler = on_retry;
  ngx_add_timer(&tidy_, kTidyMs);
  look_again();
  return true;
}

Worker::~Worker() {
  pools_.clear();
  if (zone_ != nullptr) zone_->leave();
  if (tidy_.timer_set) ngx_del_timer(&tidy_);
  if (retry_.timer_set) ngx_del_timer(&retry_);
  if (poll_ != nullptr) {
    if (poll_->read->posted != 0) {
      ngx_delete_posted_event(poll_->read);
    }
    ngx_free_connection(poll_);
    poll_->fd = static_cast<ngx_socket_t>(-1);  // the descriptor is the library's
  }
  if (connection_pool_ != nullptr) ngx_destroy_pool(connection_pool_);
  if (socket_ != -1) ::close(socket_);
  sw_poller_destroy(poller_);
  sw_close(context_);
}

ServicePool* Worker::pool_of(std::string_view service) {
  std::string name(service);
  if (const auto found = pools_.find(name); found != pools_.end()) return found->second.get();
  if (pools_.size() >= kMaxServices && !end_least_recently_used()) return nullptr;
  auto pool = std::make_unique<ServicePool>(*this, name, limits_);
  return pools_.emplace(std::move(name), std::move(pool)).first->second.get();
}

bool Worker::end_least_recently_used() {
  auto last = pools_.end();
  for (auto entry = pools_.begin(); entry != pools_.end(); ++entry) {
    if (entry->second->may_be_ended() && (last == pools_.end() || was_used_before(*entry->second, *last->second)))
      last = entry;
  }
  if (last == pools_.end()) return false;
  pools_.erase(last);
  return true;
}

bool Worker::make_room_in_zone() {
  ServicePool* last = nullptr;
  for (const auto& [name, pool] : pools_) {
    if (pool->may_unshare() && (last == nullptr || was_used_before(*pool, *last))) last = pool.get();
  }
  if (last == nullptr) return false;
  last->unshare();
  return true;
}

void Worker::note_zone(bool room) {
  if (zone_full_ != room) return;
  zone_full_ = !room;
  if (room) {
    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0, "slotwire: the zone \"%V\" of slotwire_limits has room again",
                  &zone_->name());
  } else {
    ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                  "slotwire: the zone \"%V\" of slotwire_limits is full: this worker counts by itself the requests to "
                  "services that have no place in it; give \"zone=\" a larger size",
                  &zone_->name());
  }
}

ServicePool* Worker::pool_of(const GroupMember& member) {
  return member.pool != nullptr ? member.pool : pool_of(view_of(member.service));
}

void Worker::look_again() {
  ngx_post_event(poll_->read, &ngx_posted_next_events);
}

void Worker::try_again_in(ngx_msec_t ms) {
  if (!retry_.timer_set) ngx_add_timer(&retry_, ms);
}

void Worker::look() {
  std::array<sw_ready, kReadyAtOnce> ready;
  std::size_t count = 0;
  const int status = sw_poller_wait(poller_, ready.data(), ready.size(), 0, &count);
  if (status == SW_OK) {
    for (std::size_t i = 0; i < count; ++i) static_cast<PooledConnection*>(ready[i].token)->on_ready(ready[i].what);
    take_outcomes();
    if (count == 0) refill();  // events of slotwired: it may be there only now
    return look_again();
  }
  take_outcomes();
  if (status != SW_AGAIN) {
    ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0, "slotwire: cannot look at slots: %s", sw_last_error());
    return;
  }
  if (sw_poller_arm(poller_) != SW_OK) look_again();
}

void Worker::take_outcomes() {
  void* token = nullptr;
  sw_connection* connection = nullptr;
  while (true) {
    const int status = sw_connected(context_, &token, &connection);
    if (token == nullptr) return;
    static_cast<ServicePool*>(token)->on_connected(status, connection);
  }
}

void Worker::refill() {
  for (auto& [name, pool] : pools_) pool->refill();
}

void Worker::tidy() {
  for (auto entry = pools_.begin(); entry != pools_.end();) {
    entry->second->tidy();
    const bool ends =
        entry->second->is_unused() && (entry->second->is_unresolved() || pools_.size() > kMaxServices / 2);
    entry = ends ? pools_.erase(entry) : std::next(entry);
  }
  // Another worker has found no room: what is not used here is its to take.
  if (zone_ == nullptr || !zone_->is_wanted()) return;
  for (std::size_t i = 0; i < kGivenBackAtOnce && make_room_in_zone(); ++i) {
  }
}

/// Tells slotwired how requests went, if there were any.
void Worker::report() {
  std::uint64_t requests = 0;
  std::vector<sw_figures> figures;
  for (auto& [name, pool] : pools_) {
    requests += pool->figures().requests();
    if (pool->figures().requests() != 0 && figures.size() < SW_MAX_FIGURES) figures.push_back(pool->figures().take());
  }
  if (requests == reported_) return;
  reported_ = requests;
  sw_report(context_, figures.data(), figures.size());
}

void Worker::look_at_attachment() {
  const int status = sw_context_attached(context_);
  if (status == SW_AGAIN) return;
  if (status == SW_OK) {
    if (!unreachable_.empty())
      ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0, "slotwire: slotwired of node \"%s\" is reached",
                    sw_context_node(context_));
    return unreachable_.clear();
  }
  if (unreachable_ == sw_last_error()) return;
  unreachable_ = sw_last_error();
  ngx_log_error(
      NGX_LOG_ERR, ngx_cycle->log, 0,
      "slotwire: requests wait: %s (nginx takes the socket that \"slotwire_socket\" in the block \"http\" names)",
      unreachable_.c_str());
}

void Worker::on_poll(ngx_event_t* event) {
  static_cast<Worker*>(static_cast<ngx_connection_t*>(event->data)->data)->look();
}

void Worker::on_tidy(ngx_event_t* event) {
  auto& self = *static_cast<Worker*>(static_cast<ngx_connection_t*>(event->data)->data);
  if (self.zone_ != nullptr) self.zone_->sweep_sometimes();
  self.tidy();
  self.report();
  self.look_at_attachment();
  ngx_add_timer(event, kTidyMs);
}

void Worker::on_retry(ngx_event_t* event) {
  auto& self = *static_cast<Worker*>(static_cast<ngx_connection_t*>(event->data)->data);
  self.refill();
  for (auto& [name, pool] : self.pools_) pool->serve_queue();
  self.look_again();
}

}  // namespace slotwire::nginx
