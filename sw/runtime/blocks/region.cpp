#include "runtime/blocks/region.hpp"

#include "runtime/blocks/region_report.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <system_error>

namespace slotwire::blocks {
namespace {

using slot::Fd;

constexpr std::size_t kPage = 4096;
constexpr std::size_t kRegionBytes = (sizeof(RegionMemory) + kPage - 1) / kPage * kPage;

/// Order among all Regions of this process. A record lock is the process's, and closing any descriptor of the file ends
/// it; so whoever opens, closes or locks a region file has this too.
std::mutex& process_order() {
  static std::mutex mutex;
  return mutex;
}

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

/// Which processes' numbers mean the same: processes of another PID namespace have regions of their own.
std::string pid_namespace() {
  struct stat status {};
  if (::stat("/proc/self/ns/pid", &status) != 0) fail("cannot look at /proc/self/ns/pid (is /proc mounted?)");
  return std::to_string(status.st_ino);
}

void check_region_name(const std::string& name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  if (name.empty() || name.size() > kMaxRegion || !std::all_of(name.begin(), name.end(), fits)) {
    throw std::invalid_argument("region name '" + name + "': 1 to 31 letters, digits, '-' and '_' are possible");
  }
}

Fd make_socket(int type) {
  Fd socket(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) fail("cannot create a socket (raise the open-file limit, LimitNOFILE or ulimit -n)");
  return socket;
}

bool bind_to(const Fd& socket, const SocketAddress& address) {
  return ::bind(socket.get(), address.get(), address.length) == 0;
}

/// The right to find or make a region: an abstract name, which the kernel takes back when its holder dies.
class CreationLock {
 public:
  CreationLock(const std::string& name, std::chrono::milliseconds patience) {
    const SocketAddress address = SocketAddress::abstract(name);
    const auto end = std::chrono::steady_clock::now() + patience;
    while (true) {
      held_ = make_socket(SOCK_STREAM);
      if (bind_to(held_, address)) break;
      if (errno != EADDRINUSE) fail("cannot bind the abstract socket '" + name + "'");
      wait_for_holder(name, address, end);
    }
    if (::listen(held_.get(), 64) != 0) fail("cannot listen on the abstract socket '" + name + "'");
  }

 private:
  /// Connects to whoever has the name: the connection ends when it lets go of it.
  static void wait_for_holder(const std::string& name, const SocketAddress& address,
                              std::chrono::steady_clock::time_point end) {
    Fd socket = make_socket(SOCK_STREAM);
    if (::connect(socket.get(), address.get(), address.length) != 0) {
      // It does not listen yet, or not any more, or too many wait for it.
      ::poll(nullptr, 0, 1);
    } else {
      ucred holder{};
      socklen_t length = sizeof holder;
      if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &holder, &length) == 0 && holder.uid != ::geteuid()) {
        throw std::runtime_error("process " + std::to_string(holder.pid) + " of user " + std::to_string(holder.uid) +
                                 " has taken the abstract socket '" + name + "' of this user: end it");
      }
      pollfd ended{socket.get(), POLLIN, 0};
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
      ::poll(&ended, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
    }
    if (std::chrono::steady_clock::now() >= end) {
      throw std::runtime_error(
          "another process has been attaching to the region for too long (it has the abstract "
          "socket '" +
          name + "'): see 'ss -xlp'");
    }
  }
  Fd held_;
};

/// A process that has a region, by the name of its socket.
struct Holder {
  std::uint32_t pid = 0;
  std::uint32_t fd = 0;
  std::string inode{};  ///< of the socket
};

/// Whether the process itself has the socket: anybody may take a name, but nobody else's descriptors.
bool has_socket(const Holder& holder) {
  const std::string socket = "socket:[" + holder.inode + "]";
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(holder.pid) + "/fd", error)) {
    if (std::filesystem::read_symlink(entry.path(), error).string() == socket) return true;
  }
  return false;
}

std::vector<Holder> find_holders(const std::string& prefix) {
  std::ifstream sockets("/proc/net/unix");
  if (!sockets) throw std::runtime_error("cannot read /proc/net/unix (is /proc mounted?)");
  std::vector<Holder> holders;
  const std::string marker = " @" + prefix + ".";
  for (std::string line; std::getline(sockets, line);) {
    const std::size_t at = line.rfind(marker);
    if (at == std::string::npos) continue;
    const char* const end = line.data() + line.size();
    Holder holder;
    const auto pid = std::from_chars(line.data() + at + marker.size(), end, holder.pid);
    if (pid.ec != std::errc{} || pid.ptr == end || *pid.ptr != '.') continue;
    const auto fd = std::from_chars(pid.ptr + 1, end, holder.fd);
    if (fd.ec != std::errc{} || fd.ptr != end) continue;
    holder.inode = line.substr(line.rfind(' ', at - 1) + 1, at - line.rfind(' ', at - 1) - 1);
    holders.push_back(holder);
  }
  return holders;
}

std::string prefix_of(const std::string& region) {
  return "slotwire." + std::to_string(::geteuid()) + "." + pid_namespace() + "." + region;
}

Fd open_descriptor_of(std::uint32_t pid, std::uint32_t fd, int flags) {
  const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd);
  // The number may have become that of a FIFO, whose opening would wait.
  return Fd(::open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK));
}

void record_lock(int fd, short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_len = 1;
  while (::fcntl(fd, F_SETLKW, &lock) != 0) {
    if (errno != EINTR) fail("cannot lock the region");
  }
}

}  // namespace

SocketAddress SocketAddress::abstract(std::string_view name) {
  SocketAddress result;
  result.address.sun_family = AF_UNIX;
  if (name.size() + 1 > sizeof result.address.sun_path) throw std::invalid_argument("the name of a socket is too long");
  std::memcpy(&result.address.sun_path[1], name.data(), name.size());
  result.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return result;
}

Name make_name(std::string_view text) {
  Name name{};
  std::memcpy(name.data(), text.data(), std::min(text.size(), name.size() - 1));
  return name;
}

std::uint64_t start_time_of(std::uint32_t pid) {
  const Fd file(::open(("/proc/" + std::to_string(pid) + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return errno == ENOENT || errno == ESRCH ? 0 : kUnknownStart;
  std::string text(1024, '\0');
  const ssize_t length = ::read(file.get(), text.data(), text.size());
  if (length <= 0) return 0;
  text.resize(static_cast<std::size_t>(length));
  // The second field is the program's name in parentheses, which may contain anything. The 22nd is the start time.
  std::size_t at = text.rfind(')');
  for (int field = 2; field < 22 && at != std::string::npos; ++field) at = text.find(' ', at + 1);
  std::uint64_t ticks = 0;
  if (at != std::string::npos) std::from_chars(text.data() + at + 1, text.data() + text.size(), ticks);
  return ticks;
}

bool is_alive(std::uint32_t pid, std::uint64_t start_time) {
  const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0)));
  if (!process) return errno != ESRCH && errno != EINVAL;
  // The descriptor is that of the process whose start time is read now, or of one that has ended meanwhile.
  const std::uint64_t found = start_time_of(pid);
  if (found != start_time && found != kUnknownStart) return false;
  pollfd ended{process.get(), POLLIN, 0};
  return ::poll(&ended, 1, 0) == 0;
}

void remove_publication(RegionMemory& region, std::uint32_t publication) {
  Publication& entry = region.publications.at(publication);
  // The cursors go first: if this process dies in between, whoever removes its member finds the publication.
  for (CursorEntry& cursor : region.cursors) {
    if (cursor.state.load() != 0 && cursor.adopted.load() == 0 && cursor.publication == publication &&
        cursor.publication_serial == entry.serial) {
      cursor.cursor.overflow.store(static_cast<std::uint32_t>(Overflow::none));
      cursor.state.store(0);
    }
  }
  entry.state.store(0);
}

void remove_member(RegionMemory& region, std::uint32_t member) {
  for (CursorEntry& entry : region.cursors) {
    if (entry.state.load() == 0 || entry.member != member) continue;
    entry.cursor.overflow.store(static_cast<std::uint32_t>(Overflow::none));
    entry.state.store(0);
  }
  for (Subscription& entry : region.subscriptions) {
    if (entry.state.load() != 0 && entry.member == member) entry.state.store(0);
  }
  for (std::uint32_t i = 0; i < kMaxPublications; ++i) {
    const Publication& entry = region.publications[i];
    if (entry.state.load() != 0 && entry.member == member) remove_publication(region, i);
  }
  // Counted before the member goes: if this process dies here, whoever finds the member removes it once more and counts
  // again. The other way round the others would never look at the directory.
  region.generation.fetch_add(1, std::memory_order_acq_rel);
  region.members[member].state.store(0);
}

bool remove_members(RegionMemory& region, const std::function<bool(const Member&)>& has_ended) {
  bool removed = false;
  for (std::uint32_t i = 0; i < kMaxMembers; ++i) {
    const Member& member = region.members[i];
    if (member.state.load() == 0 || !has_ended(member)) continue;
    remove_member(region, i);
    removed = true;
  }
  return removed;
}

std::vector<std::string> region_names() {
  std::ifstream sockets("/proc/net/unix");
  if (!sockets) throw std::runtime_error("cannot read /proc/net/unix (is /proc mounted?)");
  const std::string marker = " @" + prefix_of("");
  std::vector<std::string> names;
  for (std::string line; std::getline(sockets, line);) {
    const std::size_t at = line.rfind(marker);
    if (at == std::string::npos) continue;
    const std::string rest = line.substr(at + marker.size());
    const std::string name = rest.substr(0, rest.find('.'));
    if (name.find('~') == std::string::npos && std::find(names.begin(), names.end(), name) == names.end())
      names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Region::Region(std::string name, std::chrono::milliseconds patience) : name_(std::move(name)) {
  check_region_name(name_);
  prefix_ = prefix_of(name_);
  attach(patience);
}

Region::~Region() {
  try {
    if (is_attached()) {
      const Lock lock(*this);
      remove_member(memory(), self_);
      wake_others();
    }
  } catch (const std::exception&) {
    // The directory is left as it is; the others find that this process has gone.
  }
  const std::lock_guard order(process_order());
  socket_.reset();
  mapping_.reset();
  file_.reset();
}

void Region::attach(std::chrono::milliseconds patience) {
  {
    const std::lock_guard order(process_order());
    const CreationLock creation(prefix_ + ".lock", patience);
    if (!join_existing()) {
      file_ = slot::create_sealed_file("slotwire-region", kRegionBytes);
      mapping_ = slot::map_file(file_.get(), kRegionBytes, slot::Access::read_write);
      RegionMemory& made = memory();
      made.magic = kRegionMagic;
      made.version = kRegionVersion;
      made.bytes = kRegionBytes;
      made.name = make_name(name_);
    }
    // From here on this process is a holder that others find.
    socket_ = make_socket(SOCK_DGRAM);
    const std::string own =
        prefix_ + "." + std::to_string(::getpid()) + "." + std::to_string(static_cast<unsigned>(file_.get()));
    if (!bind_to(socket_, SocketAddress::abstract(own))) fail("cannot bind the abstract socket '" + own + "'");
  }
  const Lock lock(*this);
  sweep();
  auto& members = memory().members;
  const auto free = std::find_if(members.begin(), members.end(), [](const Member& m) { return m.state.load() == 0; });
  if (free == members.end()) {
    throw std::runtime_error("region '" + name_ + "' has " + std::to_string(kMaxMembers) +
                             " processes attached, the most there can be: end one or use another region");
  }
  self_ = static_cast<std::uint32_t>(free - members.begin());
  free->pid = static_cast<std::uint32_t>(::getpid());
  free->start_time = start_time_of(free->pid);
  free->region_fd = static_cast<std::uint32_t>(file_.get());
  free->state.store(1);
  changed();
}

bool Region::join_existing() {
  for (const Holder& holder : find_holders(prefix_)) {
    struct stat process {};
    const std::string path = "/proc/" + std::to_string(holder.pid);
    if (::stat(path.c_str(), &process) != 0) continue;                   // it has ended; a child may have its socket
    if (process.st_uid != ::geteuid() && process.st_uid != 0) continue;  // somebody else took a name like ours
    Fd file = open_descriptor_of(holder.pid, holder.fd, O_RDWR);
    const int why = errno;
    // It may have closed the region since the sockets were listed, and its descriptors have other uses by now.
    if (!has_socket(holder)) continue;
    if (!file) {
      errno = why;
      if (why == EMFILE || why == ENFILE) fail("no more files can be opened (LimitNOFILE or ulimit -n)");
      // Making a second region beside it would divide the user's processes.
      fail("process " + std::to_string(holder.pid) + " has region '" + name_ +
           "', but its descriptors cannot be opened (it runs with other privileges, or is not dumpable)");
    }
    if (const std::string wrong = slot::check_sealed_file(file.get(), kRegionBytes); !wrong.empty()) {
      throw std::runtime_error("process " + std::to_string(holder.pid) + " has region '" + name_ +
                               "' in another form (" + wrong + "): programs of different releases cannot share one");
    }
    slot::Mapping mapping = slot::map_file(file.get(), kRegionBytes, slot::Access::read_write);
    const auto& found = *reinterpret_cast<const RegionMemory*>(mapping.data());
    if (found.magic != kRegionMagic || found.version != kRegionVersion) {
      throw std::runtime_error("process " + std::to_string(holder.pid) + " has region '" + name_ + "' in version " +
                               std::to_string(found.version) + ", this library in version " +
                               std::to_string(kRegionVersion) + ": use another region name");
    }
    if (found.name != make_name(name_)) continue;  // closed, and the number taken by another region
    file_ = std::move(file);
    mapping_ = std::move(mapping);
    return true;
  }
  return false;
}

Region::Lock::Lock(Region& region) : process_(process_order()), region_(region) {
  record_lock(region.file_.get(), F_WRLCK);
}

Region::Lock::~Lock() {
  struct flock lock {};
  lock.l_type = F_UNLCK;
  lock.l_whence = SEEK_SET;
  lock.l_len = 1;
  ::fcntl(region_.file_.get(), F_SETLK, &lock);
}

bool Region::is_attached() const {
  return memory().members[self_].pid == static_cast<std::uint32_t>(::getpid());
}

std::uint64_t Region::changed() {
  return memory().generation.fetch_add(1, std::memory_order_acq_rel) + 1;
}

slot::Fd Region::make_waker(std::uint32_t& waker) const {
  slot::Fd socket = make_socket(SOCK_DGRAM);
  waker = static_cast<std::uint32_t>(socket.get());
  const SocketAddress address = address_of(self_, waker);
  if (!bind_to(socket, address))
    fail("cannot bind the abstract socket '" + std::string(&address.address.sun_path[1]) + "'");
  return socket;
}

SocketAddress Region::address_of(std::uint32_t member, std::uint32_t waker) const {
  const Member& entry = memory().members.at(member);
  // '~' is in no region's name, so this is never taken for the name of a holder.
  return SocketAddress::abstract(prefix_ + "~." + std::to_string(entry.pid) + "." + std::to_string(waker));
}

void Region::wake(const SocketAddress& address) const {
  ::sendto(socket_.get(), "", 0, MSG_DONTWAIT | MSG_NOSIGNAL, address.get(), address.length);
}

void Region::wake_others() const {
  const auto wake_each = [this](const auto& entries) {
    for (const auto& entry : entries) {
      if (entry.state.load() != 0 && entry.member != self_) wake(address_of(entry.member % kMaxMembers, entry.waker));
    }
  };
  wake_each(memory().publications);
  wake_each(memory().subscriptions);
}

CursorEntry& Region::make_cursor(std::uint32_t subscription, std::uint32_t publication) {
  auto& cursors = memory().cursors;
  const auto free =
      std::find_if(cursors.begin(), cursors.end(), [](const CursorEntry& c) { return c.state.load() == 0; });
  if (free == cursors.end()) {
    throw std::runtime_error("region '" + name_ + "' has " + std::to_string(kMaxCursors) +
                             " pairs of publisher and subscriber, the most there can be: use another region");
  }
  const Subscription& who = memory().subscriptions.at(subscription);
  free->subscription = subscription;
  free->member = who.member;
  free->publication = publication;
  free->publication_serial = memory().publications.at(publication).serial;
  free->adopted.store(0);
  free->cursor.wait.store(0);
  free->cursor.barrier.store(who.barrier);
  free->cursor.released.store(0);
  for (auto& hold : free->cursor.holds) hold.store(0);
  free->cursor.overflow.store(who.overflow);
  return *free;
}

bool Region::sweep() {
  const bool swept =
      remove_members(memory(), [](const Member& member) { return !is_alive(member.pid, member.start_time); });
  if (swept) wake_others();
  return swept;
}

slot::Fd Region::open_from(std::uint32_t member, std::uint32_t fd) const {
  const Member& entry = memory().members.at(member);
  Fd file = open_descriptor_of(entry.pid, fd, O_RDONLY);
  // A process that has ended meanwhile may have left its number to another one.
  if (file && !is_alive(entry.pid, entry.start_time)) return Fd();
  return file;
}

}  // namespace slotwire::blocks
