#include "driver/relay/card_neighbours.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>

namespace slotwire::driver {
namespace {

constexpr std::uint16_t kDiscardPort = 9;
constexpr unsigned long kComplete = 2;  ///< flag of the neighbour table: the MAC address is known (ATF_COM)

std::uint32_t ipv4_of(const carriers::Address& address) {
  if (address.family() != AF_INET) {
    throw std::invalid_argument("a card carries IPv4 only, and " + address.to_string() + " is no IPv4 address");
  }
  sockaddr_in in{};
  std::memcpy(&in, address.data(), sizeof in);
  return ntohl(in.sin_addr.s_addr);
}

/// Reads "02:00:00:00:00:01". None for anything else, and for an address that is no single host's.
std::optional<MacAddress> parse_mac(const std::string& text) {
  MacAddress mac{};
  if (text.size() != mac.size() * 3 - 1) return std::nullopt;
  for (std::size_t i = 0; i < mac.size(); ++i) {
    const char* const part = text.data() + i * 3;
    const auto [end, error] = std::from_chars(part, part + 2, mac[i], 16);
    if (error != std::errc() || end != part + 2 || (i + 1 < mac.size() && *end != ':')) return std::nullopt;
  }
  if ((mac[0] & 1U) != 0 || mac == MacAddress{}) return std::nullopt;
  return mac;
}

std::string text_of(std::uint32_t ip) {
  return std::to_string(ip >> 24) + "." + std::to_string(ip >> 16 & 255) + "." + std::to_string(ip >> 8 & 255) + "." +
         std::to_string(ip & 255);
}

}  // namespace

MacAddress mac_of_own(std::uint32_t ip) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) throw std::runtime_error("the network interfaces cannot be listed");
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, freeifaddrs);
  for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET) continue;
    sockaddr_in in{};
    std::memcpy(&in, at->ifa_addr, sizeof in);
    if (ntohl(in.sin_addr.s_addr) != ip) continue;
    for (const ifaddrs* link = list; link != nullptr; link = link->ifa_next) {
      if (link->ifa_addr == nullptr || link->ifa_addr->sa_family != AF_PACKET) continue;
      if (std::strcmp(link->ifa_name, at->ifa_name) != 0) continue;
      sockaddr_ll ll{};
      std::memcpy(&ll, link->ifa_addr, sizeof ll);
      if (ll.sll_hatype != ARPHRD_ETHER || ll.sll_halen != 6) continue;
      MacAddress mac;
      std::copy_n(ll.sll_addr, mac.size(), mac.begin());
      return mac;
    }
  }
  throw std::runtime_error("no Ethernet interface has the address " + text_of(ip) +
                           "; give it to the card's interface (ip addr add), or correct card.address");
}

std::optional<MacAddress> mac_of_neighbour(std::uint32_t ip, const std::string& table) {
  std::ifstream file(table);
  std::string line;
  std::getline(file, line);  // the headings
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string address, type, flags, hardware;
    if (!(fields >> address >> type >> flags >> hardware) || address != text_of(ip)) continue;
    if (std::strtoul(type.c_str(), nullptr, 16) != ARPHRD_ETHER) continue;
    if ((std::strtoul(flags.c_str(), nullptr, 16) & kComplete) == 0) continue;
    if (const auto mac = parse_mac(hardware)) return mac;
  }
  return std::nullopt;
}

CardNeighbours::CardNeighbours(const carriers::Address& own, std::size_t max_links)
    : CardNeighbours(own, mac_of_own(ipv4_of(own)), kNeighbours, max_links) {}

CardNeighbours::CardNeighbours(const carriers::Address& own, const MacAddress& mac, std::string table,
                               std::size_t max_links)
    : own_{ipv4_of(own), own.port(), mac}, table_(std::move(table)), links_(max_links) {
  if (own_.port == 0) throw std::invalid_argument("the card's address needs a port");
  timer_ = slot::Fd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  socket_ = slot::Fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!timer_ || !socket_) carriers::throw_errno("the card's neighbours: a timer or a socket cannot be had");
}

void CardNeighbours::add(std::uint16_t link, const carriers::Address& neighbour) {
  const std::uint32_t ip = ipv4_of(neighbour);
  if (link >= links_.size() || links_[link].state != State::none) {
    throw std::invalid_argument("link " + std::to_string(link) + " is out of range or taken");
  }
  if (ip == 0 || neighbour.port() == 0) {
    throw std::invalid_argument(neighbour.to_string() + " is no address that frames can go to; give the peer's");
  }
  if (ip == own_.ip && neighbour.port() == own_.port) {
    throw std::invalid_argument(neighbour.to_string() + " is this card's own address; give the peer's");
  }
  for (const Link& other : links_) {
    if (other.state != State::none && other.address.ip == ip && other.address.port == neighbour.port()) {
      throw std::invalid_argument("another link leads to " + neighbour.to_string());
    }
  }
  links_[link] = {State::looking, false, {ip, neighbour.port(), {}}};
  ++looking_;
  next_look_us_ = 0;
  ask(links_[link].address);
  set_timer(true);
}

void CardNeighbours::remove(std::uint16_t link) {
  if (link >= links_.size() || links_[link].state == State::none) return;
  if (links_[link].state == State::looking) --looking_;
  links_[link] = {};
  set_timer(looking_ != 0);
}

/// Makes the kernel look for the peer's MAC address: a datagram to the port where everything is discarded.
void CardNeighbours::ask(const CardAddress& address) const {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(kDiscardPort);
  to.sin_addr.s_addr = htonl(address.ip);
  // Nothing depends on it: the kernel may know the address, or learn it from the control connection.
  static_cast<void>(::sendto(socket_.get(), "", 0, MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&to), sizeof to));
}

void CardNeighbours::set_timer(bool on) {
  itimerspec every{};
  if (on) every.it_interval.tv_nsec = every.it_value.tv_nsec = static_cast<long>(kLookUs * 1000);
  timerfd_settime(timer_.get(), 0, &every, nullptr);
}

void CardNeighbours::poll(std::uint64_t now_us, NeighbourListener& listener) {
  if (looking_ == 0 || now_us < next_look_us_) return;
  std::uint64_t expired = 0;
  static_cast<void>(!::read(timer_.get(), &expired, sizeof expired));
  next_look_us_ = now_us + kLookUs;
  for (std::size_t i = 0; i < links_.size(); ++i) {
    Link& link = links_[i];
    if (link.state != State::looking) continue;
    const auto number = static_cast<std::uint16_t>(i);
    if (const auto mac = mac_of_neighbour(link.address.ip, table_)) {
      link.address.mac = *mac;
      link.state = State::known;
      --looking_;
      listener.on_neighbour(number, true, "");
    } else {
      ask(link.address);
      if (!link.told) {
        link.told = true;
        listener.on_neighbour(number, false,
                              "no host answers for " + text_of(link.address.ip) +
                                  " on the card's network yet (ARP); a card reaches peers on its own network only");
      }
    }
  }
  if (looking_ == 0) set_timer(false);
}

}  // namespace slotwire::driver
