#include "ports.hpp"

#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <vector>

extern char** environ;

namespace slotwire::test {
namespace {

std::string prepare() {
  if (::geteuid() != 0) return "raw sockets and network namespaces need root";
  if (::unshare(CLONE_NEWNET) != 0)
    return "this host lets nobody make a network namespace: " + carriers::errno_text(errno);
  if (!run_ip({"link", "add", interface_of(0), "type", "veth", "peer", "name", interface_of(1)}))
    return "virtual Ethernet interfaces cannot be made (ip link add ... type veth)";
  for (const int side : {0, 1}) {
    if (!run_ip({"link", "set", interface_of(side), "up"})) return "an interface cannot be brought up";
  }
  return {};
}

/// Where the socket of the vhost port is; goes with the process.
class Directory {
 public:
  Directory() : path_((std::filesystem::temp_directory_path() / "slotwire-test-XXXXXX").string()) {
    if (::mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~Directory() {
    std::error_code none;
    std::filesystem::remove_all(path_, none);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

const std::string& directory() {
  static const Directory one;
  return one.path();
}

}  // namespace

bool run_ip(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "ip");
  std::vector<char*> pointers;
  pointers.reserve(arguments.size() + 1);
  for (auto& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  pid_t child = 0;
  if (::posix_spawnp(&child, "ip", nullptr, nullptr, pointers.data(), environ) != 0) return false;
  int status = 0;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

std::string lacks_ports(Wire wire) {
  if (wire == Wire::vhost) {
    std::signal(SIGPIPE, SIG_IGN);  // as slotwired does: net_virtio_user writes to a peer that may have gone
    return directory().empty() ? "no directory can be made for a socket" : "";
  }
  static const std::string lacks = prepare();
  if (!lacks.empty() || wire == Wire::af_packet) return lacks;
  if (const std::string_view missing = SLOTWIRE_TEST_NO_XDP; !missing.empty()) return std::string(missing);
  const carriers::Fd socket(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  return socket ? "" : "this kernel has no XDP sockets: " + carriers::errno_text(errno);
}

std::string interface_of(int side) {
  return side == 0 ? "wire0" : "wire1";
}

carriers::DpdkOptions port_options(int side, Wire wire, std::size_t queues) {
  carriers::DpdkOptions options;
  const std::string number = std::to_string(side), several = std::to_string(queues);
  options.queues = queues;
  switch (wire) {
    case Wire::af_packet:
      options.device = "net_af_packet" + number + ",iface=" + interface_of(side) + ",qpairs=" + several;
      break;
    case Wire::af_xdp:
      options.device = "net_af_xdp" + number + ",iface=" + interface_of(side);
      break;
    case Wire::vhost:
      options.device =
          (side == 0 ? "net_vhost0,iface=" : "net_virtio_user1,path=") + directory() + "/wire,queues=" + several;
      if (side == 1 && queues > 1) options.device += ",cq=1";
      break;
  }
  options.address = carriers::Address::parse("10.77.0." + std::to_string(1 + side) + ":7401");
  options.eal.hugepages = false;
  options.eal.memory = std::size_t{128} << 20;
  return options;
}

pipeline::Endpoint endpoint_of(const carriers::DpdkCarrier& carrier, int side) {
  std::uint64_t mac = 0;
  for (const char c : carrier.port().mac) {
    if (c != ':') mac = mac << 4U | static_cast<std::uint64_t>(c <= '9' ? c - '0' : c - 'a' + 10);
  }
  return {mac, 0x0a4d'0001U + static_cast<std::uint32_t>(side), 7401};
}

bool put_on_wire(int side, std::span<const std::byte> frame) {
  static const carriers::Fd wire(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));  // closing one takes the kernel long
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(::if_nametoindex(interface_of(1 - side).c_str()));
  return ::sendto(wire.get(), frame.data(), frame.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to) ==
         static_cast<ssize_t>(frame.size());
}

std::vector<std::byte> arp_of_peer(const pipeline::Endpoint& peer, const pipeline::Endpoint& port, bool asks) {
  std::vector<std::byte> frame(60);
  const auto put = [&](std::size_t at, std::uint64_t value, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i)
      frame[at + i] = static_cast<std::byte>(value >> (8 * (bytes - 1 - i)) & 0xffU);
  };
  put(0, port.mac, 6);
  put(6, peer.mac, 6);
  put(12, 0x0806, 2);
  put(14, 0x0001'0800'0604, 6);
  put(20, asks ? 1 : 2, 2);
  put(22, peer.mac, 6);
  put(28, peer.ip, 4);
  put(32, port.mac, 6);
  put(38, port.ip, 4);
  return frame;
}

}  // namespace slotwire::test
