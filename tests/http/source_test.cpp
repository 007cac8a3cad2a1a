#include "runtime/http/source.hpp"

#include <gtest/gtest.h>

namespace slotwire::http {
namespace {

using carriers::Address;

TEST(Network, HasItsAddresses) {
  const Network net = Network::parse("10.1.0.0/15");
  EXPECT_TRUE(net.has(Address::parse("10.0.255.1:1")));
  EXPECT_TRUE(net.has(Address::parse("10.1.2.3:1")));
  EXPECT_FALSE(net.has(Address::parse("10.2.0.1:1")));
  EXPECT_FALSE(net.has(Address::parse("[::1]:1")));
  EXPECT_TRUE(Network::parse("192.0.2.7").has(Address::parse("192.0.2.7:1")));
  EXPECT_FALSE(Network::parse("192.0.2.7").has(Address::parse("192.0.2.8:1")));
  EXPECT_TRUE(Network::parse("2001:db8::/32").has(Address::parse("[2001:db8:1::9]:1")));
  EXPECT_FALSE(Network::parse("2001:db8::/32").has(Address::parse("[2001:db9::]:1")));
  EXPECT_TRUE(Network::parse("0.0.0.0/0").has(Address::parse("192.0.2.7:1")));
  EXPECT_FALSE(Network::parse("0.0.0.0/0").has(Address::parse("[::1]:1")));
}

TEST(Network, RefusesNonsense) {
  for (const char* const text : {"", "/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x", "host", "2001:db8::/129"}) {
    EXPECT_THROW(Network::parse(text), std::runtime_error) << text;
  }
}

TEST(Source, IsTheNetworkOfAnIpv6Host) {
  EXPECT_EQ(source_of(Address::parse("[2001:db8::1]:1")), source_of(Address::parse("[2001:db8::2]:9")));
  EXPECT_NE(source_of(Address::parse("[2001:db8:0:1::1]:1")), source_of(Address::parse("[2001:db8::1]:1")));
  EXPECT_NE(source_of(Address::parse("10.0.0.1:1")), source_of(Address::parse("10.0.0.2:1")));
}

class Forwarded : public testing::Test {
 protected:
  std::string source(const std::string& peer, std::vector<std::string_view> fields) {
    return forwarded_source(Address::parse(peer), fields, trusted_).to_string();
  }
  std::vector<Network> trusted_{Network::parse("10.0.0.0/8"), Network::parse("::1")};
};

TEST_F(Forwarded, IsTheLastThatIsNoProxy) {
  EXPECT_EQ(source("10.0.0.1:5", {"192.0.2.1"}), "192.0.2.1:0");
  EXPECT_EQ(source("10.0.0.1:5", {"198.51.100.1, 192.0.2.1"}), "192.0.2.1:0");
  EXPECT_EQ(source("10.0.0.1:5", {"198.51.100.1, 192.0.2.1, 10.2.2.2"}), "192.0.2.1:0");
  EXPECT_EQ(source("10.0.0.1:5", {"198.51.100.1", "192.0.2.1"}), "192.0.2.1:0");
  EXPECT_EQ(source("[::1]:5", {"[2001:db8::7]:99"}), "[2001:db8::7]:0");
  EXPECT_EQ(source("[::1]:5", {"2001:db8::7"}), "[2001:db8::7]:0");
}

TEST_F(Forwarded, IsThePeerWithoutATrustedProxy) {
  EXPECT_EQ(source("192.0.2.9:5", {"192.0.2.1"}), "192.0.2.9:5");
  EXPECT_EQ(source("10.0.0.1:5", {}), "10.0.0.1:5");
}

TEST_F(Forwarded, StopsAtNonsense) {
  EXPECT_EQ(source("10.0.0.1:5", {"192.0.2.1, unknown"}), "10.0.0.1:5");
  EXPECT_EQ(source("10.0.0.1:5", {"192.0.2.1, , 10.1.1.1"}), "10.1.1.1:0");
  EXPECT_EQ(source("10.0.0.1:5", {""}), "10.0.0.1:5");
}

}  // namespace
}  // namespace slotwire::http
