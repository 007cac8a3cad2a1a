#include "runtime/client/held_messages.hpp"

#include <utility>

namespace slotwire::client {
namespace {

/// Bytes of a copy up to which its memory is kept for the next one.
constexpr std::size_t kKeptCopy = 4096;

}  // namespace

Held& HeldMessages::take_free() {
  if (free_ == nullptr) {
    Held& made = all_.emplace_back();
    made.messages = 1;
    return made;
  }
  Held& held = *std::exchange(free_, free_->next);
  held.next = nullptr;
  held.released = false;
  held.messages = 1;
  return held;
}

void HeldMessages::put_free(Held& held) {
  held.next = std::exchange(free_, &held);
}

Held& HeldMessages::hold_lines(std::uint32_t lines) {
  Held& held = take_free();
  held.lines = lines;
  (last_ == nullptr ? first_ : last_->next) = &held;
  last_ = &held;
  lines_ += lines;
  return held;
}

Held& HeldMessages::hold_copy(std::vector<std::byte> data) {
  Held& held = take_free();
  held.lines = 0;
  held.copy = std::move(data);
  return held;
}

Held& HeldMessages::hold_room() {
  Held& held = take_free();
  held.lines = 0;
  return held;
}

void HeldMessages::release(Held& held) {
  if (--held.messages != 0) return;
  held.released = true;
  if (held.lines != 0) return;
  if (held.copy.capacity() > kKeptCopy) held.copy = {};
  put_free(held);
}

std::uint32_t HeldMessages::take_released() {
  std::uint32_t lines = 0;
  while (first_ != nullptr && first_->released) {
    Held& held = *std::exchange(first_, first_->next);
    lines += held.lines;
    put_free(held);
  }
  if (first_ == nullptr) last_ = nullptr;
  lines_ -= lines;
  return lines;
}

}  // namespace slotwire::client
