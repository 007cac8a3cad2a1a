#include "core/carriers/dpdk/queue_carrier.hpp"

namespace slotwire::carriers {

QueueCarrier::QueueCarrier(SharedPort& shared, std::size_t index)
    : shared_(shared), index_(index), queue_(shared, index, nullptr), links_(shared.max_links) {}

QueueCarrier::~QueueCarrier() {
  queue_.detach();
  shared_.gate.leave(index_);
}

void QueueCarrier::go_in_or_out() noexcept {
  if (queue_.attached() && !shared_.gate.is_open()) {
    queue_.detach();
    shared_.gate.leave(index_);
    shared_.wakers[0].ring();
  } else if (!queue_.attached() && shared_.gate.is_open() && shared_.gate.enter(index_)) {
    queue_.attach();
  }
}

void QueueCarrier::hear(std::uint16_t number, const LinkNews& news, FrameSink& sink) {
  using State = LinkNews::State;
  Link& link = links_[number];
  if (link.known && (news.state == State::none || news.serial != link.serial)) {
    queue_.erase_link(number);
    link = {};
  }
  if (news.state == State::none) return;
  const bool was_up = link.known && queue_.is_up(number);
  const bool again = was_up && news.state == State::up && news.ups != link.ups;
  if (was_up && (news.state == State::down || again)) {
    ++queue_.counters().disconnects;
    queue_.set_up(number, false);
    sink.on_link(number, false, again ? news.name + ": it was down for a moment" : news.reason);
  } else if (!was_up && news.state == State::down && news.told) {
    sink.on_link(number, false, news.reason);
  }
  queue_.set_link(number, news.peer, news.ports);
  link = {true, news.serial, news.ups};
  if (news.state != State::up) return;
  queue_.set_up(number, true);
  if (was_up && !again) return;  // it has another MAC address
  ++queue_.counters().connects;
  sink.on_link(number, true, news.name);
}

std::size_t QueueCarrier::poll(std::uint64_t now_us, std::size_t max_frames, FrameSink& sink) {
  queue_.begin();
  go_in_or_out();
  if (const std::uint32_t changes = shared_.wire_changes.load(std::memory_order_acquire); changes != wire_changes_) {
    wire_changes_ = changes;
    queue_.stay_awake(now_us);  // the bell that was answered may have been that of the old wire
  }
  while (const auto item = shared_.board.take(index_)) hear(item->link, *item->news, sink);
  const std::size_t delivered = queue_.attached() ? queue_.work(now_us, max_frames, sink) : 0;
  queue_.end(now_us, std::nullopt,
             [this] { return !shared_.board.empty(index_) || queue_.attached() != shared_.gate.is_open(); });
  return delivered;
}

}  // namespace slotwire::carriers
