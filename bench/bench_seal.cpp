// Frames encrypted and decrypted, as an encrypted link does it, by OpenSSL and by DPDK. The floor is floor_memcpy_frame
// of bench_pipeline.cpp.
#include <benchmark/benchmark.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/carriers/dpdk/dpdk.hpp"
#include "core/carriers/link_keys.hpp"

namespace {

using namespace slotwire;
using carriers::CipherSuite;
using carriers::LinkKeys;

/// 64 bytes, what an encrypted frame of 1500 bytes holds, 1408 bytes, and a long frame of 9000.
const std::vector<std::int64_t> kLines{1, 21, 22, 139};

struct Dpdk {
  std::unique_ptr<carriers::CipherLibrary> ciphers;
  std::string missing;
};

const Dpdk& dpdk() {
  static const Dpdk one = [] {
    Dpdk made;
    try {
      carriers::EalOptions eal;
      eal.hugepages = false;
      made.ciphers = carriers::open_dpdk_ciphers(eal, 2 * carriers::kMaxCiphersPerLink);
    } catch (const std::runtime_error& error) {
      made.missing = error.what();
    }
    return made;
  }();
  return one;
}

/// A frame of range(0) lines sealed, and with `open` opened again, under a key of range(1) bits.
void run(benchmark::State& state, bool open, carriers::CipherLibrary* library) {
  LinkKeys::Options options;
  options.suite = state.range(1) == 128 ? CipherSuite::aes_128_gcm : CipherSuite::aes_256_gcm;
  options.library = library;
  LinkKeys from(options), to(options);
  from.restart();
  const auto key = from.offer();
  if (!key || to.take(*key, 0) != LinkKeys::Take::taken || !from.taken(key->id)) {
    state.SkipWithError("no key");
    return;
  }
  const std::vector<std::byte> lines(static_cast<std::size_t>(state.range(0)) * regs::kLineBytes, std::byte{1});
  pipeline::TxFrame frame{};
  frame.payload = lines;
  std::vector<std::byte> datagram(carriers::kSealedLineBytes + regs::kHeaderBytes + lines.size()), out(datagram.size());
  std::span<const std::byte> opened;
  bool good = true;
  for (auto _ : state) {
    good &= from.seal(frame, datagram);
    if (open) good &= to.open(datagram, out, opened) == carriers::Opened::opened;
    benchmark::ClobberMemory();
  }
  if (!good) state.SkipWithError("a frame was not opened");
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
  state.SetBytesProcessed(static_cast<std::int64_t>(static_cast<std::size_t>(state.iterations()) * lines.size()));
}

void run_dpdk(benchmark::State& state, bool open) {
  if (!dpdk().ciphers) {
    state.SkipWithError(dpdk().missing.c_str());
    return;
  }
  run(state, open, dpdk().ciphers.get());
}

void seal(benchmark::State& state) {
  run(state, false, nullptr);
}
void seal_and_open(benchmark::State& state) {
  run(state, true, nullptr);
}
void seal_dpdk(benchmark::State& state) {
  run_dpdk(state, false);
}
void seal_and_open_dpdk(benchmark::State& state) {
  run_dpdk(state, true);
}
BENCHMARK(seal)->ArgNames({"lines", "bits"})->ArgsProduct({kLines, {128, 256}});
BENCHMARK(seal_dpdk)->ArgNames({"lines", "bits"})->ArgsProduct({kLines, {128, 256}});
BENCHMARK(seal_and_open)->ArgNames({"lines", "bits"})->ArgsProduct({kLines, {128, 256}});
BENCHMARK(seal_and_open_dpdk)->ArgNames({"lines", "bits"})->ArgsProduct({kLines, {128, 256}});

}  // namespace
