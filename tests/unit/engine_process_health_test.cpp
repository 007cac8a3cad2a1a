// The health of processes: how often others are told of what a process or a peer may say as often as it likes.
#include "runtime/engine/services/process_health.hpp"

#include <gtest/gtest.h>

#include "unit/engine_rooms.hpp"

namespace slotwire::engine {
namespace {

struct NoNetwork final : ControlNetwork {
  void listen(OnCaller) override {}
  std::unique_ptr<ControlChannel> dial(const LinkConfig&, std::uint64_t) override { return nullptr; }
  void resolve(const std::string&, OnAddresses) override {}
  std::string_view protection() const override { return ""; }
};

class ProcessHealthTest : public testing::Test {
 protected:
  Rooms rooms;
  NoNetwork network;
  TransportSet transports{TransportContext{rooms.config, rooms.loop, rooms.log, nullptr, 1}};
  PeerTable peers{PeerParts{rooms.config, rooms.admin, rooms.loop, rooms.log, transports, network}};
  ServiceTable services{rooms.config, rooms.users};
  ProcessHealth health{{rooms.config, rooms.loop, rooms.log, rooms.sessions, rooms.slots, peers, services}};
};

TEST_F(ProcessHealthTest, WhatAPeerSaysAgainAndAgainIsToldOnceATick) {
  Session& session = rooms.attach(1);
  const std::uint16_t slot = rooms.open(session, Pairing::remote);
  rooms.slots.pair_remote(slot, {.link = 0, .slot = 3, .epoch = 9, .first = {}, .node = "aa", .process = {"p", 1, 2}});
  Peer peer;
  peer.link.index = 0;
  control::SlotHealth said{.slot = slot, .from_slot = 3, .epoch = 9, .health = control::Health::failing};
  for (int i = 0; i < 1001; ++i) {
    said.health = i % 2 == 0 ? control::Health::failing : control::Health::well;
    health.on_slot_health(peer, said);
  }
  EXPECT_FALSE(rooms.pipes.back()->receive()) << "not before a tick";
  health.tick();
  const auto told = rooms.event<control::HealthEvent>(*rooms.pipes.back());
  EXPECT_EQ(told.health, control::Health::failing);
  EXPECT_EQ(told.local, rooms.slots.descriptor(slot).local);
  health.tick();
  EXPECT_FALSE(rooms.pipes.back()->receive()) << "it knows";
  said.epoch = 10;  // another pairing
  said.health = control::Health::drained;
  health.on_slot_health(peer, said);
  health.tick();
  EXPECT_FALSE(rooms.pipes.back()->receive());
}

TEST_F(ProcessHealthTest, AProcessThatIsReadyNowAndThenIsToldOfOnceInAnInterval) {
  Session& server = rooms.attach(1);
  const std::shared_ptr<sim::PacketPipe> served = rooms.pipes.back();
  Session& client = rooms.attach(2);
  const std::uint16_t near = rooms.open(client, Pairing::direct);
  const std::uint16_t far = rooms.slots.open({.session = server.index,
                                              .link = std::nullopt,
                                              .in_order = 6,
                                              .out_order = 6,
                                              .pairing = Pairing::direct,
                                              .service = "orders",
                                              .acceptor = true});
  rooms.slots.pair_here(near, far, Pairing::direct);
  const auto count = [&] {
    int events = 0;
    while (rooms.pipes.back()->receive()) ++events;
    return events;
  };
  const std::uint64_t interval = static_cast<std::uint64_t>(rooms.config.health.interval.count());
  rooms.timeline.advance(interval);
  for (int i = 0; i < 100; ++i) {
    health.alive(server, {.probe = 0, .ready = i % 2 == 1});
    health.tick();
  }
  EXPECT_EQ(count(), 1) << "100 changes within no time";
  EXPECT_EQ(health.of(server.index), control::Health::well) << "what is thought follows at once";
  rooms.timeline.advance(interval);
  health.tick();
  EXPECT_EQ(count(), 1) << "and the last one is told when the interval is over";
}

}  // namespace
}  // namespace slotwire::engine
