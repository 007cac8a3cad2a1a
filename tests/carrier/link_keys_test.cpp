// Keys and encrypted frames: docs/protocol.md, E1 to E6.
#include "core/carriers/link_keys.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "agree.hpp"
#include "harness.hpp"
#include "hex.hpp"

namespace slotwire::test {
namespace {

using namespace carriers;
using pipeline::TxFrame;

constexpr std::size_t kLine = regs::kLineBytes;

LinkKeys::Options options(std::uint64_t rekey_frames = 1'000'000, CipherSuite suite = CipherSuite::aes_256_gcm) {
  LinkKeys::Options result;
  result.suite = suite;
  result.rekey_frames = rekey_frames;
  return result;
}

/// A frame of `lines` lines that can be told from others by `mark`.
struct Frame {
  explicit Frame(std::uint32_t mark, std::size_t lines = 1) : payload(lines * kLine) {
    for (std::size_t i = 0; i < sizeof tx.header; ++i)
      tx.header[i] = static_cast<std::byte>((mark >> (i % 4 * 8)) & 0xffU);
    for (std::size_t i = 0; i < payload.size(); ++i)
      payload[i] = static_cast<std::byte>((std::size_t{mark} * 31 + i) & 0xffU);
    tx.payload = payload;
  }
  Bytes bytes() const {
    Bytes all(std::begin(tx.header), std::end(tx.header));
    all.insert(all.end(), payload.begin(), payload.end());
    return all;
  }
  Bytes payload;
  TxFrame tx{};
};

Bytes seal(LinkKeys& keys, const Frame& frame) {
  Bytes out(kSealedLineBytes + frame.bytes().size());
  return keys.seal(frame.tx, out) ? out : Bytes();
}

struct Result {
  Opened opened;
  Bytes frame;
};

Result open(LinkKeys& keys, const Bytes& datagram) {
  Bytes out(datagram.size());
  std::span<const std::byte> frame;
  const Opened opened = keys.open(datagram, out, frame);
  return {opened, opened == Opened::opened ? Bytes(frame.begin(), frame.end()) : Bytes()};
}

/// The whole of an answered offer.
void rekey(LinkKeys& from, LinkKeys& to, std::uint64_t now = 0) {
  const auto key = from.offer();
  ASSERT_TRUE(key);
  ASSERT_EQ(to.take(*key, now), LinkKeys::Take::taken);
  ASSERT_TRUE(from.taken(key->id));
}

TEST(LinkKeys, TheVectorsOfThePage) {
  std::ifstream file(SLOTWIRE_SOURCE "/tests/vectors/encrypted.json");
  const nlohmann::json vectors = nlohmann::json::parse(file);
  ASSERT_GE(vectors.size(), 3U);
  for (const auto& vector : vectors) {
    const auto suite = suite_from_name(vector["suite"].get<std::string>());
    ASSERT_TRUE(suite);
    KeyMaterial key;
    key.suite = *suite;
    key.id = vector["key_id"];
    const Bytes secret = from_hex(vector["key"]), salt = from_hex(vector["salt"]);
    std::copy(secret.begin(), secret.end(), key.secret.begin());
    std::copy(salt.begin(), salt.end(), key.salt.begin());
    LinkKeys receiver(options(100, *suite));
    ASSERT_EQ(receiver.take(key, 0), LinkKeys::Take::taken);
    const Bytes datagram = from_hex(vector["datagram"]);
    const Result result = open(receiver, datagram);
    EXPECT_EQ(result.opened, Opened::opened) << vector["name"];
    EXPECT_EQ(to_hex(result.frame), vector["frame"].get<std::string>()) << vector["name"];
    // Sealing is the same bytes, by the same layout.
    const Bytes frame = from_hex(vector["frame"]);
    const auto sealer = openssl_ciphers().make(*suite, key.key(), FrameCipher::Use::seal, 48);
    Nonce nonce = key.salt;
    const auto sequence = vector["sequence"].get<std::uint64_t>();
    for (std::size_t i = 0; i < 8; ++i) nonce[11 - i] ^= static_cast<std::byte>(sequence >> (8 * i) & 0xffU);
    Bytes sealed(frame.size()), tag(kTagBytes);
    ASSERT_TRUE(
        sealer->seal(nonce, std::span(datagram).first(48), {frame}, sealed, std::span<std::byte, kTagBytes>(tag)));
    EXPECT_EQ(to_hex(tag) + to_hex(sealed), to_hex(datagram).substr(96)) << vector["name"];
  }
}

TEST(LinkKeys, WhatIsSealedHasTheLayoutOfThePage) {
  LinkKeys a(options()), b(options());
  agree(a, b);
  for (std::uint64_t sequence = 0; sequence < 300; ++sequence) {
    const Bytes datagram = seal(a, Frame(7, 2));
    ASSERT_EQ(datagram.size(), 64U + 22 + 128);
    EXPECT_EQ(datagram[0], std::byte{0xe1});
    Bytes expected(48);
    expected[0] = std::byte{0xe1};
    for (std::size_t i = 0; i < 4; ++i) expected[7 - i] = static_cast<std::byte>(a.tx_key() >> (8 * i) & 0xffU);
    for (std::size_t i = 0; i < 8; ++i) expected[15 - i] = static_cast<std::byte>(sequence >> (8 * i) & 0xffU);
    EXPECT_EQ(Bytes(datagram.begin(), datagram.begin() + 48), expected);
    EXPECT_EQ(open(b, datagram).opened, Opened::opened);
  }
}

TEST(LinkKeys, BothWaysAndOnlyThere) {
  for (const CipherSuite suite : {CipherSuite::aes_128_gcm, CipherSuite::aes_256_gcm}) {
    LinkKeys a(options(100, suite)), b(options(100, suite)), stranger(options(100, suite)), other(options(100, suite));
    agree(a, b);
    agree(stranger, other);
    for (std::size_t lines = 0; lines < 30; ++lines) {
      const Frame frame(static_cast<std::uint32_t>(lines), lines);
      const Result there = open(b, seal(a, frame)), back = open(a, seal(b, frame));
      EXPECT_EQ(there.frame, frame.bytes());
      EXPECT_EQ(back.frame, frame.bytes());
    }
    const Frame frame(1);
    EXPECT_EQ(open(a, seal(a, frame)).opened, Opened::no_key) << "thrown back at its sender";
    EXPECT_EQ(open(b, seal(stranger, frame)).opened, Opened::no_key);
  }
}

TEST(LinkKeys, NothingIsSealedBeforeThePeerHasTheKey) {
  LinkKeys a(options()), b(options());
  const Frame frame(1);
  EXPECT_FALSE(a.ready());
  EXPECT_TRUE(seal(a, frame).empty());
  a.restart();
  EXPECT_TRUE(a.due(0));
  const auto key = a.offer();
  ASSERT_TRUE(key);
  EXPECT_FALSE(a.due(0)) << "one is on offer";
  EXPECT_TRUE(seal(a, frame).empty());
  EXPECT_FALSE(a.taken(key->id + 1)) << "was never offered";
  EXPECT_TRUE(seal(a, frame).empty());
  EXPECT_EQ(a.counters().not_sealed, 3U);
  EXPECT_TRUE(a.taken(key->id));
  EXPECT_FALSE(a.taken(key->id)) << "twice";
  EXPECT_TRUE(a.ready());
  EXPECT_EQ(open(b, seal(a, frame)).opened, Opened::no_key);
}

TEST(LinkKeys, ForgedTruncatedAndClearDatagramsAreTold) {
  LinkKeys a(options()), b(options());
  agree(a, b);
  const Frame frame(3, 2);
  const Bytes good = seal(a, frame);
  std::size_t forged = 0, no_key = 0;
  for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
    Bytes bad = good;
    bad[bit / 8] ^= std::byte{1} << (bit % 8);
    const Opened result = open(b, bad).opened;
    const std::size_t at = bit / 8;
    // A changed sequence may only be found by the tag as well: nothing later has come.
    const Opened expected = at == 0 ? Opened::clear : at >= 4 && at < 8 ? Opened::no_key : Opened::forged;
    EXPECT_EQ(result, expected) << "bit " << bit;
    forged += result == Opened::forged ? 1 : 0;
    no_key += result == Opened::no_key ? 1 : 0;
  }
  EXPECT_EQ(b.counters().forged, forged);
  EXPECT_EQ(b.counters().no_key, no_key);
  EXPECT_EQ(b.counters().clear, 8U);
  for (std::size_t size = 0; size < good.size(); ++size) {
    const Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(open(b, cut).opened, size < 64 + 22 ? Opened::too_short : Opened::forged) << size;
  }
  EXPECT_EQ(b.counters().too_short, 86U);
  Bytes longer = good;
  longer.push_back(std::byte{0});
  EXPECT_EQ(open(b, longer).opened, Opened::forged);
  EXPECT_EQ(open(b, frame.bytes()).opened, Opened::clear);
  EXPECT_EQ(b.counters().opened, 0U);
  // All that has not moved the window: the genuine one is taken, once.
  EXPECT_EQ(open(b, good).frame, frame.bytes());
  EXPECT_EQ(open(b, good).opened, Opened::replayed);
  EXPECT_EQ(b.counters().replayed, 1U);
}

TEST(LinkKeys, ForgedSequencesDoNotMoveTheWindow) {
  LinkKeys a(options()), b(options());
  agree(a, b);
  Bytes far = seal(a, Frame(0));
  for (std::size_t i = 8; i < 16; ++i) far[i] = std::byte{0xff};
  EXPECT_EQ(open(b, far).opened, Opened::forged);
  for (std::uint32_t i = 1; i < 3000; ++i) EXPECT_EQ(open(b, seal(a, Frame(i, 0))).opened, Opened::opened);
}

TEST(ReplayWindow, AgreesWithAListOfAllThatCame) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    ReplayWindow window;
    std::set<std::uint64_t> came;
    std::uint64_t highest = 0;
    bool any = false;
    for (int i = 0; i < 20'000; ++i) {
      std::uint64_t sequence = 0;
      const auto base = static_cast<std::int64_t>(highest);
      switch (random() % 8) {
        case 0:
          sequence =
              static_cast<std::uint64_t>(std::max<std::int64_t>(0, base - static_cast<std::int64_t>(random() % 1100)));
          break;
        case 1:
          sequence = highest + random() % 3000;
          break;
        case 2:
          sequence = highest > kReplayWindow ? highest - kReplayWindow + random() % 3 : 0;
          break;
        default:
          sequence = highest + random() % 3;
      }
      ReplayWindow::Seen expected = ReplayWindow::Seen::no;
      if (any && sequence <= highest && highest - sequence >= kReplayWindow) {
        expected = ReplayWindow::Seen::too_old;
      } else if (came.contains(sequence)) {
        expected = ReplayWindow::Seen::yes;
      }
      ASSERT_EQ(window.check(sequence), expected) << "seed " << seed << ", " << sequence << " after " << highest;
      if (expected != ReplayWindow::Seen::no) continue;
      window.mark(sequence);
      came.insert(sequence);
      highest = std::max(highest, sequence);
      any = true;
    }
  }
}

TEST(LinkKeys, FramesOfTheWindowMayComeInAnyOrderOlderOnesMayNot) {
  LinkKeys a(options()), b(options());
  agree(a, b);
  std::vector<Bytes> all;
  for (std::uint32_t i = 0; i < 2 * kReplayWindow; ++i) all.push_back(seal(a, Frame(i, 0)));
  EXPECT_EQ(open(b, all.back()).opened, Opened::opened);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Opened expected = i < kReplayWindow    ? Opened::too_old
                            : i + 1 < all.size() ? Opened::opened
                                                 : Opened::replayed;
    EXPECT_EQ(open(b, all[i]).opened, expected) << i;
  }
  EXPECT_EQ(b.counters().too_old, kReplayWindow);
}

TEST(LinkKeys, RotationLosesNothingOfWhatIsOnTheWay) {
  LinkKeys a(options(300)), b(options(300));
  agree(a, b);
  std::uint32_t mark = 0;
  std::uint64_t keys = 0;
  std::uint64_t now = 0;
  std::vector<Bytes> late;
  for (int round = 0; round < 20; ++round) {
    while (!a.due(now)) {
      const Bytes datagram = seal(a, Frame(mark));
      // Every tenth stays on the way until the key has changed.
      if (mark % 10 == 0) {
        late.push_back(datagram);
      } else {
        ASSERT_EQ(open(b, datagram).frame, Frame(mark).bytes());
      }
      ++mark;
    }
    EXPECT_TRUE(a.look());
    EXPECT_GE(a.tx_frames(), 300U);
    const auto key = a.offer();
    ASSERT_TRUE(key);
    // Until the answer, the old one serves.
    const std::uint32_t before = a.tx_key();
    ASSERT_EQ(open(b, seal(a, Frame(mark))).opened, Opened::opened);
    ++mark;
    EXPECT_EQ(a.tx_key(), before);
    ASSERT_EQ(b.take(*key, now), LinkKeys::Take::taken) << "round " << round;
    ASSERT_TRUE(a.taken(key->id));
    EXPECT_EQ(a.tx_key(), before + 1);
    ++keys;
    for (const Bytes& datagram : late) ASSERT_EQ(open(b, datagram).opened, Opened::opened);
    late.clear();
    ASSERT_EQ(open(b, seal(a, Frame(mark))).opened, Opened::opened);
    ++mark;
    b.settled(now);
    now += 10;
  }
  EXPECT_EQ(b.counters().opened, mark);
  EXPECT_EQ(b.counters().no_key + b.counters().too_old + b.counters().replayed + b.counters().forged, 0U);
  EXPECT_EQ(b.counters().rx_keys, keys + 1);
}

TEST(LinkKeys, AThirdKeyWaitsUntilTheFirstHasServed) {
  // By frames under the second, or by time since their first, or since the third was offered.
  for (int how = 0; how < 3; ++how) {
    LinkKeys a(options()), b(options());
    agree(a, b);
    const Bytes first = seal(a, Frame(1));
    rekey(a, b);
    const auto key = a.offer();
    ASSERT_TRUE(key);
    std::uint64_t now = 5'000'000;
    if (how == 1) {
      EXPECT_EQ(open(b, seal(a, Frame(2))).opened, Opened::opened);
      b.settled(now);  // sees that there was a frame
    }
    now += kOverlapUs / 2;
    ASSERT_EQ(b.take(*key, now), LinkKeys::Take::later);
    EXPECT_EQ(b.take(*key, now), LinkKeys::Take::refused) << "one may wait";
    EXPECT_EQ(b.settled(now), std::nullopt);
    if (how == 0) {
      for (std::uint64_t i = 0; i < kOverlapFrames; ++i) {
        EXPECT_EQ(b.settled(now), std::nullopt) << i;
        b.look();
        EXPECT_EQ(open(b, seal(a, Frame(3, 0))).opened, Opened::opened);
      }
      EXPECT_TRUE(b.look());
    } else {
      now += how == 1 ? kOverlapUs / 2 : kOverlapUs;
      EXPECT_EQ(b.settled(now - 1), std::nullopt);
    }
    EXPECT_EQ(b.settled(now), key->id);
    EXPECT_EQ(b.settled(now), std::nullopt);
    EXPECT_TRUE(a.taken(key->id));
    EXPECT_EQ(open(b, first).opened, Opened::no_key) << "of the key that went";
    EXPECT_EQ(open(b, seal(a, Frame(4))).opened, Opened::opened);
  }
}

TEST(LinkKeys, TheOldKeyGoesWithoutAThird) {
  LinkKeys a(options()), b(options());
  agree(a, b);
  const Bytes first = seal(a, Frame(1)), second = seal(a, Frame(2));
  rekey(a, b);
  b.settled(1'000'000'000);
  EXPECT_EQ(open(b, first).opened, Opened::opened) << "the new one has not been used";
  EXPECT_EQ(open(b, seal(a, Frame(3))).opened, Opened::opened);
  b.settled(1'000'000'000);
  b.settled(1'000'000'000 + kOverlapUs);
  EXPECT_EQ(open(b, second).opened, Opened::no_key);
}

TEST(LinkKeys, TimeMakesAKeyDueOnceItWasUsed) {
  LinkKeys::Options timed = options();
  timed.rekey_us = 5000;
  LinkKeys a(timed), b(timed);
  agree(a, b);
  EXPECT_FALSE(a.due(1'000'000)) << "an idle link needs no new keys";
  seal(a, Frame(1));
  EXPECT_FALSE(a.due(2'000'000));
  EXPECT_FALSE(a.due(2'004'999));
  EXPECT_TRUE(a.due(2'005'000));
}

TEST(LinkKeys, AUsedUpKeySealsNothing) {
  LinkKeys::Options few = options(10);
  few.max_frames = 20;
  LinkKeys a(few), b(few);
  agree(a, b);
  for (std::uint32_t i = 0; i < 20; ++i) EXPECT_EQ(open(b, seal(a, Frame(i))).opened, Opened::opened);
  EXPECT_TRUE(a.used_up());
  EXPECT_FALSE(a.ready());
  EXPECT_TRUE(seal(a, Frame(20)).empty());
  EXPECT_TRUE(a.due(0));
  rekey(a, b);
  EXPECT_FALSE(a.used_up());
  EXPECT_EQ(open(b, seal(a, Frame(21))).opened, Opened::opened);
}

TEST(LinkKeys, ANewConnectionBringsNewKeysAndVoidsWhatWasOnOffer) {
  LinkKeys a(options()), b(options());
  agree(a, b);
  rekey(a, b);
  const auto lost = a.offer();  // its answer never comes
  ASSERT_TRUE(lost);
  ASSERT_EQ(b.take(*lost, 0), LinkKeys::Take::later);
  a.restart();
  b.restart();
  EXPECT_FALSE(a.taken(lost->id));
  EXPECT_EQ(b.settled(10 * kOverlapUs), std::nullopt) << "the offer went with its connection";
  EXPECT_EQ(open(b, seal(a, Frame(1))).opened, Opened::opened) << "lines go on without a control connection";
  rekey(a, b);
  EXPECT_EQ(open(b, seal(a, Frame(2))).opened, Opened::opened);
}

TEST(LinkKeys, ANewConnectionKeepsTheKeyThatIsInUse) {
  LinkKeys a(options()), b(options());
  agree(a, b);
  // The peer has taken the second key but its answer is lost with the connection: the first is used on.
  const auto second = a.offer();
  ASSERT_TRUE(second);
  ASSERT_EQ(b.take(*second, 0), LinkKeys::Take::taken);
  ASSERT_EQ(open(b, seal(a, Frame(1))).opened, Opened::opened);
  a.restart();
  b.restart();
  const auto third = a.offer();
  ASSERT_TRUE(third);
  ASSERT_EQ(b.take(*third, 0), LinkKeys::Take::taken);
  EXPECT_EQ(open(b, seal(a, Frame(2))).opened, Opened::opened) << "still under the first";
  ASSERT_TRUE(a.taken(third->id));
  EXPECT_EQ(open(b, seal(a, Frame(3))).opened, Opened::opened);
}

TEST(LinkKeys, ARestartedEndTakesNothingOfItsFormerLife) {
  LinkKeys a(options());
  auto b = std::make_unique<LinkKeys>(options());
  agree(a, *b);
  std::vector<Bytes> recorded;
  for (std::uint32_t i = 0; i < 100; ++i) {
    recorded.push_back(seal(a, Frame(i)));
    ASSERT_EQ(open(*b, recorded.back()).opened, Opened::opened);
  }
  b = std::make_unique<LinkKeys>(options());
  for (const Bytes& datagram : recorded) EXPECT_EQ(open(*b, datagram).opened, Opened::no_key);
  agree(a, *b);
  for (const Bytes& datagram : recorded) EXPECT_EQ(open(*b, datagram).opened, Opened::no_key);
  EXPECT_EQ(open(*b, seal(a, Frame(1000))).opened, Opened::opened);
}

TEST(LinkKeys, AnIdOfAFormerLifeMeansTheNewKey) {
  LinkKeys a(options()), b(options());
  agree(a, b);
  const Bytes old = seal(a, Frame(1));
  LinkKeys::Options same = options();
  LinkKeys reborn(same);
  b.restart();
  reborn.restart();
  auto key = reborn.offer();
  ASSERT_TRUE(key);
  key->id = a.tx_key();
  ASSERT_EQ(b.take(*key, 0), LinkKeys::Take::taken);
  EXPECT_EQ(open(b, old).opened, Opened::forged);
}

TEST(LinkKeys, AnotherSuiteIsRefused) {
  LinkKeys a(options(100, CipherSuite::aes_128_gcm)), b(options(100, CipherSuite::aes_256_gcm));
  a.restart();
  const auto key = a.offer();
  ASSERT_TRUE(key);
  EXPECT_EQ(b.take(*key, 0), LinkKeys::Take::refused);
  EXPECT_THROW(LinkKeys(options(100, CipherSuite::none)), std::invalid_argument);
  EXPECT_THROW(LinkKeys(options(0)), std::invalid_argument);
  LinkKeys::Options many = options();
  many.max_frames = kMaxFramesPerKey + 1;
  EXPECT_THROW(LinkKeys{many}, std::invalid_argument);
}

TEST(LinkKeys, NoNonceComesTwiceUnderOneKey) {
  // Two ends through many rotations, lost answers, new connections and restarts: whatever is offered is a new secret,
  // and under one id of one life no sequence comes twice.
  std::set<std::string> secrets;
  std::mt19937_64 random(3);
  auto sender = std::make_unique<LinkKeys>(options(50));
  auto receiver = std::make_unique<LinkKeys>(options(50));
  std::map<std::uint32_t, std::string> secret_of;  // by id, of this life
  std::set<std::string> used;
  std::uint64_t now = 0, frames = 0;
  const auto offer = [&]() -> std::optional<KeyMaterial> {
    auto key = sender->offer();
    if (!key) return std::nullopt;
    const std::string secret = to_hex(key->key()) + to_hex(key->salt);
    EXPECT_TRUE(secrets.insert(secret).second) << "a key was offered twice";
    EXPECT_TRUE(secret_of.emplace(key->id, secret).second) << "an id was used twice in one life";
    return key;
  };
  sender->restart();
  receiver->restart();
  for (int step = 0; step < 20'000; ++step) {
    now += random() % 20'000;
    switch (random() % 200) {
      case 0:
        sender = std::make_unique<LinkKeys>(options(50));
        secret_of.clear();
        sender->restart();
        receiver->restart();
        break;
      case 1:
        receiver = std::make_unique<LinkKeys>(options(50));
        sender->restart();
        receiver->restart();
        break;
      case 2:
        sender->restart();
        receiver->restart();
        break;
      default:
        break;
    }
    if (sender->due(now)) {
      const auto key = offer();
      ASSERT_TRUE(key);
      if (random() % 5 != 0 && receiver->take(*key, now) == LinkKeys::Take::taken && random() % 5 != 0) {
        ASSERT_TRUE(sender->taken(key->id));
      }
    }
    if (const auto id = receiver->settled(now); id && random() % 5 != 0) sender->taken(*id);
    const Bytes datagram = seal(*sender, Frame(static_cast<std::uint32_t>(step), 0));
    if (datagram.empty()) continue;
    ++frames;
    const Bytes line(datagram.begin() + 4, datagram.begin() + 16);
    EXPECT_TRUE(used.insert(secret_of.at(sender->tx_key()) + to_hex(line)).second) << "a nonce came twice";
    open(*receiver, datagram);
  }
  EXPECT_GT(frames, 5000U);
  EXPECT_GT(secrets.size(), 100U);
  EXPECT_EQ(receiver->counters().forged, 0U);
}

}  // namespace
}  // namespace slotwire::test
