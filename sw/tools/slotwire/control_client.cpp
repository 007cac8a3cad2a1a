#include "tools/slotwire/control_client.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

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

Json ControlClient::ask(Json request, const std::vector<int>& fds) {
  const std::string op = request.at("op").get<std::string>();
  const std::uint64_t id = ++last_id_;
  request["id"] = id;
  const auto gone = [&] {
    return CommandError(kExitEngineGone,
                        "slotwired at " + path_ + " went away during '" + op + "'; is it being restarted? Try again");
  };
  if (!socket_.send(request.dump(), fds)) throw gone();
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
    const Json answer = Json::parse(packet.text, nullptr, false);
    if (!answer.is_object() || answer.value("id", Json(0)) != id) continue;
    if (const auto error = answer.find("error"); error != answer.end() && error->is_object()) {
      const std::string code = error->value("code", std::string());
      throw CommandError(exit_code_of_error(code),
                         "'" + op + "': " + code + ": " + error->value("text", std::string()));
    }
    return answer;
  }
}

Json ControlClient::ask_all(const std::string& op) {
  Json rows = Json::array();
  std::int64_t from = 0;
  while (from >= 0) {
    const Json page = ask(Json{{"op", op}, {"from", from}});
    for (const Json& row : page.at(op)) rows.push_back(row);
    const std::int64_t next = page.at("next").get<std::int64_t>();
    if (next >= 0 && next <= from) throw CommandError(kExitFailed, "'" + op + "': slotwired's pages do not advance");
    from = next;
  }
  return rows;
}

}  // namespace slotwire::cli
