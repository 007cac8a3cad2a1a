#include "runtime/engine/sessions/metered_channel.hpp"

namespace slotwire::engine {

bool MeteredChannel::send(const std::string& text, const std::vector<int>& fds) {
  if (!why_.empty()) return false;
  const bool sent = inner_->send(text, fds);
  if (!sent && inner_->waiting() && fds.empty()) {
    why_ = "it does not read its control socket: too many answers and events wait for it";
    give_up();
    return false;
  }
  count();
  return sent && why_.empty();
}

bool MeteredChannel::flush() {
  if (!why_.empty()) return false;
  const bool open = inner_->flush();
  count();
  return open;
}

void MeteredChannel::give_up() {
  if (why_.empty()) why_ = "it does not read its control socket";
  inner_->give_up();
  waits_.release();
}

void MeteredChannel::count() {
  const std::uint64_t now = inner_->queued();
  if (now == waits_.amount()) return;
  if (now > most_) {
    why_ = "it does not read its control socket: more than limits.unread_per_client waits for it";
    return give_up();
  }
  if (now > waits_.amount()) {
    if (const auto refusal = accounts_.forbids(uid_, Resource::unread, now - waits_.amount())) {
      why_ = "it does not read its control socket: " + refusal->text;
      return give_up();
    }
  }
  if (waits_.amount() == 0) {
    waits_ = UserAccounts::Charge(accounts_, uid_, Resource::unread, now);
  } else {
    waits_.set(now);
  }
}

}  // namespace slotwire::engine
