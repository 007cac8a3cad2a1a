// A port in a VLAN and the kernel as another host there.
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <array>
#include <atomic>
#include <cstring>
#include <thread>

#include "carrier/conformance.hpp"
#include "core/carriers/udp.hpp"
#include "ports.hpp"
#include "steering_frames.hpp"

namespace slotwire::test {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ManyLinksConformance);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ConnectionConformance);

namespace {

constexpr unsigned kVlan = 7, kOtherVlan = 8;

/// What a switch does for a host in a VLAN that knows nothing of it: takes the tag off the frames from side 1 of the
/// wire and puts it on those to there. The kernel's own VLAN interfaces would do, where it has them.
class AccessPort {
 public:
  AccessPort(unsigned vlan, const std::string& address) : vlan_(vlan) {
    const std::string inside = "switch" + std::to_string(vlan);
    made_ = run_ip({"link", "add", interface(vlan), "type", "veth", "peer", "name", inside}) &&
            run_ip({"link", "set", inside, "up"}) && run_ip({"link", "set", interface(vlan), "up"}) &&
            run_ip({"addr", "add", address, "dev", interface(vlan)});
    if (!made_) return;
    trunk_ = open(interface_of(1));
    access_ = open(inside);
    thread_ = std::thread([this] { run(); });
  }
  ~AccessPort() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  AccessPort(const AccessPort&) = delete;
  AccessPort& operator=(const AccessPort&) = delete;

  bool made() const { return made_; }
  /// Where the host is.
  static std::string interface(unsigned vlan) { return "host" + std::to_string(vlan); }

 private:
  static carriers::Fd open(const std::string& name) {
    carriers::Fd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int one = 1, room = 8 << 20;  // no frame is lost here
    EXPECT_EQ(::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room), 0);
    EXPECT_EQ(::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room), 0);
    EXPECT_EQ(::setsockopt(fd.get(), SOL_PACKET, PACKET_AUXDATA, &one, sizeof one), 0);
    EXPECT_EQ(::setsockopt(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one), 0);
    sockaddr_ll at{};
    at.sll_family = AF_PACKET;
    at.sll_protocol = htons(ETH_P_ALL);
    at.sll_ifindex = static_cast<int>(::if_nametoindex(name.c_str()));
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
    return fd;
  }
  /// The next frame, without its tag; its VLAN, 0: none. Empty: there is none now.
  static Bytes receive(int fd, unsigned& vlan) {
    Bytes frame(4096);
    iovec data{frame.data(), frame.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(tpacket_auxdata))> control{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t bytes = ::recvmsg(fd, &message, 0);
    if (bytes <= 0) return {};
    frame.resize(static_cast<std::size_t>(bytes));
    vlan = 0;
    if (const cmsghdr* const one = CMSG_FIRSTHDR(&message); one != nullptr && one->cmsg_type == PACKET_AUXDATA) {
      tpacket_auxdata aux{};
      std::memcpy(&aux, CMSG_DATA(one), sizeof aux);
      if ((aux.tp_status & TP_STATUS_VLAN_VALID) != 0) vlan = aux.tp_vlan_tci & 0xfffU;
    }
    return frame;
  }
  void run() {
    constexpr int kLookMs = 5;  // so long the end may go unnoticed
    while (!stop_) {
      std::array<pollfd, 2> entries{{{trunk_.get(), POLLIN, 0}, {access_.get(), POLLIN, 0}}};
      ::poll(entries.data(), entries.size(), kLookMs);
      unsigned vlan = 0;
      for (Bytes frame = receive(trunk_.get(), vlan); !frame.empty(); frame = receive(trunk_.get(), vlan)) {
        if (vlan == vlan_) ::send(access_.get(), frame.data(), frame.size(), 0);
      }
      for (Bytes frame = receive(access_.get(), vlan); !frame.empty(); frame = receive(access_.get(), vlan)) {
        const Bytes out = tagged(frame, vlan_);
        ::send(trunk_.get(), out.data(), out.size(), 0);
      }
    }
  }

  unsigned vlan_;
  bool made_ = false;
  carriers::Fd trunk_, access_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

/// The kernel as a host in the VLAN of the port.
std::string lacks_vlan() {
  if (const std::string missing = lacks_ports(Wire::af_packet); !missing.empty()) return missing;
  static const AccessPort host(kVlan, "10.77.0.2/24");
  return host.made() ? "" : "the host in a VLAN cannot be made (ip link add ... type veth)";
}

std::uint64_t mac_of(const std::string& interface) {
  const carriers::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  interface.copy(request.ifr_name, sizeof request.ifr_name - 1);
  EXPECT_EQ(::ioctl(socket.get(), SIOCGIFHWADDR, &request), 0);
  std::uint64_t mac = 0;
  for (int i = 0; i < 6; ++i) mac = mac << 8U | static_cast<std::uint8_t>(request.ifr_hwaddr.sa_data[i]);
  return mac;
}

std::unique_ptr<carriers::DpdkCarrier> open_port() {
  carriers::DpdkOptions options = port_options(0);
  options.vlan = kVlan;
  return carriers::open_dpdk(options);
}

std::unique_ptr<carriers::UdpCarrier> open_udp(const std::string& address) {
  carriers::UdpOptions options;
  options.bind = carriers::Address::parse(address);
  options.gso = false;  // the kernel's end of a virtual wire does not cut what the port's is to get
  return std::make_unique<carriers::UdpCarrier>(options);
}

/// Side 0 the port, side 1 the kernel.
class VlanPair final : public Pair {
 public:
  VlanPair() {
    for (int side = 0; side < 2; ++side) make(side);
  }
  Carrier& carrier(int side) override { return side == 0 ? static_cast<Carrier&>(*port_) : *udp_; }
  void join(std::uint16_t link) override {
    for (int side = 0; side < 2; ++side) add(side, link);
    joined_.push_back(link);
  }
  void part(int side, std::uint16_t link) override { side == 0 ? port_->remove_link(link) : udp_->remove_link(link); }
  void restart(int side) override {
    side == 0 ? port_.reset() : udp_.reset();
    make(side);
    for (const auto link : joined_) add(side, link);
  }
  std::size_t intrude(int side) override {
    Endpoint to{mac_of(AccessPort::interface(kVlan)), 0x0a4d'0002, 7401};
    if (side == 0) to = endpoint_of(*port_, 0);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(put_on_wire(side, tagged(datagram(to), kVlan)));
    return 3;
  }

 private:
  void make(int side) {
    if (side == 0) {
      port_ = open_port();
    } else {
      udp_ = open_udp("10.77.0.2:7401");
    }
  }
  void add(int side, std::uint16_t link) {
    if (side == 0) {
      port_->add_link(link, udp_->local_address());
    } else {
      udp_->add_link(link, port_->local_address());
    }
  }

  std::unique_ptr<carriers::DpdkCarrier> port_;
  std::unique_ptr<carriers::UdpCarrier> udp_;
  std::vector<std::uint16_t> joined_;
};

const Factory kVlanPair{"af_packet_and_kernel", [] { return std::make_unique<VlanPair>(); }, lacks_vlan};

INSTANTIATE_TEST_SUITE_P(DpdkVlan, Conformance, testing::Values(kVlanPair), name_of);
INSTANTIATE_TEST_SUITE_P(DpdkVlan, NetworkConformance, testing::Values(kVlanPair), name_of);

TEST(DpdkVlan, ANodeInAnotherVlanIsNotHeard) {
  if (const std::string missing = lacks_vlan(); !missing.empty()) GTEST_SKIP() << missing;
  const AccessPort host(kOtherVlan, "10.79.0.2/24");
  ASSERT_TRUE(host.made());
  const auto port = open_port();
  // The kernel sends to the port through the one VLAN, then through the other.
  const auto route = [&](const char* verb, unsigned vlan) {
    return run_ip({"neigh", "replace", "10.77.0.1", "lladdr", port->port().mac, "dev", AccessPort::interface(vlan)}) &&
           run_ip({"route", verb, "10.77.0.1/32", "dev", AccessPort::interface(vlan)});
  };
  const auto other = open_udp("10.79.0.2:7401");
  other->add_link(0, port->local_address());
  Recorder sink, other_sink;
  const std::vector<Side> both{{port.get(), &sink}, {other.get(), &other_sink}};
  ASSERT_TRUE(pump(both, [&] { return other_sink.is_up(0); }));
  Frames frames(5);
  frames.add(0, kLine);
  ASSERT_TRUE(route("add", kOtherVlan));
  const std::uint64_t before = port->port().rx_other;
  other->send(frames.list());
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (port->port().rx_other == before && std::chrono::steady_clock::now() < end) port->poll(now_us(), 64, sink);
  EXPECT_GT(port->port().rx_other, before);
  EXPECT_EQ(port->counters().rx_unknown_peer, 0U);
  ASSERT_TRUE(route("replace", kVlan));
  other->send(frames.list());
  EXPECT_TRUE(pump(both, [&] { return port->counters().rx_unknown_peer == 1; })) << "a stranger, but heard";
}

}  // namespace
}  // namespace slotwire::test
