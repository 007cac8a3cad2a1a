// AES-GCM against vectors of "The Galois/Counter Mode of Operation (GCM)", McGrew and Viega, as submitted to NIST.
#include "carriers/frame_cipher.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "hex.hpp"

namespace slotwire::test {
namespace {

using namespace carriers;
using Bytes = std::vector<std::byte>;

struct Known {
  const char* name;
  CipherSuite suite;
  const char *key, *nonce, *associated, *plain, *sealed, *tag;
};

constexpr const char* kKey = "feffe9928665731c6d6a8f9467308308";
constexpr const char* kNonce = "cafebabefacedbaddecaf888";
constexpr const char* kAssociated = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
constexpr const char* kPlain =
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba"
    "637b39";
constexpr const char* kZero12 = "000000000000000000000000";
constexpr const char* kZero16 = "00000000000000000000000000000000";
constexpr const char* kZero32 = "0000000000000000000000000000000000000000000000000000000000000000";
constexpr const char* kKey256 = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";

const std::vector<Known> kKnown{
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

Nonce nonce_from(const char* hex) {
  Nonce nonce{};
  const auto bytes = from_hex(hex);
  std::copy(bytes.begin(), bytes.end(), nonce.begin());
  return nonce;
}

TEST(FrameCipher, KnownAnswers) {
  for (const Known& known : kKnown) {
    const auto key = from_hex(known.key), associated = from_hex(known.associated), plain = from_hex(known.plain);
    const Nonce nonce = nonce_from(known.nonce);
    const auto sealer = make_frame_cipher(known.suite, key, FrameCipher::Use::seal);
    const auto opener = make_frame_cipher(known.suite, key, FrameCipher::Use::open);
    ASSERT_TRUE(sealer && opener) << known.name;
    // In one piece and cut at every place, with the same object: nothing stays of the frame before.
    for (std::size_t cut = 0; cut <= plain.size(); ++cut) {
      Bytes out(plain.size()), tag(kTagBytes), back(plain.size());
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

TEST(FrameCipher, AnyChangedBitIsFoundAndTheNextFrameIsOpened) {
  const Known& known = kKnown.back();
  const auto key = from_hex(known.key);
  const auto opener = make_frame_cipher(known.suite, key, FrameCipher::Use::open);
  Bytes associated = from_hex(known.associated), sealed = from_hex(known.sealed), tag = from_hex(known.tag);
  Nonce nonce = nonce_from(known.nonce);
  Bytes out(sealed.size());
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

TEST(FrameCipher, WrongUsesAreRefused) {
  const auto key = from_hex(kKey256);
  EXPECT_FALSE(make_frame_cipher(CipherSuite::none, {}, FrameCipher::Use::seal));
  EXPECT_FALSE(make_frame_cipher(CipherSuite::aes_128_gcm, key, FrameCipher::Use::seal));
  EXPECT_FALSE(make_frame_cipher(CipherSuite::aes_256_gcm, std::span(key).first(31), FrameCipher::Use::seal));
  const auto sealer = make_frame_cipher(CipherSuite::aes_256_gcm, key, FrameCipher::Use::seal);
  const auto opener = make_frame_cipher(CipherSuite::aes_256_gcm, key, FrameCipher::Use::open);
  Bytes ten(10), out(10), tag(kTagBytes);
  const std::span<std::byte, kTagBytes> tag_out(tag);
  EXPECT_FALSE(opener->seal({}, {}, {ten}, out, tag_out));
  EXPECT_FALSE(sealer->open({}, {}, ten, tag_out, out));
  EXPECT_FALSE(sealer->seal({}, {}, {ten, ten}, out, tag_out)) << "more than there is room for";
  EXPECT_FALSE(sealer->seal({}, {}, {std::span(ten).first(9)}, out, tag_out)) << "less";
  EXPECT_TRUE(sealer->seal({}, {}, {ten}, out, tag_out));
}

TEST(FrameCipher, SuitesHaveTheirNames) {
  for (const CipherSuite suite : {CipherSuite::none, CipherSuite::aes_128_gcm, CipherSuite::aes_256_gcm}) {
    EXPECT_EQ(suite_from_name(suite_name(suite)), suite);
  }
  EXPECT_EQ(suite_from_name("aes-512-gcm"), std::nullopt);
}

}  // namespace
}  // namespace slotwire::test
