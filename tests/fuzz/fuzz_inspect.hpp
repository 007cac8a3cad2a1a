// What the fuzz targets of the inspection's parsers check: however a stream is cut into pieces, the same messages are
// found, and the same verdict is given at the end; nothing that is shown to people is long or unprintable; invalid
// stays invalid.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/inspect/parser.hpp"
#include "fuzz/input.hpp"

namespace slotwire::fuzz {

class FoundMessages final : public inspect::Listener {
 public:
  explicit FoundMessages(const inspect::Limits& limits) : limits_(limits) {}
  void on_message(const inspect::Message& message) override {
    constexpr std::size_t kMostLabel = 24;
    require(!message.label.empty() && message.label.size() <= kMostLabel);
    require(message.summary.size() <= limits_.summary_bytes);
    for (const char c : message.summary) require(c >= 0x20 && c <= 0x7e);
    found += std::string(message.label) + '\n' + std::string(message.summary) + '\n';
  }
  std::string found;

 private:
  const inspect::Limits limits_;
};

struct Outcome {
  bool valid = true;  ///< all of it
  bool ended = true;  ///< valid, and not inside a message at the end
  std::string problem, found;
  bool operator==(const Outcome&) const = default;
};

inline Outcome parse_in_steps(inspect::Language language, inspect::Role role, std::string_view bytes,
                              std::uint8_t steps, const inspect::Limits& limits) {
  const auto parser = inspect::make_parser(language, role, limits);
  FoundMessages messages(limits);
  Outcome outcome;
  std::size_t step = steps == 0 ? bytes.size() : steps;
  while (!bytes.empty() && outcome.valid) {
    outcome.valid = parser->feed(bytes.substr(0, step), messages);
    bytes.remove_prefix(step < bytes.size() ? step : bytes.size());
    if (steps > 1) step = 1 + (step * 7 % steps);
  }
  require(outcome.valid == parser->problem().empty());
  if (!outcome.valid) require(!parser->feed("x", messages) && !parser->end());
  outcome.ended = parser->end();
  outcome.problem = parser->problem();
  outcome.found = messages.found;
  return outcome;
}

inline void fuzz_parser(inspect::Language language, const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const inspect::Role role = input.below(2) == 0 ? inspect::Role::request : inspect::Role::reply;
  const std::uint8_t steps = input.byte();
  inspect::Limits limits;
  limits.head_bytes = 1024;
  limits.fields = 16;
  limits.depth = 4;
  limits.elements = 100;
  limits.bulk_bytes = 2000;
  const std::string_view bytes = input.rest();
  require(parse_in_steps(language, role, bytes, 0, limits) == parse_in_steps(language, role, bytes, steps, limits));
}

}  // namespace slotwire::fuzz
