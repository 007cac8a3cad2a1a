#include "web/bridge/socket_owner.hpp"

#include <arpa/inet.h>
#include <dirent.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>

#include "core/slot/memory.hpp"

namespace slotwire::web::bridge {
namespace {

/// Kept of an answer of the kernel: listening sockets of one port.
constexpr std::size_t kMostOwners = 64;
constexpr std::size_t kDiagBytes = std::size_t{16} << 10U;
/// Parents of a process that are looked at.
constexpr int kMostParents = 64;

/// An address of either family as IPv6 has it.
struct SocketPlace {
  in6_addr address{};
  in_port_t port = 0;  ///< as on the wire
  bool operator==(const SocketPlace& other) const {
    return port == other.port && std::memcmp(&address, &other.address, sizeof address) == 0;
  }
};

in6_addr mapped(const void* ipv4) {
  constexpr std::size_t kPrefix = 12;
  in6_addr address{};
  address.s6_addr[kPrefix - 2] = address.s6_addr[kPrefix - 1] = 0xff;
  std::memcpy(&address.s6_addr[kPrefix], ipv4, sizeof(in_addr));
  return address;
}

/// False: no address of TCP.
bool place_of(const sockaddr_storage& storage, SocketPlace& out) {
  if (storage.ss_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &storage, sizeof in);
    out = {mapped(&in.sin_addr), in.sin_port};
    return true;
  }
  if (storage.ss_family != AF_INET6) return false;
  sockaddr_in6 in{};
  std::memcpy(&in, &storage, sizeof in);
  out = {in.sin6_addr, in.sin6_port};
  return true;
}

bool is_loopback(const in6_addr& address) {
  constexpr std::size_t kFirstOfIpv4 = 12;
  constexpr std::uint8_t kLoopback = 127;
  return IN6_IS_ADDR_LOOPBACK(&address) ||
         (IN6_IS_ADDR_V4MAPPED(&address) && address.s6_addr[kFirstOfIpv4] == kLoopback);
}

/// Whether a socket that listens there gets the connections to `place`.
bool gets(const inet_diag_msg& socket, bool only_ipv6, const SocketPlace& place) {
  const bool to_ipv4 = IN6_IS_ADDR_V4MAPPED(&place.address);
  in6_addr bound{};
  if (socket.idiag_family == AF_INET) {
    if (!to_ipv4) return false;
    if (socket.id.idiag_src[0] == htonl(INADDR_ANY)) return true;
    bound = mapped(socket.id.idiag_src);
  } else {
    std::memcpy(&bound, socket.id.idiag_src, sizeof bound);
    if (IN6_IS_ADDR_UNSPECIFIED(&bound)) return !to_ipv4 || !only_ipv6;
  }
  return std::memcmp(&bound, &place.address, sizeof bound) == 0;
}

bool is_only_ipv6(const nlmsghdr& header, const inet_diag_msg& socket) {
  std::size_t left = header.nlmsg_len - NLMSG_LENGTH(sizeof socket);
  const char* at = reinterpret_cast<const char*>(&socket) + NLMSG_ALIGN(sizeof socket);
  while (left >= sizeof(nlattr)) {
    nlattr attribute{};
    std::memcpy(&attribute, at, sizeof attribute);
    const std::size_t length = NLA_ALIGN(attribute.nla_len);
    if (attribute.nla_len < sizeof attribute || length > left) return false;
    if (attribute.nla_type == INET_DIAG_SKV6ONLY && attribute.nla_len > NLA_HDRLEN) return at[NLA_HDRLEN] != 0;
    at += length;
    left -= length;
  }
  return false;
}

/// Adds the listening sockets of one family. False: the kernel did not say.
bool add_listening(int diag, std::uint8_t family, const SocketPlace& place, std::vector<SocketOwner>& owners) {
  struct {
    nlmsghdr header;
    inet_diag_req_v2 request;
  } asked{};
  asked.header.nlmsg_len = sizeof asked;
  asked.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  asked.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  asked.request.sdiag_family = family;
  asked.request.sdiag_protocol = IPPROTO_TCP;
  asked.request.idiag_states = 1U << TCP_LISTEN;
  asked.request.id.idiag_sport = place.port;
  if (::send(diag, &asked, sizeof asked, 0) != static_cast<ssize_t>(sizeof asked)) return false;
  alignas(nlmsghdr) std::array<char, kDiagBytes> answer{};
  for (;;) {
    // The kernel has written its answer, or a part of it, when send() returns: this does not wait.
    const ssize_t n = ::recv(diag, answer.data(), answer.size(), MSG_DONTWAIT);
    if (n <= 0) return false;
    auto left = static_cast<std::uint32_t>(n);
    for (const auto* header = reinterpret_cast<const nlmsghdr*>(answer.data()); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type == NLMSG_DONE) return true;
      if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY || header->nlmsg_len < NLMSG_LENGTH(sizeof(inet_diag_msg)))
        return false;
      inet_diag_msg socket{};
      const auto* const data = static_cast<const inet_diag_msg*>(NLMSG_DATA(header));
      std::memcpy(&socket, data, sizeof socket);
      if (socket.id.idiag_sport != place.port || !gets(socket, is_only_ipv6(*header, *data), place)) continue;
      // Sockets that share a port are of one user, so those beyond the limit say nothing new.
      if (owners.size() < kMostOwners) owners.push_back({socket.idiag_uid, 0, socket.idiag_inode});
    }
  }
}

SocketOwners tcp_owners(int fd, const sockaddr_storage& peer) {
  SocketPlace place;
  SocketPlace own;
  sockaddr_storage self{};
  socklen_t length = sizeof self;
  if (!place_of(peer, place) || ::getsockname(fd, reinterpret_cast<sockaddr*>(&self), &length) != 0 ||
      !place_of(self, own))
    return {};
  // A connection to an address of this machine comes from that address, unless somebody bound it to another one.
  if (!is_loopback(place.address) && std::memcmp(&place.address, &own.address, sizeof own.address) != 0) return {};
  const slot::Fd diag(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  SocketOwners found;
  if (!diag || !add_listening(diag.get(), AF_INET, place, found.owners) ||
      !add_listening(diag.get(), AF_INET6, place, found.owners))
    return {};
  found.known = true;
  return found;
}

bool parse_pid(const char* text, pid_t& out) {
  const char* const end = text + std::strlen(text);
  const auto [at, error] = std::from_chars(text, end, out);
  return error == std::errc{} && at == end && out > 0;
}

/// 0: there is none, or it is not known.
pid_t parent_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  if (!std::getline(file, text, '\0')) return 0;
  // "77 (a name) S 1 ...": the name may have whatever it likes in it.
  const std::size_t name = text.rfind(") ");
  if (name == std::string::npos) return 0;
  pid_t parent = 0;
  const std::size_t at = name + std::strlen(") S ");
  if (at >= text.size() || std::from_chars(text.data() + at, text.data() + text.size(), parent).ec != std::errc{})
    return 0;
  return parent;
}

bool is_of_group(pid_t pid, pid_t leader) {
  for (int i = 0; i < kMostParents && pid > 1; ++i, pid = parent_of(pid)) {
    if (pid == leader || ::getpgid(pid) == leader) return true;
  }
  return false;
}

using Directory = std::unique_ptr<DIR, int (*)(DIR*)>;

bool has_socket(pid_t pid, std::uint64_t inode) {
  const std::string path = "/proc/" + std::to_string(pid) + "/fd";
  const Directory directory(::opendir(path.c_str()), ::closedir);
  if (!directory) return false;
  const std::string wanted = "socket:[" + std::to_string(inode) + "]";
  std::array<char, 64> target{};
  while (const dirent* const entry = ::readdir(directory.get())) {
    const ssize_t n = ::readlinkat(::dirfd(directory.get()), entry->d_name, target.data(), target.size());
    if (n > 0 && std::string_view(target.data(), static_cast<std::size_t>(n)) == wanted) return true;
  }
  return false;
}

/// The first process that `is_meant` names and that has the socket; 0: none.
pid_t find_process(std::uint64_t inode, const std::function<bool(pid_t)>& is_meant) {
  const Directory directory(::opendir("/proc"), ::closedir);
  if (!directory) return 0;
  while (const dirent* const entry = ::readdir(directory.get())) {
    pid_t pid = 0;
    if (parse_pid(entry->d_name, pid) && is_meant(pid) && has_socket(pid, inode)) return pid;
  }
  return 0;
}

std::string name_of_user(uid_t user) {
  const passwd* const entry = ::getpwuid(user);
  return entry == nullptr ? std::to_string(user) : "'" + std::string(entry->pw_name) + "'";
}

}  // namespace

SocketOwners owners_of_peer(int fd) {
  sockaddr_storage peer{};
  socklen_t length = sizeof peer;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) != 0) return {};
  if (peer.ss_family != AF_UNIX) return tcp_owners(fd, peer);
  ucred who{};
  length = sizeof who;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) != 0) return {};
  return {true, {{who.uid, who.pid, 0}}};
}

bool belongs_to_group(const SocketOwner& owner, pid_t leader) {
  if (owner.inode == 0) return is_of_group(owner.pid, leader);
  return find_process(owner.inode, [leader](pid_t pid) { return is_of_group(pid, leader); }) != 0;
}

std::string text_of(const SocketOwner& owner) {
  std::string text = "a process of the user " + name_of_user(owner.user);
  const pid_t pid = owner.inode == 0 ? owner.pid : find_process(owner.inode, [](pid_t) { return true; });
  if (pid <= 0) return text;
  text += " (pid " + std::to_string(pid);
  std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
  std::string name;
  if (std::getline(file, name)) {
    text += ", ";
    for (const char c : name) text += c >= ' ' && c < '\x7f' ? c : '?';
  }
  return text + ")";
}

}  // namespace slotwire::web::bridge
