#include "core/carriers/udp.hpp"

#include <linux/udp.h>
#include <netinet/ip.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <stdexcept>
#include <utility>

namespace slotwire::carriers {
namespace {

constexpr std::size_t kIp4Bytes = 20, kIp6Bytes = 40, kUdpBytes = 8;
constexpr std::size_t kMaxMtu = 65535;
/// Messages in one sendmmsg or recvmmsg.
constexpr std::size_t kTxMessages = 64, kRxMessages = 64;
/// Receive buffers with GRO: each is as large as a datagram can be, so there are fewer.
constexpr std::size_t kRxMessagesGro = 16, kRxBytesGro = 65536;
/// The kernel's UDP_MAX_SEGMENTS was 64 when UDP_SEGMENT came, and is more today.
constexpr std::size_t kGsoFrames = 64;
/// Bytes of one run: below what an IPv4 or IPv6 packet can hold.
constexpr std::size_t kGsoBytes = 65000;
/// Frames in one sendmmsg, two pieces each.
constexpr std::size_t kTxFrames = 512;
/// Errors that may stand on the socket one after another before a receive gives up until the next poll().
constexpr int kMaxErrors = 16;
/// The first socket's tag in the poller; that of a link is its number plus 1.
constexpr std::uint64_t kFirstSocket = 0;

// SOL_UDP is not in the C++ library's netinet headers under strict standards mode.
constexpr int kSolUdp = IPPROTO_UDP;

/// Of a message sent: its segment. Of one received: its segment, and the traffic class.
struct alignas(cmsghdr) Control {
  std::array<std::byte, 2 * CMSG_SPACE(sizeof(int))> bytes;
};

/// What the kernel says beside a message that was received.
struct Beside {
  std::size_t segment = 0;  ///< 0: it was not put together from several
  bool marked = false;      ///< with a congestion mark (ECN CE): it holds for every frame, as the kernel joins equals
};

Beside beside(const msghdr& message) noexcept {
  Beside found;
  msghdr header = message;
  for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr; control = CMSG_NXTHDR(&header, control)) {
    int value = 0;
    if (control->cmsg_level == kSolUdp && control->cmsg_type == UDP_GRO) {
      std::memcpy(&value, CMSG_DATA(control), sizeof value);
      if (value > 0) found.segment = static_cast<std::size_t>(value);
    } else if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_TOS) {
      found.marked = (std::to_integer<unsigned>(std::byte{*CMSG_DATA(control)}) & IPTOS_ECN_MASK) == IPTOS_ECN_CE;
    } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_TCLASS) {
      std::memcpy(&value, CMSG_DATA(control), sizeof value);
      found.marked = (value & IPTOS_ECN_MASK) == IPTOS_ECN_CE;
    }
  }
  return found;
}

/// Asks for `bytes`; beyond the system's limit where the process may.
void set_buffer(int fd, int force, int option, std::size_t bytes) noexcept {
  const int value = static_cast<int>(std::min<std::size_t>(bytes, std::size_t{1} << 30));
  if (!set_option(fd, SOL_SOCKET, force, value)) set_option(fd, SOL_SOCKET, option, value);
}

std::size_t frame_size(const pipeline::TxFrame& frame) noexcept {
  return sizeof frame.header + frame.payload.size();
}

/// The network told of something that befell an earlier datagram; the socket is as good as before.
bool passing(int error) noexcept {
  switch (error) {
    case ECONNREFUSED:
    case ECONNRESET:
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENETUNREACH:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EPROTO:
    case EMSGSIZE:
    case EINTR:
      return true;
    default:
      return false;
  }
}

}  // namespace

struct UdpCarrier::Transmit {
  struct Run {
    std::size_t first, count, bytes;
  };
  std::array<mmsghdr, kTxMessages> messages{};
  std::array<Run, kTxMessages> runs{};
  std::array<Control, kTxMessages> controls{};
  std::array<iovec, 2 * kTxFrames> pieces{};
};

struct UdpCarrier::Receive {
  Receive(std::size_t messages, std::size_t bytes)
      : buffer_bytes(bytes),
        buffer(messages * bytes),
        headers(messages),
        pieces(messages),
        names(messages),
        controls(messages) {
    for (std::size_t i = 0; i < messages; ++i) {
      pieces[i] = {buffer.data() + i * bytes, bytes};
      headers[i].msg_hdr.msg_iov = &pieces[i];
      headers[i].msg_hdr.msg_iovlen = 1;
      headers[i].msg_hdr.msg_name = &names[i];
      headers[i].msg_hdr.msg_control = &controls[i];
    }
  }
  std::size_t buffer_bytes;
  std::vector<std::byte> buffer;
  std::vector<mmsghdr> headers;
  std::vector<iovec> pieces;
  std::vector<sockaddr_in6> names;
  std::vector<Control> controls;
  std::size_t count = 0, next = 0;  ///< messages held, and the one to hand out
  std::size_t offset = 0;           ///< bytes of it handed out
};

UdpCarrier::UdpCarrier(const UdpOptions& options) : options_(options) {
  const std::size_t headers =
      (options.bind.family() == AF_INET6 ? kIp6Bytes : kIp4Bytes) + kUdpBytes + regs::kHeaderBytes;
  if (options.mtu < headers + regs::kLineBytes || options.mtu > kMaxMtu) {
    throw std::invalid_argument("udp: mtu is " + std::to_string(options.mtu) + ", must be " +
                                std::to_string(headers + regs::kLineBytes) + " to " + std::to_string(kMaxMtu));
  }
  lines_ = (options.mtu - headers) / regs::kLineBytes;
  frame_bytes_ = regs::kHeaderBytes + lines_ * regs::kLineBytes;
  if (options.output_limit < frame_bytes_) {
    throw std::invalid_argument("udp: output_limit must hold one frame of " + std::to_string(frame_bytes_) + " bytes");
  }
  if (options.max_links > 65536) throw std::invalid_argument("udp: max_links must be 0 to 65536");
  links_.resize(options.max_links);
  open_socket(options);
  transmit_ = std::make_unique<Transmit>();
  receive_ = gro_ ? std::make_unique<Receive>(kRxMessagesGro, kRxBytesGro)
                  : std::make_unique<Receive>(kRxMessages, frame_bytes_);
  kept_bytes_.reserve(options.output_limit);
  kept_.reserve(options.output_limit / regs::kHeaderBytes);
}

UdpCarrier::~UdpCarrier() = default;

void UdpCarrier::open_socket(const UdpOptions& options) {
  socket_ = bound_socket(options.bind, SOCK_DGRAM);
  const int fd = socket_.get();
  gso_ = options.gso && set_option(fd, kSolUdp, UDP_SEGMENT, 0);
  gro_ = options.gro && set_option(fd, kSolUdp, UDP_GRO, 1);
  if (options.ecn) {
    const bool four = options.bind.family() == AF_INET;
    const int level = four ? IPPROTO_IP : IPPROTO_IPV6;
    ecn_ = set_option(fd, level, four ? IP_RECVTOS : IPV6_RECVTCLASS, 1) &&
           set_option(fd, level, four ? IP_TOS : IPV6_TCLASS, IPTOS_ECN_ECT0);
  }
  set_up(fd, options);
  // The frame's own CRC covers it end to end. But the kernel cuts runs only with checksums on, and joins only what has
  // one.
  zero_checksum_ = options.bind.family() == AF_INET && !gso_ && set_option(fd, SOL_SOCKET, SO_NO_CHECK, 1);
  if (!poller_.add(fd, EPOLLIN, kFirstSocket)) throw_errno("watching the UDP socket");
}

/// What every socket that receives is told, the first one and those of links.
void UdpCarrier::set_up(int fd, const UdpOptions& options) {
  set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, options.socket_buffer);
  set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, options.socket_buffer);
  if (gro_) set_option(fd, kSolUdp, UDP_GRO, 1);
  if (ecn_) {
    const bool four = options.bind.family() == AF_INET;
    set_option(fd, four ? IPPROTO_IP : IPPROTO_IPV6, four ? IP_RECVTOS : IPV6_RECVTCLASS, 1);
  }
}

std::string UdpCarrier::features() const {
  std::string text;
  const auto add = [&text](bool on, const char* name) {
    if (on) text += (text.empty() ? "" : " ") + std::string(name);
  };
  add(gso_, "gso");
  add(gro_, "gro");
  add(zero_checksum_, "zero-checksum");
  add(ecn_, "ecn");
  return text.empty() ? "none" : text;
}

void UdpCarrier::add_link(std::uint16_t link, const Address& peer) {
  const std::string who = "udp: link " + std::to_string(link) + " to " + peer.to_string() + ": ";
  if (link >= links_.size()) {
    throw std::invalid_argument(who + "above the limit of " + std::to_string(links_.size()) +
                                " links; raise max_links");
  }
  if (links_[link].state != State::none)
    throw std::invalid_argument(who + "the link is there already; remove it first");
  if (peer.family() != options_.bind.family() || peer.port() == 0) {
    throw std::invalid_argument(who + "the peer needs a port and an address of the family of " +
                                options_.bind.to_string());
  }
  if (!by_address_.emplace(peer, link).second) throw std::invalid_argument(who + "another link has this address");
  by_host_.emplace(peer.with_port(0), link);
  links_[link].state = State::added;
  links_[link].gso = gso_;
  links_[link].peer = peer;
  if (crowded_) give_own_socket(link);
  added_.push_back(link);
  poller_.wake();
}

void UdpCarrier::remove_link(std::uint16_t link) {
  if (link >= links_.size() || links_[link].state == State::none) return;
  by_address_.erase(links_[link].peer);
  const auto host = by_host_.find(links_[link].peer.with_port(0));
  if (host != by_host_.end() && host->second == link) by_host_.erase(host);
  if (links_[link].own) --own_sockets_;
  links_[link] = {};
  std::size_t from = 0, to = 0, entries = 0;
  for (const Kept& kept : kept_) {
    if (kept.link != link) {
      std::memmove(kept_bytes_.data() + to, kept_bytes_.data() + from, kept.bytes);
      to += kept.bytes;
      kept_[entries++] = kept;
    }
    from += kept.bytes;
  }
  kept_bytes_.resize(to);
  kept_.resize(entries);
}

std::size_t UdpCarrier::room(std::uint16_t link) const {
  if (link >= links_.size() || links_[link].state != State::up || blocked_) return 0;
  return options_.output_limit / frame_bytes_;
}

bool UdpCarrier::sendable(const pipeline::TxFrame& frame) const noexcept {
  return frame.link < links_.size() && links_[frame.link].state == State::up && frame_size(frame) <= frame_bytes_;
}

void UdpCarrier::send(std::span<const pipeline::TxFrame> frames) {
  std::size_t next = 0;
  while (next < frames.size()) {
    if (blocked_) return keep(frames.subspan(next));
    const std::size_t messages = build(frames, next);
    std::size_t end = next;
    if (messages != 0) end = transmit_->runs[messages - 1].first + transmit_->runs[messages - 1].count;
    if (messages == 0) {
      drop(frames.size() - next);  // build() passes over what cannot be sent: nothing else was left
      return;
    }
    drop(transmit_->runs[0].first - next);
    next = submit(frames, messages, end);
  }
}

/// Frames from `from` on that go out as one message: equally long ones to one link, the last may be shorter.
std::size_t UdpCarrier::frame_run(std::span<const pipeline::TxFrame> frames, std::size_t from) const {
  const auto& first = frames[from];
  if (!links_[first.link].gso) return 1;
  const std::size_t size = frame_size(first);
  std::size_t count = 1, bytes = size;
  while (count < kGsoFrames && from + count < frames.size()) {
    const auto& frame = frames[from + count];
    const std::size_t more = frame_size(frame);
    if (frame.link != first.link || more > size || bytes + more > kGsoBytes) break;
    ++count;
    bytes += more;
    if (more < size) break;
  }
  return count;
}

/// Fills the messages with the frames from `from` on, until one cannot be sent (unless it comes first) or a table is
/// full.
std::size_t UdpCarrier::build(std::span<const pipeline::TxFrame> frames, std::size_t from) {
  Transmit& out = *transmit_;
  while (from < frames.size() && !sendable(frames[from])) ++from;
  std::size_t messages = 0, pieces = 0;
  while (messages < kTxMessages && from < frames.size() && sendable(frames[from])) {
    const std::size_t count = frame_run(frames, from);
    if (pieces + 2 * count > out.pieces.size()) break;
    auto& run = out.runs[messages];
    run = {from, count, 0};
    msghdr& header = out.messages[messages].msg_hdr;
    header = {};
    header.msg_iov = &out.pieces[pieces];
    for (std::size_t i = 0; i < count; ++i) {
      const auto& frame = frames[from + i];
      // sendmsg does not write through these; the type is C's.
      out.pieces[pieces++] = {const_cast<std::byte*>(frame.header), sizeof frame.header};
      if (!frame.payload.empty()) {
        out.pieces[pieces++] = {const_cast<std::byte*>(frame.payload.data()), frame.payload.size()};
      }
      run.bytes += frame_size(frame);
    }
    header.msg_iovlen = static_cast<std::size_t>(&out.pieces[0] + pieces - header.msg_iov);
    const Address& peer = links_[frames[from].link].peer;
    header.msg_name = const_cast<sockaddr*>(peer.data());
    header.msg_namelen = peer.size();
    if (count > 1) {
      header.msg_control = &out.controls[messages];
      header.msg_controllen = CMSG_SPACE(sizeof(std::uint16_t));
      cmsghdr* control = CMSG_FIRSTHDR(&header);
      control->cmsg_level = kSolUdp;
      control->cmsg_type = UDP_SEGMENT;
      control->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
      const auto size = static_cast<std::uint16_t>(frame_size(frames[from]));
      std::memcpy(CMSG_DATA(control), &size, sizeof size);
    }
    ++messages;
    from += count;
  }
  return messages;
}

/// Sends what build() made. Returns the frame to go on with.
std::size_t UdpCarrier::submit(std::span<const pipeline::TxFrame> frames, std::size_t messages, std::size_t end) {
  Transmit& out = *transmit_;
  std::size_t done = 0;
  while (done < messages) {
    const int sent = ::sendmmsg(socket_.get(), &out.messages[done], static_cast<unsigned>(messages - done),
                                MSG_DONTWAIT | MSG_NOSIGNAL);
    ++counters_.tx_calls;
    if (sent > 0) {
      for (const std::size_t last = done + static_cast<std::size_t>(sent); done < last; ++done) {
        counters_.tx_frames += out.runs[done].count;
        counters_.tx_bytes += out.runs[done].bytes;
      }
      continue;
    }
    const auto& run = out.runs[done];
    if (errno == EINTR) continue;
    if (errno == EAGAIN) {
      set_blocked(true);
      return run.first;
    }
    Link& link = links_[frames[run.first].link];
    if (run.count > 1 && link.gso) {
      // The route cannot do it (no checksum offload, a path below our MTU): one by one from here on.
      link.gso = false;
      return run.first;
    }
    drop(run.count);
    ++done;
  }
  return end;
}

void UdpCarrier::keep(std::span<const pipeline::TxFrame> frames) {
  for (const auto& frame : frames) {
    const std::size_t bytes = frame_size(frame);
    if (!sendable(frame) || bytes > options_.output_limit - kept_bytes_.size()) {
      drop(1);
      continue;
    }
    kept_bytes_.insert(kept_bytes_.end(), std::begin(frame.header), std::end(frame.header));
    kept_bytes_.insert(kept_bytes_.end(), frame.payload.begin(), frame.payload.end());
    kept_.push_back({frame.link, bytes});
  }
}

void UdpCarrier::flush_kept() {
  std::size_t done = 0, offset = 0;
  bool full = false;
  while (done < kept_.size() && !full) {
    const Kept& kept = kept_[done];
    const Address& peer = links_[kept.link].peer;
    const ssize_t put = ::sendto(socket_.get(), kept_bytes_.data() + offset, kept.bytes, MSG_DONTWAIT | MSG_NOSIGNAL,
                                 peer.data(), peer.size());
    ++counters_.tx_calls;
    if (put < 0 && errno == EINTR) continue;
    full = put < 0 && errno == EAGAIN;
    if (full) break;
    if (put < 0) {
      drop(1);
    } else {
      ++counters_.tx_frames;
      counters_.tx_bytes += kept.bytes;
    }
    offset += kept.bytes;
    ++done;
  }
  kept_.erase(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(done));
  kept_bytes_.erase(kept_bytes_.begin(), kept_bytes_.begin() + static_cast<std::ptrdiff_t>(offset));
  if (!full) set_blocked(false);
}

void UdpCarrier::set_blocked(bool blocked) noexcept {
  if (blocked == blocked_) return;
  blocked_ = blocked;
  watch_first_socket();
}

/// In a flood there is always something to read, which is read when its time has come.
void UdpCarrier::watch_first_socket() noexcept {
  const std::uint32_t in = crowded_ ? 0U : static_cast<std::uint32_t>(EPOLLIN);
  const std::uint32_t out = blocked_ ? static_cast<std::uint32_t>(EPOLLOUT) : 0U;
  poller_.change(socket_.get(), in | out, kFirstSocket);
}

const std::uint16_t* UdpCarrier::link_of(const Address& peer) const {
  const auto found = by_address_.find(peer);
  return found == by_address_.end() ? nullptr : &found->second;
}

/// Fills the receive buffers from `fd`. Returns whether more may wait in the socket.
bool UdpCarrier::receive(int fd, std::size_t max_messages) {
  Receive& in = *receive_;
  in.next = in.count = in.offset = 0;
  // With GRO a message may hold many frames; what is above poll()'s limit waits here for the next poll().
  const std::size_t wanted = std::min(in.headers.size(), max_messages);
  for (std::size_t i = 0; i < wanted; ++i) {
    msghdr& header = in.headers[i].msg_hdr;
    header.msg_namelen = sizeof in.names[i];
    header.msg_controllen = gro_ || ecn_ ? sizeof in.controls[i] : 0;
    header.msg_flags = 0;
  }
  for (int errors = 0; errors < kMaxErrors; ++errors) {
    ++counters_.rx_calls;
    const int got = ::recvmmsg(fd, in.headers.data(), static_cast<unsigned>(wanted), MSG_DONTWAIT, nullptr);
    if (got > 0) {
      in.count = static_cast<std::size_t>(got);
      return in.count == wanted;
    }
    if (got == 0 || !passing(errno)) return false;
  }
  return false;
}

void UdpCarrier::count_stranger(const std::optional<Address>& from) {
  ++counters_.rx_unknown_peer;
  if (!from) return;
  const auto host = by_host_.find(from->with_port(0));
  if (host == by_host_.end()) return;
  Misfits& misfits = links_[host->second].misfits;
  ++counters_.rx_other_port;
  ++misfits.other_port;
  misfits.last_port = from->port();
}

/// Hands out what receive() took, cut into frames. Every frame, dropped ones too, costs one of `budget`, so that a
/// flood from strangers does not hold poll() for ever.
std::size_t UdpCarrier::deliver(std::size_t& budget, FrameSink& sink) {
  Receive& in = *receive_;
  std::size_t delivered = 0;
  while (in.next < in.count && budget != 0) {
    const mmsghdr& message = in.headers[in.next];
    const auto bytes = std::span<const std::byte>(in.buffer).subspan(in.next * in.buffer_bytes, message.msg_len);
    std::size_t segment = bytes.size();
    const Beside known = beside(message.msg_hdr);
    if (known.segment != 0) segment = known.segment;
    const auto peer = Address::from(reinterpret_cast<const sockaddr*>(&in.names[in.next]), message.msg_hdr.msg_namelen);
    const std::uint16_t* const found = peer ? link_of(*peer) : nullptr;
    const bool truncated = (message.msg_hdr.msg_flags & MSG_TRUNC) != 0;
    bool more = true;
    while (more && budget != 0) {
      --budget;
      const auto frame = bytes.subspan(in.offset, std::min(segment, bytes.size() - in.offset));
      in.offset += frame.size();
      more = in.offset < bytes.size();
      if (found == nullptr) {
        count_stranger(peer);
        flood_.useless();
      } else if (truncated || frame.size() > frame_bytes_) {
        ++counters_.rx_malformed;
        ++counters_.rx_too_large;
        ++links_[*found].misfits.too_large;
      } else if (links_[*found].state == State::up) {
        ++delivered;
        ++counters_.rx_frames;
        counters_.rx_bytes += frame.size();
        // Before the frame: what it makes the sink send may tell of the mark already.
        if (known.marked) sink.on_marked(*found, 1);
        if (sink.on_frame(*found, frame)) {
          ++links_[*found].useful;
        } else {
          ++links_[*found].useless;
          ++counters_.rx_useless;
          flood_.useless();
        }
      }
    }
    if (more) break;
    ++in.next;
    in.offset = 0;
  }
  return delivered;
}

std::size_t UdpCarrier::poll(std::uint64_t now_us, std::size_t max_frames, FrameSink& sink) {
  if (!crowded_) poller_.clear_wake();
  for (const std::uint16_t link : std::exchange(added_, {})) {
    if (links_[link].state != State::added) continue;
    links_[link].state = State::up;
    ++counters_.connects;
    sink.on_link(link, true, "udp to " + links_[link].peer.to_string());
  }
  if (blocked_) flush_kept();
  std::size_t delivered = 0, budget = max_frames;
  if (crowded_) {
    delivered += serve_own(budget, sink);
    delivered += serve_crowd(now_us, budget, sink);
  } else {
    bool waiting = true;
    while (budget != 0 && (waiting || receive_->next < receive_->count)) {
      if (receive_->next == receive_->count) waiting = receive(socket_.get(), budget);
      delivered += deliver(budget, sink);
    }
  }
  look_for_flood(now_us);
  // The descriptor does not show what was taken out of the socket already.
  if (receive_->next < receive_->count) poller_.wake();
  if (crowded_) poller_.arm(now_us, crowd_us_);
  return delivered;
}

/// Takes from the sockets of links, a batch of each in turn.
std::size_t UdpCarrier::serve_own(std::size_t& budget, FrameSink& sink) {
  std::size_t delivered = deliver(budget, sink);  // what is left of the last batch
  ready_.resize(own_sockets_ + 1);
  const std::span<const epoll_event> ready = poller_.wait(ready_);
  ++turn_;
  for (bool waiting = true; waiting && budget != 0;) {
    waiting = false;
    for (std::size_t i = 0; i < ready.size() && budget != 0; ++i) {
      const std::uint64_t tag = ready[(turn_ + i) % ready.size()].data.u64;
      if (tag == kFirstSocket) continue;
      waiting |= receive(links_[tag - 1].own.get(), budget);
      delivered += deliver(budget, sink);
    }
  }
  return delivered;
}

/// Takes what the crowd may have of this millisecond from the first socket.
std::size_t UdpCarrier::serve_crowd(std::uint64_t now_us, std::size_t& budget, FrameSink& sink) {
  if (now_us < crowd_us_ || budget == 0) return 0;
  crowd_us_ = now_us + kCrowdUs;
  std::size_t delivered = 0, left = kCrowdFrames;
  bool waiting = true;
  while (waiting && left != 0 && budget != 0) {
    // One message may hold many frames, and who floods can see to it that each does.
    waiting = receive(socket_.get(), std::max<std::size_t>(1, std::min(left, budget) / crowd_run_));
    const std::size_t messages = receive_->count, before = budget;
    if (messages == 0) break;
    delivered += deliver(budget, sink);
    const std::size_t frames = before - budget;
    crowd_run_ = std::max<std::size_t>(1, frames / messages);
    left -= std::min(left, frames);
  }
  return delivered;
}

/// Gives links sockets of their own when a flood begins, takes them from those that only flood, and at its end from
/// all.
void UdpCarrier::look_for_flood(std::uint64_t now_us) {
  if (!flood_.look(now_us)) return;
  const bool began = flood_.on() && !crowded_;
  if (began) {
    ++counters_.rx_floods;
    crowded_ = true;
    crowd_us_ = now_us;
    watch_first_socket();
  }
  if (!crowded_) return;
  for (std::size_t i = 0; i < links_.size(); ++i) {
    Link& link = links_[i];
    const std::uint32_t useful = std::exchange(link.useful, 0), useless = std::exchange(link.useless, 0);
    if (link.state == State::none) continue;
    // What its socket still holds is lost, as datagrams may be: it was served a moment ago.
    if (link.own && (!flood_.on() || (useful == 0 && useless >= kCrowdFrames))) {
      link.own = Fd();
      --own_sockets_;
    } else if (flood_.on() && !link.own && (useful != 0 || (began && useless < kCrowdFrames))) {
      give_own_socket(static_cast<std::uint16_t>(i));
    }
  }
  if (flood_.on()) return;
  crowded_ = false;
  poller_.arm(now_us, std::nullopt);
  watch_first_socket();
}

void UdpCarrier::give_own_socket(std::uint16_t link) {
  if (own_sockets_ == kMaxOwnSockets) return;
  Fd own = connected_beside(socket_.get(), links_[link].peer);
  if (!own) return;  // no descriptor left, no route: it stays in the crowd
  set_up(own.get(), options_);
  if (!poller_.add(own.get(), EPOLLIN, std::uint64_t{link} + 1)) return;
  links_[link].own = std::move(own);
  ++own_sockets_;
}

}  // namespace slotwire::carriers
