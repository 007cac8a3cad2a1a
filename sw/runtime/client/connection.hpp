// One end of a connection as the process sees it: records over the slot's two rings.
#pragma once
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/slot/record.hpp"
#include "runtime/client/cache_use.hpp"
#include "runtime/client/engine_session.hpp"
#include "runtime/client/given_up.hpp"
#include "runtime/client/held_messages.hpp"
#include "runtime/client/inspection.hpp"

namespace slotwire::client {

/// Method number that the library answers by itself: slotwire ping.
inline constexpr std::uint16_t kPingMethod = 0xffff;
/// The deadline as a request carries it.
std::uint32_t deadline_us(const Deadline& deadline);
/// The kinds of failure after which the answer may still come.
bool may_pass(int status);
/// Messages kept for receive() while a call waits for its answer; of bytes, as many as the largest message may have.
inline constexpr std::size_t kMaxInbox = 4096;

/// What the engine said of a new connection.
struct ConnectionInfo {
  std::uint32_t slot = 0, local = 0;
  unsigned in_order = 0, out_order = 0;
  bool direct = false, link_up = true, again = false;
  std::string service, node, name;
  std::uint32_t pid = 0, uid = 0;
  std::string inspect;  ///< the language that the peer is to speak; empty: it is not looked at
  bool inspect_refuses = false;
};
ConnectionInfo info_of(const control::SlotInfo& slot);

/// What a process has of a slot: mapped, with the descriptors that it needs as long as the slot is open.
struct SlotMemory {
  slot::Space own, other;
  slot::Fd wake;
  slot::Fd peer_wake;  ///< of a direct pair

  /// Maps what slotwired sent: own, other, wake, and for a direct pair the peer's wake. Throws std::exception.
  static SlotMemory map(const ConnectionInfo& info, std::vector<slot::Fd> fds);
};

/// What all connections of a context may keep of messages that come in parts.
struct ReceiveLimits {
  std::uint64_t max_message = 0;     ///< bytes of one message
  std::uint64_t max_unfinished = 0;  ///< bytes of all that are not complete
  std::uint64_t unfinished = 0;      ///< how many those are now
};

/// One thread.
class Connection {
 public:
  /// Throws std::exception when `info` and `memory` do not fit together.
  Connection(EngineSession& session, ConnectionInfo info, SlotMemory memory, slot::WaitPolicy policy,
             ReceiveLimits& limits, CacheUse& cache_use);
  ~Connection() { limits_.unfinished -= assembly_.counted; }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  const ConnectionInfo& info() const { return info_; }
  /// Looks at what arrives from now on, and counts in `inspected`, which outlives the connection.
  void inspect(InspectedService& inspected);
  /// The connection detaches itself when its exchange is complete (sw_connect_options.one_shot).
  void detach_when_complete() { one_shot_ = true; }
  /// It has given its slot back to the engine, which may have given its local index away.
  bool is_detached() const { return detached_; }
  int wake_fd() const { return wake_.get(); }
  /// The descriptor for the program's own event loop, where it may stay when the connection is closed.
  int shown_fd() {
    shown_ = true;
    return wake_.get();
  }
  /// The memory, for another connection; this one can only be destroyed afterwards. None: the program may still use
  /// something of it.
  std::optional<SlotMemory> take_memory();

  // What the session tells.
  void ended(int status, std::string text);
  void set_link(bool up, const std::string& text);
  bool has_ended() const { return end_.status != SW_OK; }

  // Sending.
  Failure send(slot::RecordHeader header, std::span<const std::byte> data, const Deadline& deadline);
  /// send(), if that needs no more than writing a record. False: nothing was done.
  bool send_now(const slot::RecordHeader& header, std::span<const std::byte> data) {
    if (!is_usable() || !writer_.write(header, data)) return false;
    notify_written();
    return true;
  }
  /// Sends those of `messages` that fit now, as one-way messages that become visible together; `sent` of them.
  Failure send_batch(std::span<const sw_buffer> messages, std::size_t& sent);
  /// Sends what there is room for, from byte `done` on, and moves `done`. SW_AGAIN: call again, with the same message,
  /// when the connection is writable; nothing else can be sent until it is complete.
  Failure send_some(slot::RecordHeader header, std::span<const std::byte> data, std::size_t& done);
  Failure loan(std::size_t length, std::span<std::byte>& out);
  Failure commit(slot::RecordHeader header);
  void abandon() { loaned_ = false; }
  Failure write(std::span<const std::byte> data, std::size_t& done);
  Failure end_stream();
  /// Room for stream bytes in place: at least `least`, at most a quarter of the ring.
  Failure loan_stream(std::size_t least, std::span<std::byte>& out);
  Failure commit_stream(std::size_t length);
  Failure flush(const Deadline& deadline);

  // Receiving.
  Failure receive(const Deadline& deadline, sw_message& out);
  /// receive(), if a whole message that the program wants is next in the ring. False: nothing was done.
  bool receive_now(sw_message& out);
  /// Messages that are there now, as many as `out` has room for.
  Failure receive_batch(std::span<sw_message> out, std::size_t& received);
  /// release() of several messages, whose room is given back together.
  void release_batch(std::span<sw_message> messages);
  void release(sw_message& message);
  Failure read(std::span<std::byte> into, std::size_t& done);
  /// Stream bytes in place; none with SW_OK: the peer has ended its stream.
  Failure peek_stream(std::span<const std::byte>& out);
  Failure consume_stream(std::size_t length);
  /// The stream bytes that come next, in place, until they are released; those behind them can be read meanwhile.
  Failure take_stream(sw_message& out);
  Failure call(std::uint16_t method, std::span<const std::byte> data, const Deadline& deadline, sw_message& reply);
  Failure start_call(std::uint16_t method, std::span<const std::byte> data, const Deadline& deadline,
                     std::uint32_t& id);
  /// Waits for the answer to call `id`; what arrives meanwhile is kept for receive(). The call stays under way when
  /// this fails with a status that may pass.
  Failure answer_of(std::uint32_t id, const Deadline& deadline, sw_message& reply);
  /// call(), unless the cache of the node has the reply to `method` and `key` or will have it soon.
  Failure call_cached(std::uint16_t method, std::span<const std::byte> key, std::span<const std::byte> data,
                      const Deadline& deadline, sw_message& reply);
  /// A reply that the caller's node may keep, if the caller asked for that; else a plain one.
  Failure reply_cached(std::uint32_t id, std::span<const std::byte> data, const sw_cacheable& cacheable,
                       const Deadline& deadline);
  /// Tells the client that replies which it may have kept are valid no more.
  Failure invalidate(const sw_invalidation& what, const Deadline& deadline);
  Failure cancel(std::uint32_t id);
  bool is_cancelled(std::uint32_t id);
  void interrupt();

  // Waiting.
  bool holds(int what);
  /// Asks to be woken. False: what is waited for is there already.
  bool arm(int what);
  void disarm();
  /// As disarm(), but the descriptor may stay readable: for a caller who is told of edges only.
  void stay_awake();
  /// Waits until `condition` or the deadline; `what` is what it depends on.
  Failure wait(int what, const Deadline& deadline, const std::function<bool()>& condition);
  Failure wait(int what, const Deadline& deadline) {
    return wait(what, deadline, [&] { return holds(what); });
  }

 private:
  struct Assembly {
    bool open = false;
    slot::RecordHeader header;
    std::vector<std::byte> data;
    std::uint64_t counted = 0;  ///< in ReceiveLimits::unfinished
  };
  /// One received message before it is handed out.
  struct Incoming {
    slot::RecordHeader header;
    std::span<const std::byte> data;
    Held* held = nullptr;
    CacheNote note{};  ///< of a cacheable reply; its key lies where the data does
  };

  Failure send_parts(slot::RecordHeader header, std::span<const std::byte> data, const Deadline& deadline);
  /// Nothing stands against sending and receiving: no loan, no message half sent, no end.
  bool is_usable() const {
    return !loaned_ && !sending_parts_ && end_.status == SW_OK && !reader_.broken() && !writer_.broken();
  }
  Failure may_send();
  Incoming as_copy(const slot::RecordHeader& header, std::vector<std::byte> data);
  void notify_written();
  void notify_consumed(std::uint32_t lines);
  void free_released();
  std::optional<Incoming> next_incoming(Failure& failure);
  /// Takes the answer to call `id` from what was kept for receive().
  std::optional<Incoming> take_kept_answer(std::uint32_t id);
  Failure take_answer(const Incoming& answer, sw_message& reply);
  /// answer_of(), with the cache header of the reply if it has one.
  Failure answer_of(std::uint32_t id, const Deadline& deadline, sw_message& reply, CacheNote* note);
  /// Looks at records that have arrived since the last look: at those that count before they are taken.
  void look_ahead();
  /// The cache, and this connection's service in it; nullptr: there is none.
  cache::Cache* cache();
  /// Takes the cache header off a record that has one. False: it is damaged. `looked_at`: look_ahead() saw the record.
  bool take_note(Incoming& incoming, bool looked_at);
  void invalidated(const slot::RecordHeader& header, const CacheNote& note);
  Failure call_noted(std::uint16_t method, std::span<const std::byte> data, const Deadline& deadline, sw_message& reply,
                     CacheNote& note);
  Failure send_noted(slot::RecordHeader header, const CacheHeader& note, std::span<const std::byte> key,
                     std::span<const std::byte> data, const Deadline& deadline);
  void ask_for_invalidations();
  static void hand_out_found(const cache::Found& found, Held& held, sw_message& out);
  Failure wait_for_records(const Deadline& deadline);
  /// Stores what is waited for. False: look again before you sleep.
  bool ask_to_be_woken(int what);
  /// What the peer of a direct pair waits for, read after the mark that was stored last.
  std::uint32_t peer_waits_for() const;
  void wake_peer(std::uint32_t what);
  Failure end_failure();
  Failure broken(const std::string& text);
  Failure wait_failure() const;
  /// Spins until a mark that `what` depends on moves, for Waiter::kLooks looks. False: none did, or the policy does not
  /// spin.
  bool spin(int what);
  static void hand_out(const Incoming& incoming, sw_message& out);
  /// Whether a record can be handed out as it lies there, without a look at anything else.
  static bool is_plain(const slot::RecordHeader& header);
  /// Messages that receive_now() would take, as a run; how many.
  std::size_t receive_run(std::span<sw_message> out);
  void give_up_call(std::uint32_t id);
  void drop(Held* held);
  std::optional<slot::RecordView> next_stream_record(Failure& failure);
  void pass_over(const slot::RecordView& view);
  bool wanted(const Incoming& incoming);
  Failure assemble(std::span<const std::byte> part);
  /// Looks at the record that begins `skip` lines after the head, once. A failure: it is not what the service speaks.
  Failure look_at(const slot::RecordView& view, std::uint32_t skip);
  /// The one exchange of a one-shot connection is complete, or has failed for good: gives the slot back.
  void finish_exchange();
  /// What is handed out when `incoming` is: itself, or, if it completes the exchange, a copy of it.
  Incoming complete(const Incoming& incoming);
  Failure may_keep() const;
  void keep(const Incoming& incoming);
  Incoming take_kept(std::deque<Incoming>::iterator at);

  EngineSession& session_;
  ConnectionInfo info_;
  slot::WaitPolicy policy_;
  slot::WaitHabit habit_;
  ReceiveLimits& limits_;
  CacheUse& cache_use_;
  slot::Space own_, other_;
  slot::Fd wake_, peer_wake_;
  slot::RecordWriter writer_;
  slot::RecordReader reader_;
  std::uint32_t wait_number_ = 0;
  std::uint32_t peer_signalled_ = 0;
  bool heavy_barrier_ = false;  ///< of a direct pair: this end makes the barrier for both before it sleeps
  bool ordered_ = false;        ///< the peer's barrier reaches this process
  std::uint32_t consumed_unrung_ = 0;
  std::uint32_t wanted_lines_ = 1;  ///< free lines that the last refused send needs
  std::size_t loan_ = 0;
  bool loaned_ = false;
  bool sending_parts_ = false;  ///< send_some() has begun a message
  HeldMessages held_;
  std::deque<Incoming> inbox_;     ///< kept for receive() while a call waited for its answer
  std::uint64_t inbox_bytes_ = 0;  ///< of their data
  Assembly assembly_;
  bool one_shot_ = false, detached_ = false;
  bool shown_ = false;             ///< the program has the descriptor
  bool own_stream_ended_ = false;  ///< by end_stream()
  std::optional<Inspection> inspection_;
  slot::Position inspected_ = 0;   ///< records before it have been looked at
  std::size_t stream_offset_ = 0;  ///< bytes of the stream record at the head that were read
  bool stream_ended_ = false;
  std::uint32_t next_call_ = 0;
  GivenUpCalls given_up_;
  CancelledRequests cancelled_;
  slot::Position scanned_ = 0;  ///< look_ahead() has looked at all records before it
  cache::Cache* cache_ = nullptr;
  cache::ServiceId cache_service_ = 0;
  bool cache_asked_ = false;          ///< cache_ is known
  cache::Time control_looked_ = 0;    ///< when a call of call_cached() looked at the control socket
  bool tells_invalidations_ = false;  ///< the client has asked for replies that can be kept
  bool asked_for_invalidations_ = false;
  RequestsForCache asked_;
  std::atomic<bool> interrupted_{false};
  std::uint32_t idle_looks_ = 0;
  bool link_up_ = true;
  std::string link_text_;
  Failure end_;
  bool calling_ = false;
};

}  // namespace slotwire::client
