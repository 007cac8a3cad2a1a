// The health of processes: those of this node that serve, which are asked and may be drained, and those at the other
// ends of slots, which their nodes tell of.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "runtime/control/messages.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/host/event_loop.hpp"
#include "runtime/engine/host/node_log.hpp"
#include "runtime/engine/peers/peer_table.hpp"
#include "runtime/engine/services/health_count.hpp"
#include "runtime/engine/services/service_table.hpp"
#include "runtime/engine/sessions/session_table.hpp"
#include "runtime/engine/slots/slot_table.hpp"

namespace slotwire::engine {

/// What the room needs. All of it outlives the room.
struct ProcessHealthParts {
  const Config& config;
  EventLoop& loop;
  NodeLog& log;
  SessionTable& sessions;
  SlotTable& slots;
  PeerTable& peers;
  ServiceTable& services;
};

/// One thread. At most one question to a process is without an answer, so a process that does not read is sent nothing
/// more. What a process or a peer says as often as it likes is told on no more than once in an interval, or a tick, and
/// to no process that has not taken what it was told before.
class ProcessHealth {
 public:
  explicit ProcessHealth(ProcessHealthParts parts) : parts_(parts) {}

  /// Asks those whose turn it is; about four times a second.
  void tick();
  void alive(const Session& session, const control::Alive& message);
  /// Throws Refusal (bad_request) when no process of that number is attached.
  void drain(const control::Drain& request);
  /// A session has ended.
  void forget(std::uint32_t session) { asked_.erase(session); }
  /// A process came back, or was taken up: it is told of the other ends of its slots.
  void on_resumed(Session& session);
  /// A process that came back may not have said all that it serves yet: until it answers the question that on_resumed()
  /// asked, which is behind what it had to say.
  bool is_announcing(std::uint32_t session) const;

  control::Health of(std::uint32_t session) const;
  /// Processes of this node that serve it, and how many of them are well.
  control::ServiceHealth of_service(const std::string& service) const;
  /// Tells the other end of a slot of a serving process what is thought of that process; nothing when it is well.
  void tell_new(std::uint16_t slot);
  /// A peer says what it thinks of the process at its end of a pairing.
  void on_slot_health(const Peer& peer, const control::SlotHealth& message);

 private:
  /// A process that is asked.
  struct Asked {
    std::uint64_t session_id = 0;
    HealthCount count;
    std::uint64_t probe = 0;  ///< the last question
    bool waiting = false;     ///< it has no answer yet
    bool announcing = false;  ///< see is_announcing()
    bool ready = true;        ///< as the process says
    bool spoken_of = false;   ///< peers were told that it is not well, now or earlier
    control::Health told = control::Health::well;
    std::uint64_t told_us = 0;  ///< when it changed last
  };
  /// What a peer said of the other end of a slot.
  struct OtherEnd {
    std::uint16_t epoch = 0;
    control::Health health = control::Health::well;
    control::Health told = control::Health::well;  ///< to the process
  };

  Asked& asked(std::uint32_t session);
  void ask(Session& session);
  void look(const Session& session, Asked& asked);
  void tell_slots(const Session& session, control::Health health, std::optional<std::uint16_t> link = {});
  void tell_slot(std::uint16_t slot, control::Health health, std::optional<std::uint16_t> link);
  Session* owner(std::uint16_t slot);
  void tell_of_others();
  void greet_peers();

  ProcessHealthParts parts_;
  std::map<std::uint32_t, Asked> asked_;      ///< by session
  std::map<std::uint16_t, OtherEnd> others_;  ///< by own slot; those that are not well, or were not told so
  std::map<std::uint16_t, std::uint64_t> control_connects_;  ///< by link: of which connection the peer knows all
  std::uint64_t next_us_ = 0;
};

}  // namespace slotwire::engine
