// The card's end of the socket: drivers that do what they like, in front of a card made of variables.
#include "driver/bus/bus_server.hpp"

#include <gtest/gtest.h>

#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

#include "driver/bus/socket_bus_protocol.hpp"
#include "sim_model_port.hpp"
#include "temporary_directory.hpp"

namespace slotwire::driver {
namespace {

using socket_bus::kMaxAccess;
using socket_bus::Message;
using socket_bus::Op;

using test::ModelPort;

constexpr std::uint32_t kEnd = test::kAddressEnd;

class Driver {
 public:
  explicit Driver(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    path.copy(at.sun_path, sizeof at.sun_path - 1);
    if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) {
      throw std::runtime_error("the test cannot connect");
    }
  }
  /// Bytes that went: fewer when the other end takes no more.
  std::size_t send(std::span<const std::byte> bytes) {
    const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return n > 0 ? static_cast<std::size_t>(n) : 0;
  }
  void say(std::uint32_t op, std::uint32_t address, std::uint32_t length, std::span<const std::byte> data = {}) {
    const Message message{op, address, length};
    ASSERT_EQ(send(std::as_bytes(std::span(&message, 1))), sizeof message);
    ASSERT_EQ(send(data), data.size());
  }
  void say(Op op, std::uint32_t address, std::uint32_t length, std::span<const std::byte> data = {}) {
    say(static_cast<std::uint32_t>(op), address, length, data);
  }
  /// What is there now.
  std::vector<std::byte> receive() {
    const ssize_t n = ::recv(fd_.get(), buffer_.data(), buffer_.size(), 0);
    const auto got = std::span(buffer_).first(n > 0 ? static_cast<std::size_t>(n) : 0);
    return std::vector<std::byte>(got.begin(), got.end());
  }
  bool dropped() const {
    char byte = 0;
    return ::recv(fd_.get(), &byte, 1, MSG_PEEK) == 0 || (errno != EAGAIN && errno != EINTR);
  }

 private:
  slot::Fd fd_;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(std::size_t{4} << 20);
};

class Server : public testing::Test {
 protected:
  std::unique_ptr<Driver> connect() {
    auto driver = std::make_unique<Driver>(path_);
    server_.poll();
    EXPECT_TRUE(server_.has_driver());
    return driver;
  }
  void run(int polls = 8) {
    for (int i = 0; i < polls; ++i) {
      server_.poll();
      port_.clock();
    }
  }
  /// A driver that keeps to the protocol gets what it asks for.
  void expect_served() {
    port_.memory[0x1000][4] = std::byte{0x5a};
    const auto driver = connect();
    driver->say(Op::read, 0x1004, 4);
    run();
    const auto answer = driver->receive();
    ASSERT_EQ(answer.size(), sizeof(Message) + 4);
    Message message{};
    std::memcpy(&message, answer.data(), sizeof message);
    EXPECT_EQ(message.op, static_cast<std::uint32_t>(Op::data));
    EXPECT_EQ(message.address, 0U);
    EXPECT_EQ(message.length, 4U);
    EXPECT_EQ(answer[sizeof message], std::byte{0x5a});
  }

  test::TemporaryDirectory directory_;
  std::string path_ = (directory_.path() / "bus").string();
  ModelPort port_;
  BusServer server_{path_, port_};
};

TEST_F(Server, PiecesOfLinesAreReadAndWritten) {
  auto driver = connect();
  std::vector<std::byte> data(132);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i + 1);
  driver->say(Op::write, 0x1000 + 60, 132, data);
  driver->say(Op::read, 0x1000 + 60, 132);
  run();
  EXPECT_EQ(port_.writes, 3U);
  EXPECT_EQ(port_.memory[0x1000][59], std::byte{0});
  EXPECT_EQ(port_.memory[0x1000][60], std::byte{1});
  EXPECT_EQ(port_.memory[0x1040][0], std::byte{5});
  EXPECT_EQ(port_.memory[0x1080][63], std::byte{132});
  EXPECT_EQ(port_.memory[0x10c0][0], std::byte{0});
  const auto answer = driver->receive();
  ASSERT_EQ(answer.size(), sizeof(Message) + 132);
  EXPECT_TRUE(std::equal(data.begin(), data.end(), answer.begin() + sizeof(Message)));
}

TEST_F(Server, ReadsWaitForRoomAndAreAnsweredOnce) {
  auto driver = connect();
  port_.memory[0x2000].fill(std::byte{1});
  port_.memory[0x3000].fill(std::byte{2});
  port_.room = 0;
  driver->say(Op::read, 0x2000, 64);
  driver->say(Op::read, 0x3000, 128);
  for (int i = 0; i < 5; ++i) server_.poll();
  EXPECT_TRUE(server_.busy());
  for (int i = 0; i < 12; ++i) {
    port_.clock(i % 2 == 0 ? 1 : 0);
    server_.poll();
  }
  const auto answers = driver->receive();
  ASSERT_EQ(answers.size(), 2 * sizeof(Message) + 64 + 128);
  EXPECT_EQ(answers[sizeof(Message)], std::byte{1});
  EXPECT_EQ(answers[2 * sizeof(Message) + 64], std::byte{2});
  EXPECT_FALSE(server_.busy());
}

TEST_F(Server, NothingAtAnAddressIsSaid) {
  auto driver = connect();
  port_.nothing_from = 0x2000;
  driver->say(Op::read, 0x1fc0, 128);
  run();
  const auto answer = driver->receive();
  ASSERT_EQ(answer.size(), sizeof(Message) + 128);
  Message message{};
  std::memcpy(&message, answer.data(), sizeof message);
  EXPECT_EQ(message.address, 1U);
}

TEST_F(Server, WhatCannotBeEndsTheConnectionAndNothingElse) {
  struct Wrong {
    std::uint32_t op, address, length;
  };
  const std::uint32_t read = 1, write = 2;
  for (const Wrong& wrong :
       {Wrong{0, 0, 64}, Wrong{3, 0, 64}, Wrong{4, 0, 64}, Wrong{~0U, ~0U, ~0U}, Wrong{read, 0, 0}, Wrong{write, 0, 0},
        Wrong{read, 2, 4}, Wrong{write, 0, 6}, Wrong{read, 0, static_cast<std::uint32_t>(kMaxAccess) + 4},
        Wrong{write, 0, ~0U - 3}, Wrong{read, kEnd, 4}, Wrong{write, kEnd - 4, 8}, Wrong{read, ~0U - 3, 4},
        Wrong{read, ~0U - 3, 64}, Wrong{read, kEnd - 60, 64}}) {
    SCOPED_TRACE(testing::Message() << wrong.op << " " << wrong.address << " " << wrong.length);
    auto driver = connect();
    const std::size_t writes = port_.writes;
    driver->say(wrong.op, wrong.address, wrong.length);
    run(2);
    EXPECT_TRUE(driver->dropped());
    EXPECT_FALSE(server_.has_driver());
    EXPECT_EQ(port_.writes, writes);
    EXPECT_FALSE(server_.busy());
    expect_served();
    run(2);
  }
}

TEST_F(Server, TheLastWordsOfTheAddressSpaceAreThere) {
  auto driver = connect();
  driver->say(Op::read, kEnd - 64, 64);
  run();
  EXPECT_EQ(driver->receive().size(), sizeof(Message) + 64);
}

TEST_F(Server, GarbageIsNoMoreThanTheEndOfItsConnection) {
  std::mt19937 random(1);
  for (int round = 0; round < 50; ++round) {
    auto driver = connect();
    std::vector<std::byte> bytes(1 + random() % 5000);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    // Some begin as they should.
    if (round % 2 == 0 && bytes.size() > 12) {
      const Message message{1 + static_cast<std::uint32_t>(random() % 2), static_cast<std::uint32_t>(random() % 64) * 4,
                            4 + static_cast<std::uint32_t>(random() % 64) * 4};
      std::memcpy(bytes.data(), &message, sizeof message);
    }
    driver->send(bytes);
    run(3);
    driver.reset();
    run(3);
    EXPECT_FALSE(server_.has_driver());
    EXPECT_FALSE(server_.busy());
  }
  expect_served();
}

TEST_F(Server, HalfMessagesWaitAndAreForgottenWithTheirDriver) {
  auto driver = connect();
  const Message message{static_cast<std::uint32_t>(Op::write), 0x1000, 64};
  const auto header = std::as_bytes(std::span(&message, 1));
  driver->send(header.first(7));
  run(2);
  EXPECT_TRUE(server_.has_driver());
  driver->send(header.subspan(7));
  driver->send(std::vector<std::byte>(63, std::byte{1}));
  run(2);
  EXPECT_EQ(port_.writes, 0U) << "it is not whole";
  driver.reset();
  run(2);
  EXPECT_EQ(port_.writes, 0U);
  expect_served();
}

TEST_F(Server, AnswersToADriverThatLeftAreForNobody) {
  auto driver = connect();
  port_.memory[0x4000].fill(std::byte{0xee});
  port_.room = 3;  // in the middle of a read of many lines
  driver->say(Op::read, 0x4000, 640);
  server_.poll();
  ASSERT_EQ(port_.asked.size(), 3U);
  driver.reset();
  server_.poll();
  EXPECT_FALSE(server_.has_driver());
  port_.clock();
  expect_served();
}

TEST_F(Server, ADriverThatTakesNoAnswersHoldsALimitOfThem) {
  auto driver = connect();
  std::vector<std::byte> requests;
  for (int i = 0; i < 2000; ++i) {  // 125 MiB of answers
    const Message message{static_cast<std::uint32_t>(Op::read), 0, static_cast<std::uint32_t>(kMaxAccess)};
    const auto bytes = std::as_bytes(std::span(&message, 1));
    requests.insert(requests.end(), bytes.begin(), bytes.end());
  }
  ASSERT_EQ(driver->send(requests), requests.size());
  std::size_t most = 0;
  for (int i = 0; i < 12'000; ++i) {
    run(1);
    most = std::max(most, server_.waiting());
  }
  EXPECT_LE(most, BusServer::kKeptBytes + 3 * kMaxAccess);
  EXPECT_GE(most, BusServer::kKeptBytes) << "the limit was not reached";
  std::size_t got = 0;
  for (int idle = 0; idle < 100;) {
    const std::size_t n = driver->receive().size();
    got += n;
    idle = n == 0 ? idle + 1 : 0;
    run(1);
  }
  EXPECT_EQ(got, 2000 * (sizeof(Message) + kMaxAccess)) << "nothing is lost";
}

TEST_F(Server, InterruptsForADriverThatTakesNothingComeTogether) {
  auto driver = connect();
  for (int i = 0; i < 300'000; ++i) {
    server_.interrupt(1U << (i % 8));
    if (i % 64 == 0) server_.poll();
  }
  EXPECT_LE(server_.waiting(), BusServer::kKeptBytes + sizeof(Message));
  std::uint32_t all = 0;
  std::vector<std::byte> bytes;
  for (int idle = 0; idle < 10;) {
    const auto more = driver->receive();
    bytes.insert(bytes.end(), more.begin(), more.end());
    idle = more.empty() ? idle + 1 : 0;
    server_.poll();
    server_.interrupt(0);
  }
  ASSERT_EQ(bytes.size() % sizeof(Message), 0U);
  const std::size_t last = bytes.size() / sizeof(Message) - 1;
  Message message{};
  std::memcpy(&message, bytes.data() + last * sizeof(Message), sizeof message);
  all = message.address;
  EXPECT_EQ(all, 0xffU) << "what could not be told came at the end";
}

TEST(ServerPath, AnOldSocketIsReplacedAndAFileIsNot) {
  const test::TemporaryDirectory directory;
  ModelPort port;
  const std::string path = (directory.path() / "bus").string();
  {
    const BusServer first(path, port);
    const BusServer second(path, port);
  }
  directory.write("file", "mine");
  EXPECT_THROW(BusServer((directory.path() / "file").string(), port), std::runtime_error);
  EXPECT_EQ(directory.read("file"), "mine");
  EXPECT_THROW(BusServer("", port), std::runtime_error);
  EXPECT_THROW(BusServer(std::string(200, 'x'), port), std::runtime_error);
}

}  // namespace
}  // namespace slotwire::driver
