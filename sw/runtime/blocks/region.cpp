#include "runtime/blocks/region.hpp"

#include "runtime/blocks/region_report.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
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

void check_region_name(const std::string& name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  if (name.empty() || name.size() > kMaxRegion || !std::all_of(name.begin(), name.end(), fits)) {
    throw std::invalid_argument("region name '" + name + "': 1 to 31 letters, digits, '-' and '_' are possible");
  }
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

Name make_name(std::string_view text) {
  Name name{};
  std::memcpy(name.data(), text.data(), std::min(text.size(), name.size() - 1));
  return name;
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
  std::vector<std::string> names = announced_names();
  std::erase_if(names, [](const std::string& name) { return name.find('~') != std::string::npos; });
  return names;
}

Region::Region(std::string name, std::chrono::milliseconds patience) : name_(std::move(name)) {
  check_region_name(name_);
  prefix_ = meeting_prefix(name_);
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
    socket_ = announce(prefix_, file_);
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
    Fd file = open_shared(holder, "region '" + name_ + "'");
    if (!file) continue;
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
  slot::Fd socket = make_unix_socket(SOCK_DGRAM);
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
