#include "core/carriers/dpdk/ciphers.hpp"

#include <rte_config.h>
#include <rte_cpuflags.h>
#include <rte_cryptodev.h>
#include <rte_dev.h>
#include <rte_errno.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>

#include "core/carriers/dpdk/eal.hpp"

namespace slotwire::carriers {
namespace {

constexpr const char* kDriver = "crypto_aesni_gcm";
constexpr const char* kDevice = "crypto_aesni_gcm_slotwire";
constexpr const char* kWhatToDo =
    "; install librte-crypto-ipsec-mb23 and libipsec-mb1, or set encryption.library = \"openssl\"";
/// Descriptors of the driver's queue, which nothing goes through: keys are computed with what belongs to it.
constexpr std::uint32_t kQueueDescriptors = 32;
/// Of an encrypted frame, at most.
constexpr std::size_t kMaxBytes = kMaxDpdkMtu;

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error("dpdk: no AES-GCM by " + std::string(kDriver) + ": " + what);
}

void check_processor() {
#if defined(RTE_ARCH_X86)
  // Without them the library computes by tables, slowly and in a time that tells of the key.
  if (::rte_cpu_get_flag_enabled(RTE_CPUFLAG_AES) != 1 || ::rte_cpu_get_flag_enabled(RTE_CPUFLAG_PCLMULQDQ) != 1)
    fail("this processor has no AES and PCLMULQDQ instructions; set encryption.library = \"openssl\"");
#endif
}

/// The one device of the process, made by the first who asks. It stays, as EAL does.
std::uint8_t device() {
  const int there = ::rte_cryptodev_get_dev_id(kDevice);
  if (there >= 0) return static_cast<std::uint8_t>(there);
  const DpdkLog log;
  const int probed = ::rte_dev_probe(kDevice);
  const int made = probed < 0 ? -1 : ::rte_cryptodev_get_dev_id(kDevice);
  if (made < 0) fail("its driver is missing or does not start" + log.text() + kWhatToDo);
  const auto id = static_cast<std::uint8_t>(made);
  rte_cryptodev_info info{};
  ::rte_cryptodev_info_get(id, &info);
  rte_cryptodev_config config{};
  config.socket_id = ::rte_cryptodev_socket_id(id);
  config.nb_queue_pairs = 1;
  rte_cryptodev_qp_conf queue{};
  queue.nb_descriptors = kQueueDescriptors;
  std::string wrong;
  if ((info.feature_flags & RTE_CRYPTODEV_FF_SYM_CPU_CRYPTO) == 0) {
    wrong = "this release of the driver has no synchronous call";
  } else if (::rte_cryptodev_configure(id, &config) != 0 ||
             ::rte_cryptodev_queue_pair_setup(id, 0, &queue, config.socket_id) != 0) {
    wrong = "it cannot be set up" + log.text() + "; raise dpdk.memory";
  }
  if (wrong.empty()) return id;
  if (rte_device* const taken = info.device; taken != nullptr) ::rte_dev_remove(taken);
  fail(wrong + kWhatToDo);
}

/// A session of the driver's. Its one operation encrypts in place and makes the tag over what comes out.
class SessionCipher final : public FrameCipher {
 public:
  SessionCipher(std::uint8_t device, void* session, Use use, std::size_t associated_bytes) noexcept
      : device_(device), session_(session), use_(use), associated_bytes_(associated_bytes) {}
  ~SessionCipher() override { ::rte_cryptodev_sym_session_free(device_, session_); }  // wipes the key, too

  bool seal(const Nonce& nonce, std::span<const std::byte> associated, Parts parts, std::span<std::byte> out,
            std::span<std::byte, kTagBytes> tag) noexcept override {
    if (use_ != Use::seal || associated.size() != associated_bytes_) return false;
    std::size_t done = 0;
    for (const auto part : parts) {
      if (part.size() > out.size() - done) return false;
      std::copy(part.begin(), part.end(), out.begin() + static_cast<std::ptrdiff_t>(done));
      done += part.size();
    }
    return done == out.size() && encrypt(nonce, associated, out, tag);
  }

  /// The driver's own decryption ends in a memcmp of the tags, whose time may tell how much of a forged one was right.
  /// So: what encrypts also decrypts (a counter mode), and what comes out, encrypted again, has the tag that the sealed
  /// bytes must have.
  bool open(const Nonce& nonce, std::span<const std::byte> associated, std::span<const std::byte> sealed,
            std::span<const std::byte, kTagBytes> tag, std::span<std::byte> out) noexcept override {
    static thread_local std::array<std::byte, kMaxBytes> again;
    if (use_ != Use::open || associated.size() != associated_bytes_ || out.size() != sealed.size() ||
        sealed.size() > again.size()) {
      return false;
    }
    std::array<std::byte, kTagBytes> made;
    std::copy(sealed.begin(), sealed.end(), out.begin());
    if (!encrypt(nonce, associated, out, made)) return false;
    const std::span<std::byte> check = std::span(again).first(out.size());
    std::copy(out.begin(), out.end(), check.begin());
    return encrypt(nonce, associated, check, made) && same_tag(made, tag);
  }

 private:
  bool encrypt(const Nonce& nonce, std::span<const std::byte> associated, std::span<std::byte> bytes,
               std::span<std::byte, kTagBytes> tag) noexcept {
    if (bytes.size() > kMaxBytes) return false;
    rte_crypto_vec piece{};
    piece.base = bytes.data();
    piece.len = static_cast<std::uint32_t>(bytes.size());
    rte_crypto_sgl pieces{&piece, bytes.empty() ? 0U : 1U};
    // DPDK takes what it only reads through pointers that are not const.
    rte_crypto_va_iova_ptr iv{const_cast<std::byte*>(nonce.data()), 0};
    rte_crypto_va_iova_ptr aad{const_cast<std::byte*>(associated.data()), 0};
    rte_crypto_va_iova_ptr digest{tag.data(), 0};
    std::int32_t status = -1;
    rte_crypto_sym_vec one{};
    one.num = 1;
    one.src_sgl = &pieces;
    one.iv = &iv;
    one.aad = &aad;
    one.digest = &digest;
    one.status = &status;
    return ::rte_cryptodev_sym_cpu_crypto_process(device_, session_, rte_crypto_sym_ofs{}, &one) == 1 && status == 0;
  }

  std::uint8_t device_;
  void* session_;
  Use use_;
  std::size_t associated_bytes_;
};

}  // namespace

DpdkCiphers::DpdkCiphers(const EalOptions& eal, std::size_t most) {
  static std::atomic<unsigned> count{0};
  start_eal(eal, false);
  check_processor();
  device_ = device();
  const DpdkLog log;
  const std::string name = "slotwire-keys" + std::to_string(count++);
  sessions_ = ::rte_cryptodev_sym_session_pool_create(
      name.c_str(), static_cast<std::uint32_t>(std::max(most, std::size_t{1})),
      ::rte_cryptodev_sym_get_private_session_size(device_), 0, 0, ::rte_cryptodev_socket_id(device_));
  if (sessions_ == nullptr) {
    fail("no memory for " + std::to_string(most) + " keys" + log.text() +
         "; raise dpdk.memory, or set encryption.library = \"openssl\"");
  }
  try {
    check_known_answer();
  } catch (...) {
    ::rte_mempool_free(sessions_);
    throw;
  }
}

DpdkCiphers::~DpdkCiphers() {
  ::rte_mempool_free(sessions_);
}

std::unique_ptr<FrameCipher> DpdkCiphers::make(CipherSuite suite, std::span<const std::byte> key, FrameCipher::Use use,
                                               std::size_t associated_bytes) {
  if (suite == CipherSuite::none || key.size() != suite_key_bytes(suite) || associated_bytes > UINT16_MAX)
    return nullptr;
  rte_crypto_sym_xform form{};
  form.type = RTE_CRYPTO_SYM_XFORM_AEAD;
  form.aead.op = RTE_CRYPTO_AEAD_OP_ENCRYPT;
  form.aead.algo = RTE_CRYPTO_AEAD_AES_GCM;
  form.aead.key.data = reinterpret_cast<const std::uint8_t*>(key.data());
  form.aead.key.length = static_cast<std::uint16_t>(key.size());
  form.aead.iv.length = kNonceBytes;
  form.aead.digest_length = kTagBytes;
  form.aead.aad_length = static_cast<std::uint16_t>(associated_bytes);
  void* const session = ::rte_cryptodev_sym_session_create(device_, &form, sessions_);
  if (session == nullptr) return nullptr;
  return std::make_unique<SessionCipher>(device_, session, use, associated_bytes);
}

/// A library that computes something else is not used. One block under OpenSSL and under this, and back.
void DpdkCiphers::check_known_answer() {
  const std::array<std::byte, kMaxKeyBytes> key{std::byte{1}};
  const Nonce nonce{std::byte{2}};
  const std::array<std::byte, 3> associated{std::byte{3}};
  const std::array<std::byte, regs::kLineBytes> plain{std::byte{4}};
  for (const CipherSuite suite : {CipherSuite::aes_128_gcm, CipherSuite::aes_256_gcm}) {
    const auto used = std::span(key).first(suite_key_bytes(suite));
    const auto known = openssl_ciphers().make(suite, used, FrameCipher::Use::seal, associated.size());
    const auto seal = make(suite, used, FrameCipher::Use::seal, associated.size());
    std::array<std::byte, regs::kLineBytes> expected{}, sealed{}, back{};
    std::array<std::byte, kTagBytes> expected_tag{}, tag{};
    bool good = known && seal && known->seal(nonce, associated, {plain}, expected, expected_tag) &&
                seal->seal(nonce, associated, {plain}, sealed, tag) && sealed == expected && tag == expected_tag;
    if (good) {
      const auto open = make(suite, used, FrameCipher::Use::open, associated.size());
      good = open && open->open(nonce, associated, sealed, tag, back) && back == plain;
      tag[0] ^= std::byte{1};
      good = good && !open->open(nonce, associated, sealed, tag, back);
    }
    if (!good) fail("it does not compute what OpenSSL does" + std::string(kWhatToDo));
  }
}

}  // namespace slotwire::carriers
