// slotwire web: declared here, because it is built with what the other subcommands do without.
#pragma once
#include "tools/slotwire/common.hpp"

namespace slotwire::cli {

void add_web(CLI::App& app, Command& command);

}  // namespace slotwire::cli
