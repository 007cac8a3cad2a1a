// Space files: sealed shared memory that holds one mark page and one ring, and their mappings.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "core/slot/marks.hpp"

namespace slotwire::slot {

/// A file descriptor that closes itself. Movable; not thread-safe.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) noexcept : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const noexcept { return fd_; }
  /// Gives the descriptor up; the caller closes it.
  int release() noexcept { return std::exchange(fd_, -1); }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  /// Closes what it has and takes `fd` over.
  void reset(int fd = -1) noexcept;

 private:
  int fd_ = -1;
};

/// Memory mapped into this process; unmapped by its destructor.
class Mapping {
 public:
  Mapping() = default;
  Mapping(std::byte* base, std::size_t bytes) : base_(base), bytes_(bytes) {}
  Mapping(Mapping&& other) noexcept
      : base_(std::exchange(other.base_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() { reset(); }

  std::byte* data() const { return base_; }
  std::size_t size() const { return bytes_; }
  explicit operator bool() const { return base_ != nullptr; }
  void reset();

 private:
  std::byte* base_ = nullptr;
  std::size_t bytes_ = 0;
};

/// May the mapping be written through.
enum class Access { read_only, read_write };

/// Bytes of a space file whose ring has 2^order lines (a ring smaller than a page takes a page).
std::size_t space_file_bytes(unsigned order);

/// Creates a sealed memfd of `bytes` (a multiple of the page size), zeroed and fully reserved: touching it later cannot
/// fail. `name` is for /proc. Throws std::system_error whose text says what to do (memory, file limit).
Fd create_sealed_file(const std::string& name, std::size_t bytes);

/// A file with the only writable mapping that there will ever be of it (beside those that a fork copies).
struct WrittenFile {
  Fd file;
  Mapping mapping;
};
/// As create_sealed_file(), mapped by the caller. Afterwards nobody, root included, can map it writable, write to it or
/// punch holes in it, by whatever descriptor (F_SEAL_FUTURE_WRITE). Throws std::system_error.
WrittenFile create_written_file(const std::string& name, std::size_t bytes);

/// A second descriptor of the same file that cannot be mapped writable (the owner of the file may still reopen it).
/// Throws std::system_error.
Fd read_only_copy(const Fd& file);

/// Checks a descriptor that came from another process: it must be a memfd of exactly `bytes` that can neither shrink
/// nor grow. Returns an empty string, or what is wrong with it.
std::string check_sealed_file(int fd, std::size_t bytes);

/// Maps a whole sealed file. Throws std::system_error.
Mapping map_file(int fd, std::size_t bytes, Access access);

/// A space file mapped: its mark page and its ring. A ring of 64 lines or more is mapped twice in a row.
class Space {
 public:
  Space() = default;
  /// Maps `fd`, whose ring has 2^order lines (0..15). The descriptor may be closed afterwards. Throws
  /// std::system_error, or std::invalid_argument if the file is not one (see check_sealed_file).
  Space(int fd, unsigned order, Access access);

  MarkPage& marks() const { return *reinterpret_cast<MarkPage*>(mapping_.data()); }
  std::byte* ring() const { return mapping_.data() + regs::kPageBytes; }
  unsigned order() const { return order_; }
  /// Ring size in lines.
  std::uint32_t lines() const { return std::uint32_t{1} << order_; }
  /// Is the ring mapped twice in a row, so that any run of up to lines() is contiguous.
  bool mirrored() const { return order_ >= kFirstMirroredOrder; }
  explicit operator bool() const { return static_cast<bool>(mapping_); }

  /// Smallest ring that fills whole pages (64 lines of 64 bytes).
  static constexpr unsigned kFirstMirroredOrder = 6;

 private:
  Mapping mapping_;
  unsigned order_ = 0;
};

}  // namespace slotwire::slot
