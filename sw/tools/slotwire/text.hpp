// Text for people: aligned columns, units, colours where a terminal shows them.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace slotwire::cli {

enum class Colour { none, good, bad, dim, bold };

/// `text` in a colour if standard output is a terminal (and NO_COLOR is not set), else as it is.
std::string paint(Colour colour, std::string_view text);

/// Rows of cells under headings; columns are as wide as their widest cell.
class Table {
 public:
  struct Column {
    std::string heading;
    bool right = false;  ///< numbers stand at the right
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  /// One cell for each column; `colours` may name fewer.
  void add(std::vector<std::string> cells, std::vector<Colour> colours = {});
  bool empty() const { return rows_.empty(); }
  /// Lines that each begin with `indent`.
  std::string text(std::string_view indent = "  ") const;

 private:
  struct Row {
    std::vector<std::string> cells;
    std::vector<Colour> colours;
  };
  std::vector<Column> columns_;
  std::vector<Row> rows_;
};

/// "1.2 MiB".
std::string bytes_text(double bytes);
/// "12.3k", for rates and counts that need no unit.
std::string count_text(double count);
/// "12.3 us", "4.56 ms", "1.20 s".
std::string time_text(double nanoseconds);
/// "2d 03:04:05".
std::string uptime_text(std::uint64_t seconds);

}  // namespace slotwire::cli
