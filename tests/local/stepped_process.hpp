// A process that stops after every store to memory that it shares, and before and after every system call. What other
// processes can see of it changes nowhere else, so these are all the points at which its death can make a difference.
//
// It is traced. Its shared mappings are made read-only; a store faults, is let through alone, and is a point. x86-64.
#pragma once
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <system_error>

namespace slotwire::blocks::test {

/// A system call instruction that the traced process is made to run, and the address after it.
extern "C" const char slotwire_test_call[], slotwire_test_called[];
// NOLINTNEXTLINE(hicpp-no-assembler): there is no other way to have its address.
asm(R"(
  .pushsection .text
  .globl slotwire_test_call, slotwire_test_called
  slotwire_test_call: syscall
  slotwire_test_called: int3
  .popsection
)");

class SteppedProcess {
 public:
  /// Where it has stopped.
  enum class Point : std::uint8_t { enters_call, leaves_call, has_stored, has_ended };

  /// `protects`: stores are points from the start; else from protect() on. Throws std::system_error if tracing is not
  /// allowed.
  SteppedProcess(const std::function<int()>& body, bool protects) : protects_(protects) {
    pid_ = ::fork();
    if (pid_ == 0) {
      if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(98);
      ::raise(SIGSTOP);
      int status = 99;
      try {
        status = body();
      } catch (const std::exception& error) {
        std::fprintf(stderr, "stepped process: %s\n", error.what());
      }
      ::_exit(status);
    }
    int status = 0;
    ::waitpid(pid_, &status, 0);
    if (!WIFSTOPPED(status)) {
      pid_ = -1;
      throw std::system_error(EPERM, std::generic_category(), "a process cannot be traced here");
    }
    check(PTRACE_SETOPTIONS, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  }
  SteppedProcess(const SteppedProcess&) = delete;
  SteppedProcess& operator=(const SteppedProcess&) = delete;
  ~SteppedProcess() { kill(); }

  /// Goes on to the next point.
  Point step() {
    while (true) {
      check(PTRACE_SYSCALL, 0);
      int status = 0;
      ::waitpid(pid_, &status, 0);
      if (WIFEXITED(status) || WIFSIGNALED(status)) {
        status_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        pid_ = -1;
        return Point::has_ended;
      }
      if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
        ++calls_;
        in_call_ = !in_call_;
        ::ptrace(PTRACE_GETREGS, pid_, nullptr, &registers_);
        if (!in_call_) look_at_call();
        return in_call_ ? Point::enters_call : Point::leaves_call;
      }
      if (WSTOPSIG(status) == SIGSEGV && store()) return Point::has_stored;
      throw std::runtime_error("the stepped process got signal " + std::to_string(WSTOPSIG(status)));
    }
  }
  /// From here on stores are points. After a call.
  void protect() {
    protects_ = true;
    for (const auto& [start, bytes] : mappings_) protect(start, bytes, PROT_READ);
  }
  /// Kills it where it is.
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    // Stops that were under way are reported first.
    for (int status = 0; ::waitpid(pid_, &status, 0) == pid_ && WIFSTOPPED(status);) {
    }
    pid_ = -1;
  }

  pid_t pid() const { return pid_; }
  /// Exit status; the signal's negative number.
  int status() const { return status_; }
  /// Points at calls so far.
  std::size_t calls() const { return calls_; }
  /// Number and arguments of the call that it enters or leaves.
  std::uint64_t call() const { return registers_.orig_rax; }
  std::uint64_t result() const { return registers_.rax; }
  std::uint64_t second() const { return registers_.rsi; }
  std::uint64_t third() const { return registers_.rdx; }
  /// Called with the descriptor of each file that it maps for writing.
  std::function<void(int)> maps;

 private:
  void check(__ptrace_request request, std::uintptr_t data) const {
    if (::ptrace(request, pid_, nullptr, data) != 0)
      throw std::system_error(errno, std::generic_category(), "the stepped process cannot be traced");
  }
  void look_at_call() {
    if (call() == SYS_mmap && (registers_.rdx & PROT_WRITE) != 0 && (registers_.r10 & MAP_SHARED) != 0 &&
        static_cast<int>(registers_.r8) >= 0 && result() < std::uint64_t(-4096)) {
      mappings_[result()] = registers_.rsi;
      if (maps) maps(static_cast<int>(registers_.r8));
      if (protects_) protect(registers_.rax, registers_.rsi, PROT_READ);
    }
    if (call() == SYS_munmap) mappings_.erase(registers_.rdi);
  }
  /// Lets a store through that faulted. False: it was none to shared memory.
  bool store() {
    siginfo_t fault{};
    ::ptrace(PTRACE_GETSIGINFO, pid_, nullptr, &fault);
    const auto address = reinterpret_cast<std::uintptr_t>(fault.si_addr);
    auto mapping = mappings_.upper_bound(address);
    if (mapping == mappings_.begin()) return false;
    --mapping;
    if (address - mapping->first >= mapping->second) return false;
    protect(mapping->first, mapping->second, PROT_READ | PROT_WRITE);
    single_step();
    protect(mapping->first, mapping->second, PROT_READ);
    return true;
  }
  void single_step() {
    check(PTRACE_SINGLESTEP, 0);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
      throw std::runtime_error("the stepped process did not step: wait status " + std::to_string(status));
  }
  /// Has the process itself call mprotect().
  void protect(std::uint64_t start, std::uint64_t bytes, int access) {
    user_regs_struct before{};
    ::ptrace(PTRACE_GETREGS, pid_, nullptr, &before);
    user_regs_struct call = before;
    call.rip = reinterpret_cast<std::uintptr_t>(&slotwire_test_call);
    call.rax = SYS_mprotect;
    call.orig_rax = ~std::uint64_t{0};
    call.rdi = start;
    call.rsi = bytes;
    call.rdx = static_cast<std::uint64_t>(access);
    ::ptrace(PTRACE_SETREGS, pid_, nullptr, &call);
    do {
      single_step();
      ::ptrace(PTRACE_GETREGS, pid_, nullptr, &call);
    } while (call.rip != reinterpret_cast<std::uintptr_t>(&slotwire_test_called));
    if (call.rax != 0) throw std::runtime_error("mprotect in the stepped process failed");
    before.orig_rax = ~std::uint64_t{0};
    ::ptrace(PTRACE_SETREGS, pid_, nullptr, &before);
  }

  pid_t pid_ = -1;
  bool protects_;
  bool in_call_ = false;
  int status_ = 0;
  std::size_t calls_ = 0;
  user_regs_struct registers_{};
  std::map<std::uint64_t, std::uint64_t> mappings_;  ///< shared and written: start, bytes
};

}  // namespace slotwire::blocks::test
