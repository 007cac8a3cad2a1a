#include "core/carriers/loopback.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

namespace slotwire::carriers {
namespace {

/// Stands for a link that was removed while its frames waited; no link has this number.
constexpr std::uint16_t kNoLink = 0xFFFF;

}  // namespace

LoopbackCarrier::LoopbackCarrier(const LoopbackOptions& options)
    : options_(options), frame_bytes_(regs::kHeaderBytes + options.lines_per_frame * regs::kLineBytes) {
  if (options.lines_per_frame == 0 || frame_bytes_ > 65535) {
    throw std::invalid_argument("loopback: lines_per_frame must be 1 to 1023");
  }
  if (options.queue_limit < frame_bytes_) {
    throw std::invalid_argument("loopback: queue_limit must hold one frame of " + std::to_string(frame_bytes_) +
                                " bytes");
  }
  if (options.max_links > kNoLink) throw std::invalid_argument("loopback: max_links must be 0 to 65535");
  links_.resize(options.max_links, State::none);
}

void LoopbackCarrier::add_link(std::uint16_t link) {
  if (link >= links_.size() || links_[link] != State::none) {
    throw std::invalid_argument("loopback: link " + std::to_string(link) + " is there already or above the limit of " +
                                std::to_string(links_.size()) + " links");
  }
  links_[link] = State::added;
  added_.push_back(link);
  poller_.wake();
}

void LoopbackCarrier::remove_link(std::uint16_t link) {
  if (!known(link)) return;
  links_[link] = State::none;
  // A later link of the same number must not get these.
  for (Queue* queue : {&filling_, &draining_}) {
    for (Entry& entry : queue->entries) {
      if (entry.link == link) entry.link = kNoLink;
    }
  }
}

std::size_t LoopbackCarrier::room(std::uint16_t link) const {
  if (!known(link) || links_[link] != State::up) return 0;
  // What is being handed out counts as gone: it is, by the time anyone can fill the other queue twice.
  return (options_.queue_limit - filling_.bytes.size()) / frame_bytes_;
}

void LoopbackCarrier::send(std::span<const pipeline::TxFrame> frames) {
  ++counters_.tx_calls;
  for (const auto& frame : frames) {
    const std::size_t bytes = sizeof frame.header + frame.payload.size();
    if (!known(frame.link) || links_[frame.link] != State::up || bytes > frame_bytes_ ||
        bytes > options_.queue_limit - filling_.bytes.size()) {
      ++counters_.tx_dropped;
      continue;
    }
    filling_.bytes.insert(filling_.bytes.end(), std::begin(frame.header), std::end(frame.header));
    filling_.bytes.insert(filling_.bytes.end(), frame.payload.begin(), frame.payload.end());
    filling_.entries.push_back({frame.link, bytes});
    ++counters_.tx_frames;
    counters_.tx_bytes += bytes;
  }
  if (!filling_.entries.empty()) poller_.wake();
}

std::size_t LoopbackCarrier::poll(std::uint64_t, std::size_t max_frames, FrameSink& sink) {
  ++counters_.rx_calls;
  poller_.clear_wake();
  for (const std::uint16_t link : std::exchange(added_, {})) {
    if (links_[link] != State::added) continue;
    links_[link] = State::up;
    ++counters_.connects;
    sink.on_link(link, true, "loopback");
  }
  std::size_t delivered = 0;
  while (delivered < max_frames) {
    if (next_entry_ == draining_.entries.size()) {
      // One swap a call: a sink that answers every frame would keep this going for ever.
      if (filling_.entries.empty() || delivered != 0) break;
      draining_.entries.clear();
      draining_.bytes.clear();
      next_entry_ = next_byte_ = 0;
      std::swap(filling_, draining_);
    }
    const Entry entry = draining_.entries[next_entry_++];
    const auto frame = std::span<const std::byte>(draining_.bytes).subspan(next_byte_, entry.bytes);
    next_byte_ += entry.bytes;
    if (!known(entry.link)) continue;
    ++delivered;
    ++counters_.rx_frames;
    counters_.rx_bytes += entry.bytes;
    sink.on_frame(entry.link, frame);
  }
  if (next_entry_ < draining_.entries.size() || !filling_.entries.empty()) poller_.wake();
  return delivered;
}

}  // namespace slotwire::carriers
