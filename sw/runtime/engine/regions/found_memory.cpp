#include "runtime/engine/regions/found_memory.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "runtime/blocks/meeting.hpp"
#include "runtime/blocks/region.hpp"

namespace slotwire::engine {
namespace {

/// Processes of one region that are looked at.
constexpr std::size_t kMaxHoldersTried = 64;

/// Which mount a descriptor's file is in. Asks no file system, which may be one that a process serves. -1: unknown.
long mount_of(const slot::Fd& file) {
  std::ifstream info("/proc/self/fdinfo/" + std::to_string(file.get()));
  for (std::string key; info >> key;) {
    long value = 0;
    if (!(info >> value)) return -1;
    if (key == "mnt_id:") return value;
  }
  return -1;
}

/// That of all memfds.
long memory_mount() {
  static const long mount = mount_of(slot::create_sealed_file("slotwire-probe", 4096));
  return mount;
}

/// What a process has under a number, if it is sealed memory of the user.
slot::Fd open_sealed(std::uint32_t pid, std::uint32_t fd, uid_t uid, std::uint64_t bytes, int flags) {
  // O_PATH opens nothing: what it is, is known before a file system is asked for anything.
  const slot::Fd seen = blocks::open_descriptor_of(pid, fd, O_PATH);
  if (!seen) return slot::Fd();
  if (mount_of(seen) != memory_mount() || memory_mount() < 0) return slot::Fd();
  struct stat status {};
  if (::fstat(seen.get(), &status) != 0 || status.st_uid != uid || !S_ISREG(status.st_mode)) return slot::Fd();
  slot::Fd file(::open(("/proc/self/fd/" + std::to_string(seen.get())).c_str(), flags | O_CLOEXEC));
  if (!file || !slot::check_sealed_file(file.get(), bytes).empty()) return slot::Fd();
  return file;
}

slot::Fd open_if_directory(const blocks::Holder& holder, uid_t uid, const std::string& name) {
  slot::Fd file = open_sealed(static_cast<std::uint32_t>(holder.pid), static_cast<std::uint32_t>(holder.fd), uid,
                              blocks::region_bytes(), O_RDWR);
  if (!file) return slot::Fd();
  const slot::Mapping mapping = slot::map_file(file.get(), blocks::region_bytes(), slot::Access::read_only);
  const auto& memory = *reinterpret_cast<const blocks::RegionMemory*>(mapping.data());
  if (!blocks::check_region(memory).empty() || blocks::region_name_of(memory) != name) return slot::Fd();
  return file;
}

}  // namespace

slot::Fd open_memory(std::uint32_t pid, std::uint32_t fd, uid_t uid, std::uint64_t bytes) {
  return open_sealed(pid, fd, uid, bytes, O_RDONLY);
}

slot::Fd find_directory(uid_t uid, const std::string& name, std::string& why) {
  std::size_t tried = 0;
  for (const blocks::Holder& holder : blocks::find_holders(blocks::meeting_prefix(uid, name))) {
    if (++tried > kMaxHoldersTried) break;
    errno = 0;
    slot::Fd file = open_if_directory(holder, uid, name);
    if (file) return file;
    if (errno == EACCES || errno == EPERM) {
      why = "process " + std::to_string(holder.pid) + " of user " + std::to_string(uid) + " has region '" + name +
            "', and slotwired may not look into it (" + std::strerror(errno) + ")";
    }
  }
  return slot::Fd();
}

}  // namespace slotwire::engine
