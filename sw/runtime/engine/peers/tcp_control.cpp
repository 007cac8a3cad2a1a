#include "runtime/engine/peers/tcp_control.hpp"

#include "runtime/engine/transports/transport.hpp"

namespace slotwire::engine {
namespace {

class TcpControlChannel final : public ControlChannel {
 public:
  TcpControlChannel(carriers::TcpStream stream, bool proves)
      : messages_(std::move(stream), kMaxPeerMessage), proves_(proves) {}

  Sent send(std::string_view message) override {
    const carriers::SendResult sent = messages_.send(message);
    messages_.stream().flush();
    switch (sent) {
      case carriers::SendResult::sent:
        return Sent::sent;
      case carriers::SendResult::too_long:
        return Sent::too_long;
      case carriers::SendResult::no_room:
        return Sent::no_room;
      case carriers::SendResult::closed:
        break;
    }
    return Sent::closed;
  }
  std::optional<std::string> next() override { return messages_.next(); }
  void drive(std::uint64_t now_us) override { messages_.drive(now_us); }
  bool closed() const override { return messages_.stream().is_closed(); }
  std::string reason() const override { return messages_.stream().reason(); }
  int fd() const override { return messages_.stream().fd(); }
  std::uint32_t events() const override { return messages_.stream().events(); }
  bool peer_is(const std::string& node) const override { return !proves_ || messages_.stream().peer_is(node); }

 private:
  carriers::MessageStream messages_;
  bool proves_;
};

carriers::TcpStreamOptions options_for(const std::shared_ptr<const carriers::TlsContext>& tls) {
  carriers::TcpStreamOptions options;
  options.output_limit = 4 * kMaxPeerMessage;
  options.tls = tls;
  return options;
}

}  // namespace

TcpControlNetwork::TcpControlNetwork(const std::optional<HostPort>& listen,
                                     std::shared_ptr<const carriers::TlsContext> tls)
    : tls_(std::move(tls)) {
  if (listen) listener_.emplace(address_of(*listen));
}

std::unique_ptr<ControlChannel> TcpControlNetwork::dial(const LinkConfig& link, std::uint64_t deadline_us) {
  carriers::TcpStreamOptions options = options_for(tls_);
  options.peer_name = link.peer;
  return std::make_unique<TcpControlChannel>(
      carriers::TcpStream::connect(address_of(*link.control), options, deadline_us), tls_ != nullptr);
}

std::optional<ControlNetwork::Incoming> TcpControlNetwork::accept(std::uint64_t deadline_us) {
  if (!listener_) return std::nullopt;
  Incoming incoming;
  std::optional<carriers::Fd> fd = listener_->accept(&incoming.from);
  if (!fd) return std::nullopt;
  incoming.channel = std::make_unique<TcpControlChannel>(
      carriers::TcpStream::accept(std::move(*fd), options_for(tls_), deadline_us), tls_ != nullptr);
  return incoming;
}

}  // namespace slotwire::engine
