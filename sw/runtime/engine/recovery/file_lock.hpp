// A lock between processes that is a file of a directory, and that may be removed without two holding it.
#pragma once
#include <optional>
#include <string>

#include "core/slot/memory.hpp"

namespace slotwire::engine {

/// Held until destroyed. A process that forks shares it with its child, and the destructor ends it for both.
class FileLock {
 public:
  /// Takes the lock `name` in the directory `dir`, without waiting; makes the file when `create`. Nothing when another
  /// holds it, or when it cannot be made (errno then tells, EWOULDBLOCK means held).
  static std::optional<FileLock> try_acquire(int dir, const std::string& name, bool create);

  FileLock(FileLock&&) = default;
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

  /// Removes the file. Safe because whoever waits for the lock checks that the file it locked is still the one with the
  /// name.
  void remove(int dir) const;

 private:
  FileLock(slot::Fd file, std::string name) : file_(std::move(file)), name_(std::move(name)) {}
  slot::Fd file_;
  std::string name_;
};

}  // namespace slotwire::engine
