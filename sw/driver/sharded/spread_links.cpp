#include "driver/sharded/spread_links.hpp"

#include <algorithm>

namespace slotwire::driver {

bool SpreadLinks::Link::up() const {
  return !on.empty() && std::all_of(on.begin(), on.end(), [](const WorkerLink& state) { return state.up; });
}

void SpreadLinks::spread(std::uint16_t link) {
  links_[link].on.assign(workers_, {});
}

void SpreadLinks::clear(std::uint16_t link) {
  Link& l = links_[link];
  l.on.assign(workers_, {});
  l.told_up = false;
  l.told_reason.clear();
}

void SpreadLinks::take(std::uint16_t link, std::size_t worker, const WorkerLink& state) {
  Link& l = links_[link];
  WorkerLink& known = l.on[worker];
  if (state.changes == 0 || state.changes == known.changes) return;
  const bool was_up = l.up();
  known = state;
  const bool is_up = l.up();
  if (was_up) {
    tell(link, false, state.down_reason);
    if (is_up) tell(link, true, state.reason);
  } else if (is_up) {
    tell(link, true, state.reason);
  } else if (!state.up) {
    tell(link, false, state.reason);
  }
}

void SpreadLinks::tell(std::uint16_t link, bool up, const std::string& reason) {
  Link& l = links_[link];
  if (l.told_up == up && l.told_reason == reason) return;
  l.told_up = up;
  l.told_reason = reason;
  listener_.on_link(link, up, reason);
}

}  // namespace slotwire::driver
