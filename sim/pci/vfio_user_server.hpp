// A simulated PCI function on a unix socket, by the vfio-user protocol: one client at a time. It is to its client what
// the host's kernel is: it sets up the MSI-X table for the descriptors that it is given.
//
// A client may send what it likes: everything is checked, answered with an error, or ends the connection.
#pragma once
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/slot/memory.hpp"
#include "driver/bus/pcie/vfio_user_protocol.hpp"
#include "sim/pci/client_memory.hpp"
#include "sim/pci/pci_device.hpp"
#include "sim/pci/slot_server.hpp"

namespace slotwire::sim {

class VfioUserServer final : public MessageSink {
 public:
  /// Bytes that wait for the client; beyond it nothing is taken from it. The answer to what was taken may come on top.
  static constexpr std::size_t kKeptBytes = std::size_t{1} << 20;
  /// Messages taken in one poll().
  static constexpr std::size_t kMessages = 256;

  /// Listens on `path` (an old socket there is replaced, anything else is left). `slots` (may be none) serves slots
  /// that the client shares. Throws std::runtime_error.
  /// `memory` (may be none) is what the client maps for the card; it is emptied when the client goes, after a reset of
  /// the function if there was any.
  VfioUserServer(std::string path, PciDevice& device, SlotServer* slots = nullptr, ClientMemory* memory = nullptr);
  ~VfioUserServer() override;
  VfioUserServer(const VfioUserServer&) = delete;
  VfioUserServer& operator=(const VfioUserServer&) = delete;

  /// Takes a client, its messages and the function's answers as far as they go now. True: something moved.
  bool poll();
  /// To wait on for reading; the listening socket while there is no client.
  int fd() const { return client_ ? client_.get() : listener_.get(); }
  bool has_client() const { return static_cast<bool>(client_); }
  /// Accesses are under way: the card must be clocked.
  bool busy() const { return client_ && (!device_.ready() || !out_.empty()); }

  void message(unsigned vector, std::uint64_t address, std::uint32_t data) override;

 private:
  using Bytes = std::span<const std::byte>;

  bool accept();
  bool receive();
  bool receive_into(std::span<std::byte> room, std::size_t& have);
  void take_fds(msghdr& message);
  bool flush();
  void drop(const std::string& why);
  void handle(Bytes body);
  void version(Bytes body);
  void device_info(Bytes body);
  void region_info(Bytes body);
  void irq_info(Bytes body);
  void set_irqs(Bytes body);
  void region_read(Bytes body);
  void region_write(Bytes body);
  void read_config(const driver::vfio_user::RegionAccess& access);
  void reset();
  void dma_map(Bytes body);
  void dma_unmap(Bytes body);
  void share_slot(Bytes body);
  void unshare_slot(Bytes body);
  void set_vectors();
  void reply(Bytes body, Bytes more = {});
  void refuse(int error);

  std::string path_;
  PciDevice& device_;
  SlotServer* slots_;
  ClientMemory* memory_;
  slot::Fd listener_, client_;
  driver::vfio_user::Header header_{};  ///< of the message that comes in, or is worked on
  std::size_t header_have_ = 0, body_have_ = 0;
  std::vector<std::byte> body_;
  std::vector<slot::Fd> fds_;  ///< that came with it
  std::vector<std::byte> out_;
  bool agreed_ = false;   ///< on a version
  bool reading_ = false;  ///< the message worked on is a read that the function has not answered
  driver::vfio_user::RegionAccess access_{};
  std::array<slot::Fd, PciDevice::kMostVectors> irqs_;
};

}  // namespace slotwire::sim
