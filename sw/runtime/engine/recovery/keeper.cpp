#include "runtime/engine/recovery/keeper.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <optional>
#include <system_error>
#include <utility>

#include "core/slot/open_files.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/recovery/file_lock.hpp"
#include "runtime/engine/recovery/keeper_process.hpp"
#include "runtime/engine/recovery/keeper_protocol.hpp"

namespace slotwire::engine {
namespace {

constexpr int kListenBacklog = 16;
/// A keeper that ends just while it is asked is replaced; more than a few in a row means that keepers cannot live here.
constexpr int kMaxAttempts = 4;
constexpr int kLockRetryMs = 5;
/// The keeper mostly answers within some microseconds, and within this time also on a busy machine: that is not worth
/// undoing the request and trying it again.
constexpr int kPromptMs = 10;

[[noreturn]] void fail(const std::string& what, int error) {
  throw std::system_error(error, std::generic_category(), what);
}

/// The keeper's place, checked: whoever else may write there could put a keeper of its own in the way.
slot::Fd open_run_dir(const std::filesystem::path& run_dir) {
  slot::Fd dir(::open(run_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir)
    fail("the directory " + run_dir.string() + " (node.run_dir) cannot be opened; create it for slotwired's user",
         errno);
  struct stat info {};
  if (::fstat(dir.get(), &info) != 0) fail("the directory " + run_dir.string() + " cannot be examined", errno);
  if ((info.st_uid != ::geteuid() && info.st_uid != 0) || (info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    throw std::runtime_error("others may write to the directory " + run_dir.string() +
                             " (node.run_dir); give it to slotwired's user, mode 0755");
  }
  return dir;
}

FileLock acquire_lock(const slot::Fd& dir, const std::filesystem::path& path, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    if (auto lock = FileLock::try_acquire(dir.get(), path.filename().string(), true)) return std::move(*lock);
    if (errno != EWOULDBLOCK) fail("the lock " + path.string() + " cannot be taken", errno);
    if (std::chrono::steady_clock::now() >= deadline) {
      throw std::runtime_error("another slotwired has been starting for too long (it holds " + path.string() +
                               "); end it, then start again");
    }
    ::poll(nullptr, 0, kLockRetryMs);
  }
}

sockaddr_un address_of(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& name = path.native();
  if (name.size() > kMaxSocketPath) {
    throw std::runtime_error("the path " + name + " is longer than " + std::to_string(kMaxSocketPath) +
                             " bytes; give a shorter node.run_dir or node.name");
  }
  std::memcpy(address.sun_path, name.data(), name.size());
  return address;
}

void set_timeout(int socket, std::chrono::milliseconds timeout) {
  const timeval value{static_cast<time_t>(timeout.count() / 1000),
                      static_cast<suseconds_t>(timeout.count() % 1000 * 1000)};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &value, sizeof(value));
  ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &value, sizeof(value));
}

slot::Fd new_socket(int flags) {
  slot::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0));
  if (!socket) fail("a socket for the keeper cannot be made", errno);
  return socket;
}

/// Nothing when no keeper listens there.
std::optional<slot::Fd> connect_to(const std::filesystem::path& path, std::chrono::milliseconds timeout) {
  slot::Fd socket = new_socket(0);
  set_timeout(socket.get(), timeout);
  const sockaddr_un address = address_of(path);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return socket;
  if (errno == ENOENT || errno == ECONNREFUSED) return std::nullopt;
  fail("the keeper at " + path.string() + " cannot be reached; end the process slotwire-keeper of this node", errno);
}

/// The socket of process `number` of a node's keeper; the first one has the node's lock as well.
std::filesystem::path drawer_path(const std::filesystem::path& run_dir, const std::string& node, std::size_t number) {
  if (number == 0) return keeper_socket_path(run_dir, node);
  return run_dir / (node + ".keeper" + std::to_string(number) + ".sock");
}

/// Processes that it takes to keep `descriptors`.
std::size_t processes_for(const KeeperOptions& options) {
  const std::size_t each = std::max<std::size_t>(1, keeper_room(options));
  return std::clamp<std::size_t>((options.descriptors + each - 1) / each, 1, kMaxKeeperProcesses);
}

/// The name must be free: the caller holds the lock and has seen that nobody listens.
void start(const slot::Fd& dir, const std::filesystem::path& socket_path, const std::filesystem::path& lock_path,
           const KeeperOptions& options) {
  const std::string lock_name = lock_path.filename().string();
  ::unlinkat(dir.get(), socket_path.filename().c_str(), 0);
  const slot::Fd listener = new_socket(SOCK_NONBLOCK);
  // Before bind(), which makes the file with this mode: there is no moment in which others could connect.
  ::fchmod(listener.get(), 0600);
  const sockaddr_un address = address_of(socket_path);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listener.get(), kListenBacklog) != 0) {
    fail("the keeper's socket " + socket_path.string() + " cannot be made", errno);
  }
  start_keeper_process(listener, dir, socket_path.filename().string(), lock_name, options);
}

void check_owner(int socket, const std::filesystem::path& path) {
  ucred who{};
  socklen_t size = sizeof(who);
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 || who.uid != ::geteuid()) {
    throw std::runtime_error("the keeper at " + path.string() + " belongs to user " + std::to_string(who.uid) +
                             "; run slotwired as that user, or end that keeper");
  }
}

}  // namespace

struct Keeper::Answer {
  KeeperReply reply;
  std::vector<slot::Fd> fds;
};

NodeInUse::NodeInUse(const std::string& node, pid_t pid)
    : std::runtime_error("another slotwired runs as node " + node + " (pid " + std::to_string(pid) +
                         "); stop it, or give this one another node.name"),
      pid_(pid) {}

Keeper Keeper::attach(const std::filesystem::path& run_dir, const std::string& node, const KeeperOptions& options) {
  slot::raise_open_files_limit();
  const auto lock_path = keeper_lock_path(run_dir, node);
  const slot::Fd dir = open_run_dir(run_dir);
  const FileLock lock = acquire_lock(dir, lock_path, options.timeout);
  Keeper keeper(options.timeout);
  const std::size_t wanted = processes_for(options);
  for (std::size_t number = 0; number < kMaxKeeperProcesses; ++number) {
    // Beyond what is wanted now there may be those of a slotwired that wanted more.
    std::error_code ignored;
    if (number >= wanted && !std::filesystem::exists(drawer_path(run_dir, node, number), ignored)) continue;
    keeper.drawers_.push_back(open_drawer(dir, run_dir, node, number, options));
    keeper.list(static_cast<std::uint8_t>(keeper.drawers_.size() - 1));
  }
  std::sort(keeper.kept_.begin(), keeper.kept_.end());
  return keeper;
}

/// Connects to process `number` of the keeper, or starts it.
Keeper::Drawer Keeper::open_drawer(const slot::Fd& dir, const std::filesystem::path& run_dir, const std::string& node,
                                   std::size_t number, const KeeperOptions& options) {
  const auto socket_path = drawer_path(run_dir, node, number);
  // The lock's file belongs to the first process, which removes it when it ends.
  const auto lock_path = number == 0 ? keeper_lock_path(run_dir, node) : std::filesystem::path();
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    auto socket = connect_to(socket_path, options.timeout);
    if (!socket) {
      start(dir, socket_path, lock_path, options);
      socket = connect_to(socket_path, options.timeout);
      if (!socket) continue;
    }
    check_owner(socket->get(), socket_path);
    KeeperReply greeting;
    std::vector<slot::Fd> none;
    const auto received = receive_datagram(socket->get(), std::as_writable_bytes(std::span(&greeting, 1)), none, 0);
    if (received == Received::closed) continue;  // it was about to end
    if (received == Received::nothing) {
      throw std::runtime_error("the keeper at " + socket_path.string() +
                               " does not answer; end the process slotwire-keeper "
                               "of this node (what it keeps is lost)");
    }
    if (received == Received::malformed || greeting.magic != kKeeperMagic || greeting.version != kKeeperVersion) {
      throw std::runtime_error("the keeper at " + socket_path.string() +
                               " is of another version; stop the other slotwired "
                               "in an orderly way first, or end the process slotwire-keeper of this node");
    }
    if (greeting.status == static_cast<std::uint16_t>(KeeperStatus::busy)) throw NodeInUse(node, greeting.pid);
    return {std::move(*socket), greeting.pid};
  }
  throw std::runtime_error("no keeper stays alive at " + socket_path.string() +
                           "; check the limits of processes and memory");
}

/// Learns the tags that a process of the keeper has. Their descriptors come along and are closed.
void Keeper::list(std::uint8_t drawer) {
  std::uint64_t next = 0;
  for (;;) {
    auto answer = ask(drawers_[drawer], static_cast<std::uint16_t>(KeeperOp::list), next, {});
    if (!answer) throw std::runtime_error("what the keeper holds cannot be listed: " + answer.error().text);
    auto& [reply, fds] = answer.value();
    if (reply.status == static_cast<std::uint16_t>(KeeperStatus::end)) return;
    // Rising tags are what makes this loop end; a tag in two processes could be removed from one only.
    if (reply.status != static_cast<std::uint16_t>(KeeperStatus::ok) || reply.tag < next || fds.empty() ||
        !where_.emplace(reply.tag, drawer).second) {
      throw std::runtime_error(
          "the keeper lists its entries out of order; end the processes slotwire-keeper of this node");
    }
    kept_.push_back(reply.tag);
    if (reply.tag == std::numeric_limits<std::uint64_t>::max()) return;
    next = reply.tag + 1;
  }
}

Result<std::vector<slot::Fd>> Keeper::fetch(std::uint64_t tag) {
  const auto found = where_.find(tag);
  if (found == where_.end()) return Error{"the keeper has nothing under tag " + std::to_string(tag)};
  auto answer = ask(drawers_[found->second], static_cast<std::uint16_t>(KeeperOp::list), tag, {});
  if (!answer) return answer.error();
  auto& [reply, fds] = answer.value();
  if (reply.status != static_cast<std::uint16_t>(KeeperStatus::ok) || reply.tag != tag || fds.empty()) {
    return Error{"the keeper has lost what was under tag " + std::to_string(tag)};
  }
  return std::move(fds);
}

std::vector<Keeper::Entry> Keeper::take_kept() {
  std::vector<Entry> entries;
  for (const std::uint64_t tag : std::exchange(kept_, {})) {
    auto fds = fetch(tag);
    if (!fds) throw std::runtime_error("what the keeper holds cannot be fetched: " + fds.error().text);
    entries.push_back({tag, std::move(fds).value()});
  }
  return entries;
}

void Keeper::serve_in(EventLoop& loop, std::function<void(pid_t)> gone) {
  on_gone_ = std::move(gone);
  for (Drawer& drawer : drawers_) {
    if (drawer.socket) loop.add(drawer.socket.get(), EPOLLIN, [this, &drawer](std::uint32_t) { take_late(drawer); });
  }
  loop_ = &loop;
}

bool Keeper::ready() const {
  return std::all_of(drawers_.begin(), drawers_.end(), [](const Drawer& drawer) { return !drawer.asked; });
}

Error Keeper::late(const Drawer& drawer) {
  return Error{"the keeper (slotwire-keeper, pid " + std::to_string(drawer.pid) +
               ") does not answer; it may be stopped, or have no processor time"};
}

/// The connection to it has ended, or cannot be used any more.
void Keeper::lose(Drawer& drawer) {
  if (loop_ != nullptr) loop_->remove(drawer.socket.get());
  drawer.socket.reset();
  drawer.asked.reset();
  drawer.to_remove.clear();
  if (loop_ != nullptr && on_gone_) on_gone_(drawer.pid);
}

Result<Keeper::Answer> Keeper::ask(Drawer& drawer, std::uint16_t op, std::uint64_t tag, std::span<const int> fds) {
  slot::Fd& socket = drawer.socket;
  if (!socket) return Error{"the keeper is gone; restart slotwired to have its slots kept again"};
  if (drawer.asked) return late(drawer);
  KeeperRequest request;
  request.op = op;
  request.tag = tag;
  if (!send_datagram(socket.get(), std::as_bytes(std::span(&request, 1)), fds, 0)) {
    const int error = errno;
    // A bad descriptor is the caller's slip and nothing was sent; anything else ends the connection.
    if (error == EBADF) return Error{"a descriptor to be kept is not open"};
    lose(drawer);
    return Error{"the keeper cannot be reached: " + std::generic_category().message(error) + "; restart slotwired"};
  }
  return answer_of(drawer, op, tag);
}

Result<Keeper::Answer> Keeper::answer_of(Drawer& drawer, std::uint16_t op, std::uint64_t tag) {
  Answer answer;
  pollfd wait{drawer.socket.get(), POLLIN, 0};
  const bool there = loop_ == nullptr || ::poll(&wait, 1, kPromptMs) == 1;
  const int flags = loop_ == nullptr ? 0 : MSG_DONTWAIT;
  switch (there ? receive_datagram(drawer.socket.get(), std::as_writable_bytes(std::span(&answer.reply, 1)), answer.fds,
                                   flags)
                : Received::nothing) {
    case Received::message:
      return answer;
    case Received::nothing:
      if (loop_ != nullptr) {
        drawer.asked = {op, tag};
        return late(drawer);
      }
      // An answer that comes later would be taken for that of the next request.
      lose(drawer);
      return Error{"the keeper did not answer within " + std::to_string(timeout_.count()) + " ms; restart slotwired"};
    case Received::closed:
      lose(drawer);
      return Error{"the keeper has ended; restart slotwired to have its slots kept again"};
    case Received::malformed:
      lose(drawer);
      return Error{"the keeper's answer came incomplete; raise the limit of open files (LimitNOFILE)"};
  }
  return Error{"the keeper's answer cannot be read"};
}

void Keeper::take_late(Drawer& drawer) {
  if (!drawer.socket) return;
  Answer answer;
  switch (receive_datagram(drawer.socket.get(), std::as_writable_bytes(std::span(&answer.reply, 1)), answer.fds,
                           MSG_DONTWAIT)) {
    case Received::nothing:
      return;
    case Received::message: {
      const std::optional<Drawer::Asked> asked = std::exchange(drawer.asked, std::nullopt);
      // Whoever asked for this was told that it came to nothing.
      if (asked && asked->op == static_cast<std::uint16_t>(KeeperOp::store) &&
          answer.reply.status == static_cast<std::uint16_t>(KeeperStatus::ok)) {
        drawer.to_remove.push_front(asked->tag);
      }
      break;
    }
    case Received::closed:
    case Received::malformed:
      lose(drawer);
      break;
  }
  while (drawer.socket && !drawer.asked && !drawer.to_remove.empty()) {
    const std::uint64_t tag = drawer.to_remove.front();
    drawer.to_remove.pop_front();
    (void)ask(drawer, static_cast<std::uint16_t>(KeeperOp::remove), tag, {});
  }
  if (on_ready_ && ready()) on_ready_();
}

/// Waits for an answer that is late, and for what waits behind it, at most `timeout`.
void Keeper::settle(Drawer& drawer) {
  const auto end = std::chrono::steady_clock::now() + timeout_;
  while (drawer.asked) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
    pollfd wait{drawer.socket.get(), POLLIN, 0};
    if (left <= 0 || (::poll(&wait, 1, static_cast<int>(left)) < 1 && errno != EINTR)) return;
    take_late(drawer);
  }
}

/// In the process that had room last, or in another one that has.
Result<void> Keeper::store(std::uint64_t tag, std::span<const int> fds) {
  if (fds.empty() || fds.size() > kMaxFdsPerTag) {
    return Error{"1 to " + std::to_string(kMaxFdsPerTag) + " descriptors can be kept under a tag, not " +
                 std::to_string(fds.size())};
  }
  // A tag that is still to be removed from one process must not come into another one.
  for (const Drawer& drawer : drawers_) {
    if (drawer.asked) return late(drawer);
  }
  const Error exists{"the keeper has something under tag " + std::to_string(tag) + " already; remove it first"};
  if (where_.count(tag) != 0) return exists;
  for (std::size_t tried = 0; tried < drawers_.size(); ++tried) {
    const std::size_t at = (filling_ + tried) % drawers_.size();
    const auto answer = ask(drawers_[at], static_cast<std::uint16_t>(KeeperOp::store), tag, fds);
    if (!answer) return answer.error();
    switch (static_cast<KeeperStatus>(answer.value().reply.status)) {
      case KeeperStatus::ok:
        filling_ = at;
        where_.emplace(tag, static_cast<std::uint8_t>(at));
        return {};
      case KeeperStatus::full:
        continue;
      case KeeperStatus::exists:
        return exists;
      default:
        return Error{"the keeper refused tag " + std::to_string(tag)};
    }
  }
  return Error{"the keeper is full; raise the limit of open files (LimitNOFILE), or lower limits.slots"};
}

Result<void> Keeper::remove(std::uint64_t tag) {
  const auto found = where_.find(tag);
  if (found == where_.end()) return Error{"the keeper has nothing under tag " + std::to_string(tag)};
  Drawer& drawer = drawers_[found->second];
  where_.erase(found);
  if (drawer.asked) {
    drawer.to_remove.push_back(tag);
    return {};
  }
  const auto answer = ask(drawer, static_cast<std::uint16_t>(KeeperOp::remove), tag, {});
  if (drawer.asked) return {};  // it will be
  if (!answer) return answer.error();
  if (answer.value().reply.status == static_cast<std::uint16_t>(KeeperStatus::ok)) return {};
  return Error{"the keeper has lost what was under tag " + std::to_string(tag)};
}

/// The first process goes last: until then nobody else can be this node.
Result<void> Keeper::quit() {
  Result<void> result;
  on_ready_ = {};
  for (Drawer& drawer : drawers_) {
    settle(drawer);
    if (loop_ != nullptr && drawer.socket) loop_->remove(drawer.socket.get());
  }
  loop_ = nullptr;
  for (std::size_t i = drawers_.size(); i-- != 0;) {
    if (Result<void> one = quit(drawers_[i]); !one) result = std::move(one);
  }
  return result;
}

Result<void> Keeper::quit(Drawer& drawer) {
  const auto answer = ask(drawer, static_cast<std::uint16_t>(KeeperOp::quit), 0, {});
  if (!answer) return answer.error();
  // Its end of the connection closes when its process ends, together with all that it held.
  pollfd wait{drawer.socket.get(), POLLIN, 0};
  const int ready = ::poll(&wait, 1, static_cast<int>(timeout_.count()));
  lose(drawer);
  if (ready != 1)
    return Error{"the keeper did not end within " + std::to_string(timeout_.count()) + " ms; end process " +
                 std::to_string(drawer.pid)};
  return {};
}

}  // namespace slotwire::engine
