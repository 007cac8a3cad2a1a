// What somebody meant who mistyped a command or an option.
#pragma once
#include <string>

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace slotwire::cli {

/// Prints what parsing `arguments` ended with: help, the version, or what is wrong with them and what was meant. True
/// if something is wrong.
bool wrong_usage(const CLI::App& app, const CLI::ParseError& error, int count, const char* const* arguments);

/// A line for a person that names the first word which is neither a command nor an option, and the one that is nearest
/// to it; empty: there is no such word. `app` has tried to parse `arguments`, and failed.
std::string meant(const CLI::App& app, int count, const char* const* arguments);

}  // namespace slotwire::cli
