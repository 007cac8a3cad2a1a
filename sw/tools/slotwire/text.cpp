#include "tools/slotwire/text.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

namespace slotwire::cli {
namespace {

std::string format(const char* pattern, double value, const char* unit) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), pattern, value, unit);
  return text.data();
}

/// Three figures at most.
std::string figures(double value, const char* unit) {
  if (value >= 99.95) return format("%.0f%s", value, unit);
  if (value >= 9.995) return format("%.1f%s", value, unit);
  return format("%.2f%s", value, unit);
}

/// Characters as a terminal shows them: UTF-8 continuation bytes take no column.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

std::string paint(Colour colour, std::string_view text) {
  static const bool colours = ::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
  if (!colours || colour == Colour::none) return std::string(text);
  constexpr std::array<const char*, 5> kCodes{"", "\033[32m", "\033[31m", "\033[2m", "\033[1m"};
  return kCodes[static_cast<std::size_t>(colour)] + std::string(text) + "\033[0m";
}

void Table::add(std::vector<std::string> cells, std::vector<Colour> colours) {
  cells.resize(columns_.size());
  colours.resize(columns_.size(), Colour::none);
  rows_.push_back({std::move(cells), std::move(colours)});
}

std::string Table::text(std::string_view indent) const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t widest = width(columns_[i].heading);
    for (const Row& row : rows_) widest = std::max(widest, width(row.cells[i]));
    widths.push_back(widest);
  }
  std::string out;
  const auto line = [&](const auto& cell, const auto& colour) {
    out += indent;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const std::string& text = cell(i);
      const std::string space(widths[i] - width(text), ' ');
      const bool last = i + 1 == columns_.size();
      out += columns_[i].right ? space + paint(colour(i), text) : paint(colour(i), text) + (last ? "" : space);
      if (!last) out += "  ";
    }
    out += '\n';
  };
  line([&](std::size_t i) -> const std::string& { return columns_[i].heading; },
       [](std::size_t) { return Colour::dim; });
  for (const Row& row : rows_) {
    line([&](std::size_t i) -> const std::string& { return row.cells[i]; },
         [&](std::size_t i) { return row.colours[i]; });
  }
  return out;
}

std::string bytes_text(double bytes) {
  constexpr std::array<const char*, 5> kUnits{" B", " KiB", " MiB", " GiB", " TiB"};
  std::size_t unit = 0;
  while (bytes >= 1023.5 && unit + 1 < kUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  return unit == 0 ? format("%.0f%s", bytes, kUnits[0]) : figures(bytes, kUnits[unit]);
}

std::string count_text(double count) {
  constexpr std::array<const char*, 4> kUnits{"", "k", "M", "G"};
  std::size_t unit = 0;
  // Four figures are as readable as three and a letter.
  while (count >= (unit == 0 ? 9999.5 : 999.5) && unit + 1 < kUnits.size()) {
    count /= 1000;
    ++unit;
  }
  return unit == 0 ? format("%.0f%s", count, "") : figures(count, kUnits[unit]);
}

std::string time_text(double nanoseconds) {
  if (nanoseconds < 1000) return format("%.0f%s", nanoseconds, " ns");
  if (nanoseconds < 1e6) return figures(nanoseconds / 1e3, " us");
  if (nanoseconds < 1e9) return figures(nanoseconds / 1e6, " ms");
  return figures(nanoseconds / 1e9, " s");
}

std::string uptime_text(std::uint64_t seconds) {
  std::array<char, 64> text{};
  const auto days = seconds / 86400;
  std::snprintf(text.data(), text.size(), "%02u:%02u:%02u", static_cast<unsigned>(seconds / 3600 % 24),
                static_cast<unsigned>(seconds / 60 % 60), static_cast<unsigned>(seconds % 60));
  return days == 0 ? text.data() : std::to_string(days) + "d " + text.data();
}

}  // namespace slotwire::cli
