#include "tools/slotwire/blocks_link/inlet.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstring>
#include <string_view>

namespace slotwire::cli::blocks_link {
namespace {

constexpr int kFramesAtOnce = 64;
constexpr std::uint32_t kEntries = 256;
constexpr auto kNow = std::chrono::steady_clock::time_point::min();

}  // namespace

Inlet::Inlet(blocks::Region& region, std::string node, Want want, std::size_t block_bytes)
    : region_(region), node_(std::move(node)), want_(std::move(want)), block_bytes_(block_bytes) {}

Inlet::~Inlet() {
  if (loan_) publisher_->abandon(*loan_);
}

void Inlet::set_connection(ConnectionPtr connection) {
  connection_ = std::move(connection);
  pending_.add(frame_of(want_));
  try {
    // A list holds what subscribers may ask for, and as much again that is on its way to them.
    const std::uint32_t entries = std::max(kEntries, std::bit_ceil(std::min(want_.history, 16384U) * 2));
    publisher_ =
        std::make_unique<blocks::Publisher>(region_, want_.topic,
                                            blocks::PublisherOptions{.block_bytes = block_bytes_,
                                                                     .entries = entries,
                                                                     .history = std::min(want_.history, entries / 2),
                                                                     .wait = {},
                                                                     .for_link = true});
  } catch (const std::exception& error) {
    end(error.what());
  }
}

void Inlet::strengthen(blocks::Overflow overflow) {
  want_.overflow = overflow;
  if (connection_) pending_.add(frame_of(want_));
}

void Inlet::end(std::string reason) {
  ended_ = true;
  reason_ = std::move(reason);
}

Inlet::Step Inlet::read(std::span<std::byte> into, std::size_t& have) {
  while (have < into.size()) {
    std::size_t done = 0;
    const int status = sw_read(connection_.get(), into.data() + have, into.size() - have, &done);
    if (status == SW_AGAIN) return Step::no_bytes;
    if (status != SW_OK) {
      end(status == SW_PEER_CLOSED ? "the other node's 'slotwire blocks link' ended" : sw_last_error());
      return Step::no_bytes;
    }
    have += done;
  }
  return Step::done;
}

Inlet::Step Inlet::header() {
  if (const Step step = read(std::as_writable_bytes(std::span(&header_, 1)), header_have_); step != Step::done)
    return step;
  if (header_.kind == static_cast<std::uint32_t>(FrameKind::message)) {
    skipping_ = header_.length > publisher_->largest();
    if (skipping_) {
      ++too_large_;
      too_large_bytes_ = header_.length;
    }
    return Step::done;
  }
  if ((header_.kind != static_cast<std::uint32_t>(FrameKind::dropped) &&
       header_.kind != static_cast<std::uint32_t>(FrameKind::refusal)) ||
      header_.length > kMaxSmallFrame) {
    end("the other node sent a frame of kind " + std::to_string(header_.kind) + " with " +
        std::to_string(header_.length) + " bytes: install the same release on both nodes");
    return Step::no_bytes;
  }
  small_.resize(header_.length);
  return Step::done;
}

Inlet::Step Inlet::message() {
  if (skipping_) {
    std::array<std::byte, 4096> scratch;
    while (body_have_ < header_.length) {
      std::size_t have = 0;
      const auto piece = std::min<std::uint64_t>(scratch.size(), header_.length - body_have_);
      const Step step = read(std::span(scratch).first(piece), have);
      body_have_ += have;
      if (step != Step::done) return step;
    }
    return Step::done;
  }
  if (!loan_) {
    blocks::Publisher::Loan loan;
    if (publisher_->loan(std::max<std::size_t>(header_.length, 1), kNow, loan) != blocks::Room::yes)
      return Step::no_room;
    loan_ = loan;
  }
  if (const Step step = read(loan_->data.first(header_.length), body_have_); step != Step::done) return step;
  if (publisher_->publish(*loan_, header_.length, kNow) != blocks::Room::yes) return Step::no_room;
  loan_.reset();
  ++messages_;
  return Step::done;
}

Inlet::Step Inlet::small_frame() {
  if (const Step step = read(small_, body_have_); step != Step::done) return step;
  if (header_.kind == static_cast<std::uint32_t>(FrameKind::refusal)) {
    end("the other node refuses: " + std::string(reinterpret_cast<const char*>(small_.data()), small_.size()));
  } else if (small_.size() == sizeof dropped_) {
    std::memcpy(&dropped_, small_.data(), sizeof dropped_);
  }
  return Step::done;
}

bool Inlet::drive() {
  wants_ = SW_READABLE;
  waits_for_room_ = false;
  if (!connection_ || ended_) return false;
  while (!pending_.rest().empty()) {
    std::size_t done = 0;
    const int status = sw_write(connection_.get(), pending_.rest().data(), pending_.rest().size(), &done);
    if (status == SW_AGAIN) {
      wants_ |= SW_WRITABLE;
      break;
    }
    if (status != SW_OK) {
      end(sw_last_error());
      return false;
    }
    pending_.sent(done);
  }
  for (int i = 0; i < kFramesAtOnce; ++i) {
    Step step = Step::done;
    if (header_have_ < sizeof header_) step = header();
    if (step == Step::done)
      step = header_.kind == static_cast<std::uint32_t>(FrameKind::message) ? message() : small_frame();
    if (step == Step::no_room) {
      // Not readable, or the poller would come back at once: the publisher's descriptor tells.
      waits_for_room_ = true;
      wants_ &= ~SW_READABLE;
    }
    if (step != Step::done || ended_) return false;
    header_have_ = body_have_ = 0;
  }
  return true;
}

bool Inlet::arm() {
  return ended_ || !waits_for_room_ || publisher_->arm();
}

void Inlet::disarm() {
  if (publisher_) publisher_->disarm();
}

}  // namespace slotwire::cli::blocks_link
