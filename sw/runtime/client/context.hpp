// What the handles of the C ABI stand for.
#pragma once
#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/client/connection.hpp"
#include "runtime/client/engine_session.hpp"

namespace slotwire::client {

/// Names the calling thread: an address that no other live thread has.
const void* this_thread();

}  // namespace slotwire::client

struct sw_connection {
  sw_context* context = nullptr;
  std::unique_ptr<slotwire::client::Connection> end;
  sw_poller* poller = nullptr;                                         ///< the poller that it is in, if any
  bool accepted = false;                                               ///< this end is the service's
  slotwire::control::Health health = slotwire::control::Health::well;  ///< of the process at the other end
};

struct sw_service {
  sw_context* context = nullptr;
  std::string name;
  std::size_t backlog = 0;
  bool ended = false;  ///< by end_service()
  std::deque<sw_connection*> waiting;
};

struct sw_context final : private slotwire::client::SessionEvents {
 public:
  sw_context(std::string socket, std::string name, slotwire::client::ReceiveLimits limits, std::uint64_t cache_bytes);
  ~sw_context() override;

  slotwire::client::Failure open(const sw_options& options);
  slotwire::client::Failure report(std::span<const sw_figures> figures);
  slotwire::client::Failure serve(const std::string& name, std::size_t backlog, sw_service*& out);
  /// Nobody connects any more; those that did can still be accepted.
  slotwire::client::Failure end_service(sw_service& service);
  void unserve(sw_service* service);
  slotwire::client::Failure connect(const std::string& service, const sw_connect_options& options,
                                    const slotwire::client::Deadline& deadline, sw_connection*& out);
  slotwire::client::Failure start_connect(const std::string& service, const sw_connect_options& options,
                                          const slotwire::client::Deadline& deadline, void* token);
  slotwire::client::Failure connected(void*& token, sw_connection*& out);
  slotwire::client::Failure accept(sw_service& service, const slotwire::client::Deadline& deadline,
                                   sw_connection*& out);
  void close(sw_connection* connection);
  /// Tells the clients of a service that replies are valid no more.
  slotwire::client::Failure invalidate(const sw_service& service, const sw_invalidation& what,
                                       const slotwire::client::Deadline& deadline);

  slotwire::client::EngineSession& session() { return session_; }
  const slotwire::client::EngineSession& session() const { return session_; }
  const slotwire::slot::WaitPolicy& policy() const { return policy_; }
  bool here() const { return owner_ == slotwire::client::this_thread(); }
  void adopt() { owner_ = slotwire::client::this_thread(); }

 private:
  void on_accepted(const slotwire::control::SlotInfo& slot, std::vector<slotwire::slot::Fd> fds) override;
  void on_closed(std::uint32_t local, slotwire::control::End reason, const std::string& text) override;
  void on_link(const std::string& node, bool up, const std::string& text) override;
  void on_health(std::uint32_t local, slotwire::control::Health health) override;
  void on_forget(const std::vector<std::uint32_t>& slots) override;
  void on_resumed() override;
  void on_lost() override;
  void on_answer(std::uint64_t id, slotwire::client::Failure failure, const slotwire::control::Answer& answer,
                 std::vector<slotwire::slot::Fd> fds) override;
  std::vector<std::uint32_t> held() const override;

  sw_connection* make(const slotwire::control::SlotInfo& slot, std::vector<slotwire::slot::Fd> fds);
  slotwire::client::Failure take_slot(const slotwire::control::Answer& answer, std::vector<slotwire::slot::Fd> fds,
                                      sw_connection*& out);
  void tell_closed(std::uint32_t local, bool spare = false);
  /// Keeps the memory of a connection that is being closed, if the engine may want it. False: it does not.
  bool keep_spare(slotwire::client::Connection& closed);
  /// Tells the engine what was found in the connections of services, if something was.
  void tell_inspected();
  void inspect(slotwire::client::Connection& connection);
  /// Are there outcomes, or connections to another service, to be taken?
  bool waits_beside(const sw_service& service) const;
  /// How long waits last: as the node says, or as the program said.
  void set_policy();

  /// How a sw_start_connect() came out.
  struct Outcome {
    void* token = nullptr;
    slotwire::client::Failure failure;
    sw_connection* connection = nullptr;
  };

  const void* owner_;
  slotwire::client::EngineSession session_;
  slotwire::slot::WaitPolicy policy_;
  std::uint32_t spin_us_ = 0, yield_us_ = 0;  ///< what the program said; 0: as the node says
  slotwire::client::ReceiveLimits receive_limits_;
  slotwire::client::CacheUse cache_use_;
  std::map<std::string, slotwire::client::InspectedService> inspected_;  ///< by service
  std::map<std::uint32_t, std::unique_ptr<sw_connection>> connections_;  ///< by local index
  std::vector<std::unique_ptr<sw_connection>> lost_;                     ///< of an engine that is no more
  /// Of connections that were closed, by slot: the engine may use them for the next ones.
  std::unordered_map<std::uint32_t, slotwire::client::SlotMemory> spares_;
  std::map<std::string, std::unique_ptr<sw_service>> services_;
  struct Started {
    void* token = nullptr;
    bool one_shot = false;
  };
  std::unordered_map<std::uint64_t, Started> connecting_;  ///< by request
  std::deque<Outcome> outcomes_;
};

/// Connections waited for together. Those that are busy are looked at; those that slept are left to epoll.
struct sw_poller {
 public:
  explicit sw_poller(sw_context& context);
  ~sw_poller();

  slotwire::client::Failure add(sw_connection& connection, int what, void* token);
  slotwire::client::Failure set(sw_connection& connection, int what);
  slotwire::client::Failure remove(sw_connection& connection);
  slotwire::client::Failure wait(std::vector<sw_ready>& ready, std::size_t max,
                                 const slotwire::client::Deadline& deadline);
  bool arm();
  /// Any thread, and signal handlers.
  void interrupt();
  int fd() const { return epoll_.get(); }
  sw_context& context() { return context_; }
  /// Kept between waits so that none allocates.
  std::vector<sw_ready>& scratch() { return scratch_; }

 private:
  struct Entry {
    sw_connection* connection = nullptr;
    int what = 0;
    void* token = nullptr;
    bool awake = true;  ///< in awake_; else armed
  };
  void wake(Entry& entry);
  bool take_events(int timeout_ms);
  void collect(std::vector<sw_ready>& ready, std::size_t max);

  sw_context& context_;
  slotwire::slot::Fd epoll_, interrupt_;
  std::atomic<bool> interrupted_{false};
  std::unordered_map<sw_connection*, std::unique_ptr<Entry>> entries_;
  std::vector<Entry*> awake_;
  std::vector<sw_ready> scratch_;
  std::size_t cursor_ = 0;
  slotwire::slot::WaitHabit habit_;
  std::uint32_t waits_ = 0;
  bool had_events_ = false;
};
