// A hostile process of a fuzzed node: valid requests with hostile values, descriptors that nobody asked for, a control
// socket that is half closed or not read, and random values in all memory that it was given.
#pragma once
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/slot/bell.hpp"
#include "core/slot/memory.hpp"
#include "core/slot/waiter.hpp"
#include "fuzzed_node.hpp"
#include "input.hpp"
#include "runtime/blocks/cell_channel.hpp"
#include "runtime/blocks/region.hpp"
#include "runtime/control/codec.hpp"

namespace slotwire::fuzz {

/// A number that is often one that matters.
template <std::unsigned_integral T>
T hostile_number(Input& input) {
  constexpr T kMost = static_cast<T>(~T{0});
  switch (input.below(4)) {
    case 0:
      return input.number<T>();
    case 1:
      return static_cast<T>(kMost - static_cast<T>(input.below(3)));
    default:
      return static_cast<T>(input.below(18));
  }
}

inline std::string service_name(Input& input) {
  static constexpr std::array<const char*, 4> kNames = {"x", "y", "far", "x"};
  const std::size_t choice = input.below(5);
  return choice < kNames.size() ? kNames[choice] : std::string(input.text(300));
}

class HostileProcess {
 public:
  HostileProcess(FuzzedNode& node, pid_t pid, uid_t uid) : node_(node), pid_(pid), uid_(uid) {
    node_.processes().born(pid_);
  }

  bool connected() const { return static_cast<bool>(socket_); }
  void connect() {
    slots_.clear();
    bells_.reset();
    socket_ = node_.connect(pid_, uid_);
  }
  /// The process ends, or a child of it keeps its socket open.
  void die(bool socket_stays) {
    if (!socket_stays) socket_.reset();
    node_.processes().died(pid_);
    dead_ = true;
  }
  bool dead() const { return dead_; }
  void hang_up() {
    socket_.reset();
    cells_.clear();
  }

  void act(Input& input) {
    if (!socket_) return connect();
    switch (input.below(12)) {
      case 0:
        return send(std::string(input.text(9000)), input);
      case 1:
        ::shutdown(socket_.get(), static_cast<int>(input.below(3)));
        return;
      case 2:
        return hang_up();
      case 3:
        reads_ = !reads_;
        return;
      case 4:
      case 5:
        return scribble(input);
      default:
        return send(request(input), input);
    }
  }
  /// A request without anything hostile in it.
  void ask(const control::Request& what) {
    const std::string text = control::encode_request(++id_, what);
    if (socket_) ::send(socket_.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  /// Reads what it was told, and keeps what it may write to.
  void listen() {
    if (!reads_ || !socket_) return;
    control::Packet packet;
    while (receive(packet)) {
      const core::Result<control::FromEngine> read = control::decode_from_engine(packet.text);
      require(read.ok());  // whatever the node says, its process can read
      if (const auto* answer = std::get_if<control::Answer>(&read.value())) take(*answer, packet.fds);
      if (const auto* event = std::get_if<control::Event>(&read.value())) {
        if (const auto* accepted = std::get_if<control::Accepted>(event)) take_slot(accepted->slot, packet.fds);
      }
    }
  }

 private:
  static constexpr std::size_t kMaxHeld = 8;
  /// What it has of a region: a directory, and a channel if it is that of a cell.
  struct HeldCell {
    slot::Mapping directory;
    slot::Fd channel;
  };

  bool receive(control::Packet& packet) {
    packet = {};
    static std::vector<char> buffer(std::size_t{1} << 20U);
    iovec part{buffer.data(), buffer.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * control::kMaxPacketFds)> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t n = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n <= 0) return false;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
      for (std::size_t i = 0; i < (header->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(header) + (i * sizeof(int)), sizeof fd);
        packet.fds.emplace_back(fd);
      }
    }
    packet.text.assign(buffer.data(), static_cast<std::size_t>(n));
    return true;
  }

  void take(const control::Answer& answer, std::vector<slot::Fd>& fds) {
    if (answer.refusal) return;
    if (const auto hello = control::decode_answer<control::HelloAnswer>(answer); hello.ok() && fds.size() == 3) {
      session_ = hello.value().session;
      token_ = hello.value().token;
      bells_ = slot::map_file(fds[0].get(), regs::kPageBytes, slot::Access::read_write);
      kick_ = std::move(fds[2]);
      return;
    }
    if (const auto slot = control::decode_answer<control::SlotInfo>(answer); slot.ok()) take_slot(slot.value(), fds);
    const auto region = control::decode_answer<control::RegionAnswer>(answer);
    if (region.ok() && !fds.empty()) {
      if (cells_.size() >= kMaxHeld) cells_.erase(cells_.begin());
      cells_.push_back({slot::map_file(fds[0].get(), blocks::region_bytes(), slot::Access::read_write),
                        fds.size() > 1 ? std::move(fds[1]) : slot::Fd()});
    }
  }
  void take_slot(const control::SlotInfo& slot, std::vector<slot::Fd>& fds) {
    require(fds.size() == (slot.direct ? 4U : 3U));
    if (slots_.size() >= kMaxHeld) slots_.erase(slots_.begin());
    slots_.emplace_back(fds[0].get(), slot.in_order, slot::Access::read_write);
    local_ = slot.local;
  }

  /// Entries with hostile values in a region's directory, anything anywhere in it, and words on a cell's channel.
  void scribble(const HeldCell& cell, Input& input) {
    auto& memory = *reinterpret_cast<blocks::RegionMemory*>(cell.directory.data());
    const auto hostile = [&] { return hostile_number<std::uint32_t>(input); };
    switch (input.below(6)) {
      case 0: {
        blocks::Member& member = memory.members.at(input.below(blocks::kMaxMembers));
        member.pid = input.below(2) == 0 ? static_cast<std::uint32_t>(pid_) : hostile();
        member.start_time = input.below(2) == 0 ? static_cast<std::uint64_t>(pid_) : hostile();
        member.state.store(hostile());
        break;
      }
      case 1: {
        blocks::Publication& publication = memory.publications.at(input.below(blocks::kMaxPublications));
        publication.member = hostile();
        publication.list_fd = hostile();
        publication.list_bytes = input.below(2) == 0 ? 8192 : hostile_number<std::uint64_t>(input);
        publication.serial = hostile();
        publication.topic[0] = static_cast<char>('a' + input.below(3));
        publication.state.store(hostile());
        break;
      }
      case 2: {
        blocks::Subscription& subscription = memory.subscriptions.at(input.below(blocks::kMaxSubscriptions));
        subscription.member = hostile();
        subscription.overflow = hostile();
        subscription.history = hostile();
        subscription.topic[0] = static_cast<char>('a' + input.below(3));
        subscription.state.store(hostile());
        break;
      }
      case 3: {
        blocks::CursorEntry& cursor = memory.cursors.at(input.below(8));
        cursor.subscription = hostile();
        cursor.member = hostile();
        cursor.publication = hostile();
        cursor.publication_serial = hostile();
        cursor.cursor.released.store(hostile_number<std::uint64_t>(input));
        cursor.cursor.overflow.store(hostile());
        cursor.state.store(hostile());
        break;
      }
      case 4: {
        const auto anything = input.number<std::uint64_t>();
        std::memcpy(cell.directory.data() + (input.below(cell.directory.size() / 8) * 8), &anything, sizeof anything);
        break;
      }
      default:
        break;
    }
    memory.generation.fetch_add(1);
    if (!cell.channel) return;
    const std::string packet =
        blocks::encode({.word = static_cast<blocks::CellWord>(input.below(8)),
                        .number = hostile(),
                        .bytes = input.below(2) == 0 ? 8192 : hostile_number<std::uint64_t>(input)});
    ::send(cell.channel.get(), packet.data(), input.below(8) == 0 ? input.below(packet.size()) + 1 : packet.size(),
           MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  void scribble(Input& input) {
    if (!cells_.empty() && input.below(2) == 0) return scribble(cells_[input.below(cells_.size())], input);
    if (bells_ && input.below(2) == 0) {
      auto& page = *reinterpret_cast<slot::BellPage*>(bells_.data());
      page.words[input.below(regs::kBellWordCount)].store(input.number<std::uint64_t>());
      page.summary.store(input.number<std::uint64_t>());
    }
    if (!slots_.empty()) {
      slot::MarkPage& marks = slots_[input.below(slots_.size())].marks();
      switch (input.below(4)) {
        case 0:
          marks.tail.store(hostile_number<std::uint32_t>(input));
          break;
        case 1:
          marks.head.store(hostile_number<std::uint32_t>(input));
          break;
        default:
          marks.tail.fetch_add(static_cast<std::uint32_t>(input.below(70)));
      }
      if (bells_) {
        auto& page = *reinterpret_cast<slot::BellPage*>(bells_.data());
        page.words[0].store(~std::uint64_t{0});
        page.summary.store(1);
      }
    }
    if (kick_) slot::signal_event(kick_.get());
  }

  std::string request(Input& input) {
    control::Request what = control::StatusRequest{};
    switch (input.below(20)) {
      case 0:
      case 1:
        what = control::Hello{.version = input.below(8) == 0 ? std::int64_t{input.byte()} : control::kProcessVersion,
                              .name = std::string(input.text(80))};
        break;
      case 2: {
        control::Resume resume;
        resume.session = input.below(4) == 0 ? hostile_number<std::uint64_t>(input) : session_;
        resume.token = input.below(4) == 0 ? std::string(input.text(40)) : token_;
        for (std::size_t i = input.below(8); i > 0; --i) resume.slots.push_back(hostile_number<std::uint32_t>(input));
        what = resume;
        break;
      }
      case 3:
      case 4:
        what = control::Serve{service_name(input), hostile_number<std::uint32_t>(input)};
        break;
      case 5:
        what = control::Unserve{service_name(input)};
        break;
      case 6:
      case 7:
      case 8:
      case 9: {
        const auto bytes = [&] {
          return input.below(3) == 0 ? hostile_number<std::uint64_t>(input) : std::uint64_t{4096};
        };
        what = control::Connect{.service = service_name(input),
                                .in_bytes = bytes(),
                                .out_bytes = bytes(),
                                .timeout_ms = static_cast<std::int64_t>(hostile_number<std::uint64_t>(input))};
        break;
      }
      case 10:
        what = control::Close{input.below(3) == 0 ? hostile_number<std::uint32_t>(input) : local_};
        break;
      case 11:
        what = control::Bye{};
        break;
      case 12:
        what = control::SlotsRequest{hostile_number<std::uint64_t>(input), hostile_number<std::uint64_t>(input)};
        break;
      case 13:
        what = control::SessionsRequest{hostile_number<std::uint64_t>(input), hostile_number<std::uint64_t>(input)};
        break;
      case 14:
        what = control::CaptureRequest{input.below(2) == 0 ? "" : "b", hostile_number<std::uint32_t>(input)};
        break;
      case 15:
        what = control::FiguresRequest{hostile_number<std::uint64_t>(input), hostile_number<std::uint64_t>(input)};
        break;
      case 16: {
        control::Report report;
        for (std::uint64_t left = input.below(20); left != 0; --left) {
          control::Figures& one = report.figures.emplace_back();
          one.service = service_name(input);
          one.role = input.below(3) == 0 ? "clients" : "client";
          one.requests = hostile_number<std::uint64_t>(input);
          one.buckets.assign(input.below(4) == 0 ? 17 : 18, 7);
        }
        what = report;
        break;
      }
      case 17:
      case 18:
        what = control::RegionRequest{.region = input.below(4) == 0 ? std::string(input.text(40)) : service_name(input),
                                      .pid_namespace = input.below(4) == 0 ? 1 : blocks::own_pid_namespace(),
                                      .make = input.below(2) == 0,
                                      .bytes = input.below(3) == 0 ? hostile_number<std::uint64_t>(input) : 0};
        break;
      default:
        if (input.below(2) == 0) {
          what = control::Cut{input.below(2) == 0 ? "b" : "z"};
        } else if (input.below(4) == 0) {
          what =
              control::InspectionsRequest{hostile_number<std::uint64_t>(input), hostile_number<std::uint64_t>(input)};
        } else {
          control::Inspected found{.service = service_name(input),
                                   .language = input.below(4) == 0 ? "x" : "http",
                                   .labels = {},
                                   .invalid = hostile_number<std::uint64_t>(input)};
          for (std::uint64_t left = input.below(70); left != 0; --left)
            found.labels.push_back({std::string(input.text(30)), hostile_number<std::uint64_t>(input)});
          what = found;
        }
    }
    const std::uint64_t id = input.below(8) == 0 ? hostile_number<std::uint64_t>(input) : ++id_;
    return control::encode_request(id, what);
  }

  /// A descriptor of some kind.
  static slot::Fd descriptor(Input& input) {
    switch (input.below(4)) {
      case 0:
        return slot::Fd(::memfd_create("fuzzed", MFD_CLOEXEC));
      case 1:
        return slot::create_event();
      case 2: {
        std::array<int, 2> fds{};
        require(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds.data()) == 0);
        const slot::Fd other(fds[1]);
        return slot::Fd(fds[0]);
      }
      default:
        return slot::Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    }
  }

  void send(const std::string& text, Input& input) {
    std::vector<slot::Fd> fds;
    if (input.below(6) == 0) {
      for (std::size_t i = 1 + input.below(3); i > 0; --i) fds.push_back(descriptor(input));
    }
    iovec part{const_cast<char*>(text.data()), text.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * control::kMaxPacketFds)> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
      message.msg_control = control.data();
      message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
      cmsghdr* const header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
      for (std::size_t i = 0; i < fds.size(); ++i) {
        const int fd = fds[i].get();
        std::memcpy(CMSG_DATA(header) + (i * sizeof(int)), &fd, sizeof fd);
      }
    }
    ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  FuzzedNode& node_;
  pid_t pid_;
  uid_t uid_;
  slot::Fd socket_;
  bool reads_ = true, dead_ = false;
  std::uint64_t id_ = 0, session_ = 0;
  std::string token_;
  std::uint32_t local_ = 0;
  slot::Mapping bells_;
  slot::Fd kick_;
  std::vector<slot::Space> slots_;
  std::vector<HeldCell> cells_;
};

}  // namespace slotwire::fuzz
