// ZeroMQ over TCP, one I/O thread: DEALER to ROUTER for calls, PUSH to PULL for messages. Both ends wait in
// zmq_msg_recv().
#include <zmq.h>

#include <array>
#include <cerrno>
#include <deque>
#include <stdexcept>

#include "contender.hpp"

namespace slotwire::bench {
namespace {

int checked(int result, const char* what) {
  if (result < 0) throw std::runtime_error(std::string(what) + ": " + zmq_strerror(errno));
  return result;
}

/// A socket with the context that it alone uses. Neither is closed: the harness kills the process.
class Socket {
 public:
  explicit Socket(int type) : context_(zmq_ctx_new()), socket_(zmq_socket(context_, type)) {
    if (socket_ == nullptr) throw std::runtime_error(std::string("no socket: ") + zmq_strerror(errno));
    zmq_msg_init(&message_);
  }
  std::string bind() {
    checked(zmq_bind(socket_, "tcp://127.0.0.1:*"), "cannot bind");
    std::array<char, 256> endpoint{};
    std::size_t length = endpoint.size();
    checked(zmq_getsockopt(socket_, ZMQ_LAST_ENDPOINT, endpoint.data(), &length), "no endpoint");
    return endpoint.data();
  }
  void connect(const std::string& endpoint) { checked(zmq_connect(socket_, endpoint.c_str()), "cannot connect"); }
  void send(Bytes message) { checked(zmq_send(socket_, message.data(), message.size(), 0), "cannot send"); }
  /// Sends on what was received last, of which more parts may follow.
  void pass_on() { checked(zmq_msg_send(&message_, socket_, zmq_msg_more(&message_) != 0 ? ZMQ_SNDMORE : 0), "echo"); }
  Bytes receive() {
    checked(zmq_msg_recv(&message_, socket_, 0), "cannot receive");
    return {static_cast<const std::byte*>(zmq_msg_data(&message_)), zmq_msg_size(&message_)};
  }

 private:
  void* context_;
  void* socket_;
  zmq_msg_t message_{};
};

class ZeromqEnd final : public CallEnd {
 public:
  explicit ZeromqEnd(const std::string& endpoint) : socket_(ZMQ_DEALER) { socket_.connect(endpoint); }
  // Answers of the one server come in the order of the requests.
  void start(std::size_t number) override {
    under_way_.push_back(number);
    socket_.send(data_);
  }
  void finish(const std::function<void(std::size_t)>& done) override {
    if (socket_.receive().size() != kCallBytes) throw std::runtime_error("an answer of another size");
    const std::size_t number = under_way_.front();
    under_way_.pop_front();
    done(number);
  }

 private:
  Socket socket_;
  std::deque<std::size_t> under_way_;
  std::array<std::byte, kCallBytes> data_{};
};

class ZeromqSource final : public Source {
 public:
  explicit ZeromqSource(const std::string& endpoint) : socket_(ZMQ_PUSH) { socket_.connect(endpoint); }
  void send(Bytes message) override { socket_.send(message); }

 private:
  Socket socket_;
};

}  // namespace

Contender zeromq() {
  return {.name = "zeromq",
          .echo =
              [](const Ready& ready, std::size_t) {
                Socket socket(ZMQ_ROUTER);
                ready(socket.bind());
                while (true) {
                  socket.receive();
                  socket.pass_on();
                }
              },
          .call = [](const std::string& endpoint) { return std::make_unique<ZeromqEnd>(endpoint); },
          .sink =
              [](const Ready& ready, Tally& tally) {
                Socket socket(ZMQ_PULL);
                ready(socket.bind());
                while (!tally.take(socket.receive())) {
                }
              },
          .source = [](const std::string& endpoint) { return std::make_unique<ZeromqSource>(endpoint); }};
}

}  // namespace slotwire::bench
