// A bridge: hands the requests of a service to applications that speak HTTP or FastCGI over sockets.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "web/bridge/address.hpp"
#include "web/bridge/error_lines.hpp"
#include "web/bridge/health_options.hpp"
#include "web/bridge/loop.hpp"
#include "web/bridge/scripts.hpp"
#include "web/bridge/spool.hpp"
#include "web/http/head.hpp"

namespace slotwire::web::bridge {

class Relay;
class Bridge;

enum class Protocol : std::uint8_t { http, fastcgi };

struct BridgeOptions {
  Protocol protocol = Protocol::http;
  std::vector<std::string> addresses;  ///< of the applications
  std::size_t at_once = 128;           ///< requests that one application has at one time
  std::size_t max_queue = 1024;        ///< requests that wait for an application
  std::size_t max_idle = 32;           ///< kept connections to one application
  Clock::duration connect_time = std::chrono::seconds(5);
  Clock::duration silence_time = std::chrono::seconds(60);  ///< an application that neither takes nor sends a byte
  Clock::duration queue_time = std::chrono::seconds(30);
  Clock::duration keep_time = std::chrono::seconds(4);  ///< of a kept connection that is not used
  http::HeadLimits head;
  ScriptOptions script;
  bool managed = false;  ///< applications that are not there are being started
  HealthOptions health;
  SpoolOptions spool;
  ErrorLineOptions errors;
};

class HealthCheck;

/// A kept connection to an application.
class IdleSocket final : public Source {
 public:
  IdleSocket(Bridge& bridge, std::size_t application, slot::Fd fd);
  ~IdleSocket() override;
  void on_events(std::uint32_t events) override;
  slot::Fd take();
  Clock::time_point since() const { return since_; }

 private:
  Bridge& bridge_;
  std::size_t application_;
  slot::Fd fd_;
  Clock::time_point since_ = Clock::now();
};

/// A request on its way to an application.
struct Request {
  ExchangePtr exchange;
  Clock::time_point since;                      ///< when it came
  std::shared_ptr<SpooledBody> body = nullptr;  ///< none: the body is read from the exchange
  bool again = false;                           ///< it was sent to a process that ended, and is sent once more
};

/// Who answers requests.
struct Application {
  std::size_t number = 0;
  Address address;
  bool ready = true;     ///< its socket accepts
  bool healthy = true;   ///< as its health check says
  bool resting = false;  ///< gets no new request: it is about to be restarted
  std::size_t under_way = 0;
  std::list<std::unique_ptr<IdleSocket>> idle;
};

/// One thread. Requests beyond what the applications take wait in order, at most BridgeOptions::max_queue of them; more
/// are refused as not processed.
class Bridge {
 public:
  using Note = std::function<void(const std::string&)>;

  Bridge(Loop& loop, BridgeOptions options, Note note);
  ~Bridge();
  Bridge(const Bridge&) = delete;
  Bridge& operator=(const Bridge&) = delete;

  /// The server's handler.
  void take(const ExchangePtr& exchange);

  // For the process manager.
  std::size_t applications() const { return applications_.size(); }
  const Address& address(std::size_t application) const { return applications_[application]->address; }
  void set_ready(std::size_t application, bool ready);
  /// No new request for this one; `rested` is called once when it has none left.
  void rest(std::size_t application, std::function<void()> rested);
  /// Called when connecting to one that should be ready failed.
  std::function<void(std::size_t application)> on_unreachable;

  /// Requests that could begin now: places at applications, less the requests that wait.
  std::size_t credit() const;
  /// Begins to ask the applications for BridgeOptions::health.path; nothing without one.
  void start_health_checks();
  /// An application is well, or fails.
  void set_healthy(std::size_t application, bool healthy, const std::string& why);
  /// Called when the first application is well again, or the last one fails.
  std::function<void(bool ready)> on_ready_changed;

  // For relays.
  Loop& loop() { return loop_; }
  const BridgeOptions& options() const { return options_; }
  void note(const std::string& text) { note_(text); }
  /// What an application printed for people, as ErrorLines::add().
  void note_printed(const std::string& title, std::string_view text, std::size_t more = 0);
  /// A kept connection; an empty Fd: there is none.
  slot::Fd take_idle(Application& application);
  void keep(Application& application, slot::Fd fd);
  void drop_idle(std::size_t application, IdleSocket& socket);
  /// The relay has more to do.
  void again(Relay& relay);
  void done(Relay& relay);
  /// The application could not be reached, and nothing of the request was done.
  void not_reached(Relay& relay, const Request& request, const std::string& why);
  /// The application broke the connection before it answered anything, and the request may be given to another process,
  /// or to the next one. That is so when this starts the processes.
  void repeat(Relay& relay, const Request& request);
  bool starts_processes() const { return options_.managed; }

 private:
  struct Waiting {
    explicit Waiting(Loop& loop, Request request) : request(std::move(request)), timer(loop) {}
    Request request;
    Timer timer;
  };
  Application* choose(bool healthy, const Application* but) const;
  Application* choose(const Application* but = nullptr) const;
  /// To an application, or into the queue.
  void place(const Request& request);
  void start(Application& application, const Request& request);
  void wait(const Request& request, bool first);
  void dispatch();
  void drive_again();
  void drop_old();

  Loop& loop_;
  BridgeOptions options_;
  Note note_;
  std::vector<std::unique_ptr<Application>> applications_;
  std::unordered_map<std::size_t, std::function<void()>> rested_;
  std::list<Waiting> queue_;
  std::list<Waiting> repeated_;  ///< requests that wait for the end of the process that had them to be seen
  std::unordered_map<Relay*, std::unique_ptr<Relay>> relays_;
  std::vector<Relay*> again_;
  bool again_planned_ = false;
  Timer idle_timer_;
  ErrorLines error_lines_;
  Timer error_timer_;
  Spools spools_;
  std::vector<std::unique_ptr<HealthCheck>> checks_;
  bool said_ready_ = true;
};

}  // namespace slotwire::web::bridge
