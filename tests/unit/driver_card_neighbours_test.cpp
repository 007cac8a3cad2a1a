// The neighbours of a card: whose MAC addresses it believes, and which links it takes.
#include "driver/relay/card_neighbours.hpp"

#include <gtest/gtest.h>

#include <poll.h>

#include <tuple>
#include <vector>

#include "temporary_directory.hpp"

namespace slotwire::driver {
namespace {

using carriers::Address;

constexpr std::uint32_t kPeer = 0x7f000002;  // 127.0.0.2: what the port asks it stays on the loopback
constexpr MacAddress kMac{0x02, 0x10, 0xab, 0xcd, 0xef, 0x01};
const std::string kHead = "IP address       HW type     Flags       HW address            Mask     Device\n";

class Neighbours : public testing::Test {
 protected:
  std::string table(const std::string& rows) {
    directory_.write("arp", kHead + rows);
    return (directory_.path() / "arp").string();
  }
  std::optional<MacAddress> look(const std::string& rows) { return mac_of_neighbour(kPeer, table(rows)); }

  test::TemporaryDirectory directory_;
};

TEST_F(Neighbours, FindsTheCompleteEntryAmongOthers) {
  EXPECT_EQ(look("127.0.0.20       0x1         0x2         02:00:00:00:00:20     *        eth0\n"
                 "127.0.0.3        0x1         0x2         02:00:00:00:00:03     *        eth0\n"
                 "127.0.0.2        0x1         0x0         00:00:00:00:00:00     *        eth1\n"
                 "127.0.0.2        0x1         0x2         02:10:ab:CD:ef:01     *        eth0\n"),
            kMac);
  EXPECT_EQ(look("127.0.0.2 0x1 0x6 02:10:ab:cd:ef:01 * eth0"), kMac);  // permanent; no newline at the end
}

TEST_F(Neighbours, BelievesNoOtherEntry) {
  for (const char* row : {
           "",
           "\n\n",
           "127.0.0.2",
           "127.0.0.2        0x1         0x0         02:10:ab:cd:ef:01     *        eth0\n",  // not complete
           "127.0.0.2        0x1         0x4         02:10:ab:cd:ef:01     *        eth0\n",
           "127.0.0.2        0x1         what        02:10:ab:cd:ef:01     *        eth0\n",
           "127.0.0.2        0x20        0x2         80:00:02:08:fe:80     *        ib0\n",  // no Ethernet
           "127.0.0.2        0x1         0x2         02:10:ab:cd:ef        *        eth0\n",
           "127.0.0.2        0x1         0x2         02:10:ab:cd:ef:01:02  *        eth0\n",
           "127.0.0.2        0x1         0x2         2:10:ab:cd:ef:1       *        eth0\n",
           "127.0.0.2        0x1         0x2         0x:10:ab:cd:ef:01     *        eth0\n",
           "127.0.0.2        0x1         0x2         +2:10:ab:cd:ef:01     *        eth0\n",
           "127.0.0.2        0x1         0x2         02-10-ab-cd-ef-01     *        eth0\n",
           "127.0.0.2        0x1         0x2         00:00:00:00:00:00     *        lo\n",
           "127.0.0.2        0x1         0x2         ff:ff:ff:ff:ff:ff     *        eth0\n",
           "127.0.0.2        0x1         0x2         01:00:5e:00:00:01     *        eth0\n",
           "127.0.0.22       0x1         0x2         02:10:ab:cd:ef:01     *        eth0\n",
           "27.0.0.2         0x1         0x2         02:10:ab:cd:ef:01     *        eth0\n",
           "\x01\xff garbage \x7f\n",
       }) {
    EXPECT_FALSE(look(row)) << row;
  }
  EXPECT_FALSE(look(std::string(100'000, 'x')));
  EXPECT_FALSE(mac_of_neighbour(kPeer, (directory_.path() / "none").string()));
}

TEST_F(Neighbours, GarbageHidesNoLaterEntry) {
  EXPECT_EQ(look("127.0.0.2 0x1 0x2 zz:zz:zz:zz:zz:zz * eth0\n127.0.0.2 0x1 0x2 02:10:ab:cd:ef:01 * eth0\n"), kMac);
}

TEST(CardAddressOfItsOwn, OfTheLoopbackIsRefusedWithARemedy) {
  try {
    mac_of_own(0x7f000001);
    FAIL() << "the loopback is no Ethernet interface";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("127.0.0.1"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("ip addr add"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("card.address"), std::string::npos) << error.what();
  }
  EXPECT_THROW(CardNeighbours(Address::parse("127.0.0.1:7401"), 4), std::runtime_error);
}

TEST(CardAddressOfItsOwn, WithoutPortOrOfAnotherFamilyIsRefused) {
  const auto make = [](const char* own) { return CardNeighbours(Address::parse(own), kMac, "/dev/null", 4); };
  EXPECT_THROW(make("127.0.0.1:0"), std::invalid_argument);
  EXPECT_THROW(make("[::1]:7401"), std::invalid_argument);
  EXPECT_NO_THROW(make("127.0.0.1:7401"));
}

class Sink final : public NeighbourListener {
 public:
  void on_neighbour(std::uint16_t link, bool known, std::string_view why) override {
    told.emplace_back(link, known, std::string(why));
  }
  std::vector<std::tuple<std::uint16_t, bool, std::string>> told;
};

class Port : public Neighbours {
 protected:
  CardNeighbours neighbours_{Address::parse("127.0.0.1:7401"), kMac, table(""), 4};
  Sink sink_;
};

TEST_F(Port, RefusesLinksThatCannotBe) {
  neighbours_.add(0, Address::parse("127.0.0.2:7401"));
  EXPECT_THROW(neighbours_.add(0, Address::parse("127.0.0.3:7401")), std::invalid_argument);  // taken
  EXPECT_THROW(neighbours_.add(4, Address::parse("127.0.0.3:7401")), std::invalid_argument);  // out of range
  EXPECT_THROW(neighbours_.add(65535, Address::parse("127.0.0.3:7401")), std::invalid_argument);
  EXPECT_THROW(neighbours_.add(1, Address::parse("127.0.0.2:7401")), std::invalid_argument);  // another's peer
  EXPECT_THROW(neighbours_.add(1, Address::parse("[::1]:7401")), std::invalid_argument);      // no IPv4
  EXPECT_THROW(neighbours_.add(1, Address()), std::invalid_argument);                         // none
  EXPECT_THROW(neighbours_.add(1, Address::parse("127.0.0.3:0")), std::invalid_argument);     // no port
  EXPECT_THROW(neighbours_.add(1, Address::parse("0.0.0.0:7401")), std::invalid_argument);
  EXPECT_THROW(neighbours_.add(1, Address::parse("127.0.0.1:7401")), std::invalid_argument);  // itself
  neighbours_.add(1, Address::parse("127.0.0.2:7402"));  // another card of the same host
  neighbours_.remove(0);
  neighbours_.remove(0);
  neighbours_.remove(65535);
  neighbours_.add(2, Address::parse("127.0.0.2:7401"));
}

TEST_F(Port, BringsALinkUpWhenItsPeerIsKnown) {
  std::uint64_t now = 1;
  neighbours_.add(1, Address::parse("127.0.0.2:7401"));
  pollfd timer{neighbours_.fd(), POLLIN, 0};
  ASSERT_EQ(poll(&timer, 1, 5000), 1) << "nothing wakes who sleeps on the port";
  neighbours_.poll(now, sink_);
  ASSERT_EQ(sink_.told.size(), 1U);
  EXPECT_FALSE(std::get<1>(sink_.told[0]));
  EXPECT_NE(std::get<2>(sink_.told[0]).find("127.0.0.2"), std::string::npos);
  neighbours_.poll(now += CardNeighbours::kLookUs, sink_);
  EXPECT_EQ(sink_.told.size(), 1U) << "told once";
  table("127.0.0.2 0x1 0x2 02:10:ab:cd:ef:01 * eth0\n");
  neighbours_.poll(now += CardNeighbours::kLookUs - 1, sink_);
  EXPECT_EQ(sink_.told.size(), 1U) << "not looked for yet";
  neighbours_.poll(now += 1, sink_);
  ASSERT_EQ(sink_.told.size(), 2U);
  EXPECT_EQ(sink_.told[1], (std::tuple<std::uint16_t, bool, std::string>{1, true, ""}));
  EXPECT_EQ(neighbours_.neighbour(1).mac, kMac);
  EXPECT_EQ(neighbours_.neighbour(1).ip, kPeer);
  EXPECT_EQ(neighbours_.neighbour(1).port, 7401);
  EXPECT_EQ(poll(&timer, 1, 0), 0) << "the timer runs for nothing";
}

TEST_F(Port, LooksForNothingOnceALinkIsRemoved) {
  neighbours_.add(1, Address::parse("127.0.0.2:7401"));
  table("127.0.0.2 0x1 0x2 02:10:ab:cd:ef:01 * eth0\n");
  neighbours_.remove(1);
  neighbours_.poll(CardNeighbours::kLookUs, sink_);
  EXPECT_TRUE(sink_.told.empty());
}

}  // namespace
}  // namespace slotwire::driver
