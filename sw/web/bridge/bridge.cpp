#include "web/bridge/bridge.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "web/bridge/fastcgi_relay.hpp"
#include "web/bridge/health_check.hpp"
#include "web/bridge/http_relay.hpp"
#include "web/http/text.hpp"

namespace slotwire::web::bridge {

namespace {

/// From the end of a process's connection to the end of the process.
constexpr auto kEndSeen = std::chrono::milliseconds(250);

}  // namespace

IdleSocket::IdleSocket(Bridge& bridge, std::size_t application, slot::Fd fd)
    : bridge_(bridge), application_(application), fd_(std::move(fd)) {
  bridge_.loop().add(fd_.get(), EPOLLIN | EPOLLRDHUP, *this);
}

IdleSocket::~IdleSocket() {
  if (fd_) bridge_.loop().remove(fd_.get(), *this);
}

void IdleSocket::on_events(std::uint32_t) {
  bridge_.drop_idle(application_, *this);  // it closed, or sent what nobody asked for
}

slot::Fd IdleSocket::take() {
  bridge_.loop().remove(fd_.get(), *this);
  return std::move(fd_);
}

Bridge::Bridge(Loop& loop, BridgeOptions options, Note note)
    : loop_(loop),
      options_(std::move(options)),
      note_(std::move(note)),
      idle_timer_(loop),
      error_lines_(options_.errors, note_),
      error_timer_(loop),
      spools_(loop, options_.spool, note_) {
  for (const std::string& address : options_.addresses) {
    auto application = std::make_unique<Application>();
    application->number = applications_.size();
    application->address = parse_address(address);
    application->ready = !options_.managed;
    applications_.push_back(std::move(application));
  }
}

Bridge::~Bridge() = default;

void Bridge::take(const ExchangePtr& exchange) {
  const Clock::time_point now = Clock::now();
  if (options_.protocol == Protocol::fastcgi) {
    if (const fastcgi::Script script = fastcgi::find_script(exchange->target(), options_.script); script.status != 0) {
      if (!script.problem.empty())
        note(script.problem + " (" + std::string(exchange->method()) + " " + std::string(exchange->target()) + ")");
      exchange->respond(script.status, {{"content-type", "text/plain"}},
                        std::string(http::reason_of(script.status)) + "\n");
      return;
    }
    if (!exchange->content_length()) {
      spools_.take(exchange, [this, now](const ExchangePtr& complete, std::shared_ptr<SpooledBody> body) {
        place({complete, now, std::move(body)});
      });
      return;
    }
  }
  place({exchange, now});
}

void Bridge::place(const Request& request) {
  Application* const application = queue_.empty() ? choose() : nullptr;
  if (application != nullptr) return start(*application, request);
  if (queue_.size() >= options_.max_queue) {
    request.exchange->refuse();
    return;
  }
  wait(request, false);
}

/// One that is well; any when none is.
Application* Bridge::choose(const Application* but) const {
  Application* const healthy = choose(true, but);
  if (healthy != nullptr || said_ready_) return healthy;
  return choose(false, but);
}

/// The one with the fewest requests under way; null: none can take one.
Application* Bridge::choose(bool healthy, const Application* but) const {
  Application* best = nullptr;
  for (const auto& application : applications_) {
    if (application.get() == but || application->healthy != healthy || !application->ready || application->resting ||
        application->under_way >= options_.at_once)
      continue;
    if (best == nullptr || application->under_way < best->under_way) best = application.get();
  }
  return best;
}

void Bridge::start(Application& application, const Request& request) {
  ++application.under_way;
  std::unique_ptr<Relay> relay;
  switch (options_.protocol) {
    case Protocol::http:
      relay = std::make_unique<HttpRelay>(*this, application, request);
      break;
    case Protocol::fastcgi:
      relay = std::make_unique<FastCgiRelay>(*this, application, request);
      break;
  }
  Relay& started = *relay;
  relays_.emplace(&started, std::move(relay));
  started.start();
}

void Bridge::wait(const Request& request, bool first) {
  const auto place = queue_.emplace(first ? queue_.begin() : queue_.end(), loop_, request);
  request.exchange->on_abort([this, place](Abort) { queue_.erase(place); });
  place->timer.set(request.since + options_.queue_time - Clock::now(), [this, place] {
    const ExchangePtr late = place->request.exchange;
    queue_.erase(place);
    late->on_abort({});
    late->refuse();
  });
}

void Bridge::dispatch() {
  while (!queue_.empty()) {
    Application* const application = choose();
    if (application == nullptr) return;
    const Request request = queue_.front().request;
    queue_.pop_front();
    request.exchange->on_abort({});
    start(*application, request);
  }
}

void Bridge::set_ready(std::size_t number, bool ready) {
  Application& application = *applications_[number];
  application.ready = ready;
  if (ready) return dispatch();
  application.resting = false;
  application.idle.clear();
}

void Bridge::rest(std::size_t number, std::function<void()> rested) {
  Application& application = *applications_[number];
  application.resting = true;
  application.idle.clear();
  if (application.under_way == 0) return rested();
  rested_[number] = std::move(rested);
}

std::size_t Bridge::credit() const {
  std::size_t places = 0;
  for (const auto& application : applications_) {
    if (application->ready && !application->resting && application->healthy == said_ready_)
      places += options_.at_once - std::min(options_.at_once, application->under_way);
  }
  return places - std::min(places, queue_.size());
}

void Bridge::note_printed(const std::string& title, std::string_view text, std::size_t more) {
  const Clock::time_point now = Clock::now();
  error_lines_.add(now, title, text, more);
  if (error_lines_.has_left_out() && !error_timer_.is_set())
    error_timer_.set(error_lines_.end_of_second() - now, [this] { error_lines_.tick(Clock::now()); });
}

void Bridge::start_health_checks() {
  if (options_.health.path.empty()) return;
  for (const auto& application : applications_) {
    checks_.push_back(std::make_unique<HealthCheck>(*this, *application));
    checks_.back()->start();
  }
}

void Bridge::set_healthy(std::size_t number, bool healthy, const std::string& why) {
  Application& application = *applications_[number];
  application.healthy = healthy;
  note("application " + application.address.text + (healthy ? " is well again" : " fails its health check: " + why));
  const bool any =
      std::any_of(applications_.begin(), applications_.end(), [](const auto& one) { return one->healthy; });
  if (std::exchange(said_ready_, any) != any && on_ready_changed) on_ready_changed(any);
  dispatch();
}

slot::Fd Bridge::take_idle(Application& application) {
  while (!application.idle.empty()) {
    slot::Fd fd = application.idle.back()->take();
    application.idle.pop_back();
    char byte = 0;
    if (::recv(fd.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN) return fd;
  }
  return {};
}

void Bridge::keep(Application& application, slot::Fd fd) {
  if (options_.keep_time == Clock::duration{} || !application.ready || application.resting ||
      application.idle.size() >= options_.max_idle)
    return;
  application.idle.push_back(std::make_unique<IdleSocket>(*this, application.number, std::move(fd)));
  if (!idle_timer_.is_set()) idle_timer_.set(options_.keep_time, [this] { drop_old(); });
}

void Bridge::drop_idle(std::size_t application, IdleSocket& socket) {
  applications_[application]->idle.remove_if([&](const auto& kept) { return kept.get() == &socket; });
}

void Bridge::drop_old() {
  const Clock::time_point now = Clock::now();
  Clock::time_point oldest = Clock::time_point::max();
  for (const auto& application : applications_) {
    application->idle.remove_if([&](const auto& kept) { return now - kept->since() >= options_.keep_time; });
    if (!application->idle.empty()) oldest = std::min(oldest, application->idle.front()->since());
  }
  if (oldest != Clock::time_point::max()) idle_timer_.set(oldest + options_.keep_time - now, [this] { drop_old(); });
}

void Bridge::again(Relay& relay) {
  again_.push_back(&relay);
  if (!std::exchange(again_planned_, true)) loop_.next_turn([this] { drive_again(); });
}

void Bridge::drive_again() {
  again_planned_ = false;
  for (Relay* relay : std::exchange(again_, {})) {
    if (relays_.contains(relay)) relay->drive();
  }
}

void Bridge::done(Relay& relay) {
  Application& application = relay.application();
  --application.under_way;
  // Not now: the relay calls this.
  loop_.later([this, gone = &relay] { relays_.erase(gone); });
  if (application.under_way == 0) {
    if (const auto found = rested_.find(application.number); found != rested_.end()) {
      loop_.later(std::move(found->second));
      rested_.erase(found);
    }
  }
  if (!queue_.empty()) loop_.later([this] { dispatch(); });
}

void Bridge::repeat(Relay& relay, const Request& request) {
  if (Application* const other = choose(&relay.application())) return start(*other, request);
  // Its end is known a moment after its sockets have closed; until then it seems to accept.
  const auto place = repeated_.emplace(repeated_.end(), loop_, request);
  request.exchange->on_abort([this, place](Abort) { repeated_.erase(place); });
  place->timer.set(kEndSeen, [bridge = this, place] {
    Bridge& self = *bridge;
    const Request again = place->request;
    self.repeated_.erase(place);
    again.exchange->on_abort({});
    if (Application* const application = self.choose()) return self.start(*application, again);
    self.wait(again, true);
  });
}

void Bridge::not_reached(Relay& relay, const Request& request, const std::string& why) {
  Application& application = relay.application();
  if (!options_.managed || Clock::now() - request.since >= options_.queue_time) {
    note("application " + application.address.text + " cannot be reached: " + why);
    request.exchange->refuse();
    return;
  }
  if (application.ready) {
    application.ready = false;
    application.idle.clear();
    if (on_unreachable) on_unreachable(application.number);
  }
  wait(request, true);
}

}  // namespace slotwire::web::bridge
