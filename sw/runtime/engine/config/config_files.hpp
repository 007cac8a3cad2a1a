// The files and the user that a configuration names: whether they are there and hold what they should, before anything
// is started.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"
#include "runtime/engine/config/config_check.hpp"

namespace slotwire::engine {

/// How far files are looked into. slotwired itself never reads the key of [tls]; its gate does.
enum class FileCheck : std::uint8_t {
  opened,   ///< files of [tls] are opened only
  complete  ///< and their certificates and key are read and verified
};

/// As load_config(), and every file and user that it names was looked at. Throws ConfigError with every problem found.
Config load_config_and_files(const std::filesystem::path& path, FileCheck how);

/// Adds a problem for each file that cannot be used, and for a user that there is not.
void check_files(const Config& config, const Positions& positions, FileCheck how, Problems& problems);
/// What is suspicious about files of [tls] that can be used: they will not hold for long. Reads the key. Throws
/// std::runtime_error where check_files() finds a problem in them.
std::vector<std::string> certificate_warnings(const Config& config);
/// The keys that check_files() looks at.
std::vector<std::string_view> checked_file_keys();

/// The certificates of a PEM file, line by line, without what stands between them. The Error says what is wrong and
/// what to do, and names the file.
core::Result<std::vector<std::string>> read_certificates(const std::string& path);
/// The first line of a file with a password.
core::Result<std::string> read_password(const std::string& path);

}  // namespace slotwire::engine
