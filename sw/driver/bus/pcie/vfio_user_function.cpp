#include "driver/bus/pcie/vfio_user_function.hpp"

#include <linux/vfio.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace slotwire::driver {
namespace {

using vfio_user::Command;
using vfio_user::Header;
using vfio_user::RegionAccess;

constexpr const char* kStrange = "it does not keep to the vfio-user protocol; is it a simulated card of this release";
constexpr std::string_view kCapabilities = "{\"capabilities\":{\"max_msg_fds\":1}}";

template <typename T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}
template <typename T>
std::span<std::byte> room_for(T& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}

}  // namespace

VfioUserFunction::VfioUserFunction(const std::string& path, int answer_timeout_ms)
    : socket_("vfio-user card", path, answer_timeout_ms), name_("vfio-user " + path) {}

bool VfioUserFunction::open() {
  kept_.clear();
  return socket_.connect() && agree() && find_regions();
}

/// Puts a command behind those that are kept.
void VfioUserFunction::add(Command command, std::uint32_t flags, Bytes body, Bytes more) {
  const Header header{++id_, static_cast<std::uint16_t>(command),
                      static_cast<std::uint32_t>(sizeof header + body.size() + more.size()), flags, 0};
  for (const Bytes part : {bytes_of(header), body, more}) kept_.insert(kept_.end(), part.begin(), part.end());
}

/// Sends a command and waits for its answer, of exactly the bytes that there is room for.
bool VfioUserFunction::ask(Command command, Bytes body, Bytes more, std::span<std::byte> answer,
                           std::span<std::byte> more_answer, std::span<const int> fds) {
  if (!fds.empty()) flush();  // descriptors go with the first byte of their command
  add(command, 0, body, more);
  if (!socket_.send_all(kept_, fds)) return false;
  kept_.clear();
  const auto until = socket_.deadline();
  Header header{};
  if (!socket_.receive_all(room_for(header), until)) return false;
  if (header.id != id_ || (header.flags & vfio_user::kTypeMask) != vfio_user::kReply) {
    socket_.lost(kStrange);
    return false;
  }
  if ((header.flags & vfio_user::kError) != 0) {
    refused_ = "it refused command " + std::to_string(static_cast<unsigned>(command)) + " (" +
               std::strerror(static_cast<int>(header.error)) + ")";
    // Only memory may be refused: the slot does without.
    if (command != Command::dma_map || header.size != sizeof header) socket_.lost(refused_);
    return false;
  }
  if (command == Command::version) {
    // What it says of itself is of any length.
    if (header.size < sizeof header + answer.size() || header.size > vfio_user::kMaxMessage) {
      socket_.lost(kStrange);
      return false;
    }
    version_.resize(header.size - sizeof header - answer.size());
    more_answer = version_;
  } else if (header.size != sizeof header + answer.size() + more_answer.size()) {
    socket_.lost(kStrange);
    return false;
  }
  return socket_.receive_all(answer, until) && socket_.receive_all(more_answer, until);
}

bool VfioUserFunction::agree() {
  const vfio_user::Version version{vfio_user::kMajor, vfio_user::kMinor};
  // With the zero byte that ends it.
  const Bytes text = std::as_bytes(std::span(kCapabilities.data(), kCapabilities.size() + 1));
  vfio_user::Version answer{};
  if (!ask(Command::version, bytes_of(version), text, room_for(answer), {})) return false;
  const std::string_view said(reinterpret_cast<const char*>(version_.data()), version_.size());
  shares_slots_ = said.find(vfio_user::kSharesSlots) != std::string_view::npos;
  if (answer.major == vfio_user::kMajor) return true;
  socket_.lost("it speaks version " + std::to_string(answer.major) + " of vfio-user");
  return false;
}

bool VfioUserFunction::find_regions() {
  for (unsigned bar = 0; bar < kBars; ++bar) {
    vfio_user::RegionInfo info{sizeof info, 0, bar, 0, 0, 0}, answer{};
    if (!ask(Command::device_get_region_info, bytes_of(info), {}, room_for(answer), {})) return false;
    bar_bytes_[bar] = answer.size;
  }
  vfio_user::IrqInfo info{sizeof info, 0, VFIO_PCI_MSIX_IRQ_INDEX, 0}, answer{};
  if (!ask(Command::device_get_irq_info, bytes_of(info), {}, room_for(answer), {})) return false;
  vectors_ = std::min(answer.count, kMostVectors);
  return true;
}

bool VfioUserFunction::region_read(std::uint32_t region, std::size_t offset, std::span<std::byte> data) {
  while (!data.empty()) {
    const std::size_t n = std::min(data.size(), vfio_user::kMaxTransfer);
    const RegionAccess access{offset, region, static_cast<std::uint32_t>(n)};
    RegionAccess answer{};
    if (!socket_ || !ask(Command::region_read, bytes_of(access), {}, room_for(answer), data.first(n))) return false;
    offset += n;
    data = data.subspan(n);
  }
  return true;
}

bool VfioUserFunction::config_read(std::size_t offset, std::span<std::byte> data) {
  return region_read(VFIO_PCI_CONFIG_REGION_INDEX, offset, data);
}

bool VfioUserFunction::config_write(std::size_t offset, std::span<const std::byte> data) {
  const RegionAccess access{offset, VFIO_PCI_CONFIG_REGION_INDEX, static_cast<std::uint32_t>(data.size())};
  RegionAccess answer{};
  return socket_ && ask(Command::region_write, bytes_of(access), data, room_for(answer), {});
}

bool VfioUserFunction::read(unsigned bar, std::size_t offset, std::span<std::byte> data) {
  return region_read(bar, offset, data);
}

void VfioUserFunction::write(unsigned bar, std::size_t offset, std::span<const std::byte> data) {
  while (!data.empty() && socket_) {
    const std::size_t n = std::min(data.size(), vfio_user::kMaxTransfer);
    if (kept_.size() + n + sizeof(Header) + sizeof(RegionAccess) > kKeptBytes) flush();
    const RegionAccess access{offset, bar, static_cast<std::uint32_t>(n)};
    add(Command::region_write, vfio_user::kNoReply, bytes_of(access), data.first(n));
    offset += n;
    data = data.subspan(n);
  }
}

void VfioUserFunction::flush() {
  if (kept_.empty() || !socket_) return;
  socket_.send_all(kept_);
  kept_.clear();
}

bool VfioUserFunction::set_interrupts(std::span<const int> eventfds) {
  const vfio_user::SetIrqs set{sizeof set, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
                               VFIO_PCI_MSIX_IRQ_INDEX, 0, static_cast<std::uint32_t>(eventfds.size())};
  return socket_ && ask(Command::device_set_irqs, bytes_of(set), {}, {}, {}, eventfds);
}

bool VfioUserFunction::reset() {
  return socket_ && ask(Command::device_reset, {}, {}, {}, {});
}

bool VfioUserFunction::share_slot(const SlotShare& share) {
  const vfio_user::ShareSlot body{share.slot, share.in_order, share.out_order};
  const std::array<int, vfio_user::kShareFds> fds{share.own, share.other, share.wake};
  return socket_ && ask(Command::share_slot, bytes_of(body), {}, {}, {}, fds);
}

bool VfioUserFunction::unshare_slot(std::uint16_t slot) {
  const vfio_user::UnshareSlot body{slot};
  return socket_ && ask(Command::unshare_slot, bytes_of(body), {}, {}, {});
}

std::string VfioUserFunction::map_pages(const DmaPages& pages) {
  if (pages.file < 0) return "its file is no longer open here";
  const vfio_user::DmaMap body{sizeof body, vfio_user::kDmaWrite, 0, pages.address, pages.bytes};
  if (socket_ && ask(Command::dma_map, bytes_of(body), {}, {}, {}, std::span(&pages.file, 1))) return {};
  return socket_ ? refused_ : error();
}

void VfioUserFunction::unmap_pages(const DmaPages& pages) {
  const vfio_user::DmaUnmap body{sizeof body, 0, pages.address, pages.bytes};
  vfio_user::DmaUnmap answer{};
  if (socket_) ask(Command::dma_unmap, bytes_of(body), {}, room_for(answer), {});
}

/// Nothing comes unasked: something to read means that the other end closed the connection, or talks nonsense.
void VfioUserFunction::look() {
  if (!socket_) return;
  std::byte byte{};
  const ssize_t n = ::recv(socket_.fd(), &byte, 1, MSG_PEEK);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  socket_.lost(n > 0 ? kStrange : "the card went away");
}

}  // namespace slotwire::driver
