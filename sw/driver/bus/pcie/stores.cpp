#include "driver/bus/pcie/stores.hpp"

#include <array>
#include <atomic>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace slotwire::driver {
namespace {

class WordStores : public Stores {
 public:
  void line(std::byte* to, const std::byte* from) override {
    std::array<std::uint64_t, 8> words;
    std::memcpy(words.data(), from, sizeof words);
    for (std::size_t i = 0; i < words.size(); ++i) word8(to + 8 * i, words[i]);
  }
  void word8(std::byte* to, std::uint64_t value) override { *reinterpret_cast<volatile std::uint64_t*>(to) = value; }
  void word4(std::byte* to, std::uint32_t value) override { *reinterpret_cast<volatile std::uint32_t*>(to) = value; }
  void fence() override {
#if defined(__x86_64__)
    _mm_sfence();
#else
    std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
  }
  std::string_view name() const override {
    return "8-byte stores";
  }
};

#if defined(__x86_64__)

class Avx512Stores final : public WordStores {
 public:
  __attribute__((target("avx512f"))) void line(std::byte* to, const std::byte* from) override {
    _mm512_store_si512(to, _mm512_loadu_si512(from));
    asm volatile("" ::: "memory");
  }
  std::string_view name() const override { return "64-byte stores (AVX-512)"; }
};

class Movdir64bStores final : public WordStores {
 public:
  __attribute__((target("movdir64b"))) void line(std::byte* to, const std::byte* from) override {
    _movdir64b(to, from);
  }
  std::string_view name() const override { return "64-byte direct stores (MOVDIR64B)"; }
};

constexpr unsigned kMovdir64bBit = 1U << 28;  ///< CPUID leaf 7, ECX

#endif

}  // namespace

bool cpu_has([[maybe_unused]] StoreKind kind) {
  if (kind == StoreKind::words) return true;
#if defined(__x86_64__)
  // The compiler's check includes that the operating system saves the registers.
  if (kind == StoreKind::avx512) return __builtin_cpu_supports("avx512f") != 0;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ecx & kMovdir64bBit) != 0;
#else
  return false;
#endif
}

Stores& stores_of([[maybe_unused]] StoreKind kind) {
#if defined(__x86_64__)
  static Avx512Stores avx512;
  static Movdir64bStores movdir64b;
  if (kind == StoreKind::avx512) return avx512;
  if (kind == StoreKind::movdir64b) return movdir64b;
#endif
  static WordStores words;
  return words;
}

Stores& best_stores() {
  // A direct store is one write on the bus whatever the memory type; 64 bytes of AVX-512 are one if they are combined.
  for (const StoreKind kind : {StoreKind::movdir64b, StoreKind::avx512}) {
    if (cpu_has(kind)) return stores_of(kind);
  }
  return stores_of(StoreKind::words);
}

}  // namespace slotwire::driver
