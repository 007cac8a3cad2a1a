// Plays slotwired on a control socket of its own, packet by packet, for tests of the process library.
#pragma once
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/regs/regs.hpp"
#include "core/slot/memory.hpp"
#include "core/slot/waiter.hpp"
#include "runtime/control/packet_socket.hpp"

namespace slotwire::test {

/// Any thread, one at a time.
class FakeEngine {
 public:
  using Peer = control::PacketSocket;

  /// Order of the rings of slot(): one page.
  static constexpr unsigned kOrder = 6;

  FakeEngine() {
    directory_ = (std::filesystem::temp_directory_path() / "slotwire-fake-XXXXXX").string();
    if (::mkdtemp(directory_.data()) == nullptr) std::abort();
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path().copy(address.sun_path, sizeof address.sun_path - 1);
    listener_ = slot::Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_.get(), kBacklog) != 0) {
      std::abort();
    }
  }
  ~FakeEngine() { std::filesystem::remove_all(directory_); }
  FakeEngine(const FakeEngine&) = delete;
  FakeEngine& operator=(const FakeEngine&) = delete;

  std::string path() const { return directory_ + "/sock"; }
  /// Has a process connected that was not accepted yet?
  bool called() const { return readable(listener_.get(), 0); }
  /// Waits for a process; ends the program when none comes.
  Peer accept() const {
    if (!readable(listener_.get(), kWaitMs)) std::abort();
    return {slot::Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)), kMaxText, kQueue};
  }
  /// The next packet that the process sent; empty when it has gone, or said nothing in time.
  static std::string hear(Peer& peer) {
    control::Packet packet;
    if (!readable(peer.fd(), kWaitMs) || peer.receive(packet) != Peer::Got::packet) return {};
    return std::move(packet.text);
  }
  /// Answers the hello with number `id`: a new session, with new memory.
  bool welcome(Peer& peer, std::uint64_t id) {
    bells_ = slot::create_sealed_file("bells", regs::kPageBytes);
    polled_ = slot::create_sealed_file("polled", regs::kPageBytes);
    event_ = slot::create_event();
    space_ = slot::create_sealed_file("space", slot::space_file_bytes(kOrder));
    other_ = slot::read_only_copy(space_);
    const slot::Fd polled = slot::read_only_copy(polled_);
    return peer.send(R"({"id":)" + std::to_string(id) +
                         R"(,"ok":true,"session":7,"token":"00","node":"fake","spin_us":1,"yield_us":1})",
                     {bells_.get(), polled.get(), event_.get()});
  }
  /// Descriptors of a slot of the session, five: own space, the other one, and three more that a slot may come with.
  std::vector<int> slot() const { return {space_.get(), other_.get(), event_.get(), event_.get(), space_.get()}; }

 private:
  static constexpr std::size_t kMaxText = 65536;
  static constexpr std::size_t kQueue = 64;
  static constexpr int kBacklog = 16;
  static constexpr int kWaitMs = 20'000;

  static bool readable(int fd, int timeout_ms) {
    pollfd wait{fd, POLLIN, 0};
    return ::poll(&wait, 1, timeout_ms) == 1;
  }

  std::string directory_;
  slot::Fd listener_;
  slot::Fd bells_, polled_, event_, space_, other_;
};

}  // namespace slotwire::test
