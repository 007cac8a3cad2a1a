// Nodes' cards over a card made of variables, with the process, the wire and the listener in the test's hands.
#pragma once
#include <gtest/gtest.h>

#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "driver/relay/hardware_mover.hpp"
#include "driver/router/make_card.hpp"
#include "driver_model_card.hpp"
#include "temporary_directory.hpp"

namespace slotwire::driver::relay_test {

using carriers::Address;
using regs::Fault;
using regs::SlotRow;
using regs::SlotState;
using test::Line;

inline constexpr std::uint16_t kCardLink = 0, kSoftLink = 1;
inline constexpr std::uint64_t kLife = 0x1122334455667788;
inline constexpr unsigned kOrder = 4;
inline constexpr std::uint32_t kSize = 1U << kOrder;

inline Line line_of(unsigned value) {
  Line line;
  line.fill(static_cast<std::byte>(value));
  return line;
}

class Listener final : public CardListener {
 public:
  void on_fault(std::uint16_t slot, Fault fault) override {
    EXPECT_TRUE(polling) << "told outside of poll()";
    faults.emplace_back(slot, fault);
  }
  void on_link(std::uint16_t link, bool up, std::string_view reason) override {
    links.emplace_back(link, up);
    reasons.emplace_back(reason);
  }
  bool on_card_gone(std::string_view) override {
    ++asked;
    return gone ? gone() : false;
  }
  void on_output(std::uint16_t slot) override { outputs.push_back(slot); }
  bool polling = false;
  int asked = 0;
  std::function<bool()> gone;
  std::vector<std::pair<std::uint16_t, Fault>> faults;
  std::vector<std::pair<std::uint16_t, bool>> links;
  std::vector<std::string> reasons;
  std::vector<std::uint16_t> outputs;
};

/// A carrier for links beside the card's.
class SoftCarrier final : public carriers::Carrier {
 public:
  std::string_view name() const override { return "test"; }
  std::size_t lines_per_frame() const override { return 8; }
  std::size_t room(std::uint16_t) const override { return 1000; }
  void send(std::span<const pipeline::TxFrame> frames) override {
    for (const auto& frame : frames) payload += frame.payload.size();
  }
  std::size_t poll(std::uint64_t, std::size_t, carriers::FrameSink& sink) override {
    if (!std::exchange(told, true)) sink.on_link(link, true, "");
    return 0;
  }
  int fd() const override { return -1; }
  const carriers::CarrierCounters& counters() const override { return counters_; }
  bool told = false;
  std::uint16_t link = kSoftLink;
  std::size_t payload = 0;

 private:
  carriers::CarrierCounters counters_;
};

class Relay : public testing::Test {
 protected:
  Relay() { directory_.write("arp", "head\n127.0.0.2 0x1 0x2 02:10:ab:cd:ef:01 * eth0\n"); }

  void start(std::uint64_t life = kLife, std::uint64_t give_up_us = 0, bool host_output = true) {
    CardComposition parts;
    parts.rows = rows_;
    parts.soft.links = 4;
    parts.hardware =
        HardwareParts{std::make_unique<test::ModelBus>(card_),
                      std::make_unique<CardNeighbours>(Address::parse("127.0.0.1:7401"), MacAddress{2, 0, 0, 0, 0, 9},
                                                       (directory_.path() / "arp").string(), 4),
                      life,
                      give_up_us,
                      22,
                      host_output};
    relay_ = make_card(std::move(parts), listener_);
  }
  bool poll(std::uint64_t later_us = 1000) {
    listener_.polling = true;
    const bool busy = relay_->poll(now_ += later_us);
    listener_.polling = false;
    return busy;
  }
  /// The card's link, up.
  void link_up() {
    relay_->set_route(kCardLink, OnCard{Address::parse("127.0.0.2:7401")}, {});
    poll(CardNeighbours::kLookUs);
  }
  static pipeline::Binding binding(std::uint16_t link = kCardLink, std::uint16_t epoch = 7) {
    return {.link = link,
            .peer_slot = 3,
            .epoch = epoch,
            .in_order = kOrder,
            .out_order = kOrder,
            .credit = kSize,
            .marks = {}};
  }
  void bound(std::uint16_t slot) {
    relay_->prepare_slot(slot, kCardLink);
    relay_->open_slot(slot, kOrder, kOrder, true);
    relay_->bind(slot, binding());
    map(slot);
  }
  void map(std::uint16_t slot) {
    own_ = slot::Space(relay_->files(slot).own.get(), kOrder, slot::Access::read_write);
    other_ = slot::Space(relay_->files(slot).other.get(), kOrder, slot::Access::read_write);
  }
  // The process.
  void produce(std::uint32_t lines, unsigned first_value) {
    const std::uint32_t tail = own_.marks().tail.load();
    for (std::uint32_t i = 0; i < lines; ++i) {
      const Line line = line_of(first_value + i);
      std::memcpy(own_.ring() + std::size_t{(tail + i) & (kSize - 1)} * regs::kLineBytes, line.data(), line.size());
    }
    own_.marks().tail.store(tail + lines);
  }
  Line delivered(std::uint32_t position) const {
    Line line;
    std::memcpy(line.data(), other_.ring() + std::size_t{position & (kSize - 1)} * regs::kLineBytes, line.size());
    return line;
  }
  Line on_card(std::uint16_t slot, std::uint32_t position) {
    return card_.memory[rows_[slot].in_base + (position & (kSize - 1))];
  }
  std::uint32_t shown_tail() const { return other_.marks().tail.load(); }
  std::uint32_t shown_head() const { return other_.marks().head.load(); }
  /// An engine that comes after this one: the rows and the slot's memory are kept.
  void restart(std::uint16_t slot, std::uint64_t life = kLife) {
    SlotFiles files;
    files.own = slot::Fd(::dup(relay_->files(slot).own.get()));
    files.other = slot::Fd(::dup(relay_->files(slot).other.get()));
    files.wake = slot::Fd(::dup(relay_->files(slot).wake.get()));
    relay_.reset();
    start(life);
    relay_->adopt_slot(slot, kOrder, kOrder, std::move(files));
  }

  test::TemporaryDirectory directory_;
  test::ModelCard card_;
  std::vector<SlotRow> rows_ = std::vector<SlotRow>(8);
  Listener listener_;
  std::unique_ptr<Card> relay_;
  slot::Space own_, other_;
  std::uint64_t now_ = 1'000'000;
};

}  // namespace slotwire::driver::relay_test
