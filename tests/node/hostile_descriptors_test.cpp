// What a process may do with the descriptors that it shares with slotwired and with other processes: nobody else waits
// for it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <future>
#include <thread>

#include "core/slot/bell.hpp"
#include "core/slot/waiter.hpp"
#include "ends.hpp"
#include "raw_client.hpp"

namespace slotwire::test {
namespace {

using namespace std::chrono_literals;

/// Does to a shared descriptor what could make others wait: blocks where it can, and is as full as it can be.
void make_blocking_and_full(int fd) {
  ASSERT_EQ(::fcntl(fd, F_SETFL, 0), 0);
  // All that an eventfd holds. A timerfd refuses it.
  const std::uint64_t most = ~std::uint64_t{1};
  static_cast<void>(!::write(fd, &most, sizeof most));
}

/// Forks a process that runs `work` until the object ends.
class Child {
 public:
  template <typename Work>
  explicit Child(Work&& work) : pid_(::fork()) {
    if (pid_ != 0) return;
    for (;;) work();
  }
  ~Child() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

 private:
  pid_t pid_;
};

/// Runs `work` in this thread. False: it still ran after kPatience; `release`, in another thread, made it end.
bool ends_in_time(const std::function<void()>& work, const std::function<void()>& release) {
  std::promise<void> done;
  std::future<bool> in_time = std::async(std::launch::async, [&, ended = done.get_future()] {
    if (ended.wait_for(kPatience) == std::future_status::ready) return true;
    while (ended.wait_for(0s) != std::future_status::ready) {
      release();
      std::this_thread::yield();
    }
    return false;
  });
  work();
  done.set_value();
  return in_time.get();
}

/// A session made by hand, with a connection to "svc".
struct RawSession {
  explicit RawSession(const std::string& path) : client(path) {
    std::vector<slot::Fd> fds;
    client.ask({{"op", "hello"}, {"version", 2}, {"name", "hostile"}}, &fds);
    bells = slot::map_file(fds.at(0).get(), regs::kPageBytes, slot::Access::read_write);
    polled = std::move(fds.at(1));
    kick = std::move(fds.at(2));
  }
  void connect() {
    std::vector<slot::Fd> fds;
    Json answer;
    if (!eventually([&] {
          answer = client.ask({{"op", "connect"}, {"service", "svc"}, {"timeout_ms", 5000}}, &fds);
          return answer.contains("ok");
        })) {
      throw std::runtime_error(answer.dump());
    }
    local = answer["local"].get<std::uint32_t>();
    own_file = std::move(fds.at(0));
    other_file = std::move(fds.at(1));
    own = slot::Space(own_file.get(), answer["in_order"].get<unsigned>(), slot::Access::read_write);
    wake = std::move(fds.at(2));
    if (fds.size() > 3) peer_wake = std::move(fds[3]);
  }

  RawClient client;
  slot::Mapping bells;
  slot::Space own;
  slot::Fd polled, kick, own_file, other_file, wake, peer_wake;
  std::uint32_t local = 0;
};

class HostileDescriptors : public EveryTopology {};
INSTANTIATE_TEST_SUITE_P(Node, HostileDescriptors, every_topology(), topology_name);

class HostileKick : public ::testing::Test {
 protected:
  HostileKick() : cluster_({}) { cluster_.start(); }
  Cluster cluster_;
};

TEST_F(HostileKick, AProcessThatMakesItsKickBlockingDoesNotStopTheNode) {
  RawSession hostile(cluster_["left"].socket());
  ASSERT_EQ(::fcntl(hostile.kick.get(), F_SETFL, 0), 0);
  // Another reader takes the kick away between the moment that wakes slotwired and its reading, sooner or later.
  const Child thief([&] {
    std::uint64_t count = 0;
    static_cast<void>(!::read(hostile.kick.get(), &count, sizeof count));
  });
  for (int round = 0; round < 300; ++round) {
    const std::uint64_t one = 1;
    if (::write(hostile.kick.get(), &one, sizeof one) < 0) slot::signal_event(hostile.kick.get());
    ASSERT_EQ(cluster_["left"].status()["node"], "left") << "after " << round << " kicks";
  }
}

TEST_F(HostileKick, AProcessThatArmsItsKickAsATimerHurtsNobody) {
  RawSession hostile(cluster_["left"].socket());
  const itimerspec fast{{0, 1000}, {0, 1}};
  ASSERT_EQ(::timerfd_settime(hostile.kick.get(), 0, &fast, nullptr), 0);
  for (int round = 0; round < 20; ++round) ASSERT_EQ(cluster_["left"].status()["node"], "left");
}

TEST_P(HostileDescriptors, AProcessThatFillsItsWakeStopsNobody) {
  Result<Context> context = Context::open({.socket = server_node().socket()});
  ASSERT_TRUE(context);
  Result<Service> service = context->serve("svc");
  ASSERT_TRUE(service) << service.error().text;
  {
    RawSession hostile(client_node().socket());
    hostile.connect();
    make_blocking_and_full(hostile.wake.get());
    Result<Connection> honest = service->accept(kPatience);
    ASSERT_TRUE(honest) << honest.error().text;
    // It asks for a wake-up, and whoever moves its marks gives it: the engine, or the honest process itself.
    hostile.own.marks().wait.store(slot::kWaitStep | slot::kWaitReadable, std::memory_order_seq_cst);
    EXPECT_TRUE(ends_in_time([&] { EXPECT_TRUE(honest->send("x", kPatience)); },
                             [&] {
                               std::uint64_t count = 0;
                               static_cast<void>(!::read(hostile.wake.get(), &count, sizeof count));
                             }))
        << "the honest process was stuck";
    pollfd woken{hostile.wake.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&woken, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count())), 1);
    EXPECT_EQ(client_node().status()["node"], "left");
  }
  Result<Context> client = Context::open({.socket = client_node().socket()});
  ASSERT_TRUE(client);
  Result<Connection> other = client->connect("svc", kPatience);
  ASSERT_TRUE(other) << other.error().text;
  ASSERT_TRUE(other->send("unharmed", kPatience));
  Result<Connection> end = service->accept(kPatience);
  ASSERT_TRUE(end);
  EXPECT_TRUE(end->receive(kPatience));
}

TEST_P(HostileDescriptors, ADirectPeerThatMakesTheWakeOfTheOtherBlockingStopsNobody) {
  if (std::string(GetParam().name) != "direct") GTEST_SKIP() << "only a direct peer has the wake of the other";
  Result<Context> context = Context::open({.socket = server_node().socket()});
  ASSERT_TRUE(context);
  Result<Service> service = context->serve("svc");
  ASSERT_TRUE(service) << service.error().text;
  RawSession hostile(client_node().socket());
  hostile.connect();
  ASSERT_TRUE(hostile.peer_wake);
  Result<Connection> honest = service->accept(kPatience);
  ASSERT_TRUE(honest) << honest.error().text;
  ASSERT_EQ(::fcntl(hostile.peer_wake.get(), F_SETFL, 0), 0);
  EXPECT_TRUE(ends_in_time([&] { EXPECT_EQ(honest->receive(100ms).status(), Status::timed_out); },
                           [&] { slot::signal_event(hostile.peer_wake.get()); }))
      << "the honest process was stuck when its wait had timed out";
}

// --- the memory ---

TEST_P(HostileDescriptors, HolesInItsSpaceHurtItsOwnerAlone) {
  Result<Context> context = Context::open({.socket = server_node().socket()});
  ASSERT_TRUE(context);
  Result<Service> service = context->serve("svc");
  ASSERT_TRUE(service) << service.error().text;
  Ends honest = open_ends(client_node().socket(), server_node().socket(), {}, "svc");
  {
    RawSession hostile(client_node().socket());
    hostile.connect();
    const int file = hostile.own_file.get();
    const auto size = static_cast<off_t>(slot::space_file_bytes(hostile.own.order()));
    EXPECT_NE(::ftruncate(file, 0), 0) << "it could be made shorter";
    EXPECT_NE(::fallocate(file, 0, 0, 2 * size), 0) << "it could be made longer";
    Result<Connection> victim = service->accept(kPatience);
    ASSERT_TRUE(victim) << victim.error().text;
    for (std::uint32_t round = 1; round <= 200; ++round) {
      // A line, and no page under it and its mark.
      hostile.own.marks().tail.store(round, std::memory_order_seq_cst);
      ASSERT_EQ(::fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, size), 0);
      if (round % 2 == 0) hostile.own.marks().tail.store(round, std::memory_order_seq_cst);
      static const slot::PolledPage asleep{};
      slot::ring_bell(*reinterpret_cast<slot::BellPage*>(hostile.bells.data()), asleep, hostile.local);
      slot::signal_event(hostile.kick.get());
      static_cast<void>(victim->receive(Deadline::now()));
    }
    EXPECT_EQ(client_node().status()["node"], "left");
    ASSERT_TRUE(honest.client.send("unharmed", kPatience));
    EXPECT_TRUE(honest.server.receive(kPatience));
  }
}

/// Runs `holds` as another user than the one that runs slotwired, in a process of its own.
bool as_another_user(const std::function<bool()>& holds) {
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr uid_t kNobody = 65534;
    const bool other = ::setresgid(kNobody, kNobody, kNobody) == 0 && ::setresuid(kNobody, kNobody, kNobody) == 0;
    // Its /proc/self/fd is its own again, as that of any process that did not change its user.
    ::_exit(other && ::prctl(PR_SET_DUMPABLE, 1) == 0 && holds() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool can_be_reopened(int fd) {
  return slot::Fd(::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDWR | O_CLOEXEC)).get() >= 0;
}

TEST_P(HostileDescriptors, PagesOfTheEngineAreNotWrittenByAnotherUser) {
  Result<Context> context = Context::open({.socket = server_node().socket()});
  ASSERT_TRUE(context);
  Result<Service> service = context->serve("svc");
  ASSERT_TRUE(service) << service.error().text;
  RawSession hostile(client_node().socket());
  hostile.connect();
  for (const int fd : {hostile.polled.get(), hostile.other_file.get()}) {
    EXPECT_EQ(::mmap(nullptr, regs::kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    EXPECT_NE(::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, regs::kPageBytes), 0);
    void* const seen = ::mmap(nullptr, regs::kPageBytes, PROT_READ, MAP_SHARED, fd, 0);
    ASSERT_NE(seen, MAP_FAILED);
    EXPECT_NE(::mprotect(seen, regs::kPageBytes, PROT_READ | PROT_WRITE), 0);
    EXPECT_NE(::madvise(seen, regs::kPageBytes, MADV_REMOVE), 0);
    ::munmap(seen, regs::kPageBytes);
  }
  if (::getuid() != 0) GTEST_SKIP() << "only root can be another user";
  // What the test can tell: a file that everybody may write can be reopened.
  const slot::Fd open_to_all(::memfd_create("open-to-all", MFD_CLOEXEC));
  ASSERT_TRUE(as_another_user([&] { return can_be_reopened(open_to_all.get()); }));
  for (const int fd : {hostile.polled.get(), hostile.other_file.get(), hostile.own_file.get()}) {
    EXPECT_TRUE(as_another_user([&] { return !can_be_reopened(fd) && ::fchmod(fd, 0777) != 0; }));
  }
}

// --- descriptors that are passed ---

class PassedDescriptors : public ::testing::Test {
 protected:
  PassedDescriptors() : cluster_({}) { cluster_.start(); }
  Cluster cluster_;
};

TEST_F(PassedDescriptors, ASocketThatLingersDoesNotStopTheNode) {
  const slot::Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 64), 0);
  ASSERT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  // Closing it takes ten minutes, or until the test ends: nobody takes what was sent.
  const auto lingering = [&] {
    slot::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    const std::array<char, 65536> data{};
    while (::send(socket.get(), data.data(), data.size(), MSG_DONTWAIT) > 0) {
    }
    const linger long_time{1, 600};
    EXPECT_EQ(::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &long_time, sizeof long_time), 0);
    return socket;
  };
  // slotwired stands still meanwhile, so that it is the one who closes the socket last.
  const auto pass = [&](RawClient& client, const std::string& text, std::size_t times) {
    ASSERT_EQ(::kill(cluster_["left"].pid(), SIGSTOP), 0);
    slot::Fd socket = lingering();
    const bool sent = client.send(text, std::vector<int>(times, socket.get()));
    EXPECT_TRUE(sent);
    if (sent) {
      socket.reset();
    } else {
      static_cast<void>(socket.release());  // closing it would wait here
    }
    ASSERT_EQ(::kill(cluster_["left"].pid(), SIGCONT), 0);
  };
  const std::string status = R"({"op":"status","id":7})";
  for (const char* text : {R"({"op":"status","id":8})", R"({"op":"capture","id":8})", "nonsense", ""}) {
    RawClient client(cluster_["left"].socket());
    EXPECT_EQ(client.outcome(status), "ok");  // from here on it is accepted
    pass(client, text, 1);
    EXPECT_EQ(cluster_["left"].status()["node"], "left") << "after " << text;
  }
  // As many as a packet may hold.
  RawClient client(cluster_["left"].socket());
  EXPECT_EQ(client.outcome(status), "ok");
  pass(client, status, 8);
  EXPECT_EQ(cluster_["left"].status()["node"], "left");
}

TEST_F(PassedDescriptors, ThoseOfAnotherUserAreNotTakenAtAll) {
  if (::getuid() != 0) GTEST_SKIP() << "only root can be another user";
  std::filesystem::permissions(cluster_["left"].socket(), std::filesystem::perms::all);
  const auto [sent, refused] = std::pair{0, 3};
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr uid_t kNobody = 65534;
    // The directory may be closed to it, so it goes there first.
    if (::chdir(std::filesystem::path(cluster_["left"].socket()).parent_path().c_str()) != 0 ||
        ::setresuid(kNobody, kNobody, kNobody) != 0) {
      ::_exit(1);
    }
    try {
      RawClient client(std::filesystem::path(cluster_["left"].socket()).filename().string());
      if (client.outcome(R"({"op":"status","id":1})") != "ok") ::_exit(2);
      errno = 0;
      const bool passed = client.send(R"({"op":"status","id":2})", {STDIN_FILENO});
      if (!passed && errno == EPERM) ::_exit(refused);
      // An older kernel lets it through; then the process is dropped.
      ::_exit(client.receive() ? 4 : sent);
    } catch (const std::exception&) {
      ::_exit(5);
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_TRUE(WEXITSTATUS(status) == sent || WEXITSTATUS(status) == refused) << WEXITSTATUS(status);
}

}  // namespace
}  // namespace slotwire::test
