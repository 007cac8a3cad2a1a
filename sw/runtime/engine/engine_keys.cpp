// Keys of encrypted links: offered to the peer, and taken from it, over the control connection. docs/protocol.md, E1 to
// E6; docs/control.md has the messages.
#include <algorithm>

#include "runtime/engine/engine.hpp"
#include "runtime/engine/hex.hpp"

namespace slotwire::engine {

using carriers::CipherSuite;
using carriers::KeyMaterial;
using carriers::LinkKeys;
using carriers::SealedCarrier;

/// Who computes for the encrypted links over a port of DPDK. Throws where the configuration wants what is not there.
void Engine::choose_ciphers() {
  const auto links = std::count_if(config_.links.begin(), config_.links.end(), [](const LinkConfig& link) {
    return link.carrier == LinkCarrier::dpdk && link.encryption != CipherSuite::none;
  });
  if (links == 0) return;
  const CipherChoice choice = config_.encryption.library;
  dpdk_ciphers_why_ = choice == CipherChoice::automatic ? "its driver is there" : "as configured";
  if (choice != CipherChoice::openssl) {
    try {
      dpdk_ciphers_ =
          carriers::open_dpdk_ciphers(eal_options(), static_cast<std::size_t>(links) * carriers::kMaxCiphersPerLink);
    } catch (const std::runtime_error& error) {
      if (choice == CipherChoice::dpdk) throw;
      dpdk_ciphers_why_ = error.what();
    }
  }
  log().info("encryption over dpdk by {} ({})", dpdk_library().name(), dpdk_ciphers_why_);
}

carriers::CipherLibrary& Engine::dpdk_library() const {
  return dpdk_ciphers_ ? *dpdk_ciphers_ : carriers::openssl_ciphers();
}

/// What frames of the link go through: `below` itself, or what encrypts over it where some link wants that.
carriers::Carrier& Engine::join(Link& link, carriers::Carrier& below, const std::unique_ptr<SealedCarrier>& sealed) {
  if (!sealed) return below;
  sealed->remove_link(link.index);  // of an attempt that failed
  if (link.config.encryption == CipherSuite::none) {
    sealed->add_clear(link.index);
    return *sealed;
  }
  LinkKeys::Options options;
  options.suite = link.config.encryption;
  options.rekey_frames = config_.encryption.rekey_frames;
  options.rekey_us = static_cast<std::uint64_t>(config_.encryption.rekey_after.count());
  if (sealed == sealed_dpdk_) options.library = &dpdk_library();
  sealed->add_sealed(link.index, options);
  link.sealed = sealed.get();
  return *sealed;
}

LinkKeys* Engine::keys_of(const Link& link) const {
  return link.sealed == nullptr ? nullptr : link.sealed->keys(link.index);
}

/// The control connection is new: both ends change their keys.
void Engine::restart_keys(Link& link) {
  if (LinkKeys* const keys = keys_of(link)) {
    keys->restart();
    if (!link.carrier_up) link.reason = "its peer has not taken a key yet";
    tend_keys(link);
  }
}

void Engine::tend_keys() {
  for (const auto& link : links_) {
    if (link) tend_keys(*link);
  }
}

/// Says over the control connection what is due. While there is none, everything waits.
void Engine::tend_keys(Link& link) {
  LinkKeys* const keys = keys_of(link);
  if (keys == nullptr || !link.control_up) return;
  const std::uint64_t now = monotonic_us();
  if (const auto id = keys->settled(now)) send_peer(link, Json{{"type", "key_taken"}, {"key", *id}});
  if (!link.control_up || !keys->due(now)) return;  // sending may have ended the connection
  const std::optional<KeyMaterial> key = keys->offer();
  if (!key) {
    log_limited("keys", spdlog::level::err,
                "the system has no random bytes for keys; encrypted links go on with the ones they have");
    return;
  }
  send_peer(link, Json{{"type", "key"},
                       {"key", key->id},
                       {"suite", carriers::suite_name(key->suite)},
                       {"secret", hex_text(key->key())},
                       {"salt", hex_text(key->salt)}});
}

void Engine::peer_key(Link& link, const Json& message) {
  LinkKeys* const keys = keys_of(link);
  if (keys == nullptr) throw Refusal{"bad_request", "a key for a link without encryption"};
  KeyMaterial key;
  key.id = number_at<std::uint32_t>(message, "key");
  key.suite = carriers::suite_from_name(message.at("suite").get_ref<const std::string&>()).value_or(CipherSuite::none);
  const auto secret = std::span(key.secret).first(carriers::suite_key_bytes(key.suite));
  if (!parse_hex(message.at("secret").get_ref<const std::string&>(), secret) ||
      !parse_hex(message.at("salt").get_ref<const std::string&>(), key.salt)) {
    throw Refusal{"bad_request", "a key that is not as long as its suite says"};
  }
  switch (keys->take(key, monotonic_us())) {
    case LinkKeys::Take::taken:
      send_peer(link, Json{{"type", "key_taken"}, {"key", key.id}});
      break;
    case LinkKeys::Take::later:
      break;
    case LinkKeys::Take::refused:
      throw Refusal{"bad_request", "a key of another suite, or a third one before the second was taken"};
  }
}

void Engine::peer_key_taken(Link& link, const Json& message) {
  const auto id = number_at<std::uint32_t>(message, "key");
  LinkKeys* const keys = keys_of(link);
  if (keys == nullptr || !keys->taken(id)) throw Refusal{"bad_request", "an answer to a key that was not offered"};
  log().debug("link to '{}': frames are sealed under key {:08x}", link.config.peer, id);
  link.sealed->wake();
}

/// Why the peer's word on encryption does not fit this node's; empty: it does.
std::string Engine::encryption_mismatch(const Link& link, const Json& hello) const {
  if (link.config.carrier == LinkCarrier::tcp) return {};  // TLS is there or the connection would not be
  const auto theirs = hello.find("encryption");
  const std::string own(carriers::suite_name(link.config.encryption));
  // A release that does not know encryption says nothing of it.
  const std::string said = theirs == hello.end() ? "none" : theirs->get<std::string>().substr(0, 32);
  if (said == own) return {};
  return "node '" + config_.node.name + "' has encryption = \"" + own + "\" for its link to node '" + link.config.peer +
         "', which has \"" + said + "\" for it; set the same encryption in the [[link]] tables of both nodes";
}

}  // namespace slotwire::engine
