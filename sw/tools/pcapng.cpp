#include "tools/pcapng.hpp"

#include <array>
#include <cerrno>
#include <stdexcept>
#include <string>

#include <fcntl.h>
#include <unistd.h>

namespace slotwire::tools {
namespace {

// Blocks and options of the format, draft-ietf-opsawg-pcapng.
constexpr std::uint32_t kSectionHeaderBlock = 0x0a0d0d0a;
constexpr std::uint32_t kInterfaceBlock = 1;
constexpr std::uint32_t kPacketBlock = 6;
constexpr std::uint32_t kByteOrderMagic = 0x1a2b3c4d;
constexpr std::uint16_t kMajorVersion = 1;
constexpr std::uint16_t kMinorVersion = 0;
constexpr std::uint64_t kUnknownSectionLength = ~std::uint64_t{0};
constexpr std::uint16_t kOptionEnd = 0;
constexpr std::uint16_t kOptionApplication = 4;
constexpr std::uint16_t kOptionInterfaceName = 2;
constexpr std::uint16_t kOptionTimeResolution = 9;
constexpr std::uint16_t kOptionPacketFlags = 2;
constexpr std::uint16_t kLinkTypeEthernet = 1;
constexpr std::byte kNanoseconds{9};  // 10^-9 s

constexpr std::size_t padded(std::size_t size) {
  return (size + 3) & ~std::size_t{3};
}
constexpr std::size_t option_bytes(std::size_t size) {
  return 4 + padded(size);
}
constexpr std::size_t kEndOptionBytes = 4;
/// Type and length before a block's body, the length again after it.
constexpr std::size_t kBlockFrame = 12;

template <typename Integer>
void put_big_endian(std::vector<std::byte>& out, Integer value) {
  for (std::size_t n = sizeof(Integer); n-- > 0;) {
    out.push_back(static_cast<std::byte>((value >> (8 * n)) & 0xff));
  }
}

void put_ethernet_address(std::vector<std::byte>& out, std::uint32_t ipv4) {
  // 02: locally administered, so it can be nobody's.
  put_big_endian<std::uint16_t>(out, 0x0200);
  put_big_endian(out, ipv4);
}

/// The Internet checksum of the header that begins at `from`, an even number of bytes.
std::uint16_t internet_checksum(std::span<const std::byte> header) {
  std::uint32_t sum = 0;
  for (std::size_t at = 0; at + 1 < header.size(); at += 2) {
    sum += (std::to_integer<std::uint32_t>(header[at]) << 8) | std::to_integer<std::uint32_t>(header[at + 1]);
  }
  while ((sum >> 16) != 0) {
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<std::uint16_t>(~sum & 0xffff);
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

}  // namespace

PcapngWriter::PcapngWriter(const std::filesystem::path& path, std::string_view application) {
  if (application.size() > kMaxNameBytes) {
    throw std::invalid_argument("capture: the application's name is longer than " + std::to_string(kMaxNameBytes) +
                                " bytes");
  }
  buffer_.reserve(kBufferBytes + kMaxPacketBytes + 64);
  if (path == "-") {
    fd_ = STDOUT_FILENO;
  } else {
    // A capture holds what processes say to each other: only its owner may read it.
    fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd_ < 0) {
      throw std::system_error(errno, std::system_category(),
                              "capture: cannot create " + path.string() + "; choose a file that this user may write");
    }
    owned_ = true;
  }
  const auto length = static_cast<std::uint32_t>(kBlockFrame + 16 + option_bytes(application.size()) + kEndOptionBytes);
  append_integer(kSectionHeaderBlock);
  append_integer(length);
  append_integer(kByteOrderMagic);
  append_integer(kMajorVersion);
  append_integer(kMinorVersion);
  append_integer(kUnknownSectionLength);
  append_option(kOptionApplication, bytes_of(application));
  append_option(kOptionEnd, {});
  append_integer(length);
}

PcapngWriter::~PcapngWriter() {
  // Whoever wants to know of errors has called flush().
  (void)flush();
  if (owned_) {
    ::close(fd_);
  }
}

std::uint32_t PcapngWriter::add_interface(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes) {
    throw std::invalid_argument("capture: an interface needs a name of 1 to " + std::to_string(kMaxNameBytes) +
                                " bytes");
  }
  if (interfaces_ == kMaxInterfaces) {
    throw std::length_error("capture: more than " + std::to_string(kMaxInterfaces) + " interfaces; start another file");
  }
  const auto length =
      static_cast<std::uint32_t>(kBlockFrame + 8 + option_bytes(name.size()) + option_bytes(1) + kEndOptionBytes);
  append_integer(kInterfaceBlock);
  append_integer(length);
  append_integer(kLinkTypeEthernet);
  append_integer(std::uint16_t{0});
  append_integer(static_cast<std::uint32_t>(kMaxPacketBytes));
  append_option(kOptionInterfaceName, bytes_of(name));
  append_option(kOptionTimeResolution, std::span(&kNanoseconds, 1));
  append_option(kOptionEnd, {});
  append_integer(length);
  (void)write_if_full();  // an error is kept and returned by the next write()
  return interfaces_++;
}

std::error_code PcapngWriter::write(std::uint32_t interface, std::uint64_t time_ns, Direction direction,
                                    std::span<const std::byte> packet) {
  if (error_) {
    return error_;
  }
  if (interface >= interfaces_) {
    return std::make_error_code(std::errc::invalid_argument);
  }
  if (packet.size() > kMaxPacketBytes) {
    return std::make_error_code(std::errc::message_size);
  }
  const auto size = static_cast<std::uint32_t>(packet.size());
  const auto length = static_cast<std::uint32_t>(kBlockFrame + 20 + padded(size) + option_bytes(4) + kEndOptionBytes);
  const auto flags = static_cast<std::uint32_t>(direction);
  append_integer(kPacketBlock);
  append_integer(length);
  append_integer(interface);
  append_integer(static_cast<std::uint32_t>(time_ns >> 32));
  append_integer(static_cast<std::uint32_t>(time_ns & 0xffffffff));
  append_integer(size);
  append_integer(size);
  append_padded(packet);
  append_option(kOptionPacketFlags, std::as_bytes(std::span(&flags, 1)));
  append_option(kOptionEnd, {});
  append_integer(length);
  return write_if_full();
}

std::error_code PcapngWriter::flush() {
  std::span<const std::byte> left(buffer_);
  while (!left.empty() && !error_) {
    const ssize_t written = ::write(fd_, left.data(), left.size());
    if (written >= 0) {
      left = left.subspan(static_cast<std::size_t>(written));
    } else if (errno != EINTR) {
      error_ = std::error_code(errno, std::system_category());
    }
  }
  buffer_.clear();
  return error_;
}

std::error_code PcapngWriter::write_if_full() {
  return buffer_.size() >= kBufferBytes ? flush() : error_;
}

void PcapngWriter::append(std::span<const std::byte> bytes) {
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

void PcapngWriter::append_padded(std::span<const std::byte> bytes) {
  append(bytes);
  buffer_.resize(buffer_.size() + padded(bytes.size()) - bytes.size());
}

// In the order of this machine; the section header's magic number tells readers which one that is.
template <typename Integer>
void PcapngWriter::append_integer(Integer value) {
  append(std::as_bytes(std::span(&value, 1)));
}

void PcapngWriter::append_option(std::uint16_t code, std::span<const std::byte> value) {
  append_integer(code);
  append_integer(static_cast<std::uint16_t>(value.size()));
  append_padded(value);
}

bool wrap_frame(CaptureAddress from, CaptureAddress to, std::span<const std::byte> header,
                std::span<const std::byte> payload, std::vector<std::byte>& packet) {
  packet.clear();
  // Each alone first: their sum could wrap.
  if (header.size() > kMaxCaptureFrameBytes || payload.size() > kMaxCaptureFrameBytes - header.size()) {
    return false;
  }
  const std::size_t frame_bytes = header.size() + payload.size();
  put_ethernet_address(packet, to.ipv4);
  put_ethernet_address(packet, from.ipv4);
  put_big_endian<std::uint16_t>(packet, 0x0800);  // IPv4

  const std::size_t ip_at = packet.size();
  put_big_endian<std::uint16_t>(packet, 0x4500);  // version 4, 20 bytes of header, ordinary service
  put_big_endian(packet, static_cast<std::uint16_t>(20 + 8 + frame_bytes));
  put_big_endian<std::uint16_t>(packet, 0);       // identification
  put_big_endian<std::uint16_t>(packet, 0x4000);  // do not fragment
  put_big_endian<std::uint16_t>(packet, 0x4011);  // 64 hops left, UDP
  const std::size_t checksum_at = packet.size();
  put_big_endian<std::uint16_t>(packet, 0);
  put_big_endian(packet, from.ipv4);
  put_big_endian(packet, to.ipv4);
  const std::uint16_t checksum = internet_checksum(std::span(packet).subspan(ip_at));
  packet[checksum_at] = static_cast<std::byte>(checksum >> 8);
  packet[checksum_at + 1] = static_cast<std::byte>(checksum & 0xff);

  put_big_endian(packet, from.port);
  put_big_endian(packet, to.port);
  put_big_endian(packet, static_cast<std::uint16_t>(8 + frame_bytes));
  put_big_endian<std::uint16_t>(packet, 0);  // no checksum: the frame has its own
  packet.insert(packet.end(), header.begin(), header.end());
  packet.insert(packet.end(), payload.begin(), payload.end());
  return true;
}

}  // namespace slotwire::tools
