#include "runtime/engine/config/directories.hpp"

#include <filesystem>
#include <system_error>
#include <vector>

#include "core/suggestion.hpp"
#include "runtime/engine/config/config.hpp"

namespace slotwire::engine {
namespace {

namespace files = std::filesystem;

/// Names beside a missing one that are looked at.
constexpr std::size_t kMostNames = 1000;

/// "did you mean ...?" with the name in the directory of `missing` that is nearest to its own; empty: none is near.
std::string question(const files::path& missing) {
  std::vector<std::string> names;
  std::error_code error;
  const files::path above = missing.has_parent_path() ? missing.parent_path() : files::path(".");
  for (files::directory_iterator entry(above, error), end; !error && entry != end && names.size() < kMostNames;
       entry.increment(error)) {
    std::error_code unknown;
    if (entry->is_directory(unknown)) names.push_back(entry->path().filename().string());
  }
  const std::string_view near = core::suggestion(missing.filename().string(), {names.begin(), names.end()});
  return near.empty() ? std::string() : "; did you mean '" + (above / near).string() + "'?";
}

}  // namespace

void make_directory(std::string_view key, const std::string& path) {
  const files::path wanted = files::path(path).lexically_normal();
  std::error_code error;
  if (path.empty() || files::is_directory(wanted, error)) return;
  files::path above = wanted.has_filename() ? wanted.parent_path() : wanted.parent_path().parent_path();
  const std::string of = std::string(key) + ": '" + path + "'";
  if (above.empty() || files::is_directory(above, error)) {
    files::create_directory(wanted, error);
    if (!error) return;
    throw ConfigError({of + " cannot be made (" + error.message() + "); make it, and give it to slotwired's user"});
  }
  // The highest part that is missing is the one that may be mistyped.
  files::path missing = above;
  while (missing.has_parent_path() && missing.parent_path() != missing &&
         !files::is_directory(missing.parent_path(), error)) {
    missing = missing.parent_path();
  }
  throw ConfigError({of + " cannot be made, since '" + missing.string() + "' is no directory" + question(missing) +
                     "; correct the path, or make the directory above it"});
}

}  // namespace slotwire::engine
