#include "sim/xrt/emulation.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace slotwire::sim {
namespace {

constexpr std::size_t kReadBytes = std::size_t{64} << 10;
/// Longest that the library may take to make its socket: it makes it before it starts the device, or just after.
constexpr int kConnectMs = 20'000, kConnectStepMs = 5;
/// Most bytes of one transfer of device memory.
constexpr std::size_t kMaxTransfer = rpc::kMaxMessage / 2;

std::string of_environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') {
    throw std::runtime_error(std::string("the environment variable ") + name +
                             " is not set; this program is started by XRT's emulation (docs/simulation.md)");
  }
  return value;
}

slot::Fd connect_to(const std::string& path) {
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  if (path.size() >= sizeof at.sun_path)
    throw std::runtime_error(path + " is too long for a socket; choose a shorter USER");
  path.copy(at.sun_path, sizeof at.sun_path - 1);
  slot::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  // There is nothing that tells when the library listens.
  for (int waited = 0; fd && waited <= kConnectMs; waited += kConnectStepMs) {
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0) return fd;
    if (errno != ENOENT && errno != ECONNREFUSED && errno != EINTR) break;
    ::poll(nullptr, 0, kConnectStepMs);
  }
  throw std::runtime_error("socket " + path + ": " + std::strerror(errno) + "; XRT's library must listen there");
}

}  // namespace

Emulation::Emulation(XrtShell& shell, const EmulationOptions& options)
    : shell_(shell), network_(options.far_correction, options.bad_frames), options_(options) {
  // Where the library of XRT looks, wherever temporary files are else.
  const std::string directory = "/tmp/" + of_environment("USER") + "/", id = of_environment("EMULATION_SOCKETID");
  calls_ = connect_to(directory + id);
  own_ = connect_to(directory + "D2X_unix_sock_" + id);
}

void Emulation::fail(const std::string& what) {
  if (error_.empty()) error_ = what;
  ended_ = true;
}

bool Emulation::poll() {
  if (ended_) return false;
  std::array<std::byte, kReadBytes> read;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const ssize_t n = ::recv(calls_.get(), read.data(), read.size(), MSG_DONTWAIT);
  if (n > 0) in_.insert(in_.end(), read.begin(), read.begin() + n);
  if (n == 0) fail("XRT's library is gone without closing the device");
  if (n < 0 && errno != EAGAIN && errno != EINTR) fail(std::string("the library's socket: ") + std::strerror(errno));
  bool any = false;
  while (!ended_ && take_call()) any = true;
  return any;
}

bool Emulation::take_call() {
  if (in_.size() < rpc::kRequestHeader) return false;
  const auto header = rpc::read_header(std::span(in_).first<rpc::kRequestHeader>());
  if (!header) {
    fail("XRT's library does not keep to the protocol; is it a release that this device knows");
    return false;
  }
  const std::size_t end = rpc::kRequestHeader + header->length;
  if (in_.size() < end) return false;
  const std::span<const std::byte> all(in_);
  const rpc::Reader message(all.subspan(rpc::kRequestHeader, header->length));
  if (!message.good()) {
    fail("a message of XRT's library is malformed");
    return false;
  }
  const auto call = static_cast<rpc::Call>(header->call);
  if (call == rpc::Call::close && own_) {
    // The thread that listens to the device ends with this.
    const std::vector<std::byte> bye = rpc::request_header(rpc::Call::close);
    static_cast<void>(::send(own_.get(), bye.data(), bye.size(), MSG_NOSIGNAL));
  }
  const std::vector<std::byte> answer = handle(call, message);
  in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(end));
  for (std::size_t sent = 0; sent < answer.size();) {
    const ssize_t n = ::send(calls_.get(), answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      fail(std::string("the library's socket: ") + std::strerror(errno));
      return false;
    }
    sent += static_cast<std::size_t>(n);
  }
  if (call == rpc::Call::close) ended_ = true;
  return !ended_;
}

bool Emulation::in_network(std::uint64_t address) const {
  return address >= options_.network_base && address - options_.network_base < EmulatedNetwork::kBytes;
}

bool Emulation::in_kernels(std::uint64_t address, std::uint64_t bytes) const {
  const auto within = [=](std::uint64_t base, std::uint64_t size) {
    return address >= base && bytes <= size && address - base <= size - bytes;
  };
  return (within(options_.kernel_base, std::uint64_t{1} << regs::kWindowBits) ||
          within(options_.network_base, EmulatedNetwork::kBytes)) &&
         address % sizeof(std::uint32_t) == 0 && bytes % sizeof(std::uint32_t) == 0;
}

void Emulation::write_register(std::uint64_t address, std::uint32_t value) {
  if (in_network(address)) return network_.write(static_cast<std::uint32_t>(address - options_.network_base), value);
  shell_.write(static_cast<std::uint32_t>(address - options_.kernel_base), value);
}

std::uint32_t Emulation::read_register(std::uint64_t address) {
  if (in_network(address)) return network_.read(static_cast<std::uint32_t>(address - options_.network_base));
  const auto offset = static_cast<std::uint32_t>(address - options_.kernel_base);
  if (options_.version && offset == regs::kWindowCapabilities + regs::kCapVersion) return *options_.version;
  return shell_.read(offset).value_or(~std::uint32_t{0});
}

std::vector<std::byte> Emulation::handle(rpc::Call call, const rpc::Reader& m) {
  rpc::Writer out;
  switch (call) {
    case rpc::Call::environment:
    case rpc::Call::allocate:
    case rpc::Call::free:
    case rpc::Call::close:
      return out.number(1, 1).answer();
    case rpc::Call::debug_messages:
      return out.answer();
    case rpc::Call::write_register: {
      const std::uint64_t address = m.number(2);
      const auto data = m.bytes(4);
      const bool good = in_kernels(address, data.size());
      for (std::size_t at = 0; good && at < data.size(); at += sizeof(std::uint32_t)) {
        std::uint32_t value = 0;
        std::memcpy(&value, data.data() + at, sizeof value);
        write_register(address + at, value);
      }
      return out.number(1, good ? 1 : 0).answer();
    }
    case rpc::Call::read_register: {
      const std::uint64_t address = m.number(2), bytes = m.number(3);
      if (!in_kernels(address, bytes) || bytes > kReadBytes) {
        const std::vector<std::byte> ones(std::min<std::uint64_t>(bytes, kReadBytes), std::byte{0xff});
        return out.number(1, 0).bytes(2, ones).answer();
      }
      std::vector<std::byte> data(bytes);
      for (std::size_t at = 0; at < bytes; at += sizeof(std::uint32_t)) {
        const std::uint32_t value = read_register(address + at);
        std::memcpy(data.data() + at, &value, sizeof value);
      }
      return out.number(1, 1).bytes(2, data).answer();
    }
    case rpc::Call::host_to_device:
    case rpc::Call::write_memory: {
      const bool buffer = call == rpc::Call::host_to_device;
      const auto data = m.bytes(4);
      if (!shell_.memory().write(buffer ? m.number(3) + m.number(6) : m.number(2), data)) {
        fail("the library writes more device memory than there is");
      }
      return out.number(1, buffer ? data.size() : 1).answer();
    }
    case rpc::Call::device_to_host:
    case rpc::Call::read_memory: {
      const bool buffer = call == rpc::Call::device_to_host;
      const std::uint64_t bytes = buffer ? m.number(5) : m.number(3);
      if (bytes > kMaxTransfer) {
        fail("the library reads more at once than a message holds");
        return {};
      }
      std::vector<std::byte> data(bytes);
      shell_.memory().read(buffer ? m.number(4) + m.number(6) : m.number(2), data);
      return out.number(1, buffer ? bytes : 1).bytes(2, data).answer();
    }
  }
  fail("XRT's library made call " + std::to_string(static_cast<std::uint32_t>(call)) +
       ", which this device does not know");
  return {};
}

}  // namespace slotwire::sim
