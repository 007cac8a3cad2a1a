#include "web/nginx/peer.hpp"

#include <algorithm>
#include <utility>

#include "web/nginx/context.hpp"
#include "web/nginx/worker.hpp"

namespace slotwire::nginx {
namespace {

/// ngx_http_upstream frees a peer only if it has an address.
sockaddr no_address{};

bool is_available(Worker& worker, const Peer& peer, const GroupMember& member, std::size_t index) {
  if (member.down) return false;
  ServicePool* const pool = worker.pool_of(member);
  if (pool == nullptr) return false;
  if ((peer.tried_members >> index & 1U) != 0 && pool->untried(peer) == 0) return false;
  return !pool->is_failing(member, ngx_time());
}

/// Smooth weighted round robin among the members that may be asked, as upstream blocks do it.
GroupMember* choose(Worker& worker, Peer& peer, bool backup) {
  auto* const members = static_cast<GroupMember*>(peer.group->members.elts);
  GroupMember* best = nullptr;
  ngx_int_t total = 0;
  for (ngx_uint_t i = 0; i < peer.group->members.nelts; ++i) {
    GroupMember& member = members[i];
    if (member.backup != backup || !is_available(worker, peer, member, i)) continue;
    member.current_weight += static_cast<ngx_int_t>(member.weight);
    total += static_cast<ngx_int_t>(member.weight);
    if (best == nullptr || member.current_weight > best->current_weight) best = &member;
  }
  if (best != nullptr) best->current_weight -= total;
  return best;
}

GroupMember* choose_member(Worker& worker, Peer& peer) {
  auto* const members = static_cast<GroupMember*>(peer.group->members.elts);
  if (peer.group->members.nelts == 1) return members[0].down ? nullptr : &members[0];
  if (GroupMember* const member = choose(worker, peer, false)) return member;
  return choose(worker, peer, true);
}

ngx_connection_t* make_connection(Worker& worker, ngx_peer_connection_t& pc) {
  ngx_connection_t* const c = ngx_get_connection(worker.socket(), pc.log);
  if (c == nullptr) return nullptr;
  c->shared = 1;  // the socket is not its own
  c->type = SOCK_STREAM;
  c->pool = worker.connection_pool();
  c->log_error = pc.log_error;
  c->tcp_nodelay = NGX_TCP_NODELAY_DISABLED;
  c->tcp_nopush = NGX_TCP_NOPUSH_DISABLED;
  c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);
  c->start_time = ngx_current_msec;
  // What waits for the slot is told by Worker::look(): nginx has nothing to register.
  c->read->active = 1;
  c->write->active = 1;
  c->read->log = pc.log;
  c->write->log = pc.log;
  use_slot_io(c);
  return c;
}

/// The try is over for the breaker.
void uncount(Peer& peer) {
  if (std::exchange(peer.counted, false)) peer.pool->end_request(peer.retry);
}

ngx_int_t refuse(Peer& peer, Breaker::Limit limit) {
  peer.refuse(limit);
  return NGX_DONE;
}

ngx_int_t get_peer(ngx_peer_connection_t* pc, void* data) {
  Peer& peer = *static_cast<Peer*>(data);
  Worker* const worker = Worker::here();
  peer.lent = nullptr;
  uncount(peer);
  peer.limit = Breaker::Limit::none;
  peer.retry = peer.attempts++ != 0;
  peer.failed = peer.wrote = peer.received = peer.closed_in_order = false;
  pc->cached = 0;
  pc->connection = nullptr;
  pc->sockaddr = &no_address;
  pc->socklen = sizeof no_address;
  peer.name = allocate<ngx_str_t>(peer.request->pool);
  if (worker == nullptr || peer.name == nullptr) return NGX_ERROR;
  *peer.name = peer.group->upstream->host;
  pc->name = peer.name;

  peer.member = choose_member(*worker, peer);
  if (peer.member == nullptr) return NGX_BUSY;
  const auto index = static_cast<std::size_t>(peer.member - static_cast<GroupMember*>(peer.group->members.elts));
  peer.tried_members |= std::uint64_t{1} << index;
  peer.pool = worker->pool_of(*peer.member);
  if (peer.pool == nullptr) {
    ngx_log_error(
        NGX_LOG_ERR, pc->log, 0,
        "slotwire: no connection to service \"%V\": this worker uses %uz services already, the most at a time; "
        "check what gives slotwire_pass its variables",
        &peer.member->service, Worker::kMaxServices);
    return NGX_BUSY;
  }
  *peer.name = peer.member->service;

  peer.connection = make_connection(*worker, *pc);
  if (peer.connection == nullptr) return NGX_ERROR;
  pc->connection = peer.connection;
  if (const Breaker::Limit limit = peer.pool->begin_request(peer.retry); limit != Breaker::Limit::none)
    return refuse(peer, limit);
  peer.counted = true;
  if (PooledConnection* const connection = peer.pool->take(peer, *peer.member)) {
    peer.begin(*connection);
    peer.connection->write->ready = 1;
    return NGX_DONE;
  }
  if (peer.pool->all_are_full()) return refuse(peer, Breaker::Limit::process);
  // It may have been found at once that nobody serves it.
  if (!peer.pool->enqueue(peer)) return refuse(peer, Breaker::Limit::waiting);
  return peer.failed ? NGX_DECLINED : NGX_AGAIN;
}

/// A whole response came and the server keeps the connection.
bool is_reusable(const ngx_http_upstream_t& u, const ngx_connection_t& c, const RequestContext& context) {
  return u.keepalive != 0 && u.upgrade == 0 && u.request_body_sent != 0 && !context.ends && c.read->eof == 0 &&
         c.read->error == 0 && c.read->timedout == 0 && c.write->error == 0 && c.write->timedout == 0 &&
         u.writer.out == nullptr;
}

void free_peer(ngx_peer_connection_t* pc, void* data, ngx_uint_t state) {
  Peer& peer = *static_cast<Peer*>(data);
  ngx_http_upstream_t& u = *peer.request->upstream;
  const RequestContext& context = *peer.context;
  if (peer.queued) {
    if ((state & NGX_PEER_FAILED) != 0) peer.pool->explain(peer);
    peer.pool->leave_queue(peer);
  }
  uncount(peer);
  if (peer.connection != nullptr) {
    if (peer.lent != nullptr) {
      PooledConnection& connection = *peer.lent;
      Process& process = connection.process();
      if ((state & NGX_PEER_FAILED) != 0 && !context.unprocessed) {
        process.note_failure(ngx_time());
      } else if (process.fails != 0 && peer.received) {
        process.note_success();
      }
      if (peer.tried_count < Peer::kTried) peer.tried[peer.tried_count++] = process.number;
      // Closed by the server in good order before it had said anything: most likely while it was idle.
      pc->cached = (state & NGX_PEER_FAILED) != 0 && peer.closed_in_order && !peer.received && !peer.forgave &&
                   connection.requests > 1;
      if (pc->cached != 0) peer.forgave = true;
      const bool reusable = (state & NGX_PEER_FAILED) == 0 && is_reusable(u, *peer.connection, context);
      const bool failed = (state & NGX_PEER_FAILED) != 0 || u.headers_in.status_n >= NGX_HTTP_INTERNAL_SERVER_ERROR;
      connection.pool().count(
          std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - peer.begun), failed,
          trace_id(context));
      peer.lent = nullptr;
      connection.pool().give_back(connection, reusable);
    }
    peer.connection->pool->log = ngx_cycle->log;
    peer.connection->pool = nullptr;  // the pool is the worker's
    peer.connection = nullptr;
  }
  if (pc->tries != 0) --pc->tries;
}

}  // namespace

bool Peer::has_tried(const Process& process) const {
  return std::find(tried.begin(), tried.begin() + tried_count, process.number) != tried.begin() + tried_count;
}

void Peer::begin(PooledConnection& with) {
  lent = &with;
  begun = std::chrono::steady_clock::now();
  const Process& process = with.process();
  const std::size_t length = process.node.size() + member->service.len + 2 + NGX_INT32_LEN;
  auto* const text = static_cast<u_char*>(ngx_pnalloc(request->pool, length));
  if (text == nullptr) return;
  u_char* const end =
      ngx_snprintf(text, length, "%*s/%V/%uD", process.node.size(), process.node.data(), &member->service, process.pid);
  name->len = static_cast<std::size_t>(end - text);
  name->data = text;
  served.node = {process.node.size(), text};
  served.slot = with.slot();
}

void Peer::refuse(Breaker::Limit by) {
  uncount(*this);
  limit = by;
  refusal_at = 0;
  pool->refuse(by);
  ngx_log_error(NGX_LOG_ERR, request->upstream->peer.log, 0,
                "slotwire: a request to service \"%V\" is refused by the limit \"%s\" (%s)", &member->service,
                Breaker::name(by), by == Breaker::Limit::waiting ? "slotwire_pool queue=" : "slotwire_limits");
  connection->write->ready = 1;
  connection->read->ready = 1;
}

Peer* peer_of(ngx_connection_t* c) {
  return static_cast<Peer*>(static_cast<ngx_http_request_t*>(c->data)->upstream->peer.data);
}

bool has_another(const Peer& peer) {
  Worker* const worker = Worker::here();
  const auto* const members = static_cast<GroupMember*>(peer.group->members.elts);
  for (ngx_uint_t i = 0; worker != nullptr && i < peer.group->members.nelts; ++i) {
    if (members[i].down) continue;
    ServicePool* const pool = worker->pool_of(members[i]);
    if (pool == nullptr) continue;
    if ((peer.tried_members >> i & 1U) == 0) return true;
    // The process that was asked last is noted when its connection is given back.
    const bool current = peer.lent != nullptr && &peer.lent->pool() == pool && !peer.has_tried(peer.lent->process());
    if (pool->untried(peer) > (current ? 1U : 0U)) return true;
  }
  return false;
}

bool replace_connection(Peer& peer) {
  PooledConnection& closed = *peer.lent;
  peer.lent = nullptr;
  closed.pool().give_back(closed, false);
  PooledConnection* const other = peer.pool->take(peer, *peer.member);
  if (other == nullptr) {
    peer.pool->enqueue(peer);
    return false;
  }
  peer.begin(*other);
  return true;
}

ngx_int_t init_peer(ngx_http_request_t* r, ngx_http_upstream_srv_conf_t* upstream) {
  RequestContext* const context = context_of(r);
  ServiceGroup* const group = group_of(upstream);
  Worker* const worker = Worker::here();
  ngx_http_upstream_t& u = *r->upstream;
  if (context == nullptr || group == nullptr || worker == nullptr || u.reinit_request != reinit_request) {
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "upstream \"%V\" holds services of slotwire: use slotwire_pass instead of proxy_pass and the like",
                  &upstream->host);
    return NGX_ERROR;
  }
  Peer& peer = context->peer;
  peer = Peer{};
  peer.request = r;
  peer.context = context;
  peer.group = group;
  auto* const members = static_cast<GroupMember*>(group->members.elts);
  ngx_uint_t tries = 0;
  for (ngx_uint_t i = 0; i < group->members.nelts; ++i) {
    if (members[i].down) continue;
    ServicePool* const pool = worker->pool_of(members[i]);
    tries += pool == nullptr ? 0 : std::max<ngx_uint_t>(1, pool->processes());
  }
  u.peer.data = &peer;
  u.peer.get = get_peer;
  u.peer.free = free_peer;
  u.peer.tries = std::max<ngx_uint_t>(1, tries);
  return NGX_OK;
}

}  // namespace slotwire::nginx
