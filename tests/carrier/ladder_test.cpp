// A link that goes over the best carrier that works: what it takes, when it changes, and what it tells its user. Time
// is simulated; the carriers under it are paths that a test opens, closes and delays.
#include "core/carriers/ladder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>

#include "fake_path.hpp"
#include "harness.hpp"
#include "hex.hpp"

namespace slotwire::test {
namespace {

using carriers::LadderCarrier;
using carriers::LadderOptions;
using carriers::PathFrame;
using carriers::Rung;

constexpr std::uint64_t kMs = 1000;

/// Two ends of one link over three paths: datagrams, a connection, and a slower connection.
class Ladder : public testing::Test {
 protected:
  Ladder() {
    for (int end = 0; end < 2; ++end) {
      std::vector<Rung> rungs;
      for (std::size_t i = 0; i < 3; ++i) {
        fakes_[end][i] = std::make_unique<FakeCarrier>(i == 0 ? 20 : 100);
        rungs.push_back({kNames[i], fakes_[end][i].get(), 300 * kMs, i > 0, i == 2 ? 1'000'000U : 0U});
      }
      LadderOptions options;
      options.max_links = 8;
      options.random = [this](std::span<std::byte> out) {
        for (std::byte& b : out) b = static_cast<std::byte>(random_() & 0xFFU);
        return true;
      };
      ends_[end] = std::make_unique<LadderCarrier>("auto", std::move(rungs), options);
      ends_[end]->add_link(kLink, 7);
    }
    for (std::size_t i = 0; i < 3; ++i) {
      fakes_[0][i]->peer = fakes_[1][i].get();
      fakes_[1][i]->peer = fakes_[0][i].get();
    }
  }

  void up(std::size_t rung, bool is_up = true) {
    for (const auto& end : fakes_) end[rung]->set_up(is_up, is_up ? "path" : "connection refused");
  }
  void pass(std::size_t rung, bool passes) {
    for (const auto& end : fakes_) end[rung]->passes = passes;
  }
  /// Lets time pass, in steps of 10 ms. With `busy`, both ends send a frame in every step.
  void run(std::uint64_t us, bool busy = false) {
    for (const std::uint64_t end = now_ + us; now_ < end; now_ += 10 * kMs) {
      for (int side = 0; side < 2; ++side) {
        if (busy) send(side);
        ends_[side]->poll(now_, 64, sinks_[side]);
      }
    }
  }
  void send(int side) {
    Frames frames;
    frames.add(kLink, 64);
    ends_[side]->send(frames.list());
  }
  std::string rung(int side = 0) const {
    const auto status = ends_[side]->status(kLink);
    return status.rung ? kNames[*status.rung] : "none";
  }
  static constexpr const char* kNames[3] = {"udp", "tcp", "http"};

  std::mt19937_64 random_{7};
  std::uint64_t now_ = 1'000'000;
  std::unique_ptr<FakeCarrier> fakes_[2][3];
  std::unique_ptr<LadderCarrier> ends_[2];
  Recorder sinks_[2];
};

TEST(PathFrame, IsWhatTheProtocolShows) {
  PathFrame frame;
  for (std::size_t i = 0; i < frame.nonce.size(); ++i) frame.nonce[i] = static_cast<std::byte>(i);
  EXPECT_EQ(to_hex(frame.encode()), "e201000102030405060708090a0b0c0d0e0f8216f039");
  frame.kind = PathFrame::Kind::answer;
  EXPECT_EQ(to_hex(frame.encode()), "e202000102030405060708090a0b0c0d0e0f623b94d8");
  EXPECT_EQ(PathFrame::decode(frame.encode())->nonce, frame.nonce);
}

TEST_F(Ladder, ALinkIsUpOnceThePeerHasAnswered) {
  run(100 * kMs);
  EXPECT_FALSE(sinks_[0].is_up(kLink));
  EXPECT_EQ(ends_[0]->room(kLink), 0U);
  up(0);
  run(100 * kMs);
  EXPECT_TRUE(sinks_[0].is_up(kLink));
  EXPECT_TRUE(sinks_[1].is_up(kLink));
  EXPECT_EQ(rung(), "udp");
  EXPECT_EQ(sinks_[0].events.back().reason, "udp");
}

TEST_F(Ladder, TheBestRungThatWorksIsTaken) {
  up(2);
  up(1);
  up(0);
  pass(0, false);
  run(500 * kMs);
  EXPECT_EQ(rung(), "tcp");
  EXPECT_EQ(rung(1), "tcp");
  EXPECT_EQ(ends_[0]->lines_per_frame_of(kLink), 100U);
  EXPECT_FALSE(ends_[0]->status(kLink).rungs[0].reason.empty());
}

TEST_F(Ladder, ASilentRungIsLeftForTheNextWithinASecondAndAHalf) {
  up(0);
  up(2);
  run(2'000 * kMs, true);
  ASSERT_EQ(rung(), "udp");
  sinks_[0].events.clear();
  pass(0, false);
  run(1'500 * kMs, true);
  EXPECT_EQ(rung(), "http");
  EXPECT_EQ(ends_[0]->retransmit_floor_us(kLink), 1'000'000U);
  EXPECT_NE(sinks_[0].events.back().reason.find("http instead of udp: the peer does not answer"), std::string::npos)
      << sinks_[0].events.back().reason;
  EXPECT_TRUE(std::all_of(sinks_[0].events.begin(), sinks_[0].events.end(), [](const auto& e) { return e.up; }))
      << "the link was reported down though a rung worked";
}

TEST_F(Ladder, ARungThatClosesIsLeftAtOnce) {
  up(1);
  up(2);
  run(500 * kMs, true);
  ASSERT_EQ(rung(), "tcp");
  up(1, false);
  run(20 * kMs, true);
  EXPECT_EQ(rung(), "http");
}

TEST_F(Ladder, ABetterRungIsTakenAfterItHasProvedItself) {
  up(2);
  run(500 * kMs, true);
  ASSERT_EQ(rung(), "http");
  pass(0, false);
  up(0);
  run(20'000 * kMs, true);
  EXPECT_EQ(rung(), "http");
  pass(0, true);
  run(6'000 * kMs, true);
  EXPECT_EQ(rung(), "udp");
  EXPECT_EQ(ends_[0]->lines_per_frame_of(kLink), 20U);
}

TEST_F(Ladder, ASingleAnswerDoesNotMoveALinkUp) {
  up(2);
  run(500 * kMs, true);
  pass(0, false);
  up(0);
  run(260 * kMs, true);
  // One question and its answer pass, then nothing does.
  pass(0, true);
  const auto asked = fakes_[0][0]->counters().rx_frames;
  while (fakes_[0][0]->counters().rx_frames == asked) run(10 * kMs, true);
  pass(0, false);
  run(5'000 * kMs, true);
  EXPECT_EQ(rung(), "http");
}

TEST_F(Ladder, FramesOfAllRungsAreTakenWhileALinkMoves) {
  up(0);
  up(1);
  fakes_[0][1]->delay_us = 200 * kMs;
  run(2'000 * kMs);
  ASSERT_EQ(rung(), "udp");
  sinks_[1].forget_frames();
  pass(0, false);
  while (rung() == "udp") run(10 * kMs, true);
  const std::size_t before = sinks_[1].count;
  pass(0, true);
  while (rung() == "tcp") run(10 * kMs, true);
  run(300 * kMs);
  // What went over the connection and what goes over datagrams both arrive.
  EXPECT_GE(sinks_[1].count, before + fakes_[0][1]->sent);
}

TEST_F(Ladder, ARungThatFallsSilentRightAfterItWasTakenIsLeftAsSoon) {
  up(2);
  run(500 * kMs, true);
  up(0);
  while (rung() != "udp" || rung(1) != "udp") run(10 * kMs, true);
  pass(0, false);
  run(1'500 * kMs, true);
  EXPECT_EQ(rung(), "http");
  EXPECT_EQ(rung(1), "http");
}

TEST_F(Ladder, AnEndWithNothingToSendFollowsItsPeer) {
  up(0);
  up(2);
  run(20'000 * kMs);
  ASSERT_EQ(rung(1), "udp");
  pass(0, false);
  // Only the first end sends; the second one would not ask for seconds.
  for (int i = 0; i < 260; ++i) {
    send(0);
    run(10 * kMs);
  }
  EXPECT_EQ(rung(0), "http");
  EXPECT_EQ(rung(1), "http");
}

TEST_F(Ladder, OneDirectionAloneIsNotEnough) {
  up(0);
  up(1);
  fakes_[1][0]->passes = false;  // from the second end to the first nothing passes
  run(3'000 * kMs, true);
  EXPECT_EQ(rung(0), "tcp");
  EXPECT_EQ(rung(1), "tcp");
}

TEST_F(Ladder, WithoutAnyRungTheLinkIsDownAndSaysWhyOfEach) {
  up(0);
  run(200 * kMs);
  pass(0, false);
  up(1, false);
  run(2'000 * kMs, true);
  ASSERT_FALSE(sinks_[0].is_up(kLink));
  const std::string why = sinks_[0].events.back().reason;
  EXPECT_NE(why.find("udp: the peer does not answer"), std::string::npos) << why;
  EXPECT_NE(why.find("tcp: connection refused"), std::string::npos) << why;
  EXPECT_NE(why.find("http: not connected yet"), std::string::npos) << why;
}

TEST_F(Ladder, AnAnswerToAQuestionThatWasNotAskedProvesNothing) {
  pass(0, false);
  up(0);
  for (int i = 0; i < 100; ++i) {
    PathFrame answer{PathFrame::Kind::answer, {}};
    for (auto& b : answer.nonce) b = static_cast<std::byte>(random_() & 0xFFU);
    const auto bytes = answer.encode();
    fakes_[0][0]->inject({bytes.begin(), bytes.end()});
    run(10 * kMs);
  }
  EXPECT_EQ(rung(), "none");
}

TEST_F(Ladder, AnAnswerCountsOnce) {
  up(2);
  run(500 * kMs);
  pass(0, false);
  up(0);
  run(100 * kMs);
  // Every answer arrives many times.
  const auto before = ends_[0]->status(kLink).changes;
  pass(0, true);
  const auto asked = fakes_[0][0]->counters().rx_frames;
  while (fakes_[0][0]->counters().rx_frames == asked) run(10 * kMs);
  pass(0, false);
  EXPECT_EQ(ends_[0]->status(kLink).changes, before);
}

TEST_F(Ladder, QuestionsOfOnePeerAreAnsweredAtALimitedRate) {
  up(0);
  run(2'000 * kMs);
  const auto before = fakes_[0][0]->counters().tx_frames;
  for (int i = 0; i < 5'000; ++i) {
    PathFrame ask{PathFrame::Kind::ask, {}};
    ask.nonce[0] = static_cast<std::byte>(i & 0xFF);
    ask.nonce[1] = static_cast<std::byte>(i >> 8);
    const auto bytes = ask.encode();
    fakes_[0][0]->inject({bytes.begin(), bytes.end()});
  }
  run(900 * kMs);
  EXPECT_LE(fakes_[0][0]->counters().tx_frames - before, 410U);
}

TEST_F(Ladder, DamagedPathFramesAreNotTakenForPathFrames) {
  up(0);
  run(200 * kMs);
  const auto whole = PathFrame{PathFrame::Kind::ask, {}}.encode();
  for (std::size_t i = 1; i < whole.size(); ++i) {
    std::vector<std::byte> damaged(whole.begin(), whole.end());
    damaged[i] ^= std::byte{0x10};
    fakes_[0][0]->inject(damaged);
  }
  run(200 * kMs);
  EXPECT_EQ(sinks_[0].count, whole.size() - 1) << "whoever knows link headers counts them as invalid";
  EXPECT_EQ(rung(), "udp");
}

TEST_F(Ladder, AConnectionFullOfFramesIsNotSilent) {
  up(1);
  run(200 * kMs);
  ASSERT_EQ(rung(), "tcp");
  // Answers stand behind seconds of frames, which arrive meanwhile.
  for (const auto& end : fakes_) end[1]->delay_us = 3'000 * kMs;
  const auto changes = ends_[0]->status(kLink).changes;
  for (int i = 0; i < 300; ++i) {
    for (int side = 0; side < 2; ++side) fakes_[side][1]->inject(std::vector<std::byte>(86, std::byte{1}));
    run(10 * kMs, true);
  }
  EXPECT_EQ(rung(), "tcp");
  EXPECT_EQ(ends_[0]->status(kLink).changes, changes);
}

TEST_F(Ladder, AConnectionThatTakesNothingIsLeft) {
  up(1);
  up(2);
  run(200 * kMs);
  ASSERT_EQ(rung(), "tcp");
  for (const auto& end : fakes_) {
    end[1]->limit = 0;
    end[1]->passes = false;
  }
  run(1'500 * kMs, true);
  EXPECT_EQ(rung(), "http");
}

TEST_F(Ladder, AnIdleLinkAsksRarely) {
  up(0);
  up(1);
  run(20'000 * kMs);
  const auto before = fakes_[0][0]->counters().tx_frames + fakes_[0][1]->counters().tx_frames;
  run(60'000 * kMs);
  const auto after = fakes_[0][0]->counters().tx_frames + fakes_[0][1]->counters().tx_frames;
  EXPECT_LE(after - before, 2U * 2U * 13U);  // two rungs; a question and an answer each, every five seconds
}

TEST_F(Ladder, RungsThatALinkMayNotTakeAreNotUsed) {
  for (const auto& end : ends_) {
    end->remove_link(kLink);
    end->add_link(kLink, 1U << 1U);
  }
  up(0);
  up(1);
  run(500 * kMs, true);
  EXPECT_EQ(rung(), "tcp");
  EXPECT_EQ(fakes_[0][0]->counters().tx_frames, 0U);
  EXPECT_THROW(ends_[0]->add_link(4, 8), std::invalid_argument);
  EXPECT_THROW(ends_[0]->add_link(4, 0), std::invalid_argument);
  EXPECT_THROW(ends_[0]->add_link(kLink, 1), std::invalid_argument);
}

TEST_F(Ladder, DatagramsAloneAreUpOnlyOnceThePeerHasAnswered) {
  for (const auto& end : ends_) {
    end->remove_link(kLink);
    end->add_link(kLink, 1);
  }
  up(0);
  pass(0, false);
  run(500 * kMs, true);
  EXPECT_FALSE(sinks_[0].is_up(kLink));
  pass(0, true);
  run(2'000 * kMs, true);
  EXPECT_TRUE(sinks_[0].is_up(kLink));
}

TEST_F(Ladder, ThePeersLimitOfLinesHoldsForItsRung) {
  for (const auto& end : ends_) end->limit_lines(kLink, 0, 11);
  up(0);
  run(200 * kMs);
  EXPECT_EQ(ends_[0]->lines_per_frame_of(kLink), 11U);
}

TEST_F(Ladder, TwentyMovesUpAndDownUnderLoad) {
  up(1);
  up(2);
  run(500 * kMs, true);
  for (int i = 0; i < 20; ++i) {
    pass(0, true);
    up(0);
    run(6'000 * kMs, true);
    ASSERT_EQ(rung(0), "udp") << i;
    ASSERT_EQ(rung(1), "udp") << i;
    pass(0, false);
    run(1'500 * kMs, true);
    ASSERT_EQ(rung(0), "tcp") << i;
    ASSERT_EQ(rung(1), "tcp") << i;
  }
  EXPECT_TRUE(sinks_[0].is_up(kLink));
}

}  // namespace
}  // namespace slotwire::test
