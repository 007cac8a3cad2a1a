// ZeroMQ over ipc:// (Unix sockets): DEALER to DEALER, and PUB to SUB for several subscribers, one I/O thread. Both
// sides wait in zmq_msg_recv() always: looking without waiting takes the processor from ZeroMQ's own thread and is many
// times slower. A loan is a zmq_msg_t of ZeroMQ's memory, which is sent without a copy by the caller.
#include <zmq.h>

#include <cerrno>
#include <stdexcept>

#include "registry.hpp"
#include "sides.hpp"

namespace slotwire::bench {
namespace {

int checked(int result, const char* what) {
  if (result < 0) throw std::runtime_error(std::string(what) + ": " + zmq_strerror(errno));
  return result;
}

class ZeromqEnd {
 public:
  explicit ZeromqEnd(const Setup& setup) : context_(zmq_ctx_new()) {
    const bool client = setup.role == Role::client;
    const int dealer_or = setup.job().kind != Kind::publish ? ZMQ_DEALER : client ? ZMQ_PUB : ZMQ_SUB;
    socket_.reset(zmq_socket(context_.get(), dealer_or));
    if (!socket_) throw std::runtime_error(std::string("no socket: ") + zmq_strerror(errno));
    const auto address = [&](unsigned i) { return "ipc://" + setup.path("zmq", i); };
    if (dealer_or == ZMQ_SUB) checked(zmq_setsockopt(socket_.get(), ZMQ_SUBSCRIBE, "", 0), "cannot subscribe");
    if (client) {
      for (unsigned i = 0; i < setup.subscribers(); ++i)
        checked(zmq_connect(socket_.get(), address(i).c_str()), "cannot connect");
    } else {
      checked(zmq_bind(socket_.get(), address(setup.index).c_str()), "cannot bind");
      setup.bound();
    }
    zmq_msg_init(&received_);
  }
  ZeromqEnd(const ZeromqEnd&) = delete;
  ZeromqEnd& operator=(const ZeromqEnd&) = delete;
  ~ZeromqEnd() { zmq_msg_close(&received_); }

  void send(Bytes message) {
    while (zmq_send(socket_.get(), message.data(), message.size(), 0) < 0) {
      if (errno != EINTR) checked(-1, "cannot send");
    }
  }
  template <typename Fill>
  void send_loan(std::size_t size, Fill fill) {
    zmq_msg_t message;
    checked(zmq_msg_init_size(&message, size), "no message");
    fill(std::span<std::byte>(static_cast<std::byte*>(zmq_msg_data(&message)), size));
    checked(zmq_msg_send(&message, socket_.get(), 0), "cannot send");
  }
  template <typename Take>
  void receive(Take take) {
    checked(zmq_msg_recv(&received_, socket_.get(), 0), "cannot receive");
    take(Bytes(static_cast<const std::byte*>(zmq_msg_data(&received_)), zmq_msg_size(&received_)));
  }

 private:
  struct EndContext {
    void operator()(void* context) const { zmq_ctx_term(context); }
  };
  struct CloseSocket {
    void operator()(void* socket) const { zmq_close(socket); }
  };
  std::unique_ptr<void, EndContext> context_;
  std::unique_ptr<void, CloseSocket> socket_;
  zmq_msg_t received_{};
};

}  // namespace

Contender zeromq() {
  return make_contender<ZeromqEnd>("zeromq", {.fans_out = true, .own_threads = true});
}

}  // namespace slotwire::bench
