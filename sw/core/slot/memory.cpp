#include "core/slot/memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace slotwire::slot {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

int protection(Access access) {
  return access == Access::read_write ? PROT_READ | PROT_WRITE : PROT_READ;
}

}  // namespace

void Fd::reset(int fd) noexcept {
  const int old = std::exchange(fd_, fd);
  if (old >= 0) ::close(old);
}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this != &other) {
    reset();
    base_ = std::exchange(other.base_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

void Mapping::reset() {
  if (base_ != nullptr) ::munmap(base_, bytes_);
  base_ = nullptr;
  bytes_ = 0;
}

std::size_t space_file_bytes(unsigned order) {
  const std::size_t ring = regs::kLineBytes << order;
  return regs::kPageBytes + (ring < regs::kPageBytes ? regs::kPageBytes : ring);
}

namespace {

Fd create_file(const std::string& name, std::size_t bytes) {
  Fd file(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) fail("cannot create shared memory '" + name + "' (raise the open-file limit, LimitNOFILE or ulimit -n)");
  // The owner alone may reopen it; others get what they are handed.
  if (::fchmod(file.get(), 0600) != 0) fail("cannot set the mode of shared memory '" + name + "'");
  if (::ftruncate(file.get(), static_cast<off_t>(bytes)) != 0) fail("cannot size shared memory '" + name + "'");
  // Reserve every page now: running out of memory must be an error here, not a SIGBUS later.
  if (const int error = ::posix_fallocate(file.get(), 0, static_cast<off_t>(bytes)); error != 0) {
    errno = error;
    fail("cannot reserve " + std::to_string(bytes) + " bytes of shared memory for '" + name +
         "' (free memory, or raise the container's memory limit)");
  }
  return file;
}

void seal(const Fd& file, const std::string& name, int seals) {
  if (::fcntl(file.get(), F_ADD_SEALS, seals) != 0) fail("cannot seal shared memory '" + name + "'");
}

}  // namespace

Fd create_sealed_file(const std::string& name, std::size_t bytes) {
  Fd file = create_file(name, bytes);
  seal(file, name, kSeals);
  return file;
}

WrittenFile create_written_file(const std::string& name, std::size_t bytes) {
  WrittenFile made{create_file(name, bytes), {}};
  made.mapping = map_file(made.file.get(), bytes, Access::read_write);
  seal(made.file, name, kSeals | F_SEAL_FUTURE_WRITE);
  return made;
}

Fd read_only_copy(const Fd& file) {
  const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  Fd copy(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!copy) fail("cannot reopen shared memory read-only through " + path + " (is /proc mounted?)");
  return copy;
}

std::string check_sealed_file(int fd, std::size_t bytes) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return "it cannot be examined";
  if (static_cast<std::size_t>(status.st_size) != bytes) {
    return "it has " + std::to_string(status.st_size) + " bytes instead of " + std::to_string(bytes);
  }
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0) return "it is not a memfd";
  if ((seals & kSeals) != kSeals) return "it is not sealed against resizing";
  return {};
}

Mapping map_file(int fd, std::size_t bytes, Access access) {
  void* base = ::mmap(nullptr, bytes, protection(access), MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) fail("cannot map " + std::to_string(bytes) + " bytes of shared memory");
  return {static_cast<std::byte*>(base), bytes};
}

Space::Space(int fd, unsigned order, Access access) : order_(order) {
  if (order > regs::kMaxRingOrder)
    throw std::invalid_argument("ring of 2^" + std::to_string(order) + " lines is too large");
  const std::size_t file_bytes = space_file_bytes(order);
  if (const std::string wrong = check_sealed_file(fd, file_bytes); !wrong.empty()) {
    throw std::invalid_argument("not a space file: " + wrong);
  }
  if (!mirrored()) {
    mapping_ = map_file(fd, file_bytes, access);
    return;
  }
  const std::size_t ring = regs::kLineBytes << order;
  const std::size_t total = file_bytes + ring;
  // Reserve addresses for both copies of the ring first, so that nothing else can land between them.
  void* base = ::mmap(nullptr, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) fail("cannot reserve " + std::to_string(total) + " bytes of addresses for a ring");
  mapping_ = Mapping(static_cast<std::byte*>(base), total);
  if (::mmap(base, file_bytes, protection(access), MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED ||
      ::mmap(mapping_.data() + file_bytes, ring, protection(access), MAP_SHARED | MAP_FIXED, fd,
             static_cast<off_t>(regs::kPageBytes)) == MAP_FAILED) {
    fail("cannot map a ring of " + std::to_string(ring) + " bytes twice in a row");
  }
}

}  // namespace slotwire::slot
