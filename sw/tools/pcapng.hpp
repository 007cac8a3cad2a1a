// Writes captures that Wireshark and its relatives read: the pcapng format, and Slotwire frames in made-up UDP packets.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <span>
#include <string_view>
#include <system_error>
#include <vector>

namespace slotwire::tools {

/// Which way a packet went, seen from the node that captured it.
enum class Direction : std::uint8_t { unknown = 0, inbound = 1, outbound = 2 };

/// Writes one pcapng file: one section, any number of Ethernet interfaces, packets with nanosecond times and their
/// direction. One thread at a time. Packets are gathered in a buffer of kBufferBytes; whoever wants to see them at once
/// (a pipe into Wireshark) calls flush(). Writing into a closed pipe raises SIGPIPE unless the program ignores it; then
/// it is an error like any other. After an error the file ends in the middle of a block: every later call returns that
/// same error.
class PcapngWriter {
 public:
  /// Most interfaces in one file.
  static constexpr std::size_t kMaxInterfaces = 4096;
  /// Longest interface name, in bytes.
  static constexpr std::size_t kMaxNameBytes = 255;
  /// Longest packet, in bytes: an IPv4 packet in an Ethernet frame. Also the snap length that the file states.
  static constexpr std::size_t kMaxPacketBytes = 65535 + 14;
  /// What is gathered before it is written, in bytes.
  static constexpr std::size_t kBufferBytes = std::size_t{256} * 1024;

  /// Creates or overwrites the file, or writes to standard output when `path` is "-". `application` is noted in the
  /// file. Throws std::system_error (file cannot be created) or std::invalid_argument (application longer than
  /// kMaxNameBytes).
  PcapngWriter(const std::filesystem::path& path, std::string_view application);
  /// Writes what is gathered and closes; call flush() before to learn of errors.
  ~PcapngWriter();
  PcapngWriter(const PcapngWriter&) = delete;
  PcapngWriter& operator=(const PcapngWriter&) = delete;

  /// Adds an interface; also allowed between packets. Returns its number, for write(). Throws std::invalid_argument
  /// when the name is empty or longer than kMaxNameBytes, std::length_error beyond kMaxInterfaces; errors of the file
  /// show at the next write().
  std::uint32_t add_interface(std::string_view name);

  /// Adds one packet, beginning with its Ethernet header, seen at `time_ns` (nanoseconds since 1970, UTC).
  /// Errors: invalid_argument (no such interface), message_size (longer than kMaxPacketBytes) - both leave the file as
  /// it was - or what the system said when writing.
  [[nodiscard]] std::error_code write(std::uint32_t interface, std::uint64_t time_ns, Direction direction,
                                      std::span<const std::byte> packet);

  /// Writes what is gathered.
  [[nodiscard]] std::error_code flush();

 private:
  void append(std::span<const std::byte> bytes);
  void append_padded(std::span<const std::byte> bytes);
  template <typename Integer>
  void append_integer(Integer value);
  void append_option(std::uint16_t code, std::span<const std::byte> value);
  std::error_code write_if_full();

  int fd_ = -1;
  bool owned_ = false;
  std::error_code error_;
  std::uint32_t interfaces_ = 0;
  std::vector<std::byte> buffer_;
};

/// An end of a made-up UDP packet, in host order. The Ethernet address is made from the IPv4 address.
struct CaptureAddress {
  std::uint32_t ipv4 = 0;
  std::uint16_t port = 0;
};

/// Most bytes of a frame (header and payload) that one UDP packet takes.
inline constexpr std::size_t kMaxCaptureFrameBytes = std::numeric_limits<std::uint16_t>::max() - 20 - 8;

/// Puts Ethernet, IPv4 (with its checksum) and UDP (checksum 0) headers before the frame `header` + `payload`, which
/// may be of any length and content, so that frames of any carrier are shown by tools that know UDP. `packet` is
/// overwritten; its capacity is used again. False, and `packet` empty, if the frame is longer than
/// kMaxCaptureFrameBytes.
[[nodiscard]] bool wrap_frame(CaptureAddress from, CaptureAddress to, std::span<const std::byte> header,
                              std::span<const std::byte> payload, std::vector<std::byte>& packet);

}  // namespace slotwire::tools
