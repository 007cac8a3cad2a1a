// Sockets of the bare contenders, on the loopback interface.
#pragma once
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>
#include <string>

#include "core/slot/memory.hpp"

namespace slotwire::bench {

/// Bound to a free port of 127.0.0.1; a stream socket listens.
slot::Fd bare_listener(int type);
/// The port of a socket, as the text that `bare_connection()` takes.
std::string bare_port(int fd);
/// Connected to a port of 127.0.0.1; a stream socket sends at once what it is given.
slot::Fd bare_connection(int type, const std::string& port);
void send_at_once(int fd);
/// Sends everything. Throws when the peer is gone.
void send_all(int fd, const std::byte* data, std::size_t size);

}  // namespace slotwire::bench
