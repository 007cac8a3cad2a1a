#include "core/carriers/dpdk/doorbell.hpp"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>

#include <array>
#include <stdexcept>

#include "core/pipeline/ethernet.hpp"

namespace slotwire::carriers {
namespace {

/// The kernel takes at least some two kilobytes: room for a few rings, and one is enough.
constexpr int kSocketBytes = 4096;

constexpr std::uint32_t kIp = pipeline::kEthernetBytes, kUdp = kIp + pipeline::kIpv4Bytes;
constexpr std::uint16_t kLoadByte = BPF_LD | BPF_B | BPF_ABS, kLoadHalf = BPF_LD | BPF_H | BPF_ABS,
                        kLoadWord = BPF_LD | BPF_W | BPF_ABS, kIfEqual = BPF_JMP | BPF_JEQ | BPF_K,
                        kIfAtLeast = BPF_JMP | BPF_JGE | BPF_K, kIfAbove = BPF_JMP | BPF_JGT | BPF_K,
                        kAnd = BPF_ALU | BPF_AND | BPF_K, kIfBits = BPF_JMP | BPF_JSET | BPF_K,
                        kReturn = BPF_RET | BPF_K;

constexpr std::uint32_t kTag = static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_VLAN_TAG);

}  // namespace

Doorbell::Doorbell(const std::string& interface, std::uint32_t vlan, std::uint32_t ip, std::uint16_t port,
                   std::uint16_t last_port) {
  const unsigned index = ::if_nametoindex(interface.c_str());
  if (index == 0) throw std::runtime_error("dpdk: there is no interface '" + interface + "'; see: ip link");
  // No protocol yet: nothing arrives before the filter is there.
  socket_ = Fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int fd = socket_.get();
  if (fd < 0) throw_errno("dpdk: opening a raw socket on " + interface + " (needs CAP_NET_RAW)");
  // Jumps count the instructions to leave out; 17 takes, 18 refuses.
  std::array<sock_filter, 19> program{{
      {kLoadWord, 0, 0, kTag},  // 0 where there is none: the kernel has taken it off
      {kAnd, 0, 0, 0xfff},
      {kIfEqual, 0, 15, vlan},
      {kLoadHalf, 0, 0, 12},
      {kIfEqual, 12, 0, ETH_P_ARP},
      {kIfEqual, 0, 12, ETH_P_IP},
      {kLoadByte, 0, 0, kIp},
      {kIfEqual, 0, 10, 0x45},
      {kLoadWord, 0, 0, kIp + 16},
      {kIfEqual, 0, 8, ip},
      {kLoadByte, 0, 0, kIp + 9},
      {kIfEqual, 0, 6, IPPROTO_UDP},
      {kLoadHalf, 0, 0, kIp + 6},
      {kIfBits, 4, 0, 0x3fff},
      {kLoadHalf, 0, 0, kUdp + 2},
      {kIfAtLeast, 0, 2, port},
      {kIfAbove, 1, 0, last_port},
      {kReturn, 0, 0, 1},
      {kReturn, 0, 0, 0},
  }};
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0)
    throw_errno("dpdk: attaching the doorbell's filter on " + interface);
  set_option(fd, SOL_SOCKET, SO_RCVBUF, kSocketBytes);
  set_option(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);  // without it the own frames ring, too
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(index);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw_errno("dpdk: binding the doorbell to " + interface);
}

void Doorbell::answer() noexcept {
  char byte = 0;
  for (int i = 0; i < kMaxRings && ::recv(socket_.get(), &byte, 1, MSG_DONTWAIT | MSG_TRUNC) >= 0; ++i) {
  }
}

}  // namespace slotwire::carriers
