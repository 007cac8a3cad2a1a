// http_site: for tests, the HTTP server of links and streams as a program. It answers every request with its body, and
// says on standard output which requests it has taken: "request PATH SOURCE HEX-OF-THE-BODY".
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>

#include "runtime/http/server.hpp"

namespace {

using namespace slotwire;

class Echo final : public http::ServerHandler {
 public:
  void serve(http::Server& server) { server_ = &server; }

 private:
  void on_request(http::RequestId id, http::Request&& request) override {
    const std::string source = request.peer.source.with_port(0).to_string();
    std::printf("request %s %s ", request.peer.path.c_str(), source.substr(0, source.rfind(':')).c_str());
    for (const std::byte byte : request.body) std::printf("%02x", static_cast<unsigned>(byte));
    std::printf("\n");
    std::fflush(stdout);
    server_->answer(id, 200, std::move(request.body));
  }
  void on_gone(http::RequestId) override {}
  void on_channel(http::ChannelId, const http::Peer&) override {}
  void on_message(http::ChannelId, std::span<const std::byte>) override {}
  void on_channel_room(http::ChannelId) override {}
  void on_channel_closed(http::ChannelId) override {}

  http::Server* server_ = nullptr;
};

}  // namespace

/// http_site [TRUSTED-PROXY...]: serves "/s" on a port of 127.0.0.1 that the kernel chooses, until it is ended.
int main(int argc, char** argv) try {
  std::signal(SIGPIPE, SIG_IGN);
  http::Loop loop;
  http::ServerOptions options;
  options.addresses = {carriers::Address::parse("127.0.0.1:0")};
  options.paths = {"/s"};
  for (int i = 1; i < argc; ++i) options.trusted_proxies.push_back(http::Network::parse(argv[i]));
  Echo echo;
  http::Server server(loop, std::move(options), echo);
  echo.serve(server);
  std::printf("serving on port %u\n", static_cast<unsigned>(server.addresses().front().port()));
  std::fflush(stdout);
  loop.run();
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "http_site: %s\n", error.what());
  return 1;
}
