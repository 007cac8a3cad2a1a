// A simulated PCI function as the other end of QEMU's x-pci-proxy-dev (QEMU 7.2): QEMU sends each access of a guest to
// the configuration space or to a bus address in a BAR as one message on a socket pair, and waits for the answer.
//
// Interrupt messages go to QEMU's qtest socket as the memory writes that they are.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/slot/memory.hpp"
#include "sim/pci/pci_device.hpp"

namespace slotwire::sim {

class PciProxyServer final : public MessageSink {
 public:
  /// Bytes of interrupt messages that QEMU has not taken, at most; further ones are lost and told of.
  static constexpr std::size_t kKeptBytes = std::size_t{64} << 10;
  /// Messages taken in one poll().
  static constexpr std::size_t kMessages = 64;

  /// Takes over `fd`, the end of the socket pair that QEMU has not. `qtest`: path of QEMU's qtest socket, connected to
  /// when the first interrupt comes; empty: interrupts go nowhere. Throws std::runtime_error.
  PciProxyServer(int fd, std::string qtest, PciDevice& device);
  ~PciProxyServer() override { device_.set_sink(nullptr); }
  PciProxyServer(const PciProxyServer&) = delete;
  PciProxyServer& operator=(const PciProxyServer&) = delete;

  bool poll();
  /// To wait on for reading; -1 when QEMU is gone.
  int fd() const { return socket_.get(); }
  /// QEMU closed its end, or broke the protocol.
  bool ended() const { return !socket_; }
  bool busy() const { return !device_.ready() || waiting_; }

  void message(unsigned vector, std::uint64_t address, std::uint32_t data) override;

 private:
  /// As QEMU has it in memory up to the union of the data; the data follow.
  struct Header {
    std::int32_t command;
    std::uint32_t hole;
    std::uint64_t size;
  };
  static_assert(sizeof(Header) == 16);
  struct ConfigAccess {
    std::uint32_t address;
    std::uint32_t value;
    std::int32_t bytes;
  };
  struct BarAccess {
    std::uint64_t address;
    std::uint64_t value;
    std::uint32_t bytes;
    std::uint8_t memory;
    std::array<std::uint8_t, 3> hole;
  };
  static_assert(sizeof(BarAccess) == 24);
  /// Longest data of a message: the ranges of the guest's memory.
  static constexpr std::size_t kMostData = 192;

  bool receive();
  void handle(std::span<const std::byte> data);
  void config(std::span<const std::byte> data, bool write);
  void bar(std::span<const std::byte> data, bool write);
  static std::uint64_t dma_register(const PciDevice::Place& place);
  void reply(std::uint64_t value);
  void drop(const std::string& why);
  void send_interrupts();

  slot::Fd socket_, qtest_;
  std::string qtest_path_;
  PciDevice& device_;
  Header header_{};
  std::size_t header_have_ = 0, data_have_ = 0;
  std::array<std::byte, kMostData> data_{};
  bool waiting_ = false;  ///< for the function's answer to a read
  PciDevice::Place read_{};
  std::string interrupts_;
  bool lost_told_ = false;
};

}  // namespace slotwire::sim
