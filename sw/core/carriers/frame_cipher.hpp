// AES-GCM over the bytes of one frame, whoever computes it. OpenSSL does; DPDK's synchronous crypto is in
// dpdk/dpdk_ciphers.*.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

namespace slotwire::carriers {

/// How the frames of a link are encrypted.
enum class CipherSuite : std::uint8_t { none, aes_128_gcm, aes_256_gcm };

/// As the configuration and the engines write it: "none", "aes-128-gcm", "aes-256-gcm".
std::string_view suite_name(CipherSuite suite);
std::optional<CipherSuite> suite_from_name(std::string_view name);
/// Bytes of a key: 0, 16 or 32.
std::size_t suite_key_bytes(CipherSuite suite);

inline constexpr std::size_t kMaxKeyBytes = 32;
inline constexpr std::size_t kNonceBytes = 12;
inline constexpr std::size_t kTagBytes = 16;
using Nonce = std::array<std::byte, kNonceBytes>;

/// One key, for one of the two calls. One thread. `associated` is as long as was said when it was made. Neither call
/// allocates or throws. What goes wrong in the library, not only a wrong tag, is a false.
class FrameCipher {
 public:
  enum class Use : std::uint8_t { seal, open };
  using Parts = std::initializer_list<std::span<const std::byte>>;

  FrameCipher() = default;
  FrameCipher(const FrameCipher&) = delete;
  FrameCipher& operator=(const FrameCipher&) = delete;
  virtual ~FrameCipher() = default;

  /// Encrypts `parts`, one after the other, into `out` (as long as they together; no overlap) and makes the tag over
  /// them and `associated`. A nonce must never come twice under one key. False: `out` must not be sent.
  virtual bool seal(const Nonce& nonce, std::span<const std::byte> associated, Parts parts, std::span<std::byte> out,
                    std::span<std::byte, kTagBytes> tag) noexcept = 0;
  /// Decrypts `sealed` into `out` (of the same length; no overlap) and checks the tag. False: not a byte of `out` may
  /// be used.
  virtual bool open(const Nonce& nonce, std::span<const std::byte> associated, std::span<const std::byte> sealed,
                    std::span<const std::byte, kTagBytes> tag, std::span<std::byte> out) noexcept = 0;
};

/// Who computes AES-GCM. What two of them seal is the same byte for byte. Any thread, one at a time. Outlives the
/// ciphers that it made.
class CipherLibrary {
 public:
  CipherLibrary() = default;
  CipherLibrary(const CipherLibrary&) = delete;
  CipherLibrary& operator=(const CipherLibrary&) = delete;
  virtual ~CipherLibrary() = default;
  /// For people: "OpenSSL".
  virtual std::string_view name() const noexcept = 0;
  /// What depends on the key alone is made here, once. `key` has suite_key_bytes(suite) bytes, the `associated` of
  /// every call has `associated_bytes`. None when the key has not, when the suite is none, or when the library refuses.
  virtual std::unique_ptr<FrameCipher> make(CipherSuite suite, std::span<const std::byte> key, FrameCipher::Use use,
                                            std::size_t associated_bytes) = 0;
};

/// OpenSSL's, which is always there. Lives as long as the program.
CipherLibrary& openssl_ciphers();

/// Fills `out` with random bytes fit for keys. False when the system has none.
bool random_bytes(std::span<std::byte> out) noexcept;
/// Overwrites secrets in a way that the compiler does not leave out.
void wipe(std::span<std::byte> secret) noexcept;
/// Whether two tags are equal, in a time that does not depend on what is in them.
bool same_tag(std::span<const std::byte, kTagBytes> a, std::span<const std::byte, kTagBytes> b) noexcept;

}  // namespace slotwire::carriers
