#include "runtime/client/context.hpp"

#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace slotwire::client {

const void* this_thread() {
  static thread_local char mark = 0;
  return &mark;
}

namespace {

constexpr std::size_t kDefaultBacklog = 256;
/// Between two tries to connect while a link is down.
constexpr int kConnectRetryMs = 20;
/// Connections that one context opens at a time, outcomes that were not asked for included.
constexpr std::size_t kMaxConnecting = 1024;
/// Looks of a poller between two looks at the descriptors of those that sleep.
constexpr std::uint32_t kLooksPerEpoll = 16;
constexpr int kEventsAtOnce = 64;
/// More busy connections than this are not spun over: looking at all of them takes longer than a wake-up.
constexpr std::size_t kMaxSpun = 256;

int status_of_end(control::End reason) {
  switch (reason) {
    case control::End::closed:
      return SW_PEER_CLOSED;
    case control::End::fault:
      return SW_FAULTED;
    case control::End::peer_fault:
      return SW_BROKEN;
    case control::End::lost:
      return SW_LOST;
    case control::End::none:
    case control::End::died:
      break;
  }
  return SW_PEER_DIED;
}

control::Connect connect_message(const std::string& service, const sw_connect_options& options,
                                 const Deadline& deadline) {
  control::Connect message;
  message.service = service;
  message.in_bytes = options.in_bytes;
  message.out_bytes = options.out_bytes;
  message.bulk = options.bulk != 0;
  if (!deadline.never()) message.timeout_ms = deadline.left_ms();
  return message;
}

std::string end_text(const ConnectionInfo& info, int status, const std::string& text) {
  std::string what = "connection with '" + info.name + "' (pid " + std::to_string(info.pid) + ") on node '" +
                     info.node + "', service '" + info.service + "': ";
  switch (status) {
    case SW_PEER_CLOSED:
      what += "the peer closed it";
      break;
    case SW_FAULTED:
      what += "this process's own slot was faulted";
      break;
    case SW_BROKEN:
      what += "the peer's slot was faulted by its proxy";
      break;
    case SW_LOST:
      what += "a node started anew and kept nothing";
      break;
    default:
      what += "the peer's process died";
  }
  return text.empty() ? what : what + ": " + text;
}

}  // namespace
}  // namespace slotwire::client

using slotwire::client::Connection;
using slotwire::client::Deadline;
using slotwire::client::Failure;

sw_context::sw_context(std::string socket, std::string name, slotwire::client::ReceiveLimits limits,
                       std::uint64_t cache_bytes)
    : owner_(slotwire::client::this_thread()), session_(socket, std::move(name), *this), receive_limits_(limits) {
  cache_use_.configure(std::move(socket), cache_bytes);
}

sw_context::~sw_context() {
  tell_inspected();
  session_.bye();
}

Failure sw_context::open(const sw_options& options) {
  spin_us_ = options.spin_us;
  yield_us_ = options.yield_us;
  Failure failure;
  if (options.background != 0) {
    session_.open_later();
  } else {
    failure = session_.open();
  }
  set_policy();
  return failure;
}

void sw_context::set_policy() {
  policy_ = session_.wait_policy();
  const auto set = [](std::chrono::nanoseconds& to, std::uint32_t us) {
    if (us != 0 && us != UINT32_MAX) to = std::chrono::microseconds(us);
  };
  set(policy_.spin, spin_us_);
  set(policy_.yield, yield_us_);
}

Failure sw_context::report(std::span<const sw_figures> figures) {
  static_assert(slotwire::control::kFigureBuckets == SW_FIGURE_BUCKETS &&
                slotwire::control::kMaxFigures == SW_MAX_FIGURES);
  if (figures.size() > SW_MAX_FIGURES)
    return {SW_INVALID, "figures of more than " + std::to_string(SW_MAX_FIGURES) + " services and roles"};
  slotwire::control::Report report;
  for (const sw_figures& one : figures) {
    if (one.size < sizeof one || one.service == nullptr || (one.role != SW_CLIENT && one.role != SW_SERVER))
      return {SW_INVALID, "figures need SW_INIT, a service, and the role SW_CLIENT or SW_SERVER"};
    const std::string_view trace = one.exemplar_trace == nullptr ? "" : one.exemplar_trace;
    constexpr const char* kDigits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (trace.size() > slotwire::control::kMaxTrace || trace.find_first_not_of(kDigits) != std::string_view::npos)
      return {SW_INVALID, "the number of a trace has at most 32 digits and letters"};
    if (std::string(one.service).find_first_not_of(std::string(kDigits) + "._/-") != std::string::npos)
      return {SW_INVALID, "'" + std::string(one.service) + "' is no service's name"};
    slotwire::control::Figures& told = report.figures.emplace_back();
    told.service = one.service;
    told.role = one.role == SW_SERVER ? "server" : "client";
    told.requests = one.requests;
    told.errors = one.errors;
    told.sum_us = one.sum_us;
    told.buckets.assign(std::begin(one.buckets), std::end(one.buckets));
    if (one.exemplar_trace != nullptr) told.exemplar_trace = one.exemplar_trace;
    told.exemplar_us = one.exemplar_us;
    told.limited_requests = one.limited[0];
    told.limited_process = one.limited[1];
    told.limited_waiting = one.limited[2];
    told.limited_retries = one.limited[3];
  }
  if (session_.attached()) session_.post(report);
  return {};
}

Failure sw_context::serve(const std::string& name, std::size_t backlog, sw_service*& out) {
  if (services_.contains(name)) return {SW_INVALID, "this context serves '" + name + "' already"};
  auto service = std::make_unique<sw_service>();
  service->context = this;
  service->name = name;
  service->backlog = backlog == 0 ? slotwire::client::kDefaultBacklog : backlog;
  // In place before the request: a connection may be accepted together with the answer.
  sw_service* const raw = service.get();
  services_[name] = std::move(service);
  slotwire::control::Answer answer;
  std::vector<slotwire::slot::Fd> fds;
  Failure failure =
      session_.request(slotwire::control::Serve{.service = name, .backlog = static_cast<std::uint32_t>(raw->backlog)},
                       Deadline(5000), answer, fds);
  if (failure.status != SW_OK) {
    services_.erase(name);
    return failure;
  }
  session_.services()[name] = static_cast<std::uint32_t>(raw->backlog);
  out = raw;
  return {};
}

Failure sw_context::end_service(sw_service& service) {
  if (std::exchange(service.ended, true)) return {};
  session_.services().erase(service.name);
  slotwire::control::Answer answer;
  std::vector<slotwire::slot::Fd> fds;
  return session_.request(slotwire::control::Unserve{service.name}, Deadline(5000), answer, fds);
}

void sw_context::unserve(sw_service* service) {
  end_service(*service);
  const std::deque<sw_connection*> waiting = service->waiting;
  for (sw_connection* connection : waiting) close(connection);
  services_.erase(service->name);
}

sw_connection* sw_context::make(const slotwire::control::SlotInfo& slot, std::vector<slotwire::slot::Fd> fds) {
  const slotwire::client::ConnectionInfo info = slotwire::client::info_of(slot);
  auto spare = spares_.extract(info.slot);
  if (info.again && spare.empty()) throw std::invalid_argument("slotwired names a spare slot that there is not");
  slotwire::client::SlotMemory memory =
      info.again ? std::move(spare.mapped()) : slotwire::client::SlotMemory::map(info, std::move(fds));
  auto connection = std::make_unique<sw_connection>();
  connection->context = this;
  connection->end =
      std::make_unique<Connection>(session_, info, std::move(memory), policy_, receive_limits_, cache_use_);
  sw_connection* const raw = connection.get();
  if (const auto old = connections_.find(info.local); old != connections_.end()) {
    // The engine gave the place away, so it has forgotten the old one.
    old->second->end->ended(SW_LOST, "slotwired forgot this connection");
    lost_.push_back(std::move(old->second));
  }
  connections_[info.local] = std::move(connection);
  return raw;
}

Failure sw_context::connect(const std::string& service, const sw_connect_options& options, const Deadline& deadline,
                            sw_connection*& out) {
  while (true) {
    slotwire::control::Answer answer;
    std::vector<slotwire::slot::Fd> fds;
    Failure failure =
        session_.request(slotwire::client::connect_message(service, options, deadline), deadline, answer, fds);
    if (failure.status == SW_OK) {
      failure = take_slot(answer, std::move(fds), out);
      if (failure.status == SW_OK && options.one_shot != 0) out->end->detach_when_complete();
      return failure;
    }
    if (failure.status == SW_TIMED_OUT && deadline.immediate()) return {SW_AGAIN, {}};
    // A link that is down, or an engine that is being restarted, comes back: that is worth waiting for.
    if ((failure.status != SW_LINK_DOWN && failure.status != SW_ENGINE_GONE) || deadline.immediate() ||
        deadline.passed())
      return failure;
    auto sources = session_.sources();
    const int left = deadline.poll_ms();
    ::poll(sources.data(), sources.size(),
           left < 0 ? slotwire::client::kConnectRetryMs : std::min(left, slotwire::client::kConnectRetryMs));
    session_.process_in_passing();
    if (deadline.passed()) return failure;
  }
}

Failure sw_context::take_slot(const slotwire::control::Answer& answer, std::vector<slotwire::slot::Fd> fds,
                              sw_connection*& out) {
  const auto slot = slotwire::control::decode_answer<slotwire::control::SlotInfo>(answer);
  if (!slot.ok()) return {SW_VERSION, "slotwired's answer cannot be understood: " + slot.error().text};
  try {
    out = make(slot.value(), std::move(fds));
    return {};
  } catch (const std::exception& error) {
    tell_closed(slot.value().local);
    return {SW_NO_MEMORY, std::string("the slot cannot be mapped: ") + error.what()};
  }
}

Failure sw_context::start_connect(const std::string& service, const sw_connect_options& options,
                                  const Deadline& deadline, void* token) {
  if (connecting_.size() + outcomes_.size() >= slotwire::client::kMaxConnecting) {
    return {SW_BUSY, std::to_string(slotwire::client::kMaxConnecting) +
                         " connections are being opened: take outcomes by sw_connected() first"};
  }
  std::uint64_t id = 0;
  Failure failure = session_.start(slotwire::client::connect_message(service, options, deadline), id);
  if (failure.status == SW_OK) connecting_[id] = {token, options.one_shot != 0};
  return failure;
}

void sw_context::on_answer(std::uint64_t id, Failure failure, const slotwire::control::Answer& answer,
                           std::vector<slotwire::slot::Fd> fds) {
  const auto found = connecting_.find(id);
  if (found == connecting_.end()) return;
  const Started started = found->second;
  Outcome outcome{started.token, std::move(failure), nullptr};
  connecting_.erase(found);
  if (outcome.failure.status == SW_OK) outcome.failure = take_slot(answer, std::move(fds), outcome.connection);
  if (outcome.failure.status == SW_OK && started.one_shot) outcome.connection->end->detach_when_complete();
  outcomes_.push_back(std::move(outcome));
}

Failure sw_context::connected(void*& token, sw_connection*& out) {
  token = nullptr;
  out = nullptr;
  if (outcomes_.empty()) return {SW_AGAIN, {}};
  Outcome outcome = std::move(outcomes_.front());
  outcomes_.pop_front();
  token = outcome.token;
  out = outcome.connection;
  return outcome.failure;
}

Failure sw_context::accept(sw_service& service, const Deadline& deadline, sw_connection*& out) {
  // Whoever asks because the context's descriptor was readable has now seen why, unless something else waits as well.
  if (service.waiting.empty() && deadline.immediate() && !waits_beside(service)) session_.seen();
  while (service.waiting.empty()) {
    session_.process_in_passing();
    if (!service.waiting.empty()) break;
    if (deadline.immediate()) return {SW_AGAIN, {}};
    if (deadline.passed()) return {SW_TIMED_OUT, "nobody connected to '" + service.name + "' in time"};
    auto sources = session_.sources();
    ::poll(sources.data(), sources.size(), deadline.poll_ms());
  }
  out = service.waiting.front();
  service.waiting.pop_front();
  return {};
}

bool sw_context::waits_beside(const sw_service& service) const {
  return !outcomes_.empty() || std::any_of(services_.begin(), services_.end(), [&](const auto& entry) {
    return entry.second.get() != &service && !entry.second->waiting.empty();
  });
}

/// Looks at what the peer of a connection sends, if the node's configuration says so of the service.
void sw_context::inspect(Connection& connection) {
  const slotwire::client::ConnectionInfo& info = connection.info();
  const auto language = slotwire::inspect::language_of(info.inspect);
  // Languages of a later slotwired are not looked for.
  if (!language || *language == slotwire::inspect::Language::none) return;
  slotwire::client::InspectedService& inspected = inspected_[info.service];
  inspected.language = *language;
  inspected.refuses = info.inspect_refuses;
  inspected.tell = [this] { tell_inspected(); };
  connection.inspect(inspected);
}

void sw_context::tell_inspected() {
  if (!session_.attached()) return;  // it is told when the engine is back
  for (auto& [service, inspected] : inspected_) {
    slotwire::control::Inspected message = inspected.take(service);
    if (!message.labels.empty() || message.invalid != 0) session_.post(message);
  }
}

void sw_context::tell_closed(std::uint32_t local, bool spare) {
  session_.post(slotwire::control::Close{.local = local, .spare = spare});
}

bool sw_context::keep_spare(Connection& closed) {
  const slotwire::client::ConnectionInfo& info = closed.info();
  const bool is_strict = !info.direct && info.node == session_.node();  // the engine does not use those again
  if (is_strict || !session_.attached() || spares_.size() >= session_.spare_slots()) return false;
  std::optional<slotwire::client::SlotMemory> memory = closed.take_memory();
  if (!memory) return false;
  // A wake that was not taken belongs to the last connection.
  slotwire::slot::drain_event(memory->wake.get());
  return spares_.emplace(info.slot, *std::move(memory)).second;
}

void sw_context::on_forget(const std::vector<std::uint32_t>& slots) {
  for (const std::uint32_t slot : slots) spares_.erase(slot);
}

void sw_context::close(sw_connection* connection) {
  if (connection->poller != nullptr) connection->poller->remove(*connection);
  for (auto& [name, service] : services_) std::erase(service->waiting, connection);
  const std::uint32_t local = connection->end->info().local;
  const auto found = connections_.find(local);
  if (found != connections_.end() && found->second.get() == connection) {
    if (!connection->end->info().inspect.empty()) tell_inspected();
    const bool given_back = connection->end->is_detached();
    const bool spare = !given_back && keep_spare(*connection->end);
    connections_.erase(found);
    if (!given_back) tell_closed(local, spare);
    return;
  }
  std::erase_if(lost_, [&](const auto& entry) { return entry.get() == connection; });
}

Failure sw_context::invalidate(const sw_service& service, const sw_invalidation& what, const Deadline& deadline) {
  Failure first;
  std::size_t told = 0, missed = 0;
  for (const auto& [local, connection] : connections_) {
    if (!connection->accepted || connection->end->info().service != service.name || connection->end->has_ended())
      continue;
    Failure failure = connection->end->invalidate(what, deadline);
    if (failure.status == SW_OK) {
      ++told;
    } else if (!connection->end->has_ended()) {
      ++missed;
      if (first.status == SW_OK) first = std::move(failure);
    }
    if (failure.status == SW_INVALID) return failure;
  }
  if (missed == 0) return {};
  first.text = std::to_string(missed) + " of " + std::to_string(missed + told) + " clients of '" + service.name +
               "' were not told, and may go on with what they have until its time is over: " + first.text;
  return first;
}

void sw_context::on_accepted(const slotwire::control::SlotInfo& slot, std::vector<slotwire::slot::Fd> fds) {
  const auto found = services_.find(slot.service);
  if (found == services_.end() || found->second->waiting.size() >= found->second->backlog) {
    tell_closed(slot.local);  // not served (any more), or more than it can take: the peer sees the connection closed
    return;
  }
  try {
    sw_connection* const made = make(slot, std::move(fds));
    made->accepted = true;
    inspect(*made->end);
    found->second->waiting.push_back(made);
  } catch (const std::exception&) {
    tell_closed(slot.local);
  }
}

void sw_context::on_closed(std::uint32_t local, slotwire::control::End reason, const std::string& text) {
  const auto found = connections_.find(local);
  if (found == connections_.end()) return;
  const int status = slotwire::client::status_of_end(reason);
  found->second->end->ended(status, slotwire::client::end_text(found->second->end->info(), status, text));
}

void sw_context::on_link(const std::string& node, bool up, const std::string& text) {
  for (auto& [local, connection] : connections_) {
    if (connection->end->info().node == node && !connection->end->info().direct) connection->end->set_link(up, text);
  }
}

void sw_context::on_health(std::uint32_t local, slotwire::control::Health health) {
  if (const auto found = connections_.find(local); found != connections_.end()) found->second->health = health;
}

void sw_context::on_resumed() {
  spares_.clear();  // a restarted engine knows of none
  for (auto& [local, connection] : connections_) connection->health = slotwire::control::Health::well;
  tell_inspected();
}

void sw_context::on_lost() {
  set_policy();
  spares_.clear();
  for (auto& [local, connection] : connections_) {
    connection->end->ended(SW_LOST, slotwire::client::end_text(connection->end->info(), SW_LOST, {}));
    lost_.push_back(std::move(connection));
  }
  connections_.clear();
}

std::vector<std::uint32_t> sw_context::held() const {
  std::vector<std::uint32_t> locals;
  for (const auto& [local, connection] : connections_) {
    if (!connection->end->is_detached()) locals.push_back(local);
  }
  return locals;
}

// --- poller ---

sw_poller::sw_poller(sw_context& context)
    : context_(context), epoll_(::epoll_create1(EPOLL_CLOEXEC)), interrupt_(slotwire::slot::create_event()) {
  const auto watch = [&](int fd, void* which) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = which;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      throw std::system_error(errno, std::generic_category(), "the poller cannot watch a descriptor");
    }
  };
  watch(context.session().fd(), nullptr);  // the context's events
  watch(interrupt_.get(), this);
}

sw_poller::~sw_poller() {
  for (auto& [connection, entry] : entries_) connection->poller = nullptr;
}

Failure sw_poller::add(sw_connection& connection, int what, void* token) {
  if (connection.poller != nullptr) return {SW_INVALID, "the connection is in a poller already"};
  auto entry = std::make_unique<Entry>(Entry{&connection, what, token, true});
  epoll_event event{};
  // Every wake is an edge, so nobody has to empty the descriptor.
  event.events = EPOLLIN | EPOLLET;
  event.data.ptr = entry.get();
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection.end->wake_fd(), &event) != 0) {
    return {SW_NO_MEMORY, "the connection cannot be watched (fs.epoll.max_user_watches)"};
  }
  awake_.push_back(entry.get());
  connection.poller = this;
  entries_[&connection] = std::move(entry);
  return {};
}

Failure sw_poller::set(sw_connection& connection, int what) {
  const auto found = entries_.find(&connection);
  if (found == entries_.end()) return {SW_INVALID, "the connection is not in this poller"};
  found->second->what = what;
  wake(*found->second);  // so that it is armed anew, for what is asked now
  return {};
}

Failure sw_poller::remove(sw_connection& connection) {
  const auto found = entries_.find(&connection);
  if (found == entries_.end()) return {SW_INVALID, "the connection is not in this poller"};
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection.end->wake_fd(), nullptr);
  connection.end->disarm();
  std::erase(awake_, found->second.get());
  entries_.erase(found);
  connection.poller = nullptr;
  return {};
}

void sw_poller::wake(Entry& entry) {
  entry.connection->end->stay_awake();
  if (entry.awake) return;
  entry.awake = true;
  awake_.push_back(&entry);
}

bool sw_poller::take_events(int timeout_ms) {
  std::array<epoll_event, slotwire::client::kEventsAtOnce> events;
  const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms);
  bool control = false;
  for (int i = 0; i < n; ++i) {
    void* const which = events[static_cast<std::size_t>(i)].data.ptr;
    if (which == nullptr) {
      control = true;
    } else if (which != this) {  // this: interrupted_ is set

      wake(*static_cast<Entry*>(which));
    }
  }
  if (control) {
    context_.session().process();
    had_events_ = true;
  }
  return n > 0;
}

void sw_poller::collect(std::vector<sw_ready>& ready, std::size_t max) {
  // In turn, so that the ones at the front cannot keep the others waiting.
  for (std::size_t looked = 0; looked < awake_.size() && ready.size() < max; ++looked) {
    cursor_ = cursor_ + 1 < awake_.size() ? cursor_ + 1 : 0;
    Entry& entry = *awake_[cursor_];
    std::uint32_t what = 0;
    if ((entry.what & SW_READABLE) != 0 && entry.connection->end->holds(SW_READABLE)) what |= SW_READABLE;
    if ((entry.what & SW_WRITABLE) != 0 && entry.connection->end->holds(SW_WRITABLE)) what |= SW_WRITABLE;
    if (what != 0) ready.push_back({entry.token, what, 0});
  }
}

void sw_poller::interrupt() {
  interrupted_.store(true);
  slotwire::slot::signal_event(interrupt_.get());
}

bool sw_poller::arm() {
  if (interrupted_.load()) return false;
  for (std::size_t i = 0; i < awake_.size();) {
    Entry& entry = *awake_[i];
    if (entry.what != 0 && !entry.connection->end->arm(entry.what)) return false;
    entry.awake = false;
    awake_[i] = awake_.back();
    awake_.pop_back();
  }
  return true;
}

Failure sw_poller::wait(std::vector<sw_ready>& ready, std::size_t max, const Deadline& deadline) {
  slotwire::slot::Waiter waiter(context_.policy(), habit_);
  if (++waits_ % slotwire::client::kLooksPerEpoll == 0) take_events(0);
  while (true) {
    if (interrupted_.exchange(false)) {
      slotwire::slot::drain_event(interrupt_.get());
      return {SW_CANCELLED, "interrupted"};
    }
    // Events are told on their own (none ready), and first: connections that are always ready must not hide them.
    if (std::exchange(had_events_, false)) return {};
    collect(ready, max);
    if (!ready.empty()) {
      waiter.found();
      return {};
    }
    if (deadline.immediate()) {
      take_events(0);
      if (std::exchange(had_events_, false)) return {};
      collect(ready, max);
      return {ready.empty() ? SW_AGAIN : SW_OK, {}};
    }
    if (awake_.size() <= slotwire::client::kMaxSpun && waiter.next() == slotwire::slot::Waiter::Step::again) {
      if (++waits_ % slotwire::client::kLooksPerEpoll == 0) take_events(0);
      continue;
    }
    if (deadline.passed()) return {SW_TIMED_OUT, "none of the connections became ready in time"};
    if (!arm()) continue;
    take_events(deadline.poll_ms());
    waiter.slept();
  }
}
