#include "runtime/engine/regions/kept_region.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <vector>

#include "runtime/blocks/meeting.hpp"
#include "runtime/engine/regions/found_memory.hpp"

namespace slotwire::engine {
namespace {

/// What a publisher's memory counts at most: a directory may say anything.
constexpr std::uint64_t kMostOfPublisher = std::uint64_t{64} << 30U;

}  // namespace

KeptRegion::KeptRegion(const RegionParts& parts, std::uint32_t index, std::string name, uid_t uid, slot::Fd file,
                       Origin origin, std::size_t& watches, std::size_t& files)
    : parts_(parts),
      index_(index),
      name_(std::move(name)),
      uid_(uid),
      file_(std::move(file)),
      waker_(blocks::make_unix_socket(SOCK_DGRAM)),
      prefix_(blocks::meeting_prefix(uid, name_)),
      origin_(origin),
      watches_(watches),
      descriptors_([uid](const Key& process, std::uint32_t list_fd,
                         std::uint64_t bytes) { return open_memory(process.first, list_fd, uid, bytes); },
                   &files),
      charge_(parts.users, uid, Resource::regions),
      memory_charge_(parts.users, uid, Resource::block_memory, 0) {
  if (const std::string wrong = slot::check_sealed_file(file_.get(), blocks::region_bytes()); !wrong.empty())
    throw std::runtime_error("region '" + name_ + "': " + wrong);
  mapping_ = slot::map_file(file_.get(), blocks::region_bytes(), slot::Access::read_write);
  if (const std::string wrong = blocks::check_region(memory()); !wrong.empty())
    throw std::runtime_error("region '" + name_ + "': " + wrong);
}

KeptRegion::~KeptRegion() {
  while (!watched_.empty()) unwatch(watched_.begin()->first);
}

std::set<KeptRegion::Key> KeptRegion::members() const {
  std::set<Key> found;
  for (const blocks::Member& member : memory().members) {
    if (member.state.load() != 0) found.insert({member.pid, member.start_time});
  }
  return found;
}

bool KeptRegion::watch(const Key& key) {
  PeerCredentials who;
  who.pid = static_cast<pid_t>(std::min<std::uint32_t>(key.first, std::numeric_limits<pid_t>::max()));
  who.uid = uid_;
  who.start_time = key.second;
  if (watches_ == 0) {
    watched_[key] = nullptr;
    return blocks::is_alive(key.first, key.second);
  }
  Result<std::unique_ptr<ProcessWatch>> process = parts_.processes.watch(who);
  // With hidepid its start time cannot be read, or there are no descriptors left.
  if (!process.ok() && !blocks::is_alive(key.first, key.second)) return false;
  if (!process.ok()) {
    watched_[key] = nullptr;
    return true;
  }
  --watches_;
  parts_.loop.add(process.value()->fd(), EPOLLIN, [this, key](std::uint32_t) {
    const Key ended = key;  // what is captured goes with the handler
    ended_.insert(ended);
    unwatch(ended);
    if (on_end_) on_end_();
  });
  watched_[key] = std::move(process).value();
  return true;
}

void KeptRegion::unwatch(const Key& key) {
  const auto found = watched_.find(key);
  if (found == watched_.end()) return;
  if (found->second) {
    parts_.loop.remove(found->second->fd());
    ++watches_;
  }
  watched_.erase(found);
}

bool KeptRegion::has_news() const {
  return busy_ || unknown_ || !ended_.empty() || memory().generation.load(std::memory_order_acquire) != generation_ ||
         (expected_until_us_ != 0 && expected_until_us_ <= parts_.loop.now_us());
}

bool KeptRegion::look(bool all) {
  cost_ += kLookCost;
  generation_ = memory().generation.load(std::memory_order_acquire);
  std::set<Key> there = members();
  // A process that is in the directory is no longer expected, and one that left it need not have it any more.
  if (!there.empty() || expected_until_us_ <= parts_.loop.now_us()) expected_until_us_ = 0;
  std::vector<Key> left;
  for (const auto& [key, process] : watched_) {
    if (!there.contains(key)) left.push_back(key);
    if (!all || process != nullptr) continue;
    ++cost_;
    if (!blocks::is_alive(key.first, key.second)) ended_.insert(key);
  }
  for (const Key& key : left) unwatch(key);
  std::size_t looked_at = 0;
  unknown_ = false;
  for (const Key& key : there) {
    if (watched_.contains(key) || ended_.contains(key)) continue;
    unknown_ = looked_at == kNewAtOnce;
    if (unknown_) break;
    ++looked_at;
    cost_ += 2;
    if (!watch(key)) ended_.insert(key);
  }
  std::erase_if(ended_, [&](const Key& key) { return !there.contains(key); });
  // Nobody is there any more, so nobody needs what is left to be in order.
  if (!unknown_ && expected_until_us_ == 0 && ended_.size() == there.size()) return false;
  busy_ = !ended_.empty() && !reclaim();
  memory_charge_.set(figures().bytes);
  descriptors_.update(memory(), parts_.loop.now_us());
  // What a process that died has left is no reason to keep it.
  return expected_until_us_ != 0 || unknown_ ||
         std::any_of(there.begin(), there.end(), [&](const Key& key) { return !ended_.contains(key); });
}

/// False: somebody has the right to change the directory, and may keep it as long as it likes.
bool KeptRegion::reclaim() {
  if (!blocks::try_lock_directory(file_.get())) return false;
  const bool removed = blocks::remove_members(memory(), [&](const blocks::Member& member) {
    return ended_.contains({member.pid, member.start_time});
  });
  if (removed) cost_ += blocks::wake_members(memory(), prefix_, waker_, blocks::kMaxMembers);
  blocks::unlock_directory(file_.get());
  generation_ = memory().generation.load(std::memory_order_acquire);
  for (const Key& key : ended_) unwatch(key);
  return true;
}

RegionFigures KeptRegion::figures() const {
  const blocks::RegionMemory& region = memory();
  RegionFigures figures;
  figures.bytes = blocks::region_bytes();
  figures.processes = members().size();
  for (const blocks::Publication& publication : region.publications) {
    if (publication.state.load() == 0) continue;
    ++figures.publishers;
    figures.bytes += std::min<std::uint64_t>(publication.list_bytes, kMostOfPublisher);
  }
  figures.subscribers = static_cast<std::size_t>(
      std::count_if(region.subscriptions.begin(), region.subscriptions.end(),
                    [](const blocks::Subscription& subscription) { return subscription.state.load() != 0; }));
  return figures;
}

}  // namespace slotwire::engine
