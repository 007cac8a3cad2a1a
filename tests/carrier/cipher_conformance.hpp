// What every library of ciphers must do: the tests. AES-GCM against vectors of "The Galois/Counter Mode of Operation
// (GCM)", McGrew and Viega, as submitted to NIST, and against OpenSSL. Who includes it says for which libraries they
// are made (INSTANTIATE_TEST_SUITE_P).
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "core/carriers/frame_cipher.hpp"
#include "hex.hpp"

namespace slotwire::test {

using carriers::CipherLibrary;
using carriers::CipherSuite;
using carriers::FrameCipher;
using carriers::kNonceBytes;
using carriers::kTagBytes;
using carriers::Nonce;
using CipherBytes = std::vector<std::byte>;

struct CipherFactory {
  const char* name;
  CipherLibrary& (*library)();
  std::string (*lacks)() = nullptr;  ///< what this host lacks for it; empty: nothing
};

inline void PrintTo(const CipherFactory& factory, std::ostream* out) {
  *out << factory.name;
}

inline std::string cipher_name_of(const testing::TestParamInfo<CipherFactory>& info) {
  return info.param.name;
}

class FrameCiphers : public testing::TestWithParam<CipherFactory> {
 protected:
  void SetUp() override {
    if (GetParam().lacks == nullptr) return;
    if (const std::string missing = GetParam().lacks(); !missing.empty()) GTEST_SKIP() << missing;
  }
  static CipherLibrary& library() { return GetParam().library(); }
};

struct KnownCipher {
  const char* name;
  CipherSuite suite;
  const char *key, *nonce, *associated, *plain, *sealed, *tag;
};

inline constexpr const char* kKey = "feffe9928665731c6d6a8f9467308308";
inline constexpr const char* kNonce = "cafebabefacedbaddecaf888";
inline constexpr const char* kAssociated = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
inline constexpr const char* kPlain =
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba"
    "637b39";
inline constexpr const char* kZero12 = "000000000000000000000000";
inline constexpr const char* kZero16 = "00000000000000000000000000000000";
inline constexpr const char* kZero32 = "0000000000000000000000000000000000000000000000000000000000000000";
inline constexpr const char* kKey256 = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";

inline const std::vector<KnownCipher> kKnown{
    {"test case 1", CipherSuite::aes_128_gcm, kZero16, kZero12, "", "", "", "58e2fccefa7e3061367f1d57a4e7455a"},
    {"test case 2", CipherSuite::aes_128_gcm, kZero16, kZero12, "", kZero16, "0388dace60b6a392f328c2b971b2fe78",
     "ab6e47d42cec13bdf53a67b21257bddf"},
    {"test case 4", CipherSuite::aes_128_gcm, kKey, kNonce, kAssociated, kPlain,
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973"
     "d58e091",
     "5bc94fbc3221a5db94fae95ae7121a47"},
    {"test case 13", CipherSuite::aes_256_gcm, kZero32, kZero12, "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {"test case 14", CipherSuite::aes_256_gcm, kZero32, kZero12, "", kZero16, "cea7403d4d606b6e074ec5d3baf39d18",
     "d0d1c8a799996bf0265b98b5d48ab919"},
    {"test case 16", CipherSuite::aes_256_gcm, kKey256, kNonce, kAssociated, kPlain,
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0ab"
     "cc9f662",
     "76fc6ece0f4e1768cddf8853bb2d551b"},
};

inline Nonce nonce_from(const char* hex) {
  Nonce nonce{};
  const auto bytes = from_hex(hex);
  std::copy(bytes.begin(), bytes.end(), nonce.begin());
  return nonce;
}

TEST_P(FrameCiphers, KnownAnswers) {
  for (const KnownCipher& known : kKnown) {
    const auto key = from_hex(known.key), associated = from_hex(known.associated), plain = from_hex(known.plain);
    const Nonce nonce = nonce_from(known.nonce);
    const auto sealer = library().make(known.suite, key, FrameCipher::Use::seal, associated.size());
    const auto opener = library().make(known.suite, key, FrameCipher::Use::open, associated.size());
    ASSERT_TRUE(sealer && opener) << known.name;
    // In one piece and cut at every place, with the same object: nothing stays of the frame before.
    for (std::size_t cut = 0; cut <= plain.size(); ++cut) {
      CipherBytes out(plain.size()), tag(kTagBytes), back(plain.size());
      const auto whole = std::span<const std::byte>(plain);
      ASSERT_TRUE(sealer->seal(nonce, associated, {whole.first(cut), whole.subspan(cut)}, out,
                               std::span<std::byte, kTagBytes>(tag)));
      EXPECT_EQ(to_hex(out), known.sealed) << known.name << " cut at " << cut;
      EXPECT_EQ(to_hex(tag), known.tag) << known.name << " cut at " << cut;
      ASSERT_TRUE(opener->open(nonce, associated, out, std::span<const std::byte, kTagBytes>(tag), back)) << known.name;
      EXPECT_EQ(back, plain) << known.name;
    }
  }
}

TEST_P(FrameCiphers, AnyChangedBitIsFoundAndTheNextFrameIsOpened) {
  const KnownCipher& known = kKnown.back();
  const auto key = from_hex(known.key);
  CipherBytes associated = from_hex(known.associated), sealed = from_hex(known.sealed), tag = from_hex(known.tag);
  const auto opener = library().make(known.suite, key, FrameCipher::Use::open, associated.size());
  Nonce nonce = nonce_from(known.nonce);
  CipherBytes out(sealed.size());
  const auto opens = [&] {
    return opener->open(nonce, associated, sealed, std::span<const std::byte, kTagBytes>(tag), out);
  };
  const auto changed = [&](std::span<std::byte> part, const char* what) {
    for (std::size_t bit = 0; bit < 8 * part.size(); ++bit) {
      part[bit / 8] ^= std::byte{1} << (bit % 8);
      EXPECT_FALSE(opens()) << what << ", bit " << bit;
      part[bit / 8] ^= std::byte{1} << (bit % 8);
    }
    EXPECT_TRUE(opens()) << what;
  };
  changed(associated, "associated");
  changed(sealed, "sealed");
  changed(tag, "tag");
  changed(nonce, "nonce");
}

TEST_P(FrameCiphers, WrongUsesAreRefused) {
  const auto key = from_hex(kKey256);
  EXPECT_FALSE(library().make(CipherSuite::none, {}, FrameCipher::Use::seal, 0));
  EXPECT_FALSE(library().make(CipherSuite::aes_128_gcm, key, FrameCipher::Use::seal, 0));
  EXPECT_FALSE(library().make(CipherSuite::aes_256_gcm, std::span(key).first(31), FrameCipher::Use::seal, 0));
  const auto sealer = library().make(CipherSuite::aes_256_gcm, key, FrameCipher::Use::seal, 0);
  const auto opener = library().make(CipherSuite::aes_256_gcm, key, FrameCipher::Use::open, 0);
  CipherBytes ten(10), out(10), tag(kTagBytes);
  const std::span<std::byte, kTagBytes> tag_out(tag);
  EXPECT_FALSE(opener->seal({}, {}, {ten}, out, tag_out));
  EXPECT_FALSE(sealer->open({}, {}, ten, tag_out, out));
  EXPECT_FALSE(sealer->seal({}, {}, {ten, ten}, out, tag_out)) << "more than there is room for";
  EXPECT_FALSE(sealer->seal({}, {}, {std::span(ten).first(9)}, out, tag_out)) << "less";
  EXPECT_FALSE(sealer->seal({}, ten, {ten}, out, tag_out)) << "associated bytes that were not announced";
  EXPECT_TRUE(sealer->seal({}, {}, {ten}, out, tag_out));
  EXPECT_FALSE(opener->open({}, ten, out, tag_out, ten)) << "the same";
  EXPECT_FALSE(opener->open({}, {}, out, tag_out, std::span(ten).first(9))) << "less room";
  EXPECT_TRUE(opener->open({}, {}, out, tag_out, ten));
}

/// One byte after the other up to where blocks of every width have been met, then what frames may have.
inline std::vector<std::size_t> cipher_lengths() {
  std::vector<std::size_t> lengths;
  for (std::size_t bytes = 0; bytes <= 600; ++bytes) lengths.push_back(bytes);
  for (std::size_t bytes = 22; bytes <= 9400; bytes += 64) lengths.push_back(bytes);  // a link header and lines
  return lengths;
}

TEST_P(FrameCiphers, OfAnyLengthTheyAreOpenSslsByteForByteBothWays) {
  std::mt19937_64 random(0x5107'0001);
  const auto noise = [&](std::size_t bytes) {
    CipherBytes made(bytes);
    for (std::byte& one : made) one = static_cast<std::byte>(random());
    return made;
  };
  for (const CipherSuite suite : {CipherSuite::aes_128_gcm, CipherSuite::aes_256_gcm}) {
    for (const std::size_t associated_bytes : {0U, 1U, 20U, 48U, 65U}) {
      const CipherBytes key = noise(carriers::suite_key_bytes(suite));
      CipherLibrary* const both[] = {&library(), &carriers::openssl_ciphers()};
      std::unique_ptr<FrameCipher> sealers[2], openers[2];
      for (int i = 0; i < 2; ++i) {
        sealers[i] = both[i]->make(suite, key, FrameCipher::Use::seal, associated_bytes);
        openers[i] = both[i]->make(suite, key, FrameCipher::Use::open, associated_bytes);
        ASSERT_TRUE(sealers[i] && openers[i]);
      }
      for (const std::size_t bytes : cipher_lengths()) {
        const CipherBytes plain = noise(bytes), associated = noise(associated_bytes), salt = noise(kNonceBytes);
        Nonce nonce{};
        std::copy(salt.begin(), salt.end(), nonce.begin());
        CipherBytes sealed[2], tags[2];
        const std::size_t cut = bytes == 0 ? 0 : random() % bytes;
        for (int i = 0; i < 2; ++i) {
          sealed[i].resize(bytes);
          tags[i].resize(kTagBytes);
          ASSERT_TRUE(sealers[i]->seal(nonce, associated, {std::span(plain).first(cut), std::span(plain).subspan(cut)},
                                       sealed[i], std::span<std::byte, kTagBytes>(tags[i])));
        }
        ASSERT_EQ(sealed[0], sealed[1]) << bytes;
        ASSERT_EQ(tags[0], tags[1]) << bytes;
        for (int i = 0; i < 2; ++i) {
          CipherBytes back(bytes), bad_tag = tags[1 - i];
          ASSERT_TRUE(openers[i]->open(nonce, associated, sealed[1 - i],
                                       std::span<const std::byte, kTagBytes>(tags[1 - i]), back))
              << bytes;
          ASSERT_EQ(back, plain) << bytes;
          bad_tag[random() % kTagBytes] ^= std::byte{1} << (random() % 8);
          ASSERT_FALSE(
              openers[i]->open(nonce, associated, sealed[1 - i], std::span<const std::byte, kTagBytes>(bad_tag), back))
              << bytes;
          if (bytes == 0) continue;
          ASSERT_FALSE(openers[i]->open(nonce, associated, std::span(sealed[1 - i]).first(bytes - 1),
                                        std::span<const std::byte, kTagBytes>(tags[1 - i]),
                                        std::span(back).first(bytes - 1)))
              << bytes << ", cut off";
        }
      }
    }
  }
}

TEST_P(FrameCiphers, AnotherKeyOpensNothing) {
  CipherBytes key = from_hex(kKey256), plain(100), sealed(100), tag(kTagBytes), back(100);
  const auto sealer = library().make(CipherSuite::aes_256_gcm, key, FrameCipher::Use::seal, 0);
  ASSERT_TRUE(sealer->seal({}, {}, {plain}, sealed, std::span<std::byte, kTagBytes>(tag)));
  for (std::size_t bit = 0; bit < 8 * key.size(); bit += 7) {
    key[bit / 8] ^= std::byte{1} << (bit % 8);
    const auto opener = library().make(CipherSuite::aes_256_gcm, key, FrameCipher::Use::open, 0);
    EXPECT_FALSE(opener->open({}, {}, sealed, std::span<const std::byte, kTagBytes>(tag), back)) << bit;
    key[bit / 8] ^= std::byte{1} << (bit % 8);
  }
}

}  // namespace slotwire::test
