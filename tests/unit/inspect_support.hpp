// What tests of parsers share: who notes the messages, and feeding in pieces of every size.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>
#include <ostream>
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
  bool operator==(const Parsed&) const = default;
};

inline std::ostream& operator<<(std::ostream& out, const Parsed& parsed) {
  out << (parsed.valid ? "valid, " : "invalid, ") << (parsed.ended ? "ended" : "not ended") << ", '" << parsed.problem
      << '\'';
  for (const std::string& summary : parsed.summaries) out << ", " << summary;
  return out;
}

/// Feeds `bytes` in pieces that end at the places `cuts`, in ascending order.
inline Parsed parse_cut(inspect::Language language, inspect::Role role, std::string_view bytes,
                        std::initializer_list<std::size_t> cuts, const inspect::Limits& limits = {}) {
  const auto parser = inspect::make_parser(language, role, limits);
  Noted noted;
  Parsed parsed;
  std::size_t begin = 0;
  const auto feed_to = [&](std::size_t end) {
    if (parsed.valid && end > begin) parsed.valid = parser->feed(bytes.substr(begin, end - begin), noted);
    begin = end;
  };
  for (const std::size_t cut : cuts) feed_to(cut);
  feed_to(bytes.size());
  parsed.ended = parser->end();
  parsed.problem = parser->problem();
  parsed.labels = noted.labels;
  parsed.summaries = noted.summaries;
  return parsed;
}

/// What is found in `bytes`, the verdict and its text may not depend on where they are cut.
inline void expect_the_same_however_cut(inspect::Language language, inspect::Role role, std::string_view bytes,
                                        const inspect::Limits& limits = {}) {
  const Parsed whole = parse_cut(language, role, bytes, {}, limits);
  for (std::size_t first = 0; first < bytes.size(); ++first) {
    for (std::size_t second = first + 1; second <= bytes.size(); ++second) {
      const Parsed cut = parse_cut(language, role, bytes, {first, second}, limits);
      if (cut == whole) continue;
      ADD_FAILURE() << testing::PrintToString(std::string(bytes)) << "\ncut at " << first << " and " << second << ": "
                    << cut << "\nwhole: " << whole;
      return;
    }
  }
}

/// The same for what begins like `bytes` and ends anywhere: a stream may end at every byte.
inline void expect_the_same_wherever_it_ends(inspect::Language language, inspect::Role role, std::string_view bytes,
                                             const inspect::Limits& limits = {}) {
  for (std::size_t length = 1; length <= bytes.size(); ++length) {
    const std::string_view begin = bytes.substr(0, length);
    const Parsed whole = parse_cut(language, role, begin, {}, limits);
    for (std::size_t cut = 1; cut < length; ++cut) {
      const Parsed again = parse_cut(language, role, begin, {cut}, limits);
      if (again == whole) continue;
      ADD_FAILURE() << testing::PrintToString(std::string(begin)) << "\ncut at " << cut << ": " << again
                    << "\nwhole: " << whole;
      return;
    }
  }
}

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
    EXPECT_EQ(again, whole) << step;
  }
  return whole;
}

}  // namespace slotwire::test
