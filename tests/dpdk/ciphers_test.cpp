// AES-GCM by DPDK: what every library of ciphers must do, and keys of links that one end computes with DPDK and the
// other with OpenSSL.
#include <fstream>
#include <random>
#include <sstream>

#include "carrier/agree.hpp"
#include "carrier/cipher_conformance.hpp"
#include "core/carriers/dpdk/dpdk.hpp"
#include "core/carriers/link_keys.hpp"

namespace slotwire::test {
namespace {

using carriers::LinkKeys;
using carriers::Opened;

carriers::EalOptions eal() {
  carriers::EalOptions options;
  options.hugepages = false;
  return options;
}

/// Only what a host may lack; a driver that is there and does not serve is a failure.
std::string lacks_crypto() {
  if (const std::string_view missing = SLOTWIRE_TEST_NO_CRYPTO; !missing.empty()) return std::string(missing);
  std::ifstream file("/proc/cpuinfo");
  std::stringstream text;
  text << file.rdbuf();
  if (text.str().find(" aes ") == std::string::npos) return "this processor has no AES instructions";
  return {};
}

CipherLibrary& dpdk() {
  static const auto one = carriers::open_dpdk_ciphers(eal(), 16);
  return *one;
}

INSTANTIATE_TEST_SUITE_P(Dpdk, FrameCiphers, testing::Values(CipherFactory{"dpdk", dpdk, lacks_crypto}),
                         cipher_name_of);

class DpdkCiphers : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = lacks_crypto(); !missing.empty()) GTEST_SKIP() << missing;
  }
};

TEST_F(DpdkCiphers, ThereAreAsManyAsWereAskedForAndTheyComeBack) {
  constexpr std::size_t kMost = 5;
  const auto library = carriers::open_dpdk_ciphers(eal(), kMost);
  const CipherBytes key = from_hex(kKey256);
  for (int round = 0; round < 100; ++round) {
    std::vector<std::unique_ptr<FrameCipher>> held;
    for (std::size_t i = 0; i < kMost; ++i) {
      held.push_back(library->make(CipherSuite::aes_256_gcm, key, FrameCipher::Use::seal, 0));
      ASSERT_TRUE(held.back()) << "round " << round << ", number " << i;
    }
    EXPECT_FALSE(library->make(CipherSuite::aes_256_gcm, key, FrameCipher::Use::seal, 0));
  }
}

TEST_F(DpdkCiphers, MoreThanThereIsMemoryForIsAnErrorThatSaysWhatToDo) {
  try {
    carriers::open_dpdk_ciphers(eal(), std::size_t{1} << 20U);
    FAIL() << "a gigabyte of keys";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("raise dpdk.memory"), std::string::npos) << error.what();
  }
}

/// A link whose ends differ in who computes, and whose keys change often.
TEST_F(DpdkCiphers, FramesOfOneEndAreOpenedByTheOtherWhileKeysChange) {
  const auto library = carriers::open_dpdk_ciphers(eal(), carriers::kMaxCiphersPerLink);
  LinkKeys::Options options;
  options.rekey_frames = 300;
  LinkKeys openssl(options);
  options.library = library.get();
  LinkKeys dpdk(options);
  EXPECT_EQ(openssl.library().name(), "OpenSSL");
  EXPECT_EQ(dpdk.library().name(), "DPDK");
  agree(openssl, dpdk);
  std::mt19937_64 random(0x5107'0002);
  std::uint64_t now = 0;
  for (int turn = 0; turn < 20'000; ++turn) {
    now += 100;
    LinkKeys* const ends[2] = {&openssl, &dpdk};
    const auto side = random() % 2;
    LinkKeys &from = *ends[side], &to = *ends[1 - side];
    if (const auto id = to.settled(now)) {
      ASSERT_TRUE(from.taken(*id));
    }
    if (from.due(now)) {
      const auto key = from.offer();
      ASSERT_TRUE(key);
      const auto take = to.take(*key, now);
      ASSERT_NE(take, LinkKeys::Take::refused);
      if (take == LinkKeys::Take::taken) {
        ASSERT_TRUE(from.taken(key->id));
      }
    }
    CipherBytes lines(regs::kLineBytes * (random() % 24));
    for (std::byte& one : lines) one = static_cast<std::byte>(random());
    pipeline::TxFrame frame{};
    for (std::byte& one : frame.header) one = static_cast<std::byte>(random());
    frame.payload = lines;
    CipherBytes datagram(carriers::kSealedLineBytes + sizeof frame.header + lines.size()), out(datagram.size());
    ASSERT_TRUE(from.seal(frame, datagram));
    std::span<const std::byte> opened;
    if (turn % 16 == 0) {  // cut off anywhere, and with noise in the place of anything: never taken
      const auto cut = std::span(datagram).first(random() % datagram.size());
      ASSERT_NE(to.open(cut, out, opened), Opened::opened);
      CipherBytes bad = datagram;
      bad[random() % bad.size()] ^= static_cast<std::byte>(1 + random() % 255);
      ASSERT_NE(to.open(bad, out, opened), Opened::opened);
    }
    ASSERT_EQ(to.open(datagram, out, opened), Opened::opened) << turn;
    ASSERT_TRUE(std::equal(opened.begin(), opened.begin() + sizeof frame.header, std::begin(frame.header)));
    ASSERT_TRUE(std::equal(opened.begin() + sizeof frame.header, opened.end(), lines.begin(), lines.end()));
  }
  EXPECT_GT(openssl.counters().tx_keys, 20U);
  EXPECT_GT(dpdk.counters().tx_keys, 20U);
  EXPECT_EQ(dpdk.counters().not_sealed, 0U);
}

}  // namespace
}  // namespace slotwire::test
