#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iterator>

#include "core/carriers/socket.hpp"
#include "runtime/control/printable.hpp"
#include "tools/slotwire/common.hpp"
#include "tools/slotwire/stream/options.hpp"

namespace slotwire::cli {
namespace {

constexpr std::size_t kMaxPemBytes = std::size_t{4} << 20U;

std::string read_file(const std::string& path) {
  if (path.empty()) return {};
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file.good() && !file.eof()) {
    throw CommandError(kExitFailed, "cannot read '" + path + "': " + carriers::errno_text(errno));
  }
  if (text.empty() || text.size() > kMaxPemBytes) {
    throw CommandError(kExitFailed, "'" + path + "' is no PEM file of at most 4 MiB, or cannot be read");
  }
  return text;
}

}  // namespace

carriers::TlsTexts read_tls(const StreamTlsFiles& files) {
  if (files.certificate.empty() != files.key.empty()) {
    throw CommandError(kExitUsage, "--certificate and --key go together");
  }
  return {read_file(files.certificate), read_file(files.key), read_file(files.ca), {}};
}

void log_line(const std::string& text) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  std::tm parts{};
  ::gmtime_r(&now.tv_sec, &parts);
  std::array<char, 40> time{};
  const std::size_t n = std::strftime(time.data(), time.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(time.data() + n, time.size() - n, ".%03ldZ", now.tv_nsec / 1'000'000);
  std::fprintf(stderr, "%s %s\n", time.data(), control::printable(text).c_str());
}

}  // namespace slotwire::cli
