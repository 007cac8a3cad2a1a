// Descriptors of this process: how many there may be, and who may add to them.
#pragma once
#include <cstdint>
#include <string>

#include "core/slot/memory.hpp"

namespace slotwire::slot {

/// Raises this process's soft limit of open files to the hard one. Returns the limit as it is then; 0: unknown.
std::uint64_t raise_open_files_limit();

/// Opens a file that somebody has named, for reading, and does not wait for what may stand in its place: a FIFO or a
/// device would hold up who opens it or reads it. None with `problem` set, which names the file and says why: it cannot
/// be opened, is no regular file, or has more than `most` bytes.
Fd open_regular(const std::string& path, std::size_t most, std::string& problem);
/// All of it, as it is while it is read, into `text`. Returns the problem; empty: there is none.
std::string read_regular(const std::string& path, std::size_t most, std::string& text);

/// Opens /dev/null in the place of each standard descriptor that is closed, so that no other file gets its number:
/// standard input is at its end, and writing to standard output or error fails. To be called first in main().
void open_standard_descriptors() noexcept;

/// Whether the other end of a unix socket may pass descriptors to this process; what a listener says holds for the
/// connections that it accepts. Closing a passed descriptor may block, even when nobody takes it out of the socket.
/// False: the kernel has no such option (before Linux 6.16), and descriptors come all the same.
bool accept_descriptors(int socket, bool may_come) noexcept;

}  // namespace slotwire::slot
