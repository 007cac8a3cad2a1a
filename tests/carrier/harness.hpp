// What the carrier tests share: frames that can be told apart, a sink that remembers, and a loop that obeys fd().
#pragma once
#include <poll.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/carriers/carrier.hpp"

namespace slotwire::test {

/// No test waits longer than this for anything. Far above what any of them needs; it bounds a failure.
inline constexpr std::chrono::seconds kPatience{20};

using Bytes = std::vector<std::byte>;

inline std::uint64_t now_us() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
}

/// Remembers all that it is given.
class Recorder final : public carriers::FrameSink {
 public:
  struct Event {
    std::uint16_t link;
    bool up;
    std::string reason;
  };
  bool on_frame(std::uint16_t link, std::span<const std::byte> frame) override {
    frames[link].emplace_back(frame.begin(), frame.end());
    ++count;
    return !useless || !useless(link);
  }
  void on_link(std::uint16_t link, bool is_up, std::string_view reason) override {
    events.push_back({link, is_up, std::string(reason)});
    up[link] = is_up;
  }
  void on_marked(std::uint16_t link, std::uint32_t marked_frames) override { marked[link] += marked_frames; }
  bool is_up(std::uint16_t link) const {
    const auto found = up.find(link);
    return found != up.end() && found->second;
  }
  void forget_frames() {
    frames.clear();
    count = 0;
  }

  std::function<bool(std::uint16_t)> useless;          ///< links whose frames nobody has use for; none if empty
  std::map<std::uint16_t, std::vector<Bytes>> frames;  ///< by link, in the order of arrival
  std::size_t count = 0;
  std::vector<Event> events;
  std::map<std::uint16_t, bool> up;
  std::map<std::uint16_t, std::uint32_t> marked;
};

/// Frames with their payload: a TxFrame only points at it.
class Frames {
 public:
  explicit Frames(std::uint64_t seed = 1) : random_(seed) {}
  /// Adds a frame with `payload` random bytes and a random header.
  void add(std::uint16_t link, std::size_t payload) {
    pipeline::TxFrame frame;
    frame.link = link;
    for (auto& byte : frame.header) byte = random_byte();
    payloads_.emplace_back(payload);
    for (auto& byte : payloads_.back()) byte = random_byte();
    frame.payload = payloads_.back();  // a vector's bytes stay where they are when the vector moves
    list_.push_back(frame);
    Bytes whole(std::begin(frame.header), std::end(frame.header));
    whole.insert(whole.end(), payloads_.back().begin(), payloads_.back().end());
    expected[link].push_back(std::move(whole));
  }
  std::span<const pipeline::TxFrame> list() const { return list_; }
  std::map<std::uint16_t, std::vector<Bytes>> expected;  ///< what a recorder should hold in the end

 private:
  std::byte random_byte() { return static_cast<std::byte>(random_() & 0xFFU); }
  std::mt19937_64 random_;
  std::vector<Bytes> payloads_;
  std::vector<pipeline::TxFrame> list_;
};

struct Side {
  carriers::Carrier* carrier;
  Recorder* sink;
};

inline bool readable(int fd) {
  pollfd entry{fd, POLLIN, 0};
  return ::poll(&entry, 1, 0) == 1;
}

/// Polls each carrier when, and only when, its fd() is readable, until `done`. False when that takes too long.
inline bool pump(const std::vector<Side>& sides, const std::function<bool()>& done, std::size_t max_frames = 64) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!done()) {
    std::vector<pollfd> entries;
    for (const auto& side : sides) entries.push_back({side.carrier->fd(), POLLIN, 0});
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0 || ::poll(entries.data(), entries.size(), static_cast<int>(left.count())) == 0) return false;
    for (std::size_t i = 0; i < sides.size(); ++i) {
      if (entries[i].revents != 0) sides[i].carrier->poll(now_us(), max_frames, *sides[i].sink);
    }
  }
  return true;
}

/// Polls until nobody has anything to do. False when that never comes.
inline bool settle(const std::vector<Side>& sides) {
  for (int round = 0; round < 10'000; ++round) {
    bool busy = false;
    for (const auto& side : sides) {
      if (!readable(side.carrier->fd())) continue;
      busy = true;
      side.carrier->poll(now_us(), 64, *side.sink);
    }
    if (!busy) return true;
  }
  return false;
}

}  // namespace slotwire::test
