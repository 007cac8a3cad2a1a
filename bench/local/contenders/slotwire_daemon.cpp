#include "contenders/slotwire_daemon.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <fstream>
#include <sstream>
#include <string_view>

#include "cluster.hpp"
#include "handover.hpp"

namespace slotwire::bench {
namespace {

constexpr int kReadyMs = 20'000;
constexpr int kStopMs = 20'000;

class Slotwired final : public Daemon {
 public:
  Slotwired(const std::filesystem::path& directory, const std::string& toml) : directory_(directory) {
    std::filesystem::create_directories(directory);
    std::ofstream(directory / "node.toml") << "[node]\nname = \"bench\"\nrun_dir = \"" << directory.string() << "\"\n"
                                           << "[log]\nlevel = \"warn\"\n"
                                           << toml;
    const slot::Fd notify(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = (directory / "notify").string();
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (::bind(notify.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      fail("cannot bind the socket on which slotwired says that it is ready");
    process_ = fault::Child::start({SLOTWIRE_SLOTWIRED, "-c", (directory / "node.toml").string()}, -1,
                                   directory / "slotwired.log", {"NOTIFY_SOCKET=" + path});
    const std::int64_t end = fault::now_ms() + kReadyMs;
    std::array<char, 2048> text{};
    while (fault::now_ms() < end) {
      pollfd wait{notify.get(), POLLIN, 0};
      if (::poll(&wait, 1, 200) > 0) {
        const ssize_t n = ::recv(notify.get(), text.data(), text.size(), MSG_DONTWAIT);
        if (n > 0 &&
            std::string_view(text.data(), static_cast<std::size_t>(n)).find("READY=1") != std::string_view::npos)
          return;
      }
      if (process_.stop(0, 0) != -1) break;
    }
    std::stringstream log;
    log << std::ifstream(directory / "slotwired.log").rdbuf();
    throw std::runtime_error("slotwired did not become ready: " + log.str());
  }
  ~Slotwired() override { process_.stop(SIGTERM, kStopMs); }
  std::vector<pid_t> pids() const override { return {process_.pid()}; }
  std::string endpoint() const override { return (directory_ / "bench.sock").string(); }

 private:
  std::filesystem::path directory_;
  fault::Child process_;
};

}  // namespace

std::unique_ptr<Daemon> start_slotwired_with(const std::filesystem::path& directory, const std::string& toml) {
  return std::make_unique<Slotwired>(directory, toml);
}

std::unique_ptr<Daemon> start_slotwired(const std::filesystem::path& directory) {
  return start_slotwired_with(directory, {});
}

}  // namespace slotwire::bench
