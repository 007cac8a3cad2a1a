// Frames encrypted and decrypted, as an encrypted link does it. The floor is floor_memcpy_frame of bench_pipeline.cpp.
#include <benchmark/benchmark.h>

#include <vector>

#include "carriers/link_keys.hpp"

namespace {

using namespace slotwire;
using carriers::CipherSuite;
using carriers::LinkKeys;

/// A frame of range(0) lines sealed, and with `open` opened again, under a key of range(1) bits.
void run(benchmark::State& state, bool open) {
  LinkKeys::Options options;
  options.suite = state.range(1) == 128 ? CipherSuite::aes_128_gcm : CipherSuite::aes_256_gcm;
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

void seal(benchmark::State& state) {
  run(state, false);
}
void seal_and_open(benchmark::State& state) {
  run(state, true);
}
BENCHMARK(seal)->ArgNames({"lines", "bits"})->ArgsProduct({{1, 21}, {128, 256}});
BENCHMARK(seal_and_open)->ArgNames({"lines", "bits"})->ArgsProduct({{1, 21}, {128, 256}});

}  // namespace
