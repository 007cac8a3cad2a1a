#include "tools/slotwire/blocks_link/outlet.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

namespace slotwire::cli::blocks_link {
namespace {

/// Messages that one drive() takes before others have their turn.
constexpr int kMessagesAtOnce = 64;
/// Publications whose positions are remembered; those that have gone are forgotten beyond it.
constexpr std::size_t kMaxRemembered = 2 * blocks::kMaxPublications;

int weight(blocks::Overflow overflow) {
  return overflow == blocks::Overflow::block ? 2 : (overflow == blocks::Overflow::fail ? 1 : 0);
}

}  // namespace

Outlet::Outlet(blocks::Region& region, ConnectionPtr connection) : region_(region), connection_(std::move(connection)) {
  sw_peer peer;
  SW_INIT(peer);
  if (sw_connection_peer(connection_.get(), &peer) == SW_OK) node_ = peer.node;
}

Outlet::~Outlet() {
  if (view_) stages_.front()->release(*view_);
}

void Outlet::end(std::string reason) {
  ended_ = true;
  reason_ = std::move(reason);
}

/// Reads what the other node wants.
void Outlet::listen() {
  while (!ended_ && !closing_) {
    std::array<std::byte, 256> bytes;
    std::size_t count = 0;
    const int status = sw_read(connection_.get(), bytes.data(), bytes.size(), &count);
    if (status == SW_AGAIN) return;
    if (status == SW_PEER_CLOSED) return end("");
    if (status != SW_OK) return end(sw_last_error());
    heard_.insert(heard_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
    while (heard_.size() >= sizeof(FrameHeader) && !closing_) {
      FrameHeader header;
      std::memcpy(&header, heard_.data(), sizeof header);
      std::string why;
      std::optional<Want> want;
      if (header.kind != static_cast<std::uint32_t>(FrameKind::want) || header.length > kMaxSmallFrame) {
        why = "a frame of kind " + std::to_string(header.kind) + " with " + std::to_string(header.length) +
              " bytes is no subscription";
      } else {
        if (heard_.size() < sizeof header + header.length) break;
        want = read_want(std::span(heard_).subspan(sizeof header, header.length), why);
        heard_.erase(heard_.begin(), heard_.begin() + static_cast<std::ptrdiff_t>(sizeof header + header.length));
        if (want && !want_.topic.empty() && want->topic != want_.topic) {
          want.reset();
          why = "a connection carries one topic";
        }
      }
      if (want) {
        try {
          take_want(*want);
        } catch (const std::exception& error) {
          want.reset();
          why = error.what();
        }
      }
      if (!want) {
        pending_.add(
            frame(FrameKind::refusal, std::as_bytes(std::span(why).first(std::min(why.size(), kMaxSmallFrame)))));
        closing_ = true;
        reason_ = why;
      }
    }
  }
}

void Outlet::take_want(const Want& want) {
  const bool first = stages_.empty();
  if (!first && weight(want.overflow) <= weight(want_.overflow)) return;
  want_ = want;
  stages_.push_back(std::make_unique<blocks::Subscriber>(
      region_, want.topic,
      blocks::SubscriberOptions{
          .overflow = want.overflow, .history = first ? want.history : 0, .wait = {}, .for_link = true}));
}

bool Outlet::flush() {
  while (true) {
    const auto head = pending_.rest();
    std::span<const std::byte> rest = head;
    if (head.empty() && view_) rest = view_->data.subspan(view_sent_);
    if (rest.empty()) {
      if (view_) {
        stages_.front()->release(*view_);
        view_.reset();
        ++messages_;
      }
      if (closing_) ended_ = true;
      return !closing_;
    }
    std::size_t done = 0;
    const int status = sw_write(connection_.get(), rest.data(), rest.size(), &done);
    if (status == SW_AGAIN) {
      wants_ |= SW_WRITABLE;
      return false;
    }
    if (status != SW_OK) {
      end(status == SW_PEER_CLOSED ? "" : sw_last_error());
      return false;
    }
    if (head.empty()) {
      view_sent_ += done;
    } else {
      pending_.sent(done);
    }
  }
}

/// Takes the next message that was not sent yet. False: there is none.
bool Outlet::next_message() {
  while (!stages_.empty()) {
    blocks::Subscriber::View view;
    const auto found = stages_.front()->take(std::chrono::steady_clock::time_point::min(), view);
    if (found != blocks::Subscriber::Look::taken) {
      if (stages_.size() == 1) return false;
      // The newer subscription was there before this one was found empty: it has what comes now.
      dropped_before_ += stages_.front()->dropped();
      stages_.pop_front();
      continue;
    }
    blocks::Position& next = next_[blocks::Subscriber::publication_serial(view)];
    if (view.taken.position < next) {
      stages_.front()->release(view);
      continue;
    }
    next = view.taken.position + 1;
    view_ = view;
    view_sent_ = 0;
    const FrameHeader header{static_cast<std::uint32_t>(FrameKind::message), 0, view.data.size()};
    pending_.add(std::as_bytes(std::span(&header, 1)));
    return true;
  }
  return false;
}

bool Outlet::drive() {
  wants_ = SW_READABLE;
  listen();
  for (int i = 0; i < kMessagesAtOnce && !ended_; ++i) {
    if (!flush()) return false;
    if (stages_.empty()) return false;
    const std::uint64_t dropped = dropped_before_ + stages_.front()->dropped();
    if (dropped != dropped_told_) {
      dropped_told_ = dropped;
      pending_.add(frame(FrameKind::dropped, std::as_bytes(std::span(&dropped, 1))));
    }
    if (!next_message() && pending_.rest().empty()) {
      // Serials grow for ever; those of one subscription alone need not be told apart from another's.
      if (stages_.size() == 1 && next_.size() > kMaxRemembered) next_.clear();
      return false;
    }
  }
  return !ended_;
}

bool Outlet::arm() {
  return ended_ || stages_.empty() || (wants_ & SW_WRITABLE) != 0 || stages_.back()->arm();
}

void Outlet::disarm() {
  if (!stages_.empty()) stages_.back()->disarm();
}

}  // namespace slotwire::cli::blocks_link
