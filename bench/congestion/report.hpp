// The last line of an end, and its first one.
#pragma once

#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

namespace slotwire::bench {

inline void say_ready() {
  std::puts("{\"ready\": true}");
  std::fflush(stdout);
}

/// Waits for a line on the standard input; false: it has ended.
inline bool wait_for_start() {
  int got = 0;
  do {
    got = std::getchar();
  } while (got != '\n' && got != EOF);
  return got != EOF;
}

/// Bytes of each stream by its number, and how many streams had wrong content.
inline void say_end(const std::map<std::uint64_t, std::uint64_t>& streams, std::size_t wrong,
                    const std::string& more = {}) {
  std::printf("{\"end\": true, \"wrong\": %zu%s, \"streams\": {", wrong, more.c_str());
  const char* separator = "";
  for (const auto& [number, bytes] : streams) {
    std::printf("%s\"%llu\": %llu", separator, static_cast<unsigned long long>(number),
                static_cast<unsigned long long>(bytes));
    separator = ", ";
  }
  std::puts("}}");
  std::fflush(stdout);
}

}  // namespace slotwire::bench
