// One TCP connection joined to one slot connection: bytes go from each into the other, without a buffer in between.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

#include "core/slot/memory.hpp"
#include "tools/slotwire/common.hpp"

namespace slotwire::cli {

/// Bytes wait in the slot's rings and in the kernel's socket buffers, nowhere else: an end that does not read stops the
/// other end. Each direction ends by itself: the end of the TCP stream becomes the end of the slot's stream and the
/// reverse. An end that breaks off instead (reset, died, refused) makes the other end a reset. One thread.
class Pipe {
 public:
  enum class State { connecting, open, ended };

  Pipe(std::uint64_t number, slot::Fd tcp, std::string tcp_peer);

  /// Joins the slot. Call when both ends are connected; then drive().
  void open();
  void set_tcp(slot::Fd tcp) { tcp_ = std::move(tcp); }
  void set_slot(ConnectionPtr slot);

  /// What epoll said of the TCP socket (edge-triggered).
  void on_tcp(std::uint32_t events);
  /// Moves what can be moved, a bounded amount; returns whether more may be there at once. State::ended afterwards:
  /// close it.
  bool drive();
  /// Ends both sides with a reset, for this reason.
  void abort(std::string reason);
  /// Closes both ends, in good order or with a reset as it came about.
  void close();

  State state() const { return state_; }
  std::uint64_t number() const { return number_; }
  int tcp_fd() const { return tcp_.get(); }
  sw_connection* slot() const { return slot_.get(); }
  /// SW_READABLE, SW_WRITABLE: what it waits for on the slot's side.
  int wants() const { return wants_; }
  /// What the poller was told last; kept here for the loop.
  int watched = 0;
  bool queued = false;  ///< in the loop's list of pipes that have more to do
  std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();

  // For the access log.
  const std::string& tcp_peer() const { return tcp_peer_; }
  const std::string& slot_peer() const { return slot_peer_; }
  const std::string& reason() const { return reason_; }
  bool broken() const { return broken_; }
  std::uint64_t to_slot() const { return to_slot_; }
  std::uint64_t from_slot() const { return from_slot_; }

 private:
  bool pull();
  bool push();
  void end_of_tcp();
  void slot_failed(int status);

  std::uint64_t number_;
  slot::Fd tcp_;
  ConnectionPtr slot_;
  std::string tcp_peer_, slot_peer_ = "-", reason_;
  State state_ = State::connecting;
  bool broken_ = false;
  bool tcp_readable_ = true, tcp_writable_ = true;
  bool tcp_hung_up_ = false;  ///< an end of the stream is on its way: read until it is seen
  bool tcp_ended_ = false;    ///< the end of the TCP stream was read
  bool slot_told_ = false;    ///< and passed on
  bool slot_ended_ = false;   ///< the end of the slot's stream was read and passed on
  int wants_ = 0;
  std::uint64_t to_slot_ = 0, from_slot_ = 0;
};

}  // namespace slotwire::cli
