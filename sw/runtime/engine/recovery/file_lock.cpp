#include "runtime/engine/recovery/file_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>

namespace slotwire::engine {
namespace {

/// Each attempt fails only because another process removed the file in between.
constexpr int kMostTries = 16;

}  // namespace

std::optional<FileLock> FileLock::try_acquire(int dir, const std::string& name, bool create) {
  for (int attempt = 0; attempt < kMostTries; ++attempt) {
    const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0);
    slot::Fd file(::openat(dir, name.c_str(), flags, 0600));
    if (!file || ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) return std::nullopt;
    struct stat locked {};
    struct stat named {};
    if (::fstat(file.get(), &locked) == 0 && ::fstatat(dir, name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
        locked.st_dev == named.st_dev && locked.st_ino == named.st_ino) {
      return FileLock(std::move(file), name);
    }
  }
  errno = EWOULDBLOCK;
  return std::nullopt;
}

FileLock::~FileLock() {
  if (file_) ::flock(file_.get(), LOCK_UN);
}

void FileLock::remove(int dir) const {
  ::unlinkat(dir, name_.c_str(), 0);
}

}  // namespace slotwire::engine
