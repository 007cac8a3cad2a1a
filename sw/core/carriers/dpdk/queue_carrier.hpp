// The carrier of a queue of a port that is not the first. Part of the module, see dpdk.hpp.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/carriers/dpdk/port_queue.hpp"

namespace slotwire::carriers {

/// One thread. It has the links that the first queue tells it of, and leaves the port when that wants to close it.
class QueueCarrier final : public Carrier {
 public:
  QueueCarrier(SharedPort& shared, std::size_t index);
  /// Its thread has ended or uses it no more.
  ~QueueCarrier() override;

  std::string_view name() const override { return "dpdk"; }
  std::size_t lines_per_frame() const override { return shared_.lines; }
  bool needs_congestion_control(std::uint16_t /*link*/) const override { return true; }
  std::size_t room(std::uint16_t link) const override { return queue_.room(link); }
  void send(std::span<const pipeline::TxFrame> frames) override { queue_.send(frames); }
  std::size_t poll(std::uint64_t now_us, std::size_t max_frames, FrameSink& sink) override;
  int fd() const override { return queue_.fd(); }
  const CarrierCounters& counters() const override { return queue_.counters(); }

 private:
  struct Link {
    bool known = false;
    std::uint32_t serial = 0, ups = 0;
  };
  void go_in_or_out() noexcept;
  void hear(std::uint16_t number, const LinkNews& news, FrameSink& sink);

  SharedPort& shared_;
  const std::size_t index_;
  PortQueue queue_;
  std::vector<Link> links_;
  std::uint32_t wire_changes_ = 0;
};

}  // namespace slotwire::carriers
