#include "core/carriers/socket.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>
#include <unordered_set>

namespace slotwire::carriers {
namespace {

std::string complaint(const std::string& text) {
  try {
    Address::parse(text);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

TEST(CarrierAddress, ReadsAndWritesBothFamilies) {
  for (const char* text : {"10.0.0.1:7401", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:7401", "[2001:db8::a]:1"}) {
    EXPECT_EQ(Address::parse(text).to_string(), text);
  }
  EXPECT_EQ(Address::parse("10.0.0.1:7401").family(), AF_INET);
  EXPECT_EQ(Address::parse("[::1]:7401").family(), AF_INET6);
  EXPECT_EQ(Address::parse("[::1]:7401").port(), 7401);
  EXPECT_EQ(Address().to_string(), "none");
  EXPECT_FALSE(Address().valid());
}

TEST(CarrierAddress, SaysWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "port is missing"},
      {"10.0.0.1", "port is missing"},
      {"10.0.0.1:", "not a number"},
      {"10.0.0.1:65536", "not a number"},
      {"10.0.0.1:-1", "not a number"},
      {"10.0.0.1:7x", "not a number"},
      {"::1:7401", "brackets"},
      {"[::1:7401", "closing bracket"},
      {"[::1]", "port is missing"},
      {"[10.0.0.1]:7401", "numeric"},
      {"host:7401", "not a numeric address"},
      {":7401", "host is missing"},
      {"10.0.1:7401", "not a numeric"},
      {"0x7f.0.0.1:1", "not a numeric"},
      {"[]:1", "host is missing"},
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_NE(complaint(text).find(expected), std::string::npos) << text << ": " << complaint(text);
  }
}

TEST(CarrierAddress, ResolvingTakesNumbersOfTheFamilyAskedFor) {
  EXPECT_EQ(Address::resolve("127.0.0.1:5"), Address::parse("127.0.0.1:5"));
  EXPECT_EQ(Address::resolve("[::1]:5", AF_INET6), Address::parse("[::1]:5"));
  EXPECT_THROW(Address::resolve("[::1]:5", AF_INET), std::runtime_error);
  EXPECT_THROW(Address::resolve("127.0.0.1:5", AF_INET6), std::runtime_error);
}

TEST(CarrierAddress, TakesOnlyWholeKernelAddresses) {
  const Address four = Address::parse("127.0.0.1:9");
  EXPECT_EQ(Address::from(four.data(), four.size()), four);
  EXPECT_FALSE(Address::from(four.data(), four.size() - 1));
  EXPECT_FALSE(Address::from(four.data(), 1));
  EXPECT_FALSE(Address::from(nullptr, 16));
  sockaddr other{};
  other.sa_family = AF_UNIX;
  EXPECT_FALSE(Address::from(&other, sizeof other));
}

TEST(CarrierAddress, IgnoresWhatIsNotTheAddress) {
  const Address six = Address::parse("[2001:db8::1]:5");
  sockaddr_in6 raw{};
  std::memcpy(&raw, six.data(), sizeof raw);
  raw.sin6_flowinfo = 77;
  raw.sin6_scope_id = 3;  // means nothing for a global address
  const auto read = Address::from(reinterpret_cast<const sockaddr*>(&raw), sizeof raw);
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, six);
  EXPECT_EQ(read->hash(), six.hash());
}

TEST(CarrierAddress, HashTellsNeighboursApart) {
  std::unordered_set<std::size_t> hashes;
  for (int host = 0; host < 250; ++host) {
    for (int port = 7000; port < 7016; ++port) {
      hashes.insert(Address::parse("10.1.2." + std::to_string(host) + ":" + std::to_string(port)).hash());
    }
  }
  EXPECT_EQ(hashes.size(), 250U * 16U);
}

TEST(CarrierFd, ClosesOnceAndMoves) {
  int raw[2];
  ASSERT_EQ(::pipe2(raw, O_CLOEXEC), 0);
  Fd reader(raw[0]);
  {
    Fd writer(raw[1]);
    Fd moved(std::move(writer));
    EXPECT_FALSE(writer);  // NOLINT(bugprone-use-after-move): that is what is tested
    EXPECT_EQ(moved.get(), raw[1]);
  }
  char byte = 0;
  EXPECT_EQ(::read(reader.get(), &byte, 1), 0) << "the write end is still open";
}

TEST(CarrierSocket, TakenPortIsSaidClearly) {
  const Fd first = bound_socket(Address::parse("127.0.0.1:0"), SOCK_DGRAM);
  const Address taken = Address::bound_to(first.get());
  try {
    bound_socket(taken, SOCK_DGRAM);
    FAIL() << "bound twice";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), EADDRINUSE);
    EXPECT_NE(std::string(error.what()).find(taken.to_string()), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace slotwire::carriers
