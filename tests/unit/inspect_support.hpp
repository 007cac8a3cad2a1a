// What tests of parsers share: who notes the messages, and feeding in pieces of every size.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "core/inspect/parser.hpp"

namespace slotwire::test {

class Noted final : public inspect::Listener {
 public:
  void on_message(const inspect::Message& message) override {
    labels.emplace_back(message.label);
    summaries.emplace_back(message.summary);
    no_body.push_back(message.reply_has_no_body);
  }
  std::vector<std::string> labels, summaries;
  std::vector<bool> no_body;
};

struct Parsed {
  bool valid = true;  ///< all of it
  bool ended = true;  ///< between two messages
  std::string problem;
  std::vector<std::string> labels, summaries;
};

/// Feeds `bytes` in pieces of `step`; what is found may not depend on it.
inline Parsed parse_in(std::size_t step, inspect::Language language, inspect::Role role, std::string_view bytes,
                       const inspect::Limits& limits = {}) {
  const auto parser = inspect::make_parser(language, role, limits);
  Noted noted;
  Parsed parsed;
  for (std::size_t at = 0; at < bytes.size() && parsed.valid; at += step)
    parsed.valid = parser->feed(bytes.substr(at, step), noted);
  parsed.ended = parser->end();
  parsed.problem = parser->problem();
  parsed.labels = noted.labels;
  parsed.summaries = noted.summaries;
  return parsed;
}

inline Parsed parse(inspect::Language language, inspect::Role role, std::string_view bytes,
                    const inspect::Limits& limits = {}) {
  const Parsed whole = parse_in(std::max<std::size_t>(bytes.size(), 1), language, role, bytes, limits);
  for (const std::size_t step : {1, 2, 3, 7, 64}) {
    const Parsed again = parse_in(step, language, role, bytes, limits);
    EXPECT_EQ(again.valid, whole.valid) << step;
    EXPECT_EQ(again.ended, whole.ended) << step;
    EXPECT_EQ(again.labels, whole.labels) << step;
    EXPECT_EQ(again.summaries, whole.summaries) << step;
  }
  return whole;
}

}  // namespace slotwire::test
