// Two Verilated cards of one kind that began with different values in their registers and are given the same inputs.
// What a reset does not set must not be seen: a difference between their outputs is a register that needs one.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "sim/card/card_model.hpp"

namespace slotwire::sim {

/// Inputs go to the ports of `first` and on to `second` with every eval(); outputs are those of `first`. Compared while
/// clk_i is low, after kResetClocks clocks of the first reset: valid, ready and control always, what belongs to a valid
/// with it.
class TwinCard final : public CardModel {
 public:
  static constexpr unsigned kResetClocks = 2;

  TwinCard(std::unique_ptr<CardModel> first, std::unique_ptr<CardModel> second);

  void eval() override;
  bool open_trace(const std::string& file) override { return first_->open_trace(file); }
  void dump(std::uint64_t time) override { first_->dump(time); }
  bool write_coverage(const std::string& file) override { return first_->write_coverage(file); }
  const std::string& difference() const override { return difference_; }

 private:
  void compare();

  std::unique_ptr<CardModel> first_, second_;
  unsigned reset_clocks_ = 0;  ///< of the first reset, until kResetClocks
  std::string difference_;     ///< the first one
};

}  // namespace slotwire::sim
