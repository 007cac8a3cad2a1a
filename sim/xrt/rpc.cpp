#include "sim/xrt/rpc.hpp"

namespace slotwire::sim::rpc {
namespace {

/// Protobuf's kinds of fields.
enum Wire : std::uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
constexpr std::uint32_t kKindBits = 3;
constexpr std::byte kLengthTag{1 << kKindBits | kFixed64};
constexpr std::byte kCallTag{2 << kKindBits | kFixed32};
constexpr int kVarintBits = 7, kMaxVarint = 10;

template <typename T>
T little(std::span<const std::byte> bytes) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(static_cast<T>(bytes[i]) << (8 * i));
  return value;
}
template <typename T>
void put_little(std::vector<std::byte>& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) out.push_back(static_cast<std::byte>(value >> (8 * i)));
}

std::optional<std::uint64_t> take_varint(std::span<const std::byte>& rest) {
  std::uint64_t value = 0;
  for (int i = 0; i < kMaxVarint && !rest.empty(); ++i) {
    const auto byte = static_cast<std::uint64_t>(rest.front());
    rest = rest.subspan(1);
    value |= (byte & 0x7f) << (kVarintBits * i);
    if ((byte & 0x80) == 0) return value;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Header> read_header(std::span<const std::byte, kRequestHeader> bytes) {
  constexpr std::size_t kCallAt = 1 + sizeof(std::uint64_t);
  if (bytes[0] != kLengthTag || bytes[kCallAt] != kCallTag) return std::nullopt;
  const Header header{little<std::uint64_t>(bytes.subspan<1, sizeof(std::uint64_t)>()),
                      little<std::uint32_t>(bytes.subspan<kCallAt + 1, sizeof(std::uint32_t)>())};
  if (header.length > kMaxMessage) return std::nullopt;
  return header;
}

Reader::Reader(std::span<const std::byte> message) {
  good_ = false;
  while (!message.empty()) {
    const auto tag = take_varint(message);
    if (!tag || *tag >> kKindBits == 0) return;
    const std::uint64_t field = *tag >> kKindBits;
    std::uint64_t number = 0;
    std::span<const std::byte> bytes;
    switch (*tag & ((1U << kKindBits) - 1)) {
      case kVarint: {
        const auto value = take_varint(message);
        if (!value) return;
        number = *value;
        break;
      }
      case kFixed64:
        if (message.size() < sizeof(std::uint64_t)) return;
        number = little<std::uint64_t>(message);
        message = message.subspan(sizeof(std::uint64_t));
        break;
      case kFixed32:
        if (message.size() < sizeof(std::uint32_t)) return;
        number = little<std::uint32_t>(message);
        message = message.subspan(sizeof(std::uint32_t));
        break;
      case kBytes: {
        const auto length = take_varint(message);
        if (!length || *length > message.size()) return;
        bytes = message.first(*length);
        message = message.subspan(*length);
        break;
      }
      default:
        return;
    }
    if (field <= kMaxField) {
      numbers_[field] = number;
      bytes_[field] = bytes;
    }
  }
  good_ = true;
}

void Writer::varint(std::uint64_t value) {
  for (; value >= 0x80; value >>= kVarintBits) body_.push_back(static_cast<std::byte>(value | 0x80));
  body_.push_back(static_cast<std::byte>(value));
}

Writer& Writer::number(std::uint32_t field, std::uint64_t value) {
  varint(field << kKindBits | kVarint);
  varint(value);
  return *this;
}

Writer& Writer::bytes(std::uint32_t field, std::span<const std::byte> value) {
  varint(field << kKindBits | kBytes);
  varint(value.size());
  body_.insert(body_.end(), value.begin(), value.end());
  return *this;
}

std::vector<std::byte> Writer::answer() const {
  std::vector<std::byte> out{kLengthTag};
  put_little(out, std::uint64_t{body_.size()});
  out.insert(out.end(), body_.begin(), body_.end());
  return out;
}

std::vector<std::byte> request_header(Call call) {
  std::vector<std::byte> out{kLengthTag};
  put_little(out, std::uint64_t{0});
  out.push_back(kCallTag);
  put_little(out, static_cast<std::uint32_t>(call));
  return out;
}

}  // namespace slotwire::sim::rpc
