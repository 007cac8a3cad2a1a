// What a process has given up is gone: shown by children that try.
#include "runtime/sandbox/sandbox.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace slotwire::sandbox {
namespace {

constexpr int kNoLandlock = 100;

/// The exit status of a child that calls `act`; -1: it was ended by a signal.
template <class Act>
int in_child(Act&& act) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(act());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

struct SandboxTest : ::testing::Test {
  SandboxTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "slotwire-test-XXXXXX").string();
    if (::mkdtemp(pattern.data()) != nullptr) directory = pattern;
    given = directory / "given" / "file";
    other = directory / "other";
    std::filesystem::create_directory(directory / "given");
    for (const std::filesystem::path& path : {given, other}) std::ofstream(path) << "text";
  }
  ~SandboxTest() override { std::filesystem::remove_all(directory); }

  /// errno of what a child does to files after it gave up all but `given`.
  template <class Act>
  int after_giving_up(Act&& act) {
    return in_child([&] {
      const std::string kept = (directory / "given").string();
      const std::array<std::string_view, 2> paths{kept, "/nonexistent"};
      gain_nothing();
      if (!read_only(paths)) return kNoLandlock;
      errno = 0;
      act();
      return errno;
    });
  }

  std::filesystem::path directory, given, other;
};

TEST_F(SandboxTest, OfFilesOnlyWhatWasNamedCanBeRead) {
  const int read = after_giving_up([&] { (void)::open(given.c_str(), O_RDONLY | O_CLOEXEC); });
  if (read == kNoLandlock) GTEST_SKIP() << "this kernel has no Landlock";
  EXPECT_EQ(read, 0);
  EXPECT_EQ(after_giving_up([&] { (void)::open(other.c_str(), O_RDONLY | O_CLOEXEC); }), EACCES);
  EXPECT_EQ(after_giving_up([&] { (void)::open("/etc/passwd", O_RDONLY | O_CLOEXEC); }), EACCES);
}

TEST_F(SandboxTest, NothingCanBeWrittenMadeMovedOrCut) {
  const int write = after_giving_up([&] { (void)::open(given.c_str(), O_WRONLY | O_CLOEXEC); });
  if (write == kNoLandlock) GTEST_SKIP() << "this kernel has no Landlock";
  EXPECT_EQ(write, EACCES);
  EXPECT_EQ(
      after_giving_up([&] { (void)::open((given.string() + "2").c_str(), O_CREAT | O_RDONLY | O_CLOEXEC, 0600); }),
      EACCES);
  EXPECT_EQ(after_giving_up([&] { (void)::unlink(given.c_str()); }), EACCES);
  EXPECT_EQ(after_giving_up([&] { (void)::mkdir((given.string() + "2").c_str(), 0700); }), EACCES);
  EXPECT_EQ(after_giving_up([&] { (void)::rename(given.c_str(), (given.string() + "2").c_str()); }), EACCES);
  constexpr long kCutsAreKept = 3;  // the version of Landlock that Linux 6.2 has
  if (::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION) < kCutsAreKept) return;
  EXPECT_EQ(after_giving_up([&] { (void)::truncate(given.c_str(), 0); }), EACCES);
  EXPECT_EQ(std::filesystem::file_size(given), 4U);
}

TEST_F(SandboxTest, ACallThatIsNotListedEndsTheGateAndFailsTheKeeper) {
  if (!filters()) GTEST_SKIP() << "sanitizers make calls of their own: no filters";
  EXPECT_EQ(in_child([] {
              gain_nothing();
              allow_only(gate_calls(), Otherwise::end);
              ::getppid();
              ::mkdir("/nonexistent/x", 0700);
              return 0;
            }),
            -1);
  EXPECT_EQ(in_child([] {
              gain_nothing();
              allow_only(keeper_calls(), Otherwise::fail);
              errno = 0;
              ::mkdir("/nonexistent/x", 0700);
              return errno;
            }),
            EPERM);
}

TEST_F(SandboxTest, RefusedCallsFailAndOthersDoNot) {
  if (!filters()) GTEST_SKIP() << "sanitizers make calls of their own: no filters";
  EXPECT_EQ(in_child([this] {
              gain_nothing();
              refuse(refused_calls());
              if (::mkdir((directory / "made").c_str(), 0700) != 0) return 1;
              return ::chroot("/") == 0 ? 2 : errno;
            }),
            EPERM);
  EXPECT_TRUE(std::filesystem::exists(directory / "made"));
}

}  // namespace
}  // namespace slotwire::sandbox
