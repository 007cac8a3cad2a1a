// Publishes a counter on a topic; subscribers read it in place. No engine is needed.
//   example_publish TOPIC COUNT
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
  auto publisher = region->publish(argv[1]);
  if (!publisher) return fail(publisher.error());
  if (auto waited = publisher->wait_for_subscribers(1, 10s); !waited) return fail(waited.error());
  for (unsigned long i = 0; i < std::strtoul(argv[2], nullptr, 10); ++i) {
    auto block = publisher->loan(sizeof i, 10s);
    if (!block) return fail(block.error());
    std::memcpy(block->data().data(), &i, sizeof i);
    if (auto published = publisher->publish(std::move(*block), 10s); !published) return fail(published.error());
  }
}
