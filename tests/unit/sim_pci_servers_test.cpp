// The two ends that a simulated PCI function is reached by, in front of clients that do what they like.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

#include "sim/pci/pci_proxy_server.hpp"
#include "sim/pci/vfio_user_server.hpp"
#include "sim_model_port.hpp"
#include "temporary_directory.hpp"

namespace slotwire::sim {
namespace {

namespace protocol = driver::vfio_user;
using protocol::Command;

template <typename T>
std::vector<std::byte> bytes_of(const T& value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  return {bytes.begin(), bytes.end()};
}
template <typename T>
T as(std::span<const std::byte> bytes) {
  T value{};
  EXPECT_GE(bytes.size(), sizeof value);
  std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof value));
  return value;
}

slot::Fd connect_to(const std::string& path) {
  slot::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  path.copy(at.sun_path, sizeof at.sun_path - 1);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) {
    throw std::runtime_error("the test cannot connect");
  }
  return fd;
}

void send_with(int socket, std::span<const std::byte> bytes, std::span<const int> fds = {}) {
  std::vector<char> control(CMSG_SPACE(fds.size_bytes()));
  iovec io{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
  }
  static_cast<void>(::sendmsg(socket, &message, MSG_NOSIGNAL));
}

std::vector<std::byte> receive_now(int socket) {
  std::vector<std::byte> bytes(std::size_t{4} << 20);
  const ssize_t n = ::recv(socket, bytes.data(), bytes.size(), MSG_DONTWAIT);
  bytes.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return bytes;
}

bool closed(int socket) {
  char byte = 0;
  return ::recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

class Server : public testing::Test {
 protected:
  void poll() {
    for (int turns = 0; turns < 50; ++turns) {
      port_.clock();
      if (vfio_) vfio_->poll();
      if (proxy_) proxy_->poll();
    }
  }
  static std::size_t open_descriptors() {
    std::size_t n = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++n;
    return n;
  }

  test::TemporaryDirectory directory_;
  test::ModelPort port_;
  PciDevice device_{port_, {16, 4, 4, 1024, true}, [this] {
                      port_.asked.clear();
                      port_.answers.clear();
                    }};
  std::unique_ptr<VfioUserServer> vfio_;
  std::unique_ptr<PciProxyServer> proxy_;
};

class VfioUser : public Server {
 protected:
  VfioUser() {
    vfio_ = std::make_unique<VfioUserServer>(path_, device_);
    connect();
  }
  void connect(bool agree = true) {
    client_ = connect_to(path_);
    poll();
    if (agree) {
      ASSERT_FALSE(ask(Command::version, bytes_of(protocol::Version{0, 1})).empty());
    }
  }
  void say(Command command, std::span<const std::byte> body, std::uint32_t flags = 0, std::span<const int> fds = {}) {
    const protocol::Header header{++id_, static_cast<std::uint16_t>(command),
                                  static_cast<std::uint32_t>(sizeof(protocol::Header) + body.size()), flags, 0};
    std::vector<std::byte> bytes = bytes_of(header);
    bytes.insert(bytes.end(), body.begin(), body.end());
    send_with(client_.get(), bytes, fds);
    poll();
  }
  /// The body of the answer; empty (and error_ set) when it was refused.
  std::vector<std::byte> ask(Command command, std::span<const std::byte> body, std::span<const int> fds = {}) {
    say(command, body, 0, fds);
    const std::vector<std::byte> answer = receive_now(client_.get());
    error_ = -1;
    if (answer.size() < sizeof(protocol::Header)) return {};
    const auto header = as<protocol::Header>(answer);
    EXPECT_EQ(header.id, id_);
    EXPECT_EQ(header.size, answer.size());
    EXPECT_EQ(header.flags & protocol::kTypeMask, protocol::kReply);
    error_ = (header.flags & protocol::kError) != 0 ? static_cast<int>(header.error) : 0;
    return {answer.begin() + sizeof header, answer.end()};
  }
  std::vector<std::byte> access(std::uint32_t region, std::uint64_t offset, std::size_t count,
                                std::span<const std::byte> data = {}) {
    std::vector<std::byte> body = bytes_of(protocol::RegionAccess{offset, region, static_cast<std::uint32_t>(count)});
    body.insert(body.end(), data.begin(), data.end());
    return body;
  }
  std::uint64_t read(std::uint32_t region, std::uint64_t offset, std::size_t count) {
    const auto answer = ask(Command::region_read, access(region, offset, count));
    return answer.size() < sizeof(protocol::RegionAccess)
               ? ~std::uint64_t{0}
               : pci_value(std::span(answer).subspan(sizeof(protocol::RegionAccess)));
  }
  void enable_memory() {
    const std::uint16_t command = PCI_COMMAND_MEMORY;
    ask(Command::region_write, access(VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, 2, bytes_of(command)));
    ASSERT_EQ(error_, 0);
  }
  protocol::SetIrqs irqs(std::uint32_t start, std::uint32_t count) {
    return {sizeof(protocol::SetIrqs), VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_PCI_MSIX_IRQ_INDEX,
            start, count};
  }

  std::string path_ = (directory_.path() / "card").string();
  slot::Fd client_;
  std::uint16_t id_ = 0;
  int error_ = 0;
};

TEST_F(VfioUser, AgreesOnAVersionAndTellsWhatThereIs) {
  const auto version = ask(Command::version, bytes_of(protocol::Version{0, 7}));
  EXPECT_EQ(as<protocol::Version>(version).minor, protocol::kMinor);
  EXPECT_NE(std::string(reinterpret_cast<const char*>(version.data() + 4)).find("max_data_xfer_size"),
            std::string::npos);
  const auto info =
      as<protocol::DeviceInfo>(ask(Command::device_get_info, bytes_of(protocol::DeviceInfo{16, 0, 0, 0})));
  EXPECT_EQ(info.flags, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
  EXPECT_EQ(info.regions, VFIO_PCI_NUM_REGIONS);
  for (std::uint32_t index = 0; index < VFIO_PCI_NUM_REGIONS; ++index) {
    protocol::RegionInfo region{};
    region.argsz = sizeof region;
    region.index = index;
    region = as<protocol::RegionInfo>(ask(Command::device_get_region_info, bytes_of(region)));
    EXPECT_EQ(region.size, index == VFIO_PCI_CONFIG_REGION_INDEX ? 4096U : device_.bar_bytes(index)) << index;
  }
  protocol::IrqInfo irq{16, 0, VFIO_PCI_MSIX_IRQ_INDEX, 0};
  EXPECT_EQ(as<protocol::IrqInfo>(ask(Command::device_get_irq_info, bytes_of(irq))).count, 4U);
  irq.index = VFIO_PCI_NUM_IRQS;
  ask(Command::device_get_irq_info, bytes_of(irq));
  EXPECT_EQ(error_, EINVAL);
}

TEST_F(VfioUser, ReadsAndWritesRegions) {
  EXPECT_EQ(read(VFIO_PCI_CONFIG_REGION_INDEX, PCI_VENDOR_ID, 4) & 0xffff'ffffU,
            std::uint32_t{regs::kPciVendor} | std::uint32_t{regs::kPciDevice} << 16);
  EXPECT_EQ(read(4, 0, 4), 0xffff'ffffU) << "memory is not enabled";
  enable_memory();
  say(Command::region_write, access(4, 64, 8, bytes_of(std::uint64_t{0x1122334455667788})), protocol::kNoReply);
  EXPECT_TRUE(receive_now(client_.get()).empty()) << "posted";
  EXPECT_EQ(read(4, 64, 8), 0x1122334455667788U);
  EXPECT_EQ(ask(Command::region_read, access(4, 0, 4096)).size(), sizeof(protocol::RegionAccess) + 4096);
}

TEST_F(VfioUser, RefusesAccessesThatCannotBe) {
  enable_memory();
  const std::uint64_t bytes = device_.bar_bytes(4);
  const std::vector<std::byte> data(4);
  for (const auto& body : {access(4, bytes, 4), access(4, bytes - 2, 4), access(4, ~std::uint64_t{0}, 4),
                           access(5, 0, 4), access(99, 0, 4), access(4, 0, 0), access(4, 0, protocol::kMaxTransfer + 1),
                           access(VFIO_PCI_CONFIG_REGION_INDEX, 4095, 2), access(VFIO_PCI_ROM_REGION_INDEX, 0, 4)}) {
    ask(Command::region_read, body);
    EXPECT_EQ(error_, EINVAL);
    std::vector<std::byte> write = body;
    write.insert(write.end(), data.begin(), data.end());
    ask(Command::region_write, write);
    EXPECT_EQ(error_, EINVAL);
  }
  ask(Command::region_write, access(4, 0, 8, data));
  EXPECT_EQ(error_, EINVAL) << "fewer bytes than it says";
  ask(Command::region_write, data);
  EXPECT_EQ(error_, EINVAL);
  EXPECT_EQ(port_.writes, 0U);
}

TEST_F(VfioUser, RaisesInterruptsThroughDescriptors) {
  slot::Fd events[2] = {slot::Fd(::eventfd(0, EFD_NONBLOCK)), slot::Fd(::eventfd(0, EFD_NONBLOCK))};
  const int fds[] = {events[0].get(), events[1].get()};
  ask(Command::device_set_irqs, bytes_of(irqs(1, 2)), fds);
  EXPECT_EQ(error_, 0);
  device_.raise(0b1111);
  device_.raise(0b0100);
  std::uint64_t count = 0;
  ASSERT_EQ(::read(fds[0], &count, sizeof count), 8);
  EXPECT_EQ(count, 1U);
  ASSERT_EQ(::read(fds[1], &count, sizeof count), 8);
  EXPECT_EQ(count, 2U);
  // They survive a reset of the function, as the kernel keeps them.
  ask(Command::device_reset, {});
  device_.raise(0b0010);
  EXPECT_EQ(::read(fds[0], &count, sizeof count), 8);
  // And are taken away.
  ask(Command::device_set_irqs, bytes_of(protocol::SetIrqs{20, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
                                                           VFIO_PCI_MSIX_IRQ_INDEX, 0, 0}));
  EXPECT_EQ(error_, 0);
  device_.raise(0b0010);
  EXPECT_EQ(::read(fds[0], &count, sizeof count), -1);
}

TEST_F(VfioUser, TakesNoInterruptsThatCannotBe) {
  slot::Fd event(::eventfd(0, EFD_NONBLOCK));
  int pipes[2];
  ASSERT_EQ(::pipe2(pipes, O_CLOEXEC), 0);
  const slot::Fd pipe_in(pipes[0]), pipe_out(pipes[1]);
  const std::vector<int> one{event.get()}, pipe{pipe_out.get()}, two{event.get(), event.get()};
  const std::size_t before = open_descriptors();
  for (const auto& [asked, fds] : {std::pair{irqs(4, 1), one},
                                   {irqs(0, 5), one},
                                   {irqs(~0U, 2), one},
                                   {irqs(1, ~0U), one},
                                   {irqs(0, 1), two},
                                   {irqs(0, 1), pipe}}) {
    ask(Command::device_set_irqs, bytes_of(asked), fds);
    EXPECT_EQ(error_, EINVAL);
  }
  protocol::SetIrqs other = irqs(0, 1);
  other.index = VFIO_PCI_INTX_IRQ_INDEX;
  ask(Command::device_set_irqs, bytes_of(other), one);
  EXPECT_EQ(error_, EINVAL);
  ask(Command::device_get_info, bytes_of(protocol::DeviceInfo{}), two);
  EXPECT_EQ(error_, 0) << "descriptors that nobody asked for are closed";
  EXPECT_EQ(open_descriptors(), before);
  // A client that never reads its eventfd cannot hold up the card.
  ask(Command::device_set_irqs, bytes_of(irqs(0, 1)), one);
  const std::uint64_t most = ~std::uint64_t{0} - 1;
  ASSERT_EQ(::write(event.get(), &most, sizeof most), 8);
  device_.raise(1);
}

TEST_F(VfioUser, DropsAClientThatBreaksTheProtocol) {
  const protocol::Header bad[] = {{1, 4, 15, 0, 0},
                                  {1, 4, static_cast<std::uint32_t>(protocol::kMaxMessage + 1), 0, 0},
                                  {1, 4, ~0U, 0, 0},
                                  {1, 4, 32, protocol::kReply, 0}};
  for (const protocol::Header& header : bad) {
    send_with(client_.get(), bytes_of(header));
    poll();
    EXPECT_TRUE(closed(client_.get())) << header.size;
    connect();
  }
  connect(false);
  poll();
  client_ = {};
  connect(false);
  say(Command::device_get_info, bytes_of(protocol::DeviceInfo{}));
  EXPECT_TRUE(closed(client_.get())) << "no version";
  connect(false);
  say(Command::version, bytes_of(protocol::Version{1, 0}));
  EXPECT_TRUE(closed(client_.get())) << "another version";
  connect();
  ask(static_cast<Command>(99), {});
  EXPECT_EQ(error_, ENOTSUP);
}

TEST_F(VfioUser, AnswersTheNextClientAfterOneThatLeftInTheMiddle) {
  enable_memory();
  port_.room = 0;
  const auto body = access(4, 0, 4096);
  protocol::Header header{1, static_cast<std::uint16_t>(Command::region_read),
                          static_cast<std::uint32_t>(sizeof(protocol::Header) + body.size()), 0, 0};
  std::vector<std::byte> bytes = bytes_of(header);
  bytes.insert(bytes.end(), body.begin(), body.end());
  send_with(client_.get(), bytes);
  vfio_->poll();
  EXPECT_TRUE(vfio_->busy());
  client_ = {};
  vfio_->poll();
  connect();
  say(Command::region_write, access(4, 0, 4, bytes_of(0x55aaU)), protocol::kNoReply);
  EXPECT_EQ(read(4, 0, 4), 0x55aaU);
}

TEST_F(VfioUser, SurvivesAnything) {
  std::mt19937 random(4711);
  const std::size_t before = open_descriptors();
  slot::Fd event(::eventfd(0, EFD_NONBLOCK));
  for (int round = 0; round < 3000; ++round) {
    if (closed(client_.get())) connect(random() % 8 != 0);
    const std::size_t length = random() % 8 == 0 ? 1 + random() % 300 : 16 + random() % 48;
    std::vector<std::byte> bytes(length);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() % 4 == 0 ? random() : 0);
    const auto flags = static_cast<std::uint32_t>(random() % 8 == 0 ? random() : random() % 2 * protocol::kNoReply);
    protocol::Header header{1, static_cast<std::uint16_t>(random() % 16), static_cast<std::uint32_t>(length), flags, 0};
    if (random() % 16 == 0) header.size = static_cast<std::uint32_t>(random() % 70000);
    std::memcpy(bytes.data(), &header, std::min(sizeof header, bytes.size()));
    const std::vector<int> fds(random() % 4, event.get());
    send_with(client_.get(), bytes, fds);
    port_.clock();
    vfio_->poll();
    if (random() % 4 == 0) receive_now(client_.get());
  }
  client_ = {};
  poll();
  connect();
  enable_memory();
  EXPECT_EQ(read(VFIO_PCI_CONFIG_REGION_INDEX, PCI_VENDOR_ID, 2), regs::kPciVendor);
  event = {};
  EXPECT_LE(open_descriptors(), before + 1);
}

class PciProxy : public Server {
 protected:
  struct Header {
    std::int32_t command;
    std::uint32_t hole;
    std::uint64_t size;
  };
  PciProxy() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) throw std::runtime_error("no socket pair");
    qemu_ = slot::Fd(ends[0]);
    proxy_ = std::make_unique<PciProxyServer>(ends[1], (directory_.path() / "qtest").string(), device_);
  }
  std::uint64_t ask(std::int32_t command, std::span<const std::byte> data) {
    std::vector<std::byte> bytes = bytes_of(Header{command, 0xdead, data.size()});
    bytes.insert(bytes.end(), data.begin(), data.end());
    send_with(qemu_.get(), bytes);
    poll();
    const auto answer = receive_now(qemu_.get());
    EXPECT_EQ(answer.size(), 24U);
    if (answer.size() != 24) return 0;
    EXPECT_EQ(as<Header>(answer).command, 1);
    return pci_value(std::span(answer).subspan(16));
  }
  std::uint64_t config(bool write, std::uint32_t address, std::int32_t bytes, std::uint32_t value = 0) {
    struct {
      std::uint32_t address, value;
      std::int32_t bytes;
    } const access{address, value, bytes};
    return ask(write ? 2 : 3, bytes_of(access));
  }
  std::uint64_t bar(bool write, std::uint64_t address, std::uint32_t bytes, std::uint64_t value = 0) {
    struct {
      std::uint64_t address, value;
      std::uint32_t bytes, memory;
    } const access{address, value, bytes, 1};
    return ask(write ? 4 : 5, bytes_of(access));
  }
  slot::Fd qemu_;
};

TEST_F(PciProxy, CarriesAccessesByBusAddress) {
  EXPECT_EQ(config(false, PCI_VENDOR_ID, 2), regs::kPciVendor);
  EXPECT_EQ(bar(false, 0xe000'0040, 4), ~std::uint64_t{0}) << "there is no BAR yet";
  config(true, PCI_BASE_ADDRESS_0 + 4 * regs::kPciMemoryBar, 4, 0xe000'0000);
  config(true, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  bar(true, 0xe000'0040, 8, 0x1122334455667788);
  EXPECT_EQ(bar(false, 0xe000'0044, 4), 0x11223344U);
  EXPECT_EQ(ask(7, {}), 0U);
  EXPECT_EQ(bar(false, 0xe000'0044, 4), ~std::uint64_t{0}) << "a reset of the bus takes the BARs";
}

TEST_F(PciProxy, SendsInterruptsAsWritesToMemory) {
  const std::string path = (directory_.path() / "qtest").string();
  slot::Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  path.copy(at.sun_path, sizeof at.sun_path - 1);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  device_.set_vector(1, true, 0xfee01004, 0x4041);
  device_.raise(0b10);
  poll();
  const slot::Fd qtest(::accept(listener.get(), nullptr, nullptr));
  const auto said = receive_now(qtest.get());
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(said.data()), said.size()), "writel 0xfee01004 0x4041\n");
}

TEST_F(PciProxy, IgnoresWhatIsForOthersAndClosesDescriptors) {
  const std::size_t before = open_descriptors();
  slot::Fd event(::eventfd(0, 0));
  const int fds[] = {event.get(), event.get()};
  send_with(qemu_.get(), bytes_of(Header{6, 0, 0}), fds);
  poll();
  EXPECT_EQ(config(false, PCI_VENDOR_ID, 2), regs::kPciVendor);
  EXPECT_EQ(open_descriptors(), before + 1);
}

TEST_F(PciProxy, EndsWithAPeerThatBreaksTheProtocol) {
  send_with(qemu_.get(), bytes_of(Header{5, 0, ~std::uint64_t{0}}));
  poll();
  EXPECT_TRUE(proxy_->ended());
  EXPECT_TRUE(closed(qemu_.get()));
}

TEST_F(PciProxy, RefusesAccessesOfImpossibleWidths) {
  config(true, PCI_BASE_ADDRESS_0 + 4 * regs::kPciMemoryBar, 4, 0xe000'0000);
  config(true, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  for (const std::uint32_t bytes : {0U, 9U, ~0U}) EXPECT_EQ(bar(false, 0xe000'0000, bytes), ~std::uint64_t{0});
  EXPECT_EQ(config(false, 0, -1), 0xffff'ffffU);
  EXPECT_EQ(bar(true, 0xe000'0000, 16), ~std::uint64_t{0});
}

}  // namespace
}  // namespace slotwire::sim
