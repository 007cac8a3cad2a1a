// Any pair of carriers of datagrams with encryption on top, for what every carrier must do.
#pragma once
#include "agree.hpp"
#include "conformance.hpp"
#include "core/carriers/sealed.hpp"

namespace slotwire::test {

class SealedPair final : public Pair {
 public:
  SealedPair(std::unique_ptr<Pair> below, carriers::CipherSuite suite) : below_(std::move(below)) {
    options_.suite = suite;
    for (int side = 0; side < 2; ++side) make(side);
  }
  Carrier& carrier(int side) override { return *sealed_[side]; }
  void join(std::uint16_t link) override {
    for (const auto& side : sealed_) side->add_sealed(link, options_);
    below_->join(link);
    joined_.push_back(link);
    agree_on(link);
  }
  void part(int side, std::uint16_t link) override {
    below_->part(side, link);
    sealed_[side]->remove_link(link);
  }
  void restart(int side) override {
    sealed_[side].reset();
    below_->restart(side);
    make(side);
    for (const auto link : joined_) {
      sealed_[side]->add_sealed(link, options_);
      agree_on(link);
    }
  }
  std::size_t intrude(int side) override { return below_->intrude(side); }

 private:
  void make(int side) { sealed_[side] = std::make_unique<carriers::SealedCarrier>(below_->carrier(side), 1024); }
  void agree_on(std::uint16_t link) {
    agree(*sealed_[0]->keys(link), *sealed_[1]->keys(link));
    for (const auto& side : sealed_) side->wake();
  }
  std::unique_ptr<Pair> below_;
  carriers::LinkKeys::Options options_;
  std::unique_ptr<carriers::SealedCarrier> sealed_[2];
  std::vector<std::uint16_t> joined_;
};

}  // namespace slotwire::test
