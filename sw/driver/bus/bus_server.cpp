#include "driver/bus/bus_server.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "core/slot/open_files.hpp"
#include "driver/bus/socket_bus_protocol.hpp"

namespace slotwire::driver {
namespace {

namespace bus = socket_bus;

constexpr std::size_t kLine = regs::kLineBytes, kWord = 4;
constexpr std::size_t kAddressEnd = std::size_t{1} << regs::kCardAddressBits;

}  // namespace

BusServer::BusServer(std::string path, AccessPort& card) : path_(std::move(path)), card_(card) {
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  if (path_.empty() || path_.size() >= sizeof at.sun_path) {
    throw std::runtime_error("bus socket " + path_ + ": give a path of 1 to " + std::to_string(sizeof at.sun_path - 1) +
                             " bytes");
  }
  path_.copy(at.sun_path, sizeof at.sun_path - 1);
  listener_ = slot::Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  slot::accept_descriptors(listener_.get(), false);  // no request has any
  struct stat old {};
  if (::lstat(path_.c_str(), &old) == 0 && S_ISSOCK(old.st_mode)) ::unlink(path_.c_str());
  if (!listener_ || ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0 ||
      ::listen(listener_.get(), 1) != 0) {
    throw std::runtime_error("bus socket " + path_ + ": " + std::strerror(errno) +
                             "; choose a path that is free, in a directory that can be written to");
  }
}

BusServer::~BusServer() {
  ::unlink(path_.c_str());
}

void BusServer::drop(const char* why) {
  std::fprintf(stderr, "card: the driver is gone (%s)\n", why);
  driver_ = {};
  in_.clear();
  out_.clear();
  taken_ = lines_done_ = 0;
  started_ = false;
  vectors_ = 0;
  // What the card still answers is for nobody.
  for (const Read& read : reads_) stale_answers_ += read.asked - read.answered;
  reads_.clear();
}

bool BusServer::receive() {
  if (!driver_) {
    driver_ = slot::Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!driver_) return false;
    return true;
  }
  if (in_.size() - taken_ >= kKeptBytes || out_.size() >= kKeptBytes) return false;
  if (taken_ != 0) {
    in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(taken_));
    taken_ = 0;
  }
  const std::size_t had = in_.size();
  in_.resize(had + (std::size_t{64} << 10));
  const ssize_t n = ::recv(driver_.get(), in_.data() + had, in_.size() - had, 0);
  in_.resize(had + (n > 0 ? static_cast<std::size_t>(n) : 0));
  if (n == 0) drop("it closed its connection");
  if (n < 0 && errno != EAGAIN && errno != EINTR) drop(std::strerror(errno));
  return n > 0;
}

/// Hands the access at the front of what came to the card, a line at a time. False: it is not whole, or the card has no
/// room.
bool BusServer::take_access() {
  bus::Message message{};
  if (in_.size() - taken_ < sizeof message) return false;
  std::memcpy(&message, in_.data() + taken_, sizeof message);
  const std::size_t length = message.length;
  const bool write = message.op == static_cast<std::uint32_t>(bus::Op::write);
  const bool read = message.op == static_cast<std::uint32_t>(bus::Op::read);
  if ((!write && !read) || length == 0 || length > bus::kMaxAccess || length % 4 != 0 || message.address % 4 != 0 ||
      message.address >= kAddressEnd || message.address + length > kAddressEnd) {
    drop("it does not keep to the protocol");
    return false;
  }
  if (write && in_.size() - taken_ < sizeof message + length) return false;
  if (read && out_.size() >= kKeptBytes) return false;
  const std::size_t first = message.address / kLine, last = (message.address + length - 1) / kLine;
  if (read && !started_) reads_.push_back({last - first + 1, 0, 0, message.address % kLine, length, false, {}});
  started_ = read;
  bool moved = false;
  while (first + lines_done_ <= last) {
    const std::size_t line = first + lines_done_;
    const auto at = static_cast<std::uint32_t>(line * kLine);
    if (read) {
      const std::size_t from = std::max<std::size_t>(at, message.address) - at;
      const std::size_t to = std::min<std::size_t>(at + kLine, message.address + length) - at;
      const std::uint32_t ones = (std::uint32_t{1} << (to - from) / kWord) - 1;
      if (!card_.read_words(at, static_cast<std::uint16_t>(ones << from / kWord))) return moved;
      ++reads_.back().asked;
    } else {
      const std::size_t from = std::max<std::size_t>(line * kLine, message.address);
      const std::size_t to = std::min<std::size_t>((line + 1) * kLine, message.address + length);
      AccessPort::Bytes data{};
      std::memcpy(data.data() + from % kLine, in_.data() + taken_ + sizeof message + (from - message.address),
                  to - from);
      const std::uint64_t ones = to - from == kLine ? ~std::uint64_t{0} : (std::uint64_t{1} << (to - from)) - 1;
      if (!card_.write(at, data, ones << (from % kLine))) return moved;
    }
    ++lines_done_;
    moved = true;
  }
  lines_done_ = 0;
  started_ = false;
  taken_ += sizeof message + (write ? length : 0);
  return true;
}

bool BusServer::take_answers() {
  bool any = false;
  while (card_.answered()) {
    const AccessPort::Reply answer = card_.take_answer();
    any = true;
    if (stale_answers_ != 0) {
      --stale_answers_;
      continue;
    }
    if (reads_.empty()) continue;
    Read& read = reads_.front();
    read.data.insert(read.data.end(), answer.data.begin(), answer.data.end());
    read.error = read.error || answer.error;
    if (++read.answered != read.lines) continue;
    const bus::Message message{static_cast<std::uint32_t>(bus::Op::data), read.error ? 1U : 0U,
                               static_cast<std::uint32_t>(read.bytes)};
    const auto header = std::as_bytes(std::span(&message, 1));
    out_.insert(out_.end(), header.begin(), header.end());
    const auto begin = read.data.begin() + static_cast<std::ptrdiff_t>(read.offset);
    out_.insert(out_.end(), begin, begin + static_cast<std::ptrdiff_t>(read.bytes));
    reads_.pop_front();
  }
  return any;
}

void BusServer::interrupt(std::uint32_t vectors) {
  if (!driver_) return;
  // A driver that takes nothing is told of all of them at once.
  vectors_ |= vectors;
  if (vectors_ == 0 || out_.size() >= kKeptBytes) return;
  const bus::Message message{static_cast<std::uint32_t>(bus::Op::interrupt), std::exchange(vectors_, 0U), 0};
  const auto bytes = std::as_bytes(std::span(&message, 1));
  out_.insert(out_.end(), bytes.begin(), bytes.end());
}

bool BusServer::flush() {
  if (!driver_ || out_.empty()) return false;
  const ssize_t n = ::send(driver_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN && errno != EINTR) drop(std::strerror(errno));
  if (n > 0) out_.erase(out_.begin(), out_.begin() + n);
  return n > 0;
}

bool BusServer::poll() {
  bool any = receive();
  while (driver_ && take_access()) any = true;
  any |= take_answers();
  any |= flush();
  return any;
}

}  // namespace slotwire::driver
