// What two processes of `slotwire blocks link` say to each other over a connection's byte stream: frames, each with a
// header and its bytes. Little-endian.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/blocks/list.hpp"

namespace slotwire::cli::blocks_link {

enum class FrameKind : std::uint32_t {
  want = 1,     ///< subscriber's node: a Want; a later one on the connection asks for no less
  message = 2,  ///< publisher's node: a message of the topic
  dropped = 3,  ///< publisher's node: 8 bytes, messages that were lost since the connection was made (drop_oldest)
  refusal = 4,  ///< publisher's node: a text; the connection ends
};

struct FrameHeader {
  std::uint32_t kind = 0;
  std::uint32_t reserved = 0;
  std::uint64_t length = 0;  ///< bytes that follow
};
static_assert(sizeof(FrameHeader) == 16);

inline constexpr std::uint32_t kVersion = 1;
/// The longest frame that is no message, bytes.
inline constexpr std::size_t kMaxSmallFrame = 512;

/// What the subscribers of a node want of a topic.
struct Want {
  std::string topic;
  blocks::Overflow overflow = blocks::Overflow::drop_oldest;
  std::uint32_t history = 0;
};

/// The frame, header included.
std::vector<std::byte> frame(FrameKind kind, std::span<const std::byte> bytes);
std::vector<std::byte> frame_of(const Want& want);
/// Checks everything. Empty: no valid Want, and `why` says why.
std::optional<Want> read_want(std::span<const std::byte> bytes, std::string& why);

/// "blocks/REGION/NODE": the service at which NODE gives away what is published in its region.
std::string service_name(const std::string& region, const std::string& node);

/// Bytes that go out over a stream as room comes.
class PendingBytes {
 public:
  void add(std::span<const std::byte> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  std::span<const std::byte> rest() const { return std::span(bytes_).subspan(sent_); }
  void sent(std::size_t count);

 private:
  std::vector<std::byte> bytes_;
  std::size_t sent_ = 0;
};

}  // namespace slotwire::cli::blocks_link
