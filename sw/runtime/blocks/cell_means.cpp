#include "runtime/blocks/cell_means.hpp"

#include <fcntl.h>
#include <poll.h>

#include <cerrno>
#include <utility>

namespace slotwire::blocks {
namespace {

/// How long slotwired may take to make a list.
constexpr std::chrono::milliseconds kAnswerTime{5000};
/// After which it is asked again: it may have been killed when it had read the request.
constexpr std::chrono::milliseconds kAskAgain{1000};

}  // namespace

CellMeans::CellMeans(std::string region, slot::Fd channel)
    : region_(std::move(region)), channel_(std::move(channel), kCellSocketText, kMaxCellQueue) {}

void CellMeans::check() const {
  if (!ended_) return;
  throw std::runtime_error("region '" + region_ +
                           "' is gone: its slotwired has stopped, or has shut this process out; open the region again");
}

MadeList CellMeans::make_list(std::size_t bytes) {
  made_.reset();
  check();
  expects_ = true;
  channel_.send(encode({.word = CellWord::make, .bytes = bytes}));
  const auto begin = std::chrono::steady_clock::now();
  auto again = begin + kAskAgain;
  while (drain() && !made_) {
    const auto now = std::chrono::steady_clock::now();
    if (now >= again) {
      channel_.send(encode({.word = CellWord::make, .bytes = bytes}));
      again = now + kAskAgain;
    }
    if (now - begin >= kAnswerTime) {
      expects_ = false;
      throw std::runtime_error("slotwired did not make memory for region '" + region_ + "' in " +
                               std::to_string(kAnswerTime.count()) +
                               " ms: it is overloaded or stuck (look at its log)");
    }
    pollfd ready{channel_.fd(), POLLIN, 0};
    ::poll(&ready, 1, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(again - now).count()));
  }
  check();
  Made made = *std::exchange(made_, std::nullopt);
  if (!made.file) throw std::runtime_error("region '" + region_ + "': " + made.refusal);
  if (const std::string wrong = slot::check_sealed_file(made.file.get(), bytes); !wrong.empty())
    throw std::runtime_error("slotwired made other memory than was asked for: " + wrong);
  slot::Mapping mapping = slot::map_file(made.file.get(), bytes, slot::Access::read_write);
  return {std::move(made.file), std::move(mapping), made.number};
}

void CellMeans::drop_list(std::uint32_t number) {
  if (!ended_) channel_.send(encode({.word = CellWord::dropped, .number = number}));
}

slot::Fd CellMeans::open_list(const Member& /*member*/, std::uint32_t number) {
  drain();
  const auto found = lists_.find(number);
  if (found == lists_.end()) return slot::Fd();
  return slot::Fd(::fcntl(found->second.get(), F_DUPFD_CLOEXEC, 0));
}

void CellMeans::changed() {
  // A queue that is full has what makes slotwired look.
  if (!ended_) channel_.send(encode({.word = CellWord::changed}));
}

bool CellMeans::drain() {
  using Got = control::PacketSocket::Got;
  while (!ended_) {
    if (channel_.waiting()) channel_.flush();
    control::Packet packet;
    const Got got = channel_.receive(packet);
    if (got == Got::nothing) return true;
    if (got != Got::packet) {
      ended_ = true;
      break;
    }
    std::optional<CellMessage> message = decode_cell_message(packet.text);
    if (!message) continue;
    const bool carries = packet.fds.size() == 1;
    if (message->word == CellWord::made && carries) {
      if (std::exchange(expects_, false)) {
        made_ = {message->number, std::move(packet.fds[0]), {}};
      } else {
        drop_list(message->number);  // it was asked twice
      }
    }
    if (message->word == CellWord::refused && std::exchange(expects_, false))
      made_ = {0, slot::Fd(), std::move(message->text)};
    if (message->word == CellWord::list && carries) lists_[message->number] = std::move(packet.fds[0]);
    if (message->word == CellWord::dropped) lists_.erase(message->number);
  }
  return false;
}

}  // namespace slotwire::blocks
