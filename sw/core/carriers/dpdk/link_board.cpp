#include "core/carriers/dpdk/link_board.hpp"

#include <algorithm>

namespace slotwire::carriers {

LinkBoard::LinkBoard(std::size_t queues, std::size_t max_links) : max_links_(max_links), boxes_(queues * max_links) {
  for (std::size_t i = 0; i < queues; ++i)
    rings_.push_back(std::make_unique<SpscRing<std::uint16_t>>(std::max<std::size_t>(max_links, 1)));
}

LinkBoard::~LinkBoard() {
  for (auto& box : boxes_) std::unique_ptr<const LinkNews>(box.load());
}

void LinkBoard::post(std::size_t queue, std::uint16_t link, LinkNews news) {
  auto made = std::make_unique<const LinkNews>(std::move(news));
  const std::unique_ptr<const LinkNews> old(box(queue, link).exchange(made.release(), std::memory_order_acq_rel));
  // A link whose box was full is in the ring already, or is about to be looked at.
  if (!old) rings_[queue]->push(link);
}

std::optional<LinkBoard::Item> LinkBoard::take(std::size_t queue) noexcept {
  Item item;
  if (!rings_[queue]->pop(item.link)) return std::nullopt;
  item.news.reset(box(queue, item.link).exchange(nullptr, std::memory_order_acq_rel));
  return item;
}

}  // namespace slotwire::carriers
