// slotwire tunnel serve: slot connections to a service become TCP connections to a target.
#include <cerrno>
#include <cstring>

#include "tools/slotwire/tunnel/tunnel.hpp"

namespace slotwire::cli {
namespace {

class ServeTunnel final : public Tunnel {
 public:
  explicit ServeTunnel(const TunnelOptions& options)
      : Tunnel(options, "slotwire-tunnel-serve"),
        target_(resolve(options.address, false)),
        service_(serve(*context_, options.service)) {
    log_.ready("connections to service '" + options.service + "' go to " + address_text(target_), address_text(target_),
               options.service);
  }

 private:
  void on_context() override { accept_all(); }

  void accept_all() {
    sw_connection* raw = nullptr;
    while (!full() && sw_accept(service_, 0, &raw) == SW_OK) {
      ConnectionPtr slot(raw);
      Pipe& pipe = add(slot::Fd(), address_text(target_));
      pipe.set_slot(std::move(slot));
      slot::Fd tcp = start_connecting(target_);
      if (!tcp) {
        abort(pipe, refusal(errno));
        continue;
      }
      pipe.set_tcp(std::move(tcp));
      watch_tcp(pipe);
    }
  }

  void on_connecting(Pipe& pipe, std::uint32_t events) override {
    if (const int error = socket_error(pipe.tcp_fd()); error != 0) return abort(pipe, refusal(error));
    if ((events & (EPOLLOUT | EPOLLHUP)) == 0) return;
    pipe.on_tcp(events);
    open(pipe);
  }

  void on_ended(const Pipe&) override {
    if (full()) room_came_ = true;
  }
  void on_room() override {
    // Connections that waited in the backlog while all were in use make no event of their own.
    if (room_came_ && !full()) {
      room_came_ = false;
      accept_all();
    }
  }

  std::string refusal(int error) const { return "target " + address_text(target_) + ": " + std::strerror(error); }
  std::string late_reason(const Pipe& /*pipe*/) const override {
    return "target " + address_text(target_) + " did not accept the connection in time (--connect-timeout)";
  }

  TcpAddress target_;
  sw_service* service_;
  bool room_came_ = false;
};

}  // namespace

int run_tunnel_serve(const TunnelOptions& options) {
  return ServeTunnel(options).run();
}

}  // namespace slotwire::cli
