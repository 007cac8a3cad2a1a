// Two relayed carriers, each link joined by a socket pair: what two gates do with a network between them.
#pragma once
#include <sys/socket.h>

#include "conformance.hpp"
#include "core/carriers/relayed.hpp"

namespace slotwire::test {

class RelayedPair final : public Pair {
 public:
  explicit RelayedPair(std::size_t lines_per_frame = 32) : lines_per_frame_(lines_per_frame) {
    for (int side = 0; side < 2; ++side) make(side);
  }
  Carrier& carrier(int side) override { return *carriers_[side]; }
  void join(std::uint16_t link) override {
    for (const auto& carrier : carriers_) carrier->add_link(link);
    connect(link);
    joined_.push_back(link);
  }
  void part(int side, std::uint16_t link) override { carriers_[side]->remove_link(link); }
  void restart(int side) override {
    carriers_[side].reset();
    make(side);
    for (const auto link : joined_) {
      carriers_[side]->add_link(link);
      connect(link);
    }
  }
  void cut(int side, std::uint16_t link) override {
    carriers_[side]->detach(link, "cut");
    connect(link);
  }
  std::size_t intrude(int) override { return 0; }
  bool connected() const override { return true; }

  void connect(std::uint16_t link) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    for (int side = 0; side < 2; ++side) carriers_[side]->attach(link, carriers::Fd(ends[side]), "a socket pair");
  }

 private:
  void make(int side) {
    carriers::RelayedOptions options;
    options.lines_per_frame = lines_per_frame_;
    carriers_[side] = std::make_unique<carriers::RelayedCarrier>(options);
  }
  std::size_t lines_per_frame_;
  std::unique_ptr<carriers::RelayedCarrier> carriers_[2];
  std::vector<std::uint16_t> joined_;
};

}  // namespace slotwire::test
