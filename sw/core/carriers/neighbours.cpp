#include "core/carriers/neighbours.hpp"

#include <algorithm>

namespace slotwire::carriers {
namespace {

constexpr std::uint64_t kBroadcast = 0xffff'ffff'ffff;
constexpr std::uint64_t kGroupBit = std::uint64_t{1} << 40;
constexpr std::uint64_t kEtherTypeArp = 0x0806;
/// Hardware Ethernet, protocol IPv4, addresses of 6 and 4 bytes.
constexpr std::uint64_t kKind = 0x0001'0800'0604;
constexpr std::uint64_t kRequest = 1, kReply = 2;

// Offsets in the Ethernet frame.
constexpr std::size_t kSourceMac = 6, kEtherType = 12, kArpKind = 14, kOperation = 20, kSenderMac = 22, kSenderIp = 28,
                      kTargetMac = 32, kTargetIp = 38, kArpEnd = 42;

void put(std::span<std::byte> out, std::size_t at, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) out[at + i] = static_cast<std::byte>((value >> (8 * (bytes - 1 - i))) & 0xff);
}
std::uint64_t get(std::span<const std::byte> in, std::size_t at, std::size_t bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) value = (value << 8) | std::to_integer<std::uint64_t>(in[at + i]);
  return value;
}

void write(ArpFrame& out, std::uint64_t operation, const NetworkPlace& from, std::uint64_t to, std::uint64_t target_mac,
           std::uint32_t target_ip) {
  out.fill(std::byte{0});
  put(out, 0, to, 6);
  put(out, kSourceMac, from.mac, 6);
  put(out, kEtherType, kEtherTypeArp, 2);
  put(out, kArpKind, kKind, 6);
  put(out, kOperation, operation, 2);
  put(out, kSenderMac, from.mac, 6);
  put(out, kSenderIp, from.ip, 4);
  put(out, kTargetMac, target_mac, 6);
  put(out, kTargetIp, target_ip, 4);
}

std::uint32_t mask_of(unsigned prefix) {
  return prefix >= 32 ? ~std::uint32_t{0} : ~(~std::uint32_t{0} >> prefix);
}

}  // namespace

Neighbours::Neighbours(const NetworkPlace& place, std::size_t limit) : place_(place), entries_(limit) {}

std::optional<std::uint32_t> Neighbours::next_hop(std::uint32_t ip) const {
  const std::uint32_t first = ip >> 24;
  if (ip == place_.ip || first == 0 || first == 127 || first >= 224) return std::nullopt;
  const std::uint32_t mask = mask_of(place_.prefix);
  if ((ip & mask) == (place_.ip & mask)) {
    // The network's own address and its broadcast address; networks of one or two hosts have neither.
    if (place_.prefix < 31 && ((ip & ~mask) == 0 || (ip | mask) == ~std::uint32_t{0})) return std::nullopt;
    return ip;
  }
  if (place_.gateway == 0) return std::nullopt;
  return place_.gateway;
}

std::optional<std::size_t> Neighbours::watch(std::uint32_t hop) {
  std::optional<std::size_t> free;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].users != 0 && entries_[i].ip == hop) {
      ++entries_[i].users;
      return i;
    }
    if (entries_[i].users == 0 && !free) free = i;
  }
  if (free) entries_[*free] = {hop, 1, 0, 0, 0};
  set_deadline();
  return free;
}

void Neighbours::unwatch(std::size_t entry) {
  if (entries_[entry].users != 0) --entries_[entry].users;
  set_deadline();
}

Neighbours::Taken Neighbours::take(std::span<const std::byte> frame, std::uint64_t now_us, ArpFrame& answer) {
  if (frame.size() < kArpKind || get(frame, kEtherType, 2) != kEtherTypeArp) return Taken::not_arp;
  if (frame.size() < kArpEnd) return Taken::malformed;
  const std::uint64_t to = get(frame, 0, 6);
  if (to != place_.mac && to != kBroadcast) return Taken::not_arp;  // for another host
  const std::uint64_t operation = get(frame, kOperation, 2);
  const std::uint64_t sender = get(frame, kSenderMac, 6);
  const auto sender_ip = static_cast<std::uint32_t>(get(frame, kSenderIp, 4));
  const auto target_ip = static_cast<std::uint32_t>(get(frame, kTargetIp, 4));
  const bool understood = get(frame, kArpKind, 6) == kKind && (operation == kRequest || operation == kReply);
  if (!understood || sender == 0 || (sender & kGroupBit) != 0 || sender != get(frame, kSourceMac, 6))
    return Taken::malformed;
  if (sender == place_.mac) return Taken::nothing;
  if (sender_ip == place_.ip) return Taken::conflict;
  bool learnt = false;
  for (Entry& entry : entries_) {
    if (entry.users == 0 || entry.ip != sender_ip) continue;
    learnt = entry.mac != sender;
    entry.mac = sender;
    entry.asked = 0;
    entry.ask_us = now_us + kRefreshUs;
  }
  set_deadline();
  if (operation == kRequest && target_ip == place_.ip) {
    write(answer, kReply, place_, sender, sender, sender_ip);
    return Taken::answer;
  }
  return learnt ? Taken::learnt : Taken::nothing;
}

void Neighbours::forget(std::uint64_t now_us) {
  for (Entry& entry : entries_) {
    entry.mac = 0;
    entry.asked = 0;
    entry.ask_us = now_us;
  }
  set_deadline();
}

bool Neighbours::ask(std::uint64_t now_us, ArpFrame& request) {
  for (Entry& entry : entries_) {
    if (entry.users == 0 || now_us < entry.ask_us) continue;
    entry.ask_us = now_us + kAskUs;
    // Who stays silent is asked less and less, up to the interval of those who answer.
    for (unsigned i = kSilentAfter; i < entry.asked && entry.ask_us - now_us < kRefreshUs; i += kSilentAfter) {
      entry.ask_us += entry.ask_us - now_us;
    }
    if (entry.asked < 1000 * kSilentAfter) ++entry.asked;
    write(request, kRequest, place_, kBroadcast, 0, entry.ip);
    set_deadline();
    return true;
  }
  return false;
}

void Neighbours::set_deadline() {
  deadline_us_.reset();
  for (const Entry& entry : entries_) {
    if (entry.users != 0 && (!deadline_us_ || entry.ask_us < *deadline_us_)) deadline_us_ = entry.ask_us;
  }
}

}  // namespace slotwire::carriers
