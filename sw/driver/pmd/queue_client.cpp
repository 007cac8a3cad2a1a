#include "driver/pmd/queue_client.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace slotwire::driver {
namespace {

namespace hq = host_queues;
using slot::Fd;

/// The memory, the card's eventfd, and one for each queue.
constexpr std::size_t kMaxFds = 2 + hq::kMaxQueues;

}  // namespace

QueueClient::QueueClient(const std::string& path, std::uint32_t queues) {
  const std::string what = "queue socket " + path + ": ";
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof at.sun_path)
    throw std::runtime_error(what + "give a path of 1 to " + std::to_string(sizeof at.sun_path - 1) + " bytes");
  path.copy(at.sun_path, sizeof at.sun_path - 1);
  if (queues == 0 || queues > hq::kMaxQueues)
    throw std::runtime_error(what + "a card has 1 to " + std::to_string(hq::kMaxQueues) + " queues");
  socket_ = Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket_ || ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) {
    throw std::runtime_error(what + std::strerror(errno) +
                             "; start the card first (slotwire-simcard --host queues:" + path + ")");
  }
  hq::Request request{};
  request.op = static_cast<std::uint32_t>(hq::Op::hello);
  request.index = queues;
  std::vector<Fd> fds;
  if (::send(socket_.get(), &request, sizeof request, MSG_NOSIGNAL) != sizeof request || !receive(info_, fds))
    throw std::runtime_error(what + "the card does not answer; it may have another driver");
  if (info_.status != 0)
    throw std::runtime_error(what + "the card refuses: " + std::strerror(static_cast<int>(info_.status)));
  if (info_.queues != queues || info_.entries != hq::kEntries || info_.entry_bytes != sizeof(hq::Entry) ||
      info_.max_frame != hq::kMaxFrame || info_.memory_bytes != hq::memory_bytes(queues) ||
      fds.size() != 2 + std::size_t{queues}) {
    throw std::runtime_error(what + "the card has queues of another form; use a card and a driver of one release");
  }
  if (const std::string wrong = slot::check_sealed_file(fds[0].get(), info_.memory_bytes); !wrong.empty())
    throw std::runtime_error(what + "the card's memory is not what it must be: " + wrong);
  mapping_ = slot::map_file(fds[0].get(), info_.memory_bytes, slot::Access::read_write);
  memory_.base = mapping_.data();
  // A signal that cannot be given is not waited for.
  for (std::size_t i = 1; i < fds.size(); ++i) static_cast<void>(::fcntl(fds[i].get(), F_SETFL, O_NONBLOCK));
  kick_ = std::move(fds[1]);
  for (std::size_t i = 2; i < fds.size(); ++i) signals_.push_back(std::move(fds[i]));
}

/// Waits for the answer to one request. False: none came, or it is no answer.
bool QueueClient::receive(hq::Reply& reply, std::vector<Fd>& fds) const {
  using Clock = std::chrono::steady_clock;
  const auto until = Clock::now() + std::chrono::milliseconds(kPatienceMs);
  pollfd readable{socket_.get(), POLLIN, 0};
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
    if (left <= 0) return false;
    const int n = ::poll(&readable, 1, static_cast<int>(left));
    if (n > 0) break;
    if (n < 0 && errno != EINTR) return false;
  }
  iovec data{&reply, sizeof reply};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxFds * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t n = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
  if (n < 0) return false;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t at = 0; CMSG_LEN(at + sizeof(int)) <= c->cmsg_len; at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return n == sizeof reply && (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 && reply.magic == hq::kMagic &&
         reply.version == hq::kVersion;
}

void QueueClient::kick() const {
  if (memory_.header().sleeps.load(std::memory_order_seq_cst) == 0) return;
  const std::uint64_t one = 1;
  static_cast<void>(!::write(kick_.get(), &one, sizeof one));
}

int QueueClient::ask(const hq::Request& request) {
  const std::scoped_lock one_at_a_time(asking_);
  hq::Reply reply{};
  std::vector<Fd> fds;  // an answer has none; those that come are closed
  if (broken_ || ::send(socket_.get(), &request, sizeof request, MSG_NOSIGNAL) != sizeof request ||
      !receive(reply, fds)) {
    broken_ = true;
    return -EIO;
  }
  constexpr std::uint32_t kMaxErrno = 4095;
  return reply.status <= kMaxErrno ? -static_cast<int>(reply.status) : -EIO;
}

int QueueClient::set(std::uint32_t queues_in_use, std::uint32_t flags, std::uint32_t max_frame,
                     const std::array<std::uint8_t, 6>& mac) {
  hq::Request request{};
  request.op = static_cast<std::uint32_t>(hq::Op::set);
  request.index = queues_in_use;
  request.flags = flags;
  request.max_frame = max_frame;
  request.mac = mac;
  return ask(request);
}

int QueueClient::write_rule(std::uint32_t index, const regs::ClassifierRule& rule) {
  hq::Request request{};
  request.op = static_cast<std::uint32_t>(hq::Op::rule);
  request.index = index;
  std::memcpy(request.rule.data(), &rule, sizeof rule);
  return ask(request);
}

int QueueClient::write_default_rule(regs::ClassifierAction action, std::uint32_t queue) {
  hq::Request request{};
  request.op = static_cast<std::uint32_t>(hq::Op::default_rule);
  request.flags = static_cast<std::uint32_t>(action);
  request.index = queue;
  return ask(request);
}

bool QueueClient::link_up() const {
  if (broken_) return false;
  // What the card sends unasked is nothing; a closed connection reads as its end.
  std::byte byte{};
  const ssize_t n = ::recv(socket_.get(), &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return false;
  return memory_.header().link_up.load(std::memory_order_acquire) == 1;
}

}  // namespace slotwire::driver
