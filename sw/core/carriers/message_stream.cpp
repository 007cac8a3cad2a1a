#include "core/carriers/message_stream.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace slotwire::carriers {
namespace {

constexpr std::size_t kReadBytes = std::size_t{16} << 10;

/// Whether the four bytes that were read as a length begin a record of TLS: a type, and major version 3.
bool looks_like_tls(std::uint32_t length) {
  const std::uint32_t type = length >> 24U;
  constexpr std::uint32_t kFirstType = 0x14, kLastType = 0x17, kMajor = 0x03;
  return type >= kFirstType && type <= kLastType && ((length >> 16U) & 0xffU) == kMajor;
}

}  // namespace

std::size_t MessageParser::feed(std::span<const std::byte> bytes) {
  std::size_t taken = 0;
  while (taken < bytes.size() && !failed_ && !complete()) {
    if (prefix_bytes_ < kPrefixBytes) {
      length_ = length_ << 8U | std::to_integer<std::uint32_t>(bytes[taken++]);
      if (++prefix_bytes_ == kPrefixBytes) failed_ = length_ == 0 || length_ > max_message_;
      continue;
    }
    const auto piece = bytes.subspan(taken, std::min(bytes.size() - taken, length_ - body_.size()));
    body_.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    taken += piece.size();
  }
  return taken;
}

std::optional<std::string> MessageParser::next() {
  if (failed_ || !complete()) return std::nullopt;
  std::optional<std::string> message(std::move(body_));
  body_.clear();
  prefix_bytes_ = 0;
  length_ = 0;
  return message;
}

SendResult MessageStream::send(std::string_view message) {
  const SendResult result = queue(message);
  if (result == SendResult::sent) stream_.flush();
  return result;
}

SendResult MessageStream::queue(std::string_view message) {
  if (message.empty() || message.size() > max_message_) return SendResult::too_long;
  const auto state = stream_.state();
  if (state == TcpStreamState::finishing || state == TcpStreamState::closed) return SendResult::closed;
  const auto length = static_cast<std::uint32_t>(message.size());
  std::array<std::byte, 4> prefix{};
  for (std::size_t i = 0; i < prefix.size(); ++i) prefix[i] = static_cast<std::byte>(length >> (24 - 8 * i));
  if (!stream_.write({prefix, std::as_bytes(std::span(message))})) return SendResult::no_room;
  return SendResult::sent;
}

std::optional<std::string> MessageStream::next() {
  for (;;) {
    begin_ += parser_.feed(std::span<const std::byte>(input_).subspan(begin_, end_ - begin_));
    if (parser_.failed()) {
      refused_tls_ = looks_like_tls(parser_.refused_length());
      refused_ = refused_tls_
                     ? "the other node speaks TLS and this one does not: set [tls] on both nodes or on neither"
                     : "a message of " + std::to_string(parser_.refused_length()) + " bytes, allowed are 1 to " +
                           std::to_string(max_message_) + "; does the port belong to a node's control connection?";
      return std::nullopt;
    }
    if (auto message = parser_.next()) return message;
    if (input_.empty()) input_.resize(kReadBytes);
    begin_ = 0;
    // What comes after a read that left room shows at the descriptor.
    if (std::exchange(read_all_, false)) {
      end_ = 0;
      return std::nullopt;
    }
    end_ = stream_.read(input_);
    if (end_ == 0) return std::nullopt;
    read_all_ = end_ < input_.size() && !stream_.may_hold_bytes();
  }
}

}  // namespace slotwire::carriers
