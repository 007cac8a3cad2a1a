// AES-GCM by DPDK's synchronous crypto: the driver crypto_aesni_gcm, which computes in the calling thread.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/carriers/dpdk/dpdk.hpp"
#include "core/carriers/frame_cipher.hpp"

struct rte_mempool;

namespace slotwire::carriers {

class DpdkCiphers final : public CipherLibrary {
 public:
  /// Starts EAL where it does not run. Room for `most` ciphers at once. Throws std::runtime_error that says what is
  /// missing (the driver, its library, the processor's instructions, memory) and what to do.
  DpdkCiphers(const EalOptions& eal, std::size_t most);
  ~DpdkCiphers() override;
  DpdkCiphers(const DpdkCiphers&) = delete;
  DpdkCiphers& operator=(const DpdkCiphers&) = delete;

  std::string_view name() const noexcept override { return "DPDK"; }
  /// None also when there are as many ciphers as there may be.
  std::unique_ptr<FrameCipher> make(CipherSuite suite, std::span<const std::byte> key, FrameCipher::Use use,
                                    std::size_t associated_bytes) override;

 private:
  void check_known_answer();

  std::uint8_t device_;
  rte_mempool* sessions_ = nullptr;
};

}  // namespace slotwire::carriers
