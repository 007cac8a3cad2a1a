// Whatever comes to an encrypted link: nothing is opened but what was sealed for it, unchanged and once, and the window
// of what came stays true.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <span>
#include <vector>

#include "core/carriers/link_keys.hpp"

namespace {

using namespace slotwire;
using namespace slotwire::carriers;
using Bytes = std::vector<std::byte>;

constexpr std::size_t kLargest = 4096;

void require(bool good) {
  if (!good) std::abort();
}

void rekey(LinkKeys& from, LinkKeys& to, std::uint64_t now) {
  if (!from.due(now)) return;
  const auto key = from.offer();
  require(key.has_value());
  if (to.take(*key, now) == LinkKeys::Take::taken) require(from.taken(key->id));
}

Bytes seal(LinkKeys& keys, std::size_t lines) {
  const Bytes payload(lines * regs::kLineBytes, std::byte{0x33});
  pipeline::TxFrame frame{};
  frame.payload = payload;
  Bytes out(kSealedLineBytes + regs::kHeaderBytes + payload.size());
  require(keys.seal(frame, out));
  return out;
}

}  // namespace

/// The input is a list of deeds: the first byte of each says what, the rest of it how.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  LinkKeys::Options options;
  options.rekey_frames = 5;
  LinkKeys from(options), to(options);
  from.restart();
  to.restart();
  std::uint64_t now = 0;
  rekey(from, to, now);
  std::vector<Bytes> sent;
  std::set<std::size_t> opened;
  Bytes out(kLargest);
  auto input = std::as_bytes(std::span(data, size));
  const auto take = [&](std::size_t most) {
    const auto part = input.first(std::min(most, input.size()));
    input = input.subspan(part.size());
    return part;
  };
  const auto number = [&]() -> std::size_t {
    const auto byte = take(1);
    return byte.empty() ? 0 : std::to_integer<std::size_t>(byte[0]);
  };
  while (!input.empty() && sent.size() < 2000) {
    Bytes datagram;
    std::size_t which = ~std::size_t{0};
    switch (number() % 5) {
      case 0: {  // a genuine one, now or later
        now += 1000 * number();
        if (const auto id = to.settled(now)) require(from.taken(*id));
        rekey(from, to, now);
        sent.push_back(seal(from, number() % 4));
        continue;
      }
      case 1:  // any of those that were sealed
        if (sent.empty()) continue;
        which = number() * 256 + number();
        which %= sent.size();
        datagram = sent[which];
        break;
      case 2: {  // the same, changed
        if (sent.empty()) continue;
        datagram = sent[number() % sent.size()];
        const Bytes before = datagram;
        const auto change = take(number() % 8);
        const std::size_t at = number();
        for (std::size_t i = 0; i < change.size(); ++i) datagram[(at + i) % datagram.size()] ^= change[i];
        if (number() % 4 == 0) datagram.resize(number() % (datagram.size() + 1));
        if (datagram == before) continue;
        break;
      }
      case 3: {  // bytes as they are
        const auto raw = take(number());
        datagram.assign(raw.begin(), raw.end());
        break;
      }
      default: {  // the right form and key, and bytes
        if (sent.empty()) continue;
        datagram = sent.back();
        const auto raw = take(number());
        std::copy_n(raw.begin(), std::min(raw.size(), datagram.size() - kSealedSequenceAt),
                    datagram.begin() + kSealedSequenceAt);
        if (datagram == sent.back()) continue;
        break;
      }
    }
    std::span<const std::byte> frame;
    const Opened result = to.open(datagram, std::span(out).first(datagram.size()), frame);
    if (result != Opened::opened) continue;
    const auto same = std::find(sent.begin(), sent.end(), datagram);
    require(same != sent.end());
    require(opened.insert(static_cast<std::size_t>(same - sent.begin())).second);
    require(frame.size() == datagram.size() - kSealedLineBytes);
  }
  const LinkKeyCounters& c = to.counters();
  require(c.opened == opened.size());
  return 0;
}
