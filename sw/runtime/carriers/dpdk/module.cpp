// What slotwire-dpdk.so shows to those who load it.
#include "carriers/dpdk/dpdk_carrier.hpp"

namespace slotwire::carriers {
namespace {

std::unique_ptr<DpdkCarrier> open(const DpdkOptions& options) {
  return std::make_unique<PortCarrier>(options);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const DpdkModule slotwire_dpdk_module;
extern "C" const DpdkModule slotwire_dpdk_module = {SLOTWIRE_VERSION, sizeof(DpdkOptions), open};

}  // namespace slotwire::carriers
