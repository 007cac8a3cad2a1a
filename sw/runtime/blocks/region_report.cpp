#include "runtime/blocks/region_report.hpp"

#include <algorithm>
#include <map>

namespace slotwire::blocks {
namespace {

std::string text_of(const Name& name) {
  return {name.data(), std::find(name.begin(), name.end(), '\0')};
}

/// Bytes of the messages from `first` on, as far as they are still there. The publisher goes on meanwhile, so this is
/// what it was at some moment, and never a wild number: a length beyond the block memory is not counted.
std::uint64_t bytes_from(const slot::Mapping& list, const ListHeader& header, Position first) {
  const std::uint32_t entries = header.entries;
  const std::uint64_t block_bytes = header.block_bytes;
  const auto* const ring = reinterpret_cast<const Entry<>*>(list.data() + kListEntries);
  const std::uint64_t room = (list.size() - kListEntries) / sizeof(Entry<>);
  if (entries == 0 || entries > room || (entries & (entries - 1)) != 0) return 0;
  const Position tail = header.marks.tail.load();
  first = std::max(first, tail - std::min<Position>(tail, entries));
  std::uint64_t bytes = 0;
  for (Position position = first; position < tail; ++position) {
    const Entry<>& entry = ring[position & (entries - 1)];
    const std::uint64_t length = entry.length.load();
    if (is_entry_of(entry.place.load(), position) && length <= block_bytes) bytes += length;
  }
  return bytes;
}

/// What only the publisher's file says. Left at 0 if the publisher has gone meanwhile. `list`: its file, mapped.
void read_list(const Region& region, const Publication& entry, PublisherReport& report, slot::Mapping& list) {
  const slot::Fd file = region.open_from(entry.member % kMaxMembers, entry.list_fd);
  if (!file || !slot::check_sealed_file(file.get(), entry.list_bytes).empty() || entry.list_bytes < kListEntries)
    return;
  list = slot::map_file(file.get(), entry.list_bytes, slot::Access::read_only);
  const auto& header = *reinterpret_cast<const ListHeader*>(list.data());
  report.block_bytes = header.block_bytes;
  report.entries = header.entries;
  report.published = header.marks.tail.load();
  report.oldest = header.marks.oldest.load();
  report.sleeps = header.marks.wait.load() != 0;
  report.kept_bytes = bytes_from(list, header, report.oldest);
}

}  // namespace

const char* name(Overflow overflow) {
  switch (overflow) {
    case Overflow::none:
      return "none";
    case Overflow::block:
      return "block";
    case Overflow::drop_oldest:
      return "drop-oldest";
    case Overflow::fail:
      return "fail";
  }
  return "invalid";
}

std::vector<Interest> interests_in(Region& region) {
  const Region::Lock lock(region);
  region.sweep();
  return interests_of_others(region);
}

std::vector<Interest> interests_of_others(Region& region) {
  const auto weight = [](Overflow overflow) {
    return overflow == Overflow::block ? 2 : (overflow == Overflow::fail ? 1 : 0);
  };
  std::map<std::string, Interest> found;
  for (const Subscription& entry : region.memory().subscriptions) {
    if (entry.state.load() == 0 || entry.for_link != 0) continue;
    Interest& one = found[text_of(entry.topic)];
    const auto overflow = static_cast<Overflow>(entry.overflow);
    if (weight(overflow) > weight(one.overflow)) one.overflow = overflow;
    one.history = std::max(one.history, entry.history);
  }
  std::vector<Interest> interests;
  for (auto& [topic, interest] : found) {
    interest.topic = topic;
    interests.push_back(std::move(interest));
  }
  return interests;
}

std::vector<std::string> publications_of_others(Region& region) {
  std::vector<std::string> topics;
  for (const Publication& entry : region.memory().publications) {
    if (entry.state.load() == 0 || entry.for_link != 0 || entry.member == region.self()) continue;
    std::string topic = text_of(entry.topic);
    if (!topic.empty() && std::find(topics.begin(), topics.end(), topic) == topics.end())
      topics.push_back(std::move(topic));
  }
  return topics;
}

std::vector<std::uint32_t> subscribers_of(Region& region, const std::string& topic) {
  const Region::Lock lock(region);
  region.sweep();
  std::vector<std::uint32_t> pids;
  for (const Subscription& entry : region.memory().subscriptions) {
    if (entry.state.load() != 0 && text_of(entry.topic) == topic)
      pids.push_back(region.memory().members.at(entry.member % kMaxMembers).pid);
  }
  return pids;
}

RegionReport report_on(Region& region) {
  const Region::Lock lock(region);
  region.sweep();
  const RegionMemory& memory = region.memory();
  const auto pid_of = [&](std::uint32_t member) { return memory.members.at(member % kMaxMembers).pid; };
  RegionReport report;
  report.name = region.name();
  for (std::uint32_t i = 0; i < kMaxMembers; ++i) {
    if (i != region.self() && memory.members[i].state.load() != 0) ++report.processes;
  }
  std::vector<bool> paired(kMaxSubscriptions);
  for (std::size_t i = 0; i < kMaxPublications; ++i) {
    const Publication& entry = memory.publications[i];
    if (entry.state.load() == 0) continue;
    PublisherReport publisher;
    publisher.topic = text_of(entry.topic);
    publisher.pid = pid_of(entry.member);
    publisher.for_link = entry.for_link != 0;
    slot::Mapping list;
    read_list(region, entry, publisher, list);
    for (const CursorEntry& cursor : memory.cursors) {
      if (cursor.state.load() == 0 || cursor.publication != i || cursor.publication_serial != entry.serial) continue;
      paired.at(cursor.subscription % kMaxSubscriptions) = true;
      SubscriberReport one;
      one.pid = pid_of(cursor.member);
      one.overflow = static_cast<Overflow>(cursor.cursor.overflow.load());
      one.released = cursor.cursor.released.load();
      one.held = static_cast<std::uint64_t>(std::count_if(cursor.cursor.holds.begin(), cursor.cursor.holds.end(),
                                                          [](const auto& hold) { return hold.load() != 0; }));
      one.sleeps = cursor.cursor.wait.load() != 0;
      if (list) {
        const auto& header = *reinterpret_cast<const ListHeader*>(list.data());
        one.behind_bytes = bytes_from(list, header, std::max(one.released, publisher.oldest));
      }
      one.for_link = memory.subscriptions.at(cursor.subscription % kMaxSubscriptions).for_link != 0;
      publisher.subscribers.push_back(one);
    }
    report.publishers.push_back(std::move(publisher));
  }
  for (std::size_t i = 0; i < kMaxSubscriptions; ++i) {
    const Subscription& entry = memory.subscriptions[i];
    if (entry.state.load() != 0 && !paired.at(i)) report.idle.push_back({text_of(entry.topic), pid_of(entry.member)});
  }
  return report;
}

}  // namespace slotwire::blocks
