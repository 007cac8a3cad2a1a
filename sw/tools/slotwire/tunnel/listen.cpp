// slotwire tunnel listen: TCP connections become slot connections to a service.
#include <cerrno>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "tools/slotwire/tunnel/tunnel.hpp"

namespace slotwire::cli {
namespace {

/// Connections that the kernel holds until they are accepted.
constexpr int kListenBacklog = 1024;
/// Accepted in one turn.
constexpr int kAcceptsAtOnce = 64;

class ListenTunnel final : public Tunnel {
 public:
  explicit ListenTunnel(const TunnelOptions& options)
      : Tunnel(options, "slotwire-tunnel-listen"), socket_(listen_on(resolve(options.address, true), kListenBacklog)) {
    listener_ = socket_.get();
    TcpAddress local;
    local.length = sizeof local.storage;
    ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&local.storage), &local.length);
    const std::string address = address_text(local);
    log_.ready("connections to " + address + " go to service '" + options.service + "'", address, options.service);
  }

 private:
  void on_listener() override {
    for (int i = 0; i < kAcceptsAtOnce && !full(); ++i) {
      slot::Fd tcp(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!tcp) {
        const int error = errno;
        if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) {
          log_.trouble("a connection cannot be accepted: " + std::string(std::strerror(error)) +
                       " (raise the limit of open files)");
          stop_.wait(std::chrono::milliseconds(10));  // the queue stays readable: not at full speed
        }
        return;
      }
      set_no_delay(tcp.get());
      std::string peer = peer_text(tcp.get());
      connect(add(std::move(tcp), std::move(peer)));
    }
  }

  void connect(Pipe& pipe) {
    sw_connect_options connect;
    SW_INIT(connect);
    connect.in_bytes = connect.out_bytes = static_cast<std::uint32_t>(options_.ring);
    connect.bulk = 1;
    const int status = sw_start_connect(context_.get(), options_.service.c_str(), &connect,
                                        to_ms(options_.connect_timeout), reinterpret_cast<void*>(pipe.number()));
    if (status == SW_OK) {
      waiting_[pipe.number()] = &pipe;
    } else {
      failed(pipe, status);
    }
  }

  /// A link that is down, or a slotwired that is restarted, comes back: tried again until the time is over.
  void failed(Pipe& pipe, int status) {
    std::string why = std::string(sw_status_name(status)) + ": " + sw_last_error();
    if (status != SW_LINK_DOWN && status != SW_ENGINE_GONE) return abort(pipe, why);
    again_[pipe.number()] = {&pipe, std::move(why)};
  }

  void on_late_check() override {
    for (auto& [number, attempt] : std::exchange(again_, {})) {
      if (attempt.pipe->state() == Pipe::State::connecting) connect(*attempt.pipe);
    }
  }

  void on_context() override {
    while (true) {
      void* token = nullptr;
      sw_connection* raw = nullptr;
      const int status = sw_connected(context_.get(), &token, &raw);
      if (status == SW_AGAIN && token == nullptr) return;
      ConnectionPtr slot(raw);
      const auto found = waiting_.find(reinterpret_cast<std::uint64_t>(token));
      if (found == waiting_.end()) continue;
      Pipe& pipe = *found->second;
      waiting_.erase(found);
      if (pipe.state() == Pipe::State::ended) continue;
      if (status != SW_OK) {
        failed(pipe, status);
        continue;
      }
      pipe.set_slot(std::move(slot));
      watch_tcp(pipe);
      open(pipe);
    }
  }

  void on_ended(const Pipe& pipe) override {
    waiting_.erase(pipe.number());
    again_.erase(pipe.number());
  }
  std::string late_reason(const Pipe& pipe) const override {
    const auto failed = again_.find(pipe.number());
    if (failed != again_.end()) return failed->second.why;
    return "the service did not take the connection in time (--connect-timeout)";
  }

  struct Attempt {
    Pipe* pipe;
    std::string why;  ///< the last one failed
  };

  slot::Fd socket_;
  std::unordered_map<std::uint64_t, Pipe*> waiting_;  ///< for their slot, by number
  std::unordered_map<std::uint64_t, Attempt> again_;  ///< to be connected once more, by number
};

}  // namespace

int run_tunnel_listen(const TunnelOptions& options) {
  return ListenTunnel(options).run();
}

}  // namespace slotwire::cli
