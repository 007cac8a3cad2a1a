// Who the peer is, and noticing that it ended.
#include "runtime/engine/sessions/credentials.hpp"

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "core/slot/memory.hpp"

namespace slotwire::engine {
namespace {

using slot::Fd;

constexpr int kDeadlineMs = 20'000;

/// A child that waits until it is killed.
class Child {
 public:
  Child() : pid_(fork()) {
    if (pid_ == 0) {
      for (;;) pause();
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { end(); }

  pid_t pid() const { return pid_; }
  void kill() const { ::kill(pid_, SIGKILL); }
  void end() {
    if (pid_ <= 0) return;
    kill();
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_;
};

TEST(EngineCredentials, ThePeerOfASocketPairIsThisProcess) {
  std::array<int, 2> raw{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, raw.data()), 0);
  const Fd a(raw[0]), b(raw[1]);
  const auto peer = peer_credentials(a.get());
  ASSERT_TRUE(peer.ok()) << peer.error().text;
  EXPECT_EQ(peer.value().pid, getpid());
  EXPECT_EQ(peer.value().uid, geteuid());
  ASSERT_FALSE(peer.value().gids.empty());
  EXPECT_EQ(peer.value().gids.front(), getegid());
  std::vector<gid_t> own(static_cast<std::size_t>(std::max(getgroups(0, nullptr), 0)));
  ASSERT_EQ(getgroups(static_cast<int>(own.size()), own.data()), static_cast<int>(own.size()));
  for (const gid_t gid : own) {
    EXPECT_EQ(std::count(peer.value().gids.begin(), peer.value().gids.end(), gid), 1) << gid;
  }
  EXPECT_EQ(peer.value().start_time, process_start_time(getpid()));
}

TEST(EngineCredentials, ManyGroupsAreAllSeen) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a process groups";
  std::array<int, 2> result{};
  ASSERT_EQ(pipe2(result.data(), O_CLOEXEC), 0);
  const Fd read_end(result[0]);
  Fd write_end(result[1]);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::vector<gid_t> groups;
    for (gid_t gid = 10'000; gid < 10'200; ++gid) groups.push_back(gid);
    std::array<int, 2> raw{};
    char right = 'n';
    if (setgroups(groups.size(), groups.data()) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, raw.data()) == 0) {
      const auto peer = peer_credentials(raw[0]);
      groups.insert(groups.begin(), getegid());
      if (peer.ok() && peer.value().gids == groups) right = 'y';
    }
    _exit(write(write_end.get(), &right, 1) == 1 ? 0 : 1);
  }
  write_end.reset();
  char right = 0;
  EXPECT_EQ(read(read_end.get(), &right, 1), 1);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(right, 'y');
}

/// Its number may belong to another process by the time that anybody looks: what /proc says of it is nobody's.
TEST(EngineCredentials, AProcessThatEndedBeforeItWasIdentifiedIsNobody) {
  const Fd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socklen_t size = sizeof(sa_family_t);  // the kernel chooses a name
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  size = sizeof address;
  ASSERT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  const pid_t child = fork();
  if (child == 0) {
    const int own = ::socket(AF_UNIX, SOCK_SEQPACKET, 0);
    _exit(::connect(own, reinterpret_cast<const sockaddr*>(&address), size));
  }
  const Fd caller(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  ASSERT_EQ(info.si_status, 0);
  ASSERT_TRUE(process_start_time(child)) << "it has its number still";
  int pidfd = -1;
  socklen_t length = sizeof pidfd;
  constexpr int kPeerPidFd = 77;  // SO_PEERPIDFD, which the C library does not know yet
  if (::getsockopt(caller.get(), SOL_SOCKET, kPeerPidFd, &pidfd, &length) != 0) {
    ::waitpid(child, nullptr, 0);
    GTEST_SKIP() << "this kernel does not say which process connected (SO_PEERPIDFD, Linux 6.5)";
  }
  const Fd watch(pidfd);
  const auto peer = peer_credentials(caller.get());
  ::waitpid(child, nullptr, 0);
  ASSERT_FALSE(peer.ok());
  EXPECT_NE(peer.error().text.find("has ended before it was identified"), std::string::npos) << peer.error().text;
}

TEST(EngineCredentials, WhatIsNoUnixSocketHasNoPeer) {
  EXPECT_FALSE(peer_credentials(-1).ok());
  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(peer_credentials(null.get()).ok());
  const Fd alone(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_FALSE(peer_credentials(alone.get()).ok());
}

TEST(EngineCredentials, StartTimeIsFoundBehindAnyName) {
  const std::string rest = " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21\n";
  EXPECT_EQ(parse_start_time("99 (name)" + rest), 4711U);
  EXPECT_EQ(parse_start_time("99 (a b) R 7 (c)" + rest), 4711U);
  EXPECT_EQ(parse_start_time("99 ()))" + rest), 4711U);
  EXPECT_FALSE(parse_start_time(""));
  EXPECT_FALSE(parse_start_time("99 (name"));
  EXPECT_FALSE(parse_start_time("99 (name) S 1 2 3"));
  EXPECT_FALSE(parse_start_time("99 (name) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x 20"));
}

TEST(EngineCredentials, PidFdIsReadableWhenTheProcessEnds) {
  Child child;
  ASSERT_GT(child.pid(), 0);
  const auto watch = PidFd::open(child.pid());
  ASSERT_TRUE(watch.ok()) << watch.error().text;
  EXPECT_FALSE(watch.value().exited());
  child.kill();
  pollfd poll_fd{watch.value().fd(), POLLIN, 0};
  EXPECT_EQ(poll(&poll_fd, 1, kDeadlineMs), 1);
  EXPECT_TRUE(watch.value().exited());
}

TEST(EngineCredentials, PidFdRefusesAProcessThatIsGoneOrAnother) {
  Child child;
  const pid_t pid = child.pid();
  ASSERT_GT(pid, 0);
  const auto start = process_start_time(pid);
  ASSERT_TRUE(start);
  EXPECT_TRUE(PidFd::open(PeerCredentials{pid, 0, {}, *start}).ok());
  EXPECT_FALSE(PidFd::open(PeerCredentials{pid, 0, {}, *start + 1}).ok()) << "the pid was another's";
  child.end();
  EXPECT_FALSE(PidFd::open(pid).ok());
  EXPECT_FALSE(process_start_time(pid));
}

}  // namespace
}  // namespace slotwire::engine
