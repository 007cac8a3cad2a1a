// The whole simulator of bad networks, killed proxies and takeovers, with every link encrypted and keys that change
// all the time.
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <utility>

#include "core/carriers/link_keys.hpp"
#include "hex.hpp"
#include "sim/world.hpp"

namespace slotwire::test {
namespace {

using namespace carriers;
using sim::Bytes;
using sim::Time;

/// Ends of links by (node, peer), and control connections between them that take their time and break.
class Encrypted final : public sim::Between {
 public:
  explicit Encrypted(std::uint64_t seed) : random_(seed) {}

  bool leave(std::uint16_t from, std::uint16_t to, Time now, Bytes& frame) override {
    control(now);
    if (random_() % 4000 == 0) connect(from, to, now);
    pipeline::TxFrame tx;
    std::copy_n(frame.begin(), sizeof tx.header, tx.header);
    tx.payload = std::span<const std::byte>(frame).subspan(sizeof tx.header);
    LinkKeys& keys = *ends_.at({from, to});
    Bytes sealed(kSealedLineBytes + frame.size());
    if (!keys.seal(tx, sealed)) return false;
    const std::string key = secrets_.at({from, to, lives_.at(from), keys.tx_key()});
    EXPECT_TRUE(nonces_.insert(key + to_hex(std::span(sealed).subspan(kSealedSequenceAt, 8))).second)
        << "a nonce came twice";
    // Who sealed it, for the other end: the whole datagram is known, so a changed one is not.
    sent_[{from, to}][sealed] = {frame, 0};
    frame = std::move(sealed);
    return true;
  }

  bool arrive(std::uint16_t from, std::uint16_t to, Time now, Bytes& frame) override {
    control(now);
    Bytes out(frame.size());
    std::span<const std::byte> opened;
    if (ends_.at({to, from})->open(frame, out, opened) != Opened::opened) return false;
    auto& sent = sent_[{from, to}];
    const auto found = sent.find(frame);
    EXPECT_NE(found, sent.end()) << "opened though nobody sealed it";
    if (found != sent.end()) {
      EXPECT_EQ(++found->second.times, 1) << "opened twice";
      EXPECT_TRUE(std::equal(opened.begin(), opened.end(), found->second.frame.begin(), found->second.frame.end()));
    }
    frame.assign(opened.begin(), opened.end());
    return true;
  }

  void begin_life(std::uint16_t node, std::size_t nodes) override {
    ++lives_[node];
    for (std::size_t i = 0; i < nodes; ++i) {
      const auto peer = static_cast<std::uint16_t>(i);
      if (peer == node) continue;
      collect(node, peer);
      ends_[{node, peer}] = make();
      if (ends_[{peer, node}] == nullptr) ends_[{peer, node}] = make();
      connect(node, peer, last_);
    }
  }

  LinkKeyCounters total() {
    for (auto& [end, keys] : ends_) collect(end.first, end.second);
    return total_;
  }

 private:
  using End = std::pair<std::uint16_t, std::uint16_t>;
  struct Message {
    Time due;
    std::uint16_t from, to;
    std::uint32_t connection;
    std::optional<KeyMaterial> key;  ///< none: `id` was taken
    std::uint32_t id;
  };
  struct Sent {
    Bytes frame;
    int times;
  };

  static std::unique_ptr<LinkKeys> make() {
    LinkKeys::Options options;
    options.rekey_frames = 100;
    options.rekey_us = 500'000;
    return std::make_unique<LinkKeys>(options);
  }

  void collect(std::uint16_t node, std::uint16_t peer) {
    if (!ends_[{node, peer}]) return;
    const LinkKeyCounters c = ends_[{node, peer}]->counters();
    total_.opened += c.opened;
    total_.forged += c.forged;
    total_.replayed += c.replayed;
    total_.no_key += c.no_key;
    total_.too_old += c.too_old;
    total_.tx_keys += c.tx_keys;
    total_.not_sealed += c.not_sealed;
  }

  /// A new control connection; what was on its way over the old one is gone.
  void connect(std::uint16_t a, std::uint16_t b, Time now) {
    ++connections_[std::minmax(a, b)];
    for (const auto& [from, to] : {End{a, b}, End{b, a}}) {
      ends_[{from, to}]->restart();
      tend(from, to, now);
    }
  }

  void say(std::uint16_t from, std::uint16_t to, Time now, std::optional<KeyMaterial> key, std::uint32_t id) {
    // In order, as a stream delivers.
    Time& last = arrives_[{from, to}];
    last = std::max(last, now + random_() % 20'000);
    messages_.push_back({last, from, to, connections_[std::minmax(from, to)], std::move(key), id});
  }

  void tend(std::uint16_t from, std::uint16_t to, Time now) {
    LinkKeys& keys = *ends_.at({from, to});
    if (const auto id = keys.settled(now)) say(from, to, now, std::nullopt, *id);
    if (!keys.due(now)) return;
    auto key = keys.offer();
    ASSERT_TRUE(key);
    const std::string secret = to_hex(key->key()) + to_hex(key->salt);
    EXPECT_TRUE(all_secrets_.insert(secret).second) << "a key was drawn twice";
    secrets_[{from, to, lives_[from], key->id}] = secret;
    say(from, to, now, key, key->id);
  }

  void control(Time now) {
    last_ = now;
    for (std::size_t i = 0; i < messages_.size();) {
      if (messages_[i].due > now) {
        ++i;
        continue;
      }
      const Message message = messages_[i];
      messages_.erase(messages_.begin() + static_cast<std::ptrdiff_t>(i));
      if (message.connection != connections_[std::minmax(message.from, message.to)]) continue;
      LinkKeys& keys = *ends_.at({message.to, message.from});
      if (!message.key) {
        EXPECT_TRUE(keys.taken(message.id));
      } else {
        const LinkKeys::Take taken = keys.take(*message.key, now);
        EXPECT_NE(taken, LinkKeys::Take::refused);
        if (taken == LinkKeys::Take::taken) say(message.to, message.from, now, std::nullopt, message.id);
      }
    }
    for (const auto& [end, keys] : ends_) tend(end.first, end.second, now);
  }

  std::mt19937_64 random_;
  std::map<End, std::unique_ptr<LinkKeys>> ends_;
  std::map<End, std::map<Bytes, Sent>> sent_;
  std::map<std::uint16_t, std::uint32_t> lives_;
  std::map<End, std::uint32_t> connections_;
  std::map<End, Time> arrives_;
  std::deque<Message> messages_;
  std::map<std::tuple<std::uint16_t, std::uint16_t, std::uint32_t, std::uint32_t>, std::string> secrets_;
  std::set<std::string> all_secrets_, nonces_;
  LinkKeyCounters total_;
  Time last_ = 0;
};

TEST(SealedNetwork, ACampaignWithEveryLinkEncryptedHolds) {
  LinkKeyCounters sum;
  sim::NetworkCounts network;
  std::uint64_t restarts = 0, lines = 0;
  constexpr std::uint64_t kSeeds = 200;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Encrypted between(seed);
    const sim::Result result = sim::run({.seed = seed, .between = &between});
    ASSERT_FALSE(result.violation) << "seed " << seed << ": " << result.violation->what;
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
    EXPECT_EQ(result.counters[static_cast<std::size_t>(regs::Counter::drop_crc)], 0U) << "seed " << seed;
    const LinkKeyCounters keys = between.total();
    sum.opened += keys.opened;
    sum.forged += keys.forged;
    sum.replayed += keys.replayed;
    sum.no_key += keys.no_key;
    sum.too_old += keys.too_old;
    sum.tx_keys += keys.tx_keys;
    network.corrupted += result.network.corrupted;
    network.duplicated += result.network.duplicated;
    restarts += result.restarts + result.takeovers;
    lines += result.lines_read;
  }
  // A campaign in which nothing goes wrong proves nothing.
  EXPECT_GT(sum.tx_keys, 20 * kSeeds);
  EXPECT_GT(sum.forged, kSeeds);
  EXPECT_GT(sum.replayed, kSeeds);
  EXPECT_GT(sum.no_key, kSeeds);
  EXPECT_GT(restarts, kSeeds);
  std::printf("%llu lines, %llu opened, %llu keys, %llu forged (%llu damaged), %llu replayed, %llu without key\n",
              static_cast<unsigned long long>(lines), static_cast<unsigned long long>(sum.opened),
              static_cast<unsigned long long>(sum.tx_keys), static_cast<unsigned long long>(sum.forged),
              static_cast<unsigned long long>(network.corrupted), static_cast<unsigned long long>(sum.replayed),
              static_cast<unsigned long long>(sum.no_key));
}

}  // namespace
}  // namespace slotwire::test
