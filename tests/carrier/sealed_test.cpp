// Encrypted links over a carrier of datagrams: when they are up, and that nothing passes beside the keys.
#include "core/carriers/sealed.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "agree.hpp"
#include "core/carriers/udp.hpp"
#include "harness.hpp"

namespace slotwire::test {
namespace {

using namespace carriers;

constexpr std::size_t kLine = regs::kLineBytes;

UdpOptions options() {
  UdpOptions result;
  result.bind = Address::parse("127.0.0.1:0");
  return result;
}

/// One node: a UDP carrier and what encrypts over it.
struct End {
  UdpCarrier udp{options()};
  SealedCarrier sealed{udp, 16};
  Recorder sink;
  void forget() {
    sink.forget_frames();
    sink.events.clear();
  }
};

class Sealed : public testing::Test {
 protected:
  void add(std::uint16_t link, const LinkKeys::Options& keys = {}) {
    for (End* end : {&a_, &b_}) end->sealed.add_sealed(link, keys);
    a_.udp.add_link(link, b_.udp.local_address());
    b_.udp.add_link(link, a_.udp.local_address());
  }
  void agree_on(std::uint16_t link) {
    agree(*a_.sealed.keys(link), *b_.sealed.keys(link));
    for (End* end : {&a_, &b_}) end->sealed.wake();
  }
  std::vector<Side> sides() { return {{&a_.sealed, &a_.sink}, {&b_.sealed, &b_.sink}}; }
  End a_, b_;
};

TEST_F(Sealed, IsDownUntilThePeerHasAKey) {
  add(3);
  ASSERT_TRUE(settle(sides()));
  EXPECT_TRUE(a_.sink.events.empty());
  EXPECT_EQ(a_.sealed.room(3), 0U);
  Frames frames;
  frames.add(3, kLine);
  a_.sealed.send(frames.list());
  EXPECT_EQ(a_.sealed.counters().tx_dropped, 1U);
  EXPECT_EQ(a_.udp.counters().tx_frames, 0U) << "sent though there is no key";
  agree_on(3);
  EXPECT_TRUE(readable(a_.sealed.fd())) << "new keys are something to do";
  ASSERT_TRUE(pump(sides(), [&] { return a_.sink.is_up(3) && b_.sink.is_up(3); }));
  EXPECT_NE(a_.sink.events[0].reason.find("aes-256-gcm"), std::string::npos);
  EXPECT_GT(a_.sealed.room(3), 0U);
  a_.sealed.send(frames.list());
  ASSERT_TRUE(pump(sides(), [&] { return b_.sink.count == 1; }));
  EXPECT_EQ(b_.sink.frames, frames.expected);
  EXPECT_EQ(a_.udp.counters().tx_bytes, kSealedLineBytes + regs::kHeaderBytes + kLine);
  EXPECT_EQ(a_.sealed.counters().tx_bytes, regs::kHeaderBytes + kLine);
}

TEST_F(Sealed, FramesInTheClearDoNotPassEitherWay) {
  // The other node has the link in the clear.
  a_.sealed.add_sealed(3, {});
  b_.sealed.add_clear(3);
  a_.udp.add_link(3, b_.udp.local_address());
  b_.udp.add_link(3, a_.udp.local_address());
  LinkKeys other(LinkKeys::Options{});
  agree(*a_.sealed.keys(3), other);
  a_.sealed.wake();
  ASSERT_TRUE(pump(sides(), [&] { return a_.sink.is_up(3) && b_.sink.is_up(3); }));
  Frames frames;
  for (std::size_t lines = 0; lines < 5; ++lines) frames.add(3, lines * kLine);
  b_.sealed.send(frames.list());
  ASSERT_TRUE(pump(sides(), [&] { return a_.sealed.keys(3)->counters().clear == 5; }));
  EXPECT_EQ(a_.sink.count, 0U);
  EXPECT_EQ(a_.sealed.counters().rx_frames, 0U);
  a_.sealed.send(frames.list());
  ASSERT_TRUE(pump(sides(), [&] { return b_.sink.count == 5; }));
  for (const Bytes& frame : b_.sink.frames[3]) {
    EXPECT_EQ(frame[0], kSealedForm) << "a version that the pipeline refuses";
    for (const Bytes& clear : frames.expected[3]) {
      if (clear.size() < 2 * regs::kHeaderBytes) continue;
      EXPECT_EQ(std::search(frame.begin(), frame.end(), clear.end() - 32, clear.end()), frame.end());
    }
  }
}

TEST_F(Sealed, LinksWithAndWithoutGoSideBySide) {
  End c;
  a_.sealed.add_sealed(1, {});
  b_.sealed.add_sealed(1, {});
  a_.udp.add_link(1, b_.udp.local_address());
  b_.udp.add_link(1, a_.udp.local_address());
  a_.sealed.add_clear(2);
  c.sealed.add_clear(7);
  a_.udp.add_link(2, c.udp.local_address());
  c.udp.add_link(7, a_.udp.local_address());
  agree_on(1);
  std::vector<Side> all = sides();
  all.push_back({&c.sealed, &c.sink});
  ASSERT_TRUE(pump(all, [&] { return a_.sink.is_up(1) && a_.sink.is_up(2) && b_.sink.is_up(1) && c.sink.is_up(7); }));
  EXPECT_EQ(a_.sealed.lines_per_frame_of(1), 21U);
  EXPECT_EQ(a_.sealed.lines_per_frame_of(2), 22U);
  EXPECT_EQ(a_.sealed.lines_per_frame(), 21U);
  Frames frames;
  for (std::size_t i = 0; i < 300; ++i) frames.add(i % 7 < 4 ? 1 : 2, i % 22 * kLine);
  frames.add(2, 22 * kLine);
  a_.sealed.send(frames.list());
  ASSERT_TRUE(pump(all, [&] { return b_.sink.count + c.sink.count == 301; }));
  EXPECT_EQ(b_.sink.frames[1], frames.expected[1]);
  EXPECT_EQ(c.sink.frames[7], frames.expected[2]);
  EXPECT_EQ(a_.udp.counters().tx_dropped, 0U);
  std::size_t bytes = 0;
  for (const auto& [link, list] : frames.expected) {
    for (const Bytes& frame : list) bytes += frame.size();
  }
  EXPECT_EQ(a_.sealed.counters().tx_bytes, bytes);
}

TEST_F(Sealed, LinksThatWereNotAddedPassNothing) {
  // Below they are there: what would pass in the clear if nobody asked.
  a_.udp.add_link(3, b_.udp.local_address());
  b_.udp.add_link(3, a_.udp.local_address());
  b_.sealed.add_clear(3);
  ASSERT_TRUE(pump(sides(), [&] { return b_.sink.is_up(3); }));
  Frames frames;
  frames.add(3, kLine);
  a_.sealed.send(frames.list());
  EXPECT_EQ(a_.sealed.counters().tx_dropped, 1U);
  b_.sealed.send(frames.list());
  ASSERT_TRUE(pump(sides(), [&] { return a_.udp.counters().rx_frames == 1; }));
  EXPECT_EQ(a_.sink.count, 0U);
  EXPECT_TRUE(a_.sink.events.empty());
  EXPECT_THROW(a_.sealed.add_clear(16), std::invalid_argument);
  EXPECT_THROW(b_.sealed.add_sealed(3, {}), std::invalid_argument) << "in the clear already";
  EXPECT_EQ(b_.sealed.keys(3), nullptr);
  b_.sealed.remove_link(3);
  b_.sealed.add_sealed(3, {});
  EXPECT_NE(b_.sealed.keys(3), nullptr);
}

TEST_F(Sealed, AUsedUpKeyTakesTheLinkDownAndANewOneUp) {
  LinkKeys::Options few;
  few.rekey_frames = few.max_frames = 100;
  add(3, few);
  agree_on(3);
  ASSERT_TRUE(pump(sides(), [&] { return a_.sink.is_up(3) && b_.sink.is_up(3); }));
  Frames frames;
  for (int i = 0; i < 120; ++i) frames.add(3, 0);
  a_.sealed.send(frames.list());
  EXPECT_TRUE(a_.sealed.look());
  EXPECT_EQ(a_.sealed.counters().tx_dropped, 20U);
  EXPECT_TRUE(readable(a_.sealed.fd()));
  ASSERT_TRUE(pump(sides(), [&] { return !a_.sink.is_up(3) && b_.sink.count == 100; }));
  EXPECT_NE(a_.sink.events.back().reason.find("control connection"), std::string::npos);
  EXPECT_TRUE(b_.sink.is_up(3)) << "the other direction has its own key";
  const auto key = a_.sealed.keys(3)->offer();
  ASSERT_TRUE(key);
  ASSERT_EQ(b_.sealed.keys(3)->take(*key, 0), LinkKeys::Take::taken);
  ASSERT_TRUE(a_.sealed.keys(3)->taken(key->id));
  a_.sealed.wake();
  ASSERT_TRUE(pump(sides(), [&] { return a_.sink.is_up(3); }));
}

}  // namespace
}  // namespace slotwire::test
