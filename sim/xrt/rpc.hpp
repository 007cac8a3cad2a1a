// What XRT's emulation library and its device process say to each other (Xilinx/XRT, rpc_messages.proto and
// xcl_macros.h): a header and a protobuf message each way. Only what a device needs, written and read by hand; the
// other end is not trusted.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace slotwire::sim::rpc {

/// Calls that a device gets; the numbers are XRT's.
enum class Call : std::uint32_t {
  close = 1,
  allocate = 4,
  free = 5,
  host_to_device = 6,
  device_to_host = 7,
  write_memory = 8,
  write_register = 9,
  read_memory = 10,
  read_register = 11,
  debug_messages = 19,
  environment = 20,
};

/// Header of a request and of what a device sends by itself: length of the message (u64) and the call (u32), each
/// behind its tag.
inline constexpr std::size_t kRequestHeader = 14;
/// Header of an answer: the length alone.
inline constexpr std::size_t kAnswerHeader = 9;
/// Longest message that is taken; XRT cuts transfers into packets of its packet_size, which the emulation's settings
/// keep below.
inline constexpr std::size_t kMaxMessage = std::size_t{1} << 20;

struct Header {
  std::uint64_t length = 0;
  std::uint32_t call = 0;
};
/// Nothing: it is no header of a request, or the message would be longer than kMaxMessage.
std::optional<Header> read_header(std::span<const std::byte, kRequestHeader> bytes);

/// The fields of a message; the last one of a number counts, as protobuf has it. Fields beyond kMaxField are skipped.
class Reader {
 public:
  static constexpr std::uint32_t kMaxField = 8;

  /// Keeps pointing into `message`.
  explicit Reader(std::span<const std::byte> message);
  /// False: the message is cut off or malformed.
  bool good() const { return good_; }
  /// 0 when it is not there, as protobuf has it.
  std::uint64_t number(std::uint32_t field) const { return field <= kMaxField ? numbers_[field] : 0; }
  /// Empty when it is not there.
  std::span<const std::byte> bytes(std::uint32_t field) const {
    return field <= kMaxField ? bytes_[field] : std::span<const std::byte>{};
  }

 private:
  bool good_ = true;
  std::uint64_t numbers_[kMaxField + 1] = {};
  std::span<const std::byte> bytes_[kMaxField + 1] = {};
};

/// An answer with its header.
class Writer {
 public:
  Writer& number(std::uint32_t field, std::uint64_t value);
  Writer& bytes(std::uint32_t field, std::span<const std::byte> value);
  /// What goes to the socket.
  std::vector<std::byte> answer() const;

 private:
  void varint(std::uint64_t value);
  std::vector<std::byte> body_;
};

/// A header without a message that a device sends by itself.
std::vector<std::byte> request_header(Call call);

}  // namespace slotwire::sim::rpc
