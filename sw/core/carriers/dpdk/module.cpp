// What slotwire-dpdk.so shows to those who load it.
#include "core/carriers/dpdk/ciphers.hpp"
#include "core/carriers/dpdk/dpdk_carrier.hpp"

namespace slotwire::carriers {
namespace {

std::unique_ptr<DpdkCarrier> open(const DpdkOptions& options) {
  return std::make_unique<PortCarrier>(options);
}

std::unique_ptr<CipherLibrary> ciphers(const EalOptions& eal, std::size_t most) {
  return std::make_unique<DpdkCiphers>(eal, most);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const DpdkModule slotwire_dpdk_module;
extern "C" const DpdkModule slotwire_dpdk_module = {SLOTWIRE_VERSION, sizeof(DpdkOptions), open, ciphers};

}  // namespace slotwire::carriers
