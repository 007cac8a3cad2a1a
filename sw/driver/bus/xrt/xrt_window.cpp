#include "driver/bus/xrt/xrt_window.hpp"

#include <experimental/xrt_ip.h>
#include <experimental/xrt_xclbin.h>
#include <xrt/xrt_bo.h>
#include <xrt/xrt_device.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <system_error>

#include "driver/bus/window_check.hpp"

namespace slotwire::driver {
namespace {

constexpr std::size_t kLine = regs::kLineBytes;
constexpr std::uint32_t kGone = ~std::uint32_t{0};  ///< what a bus reads of a device that is not there
/// Loading an xclbin programs the card: many times an access.
constexpr int kLoadTimes = 60;
std::atomic<bool> in_use{false};

/// Keeps what the process does at a crash: XRT's emulation replaces it by a signal to the whole process group.
class KeepCrashes {
 public:
  KeepCrashes() {
    for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], nullptr, &kept_[i]);
  }
  ~KeepCrashes() {
    for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &kept_[i], nullptr);
  }
  KeepCrashes(const KeepCrashes&) = delete;
  KeepCrashes& operator=(const KeepCrashes&) = delete;

 private:
  static constexpr std::array<int, 3> kSignals{SIGSEGV, SIGFPE, SIGABRT};
  std::array<struct sigaction, 3> kept_{};
};

constexpr std::uint32_t at(std::size_t offset) {
  return static_cast<std::uint32_t>(offset);
}

[[noreturn]] void fail(const std::string& device, const std::string& what, const std::string& remedy) {
  throw std::runtime_error("device " + device + ": " + what + "; " + remedy);
}

bool is_index(const std::string& text) {
  return !text.empty() && text.size() < 4 &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
}

/// What XRT says, without the line feeds that it ends with.
std::string said(const std::exception& error) {
  std::string text = error.what();
  while (!text.empty() && (text.back() == '\n' || text.back() == '.')) text.pop_back();
  return text;
}

int code_of(const std::exception& error) {
  const auto* system = dynamic_cast<const std::system_error*>(&error);
  return system != nullptr ? system->code().value() : 0;
}

}  // namespace

struct XrtWindow::Parts {
  xrt::device device;
  xrt::xclbin xclbin;
  xrt::uuid uuid;
  xrt::ip kernel, network;
  xrt::bo memory;
  std::byte* bytes = nullptr;  ///< the buffer's host side
  bool mapped = false;
};

XrtWindow::XrtWindow(const XrtOptions& options, Watchdog& dog) : dog_(dog), device_(options.device) {
  if (in_use.exchange(true)) {
    fail(device_, "this process has a device of XRT open already", "start one slotwire-xrt-host for each card");
  }
  try {
    parts_ = std::make_unique<Parts>();
    open(options);
    if (!options.network.empty()) open_network(options.network);
    check_card();
    make_memory(options);
  } catch (...) {
    const Watchdog::Call call(dog_, "closing the device", kLoadTimes);
    parts_.reset();
    in_use = false;
    throw;
  }
}

XrtWindow::~XrtWindow() {
  const Watchdog::Call call(dog_, "closing the device", kLoadTimes);
  parts_.reset();
  in_use = false;
}

void XrtWindow::open(const XrtOptions& options) {
  // The file first: with a wrong one the card is not touched.
  const std::string file = "xclbin " + options.xclbin;
  if (!std::filesystem::is_regular_file(options.xclbin)) {
    fail(device_, file + " is not there", "give the file that hw/shells/xrt builds for this card (--xclbin)");
  }
  std::string kernels;
  try {
    parts_->xclbin = xrt::xclbin(options.xclbin);
    for (const auto& kernel : parts_->xclbin.get_kernels())
      kernels += (kernels.empty() ? "" : ", ") + kernel.get_name();
  } catch (const std::exception& error) {
    fail(device_, file + " cannot be read (" + said(error) + ")",
         "give the file that hw/shells/xrt builds for this card");
  }
  const auto found = parts_->xclbin.get_kernels();
  if (std::none_of(found.begin(), found.end(), [](const auto& kernel) { return kernel.get_name() == kXrtKernel; })) {
    fail(device_, file + " has no kernel " + kXrtKernel + " (it has: " + (kernels.empty() ? "none" : kernels) + ")",
         "give the file that hw/shells/xrt builds for this card");
  }
  try {
    const Watchdog::Call call(dog_, "opening the device", kLoadTimes);
    parts_->device = is_index(options.device) ? xrt::device(static_cast<unsigned>(std::stoul(options.device)))
                                              : xrt::device(options.device);
  } catch (const std::exception& error) {
    fail(device_, "it cannot be opened (" + said(error) + ")",
         "look which devices there are with `xbutil examine`, and whether this user may open /dev/dri/renderD* (group "
         "render)");
  }
  std::string shell = "unknown";
  try {
    shell = parts_->device.get_info<xrt::info::device::name>();
  } catch (const std::exception&) {  // some do not say
  }
  description_ = shell;
  try {
    const Watchdog::Call call(dog_, "loading the xclbin", kLoadTimes);
    const KeepCrashes keep;
    parts_->uuid = parts_->device.load_xclbin(parts_->xclbin);
  } catch (const std::exception& error) {
    const std::string why = file + " cannot be loaded (" + said(error) + ")";
    if (code_of(error) == EBUSY) fail(device_, why, "another process uses the card with another xclbin: stop it first");
    fail(device_, why + "; the card's shell is " + shell + ", the file is for " + parts_->xclbin.get_xsa_name(),
         "flash that shell, or build the kernel for the one that the card has");
  }
  try {
    const Watchdog::Call call(dog_, "opening the kernel", kLoadTimes);
    parts_->kernel = xrt::ip(parts_->device, parts_->uuid, kXrtKernel);
  } catch (const std::exception& error) {
    fail(device_, std::string("kernel ") + kXrtKernel + " cannot be opened (" + said(error) + ")",
         "it belongs to one process: stop the other slotwire-xrt-host of this card");
  }
}

void XrtWindow::open_network(const std::string& name) {
  const auto found = parts_->xclbin.get_kernels();
  if (std::none_of(found.begin(), found.end(), [&name](const auto& kernel) { return kernel.get_name() == name; })) {
    fail(device_, "the xclbin has no network kernel " + name,
         "name the one that it was linked with (--network), or none");
  }
  try {
    const Watchdog::Call call(dog_, "opening the network kernel", kLoadTimes);
    parts_->network = xrt::ip(parts_->device, parts_->uuid, name);
  } catch (const std::exception& error) {
    fail(device_, "the network kernel " + name + " cannot be opened (" + said(error) + ")",
         "it belongs to one process: stop the other one, or take --network none");
  }
}

void XrtWindow::check_card() {
  try {
    const WindowCard card = check_window(*this);
    memory_lines_ = card.memory_lines;
    slots_ = card.slots;
  } catch (const std::runtime_error& error) {
    throw std::runtime_error("device " + device_ + ": " + error.what());
  }
}

void XrtWindow::make_memory(const XrtOptions& options) {
  const std::size_t bytes = std::size_t{memory_lines_} * kLine;
  int bank = options.bank;
  if (bank < 0) {
    // The bank that the kernel's port is linked to.
    const auto args = parts_->xclbin.get_kernel(kXrtKernel).get_args();
    for (const auto& arg : args) {
      for (const auto& memory : arg.get_mems()) {
        if (bank < 0) bank = memory.get_index();
      }
    }
    bank = std::max(bank, 0);
  }
  const auto make = [&](xrt::bo::flags flags) {
    const Watchdog::Call call(dog_, "making the buffer of slot memory", kLoadTimes);
    parts_->memory = xrt::bo(parts_->device, bytes, flags, static_cast<xrt::memory_group>(bank));
    parts_->bytes = parts_->memory.map<std::byte*>();
    parts_->mapped = flags == xrt::bo::flags::p2p;
  };
  // The memory that the card knew is not ours any more: nothing may be bound while it gets another.
  free_all();
  std::string unmapped;
  if (options.memory != XrtMemory::copied) {
    try {
      make(xrt::bo::flags::p2p);
      if (!card_sees_memory()) unmapped = "the card does not see what is written to it";
    } catch (const std::exception& error) {
      unmapped = said(error);
    }
    if (unmapped.empty()) {
      description_ += ", slot memory mapped";
      return;
    }
    if (options.memory == XrtMemory::mapped) {
      fail(device_, "its memory cannot be mapped (" + unmapped + ")",
           "switch peer-to-peer on (`xbutil configure --p2p enable`, then restart the host), or take --memory copied");
    }
    parts_->memory = {};
  }
  const std::string place = "bank " + std::to_string(bank);
  try {
    make(xrt::bo::flags::normal);
  } catch (const std::exception& error) {
    fail(device_,
         std::to_string(bytes >> 10) + " KiB of slot memory cannot be had in " + place + " (" + said(error) + ")",
         "stop what uses the card's memory, or choose another bank (--bank)");
  }
  if (!card_sees_memory()) {
    fail(device_, "the card does not see what is written to " + place,
         "choose the bank that the kernel is linked to (--bank), or link it to this one");
  }
  description_ += ", slot memory copied" + (unmapped.empty() ? "" : " (it cannot be mapped: " + unmapped + ")");
}

/// Tells the card where slot memory is, and looks through the card's own eyes whether it is there. Leaves the first
/// line, which says whose memory it is, at nobody's.
bool XrtWindow::card_sees_memory() {
  const std::uint64_t base = parts_->memory.address();
  write(regs::kShellMemoryLow, static_cast<std::uint32_t>(base));
  write(regs::kShellMemoryHigh, static_cast<std::uint32_t>(base >> 32));
  write(regs::kShellBank, 0);
  bool seen = true;
  for (const std::uint32_t pattern : {0x5a17c3e1U, 0U}) {
    std::array<std::uint32_t, kLine / sizeof(std::uint32_t)> line{};
    for (std::size_t i = 0; i < line.size(); ++i) line[i] = pattern * static_cast<std::uint32_t>(i + 1);
    write_memory(0, std::as_bytes(std::span(line)));
    settle_memory();
    for (std::size_t i = 0; i < line.size(); ++i) {
      seen = seen && read(at(regs::kWindowMemory + i * sizeof(std::uint32_t))) == line[i];
    }
  }
  return seen;
}

/// Ends whatever an earlier process left bound. A row is written only when none of its lines is under way.
void XrtWindow::free_all() {
  for (std::uint32_t slot = 0; slot < slots_; ++slot) {
    if (read(at(regs::kWindowSlotRows + slot * kLine)) == 0) continue;
    for (std::size_t word = 0; word < kLine; word += sizeof(std::uint32_t)) {
      write(at(regs::kWindowSlotRows + slot * kLine + word), 0);
    }
  }
}

void XrtWindow::write(std::uint32_t offset, std::uint32_t value) {
  const Watchdog::Call call(dog_, "writing a register");
  try {
    parts_->kernel.write_register(offset, value);
  } catch (const std::exception& error) {
    dog_.give_up("a register cannot be written (" + said(error) + ")");
  }
}

std::uint32_t XrtWindow::read(std::uint32_t offset) {
  const Watchdog::Call call(dog_, "reading a register");
  try {
    const std::uint32_t value = parts_->kernel.read_register(offset);
    // A card that fell off the bus reads as ones, everywhere.
    if (value == kGone && parts_->kernel.read_register(regs::kShellMagic) == kGone) {
      dog_.give_up("it is gone from the bus (its registers read as ones)");
    }
    return value;
  } catch (const std::exception& error) {
    dog_.give_up("a register cannot be read (" + said(error) + ")");
  }
}

void XrtWindow::write_network(std::uint32_t offset, std::uint32_t value) {
  const Watchdog::Call call(dog_, "writing a register of the network kernel");
  try {
    parts_->network.write_register(offset, value);
  } catch (const std::exception& error) {
    dog_.give_up("a register of the network kernel cannot be written (" + said(error) + ")");
  }
}

std::uint32_t XrtWindow::read_network(std::uint32_t offset) {
  const Watchdog::Call call(dog_, "reading a register of the network kernel");
  try {
    return parts_->network.read_register(offset);
  } catch (const std::exception& error) {
    dog_.give_up("a register of the network kernel cannot be read (" + said(error) + ")");
  }
}

void XrtWindow::write_memory(std::size_t offset, std::span<const std::byte> data) {
  const Watchdog::Call call(dog_, "writing slot memory");
  // The DMA moves whole lines.
  const std::size_t from = offset / kLine * kLine, to = (offset + data.size() + kLine - 1) / kLine * kLine;
  try {
    if (!parts_->mapped && (from != offset || to != offset + data.size())) {
      parts_->memory.sync(XCL_BO_SYNC_BO_FROM_DEVICE, to - from, from);
    }
    std::memcpy(parts_->bytes + offset, data.data(), data.size());
    if (!parts_->mapped) parts_->memory.sync(XCL_BO_SYNC_BO_TO_DEVICE, to - from, from);
  } catch (const std::exception& error) {
    dog_.give_up("slot memory cannot be written (" + said(error) + ")");
  }
  if (!data.empty()) last_written_ = offset + data.size() - 1;
}

/// Mapped memory is on another port of the card than its registers, and nothing orders a write to the one behind a
/// write to the other. A read of the same port does: it is answered when the writes before it are in memory.
void XrtWindow::settle_memory() {
  if (!parts_->mapped) return;  // the DMA has ended
  const Watchdog::Call call(dog_, "reading slot memory back");
  // What is mapped is write-combined: it must have left the processor before the read does.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  static_cast<void>(*static_cast<const volatile std::byte*>(parts_->bytes + last_written_));
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void XrtWindow::read_memory(std::size_t offset, std::span<std::byte> data) {
  const Watchdog::Call call(dog_, "reading slot memory");
  const std::size_t from = offset / kLine * kLine, to = (offset + data.size() + kLine - 1) / kLine * kLine;
  try {
    if (!parts_->mapped) parts_->memory.sync(XCL_BO_SYNC_BO_FROM_DEVICE, to - from, from);
    std::memcpy(data.data(), parts_->bytes + offset, data.size());
  } catch (const std::exception& error) {
    dog_.give_up("slot memory cannot be read (" + said(error) + ")");
  }
}

}  // namespace slotwire::driver
