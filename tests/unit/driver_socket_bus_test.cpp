// The way to a card behind a socket, with a card at the other end that does what the test wants.
#include "driver/bus/socket_bus.hpp"

#include <gtest/gtest.h>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "driver/bus/socket_bus_protocol.hpp"
#include "temporary_directory.hpp"

namespace slotwire::driver {
namespace {

using socket_bus::kMaxAccess;
using socket_bus::Message;
using socket_bus::Op;

/// Long enough for a thread to answer on a busy machine, and no test waits for it but those of silence.
constexpr int kPatienceMs = 20'000;
constexpr int kSilenceMs = 50;

/// The card's end, driven by hand.
class FakeCard {
 public:
  explicit FakeCard(const std::string& path, int backlog = 1) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    path.copy(at.sun_path, sizeof at.sun_path - 1);
    listener_ = slot::Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0 ||
        ::listen(listener_.get(), backlog) != 0) {
      throw std::runtime_error("the test's socket cannot be had");
    }
  }
  void accept() { driver_ = slot::Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)); }
  void close() { driver_ = {}; }
  void send(std::span<const std::byte> bytes) {
    ASSERT_EQ(::send(driver_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  void say(Op op, std::uint32_t address, std::uint32_t length, std::span<const std::byte> data = {}) {
    const Message message{static_cast<std::uint32_t>(op), address, length};
    send(std::as_bytes(std::span(&message, 1)));
    if (!data.empty()) send(data);
  }
  std::vector<std::byte> receive(std::size_t bytes) {
    std::vector<std::byte> got(bytes);
    const ssize_t n = bytes == 0 ? 0 : ::recv(driver_.get(), got.data(), bytes, MSG_WAITALL);
    got.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return got;
  }
  Message hear() {
    Message message{};
    const auto bytes = receive(sizeof message);
    if (bytes.size() == sizeof message) std::memcpy(&message, bytes.data(), sizeof message);
    return message;
  }
  int fd() const { return driver_.get(); }
  /// A byte, whether the driver is there or not.
  void trickle() {
    const char byte = 0;
    static_cast<void>(::send(driver_.get(), &byte, 1, MSG_NOSIGNAL));
  }
  /// Has the driver closed its end.
  bool left() { return receive(1).empty(); }

 private:
  slot::Fd listener_, driver_;
};

std::vector<std::byte> pattern(std::size_t bytes, unsigned seed) {
  std::vector<std::byte> data(bytes);
  for (std::size_t i = 0; i < bytes; ++i) data[i] = static_cast<std::byte>(i * 7 + (i >> 8) + seed);
  return data;
}

class Bus : public testing::Test {
 protected:
  void connect(int timeout_ms = kPatienceMs) {
    bus_ = std::make_unique<SocketBus>(path_, timeout_ms);
    ASSERT_TRUE(bus_->reconnect()) << bus_->broken();
    card_.accept();
  }
  /// Runs the card's side of a read in a thread of its own.
  bool read(std::span<std::byte> data, const std::function<void()>& card, std::size_t address = 64) {
    std::thread thread(card);
    const bool there = bus_->read(address, data);
    thread.join();
    return there;
  }

  test::TemporaryDirectory directory_;
  std::string path_ = (directory_.path() / "card").string();
  FakeCard card_{path_};
  std::unique_ptr<SocketBus> bus_;
};

TEST_F(Bus, WritesComeInOrderAndAtFlushOnly) {
  connect();
  bus_->write32(8, 0x01020304);
  const auto lines = pattern(128, 1);
  bus_->write(regs::kCardMemory, lines);
  pollfd waiting{bus_->fd(), POLLIN, 0};
  EXPECT_EQ(poll(&waiting, 1, 0), 0);
  bus_->flush();
  Message message = card_.hear();
  EXPECT_EQ(message.op, static_cast<std::uint32_t>(Op::write));
  EXPECT_EQ(message.address, 8U);
  EXPECT_EQ(message.length, 4U);
  std::uint32_t word = 0;
  std::memcpy(&word, card_.receive(4).data(), 4);
  EXPECT_EQ(word, 0x01020304U);
  message = card_.hear();
  EXPECT_EQ(message.address, regs::kCardMemory);
  EXPECT_EQ(message.length, 128U);
  EXPECT_EQ(card_.receive(128), lines);
}

TEST_F(Bus, LongAccessesAreCutAndArriveWhole) {
  connect();
  const auto lines = pattern(5 * kMaxAccess + 192, 3);
  std::vector<std::byte> got, back(lines.size());
  const bool there = read(
      back,
      [&] {
        while (got.size() < lines.size()) {
          const Message message = card_.hear();
          ASSERT_EQ(message.op, static_cast<std::uint32_t>(Op::write));
          ASSERT_EQ(message.address, 64 + got.size());
          ASSERT_LE(message.length, kMaxAccess);
          const auto piece = card_.receive(message.length);
          ASSERT_EQ(piece.size(), message.length);
          got.insert(got.end(), piece.begin(), piece.end());
        }
        for (std::size_t at = 0; at < got.size();) {
          const Message message = card_.hear();
          ASSERT_EQ(message.op, static_cast<std::uint32_t>(Op::read));
          ASSERT_EQ(message.address, 128 + at);
          ASSERT_LE(message.length, kMaxAccess);
          card_.say(Op::data, 0, message.length, std::span(got).subspan(at, message.length));
          at += message.length;
        }
      },
      (bus_->write(64, lines), 128));
  EXPECT_TRUE(there) << bus_->broken();
  EXPECT_EQ(got, lines);
  EXPECT_EQ(back, lines);
}

TEST_F(Bus, InterruptsBetweenAnswersAreKept) {
  connect();
  std::array<std::byte, 64> line{};
  const auto data = pattern(64, 9);
  EXPECT_TRUE(read(line, [&] {
    card_.hear();
    card_.say(Op::interrupt, 1, 0);
    card_.say(Op::interrupt, 4, 0);
    card_.say(Op::data, 0, 64, data);
    card_.say(Op::interrupt, 0x8000'0000, 0);
  }));
  EXPECT_TRUE(std::equal(line.begin(), line.end(), data.begin()));
  EXPECT_EQ(bus_->take_interrupts(), 0x8000'0005U);
  EXPECT_EQ(bus_->take_interrupts(), 0U);
  EXPECT_EQ(bus_->broken(), "");
}

TEST_F(Bus, HalfAnInterruptWaitsForItsRest) {
  connect();
  const Message message{static_cast<std::uint32_t>(Op::interrupt), 2, 0};
  const auto bytes = std::as_bytes(std::span(&message, 1));
  card_.send(bytes.first(5));
  EXPECT_EQ(bus_->take_interrupts(), 0U);
  EXPECT_EQ(bus_->broken(), "");
  card_.send(bytes.subspan(5));
  EXPECT_EQ(bus_->take_interrupts(), 2U);
}

TEST_F(Bus, NothingAtTheAddressIsNoLossOfTheCard) {
  connect();
  std::array<std::byte, 64> line{};
  EXPECT_FALSE(read(line, [&] {
    card_.hear();
    card_.say(Op::data, 1, 64, pattern(64, 0));
  }));
  EXPECT_EQ(bus_->broken(), "");
  EXPECT_TRUE(read(line, [&] {
    card_.hear();
    card_.say(Op::data, 0, 64, pattern(64, 0));
  }));
}

TEST_F(Bus, ACardThatClosesIsLostAndCanBeReachedAgain) {
  connect();
  card_.close();
  EXPECT_EQ(bus_->take_interrupts(), 0U);
  EXPECT_NE(bus_->broken().find("went away"), std::string::npos) << bus_->broken();
  EXPECT_EQ(bus_->fd(), -1);
  std::array<std::byte, 4> word{};
  EXPECT_FALSE(bus_->read(0, word));
  bus_->write32(0, 1);  // goes nowhere, now and after a reconnection
  bus_->flush();
  ASSERT_TRUE(bus_->reconnect());
  card_.accept();
  EXPECT_EQ(bus_->broken(), "");
  bus_->write32(64, 2);
  bus_->flush();
  EXPECT_EQ(card_.hear().address, 64U);
}

TEST_F(Bus, ACardThatClosesInTheMiddleOfAnAnswerIsLost) {
  connect();
  std::array<std::byte, 64> line{};
  EXPECT_FALSE(read(line, [&] {
    card_.hear();
    card_.say(Op::data, 0, 64, pattern(63, 0));
    card_.close();
  }));
  EXPECT_NE(bus_->broken(), "");
}

TEST_F(Bus, AWrongAnswerEndsTheConnection) {
  struct Wrong {
    Op op;
    std::uint32_t address, length;
  };
  for (const Wrong& wrong :
       {Wrong{Op::data, 0, 60}, Wrong{Op::data, 0, 68}, Wrong{Op::data, 0, 0}, Wrong{Op::data, 0, 0xffff'ffff},
        Wrong{Op::read, 0, 64}, Wrong{Op::write, 0, 64}, Wrong{Op::interrupt, 1, 64}, Wrong{static_cast<Op>(0), 0, 64},
        Wrong{static_cast<Op>(0xffff'ffff), 0, 64}}) {
    SCOPED_TRACE(static_cast<std::uint32_t>(wrong.op));
    connect();
    std::array<std::byte, 64> line{};
    EXPECT_FALSE(read(line, [&] {
      card_.hear();
      card_.say(wrong.op, wrong.address, wrong.length);
      EXPECT_TRUE(card_.left());
    }));
    EXPECT_NE(bus_->broken().find("protocol"), std::string::npos) << bus_->broken();
  }
}

TEST_F(Bus, AnAnswerToNothingEndsTheConnection) {
  connect();
  card_.say(Op::data, 0, 0);
  EXPECT_EQ(bus_->take_interrupts(), 0U);
  EXPECT_NE(bus_->broken().find("protocol"), std::string::npos) << bus_->broken();
}

TEST_F(Bus, ASilentCardIsGivenUp) {
  connect(kSilenceMs);
  std::array<std::byte, 64> line{};
  EXPECT_FALSE(bus_->read(0, line));
  EXPECT_NE(bus_->broken().find("no answer for 50 ms"), std::string::npos) << bus_->broken();
}

TEST_F(Bus, ACardThatAnswersAByteNowAndThenIsGivenUp) {
  connect(kSilenceMs);
  std::array<std::byte, 64> line{};
  int sent = 0;
  EXPECT_FALSE(read(line, [&] {
    card_.hear();
    card_.say(Op::data, 0, 64);
    // A byte well before each time-out, until the driver has gone: 64 of them would be an answer.
    for (sent = 0; sent < 60; ++sent) {
      pollfd left{card_.fd(), POLLIN, 0};
      if (poll(&left, 1, kSilenceMs / 2) != 0) return;
      card_.trickle();
    }
  }));
  EXPECT_NE(bus_->broken().find("no answer"), std::string::npos) << bus_->broken();
  EXPECT_LT(sent, 60) << "each byte put it off";
}

TEST_F(Bus, ACardThatOnlyInterruptsIsGivenUp) {
  connect();
  std::array<std::byte, 64> line{};
  EXPECT_FALSE(read(line, [&] {
    card_.hear();
    for (std::size_t sent = 0; sent < SocketBus::kMostInterrupts + 1; ++sent) card_.say(Op::interrupt, 1, 0);
    EXPECT_TRUE(card_.left());
  }));
  EXPECT_NE(bus_->broken().find("protocol"), std::string::npos) << bus_->broken();
}

TEST_F(Bus, ACardThatTakesNothingIsGivenUp) {
  connect(kSilenceMs);
  const auto lines = pattern(kMaxAccess, 0);
  for (int pieces = 0; pieces < 1000 && bus_->broken().empty(); ++pieces) bus_->write(0, lines);
  EXPECT_NE(bus_->broken().find("took nothing"), std::string::npos) << bus_->broken();
}

TEST_F(Bus, AQueueOfDriversIsRefusedAtOnce) {
  std::vector<std::unique_ptr<SocketBus>> others;
  bool refused = false;
  for (int i = 0; i < 16 && !refused; ++i) {
    others.push_back(std::make_unique<SocketBus>(path_));
    refused = !others.back()->reconnect();
  }
  ASSERT_TRUE(refused);
  EXPECT_NE(others.back()->broken().find("one slotwired to a card"), std::string::npos) << others.back()->broken();
}

TEST(BusPath, ThatIsTooLongIsRefused) {
  const std::size_t longest = sizeof(sockaddr_un::sun_path) - 1;
  EXPECT_NO_THROW(SocketBus(std::string(longest, 'x')));
  try {
    SocketBus bus(std::string(longest + 1, 'x'));
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("107 bytes"), std::string::npos) << error.what();
  }
}

TEST(BusPath, WithoutACardSaysWhatToStart) {
  const test::TemporaryDirectory directory;
  SocketBus bus((directory.path() / "none").string());
  EXPECT_NE(bus.broken(), "");
  EXPECT_EQ(bus.fd(), -1);
  EXPECT_FALSE(bus.reconnect());
  EXPECT_NE(bus.broken().find("slotwire-simcard"), std::string::npos) << bus.broken();
}

}  // namespace
}  // namespace slotwire::driver
