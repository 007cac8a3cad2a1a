// A server and a client: prints "c++: answer to question" if a call came back as it should.
#include <slotwire_server.hpp>

#include <cstdio>
#include <future>
#include <thread>

int main() {
  using namespace std::chrono_literals;
  std::promise<const slotwire::Server*> serving;
  std::thread thread([&] {
    auto server = slotwire::Server::open(
        {}, "consumer", [](slotwire::Request& request) { request.reply("answer to " + std::string(request.text())); });
    serving.set_value(server ? &*server : nullptr);
    if (server) (void)server->run();
  });
  const slotwire::Server* const server = serving.get_future().get();
  int result = 1;
  if (server != nullptr) {
    if (auto context = slotwire::Context::open()) {
      if (auto connection = context->connect("consumer", 5s)) {
        if (const auto answer = connection->call(1, "question", 5s)) {
          std::printf("c++: %.*s\n", static_cast<int>(answer->size()), answer->text().data());
          result = 0;
        }
      }
    }
    server->stop();
  }
  thread.join();
  return result;
}
