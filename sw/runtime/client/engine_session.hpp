// A process's session with its engine: the control socket, the bells, and coming back after a restart of the engine.
#pragma once
#include <poll.h>

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/slot/bell.hpp"
#include "core/slot/memory.hpp"
#include "core/slot/waiter.hpp"
#include "runtime/control/codec.hpp"
#include "runtime/control/packet_socket.hpp"
#include "slotwire.h"

namespace slotwire::client {

/// A status of the C ABI and a sentence for people.
struct Failure {
  int status = SW_OK;
  std::string text;
};

/// Nanoseconds of CLOCK_MONOTONIC.
std::int64_t monotonic_ns();

/// When a wait ends. From the milliseconds of the C ABI: 0 at once, negative never. The time runs from start(), or from
/// the first question that needs it, so that what need not wait reads no clock.
class Deadline {
 public:
  explicit Deadline(sw_timeout_ms timeout) : timeout_(timeout) {}
  bool never() const { return timeout_ < 0; }
  bool immediate() const { return timeout_ == 0; }
  void start() const {
    if (timeout_ > 0 && at_ns_ == 0) at_ns_ = end_ns();
  }
  bool passed() const;
  /// For poll(2): whole milliseconds, rounded up; -1: no limit.
  int poll_ms() const;
  /// Milliseconds left, at least 1; -1: no limit.
  std::int64_t left_ms() const;

 private:
  std::int64_t end_ns() const;
  sw_timeout_ms timeout_;
  mutable std::int64_t at_ns_ = 0;  ///< 0: not started
};

/// What the session tells of slots; called from within process() and request().
class SessionEvents {
 public:
  virtual ~SessionEvents() = default;
  /// Somebody connected to a service of this process.
  virtual void on_accepted(const control::SlotInfo& slot, std::vector<slot::Fd> fds) = 0;
  /// The connection with this local index ended, for `reason` (docs/control.md).
  virtual void on_closed(std::uint32_t local, control::End reason, const std::string& text) = 0;
  virtual void on_link(const std::string& node, bool up, const std::string& text) = 0;
  /// What the other end's engine thinks of the process there.
  virtual void on_health(std::uint32_t /*local*/, control::Health /*health*/) {}
  /// The engine has given the spare slots with these numbers up.
  virtual void on_forget(const std::vector<std::uint32_t>& /*slots*/) {}
  /// The engine was restarted and took the session back: what it thinks of other ends is told anew.
  virtual void on_resumed() {}
  /// The engine kept nothing: every connection is lost; the session is a new one.
  virtual void on_lost() = 0;
  /// Local indices of the connections that this process still holds.
  virtual std::vector<std::uint32_t> held() const = 0;
  /// The answer to request `id` of start(); `failure` says why there is none.
  virtual void on_answer(std::uint64_t id, Failure failure, const control::Answer& answer,
                         std::vector<slot::Fd> fds) = 0;
};

/// One thread.
class EngineSession {
 public:
  EngineSession(std::string socket_path, std::string name, SessionEvents& events);

  /// Says hello. A Failure with SW_OK when that worked.
  Failure open();
  /// Leaves it to process() to say hello, at once and until an engine answers.
  void open_later();
  /// Tells the engine that this process closes in good order.
  void bye();

  /// Sends a request and waits for its answer, at most until `deadline`; events that come meanwhile are handled. While
  /// the session is being resumed it first waits for that. On SW_OK `answer` and `fds` are what the engine said.
  Failure request(const control::Request& request, const Deadline& deadline, control::Answer& answer,
                  std::vector<slot::Fd>& fds);
  /// Sends a request without waiting: its answer goes to SessionEvents::on_answer with this id. SW_ENGINE_GONE while
  /// there is no session with the engine.
  Failure start(const control::Request& request, std::uint64_t& id);
  /// Sends a message whose answer nobody waits for (its id is 0).
  void post(const control::Request& request);
  /// Handles what the engine has sent; comes back to an engine that was restarted, step by step. Never waits.
  void process();
  /// The same on behalf of whoever waits for something else: what was handled keeps fd() readable until process().
  void process_in_passing();
  /// The caller looks at everything that the events so far may have brought: fd() is readable for newer ones alone.
  void seen();
  /// Readable when process() has something to do, or events were handled outside of it that its caller has not seen.
  int fd() const { return epoll_.get(); }
  /// For poll(2), beside what else is waited for: when process_in_passing() has something to do. Unlike fd() they say
  /// nothing of events that were handled already, which would keep the wait awake.
  std::array<pollfd, 2> sources() const;
  /// SW_OK: attached. SW_AGAIN: the first try has not ended. Else why the engine could not be reached the last time.
  Failure attachment() const;
  /// False from the engine's end until it has taken the session back.
  bool attached() const { return socket_ != nullptr && resuming_ == Resuming::no; }
  /// Whether what this process serves can take requests; told to the engine, and to one that comes back.
  void set_ready(bool ready);
  const std::string& node() const { return node_; }
  /// How many spare slots the engine lets this process keep.
  std::uint32_t spare_slots() const { return spare_slots_; }
  slot::WaitPolicy wait_policy() const { return policy_; }

  /// Rings the bell of slot `local`; kicks the engine if it sleeps.
  void ring(std::uint32_t local) {
    if (slot::ring_bell(*reinterpret_cast<slot::BellPage*>(bells_.data()),
                        *reinterpret_cast<const slot::PolledPage*>(polled_.data()), local)) {
      slot::signal_event(kick_.get());
    }
  }
  /// Services to serve again after the engine came back without its memory, or with it.
  std::map<std::string, std::uint32_t>& services() { return services_; }

 private:
  /// Which answer a session that comes back is waiting for.
  enum class Resuming { no, resume, hello };

  Failure connect_socket();
  /// Takes what the engine answered to a hello.
  Failure take_hello(const control::Answer& answer, std::vector<slot::Fd> fds);
  control::Hello hello_message() const;
  control::Resume resume_message(std::vector<std::uint32_t> slots) const;
  Failure gone_failure() const;
  void lost_engine();
  /// lost_engine(), and no further try before kRetryNs are over.
  void not_taken_back(Failure why);
  void try_resume();
  /// Sends a message of coming back; its answer goes to on_resume_answer().
  void ask_back(Resuming what, const control::Request& request);
  void on_resume_answer(const control::Answer& answer, std::vector<slot::Fd> fds);
  Failure take_closed(const control::Answer& answer);
  /// True: there were events.
  bool take_what_came();
  /// Handles one packet or waits for one until `deadline`. False: the engine has gone, or the deadline passed.
  bool step(const Deadline& deadline);
  bool take(control::Packet& packet);
  void handle_event(const control::Event& event, std::vector<slot::Fd> fds);
  void serve_again();
  /// Wakes process() after `ns`; 0: not at all.
  void arm_timer(std::int64_t ns);

  std::string path_, name_;
  Failure last_try_;         ///< how the last try to come (back) to the engine ended, as long as none succeeded
  std::string turned_away_;  ///< why the engine is about to close the socket
  SessionEvents& events_;
  slot::Fd epoll_, pending_, timer_;
  std::unique_ptr<control::PacketSocket> socket_;
  slot::Fd kick_;
  slot::Mapping bells_, polled_;
  std::string node_, token_;
  std::uint64_t id_ = 0;
  std::uint64_t last_request_ = 0;
  slot::WaitPolicy policy_;
  std::uint32_t spare_slots_ = 0;
  std::map<std::string, std::uint32_t> services_;
  bool ready_ = true;  ///< as set_ready() said
  std::int64_t next_try_ns_ = 0;
  Resuming resuming_ = Resuming::no;
  std::uint64_t resume_request_ = 0;
  std::int64_t resume_until_ns_ = 0;  ///< an engine that has not answered by then is given up
  std::uint64_t waiting_for_ = 0;
  std::set<std::uint64_t> started_;  ///< requests whose answers go to on_answer
  std::optional<std::pair<control::Answer, std::vector<slot::Fd>>> answer_;
};

}  // namespace slotwire::client
