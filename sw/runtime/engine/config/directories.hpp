// Directories that the configuration names and slotwired makes.
#pragma once
#include <string>
#include <string_view>

namespace slotwire::engine {

/// Why make_directory() would fail, with what to do; empty: it would not, as far as can be said without trying. What
/// only the rights of this process stand against is no reason: slotwired may have others.
std::string directory_problem(const std::string& path);

/// Makes the directory `path`, the value of `key`, if it is missing: that one alone, and nothing above it, so that a
/// mistyped path is said instead of made. Throws ConfigError with the key, the path, what is missing and, where one is
/// near, what was probably meant.
void make_directory(std::string_view key, const std::string& path);

}  // namespace slotwire::engine
