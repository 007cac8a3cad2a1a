#include "tools/slotwire/blocks_link/wire.hpp"

#include <array>
#include <cstring>

#include "runtime/blocks/region_layout.hpp"

namespace slotwire::cli::blocks_link {
namespace {

/// A Want as it lies in its frame; the topic's bytes follow.
struct WantHead {
  std::uint32_t version = kVersion;
  std::uint32_t overflow = 0;
  std::uint32_t history = 0;
  std::uint32_t topic_bytes = 0;
};

template <typename T>
std::span<const std::byte> bytes_of(const T& object) {
  return std::as_bytes(std::span(&object, 1));
}

}  // namespace

std::vector<std::byte> frame(FrameKind kind, std::span<const std::byte> bytes) {
  const FrameHeader header{static_cast<std::uint32_t>(kind), 0, bytes.size()};
  const auto head = bytes_of(header);
  std::vector<std::byte> all(head.begin(), head.end());
  all.insert(all.end(), bytes.begin(), bytes.end());
  return all;
}

std::vector<std::byte> frame_of(const Want& want) {
  const WantHead head{kVersion, static_cast<std::uint32_t>(want.overflow), want.history,
                      static_cast<std::uint32_t>(want.topic.size())};
  const auto fixed = bytes_of(head);
  std::vector<std::byte> bytes(fixed.begin(), fixed.end());
  const auto topic = std::as_bytes(std::span(want.topic));
  bytes.insert(bytes.end(), topic.begin(), topic.end());
  return frame(FrameKind::want, bytes);
}

std::optional<Want> read_want(std::span<const std::byte> bytes, std::string& why) {
  WantHead head;
  if (bytes.size() < sizeof head) {
    why = "a subscription of " + std::to_string(bytes.size()) + " bytes is too short";
    return std::nullopt;
  }
  std::memcpy(&head, bytes.data(), sizeof head);
  const auto topic = bytes.subspan(sizeof head);
  if (head.version != kVersion) {
    why = "version " + std::to_string(head.version) + " is spoken there, " + std::to_string(kVersion) +
          " here: install the same release on both nodes";
  } else if (head.topic_bytes != topic.size() || topic.empty() || topic.size() > blocks::kMaxTopic) {
    why = "a topic's name has 1 to " + std::to_string(blocks::kMaxTopic) + " bytes";
  } else if (head.overflow < static_cast<std::uint32_t>(blocks::Overflow::block) ||
             head.overflow > static_cast<std::uint32_t>(blocks::Overflow::fail)) {
    why = "overflow " + std::to_string(head.overflow) + " is none";
  } else {
    Want want;
    want.topic.assign(reinterpret_cast<const char*>(topic.data()), topic.size());
    want.overflow = static_cast<blocks::Overflow>(head.overflow);
    want.history = head.history;
    if (want.topic.find('\0') == std::string::npos) return want;
    why = "a topic's name has no zero byte";
  }
  return std::nullopt;
}

std::string service_name(const std::string& region, const std::string& node) {
  return "blocks/" + region + "/" + node;
}

void PendingBytes::sent(std::size_t count) {
  sent_ += count;
  if (sent_ != bytes_.size()) return;
  bytes_.clear();
  sent_ = 0;
}

}  // namespace slotwire::cli::blocks_link
