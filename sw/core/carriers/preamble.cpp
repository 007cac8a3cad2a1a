#include "core/carriers/preamble.hpp"

#include <algorithm>
#include <cstring>

namespace slotwire::carriers {
namespace {

constexpr std::array kMagic{std::byte{'S'}, std::byte{'L'}, std::byte{'W'}, std::byte{'T'}};
/// Twice the largest frame: one is whole at the latest when the second half begins.
constexpr std::size_t kBufferBytes = std::size_t{128} << 10;
static_assert(kBufferBytes >= 2 * (FrameReader::kMaxFrame + FrameReader::kPrefixBytes));

}  // namespace

bool valid_node_name(std::string_view name) noexcept {
  return !name.empty() && name.size() <= kMaxName && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

std::vector<std::byte> encode_preamble(const Preamble& preamble) {
  std::vector<std::byte> bytes(kMagic.begin(), kMagic.end());
  bytes.push_back(std::byte{kPreambleVersion});
  bytes.push_back(static_cast<std::byte>(preamble.node.size()));
  const auto name = std::as_bytes(std::span(preamble.node));
  bytes.insert(bytes.end(), name.begin(), name.end());
  bytes.insert(bytes.end(), preamble.token.begin(), preamble.token.end());
  return bytes;
}

std::array<std::byte, kWelcomeBytes> encode_welcome(Welcome status) noexcept {
  return {kMagic[0], kMagic[1], kMagic[2], kMagic[3], std::byte{kPreambleVersion}, static_cast<std::byte>(status)};
}

PreambleReader::State PreambleReader::filled(std::size_t count) {
  have_ += count;
  if (have_ < need_) return State::more;
  if (!std::equal(kMagic.begin(), kMagic.end(), bytes_.begin())) return State::bad_magic;
  if (bytes_[4] != std::byte{kPreambleVersion}) return State::bad_version;
  const auto length = std::to_integer<std::size_t>(bytes_[5]);
  if (length == 0 || length > kMaxName) return State::bad_name;
  need_ = kPreambleFixed + length + sizeof(Token);
  if (have_ < need_) return State::more;
  preamble_.node.assign(reinterpret_cast<const char*>(bytes_.data() + kPreambleFixed), length);
  if (!valid_node_name(preamble_.node)) return State::bad_name;
  std::memcpy(preamble_.token.data(), bytes_.data() + kPreambleFixed + length, sizeof(Token));
  return State::done;
}

std::optional<Welcome> decode_welcome(std::span<const std::byte, kWelcomeBytes> bytes) noexcept {
  if (!std::equal(kMagic.begin(), kMagic.end(), bytes.begin())) return std::nullopt;
  if (bytes[4] != std::byte{kPreambleVersion}) return Welcome::version;
  const auto status = std::to_integer<std::uint8_t>(bytes[5]);
  return status <= static_cast<std::uint8_t>(Welcome::version) ? static_cast<Welcome>(status) : Welcome::refused;
}

std::span<std::byte> FrameReader::wanted() {
  if (buffer_.empty()) buffer_.resize(kBufferBytes);
  if (begin_ == end_) {
    begin_ = end_ = 0;
  } else if (begin_ > buffer_.size() / 2) {
    // What is left is part of one frame, so this copies less than half a buffer for more than half a buffer read.
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  return std::span(buffer_).subspan(end_);
}

std::optional<std::span<const std::byte>> FrameReader::next() noexcept {
  if (failed_ || end_ - begin_ < kPrefixBytes) return std::nullopt;
  const std::size_t length =
      std::to_integer<std::size_t>(buffer_[begin_]) << 8U | std::to_integer<std::size_t>(buffer_[begin_ + 1]);
  failed_ = length > kMaxFrame;
  if (failed_ || end_ - begin_ - kPrefixBytes < length) return std::nullopt;
  const auto frame = std::span<const std::byte>(buffer_).subspan(begin_ + kPrefixBytes, length);
  begin_ += kPrefixBytes + length;
  return frame;
}

void FrameReader::clear() noexcept {
  begin_ = end_ = 0;
  failed_ = false;
}

}  // namespace slotwire::carriers
