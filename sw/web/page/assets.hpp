// The files of the page, as they stand in assets/; CMake puts them into the program.
#pragma once
#include <string_view>

namespace slotwire::web {

struct Asset {
  std::string_view path;  ///< as a browser asks for it
  std::string_view type;
  std::string_view text;
};

/// None: nullptr.
const Asset* find_asset(std::string_view path);

}  // namespace slotwire::web
