// A publisher or a subscriber for tests of programs: numbers its messages, fills them, and checks what comes.
//   local_blocks_peer publish REGION TOPIC SUBSCRIBERS COUNT BYTES
//   local_blocks_peer subscribe REGION TOPIC OVERFLOW COUNT      ends with the message numbered COUNT - 1
//   local_blocks_peer hold REGION TOPIC OVERFLOW COUNT           takes COUNT messages, and keeps them until the next
//   line
// OVERFLOW is block, drop, fail, or again: block, where a message may come twice in a row.
// Each line of standard input lets a publisher go on: it waits for one before its first message, and before its last.
// A subscriber waits for one before it takes its first message.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "slotwire_blocks.hpp"

using namespace std::chrono_literals;

namespace {

int fail(const slotwire::Error& error) {
  std::printf("failed: %s\n", error.text.c_str());
  return 1;
}

void wait_for_line() {
  std::fflush(stdout);
  while (true) {
    const int c = std::getchar();
    if (c == '\n' || c == EOF) return;
  }
}

std::byte filling(std::uint64_t number, std::size_t at) {
  return static_cast<std::byte>((number * 31) + at);
}

int publish(slotwire::Region& region, const char* topic, char** arguments) {
  const auto subscribers = static_cast<std::uint32_t>(std::strtoul(arguments[0], nullptr, 10));
  const std::uint64_t count = std::strtoul(arguments[1], nullptr, 10);
  const std::size_t bytes = std::strtoul(arguments[2], nullptr, 10);
  auto publisher = region.publish(topic);
  if (!publisher) return fail(publisher.error());
  if (auto there = publisher->wait_for_subscribers(subscribers, 60s); !there) return fail(there.error());
  std::printf("has its subscribers\n");
  wait_for_line();
  for (std::uint64_t number = 0; number < count; ++number) {
    if (number == count - 1) wait_for_line();
    // Sizes differ, so that a message out of step is seen.
    const std::size_t length = 8 + (bytes == 0 ? 0 : (number * 7919) % bytes);
    auto block = publisher->loan(length, 60s);
    if (!block) return fail(block.error());
    auto data = block->data();
    std::memcpy(data.data(), &number, sizeof number);
    for (std::size_t i = 8; i < length; ++i) data[i] = filling(number, i);
    if (auto done = publisher->publish(std::move(*block), length, 60s); !done) return fail(done.error());
  }
  std::printf("published %lu\n", static_cast<unsigned long>(count));
  wait_for_line();
  return 0;
}

slotwire::SubscriberOptions options_of(const std::string& overflow) {
  if (overflow == "drop") return {.overflow = slotwire::Overflow::drop_oldest};
  return {.overflow = overflow == "fail" ? slotwire::Overflow::fail : slotwire::Overflow::block};
}

int hold(slotwire::Region& region, const char* topic, char** arguments) {
  const std::uint64_t count = std::strtoul(arguments[1], nullptr, 10);
  auto subscriber = region.subscribe(topic, options_of(arguments[0]));
  if (!subscriber) return fail(subscriber.error());
  std::printf("subscribed\n");
  wait_for_line();
  std::vector<slotwire::View> views;
  while (views.size() < count) {
    auto view = subscriber->take(60s);
    if (!view) return fail(view.error());
    views.push_back(std::move(*view));
  }
  const auto holding = region.holding();
  if (!holding) return fail(holding.error());
  std::printf("holds %lu views of %lu bytes\n", static_cast<unsigned long>(holding->views),
              static_cast<unsigned long>(holding->view_bytes));
  wait_for_line();
  views.clear();
  while (subscriber->take(slotwire::Deadline::now())) {  // and lets a publisher that has gone go
  }
  std::printf("released\n");
  wait_for_line();
  return 0;
}

int subscribe(slotwire::Region& region, const char* topic, char** arguments) {
  const std::string overflow = arguments[0];
  const std::uint64_t count = std::strtoul(arguments[1], nullptr, 10);
  auto subscriber = region.subscribe(topic, options_of(overflow));
  if (!subscriber) return fail(subscriber.error());
  std::printf("subscribed\n");
  wait_for_line();
  std::uint64_t expected = 0, taken = 0;
  while (true) {
    auto view = subscriber->take(60s);
    if (!view) return fail(view.error());
    const auto data = view->data();
    std::uint64_t number = 0;
    if (data.size() < sizeof number) return std::printf("failed: a message of %zu bytes\n", data.size()), 1;
    std::memcpy(&number, data.data(), sizeof number);
    for (std::size_t i = 8; i < data.size(); ++i) {
      if (data[i] != filling(number, i))
        return std::printf("failed: message %lu is damaged at byte %zu\n", static_cast<unsigned long>(number), i), 1;
    }
    if (overflow == "again" && number + 1 == expected) continue;
    if (number < expected || (number != expected && overflow != "drop")) {
      std::printf("failed: message %lu after %lu\n", static_cast<unsigned long>(number),
                  static_cast<unsigned long>(expected) - 1);
      return 1;
    }
    expected = number + 1;
    ++taken;
    if (expected == count) break;
  }
  std::printf("complete: %lu taken\n", static_cast<unsigned long>(taken));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) return std::fprintf(stderr, "usage: see the head of blocks_peer.cpp\n"), 2;
  auto region = slotwire::Region::open(argv[2]);
  if (!region) return fail(region.error());
  if (argc == 7 && std::strcmp(argv[1], "publish") == 0) return publish(*region, argv[3], argv + 4);
  if (argc == 6 && std::strcmp(argv[1], "subscribe") == 0) return subscribe(*region, argv[3], argv + 4);
  if (argc == 6 && std::strcmp(argv[1], "hold") == 0) return hold(*region, argv[3], argv + 4);
  return 2;
}
