#include "core/carriers/sealed.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace slotwire::carriers {

SealedCarrier::SealedCarrier(Carrier& below, std::size_t max_links)
    : below_(below), frame_bytes_(regs::kHeaderBytes + below.lines_per_frame() * regs::kLineBytes), links_(max_links) {
  if (below.lines_per_frame() < 2) {
    throw std::invalid_argument(std::string(below.name()) +
                                ": the mtu has no room for a line beside the one that encryption adds; raise it");
  }
  sealed_.resize(kBatch * frame_bytes_);
  batch_.resize(kBatch);
  opened_.resize(frame_bytes_);
  if (!poller_.add(below.fd(), EPOLLIN, 0)) throw_errno("watching the carrier below");
}

SealedCarrier::Link& SealedCarrier::add(std::uint16_t link) {
  if (link >= links_.size() || links_[link].known) {
    throw std::invalid_argument(std::string(name()) + ": link " + std::to_string(link) +
                                " is there already or above the limit of " + std::to_string(links_.size()) + " links");
  }
  links_[link].known = true;
  return links_[link];
}

void SealedCarrier::add_clear(std::uint16_t link) {
  add(link);
}

LinkKeys& SealedCarrier::add_sealed(std::uint16_t link, const LinkKeys::Options& options) {
  auto keys = std::make_unique<LinkKeys>(options);
  Link& added = add(link);
  added.keys = std::move(keys);
  sealed_links_.push_back(link);
  return *added.keys;
}

void SealedCarrier::remove_link(std::uint16_t link) {
  if (find(link) == nullptr) return;
  links_[link] = {};
  std::erase(sealed_links_, link);
}

const SealedCarrier::Link* SealedCarrier::find(std::uint16_t link) const noexcept {
  return link < links_.size() && links_[link].known ? &links_[link] : nullptr;
}

LinkKeys* SealedCarrier::keys(std::uint16_t link) noexcept {
  return find(link) == nullptr ? nullptr : links_[link].keys.get();
}

std::size_t SealedCarrier::lines_per_frame_of(std::uint16_t link) const {
  const Link* const found = find(link);
  if (found == nullptr) return lines_per_frame();
  return below_.lines_per_frame_of(link) - (found->keys ? 1 : 0);
}

std::size_t SealedCarrier::room(std::uint16_t link) const {
  const Link* const found = find(link);
  return found == nullptr || !found->up ? 0 : below_.room(link);
}

/// Sends the encrypted frames that come first, at most a batch. Returns how many they are.
std::size_t SealedCarrier::seal_run(std::span<const pipeline::TxFrame> frames) {
  std::size_t taken = 0, filled = 0, at = 0;
  for (; taken < frames.size() && filled < kBatch; ++taken) {
    const pipeline::TxFrame& frame = frames[taken];
    const Link* const link = find(frame.link);
    if (link != nullptr && !link->keys) break;
    const std::size_t bytes = kSealedLineBytes + sizeof frame.header + frame.payload.size();
    if (link == nullptr || !link->up || bytes > frame_bytes_ ||
        !link->keys->seal(frame, std::span(sealed_).subspan(at, bytes))) {
      ++dropped_;
      continue;
    }
    if (link->keys->look()) {
      look_ = true;
      wake();
    }
    pipeline::TxFrame& out = batch_[filled++];
    out.link = frame.link;
    out.slot = frame.slot;
    std::memcpy(out.header, sealed_.data() + at, sizeof out.header);
    out.payload = std::span<const std::byte>(sealed_).subspan(at + sizeof out.header, bytes - sizeof out.header);
    at += bytes;
  }
  if (filled != 0) {
    const std::uint64_t dropped = below_.counters().tx_dropped;
    below_.send(std::span<const pipeline::TxFrame>(batch_).first(filled));
    sealed_frames_ += filled - (below_.counters().tx_dropped - dropped);
  }
  return taken;
}

/// The same for frames in the clear.
std::size_t SealedCarrier::clear_run(std::span<const pipeline::TxFrame> frames) {
  const auto end = std::find_if(frames.begin(), frames.end(), [&](const pipeline::TxFrame& frame) {
    const Link* const link = find(frame.link);
    return link == nullptr || link->keys;
  });
  const auto run = frames.first(static_cast<std::size_t>(end - frames.begin()));
  if (!run.empty()) below_.send(run);
  return run.size();
}

void SealedCarrier::send(std::span<const pipeline::TxFrame> frames) {
  while (!frames.empty()) {
    frames = frames.subspan(clear_run(frames));
    if (!frames.empty()) frames = frames.subspan(seal_run(frames));
  }
}

bool SealedCarrier::on_frame(std::uint16_t link, std::span<const std::byte> frame) {
  const std::uint32_t marked = std::exchange(marked_, 0);
  const Link* const found = find(link);
  if (found == nullptr) return false;
  std::span<const std::byte> clear = frame;
  if (found->keys) {
    const Opened result = found->keys->open(frame, opened_, clear);
    look_ |= found->keys->look();
    if (result != Opened::opened) return false;
  }
  ++rx_frames_;
  ++delivered_;
  rx_bytes_ += clear.size();
  if (marked != 0) sink_->on_marked(link, marked);
  return sink_->on_frame(link, clear);
}

void SealedCarrier::on_link(std::uint16_t link, bool up, std::string_view reason) {
  if (find(link) == nullptr) return;
  Link& found = links_[link];
  found.up_below = up;
  if (!found.keys) {
    found.up = up;
    sink_->on_link(link, up, reason);
    return;
  }
  found.reason = reason;
  if (up && found.up) {
    // Another path below.
    sink_->on_link(link, true, found.reason + ", " + std::string(suite_name(found.keys->suite())));
    return;
  }
  if (up) return look_at(link, *sink_);
  found.up = false;
  sink_->on_link(link, false, reason);
}

/// Brings an encrypted link up or down as its keys allow.
void SealedCarrier::look_at(std::uint16_t number, FrameSink& sink) {
  Link& link = links_[number];
  const bool up = link.up_below && link.keys->ready();
  if (up == link.up) return;
  link.up = up;
  if (up) {
    sink.on_link(number, true, link.reason + ", " + std::string(suite_name(link.keys->suite())));
  } else {
    sink.on_link(
        number, false,
        "its key has sealed as many frames as a key may, and the peer did not take another one; is the control "
        "connection up?");
  }
}

void SealedCarrier::wake() noexcept {
  keys_changed_ = true;
  poller_.wake();
}

std::size_t SealedCarrier::poll(std::uint64_t now_us, std::size_t max_frames, FrameSink& sink) {
  poller_.clear_wake();
  sink_ = &sink;
  delivered_ = 0;
  below_.poll(now_us, max_frames, *this);
  if (std::exchange(keys_changed_, false)) {
    for (const std::uint16_t link : sealed_links_) look_at(link, sink);
  }
  sink_ = nullptr;
  return delivered_;
}

const CarrierCounters& SealedCarrier::counters() const {
  counters_ = below_.counters();
  counters_.tx_bytes -= std::min(counters_.tx_bytes, kSealedLineBytes * sealed_frames_);
  counters_.tx_dropped += dropped_;
  counters_.rx_frames = rx_frames_;
  counters_.rx_bytes = rx_bytes_;
  return counters_;
}

}  // namespace slotwire::carriers
