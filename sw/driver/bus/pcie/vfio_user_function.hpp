// A PCI function in another process, over a socket, by the vfio-user protocol: a simulated card.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "driver/bus/pcie/pci_function.hpp"
#include "driver/bus/pcie/vfio_user_protocol.hpp"
#include "driver/bus/timed_socket.hpp"

namespace slotwire::driver {

class VfioUserFunction final : public PciFunction {
 public:
  /// A command that is not answered in full for so long, or bytes that are not taken, end the connection.
  static constexpr int kAnswerTimeoutMs = 5000;
  /// Writes that are kept until the next flush or read, at most.
  static constexpr std::size_t kKeptBytes = std::size_t{256} << 10;

  /// Does not connect yet. Throws std::invalid_argument when the path is too long.
  explicit VfioUserFunction(const std::string& path, int answer_timeout_ms = kAnswerTimeoutMs);

  bool open() override;
  const std::string& error() const override { return socket_.error(); }
  const std::string& name() const override { return name_; }
  bool config_read(std::size_t offset, std::span<std::byte> data) override;
  bool config_write(std::size_t offset, std::span<const std::byte> data) override;
  std::size_t bar_bytes(unsigned bar) const override { return bar < kBars ? bar_bytes_[bar] : 0; }
  void write(unsigned bar, std::size_t offset, std::span<const std::byte> data) override;
  bool read(unsigned bar, std::size_t offset, std::span<std::byte> data) override;
  void fence() override {}  // messages keep their order
  void flush() override;
  unsigned vectors() const override { return vectors_; }
  bool set_interrupts(std::span<const int> eventfds) override;
  bool reset() override;
  int fd() const override { return socket_.fd(); }
  void look() override;
  bool shares_slots() const override { return shares_slots_; }
  bool share_slot(const SlotShare& share) override;
  bool unshare_slot(std::uint16_t slot) override;

  std::string dma_obstacle(const DmaRange& /*range*/) const override { return {}; }
  std::string map_pages(const DmaPages& pages) override;
  void unmap_pages(const DmaPages& pages) override;
  bool maps_files() const override { return true; }

 private:
  using Bytes = std::span<const std::byte>;

  void add(vfio_user::Command command, std::uint32_t flags, Bytes body, Bytes more = {});
  bool ask(vfio_user::Command command, Bytes body, Bytes more, std::span<std::byte> answer,
           std::span<std::byte> more_answer, std::span<const int> fds = {});
  bool agree();
  bool find_regions();
  bool region_read(std::uint32_t region, std::size_t offset, std::span<std::byte> data);

  TimedSocket socket_;
  std::string name_;
  std::array<std::size_t, kBars> bar_bytes_{};
  unsigned vectors_ = 0;
  bool shares_slots_ = false;
  std::string refused_;  ///< why it did not do the last command, which may be refused
  std::uint16_t id_ = 0;
  std::vector<std::byte> kept_;
  std::vector<std::byte> version_;  ///< room for what the other end says of itself
};

}  // namespace slotwire::driver
