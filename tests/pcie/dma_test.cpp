// The simulated card as a PCI function that writes into memory which its driver mapped: two of them on one wire, each a
// process of its own behind vfio-user, with the RTL of slotwire_dma. A slot's file is laid out as file B of a space: a
// page of marks, then the ring.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/regs/regs.hpp"
#include "core/slot/memory.hpp"
#include "driver/bus/pcie/pcie_bus.hpp"
#include "driver/bus/pcie/vfio_user_function.hpp"
#include "sim/pci/client_memory.hpp"
#include "temporary_directory.hpp"

namespace slotwire::sim {
namespace {

using driver::PcieBus;
using driver::VfioUserFunction;

constexpr int kPatienceMs = 20'000;  ///< for what an interrupt tells of
constexpr std::uint16_t kSlot = 5, kLink = 2;
constexpr std::uint8_t kOrder = 6;
constexpr std::uint32_t kRing = 1U << kOrder, kInBase = 64;
constexpr std::uint64_t kFileAt = 0x77'0000'0000;  ///< bus address
constexpr std::size_t kFileBytes = regs::kPageBytes + kRing * regs::kLineBytes;

slot::Fd memory_file(std::size_t bytes, int seals) {
  slot::Fd fd(::memfd_create("dma", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
  EXPECT_EQ(::fcntl(fd.get(), F_ADD_SEALS, seals), 0);
  return fd;
}

/// A file that the driver maps for the card, as a process sees it.
class File {
 public:
  File() : fd(memory_file(kFileBytes, F_SEAL_SHRINK)) {
    memory = static_cast<std::byte*>(::mmap(nullptr, kFileBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
  }
  ~File() { ::munmap(memory, kFileBytes); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  std::uint32_t mark(std::size_t at) const {
    return std::atomic_ref<std::uint32_t>(*reinterpret_cast<std::uint32_t*>(memory + at)).load();
  }
  const std::byte* line(std::uint32_t position) const {
    return memory + regs::kPageBytes + (position % kRing) * regs::kLineBytes;
  }
  std::vector<std::byte> copy() const { return {memory, memory + kFileBytes}; }

  slot::Fd fd;
  std::byte* memory = nullptr;
};

/// A card's process.
class Card {
 public:
  Card(const std::string& socket, const std::string& wire) {
    std::array<int, 2> out{};
    if (::pipe2(out.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    slot::Fd read(out[0]), write(out[1]);
    std::vector<std::string> words{SLOTWIRE_SIMCARD, "--vfio-user", socket, "--relayed", "--wire", wire};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, write.get(), STDOUT_FILENO);
    const int wrong = ::posix_spawn(&pid_, SLOTWIRE_SIMCARD, &actions, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (wrong != 0) throw std::runtime_error(std::strerror(wrong));
    write = {};
    // It says when it is ready.
    std::array<char, 256> said{};
    if (::read(read.get(), said.data(), said.size()) <= 0) throw std::runtime_error("the card ended");
    output_ = std::move(read);
  }
  ~Card() {
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
  }
  Card(const Card&) = delete;
  Card& operator=(const Card&) = delete;

 private:
  pid_t pid_ = -1;
  slot::Fd output_;
};

std::byte byte_of(unsigned host, std::uint32_t line, std::size_t i) {
  return static_cast<std::byte>(host * 101 + line * 31 + i * 7);
}

/// A card with one slot, whose output ring and marks are in a file.
class End {
 public:
  End(unsigned number, unsigned peer, const std::string& socket) : number_(number), peer_(peer) {
    auto made = std::make_unique<VfioUserFunction>(socket);
    function = made.get();
    bus = std::make_unique<PcieBus>(std::move(made));
    if (!bus->reconnect()) throw std::runtime_error(bus->broken());
    EXPECT_EQ(function->map_pages({kFileAt, file.memory, kFileBytes, file.fd.get()}), "");
    put32(regs::kCardControl + regs::kCtlOwnIp, ip(number));
    put32(regs::kCardControl + regs::kCtlOwnPort, regs::kUdpPort);
    put32(regs::kCardControl + regs::kCtlOwnMacHigh, 0x02000000);
    put32(regs::kCardControl + regs::kCtlOwnMacLow, number);
    put32(regs::kCardControl + regs::kCtlEnabled, 0xf);
    regs::LinkRow link{};
    link.up = 1;
    link.lines_per_frame = 20;
    link.rto_us = 300'000;
    link.rto_max_us = 1'000'000;
    link.ack_delay_us = 1000;
    link.peer_ip = ip(peer);
    link.peer_port = regs::kUdpPort;
    link.peer_mac_high = 0x02000000;
    link.peer_mac_low = static_cast<std::uint16_t>(peer);
    put_row(regs::kCardLinkRows + kLink * regs::kLineBytes, link);
    put32(regs::kCardControl + regs::kCtlCommand,
          static_cast<std::uint32_t>(regs::CardCommand::link_up) | std::uint32_t{kLink} << 16);
  }
  static std::uint32_t ip(unsigned n) { return 0x0a630000U + n; }

  void put32(std::size_t address, std::uint32_t value) { bus->write(address, std::as_bytes(std::span(&value, 1))); }
  template <typename Row>
  void put_row(std::size_t address, const Row& row) {
    std::array<std::byte, regs::kLineBytes> line{};
    std::memcpy(line.data(), &row, sizeof row);
    bus->write(address, line);
  }
  template <typename Row>
  Row get_row(std::size_t address) {
    std::array<std::byte, regs::kLineBytes> line{};
    EXPECT_TRUE(bus->read(address, line)) << bus->broken();
    Row row{};
    std::memcpy(&row, line.data(), sizeof row);
    return row;
  }
  std::uint64_t counter(regs::CardCounter which) {
    std::array<std::byte, regs::kLineBytes> line{};
    const std::size_t at = regs::kCardCapabilities + regs::kCapCardCounters + 8 * static_cast<std::size_t>(which);
    EXPECT_TRUE(bus->read(at / regs::kLineBytes * regs::kLineBytes, line));
    std::uint64_t value = 0;
    std::memcpy(&value, line.data() + at % regs::kLineBytes, sizeof value);
    return value;
  }
  static constexpr std::size_t kDmaRow = regs::kCardDmaRows + kSlot * regs::kLineBytes;

  void bind() {
    regs::DmaRow dma{};
    dma.valid = 1;
    dma.order = kOrder;
    dma.marks_low = static_cast<std::uint32_t>(kFileAt);
    dma.marks_high = static_cast<std::uint32_t>(kFileAt >> 32);
    dma.ring_low = static_cast<std::uint32_t>(kFileAt + regs::kPageBytes);
    dma.ring_high = dma.marks_high;
    put_row(kDmaRow, dma);
    regs::SlotRow row{};
    row.state = static_cast<std::uint8_t>(regs::SlotState::bound);
    row.in_order = row.out_order = kOrder;
    row.link = kLink;
    row.peer_slot = kSlot;
    row.epoch = 77;
    row.limit = kRing;
    row.in_base = kInBase;
    row.out_base = regs::kRowBaseDma;
    put_row(regs::kCardSlotRows + kSlot * regs::kLineBytes, row);
    bus->flush();
  }
  regs::SlotRow row() { return get_row<regs::SlotRow>(regs::kCardSlotRows + kSlot * regs::kLineBytes); }
  bool faulted(regs::Fault fault) {
    const regs::SlotRow r = row();
    return r.state == static_cast<std::uint8_t>(regs::SlotState::faulted) &&
           r.fault == static_cast<std::uint8_t>(fault);
  }
  /// Up to line `end`, as far as there is room by what is in the file.
  void produce(std::uint32_t end) {
    for (; produced != end && produced - file.mark(regs::kMarkHead) < kRing; ++produced) {
      std::array<std::byte, regs::kLineBytes> line{};
      for (std::size_t i = 0; i < line.size(); ++i) line[i] = byte_of(number_, produced, i);
      bus->write(regs::kCardMemory + (kInBase + produced % kRing) * regs::kLineBytes, line);
    }
    put32(regs::kCardProcessPages + kSlot * regs::kPageBytes + regs::kInTail, produced);
    bus->flush();
  }
  /// What the file has; the process never asks the card.
  void consume() {
    const std::uint32_t tail = file.mark(regs::kMarkTail);
    ASSERT_LE(tail - consumed, kRing);
    if (tail == consumed) return;
    for (; consumed != tail; ++consumed) {
      for (std::size_t i = 0; i < regs::kLineBytes; ++i) {
        ASSERT_EQ(file.line(consumed)[i], byte_of(peer_, consumed, i)) << "line " << consumed;
      }
    }
    put32(regs::kCardProcessPages + kSlot * regs::kPageBytes + regs::kOutHead, consumed);
    bus->flush();
  }
  /// Looks at `done` after each interrupt until it holds. False: none came in time.
  bool wait(const std::function<bool()>& done) {
    // The bus wakes from time to time by itself as well.
    for (const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
         std::chrono::steady_clock::now() < end;) {
      bus->take_interrupts();
      put32(regs::kCardControl + regs::kCtlPending, 0xf);
      bus->flush();
      if (done()) return true;
      pollfd waited{bus->fd(), POLLIN, 0};
      if (::poll(&waited, 1, kPatienceMs) != 1 || !bus->broken().empty()) return false;
    }
    return false;
  }

  File file;
  std::unique_ptr<PcieBus> bus;
  VfioUserFunction* function = nullptr;
  std::uint32_t produced = 0, consumed = 0;

 private:
  unsigned number_, peer_;
};

class SimCardDma : public testing::Test {
 protected:
  std::string path(const char* name) const { return (directory_.path() / name).string(); }

  test::TemporaryDirectory directory_;
  Card first_{path("a"), "listen:" + path("wire")};
  Card second_{path("b"), "connect:" + path("wire")};
  End a_{1, 2, path("a")}, b_{2, 1, path("b")};
};

TEST_F(SimCardDma, LinesAndMarksComeToTheFile) {
  std::array<std::byte, regs::kLineBytes> page{};
  ASSERT_TRUE(a_.bus->read(regs::kCardCapabilities, page));
  EXPECT_EQ(page[regs::kCapDma], std::byte{1});
  a_.bind();
  b_.bind();
  constexpr std::uint32_t kLines = 3 * kRing + 5;
  while (b_.consumed != kLines) {
    const std::uint32_t before = b_.consumed;
    a_.produce(kLines);
    ASSERT_TRUE(b_.wait([&] { return b_.file.mark(regs::kMarkTail) != before; })) << b_.bus->broken();
    ASSERT_NO_FATAL_FAILURE(b_.consume());
    if (a_.produced != kLines) {
      // Room, by the mark in a's own file.
      ASSERT_TRUE(a_.wait([&] { return a_.produced - a_.file.mark(regs::kMarkHead) < kRing; })) << a_.bus->broken();
    }
  }
  ASSERT_TRUE(a_.wait([&] { return a_.file.mark(regs::kMarkHead) == kLines; }));
  EXPECT_EQ(b_.counter(regs::CardCounter::dma_lines), kLines);
  EXPECT_GT(a_.counter(regs::CardCounter::dma_marks), 0U);
  EXPECT_EQ(a_.counter(regs::CardCounter::dma_refused) + b_.counter(regs::CardCounter::dma_refused), 0U);
}

TEST_F(SimCardDma, NothingIsWrittenIntoPagesThatWereTakenBack) {
  a_.bind();
  b_.bind();
  a_.produce(kRing);
  ASSERT_TRUE(b_.wait([&] { return b_.file.mark(regs::kMarkTail) != 0; }));
  // In the middle of whatever it does.
  b_.put_row(End::kDmaRow, regs::DmaRow{});
  EXPECT_EQ(b_.get_row<regs::DmaRow>(End::kDmaRow).valid, 0U);
  const auto then = b_.file.copy();
  b_.function->unmap_pages({kFileAt, b_.file.memory, kFileBytes, -1});
  ASSERT_EQ(b_.function->error(), "");
  const std::uint32_t had = b_.file.mark(regs::kMarkTail);
  b_.put32(regs::kCardProcessPages + kSlot * regs::kPageBytes + regs::kOutHead, had);
  ASSERT_TRUE(a_.wait([&] { return a_.file.mark(regs::kMarkHead) != 0 || b_.faulted(regs::Fault::memory_refused); }));
  a_.produce(kRing + had);
  ASSERT_TRUE(b_.wait([&] { return b_.faulted(regs::Fault::memory_refused); }));
  EXPECT_EQ(b_.file.copy(), then);
  EXPECT_GT(b_.counter(regs::CardCounter::dma_refused), 0U);
}

TEST_F(SimCardDma, ACardThatMayNotMasterTheBusFaultsItsSlot) {
  a_.bind();
  b_.bind();
  b_.bus->flush();
  b_.row();  // the marks of the binding are there
  b_.get_row<regs::DmaRow>(End::kDmaRow);
  const std::uint16_t command = PCI_COMMAND_MEMORY;
  ASSERT_TRUE(b_.function->config_write(PCI_COMMAND, std::as_bytes(std::span(&command, 1))));
  a_.produce(2);
  ASSERT_TRUE(b_.wait([&] { return b_.faulted(regs::Fault::memory_refused); }));
  EXPECT_EQ(b_.file.mark(regs::kMarkTail), 0U);
  // The peer learns that its lines did not arrive, and that the slot is gone.
  ASSERT_TRUE(a_.wait([&] { return a_.row().state == static_cast<std::uint8_t>(regs::SlotState::reset); }));
  EXPECT_EQ(a_.file.mark(regs::kMarkHead), 0U);
}

TEST(ClientMemory, TakesWholePagesOfFilesThatCannotBeCut) {
  ClientMemory memory;
  const slot::Fd sealed = memory_file(3 * regs::kPageBytes, F_SEAL_SHRINK), loose = memory_file(regs::kPageBytes, 0);
  constexpr std::uint64_t kAt = 0x10000, kPage = regs::kPageBytes;
  EXPECT_NE(memory.map(loose.get(), 0, kAt, kPage), "");
  EXPECT_NE(memory.map(sealed.get(), 0, kAt + 64, kPage), "");
  EXPECT_NE(memory.map(sealed.get(), 0, kAt, kPage + 64), "");
  EXPECT_NE(memory.map(sealed.get(), 0, kAt, 0), "");
  EXPECT_NE(memory.map(sealed.get(), kPage, kAt, 3 * kPage), "") << "beyond the file's end";
  EXPECT_NE(memory.map(sealed.get(), 0, ~std::uint64_t{0} - kPage + 1, 2 * kPage), "") << "beyond the last address";
  EXPECT_EQ(memory.map(sealed.get(), kPage, kAt, 2 * kPage), "");
  EXPECT_NE(memory.map(sealed.get(), 0, kAt + kPage, kPage), "") << "over another one";
  EXPECT_NE(memory.map(sealed.get(), 0, kAt - kPage, 2 * kPage), "") << "over another one";
  Line line;
  line.fill(std::byte{7});
  EXPECT_TRUE(memory.write(kAt - 64, line, ~std::uint64_t{0}));
  EXPECT_TRUE(memory.write(kAt + 2 * kPage, line, ~std::uint64_t{0}));
  EXPECT_EQ(memory.faults(), 2U);
  EXPECT_TRUE(memory.write(kAt + kPage, line, std::uint64_t{0xf} << 8));
  std::array<std::byte, 16> seen{};
  ASSERT_EQ(::pread(sealed.get(), seen.data(), seen.size(), static_cast<off_t>(2 * kPage)), 16);
  for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], std::byte(i >= 8 && i < 12 ? 7 : 0)) << i;
  memory.allowed = [] { return false; };
  EXPECT_FALSE(memory.write(kAt, line, ~std::uint64_t{0}));
  memory.allowed = [] { return true; };
  EXPECT_FALSE(memory.unmap(kAt, kPage));
  EXPECT_TRUE(memory.unmap(kAt, 2 * kPage));
  EXPECT_TRUE(memory.write(kAt, line, ~std::uint64_t{0}));
  EXPECT_EQ(memory.faults(), 3U);
}

}  // namespace
}  // namespace slotwire::sim
