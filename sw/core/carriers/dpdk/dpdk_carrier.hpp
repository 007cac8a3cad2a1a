// The carrier over one DPDK port. Part of the module, see dpdk.hpp.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/carriers/dpdk/dpdk.hpp"
#include "core/carriers/dpdk/kernel_interface.hpp"
#include "core/carriers/dpdk/port.hpp"
#include "core/carriers/dpdk/port_queue.hpp"
#include "core/carriers/dpdk/queue_carrier.hpp"
#include "core/carriers/dpdk/xdp.hpp"
#include "core/carriers/neighbours.hpp"

namespace slotwire::carriers {

/// Queue 0 of the port, and what there is once for all: ARP, the links, the wire.
class PortCarrier final : public DpdkCarrier, private OtherFrames {
 public:
  explicit PortCarrier(const DpdkOptions& options);
  ~PortCarrier() override;

  void add_link(std::uint16_t link, const Address& peer, std::span<const std::uint16_t> ports) override;
  void remove_link(std::uint16_t link) override;
  Address local_address() const override { return options_.address; }
  DpdkPort port() const override;
  std::size_t queues() const override { return 1 + others_.size(); }
  Carrier& queue(std::size_t queue) override;
  void enter(std::size_t queue) override;
  std::vector<std::uint16_t> ports(const Address& peer) const override;

  std::string_view name() const override { return "dpdk"; }
  std::size_t lines_per_frame() const override { return shared_->lines; }
  bool needs_congestion_control(std::uint16_t /*link*/) const override { return true; }
  /// The output queue is shared by all links: so is this room.
  std::size_t room(std::uint16_t link) const override { return queue_->room(link); }
  void send(std::span<const pipeline::TxFrame> frames) override { queue_->send(frames); }
  std::size_t poll(std::uint64_t now_us, std::size_t max_frames, FrameSink& sink) override;
  int fd() const override { return queue_->fd(); }
  const CarrierCounters& counters() const override { return queue_->counters(); }

 private:
  enum class State : std::uint8_t { none, added, told_down, up };
  struct Link {
    State state = State::none;
    pipeline::Endpoint peer;  ///< its MAC address: the one that the queues were told
    std::size_t neighbour = 0;
    Address address;
    LinkPorts ports;
    std::uint32_t serial = 0, ups = 0;

    std::string name() const { return "dpdk to " + address.to_string(); }
  };

  void open_port();
  void close_port() noexcept;
  void on_change(const Port::Change& change, std::uint64_t now_us, FrameSink& sink);
  std::string_view steering() const;
  std::string no_wire() const;
  void clear_port() noexcept;
  void reopen(std::uint64_t now_us);
  void tell_others(std::uint16_t number, const std::string& reason);
  void bring_up(FrameSink& sink);
  void update_macs();
  bool on_other(std::span<const std::byte> frame, std::uint64_t now_us, FrameSink& sink) override;
  void ask(std::uint64_t now_us);
  void take_from_kernel(std::uint64_t now_us);

  DpdkOptions options_;
  pipeline::Endpoint own_;
  std::unique_ptr<XdpSteering> xdp_;  ///< outlives the port
  std::unique_ptr<Port> port_;        ///< none while it is lost, between two attempts to open it
  bool wire_up_ = true;
  std::string driver_, wake_, zero_copy_;
  RssTable rss_;
  std::unique_ptr<SharedPort> shared_;
  std::unique_ptr<PortQueue> queue_;
  std::vector<std::unique_ptr<QueueCarrier>> others_;  ///< queues 1 and up
  std::unique_ptr<Neighbours> neighbours_;
  std::vector<Link> links_;
  std::vector<std::uint16_t> waiting_;  ///< links that are not up
  std::uint32_t serials_ = 0;
  std::optional<std::uint64_t> reopen_us_;   ///< the port is lost
  std::unique_ptr<KernelInterface> kernel_;  ///< none: what is nobody's is dropped
  std::vector<std::byte> kernel_frame_;
  std::uint64_t kernel_us_ = 0;  ///< when it was looked at last
  std::uint64_t to_kernel_ = 0, from_kernel_ = 0, kernel_dropped_ = 0;
  std::uint64_t arp_answered_ = 0, arp_conflicts_ = 0;
};

}  // namespace slotwire::carriers
