// How slotwired talks with the processes of its keeper: it asks ahead, and waits only where it needs the answer.
#include "runtime/engine/recovery/keeper_asking.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <system_error>
#include <utility>

namespace slotwire::engine {
namespace {

/// The keeper mostly answers within some microseconds, and within this time also on a busy machine: that is not worth
/// undoing the request and trying it again.
constexpr int kPromptMs = 10;

}  // namespace

Error Keeper::late(Drawer& drawer) {
  drawer.behind = true;
  return Error{silence_of(drawer)};
}

std::string Keeper::silence_of(const Drawer& drawer) {
  return "the keeper (slotwire-keeper, pid " + std::to_string(drawer.pid) +
         ") does not answer; it may be stopped, or have no processor time";
}

bool Keeper::is_silent(const Drawer& drawer) const {
  return loop_ != nullptr && !drawer.asked.empty() && loop_->now_us() - drawer.asked.front().asked_us > kStoreSlowUs;
}

/// Looks now and then while answers are missing.
void Keeper::watch_for_silence() {
  if (silence_timer_) return;
  silence_timer_ = loop_->after(kStoreSlowUs, [this] {
    silence_timer_.reset();
    bool awaited = false;
    for (Drawer& drawer : drawers_) {
      awaited = awaited || !drawer.asked.empty();
      if (!is_silent(drawer)) {
        drawer.silence_told = false;
      } else if (!std::exchange(drawer.silence_told, true)) {
        tell(News::silent, drawer, silence_of(drawer));
      }
    }
    if (awaited) watch_for_silence();
  });
}

Result<void> Keeper::send(Drawer& drawer, std::uint16_t op, std::uint64_t tag, std::span<const int> fds) {
  KeeperRequest request;
  request.op = op;
  request.tag = tag;
  if (send_datagram(drawer.socket.get(), std::as_bytes(std::span(&request, 1)), fds, 0)) return {};
  const int error = errno;
  // A bad descriptor is the caller's slip and nothing was sent; anything else ends the connection.
  if (error == EBADF) return Error{"a descriptor to be kept is not open"};
  lose(drawer);
  if (restarts()) return gone(drawer);
  return Error{"the keeper cannot be reached: " + std::generic_category().message(error) + "; restart slotwired"};
}

Result<Keeper::Answer> Keeper::ask(Drawer& drawer, std::uint16_t op, std::uint64_t tag, std::span<const int> fds) {
  if (!drawer.socket || drawer.greets) return gone(drawer);
  take_answers(drawer, 0, kPromptMs);
  if (!drawer.socket) return gone(drawer);
  if (!drawer.asked.empty()) return late(drawer);
  if (const auto sent = send(drawer, op, tag, fds); !sent) return sent.error();
  return answer_of(drawer, op, tag);
}

Result<void> Keeper::ask_ahead(Drawer& drawer, std::uint16_t op, std::uint64_t tag, std::span<const int> fds,
                               bool handed) {
  if (!drawer.socket || drawer.greets) return gone(drawer);
  if (drawer.asked.size() >= kAhead) take_answers(drawer, kAhead - 1, kPromptMs);
  if (!drawer.socket) return gone(drawer);
  if (drawer.asked.size() >= kAhead) return late(drawer);
  if (auto sent = send(drawer, op, tag, fds); !sent) return sent;
  drawer.asked.push_back({.op = op, .tag = tag, .handed = handed, .asked_us = loop_->now_us()});
  watch_for_silence();
  return {};
}

Result<Keeper::Answer> Keeper::answer_of(Drawer& drawer, std::uint16_t op, std::uint64_t tag) {
  Answer answer;
  pollfd wait{drawer.socket.get(), POLLIN, 0};
  const bool there = loop_ == nullptr || ::poll(&wait, 1, kPromptMs) == 1;
  const int flags = loop_ == nullptr ? 0 : MSG_DONTWAIT;
  switch (there ? receive_datagram(drawer.socket.get(), std::as_writable_bytes(std::span(&answer.reply, 1)), answer.fds,
                                   flags)
                : Received::nothing) {
    case Received::message:
      return answer;
    case Received::nothing:
      if (loop_ != nullptr) {
        drawer.asked.push_back({.op = op, .tag = tag, .asked_us = loop_->now_us()});
        return late(drawer);
      }
      // An answer that comes later would be taken for that of the next request.
      lose(drawer);
      return Error{"the keeper did not answer within " + std::to_string(timeout_.count()) + " ms; restart slotwired"};
    case Received::closed:
      lose(drawer);
      if (restarts()) return gone(drawer);
      return Error{"the keeper has ended; restart slotwired to have its slots kept again"};
    case Received::malformed:
      lose(drawer);
      return Error{"the keeper's answer came incomplete; raise the limit of open files (LimitNOFILE)"};
  }
  return Error{"the keeper's answer cannot be read"};
}

void Keeper::take_answers(Drawer& drawer, std::size_t left, int patience_ms) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(patience_ms);
  while (drawer.socket && drawer.asked.size() > left) {
    Answer answer;
    switch (receive_datagram(drawer.socket.get(), std::as_writable_bytes(std::span(&answer.reply, 1)), answer.fds,
                             MSG_DONTWAIT)) {
      case Received::message: {
        const Drawer::Asked asked = drawer.asked.front();
        drawer.asked.pop_front();
        take_answer(drawer, asked, answer.reply);
        break;
      }
      case Received::nothing: {
        const auto wait_ms =
            std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
        pollfd wait{drawer.socket.get(), POLLIN, 0};
        if (wait_ms <= 0 || (::poll(&wait, 1, static_cast<int>(wait_ms)) < 1 && errno != EINTR)) return;
        break;
      }
      case Received::closed:
      case Received::malformed:
        lose(drawer);
        return;
    }
  }
}

void Keeper::take_answer(Drawer& drawer, const Drawer::Asked& asked, const KeeperReply& reply) {
  const bool is_ok = reply.status == static_cast<std::uint16_t>(KeeperStatus::ok);
  if (asked.op == static_cast<std::uint16_t>(KeeperOp::remove)) {
    if (is_ok) drawer.full = false;
    return;
  }
  if (is_ok || asked.op != static_cast<std::uint16_t>(KeeperOp::store)) return;
  drawer.full = drawer.full || reply.status == static_cast<std::uint16_t>(KeeperStatus::full);
  // It may have been removed since, and even stored anew: then that is answered, too.
  const bool is_last = std::none_of(drawer.asked.begin(), drawer.asked.end(),
                                    [&](const Drawer::Asked& later) { return later.tag == asked.tag; });
  const auto found = where_.find(asked.tag);
  if (!is_last || found == where_.end() || found->second.drawer != &drawer - drawers_.data()) return;
  if (!move(drawer, asked.tag)) tell(News::lost, drawer);
}

void Keeper::take_late(Drawer& drawer) {
  if (!drawer.socket) return;
  const bool was_behind = drawer.behind;
  if (drawer.asked.empty()) {
    // Nothing is to come but its end.
    KeeperReply reply;
    std::vector<slot::Fd> fds;
    const Received received =
        receive_datagram(drawer.socket.get(), std::as_writable_bytes(std::span(&reply, 1)), fds, MSG_DONTWAIT);
    if (received != Received::nothing) lose(drawer);
  } else {
    take_answers(drawer, 0, 0);
  }
  while (drawer.socket && drawer.asked.size() < kAhead && !drawer.to_remove.empty()) {
    const std::uint64_t tag = drawer.to_remove.front();
    drawer.to_remove.pop_front();
    (void)ask_ahead(drawer, static_cast<std::uint16_t>(KeeperOp::remove), tag, {});
  }
  hand_over(static_cast<std::size_t>(&drawer - drawers_.data()));
  if (drawer.asked.empty()) drawer.behind = false;
  if ((was_behind || !drawer.socket) && on_ready_ && ready()) on_ready_();
}

/// Waits for answers that are missing, and for what waits behind them, at most `timeout`.
void Keeper::settle(Drawer& drawer) {
  const auto end = std::chrono::steady_clock::now() + timeout_;
  while (!drawer.asked.empty()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
    if (left <= 0) return;
    take_answers(drawer, 0, static_cast<int>(left));
    if (drawer.socket) take_late(drawer);
  }
}

}  // namespace slotwire::engine
