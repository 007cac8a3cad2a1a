// The TCP carrier: one stream a link, dialled by one node and accepted by the other, plain or TLS.
#pragma once
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/carriers/backoff.hpp"
#include "core/carriers/carrier.hpp"
#include "core/carriers/poller.hpp"
#include "core/carriers/preamble.hpp"
#include "core/carriers/tcp_stream.hpp"

namespace slotwire::carriers {

/// Times are microseconds.
struct TcpOptions {
  std::string node;                       ///< this node's name, [a-z0-9-]{1,63}
  Address listen;                         ///< none: links can only be dialled from here; port 0: the kernel picks one
  std::shared_ptr<const TlsContext> tls;  ///< set: every connection is TLS 1.3 and both certificates name their nodes
  std::size_t lines_per_frame = 128;      ///< 1..1023; the peer takes any
  std::size_t output_limit = std::size_t{2} << 20;  ///< bytes that wait for one link's socket; at least one frame
  std::size_t max_links = 1024;                     ///< at most 65535
  std::size_t max_pending = 64;  ///< accepted connections that have not said who they are; the oldest gives way
  std::uint64_t handshake_us = 5'000'000;  ///< from dialling or accepting until the link is up
  std::uint64_t backoff_min_us = 20'000;   ///< before the first try after a failure; doubled with each further one
  std::uint64_t backoff_max_us = 5'000'000;
  std::uint64_t stable_us = 1'000'000;      ///< a link that was up for so long starts again with backoff_min_us
  std::uint64_t accept_pause_us = 100'000;  ///< pause of accepting when the process is out of descriptors
  unsigned peer_timeout_ms = 10'000;        ///< a peer that acknowledges nothing for so long is gone
  std::uint64_t seed = 1;                   ///< of the jitter: waits are half to whole of the doubled delay
};

struct TcpLink {
  std::uint16_t link = 0;  ///< 0..max_links-1
  std::string peer_node;
  bool dial = false;  ///< this node dials; the other end must have false, or the two connections replace each other
  Address address;    ///< where to dial
  Token token{};      ///< same at both ends
};

/// Keeps order and loses nothing while a connection stands and room() is respected. A connection that breaks loses what
/// was in flight; the link goes down, is dialled again and comes up. A second good connection for a link replaces the
/// first: its peer restarted before this node noticed.
class TcpCarrier final : public Carrier {
 public:
  /// Throws std::invalid_argument (an option out of range) or std::system_error (the listener; the text says what to
  /// do).
  explicit TcpCarrier(TcpOptions options);

  /// Dials with the next poll(), or waits for the peer. Throws std::invalid_argument.
  void add_link(const TcpLink& link);
  /// Drops the connection and forgets the link; on_link is not called. Does nothing when it is not there. Not from a
  /// FrameSink.
  void remove_link(std::uint16_t link);
  /// Drops the connection now, what is in flight with it; a dialled link comes back after its back-off.
  void cut(std::uint16_t link);
  /// Like cut(), and a dialled link is dialled with the next poll(), whatever its back-off.
  void kick(std::uint16_t link);

  /// Where this node listens; none when it does not.
  Address local_address() const { return listener_ ? listener_->address() : Address{}; }

  std::string_view name() const override { return options_.tls ? "tcp+tls" : "tcp"; }
  std::size_t lines_per_frame() const override { return options_.lines_per_frame; }
  std::size_t room(std::uint16_t link) const override;
  void send(std::span<const pipeline::TxFrame> frames) override;
  /// rx_unknown_peer counts refused connections, rx_malformed those that spoke another protocol or broke this one.
  std::size_t poll(std::uint64_t now_us, std::size_t max_frames, FrameSink& sink) override;
  int fd() const override { return poller_.fd(); }
  const CarrierCounters& counters() const override { return counters_; }

 private:
  enum class Phase : std::uint8_t { down, dialling, up };
  struct Link {
    Link(const TcpLink& link, const Backoff& delays) : config(link), backoff(delays) {}
    TcpLink config;
    Backoff backoff;
    Phase phase = Phase::down;
    bool ready = false;    ///< stands in ready_
    bool touched = false;  ///< stands in touched_
    bool dial_at_once = false;
    std::uint64_t dial_us = 0;  ///< when to dial, while down
    std::uint64_t up_us = 0;    ///< when it came up
    std::uint32_t watched = 0;  ///< events that the poller looks for
    TcpStream stream;
    FrameReader frames;
    std::array<std::byte, kWelcomeBytes> welcome{};
    std::size_t welcome_bytes = 0;
    std::string last_reason;
  };
  /// An accepted connection that has not shown yet whose it is, or that was refused and is being told so.
  struct Pending {
    TcpStream stream;
    PreambleReader reader;
    std::uint32_t watched = 0;
    std::uint64_t deadline_us = 0;  ///< dropped then, whatever it is doing
  };

  TcpStreamOptions stream_options(std::string peer) const;
  Link* find(std::uint16_t link) const noexcept { return link < links_.size() ? links_[link].get() : nullptr; }
  void ready(Link& link);
  bool watch(TcpStream& stream, std::uint32_t& watched, std::uint64_t tag, bool fresh);
  void timers();
  void note_deadline(std::optional<std::uint64_t> deadline);
  void dial(Link& link);
  void failed(Link& link, FrameSink& sink);
  void came_up(Link& link, FrameSink& sink);
  void read_welcome(Link& link, FrameSink& sink);
  std::size_t drive(Link& link, std::size_t quota, FrameSink& sink);
  void accept();
  std::size_t free_pending();
  void drive_pending(std::size_t index, FrameSink& sink);
  void refuse(Pending& pending, Welcome status);
  void adopt(Link& link, Pending& pending, FrameSink& sink);

  TcpOptions options_;
  std::size_t frame_bytes_;
  std::optional<Listener> listener_;
  Poller poller_;
  std::vector<std::unique_ptr<Link>> links_;
  std::vector<std::optional<Pending>> pending_;
  std::vector<std::uint16_t> ready_, driving_, touched_;
  std::uint64_t now_us_ = 0;
  std::optional<std::uint64_t> deadline_us_;  ///< earliest of all timers, or earlier
  std::optional<std::uint64_t> accept_again_us_;
  CarrierCounters counters_;
};

}  // namespace slotwire::carriers
