#include "runtime/engine/config/config_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <exception>
#include <filesystem>
#include <sstream>

#include "core/carriers/certificate_check.hpp"
#include "core/carriers/socket.hpp"
#include "core/carriers/tls.hpp"
#include "core/slot/open_files.hpp"
#include "runtime/control/gate_protocol.hpp"
#include "runtime/engine/config/directories.hpp"
#include "runtime/sandbox/sandbox.hpp"

namespace slotwire::engine {
namespace {

constexpr std::size_t kMaxPasswordFile = std::size_t{64} << 10U;
constexpr std::string_view kToDo = "; give a file that slotwired's user may read";

/// With what to do, for people.
core::Error advised(const std::string& problem) {
  return {printable(problem) + std::string(kToDo)};
}

core::Result<slot::Fd> open_file(const std::string& path, std::size_t most) {
  std::string problem;
  slot::Fd fd = slot::open_regular(path, most, problem);
  if (!fd) return advised(problem);
  return fd;
}

core::Result<std::string> read_file(const std::string& path, std::size_t most) {
  std::string text;
  const std::string problem = slot::read_regular(path, most, text);
  if (!problem.empty()) return advised(problem);
  return text;
}

std::string problem_of(const core::Result<slot::Fd>& result) {
  return result.ok() ? std::string() : result.error().text;
}

std::string check_pem(const std::string& path) {
  return problem_of(open_file(path, control::kMaxPemFile));
}
std::string check_certificates(const std::string& path) {
  const auto read = read_certificates(path);
  return read.ok() ? std::string() : read.error().text;
}
std::string check_password(const std::string& path) {
  const auto read = read_password(path);
  return read.ok() ? std::string() : read.error().text;
}
std::string check_directory_file(const std::string& path) {
  return problem_of(open_file(path, kMaxConfigBytes));
}
/// The log is made when slotwired starts, so that a check leaves nothing behind.
std::string check_log(const std::string& path) {
  struct stat info {};
  const bool there = ::stat(path.c_str(), &info) == 0;
  const std::string folder = std::filesystem::path(path).parent_path().string();
  std::string reason;
  if (there && !S_ISREG(info.st_mode) && !S_ISCHR(info.st_mode)) {
    // A FIFO would hold up who opens it.
    reason = S_ISDIR(info.st_mode) ? carriers::errno_text(EISDIR) : "it is neither a file nor a device";
  } else if (there ? ::access(path.c_str(), W_OK) != 0
                   : ::access(folder.empty() ? "." : folder.c_str(), W_OK | X_OK) != 0) {
    reason = carriers::errno_text(errno);
  }
  if (reason.empty()) return {};
  return "cannot write '" + printable(path) + "': " + reason + "; give a file that slotwired's user may write";
}

/// A key that names a file which is there before slotwired starts, but for the log.
struct FileKey {
  std::string_view key;
  const std::string* path;
  std::string (*problem)(const std::string& path);  ///< empty: none
};

std::array<FileKey, 8> files_of(const Config& config) {
  return {{{"tls.certificate", &config.tls.certificate, check_pem},
           {"tls.key", &config.tls.key, check_pem},
           {"tls.ca", &config.tls.ca, check_pem},
           {"tls.crl", &config.tls.crl, check_pem},
           {"http.ca", &config.http.ca, check_certificates},
           {"http.proxy_password_file", &config.http.proxy_password_file, check_password},
           {"directory.file", &config.directory.file, check_directory_file},
           {"log.file", &config.log.file, check_log}}};
}

/// Throws std::runtime_error where the files cannot be used at all.
carriers::CertificateVerdict own_certificate(const Config& config) {
  const carriers::TlsFiles files{config.tls.certificate, config.tls.key, config.tls.ca, config.tls.crl};
  return carriers::check_own_certificate(carriers::TlsContext(files), files, config.node.name, std::time(nullptr));
}

}  // namespace

std::vector<std::string> certificate_warnings(const Config& config) {
  return config.tls.enabled() ? own_certificate(config).warnings : std::vector<std::string>();
}

std::vector<std::string_view> checked_file_keys() {
  std::vector<std::string_view> keys;
  const Config config;
  for (const FileKey& file : files_of(config)) keys.push_back(file.key);
  return keys;
}

core::Result<std::vector<std::string>> read_certificates(const std::string& path) {
  const core::Result<std::string> read = read_file(path, control::kMaxPemFile);
  if (!read.ok()) return read.error();
  std::istringstream text(read.value());
  std::vector<std::string> lines;
  bool within = false;
  for (std::string line; std::getline(text, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (line.starts_with("-----BEGIN")) within = true;
    if (within) lines.push_back(line);
    if (within && line.size() > control::kMaxWord) {
      return core::Error{"'" + printable(path) + "' has a line of more than " + std::to_string(control::kMaxWord) +
                         " bytes within a certificate; give certificates in PEM form"};
    }
    if (line.starts_with("-----END")) within = false;
  }
  if (lines.empty()) {
    return core::Error{"'" + printable(path) + "' has no certificate in PEM form; give a file with certificates"};
  }
  if (lines.size() > control::kMaxCaLines) {
    return core::Error{"'" + printable(path) + "' has more than " + std::to_string(control::kMaxCaLines) +
                       " lines of certificates; leave out those that are not needed"};
  }
  return lines;
}

core::Result<std::string> read_password(const std::string& path) {
  core::Result<std::string> read = read_file(path, kMaxPasswordFile);
  if (!read.ok()) return read.error();
  std::string password = std::move(read).value();
  password.resize(std::min(password.find_first_of("\r\n"), password.size()));
  if (password.empty() || password.size() > control::kMaxWord) {
    return core::Error{"the first line of '" + printable(path) + "' has " + std::to_string(password.size()) +
                       " bytes; expected is a password of 1 to " + std::to_string(control::kMaxWord)};
  }
  return password;
}

void check_files(const Config& config, const Positions& positions, FileCheck how, Problems& problems) {
  const auto at = [&](std::string_view key) {
    const auto found = positions.find(std::string(key));
    return found == positions.end() ? Position{1, 1} : found->second;
  };
  const bool before = problems.empty();
  for (const FileKey& file : files_of(config)) {
    if (file.path->empty()) continue;
    const std::string problem = file.problem(*file.path);
    if (!problem.empty()) problems.add(at(file.key), std::string(file.key), problem);
  }
  if (how == FileCheck::complete) {
    const std::string place = directory_problem(config.node.run_dir);
    if (!place.empty()) problems.add(at("node.run_dir"), "node.run_dir", place);
    // One that is made within the other comes after it.
    const std::filesystem::path sockets = std::filesystem::path(config.node.control_socket).parent_path();
    const bool within = sockets.parent_path() == std::filesystem::path(config.node.run_dir);
    const std::string other = within ? std::string() : directory_problem(sockets.string());
    if (!other.empty() && place.empty()) problems.add(at("node.control_socket"), "node.control_socket", other);
  }
  if (!config.gate.user.empty() && !sandbox::user_exists(config.gate.user)) {
    problems.add(at("gate.user"), "gate.user",
                 "there is no user '" + printable(config.gate.user) +
                     "' on this host; name one that owns nothing, or leave the key out");
  }
  if (how != FileCheck::complete || !config.tls.enabled() || !before || !problems.empty()) return;
  try {
    const std::string problem = own_certificate(config).problem;
    if (!problem.empty()) problems.add(at("tls.certificate"), "tls.certificate", problem);
  } catch (const std::exception& error) {
    problems.add(at("tls.certificate"), "tls.certificate",
                 std::string("the files of [tls] cannot be used: ") + error.what());
  }
}

}  // namespace slotwire::engine
