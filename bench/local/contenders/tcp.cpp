// TCP over the loopback interface, with TCP_NODELAY. A batch is one write.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <fstream>

#include "byte_stream.hpp"
#include "registry.hpp"
#include "sides.hpp"

namespace slotwire::bench {
namespace {

class TcpEnd {
 public:
  explicit TcpEnd(const Setup& setup) {
    if (setup.role == Role::server) {
      const slot::Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      socklen_t length = sizeof address;
      if (::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
          ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0 ||
          ::listen(listener.get(), 1) != 0) {
        fail("cannot listen on the loopback interface");
      }
      std::ofstream(setup.path("port", setup.index)) << ntohs(address.sin_port);
      setup.bound();
      take(setup, slot::Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)));
      return;
    }
    for (unsigned i = 0; i < setup.subscribers(); ++i) {
      std::uint16_t port = 0;
      std::ifstream(setup.path("port", i)) >> port;
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      address.sin_port = htons(port);
      slot::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        fail("cannot connect on the loopback interface");
      take(setup, std::move(fd));
    }
  }
  void send(Bytes message) {
    for (const ByteStream& stream : streams_) stream.write_all(message);
  }
  void send_batch(Bytes all, std::size_t /*size*/) { streams_[0].write_all(all); }
  template <typename Take>
  void receive(Take take) {
    streams_[0].receive(take);
  }
  template <typename Take>
  void receive_some(Take take) {
    streams_[0].receive_some(take);
  }

 private:
  void take(const Setup& setup, slot::Fd fd) {
    const int one = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    streams_.emplace_back(setup, fd.get(), fd.get());
    fds_.push_back(std::move(fd));
  }
  std::vector<slot::Fd> fds_;
  std::vector<ByteStream> streams_;
};

}  // namespace

Contender tcp() {
  return make_contender<TcpEnd>("tcp loopback", {.fans_out = true});
}

}  // namespace slotwire::bench
