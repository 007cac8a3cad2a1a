// The carrier over one DPDK port. Part of the module, see dpdk.hpp.
#pragma once
#include <array>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "carriers/dpdk/doorbell.hpp"
#include "carriers/dpdk/dpdk.hpp"
#include "carriers/dpdk/port.hpp"
#include "carriers/neighbours.hpp"
#include "carriers/poller.hpp"
#include "pipeline/ethernet.hpp"

namespace slotwire::carriers {

class PortCarrier final : public DpdkCarrier {
 public:
  explicit PortCarrier(const DpdkOptions& options);
  ~PortCarrier() override;

  void add_link(std::uint16_t link, const Address& peer) override;
  void remove_link(std::uint16_t link) override;
  Address local_address() const override { return options_.address; }
  DpdkPort port() const override;

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

  bool sendable(const pipeline::TxFrame& frame) const noexcept;
  void fill(rte_mbuf& buffer, const pipeline::TxFrame& frame) noexcept;
  void send_bytes(std::span<const std::byte> frame) noexcept;
  void flush() noexcept;
  void bring_up(FrameSink& sink);
  bool deliver(const rte_mbuf& buffer, std::uint64_t now_us, FrameSink& sink);
  bool receive(bool& rung);
  void ask(std::uint64_t now_us);

  DpdkOptions options_;
  std::size_t lines_, frame_bytes_;
  Poller poller_;
  std::unique_ptr<Doorbell> doorbell_;  ///< made before the port
  std::unique_ptr<Port> port_;
  pipeline::Endpoint own_;
  std::unique_ptr<Neighbours> neighbours_;
  std::vector<Link> links_;
  std::unordered_map<std::uint64_t, std::uint16_t> by_peer_;  ///< by address and port
  std::vector<std::uint16_t> waiting_;                        ///< links that are not up
  std::vector<rte_mbuf*> unsent_;                             ///< frames that the port had no room for, oldest first
  std::optional<std::uint64_t> retry_us_;
  std::array<rte_mbuf*, kDpdkBurst> received_{};
  std::size_t count_ = 0, next_ = 0;  ///< of received_: held, and the one to hand out
  bool seen_ = false;                 ///< frames came since the doorbell was answered
  unsigned empty_polls_ = 0;
  CarrierCounters counters_;
  std::uint64_t rx_other_ = 0, arp_answered_ = 0, arp_conflicts_ = 0;
};

}  // namespace slotwire::carriers
