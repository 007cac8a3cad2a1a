// The sessions of a node: who is attached, what each process holds, and what it may still take.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "driver/card.hpp"
#include "runtime/control/codec.hpp"
#include "runtime/engine/admin/admin.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/host/event_loop.hpp"
#include "runtime/engine/host/node_log.hpp"
#include "runtime/engine/recovery/descriptor_store.hpp"
#include "runtime/engine/sessions/session.hpp"

namespace slotwire::engine {

using control::Refusal;
/// Draws 32 random bits.
using RandomBits = std::function<std::uint32_t()>;

/// What the session table needs. All of it outlives the table.
struct SessionParts {
  const Config& config;
  Admin& admin;
  driver::Card& card;
  EventLoop& loop;
  DescriptorStore& store;
  Processes& processes;
  NodeLog& log;
  RandomBits random;
  UserAccounts& users;
};

/// One thread. Sessions are numbers 0..limits.sessions-1; a number is used again after its session has ended.
class SessionTable {
 public:
  /// What follows from the end of a session: called by end() while the session is still there.
  using Ended = std::function<void(Session& session, End end)>;

  SessionTable(SessionParts parts, Ended ended);

  /// The session of that number, or null.
  Session* find(std::uint32_t index) { return index < sessions_.size() ? sessions_[index].get() : nullptr; }
  Session& at(std::uint32_t index) { return *sessions_[index]; }
  const SessionRecord& record(std::uint32_t index) const { return parts_.admin.sessions()[index]; }
  /// Is `index` still the session that had this id.
  bool is(std::uint32_t index, std::uint64_t id) const {
    return index < sessions_.size() && sessions_[index] && record(index).id == id;
  }
  std::size_t used() const { return used_; }
  std::size_t limit() const { return sessions_.size(); }
  std::span<const std::unique_ptr<Session>> all() const { return sessions_; }
  UserAccounts& users() const { return parts_.users; }
  /// "'name' (pid 42)", for texts.
  std::string who(std::uint32_t index) const;

  /// A new session, not attached yet. Throws Refusal (quota, no_session, no_memory).
  Session& open(const PeerCredentials& who, const std::string& name);
  /// The session that the process comes back to. Throws Refusal (no_session, refused, busy).
  Session& resume(const PeerCredentials& who, std::uint64_t id, std::string_view token);
  /// The process is reached by `channel` from now on.
  void attach(Session& session, std::unique_ptr<control::PacketChannel> channel, std::vector<gid_t> gids);
  /// By command: whether it gets new connections. Outlives the engine.
  void set_drained(std::uint32_t index, bool drained) { record_of(index).drained = drained ? 1 : 0; }
  /// Ends the session: what it held is closed (Ended), and the number is free.
  void end(std::uint32_t index, std::string_view why);
  /// Takes up a session of an earlier life from its descriptors. Throws std::exception saying why not.
  void recover(std::uint32_t index, std::vector<slot::Fd>& fds);
  /// Clears the records of sessions that were not recovered.
  void forget_unrecovered();

  /// Sends a packet to the process. False: it does not read, or is detached.
  bool send(Session& session, const std::string& text, const std::vector<int>& fds = {});
  bool send(Session& session, const control::Event& event, const std::vector<int>& fds = {}) {
    return send(session, control::encode_event(event), fds);
  }
  std::string token_text(const Session& session) const;

  // --- slots of sessions, and what they cost ---

  /// Throws Refusal (quota) when the session may not take a slot of so many bytes.
  void check_quota(const Session& session, std::uint64_t bytes) const;
  /// Whether the session has a bell left.
  bool has_local(const Session& session) const { return session.slot_count < slot::kMaxSessionSlots; }
  /// Gives the slot to the session; returns the local index of its bell.
  std::uint32_t take_slot(Session& session, std::uint16_t slot, std::uint64_t bytes);
  /// The same with the local index that it had in an earlier life.
  void retake_slot(Session& session, std::uint16_t slot, std::uint32_t local, std::uint64_t bytes);
  void drop_slot(std::uint32_t index, std::uint32_t local, std::uint64_t bytes);

 private:
  std::uint32_t free_local(const Session& session, std::uint16_t slot) const;
  void show_to_card(Session& session);
  SessionRecord& record_of(std::uint32_t index) { return parts_.admin.sessions()[index]; }

  SessionParts parts_;
  Ended ended_;
  std::vector<std::unique_ptr<Session>> sessions_;
  std::size_t used_ = 0;
};

}  // namespace slotwire::engine
