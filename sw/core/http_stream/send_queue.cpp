#include "core/http_stream/send_queue.hpp"

#include <algorithm>
#include <cassert>

namespace slotwire::http_stream {

std::size_t SendQueue::free_bytes() const {
  std::size_t left = options_.send_bytes - std::min(options_.send_bytes, bytes_);
  if (pool_ == nullptr) return left;
  const std::size_t own = options_.window_min + lent_ - std::min(options_.window_min + lent_, bytes_);
  return std::min(left, own + pool_->left());
}

std::size_t SendQueue::room() const {
  return std::min(options_.max_message, space());
}

std::size_t SendQueue::space() const {
  const std::size_t parts = options_.send_messages - std::min(options_.send_messages, parts_.size());
  return std::min(free_bytes(), parts * options_.part_bytes);
}

bool SendQueue::limit_message(std::size_t max_message) {
  options_.max_message = std::min(options_.max_message, max_message);
  return longest_ <= max_message;
}

bool SendQueue::push(std::span<const std::byte> message) {
  if (message.empty() || message.size() > room()) return false;
  if (pool_ != nullptr && bytes_ + message.size() > options_.window_min + lent_) {
    const std::size_t more = bytes_ + message.size() - options_.window_min - lent_;
    if (!pool_->lend(more)) return false;
    lent_ += more;
  }
  longest_ = std::max(longest_, message.size());
  bytes_ += message.size();
  while (!message.empty()) {
    const auto piece = message.first(std::min(message.size(), options_.part_bytes));
    message = message.subspan(piece.size());
    cost_ += piece.size() + kPartCost;
    new_bytes_ += piece.size() + kPartHeaderBytes;
    parts_.push_back({Bytes(piece.begin(), piece.end()), cost_, 0, !message.empty(), false});
  }
  return true;
}

std::size_t SendQueue::ready_bytes() const {
  if (!new_fits()) return lost_bytes_;
  return lost_bytes_ + static_cast<std::size_t>(std::min<std::uint64_t>(new_bytes_, credit_ - sent_cost_));
}

std::vector<PartRange> SendQueue::fill(Bundle& bundle, std::size_t& bytes, std::size_t count, Carrier carrier) {
  std::vector<PartRange> ranges;
  const auto put = [&](std::uint64_t number, Part& part) {
    const bool joins = !ranges.empty() && ranges.back().first + ranges.back().count == number;
    const std::size_t size = part.bytes.size() + kPartHeaderBytes + (joins ? 0 : kRunBytes);
    if (size > bytes || count == 0 || (!joins && ranges.size() == kMaxRuns)) return false;
    bytes -= size;
    --count;
    if (joins) {
      ++ranges.back().count;
    } else {
      ranges.push_back({number, 1});
    }
    part.carrier = carrier;
    bundle.parts.push_back({number, part.continues, part.bytes});
    return true;
  };
  while (!lost_.empty()) {
    const std::uint64_t number = *lost_.begin();
    Part& part = parts_[number - base_];
    if (!put(number, part)) return ranges;
    lost_.erase(lost_.begin());
    lost_bytes_ -= part.bytes.size() + kPartHeaderBytes;
    ++resent_;
  }
  while (new_fits()) {
    Part& part = parts_[sent_];
    if (!put(base_ + sent_, part)) break;
    new_bytes_ -= part.bytes.size() + kPartHeaderBytes;
    sent_cost_ = part.cost_end;
    ++sent_;
  }
  return ranges;
}

void SendQueue::arrived(Part& part, std::uint64_t number) {
  if (part.arrived) return;
  if (lost_.erase(number) != 0) lost_bytes_ -= part.bytes.size() + kPartHeaderBytes;
  part.arrived = true;
  bytes_ -= part.bytes.size();
  part.bytes = {};
}

bool SendQueue::acknowledge(std::uint64_t next, std::span<const PartRange> ranges) {
  const std::uint64_t sent_end = base_ + sent_;
  if (next > sent_end || (!ranges.empty() && ranges.back().first + ranges.back().count > sent_end)) return false;
  while (base_ < next) {
    arrived(parts_.front(), base_);
    parts_.pop_front();
    ++base_;
    --sent_;
  }
  for (const PartRange& range : ranges) {
    for (std::uint64_t number = std::max(range.first, base_); number < range.first + range.count; ++number) {
      arrived(parts_[number - base_], number);
    }
  }
  give_back();
  return true;
}

bool SendQueue::acknowledged(std::span<const PartRange> ranges) const {
  for (const PartRange& range : ranges) {
    for (std::uint64_t number = std::max(range.first, base_); number < range.first + range.count; ++number) {
      if (!parts_[number - base_].arrived) return false;
    }
  }
  return true;
}

void SendQueue::lose(std::span<const PartRange> ranges, Carrier carrier) {
  for (const PartRange& range : ranges) {
    for (std::uint64_t number = std::max(range.first, base_); number < range.first + range.count; ++number) {
      const Part& part = parts_[number - base_];
      if (part.arrived || part.carrier != carrier) continue;
      if (lost_.insert(number).second) lost_bytes_ += part.bytes.size() + kPartHeaderBytes;
    }
  }
}

void SendQueue::lose_all() {
  for (std::size_t i = 0; i < sent_; ++i) {
    if (parts_[i].arrived) continue;
    if (lost_.insert(base_ + i).second) lost_bytes_ += parts_[i].bytes.size() + kPartHeaderBytes;
  }
}

void SendQueue::give_back() {
  if (pool_ == nullptr) return;
  const std::size_t needed = bytes_ - std::min(bytes_, options_.window_min);
  if (lent_ <= needed) return;
  pool_->give_back(lent_ - needed);
  lent_ = needed;
}

void SendQueue::clear() {
  base_ += parts_.size();
  parts_.clear();
  lost_.clear();
  sent_ = lost_bytes_ = bytes_ = new_bytes_ = 0;
  sent_cost_ = cost_;
  give_back();
}

}  // namespace slotwire::http_stream
