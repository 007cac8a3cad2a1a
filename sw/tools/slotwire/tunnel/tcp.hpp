// TCP sockets of the tunnel: non-blocking, without delays.
#pragma once
#include <sys/socket.h>

#include <string>

#include "core/slot/memory.hpp"

namespace slotwire::cli {

/// A TCP address.
struct TcpAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

/// "127.0.0.1:80", "[::1]:80", "localhost:80" (the first address of the name). `passive`: an empty or "*" host is every
/// address. Throws CommandError.
TcpAddress resolve(const std::string& text, bool passive);
/// "127.0.0.1:80".
std::string address_text(const TcpAddress& address);
/// The address of the other end; "?" once it has gone.
std::string peer_text(int fd);

/// Listens. Throws CommandError.
slot::Fd listen_on(const TcpAddress& address, int backlog);
/// Begins to connect; an empty Fd: errno says why not.
slot::Fd start_connecting(const TcpAddress& address);
/// Small segments leave at once.
void set_no_delay(int fd);
/// The error that is pending on a socket, 0 if none.
int socket_error(int fd);
/// The coming close sends a reset instead of an orderly end.
void reset_on_close(int fd);

}  // namespace slotwire::cli
