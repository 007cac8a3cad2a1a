// Reads a counter that example_publish publishes, in place, and says how many it saw.
//   example_subscribe TOPIC COUNT
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "slotwire_blocks.hpp"

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s TOPIC COUNT\n", argv[0]);
    return 2;
  }
  const auto fail = [](const slotwire::Error& error) {
    std::fprintf(stderr, "%s\n", error.text.c_str());
    return 1;
  };
  auto region = slotwire::Region::open("example");
  if (!region) return fail(region.error());
  auto subscriber = region->subscribe(argv[1]);
  if (!subscriber) return fail(subscriber.error());
  unsigned long sum = 0;
  const unsigned long count = std::strtoul(argv[2], nullptr, 10);
  for (unsigned long i = 0; i < count; ++i) {
    auto view = subscriber->take(10s);
    if (!view) return fail(view.error());
    unsigned long number = 0;
    std::memcpy(&number, view->data().data(), sizeof number);
    sum += number;
  }
  std::printf("%lu messages, sum %lu\n", count, sum);
}
