#include "sim/simcard/wire.hpp"

#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <vector>

#include "core/slot/memory.hpp"
#include "driver/bus/tap.hpp"
#include "sim/simcard/checksum.hpp"

namespace slotwire::sim {
namespace {

using slot::Fd;

/// What the kernel says before each frame (struct virtio_net_hdr of linux/virtio_net.h, which is no C++).
struct FrameHints {
  static constexpr std::uint8_t kNeedsChecksum = 1;
  std::uint8_t flags;
  std::uint8_t segmented;  ///< 0: it is one frame
  std::uint16_t header_bytes, segment_bytes;
  std::uint16_t checksum_start, checksum_offset;
};
static_assert(sizeof(FrameHints) == 10);

[[noreturn]] void fail(const std::string& what, const std::string& remedy) {
  const int error = errno;
  throw std::runtime_error(what + ": " + std::strerror(error) + "; " + remedy);
}

class NoWire final : public Wire {
 public:
  std::size_t receive(std::span<std::byte, kMaxFrame>) override { return 0; }
  void send(std::span<const std::byte>) override {}
};

class TapWire final : public Wire {
 public:
  TapWire(const std::string& name, const std::string& where) : tap_(name, where) {}
  std::size_t receive(std::span<std::byte, kMaxFrame> room) override { return tap_.receive(room); }
  void send(std::span<const std::byte> frame) override { tap_.send(frame); }
  int fd() const override { return tap_.fd(); }

 private:
  driver::Tap tap_;
};

/// Frames of the host at the other end of a veth pair come without their checksums, as for any card that computes them.
class PacketWire final : public Wire {
 public:
  PacketWire(const std::string& name, const std::string& where) {
    const driver::InNamespace there(where);
    fd_ = Fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL)));
    if (!fd_) fail("a packet socket", "run as root");
    const int on = 1;
    sockaddr_ll at{};
    at.sll_family = AF_PACKET;
    at.sll_protocol = htons(ETH_P_ALL);
    at.sll_ifindex = static_cast<int>(::if_nametoindex(name.c_str()));
    packet_mreq all{};
    all.mr_ifindex = at.sll_ifindex;
    all.mr_type = PACKET_MR_PROMISC;
    if (at.sll_ifindex == 0 || ::setsockopt(fd_.get(), SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) != 0 ||
        ::setsockopt(fd_.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) != 0 ||
        ::setsockopt(fd_.get(), SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all) != 0 ||
        ::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) {
      fail("interface " + name, "make it first (ip link add ... type veth), and set it up");
    }
  }
  std::size_t receive(std::span<std::byte, kMaxFrame> room) override {
    FrameHints header{};
    iovec parts[2] = {{&header, sizeof header}, {room.data(), room.size()}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    const ssize_t n = ::recvmsg(fd_.get(), &message, MSG_TRUNC);
    if (n <= static_cast<ssize_t>(sizeof header)) return 0;
    const std::size_t bytes = static_cast<std::size_t>(n) - sizeof header;
    if (header.segmented != 0 || bytes > room.size()) {
      if (!warned_)
        std::fprintf(stderr,
                     "simulated card: a frame longer than a wire carries came and was dropped; switch "
                     "segmentation off at the other end (ethtool -K INTERFACE tso off gso off)\n");
      warned_ = true;
      return 0;
    }
    if ((header.flags & FrameHints::kNeedsChecksum) != 0)
      complete_checksum(room.first(bytes), header.checksum_start,
                        std::size_t{header.checksum_start} + header.checksum_offset);
    return bytes;
  }
  void send(std::span<const std::byte> frame) override {
    FrameHints header{};
    iovec parts[2] = {{&header, sizeof header}, {const_cast<std::byte*>(frame.data()), frame.size()}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    static_cast<void>(::sendmsg(fd_.get(), &message, MSG_DONTWAIT));
  }
  int fd() const override { return fd_.get(); }

 private:
  Fd fd_;
  bool warned_ = false;
};

/// Another simulated card: a packet of the socket is a frame.
class CardWire final : public Wire {
 public:
  CardWire(const std::string& path, bool listen) : path_(path) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof at.sun_path) {
      throw std::runtime_error("wire socket " + path + ": give a path of 1 to " +
                               std::to_string(sizeof at.sun_path - 1) + " bytes");
    }
    path.copy(at.sun_path, sizeof at.sun_path - 1);
    Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) fail("wire socket " + path, "see the error");
    if (listen) {
      struct stat old {};
      if (::lstat(path.c_str(), &old) == 0 && S_ISSOCK(old.st_mode)) ::unlink(path.c_str());
      if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0 || ::listen(fd.get(), 1) != 0) {
        fail("wire socket " + path, "choose a path that is free, in a directory that can be written to");
      }
      listener_ = std::move(fd);
    } else {
      if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) {
        fail("wire socket " + path, "start the card that listens on it first");
      }
      fd_ = std::move(fd);
    }
  }
  ~CardWire() override {
    if (listener_) ::unlink(path_.c_str());
  }
  CardWire(const CardWire&) = delete;
  CardWire& operator=(const CardWire&) = delete;
  std::size_t receive(std::span<std::byte, kMaxFrame> room) override {
    if (!fd_) {
      fd_ = Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!fd_) return 0;
    }
    const ssize_t n = ::recv(fd_.get(), room.data(), room.size(), MSG_TRUNC);
    if (n > static_cast<ssize_t>(room.size())) return 0;  // longer than a wire carries
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
      ended_ = !listener_;
      fd_ = {};
    }
    return n > 0 ? static_cast<std::size_t>(n) : 0;
  }
  void send(std::span<const std::byte> frame) override {
    if (fd_) static_cast<void>(::send(fd_.get(), frame.data(), frame.size(), MSG_NOSIGNAL));
  }
  int fd() const override { return fd_ ? fd_.get() : listener_.get(); }
  bool ended() const override { return ended_; }

 private:
  std::string path_;
  Fd listener_, fd_;
  bool ended_ = false;
};

/// Files in the classic format of libpcap, link type Ethernet.
class PcapWire final : public Wire {
 public:
  PcapWire(const std::string& input, const std::string& output) : in_(input, std::ios::binary) {
    Header header{};
    if (!in_.read(reinterpret_cast<char*>(&header), sizeof header) || header.magic != kMagic ||
        header.link_type != kEthernet) {
      throw std::runtime_error("capture file " + input +
                               ": not a pcap file of Ethernet frames in this machine's byte order; "
                               "convert it (editcap -F pcap)");
    }
    if (output.empty()) return;
    out_.open(output, std::ios::binary);
    const Header ours{kMagic, 2, 4, 0, 0, kMaxFrame, kEthernet};
    out_.write(reinterpret_cast<const char*>(&ours), sizeof ours);
    if (!out_) throw std::runtime_error("capture file " + output + ": cannot be written");
  }
  std::size_t receive(std::span<std::byte, kMaxFrame> room) override {
    Record record{};
    if (ended_ || !in_.read(reinterpret_cast<char*>(&record), sizeof record)) {
      ended_ = true;
      return 0;
    }
    if (record.captured > room.size()) {
      in_.ignore(record.captured);
      return 0;
    }
    in_.read(reinterpret_cast<char*>(room.data()), record.captured);
    ended_ = !in_;  // the file ends in the middle of a frame
    return ended_ ? 0 : record.captured;
  }
  void send(std::span<const std::byte> frame) override {
    if (!out_.is_open()) return;
    const auto bytes = static_cast<std::uint32_t>(frame.size());
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    const Record record{static_cast<std::uint32_t>(now.tv_sec), static_cast<std::uint32_t>(now.tv_nsec / 1000), bytes,
                        bytes};
    out_.write(reinterpret_cast<const char*>(&record), sizeof record);
    out_.write(reinterpret_cast<const char*>(frame.data()), static_cast<std::streamsize>(frame.size()));
    out_.flush();
  }
  bool ended() const override { return ended_; }

 private:
  static constexpr std::uint32_t kMagic = 0xa1b2c3d4, kEthernet = 1;
  struct Header {
    std::uint32_t magic;
    std::uint16_t major, minor;
    std::uint32_t zone, accuracy, longest, link_type;
  };
  struct Record {
    std::uint32_t seconds, microseconds, captured, length;
  };
  std::ifstream in_;
  std::ofstream out_;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<Wire> make_wire(const std::string& text) {
  if (text == "none") return std::make_unique<NoWire>();
  const std::size_t colon = text.find(':');
  const std::string kind = text.substr(0, colon);
  const std::string rest = colon == std::string::npos ? "" : text.substr(colon + 1);
  if (rest.empty())
    throw std::runtime_error("wire '" + text +
                             "': expected none, tap:NAME, veth:NAME, listen:PATH, connect:PATH or pcap:FILE");
  if (kind == "tap" || kind == "veth") {
    const std::size_t at = rest.find('@');
    const std::string name = rest.substr(0, at);
    const std::string where = at == std::string::npos ? "" : rest.substr(at + 1);
    if (name.empty() || name.size() >= IFNAMSIZ)
      throw std::runtime_error("wire '" + text + "': an interface has a name of 1 to 15 characters");
    if (kind == "tap") return std::make_unique<TapWire>(name, where);
    return std::make_unique<PacketWire>(name, where);
  }
  if (kind == "listen" || kind == "connect") return std::make_unique<CardWire>(rest, kind == "listen");
  if (kind == "pcap") {
    const std::size_t comma = rest.find(',');
    return std::make_unique<PcapWire>(rest.substr(0, comma), comma == std::string::npos ? "" : rest.substr(comma + 1));
  }
  throw std::runtime_error("wire '" + text + "': no kind '" + kind +
                           "'; expected none, tap, veth, listen, connect or pcap");
}

}  // namespace slotwire::sim
