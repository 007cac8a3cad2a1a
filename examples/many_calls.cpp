// Calls "echo" with all lines of its input at once, then prints the answers in the order of the lines. Ends at the
// first call that fails; those that are still under way then cancel themselves.
//   many_calls [SERVICE] < FILE
#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "slotwire.hpp"

int main(int argc, char** argv) {
  using namespace std::chrono_literals;
  const std::string service = argc > 1 ? argv[1] : "echo";
  const auto fail = [](const slotwire::Error& error) {
    std::fprintf(stderr, "many_calls: %s: %s\n", std::string(name(error.status)).c_str(), error.text.c_str());
    return 1;
  };
  auto context = slotwire::Context::open({.name = "many_calls"});
  if (!context) return fail(context.error());
  auto connection = context->connect(service, 5s);
  if (!connection) return fail(connection.error());
  std::vector<slotwire::Call> calls;
  for (std::string line; std::getline(std::cin, line);) {
    auto call = connection->begin_call(1, line, 5s);
    if (!call) return fail(call.error());
    calls.push_back(*std::move(call));
  }
  for (slotwire::Call& call : calls) {
    const auto answer = call.answer(5s);
    if (!answer) return fail(answer.error());
    std::printf("%.*s\n", static_cast<int>(answer->size()), answer->text().data());
  }
  return 0;
}
