#include "sim/pci/vfio_user_server.hpp"

#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "core/slot/waiter.hpp"

namespace slotwire::sim {
namespace {

namespace protocol = driver::vfio_user;
using protocol::Command;

template <typename T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

/// The structure that a message starts with; false: it is too short for one.
template <typename T>
bool take(std::span<const std::byte> body, T& value) {
  if (body.size() < sizeof value) return false;
  std::memcpy(&value, body.data(), sizeof value);
  return true;
}

/// Of an interrupt only an eventfd is written to: what else a client may pass could hold up whoever writes.
bool is_eventfd(int fd) {
  std::array<char, 64> target{};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t n = ::readlink(link.c_str(), target.data(), target.size());
  return n > 0 && std::string_view(target.data(), static_cast<std::size_t>(n)) == "anon_inode:[eventfd]";
}

}  // namespace

VfioUserServer::VfioUserServer(std::string path, PciDevice& device, SlotServer* slots, ClientMemory* memory)
    : path_(std::move(path)), device_(device), slots_(slots), memory_(memory) {
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  if (path_.empty() || path_.size() >= sizeof at.sun_path) {
    throw std::runtime_error("vfio-user socket " + path_ + ": give a path of 1 to " +
                             std::to_string(sizeof at.sun_path - 1) + " bytes");
  }
  path_.copy(at.sun_path, sizeof at.sun_path - 1);
  listener_ = slot::Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  struct stat old {};
  if (::lstat(path_.c_str(), &old) == 0 && S_ISSOCK(old.st_mode)) ::unlink(path_.c_str());
  if (!listener_ || ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0 ||
      ::listen(listener_.get(), 1) != 0) {
    throw std::runtime_error("vfio-user socket " + path_ + ": " + std::strerror(errno) +
                             "; choose a path that is free, in a directory that can be written to");
  }
  device_.set_sink(this);
}

VfioUserServer::~VfioUserServer() {
  device_.set_sink(nullptr);
  ::unlink(path_.c_str());
}

// ---- the connection
// ---------------------------------------------------------------------------------------------------

void VfioUserServer::drop(const std::string& why) {
  std::fprintf(stderr, "simulated card: the vfio-user client is gone (%s)\n", why.c_str());
  client_ = {};
  header_have_ = body_have_ = 0;
  fds_.clear();
  out_.clear();
  agreed_ = false;
  reading_ = false;  // its answer, if it comes, is forgotten at the next read
  if (slots_ != nullptr) slots_->unshare_all();
  if (memory_ != nullptr && !memory_->empty()) {
    // As the kernel's VFIO does it: first the function may not write any more, then it is reset, then its memory goes.
    device_.config_write(PCI_COMMAND, 2, 0);
    device_.function_reset();
    memory_->unmap_all();
  }
  for (unsigned vector = 0; vector < device_.vectors(); ++vector) {
    irqs_[vector] = {};
    device_.set_vector(vector, false, 0, 0);
  }
}

bool VfioUserServer::accept() {
  client_ = slot::Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  return static_cast<bool>(client_);
}

void VfioUserServer::take_fds(msghdr& message) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t at = 0; CMSG_LEN(at + sizeof(int)) <= c->cmsg_len; at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
      fds_.emplace_back(fd);
    }
  }
}

/// Receives until `room` is full; `have` bytes are there. False: nothing came.
bool VfioUserServer::receive_into(std::span<std::byte> room, std::size_t& have) {
  iovec io{room.data() + have, room.size() - have};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(protocol::kMaxFds * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t n = ::recvmsg(client_.get(), &message, MSG_CMSG_CLOEXEC);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (n > 0) take_fds(message);
  if (n <= 0) {
    drop(n == 0 ? "it closed its connection" : std::strerror(errno));
    return false;
  }
  if ((message.msg_flags & MSG_CTRUNC) != 0 || fds_.size() > protocol::kMaxFds) {
    drop("more than " + std::to_string(protocol::kMaxFds) + " descriptors with one message");
    return false;
  }
  have += static_cast<std::size_t>(n);
  return true;
}

/// Takes the next message as far as it is there, and works on it when it is whole. False: nothing came.
bool VfioUserServer::receive() {
  if (header_have_ != sizeof header_) {
    if (!receive_into(std::as_writable_bytes(std::span(&header_, 1)), header_have_)) return false;
    if (header_have_ != sizeof header_) return true;
    if (header_.size < sizeof header_ || header_.size > protocol::kMaxMessage ||
        (header_.flags & protocol::kTypeMask) != 0) {
      drop("a message of " + std::to_string(header_.size) + " bytes, or that is no command");
      return false;
    }
    body_.resize(header_.size - sizeof header_);
    body_have_ = 0;
  }
  if (body_have_ != body_.size()) {
    if (!receive_into(body_, body_have_)) return false;
    if (body_have_ != body_.size()) return true;
  }
  handle(body_);
  header_have_ = 0;
  fds_.clear();
  return true;
}

bool VfioUserServer::flush() {
  if (!client_ || out_.empty()) return false;
  const ssize_t n = ::send(client_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN && errno != EINTR) drop(std::strerror(errno));
  if (n > 0) out_.erase(out_.begin(), out_.begin() + n);
  return n > 0;
}

bool VfioUserServer::poll() {
  bool any = device_.poll();
  if (!client_) return accept() || any;
  for (std::size_t n = 0; client_ && n < kMessages; ++n) {
    if (reading_) {
      const auto answer = device_.answer();
      if (!answer) break;
      reading_ = false;
      reply(bytes_of(access_), *answer);
      any = true;
    }
    if (!device_.ready() || out_.size() >= kKeptBytes || !receive()) break;
    any = true;
  }
  any |= flush();
  return any;
}

void VfioUserServer::message(unsigned vector, std::uint64_t, std::uint32_t) {
  if (vector >= irqs_.size() || !irqs_[vector]) return;
  // A client that counts no more must not hold up the card.
  pollfd room{irqs_[vector].get(), POLLOUT, 0};
  if (::poll(&room, 1, 0) != 1) return;
  const std::uint64_t one = 1;
  static_cast<void>(!::write(irqs_[vector].get(), &one, sizeof one));
}

// ---- messages
// --------------------------------------------------------------------------------------------------------

void VfioUserServer::reply(Bytes body, Bytes more) {
  if ((header_.flags & protocol::kNoReply) != 0) return;
  const protocol::Header header{header_.id, header_.command,
                                static_cast<std::uint32_t>(sizeof(protocol::Header) + body.size() + more.size()),
                                protocol::kReply, 0};
  for (const Bytes part : {bytes_of(header), body, more}) out_.insert(out_.end(), part.begin(), part.end());
}

void VfioUserServer::refuse(int error) {
  if ((header_.flags & protocol::kNoReply) != 0) return;
  const protocol::Header header{header_.id, header_.command, sizeof(protocol::Header),
                                protocol::kReply | protocol::kError, static_cast<std::uint32_t>(error)};
  const Bytes bytes = bytes_of(header);
  out_.insert(out_.end(), bytes.begin(), bytes.end());
}

void VfioUserServer::handle(Bytes body) {
  const auto command = static_cast<Command>(header_.command);
  if (!agreed_ && command != Command::version) return drop("it did not begin with a version");
  switch (command) {
    case Command::version:
      return version(body);
    case Command::dma_map:
      return dma_map(body);
    case Command::dma_unmap:
      return dma_unmap(body);
    case Command::device_get_info:
      return device_info(body);
    case Command::device_get_region_info:
      return region_info(body);
    case Command::device_get_irq_info:
      return irq_info(body);
    case Command::device_set_irqs:
      return set_irqs(body);
    case Command::region_read:
      return region_read(body);
    case Command::region_write:
      return region_write(body);
    case Command::device_reset:
      return reset();
    case Command::share_slot:
      return share_slot(body);
    case Command::unshare_slot:
      return unshare_slot(body);
    default:
      return refuse(ENOTSUP);
  }
}

void VfioUserServer::version(Bytes body) {
  protocol::Version asked{};
  if (!take(body, asked) || asked.major != protocol::kMajor) return drop("it speaks another version");
  agreed_ = true;
  const protocol::Version version{protocol::kMajor, std::min(asked.minor, protocol::kMinor)};
  const std::string text = "{\"capabilities\":{\"max_msg_fds\":" + std::to_string(protocol::kMaxFds) +
                           ",\"max_data_xfer_size\":" + std::to_string(protocol::kMaxTransfer) +
                           (slots_ != nullptr ? "," + std::string(protocol::kSharesSlots) : "") + "}}";
  reply(bytes_of(version), std::as_bytes(std::span(text.c_str(), text.size() + 1)));
}

void VfioUserServer::device_info(Bytes body) {
  protocol::DeviceInfo info{};
  if (!take(body, info)) return refuse(EINVAL);
  info = {sizeof info, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET, VFIO_PCI_NUM_REGIONS, VFIO_PCI_NUM_IRQS};
  reply(bytes_of(info));
}

void VfioUserServer::region_info(Bytes body) {
  protocol::RegionInfo asked{};
  if (!take(body, asked) || asked.index >= VFIO_PCI_NUM_REGIONS) return refuse(EINVAL);
  protocol::RegionInfo info{sizeof info, 0, asked.index, 0, 0, 0};
  info.size = asked.index == VFIO_PCI_CONFIG_REGION_INDEX ? PciDevice::kConfigBytes : device_.bar_bytes(asked.index);
  if (info.size != 0) info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
  reply(bytes_of(info));
}

void VfioUserServer::irq_info(Bytes body) {
  protocol::IrqInfo asked{};
  if (!take(body, asked) || asked.index >= VFIO_PCI_NUM_IRQS) return refuse(EINVAL);
  const bool msix = asked.index == VFIO_PCI_MSIX_IRQ_INDEX;
  const protocol::IrqInfo info{sizeof info, msix ? VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE : 0U, asked.index,
                               msix ? device_.vectors() : 0};
  reply(bytes_of(info));
}

/// Gives vectors their descriptors; none: takes them away.
void VfioUserServer::set_irqs(Bytes body) {
  protocol::SetIrqs asked{};
  if (!take(body, asked) || asked.index != VFIO_PCI_MSIX_IRQ_INDEX || asked.start > device_.vectors() ||
      asked.count > device_.vectors() - asked.start ||
      (asked.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) != VFIO_IRQ_SET_ACTION_TRIGGER) {
    return refuse(EINVAL);
  }
  const std::uint32_t kind = asked.flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
  const bool all_off = kind == VFIO_IRQ_SET_DATA_NONE && asked.count == 0;
  if (!all_off && (kind != VFIO_IRQ_SET_DATA_EVENTFD || (!fds_.empty() && fds_.size() != asked.count))) {
    return refuse(EINVAL);
  }
  for (const slot::Fd& fd : fds_) {
    if (!is_eventfd(fd.get())) return refuse(EINVAL);
  }
  const std::uint32_t start = all_off ? 0 : asked.start, count = all_off ? device_.vectors() : asked.count;
  for (std::uint32_t i = 0; i < count; ++i) irqs_[start + i] = fds_.empty() ? slot::Fd() : std::move(fds_[i]);
  set_vectors();
  reply({});
}

void VfioUserServer::set_vectors() {
  for (unsigned vector = 0; vector < device_.vectors(); ++vector) {
    device_.set_vector(vector, static_cast<bool>(irqs_[vector]), 0, vector);
  }
}

void VfioUserServer::region_read(Bytes body) {
  if (!take(body, access_) || access_.count == 0 || access_.count > protocol::kMaxTransfer) return refuse(EINVAL);
  if (access_.region == VFIO_PCI_CONFIG_REGION_INDEX) return read_config(access_);
  const std::uint64_t size = device_.bar_bytes(access_.region);
  if (access_.offset >= size || access_.count > size - access_.offset) return refuse(EINVAL);
  device_.read(access_.region, access_.offset, access_.count);
  reading_ = true;
}

void VfioUserServer::read_config(const protocol::RegionAccess& access) {
  if (access.offset >= PciDevice::kConfigBytes || access.count > PciDevice::kConfigBytes - access.offset) {
    return refuse(EINVAL);
  }
  std::vector<std::byte> data(access.count);
  for (std::size_t at = 0; at < data.size();) {
    const std::size_t offset = access.offset + at, left = data.size() - at;
    const std::size_t width = offset % 4 == 0 && left >= 4 ? 4 : offset % 2 == 0 && left >= 2 ? 2 : 1;
    const std::uint32_t value = device_.config_read(offset, width);
    std::memcpy(data.data() + at, &value, width);
    at += width;
  }
  reply(bytes_of(access), data);
}

void VfioUserServer::region_write(Bytes body) {
  protocol::RegionAccess access{};
  if (!take(body, access) || access.count == 0 || access.count > protocol::kMaxTransfer ||
      body.size() != sizeof access + access.count) {
    return refuse(EINVAL);
  }
  const Bytes data = body.subspan(sizeof access);
  const bool config = access.region == VFIO_PCI_CONFIG_REGION_INDEX;
  const std::uint64_t size = config ? PciDevice::kConfigBytes : device_.bar_bytes(access.region);
  if (access.offset >= size || access.count > size - access.offset) return refuse(EINVAL);
  if (config) {
    if (data.size() > 4) return refuse(EINVAL);
    device_.config_write(access.offset, data.size(), static_cast<std::uint32_t>(pci_value(data)));
  } else {
    device_.write(access.region, access.offset, data);
  }
  reply(bytes_of(access));
}

void VfioUserServer::dma_map(Bytes body) {
  protocol::DmaMap asked{};
  if (!take(body, asked) || fds_.size() > 1) return refuse(EINVAL);
  if (memory_ == nullptr || fds_.empty() || (asked.flags & protocol::kDmaWrite) == 0) return reply({});
  const std::string wrong = memory_->map(fds_.front().get(), asked.offset, asked.address, asked.size);
  if (wrong.empty()) return reply({});
  std::fprintf(stderr, "simulated card: memory at %llx cannot be mapped: %s\n",
               static_cast<unsigned long long>(asked.address), wrong.c_str());
  refuse(EINVAL);
}

void VfioUserServer::dma_unmap(Bytes body) {
  protocol::DmaUnmap asked{};
  if (!take(body, asked)) return refuse(EINVAL);
  if (memory_ != nullptr) memory_->unmap(asked.address, asked.size);
  reply(bytes_of(asked));
}

/// As the kernel does it: the command register and the interrupts that the client has are set up again.
void VfioUserServer::reset() {
  const std::uint32_t command = device_.config_read(PCI_COMMAND, 2);
  device_.function_reset();
  device_.config_write(PCI_COMMAND, 2, command);
  set_vectors();
  reply({});
}

// ---- slots in memory that the client made
// -----------------------------------------------------------------------------

void VfioUserServer::share_slot(Bytes body) {
  protocol::ShareSlot asked{};
  if (slots_ == nullptr) return refuse(ENOTSUP);
  if (!take(body, asked) || body.size() != sizeof asked || fds_.size() != protocol::kShareFds ||
      !slot::is_event(fds_.back().get())) {
    return refuse(EINVAL);
  }
  ShareFds fds;
  std::move(fds_.begin(), fds_.end(), fds.begin());
  const std::string wrong = slots_->share(asked, std::move(fds));
  if (wrong.empty()) return reply({});
  std::fprintf(stderr, "simulated card: slot %u cannot be served: %s\n", asked.slot, wrong.c_str());
  refuse(EINVAL);
}

void VfioUserServer::unshare_slot(Bytes body) {
  protocol::UnshareSlot asked{};
  if (slots_ == nullptr) return refuse(ENOTSUP);
  if (!take(body, asked) || body.size() != sizeof asked) return refuse(EINVAL);
  slots_->unshare(asked.slot);
  reply({});
}

}  // namespace slotwire::sim
