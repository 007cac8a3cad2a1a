// The keeper: descriptors outlive the process that stored them, one slotwired at a time, nothing is left behind.
#include "runtime/engine/recovery/keeper.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <fstream>
#include <functional>
#include <optional>

#include "core/slot/memory.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/host/reactor.hpp"
#include "runtime/engine/recovery/descriptor_needs.hpp"
#include "runtime/engine/recovery/file_lock.hpp"
#include "runtime/engine/recovery/keeper_protocol.hpp"
#include "runtime/engine/sessions/credentials.hpp"
#include "temporary_directory.hpp"
#include "unit/engine_keeper_support.hpp"

namespace slotwire::engine {
namespace {

/// A process that does `work`, says whether that went well, and then waits to be killed.
class Holder {
 public:
  explicit Holder(const std::function<bool()>& work) {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) return;
    const Fd report(ends[0]);
    Fd tell(ends[1]);
    pid_ = fork();
    if (pid_ == 0) {
      const char good = work() ? 'y' : 'n';
      if (write(tell.get(), &good, 1) != 1) _exit(1);
      for (;;) pause();
    }
    tell.reset();
    char good = 0;
    ok_ = read(report.get(), &good, 1) == 1 && good == 'y';
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;
  ~Holder() { kill(); }

  bool ok() const { return ok_; }
  pid_t pid() const { return pid_; }
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
  bool ok_ = false;
};

TEST_F(EngineKeeper, DescriptorsOutliveTheProcessThatStoredThem) {
  Holder holder([this] {
    static auto keeper = attach();  // lives until the process is killed
    const Fd a = memory_with("ring a"), b = memory_with("ring b"), c = memory_with("bells");
    const std::array<int, 2> two{a.get(), b.get()};
    return keeper.take_kept().empty() && keeper.store(7, two).ok() && store(keeper, UINT64_MAX, c).ok() &&
           store(keeper, 0, c).ok();
  });
  ASSERT_TRUE(holder.ok());
  holder.kill();

  auto keeper = attach();
  auto kept = keeper.take_kept();
  ASSERT_EQ(kept.size(), 3U);
  EXPECT_EQ(kept[0].tag, 0U);
  EXPECT_EQ(kept[1].tag, 7U);
  EXPECT_EQ(kept[2].tag, UINT64_MAX);
  ASSERT_EQ(kept[1].fds.size(), 2U);
  EXPECT_EQ(content(kept[1].fds[0]), "ring a");
  EXPECT_EQ(content(kept[1].fds[1]), "ring b");
  EXPECT_EQ(content(kept[2].fds[0]), "bells");
  EXPECT_NE(fcntl(kept[1].fds[0].get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_TRUE(keeper.take_kept().empty());
}

TEST_F(EngineKeeper, KilledAgainAndAgainNothingIsLost) {
  for (std::uint64_t round = 0; round < 5; ++round) {
    Holder holder([this, round] {
      static auto keeper = attach();
      return keeper.take_kept().size() == round && store(keeper, round, memory_with(std::to_string(round))).ok();
    });
    ASSERT_TRUE(holder.ok()) << round;
    holder.kill();
  }
  auto keeper = attach();
  const auto kept = keeper.take_kept();
  ASSERT_EQ(kept.size(), 5U);
  for (const auto& entry : kept) EXPECT_EQ(content(entry.fds[0]), std::to_string(entry.tag));
}

TEST_F(EngineKeeper, OneSlotwiredAtATime) {
  Holder holder([this] {
    static auto keeper = attach();
    return true;
  });
  ASSERT_TRUE(holder.ok());
  try {
    attach();
    FAIL() << "a second one was attached";
  } catch (const NodeInUse& refused) {
    EXPECT_EQ(refused.pid(), holder.pid());
    EXPECT_NE(std::string(refused.what())
                  .find("another slotwired runs as node node-1 (pid " + std::to_string(holder.pid()) + ")"),
              std::string::npos)
        << refused.what();
  }
  auto other = Keeper::attach(dir_.path(), "node-2");
  EXPECT_TRUE(other.quit().ok()) << "another node is no matter";
  holder.kill();
  EXPECT_NO_THROW(attach());
}

TEST_F(EngineKeeper, OneThatIsAboutToEndIsWaitedFor) {
  Holder holder([this] {
    static auto keeper = attach();
    return true;
  });
  ASSERT_TRUE(holder.ok());
  KeeperOptions options;
  options.busy_patience = std::chrono::seconds(60);
  pid_t busy = -1;
  options.on_busy = [&](pid_t pid) {
    EXPECT_EQ(busy, -1) << "said once";
    busy = pid;
    holder.kill();
  };
  const pid_t held_by = holder.pid();
  auto keeper = Keeper::attach(dir_.path(), "node-1", options);
  EXPECT_EQ(busy, held_by);
  EXPECT_TRUE(keeper.quit().ok());
}

TEST_F(EngineKeeper, QuitLeavesNoProcessAndNoFile) {
  auto keeper = attach();
  const auto watch = PidFd::open(keeper.pid());
  ASSERT_TRUE(watch.ok()) << watch.error().text;
  ASSERT_TRUE(store(keeper, 1, memory_with("x")).ok());
  EXPECT_FALSE(std::filesystem::is_empty(dir_.path()));
  ASSERT_TRUE(keeper.quit().ok());
  EXPECT_TRUE(std::filesystem::is_empty(dir_.path()));
  EXPECT_TRUE(readable(watch.value().fd()));
  EXPECT_FALSE(store(keeper, 2, memory_with("x")).ok());
  EXPECT_FALSE(keeper.quit().ok());
  auto next = attach();
  EXPECT_TRUE(next.take_kept().empty());
}

TEST_F(EngineKeeper, EndsByItselfWhenNobodyComes) {
  KeeperOptions options;
  options.keep_for = std::chrono::milliseconds(1);
  std::optional<Keeper> keeper(attach(options));
  const auto watch = PidFd::open(keeper->pid());
  ASSERT_TRUE(watch.ok());
  EXPECT_TRUE(store(*keeper, 1, memory_with("x")).ok()) << "while attached the time does not run";
  keeper.reset();
  EXPECT_TRUE(readable(watch.value().fd()));
  EXPECT_TRUE(std::filesystem::is_empty(dir_.path()));
}

TEST_F(EngineKeeper, AnAttacherMayMeetAKeeperThatIsLeaving) {
  KeeperOptions options;
  options.keep_for = std::chrono::milliseconds(0);
  for (int i = 0; i < 50; ++i) EXPECT_NO_THROW(attach(options)) << i;
  const auto watch = PidFd::open(attach(options).pid());
  EXPECT_TRUE(!watch.ok() || readable(watch.value().fd()));
}

TEST_F(EngineKeeper, AKilledKeeperIsNoticedAndReplaced) {
  auto keeper = attach();
  ASSERT_TRUE(store(keeper, 1, memory_with("x")).ok());
  EXPECT_FALSE(readable(keeper.fd(), 0));
  ASSERT_EQ(kill(keeper.pid(), SIGKILL), 0);
  EXPECT_TRUE(readable(keeper.fd()));
  const auto result = store(keeper, 2, memory_with("x"));
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.error().text.find("restart slotwired"), std::string::npos) << result.error().text;
  EXPECT_TRUE(std::filesystem::exists(socket_path())) << "the dead keeper's socket file";
  auto next = attach();
  EXPECT_TRUE(next.take_kept().empty());
  EXPECT_TRUE(store(next, 1, memory_with("x")).ok());
}

TEST_F(EngineKeeper, TagsAreStoredOnceAndRemovedOnce) {
  auto keeper = attach();
  const Fd fd = memory_with("x");
  ASSERT_TRUE(store(keeper, 5, fd).ok());
  EXPECT_FALSE(store(keeper, 5, fd).ok());
  EXPECT_TRUE(keeper.remove(5).ok());
  EXPECT_FALSE(keeper.remove(5).ok());
  EXPECT_TRUE(store(keeper, 5, fd).ok());
}

TEST_F(EngineKeeper, RemovalsComeBeforeWhatFollows) {
  constexpr std::uint64_t kTags = 100;
  auto keeper = attach();
  const Fd first = memory_with("first"), second = memory_with("second");
  for (std::uint64_t tag = 0; tag < kTags; ++tag) ASSERT_TRUE(store(keeper, tag, first).ok());
  for (std::uint64_t tag = 0; tag < kTags; ++tag) ASSERT_TRUE(keeper.remove(tag).ok());
  EXPECT_FALSE(keeper.fetch(0).ok());
  for (std::uint64_t tag = 0; tag < kTags; ++tag) {
    ASSERT_TRUE(store(keeper, tag, first).ok());
    ASSERT_TRUE(keeper.remove(tag).ok());
    ASSERT_TRUE(store(keeper, tag, second).ok());
  }
  for (std::uint64_t tag = 0; tag < kTags; ++tag) {
    auto fetched = keeper.fetch(tag);
    ASSERT_TRUE(fetched.ok()) << tag;
    ASSERT_EQ(fetched.value().size(), 1U);
    EXPECT_EQ(content(fetched.value()[0]), "second");
  }
}

TEST_F(EngineKeeper, RemoveClosesTheDescriptor) {
  auto keeper = attach();
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
  const Fd read_end(ends[0]);
  Fd write_end(ends[1]);
  ASSERT_TRUE(store(keeper, 1, write_end).ok());
  write_end.reset();
  EXPECT_FALSE(readable(read_end.get(), 0)) << "the keeper's duplicate is open";
  ASSERT_TRUE(keeper.remove(1).ok());
  EXPECT_TRUE(readable(read_end.get())) << "hung up";
}

TEST_F(EngineKeeper, HoldsNothingOpenThatItWasNotGiven) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe2(ends.data(), 0), 0);
  const Fd read_end(ends[0]);
  Fd write_end(ends[1]);
  auto keeper = attach();
  write_end.reset();
  EXPECT_TRUE(readable(read_end.get())) << "the keeper has a pipe of its starter open";
  for (int standard = 0; standard <= 2; ++standard) {
    const auto link = "/proc/" + std::to_string(keeper.pid()) + "/fd/" + std::to_string(standard);
    EXPECT_EQ(std::filesystem::read_symlink(link), "/dev/null");
  }
}

TEST_F(EngineKeeper, IsAProcessOfItsOwn) {
  auto keeper = attach();
  const auto proc = std::filesystem::path("/proc") / std::to_string(keeper.pid());
  std::string name;
  std::getline(std::ifstream(proc / "comm"), name);
  EXPECT_EQ(name, "slotwire-keeper");
  std::string command_line;
  std::getline(std::ifstream(proc / "cmdline"), command_line, '\0');
  EXPECT_EQ(command_line.substr(0, 22), "slotwire-keeper: node ") << "what ps shows";
  EXPECT_NE(getpgid(keeper.pid()), getpgid(0)) << "signals of a terminal do not reach it";
  EXPECT_EQ(getsid(keeper.pid()), getsid(0)) << "it would be scheduled apart from all others";
  EXPECT_EQ(std::filesystem::read_symlink(proc / "cwd"), "/");
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) ASSERT_EQ(kill(keeper.pid(), number), 0);
  EXPECT_TRUE(store(keeper, 1, memory_with("x")).ok()) << "it ignores these signals";
}

TEST_F(EngineKeeper, LimitsHold) {
  KeeperOptions options;
  options.max_entries = 2;
  options.max_descriptors = 3;
  auto keeper = attach(options);
  const Fd fd = memory_with("x");
  const std::array<int, 2> two{fd.get(), fd.get()};
  const std::array<int, 5> five{fd.get(), fd.get(), fd.get(), fd.get(), fd.get()};
  EXPECT_FALSE(keeper.store(1, {}).ok());
  EXPECT_FALSE(keeper.store(1, five).ok());
  ASSERT_TRUE(keeper.store(1, two).ok());
  const auto full = keeper.store(2, two);
  ASSERT_FALSE(full.ok()) << "a fourth descriptor";
  EXPECT_NE(full.error().text.find("full"), std::string::npos);
  ASSERT_TRUE(store(keeper, 2, fd).ok());
  EXPECT_FALSE(store(keeper, 3, fd).ok()) << "a third tag";
  ASSERT_TRUE(keeper.remove(1).ok());
  EXPECT_TRUE(keeper.store(3, two).ok()) << "removing makes room";
}

// ---- more than one process may keep

TEST_F(EngineKeeper, SeveralProcessesKeepWhatOneMayNot) {
  KeeperOptions options;
  options.max_descriptors = 8;
  options.descriptors = 20;
  constexpr std::uint64_t kEntries = 20;
  {
    auto keeper = attach(options);
    EXPECT_EQ(keeper.processes(), 3U);
    for (std::uint64_t tag = 0; tag < kEntries; ++tag) {
      ASSERT_TRUE(store(keeper, tag, memory_with(std::to_string(tag))).ok()) << tag;
    }
    EXPECT_FALSE(store(keeper, 19, memory_with("again")).ok()) << "a tag in another process";
    for (std::uint64_t tag = kEntries; tag < 24; ++tag) ASSERT_TRUE(store(keeper, tag, memory_with("more")).ok());
    const auto full = store(keeper, 24, memory_with("too much"));
    ASSERT_FALSE(full.ok());
    EXPECT_NE(full.error().text.find("full"), std::string::npos);
    for (std::uint64_t tag = kEntries; tag < 24; ++tag) ASSERT_TRUE(keeper.remove(tag).ok());
    ASSERT_TRUE(keeper.remove(3).ok());
    ASSERT_TRUE(store(keeper, 3, memory_with("3")).ok()) << "removing makes room";
  }
  // The next one wants none of them for itself, and finds them all.
  auto keeper = attach();
  EXPECT_EQ(keeper.processes(), 3U);
  ASSERT_EQ(keeper.kept().size(), kEntries);
  EXPECT_TRUE(std::is_sorted(keeper.kept().begin(), keeper.kept().end()));
  for (const std::uint64_t tag : keeper.kept()) {
    const auto fds = keeper.fetch(tag);
    ASSERT_TRUE(fds.ok()) << fds.error().text;
    ASSERT_EQ(content(fds.value()[0]), std::to_string(tag));
  }
  EXPECT_THROW(attach(), NodeInUse);
  EXPECT_EQ(keeper.take_kept().size(), kEntries);
  EXPECT_TRUE(keeper.kept().empty());
  EXPECT_TRUE(keeper.fetch(7).ok()) << "it is kept all the same";
  ASSERT_TRUE(keeper.remove(7).ok());
  EXPECT_FALSE(keeper.fetch(7).ok());
  EXPECT_FALSE(keeper.remove(7).ok());
  EXPECT_TRUE(keeper.quit().ok());
  EXPECT_TRUE(std::filesystem::is_empty(dir_.path())) << "files are left behind";
}

// A process that may open 200 files keeps 390.
TEST_F(EngineKeeper, TheLimitOfOpenFilesBoundsNeitherSide) {
  constexpr std::uint64_t kLimit = 200, kEntries = 390;
  const auto limited = [] {
    const rlimit low{kLimit, kLimit};
    return setrlimit(RLIMIT_NOFILE, &low) == 0;
  };
  Holder first([&] {
    if (!limited()) return false;
    static auto keeper = attach({.descriptors = kEntries});
    for (std::uint64_t tag = 0; tag < kEntries; ++tag) {
      if (!store(keeper, tag, memory_with(std::to_string(tag))).ok()) return false;
    }
    return keeper.processes() == 3;
  });
  ASSERT_TRUE(first.ok());
  first.kill();
  Holder second([&] {
    if (!limited()) return false;
    static auto keeper = attach({.descriptors = kEntries});
    if (keeper.kept().size() != kEntries) return false;
    for (const std::uint64_t tag : keeper.kept()) {
      const auto fds = keeper.fetch(tag);
      if (!fds.ok() || content(fds.value()[0]) != std::to_string(tag)) return false;
    }
    return true;
  });
  EXPECT_TRUE(second.ok());
}

TEST_F(EngineKeeper, AProcessThatDiesTakesItsOwnEntriesAlone) {
  KeeperOptions options;
  options.max_descriptors = 1;
  options.descriptors = 2;
  {
    auto keeper = attach(options);
    ASSERT_TRUE(store(keeper, 1, memory_with("a")).ok());
    ASSERT_TRUE(store(keeper, 2, memory_with("b")).ok());
    const auto watch = PidFd::open(keeper.pid());
    ASSERT_TRUE(watch.ok());
    ASSERT_EQ(kill(keeper.pid(), SIGKILL), 0);
    ASSERT_TRUE(readable(watch.value().fd()));
    EXPECT_FALSE(keeper.fetch(1).ok());
    EXPECT_TRUE(keeper.fetch(2).ok());
  }
  auto keeper = attach(options);
  EXPECT_EQ(keeper.kept(), (std::vector<std::uint64_t>{2}));
  EXPECT_TRUE(store(keeper, 1, memory_with("a")).ok());
}

TEST(DescriptorNeeds, SaysWhatIsMissingAndWhatToDo) {
  EXPECT_EQ(descriptor_shortage({15'000, 512, 8}, 20'000), "");
  EXPECT_EQ(descriptor_shortage({15'000, 100, 0}, 15'756), "");
  EXPECT_EQ(descriptor_shortage({15'000, 100, 0}, 15'755),
            "limits.slots = 15000 and limits.sessions = 100 need 15756 descriptors, and this process may open 15755: "
            "raise LimitNOFILE (or ulimit -Hn) to 15756, or lower limits.slots to 14999");
  EXPECT_NE(descriptor_shortage({10, 1024, 0}, 1024).find("or lower limits.sessions"), std::string::npos);
}

TEST_F(EngineKeeper, ABadDescriptorHarmsNothing) {
  auto keeper = attach();
  const std::array<int, 1> closed{-1};
  const auto result = keeper.store(1, closed);
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.error().text.find("not open"), std::string::npos) << result.error().text;
  EXPECT_TRUE(store(keeper, 1, memory_with("x")).ok());
}

TEST_F(EngineKeeper, MoreThanASocketBufferHoldsComesBack) {
  constexpr std::uint64_t kEntries = 1000;
  {
    auto keeper = attach();
    for (std::uint64_t tag = 0; tag < kEntries; ++tag) {
      ASSERT_TRUE(store(keeper, tag, memory_with(std::to_string(tag))).ok()) << tag;
    }
  }
  auto keeper = attach();
  const auto kept = keeper.take_kept();
  ASSERT_EQ(kept.size(), kEntries);
  for (const auto& entry : kept) ASSERT_EQ(content(entry.fds[0]), std::to_string(entry.tag));
}

TEST_F(EngineKeeper, RaisesTheLimitOfOpenFiles) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit low{256, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  auto keeper = attach();
  rlimit own{}, its{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &own), 0);
  ASSERT_EQ(prlimit(keeper.pid(), RLIMIT_NOFILE, nullptr, &its), 0);
  EXPECT_EQ(own.rlim_cur, before.rlim_max);
  EXPECT_EQ(its.rlim_cur, before.rlim_max);
  setrlimit(RLIMIT_NOFILE, &before);
}

TEST_F(EngineKeeper, SocketIsForItsOwnerOnly) {
  auto keeper = attach();
  struct stat info {};
  ASSERT_EQ(stat(socket_path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST_F(EngineKeeper, AForeignUserIsTurnedAway) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can act as another user";
  auto keeper = attach();
  ASSERT_EQ(chmod(dir_.path().c_str(), 0755), 0);
  ASSERT_EQ(chmod(socket_path().c_str(), 0666), 0) << "so that only the keeper's own check is in the way";
  const std::string path = socket_path().string();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    const int socket = ::socket(AF_UNIX, SOCK_SEQPACKET, 0);
    KeeperReply greeting;
    std::vector<Fd> fds;
    if (setresuid(65534, 65534, 65534) != 0) _exit(2);
    if (connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) _exit(3);
    const auto received = receive_datagram(socket, std::as_writable_bytes(std::span(&greeting, 1)), fds, 0);
    _exit(received == Received::closed ? 0 : 4);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(store(keeper, 1, memory_with("x")).ok()) << "the attached one is not disturbed";
}

/// A raw connection of this process, for what Keeper never sends.
class RawClient {
 public:
  explicit RawClient(const std::filesystem::path& path) : socket_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.native().size());
    connected_ = connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
                 receive() == Received::message;
  }
  bool connected() const { return connected_; }
  bool send(std::span<const std::byte> bytes, std::span<const int> fds = {}) {
    return send_datagram(socket_.get(), bytes, fds, 0);
  }
  bool send(const KeeperRequest& request, std::span<const int> fds = {}) {
    return send(std::as_bytes(std::span(&request, 1)), fds);
  }
  Received receive() {
    std::vector<Fd> fds;
    return readable(socket_.get())
               ? receive_datagram(socket_.get(), std::as_writable_bytes(std::span(&reply_, 1)), fds, 0)
               : Received::nothing;
  }

 private:
  Fd socket_;
  KeeperReply reply_;
  bool connected_ = false;
};

TEST_F(EngineKeeper, WhoBreaksTheProtocolIsLetGoAndNothingIsLost) {
  const Fd fd = memory_with("kept");
  {
    auto keeper = attach();
    ASSERT_TRUE(store(keeper, 1, fd).ok());
  }
  const std::array<int, 1> fds{fd.get()};
  const auto request = [](KeeperOp op) {
    return KeeperRequest{kKeeperMagic, kKeeperVersion, static_cast<std::uint16_t>(op), 1};
  };
  const std::vector<std::function<bool(RawClient&)>> violations{
      [&](RawClient& c) { return c.send(std::array<std::byte, 3>{}); },
      [&](RawClient& c) { return c.send(std::vector<std::byte>(1000)); },
      [&](RawClient& c) {
        return c.send(KeeperRequest{0, kKeeperVersion, 1, 1}, fds);
      },
      [&](RawClient& c) {
        return c.send(KeeperRequest{kKeeperMagic, 99, 1, 1}, fds);
      },
      [&](RawClient& c) { return c.send(request(static_cast<KeeperOp>(0))); },
      [&](RawClient& c) { return c.send(request(static_cast<KeeperOp>(5))); },
      [&](RawClient& c) { return c.send(request(KeeperOp::store)); },
      [&](RawClient& c) { return c.send(request(KeeperOp::remove), fds); },
      [&](RawClient& c) { return c.send(request(KeeperOp::quit), fds); },
  };
  for (std::size_t i = 0; i < violations.size(); ++i) {
    RawClient client(socket_path());
    ASSERT_TRUE(client.connected()) << i;
    ASSERT_TRUE(violations[i](client)) << i;
    EXPECT_EQ(client.receive(), Received::closed) << i;
  }
  auto keeper = attach();
  const auto kept = keeper.take_kept();
  ASSERT_EQ(kept.size(), 1U);
  EXPECT_EQ(content(kept[0].fds[0]), "kept");
}

TEST_F(EngineKeeper, RefusesADirectoryThatOthersMayWriteTo) {
  ASSERT_EQ(chmod(dir_.path().c_str(), 0777), 0);
  EXPECT_THROW(attach(), std::runtime_error);
  ASSERT_EQ(chmod(dir_.path().c_str(), 0700), 0);
  EXPECT_THROW(Keeper::attach(dir_.path() / "absent", kNode), std::runtime_error);
  EXPECT_THROW(Keeper::attach(dir_.path(), std::string(120, 'n')), std::runtime_error);
  std::filesystem::remove(keeper_lock_path(dir_.path(), std::string(120, 'n')));
}

TEST_F(EngineKeeper, AListenerThatIsNoKeeperIsToldByItsSilence) {
  const Fd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = socket_path().string();
  std::memcpy(address.sun_path, path.data(), path.size());
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  KeeperOptions options;
  options.timeout = std::chrono::milliseconds(10);
  EXPECT_THROW(attach(options), std::runtime_error);
  std::filesystem::remove(socket_path());
}

TEST_F(EngineKeeper, ALockThatIsHeldIsNotWaitedForForEver) {
  const Fd dir(::open(dir_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto held = FileLock::try_acquire(dir.get(), lock_path().filename().string(), true);
  ASSERT_TRUE(held);
  KeeperOptions options;
  options.timeout = std::chrono::milliseconds(10);
  EXPECT_THROW(attach(options), std::runtime_error);
}

/// The keeper's process stands still from its construction to go_on().
class Stopped {
 public:
  explicit Stopped(pid_t pid) : pid_(pid) {
    kill(pid_, SIGSTOP);
    const auto state = [&] {
      std::ifstream file("/proc/" + std::to_string(pid_) + "/stat");
      const std::string stat{std::istreambuf_iterator<char>(file), {}};
      return stat.at(stat.rfind(')') + 2);
    };
    while (state() != 'T') sched_yield();
  }
  ~Stopped() { go_on(); }
  Stopped(const Stopped&) = delete;
  Stopped& operator=(const Stopped&) = delete;
  void go_on() const { kill(pid_, SIGCONT); }

 private:
  pid_t pid_;
};

TEST_F(SlowKeeper, IsAskedAheadUntilItIsTooFarBehind) {
  Keeper keeper = attach();
  int again = 0;
  keeper.on_ready([&] { ++again; });
  keeper.serve_in(loop_);
  store_in_the_end(keeper, 1, memory_with("one"));

  const Stopped stopped(keeper.pid());
  std::uint64_t ahead = 2;
  Result<void> stored;
  while ((stored = store(keeper, ahead, memory_with(std::to_string(ahead)))).ok()) ASSERT_LT(++ahead, 1000U);
  EXPECT_GT(ahead, 8U);
  EXPECT_NE(stored.error().text.find("does not answer"), std::string::npos) << stored.error().text;
  EXPECT_FALSE(keeper.ready());
  EXPECT_TRUE(keeper.remove(1).ok()) << "it is done when the keeper goes on";
  EXPECT_FALSE(store(keeper, 1, memory_with("another one")).ok()) << "that comes first";
  loop_.run(0);
  EXPECT_EQ(again, 0);

  stopped.go_on();
  run_until([&] { return again != 0; });
  EXPECT_TRUE(keeper.ready());
  store_in_the_end(keeper, ahead, memory_with(std::to_string(ahead)));
  store_in_the_end(keeper, 1, memory_with("another one"));
  EXPECT_EQ(fetched(keeper, 2), "2");
  EXPECT_EQ(fetched(keeper, ahead), std::to_string(ahead));
  EXPECT_EQ(fetched(keeper, 1), "another one");
}

TEST_F(SlowKeeper, CarriesOutWhatItWasAskedBeforeSlotwiredEnded) {
  {
    Keeper keeper = attach();
    keeper.serve_in(loop_);
    const Stopped stopped(keeper.pid());
    for (std::uint64_t tag = 1; tag <= 5; ++tag) ASSERT_TRUE(store(keeper, tag, memory_with(std::to_string(tag))).ok());
    ASSERT_TRUE(keeper.remove(3).ok());
    EXPECT_EQ(keeper.report().kept, 4U);
  }
  Keeper next = attach();
  std::vector<std::uint64_t> tags;
  for (const auto& entry : next.take_kept()) {
    tags.push_back(entry.tag);
    EXPECT_EQ(content(entry.fds[0]), std::to_string(entry.tag));
  }
  EXPECT_EQ(tags, (std::vector<std::uint64_t>{1, 2, 4, 5}));
}

TEST_F(SlowKeeper, IsKnownToBeFullBeforeItIsAsked) {
  KeeperOptions options;
  options.max_entries = 3;
  Keeper keeper = attach(options);
  keeper.serve_in(loop_);
  for (std::uint64_t tag = 1; tag <= 3; ++tag) ASSERT_TRUE(store(keeper, tag, memory_with("x")).ok());
  const Result<void> full = store(keeper, 4, memory_with("x"));
  ASSERT_FALSE(full.ok());
  EXPECT_NE(full.error().text.find("full"), std::string::npos) << full.error().text;
  EXPECT_TRUE(keeper.ready()) << "waiting does not help";
  ASSERT_TRUE(keeper.remove(2).ok());
  EXPECT_TRUE(store(keeper, 4, memory_with("x")).ok());
}

TEST_F(SlowKeeper, ThatHasLessRoomThanThoughtSaysWhatItDoesNotKeep) {
  {
    KeeperOptions small;
    small.max_entries = 2;
    Keeper keeper = attach(small);
  }
  KeeperOptions larger;
  larger.copies = 100;
  Keeper keeper = attach(larger);  // the keeper that is running has its own limit
  keeper.serve_in(loop_);
  for (std::uint64_t tag = 1; tag <= 3; ++tag) ASSERT_TRUE(store(keeper, tag, memory_with("x")).ok());
  run_until([&] { return keeper.report().lost != 0; });
  EXPECT_EQ(keeper.report().state, "incomplete");
  EXPECT_FALSE(keeper.fetch(3).ok());
  EXPECT_FALSE(store(keeper, 4, memory_with("x")).ok()) << "it is full";
  ASSERT_TRUE(keeper.remove(3).ok());
  ASSERT_TRUE(keeper.remove(1).ok());
  run_until([&] { return store(keeper, 4, memory_with("four")).ok(); });
  EXPECT_EQ(fetched(keeper, 4), "four");
  EXPECT_EQ(keeper.report().state, "keeps");
}

TEST_F(SlowKeeper, ThatEndsIsGone) {
  Keeper keeper = attach();
  int again = 0;
  keeper.on_ready([&] { ++again; });
  keeper.serve_in(loop_);
  const Stopped stopped(keeper.pid());
  ASSERT_TRUE(store(keeper, 1, memory_with("one")).ok());
  kill(keeper.pid(), SIGKILL);
  run_until([&] { return again != 0; });
  EXPECT_TRUE(keeper.ready()) << "nothing is waited for any more";
  const Result<void> gone = store(keeper, 2, memory_with("two"));
  ASSERT_FALSE(gone.ok());
  EXPECT_NE(gone.error().text.find("the keeper is gone"), std::string::npos) << gone.error().text;
}

TEST_F(SlowKeeper, IsWaitedForBeforeItQuits) {
  Keeper keeper = attach();
  keeper.serve_in(loop_);
  const Stopped stopped(keeper.pid());
  ASSERT_TRUE(store(keeper, 1, memory_with("one")).ok());
  stopped.go_on();
  EXPECT_TRUE(keeper.quit().ok());
  EXPECT_FALSE(std::filesystem::exists(socket_path()));
}

TEST_F(SlowKeeper, QuitsWithMoreToRemoveThanItIsAskedAhead) {
  constexpr std::uint64_t kTags = 200;
  Keeper keeper = attach();
  keeper.serve_in(loop_);
  for (std::uint64_t tag = 0; tag < kTags; ++tag) store_in_the_end(keeper, tag, memory_with("x"));
  run_until([&] { return keeper.ready(); });
  {
    const Stopped stopped(keeper.pid());
    for (std::uint64_t tag = 0; tag < kTags; ++tag) EXPECT_TRUE(keeper.remove(tag).ok());
  }
  EXPECT_TRUE(keeper.quit().ok());
}

TEST_F(EngineKeeper, ManyThatStartAtOnceGetOneKeeper) {
  constexpr int kStarters = 8;
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
  const Fd report(ends[0]);
  Fd tell(ends[1]);
  std::vector<pid_t> starters;
  for (int i = 0; i < kStarters; ++i) {
    const pid_t pid = fork();
    if (pid == 0) {
      static std::optional<Keeper> keeper;
      char result = '?';
      try {
        keeper.emplace(attach());
        result = 'y';
      } catch (const NodeInUse&) {
        result = 'n';
      } catch (const std::exception&) {
      }
      if (write(tell.get(), &result, 1) != 1) _exit(1);
      for (;;) pause();
    }
    ASSERT_GT(pid, 0);
    starters.push_back(pid);
  }
  tell.reset();
  std::string results;
  for (char result = 0; results.size() < kStarters && read(report.get(), &result, 1) == 1;) results += result;
  for (const pid_t pid : starters) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  EXPECT_EQ(std::count(results.begin(), results.end(), 'y'), 1) << results;
  EXPECT_EQ(std::count(results.begin(), results.end(), 'n'), kStarters - 1) << results;
}

TEST(EngineFileLock, IsExclusiveAndSurvivesRemoval) {
  const test::TemporaryDirectory place;
  const Fd dir(::open(place.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_FALSE(FileLock::try_acquire(dir.get(), "lock", false)) << "there is no file";
  {
    const auto first = FileLock::try_acquire(dir.get(), "lock", true);
    ASSERT_TRUE(first);
    EXPECT_FALSE(FileLock::try_acquire(dir.get(), "lock", true));
    first->remove(dir.get());
    EXPECT_TRUE(FileLock::try_acquire(dir.get(), "lock", true)) << "a new file is a new lock";
  }
  EXPECT_TRUE(FileLock::try_acquire(dir.get(), "lock", true));
}

}  // namespace
}  // namespace slotwire::engine
