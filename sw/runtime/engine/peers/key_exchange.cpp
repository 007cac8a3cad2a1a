#include "runtime/engine/peers/key_exchange.hpp"

#include <span>

#include "core/carriers/frame_cipher.hpp"
#include "runtime/control/hex.hpp"

namespace slotwire::engine {

using carriers::CipherSuite;
using carriers::KeyMaterial;
using carriers::LinkKeys;

bool tend_keys(LinkKeys& keys, std::uint64_t now_us, const std::function<bool(const control::PeerMessage&)>& send) {
  if (const auto id = keys.settled(now_us)) {
    if (!send(control::KeyTaken{*id})) return true;
  }
  if (!keys.due(now_us)) return true;
  const std::optional<KeyMaterial> key = keys.offer();
  if (!key) return false;
  send(control::Key{key->id, std::string(carriers::suite_name(key->suite)), control::hex_text(key->key()),
                    control::hex_text(key->salt)});
  return true;
}

Result<std::optional<control::KeyTaken>> take_key(LinkKeys& keys, const control::Key& message, std::uint64_t now_us) {
  KeyMaterial key;
  key.id = message.key;
  key.suite = carriers::suite_from_name(message.suite).value_or(CipherSuite::none);
  const auto secret = std::span(key.secret).first(carriers::suite_key_bytes(key.suite));
  if (!control::parse_hex(message.secret, secret) || !control::parse_hex(message.salt, key.salt)) {
    return Error{"a key that is not as long as its suite says"};
  }
  switch (keys.take(key, now_us)) {
    case LinkKeys::Take::taken:
      return std::optional(control::KeyTaken{key.id});
    case LinkKeys::Take::later:
      return std::optional<control::KeyTaken>();
    case LinkKeys::Take::refused:
      break;
  }
  return Error{"a key of another suite, or a third one before the second was taken"};
}

}  // namespace slotwire::engine
