#include "runtime/engine/recovery/keeper_start.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <vector>

namespace slotwire::engine {
namespace {

// The environment of the program, which is made anew: its arguments are for people.
constexpr const char* kSocketName = "SLOTWIRE_KEEPER_SOCKET";
constexpr const char* kLockName = "SLOTWIRE_KEEPER_LOCK";
constexpr const char* kKeepFor = "SLOTWIRE_KEEPER_KEEP_FOR_MS";
constexpr const char* kEntries = "SLOTWIRE_KEEPER_ENTRIES";
constexpr const char* kDescriptors = "SLOTWIRE_KEEPER_DESCRIPTORS";
constexpr const char* kTimeout = "SLOTWIRE_KEEPER_TIMEOUT_MS";

[[noreturn]] void start_fails(const std::string& what, int error) {
  throw std::system_error(error, std::generic_category(), what);
}

/// What a posix_spawn() is told, freed when it goes.
struct Spawn {
  Spawn() {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
  }
  ~Spawn() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
  Spawn(const Spawn&) = delete;
  Spawn& operator=(const Spawn&) = delete;
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

std::filesystem::path keeper_program() {
  std::error_code none;
  const std::filesystem::path beside = std::filesystem::read_symlink("/proc/self/exe", none).parent_path();
  const std::filesystem::path installed = beside.parent_path() / SLOTWIRE_LIBEXECDIR / "slotwire";
  for (const std::filesystem::path& directory : {beside, installed}) {
    const std::filesystem::path program = directory / kKeeperProgram;
    if (::access(program.c_str(), X_OK) == 0) return program;
  }
  throw std::runtime_error("the program slotwire-keeper is neither in " + beside.string() + " nor in " +
                           installed.string() + "; install it with slotwired");
}

/// What `ps` shows. The socket's name begins with the node's, which has no dots.
std::string title_of(const slot::Fd& dir, const std::string& socket_name) {
  std::error_code none;
  const auto run_dir = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(dir.get()), none);
  return std::string(kKeeperProgram) + ": node " + socket_name.substr(0, socket_name.find('.')) + " in " +
         run_dir.string();
}

std::vector<std::string> environment_of(const KeeperStart& start) {
  const KeeperOptions& o = start.options;
  const auto entry = [](const char* name, const std::string& value) { return std::string(name) + "=" + value; };
  return {entry(kSocketName, start.socket_name),
          entry(kLockName, start.lock_name),
          entry(kKeepFor, std::to_string(o.keep_for.count())),
          entry(kEntries, std::to_string(o.max_entries)),
          entry(kDescriptors, std::to_string(o.max_descriptors)),
          entry(kTimeout, std::to_string(o.timeout.count()))};
}

std::optional<std::uint64_t> number_of(const char* name) {
  const char* const text = std::getenv(name);
  if (text == nullptr) return std::nullopt;
  const std::string_view value(text);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size()) return std::nullopt;
  return number;
}

}  // namespace

pid_t start_keeper_program(const slot::Fd& listener, const slot::Fd& dir, const KeeperStart& start) {
  const std::filesystem::path program = keeper_program();
  // Above the descriptors that they become, so that neither takes the other's place, and both lose close-on-exec.
  const slot::Fd child_listener(::fcntl(listener.get(), F_DUPFD_CLOEXEC, kKeeperDirFd + 1));
  const slot::Fd child_dir(::fcntl(dir.get(), F_DUPFD_CLOEXEC, kKeeperDirFd + 1));
  if (!child_listener || !child_dir) start_fails("the keeper's descriptors cannot be made", errno);
  Spawn spawn;
  for (int standard = 0; standard <= 2; ++standard) {
    ::posix_spawn_file_actions_addopen(&spawn.actions, standard, "/dev/null", O_RDWR, 0);
  }
  ::posix_spawn_file_actions_adddup2(&spawn.actions, child_listener.get(), kKeeperListenerFd);
  ::posix_spawn_file_actions_adddup2(&spawn.actions, child_dir.get(), kKeeperDirFd);
  ::posix_spawn_file_actions_addclosefrom_np(&spawn.actions, kKeeperDirFd + 1);
  sigset_t none;
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&spawn.attributes, &none);
  // A process group of its own: signals of a terminal are slotwired's. No session of its own: Linux schedules sessions
  // as groups, and one that sleeps most of the time may get nothing for seconds beside a busy one.
  ::posix_spawnattr_setflags(&spawn.attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  std::string title = title_of(dir, start.socket_name);
  std::array<char*, 2> argv{title.data(), nullptr};
  std::vector<std::string> values = environment_of(start);
  std::vector<char*> environment;
  for (std::string& value : values) environment.push_back(value.data());
  environment.push_back(nullptr);
  pid_t pid = -1;
  const int error =
      ::posix_spawn(&pid, program.c_str(), &spawn.actions, &spawn.attributes, argv.data(), environment.data());
  if (error != 0) {
    start_fails("the keeper's process '" + program.string() + "' cannot be started; check TasksMax and ulimit -u",
                error);
  }
  return pid;
}

std::optional<KeeperStart> told_by_slotwired() {
  const char* const socket_name = std::getenv(kSocketName);
  const char* const lock_name = std::getenv(kLockName);
  const auto keep_for = number_of(kKeepFor), entries = number_of(kEntries), descriptors = number_of(kDescriptors),
             timeout = number_of(kTimeout);
  if (socket_name == nullptr || lock_name == nullptr || !keep_for || !entries || !descriptors || !timeout) {
    return std::nullopt;
  }
  KeeperStart start;
  start.socket_name = socket_name;
  start.lock_name = lock_name;
  start.options.keep_for = std::chrono::milliseconds(*keep_for);
  start.options.max_entries = static_cast<std::size_t>(*entries);
  start.options.max_descriptors = static_cast<std::size_t>(*descriptors);
  start.options.timeout = std::chrono::milliseconds(*timeout);
  return start;
}

}  // namespace slotwire::engine
