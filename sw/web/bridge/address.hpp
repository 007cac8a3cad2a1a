// Addresses of applications: TCP and UNIX sockets.
#pragma once
#include <sys/socket.h>

#include <string>

#include "core/slot/memory.hpp"

namespace slotwire::web::bridge {

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
  std::string text;  ///< "127.0.0.1:8000", "unix:/run/app.sock"
};

/// "HOST:PORT" (a name is looked up now), "unix:PATH" or an absolute path. Throws std::runtime_error.
Address parse_address(const std::string& text);
/// The address of process `number` of several: "{n}" is replaced by the number; a TCP address without it has ports in a
/// row. Throws std::runtime_error.
std::string numbered(const std::string& text, unsigned number);
/// Begins to connect; non-blocking, without delays. An empty Fd: errno says why not.
slot::Fd start_connecting(const Address& address);
/// The error that is pending on a socket, 0 if none.
int pending_error(int fd);

}  // namespace slotwire::web::bridge
