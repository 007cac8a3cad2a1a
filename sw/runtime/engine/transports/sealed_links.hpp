// Encrypted links over a carrier of datagrams, for transports that have one.
#pragma once
#include <cstdint>
#include <memory>

#include "core/carriers/sealed.hpp"
#include "runtime/engine/transports/transport.hpp"

namespace slotwire::engine {

/// Sealing stands over the carrier when some link of the transport wants it; else links use the carrier itself.
class SealedLinks {
 public:
  /// Looks at the configuration's links over `transport`. `below` outlives this.
  SealedLinks(const TransportContext& context, std::string_view transport, carriers::Carrier& below);

  /// Some link is encrypted.
  bool used() const { return sealed_ != nullptr; }
  /// What links are routed over, and what counts their frames.
  carriers::Carrier& carrier() { return sealed_ ? static_cast<carriers::Carrier&>(*sealed_) : below_; }
  /// Adds the link in front of the carrier below, before it is added there; an earlier attempt is forgotten. `library`
  /// computes; null: OpenSSL. Throws std::exception.
  void join(const LinkInfo& link, carriers::CipherLibrary* library);
  carriers::LinkKeys* keys(std::uint16_t link) { return sealed_ ? sealed_->keys(link) : nullptr; }
  void wake() {
    if (sealed_) sealed_->wake();
  }
  bool take_news() { return sealed_ && sealed_->look(); }

 private:
  const Config& config_;
  carriers::Carrier& below_;
  std::unique_ptr<carriers::SealedCarrier> sealed_;
};

}  // namespace slotwire::engine
