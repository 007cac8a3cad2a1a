#include "web/nginx/pool.hpp"

#include <algorithm>
#include <utility>

#include "web/nginx/peer.hpp"
#include "web/nginx/worker.hpp"

namespace slotwire::nginx {
namespace {

/// A connection that could not be opened is tried again after this, then after twice this, ...
constexpr ngx_msec_t kFirstBackoffMs = 50;
constexpr ngx_msec_t kLastBackoffMs = 1000;
/// slotwired is given this long to open a connection.
constexpr sw_timeout_ms kOpenMs = 5000;
/// What a process said of its credit holds so long.
constexpr ngx_msec_t kCreditMs = 1000;
/// A request that waits because of other workers' requests to a process looks again after this.
constexpr ngx_msec_t kSharedRetryMs = 10;
/// Connections of one service that are opened at a time.
constexpr std::size_t kOpenAtOnce = 64;

/// Processes that this worker has met.
std::uint64_t processes_named = 0;

/// May the same connection succeed a moment later?
bool passes(int status) {
  return status == SW_LINK_DOWN || status == SW_ENGINE_GONE || status == SW_TIMED_OUT || status == SW_BUSY ||
         status == SW_LOST;
}

void make_ready(ngx_event_t* event) {
  event->ready = 1;
  if (event->handler == nullptr) return;
  ngx_post_event(event, &ngx_posted_events);
}

}  // namespace

// --- processes ---

bool Process::is_failing(const GroupMember& rules, time_t now) const {
  return rules.max_fails != 0 && fails >= rules.max_fails && now - std::max(failed_at, tried_at) <= rules.fail_timeout;
}

void Process::note_failure(time_t now) {
  ++fails;
  failed_at = now;
}

void Process::note_success() {
  fails = 0;
}

void Process::note_credit(std::size_t requests) {
  credit = requests;
  credit_at = ngx_current_msec;
}

std::size_t Process::credit_now() const {
  return ngx_current_msec - credit_at > kCreditMs ? kPlenty : credit;
}

int Process::health() const {
  return idle.empty() ? SW_HEALTH_WELL : sw_connection_health(idle.back()->get());
}

// --- connections ---

bool PooledConnection::is_fresh() const {
  const void* data = nullptr;
  std::size_t length = 0;
  const bool fresh = sw_peek_stream(connection_, &data, &length) == SW_AGAIN;
  pool_.note_look();
  return fresh;
}

void PooledConnection::watch(int what) {
  if (what == watched_) return;
  watched_ = what;
  sw_poller_set(pool_.worker().poller(), connection_, what);
  pool_.worker().look_again();
}

void PooledConnection::want(int what) {
  watch(watched_ | what);
  pool_.note_look();
}

void PooledConnection::on_ready(std::uint32_t what) {
  if (peer == nullptr) return pool_.on_idle_event(*this);
  ngx_connection_t& c = *peer->connection;
  int watched = watched_;
  if ((what & SW_READABLE) != 0) {
    // What was told and is not taken yet is not told again: the client is slower than the server.
    if (c.read->ready != 0) watched &= ~SW_READABLE;
    make_ready(c.read);
  }
  if ((what & SW_WRITABLE) != 0) {
    watched &= ~SW_WRITABLE;
    make_ready(c.write);
  }
  watch(watched);
}

// --- the pool ---

ServicePool::ServicePool(Worker& worker, std::string service, const PoolLimits& limits)
    : worker_(worker),
      service_(std::move(service)),
      limits_(limits),
      figures_(service_, Figures::Role::client),
      breaker_({.requests = limits.requests,
                .process_requests = limits.process_requests,
                .waiting = limits.queue,
                .retries_percent = limits.retries_percent,
                .least_retries = limits.least_retries}),
      zone_(worker.zone()),
      last_used_(ngx_current_msec) {
  ngx_queue_init(&queue_);
}

ServicePool::~ServicePool() {
  unshare();
}

/// The process goes out of this worker's sight.
void ServicePool::forget(Process& process) {
  if (process.shared != nullptr) zone_->close(*shared_, std::exchange(process.shared, nullptr));
}

void ServicePool::unshare() {
  if (shared_ == nullptr) return;
  for (const auto& process : processes_) forget(*process);
  zone_->close(std::exchange(shared_, nullptr));
}

/// Counts where all workers do, if there is room. Only while no request is under way: what was counted here would be
/// given back there.
void ServicePool::share() {
  if (zone_ == nullptr || shared_ != nullptr || breaker_.requests() != 0) return;
  do shared_ = zone_->open(service_);
  while (shared_ == nullptr && worker_.make_room_in_zone());
  worker_.note_zone(shared_ != nullptr);
}

void ServicePool::share(Process& process) {
  if (shared_ == nullptr || process.shared != nullptr || limits_.process_requests == 0 || process.outstanding != 0)
    return;
  do process.shared = zone_->open(*shared_, process.node, process.pid);
  while (process.shared == nullptr && worker_.make_room_in_zone());
  worker_.note_zone(process.shared != nullptr);
}

Breaker::Limit ServicePool::begin_request(bool retry) {
  Breaker::Limit limit = Breaker::Limit::none;
  last_used_ = ngx_current_msec;
  share();
  if (shared_ == nullptr) {
    limit = breaker_.may_begin(retry);
  } else {
    zone_->begin(*shared_, retry, [&](std::size_t requests, std::size_t retries) {
      limit = breaker_.may_begin(retry, requests, retries);
      return limit == Breaker::Limit::none;
    });
  }
  if (limit == Breaker::Limit::none) breaker_.begin(retry);
  return limit;
}

void ServicePool::end_request(bool retry) {
  breaker_.end(retry);
  if (shared_ != nullptr) zone_->end(*shared_, retry);
  // A name that nobody serves, which anybody can make up where slotwire_pass has variables, takes no place any longer.
  if (processes_.empty() && breaker_.requests() == 0) unshare();
}

bool ServicePool::may_have_another(const Process& process) const {
  return breaker_.may_have_another(process.shared != nullptr ? zone_->requests(*process.shared) : process.outstanding);
}

void ServicePool::note_look() {
  if (connecting_ != 0) worker_.look_again();
}

Process& ServicePool::process_of(const sw_peer& peer) {
  for (const auto& process : processes_) {
    if (process->pid == peer.pid && process->node == peer.node) return *process;
  }
  auto process = std::make_unique<Process>();
  process->node = peer.node;
  process->pid = peer.pid;
  process->number = ++processes_named;
  processes_.push_back(std::move(process));
  return *processes_.back();
}

Process* ServicePool::choose(const Peer& peer, const GroupMember& rules, time_t now, std::size_t& best_place) const {
  Process* best = nullptr;
  std::size_t best_rank = 0;
  for (std::size_t i = 0; i < processes_.size(); ++i) {
    // Equals take turns.
    const std::size_t place = (turn_ + i) % processes_.size();
    const auto& process = processes_[place];
    if (process->idle.empty()) continue;
    if (!may_have_another(*process)) continue;
    // Tried ones last, before them those that fail here, then those that fail by their node, then full ones; among
    // equals the one with the fewest requests, and then the one with the most credit.
    const std::size_t credit = process->credit_now();
    const int health = process->health();
    if (health == SW_HEALTH_DRAINED) continue;
    const std::size_t rank = (peer.has_tried(*process) ? 8U : 0U) + (process->is_failing(rules, now) ? 4U : 0U) +
                             (health != SW_HEALTH_WELL ? 2U : 0U) + (credit == 0 ? 1U : 0U);
    const auto is_better = [&] {
      if (best == nullptr || rank != best_rank) return best == nullptr || rank < best_rank;
      if (process->outstanding != best->outstanding) return process->outstanding < best->outstanding;
      return credit > best->credit_now();
    };
    if (is_better()) {
      best = process.get();
      best_rank = rank;
      best_place = place;
    }
  }
  return best;
}

PooledConnection* ServicePool::take(Peer& peer, const GroupMember& rules) {
  const time_t now = ngx_time();
  // Another worker may have given a process its last request since we looked; then the next best one is chosen.
  for (std::size_t tries = 0; tries <= processes_.size(); ++tries) {
    std::size_t place = 0;
    Process* const best = choose(peer, rules, now, place);
    if (best == nullptr) return nullptr;
    if (!lend(*best, peer)) continue;
    turn_ = place + 1;
    // A process that failed is given one request after fail_timeout, and others when that succeeded.
    if (best->fails >= rules.max_fails && best->fails != 0) best->tried_at = now;
    refill();
    return peer.lent;
  }
  return nullptr;
}

/// Gives `peer` the connection to the process that was used last. False: the process has as many requests as it may.
bool ServicePool::lend(Process& process, Peer& peer) {
  share(process);
  if (process.shared != nullptr && !zone_->begin(*process.shared, limits_.process_requests)) return false;
  PooledConnection& connection = *process.idle.back();
  process.idle.pop_back();
  --idle_;
  ++process.outstanding;
  ++connection.requests;
  connection.peer = &peer;
  peer.lent = &connection;
  return true;
}

void ServicePool::give_back(PooledConnection& connection, bool reusable) {
  Process& process = connection.process();
  --process.outstanding;
  if (process.shared != nullptr) zone_->end(*process.shared);
  connection.peer = nullptr;
  if (!reusable || is_ending() || sw_connection_health(connection.get()) == SW_HEALTH_DRAINED ||
      !connection.is_fresh()) {
    close(connection);
    return refill();
  }
  connection.want(SW_READABLE);
  connection.idle_since = ngx_current_msec;
  connection.process().idle.push_back(&connection);
  ++idle_;
  serve_queue();
}

void ServicePool::close(PooledConnection& connection) {
  Process& process = connection.process();
  if (const auto found = std::find(process.idle.begin(), process.idle.end(), &connection);
      found != process.idle.end()) {
    process.idle.erase(found);
    --idle_;
  }
  --process.connections;
  std::erase_if(connections_, [&](const auto& entry) { return entry.get() == &connection; });
}

bool ServicePool::is_ending() const {
  return ngx_terminate != 0 || (ngx_exiting != 0 && waiting_ == 0);
}

bool ServicePool::all_are_full() const {
  std::size_t full = 0;
  for (const auto& process : processes_) {
    if (process->connections == 0 || process->health() == SW_HEALTH_DRAINED) continue;
    if (may_have_another(*process)) return false;
    ++full;
  }
  return full != 0;
}

void ServicePool::refuse(Breaker::Limit limit) {
  breaker_.count(limit);
  figures_.set_limited({breaker_.refused(Breaker::Limit::requests), breaker_.refused(Breaker::Limit::process),
                        breaker_.refused(Breaker::Limit::waiting), breaker_.refused(Breaker::Limit::retries)});
  figures_.add({}, true);
}

bool ServicePool::enqueue(Peer& peer) {
  if (breaker_.may_wait(waiting_) != Breaker::Limit::none) return false;
  close_drained();  // so that others are opened in their place
  ngx_queue_insert_tail(&queue_, &peer.link);
  peer.queued = true;
  ++waiting_;
  refill();
  return true;
}

void ServicePool::leave_queue(Peer& peer) {
  if (!peer.queued) return;
  ngx_queue_remove(&peer.link);
  peer.queued = false;
  --waiting_;
}

void ServicePool::serve_queue() {
  while (waiting_ != 0 && idle_ != 0) {
    Peer& peer = *ngx_queue_data(ngx_queue_head(&queue_), Peer, link);
    PooledConnection* const connection = take(peer, *peer.member);
    if (connection == nullptr) {
      if (all_are_full()) {  // known since a process has a connection: as for a request that comes now
        leave_queue(peer);
        peer.refuse(Breaker::Limit::process);
        make_ready(peer.connection->write);
        continue;
      }
      // Nobody tells this worker when a request of another one ends.
      if (zone_ != nullptr) worker_.try_again_in(kSharedRetryMs);
      return;
    }
    leave_queue(peer);
    peer.begin(*connection);
    make_ready(peer.connection->write);
  }
}

void ServicePool::fail_queue(int status) {
  const std::string why = sw_last_error();  // of the call that gave the status
  while (waiting_ != 0) {
    Peer& peer = *ngx_queue_data(ngx_queue_head(&queue_), Peer, link);
    leave_queue(peer);
    ngx_log_error(NGX_LOG_ERR, peer.request->connection->log, 0, "no connection to slotwire service \"%s\": %s: %s",
                  service_.c_str(), sw_status_name(status), why.c_str());
    peer.failed = true;
    make_ready(peer.connection->write);
  }
}

void ServicePool::explain(const Peer& peer) const {
  if (last_failure_ == SW_OK) return;
  ngx_log_error(NGX_LOG_ERR, peer.request->connection->log, 0, "no connection to slotwire service \"%s\" yet: %s: %s",
                service_.c_str(), sw_status_name(last_failure_), last_why_.c_str());
}

bool ServicePool::is_failing(const GroupMember& rules, time_t now) const {
  // While slotwired is away nothing is known.
  if (processes_.empty()) return last_failure_ != SW_OK && last_failure_ != SW_ENGINE_GONE && last_failure_ != SW_BUSY;
  return std::all_of(processes_.begin(), processes_.end(),
                     [&](const auto& process) { return process->is_failing(rules, now); });
}

std::size_t ServicePool::untried(const Peer& peer) const {
  return static_cast<std::size_t>(std::count_if(processes_.begin(), processes_.end(), [&](const auto& process) {
    return process->connections != 0 && !peer.has_tried(*process);
  }));
}

void ServicePool::on_connected(int status, sw_connection* connection) {
  --connecting_;
  if (status != SW_OK) {
    backoff_ = std::clamp(backoff_ * 2, kFirstBackoffMs, kLastBackoffMs);
    next_try_ = ngx_current_msec + backoff_;
    if (status != last_failure_) {
      ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "slotwire: cannot connect to service \"%s\": %s", service_.c_str(),
                    sw_last_error());
    }
    last_failure_ = status;
    last_why_ = sw_last_error();
    if (!passes(status) && connections_.empty() && connecting_ == 0) fail_queue(status);
    return refill();
  }
  backoff_ = 0;
  next_try_ = 0;
  last_failure_ = SW_OK;
  sw_peer peer;
  SW_INIT(peer);
  sw_connection_peer(connection, &peer);
  Process& process = process_of(peer);
  auto made = std::make_unique<PooledConnection>(*this, connection, process, peer.slot);
  if (is_ending()) return;
  if (sw_poller_add(worker_.poller(), connection, SW_READABLE, made.get()) != SW_OK) {
    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "slotwire: cannot watch a connection to service \"%s\": %s",
                  service_.c_str(), sw_last_error());
    return;
  }
  ++process.connections;
  made->idle_since = ngx_current_msec;
  process.idle.push_back(made.get());
  ++idle_;
  connections_.push_back(std::move(made));
  serve_queue();
}

void ServicePool::on_idle_event(PooledConnection& connection) {
  if (connection.is_fresh()) return;
  // A notice that the server ends, or its end: either way no request may begin here.
  close(connection);
  refill();
}

void ServicePool::refill() {
  // Of a service that a variable names nothing is kept ready before somebody serves it.
  const bool may_spare = ngx_exiting == 0 && (kept_ || !processes_.empty());
  const std::size_t wanted = (may_spare ? limits_.spare : 0) + waiting_;
  while (ngx_terminate == 0 && idle_ + connecting_ < wanted && connections_.size() + connecting_ < limits_.max &&
         connecting_ < kOpenAtOnce) {
    if (next_try_ != 0 && static_cast<ngx_msec_int_t>(next_try_ - ngx_current_msec) > 0) {
      return worker_.try_again_in(next_try_ - ngx_current_msec);
    }
    sw_connect_options options;
    SW_INIT(options);
    options.in_bytes = static_cast<std::uint32_t>(limits_.request_ring_bytes);
    options.out_bytes = static_cast<std::uint32_t>(limits_.response_ring_bytes);
    const int status = sw_start_connect(worker_.context(), service_.c_str(), &options, kOpenMs, this);
    if (status != SW_OK) {
      if (status == SW_ENGINE_GONE) {
        worker_.look_at_attachment();  // says it once for all services
      } else if (status != last_failure_) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "slotwire: cannot connect to service \"%s\": %s",
                      service_.c_str(), sw_last_error());
      }
      last_failure_ = status;
      last_why_ = sw_last_error();
      backoff_ = kFirstBackoffMs;
      next_try_ = ngx_current_msec + backoff_;
      if (!passes(status) && connections_.empty() && connecting_ == 0) fail_queue(status);
      if (waiting_ != 0) worker_.try_again_in(backoff_);
      return;
    }
    ++connecting_;
  }
}

/// A process that is drained gets nothing new, so its idle connections only keep it.
void ServicePool::close_drained() {
  for (const auto& process : processes_) {
    while (process->health() == SW_HEALTH_DRAINED) close(*process->idle.back());
  }
}

void ServicePool::tidy() {
  const auto too_old = [&](const PooledConnection& connection) {
    return ngx_exiting != 0 || ngx_current_msec - connection.idle_since >= limits_.idle_timeout;
  };
  for (const auto& process : processes_) {
    while (idle_ > (ngx_exiting != 0 ? 0 : limits_.spare) && !process->idle.empty() &&
           too_old(*process->idle.front())) {
      close(*process->idle.front());
    }
  }
  close_drained();
  const time_t now = ngx_time();
  std::erase_if(processes_, [&](const auto& process) {
    const bool over = process->connections == 0 && now - process->failed_at > 60;
    if (over) forget(*process);
    return over;
  });
  refill();
}

}  // namespace slotwire::nginx
