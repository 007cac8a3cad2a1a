// The lists of system calls. Each line of the list of the gate says what needs it.
#include <sys/syscall.h>

#include <array>

#include "runtime/sandbox/sandbox.hpp"

namespace slotwire::sandbox {
namespace {

#define CALL(name)    \
  Call {              \
#name, SYS_##name \
  }

constexpr auto kGate = std::to_array<Call>({
    // Bytes and descriptors.
    CALL(read),
    CALL(write),
    CALL(readv),
    CALL(writev),
    CALL(pread64),
    CALL(close),
    CALL(lseek),
    CALL(fcntl),
    CALL(fstat),
    CALL(newfstatat),
    CALL(ioctl),
    CALL(dup),
    CALL(eventfd2),
    // Sockets: callers, peers, slotwired, the resolver.
    CALL(socket),
    CALL(connect),
    CALL(accept),  // Boost.Asio
    CALL(accept4),
    CALL(bind),
    CALL(getsockname),
    CALL(getpeername),
    CALL(getsockopt),
    CALL(setsockopt),
    CALL(sendto),
    CALL(sendmsg),
    CALL(sendmmsg),
    CALL(recvfrom),
    CALL(recvmsg),
    CALL(recvmmsg),
    CALL(shutdown),
    CALL(socketpair),
    // Waiting.
    CALL(timerfd_create),
    CALL(timerfd_settime),
    CALL(epoll_create1),
    CALL(epoll_ctl),
    CALL(epoll_pwait),
    CALL(ppoll),
    CALL(clock_gettime),
    CALL(clock_nanosleep),
    CALL(nanosleep),
    CALL(gettimeofday),
    CALL(futex),
    CALL(sched_yield),
    CALL(restart_syscall),
    // The resolver's files and modules, and its threads' ends.
    CALL(openat),
    CALL(faccessat),
    CALL(readlinkat),
    CALL(getdents64),
    CALL(uname),
    CALL(statx),
    CALL(sysinfo),
    // Memory.
    CALL(mmap),
    CALL(munmap),
    CALL(mremap),
    CALL(mprotect),
    CALL(madvise),
    CALL(brk),
    // The C library and OpenSSL.
    CALL(getrandom),
    CALL(getpid),
    CALL(gettid),
    CALL(getuid),
    CALL(geteuid),
    CALL(getgid),
    CALL(getegid),
    CALL(rseq),
    CALL(set_robust_list),
    CALL(rt_sigaction),
    CALL(rt_sigprocmask),
    CALL(rt_sigreturn),
    CALL(sigaltstack),
    CALL(exit),
    CALL(exit_group),
    CALL(tgkill),
#ifdef SYS_poll  // architectures with the older calls
    CALL(poll),
    CALL(epoll_wait),
    CALL(open),
    CALL(stat),
    CALL(lstat),
    CALL(access),
    CALL(readlink),
    CALL(time),
#endif
#ifdef SYS_close_range
    CALL(close_range),
#endif
});

constexpr auto kKeeper = std::to_array<Call>({
    CALL(read),         CALL(write),           CALL(close),     CALL(fcntl),        CALL(accept4),
    CALL(getsockopt),   CALL(sendmsg),         CALL(recvmsg),   CALL(ppoll),        CALL(clock_gettime),
    CALL(unlinkat),     CALL(openat),          CALL(flock),     CALL(fstat),        CALL(newfstatat),
    CALL(statx),        CALL(getpid),          CALL(geteuid),   CALL(getrlimit),    CALL(prlimit64),
    CALL(mmap),         CALL(munmap),          CALL(mremap),    CALL(brk),          CALL(madvise),
    CALL(mprotect),     CALL(futex),           CALL(getrandom), CALL(rt_sigaction), CALL(rt_sigprocmask),
    CALL(rt_sigreturn), CALL(restart_syscall), CALL(exit),      CALL(exit_group),   CALL(gettid),
    CALL(tgkill),
#ifdef SYS_poll
    CALL(poll),         CALL(unlink),          CALL(stat),      CALL(lstat),
#endif
});

constexpr auto kRefused = std::to_array<Call>({
    // Of other processes.
    CALL(ptrace),
    CALL(process_vm_readv),
    CALL(process_vm_writev),
    CALL(kcmp),
    CALL(userfaultfd),
    CALL(perf_event_open),
    // Of the system as a whole.
    CALL(mount),
    CALL(umount2),
    CALL(pivot_root),
    CALL(chroot),
    CALL(swapon),
    CALL(swapoff),
    CALL(reboot),
    CALL(kexec_load),
    CALL(kexec_file_load),
    CALL(init_module),
    CALL(finit_module),
    CALL(delete_module),
    CALL(acct),
    CALL(quotactl),
    CALL(settimeofday),
    CALL(clock_settime),
    CALL(adjtimex),
    CALL(clock_adjtime),
    CALL(sethostname),
    CALL(setdomainname),
    CALL(syslog),
    CALL(vhangup),
    CALL(lookup_dcookie),
    CALL(personality),
    // Keys of the kernel, and names of files that go round their directories.
    CALL(add_key),
    CALL(request_key),
    CALL(keyctl),
    CALL(open_by_handle_at),
    CALL(name_to_handle_at),
#ifdef SYS_open_tree
    CALL(open_tree),
    CALL(move_mount),
    CALL(fsopen),
    CALL(fsconfig),
    CALL(fsmount),
    CALL(fspick),
#endif
#ifdef SYS_io_uring_setup
    CALL(io_uring_setup),
    CALL(io_uring_enter),
    CALL(io_uring_register),
#endif
#ifdef SYS_iopl
    CALL(_sysctl),
    CALL(uselib),
    CALL(modify_ldt),
#endif
});

#undef CALL

}  // namespace

std::span<const Call> gate_calls() {
  return kGate;
}
std::span<const Call> keeper_calls() {
  return kKeeper;
}
std::span<const Call> refused_calls() {
  return kRefused;
}

}  // namespace slotwire::sandbox
