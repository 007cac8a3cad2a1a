#include "bottleneck.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

namespace slotwire::bench {
namespace {

constexpr std::size_t kEthernetBytes = 14, kLeastIpv4Bytes = 20;
constexpr std::size_t kTypeAt = 12, kTosAt = kEthernetBytes + 1, kChecksumAt = kEthernetBytes + 10;
constexpr unsigned kEcnBits = 3, kNotEct = 0, kCe = 3;

unsigned byte_at(std::span<const std::byte> frame, std::size_t at) {
  return std::to_integer<unsigned>(frame[at]);
}

double seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

const PathOptions& checked(const PathOptions& options) {
  if (const std::optional<std::string> wrong = complaint(options)) throw std::invalid_argument(*wrong);
  return options;
}

}  // namespace

std::optional<std::string> complaint(const PathOptions& options) {
  const auto between = [](double value, double least, double most) { return value >= least && value <= most; };
  if (!between(options.megabits, PathOptions::kLeastMegabits, PathOptions::kMostMegabits))
    return "the rate must be from 0.1 to 10000 Mb/s";
  if (options.delay < std::chrono::nanoseconds(0) || options.delay > PathOptions::kMostDelay)
    return "the delay must be from 0 to 10000 ms";
  if (options.queue_bytes < PathOptions::kLeastQueue || options.queue_bytes > PathOptions::kMostQueue)
    return "the queue must be from 2000 bytes, which hold one frame, to 268435456";
  if (options.ce_bytes && *options.ce_bytes >= options.queue_bytes)
    return "the threshold of CE must be below the queue's limit, where frames are dropped";
  if (!between(options.loss, 0, PathOptions::kMostLoss)) return "the random loss must be from 0 to 90 %";
  return std::nullopt;
}

Path::Path(const PathOptions& options, Time now)
    : options_(checked(options)),
      dice_(options_.seed),
      lost_(options_.loss),
      free_at_(now),
      integrated_to_(now),
      counted_from_(now) {}

Path::Time Path::transmission(std::uint64_t bytes) const {
  return Time(std::llround(static_cast<double>(bytes) * 8'000 / options_.megabits));
}

Path::Time Path::queueing(Time now) const {
  return std::max(free_at_ - now, Time(0));
}

double Path::waiting_bytes(Time now) const {
  return static_cast<double>(queueing(now).count()) * options_.megabits / 8'000;
}

void Path::integrate(Time now) {
  const double wait = seconds(queueing(integrated_to_)), passed = seconds(now - integrated_to_);
  // The wait falls by a second each second until it is 0.
  const double falling = std::min(wait, passed);
  queueing_integral_ += falling * (wait - (falling / 2));
  integrated_to_ = now;
}

bool Path::offer(Time now, std::span<const std::byte> frame) {
  if (lost_(dice_)) {
    ++counts_.dropped_random;
    return false;
  }
  const std::uint64_t bytes = wire_bytes(frame.size());
  const double waiting = waiting_bytes(now);
  if (waiting + static_cast<double>(bytes) > static_cast<double>(options_.queue_bytes)) {
    ++counts_.dropped_queue;
    return false;
  }
  integrate(now);
  Packet packet{Time(0), {frame.begin(), frame.end()}};
  if (options_.ce_bytes && waiting > static_cast<double>(*options_.ce_bytes) && mark_congestion(packet.frame))
    ++counts_.marked;
  counts_.largest_queueing = std::max(counts_.largest_queueing, queueing(now));
  free_at_ = std::max(free_at_, now) + transmission(bytes);
  packet.leaves = free_at_ + options_.delay;
  held_.push_back(std::move(packet));
  ++counts_.packets;
  counts_.bytes += bytes;
  return true;
}

std::optional<Path::Time> Path::next() const {
  if (held_.empty()) return std::nullopt;
  return held_.front().leaves;
}

std::optional<Path::Packet> Path::take(Time now) {
  if (held_.empty() || held_.front().leaves > now) return std::nullopt;
  Packet packet = std::move(held_.front());
  held_.pop_front();
  const Time lateness = now - packet.leaves;
  counts_.largest_lateness = std::max(counts_.largest_lateness, lateness);
  if (lateness > PathCounts::kLate) ++counts_.late;
  return packet;
}

PathCounts Path::report(Time now) {
  integrate(now);
  PathCounts told = std::exchange(counts_, {});
  told.over = now - std::exchange(counted_from_, now);
  const double integral = std::exchange(queueing_integral_, 0);
  if (told.over > Time(0)) told.mean_queueing = Time(std::llround(integral / seconds(told.over) * 1e9));
  return told;
}

bool is_ipv4(std::span<const std::byte> frame) {
  return frame.size() >= kEthernetBytes + kLeastIpv4Bytes && byte_at(frame, kTypeAt) == 0x08 &&
         byte_at(frame, kTypeAt + 1) == 0x00 && byte_at(frame, kEthernetBytes) >> 4U == 4;
}

bool mark_congestion(std::span<std::byte> frame) {
  if (!is_ipv4(frame)) return false;
  const unsigned tos = byte_at(frame, kTosAt), ecn = tos & kEcnBits;
  if (ecn == kNotEct || ecn == kCe) return false;
  // RFC 1624: HC' = ~(~HC + ~m + m'), where m is the word of version, header length and TOS.
  const unsigned high = byte_at(frame, kEthernetBytes) << 8U;
  const unsigned before = high | tos, after = high | tos | kCe;
  const unsigned checksum = (byte_at(frame, kChecksumAt) << 8U) | byte_at(frame, kChecksumAt + 1);
  unsigned sum = (~checksum & 0xffffU) + (~before & 0xffffU) + after;
  sum = (sum & 0xffffU) + (sum >> 16U);
  sum = (sum & 0xffffU) + (sum >> 16U);
  const unsigned mended = ~sum & 0xffffU;
  frame[kTosAt] = static_cast<std::byte>(tos | kCe);
  frame[kChecksumAt] = static_cast<std::byte>(mended >> 8U);
  frame[kChecksumAt + 1] = static_cast<std::byte>(mended & 0xffU);
  return true;
}

}  // namespace slotwire::bench
