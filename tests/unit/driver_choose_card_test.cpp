// Which card a node has, in each situation that a host can be in; and the client of the vfio-user protocol.
#include "driver/bus/choose_card.hpp"

#include <gtest/gtest.h>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <functional>
#include <stdexcept>
#include <thread>

#include "driver/bus/bus_server.hpp"
#include "driver/bus/pcie/pcie_bus.hpp"
#include "driver/bus/pcie/vfio_user_function.hpp"
#include "driver_fake_pci.hpp"
#include "sim/pci/vfio_user_server.hpp"
#include "sim_model_port.hpp"

namespace slotwire::driver {
namespace {

namespace protocol = vfio_user;

/// A simulated PCI function that is served in a thread of its own, until it is stopped.
class ServedCard {
 public:
  explicit ServedCard(std::string path) {
    const auto page = test::fake_capabilities();
    std::memcpy(port_.memory[0].data(), page.data(), sizeof page);
    server_ = std::make_unique<sim::VfioUserServer>(std::move(path), device_);
    thread_ = std::thread([this] {
      while (!stop_) {
        if (raise_.exchange(false)) device_.raise(0b0101);
        port_.clock();
        if (!server_->poll()) std::this_thread::yield();
      }
    });
  }
  ~ServedCard() {
    stop_ = true;
    thread_.join();
  }
  void raise() { raise_ = true; }

 private:
  test::ModelPort port_;
  sim::PciDevice device_{port_, {test::kFakeSlots, 4, 4, test::kFakeLines, true}, [this] {
                           port_.asked.clear();
                           port_.answers.clear();
                         }};
  std::unique_ptr<sim::VfioUserServer> server_;
  std::atomic<bool> stop_{false}, raise_{false};
  std::thread thread_;
};

class Choose : public testing::Test {
 protected:
  Choose() {
    wish_.sysfs = sysfs_.root();
    wish_.dev_vfio = directory_.path();
    wish_.xrt = (directory_.path() / "xrt").string();
    wish_.vfio_user = (directory_.path() / "card").string();
    wish_.socket = (directory_.path() / "bus").string();
  }
  std::string refusal(CardKind kind) {
    wish_.kind = kind;
    try {
      const ChosenCard chosen = choose_card(wish_);
      ADD_FAILURE() << "it took " << chosen.name;
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  }
  /// Why there is no card behind XRT.
  std::string no_xrt() const {
    return "not xrt: card socket " + wish_.xrt +
           ": No such file or directory; start slotwire-xrt-host (systemctl start slotwire-xrt@0) first";
  }
  test::FakeSysfs sysfs_;
  test::TemporaryDirectory directory_;
  CardWish wish_;
};

TEST_F(Choose, SoftwareWhereThereIsNoCardAndSaysWhy) {
  wish_.kind = CardKind::automatic;
  const ChosenCard chosen = choose_card(wish_);
  EXPECT_EQ(chosen.kind, CardKind::software);
  EXPECT_EQ(chosen.bus, nullptr);
  EXPECT_EQ(chosen.why.find(no_xrt() + "; not pcie: no PCI function has the ids of a card"), 0U) << chosen.why;
  EXPECT_EQ(chosen.why.find('\n'), std::string::npos);
}

TEST_F(Choose, SoftwareWhenWanted) {
  sysfs_.add_card("0000:3b:00.0");
  const ChosenCard chosen = choose_card(wish_);
  EXPECT_EQ(chosen.kind, CardKind::software);
  EXPECT_EQ(chosen.why, "as configured");
}

TEST_F(Choose, AnErrorWithARemedyForACardThatIsWantedAndNotThere) {
  EXPECT_NE(refusal(CardKind::xrt).find("start slotwire-xrt-host"), std::string::npos);
  EXPECT_NE(refusal(CardKind::pcie).find("rescan the bus"), std::string::npos);
  EXPECT_NE(refusal(CardKind::vfio_user).find("start the simulated card"), std::string::npos);
  EXPECT_NE(refusal(CardKind::socket).find("start the simulated card"), std::string::npos);
}

TEST_F(Choose, ThePcieCardByItself) {
  sysfs_.add_card("0000:3b:00.0");
  wish_.kind = CardKind::automatic;
  wish_.sysfs_access = true;
  const ChosenCard chosen = choose_card(wish_);
  EXPECT_EQ(chosen.kind, CardKind::pcie);
  EXPECT_EQ(chosen.name, "PCIe 0000:3b:00.0 (sysfs)");
  ASSERT_NE(chosen.bus, nullptr);
  EXPECT_EQ(chosen.bus->broken(), "");
  EXPECT_EQ(chosen.why, no_xrt());
}

TEST_F(Choose, TheXrtCardFirst) {
  sysfs_.add_card("0000:3b:00.0");
  test::ModelPort port;
  BusServer host(wish_.xrt, port);
  wish_.kind = CardKind::automatic;
  wish_.sysfs_access = true;
  const ChosenCard chosen = choose_card(wish_);
  EXPECT_EQ(chosen.kind, CardKind::xrt);
  EXPECT_EQ(chosen.name, "XRT card at " + wish_.xrt);
  EXPECT_EQ(chosen.why, "the first that is there");
  ASSERT_NE(chosen.bus, nullptr);
  EXPECT_EQ(chosen.bus->broken(), "");
}

TEST_F(Choose, SoftwareWhenTheCardCannotBeUsed) {
  sysfs_.add_card("0000:3b:00.0");
  wish_.kind = CardKind::automatic;
  const ChosenCard chosen = choose_card(wish_);
  EXPECT_EQ(chosen.kind, CardKind::software);
  EXPECT_NE(chosen.why.find("bind vfio-pci"), std::string::npos) << chosen.why;
  EXPECT_NE(refusal(CardKind::pcie).find("bind vfio-pci"), std::string::npos);
}

TEST_F(Choose, NotAnotherDeviceAtTheAddress) {
  sysfs_.add("0000:00:1f.0", "0x8086", "0x1234");
  wish_.pci = "0000:00:1f.0";
  EXPECT_NE(refusal(CardKind::pcie).find("is no Slotwire card"), std::string::npos);
}

TEST_F(Choose, NotACardThatSaysSomethingElse) {
  sysfs_.add_card("0000:3b:00.0");
  sysfs_.put("0000:3b:00.0", "resource0", std::string(regs::kPciRegistersBytes, '\x5a'));
  wish_.sysfs_access = true;
  EXPECT_NE(refusal(CardKind::pcie).find("load a Slotwire bitstream"), std::string::npos);
}

TEST_F(Choose, ASimulatedCardByVfioUser) {
  ServedCard card(wish_.vfio_user);
  wish_.kind = CardKind::vfio_user;
  const ChosenCard chosen = choose_card(wish_);
  ASSERT_NE(chosen.bus, nullptr);
  EXPECT_EQ(chosen.name, "vfio-user " + wish_.vfio_user);
  HostBus& bus = *chosen.bus;
  std::vector<std::byte> lines(std::size_t{200} << 10), back(lines.size());
  for (std::size_t i = 0; i < lines.size(); ++i) lines[i] = static_cast<std::byte>(i / 64 + i * 3);
  const std::size_t room = test::kFakeLines * 64;
  lines.resize(room);
  back.resize(room);
  bus.write(regs::kCardMemory, lines);
  ASSERT_TRUE(bus.read(regs::kCardMemory, back)) << bus.broken();
  EXPECT_EQ(back, lines);
  card.raise();
  std::uint32_t raised = 0;
  while (raised == 0 && bus.broken().empty()) {
    pollfd ready{bus.fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&ready, 1, 20'000), 1);
    raised = bus.take_interrupts();
  }
  EXPECT_EQ(raised & 0b1010, 0U);
  EXPECT_NE(raised & 0b0101, 0U);
  ASSERT_TRUE(bus.reconnect()) << bus.broken();
  EXPECT_TRUE(bus.read(regs::kCardMemory, std::span(back).first(64)));
}

// ---- a vfio-user server that does not keep to the protocol

class Strange : public testing::Test {
 protected:
  /// Serves one client in a thread: gives each message to `answer` and sends what it says.
  std::string connect(const std::function<std::vector<std::byte>(const protocol::Header&)>& answer) {
    const std::string path = (directory_.path() / "card").string();
    slot::Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    path.copy(at.sun_path, sizeof at.sun_path - 1);
    std::filesystem::remove(path);
    if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0 ||
        ::listen(listener.get(), 1) != 0) {
      throw std::runtime_error("the test cannot listen");
    }
    std::thread server([&] {
      const slot::Fd client(::accept(listener.get(), nullptr, nullptr));
      protocol::Header header{};
      while (::recv(client.get(), &header, sizeof header, MSG_WAITALL) == sizeof header) {
        std::vector<std::byte> body(header.size - sizeof header);
        if (!body.empty()) ::recv(client.get(), body.data(), body.size(), MSG_WAITALL);
        const auto reply = answer(header);
        if (reply.empty()) break;
        ::send(client.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
      }
    });
    std::string broken;
    {
      PcieBus bus(std::make_unique<VfioUserFunction>(path, 200));
      EXPECT_FALSE(bus.reconnect());
      broken = bus.broken();
    }
    server.join();
    return broken;
  }
  static std::vector<std::byte> reply(protocol::Header header, std::size_t bytes, std::size_t says) {
    header.size = static_cast<std::uint32_t>(says);
    header.flags |= protocol::kReply;
    std::vector<std::byte> out(sizeof header + bytes);
    std::memcpy(out.data(), &header, sizeof header);
    return out;
  }
  test::TemporaryDirectory directory_;
};

TEST_F(Strange, IsLeft) {
  using Header = protocol::Header;
  EXPECT_NE(connect([](const Header&) { return std::vector<std::byte>(); }).find("went away"), std::string::npos);
  EXPECT_NE(connect([](const Header& h) { return reply(h, 4, ~0U); }).find("vfio-user protocol"), std::string::npos);
  EXPECT_NE(connect([](const Header& h) { return reply(h, 4, 3); }).find("vfio-user protocol"), std::string::npos);
  EXPECT_NE(connect([](const Header& h) { return reply(h, 0, 30); }).find("no answer for 200 ms"), std::string::npos);
  int asked = 0;
  EXPECT_NE(connect([&asked](Header h) {
              ++asked;
              ++h.id;
              return reply(h, 4, 20);
            }).find("vfio-user protocol"),
            std::string::npos);
  EXPECT_EQ(asked, 1) << "the answer to another question";
  // Agrees on a version, then refuses everything.
  EXPECT_NE(connect([](Header h) {
              if (h.command == 1) return reply(h, 4, 20);
              h.flags |= protocol::kError;
              h.error = EINVAL;
              return reply(h, 0, 16);
            }).find("it refused command 5 (Invalid argument)"),
            std::string::npos);
}

}  // namespace
}  // namespace slotwire::driver
