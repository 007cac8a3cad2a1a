// nng over TCP: req0 to rep0 for calls, push0 to pull0 for messages. Both protocols of calls are used in their raw
// form, in which a request's number is in the header of its message: without it each call under way would need a
// context.
#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>

#include <cstring>
#include <stdexcept>

#include "cluster.hpp"
#include "contender.hpp"

namespace slotwire::bench {
namespace {

constexpr std::uint32_t kIsRequest = 0x80000000;

void checked(int result, const char* what) {
  if (result != 0) throw std::runtime_error(std::string(what) + ": " + nng_strerror(result));
}

/// Not closed: the harness kills the process.
class Socket {
 public:
  explicit Socket(int (*open)(nng_socket*)) {
    checked(open(&socket_), "no socket");
    checked(nng_socket_set_size(socket_, NNG_OPT_RECVMAXSZ, 0), "no messages of any length");
  }
  std::string listen() {
    const std::string endpoint = "tcp://127.0.0.1:" + std::to_string(fault::free_port());
    checked(nng_listen(socket_, endpoint.c_str(), nullptr, 0), "cannot listen");
    return endpoint;
  }
  void dial(const std::string& endpoint) { checked(nng_dial(socket_, endpoint.c_str(), nullptr, 0), "cannot dial"); }
  static nng_msg* message(Bytes bytes) {
    nng_msg* made = nullptr;
    checked(nng_msg_alloc(&made, bytes.size()), "no message");
    std::memcpy(nng_msg_body(made), bytes.data(), bytes.size());
    return made;
  }
  /// Takes the message.
  void send(nng_msg* message) { checked(nng_sendmsg(socket_, message, 0), "cannot send"); }
  nng_msg* receive() {
    nng_msg* message = nullptr;
    checked(nng_recvmsg(socket_, &message, 0), "cannot receive");
    return message;
  }

 private:
  nng_socket socket_{};
};

class NngEnd final : public CallEnd {
 public:
  explicit NngEnd(const std::string& endpoint) : socket_(nng_req0_open_raw) { socket_.dial(endpoint); }
  void start(std::size_t number) override {
    nng_msg* const request = Socket::message(data_);
    checked(nng_msg_header_append_u32(request, kIsRequest | static_cast<std::uint32_t>(number)), "no header");
    socket_.send(request);
  }
  void finish(const std::function<void(std::size_t)>& done) override {
    nng_msg* const answer = socket_.receive();
    std::uint32_t number = 0;
    checked(nng_msg_header_trim_u32(answer, &number), "an answer without its number");
    const bool complete = nng_msg_len(answer) == kCallBytes;
    nng_msg_free(answer);
    if (!complete) throw std::runtime_error("an answer of another size");
    done(number & ~kIsRequest);
  }

 private:
  Socket socket_;
  std::byte data_[kCallBytes]{};
};

class NngSource final : public Source {
 public:
  explicit NngSource(const std::string& endpoint) : socket_(nng_push0_open) { socket_.dial(endpoint); }
  void send(Bytes message) override { socket_.send(Socket::message(message)); }

 private:
  Socket socket_;
};

}  // namespace

Contender nng() {
  return {.name = "nng",
          .echo =
              [](const Ready& ready, std::size_t) {
                Socket socket(nng_rep0_open_raw);
                ready(socket.listen());
                while (true) socket.send(socket.receive());
              },
          .call = [](const std::string& endpoint) { return std::make_unique<NngEnd>(endpoint); },
          .sink =
              [](const Ready& ready, Tally& tally) {
                Socket socket(nng_pull0_open);
                ready(socket.listen());
                for (bool last = false; !last;) {
                  nng_msg* const message = socket.receive();
                  last = tally.take(Bytes(static_cast<const std::byte*>(nng_msg_body(message)), nng_msg_len(message)));
                  nng_msg_free(message);
                }
              },
          .source = [](const std::string& endpoint) { return std::make_unique<NngSource>(endpoint); }};
}

}  // namespace slotwire::bench
