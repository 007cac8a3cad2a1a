// A carrier whose connections belong to another process: each link has a socket pair to it, one packet a frame.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/carriers/byte_queue.hpp"
#include "core/carriers/carrier.hpp"
#include "core/carriers/poller.hpp"

namespace slotwire::carriers {

struct RelayedOptions {
  std::string name = "relayed";
  std::size_t lines_per_frame = 128;  ///< 1..1023; the other end may send any
  std::size_t output_limit =
      std::size_t{1} << 20;  ///< bytes that wait for one link's socket; at least one frame, and two bursts of who sends
  std::size_t max_links = 1024;  ///< at most 65535
};

/// Frames of a link are packets of a SOCK_SEQPACKET socket, whose other end passes them on to the peer. A link is up
/// while it has a socket whose other end is open. The other process is not trusted: no call waits for it, and what it
/// sends is bounded like what a peer sends.
class RelayedCarrier final : public Carrier {
 public:
  /// Throws std::invalid_argument (an option out of range) or std::system_error (out of descriptors).
  explicit RelayedCarrier(RelayedOptions options);
  ~RelayedCarrier() override;

  /// The link starts down, without a socket. Throws std::invalid_argument when it is there already or above the limit.
  void add_link(std::uint16_t link);
  /// Closes the socket and forgets the link; on_link is not called. Does nothing when it is not there. Not from a
  /// FrameSink.
  void remove_link(std::uint16_t link);
  /// Frames go over `socket` from the next poll() on, which calls on_link(). A socket that the link has already is
  /// closed, and what waited for it is discarded. `what` describes the connection to people. The link must be there.
  void attach(std::uint16_t link, Fd socket, std::string what);
  /// Closes the socket; the next poll() reports the link down. Does nothing when there is none.
  void detach(std::uint16_t link, std::string why);
  /// Why the link has no socket: the next poll() reports it down with that reason. Does nothing when it has one.
  void explain(std::uint16_t link, std::string why);
  bool attached(std::uint16_t link) const { return known(link) && links_[link].socket; }

  std::string_view name() const override { return options_.name; }
  std::size_t lines_per_frame() const override { return options_.lines_per_frame; }
  std::size_t room(std::uint16_t link) const override;
  void send(std::span<const pipeline::TxFrame> frames) override;
  std::size_t poll(std::uint64_t now_us, std::size_t max_frames, FrameSink& sink) override;
  int fd() const override { return poller_.fd(); }
  const CarrierCounters& counters() const override { return counters_; }

 private:
  static constexpr std::size_t kBatch = 32;

  struct Link {
    bool known = false, up = false;
    bool wait_writable = false;  ///< the poller looks for it
    bool changed = false;        ///< stands in changed_
    Fd socket;
    std::string what, why;  ///< for the next on_link()
    ByteQueue waiting;      ///< frames that the socket did not take, each after its length
  };
  /// Places for packets that are received at once.
  struct Receive;

  bool known(std::uint16_t link) const noexcept { return link < links_.size() && links_[link].known; }
  /// What poll() has not reported yet carries no frames.
  bool usable(std::uint16_t link) const noexcept {
    return known(link) && links_[link].up && links_[link].socket && !links_[link].changed;
  }
  void change(std::uint16_t link);
  void watch(std::uint16_t link, bool writable);
  std::size_t send_run(std::span<const pipeline::TxFrame> frames);
  void keep(Link& link, const pipeline::TxFrame& frame);
  void flush(std::uint16_t link);
  void close(std::uint16_t link, std::string why);
  std::size_t receive(std::uint16_t link, std::size_t max_frames, FrameSink& sink);

  RelayedOptions options_;
  std::size_t frame_bytes_;
  Poller poller_;
  std::vector<Link> links_;
  std::vector<std::uint16_t> changed_;  ///< on_link() is due
  std::size_t first_ = 0;               ///< of the ready links, who is served first
  std::unique_ptr<Receive> receive_;
  CarrierCounters counters_;
};

}  // namespace slotwire::carriers
