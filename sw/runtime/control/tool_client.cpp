#include "runtime/control/tool_client.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <variant>

#include "runtime/control/engine_owner.hpp"

namespace slotwire::control {
namespace {

/// Longest answer: as the process library.
constexpr std::size_t kMaxPacket = std::size_t{1} << 20;
constexpr std::size_t kQueue = 4;

slot::Fd connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    throw ToolError(ToolError::Kind::usage, "the control socket's path is too long: " + path);
  std::memcpy(address.sun_path, path.data(), path.size());
  slot::Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  // A slotwired that is stopped accepts nobody, and its queue may be full.
  const timeval patience{.tv_sec = ToolClient::kAnswerMs / 1000, .tv_usec = 0};
  if (fd) ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    throw ToolError(error == EACCES ? ToolError::Kind::no_access : ToolError::Kind::not_there,
                    "slotwired cannot be reached at " + path + " (" + std::strerror(error) + "): " +
                        (error == EACCES ? "use its group or root (node.control_socket_mode)"
                                         : "start it, or name its socket by --socket or SLOTWIRE_SOCKET"));
  }
  if (const std::string wrong = wrong_engine_owner(fd.get(), path); !wrong.empty()) {
    throw ToolError(ToolError::Kind::no_access, "that is not slotwired: " + wrong);
  }
  return fd;
}

}  // namespace

ToolClient::ToolClient(std::string path) : path_(std::move(path)), socket_(connect_to(path_), kMaxPacket, kQueue) {}

Json ToolClient::ask(const Request& request, const std::vector<int>& fds, std::vector<slot::Fd>* got_fds) {
  const std::string op(std::visit([](const auto& message) { return message.kName; }, request));
  const std::uint64_t id = ++last_id_;
  const auto gone = [&] {
    return ToolError(ToolError::Kind::not_there,
                     "slotwired at " + path_ + " went away during '" + op + "'; is it being restarted? Try again");
  };
  errno = 0;
  if (!socket_.send(encode_request(id, request), fds)) {
    if (fds.empty() || errno != EPERM) throw gone();
    throw ToolError(ToolError::Kind::not_allowed,
                    "'" + op + "': refused: only root and the user that slotwired runs as may " + op);
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kAnswerMs);
  while (true) {
    Packet packet;
    const PacketSocket::Got got = socket_.receive(packet);
    if (got == PacketSocket::Got::nothing) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
      if (left <= 0) {
        throw ToolError(ToolError::Kind::no_answer, "slotwired at " + path_ + " did not answer '" + op + "' in " +
                                                        std::to_string(kAnswerMs) +
                                                        " ms: it is overloaded or stuck (look at its log)");
      }
      pollfd wait{socket_.fd(), POLLIN, 0};
      ::poll(&wait, 1, static_cast<int>(left));
      continue;
    }
    if (got != PacketSocket::Got::packet) throw gone();
    core::Result<FromEngine> message = decode_from_engine(packet.text);
    auto* const answer = message.ok() ? std::get_if<Answer>(&message.value()) : nullptr;
    if (answer != nullptr && answer->id == 0 && answer->refusal &&
        answer->refusal->code == "quota") {  // and the socket is closed next
      throw ToolError(ToolError::Kind::refused, "slotwired turned this process away: " + answer->refusal->text,
                      answer->refusal->code);
    }
    if (answer == nullptr || answer->id != id) continue;
    if (answer->refusal) {
      throw ToolError(ToolError::Kind::refused, "'" + op + "': " + answer->refusal->code + ": " + answer->refusal->text,
                      answer->refusal->code);
    }
    if (got_fds != nullptr) *got_fds = std::move(packet.fds);
    return std::move(answer->fields);
  }
}

std::int64_t ToolClient::append_page(const Json& page, const std::string& name, std::int64_t from, Json& rows) {
  for (const Json& row : page.at(name)) rows.push_back(row);
  const std::int64_t next = page.at("next").get<std::int64_t>();
  if (next >= 0 && next <= from)
    throw ToolError(ToolError::Kind::broken, "'" + name + "': slotwired's pages do not advance");
  return next;
}

std::string default_socket_path() {
  const char* from_environment = std::getenv("SLOTWIRE_SOCKET");
  return from_environment != nullptr && *from_environment != 0 ? from_environment : "/run/slotwire/slotwire.sock";
}

}  // namespace slotwire::control
