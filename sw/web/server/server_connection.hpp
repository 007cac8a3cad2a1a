// One connection of a web server: requests one after the other, each of them an Exchange.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "web/server/exchange_state.hpp"

namespace slotwire::web::detail {

/// Reads only what its owner takes, keeps only what its client has not taken of whole responses (bounded), and calls
/// the handler and callbacks from drive(), on_time() and abort() alone, never from a function that an Exchange calls.
class ServerConnection {
 public:
  ServerConnection(ServerCore& core, Connection slot);
  ServerConnection(const ServerConnection&) = delete;
  ServerConnection& operator=(const ServerConnection&) = delete;
  ~ServerConnection();

  /// Does what can be done now.
  void drive();
  /// The time that it asked for has come.
  void on_time(Clock::time_point now);
  /// Asks the client to begin no new request.
  void ask_to_close();
  /// Its user has begun more heads than it may.
  void give_up_head();
  const Peer& client() const { return client_; }
  /// Ends it now, and the exchange with it.
  void abort(Abort why);
  bool ended() const { return state_ == State::ended; }
  bool is_idle() const { return state_ == State::idle; }
  bool was_asked_to_close() const { return asked_to_close_; }
  Clock::time_point idle_since() const { return idle_since_; }
  Connection& slot() { return slot_; }
  /// Nobody waits for its slot, so that only a look tells that the client is gone.
  bool is_muted() const { return !ended() && watched_ == Interest::none; }
  bool client_is_gone() { return slot_.wait(Interest::none, Deadline::now()).ok(); }
  bool queued = false;                       ///< in the core's list of connections to drive
  std::optional<Clock::time_point> alarm{};  ///< as the core has it
  std::optional<Clock::time_point> next_time() const;

  // ---- for the exchange ----

  Result<std::span<const std::byte>> peek_body();
  void consume_body(std::size_t bytes);
  Result<void> respond(unsigned status, const FieldList& fields, Data body);
  Result<void> refuse();
  Result<void> start(unsigned status, const FieldList& fields, std::optional<std::uint64_t> length);
  Result<std::size_t> write(Data data);
  Result<std::span<std::byte>> loan(std::size_t least);
  Result<void> commit(std::size_t bytes);
  Result<void> finish();
  Result<void> upgrade(std::string_view protocol, const FieldList& fields);
  void break_off();
  /// A callback was set or removed.
  void want_body() {
    wants_body_ = static_cast<bool>(exchange_->on_body);
    touch();
  }
  void want_room() {
    wants_room_ = static_cast<bool>(exchange_->on_room);
    touch();
  }
  /// Its owner let the exchange go unanswered.
  void dropped();

 private:
  enum class State : std::uint8_t { idle, head, exchange, discarding, lingering, ended };
  enum class Pumped : std::uint8_t { data, again, end, invalid, cut_off, gone };

  ExchangeState& exchange() { return *exchange_; }
  void touch();
  bool step();
  bool read_head();
  void note_head(bool unfinished);
  bool drive_exchange();
  bool discard();
  void linger();
  void begin(http::Head head);
  void hand_over(http::Head head, const http::Framing& framing, std::optional<Clock::time_point> deadline);
  /// Answers by itself and does not call the handler.
  void reject(unsigned status, std::string_view text, bool unprocessed, const http::Head* head);
  Pumped pump(std::span<const std::byte>& data);

  Result<void> check_response(unsigned status, const FieldList& fields) const;
  void append_head(ExchangeState& exchange, unsigned status, const FieldList& fields);
  std::size_t unsent() const { return out_.size() - out_at_; }
  bool flush();
  std::span<const std::byte> send_with_head(std::span<const std::byte> body);
  void end_response();
  void complete(ExchangeState& exchange);
  void after_response();
  void report(ExchangeState& exchange);
  void fail_later(Abort why, unsigned status = 0);
  void detach();
  void abort_exchange(Abort why, unsigned status);
  void start_lingering();
  void end();
  void watch();

  ServerCore& core_;
  Connection slot_;
  Stream stream_;
  Peer client_;
  State state_ = State::idle;
  http::HeadCollector head_;
  http::BodyReader body_;
  ExchangeState* exchange_ = nullptr;
  std::string out_;  ///< heads and whole responses that the client has not taken
  std::size_t out_at_ = 0;
  std::size_t loaned_ = 0;  ///< of the slot's loan, bytes; 0: none
  std::size_t loan_offset_ = 0;
  std::span<std::byte> loan_;
  std::size_t discarded_ = 0;
  bool close_ = false;  ///< after this response
  bool asked_to_close_ = false;
  bool notice_sent_ = false;
  bool head_unfinished_ = false;  ///< as the core counts it
  bool expects_continue_ = false;
  bool upgraded_ = false;
  bool in_ended_ = false, out_ended_ = false;  ///< the directions of an upgraded connection
  bool shut_down_ = false, shutdown_wanted_ = false;
  bool wants_body_ = false, wants_room_ = false;
  bool early_data_ = false;  ///< bytes after the request before its response
  Abort failed_ = Abort::none;
  unsigned failed_status_ = 0;
  Interest watched_ = Interest::none;
  Clock::time_point idle_since_ = Clock::now();
  Clock::time_point sent_at_ = Clock::now();  ///< of unsent bytes: when the client last took some
  std::optional<Clock::time_point> limit_;    ///< of the state: head, discarding, lingering
};

}  // namespace slotwire::web::detail
