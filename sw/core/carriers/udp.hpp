// The kernel UDP carrier: one socket for all links, one datagram a frame, in batches.
#pragma once
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/carriers/carrier.hpp"
#include "core/carriers/flood_watch.hpp"
#include "core/carriers/poller.hpp"
#include "core/carriers/socket.hpp"

namespace slotwire::carriers {

struct UdpOptions {
  Address bind;            ///< port 0: the kernel picks one, see local_address()
  std::size_t mtu = 1500;  ///< bytes of the IP packet, headers included; room for one line to 65535. Same on all nodes
  std::size_t socket_buffer = std::size_t{4} << 20;  ///< bytes asked for, each way; the kernel may give less
  std::size_t output_limit = std::size_t{1}
                             << 20;  ///< bytes of frames kept while the kernel's buffer is full; at least one frame
  std::size_t max_links = 1024;      ///< at most 65536
  bool gso = true;                   ///< hand runs of frames to the kernel in one piece (UDP_SEGMENT) where it can
  bool ecn = true;                   ///< let the network mark frames instead of dropping them, where the kernel can
  bool gro = true;                   ///< take runs of frames from the kernel in one piece (UDP_GRO) where it can
};

/// A link is up as soon as it is added: whether the peer is there only frames can tell. Errors that the network reports
/// (connection refused, no route) cost the frame and nothing else. Frames are lost, doubled and reordered as UDP does.
///
/// A flood of datagrams that are of no use (FloodWatch) costs who sends it: while it lasts each link has a socket of
/// its own at the same address, connected to its peer, and is served first; what everybody else sends, and links from
/// which nothing useful comes, share the first socket, from which kCrowdFrames are taken each kCrowdUs. The kernel
/// drops what is above that.
class UdpCarrier final : public Carrier {
 public:
  static constexpr std::size_t kCrowdFrames = 64;
  static constexpr std::uint64_t kCrowdUs = 1000;
  /// Links that get sockets of their own in a flood, at most; the others stay in the crowd.
  static constexpr std::size_t kMaxOwnSockets = 256;

  /// Throws std::invalid_argument (an option out of range) or std::system_error (socket; the text says what to do).
  explicit UdpCarrier(const UdpOptions& options);
  ~UdpCarrier() override;

  /// Frames from `peer` are those of `link`, and the reverse. `link` is 0..max_links-1. Throws std::invalid_argument
  /// when the link or the address is taken, or the address is of the other family or has port 0.
  void add_link(std::uint16_t link, const Address& peer);
  /// Forgets the link and what waits for it. Does nothing when it is not there.
  void remove_link(std::uint16_t link);

  /// Datagrams that seem to be a link's and cannot be taken: what a mistake in a configuration looks like.
  struct Misfits {
    std::uint64_t other_port = 0;  ///< from the peer's host, but not its port
    std::uint16_t last_port = 0;   ///< the last such port
    std::uint64_t too_large = 0;   ///< from the peer, but larger than a frame may be here
  };
  /// Those of a link that is there, since it was added.
  const Misfits& misfits(std::uint16_t link) const { return links_.at(link).misfits; }

  Address local_address() const { return Address::bound_to(socket_.get()); }
  /// What is in use, for people: "gso gro", "gro zero-checksum", ... or "none".
  std::string features() const;

  std::string_view name() const override { return "udp"; }
  std::size_t lines_per_frame() const override { return lines_; }
  bool needs_congestion_control(std::uint16_t /*link*/) const override { return true; }
  /// The output buffer is shared by all links: so is this room.
  std::size_t room(std::uint16_t link) const override;
  void send(std::span<const pipeline::TxFrame> frames) override;
  std::size_t poll(std::uint64_t now_us, std::size_t max_frames, FrameSink& sink) override;
  int fd() const override { return poller_.fd(); }
  const CarrierCounters& counters() const override { return counters_; }

 private:
  enum class State : std::uint8_t { none, added, up };
  struct Link {
    State state = State::none;
    bool gso = false;  ///< off for good once the kernel refused a run on this link's route
    Address peer;
    Misfits misfits;
    Fd own;                                 ///< in a flood: takes what comes from the peer
    std::uint32_t useful = 0, useless = 0;  ///< frames of this window of flood_
  };
  struct Transmit;
  struct Receive;

  void open_socket(const UdpOptions& options);
  bool sendable(const pipeline::TxFrame& frame) const noexcept;
  std::size_t build(std::span<const pipeline::TxFrame> frames, std::size_t from);
  std::size_t frame_run(std::span<const pipeline::TxFrame> frames, std::size_t from) const;
  std::size_t submit(std::span<const pipeline::TxFrame> frames, std::size_t messages, std::size_t end);
  void drop(std::size_t frames) noexcept { counters_.tx_dropped += frames; }
  void keep(std::span<const pipeline::TxFrame> frames);
  void flush_kept();
  void set_blocked(bool blocked) noexcept;
  void set_up(int fd, const UdpOptions& options);
  void watch_first_socket() noexcept;
  bool receive(int fd, std::size_t max_messages);
  std::size_t serve_own(std::size_t& budget, FrameSink& sink);
  std::size_t serve_crowd(std::uint64_t now_us, std::size_t& budget, FrameSink& sink);
  void look_for_flood(std::uint64_t now_us);
  void give_own_socket(std::uint16_t link);
  std::size_t deliver(std::size_t& budget, FrameSink& sink);
  const std::uint16_t* link_of(const Address& peer) const;
  void count_stranger(const std::optional<Address>& from);

  UdpOptions options_;
  std::size_t lines_, frame_bytes_;
  bool gso_ = false, gro_ = false, ecn_ = false, zero_checksum_ = false, blocked_ = false;
  Fd socket_;
  Poller poller_;
  std::vector<Link> links_;
  std::unordered_map<Address, std::uint16_t, AddressHash> by_address_;
  std::unordered_map<Address, std::uint16_t, AddressHash> by_host_;  ///< one link to each host; port 0
  std::vector<std::uint16_t> added_;
  std::unique_ptr<Transmit> transmit_;
  std::unique_ptr<Receive> receive_;
  struct Kept {
    std::uint16_t link;
    std::size_t bytes;
  };
  std::vector<std::byte> kept_bytes_;  ///< frames that the kernel had no room for, oldest first
  std::vector<Kept> kept_;
  FloodWatch flood_;
  bool crowded_ = false;        ///< links have sockets of their own
  std::uint64_t crowd_us_ = 0;  ///< when the first socket is looked at next while that is so
  std::size_t crowd_run_ = 1;   ///< frames in the largest message that came from it last
  std::size_t own_sockets_ = 0;
  std::vector<epoll_event> ready_;
  std::size_t turn_ = 0;  ///< which of the ready sockets is served first
  CarrierCounters counters_;
};

}  // namespace slotwire::carriers
