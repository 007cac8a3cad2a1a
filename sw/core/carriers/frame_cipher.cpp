#include "core/carriers/frame_cipher.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <climits>

namespace slotwire::carriers {
namespace {

struct Name {
  CipherSuite suite;
  std::string_view name;
  std::size_t key_bytes;
};
constexpr std::array<Name, 3> kSuites{{{CipherSuite::none, "none", 0},
                                       {CipherSuite::aes_128_gcm, "aes-128-gcm", 16},
                                       {CipherSuite::aes_256_gcm, "aes-256-gcm", 32}}};

const unsigned char* in(std::span<const std::byte> bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
unsigned char* to(std::span<std::byte> bytes) {
  return reinterpret_cast<unsigned char*>(bytes.data());
}

class EvpCipher final : public FrameCipher {
 public:
  bool start(CipherSuite suite, std::span<const std::byte> key, Use use, std::size_t associated_bytes) {
    associated_bytes_ = associated_bytes;
    context_.reset(EVP_CIPHER_CTX_new());
    const EVP_CIPHER* const cipher = suite == CipherSuite::aes_128_gcm ? EVP_aes_128_gcm() : EVP_aes_256_gcm();
    static_assert(kNonceBytes == 12, "what EVP takes without being told a length");
    use_ = use;
    return context_ && EVP_CipherInit_ex2(context_.get(), cipher, in(key), nullptr, use == Use::seal, nullptr) == 1;
  }

  bool seal(const Nonce& nonce, std::span<const std::byte> associated, Parts parts, std::span<std::byte> out,
            std::span<std::byte, kTagBytes> tag) noexcept override {
    if (use_ != Use::seal || !begin(nonce, associated)) return false;
    std::size_t done = 0;
    for (const auto part : parts) {
      if (part.size() > out.size() - done || !update(part, out.subspan(done))) return false;
      done += part.size();
    }
    int more = 0;
    return done == out.size() && EVP_CipherFinal_ex(context_.get(), to(out) + done, &more) == 1 &&
           EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, tag.data()) == 1;
  }

  bool open(const Nonce& nonce, std::span<const std::byte> associated, std::span<const std::byte> sealed,
            std::span<const std::byte, kTagBytes> tag, std::span<std::byte> out) noexcept override {
    if (use_ != Use::open || out.size() != sealed.size() || !begin(nonce, associated)) return false;
    // EVP takes the expected tag through a pointer that is not const, and does not write through it.
    auto* const expected = const_cast<std::byte*>(tag.data());
    int more = 0;
    return update(sealed, out) &&
           EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes, expected) == 1 &&
           EVP_CipherFinal_ex(context_.get(), to(out) + out.size(), &more) == 1;
  }

 private:
  struct Free {
    void operator()(EVP_CIPHER_CTX* context) const noexcept { EVP_CIPHER_CTX_free(context); }  // wipes the key, too
  };

  bool begin(const Nonce& nonce, std::span<const std::byte> associated) noexcept {
    int done = 0;
    return associated.size() == associated_bytes_ &&
           EVP_CipherInit_ex2(context_.get(), nullptr, nullptr, in(nonce), -1, nullptr) == 1 &&
           (associated.empty() ||
            EVP_CipherUpdate(context_.get(), nullptr, &done, in(associated), static_cast<int>(associated.size())) == 1);
  }

  bool update(std::span<const std::byte> from, std::span<std::byte> out) noexcept {
    if (from.empty()) return true;
    if (from.size() > INT_MAX) return false;
    int done = 0;
    return EVP_CipherUpdate(context_.get(), to(out), &done, in(from), static_cast<int>(from.size())) == 1 &&
           done == static_cast<int>(from.size());
  }

  std::unique_ptr<EVP_CIPHER_CTX, Free> context_;
  Use use_ = Use::seal;
  std::size_t associated_bytes_ = 0;
};

class OpensslCiphers final : public CipherLibrary {
 public:
  std::string_view name() const noexcept override { return "OpenSSL"; }
  std::unique_ptr<FrameCipher> make(CipherSuite suite, std::span<const std::byte> key, FrameCipher::Use use,
                                    std::size_t associated_bytes) override {
    if (suite == CipherSuite::none || key.size() != suite_key_bytes(suite) || associated_bytes > INT_MAX)
      return nullptr;
    auto cipher = std::make_unique<EvpCipher>();
    if (!cipher->start(suite, key, use, associated_bytes)) return nullptr;
    return cipher;
  }
};

}  // namespace

std::string_view suite_name(CipherSuite suite) {
  return kSuites[static_cast<std::size_t>(suite)].name;
}

std::optional<CipherSuite> suite_from_name(std::string_view name) {
  for (const Name& one : kSuites) {
    if (one.name == name) return one.suite;
  }
  return std::nullopt;
}

std::size_t suite_key_bytes(CipherSuite suite) {
  return kSuites[static_cast<std::size_t>(suite)].key_bytes;
}

CipherLibrary& openssl_ciphers() {
  static OpensslCiphers one;
  return one;
}

bool random_bytes(std::span<std::byte> out) noexcept {
  return out.size() <= INT_MAX && RAND_priv_bytes(to(out), static_cast<int>(out.size())) == 1;
}

void wipe(std::span<std::byte> secret) noexcept {
  OPENSSL_cleanse(secret.data(), secret.size());
}

bool same_tag(std::span<const std::byte, kTagBytes> a, std::span<const std::byte, kTagBytes> b) noexcept {
  return CRYPTO_memcmp(a.data(), b.data(), kTagBytes) == 0;
}

}  // namespace slotwire::carriers
