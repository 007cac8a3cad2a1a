#include "inspection.hpp"

#include <cstring>
#include <functional>
#include <string>

#include "clock.hpp"
#include "core/inspect/counts.hpp"
#include "core/inspect/inspector.hpp"

namespace slotwire::bench {
namespace {

/// Counts as libslotwire does.
class Counting final : public inspect::Listener {
 public:
  void on_message(const inspect::Message& message) override { counts_.add(message.label); }

 private:
  inspect::Counts counts_;
};

struct Load {
  const char* name;
  inspect::Language language;
  slot::RecordHeader header;
  std::string payload;
};

std::vector<Load> loads() {
  const slot::RecordHeader stream{.kind = slot::RecordKind::stream};
  const std::string request =
      "GET /shop/basket?item=4711 HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
      "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n"
      "Accept-Encoding: gzip, deflate, br\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\r\n";
  const std::string upload = "PUT /file HTTP/1.1\r\nHost: www.example.org\r\nContent-Length: 65536\r\n\r\n";
  return {
      {"inspect/records",
       inspect::Language::records,
       {.kind = slot::RecordKind::request, .code = 3, .id = 1},
       std::string(64, 'x')},
      {"inspect/http", inspect::Language::http, stream, request},
      {"inspect/http-64KiB", inspect::Language::http, stream, upload + std::string(65536, 'x')},
      {"inspect/redis", inspect::Language::redis, stream,
       "*3\r\n$3\r\nSET\r\n$10\r\nkey:000001\r\n$64\r\n" + std::string(64, 'x') + "\r\n"},
  };
}

/// Nanoseconds of one call, over at least so many milliseconds.
double time_of(unsigned milliseconds, const std::function<void()>& call) {
  constexpr std::uint64_t kCallsAtOnce = 256;
  constexpr std::uint64_t kPerMs = 1'000'000;
  const std::uint64_t begin = clock_ns(CLOCK_MONOTONIC);
  std::uint64_t calls = 0, elapsed = 0;
  do {
    for (std::uint64_t i = 0; i < kCallsAtOnce; ++i) call();
    calls += kCallsAtOnce;
    elapsed = clock_ns(CLOCK_MONOTONIC) - begin;
  } while (elapsed < milliseconds * kPerMs);
  return static_cast<double>(elapsed) / static_cast<double>(calls);
}

}  // namespace

void measure_inspection(unsigned milliseconds, Results& results) {
  inspect::Limits limits;
  limits.summary_bytes = 0;  // as in libslotwire
  for (const Load& load : loads()) {
    inspect::Inspector inspector(load.language, inspect::Role::request, inspect::Join::beginning, limits);
    Counting counting;
    slot::RecordHeader header = load.header;
    header.length = static_cast<std::uint32_t>(load.payload.size());
    const double parsed = time_of(milliseconds, [&] {
      if (!inspector.begin(header, counting) || !inspector.feed(load.payload, counting))
        throw std::logic_error(std::string(load.name) + ": " + std::string(inspector.problem()));
    });
    std::vector<char> copy(load.payload.size());
    const double copied = time_of(milliseconds, [&] {
      std::memcpy(copy.data(), load.payload.data(), copy.size());
      asm volatile("" : : "r"(copy.data()) : "memory");
    });
    results.add(load.name, "slotwire", {"time of a message", "ns", parsed});
    results.add(load.name, "floor: copy", {"time of a message", "ns", copied});
  }
}

}  // namespace slotwire::bench
