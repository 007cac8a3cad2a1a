#include "sim/pci/pci_proxy_server.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "core/regs/regs.hpp"

namespace slotwire::sim {
namespace {

enum Command : std::int32_t {
  kSyncMemory = 0,
  kAnswer = 1,
  kConfigWrite = 2,
  kConfigRead = 3,
  kBarWrite = 4,
  kBarRead = 5,
  kSetIrqFd = 6,
  kReset = 7,
};
constexpr std::size_t kMostFds = 8;

}  // namespace

PciProxyServer::PciProxyServer(int fd, std::string qtest, PciDevice& device)
    : socket_(fd), qtest_path_(std::move(qtest)), device_(device) {
  int kind = 0;
  socklen_t length = sizeof kind;
  if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &kind, &length) != 0 || kind != SOCK_STREAM ||
      ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    throw std::runtime_error("descriptor " + std::to_string(fd) +
                             " is no stream socket; give the end of a socket pair whose other end QEMU has");
  }
  if (qtest_path_.size() >= sizeof(sockaddr_un::sun_path)) {
    throw std::runtime_error("qtest socket " + qtest_path_ + ": the path is too long; choose a shorter one");
  }
  device_.set_sink(this);
}

void PciProxyServer::drop(const std::string& why) {
  std::fprintf(stderr, "simulated card: QEMU is gone (%s)\n", why.c_str());
  socket_ = {};
  waiting_ = false;
}

/// Takes the next message as far as it is there, and works on it when it is whole. False: nothing came.
bool PciProxyServer::receive() {
  const bool in_header = header_have_ != sizeof header_;
  std::byte* const room = in_header ? reinterpret_cast<std::byte*>(&header_) + header_have_ : data_.data() + data_have_;
  iovec io{room, in_header ? sizeof header_ - header_have_ : header_.size - data_have_};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostFds * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t n = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (n <= 0) {
    drop(n == 0 ? "it closed its end" : std::strerror(errno));
    return false;
  }
  // The guest's memory and the descriptors of its interrupt line: the card makes no use of either.
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    for (std::size_t at = 0; c->cmsg_type == SCM_RIGHTS && CMSG_LEN(at + sizeof(int)) <= c->cmsg_len;
         at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
      ::close(fd);
    }
  }
  (in_header ? header_have_ : data_have_) += static_cast<std::size_t>(n);
  if (header_have_ != sizeof header_) return true;
  if (header_.size > data_.size()) {
    drop("a message of " + std::to_string(header_.size) + " bytes");
    return false;
  }
  if (data_have_ != header_.size) return true;
  header_have_ = data_have_ = 0;
  handle(std::span(data_).first(header_.size));
  return true;
}

bool PciProxyServer::poll() {
  bool any = device_.poll();
  for (std::size_t n = 0; socket_ && n < kMessages; ++n) {
    if (waiting_) {
      const auto answer = device_.answer();
      if (!answer) break;
      waiting_ = false;
      reply(pci_value(*answer) & ~dma_register(read_));
      any = true;
    }
    if (!device_.ready() || !receive()) break;
    any = true;
  }
  send_interrupts();
  return any;
}

void PciProxyServer::reply(std::uint64_t value) {
  std::array<std::byte, sizeof(Header) + sizeof value> out{};
  const Header header{kAnswer, 0, sizeof value};
  std::memcpy(out.data(), &header, sizeof header);
  std::memcpy(out.data() + sizeof header, &value, sizeof value);
  // QEMU waits for each answer, so there is always room; one that does not take it has broken the protocol.
  if (::send(socket_.get(), out.data(), out.size(), MSG_NOSIGNAL | MSG_DONTWAIT) != static_cast<ssize_t>(out.size())) {
    drop("it does not take answers");
  }
}

void PciProxyServer::handle(std::span<const std::byte> data) {
  switch (header_.command) {
    case kSyncMemory:
    case kSetIrqFd:
      return;  // not answered
    case kConfigRead:
    case kConfigWrite:
      return config(data, header_.command == kConfigWrite);
    case kBarRead:
    case kBarWrite:
      return bar(data, header_.command == kBarWrite);
    case kReset:
      device_.function_reset();
      return reply(0);
    default:
      return drop("a message of unknown kind " + std::to_string(header_.command));
  }
}

void PciProxyServer::config(std::span<const std::byte> data, bool write) {
  ConfigAccess access{};
  if (data.size() != sizeof access) return drop("a configuration access of the wrong length");
  std::memcpy(&access, data.data(), sizeof access);
  const auto width = static_cast<std::size_t>(static_cast<std::uint32_t>(access.bytes));
  if (!write) return reply(device_.config_read(access.address, width));
  device_.config_write(access.address, width, access.value);
  reply(0);
}

/// QEMU hands out the guest's memory by its physical addresses, without the IOMMU that the driver sets up: nothing that
/// the card wrote would come where the driver wants it. So the register that says that it can write reads as 0: the
/// bits of it in a read of up to 8 bytes at `place`.
std::uint64_t PciProxyServer::dma_register(const PciDevice::Place& place) {
  constexpr std::uint64_t kAt = std::uint64_t{regs::kCardCapabilities} + regs::kCapDma, kBytes = 4, kMost = 8,
                          kBits = 8;
  constexpr std::uint64_t kOnes = 0xffff'ffff;
  if (place.bar != regs::kPciRegistersBar || place.offset + kMost <= kAt || place.offset >= kAt + kBytes) return 0;
  return place.offset <= kAt ? kOnes << (kAt - place.offset) * kBits : kOnes >> (place.offset - kAt) * kBits;
}

void PciProxyServer::bar(std::span<const std::byte> data, bool write) {
  BarAccess access{};
  if (data.size() != sizeof access) return drop("an access of the wrong length");
  std::memcpy(&access, data.data(), sizeof access);
  const std::size_t bytes = access.bytes;
  const auto place = bytes >= 1 && bytes <= sizeof access.value ? device_.decode(access.address, bytes) : std::nullopt;
  if (!place) {
    device_.log().add({PciOp::refused, PciTransaction::kNoBar, access.address, bytes, access.value});
    return reply(~std::uint64_t{0});
  }
  if (write) {
    device_.write(place->bar, place->offset, std::as_bytes(std::span(&access.value, 1)).first(bytes));
    return reply(0);
  }
  device_.read(place->bar, place->offset, bytes);
  read_ = *place;
  waiting_ = true;
}

// ---- interrupts
// -------------------------------------------------------------------------------------------------------

void PciProxyServer::message(unsigned, std::uint64_t address, std::uint32_t data) {
  if (qtest_path_.empty()) return;
  std::array<char, 64> line{};
  const int n = std::snprintf(line.data(), line.size(), "writel 0x%" PRIx64 " 0x%" PRIx32 "\n", address, data);
  if (interrupts_.size() + static_cast<std::size_t>(n) > kKeptBytes) {
    if (!std::exchange(lost_told_, true))
      std::fprintf(stderr, "simulated card: QEMU takes no interrupts; some are lost\n");
    return;
  }
  interrupts_.append(line.data(), static_cast<std::size_t>(n));
}

void PciProxyServer::send_interrupts() {
  if (qtest_) {
    // What QEMU says of each write is of no interest, but must not fill its queue.
    std::array<char, 4096> said{};
    while (::recv(qtest_.get(), said.data(), said.size(), MSG_DONTWAIT) > 0) {
    }
  }
  if (interrupts_.empty()) return;
  if (!qtest_) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    qtest_path_.copy(at.sun_path, sizeof at.sun_path - 1);
    slot::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) return;
    qtest_ = std::move(fd);
  }
  const ssize_t n = ::send(qtest_.get(), interrupts_.data(), interrupts_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n > 0) interrupts_.erase(0, static_cast<std::size_t>(n));
}

}  // namespace slotwire::sim
