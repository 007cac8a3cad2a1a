// Fuzzes what the process library reads from its engine: answers and events on the control socket, with the descriptors
// that come along. A thread plays the engine; each input is one session.
//
// An input is a row of packets: a byte that says how many descriptors come along (modulo 6), and text up to the byte
// 0xff.
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <future>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "slotwire.h"
#include "unit/fake_engine.hpp"

namespace {

using slotwire::test::FakeEngine;

constexpr std::size_t kMaxPackets = 16;

void say(FakeEngine::Peer& peer, std::string_view input, const std::vector<int>& fds) {
  for (std::size_t i = 0; i < kMaxPackets && !input.empty(); ++i) {
    const std::string_view packet = input.substr(0, input.find('\xff'));
    if (packet.size() < 2) return;
    const std::size_t count = static_cast<unsigned char>(packet[0]) % (fds.size() + 1);
    if (!peer.send(std::string(packet.substr(1)), {fds.begin(), fds.begin() + static_cast<std::ptrdiff_t>(count)}))
      return;
    input.remove_prefix(std::min(packet.size() + 1, input.size()));
  }
}

/// Serves one session: a good hello, a good answer to `serve`, then the packets of the input. It stays until the other
/// end goes.
void serve(FakeEngine& engine, std::string_view input, std::promise<void>& said) {
  while (true) {
    FakeEngine::Peer peer = engine.accept();
    if (FakeEngine::hear(peer).find("hello") == std::string::npos) continue;  // the good-bye of a session before
    engine.welcome(peer, 1);
    if (FakeEngine::hear(peer).find("serve") == std::string::npos) std::abort();
    peer.send(R"({"id":2,"ok":true})");
    say(peer, input, engine.slot());
    said.set_value();
    char ignored[4096];
    while (::recv(peer.fd(), ignored, sizeof ignored, 0) > 0) {
    }
    return;
  }
}

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
  std::thread thread([&] { serve(engine, {reinterpret_cast<const char*>(data), size}, said); });
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
