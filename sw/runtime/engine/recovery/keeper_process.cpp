#include "runtime/engine/recovery/keeper_process.hpp"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <new>
#include <span>
#include <string>
#include <utility>

#include "core/slot/open_files.hpp"
#include "runtime/engine/recovery/file_lock.hpp"
#include "runtime/sandbox/sandbox.hpp"

namespace slotwire::engine {
namespace {

constexpr std::size_t kOwnDescriptors = 64;  // room for sockets and for descriptors on their way
constexpr int kMaxRequestsInARow = 64;

std::span<const std::byte> bytes_of(const KeeperReply& reply) {
  return std::as_bytes(std::span(&reply, 1));
}

/// Signals meant for slotwired (a terminal's, a service manager's) must not end what is to outlive it.
void ignore_signals() {
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM}) {
    ::signal(number, SIG_IGN);
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace

std::size_t keeper_room(const KeeperOptions& options) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return options.max_descriptors;
  const auto room = limit.rlim_cur > kOwnDescriptors ? limit.rlim_cur - kOwnDescriptors : 0;
  return std::min<std::size_t>(options.max_descriptors, room);
}

int keeper_main(int listener, int dir, const KeeperStart& start) {
  ::prctl(PR_SET_NAME, kKeeperProgram);
  ignore_signals();
  ::umask(077);
  slot::Fd own_listener(listener), own_dir(dir);
  // Whatever the file system is of the directory it was started in, it can be unmounted.
  if (::chdir("/") != 0) return 1;
  slot::raise_open_files_limit();
  try {
    KeeperProcess keeper(std::move(own_listener), std::move(own_dir), start.socket_name, start.lock_name,
                         start.options);
    sandbox::gain_nothing();
    sandbox::allow_only(sandbox::keeper_calls(), sandbox::Otherwise::fail);
    keeper.run();
  } catch (...) {
    return 1;
  }
  return 0;
}

KeeperProcess::KeeperProcess(slot::Fd listener, slot::Fd dir, std::string socket_name, std::string lock_name,
                             const KeeperOptions& options)
    : listener_(std::move(listener)),
      dir_(std::move(dir)),
      socket_name_(std::move(socket_name)),
      lock_name_(std::move(lock_name)),
      options_(options),
      // Who started it gets the time to attach, however short it is to wait later.
      leave_at_(std::chrono::steady_clock::now() + std::max(options.keep_for, options.timeout)) {
  options_.max_descriptors = keeper_room(options);
}

void KeeperProcess::run() {
  while (!quit_) {
    std::array<pollfd, 2> wait{{{listener_.get(), POLLIN, 0}, {attached_.get(), POLLIN, 0}}};
    const int ready = ::poll(wait.data(), attached_ ? 2 : 1, milliseconds_left());
    if (ready == 0 && milliseconds_left() == 0) break;
    if (ready <= 0) continue;
    // Always the attached one first: when it was killed and its successor is at the door already, its end comes first
    // too.
    if (attached_) serve_attached();
    if (!quit_ && wait[0].revents != 0) accept_one();
  }
  remove_files();
}

int KeeperProcess::milliseconds_left() const {
  if (attached_) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(leave_at_ - std::chrono::steady_clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, INT_MAX));
}

void KeeperProcess::accept_one() {
  slot::Fd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!peer) return;
  ucred who{};
  socklen_t size = sizeof(who);
  // The descriptors are the slot memory of all users; only slotwired's own user may have them.
  if (::getsockopt(peer.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 || who.uid != ::geteuid()) return;
  KeeperReply greeting;
  greeting.entries = static_cast<std::uint32_t>(kept_.size());
  if (attached_) {
    greeting.status = static_cast<std::uint16_t>(KeeperStatus::busy);
    greeting.pid = attached_pid_;
    send_datagram(peer.get(), bytes_of(greeting), {}, MSG_DONTWAIT);
    return;
  }
  greeting.pid = ::getpid();
  if (!send_datagram(peer.get(), bytes_of(greeting), {}, MSG_DONTWAIT)) return;
  attached_ = std::move(peer);
  attached_pid_ = who.pid;
}

void KeeperProcess::serve_attached() {
  for (int i = 0; i < kMaxRequestsInARow && attached_ && !quit_; ++i) {
    KeeperRequest request;
    std::vector<slot::Fd> fds;
    switch (receive_datagram(attached_.get(), std::as_writable_bytes(std::span(&request, 1)), fds, MSG_DONTWAIT)) {
      case Received::message:
        serve(request, std::move(fds));
        break;
      case Received::nothing:
        return;
      case Received::closed:
      case Received::malformed:
        detach();
        return;
    }
  }
}

void KeeperProcess::serve(const KeeperRequest& request, std::vector<slot::Fd> fds) {
  const auto op = static_cast<KeeperOp>(request.op);
  const bool known = request.op >= static_cast<std::uint16_t>(KeeperOp::store) &&
                     request.op <= static_cast<std::uint16_t>(KeeperOp::quit);
  // Whoever breaks the protocol is let go; what is kept stays for one who does not.
  if (request.magic != kKeeperMagic || request.version != kKeeperVersion || !known ||
      (op == KeeperOp::store) == fds.empty()) {
    detach();
    return;
  }
  switch (op) {
    case KeeperOp::store:
      reply(store(request.tag, std::move(fds)), request.tag);
      return;
    case KeeperOp::remove:
      reply(remove(request.tag), request.tag);
      return;
    case KeeperOp::list: {
      const auto entry = kept_.lower_bound(request.tag);
      if (entry == kept_.end()) {
        reply(KeeperStatus::end, 0);
      } else {
        reply(KeeperStatus::ok, entry->first, &entry->second);
      }
      return;
    }
    case KeeperOp::quit:
      // Before the answer: whoever has it may rely on the directory being clean.
      remove_files();
      reply(KeeperStatus::ok, 0);
      quit_ = true;
      return;
  }
}

KeeperStatus KeeperProcess::store(std::uint64_t tag, std::vector<slot::Fd> fds) {
  if (kept_.count(tag) != 0) return KeeperStatus::exists;
  if (kept_.size() >= options_.max_entries || descriptors_ + fds.size() > options_.max_descriptors) {
    return KeeperStatus::full;
  }
  const std::size_t count = fds.size();
  try {
    kept_.emplace(tag, std::move(fds));
  } catch (const std::bad_alloc&) {
    return KeeperStatus::full;
  }
  descriptors_ += count;
  return KeeperStatus::ok;
}

KeeperStatus KeeperProcess::remove(std::uint64_t tag) {
  const auto found = kept_.find(tag);
  if (found == kept_.end()) return KeeperStatus::unknown;
  descriptors_ -= found->second.size();
  kept_.erase(found);
  return KeeperStatus::ok;
}

void KeeperProcess::reply(KeeperStatus status, std::uint64_t tag, const std::vector<slot::Fd>* fds) {
  std::array<int, kMaxFdsPerTag> numbers{};
  std::size_t count = 0;
  if (fds != nullptr) {
    for (const slot::Fd& fd : *fds) numbers[count++] = fd.get();
  }
  KeeperReply answer;
  answer.status = static_cast<std::uint16_t>(status);
  answer.tag = tag;
  if (send_datagram(attached_.get(), bytes_of(answer), std::span(numbers).first(count), MSG_DONTWAIT)) return;
  // One that was killed gets no answers any more, but what it had asked for is carried out all the same: it comes
  // before its end. One that lives leaves room for answers, or does not keep to the protocol.
  if (errno != EPIPE && errno != ECONNRESET) detach();
}

void KeeperProcess::detach() {
  attached_.reset();
  leave_at_ = std::chrono::steady_clock::now() + options_.keep_for;
}

void KeeperProcess::remove_files() const {
  // The socket goes while it still listens: a dead name is then always one that nobody will remove any more.
  ::unlinkat(dir_.get(), socket_name_.c_str(), 0);
  // Where a slotwired holds the lock it is just starting here, and its lock stays.
  if (lock_name_.empty()) return;
  if (const auto lock = FileLock::try_acquire(dir_.get(), lock_name_, false)) lock->remove(dir_.get());
}

}  // namespace slotwire::engine
