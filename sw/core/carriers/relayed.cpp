#include "core/carriers/relayed.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace slotwire::carriers {
namespace {

constexpr std::size_t kMaxLines = 1023;
/// Bytes of the largest frame that any peer may send.
constexpr std::size_t kMaxFrame = regs::kHeaderBytes + kMaxLines * regs::kLineBytes;
constexpr std::size_t kEventsAtOnce = 64;

std::size_t frame_size(const pipeline::TxFrame& frame) {
  return sizeof frame.header + frame.payload.size();
}

}  // namespace

struct RelayedCarrier::Receive {
  std::vector<std::byte> bytes = std::vector<std::byte>(kBatch * (kMaxFrame + 1));
  std::array<iovec, kBatch> pieces{};
  std::array<mmsghdr, kBatch> messages{};

  Receive() {
    for (std::size_t i = 0; i < kBatch; ++i) {
      pieces[i] = {bytes.data() + i * (kMaxFrame + 1), kMaxFrame + 1};
      messages[i].msg_hdr.msg_iov = &pieces[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
  }
};

RelayedCarrier::~RelayedCarrier() = default;

RelayedCarrier::RelayedCarrier(RelayedOptions options)
    : options_(std::move(options)),
      frame_bytes_(regs::kHeaderBytes + options_.lines_per_frame * regs::kLineBytes),
      receive_(std::make_unique<Receive>()) {
  if (options_.lines_per_frame == 0 || options_.lines_per_frame > kMaxLines) {
    throw std::invalid_argument(options_.name + ": lines_per_frame must be 1 to 1023");
  }
  if (options_.output_limit < frame_bytes_ + sizeof(std::uint32_t)) {
    throw std::invalid_argument(options_.name + ": output_limit must hold one frame of " +
                                std::to_string(frame_bytes_) + " bytes");
  }
  if (options_.max_links > 65535) throw std::invalid_argument(options_.name + ": max_links must be 0 to 65535");
  links_.resize(options_.max_links);
}

void RelayedCarrier::add_link(std::uint16_t link) {
  if (link >= links_.size() || links_[link].known) {
    throw std::invalid_argument(options_.name + ": link " + std::to_string(link) +
                                " is there already or above the limit of " + std::to_string(links_.size()) + " links");
  }
  links_[link] = Link();
  links_[link].known = true;
  links_[link].waiting = ByteQueue(options_.output_limit);
}

void RelayedCarrier::remove_link(std::uint16_t link) {
  if (known(link)) links_[link] = Link();
}

void RelayedCarrier::change(std::uint16_t link) {
  if (!std::exchange(links_[link].changed, true)) changed_.push_back(link);
  poller_.wake();
}

void RelayedCarrier::attach(std::uint16_t link, Fd socket, std::string what) {
  if (!known(link)) throw std::invalid_argument(options_.name + ": link " + std::to_string(link) + " is not there");
  close(link, "it was replaced by a newer connection");
  Link& l = links_[link];
  if (!poller_.add(socket.get(), EPOLLIN, link)) throw_errno("watching a link's socket");
  l.socket = std::move(socket);
  l.what = std::move(what);
  change(link);
}

void RelayedCarrier::detach(std::uint16_t link, std::string why) {
  if (known(link)) close(link, std::move(why));
}

void RelayedCarrier::explain(std::uint16_t link, std::string why) {
  if (!known(link) || links_[link].socket) return;
  links_[link].why = std::move(why);
  change(link);
}

void RelayedCarrier::close(std::uint16_t link, std::string why) {
  Link& l = links_[link];
  if (!l.socket) return;
  poller_.remove(l.socket.get());
  l.socket.reset();
  l.wait_writable = false;
  l.waiting.clear();
  l.why = std::move(why);
  change(link);
}

void RelayedCarrier::watch(std::uint16_t link, bool writable) {
  Link& l = links_[link];
  if (l.wait_writable == writable) return;
  l.wait_writable = writable;
  poller_.change(l.socket.get(),
                 static_cast<std::uint32_t>(EPOLLIN) | (writable ? static_cast<std::uint32_t>(EPOLLOUT) : 0U), link);
}

std::size_t RelayedCarrier::room(std::uint16_t link) const {
  // What would have to wait here stays where it is, and is not copied, until the socket takes more.
  if (!usable(link) || !links_[link].waiting.empty()) return 0;
  return links_[link].waiting.space() / (frame_bytes_ + sizeof(std::uint32_t));
}

void RelayedCarrier::keep(Link& link, const pipeline::TxFrame& frame) {
  const auto length = static_cast<std::uint32_t>(frame_size(frame));
  if (!link.waiting.append(
          {std::as_bytes(std::span(&length, 1)), std::as_bytes(std::span(frame.header)), frame.payload})) {
    ++counters_.tx_dropped;
    return;
  }
  ++counters_.tx_frames;
  counters_.tx_bytes += length;
}

/// Sends the frames that come first and go to one link, at most a batch. Returns how many they are.
std::size_t RelayedCarrier::send_run(std::span<const pipeline::TxFrame> frames) {
  const std::uint16_t link = frames.front().link;
  std::size_t count = 0;
  while (count < std::min(frames.size(), kBatch) && frames[count].link == link) ++count;
  frames = frames.first(count);
  if (!usable(link)) {
    counters_.tx_dropped += count;
    return count;
  }
  Link& l = links_[link];
  std::array<iovec, 2 * kBatch> pieces;
  std::array<mmsghdr, kBatch> messages{};
  std::array<std::size_t, kBatch> which{};
  std::size_t filled = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const pipeline::TxFrame& frame = frames[i];
    if (frame_size(frame) > frame_bytes_) {
      ++counters_.tx_dropped;
      continue;
    }
    iovec* const piece = &pieces[2 * filled];
    // sendmsg does not write through these; the type is C's.
    piece[0] = {const_cast<std::byte*>(frame.header), sizeof frame.header};
    piece[1] = {const_cast<std::byte*>(frame.payload.data()), frame.payload.size()};
    messages[filled].msg_hdr.msg_iov = piece;
    messages[filled].msg_hdr.msg_iovlen = frame.payload.empty() ? 1 : 2;
    which[filled++] = i;
  }
  std::size_t done = 0;
  while (done < filled && l.waiting.empty()) {
    ++counters_.tx_calls;
    const int sent =
        ::sendmmsg(l.socket.get(), &messages[done], static_cast<unsigned>(filled - done), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
      for (const std::size_t end = done + static_cast<std::size_t>(sent); done < end; ++done) {
        ++counters_.tx_frames;
        counters_.tx_bytes += frame_size(frames[which[done]]);
      }
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == ENOBUFS) break;
    // The other end is gone; poll() reads the same and reports it.
    counters_.tx_dropped += filled - done;
    close(link, "the process that held its connection closed it");
    return count;
  }
  for (; done < filled; ++done) keep(l, frames[which[done]]);
  if (!l.waiting.empty()) watch(link, true);
  return count;
}

void RelayedCarrier::send(std::span<const pipeline::TxFrame> frames) {
  while (!frames.empty()) frames = frames.subspan(send_run(frames));
}

void RelayedCarrier::flush(std::uint16_t link) {
  Link& l = links_[link];
  std::vector<std::byte> frame;
  while (!l.waiting.empty()) {
    std::uint32_t length = 0;
    l.waiting.peek(0, std::as_writable_bytes(std::span(&length, 1)));
    frame.resize(length);
    l.waiting.peek(sizeof length, frame);
    ++counters_.tx_calls;
    const ssize_t put = ::send(l.socket.get(), frame.data(), frame.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && (errno == EAGAIN || errno == ENOBUFS)) return;
    if (put < 0) return close(link, "the process that held its connection closed it");
    l.waiting.pop(sizeof length + length);
  }
  watch(link, false);
}

std::size_t RelayedCarrier::receive(std::uint16_t link, std::size_t max_frames, FrameSink& sink) {
  Receive& in = *receive_;
  std::size_t delivered = 0;
  while (delivered < max_frames && links_[link].socket) {
    for (mmsghdr& message : in.messages) message.msg_hdr.msg_flags = 0;
    const auto wanted = static_cast<unsigned>(std::min(kBatch, max_frames - delivered));
    ++counters_.rx_calls;
    const int got = ::recvmmsg(links_[link].socket.get(), in.messages.data(), wanted, MSG_DONTWAIT, nullptr);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) break;
    if (got <= 0) {
      close(link, "the process that held its connection closed it");
      break;
    }
    for (int i = 0; i < got; ++i) {
      const mmsghdr& message = in.messages[static_cast<std::size_t>(i)];
      if (message.msg_len == 0) {
        // A packet socket reads nothing when its other end is closed. No frame is empty.
        close(link, "the process that held its connection closed it");
        return delivered;
      }
      ++delivered;
      if ((message.msg_hdr.msg_flags & MSG_TRUNC) != 0 || message.msg_len > kMaxFrame) {
        ++counters_.rx_malformed;
        ++counters_.rx_too_large;
        continue;
      }
      ++counters_.rx_frames;
      counters_.rx_bytes += message.msg_len;
      const auto& piece = in.pieces[static_cast<std::size_t>(i)];
      sink.on_frame(link, {static_cast<const std::byte*>(piece.iov_base), message.msg_len});
    }
    if (static_cast<unsigned>(got) < wanted) break;
  }
  return delivered;
}

std::size_t RelayedCarrier::poll(std::uint64_t, std::size_t max_frames, FrameSink& sink) {
  std::array<epoll_event, kEventsAtOnce> places;
  const auto events = poller_.wait(places);
  std::size_t delivered = 0;
  const auto report = [&] {
    for (const std::uint16_t link : std::exchange(changed_, {})) {
      if (!known(link) || !std::exchange(links_[link].changed, false)) continue;
      Link& l = links_[link];
      const std::string why = std::exchange(l.why, {});
      // A socket that was replaced: what was in flight over the old one is lost.
      if (l.up && !why.empty()) {
        l.up = false;
        ++counters_.disconnects;
        sink.on_link(link, false, why);
      } else if (!l.up && !l.socket) {
        sink.on_link(link, false, why);
      }
      if (!l.up && l.socket) {
        l.up = true;
        ++counters_.connects;
        sink.on_link(link, true, l.what);
      }
    }
  };
  report();
  for (std::size_t i = 0; i < events.size(); ++i) {
    const epoll_event& event = events[(first_ + i) % events.size()];
    const auto link = static_cast<std::uint16_t>(event.data.u64);
    if (!known(link) || !links_[link].socket) continue;
    if ((event.events & EPOLLOUT) != 0) flush(link);
    if (delivered < max_frames && known(link)) delivered += receive(link, max_frames - delivered, sink);
  }
  // Whoever is ready first in one poll is not in the next.
  if (!events.empty()) ++first_;
  report();
  return delivered;
}

}  // namespace slotwire::carriers
