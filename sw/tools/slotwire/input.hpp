// Bytes from files and standard input, bounded.
#pragma once
#include <cstddef>
#include <string>

namespace slotwire::cli {

/// Everything in the file `path`, or on standard input if it is "-". Throws CommandError when it cannot be read or is
/// longer than `most` bytes.
std::string read_all(const std::string& path, std::size_t most);
/// Writes everything to a descriptor; false when that failed (errno says why).
bool write_all(int fd, const void* data, std::size_t length);

}  // namespace slotwire::cli
