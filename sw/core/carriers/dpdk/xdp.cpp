#include "core/carriers/dpdk/xdp.hpp"

#include <net/if.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <stdexcept>
#include <vector>

#ifdef SLOTWIRE_XDP_OBJECT
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

// The compiled program, as a file of its own that the driver can load.
__asm__(
    ".pushsection .rodata\n"
    "slotwire_xdp_begin: .incbin \"" SLOTWIRE_XDP_OBJECT
    "\"\n"
    "slotwire_xdp_end:\n"
    ".popsection\n");
extern "C" const std::byte slotwire_xdp_begin[], slotwire_xdp_end[];
#endif

namespace slotwire::carriers {

#ifdef SLOTWIRE_XDP_OBJECT
namespace {

constexpr std::string_view kMark = "slotwire";
/// As the kernel keeps it: fifteen characters.
constexpr std::string_view kProgramName = "slotwire_steer";

/// Only a process of the same network namespace can have it, and the kernel takes it back when that ends.
Fd claim(const std::string& interface, unsigned index) {
  Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  const std::string text = "slotwire-xdp-" + std::to_string(index);
  text.copy(name.sun_path + 1, sizeof name.sun_path - 1);
  const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + text.size());
  if (!socket || ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&name), bytes) != 0) {
    if (errno == EADDRINUSE) {
      throw std::runtime_error("dpdk: the interface '" + interface +
                               "' has a port of another slotwired already (the socket @" + text +
                               " is taken; see: ss -xlp); use another interface");
    }
    throw_errno("dpdk: claiming the interface " + interface);
  }
  return socket;
}

void detach_leftover(unsigned index) {
  std::uint32_t id = 0;
  if (::bpf_xdp_query_id(static_cast<int>(index), 0, &id) != 0 || id == 0) return;
  const Fd program(::bpf_prog_get_fd_by_id(id));
  bpf_prog_info info{};
  std::uint32_t bytes = sizeof info;
  if (!program || ::bpf_obj_get_info_by_fd(program.get(), &info, &bytes) != 0 || kProgramName != info.name) return;
  ::bpf_xdp_detach(static_cast<int>(index), 0, nullptr);
}

Fd object_for(unsigned vlan, const pipeline::Endpoint& own) {
  std::vector<std::byte> object(slotwire_xdp_begin, slotwire_xdp_end);
  const auto mark = std::as_bytes(std::span(kMark));
  auto at = std::search(object.begin(), object.end(), mark.begin(), mark.end());
  // The mark also begins names; its place is where nothing is filled in yet.
  const auto is_place = [&](auto place) {
    return object.end() - place >= 16 &&
           std::all_of(place + 8, place + 16, [](std::byte byte) { return byte == std::byte{0}; });
  };
  while (at != object.end() && !is_place(at)) at = std::search(at + 1, object.end(), mark.begin(), mark.end());
  if (at == object.end()) throw std::runtime_error("dpdk: the XDP program of this build is not what it should be");
  const std::uint32_t ip = htonl(own.ip);
  const std::uint16_t port = htons(own.port), tag = htons(static_cast<std::uint16_t>(vlan));
  std::memcpy(&*at + 8, &ip, sizeof ip);
  std::memcpy(&*at + 12, &port, sizeof port);
  std::memcpy(&*at + 14, &tag, sizeof tag);
  Fd file(::memfd_create("slotwire-xdp", MFD_CLOEXEC));
  if (!file || ::write(file.get(), object.data(), object.size()) != static_cast<ssize_t>(object.size()))
    throw_errno("dpdk: making the XDP program");
  return file;
}

}  // namespace

std::unique_ptr<XdpSteering> XdpSteering::on_interface(const std::string& interface, unsigned vlan,
                                                       const pipeline::Endpoint& own) {
  const unsigned index = ::if_nametoindex(interface.c_str());
  if (index == 0) throw std::runtime_error("dpdk: there is no interface '" + interface + "'; see: ip link");
  Fd claimed = claim(interface, index);
  detach_leftover(index);
  return std::unique_ptr<XdpSteering>(new XdpSteering(index, std::move(claimed), object_for(vlan, own)));
}

XdpSteering::~XdpSteering() {
  detach_leftover(index_);  // the driver does not always
}
#else
std::unique_ptr<XdpSteering> XdpSteering::on_interface(const std::string&, unsigned, const pipeline::Endpoint&) {
  return nullptr;
}

XdpSteering::~XdpSteering() = default;
#endif

}  // namespace slotwire::carriers
