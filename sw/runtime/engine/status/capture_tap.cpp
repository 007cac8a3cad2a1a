#include "runtime/engine/status/capture_tap.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <utility>

#include "runtime/control/closer.hpp"

namespace slotwire::engine {

CaptureTap::CaptureTap(slot::Fd socket, std::optional<std::uint16_t> link, std::uint32_t snaplen)
    : socket_(std::move(socket)), link_(link), snaplen_(snaplen) {}

CaptureTap::~CaptureTap() {
  control::Closer::of_process().close(std::move(socket_));
}

bool CaptureTap::closed() const {
  if (closed_.load(std::memory_order_relaxed)) return true;
  pollfd look{socket_.get(), 0, 0};
  return ::poll(&look, 1, 0) == 1 && (look.revents & (POLLHUP | POLLERR)) != 0;
}

void CaptureTap::on_frame(bool outgoing, std::uint16_t link, std::span<const std::byte> header,
                          std::span<const std::byte> payload) {
  if (closed_ || (link_ && *link_ != link)) return;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  CaptureHeader record;
  record.time_ns = (static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000) + static_cast<std::uint64_t>(now.tv_nsec);
  record.dropped = dropped_;
  record.length = static_cast<std::uint32_t>(header.size() + payload.size());
  record.link = link;
  record.outgoing = outgoing ? 1 : 0;
  const std::size_t most = std::min<std::size_t>(snaplen_, kMaxCapturedBytes);
  const std::size_t from_header = std::min(header.size(), most);
  const std::size_t from_payload = std::min(payload.size(), most - from_header);
  record.captured = static_cast<std::uint32_t>(from_header + from_payload);
  std::array<iovec, 3> parts{{{&record, sizeof record},
                              {const_cast<std::byte*>(header.data()), from_header},
                              {const_cast<std::byte*>(payload.data()), from_payload}}};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  if (::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
    ++sent_;
    return;
  }
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == EINTR) {
    ++dropped_;
  } else {
    closed_ = true;
  }
}

}  // namespace slotwire::engine
