// slotwire-gate: talks to other nodes for a slotwired, which starts it with their socket as descriptor 3.
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>

#include "runtime/gate/gate.hpp"
#include "runtime/http/heap.hpp"
#include "runtime/sandbox/sandbox.hpp"

namespace {

using namespace slotwire;
using control::GateKind;

constexpr int kPacketsFd = 3;
constexpr std::size_t kQueuedPackets = 65'536;  // what may wait is bounded by the windows of the channels
constexpr std::size_t kResolverThreads = 4;
constexpr int kGateNice = 5;  // a third of the weight of a process at 0

int fail(control::PacketSocket& packets, const std::string& why) {
  packets.send(control::encode_gate(control::gate_packet(GateKind::failed, 0, control::GateText{why})));
  return 1;
}

/// Of one process, as slotwired's figures need it.
void limit(const control::GateSetup& figures) {
  constexpr rlim_t kBase = rlim_t{3} << 30U, kPerChannel = rlim_t{16} << 20U;
  constexpr rlim_t kOwnFiles = 64, kHostsPerLink = 3;
  // Connections of sessions over HTTP: requests under way, and what is idle between them.
  constexpr rlim_t kHttpFilesPerLink = 2 * 66;
  const auto set = [](auto resource, rlim_t most) {
    rlimit now{};
    ::getrlimit(resource, &now);
    now.rlim_cur = now.rlim_max = std::min(most, now.rlim_max);
    ::setrlimit(resource, &now);
  };
  const rlim_t channels = figures.channels;
  set(RLIMIT_NOFILE, kOwnFiles + (2 + kHttpFilesPerLink) * channels + figures.callers +
                         kHostsPerLink * channels * figures.callers_per_source);
  set(RLIMIT_FSIZE, 0);
  // Sanitizers reserve more than there is.
  if (sandbox::filters()) set(RLIMIT_AS, kBase + kPerChannel * (channels + figures.callers));
}

/// Everything that it will not need. The filter of system calls comes last, after the resolver's threads were made.
void give_up(const control::GateSetup& figures) {
  limit(figures);
  sandbox::become(figures.user);
  sandbox::gain_nothing();
  sandbox::hide_memory();
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // after the change of user, which clears it
  static_cast<void>(sandbox::read_only(gate::kFiles));
}

int print_sandbox() {
  std::printf("files (read only, with Landlock):");
  for (const std::string_view path : gate::kFiles) std::printf(" %.*s", static_cast<int>(path.size()), path.data());
  std::printf("\nsystem calls:");
  for (const sandbox::Call& call : sandbox::gate_calls()) {
    std::printf(" %.*s", static_cast<int>(call.name.size()), call.name.data());
  }
  std::printf("\n");
  return 0;
}

int serve() {
  ::prctl(PR_SET_NAME, "slotwire-gate");
  // Ended by slotwired alone: by its end, or by closing the socket.
  // What strangers ask of it must not take the processor away from those who have connections.
  (void)::setpriority(PRIO_PROCESS, 0, kGateNice);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM}) {
    ::signal(number, SIG_IGN);
  }
  ::fcntl(kPacketsFd, F_SETFD, FD_CLOEXEC);
  http::keep_freed_memory();
  control::PacketSocket packets(slot::Fd(kPacketsFd), control::kGatePacket, kQueuedPackets);
  pollfd wait{packets.fd(), POLLIN, 0};
  ::poll(&wait, 1, -1);
  control::Packet packet;
  if (packets.receive(packet) != control::PacketChannel::Got::packet) return 1;
  core::Result<gate::Setup> setup = gate::take_setup(std::move(packet), GateKind::setup);
  if (!setup.ok()) return fail(packets, setup.error().text);
  try {
    give_up(setup.value().figures);
    // Never destroyed: its threads may be within the system's resolver when the process ends.
    auto* const resolver = new gate::Resolver(kResolverThreads, control::kMaxAddresses, gate::look_up);
    gate::Gate served(packets, std::move(setup).value(), *resolver);
    sandbox::allow_only(sandbox::gate_calls(), sandbox::Otherwise::end);
    return served.run();
  } catch (const std::exception& error) {
    return fail(packets, error.what());
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    std::puts("slotwire-gate " SLOTWIRE_VERSION);
    return 0;
  }
  if (argc == 2 && std::string_view(argv[1]) == "--print-sandbox") return print_sandbox();
  int type = 0;
  socklen_t size = sizeof type;
  if (argc != 1 || ::getsockopt(kPacketsFd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET) {
    std::fputs("slotwire-gate: slotwired starts this program; see slotwired(8)\n", stderr);
    return 2;
  }
  ::_exit(serve());
}
