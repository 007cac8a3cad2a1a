#include "runtime/sandbox/sandbox.hpp"

#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <stdexcept>
#include <system_error>

#include "core/slot/memory.hpp"

// GCC and Clang say it in ways of their own that a sanitizer is compiled in.
#if defined(__has_feature)
#define SLOTWIRE_HAS_FEATURE(feature) __has_feature(feature)
#else
#define SLOTWIRE_HAS_FEATURE(feature) 0
#endif

namespace slotwire::sandbox {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || SLOTWIRE_HAS_FEATURE(address_sanitizer) || \
    SLOTWIRE_HAS_FEATURE(thread_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "the filters of system calls do not know this architecture"
#endif

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

/// Calls of the list get `listed`, others `otherwise`. One comparison a call: the lists are short, and what is called
/// often stands first.
void install(std::span<const Call> calls, std::uint32_t listed, std::uint32_t otherwise) {
  if (!filters()) return;
  std::vector<sock_filter> program;
  const auto add = [&](std::uint16_t code, std::uint32_t k, std::uint8_t yes = 0, std::uint8_t no = 0) {
    program.push_back({code, yes, no, k});
  };
  add(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch));
  add(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0);
  add(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);  // another architecture numbers its calls otherwise
  add(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
#if defined(__x86_64__)
  constexpr std::uint32_t kX32 = 0x40000000;  // the same calls once more, with other numbers
  add(BPF_JMP | BPF_JGE | BPF_K, kX32, 0, 1);
  add(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
#endif
  for (const Call& call : calls) {
    add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call.number), 0, 1);
    add(BPF_RET | BPF_K, listed);
  }
  add(BPF_RET | BPF_K, otherwise);
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) != 0) {
    fail("the filter of system calls cannot be installed (seccomp)");
  }
}

}  // namespace

void gain_nothing() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("privileges cannot be given up (PR_SET_NO_NEW_PRIVS)");
}

void hide_memory() {
  ::prctl(PR_SET_DUMPABLE, 0);
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
}

bool filters() {
  return !kSanitized;
}

void allow_only(std::span<const Call> calls, Otherwise otherwise) {
  install(calls, SECCOMP_RET_ALLOW,
          otherwise == Otherwise::end ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | std::uint32_t{EPERM});
}

void refuse(std::span<const Call> calls) {
  install(calls, SECCOMP_RET_ERRNO | EPERM, SECCOMP_RET_ALLOW);
}

bool user_exists(const std::string& user) {
  return ::getpwnam(user.c_str()) != nullptr;
}

void become(const std::string& user) {
  if (::geteuid() != 0) return;
  std::vector<std::string> names{user};
  if (user.empty()) names = {"slotwire-gate", "nobody"};
  const passwd* who = nullptr;
  for (const std::string& name : names) {
    who = ::getpwnam(name.c_str());
    if (who != nullptr) break;
  }
  if (who == nullptr) {
    throw std::runtime_error(
        "there is no user '" + names.back() +
        "'; name one that there is and that owns nothing (gate.user of slotwired, --user of slotwire-page)");
  }
  const uid_t uid = who->pw_uid;
  const gid_t gid = who->pw_gid;
  if (::setgroups(0, nullptr) != 0 || ::setresgid(gid, gid, gid) != 0 || ::setresuid(uid, uid, uid) != 0) {
    fail("user '" + names.back() + "' cannot be taken");
  }
}

bool read_only(std::span<const std::string_view> paths) {
  const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 1) return false;
  landlock_ruleset_attr handled{};
  // Everything that the first version knows, moving files from version 2 on, and cutting them short from version 3 on.
  handled.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1U) - 1;
  if (version >= 2) handled.handled_access_fs |= LANDLOCK_ACCESS_FS_MAKE_SYM << 1U;
  if (version >= 3) handled.handled_access_fs |= LANDLOCK_ACCESS_FS_MAKE_SYM << 2U;
  const slot::Fd rules(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, sizeof handled.handled_access_fs, 0)));
  if (!rules) return false;
  for (const std::string_view path : paths) {
    const slot::Fd fd(::open(std::string(path).c_str(), O_PATH | O_CLOEXEC));
    if (!fd) continue;
    struct stat info {};
    landlock_path_beneath_attr rule{};
    rule.parent_fd = fd.get();
    rule.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE;
    if (::fstat(fd.get(), &info) == 0 && S_ISDIR(info.st_mode)) rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_DIR;
    if (::syscall(SYS_landlock_add_rule, rules.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
      fail("a rule for files cannot be made (Landlock)");
    }
  }
  if (::syscall(SYS_landlock_restrict_self, rules.get(), 0) != 0) fail("files cannot be given up (Landlock)");
  return true;
}

}  // namespace slotwire::sandbox
