#include "runtime/engine/transports/sealed_links.hpp"

#include <algorithm>

namespace slotwire::engine {

SealedLinks::SealedLinks(const TransportContext& context, std::string_view transport, carriers::Carrier& below)
    : config_(context.config), below_(below) {
  const bool wanted = std::any_of(config_.links.begin(), config_.links.end(), [&](const LinkConfig& link) {
    return link.carrier == transport && link.encryption != carriers::CipherSuite::none;
  });
  if (!wanted) return;
  sealed_ = std::make_unique<carriers::SealedCarrier>(below, std::size_t{config_.limits.links} + 1);
  context.loop.add_waker(sealed_->fd());  // only wakes the loop, the card polls it
}

void SealedLinks::join(const LinkInfo& link, carriers::CipherLibrary* library) {
  if (!sealed_) return;
  sealed_->remove_link(link.index);  // of an attempt that failed
  if (link.config->encryption == carriers::CipherSuite::none) return sealed_->add_clear(link.index);
  carriers::LinkKeys::Options options;
  options.suite = link.config->encryption;
  options.rekey_frames = config_.encryption.rekey_frames;
  options.rekey_us = static_cast<std::uint64_t>(config_.encryption.rekey_after.count());
  options.library = library;
  sealed_->add_sealed(link.index, options);
}

}  // namespace slotwire::engine
