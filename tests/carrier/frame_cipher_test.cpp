// AES-GCM by OpenSSL.
#include "cipher_conformance.hpp"

namespace slotwire::test {
namespace {

INSTANTIATE_TEST_SUITE_P(Openssl, FrameCiphers, testing::Values(CipherFactory{"openssl", carriers::openssl_ciphers}),
                         cipher_name_of);

TEST(FrameCipher, SuitesHaveTheirNames) {
  for (const CipherSuite suite : {CipherSuite::none, CipherSuite::aes_128_gcm, CipherSuite::aes_256_gcm}) {
    EXPECT_EQ(carriers::suite_from_name(carriers::suite_name(suite)), suite);
  }
  EXPECT_EQ(carriers::suite_from_name("aes-512-gcm"), std::nullopt);
}

}  // namespace
}  // namespace slotwire::test
