#include "handover.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace slotwire::bench {
namespace {

constexpr std::size_t kMaxDescriptors = 8;

/// A message with descriptors; the same for sending and receiving.
struct Parcel {
  char byte = 0;
  iovec data{.iov_base = &byte, .iov_len = 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxDescriptors)> control{};
  msghdr header{};
  explicit Parcel(std::size_t count) {
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(sizeof(int) * count);
  }
  Parcel(const Parcel&) = delete;
  Parcel& operator=(const Parcel&) = delete;
};

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

}  // namespace

void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

std::vector<slot::Fd> share_descriptors(const Setup& setup, unsigned index, std::size_t count,
                                        const std::function<std::vector<slot::Fd>()>& make) {
  const sockaddr_un address = address_of(setup.path("handover", index));
  const slot::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  Parcel parcel(count);
  if (setup.role == Role::server) {
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(socket.get(), 1) != 0) {
      fail("cannot listen to hand descriptors over");
    }
    std::vector<slot::Fd> made = make();
    setup.bound();
    const slot::Fd client(::accept(socket.get(), nullptr, nullptr));
    cmsghdr* const part = CMSG_FIRSTHDR(&parcel.header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int) * count);
    for (std::size_t i = 0; i < count; ++i) {
      const int fd = made[i].get();
      std::memcpy(CMSG_DATA(part) + (i * sizeof fd), &fd, sizeof fd);
    }
    if (::sendmsg(client.get(), &parcel.header, 0) < 0) fail("cannot hand descriptors over");
    return made;
  }
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    fail("cannot connect to get descriptors");
  if (::recvmsg(socket.get(), &parcel.header, MSG_CMSG_CLOEXEC) < 0) fail("cannot get descriptors");
  const cmsghdr* const part = CMSG_FIRSTHDR(&parcel.header);
  if (part == nullptr || part->cmsg_len != CMSG_LEN(sizeof(int) * count))
    throw std::runtime_error("the server side handed over another number of descriptors");
  std::vector<slot::Fd> got;
  for (std::size_t i = 0; i < count; ++i) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(part) + (i * sizeof fd), sizeof fd);
    got.emplace_back(fd);
  }
  return got;
}

}  // namespace slotwire::bench
