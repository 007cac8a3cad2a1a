// Sessions: who gets one, who gets it back, and what ends with it.
#include "runtime/engine/sessions/session_table.hpp"

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include "unit/engine_rooms.hpp"

namespace slotwire::engine {
namespace {

TEST(SessionTable, OpensUpToItsLimitAndUsesNumbersAgain) {
  Rooms rooms;
  for (const pid_t pid : {100, 101, 102}) rooms.attach(pid);
  EXPECT_EQ(refusal([&] { rooms.sessions.open(Rooms::who(103), "late"); }), "quota");
  EXPECT_EQ(rooms.sessions.used(), 3U);
  EXPECT_EQ(rooms.store.size(), 3U);
  rooms.sessions.end(1, "the test ends it");
  EXPECT_EQ(rooms.sessions.used(), 2U);
  EXPECT_EQ(rooms.store.size(), 2U);
  Session& again = rooms.attach(104);
  EXPECT_EQ(again.index, 1U);
  EXPECT_EQ(rooms.sessions.record(1).id, 4U) << "ids are not used again";
}

TEST(SessionTable, AProcessThatHasEndedGetsNoSession) {
  Rooms rooms;
  EXPECT_EQ(refusal([&] { rooms.sessions.open(Rooms::who(100), "ghost"); }), "no_session");
  EXPECT_EQ(rooms.sessions.used(), 0U);
  EXPECT_EQ(rooms.store.size(), 0U);
}

TEST(SessionTable, GivesASessionBackToItsProcessAlone) {
  Rooms rooms;
  Session& session = rooms.attach(100);
  const std::uint64_t id = rooms.sessions.record(session.index).id;
  const std::string token = rooms.sessions.token_text(session);
  EXPECT_EQ(refusal([&] { rooms.sessions.resume(Rooms::who(100), id, token); }), "busy") << "it is attached";
  session.channel.reset();  // as after a restart
  rooms.loop.add(session.process->fd(), EPOLLIN, [](std::uint32_t) {});
  EXPECT_EQ(refusal([&] { rooms.sessions.resume(Rooms::who(100), id + 1, token); }), "no_session");
  EXPECT_EQ(refusal([&] { rooms.sessions.resume(Rooms::who(100), id, "00"); }), "no_session");
  EXPECT_EQ(refusal([&] { rooms.sessions.resume(Rooms::who(101), id, token); }), "refused");
  PeerCredentials other = Rooms::who(100);
  other.start_time += 1;
  EXPECT_EQ(refusal([&] { rooms.sessions.resume(other, id, token); }), "refused") << "the pid was used again";
  EXPECT_EQ(&rooms.sessions.resume(Rooms::who(100), id, token), &session);
}

TEST(SessionTable, ItsEndSaysWhetherItClosedOrDied) {
  Rooms rooms;
  std::vector<End> ends;
  SessionTable sessions({rooms.config, rooms.admin, rooms.card, rooms.loop, rooms.store, rooms.processes, rooms.log,
                         [] { return 1U; }, rooms.users},
                        [&](Session&, End end) { ends.push_back(end); });
  rooms.processes.born(100);
  sessions.open(Rooms::who(100), "a");
  sessions.end(0, "it ended");
  Session& polite = sessions.open(Rooms::who(100), "b");
  polite.said_bye = true;
  sessions.end(0, "it ended");
  EXPECT_EQ(ends, (std::vector<End>{End::died, End::closed}));
}

TEST(SessionTable, TakesUpAnEarlierLife) {
  Rooms rooms;
  Session& session = rooms.attach(100);
  const std::uint64_t id = rooms.sessions.record(session.index).id;
  const std::string token = rooms.sessions.token_text(session);
  KeptDescriptors kept = rooms.store.take();
  // A second life on the same memory; the card is new too.
  sim::SimLoop loop(rooms.timeline);
  const std::unique_ptr<driver::Card> owned_card = software_card(rooms.admin, rooms.listener, 64);
  driver::Card& card = *owned_card;
  bool ended = false;
  SessionTable later(
      {rooms.config, rooms.admin, card, loop, rooms.store, rooms.processes, rooms.log, [] { return 1U; }, rooms.users},
      [&](Session&, End) { ended = true; });
  later.recover(0, kept.at(KeptTag::of_session(0).number()));
  EXPECT_EQ(later.used(), 1U);
  EXPECT_EQ(later.at(0).channel, nullptr);
  loop.run();
  EXPECT_FALSE(ended);
  EXPECT_EQ(&later.resume(Rooms::who(100), id, token), &later.at(0));

  // One whose process ended meanwhile is not taken up.
  rooms.processes.died(100);
  SessionTable last(
      {rooms.config, rooms.admin, card, loop, rooms.store, rooms.processes, rooms.log, [] { return 1U; }, rooms.users},
      [](Session&, End) {});
  KeptDescriptors again = rooms.store.take();
  EXPECT_THROW(last.recover(0, again.at(KeptTag::of_session(0).number())), std::runtime_error);
  EXPECT_EQ(last.used(), 0U);
}

TEST(SessionTable, DoesNotTakeUpAKickOfAnEarlierRelease) {
  Rooms rooms;
  rooms.attach(100);
  std::vector<slot::Fd> fds = std::move(rooms.store.take().at(KeptTag::of_session(0).number()));
  fds[2] = slot::Fd(::eventfd(0, EFD_CLOEXEC));
  sim::SimLoop loop(rooms.timeline);
  const std::unique_ptr<driver::Card> card = software_card(rooms.admin, rooms.listener, 64);
  SessionTable later(
      {rooms.config, rooms.admin, *card, loop, rooms.store, rooms.processes, rooms.log, [] { return 1U; }, rooms.users},
      [](Session&, End) {});
  try {
    later.recover(0, fds);
    ADD_FAILURE() << "it was taken up";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("earlier release"), std::string::npos) << error.what();
  }
  EXPECT_EQ(later.used(), 0U);
}

TEST(SessionTable, ADetachedProcessThatEndsIsSeen) {
  Rooms rooms;
  rooms.attach(100);
  KeptDescriptors kept = rooms.store.take();
  sim::SimLoop loop(rooms.timeline);
  const std::unique_ptr<driver::Card> owned_card = software_card(rooms.admin, rooms.listener, 64);
  driver::Card& card = *owned_card;
  bool ended = false;
  SessionTable later(
      {rooms.config, rooms.admin, card, loop, rooms.store, rooms.processes, rooms.log, [] { return 1U; }, rooms.users},
      [&](Session&, End) { ended = true; });
  later.recover(0, kept.at(KeptTag::of_session(0).number()));
  rooms.processes.died(100);
  loop.run();
  EXPECT_TRUE(ended);
  EXPECT_EQ(later.used(), 0U);
}

}  // namespace
}  // namespace slotwire::engine
