// Fuzzes what the process library reads from its engine: answers and events on the control socket, with the descriptors
// that come along. A thread plays the engine; each input is one session.
//
// An input is a row of packets: a byte that says how many descriptors come along (modulo 6), and text up to the byte
// 0xff.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <future>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "control/packet_socket.hpp"
#include "regs/regs.hpp"
#include "slot/memory.hpp"
#include "slot/waiter.hpp"
#include "slotwire.h"

namespace {

using slotwire::control::Packet;
using slotwire::control::PacketSocket;
using slotwire::slot::Fd;

constexpr std::size_t kMaxText = 65536;
constexpr std::size_t kQueue = 64;
constexpr std::size_t kMaxPackets = 16;
constexpr unsigned kOrder = 6;  // of a ring of one page

class FakeEngine {
 public:
  FakeEngine() {
    directory_ = (std::filesystem::temp_directory_path() / "slotwire-fuzz-XXXXXX").string();
    if (::mkdtemp(directory_.data()) == nullptr) std::abort();
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path().copy(address.sun_path, sizeof address.sun_path - 1);
    listener_ = Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_.get(), 16) != 0) {
      std::abort();
    }
  }
  ~FakeEngine() { std::filesystem::remove_all(directory_); }
  std::string path() const { return directory_ + "/sock"; }

  /// Serves one session: a good hello, a good answer to `serve`, then the packets of the input. It stays until the
  /// other end goes.
  void serve(std::string_view input, std::promise<void>& said) {
    const Fd bells = slotwire::slot::create_sealed_file("bells", slotwire::regs::kPageBytes);
    const Fd polled = slotwire::slot::create_sealed_file("polled", slotwire::regs::kPageBytes);
    const Fd event = slotwire::slot::create_event();
    const Fd space = slotwire::slot::create_sealed_file("space", slotwire::slot::space_file_bytes(kOrder));
    const Fd read_only = slotwire::slot::read_only_copy(space);
    while (true) {
      PacketSocket peer(Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)), kMaxText, kQueue);
      if (!ask(peer, "hello")) continue;  // the good-bye of a session before
      const Fd polled_copy = slotwire::slot::read_only_copy(polled);
      peer.send(R"({"id":1,"ok":true,"session":7,"token":"00","node":"fake","spin_us":1,"yield_us":1})",
                {bells.get(), polled_copy.get(), event.get()});
      if (!ask(peer, "serve")) std::abort();
      peer.send(R"({"id":2,"ok":true})");
      say(peer, input, {space.get(), read_only.get(), event.get(), event.get(), space.get()});
      said.set_value();
      char ignored[4096];
      while (::recv(peer.fd(), ignored, sizeof ignored, 0) > 0) {
      }
      return;
    }
  }

 private:
  static void say(PacketSocket& peer, std::string_view input, const std::array<int, 5>& fds) {
    for (std::size_t i = 0; i < kMaxPackets && !input.empty(); ++i) {
      const std::string_view packet = input.substr(0, input.find('\xff'));
      if (packet.size() < 2) return;
      const std::size_t count = static_cast<unsigned char>(packet[0]) % (fds.size() + 1);
      if (!peer.send(std::string(packet.substr(1)),
                     std::vector<int>(fds.begin(), fds.begin() + static_cast<std::ptrdiff_t>(count))))
        return;
      input.remove_prefix(std::min(packet.size() + 1, input.size()));
    }
  }
  /// Waits for a request; is it an `op`?
  static bool ask(PacketSocket& peer, std::string_view op) {
    char text[4096];
    const ssize_t n = ::recv(peer.fd(), text, sizeof text, 0);
    return n > 0 && std::string_view(text, static_cast<std::size_t>(n)).find(op) != std::string_view::npos;
  }
  std::string directory_;
  Fd listener_;
};

void use(sw_connection* connection) {
  sw_peer peer;
  SW_INIT(peer);
  sw_connection_peer(connection, &peer);
  sw_send(connection, "x", 1, 0);
  sw_message message;
  SW_INIT(message);
  if (sw_receive(connection, 0, &message) == SW_OK) sw_release(connection, &message);
  if (sw_arm(connection, SW_READABLE) == SW_OK) sw_disarm(connection);
  sw_connection_close(connection);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static FakeEngine engine;
  std::promise<void> said;
  std::thread thread([&] { engine.serve({reinterpret_cast<const char*>(data), size}, said); });
  const std::string path = engine.path();
  sw_options options;
  SW_INIT(options);
  options.socket = path.c_str();
  sw_context* context = nullptr;
  if (sw_open(&options, &context) != SW_OK) std::abort();
  sw_service* service = nullptr;
  if (sw_serve(context, "s", nullptr, &service) != SW_OK) std::abort();
  sw_start_connect(context, "t", nullptr, 1000, nullptr);  // its answer, number 3, is the input's
  said.get_future().wait();
  sw_context_process(context);
  sw_connection* connection = nullptr;
  void* token = nullptr;
  while (sw_connected(context, &token, &connection) == SW_OK) use(connection);
  while (sw_accept(service, 0, &connection) == SW_OK) use(connection);
  sw_close(context);
  thread.join();
  return 0;
}
