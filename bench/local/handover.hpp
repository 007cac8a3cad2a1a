// Descriptors that the server side makes and the client side gets: for pipes, eventfds and socket pairs, which have no
// name that the other side could open.
#pragma once
#include <functional>
#include <vector>

#include "contender.hpp"
#include "core/slot/memory.hpp"

namespace slotwire::bench {

/// Server: calls `make`, hands over what it returns and keeps the same descriptors. Client: gets those of server side
/// `index`. `count` at most 8. Throws std::system_error.
std::vector<slot::Fd> share_descriptors(const Setup& setup, unsigned index, std::size_t count,
                                        const std::function<std::vector<slot::Fd>()>& make);

/// Throws the error that errno says, as one of `what`.
[[noreturn]] void fail(const char* what);

}  // namespace slotwire::bench
