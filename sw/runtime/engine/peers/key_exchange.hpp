// Keys of encrypted links over the control connection: offered to the peer, and taken from it. docs/protocol.md, E1 to
// E6; docs/control.md has the messages.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>

#include "core/carriers/link_keys.hpp"
#include "runtime/control/messages.hpp"
#include "runtime/engine/host/result.hpp"

namespace slotwire::engine {

/// What is due at `now_us`, given to `send` message by message. `send` returns whether the connection still stands.
/// False: the system has no random bytes, so the link goes on with the key that it has.
bool tend_keys(carriers::LinkKeys& keys, std::uint64_t now_us,
               const std::function<bool(const control::PeerMessage&)>& send);
/// The peer offers a key. The answer for it, if one is due now; an Error: the peer breaks the rules.
Result<std::optional<control::KeyTaken>> take_key(carriers::LinkKeys& keys, const control::Key& message,
                                                  std::uint64_t now_us);

}  // namespace slotwire::engine
