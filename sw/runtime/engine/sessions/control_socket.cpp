#include "runtime/engine/sessions/control_socket.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <variant>

#include "core/slot/open_files.hpp"
#include "runtime/control/codec.hpp"
#include "runtime/engine/config/directories.hpp"

namespace slotwire::engine {
namespace {

namespace fs = std::filesystem;

constexpr int kBacklog = 256;
/// Connections that are accepted at a time, so that they cannot keep everything else waiting.
constexpr int kAcceptsAtOnce = 16;
/// While no connection can be accepted.
constexpr std::uint64_t kRestUs = 100'000;
/// Packets that wait for a process that does not read its control socket; their bytes have limits of their own.
constexpr std::size_t kPacketQueue = 4096;
/// Where processes look that name no socket.
constexpr const char* kDefaultName = "slotwire.sock";

/// The only request that takes a descriptor. Whether its sender may capture is not asked here.
bool is_capture(std::string_view text) {
  const auto decoded = control::decode_request(text);
  const auto* const packet = std::get_if<control::RequestPacket>(&decoded);
  return packet != nullptr && std::holds_alternative<control::CaptureRequest>(packet->request);
}

}  // namespace

ControlSocket::ControlSocket(const Config& config, EventLoop& loop, NodeLog& log, ProcessHub& hub)
    : config_(config), loop_(loop), log_(log), hub_(hub) {
  listen();
  loop_.add(listener_.get(), EPOLLIN, [this](std::uint32_t) { accept(); });
  offer_as_default();
}

ControlSocket::~ControlSocket() {
  if (pause_) loop_.cancel(*pause_);
  loop_.remove(listener_.get());
}

void ControlSocket::listen() {
  const std::string& path = config_.node.control_socket;
  listener_ = slot::Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // Where the kernel can, it refuses to send descriptors here; operators may once they are accepted.
  passes_none_ = slot::accept_descriptors(listener_.get(), false);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    throw std::runtime_error("node.control_socket: the path is too long: " + path);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  make_directory("node.control_socket", fs::path(path).parent_path().string());
  ::unlink(path.c_str());
  const mode_t mask = ::umask(0777 & ~config_.node.control_socket_mode);
  const int bound = ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int bind_error = errno;
  ::umask(mask);
  if (bound != 0 || ::listen(listener_.get(), kBacklog) != 0) {
    throw std::system_error(
        bound != 0 ? bind_error : errno, std::generic_category(),
        "cannot listen on the control socket " + path + " (may slotwired write into its directory?)");
  }
}

/// The first node of a run_dir is found under the default name.
void ControlSocket::offer_as_default() {
  const fs::path own = config_.node.control_socket;
  const fs::path link = fs::path(config_.node.run_dir) / kDefaultName;
  if (own == link || own.parent_path() != link.parent_path()) return;
  std::error_code error;
  if (fs::is_symlink(link, error) && (fs::read_symlink(link, error) == own.filename() || !fs::exists(link, error))) {
    fs::remove(link, error);
  }
  fs::create_symlink(own.filename(), link, error);  // another node has it already: that is no error
}

void ControlSocket::withdraw() {
  const fs::path own = config_.node.control_socket;
  ::unlink(own.c_str());
  const fs::path link = fs::path(config_.node.run_dir) / kDefaultName;
  std::error_code error;
  if (own.parent_path() == link.parent_path() && fs::read_symlink(link, error) == own.filename()) {
    fs::remove(link, error);
  }
}

void ControlSocket::accept() {
  for (int i = 0; i < kAcceptsAtOnce; ++i) {
    slot::Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) {
      const bool nothing = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ECONNABORTED;
      if (!nothing) rest(std::strerror(errno));
      return;
    }
    auto socket = std::make_unique<control::PacketSocket>(std::move(fd), config_.limits.control_message, kPacketQueue);
    if (!passes_none_) socket->distrust([](std::string_view) { return false; });
    Result<PeerCredentials> who = peer_credentials(socket->fd());
    if (!who.ok()) {  // it has ended already, or there are no descriptors left to look at it
      log_.limited("not identified", spdlog::level::info, "a process was turned away: " + who.error().text);
      continue;
    }
    if (is_operator(who.value())) {
      slot::accept_descriptors(socket->fd(), true);
      socket->distrust(is_capture);
    }
    hub_.add(std::move(socket), std::move(who).value());
  }
}

/// Whoever waits stays in the kernel's queue; the listener would be found ready again and again meanwhile.
void ControlSocket::rest(const char* why) {
  log_.limited("accept", spdlog::level::err,
               std::string("processes cannot be let in for the time being: ") + why +
                   "; raise LimitNOFILE, or lower limits.slots and limits.sessions");
  loop_.modify(listener_.get(), 0);
  pause_ = loop_.after(kRestUs, [this] {
    pause_.reset();
    loop_.modify(listener_.get(), EPOLLIN);
  });
}

}  // namespace slotwire::engine
