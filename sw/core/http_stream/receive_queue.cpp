#include "core/http_stream/receive_queue.hpp"

#include <algorithm>
#include <iterator>

namespace slotwire::http_stream {

ReceiveQueue::~ReceiveQueue() {
  if (pool_ != nullptr) pool_->give_back(lent_);
}

void ReceiveQueue::stop() {
  for (const auto& [number, part] : ahead_) bytes_ -= part.bytes.size();
  bytes_ -= joining_.size();
  ahead_.clear();
  ranges_.clear();
  joining_ = {};
  ahead_cost_ = 0;
}

bool ReceiveQueue::append(std::span<const std::byte> bytes, bool continues) {
  if (joining_.size() + bytes.size() > options_.max_message) return false;
  const std::uint64_t cost = bytes.size() + kPartCost;
  joining_.insert(joining_.end(), bytes.begin(), bytes.end());
  joining_cost_ += cost;
  in_cost_ += cost;
  ++next_;
  if (continues) return true;
  messages_.push_back({std::move(joining_), joining_cost_});
  joining_ = {};
  joining_cost_ = 0;
  return true;
}

Taken ReceiveQueue::add(const PartView& part) {
  if (part.number < next_ || ahead_.contains(part.number)) return Taken::duplicate;
  const std::uint64_t cost = part.bytes.size() + kPartCost;
  if (in_cost_ + ahead_cost_ + cost > credit_) return Taken::no_credit;
  bytes_ += part.bytes.size();
  if (part.number != next_) {
    ahead_.emplace(part.number, Ahead{Bytes(part.bytes.begin(), part.bytes.end()), part.continues});
    ahead_cost_ += cost;
    auto after = ranges_.upper_bound(part.number);
    std::uint64_t end = part.number + 1;
    if (after != ranges_.end() && after->first == end) {
      end = after->second;
      after = ranges_.erase(after);
    }
    if (after != ranges_.begin() && std::prev(after)->second == part.number) {
      std::prev(after)->second = end;
    } else {
      ranges_.emplace_hint(after, part.number, end);
    }
    return Taken::taken;
  }
  if (!append(part.bytes, part.continues)) return Taken::too_long;
  if (ranges_.empty() || ranges_.begin()->first != next_) return Taken::taken;
  ranges_.erase(ranges_.begin());
  for (auto at = ahead_.begin(); at != ahead_.end() && at->first == next_; at = ahead_.erase(at)) {
    ahead_cost_ -= at->second.bytes.size() + kPartCost;
    if (!append(at->second.bytes, at->second.continues)) return Taken::too_long;
  }
  return Taken::taken;
}

std::optional<Bytes> ReceiveQueue::receive() {
  if (messages_.empty()) return std::nullopt;
  Whole whole = std::move(messages_.front());
  messages_.pop_front();
  taken_cost_ += whole.cost;
  bytes_ -= whole.bytes.size();
  return std::move(whole.bytes);
}

std::vector<PartRange> ReceiveQueue::ranges() const {
  std::vector<PartRange> ranges;
  for (const auto& [first, end] : ranges_) {
    if (ranges.size() == kMaxRanges) break;
    ranges.push_back({first, end - first});
  }
  return ranges;
}

std::uint64_t ReceiveQueue::give_credit() {
  // At once where there is plenty of memory, four times as wide, or twice where the pool has no more.
  const bool plenty = pool_ != nullptr && pool_->plenty();
  for (const std::size_t times : {plenty ? options_.window_max / window_ + 1 : 4, std::size_t{4}, std::size_t{2}}) {
    const std::size_t wider = std::min(options_.window_max, times * window_);
    if (in_cost_ - grown_at_ < window_ || wider <= window_) break;
    if (pool_ != nullptr && !pool_->lend(wider - window_)) continue;
    if (pool_ != nullptr) lent_ += wider - window_;
    window_ = wider;
    grown_at_ = in_cost_;
  }
  credit_ = std::max(credit_, possible_credit());
  return credit_;
}

bool ReceiveQueue::credit_due() const {
  return possible_credit() >= credit_ + window_ / 4 && credit_ - in_cost_ - ahead_cost_ < possible_credit() - credit_;
}

}  // namespace slotwire::http_stream
