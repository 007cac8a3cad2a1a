#include "web/server/server_core.hpp"

#include <algorithm>

namespace slotwire::web::detail {
namespace {

/// A server that is never idle looks for new connections this often.
constexpr std::uint32_t kRoundsPerAccept = 16;
/// Values of stop_requested_.
constexpr int kDrain = 1;
constexpr int kEnd = 2;
constexpr std::chrono::seconds kReportEvery{1};

/// Ends what enter() began.
struct Leave {
  bool& inside;
  ~Leave() { inside = false; }
};

}  // namespace

std::string_view trace_of(std::string_view field) {
  constexpr std::size_t kStart = 3, kDigits = 32, kLength = 55;
  if (field.size() < kLength || field[2] != '-' || field[kStart + kDigits] != '-') return {};
  const std::string_view digits = field.substr(kStart, kDigits);
  return digits.find_first_not_of("0123456789abcdef") == std::string_view::npos ? digits : std::string_view();
}

ServerCore::ServerCore(Context context, Service service, const std::string& name, Poller poller, Handler handler,
                       ServerOptions options)
    : context_(std::move(context)),
      service_(std::move(service)),
      poller_(std::move(poller)),
      handler_(std::move(handler)),
      options_(std::move(options)),
      mailbox_(std::make_shared<Mailbox>(poller_)),
      figures_(name, Figures::Role::server) {}

ServerCore::~ServerCore() {
  // Exchanges are over before posts fail, so that a thread whose post fails owns its exchange alone.
  for (auto& [raw, connection] : connections_) connection->abort(Abort::stopped);
  mailbox_->close();
}

void ServerCore::request_stop(bool at_once) {
  int requested = stop_requested_.load();
  const int wanted = at_once ? kEnd : kDrain;
  while (requested < wanted && !stop_requested_.compare_exchange_weak(requested, wanted)) {
  }
  poller_.interrupt();
}

void ServerCore::touch(ServerConnection& connection) {
  if (std::exchange(connection.queued, true)) return;
  touched_.push_back(&connection);
}

void ServerCore::head_begun(ServerConnection& connection) {
  std::deque<ServerConnection*>& begun = heads_[{connection.client().node, connection.client().uid}];
  begun.push_back(&connection);
  const auto is_of_process = [&](const ServerConnection* one) { return one->client().pid == connection.client().pid; };
  const auto of_process = static_cast<std::size_t>(std::count_if(begun.begin(), begun.end(), is_of_process));
  ServerConnection* oldest = nullptr;
  if (of_process > std::max<std::size_t>(options_.max_unfinished_heads_per_process, 1)) {
    oldest = *std::find_if(begun.begin(), begun.end(), is_of_process);
  } else if (begun.size() > std::max<std::size_t>(options_.max_unfinished_heads, 1)) {
    oldest = begun.front();
  }
  if (oldest == nullptr) return;
  ++heads_given_up_;
  oldest->give_up_head();
}

void ServerCore::head_over(ServerConnection& connection) {
  const auto user = heads_.find({connection.client().node, connection.client().uid});
  if (user == heads_.end()) return;
  std::erase(user->second, &connection);
  if (user->second.empty()) heads_.erase(user);
}

void ServerCore::count(std::chrono::microseconds took, bool failed, std::string_view trace) {
  figures_.add(took, failed, trace);
}

std::size_t ServerCore::credit() const {
  if (options_.credit) return options_.credit();
  return options_.max_requests > requests ? options_.max_requests - requests : 0;
}

/// Tells slotwired the figures, at most once in kReportEvery and not at all without a new request.
void ServerCore::report() {
  if (figures_.requests() == reported_) return;
  const Clock::time_point now = Clock::now();
  if (now < next_report_) return;
  next_report_ = now + kReportEvery;
  reported_ = figures_.requests();
  Figures* const all[] = {&figures_};
  (void)context_.report(all);
}

void ServerCore::watch(ServerConnection& connection, Interest what) {
  (void)poller_.set(connection.slot(), what);
}

/// A callback that ran the server would end connections of which lists on the way to it still speak.
Result<void> ServerCore::enter() {
  if (!std::exchange(inside_, true)) return {};
  return Error{Status::invalid,
               "the server was run from within one of its own callbacks; let that return first, and post() what is to "
               "be done later",
               0};
}

Result<void> ServerCore::run() {
  if (Result<void> entered = enter(); !entered) return entered;
  const Leave leave{inside_};
  while (!is_over()) {
    Result<bool> did = step_waiting(Deadline::now());
    if (!did) return did.error();
    if (*did || is_over()) continue;
    const std::optional<Clock::time_point> until = next_time();
    did = step_waiting(until ? Deadline(*until) : Deadline::never());
    if (!did) return did.error();
  }
  return {};
}

Result<bool> ServerCore::step() {
  if (Result<void> entered = enter(); !entered) return entered.error();
  const Leave leave{inside_};
  return step_waiting(Deadline::now());
}

Result<bool> ServerCore::step_waiting(Deadline deadline) {
  bool did = drive_touched();
  take_signals();
  ring_alarms();
  report();
  did = drive_touched() || did;
  bury();
  if (is_over()) return true;
  const Result<std::span<const Ready>> ready = poller_.wait(did ? Deadline::now() : deadline);
  const Status status = ready.status();
  if (status == Status::cancelled) {
    take_signals();
    did = true;
  } else if (status != Status::ok && status != Status::again && status != Status::timed_out) {
    return ready.error();
  } else if (ready) {
    did = true;
    for (const Ready& one : *ready) static_cast<ServerConnection*>(one.token)->drive();
    if (ready->empty() || ++rounds_ % kRoundsPerAccept == 0) {
      accept();
      look_for_gone();
    }
  }
  ring_alarms();
  drive_touched();
  bury();
  return did;
}

bool ServerCore::drive_touched() {
  if (touched_.empty()) return false;
  // Connections that are touched meanwhile have their turn the next time.
  std::vector<ServerConnection*> now;
  now.swap(touched_);
  for (ServerConnection* connection : now) {
    connection->queued = false;
    connection->drive();
  }
  return true;
}

void ServerCore::take_signals() {
  if (mailbox_->waiting()) {
    for (Mailbox::Work& work : mailbox_->take()) {
      work();
      work = {};  // what it holds goes here
    }
  }
  const int requested = stop_requested_.load();
  if (requested == 0) return;
  if (!draining_) begin_drain();
  if (requested == kEnd) drain_end_ = Clock::now();
}

void ServerCore::begin_drain() {
  draining_ = true;
  drain_end_ = Clock::now() + options_.drain_time;
  if (service_) {
    (void)service_->end();
    // Those that connected before are served, too: their first request may be under way.
    while (Result<Connection> connection = service_->accept(Deadline::now())) admit(*std::move(connection));
    service_.reset();
  }
  if (waiting_) admit(*std::exchange(waiting_, std::nullopt));
  for (auto& [raw, connection] : connections_) connection->ask_to_close();
}

void ServerCore::accept() {
  if (!service_) return;
  while (connections_.size() < options_.max_connections) {
    if (waiting_) {
      admit(*std::exchange(waiting_, std::nullopt));
      continue;
    }
    Result<Connection> connection = service_->accept(Deadline::now());
    if (!connection) return;
    admit(*std::move(connection));
  }
  if (waiting_) return;
  Result<Connection> connection = service_->accept(Deadline::now());
  if (!connection) return;
  waiting_ = *std::move(connection);
  make_room();
}

void ServerCore::admit(Connection slot) {
  auto made = std::make_unique<ServerConnection>(*this, std::move(slot));
  ServerConnection& connection = *made;
  connections_.emplace(&connection, std::move(made));
  if (!poller_.add(connection.slot(), Interest::readable, &connection)) connection.abort(Abort::stopped);
  touch(connection);
}

/// Asks the connection that has been idle longest to close.
void ServerCore::make_room() {
  ServerConnection* oldest = nullptr;
  for (auto& [raw, connection] : connections_) {
    if (connection->is_idle() && !connection->was_asked_to_close() &&
        (oldest == nullptr || connection->idle_since() < oldest->idle_since()))
      oldest = raw;
  }
  if (oldest != nullptr) oldest->ask_to_close();
}

/// Connections that wait for nothing are not told of their end by the poller.
void ServerCore::look_for_gone() {
  if (muted == 0) return;
  for (auto& [raw, connection] : connections_) {
    if (connection->is_muted() && connection->client_is_gone()) touch(*connection);
  }
}

void ServerCore::set_alarm(ServerConnection& connection) {
  const std::optional<Clock::time_point> wanted = connection.ended() ? std::nullopt : connection.next_time();
  if (wanted == connection.alarm) return;
  if (connection.alarm) alarms_.erase({*connection.alarm, &connection});
  if (wanted) alarms_.emplace(*wanted, &connection);
  connection.alarm = wanted;
}

void ServerCore::ring_alarms() {
  if (alarms_.empty() && !drain_end_) return;
  const Clock::time_point now = Clock::now();
  while (!alarms_.empty() && alarms_.begin()->first <= now) {
    ServerConnection& connection = *alarms_.begin()->second;
    alarms_.erase(alarms_.begin());
    connection.alarm.reset();
    connection.on_time(now);
    touch(connection);
  }
  if (drain_end_ && *drain_end_ <= now) {
    for (auto& [raw, connection] : connections_) connection->abort(Abort::stopped);
  }
}

std::optional<Clock::time_point> ServerCore::next_time() const {
  std::optional<Clock::time_point> next = drain_end_;
  if (!alarms_.empty() && (!next || alarms_.begin()->first < *next)) next = alarms_.begin()->first;
  if (figures_.requests() != reported_ && (!next || next_report_ < *next)) next = next_report_;
  return next;
}

Result<void> ServerCore::arm() {
  if (!touched_.empty() || mailbox_->waiting()) return Error{Status::again, {}, 0};
  return poller_.arm();
}

void ServerCore::bury() {
  if (ended_.empty()) return;
  for (ServerConnection* connection : std::exchange(ended_, {})) {
    if (connection->queued) std::erase(touched_, connection);
    if (connection->alarm) alarms_.erase({*connection->alarm, connection});
    connections_.erase(connection);
  }
  if (waiting_) accept();
}

}  // namespace slotwire::web::detail
