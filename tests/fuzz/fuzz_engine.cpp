// Fuzzes what an engine reads from others: requests of processes on the control socket, and messages of another engine
// on the control connection. One engine for the whole run; each input is one client.
//
// An input's first byte: bit 0 chooses the control connection instead of the control socket, bit 1 begins with a good
// hello. The rest are packets, separated by the byte 0xff.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "runtime/engine/config/config.hpp"
#include "runtime/engine/engine.hpp"

namespace {

using slotwire::slot::Fd;

constexpr int kWaitMs = 2000;
constexpr std::size_t kMaxPackets = 32;

class EngineUnderTest {
 public:
  EngineUnderTest() {
    directory_ = (std::filesystem::temp_directory_path() / "slotwire-fuzz-XXXXXX").string();
    if (::mkdtemp(directory_.data()) == nullptr) std::abort();
    const std::string path = directory_ + "/slotwired.toml";
    // A port that is free now; nobody else on this machine is likely to take it in the next moment.
    {
      const Fd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      address_.sin_family = AF_INET;
      address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      socklen_t size = sizeof address_;
      if (::bind(probe.get(), reinterpret_cast<const sockaddr*>(&address_), size) != 0 ||
          ::getsockname(probe.get(), reinterpret_cast<sockaddr*>(&address_), &size) != 0) {
        std::abort();
      }
    }
    std::ofstream(path) << "[node]\nname = \"fuzzed\"\nrun_dir = \"" << directory_ << "\"\n[log]\nlevel = \"off\"\n"
                        << "[limits]\nslots = 64\nsessions = 16\n[memory]\nslot_memory = \"16MiB\"\n"
                        << "[listen]\ncontrol = \"127.0.0.1:" << ntohs(address_.sin_port)
                        << "\"\nudp = \"127.0.0.1:0\"\n"
                        << "[[link]]\npeer = \"peer\"\nudp = \"127.0.0.1:9\"\ndial = false\n"
                        << "[[service]]\nname = \"far\"\nnodes = [\"peer\"]\n";
    engine_ = std::make_unique<slotwire::engine::Engine>(slotwire::engine::load_config(path));
    thread_ = std::thread([this] { engine_->run(); });
  }
  ~EngineUnderTest() {
    ::pthread_kill(thread_.native_handle(), SIGTERM);
    thread_.join();
    engine_.reset();
    std::filesystem::remove_all(directory_);
  }
  Fd connect(bool to_peers) const {
    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    (directory_ + "/fuzzed.sock").copy(local.sun_path, sizeof local.sun_path - 1);
    Fd fd(::socket(to_peers ? AF_INET : AF_UNIX, (to_peers ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC, 0));
    const int connected = to_peers ? ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof address_)
                                   : ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&local), sizeof local);
    if (connected != 0) std::abort();  // it does not serve any more
    return fd;
  }

 private:
  std::string directory_;
  sockaddr_in address_{};
  std::unique_ptr<slotwire::engine::Engine> engine_;
  std::thread thread_;
};

/// Reads and drops what it said, at least one packet if `expected`. False: it hung up.
bool drain(const Fd& fd, bool expected) {
  std::array<char, 4096> ignored;
  pollfd wait{fd.get(), POLLIN, 0};
  int timeout = expected ? kWaitMs : 0;
  while (true) {
    const int n = ::poll(&wait, 1, timeout);
    if (n == 0 && timeout != 0) std::abort();  // it neither answers nor hangs up
    if (n <= 0) return true;
    if (::recv(fd.get(), ignored.data(), ignored.size(), 0) <= 0) return false;
    timeout = 0;
  }
}

std::string framed(std::string_view text) {
  const std::uint32_t length = htonl(static_cast<std::uint32_t>(text.size()));
  std::string frame(reinterpret_cast<const char*>(&length), sizeof length);
  return frame.append(text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static EngineUnderTest engine;  // ends, and its keeper with it, when the program does
  if (size == 0) return 0;
  const bool to_peers = (data[0] & 1) != 0;
  const bool hello = (data[0] & 2) != 0;
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Fd fd = engine.connect(to_peers);
  const auto send = [&](std::string_view text) {
    const std::string bytes = to_peers ? framed(text) : std::string(text);
    return ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) >= 0;
  };
  if (hello) {
    if (!send(to_peers ? R"({"type":"hello","version":1,"node":"peer","incarnation":"1","udp_port":9,"tcp_port":9})"
                       : R"({"op":"hello","id":1,"version":2,"name":"fuzzer"})") ||
        !drain(fd, true)) {
      return 0;
    }
  }
  for (std::size_t i = 0; i < kMaxPackets && !rest.empty(); ++i) {
    const std::size_t end = rest.find('\xff');
    const std::string_view packet = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    if (packet.empty()) continue;
    if (!send(packet) || !drain(fd, false)) return 0;
  }
  // Whatever it was told, it still answers others.
  const Fd other = engine.connect(false);
  constexpr std::string_view kStatus = R"({"op":"status","id":1})";
  if (::send(other.get(), kStatus.data(), kStatus.size(), MSG_NOSIGNAL) < 0 || !drain(other, true)) std::abort();
  return 0;
}
