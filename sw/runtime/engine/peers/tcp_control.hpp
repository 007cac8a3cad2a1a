// Control connections over TCP, with TLS 1.3 where [tls] is set.
#pragma once
#include <memory>
#include <optional>

#include "core/carriers/message_stream.hpp"
#include "core/carriers/tls.hpp"
#include "runtime/engine/peers/control_channel.hpp"

namespace slotwire::engine {

/// Bytes of a control message between engines, at most.
inline constexpr std::size_t kMaxPeerMessage = std::size_t{1} << 20U;

class TcpControlNetwork final : public ControlNetwork {
 public:
  /// Listens where the configuration says so. Throws std::system_error.
  TcpControlNetwork(const std::optional<HostPort>& listen, std::shared_ptr<const carriers::TlsContext> tls);

  std::unique_ptr<ControlChannel> dial(const LinkConfig& link, std::uint64_t deadline_us) override;
  int fd() const override { return listener_ ? listener_->fd() : -1; }
  std::optional<Incoming> accept(std::uint64_t deadline_us) override;
  std::string_view protection() const override { return tls_ ? " (TLS 1.3)" : ""; }

 private:
  std::shared_ptr<const carriers::TlsContext> tls_;
  std::optional<carriers::Listener> listener_;
};

}  // namespace slotwire::engine
