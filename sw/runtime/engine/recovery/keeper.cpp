#include "runtime/engine/recovery/keeper.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "core/slot/open_files.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/recovery/file_lock.hpp"
#include "runtime/engine/recovery/keeper_asking.hpp"
#include "runtime/engine/recovery/keeper_process.hpp"
#include "runtime/engine/recovery/keeper_protocol.hpp"
#include "runtime/engine/recovery/keeper_start.hpp"

namespace slotwire::engine {
namespace {

constexpr int kListenBacklog = 16;
/// A keeper that ends just while it is asked is replaced; more than a few in a row means that keepers cannot live here.
constexpr int kMaxAttempts = 4;
constexpr int kLockRetryMs = 5;
/// In the place of a drawer: a tag that went with one.
constexpr std::uint8_t kLost = 0xff;
constexpr std::uint64_t kMinuteUs = 60'000'000;
/// Between two looks at a lock that another slotwired holds, and at a child that has not ended yet.
constexpr std::uint64_t kLookAgainUs = 100'000;
/// The same for a slotwired that may be about to end.
constexpr std::chrono::milliseconds kBusyPause{10};
/// Until the listening socket of a process that was killed is closed, too.
constexpr std::uint64_t kLastMomentUs = 5'000;
/// A start that is due within this time is worth waiting for; requests are refused otherwise.
constexpr std::uint64_t kSoonUs = 2'000'000;

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

/// The name must be free: the caller holds the lock and has seen that nobody listens. What is returned is to be waited
/// for, and ends at once.
pid_t start(const slot::Fd& dir, const std::filesystem::path& socket_path, const std::filesystem::path& lock_path,
            const KeeperOptions& options) {
  ::unlinkat(dir.get(), socket_path.filename().c_str(), 0);
  const slot::Fd listener = new_socket(SOCK_NONBLOCK);
  // Before bind(), which makes the file with this mode: there is no moment in which others could connect.
  ::fchmod(listener.get(), 0600);
  const sockaddr_un address = address_of(socket_path);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listener.get(), kListenBacklog) != 0) {
    fail("the keeper's socket " + socket_path.string() + " cannot be made", errno);
  }
  return start_keeper_program(listener, dir, {socket_path.filename().string(), lock_path.filename().string(), options});
}

/// For a process that has made the keeper's and ends.
void await(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    // Where SIGCHLD is ignored there is no status; the greeting will tell whether there is a keeper.
    if (errno == ECHILD) return;
    if (errno != EINTR) fail("the keeper's start cannot be awaited", errno);
  }
  if (status != 0) fail("the keeper's process cannot be made; check TasksMax and ulimit -u", EAGAIN);
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

namespace {

Result<std::vector<slot::Fd>> duplicates_of(std::span<const int> fds) {
  std::vector<slot::Fd> duplicates;
  for (const int fd : fds) {
    duplicates.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!duplicates.back()) {
      return Error{"a kept descriptor cannot be duplicated: " + std::generic_category().message(errno) +
                   "; raise the limit of open files (LimitNOFILE)"};
    }
  }
  return duplicates;
}

std::vector<int> numbers_of(const std::vector<slot::Fd>& fds) {
  std::vector<int> numbers;
  for (const slot::Fd& fd : fds) numbers.push_back(fd.get());
  return numbers;
}

}  // namespace

NodeInUse::NodeInUse(const std::string& node, pid_t pid)
    : std::runtime_error("another slotwired runs as node " + node + " (pid " + std::to_string(pid) +
                         "); stop it, or give this one another node.name"),
      pid_(pid) {}

Keeper::Keeper(std::filesystem::path run_dir, std::string node, const KeeperOptions& options)
    : run_dir_(std::move(run_dir)),
      node_(std::move(node)),
      options_(options),
      timeout_(options.timeout),
      room_(keeper_room(options)) {}

Keeper::~Keeper() {
  leave_loop();
}

void Keeper::leave_loop() {
  if (loop_ != nullptr && silence_timer_) loop_->cancel(*silence_timer_);
  silence_timer_.reset();
  loop_ = nullptr;
}

Keeper Keeper::attach(const std::filesystem::path& run_dir, const std::string& node, const KeeperOptions& options) {
  slot::raise_open_files_limit();
  const auto lock_path = keeper_lock_path(run_dir, node);
  const slot::Fd dir = open_run_dir(run_dir);
  const FileLock lock = acquire_lock(dir, lock_path, options.timeout);
  Keeper keeper(run_dir, node, options);
  const std::size_t wanted = processes_for(options);
  for (std::size_t number = 0; number < kMaxKeeperProcesses; ++number) {
    // Beyond what is wanted now there may be those of a slotwired that wanted more.
    std::error_code ignored;
    if (number >= wanted && !std::filesystem::exists(drawer_path(run_dir, node, number), ignored)) continue;
    keeper.drawers_.push_back(open_drawer(dir, run_dir, node, number, options));
    keeper.found_killed_ = keeper.found_killed_ || keeper.drawers_.back().replaces_killed;
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
  bool left_behind = false;
  std::optional<std::chrono::steady_clock::time_point> patience;
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    auto socket = connect_to(socket_path, options.timeout);
    if (!socket) {
      // One that ends in good order removes its socket.
      std::error_code none;
      left_behind = left_behind || (attempt == 0 && std::filesystem::exists(socket_path, none));
      await(start(dir, socket_path, lock_path, options));
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
    if (greeting.status == static_cast<std::uint16_t>(KeeperStatus::busy)) {
      const auto now = std::chrono::steady_clock::now();
      if (!patience && options.on_busy && options.busy_patience.count() != 0) options.on_busy(greeting.pid);
      if (!patience) patience = now + options.busy_patience;
      if (now >= *patience) throw NodeInUse(node, greeting.pid);
      std::this_thread::sleep_for(kBusyPause);
      --attempt;  // it is there, and says so
      continue;
    }
    Drawer drawer;
    drawer.socket = std::move(*socket);
    drawer.pid = greeting.pid;
    drawer.replaces_killed = left_behind;
    return drawer;
  }
  throw std::runtime_error("no keeper stays alive at " + socket_path.string() +
                           "; check the limits of processes and memory");
}

/// Learns the tags that a process of the keeper has. Their descriptors come along, and are duplicates for a new one.
void Keeper::list(std::uint8_t drawer) {
  std::uint64_t next = 0;
  for (;;) {
    auto answer = ask(drawers_[drawer], static_cast<std::uint16_t>(KeeperOp::list), next, {});
    if (!answer) throw std::runtime_error("what the keeper holds cannot be listed: " + answer.error().text);
    auto& [reply, fds] = answer.value();
    if (reply.status == static_cast<std::uint16_t>(KeeperStatus::end)) return;
    // Rising tags are what makes this loop end; a tag in two processes could be removed from one only.
    if (reply.status != static_cast<std::uint16_t>(KeeperStatus::ok) || reply.tag < next || fds.empty() ||
        where_.contains(reply.tag)) {
      throw std::runtime_error(
          "the keeper lists its entries out of order; end the processes slotwire-keeper of this node");
    }
    put(reply.tag, drawer, fds.size());
    kept_.push_back(reply.tag);
    copy(reply.tag, numbers_of(fds));
    if (reply.tag == std::numeric_limits<std::uint64_t>::max()) return;
    next = reply.tag + 1;
  }
}

Result<std::vector<slot::Fd>> Keeper::fetch(std::uint64_t tag) {
  const auto found = where_.find(tag);
  if (found == where_.end()) return Error{"the keeper has nothing under tag " + std::to_string(tag)};
  if (found->second.drawer == kLost) return Error{"what was under tag " + std::to_string(tag) + " went with a keeper"};
  if (const auto copied = copies_.find(tag); copied != copies_.end()) return duplicates_of(numbers_of(copied->second));
  auto answer = ask(drawers_[found->second.drawer], static_cast<std::uint16_t>(KeeperOp::list), tag, {});
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

void Keeper::serve_in(EventLoop& loop, OnNews news) {
  on_news_ = std::move(news);
  loop_ = &loop;
  for (std::size_t number = 0; number < drawers_.size(); ++number) {
    if (drawers_[number].socket) listen_to(number);
  }
}

void Keeper::listen_to(std::size_t number) {
  loop_->add(drawers_[number].socket.get(), EPOLLIN, [this, number](std::uint32_t) {
    drawers_[number].greets ? take_greeting(number) : take_late(drawers_[number]);
  });
}

void Keeper::tell(News news, const Drawer& drawer, const std::string& text) const {
  if (loop_ != nullptr && on_news_) on_news_(news, drawer.pid, text);
}

bool Keeper::ready() const {
  if (soon()) return false;
  return std::none_of(drawers_.begin(), drawers_.end(), [](const Drawer& drawer) { return drawer.behind; });
}

/// One is being started, or will be in a moment: that is worth waiting for.
bool Keeper::soon() const {
  return std::any_of(drawers_.begin(), drawers_.end(), [this](const Drawer& drawer) {
    return drawer.greets ||
           (drawer.starts_at_us != 0 && trouble_.empty() && drawer.starts_at_us < loop_->now_us() + kSoonUs);
  });
}

/// The connection to it has ended, or cannot be used any more.
void Keeper::lose(Drawer& drawer) {
  if (loop_ != nullptr) loop_->remove(drawer.socket.get());
  drawer.socket.reset();
  drawer.asked.clear();
  drawer.to_remove.clear();
  drawer.behind = drawer.full = false;
  if (restarts()) plan_another(drawer);
  tell(News::gone, drawer);
}

/// What it had is lost but for what there are duplicates of: these are for the one that takes its place.
void Keeper::plan_another(Drawer& drawer) {
  const auto number = static_cast<std::size_t>(&drawer - drawers_.data());
  for (auto& [tag, place] : where_) {
    if (place.drawer != number) continue;
    if (copies_.contains(tag)) {
      drawer.to_hand.insert(tag);
    } else {
      lose_place(place);
    }
  }
  start_later(number, wait_to_start());
}

std::uint64_t Keeper::wait_to_start() {
  const std::uint64_t now = loop_->now_us();
  while (!started_us_.empty() && now - started_us_.front() >= kMinuteUs) started_us_.pop_front();
  return started_us_.size() < options_.starts_per_minute ? 0 : started_us_.front() + kMinuteUs - now;
}

void Keeper::start_later(std::size_t number, std::uint64_t delay_us) {
  Drawer& drawer = drawers_[number];
  if (drawer.timer) loop_->cancel(*drawer.timer);
  drawer.starts_at_us = loop_->now_us() + delay_us;
  drawer.timer = loop_->after(delay_us, [this, number] {
    drawers_[number].timer.reset();
    start_again(number);
  });
}

void Keeper::start_again(std::size_t number) {
  Drawer& drawer = drawers_[number];
  drawer.starts_at_us = 0;
  reap();
  if (const std::uint64_t wait_us = wait_to_start(); wait_us != 0) return start_later(number, wait_us);
  started_us_.push_back(loop_->now_us());
  try {
    begin(number);
  } catch (const std::exception& error) {
    not_started(number, error.what());
  }
}

/// Starts a process in the place of the one that has ended; its greeting comes over the loop.
void Keeper::begin(std::size_t number) {
  Drawer& drawer = drawers_[number];
  const auto socket_path = drawer_path(run_dir_, node_, number);
  const auto lock_path = keeper_lock_path(run_dir_, node_);
  const slot::Fd dir = open_run_dir(run_dir_);
  const auto lock = FileLock::try_acquire(dir.get(), lock_path.filename().string(), true);
  if (!lock) {
    started_us_.pop_back();
    return start_later(number, kLookAgainUs);
  }
  // One that listens belongs to another slotwired, which took the node while it had no keeper: its greeting says so.
  auto socket = connect_to(socket_path, timeout_);
  drawer.fresh = !socket;
  if (!socket) {
    to_reap_.push_back(start(dir, socket_path, number == 0 ? lock_path : std::filesystem::path(), options_));
    socket = connect_to(socket_path, timeout_);
    if (!socket) throw std::runtime_error("its socket cannot be reached");
  }
  check_owner(socket->get(), socket_path);
  drawer.socket = std::move(*socket);
  drawer.greets = true;
  listen_to(number);
  drawer.timer = loop_->after(static_cast<std::uint64_t>(timeout_.count()) * 1000, [this, number] {
    drawers_[number].timer.reset();
    not_started(number, "it says nothing");
  });
}

void Keeper::take_greeting(std::size_t number) {
  Drawer& drawer = drawers_[number];
  KeeperReply greeting;
  std::vector<slot::Fd> none;
  const Received received =
      receive_datagram(drawer.socket.get(), std::as_writable_bytes(std::span(&greeting, 1)), none, MSG_DONTWAIT);
  if (received == Received::nothing) return;
  if (received == Received::closed && !drawer.fresh) return look_again(number);
  if (received != Received::message || greeting.magic != kKeeperMagic || greeting.version != kKeeperVersion) {
    return not_started(number, received == Received::closed ? "it ended at once" : "it is of another version");
  }
  if (greeting.status == static_cast<std::uint16_t>(KeeperStatus::busy) || greeting.entries != 0) {
    return not_started(number, "another slotwired (pid " + std::to_string(greeting.pid) +
                                   ") has taken this node over; end one of the two");
  }
  reap();
  if (drawer.timer) loop_->cancel(*drawer.timer);
  drawer.timer.reset();
  drawer.greets = false;
  drawer.pid = greeting.pid;
  trouble_.clear();
  ++starts_;
  tell(News::started, drawer);
  drawer.handing = true;
  hand_over(number);
  if (on_ready_ && ready()) on_ready_();
}

/// What listened there was the old process in its last moment: nothing was started, so nothing counts.
void Keeper::look_again(std::size_t number) {
  Drawer& drawer = drawers_[number];
  if (drawer.timer) loop_->cancel(*drawer.timer);
  drawer.timer.reset();
  loop_->remove(drawer.socket.get());
  drawer.socket.reset();
  drawer.greets = false;
  if (!started_us_.empty()) started_us_.pop_back();
  start_later(number, kLastMomentUs);
}

void Keeper::not_started(std::size_t number, const std::string& why) {
  Drawer& drawer = drawers_[number];
  if (drawer.timer) loop_->cancel(*drawer.timer);
  drawer.timer.reset();
  if (drawer.socket) loop_->remove(drawer.socket.get());
  drawer.socket.reset();
  drawer.greets = false;
  trouble_ = why;
  start_later(number, std::max(wait_to_start(), kLookAgainUs));
  tell(News::not_started, drawer, why);
}

void Keeper::hand_over(std::size_t number) {
  Drawer& drawer = drawers_[number];
  if (!drawer.handing || !drawer.socket || drawer.greets) return;
  while (!drawer.to_hand.empty() && drawer.asked.size() < kAhead) {
    const std::uint64_t tag = *drawer.to_hand.begin();
    const auto op = static_cast<std::uint16_t>(KeeperOp::store);
    // One that ended meanwhile has given its successor a new list.
    if (!ask_ahead(drawer, op, tag, numbers_of(copies_.find(tag)->second), true)) return;
    drawer.to_hand.erase(tag);
  }
  // The rest when answers are there.
  if (!drawer.to_hand.empty() ||
      std::any_of(drawer.asked.begin(), drawer.asked.end(), [](const auto& asked) { return asked.handed; }))
    return;
  drawer.handing = false;
  tell(News::complete, drawer);
}

/// The new process does not take it: it has less room than the old one.
void Keeper::not_handed(std::uint64_t tag) {
  if (const auto found = where_.find(tag); found != where_.end()) lose_place(found->second);
}

/// The processes that made those of the keeper end at once, but perhaps not before these are there.
void Keeper::reap() {
  std::erase_if(to_reap_, [](pid_t child) {
    int status = 0;
    return ::waitpid(child, &status, WNOHANG) != 0;
  });
  if (!to_reap_.empty() && loop_ != nullptr) loop_->after(kLookAgainUs, [this] { reap(); });
}

/// Why nothing can be kept now, and what happens next.
Error Keeper::gone(const Drawer& drawer) const {
  if (!restarts()) return Error{"the keeper is gone; restart slotwired to have its slots kept again"};
  if (drawer.greets || soon()) return Error{"the keeper has ended and is being started again"};
  const std::uint64_t now = loop_->now_us();
  const std::uint64_t left = drawer.starts_at_us > now ? drawer.starts_at_us - now : 0;
  return Error{"the keeper is gone, and is started again in " + std::to_string(left / 1'000'000 + 1) + " s" +
               (trouble_.empty() ? " (limits.keeper_starts)" : ": the last one did not start: " + trouble_)};
}

StoreReport Keeper::report() const {
  StoreReport report;
  report.starts = starts_;
  report.kept = where_.size() - lost_;
  report.lost = lost_;
  bool gone_any = false, starting = false, silent = false;
  for (const Drawer& drawer : drawers_) {
    report.waiting += drawer.to_hand.size();
    if (drawer.socket && !drawer.greets) {
      report.processes.push_back(drawer.pid);
      if (is_silent(drawer)) {
        silent = true;
        report.text = silence_of(drawer);
      }
      continue;
    }
    starting = starting || drawer.greets;
    gone_any = true;
    report.text = gone(drawer).text;
  }
  report.kept -= report.waiting;
  report.state = starting              ? "starts"
                 : gone_any            ? "gone"
                 : silent              ? "silent"
                 : report.waiting != 0 ? "hands over"
                 : lost_ != 0          ? "incomplete"
                                       : "keeps";
  if (lost_ != 0 && report.text.empty()) {
    report.text = std::to_string(lost_) +
                  " sessions and slots would not outlive slotwired: their descriptors went with a keeper; raise "
                  "LimitNOFILE, so that slotwired can have duplicates of them";
  }
  return report;
}

void Keeper::copy(std::uint64_t tag, std::span<const int> fds) {
  if (copied_ + fds.size() > options_.copies) return;
  auto duplicates = duplicates_of(fds);
  if (!duplicates) return;
  copied_ += fds.size();
  copies_[tag] = std::move(duplicates).value();
}

void Keeper::forget_copy(std::uint64_t tag) {
  const auto found = copies_.find(tag);
  if (found == copies_.end()) return;
  copied_ -= found->second.size();
  copies_.erase(found);
}

bool Keeper::move(Drawer& from, std::uint64_t tag) {
  const auto copied = copies_.find(tag);
  for (Drawer& drawer : drawers_) {
    if (copied == copies_.end() || &drawer == &from || !drawer.socket || drawer.greets ||
        !has_room(drawer, copied->second.size()))
      continue;
    const auto op = static_cast<std::uint16_t>(KeeperOp::store);
    if (!ask_ahead(drawer, op, tag, numbers_of(copied->second))) continue;
    take_place(tag);
    put(tag, static_cast<std::size_t>(&drawer - drawers_.data()), copied->second.size());
    return true;
  }
  not_handed(tag);
  return false;
}

/// As the process itself counts, unless it was started with other limits: then its answer says so.
bool Keeper::has_room(const Drawer& drawer, std::size_t fds) const {
  return !drawer.full && drawer.tags < options_.max_entries && drawer.fds + fds <= room_;
}

void Keeper::put(std::uint64_t tag, std::size_t drawer, std::size_t fds) {
  where_[tag] = {static_cast<std::uint8_t>(drawer), static_cast<std::uint8_t>(fds)};
  ++drawers_[drawer].tags;
  drawers_[drawer].fds += fds;
}

Keeper::Place Keeper::take_place(std::uint64_t tag) {
  const auto found = where_.find(tag);
  const Place place = found->second;
  where_.erase(found);
  if (place.drawer != kLost) {
    --drawers_[place.drawer].tags;
    drawers_[place.drawer].fds -= place.fds;
  }
  return place;
}

void Keeper::lose_place(Place& place) {
  if (place.drawer == kLost) return;
  --drawers_[place.drawer].tags;
  drawers_[place.drawer].fds -= place.fds;
  place.drawer = kLost;
  ++lost_;
}

/// In the process that had room last, or in another one that has.
Result<void> Keeper::store(std::uint64_t tag, std::span<const int> fds) {
  if (fds.empty() || fds.size() > kMaxFdsPerTag) {
    return Error{"1 to " + std::to_string(kMaxFdsPerTag) + " descriptors can be kept under a tag, not " +
                 std::to_string(fds.size())};
  }
  if (where_.count(tag) != 0)
    return Error{"the keeper has something under tag " + std::to_string(tag) + " already; remove it first"};
  if (loop_ == nullptr) return store_and_wait(tag, fds);
  // A tag that is still to be removed from one process must not come into another one.
  for (Drawer& drawer : drawers_) {
    if (drawer.behind || !drawer.to_remove.empty()) return late(drawer);
  }
  std::optional<Error> missing;
  for (std::size_t tried = 0; tried < drawers_.size(); ++tried) {
    const std::size_t at = (filling_ + tried) % drawers_.size();
    Drawer& drawer = drawers_[at];
    if (restarts() && (!drawer.socket || drawer.greets)) {
      missing = gone(drawer);  // the others may have room
      continue;
    }
    if (!has_room(drawer, fds.size())) continue;
    if (auto sent = ask_ahead(drawer, static_cast<std::uint16_t>(KeeperOp::store), tag, fds); !sent) return sent;
    filling_ = at;
    put(tag, at, fds.size());
    copy(tag, fds);
    return {};
  }
  if (missing) return *missing;
  return full();
}

Result<void> Keeper::store_and_wait(std::uint64_t tag, std::span<const int> fds) {
  for (std::size_t tried = 0; tried < drawers_.size(); ++tried) {
    const std::size_t at = (filling_ + tried) % drawers_.size();
    const auto answer = ask(drawers_[at], static_cast<std::uint16_t>(KeeperOp::store), tag, fds);
    if (!answer) return answer.error();
    switch (static_cast<KeeperStatus>(answer.value().reply.status)) {
      case KeeperStatus::ok:
        filling_ = at;
        put(tag, at, fds.size());
        copy(tag, fds);
        return {};
      case KeeperStatus::full:
        continue;
      default:
        return Error{"the keeper refused tag " + std::to_string(tag)};
    }
  }
  return full();
}

Error Keeper::full() {
  return Error{"the keeper is full; raise the limit of open files (LimitNOFILE), or lower limits.slots"};
}

Result<void> Keeper::remove(std::uint64_t tag) {
  if (!where_.contains(tag)) return Error{"the keeper has nothing under tag " + std::to_string(tag)};
  const std::uint8_t number = take_place(tag).drawer;
  forget_copy(tag);
  if (number == kLost) {
    --lost_;
    return {};
  }
  Drawer& drawer = drawers_[number];
  if (drawer.to_hand.erase(tag) != 0) return {};
  const auto op = static_cast<std::uint16_t>(KeeperOp::remove);
  if (loop_ != nullptr) {
    if (drawer.asked.size() < kAhead && drawer.to_remove.empty()) return ask_ahead(drawer, op, tag, {});
    drawer.to_remove.push_back(tag);
    return {};
  }
  const auto answer = ask(drawer, op, tag, {});
  if (!answer) return answer.error();
  if (answer.value().reply.status == static_cast<std::uint16_t>(KeeperStatus::ok)) return {};
  return Error{"the keeper has lost what was under tag " + std::to_string(tag)};
}

/// The first process goes last: until then nobody else can be this node.
Result<void> Keeper::quit() {
  Result<void> result;
  on_ready_ = {};
  options_.starts_per_minute = 0;
  for (Drawer& drawer : drawers_) {
    if (drawer.timer && loop_ != nullptr) loop_->cancel(*drawer.timer);
    drawer.timer.reset();
    if (drawer.greets) {
      // It was just started, and is told to go as any other: its greeting comes first.
      KeeperReply greeting;
      std::vector<slot::Fd> none;
      const Received received =
          receive_datagram(drawer.socket.get(), std::as_writable_bytes(std::span(&greeting, 1)), none, 0);
      drawer.greets = false;
      if (received != Received::message) lose(drawer);
    }
    settle(drawer);
    if (loop_ != nullptr && drawer.socket) loop_->remove(drawer.socket.get());
  }
  leave_loop();
  for (std::size_t i = drawers_.size(); i-- != 0;) {
    const bool ended = !drawers_[i].socket;
    if (Result<void> one = quit(drawers_[i]); !one) result = std::move(one);
    if (ended) remove_files(i);
  }
  return result;
}

/// What a process that was killed has left in the directory, unless somebody has taken its place.
void Keeper::remove_files(std::size_t number) const {
  try {
    const slot::Fd dir = open_run_dir(run_dir_);
    const auto lock = FileLock::try_acquire(dir.get(), keeper_lock_path(run_dir_, node_).filename().string(), false);
    const auto socket_path = drawer_path(run_dir_, node_, number);
    if (!lock) return;
    if (const auto there = connect_to(socket_path, timeout_)) {
      // Only one that lives greets; one that was just killed may still listen.
      KeeperReply greeting;
      std::vector<slot::Fd> none;
      if (receive_datagram(there->get(), std::as_writable_bytes(std::span(&greeting, 1)), none, 0) != Received::closed)
        return;
    }
    ::unlinkat(dir.get(), socket_path.filename().c_str(), 0);
    if (number == 0) lock->remove(dir.get());
  } catch (const std::exception&) {
    // They stay, and the next slotwired takes their place.
  }
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
