#include "tools/usage/wrong_usage.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <string_view>
#include <vector>

#include "core/suggestion.hpp"
#include "runtime/control/printable.hpp"

namespace slotwire::cli {
namespace {

std::string question(std::string_view word, const std::vector<std::string>& known) {
  const std::string_view near = core::suggestion(word, {known.begin(), known.end()});
  const std::string unknown = "'" + control::printable(word) + "' is not known";
  return near.empty() ? unknown : unknown + "; did you mean '" + std::string(near) + "'?";
}

std::string meant_option(const CLI::App& command, std::string_view word) {
  std::vector<std::string> known;
  for (const CLI::Option* const option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  }
  return question(word.substr(0, word.find('=')), known);
}

/// An option that stands before the command that it belongs to. Empty: it belongs to none that is named behind it.
std::string too_early(const CLI::App& app, int count, const char* const* arguments, int at) {
  const std::string_view word = arguments[at];
  const std::string option(word.substr(0, word.find('=')));
  for (int i = at + 1; i < count; ++i) {
    const auto named = app.get_subcommands([&](const CLI::App* one) { return one->get_name() == arguments[i]; });
    if (named.empty()) continue;
    if (named.front()->get_option_no_throw(option) == nullptr) return {};
    const std::string name = named.front()->get_name();
    return "'" + option + "' is an option of '" + name +
           "' and stands behind it: " + std::filesystem::path(arguments[0]).filename().string() + " " + name + " " +
           option + " ...";
  }
  return {};
}

}  // namespace

bool wrong_usage(const CLI::App& app, const CLI::ParseError& error, int count, const char* const* arguments) {
  if (app.exit(error) == 0) return false;
  const std::string line = meant(app, count, arguments);
  if (!line.empty()) std::fprintf(stderr, "%s\n", line.c_str());
  return true;
}

std::string meant(const CLI::App& app, int count, const char* const* arguments) {
  const CLI::App* command = &app;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = arguments[i];
    if (word == "--") return {};
    if (word.substr(0, 2) == "--") {
      const std::string name(word.substr(0, word.find('=')));
      if (command->get_option_no_throw(name) != nullptr) continue;
      if (const std::string early = too_early(*command, count, arguments, i); !early.empty()) return early;
      return meant_option(*command, word);
    }
    const auto subcommands = command->get_subcommands([](const CLI::App*) { return true; });
    // What follows a command that has none is its own.
    if (subcommands.empty() || word.substr(0, 1) == "-") continue;
    std::vector<std::string> known;
    const CLI::App* next = nullptr;
    for (const CLI::App* const one : subcommands) {
      known.push_back(one->get_name());
      if (one->get_name() == word) next = one;
    }
    if (next == nullptr) return question(word, known);
    command = next;
  }
  return {};
}

}  // namespace slotwire::cli
