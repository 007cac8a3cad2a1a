#include "runtime/engine/config/directories.hpp"

#include <unistd.h>

#include <cerrno>
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

files::path directory_above(const files::path& wanted) {
  return wanted.has_filename() ? wanted.parent_path() : wanted.parent_path().parent_path();
}

std::string cannot_be_made(const std::string& of, const std::string& why) {
  return of + " cannot be made (" + why + "); make it, and give it to slotwired's user";
}

/// The highest part that is missing is the one that may be mistyped.
std::string nothing_above(const std::string& of, const files::path& above) {
  std::error_code error;
  files::path missing = above;
  while (missing.has_parent_path() && missing.parent_path() != missing &&
         !files::is_directory(missing.parent_path(), error)) {
    missing = missing.parent_path();
  }
  return of + " cannot be made, since '" + missing.string() + "' is no directory" + question(missing) +
         "; correct the path, or make the directory above it";
}

}  // namespace

std::string directory_problem(const std::string& path) {
  const files::path wanted = files::path(path).lexically_normal();
  const std::string of = "'" + path + "'";
  std::error_code error;
  if (path.empty()) return {};
  const bool there = files::exists(wanted, error);
  const files::path above = directory_above(wanted);
  if (!there && !above.empty() && !files::is_directory(above, error)) return nothing_above(of, above);
  if (there && !files::is_directory(wanted, error)) return of + " is no directory; give the path of one";
  const files::path written = there ? wanted : above.empty() ? files::path(".") : above;
  if (::access(written.c_str(), W_OK | X_OK) == 0 || errno == EACCES) return {};
  const std::string why = std::generic_category().message(errno);
  return there ? of + " cannot be written to (" + why + "); give another directory" : cannot_be_made(of, why);
}

void make_directory(std::string_view key, const std::string& path) {
  const files::path wanted = files::path(path).lexically_normal();
  std::error_code error;
  if (path.empty() || files::is_directory(wanted, error)) return;
  const files::path above = directory_above(wanted);
  const std::string of = std::string(key) + ": '" + path + "'";
  if (!above.empty() && !files::is_directory(above, error)) throw ConfigError({nothing_above(of, above)});
  files::create_directory(wanted, error);
  if (error) throw ConfigError({cannot_be_made(of, error.message())});
}

}  // namespace slotwire::engine
