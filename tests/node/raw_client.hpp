// A process that writes what it likes at a control socket.
#pragma once
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node_fixture.hpp"
#include "runtime/control/packet_socket.hpp"

namespace slotwire::test {

/// Throws std::runtime_error where slotwired does not do what it must.
class RawClient {
 public:
  explicit RawClient(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    slot::Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("cannot connect");
    constexpr std::size_t kLargest = std::size_t{1} << 20;
    socket_ = std::make_unique<control::PacketSocket>(std::move(fd), kLargest, 4);
  }
  bool send(const std::string& text, const std::vector<int>& fds = {}) { return socket_->send(text, fds); }
  /// The next packet; none: it was dropped.
  std::optional<control::Packet> receive() {
    pollfd wait{socket_->fd(), POLLIN, 0};
    const int n = ::poll(&wait, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count()));
    if (n != 1) throw std::runtime_error("slotwired neither answers nor hangs up");
    control::Packet packet;
    if (socket_->receive(packet) != control::PacketSocket::Got::packet) return std::nullopt;
    return packet;
  }
  /// The answer to a request, with its descriptors; throws when there is none.
  Json ask(Json request, std::vector<slot::Fd>* fds = nullptr) {
    request["id"] = ++id_;
    if (!send(request.dump())) throw std::runtime_error("slotwired does not read");
    while (std::optional<control::Packet> packet = receive()) {
      Json answer = Json::parse(packet->text);
      if (answer.contains("ev")) continue;
      if (fds != nullptr) *fds = std::move(packet->fds);
      return answer;
    }
    throw std::runtime_error("slotwired hung up");
  }
  /// "ok", the code of the error, or "dropped".
  std::string outcome(const std::string& text, const std::vector<int>& fds = {}) {
    if (!send(text, fds)) return "dropped";
    const std::optional<control::Packet> packet = receive();
    if (!packet) return "dropped";
    const Json answer = Json::parse(packet->text);
    if (answer.contains("error")) return answer["error"]["code"].get<std::string>();
    return "ok";
  }
  int fd() const { return socket_->fd(); }

 private:
  std::unique_ptr<control::PacketSocket> socket_;
  std::uint64_t id_ = 0;
};

}  // namespace slotwire::test
