// Calls "echo" with each line of its input and prints the answers and how long they took.
//   echo_client [SERVICE] < FILE
#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>

#include "slotwire.hpp"

int main(int argc, char** argv) {
  using namespace std::chrono_literals;
  const std::string service = argc > 1 ? argv[1] : "echo";
  const auto fail = [](const slotwire::Error& error) {
    std::fprintf(stderr, "echo_client: %s: %s\n", std::string(name(error.status)).c_str(), error.text.c_str());
    return 1;
  };
  auto context = slotwire::Context::open({.name = "echo_client"});
  if (!context) return fail(context.error());
  auto connection = context->connect(service, 5s);
  if (!connection) return fail(connection.error());
  std::string line;
  while (std::getline(std::cin, line)) {
    const auto begun = std::chrono::steady_clock::now();
    const auto answer = connection->call(1, line, 1s);
    if (!answer) return fail(answer.error());
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begun;
    std::printf("%.*s (%.1f us)\n", static_cast<int>(answer->size()), answer->text().data(), took.count());
  }
  return 0;
}
