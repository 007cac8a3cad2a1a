// The loop of a server: accepts, waits for all its connections together, keeps their times.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "web/server/mailbox.hpp"
#include "web/server/server_connection.hpp"

namespace slotwire::web::detail {

/// The number of the trace in a field of W3C Trace Context, "00-<32 digits>-<16 digits>-<2 digits>"; empty: it is none.
std::string_view trace_of(std::string_view field);

class ServerCore {
 public:
  ServerCore(Context context, Service service, const std::string& name, Poller poller, Handler handler,
             ServerOptions options);
  ~ServerCore();
  ServerCore(const ServerCore&) = delete;
  ServerCore& operator=(const ServerCore&) = delete;

  /// invalid: called from within a callback.
  Result<void> run();
  Result<bool> step();
  Result<void> arm();
  std::optional<Clock::time_point> next_time() const;
  bool is_over() const { return draining_ && connections_.empty(); }
  /// Any thread; async-signal-safe.
  void request_stop(bool at_once);

  // For connections.
  const ServerOptions& options() const { return options_; }
  const Handler& handler() const { return handler_; }
  const std::shared_ptr<Mailbox>& mailbox() const { return mailbox_; }
  void touch(ServerConnection& connection);
  void watch(ServerConnection& connection, Interest what);
  void set_alarm(ServerConnection& connection);
  /// It has ended, and is closed once nothing points to it any more.
  void ended(ServerConnection& connection) { ended_.push_back(&connection); }
  bool is_draining() const { return draining_; }
  /// A head has begun and is not complete; beyond the limit of its user the oldest one is given up.
  void head_begun(ServerConnection& connection);
  void head_over(ServerConnection& connection);
  std::uint64_t heads_given_up() const { return heads_given_up_; }
  /// Requests that could begin beside those under way.
  std::size_t credit() const;
  /// For the figures of the service. `trace`: of trace_of().
  void count(std::chrono::microseconds took, bool failed, std::string_view trace);
  std::size_t requests = 0;  ///< under way
  std::size_t muted = 0;     ///< connections whose slots nobody waits for

  std::size_t connections() const { return connections_.size(); }
  Context& context() { return context_; }
  const Poller& poller() const { return poller_; }

 private:
  Result<void> enter();
  Result<bool> step_waiting(Deadline deadline);
  bool drive_touched();
  void take_signals();
  void accept();
  void admit(Connection connection);
  void make_room();
  void look_for_gone();
  void ring_alarms();
  void report();
  void begin_drain();
  void bury();

  Context context_;
  std::optional<Service> service_;
  Poller poller_;
  Handler handler_;
  ServerOptions options_;
  std::shared_ptr<Mailbox> mailbox_;
  std::unordered_map<ServerConnection*, std::unique_ptr<ServerConnection>> connections_;
  std::optional<Connection> waiting_;  ///< accepted while all places are taken
  std::vector<ServerConnection*> touched_, ended_;
  std::set<std::pair<Clock::time_point, ServerConnection*>> alarms_;
  /// Connections whose head is not complete, the oldest first, by node and user.
  std::map<std::pair<std::string, std::uint32_t>, std::deque<ServerConnection*>> heads_;
  std::uint64_t heads_given_up_ = 0;
  std::atomic<int> stop_requested_{0};
  Figures figures_;
  std::uint64_t reported_ = 0;  ///< requests
  Clock::time_point next_report_{};
  bool draining_ = false;
  bool inside_ = false;  ///< run() or step()
  std::optional<Clock::time_point> drain_end_;
  std::uint32_t rounds_ = 0;
};

}  // namespace slotwire::web::detail
