// nng over ipc:// (Unix sockets): pair0, and pub0 to sub0 for several subscribers. Both sides wait in nng_recvmsg()
// always: looking without waiting takes the processor from nng's own threads. A loan is an nng_msg.
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>

#include <stdexcept>

#include "registry.hpp"
#include "sides.hpp"

namespace slotwire::bench {
namespace {

constexpr int kQueued = 256;  ///< messages

void checked(int result, const char* what) {
  if (result != 0) throw std::runtime_error(std::string(what) + ": " + nng_strerror(result));
}

class NngEnd {
 public:
  explicit NngEnd(const Setup& setup) {
    const bool client = setup.role == Role::client, publishes = setup.job().kind == Kind::publish;
    checked(!publishes ? nng_pair0_open(&socket_)
            : client   ? nng_pub0_open(&socket_)
                       : nng_sub0_open(&socket_),
            "no socket");
    checked(nng_socket_set_size(socket_, NNG_OPT_RECVMAXSZ, 0), "no messages of any length");
    nng_socket_set_int(socket_, NNG_OPT_SENDBUF, kQueued);
    nng_socket_set_int(socket_, NNG_OPT_RECVBUF, kQueued);
    if (publishes && !client) checked(nng_socket_set(socket_, NNG_OPT_SUB_SUBSCRIBE, "", 0), "cannot subscribe");
    const auto address = [&](unsigned i) { return "ipc://" + setup.path("nng", i); };
    if (client) {
      for (unsigned i = 0; i < setup.subscribers(); ++i)
        checked(nng_dial(socket_, address(i).c_str(), nullptr, 0), "cannot dial");
    } else {
      checked(nng_listen(socket_, address(setup.index).c_str(), nullptr, 0), "cannot listen");
      setup.bound();
    }
  }
  NngEnd(const NngEnd&) = delete;
  NngEnd& operator=(const NngEnd&) = delete;
  // Not closed: nng_close() drops what was not sent yet. The harness lets a side end when the other one has everything.

  void send(Bytes message) {
    send_loan(message.size(),
              [&](std::span<std::byte> room) { std::memcpy(room.data(), message.data(), message.size()); });
  }
  template <typename Fill>
  void send_loan(std::size_t size, Fill fill) {
    nng_msg* message = nullptr;
    checked(nng_msg_alloc(&message, size), "no message");
    fill(std::span<std::byte>(static_cast<std::byte*>(nng_msg_body(message)), size));
    checked(nng_sendmsg(socket_, message, 0), "cannot send");
  }
  template <typename Take>
  void receive(Take take) {
    nng_msg* message = nullptr;
    checked(nng_recvmsg(socket_, &message, 0), "cannot receive");
    const std::unique_ptr<nng_msg, void (*)(nng_msg*)> owner(message, nng_msg_free);
    take(Bytes(static_cast<const std::byte*>(nng_msg_body(message)), nng_msg_len(message)));
  }

 private:
  nng_socket socket_{};
};

}  // namespace

Contender nng() {
  return make_contender<NngEnd>("nng", {.fans_out = true, .own_threads = true});
}

}  // namespace slotwire::bench
