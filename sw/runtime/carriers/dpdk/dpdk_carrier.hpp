// The carrier over one DPDK port. Part of the module, see dpdk.hpp.
#pragma once
#include <array>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "carriers/dpdk/bell.hpp"
#include "carriers/dpdk/dpdk.hpp"
#include "carriers/dpdk/port.hpp"
#include "carriers/dpdk/xdp.hpp"
#include "carriers/neighbours.hpp"
#include "carriers/poller.hpp"
#include "pipeline/ethernet.hpp"

namespace slotwire::carriers {

class PortCarrier final : public DpdkCarrier {
 public:
  explicit PortCarrier(const DpdkOptions& options);
  ~PortCarrier() override;

  void add_link(std::uint16_t link, const Address& peer, std::span<const std::uint16_t> ports) override;
  void remove_link(std::uint16_t link) override;
  Address local_address() const override { return options_.address; }
  DpdkPort port() const override;
  std::size_t queues() const override { return 1; }
  Carrier& queue(std::size_t /*queue*/) override { return *this; }
  void enter(std::size_t /*queue*/) override {}
  std::vector<std::uint16_t> ports(const Address& /*peer*/) const override { return {options_.address.port()}; }

  std::string_view name() const override { return "dpdk"; }
  std::size_t lines_per_frame() const override { return lines_; }
  /// The output queue is shared by all links: so is this room.
  std::size_t room(std::uint16_t link) const override;
  void send(std::span<const pipeline::TxFrame> frames) override;
  std::size_t poll(std::uint64_t now_us, std::size_t max_frames, FrameSink& sink) override;
  int fd() const override { return poller_.fd(); }
  const CarrierCounters& counters() const override { return counters_; }

 private:
  enum class State : std::uint8_t { none, added, told_down, up };
  struct Link {
    State state = State::none;
    pipeline::Endpoint peer;  ///< its MAC address is the neighbour's
    std::size_t neighbour = 0;
    Address address;
  };

  void open_port();
  void close_port() noexcept;
  void on_change(const Port::Change& change, std::uint64_t now_us, FrameSink& sink);
  std::string_view steering() const;
  std::string no_wire() const;
  void reopen(std::uint64_t now_us);
  bool sendable(const pipeline::TxFrame& frame) const noexcept;
  void fill(rte_mbuf& buffer, const pipeline::TxFrame& frame) noexcept;
  void send_bytes(std::span<const std::byte> frame) noexcept;
  void flush() noexcept;
  void bring_up(FrameSink& sink);
  bool deliver(const rte_mbuf& buffer, std::uint64_t now_us, FrameSink& sink);
  bool receive(std::uint64_t now_us, bool& answered);
  void transmit() noexcept;
  void stay_awake(std::uint64_t now_us) noexcept;
  void ask(std::uint64_t now_us);

  DpdkOptions options_;
  std::size_t lines_, frame_bytes_;
  Poller poller_;
  std::unique_ptr<XdpSteering> xdp_;  ///< outlives the port
  std::unique_ptr<Port> port_;        ///< none while it is lost, between two attempts to open it
  std::unique_ptr<Bell> bell_;        ///< none: the port is polled without end
  bool wire_up_ = true;
  std::string driver_;
  pipeline::Endpoint own_;
  std::unique_ptr<Neighbours> neighbours_;
  std::vector<Link> links_;
  std::unordered_map<std::uint64_t, std::uint16_t> by_peer_;  ///< by address and port
  std::vector<std::uint16_t> waiting_;                        ///< links that are not up
  std::vector<rte_mbuf*> unsent_;                             ///< frames that the port had no room for, oldest first
  std::optional<std::uint64_t> retry_us_;
  std::optional<std::uint64_t> reopen_us_;  ///< the port is lost
  std::array<rte_mbuf*, kDpdkBurst> received_{};
  std::size_t count_ = 0, next_ = 0;  ///< of received_: held, and the one to hand out
  bool awake_ = true;                 ///< fd() is kept readable: own frames came not long ago, and the bell is mute
  std::uint64_t seen_us_ = 0;         ///< when the last of them came
  unsigned empty_polls_ = 0;
  CarrierCounters counters_;
  std::uint64_t rx_other_ = 0, arp_answered_ = 0, arp_conflicts_ = 0;
};

}  // namespace slotwire::carriers
