// One session at the server: the requests that it holds, what their answers carry, and its times. server.cpp has the
// table of all sessions.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/http_stream/server.hpp"
#include "core/http_stream/session.hpp"

namespace slotwire::http_stream {

class ServerSession;

/// Who has the sessions.
class SessionOwner {
 public:
  virtual void respond(ExchangeId id, const Bundle& bundle) = 0;
  virtual void tell(ServerSession& session, ServerEvent::Kind kind) = 0;
  /// Something changed: serve() is to be called soon.
  virtual void touched(ServerSession& session) = 0;
  virtual void end_duplex(DuplexId id) = 0;
  /// A request is no longer held.
  virtual void let_go(ExchangeId id) = 0;
  virtual std::uint64_t now_us() const = 0;
  virtual ServerCounters& counters() = 0;

 protected:
  ~SessionOwner() = default;
};

class ServerSession final : public MessagePipe {
 public:
  ServerSession(SessionNumber number, const Key& key, std::string source, const ServerOptions& options,
                BufferPool* pool, SessionOwner& owner);

  bool send(std::span<const std::byte> message) override;
  std::optional<Bytes> receive() override;
  std::size_t room() const override { return state_ == SessionState::closed ? 0 : end_.room(); }
  std::size_t space() const override { return state_ == SessionState::closed ? 0 : end_.space(); }
  std::size_t unacknowledged() const override { return end_.out().bytes(); }
  void close(CloseReason reason) override;
  SessionState state() const override { return state_; }
  const CloseReason& reason() const override { return reason_; }

  SessionNumber number() const { return number_; }
  const Key& key() const { return key_; }
  const std::string& source() const { return source_; }
  void came_from(std::string_view source) { source_ = source; }
  SessionEnd& end() { return end_; }

  /// An opening request, the first or a repeated one.
  void open(ExchangeId id, const Bundle& bundle);
  /// A request with the session's key. True: the request is held now.
  bool request(ExchangeId id, const Bundle& bundle);
  /// The client of a held request has left.
  void gone(ExchangeId id);

  bool duplex_bundle(DuplexId id, const Bundle& bundle);
  void duplex_lost(DuplexId id);
  std::optional<DuplexId> duplex() const { return duplex_; }
  /// The next bundle for the duplex connection, or none.
  std::optional<Bytes> next_duplex_bundle();

  /// Answers the requests that are to be answered now.
  void serve();
  /// Times that have passed: silence, grace, closing.
  void expire();
  std::uint64_t deadline() const;
  /// Ends the session now and answers what is held.
  void end_now(CloseReason reason);
  /// The client has used the key.
  bool established() const { return state_ != SessionState::opening; }

 private:
  struct Held {
    std::uint64_t number = 0;
    ExchangeId id = 0;
    std::uint64_t since_us = 0;
    std::uint64_t answer_by_us = 0;
  };
  struct Carried {
    std::uint64_t number = 0;
    std::vector<PartRange> parts;
    std::size_t bytes = 0;  ///< of the body
  };
  bool awaited(std::uint64_t number) const;
  bool seen(std::uint64_t number) const;
  void settle(const Bundle& bundle);
  void judge_long();
  void heard();
  bool took(const Bundle& bundle);
  void hold_limit(std::uint64_t late_us);
  void answer(std::size_t index, bool with_parts);
  void answer_without_hold(std::uint64_t number, ExchangeId id, bool with_parts);
  void answer_bundle(ExchangeId id, std::uint64_t number, std::uint64_t delay_us, bool with_parts);
  void answer_all();
  std::uint64_t gather_until() const;
  void after_room();

  SessionNumber number_;
  Key key_;
  std::string source_;
  const ServerOptions& options_;
  SessionOwner& owner_;
  SessionEnd end_;
  SessionState state_ = SessionState::opening;
  CloseReason reason_;

  std::vector<Held> held_;        ///< ascending
  std::vector<Carried> long_;     ///< longer than bundle_bytes, and not awaited any more
  std::vector<Carried> carried_;  ///< what answers carried that the client may still get
  std::uint64_t newest_ = 0;      ///< highest number of a request
  std::uint64_t awaited_ = 0;     ///< bit i: the client awaits the answer to newest_-i
  std::uint64_t seen_ = 0;        ///< bit i: request newest_-i has come
  std::size_t may_hold_ = 1;
  std::uint64_t heard_us_, partial_us_ = 0, close_by_us_ = kNever;
  bool told_readable_ = false, wants_room_ = false;

  std::optional<DuplexId> duplex_;
  std::uint16_t generation_ = 0;
  std::uint64_t duplex_number_ = 0, duplex_newest_ = 0, duplex_newest_us_ = 0, acknowledge_by_us_ = kNever;
  bool close_said_ = false;
};

}  // namespace slotwire::http_stream
