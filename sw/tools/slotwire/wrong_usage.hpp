// What somebody meant who mistyped a command or an option.
#pragma once
#include <string>

namespace CLI {
class App;
}

namespace slotwire::cli {

/// A line for a person that names the first word which is neither a command nor an option, and the one that is nearest
/// to it; empty: there is no such word. `app` has tried to parse `arguments`, and failed.
std::string meant(const CLI::App& app, int count, const char* const* arguments);

}  // namespace slotwire::cli
