// A pair of Unix sockets that keep messages (SOCK_SEQPACKET). A batch is one sendmmsg; messages longer than kPiece go
// in pieces, because the kernel wants one message in one buffer.
#include <sys/socket.h>

#include <array>

#include "byte_stream.hpp"
#include "registry.hpp"
#include "sides.hpp"

namespace slotwire::bench {
namespace {

constexpr std::size_t kPiece = std::size_t{64} << 10;
constexpr int kSocketBytes = 4 << 20;

class UnixEnd {
 public:
  explicit UnixEnd(const Setup& setup)
      : size_(setup.size()), flags_(setup.spins() ? MSG_DONTWAIT : 0), buffer_(setup.size() * kBatch) {
    const bool client = setup.role == Role::client;
    for (unsigned i = client ? 0 : setup.index; i < (client ? setup.subscribers() : setup.index + 1); ++i) {
      std::vector<slot::Fd> pair = share_descriptors(setup, i, 2, [] { return make_pair(); });
      fds_.push_back(std::move(pair[client ? 0 : 1]));
    }
    for (std::size_t i = 0; i < kBatch; ++i) {
      parts_[i] = {.iov_base = buffer_.data() + (i * size_), .iov_len = size_};
      messages_[i].msg_hdr.msg_iov = &parts_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
    }
  }
  void send(Bytes message) {
    for (const slot::Fd& fd : fds_) {
      for (std::size_t at = 0; at < size_; at += kPiece) {
        const Bytes piece = message.subspan(at, std::min(kPiece, size_ - at));
        until_done("cannot send", [&] { return ::send(fd.get(), piece.data(), piece.size(), flags_); });
      }
    }
  }
  void send_batch(Bytes all, std::size_t /*size*/) {
    std::memcpy(buffer_.data(), all.data(), all.size());
    for (std::size_t sent = 0; sent < kBatch;) {
      sent += until_done("cannot send a batch", [&] {
        return ::sendmmsg(fds_[0].get(), &messages_[sent], static_cast<unsigned>(kBatch - sent), flags_);
      });
    }
  }
  template <typename Take>
  void receive(Take take) {
    for (std::size_t at = 0; at < size_;) {
      const std::size_t n =
          until_done("cannot receive", [&] { return ::recv(fds_[0].get(), buffer_.data() + at, size_ - at, flags_); });
      if (n == 0) throw std::runtime_error("the other side ended");
      at += n;
    }
    take(Bytes(buffer_.data(), size_));
  }
  template <typename Take>
  void receive_some(Take take) {
    if (size_ > kPiece) return receive(take);
    const int flags = flags_ == 0 ? MSG_WAITFORONE : flags_;
    const std::size_t n = until_done(
        "cannot receive", [&] { return ::recvmmsg(fds_[0].get(), messages_.data(), kBatch, flags, nullptr); });
    for (std::size_t i = 0; i < n; ++i) {
      if (messages_[i].msg_len == 0) throw std::runtime_error("the other side ended");
      take(Bytes(buffer_.data() + (i * size_), messages_[i].msg_len));
    }
  }

 private:
  static std::vector<slot::Fd> make_pair() {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) fail("cannot create a socket pair");
    std::vector<slot::Fd> made;
    for (const int fd : pair) {
      ::setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &kSocketBytes, sizeof kSocketBytes);
      made.emplace_back(fd);
    }
    return made;
  }
  std::size_t size_;
  int flags_;
  std::vector<std::byte> buffer_;
  std::vector<slot::Fd> fds_;
  std::array<iovec, kBatch> parts_{};
  std::array<mmsghdr, kBatch> messages_{};
};

}  // namespace

Contender unix_sockets() {
  return make_contender<UnixEnd>("unix seqpacket", {.fans_out = true});
}

}  // namespace slotwire::bench
