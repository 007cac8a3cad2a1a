// What is said on a TCP link before the first frame, and how frames are cut out of the stream after it.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/regs/regs.hpp"

namespace slotwire::carriers {

/// Shared by the two ends of a link (the engines agree on it over the control connection); shows that a connection
/// belongs to it.
using Token = std::array<std::byte, 16>;

/// Dialler to acceptor: "SLWT", version, length of the name, name, token.
struct Preamble {
  std::string node;  ///< the sender: 1..kMaxName bytes of [a-z0-9-]
  Token token{};
};
inline constexpr std::uint8_t kPreambleVersion = 1;
inline constexpr std::size_t kMaxName = 63;
inline constexpr std::size_t kPreambleFixed = 6;  ///< bytes before the name
inline constexpr std::size_t kPreambleMax = kPreambleFixed + kMaxName + sizeof(Token);

/// Acceptor to dialler: "SLWT", version, status. Frames may flow from here on, both ways.
enum class Welcome : std::uint8_t { accepted = 0, refused = 1, version = 2 };
inline constexpr std::size_t kWelcomeBytes = 6;

/// Whether `name` may be a node's name.
bool valid_node_name(std::string_view name) noexcept;

/// The node's name must be valid.
std::vector<std::byte> encode_preamble(const Preamble& preamble);
std::array<std::byte, kWelcomeBytes> encode_welcome(Welcome status) noexcept;

/// Reads a preamble that comes in pieces from someone who may be anyone.
class PreambleReader {
 public:
  enum class State : std::uint8_t { more, done, bad_magic, bad_version, bad_name };
  /// Where the next bytes go: exactly as many as are still missing, so nothing of what follows is taken.
  std::span<std::byte> wanted() noexcept { return std::span(bytes_).subspan(have_, need_ - have_); }
  /// `count` bytes of wanted() were filled.
  State filled(std::size_t count);
  /// After State::done.
  const Preamble& preamble() const noexcept { return preamble_; }

 private:
  std::array<std::byte, kPreambleMax> bytes_{};
  std::size_t have_ = 0, need_ = kPreambleFixed;
  Preamble preamble_;
};

/// The status in a welcome; none when it is not one (another protocol answers on this port).
std::optional<Welcome> decode_welcome(std::span<const std::byte, kWelcomeBytes> bytes) noexcept;

/// Cuts a stream into frames: a 2-byte big-endian length, then so many bytes. Lengths up to the largest frame of the
/// protocol are taken whatever this node sends itself, so the two ends may be configured differently.
class FrameReader {
 public:
  static constexpr std::size_t kPrefixBytes = 2;
  static constexpr std::size_t kMaxLines = 1023;
  static constexpr std::size_t kMaxFrame = regs::kHeaderBytes + kMaxLines * regs::kLineBytes;

  /// Where the next bytes of the stream go; never empty after next() returned none and failed() is false.
  std::span<std::byte> wanted();
  void filled(std::size_t count) noexcept { end_ += count; }
  /// The next whole frame, of 0..kMaxFrame bytes, valid until wanted() or clear().
  std::optional<std::span<const std::byte>> next() noexcept;
  /// A length was above kMaxFrame: the stream is worth nothing from here on.
  bool failed() const noexcept { return failed_; }
  /// Forgets everything; the buffer stays.
  void clear() noexcept;

 private:
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0, end_ = 0;
  bool failed_ = false;
};

}  // namespace slotwire::carriers
