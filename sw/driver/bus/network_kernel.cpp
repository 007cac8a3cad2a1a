#include "driver/bus/network_kernel.hpp"

namespace slotwire::driver {
namespace {

// Registers, as Ethernet/template.xml of xup_vitis_network_example has them.
constexpr std::uint32_t kReset = 0x0004, kRxStatus = 0x0204, kTick = 0x02B0;
constexpr std::uint32_t kRxBadFcsLow = 0x06C0, kRxBadFcsHigh = 0x06C4;
constexpr std::uint32_t kFecCorrection = 0x1000, kFecEnable = 0x107C;

constexpr std::uint32_t kResetBoth = 0xC0000000;  ///< transmitter and receiver
constexpr std::uint32_t kFecBothWays = 0x3;
constexpr std::uint32_t kFecCorrects = 0x7;  ///< corrects, marks what it cannot correct, and tells of it

constexpr std::uint32_t kStatusUp = 1U << 0, kStatusAligned = 1U << 1, kStatusManyErrors = 1U << 4;
constexpr std::uint32_t kStatusRemoteFault = 1U << 5, kStatusLocalFault = 1U << 6;

std::string why_down(const NetworkState& state) {
  if (state.local_fault) return "there is no signal that it can use";
  if (!state.aligned) return "its lanes are not aligned";
  if (state.many_errors) return "its lanes have too many bit errors";
  if (state.remote_fault) return "the other end reports a fault";
  return "it is not ready to receive";
}

}  // namespace

void NetworkKernel::correct_errors(bool on) {
  correct_ = on;
  const std::uint32_t enable = on ? kFecBothWays : 0, correction = on ? kFecCorrects : 0;
  if (registers_.read_network(kFecEnable) == enable && registers_.read_network(kFecCorrection) == correction) return;
  registers_.write_network(kFecEnable, enable);
  registers_.write_network(kFecCorrection, correction);
  registers_.write_network(kReset, kResetBoth);
  registers_.write_network(kReset, 0);
}

NetworkState NetworkKernel::state() {
  // What was since the last read stands in the first answer, what is in the second.
  static_cast<void>(registers_.read_network(kRxStatus));
  const std::uint32_t status = registers_.read_network(kRxStatus);
  return {.up = (status & kStatusUp) != 0,
          .aligned = (status & kStatusAligned) != 0,
          .many_errors = (status & kStatusManyErrors) != 0,
          .local_fault = (status & kStatusLocalFault) != 0,
          .remote_fault = (status & kStatusRemoteFault) != 0};
}

std::uint64_t NetworkKernel::take_bad_frames() {
  // The tick moves what was counted to where it is read, and counting begins anew.
  registers_.write_network(kTick, 1);
  const std::uint64_t low = registers_.read_network(kRxBadFcsLow);
  return low | std::uint64_t{registers_.read_network(kRxBadFcsHigh)} << 32;
}

std::optional<std::string> NetworkKernel::news() {
  const NetworkState now = state();
  std::string text;
  if (told_ != now) {
    told_ = now;
    const std::string correction = correct_ ? "rs" : "off";
    text = now.up ? "the port is up (FEC " + correction + ")"
                  : "the port is down: " + why_down(now) + "; look at the cable, and whether the other end has FEC " +
                        correction + ", too (--fec)";
  }
  if (const std::uint64_t bad = take_bad_frames(); bad != 0) {
    if (!text.empty()) text += "; ";
    text += std::to_string(bad) +
            " damaged frames came, which the network kernel does not discard; look at the cable and at the other end's "
            "FEC (--fec)";
  }
  if (text.empty()) return std::nullopt;
  return text;
}

}  // namespace slotwire::driver
