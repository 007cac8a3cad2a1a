#include "sim/simcard/queue_server.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <utility>

#include "sim/simcard/checksum.hpp"

namespace slotwire::sim {
namespace {

namespace hq = driver::host_queues;
using slot::Fd;

static_assert(hq::kMaxFrame <= FrameQueue::kMaxFrameBytes);

constexpr std::uint32_t kFeatures = hq::kVerifiesChecksums | hq::kMakesChecksums | hq::kFilters;

/// Of a field that another process may change meanwhile.
template <typename T>
T read_once(T& field) {
  return std::atomic_ref<T>(field).load(std::memory_order_relaxed);
}

std::uint32_t number(std::span<const std::byte> bytes, std::size_t at, std::size_t count) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < count; ++i) value = value << 8 | std::to_integer<std::uint32_t>(bytes[at + i]);
  return value;
}

/// The flags kIpGood to kL4Bad for a received frame; what is not UDP or TCP behind IP, or a fragment, has none of its
/// own.
std::uint32_t look_at_checksums(std::span<const std::byte> frame) {
  constexpr std::uint32_t kVlan = 0x8100, kIpv4 = 0x0800, kIpv6 = 0x86dd, kTcp = 6, kUdp = 17, kRight = 0xffff;
  std::size_t at = 14;
  if (frame.size() < at) return 0;
  std::uint32_t type = number(frame, 12, 2);
  if (type == kVlan && frame.size() >= 18) {
    type = number(frame, 16, 2);
    at = 18;
  }
  const std::span<const std::byte> ip = frame.subspan(at);
  std::uint32_t flags = 0, protocol = 0, pseudo = 0;
  std::size_t header = 0, length = 0;
  if (type == kIpv4) {
    if (ip.size() < 20 || number(ip, 0, 1) >> 4 != 4) return 0;
    header = std::size_t{number(ip, 0, 1) & 15} * 4;
    length = number(ip, 2, 2);
    if (header < 20 || header > ip.size()) return hq::kIpBad;
    flags = internet_sum(ip.first(header)) == kRight ? hq::kIpGood : hq::kIpBad;
    if (length < header || length > ip.size() || (number(ip, 6, 2) & 0x3fff) != 0) return flags;
    protocol = number(ip, 9, 1);
    pseudo = internet_sum(ip.subspan(12, 8));
  } else if (type == kIpv6) {
    if (ip.size() < 40 || number(ip, 0, 1) >> 4 != 6) return 0;
    header = 40;
    length = header + number(ip, 4, 2);
    if (length > ip.size()) return 0;
    protocol = number(ip, 6, 1);
    pseudo = internet_sum(ip.subspan(8, 32));
  } else {
    return 0;
  }
  const std::span<const std::byte> inner = ip.subspan(header, length - header);
  if (protocol != kUdp && protocol != kTcp) return flags;
  if (inner.size() < (protocol == kUdp ? 8U : 20U)) return flags | hq::kL4Bad;
  if (protocol == kUdp && number(inner, 6, 2) == 0) return flags;  // there is none
  pseudo += protocol + static_cast<std::uint32_t>(inner.size());
  return flags | (internet_sum(inner, pseudo) == kRight ? hq::kL4Good : hq::kL4Bad);
}

}  // namespace

QueueServer::QueueServer(std::string path, FrameQueue& from_host, FrameQueue& to_host, driver::HostBus& bus)
    : path_(std::move(path)), from_host_(from_host), to_host_(to_host), bus_(bus) {
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  if (path_.empty() || path_.size() >= sizeof at.sun_path) {
    throw std::runtime_error("queue socket " + path_ + ": give a path of 1 to " +
                             std::to_string(sizeof at.sun_path - 1) + " bytes");
  }
  path_.copy(at.sun_path, sizeof at.sun_path - 1);
  listener_ = Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  struct stat old {};
  if (::lstat(path_.c_str(), &old) == 0 && S_ISSOCK(old.st_mode)) ::unlink(path_.c_str());
  epoll_event readable{};
  readable.events = EPOLLIN;
  if (!listener_ || !epoll_ || ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0 ||
      ::listen(listener_.get(), 1) != 0 || ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener_.get(), &readable) != 0) {
    throw std::runtime_error("queue socket " + path_ + ": " + std::strerror(errno) +
                             "; choose a path that is free, in a directory that can be written to");
  }
}

QueueServer::~QueueServer() {
  ::unlink(path_.c_str());
}

// ---- the connection

void QueueServer::drop(const char* why) {
  std::fprintf(stderr, "simulated card: the driver of the host's queues is gone (%s)\n", why);
  client_ = {};
  kick_ = {};
  signals_.clear();
  mapping_ = {};
  memory_ = {};
  queues_ = used_ = flags_ = 0;
  answer_due_ = false;
  forget_rules();
}

bool QueueServer::accept() {
  Fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!client) return false;
  if (client_) {
    pollfd end{client_.get(), 0, 0};
    if (::poll(&end, 1, 0) != 1) return true;  // one at a time: this one reads the end of its connection
    drop("it closed its connection, and there is another one");
  }
  epoll_event readable{};
  readable.events = EPOLLIN;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, client.get(), &readable) == 0) client_ = std::move(client);
  return true;
}

bool QueueServer::take_request() {
  Request request{};
  const ssize_t n = ::recv(client_.get(), &request, sizeof request, MSG_TRUNC);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (n != sizeof request) {
    drop(n == 0 ? "it closed its connection" : n < 0 ? std::strerror(errno) : "a request of the wrong size");
    return true;
  }
  const auto op = static_cast<hq::Op>(request.op);
  if (op == hq::Op::hello) return hello(request.index);
  if (queues_ == 0) return answer(EPROTO);
  switch (op) {
    case hq::Op::set:
      return answer(set(request));
    case hq::Op::rule:
      if (request.index >= kRules) return answer(EINVAL);
      rules_[request.index] = request.rule;
      dirty_.set(request.index);
      break;
    case hq::Op::default_rule:
      if (request.index >= queues_) return answer(EINVAL);
      default_ = (request.flags & 0xff) | request.index << 16;
      dirty_.set(kDefault);
      break;
    default:
      return answer(EOPNOTSUPP);
  }
  answer_due_ = true;
  return true;
}

bool QueueServer::answer(std::uint32_t status) {
  hq::Reply reply{};
  reply.magic = hq::kMagic;
  reply.version = hq::kVersion;
  reply.status = status;
  if (::send(client_.get(), &reply, sizeof reply, MSG_NOSIGNAL) != sizeof reply) drop("it takes no answers");
  return true;
}

bool QueueServer::hello(std::uint32_t queues) {
  if (queues_ != 0 || queues == 0 || queues > hq::kMaxQueues) return answer(EINVAL);
  hq::Reply reply{};
  reply.magic = hq::kMagic;
  reply.version = hq::kVersion;
  reply.queues = queues;
  reply.entries = hq::kEntries;
  reply.entry_bytes = sizeof(hq::Entry);
  reply.max_frame = hq::kMaxFrame;
  reply.features = kFeatures;
  reply.memory_bytes = hq::memory_bytes(queues);
  std::uint32_t rules = 0;
  Fd file;
  std::vector<int> fds;
  try {
    if (!bus_.read(regs::kCardCapabilities + regs::kCapClassifierRules, std::as_writable_bytes(std::span(&rules, 1))))
      return answer(EIO);
    file = slot::create_sealed_file("slotwire-host-queues", reply.memory_bytes);
    mapping_ = slot::map_file(file.get(), reply.memory_bytes, slot::Access::read_write);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "simulated card: no memory for %u queues of the host: %s\n", queues, error.what());
    return answer(ENOMEM);
  }
  reply.rules = std::min<std::uint32_t>(rules, kRules);
  kick_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  fds = {file.get(), kick_.get()};
  for (std::uint32_t i = 0; i < queues; ++i) {
    signals_.emplace_back(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    fds.push_back(signals_.back().get());
  }
  epoll_event readable{};
  readable.events = EPOLLIN;
  if (std::find(fds.begin(), fds.end(), -1) != fds.end() ||
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, kick_.get(), &readable) != 0) {
    drop("no descriptors are left for its queues");
    return true;
  }
  memory_.base = mapping_.data();
  produced_.fill(0);
  consumed_.fill(0);
  queues_ = queues;
  memory_.header().link_up.store(1, std::memory_order_release);

  iovec data{&reply, sizeof reply};
  alignas(cmsghdr) std::array<char, CMSG_SPACE((2 + hq::kMaxQueues) * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
  cmsghdr* const head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
  std::memcpy(CMSG_DATA(head), fds.data(), fds.size() * sizeof(int));
  if (::sendmsg(client_.get(), &message, MSG_NOSIGNAL) != sizeof reply) drop("it takes no answers");
  return true;
}

std::uint32_t QueueServer::set(const Request& request) {
  if (request.index > queues_ || request.max_frame > hq::kMaxFrame) return EINVAL;
  used_ = request.index;
  flags_ = request.flags;
  max_frame_ = request.max_frame;
  mac_ = request.mac;
  return 0;
}

// ---- rules

void QueueServer::forget_rules() {
  for (std::size_t i = 0; i < kRules; ++i) {
    if (rules_[i][0] != std::byte{0}) dirty_.set(i);
    rules_[i] = {};
  }
  if (default_ != 0) dirty_.set(kDefault);
  default_ = 0;
}

void QueueServer::card_was_reset() {
  for (std::size_t i = 0; i < kRules; ++i) {
    if (rules_[i][0] != std::byte{0}) dirty_.set(i);
  }
  if (default_ != 0) dirty_.set(kDefault);
}

void QueueServer::write_rules() {
  for (std::size_t i = 0; i < kRules; ++i) {
    if (dirty_[i]) bus_.write(regs::kCardClassifier + i * regs::kLineBytes, rules_[i]);
  }
  if (dirty_[kDefault])
    bus_.write(regs::kCardClassifier + regs::kClassifierDefault, std::as_bytes(std::span(&default_, 1)));
  dirty_.reset();
  // Writes are done when a later read was answered.
  std::uint32_t magic = 0;
  const bool done = bus_.read(regs::kCardCapabilities + regs::kCapMagic, std::as_writable_bytes(std::span(&magic, 1)));
  if (std::exchange(answer_due_, false)) answer(done ? 0 : EIO);
}

// ---- frames

/// False: there is no room for it now.
bool QueueServer::take_frame(std::uint32_t queue, std::uint32_t position) {
  if (from_host_.full()) return false;
  hq::Entry& entry = memory_.entry(queue, true, position);
  const std::uint32_t length = read_once(entry.length), flags = read_once(entry.flags);
  const std::size_t ip_at = read_once(entry.ip_at), ip_bytes = read_once(entry.ip_bytes);
  const std::size_t l4_at = read_once(entry.l4_at), checksum_at = read_once(entry.checksum_at);
  hq::Ring& ring = memory_.ring(queue, true);
  if (length < hq::kMinFrame || length > hq::kMaxFrame) {
    ring.dropped.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  const auto frame = from_host_.room().first(length);
  std::memcpy(frame.data(), entry.frame.data(), length);
  bool good = true;
  if ((flags & hq::kMakeIp) != 0) {
    good = ip_bytes >= 20 && ip_at <= length && ip_bytes <= length - ip_at;
    if (good) {
      frame[ip_at + 10] = frame[ip_at + 11] = std::byte{0};
      complete_checksum(frame.first(ip_at + ip_bytes), ip_at, ip_at + 10);
    }
  }
  if (good && (flags & hq::kMakeL4) != 0) good = l4_at <= length && complete_checksum(frame, l4_at, checksum_at);
  if (good) {
    from_host_.commit(length, false);
  } else {
    ring.dropped.fetch_add(1, std::memory_order_relaxed);
  }
  return true;
}

bool QueueServer::take_frames() {
  bool any = false;
  for (std::uint32_t queue = 0; queue < queues_; ++queue) {
    hq::Ring& ring = memory_.ring(queue, true);
    const std::uint32_t ready = ring.produced.load(std::memory_order_acquire) - consumed_[queue];
    if (ready > hq::kEntries) {
      drop("a transmit ring holds more than it can");
      return true;
    }
    std::uint32_t taken = 0;
    while (taken < std::min(ready, std::uint32_t{kBurst}) && take_frame(queue, consumed_[queue] + taken)) ++taken;
    if (taken == 0) continue;
    consumed_[queue] += taken;
    ring.consumed.store(consumed_[queue], std::memory_order_release);
    any = true;
  }
  return any;
}

bool QueueServer::wanted(std::span<const std::byte> frame) const {
  if ((flags_ & hq::kPromiscuous) != 0) return true;
  const bool group = (frame[0] & std::byte{1}) != std::byte{0};
  if (!group) return std::memcmp(frame.data(), mac_.data(), mac_.size()) == 0;
  return (flags_ & hq::kAllMulticast) != 0 ||
         std::all_of(frame.begin(), frame.begin() + 6, [](std::byte b) { return b == std::byte{0xff}; });
}

bool QueueServer::give_frames() {
  std::bitset<hq::kMaxQueues> given;
  for (; !to_host_.empty(); to_host_.pop()) {
    if ((flags_ & hq::kRunning) == 0 || used_ == 0) continue;  // as on an interface that is down
    const FrameQueue::Frame frame = to_host_.front();
    if (frame.bytes.size() < hq::kMinFrame || !wanted(frame.bytes)) continue;
    constexpr std::uint64_t kQueueMask = (1U << regs::kVerdictQueueBits) - 1;
    constexpr std::uint64_t kMarkMask = (1U << regs::kVerdictMarkBits) - 1;
    const auto queue = static_cast<std::uint32_t>(frame.verdict & kQueueMask);
    hq::Ring& ring = memory_.ring(queue < used_ ? queue : 0, false);
    // Positions of the driver that cannot be leave no room, for its own frames alone.
    const std::uint32_t consumed = ring.consumed.load(std::memory_order_acquire);
    if (queue >= used_ || frame.bytes.size() > max_frame_ || produced_[queue] - consumed >= hq::kEntries) {
      ring.dropped.fetch_add(1, std::memory_order_relaxed);
      continue;
    }
    hq::Entry& entry = memory_.entry(queue, false, produced_[queue]);
    const bool marked = (frame.verdict >> (regs::kVerdictBits - 1) & 1) != 0;
    entry.length = static_cast<std::uint32_t>(frame.bytes.size());
    entry.flags = look_at_checksums(frame.bytes) | (marked ? hq::kMarked : 0);
    entry.mark = static_cast<std::uint32_t>(frame.verdict >> regs::kVerdictQueueBits & kMarkMask);
    std::memcpy(entry.frame.data(), frame.bytes.data(), frame.bytes.size());
    ring.produced.store(++produced_[queue], std::memory_order_seq_cst);
    given.set(queue);
  }
  for (std::uint32_t queue = 0; queue < queues_; ++queue) {
    if (!given[queue]) continue;
    hq::Ring& ring = memory_.ring(queue, false);
    if (ring.armed.load(std::memory_order_seq_cst) == 0 || ring.armed.exchange(0) == 0) continue;
    const std::uint64_t one = 1;
    static_cast<void>(!::write(signals_[queue].get(), &one, sizeof one));
  }
  return given.any();
}

// ---- turns

bool QueueServer::poll(bool port_free) {
  bool any = accept();
  if (port_free && dirty_.any()) {
    write_rules();
    any = true;
  }
  // What a former driver left is cleared before the next one is heard.
  if (client_ && dirty_.none() && port_free) any |= take_request();
  if (kick_) {
    std::uint64_t kicks = 0;
    any |= ::read(kick_.get(), &kicks, sizeof kicks) == sizeof kicks;
  }
  if (queues_ != 0) any |= take_frames();
  if (queues_ != 0) return give_frames() || any;
  while (!to_host_.empty()) to_host_.pop();  // there is nobody
  return any;
}

bool QueueServer::may_sleep() {
  if (queues_ == 0) return true;
  memory_.header().sleeps.store(1, std::memory_order_seq_cst);
  for (std::uint32_t queue = 0; queue < queues_; ++queue) {
    if (memory_.ring(queue, true).produced.load(std::memory_order_seq_cst) != consumed_[queue]) return false;
  }
  return true;
}

void QueueServer::awake() {
  if (queues_ != 0) memory_.header().sleeps.store(0, std::memory_order_relaxed);
}

}  // namespace slotwire::sim
