#include "runtime/control/engine_owner.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>

namespace slotwire::control {
namespace {

std::optional<uid_t> owner_of_directory(const std::string& path) {
  std::filesystem::path directory = std::filesystem::path(path).parent_path();
  if (directory.empty()) directory = ".";
  struct stat status {};
  if (::stat(directory.c_str(), &status) != 0) return std::nullopt;
  return status.st_uid;
}

}  // namespace

std::string wrong_engine_owner(int socket, const std::string& path) {
  ucred listener{};
  socklen_t size = sizeof listener;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &listener, &size) != 0) {
    return "it cannot be seen who listens at " + path + ": " + std::strerror(errno);
  }
  const std::string who = "user " + std::to_string(listener.uid) + " listens at " + path;
  if (const char* const named = std::getenv(kEngineUidVariable); named != nullptr && *named != '\0') {
    const std::string_view text(named);
    uid_t expected = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), expected);
    if (error != std::errc{} || end != text.data() + text.size()) {
      return std::string(kEngineUidVariable) + " is '" + named + "', which is not the number of a user";
    }
    if (listener.uid == expected) return {};
    return who + ", and " + kEngineUidVariable + " expects user " + std::to_string(expected);
  }
  if (listener.uid == 0 || listener.uid == ::geteuid()) return {};
  if (const auto owner = owner_of_directory(path); owner && *owner == listener.uid) return {};
  return who +
         ", who is neither root nor this user nor the owner of the directory; if that is slotwired's user, say so by " +
         kEngineUidVariable + "=" + std::to_string(listener.uid);
}

}  // namespace slotwire::control
