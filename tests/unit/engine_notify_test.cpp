// What the service manager hears.
#include "runtime/engine/host/notify.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <ctime>

#include "core/slot/memory.hpp"
#include "temporary_directory.hpp"

namespace slotwire::engine {
namespace {

using slot::Fd;

/// The service manager's end.
class Manager {
 public:
  explicit Manager(const std::string& address)
      : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::memcpy(name.sun_path, address.data(), address.size());
    if (name.sun_path[0] == '@') name.sun_path[0] = '\0';
    bound_ = ::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&name),
                    static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size())) == 0;
  }
  bool bound() const { return bound_; }
  /// The next message; empty when there is none.
  std::string next() {
    std::array<char, 4096> buffer{};
    const ssize_t size = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    return size < 0 ? "" : std::string(buffer.data(), static_cast<std::size_t>(size));
  }

 private:
  Fd socket_;
  bool bound_ = false;
};

void hears_everything(const std::string& address) {
  Manager manager(address);
  ASSERT_TRUE(manager.bound());
  ServiceNotifier notifier(address);
  ASSERT_TRUE(notifier.enabled());
  ASSERT_TRUE(notifier.ready().ok());
  EXPECT_EQ(manager.next(), "READY=1");
  ASSERT_TRUE(notifier.ready("3 links").ok());
  EXPECT_EQ(manager.next(), "READY=1\nSTATUS=3 links");
  ASSERT_TRUE(notifier.status("two\nlines").ok());
  EXPECT_EQ(manager.next(), "STATUS=two lines");
  ASSERT_TRUE(notifier.stopping().ok());
  EXPECT_EQ(manager.next(), "STOPPING=1");
  ASSERT_TRUE(notifier.status(std::string(2 * kMaxStatusBytes, 'x')).ok());
  EXPECT_EQ(manager.next().size(), std::strlen("STATUS=") + kMaxStatusBytes);
  EXPECT_EQ(manager.next(), "");
}

TEST(EngineNotify, ReachesASocketInTheFileSystem) {
  const test::TemporaryDirectory dir;
  hears_everything((dir.path() / "notify").string());
}

TEST(EngineNotify, ReachesAnAbstractSocket) {
  hears_everything("@slotwire-notify-test-" + std::to_string(getpid()));
}

TEST(EngineNotify, AReloadSaysWhen) {
  const std::string address = "@slotwire-reload-test-" + std::to_string(getpid());
  Manager manager(address);
  ASSERT_TRUE(manager.bound());
  const auto now = [] {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<long long>(t.tv_sec) * 1'000'000 + t.tv_nsec / 1000;
  };
  const auto before = now();
  ASSERT_TRUE(ServiceNotifier(address).reloading().ok());
  const auto after = now();
  const std::string message = manager.next();
  const std::string prefix = "RELOADING=1\nMONOTONIC_USEC=";
  ASSERT_EQ(message.rfind(prefix, 0), 0U) << message;
  const long long said = std::stoll(message.substr(prefix.size()));
  EXPECT_GE(said, before);
  EXPECT_LE(said, after);
}

TEST(EngineNotify, WithoutAServiceManagerNothingHappens) {
  ServiceNotifier notifier("");
  EXPECT_FALSE(notifier.enabled());
  EXPECT_TRUE(notifier.ready().ok());
}

TEST(EngineNotify, TakesTheAddressFromTheEnvironment) {
  const std::string address = "@slotwire-environment-test-" + std::to_string(getpid());
  Manager manager(address);
  ASSERT_TRUE(manager.bound());
  ASSERT_EQ(setenv("NOTIFY_SOCKET", address.c_str(), 1), 0);
  EXPECT_TRUE(ServiceNotifier::from_environment().ready().ok());
  EXPECT_EQ(manager.next(), "READY=1");
  ASSERT_EQ(unsetenv("NOTIFY_SOCKET"), 0);
  EXPECT_FALSE(ServiceNotifier::from_environment().enabled());
}

TEST(EngineNotify, FeedsTheWatchdogEveryQuarterOfItsTime) {
  const std::string address = "@slotwire-watchdog-test-" + std::to_string(getpid());
  Manager manager(address);
  ASSERT_TRUE(manager.bound());
  ServiceNotifier notifier(address, std::chrono::seconds(4));
  for (const std::uint64_t now_us : {10'000'000U, 10'999'999U, 11'000'000U, 11'500'000U, 12'500'000U}) {
    ASSERT_TRUE(notifier.alive(now_us).ok());
  }
  for (int i = 0; i < 3; ++i) EXPECT_EQ(manager.next(), "WATCHDOG=1");
  EXPECT_EQ(manager.next(), "");
  ServiceNotifier without(address);
  ASSERT_TRUE(without.alive(10'000'000).ok());
  EXPECT_EQ(manager.next(), "") << "nobody waits for it";
}

TEST(EngineNotify, TakesTheWatchdogFromTheEnvironmentIfItIsItsOwn) {
  const std::string address = "@slotwire-watchdog-environment-" + std::to_string(getpid());
  Manager manager(address);
  ASSERT_TRUE(manager.bound());
  const auto fed = [&](const char* us, const std::string& pid) {
    setenv("NOTIFY_SOCKET", address.c_str(), 1);
    setenv("WATCHDOG_USEC", us, 1);
    setenv("WATCHDOG_PID", pid.c_str(), 1);
    EXPECT_TRUE(ServiceNotifier::from_environment().alive(1'000'000).ok());
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) unsetenv(name);
    return manager.next() == "WATCHDOG=1";
  };
  EXPECT_TRUE(fed("1000000", std::to_string(getpid())));
  EXPECT_FALSE(fed("1000000", std::to_string(getppid())));
  EXPECT_FALSE(fed("soon", std::to_string(getpid())));
  EXPECT_FALSE(fed("-1", std::to_string(getpid())));
}

TEST(EngineNotify, RefusesWhatIsNoAddressAndReportsNobodyThere) {
  EXPECT_THROW(ServiceNotifier("relative"), std::runtime_error);
  EXPECT_THROW(ServiceNotifier("@"), std::runtime_error);
  EXPECT_THROW(ServiceNotifier("/" + std::string(200, 'x')), std::runtime_error);
  const test::TemporaryDirectory dir;
  ServiceNotifier notifier((dir.path() / "absent").string());
  const auto result = notifier.ready();
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.error().text.find("READY=1"), std::string::npos) << result.error().text;
}

}  // namespace
}  // namespace slotwire::engine
