// Whatever arrives at a port that the kernel does not serve: frames are told apart from those of others without a look
// beyond their end, neighbours learn nothing that they did not ask for, and what this node writes it can read.
//
// An input is a row of frames: two bytes of length, then the frame. The first byte of the input chooses how many UDP
// ports are the node's own. A frame that begins with "!" is sent by the node itself: the rest is its link frame.
#include <array>
#include <vector>

#include "core/carriers/neighbours.hpp"
#include "core/pipeline/ethernet.hpp"
#include "input.hpp"

namespace {

using namespace slotwire;
using fuzz::require;

constexpr pipeline::Endpoint kOwn{0x02'00'00'00'00'01, 0x0a'00'00'01, 7401};
constexpr pipeline::Endpoint kPeer{0x02'00'00'00'00'02, 0x0a'00'00'02, 7401};
constexpr carriers::NetworkPlace kPlace{kOwn.mac, kOwn.ip, 24, 0x0a'00'00'fe};
constexpr std::size_t kWatched = 4;
constexpr std::size_t kMaxFrames = 64;

/// A frame as long as it is, in memory of its own: a look beyond it is found.
std::vector<std::byte> exactly(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

void take_datagram(std::span<const std::byte> frame, std::uint16_t ports) {
  const auto datagram = pipeline::unwrap(kOwn, frame, ports);
  if (!datagram) return;
  require(datagram->link_frame.size() <= datagram->length);
  require(pipeline::kCarrierBytes + datagram->link_frame.size() <= frame.size());
  require(datagram->link_frame.data() == frame.data() + pipeline::kCarrierBytes);
  // What was taken as ours is not taken by another node or on another port.
  pipeline::Endpoint other = kOwn;
  other.ip ^= 1;
  require(!pipeline::unwrap(other, frame, ports));
}

void send(std::string_view link_frame, std::uint16_t ports) {
  std::vector<std::byte> frame(std::max(pipeline::kCarrierBytes + link_frame.size(), pipeline::kMinEthernetBytes));
  require(pipeline::wrap(kPeer, kOwn, std::as_bytes(std::span(link_frame)), frame) == frame.size());
  const auto header = std::span(frame).subspan(pipeline::kEthernetBytes, pipeline::kIpv4Bytes);
  require(pipeline::ipv4_checksum(header) == 0);
  const auto datagram = pipeline::unwrap(kOwn, frame, ports);
  require(datagram && datagram->from == kPeer && datagram->length == link_frame.size());
  require(std::ranges::equal(datagram->link_frame, std::as_bytes(std::span(link_frame))));
}

class Network {
 public:
  Network() {
    for (std::uint32_t host = 2; host < 2 + kWatched; ++host)
      require(neighbours_.watch(0x0a'00'00'00 + host).has_value());
  }

  void take(std::span<const std::byte> frame) {
    now_us_ += 100'000;
    carriers::ArpFrame answer{};
    using Taken = carriers::Neighbours::Taken;
    const std::array before = macs();
    const Taken taken = neighbours_.take(frame, now_us_, answer);
    if (taken == Taken::not_arp || taken == Taken::malformed || taken == Taken::conflict) require(macs() == before);
    if (taken == Taken::answer) {
      // An answer is a good ARP frame, and asks for no other answer.
      carriers::ArpFrame again{};
      carriers::Neighbours other({kPeer.mac, kPeer.ip, 24, 0}, 1);
      require(other.take(answer, now_us_, again) != Taken::answer);
    }
    for (const std::uint64_t mac : macs())
      require(mac < std::uint64_t{1} << 48 && (mac >> 40 & 1) == 0 && mac != kOwn.mac);
    // Asking ends: each address is asked for once in a while.
    carriers::ArpFrame request{};
    std::size_t asked = 0;
    while (neighbours_.ask(now_us_, request)) require(++asked <= kWatched);
  }

 private:
  std::array<std::uint64_t, kWatched> macs() const {
    std::array<std::uint64_t, kWatched> all{};
    for (std::size_t i = 0; i < kWatched; ++i) all[i] = neighbours_.mac(i);
    return all;
  }

  carriers::Neighbours neighbours_{kPlace, kWatched};
  std::uint64_t now_us_ = 1;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  Network network;
  const auto ports = static_cast<std::uint16_t>(1 + input.byte());
  for (std::size_t i = 0; i < kMaxFrames && !input.empty(); ++i) {
    const std::string_view text = input.text(9000);
    if (text.starts_with('!')) {
      send(text.substr(1), ports);
      continue;
    }
    const std::vector<std::byte> frame = exactly(text);
    take_datagram(frame, ports);
    network.take(frame);
  }
  return 0;
}
