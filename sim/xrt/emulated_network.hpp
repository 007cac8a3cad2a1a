// The registers of the 100G network kernel beside the card's, as far as a host uses them: its link is up when both ends
// have the same error correction. Frames do not pass it here (the wire is at the card's kernel).
#pragma once
#include <cstdint>

namespace slotwire::sim {

class EmulatedNetwork {
 public:
  static constexpr std::uint32_t kBytes = 0x2000;  ///< of its registers

  /// `far_correction`: the other end has error correction. `bad_frames` come damaged before the first look.
  explicit EmulatedNetwork(bool far_correction, std::uint32_t bad_frames)
      : far_correction_(far_correction), bad_frames_(bad_frames) {}

  void write(std::uint32_t offset, std::uint32_t value) {
    if (offset == kFecEnable) enable_ = value;
    if (offset == kFecCorrection) correction_ = value;
    if (offset == kReset) {
      // The error correction is taken over by the reset.
      if (value == 0 && reset_ != 0) runs_ = enable_ == kBothWays;
      reset_ = value;
    }
    if (offset == kTick && value == 1) {
      shown_ = bad_frames_;
      bad_frames_ = 0;
    }
  }
  std::uint32_t read(std::uint32_t offset) const {
    switch (offset) {
      case kFecEnable:
        return enable_;
      case kFecCorrection:
        return correction_;
      case kRxStatus:
        return runs_ == far_correction_ ? kUpAndAligned : 0;
      case kRxBadFcs:
        return shown_;
      default:
        return 0;
    }
  }

 private:
  static constexpr std::uint32_t kReset = 0x04, kRxStatus = 0x204, kTick = 0x2B0, kRxBadFcs = 0x6C0;
  static constexpr std::uint32_t kFecCorrection = 0x1000, kFecEnable = 0x107C;
  static constexpr std::uint32_t kBothWays = 3, kUpAndAligned = 3;

  bool far_correction_;
  std::uint32_t bad_frames_, shown_ = 0;
  std::uint32_t enable_ = 0, correction_ = 0, reset_ = 0;
  bool runs_ = false;
};

}  // namespace slotwire::sim
