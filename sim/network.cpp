#include "sim/network.hpp"

#include <algorithm>

namespace slotwire::sim {

bool Network::room(std::uint16_t from, std::uint16_t to) const {
  const State& state = at(from, to);
  return state.in_flight < state.channel.capacity;
}

void Network::send(std::uint16_t from, std::uint16_t to, const Bytes& frame, Time now) {
  State& state = at(from, to);
  const Channel& c = state.channel;
  ++counts_.sent;
  if (c.cut || random_.chance(c.loss)) {
    ++counts_.lost;
    return;
  }
  const unsigned copies = random_.chance(c.duplicate) ? 2 : 1;
  counts_.duplicated += copies - 1;
  for (unsigned i = 0; i < copies; ++i) {
    const Time leaves = std::max(now, state.busy_until) + (frame.size() * c.us_per_kib / 1024);
    state.busy_until = leaves;
    Arrival arrival{leaves + c.delay_us, ++order_, from, to, state.generation, frame};
    if (c.jitter_us != 0 && random_.chance(c.reorder)) {
      arrival.time += random_.between(1, c.jitter_us);
      ++counts_.reordered;
    }
    if (random_.chance(c.corrupt)) {
      damage(arrival.frame);
      ++counts_.corrupted;
    }
    ++state.in_flight;
    on_the_way_.push(std::move(arrival));
  }
}

void Network::damage(Bytes& frame) {
  switch (random_.below(4)) {
    case 0:
      frame.resize(random_.below(static_cast<std::uint32_t>(frame.size())));
      return;
    case 1:
      for (std::uint32_t n = random_.between(1, 130); n != 0; --n) {
        frame.push_back(static_cast<std::byte>(random_.below(256)));
      }
      return;
    default:
      for (std::uint32_t n = random_.between(1, 3); n != 0; --n) {
        const std::uint32_t bit = random_.below(static_cast<std::uint32_t>(frame.size() * 8));
        frame[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
      }
      return;
  }
}

std::optional<Arrival> Network::arrived(Time now) {
  while (!on_the_way_.empty() && on_the_way_.top().time <= now) {
    Arrival arrival = on_the_way_.top();
    on_the_way_.pop();
    State& state = at(arrival.from, arrival.to);
    if (arrival.generation != state.generation) continue;
    --state.in_flight;
    return arrival;
  }
  return std::nullopt;
}

std::optional<Time> Network::next() const {
  if (on_the_way_.empty()) return std::nullopt;
  return on_the_way_.top().time;
}

void Network::drop_in_flight(std::uint16_t from, std::uint16_t to) {
  State& state = at(from, to);
  ++state.generation;
  state.in_flight = 0;
  state.busy_until = 0;
}

}  // namespace slotwire::sim
