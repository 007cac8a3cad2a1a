#include "runtime/http/loop.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <vector>

#include "core/slot/memory.hpp"
#include "runtime/http/heap.hpp"

namespace slotwire::http {
namespace {

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
    read = slot::Fd(ends[0]);
    write = slot::Fd(ends[1]);
  }
  slot::Fd read, write;
};

TEST(Loop, PostsInOrder) {
  Loop loop;
  std::vector<int> order;
  loop.post([&] { order.push_back(1); });
  loop.post([&] {
    order.push_back(2);
    loop.post([&] { loop.stop(); });
  });
  loop.run();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST(Loop, RunsAgain) {
  Loop loop;
  loop.post([&] { loop.stop(); });
  loop.run();
  bool again = false;
  loop.post([&] {
    again = true;
    loop.stop();
  });
  loop.run();
  EXPECT_TRUE(again);
}

TEST(Timer, FiresAtItsTime) {
  Loop loop;
  const std::uint64_t start = Loop::now_us();
  Timer timer(loop, [&] { loop.stop(); });
  timer.after(std::chrono::milliseconds(20));
  loop.run();
  EXPECT_GE(Loop::now_us(), start + 20'000);
}

TEST(Timer, MovesLater) {
  Loop loop;
  int fired = 0;
  Timer timer(loop, [&] { ++fired; });
  Timer stop(loop, [&] { loop.stop(); });
  timer.after(std::chrono::milliseconds(5));
  timer.after(std::chrono::hours(1));
  stop.after(std::chrono::milliseconds(30));
  loop.run();
  EXPECT_EQ(fired, 0);
}

TEST(Timer, MovesEarlier) {
  Loop loop;
  Timer timer(loop, [&] { loop.stop(); });
  timer.after(std::chrono::hours(1));
  timer.after(std::chrono::milliseconds(1));
  loop.run();
}

TEST(Timer, IsCancelled) {
  Loop loop;
  Timer timer(loop, [] { FAIL(); });
  Timer stop(loop, [&] { loop.stop(); });
  timer.after(std::chrono::milliseconds(1));
  timer.cancel();
  stop.after(std::chrono::milliseconds(20));
  loop.run();
}

TEST(Timer, IsDestroyedWithinItsCall) {
  Loop loop;
  std::unique_ptr<Timer> timer;
  timer = std::make_unique<Timer>(loop, [&] {
    timer.reset();
    loop.stop();
  });
  timer->at(0);
  loop.run();
  EXPECT_EQ(timer, nullptr);
}

TEST(Watch, CallsWhileItIsReady) {
  Loop loop;
  Pipe pipe;
  ASSERT_EQ(::write(pipe.write.get(), "xyz", 3), 3);
  int calls = 0;
  Watch watch(loop, pipe.read.get(), [&](Readiness ready) {
    EXPECT_TRUE(ready.readable);
    char c = 0;
    EXPECT_EQ(::read(pipe.read.get(), &c, 1), 1);
    if (++calls == 3) loop.stop();
  });
  watch.want({true, false});
  loop.run();
}

TEST(Watch, CallsForTheEnd) {
  Loop loop;
  Pipe pipe;
  Watch watch(loop, pipe.read.get(), [&](Readiness) { loop.stop(); });
  watch.want({true, false});
  loop.post([&] { pipe.write.reset(); });
  loop.run();
}

TEST(Watch, IsSilentWhenNothingIsWanted) {
  Loop loop;
  Pipe pipe;
  ASSERT_EQ(::write(pipe.write.get(), "x", 1), 1);
  Watch watch(loop, pipe.read.get(), [](Readiness) { FAIL(); });
  watch.want({true, false});
  watch.want({});
  Timer stop(loop, [&] { loop.stop(); });
  stop.after(std::chrono::milliseconds(10));
  loop.run();
}

TEST(Watch, IsDestroyedWithinItsCall) {
  Loop loop;
  Pipe pipe;
  std::unique_ptr<Watch> watch;
  watch = std::make_unique<Watch>(loop, pipe.write.get(), [&](Readiness) {
    watch.reset();
    loop.stop();
  });
  watch->want({false, true});
  loop.run();
  // The descriptor stays its owner's.
  EXPECT_NE(::fcntl(pipe.write.get(), F_GETFD), -1);
}

TEST(Watch, TakesARegularFile) {
  Loop loop;
  const slot::Fd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  int calls = 0;
  Watch watch(loop, file.get(), [&](Readiness ready) {
    EXPECT_TRUE(ready.readable);
    if (++calls == 3) loop.stop();
  });
  watch.want({true, false});
  loop.run();
}

TEST(Watch, TakesAnotherEpoll) {
  Loop loop;
  Pipe pipe;
  const slot::Fd inner(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN;
  ASSERT_EQ(::epoll_ctl(inner.get(), EPOLL_CTL_ADD, pipe.read.get(), &event), 0);
  int calls = 0;
  Watch watch(loop, inner.get(), [&](Readiness) {
    if (++calls == 2) return loop.stop();
    char c = 0;
    EXPECT_EQ(::read(pipe.read.get(), &c, 1), 1);
    EXPECT_EQ(::write(pipe.write.get(), "y", 1), 1);
  });
  watch.want({true, false});
  loop.post([&] { EXPECT_EQ(::write(pipe.write.get(), "x", 1), 1); });
  loop.run();
}

TEST(HttpHeap, KeepsWhatIsFreedForTheNextBodies) {
#if !defined(__GLIBC__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "another allocator";
#else
  // 8 MiB, in bodies of 256 KiB. With the C library's own limits nearly all of that goes back to the system.
  constexpr std::size_t kBodies = 32, kBody = std::size_t{256} << 10U;
  keep_freed_memory();
  for (int round = 0; round < 2; ++round) {
    std::vector<std::vector<std::byte> > bodies;
    for (std::size_t i = 0; i < kBodies; ++i) bodies.emplace_back(kBody, std::byte{1});
  }
  EXPECT_GE(::mallinfo2().fordblks, kBodies * kBody);
#endif
}

}  // namespace
}  // namespace slotwire::http
