#include "tools/slotwire/control_client.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "runtime/control/engine_owner.hpp"

namespace slotwire::cli {
namespace {

/// Longest answer: as the process library.
constexpr std::size_t kMaxPacket = std::size_t{1} << 20;
constexpr std::size_t kQueue = 4;

slot::Fd connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    throw CommandError(kExitUsage, "the control socket's path is too long: " + path);
  std::memcpy(address.sun_path, path.data(), path.size());
  slot::Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    throw CommandError(error == EACCES ? kExitRefused : kExitEngineGone,
                       "slotwired cannot be reached at " + path + " (" + std::strerror(error) + "): " +
                           (error == EACCES ? "use its group or root (node.control_socket_mode)"
                                            : "start it, or name its socket by --socket or SLOTWIRE_SOCKET"));
  }
  if (const std::string wrong = control::wrong_engine_owner(fd.get(), path); !wrong.empty()) {
    throw CommandError(kExitRefused, "that is not slotwired: " + wrong);
  }
  return fd;
}

int exit_code_of_error(const std::string& code) {
  if (code == "no_service") return kExitNoService;
  if (code == "link_down") return kExitLinkDown;
  if (code == "refused" || code == "quota") return kExitRefused;
  return kExitFailed;
}

}  // namespace

ControlClient::ControlClient(const Common& common)
    : path_(socket_path(common)), socket_(connect_to(path_), kMaxPacket, kQueue) {}

Json ControlClient::ask(const control::Request& request, const std::vector<int>& fds) {
  const std::string op(std::visit([](const auto& message) { return message.kName; }, request));
  const std::uint64_t id = ++last_id_;
  const auto gone = [&] {
    return CommandError(kExitEngineGone,
                        "slotwired at " + path_ + " went away during '" + op + "'; is it being restarted? Try again");
  };
  errno = 0;
  if (!socket_.send(control::encode_request(id, request), fds)) {
    if (fds.empty() || errno != EPERM) throw gone();
    throw CommandError(kExitRefused, "'" + op + "': refused: only root and the user that slotwired runs as may " + op);
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kAnswerMs);
  while (true) {
    control::Packet packet;
    const control::PacketSocket::Got got = socket_.receive(packet);
    if (got == control::PacketSocket::Got::nothing) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
      if (left <= 0) {
        throw CommandError(kExitFailed, "slotwired at " + path_ + " did not answer '" + op + "' in " +
                                            std::to_string(kAnswerMs) +
                                            " ms: it is overloaded or stuck (look at its log)");
      }
      pollfd wait{socket_.fd(), POLLIN, 0};
      ::poll(&wait, 1, static_cast<int>(left));
      continue;
    }
    if (got != control::PacketSocket::Got::packet) throw gone();
    core::Result<control::FromEngine> message = control::decode_from_engine(packet.text);
    auto* const answer = message.ok() ? std::get_if<control::Answer>(&message.value()) : nullptr;
    if (answer != nullptr && answer->id == 0 && answer->refusal &&
        answer->refusal->code == "quota") {  // and the socket is closed next
      throw CommandError(exit_code_of_error(answer->refusal->code),
                         "slotwired turned this process away: " + answer->refusal->text);
    }
    if (answer == nullptr || answer->id != id) continue;
    if (answer->refusal) {
      throw CommandError(exit_code_of_error(answer->refusal->code),
                         "'" + op + "': " + answer->refusal->code + ": " + answer->refusal->text);
    }
    return std::move(answer->fields);
  }
}

std::int64_t ControlClient::append_page(const Json& page, const std::string& name, std::int64_t from, Json& rows) {
  for (const Json& row : page.at(name)) rows.push_back(row);
  const std::int64_t next = page.at("next").get<std::int64_t>();
  if (next >= 0 && next <= from) throw CommandError(kExitFailed, "'" + name + "': slotwired's pages do not advance");
  return next;
}

}  // namespace slotwire::cli
