// A node for the contenders that are Slotwire: slotwired without links, in a directory of its own.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "contender.hpp"

namespace slotwire::bench {

/// Starts slotwired and waits until it is ready. Throws with its log if it does not get there.
std::unique_ptr<Daemon> start_slotwired(const std::filesystem::path& directory);
/// The same with more in its configuration.
std::unique_ptr<Daemon> start_slotwired_with(const std::filesystem::path& directory, const std::string& toml);

}  // namespace slotwire::bench
