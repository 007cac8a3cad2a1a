// Packets of the control socket: which descriptors are taken, and who waits for the end of the others.
#include "runtime/control/packet_socket.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>
#include <thread>

#include "core/slot/open_files.hpp"
#include "runtime/control/closer.hpp"

namespace slotwire::control {
namespace {

void wait_for_closer() {
  while (Closer::of_process().unclosed() != 0) std::this_thread::yield();
}

struct Pair {
  Pair() {
    wait_for_closer();  // for what an earlier test left
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
      throw std::runtime_error("socketpair");
    hostile = slot::Fd(ends[0]);
    ours = std::make_unique<PacketSocket>(slot::Fd(ends[1]), 256, 4);
    ours->distrust([](std::string_view text) { return text == "carries"; });
  }
  /// What a process sends that keeps to no rule; false: the kernel refuses it.
  bool pass(std::string_view text, int fd) const {
    PacketSocket sender(slot::Fd(::dup(hostile.get())), 256, 4);
    return sender.send(std::string(text), {fd});
  }
  slot::Fd hostile;
  std::unique_ptr<PacketSocket> ours;
};

/// A socket whose close() waits for ten minutes: it has data that its peer never takes.
struct Lingering {
  Lingering() {
    const slot::Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    socket = slot::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener.get(), 1) != 0 ||
        ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
        ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      throw std::runtime_error("no TCP connection over loopback");
    }
    peer = slot::Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const std::array<char, 65536> data{};
    while (::send(socket.get(), data.data(), data.size(), MSG_DONTWAIT) > 0) {
    }
    const linger long_time{1, 600};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &long_time, sizeof long_time);
  }
  /// Whoever closes the socket goes on.
  void let_go() {
    const linger none{1, 0};
    ::setsockopt(peer.get(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
    peer.reset();
  }
  slot::Fd socket, peer;
};

TEST(PacketSocket, TakesDescriptorsFromPacketsThatMayCarryThem) {
  Pair pair;
  ASSERT_TRUE(pair.pass("carries", STDIN_FILENO));
  Packet packet;
  ASSERT_EQ(pair.ours->receive(packet), PacketChannel::Got::packet);
  EXPECT_EQ(packet.text, "carries");
  EXPECT_EQ(packet.fds.size(), 1U);
  EXPECT_EQ(pair.ours->receive(packet), PacketChannel::Got::nothing);
}

TEST(PacketSocket, TakesNoneFromOthers) {
  Pair pair;
  ::send(pair.hostile.get(), "before", 6, 0);
  ASSERT_TRUE(pair.pass("status", STDIN_FILENO));
  Packet packet;
  ASSERT_EQ(pair.ours->receive(packet), PacketChannel::Got::packet);
  EXPECT_EQ(pair.ours->receive(packet), PacketChannel::Got::unwanted);
  EXPECT_TRUE(packet.fds.empty());
}

TEST(PacketSocket, TakesNoneFromAPacketThatComesWhileItLooks) {
  for (int i = 0; i < 100; ++i) {
    Pair pair;
    std::jthread sender([&] { pair.pass("status", STDIN_FILENO); });
    Packet packet;
    PacketChannel::Got got = PacketChannel::Got::nothing;
    while (got == PacketChannel::Got::nothing) got = pair.ours->receive(packet);
    ASSERT_EQ(got, PacketChannel::Got::unwanted) << "in pair " << i;
    ASSERT_TRUE(packet.fds.empty());
  }
}

TEST(PacketSocket, ItsEndWaitsForNoDescriptorThatWasPassed) {
  for (const char* first : {"", "status"}) {
    Pair pair;
    Lingering slow;
    // An empty packet looks like the end.
    ::send(pair.hostile.get(), first, std::strlen(first), 0);
    ASSERT_TRUE(pair.pass("", slow.socket.get()) || pair.pass("status", slow.socket.get()));
    slow.socket.reset();
    pair.ours.reset();
    EXPECT_EQ(Closer::of_process().unclosed(), 1U) << "the socket was closed in this thread";
    slow.let_go();
    wait_for_closer();
  }
}

TEST(PacketSocket, WithoutDescriptorsInItIsClosedAtOnce) {
  Pair pair;
  ::send(pair.hostile.get(), "", 0, 0);
  ::send(pair.hostile.get(), "text", 4, 0);
  pair.ours.reset();
  EXPECT_EQ(Closer::of_process().unclosed(), 0U);
  char byte = 0;
  EXPECT_EQ(::recv(pair.hostile.get(), &byte, 1, MSG_DONTWAIT), 0);
}

TEST(Closer, WaitsForOneWhileItClosesOthers) {
  Lingering slow;
  Closer::of_process().close(std::move(slow.socket));
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  const slot::Fd reader(pipe[0]);
  Closer::of_process().close(slot::Fd(pipe[1]));
  char byte = 0;
  EXPECT_EQ(::read(reader.get(), &byte, 1), 0) << "the other end was not closed";
  // The thread that closed the pipe counts it just afterwards.
  while (Closer::of_process().unclosed() > 1) std::this_thread::yield();
  EXPECT_EQ(Closer::of_process().unclosed(), 1U);
  slow.let_go();
  wait_for_closer();
}

TEST(OpenFiles, ASocketRefusesDescriptorsWhereTheKernelCan) {
  Pair pair;
  if (!slot::accept_descriptors(pair.ours->fd(), false)) GTEST_SKIP() << "SO_PASSRIGHTS came with Linux 6.16";
  EXPECT_FALSE(pair.pass("carries", STDIN_FILENO));
  EXPECT_EQ(errno, EPERM);
}

}  // namespace
}  // namespace slotwire::control
