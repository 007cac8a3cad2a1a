#include "tools/slotwire/input.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/slot/memory.hpp"
#include "tools/slotwire/common.hpp"

namespace slotwire::cli {

std::string read_all(const std::string& path, std::size_t most) {
  slot::Fd opened;
  int fd = STDIN_FILENO;
  if (path != "-") {
    opened = slot::Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!opened) throw CommandError(kExitFailed, "cannot read " + path + ": " + std::strerror(errno));
    fd = opened.get();
  }
  constexpr std::size_t kPiece = std::size_t{64} * 1024;
  std::string data;
  while (true) {
    const std::size_t at = data.size();
    data.resize(at + kPiece);
    ssize_t n = 0;
    do {
      n = ::read(fd, data.data() + at, kPiece);
    } while (n < 0 && errno == EINTR);
    if (n < 0) throw CommandError(kExitFailed, "cannot read " + path + ": " + std::strerror(errno));
    data.resize(at + static_cast<std::size_t>(n));
    if (n == 0) return data;
    if (data.size() > most) {
      throw CommandError(kExitFailed, path + " is longer than " + std::to_string(most) + " bytes: send it in parts");
    }
  }
}

bool write_all(int fd, const void* data, std::size_t length) {
  const char* from = static_cast<const char*>(data);
  while (length != 0) {
    const ssize_t n = ::write(fd, from, length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    from += n;
    length -= static_cast<std::size_t>(n);
  }
  return true;
}

}  // namespace slotwire::cli
