// slotwire capture: the frames of a node's links as a pcapng file.
#include <poll.h>
#include <sys/socket.h>
#include <CLI/CLI.hpp>

#include <unistd.h>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>
#include <optional>
#include <system_error>

#include "core/regs/regs.hpp"
#include "runtime/engine/status/capture_tap.hpp"
#include "tools/pcapng.hpp"
#include "tools/slotwire/control_client.hpp"
#include "tools/slotwire/text.hpp"

namespace slotwire::cli {
namespace {

using std::chrono::microseconds;

/// What waits between slotwired and this process, bytes; more frames are dropped and counted.
constexpr int kSocketBytes = 8 << 20;
/// Made-up addresses: 10.0.0.1 is this node, 10.1.x.y the peer of link x*256+y.
constexpr std::uint32_t kOwnAddress = 0x0a000001;
constexpr std::uint32_t kPeerAddress = 0x0a010000;

struct CaptureOptions {
  Common common;
  std::string file = "-";
  std::string link;
  std::uint64_t count = 0;
  microseconds duration{0};
  std::uint32_t snaplen = engine::kMaxCapturedBytes;
};

struct Ends {
  slot::Fd ours, theirs;
};

Ends make_sockets() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot create a socket");
  }
  for (const int end : ends) {
    // The forced one needs root; without it the kernel's limit (net.core.wmem_max) holds.
    ::setsockopt(end, SOL_SOCKET, SO_SNDBUF, &kSocketBytes, sizeof kSocketBytes);
    ::setsockopt(end, SOL_SOCKET, SO_SNDBUFFORCE, &kSocketBytes, sizeof kSocketBytes);
  }
  return {slot::Fd(ends[0]), slot::Fd(ends[1])};
}

class Capture {
 public:
  explicit Capture(const CaptureOptions& options)
      : options_(options),
        client_(options.common),
        writer_(options.file, "slotwire " SLOTWIRE_VERSION),
        buffer_(sizeof(engine::CaptureHeader) + engine::kMaxCapturedBytes) {
    // Descriptors are not taken from a connection that was not accepted yet.
    client_.ask(control::SlotsRequest{.from = 0, .max = 1});
    Ends ends = make_sockets();
    const Json answer =
        client_.ask(control::CaptureRequest{.link = options.link, .snaplen = options.snaplen}, {ends.theirs.get()});
    socket_ = std::move(ends.ours);
    for (const Json& link : answer.at("links"))
      names_[link.at("link").get<std::uint16_t>()] = link.at("peer").get<std::string>();
  }

  int run() {
    // While frames go to standard output people read standard error.
    people_ = options_.file == "-" ? stderr : stdout;
    const bool progress = ::isatty(STDERR_FILENO) == 1 && !options_.common.json;
    const auto start = std::chrono::steady_clock::now();
    auto said = start;
    bool gone = false;
    while (!stop_.stopped() && !gone && (options_.count == 0 || frames_ < options_.count)) {
      const auto now = std::chrono::steady_clock::now();
      if (options_.duration.count() != 0 && now - start >= options_.duration) break;
      if (progress && now - said >= std::chrono::seconds(1)) {
        said = now;
        std::fprintf(stderr, "\r%llu frames, %llu dropped ", static_cast<unsigned long long>(frames_),
                     static_cast<unsigned long long>(dropped_));
      }
      microseconds wait(500'000);
      if (options_.duration.count() != 0) {
        wait = std::min(wait, std::chrono::ceil<microseconds>(start + options_.duration - now));
      }
      gone = !take(wait);
    }
    finish();
    if (progress && said != start) std::fprintf(stderr, "\n");
    if (gone) throw CommandError(kExitEngineGone, "slotwired went away; the file holds what was captured before");
    return kExitOk;
  }

 private:
  /// Waits for frames and writes those that are there. False: slotwired has gone.
  bool take(microseconds wait) {
    std::array<pollfd, 2> fds{{{socket_.get(), POLLIN, 0}, {stop_.fd(), POLLIN, 0}}};
    if (::poll(fds.data(), fds.size(), static_cast<int>(to_ms(wait))) <= 0 || fds[0].revents == 0) return true;
    while (options_.count == 0 || frames_ < options_.count) {
      const ssize_t n = ::recv(socket_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
      if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return false;
      if (n < 0) break;
      write(std::span(buffer_).first(static_cast<std::size_t>(n)));
    }
    check_write(writer_.flush());
    return true;
  }

  void write(std::span<const std::byte> packet) {
    engine::CaptureHeader header;
    if (packet.size() < sizeof header) return;
    std::memcpy(&header, packet.data(), sizeof header);
    const std::span<const std::byte> frame = packet.subspan(sizeof header);
    if (header.captured != frame.size()) return;
    const CapturedLink& link = link_of(header.link);
    const bool out = header.outgoing != 0;
    const tools::CaptureAddress own{kOwnAddress, regs::kUdpPort};
    if (tools::wrap_frame(out ? own : link.address, out ? link.address : own, frame, {}, packet_)) {
      check_write(writer_.write(link.interface, header.time_ns,
                                out ? tools::Direction::outbound : tools::Direction::inbound, packet_));
      ++frames_;
    }
    dropped_ = header.dropped;
  }

  struct CapturedLink {
    std::uint32_t interface = 0;
    tools::CaptureAddress address;
  };
  const CapturedLink& link_of(std::uint16_t number) {
    const auto known = links_.find(number);
    if (known != links_.end()) return known->second;
    const auto name = names_.find(number);
    const std::uint32_t interface =
        writer_.add_interface(name == names_.end() ? "link-" + std::to_string(number) : name->second);
    return links_[number] = {interface, {kPeerAddress + number, regs::kUdpPort}};
  }

  void check_write(const std::error_code& error) const {
    if (error) throw CommandError(kExitFailed, "cannot write to " + options_.file + ": " + error.message());
  }

  void finish() {
    check_write(writer_.flush());
    if (options_.common.json) {
      std::fprintf(people_, "%s\n",
                   Json{{"file", options_.file}, {"frames", frames_}, {"dropped", dropped_}}.dump().c_str());
    } else {
      std::fprintf(people_, "%s%llu frames captured, %llu dropped%s\n",
                   people_ == stderr && ::isatty(STDERR_FILENO) == 1 ? "\r" : "",
                   static_cast<unsigned long long>(frames_), static_cast<unsigned long long>(dropped_),
                   dropped_ == 0 ? "" : " (they came faster than they were written; --snaplen 86 keeps headers only)");
    }
  }

  const CaptureOptions& options_;
  StopSignal stop_;
  ControlClient client_;
  tools::PcapngWriter writer_;
  std::vector<std::byte> buffer_, packet_;
  slot::Fd socket_;
  std::map<std::uint16_t, std::string> names_;
  std::map<std::uint16_t, CapturedLink> links_;
  std::FILE* people_ = stdout;
  std::uint64_t frames_ = 0;
  std::uint64_t dropped_ = 0;
};

int run_capture(const CaptureOptions& options) {
  if (options.file == "-" && ::isatty(STDOUT_FILENO) == 1) {
    throw CommandError(kExitUsage,
                       "a capture is not text: name a file by -w, or pipe it into 'tshark -r -' or Wireshark");
  }
  ::signal(SIGPIPE, SIG_IGN);
  return Capture(options).run();
}

}  // namespace

void add_capture(CLI::App& app, Command& command) {
  auto options = std::make_shared<CaptureOptions>();
  CLI::App* sub = app.add_subcommand("capture", "Write the frames of this node's links to a pcapng file");
  sub->add_option("-w,--write", options->file, "the file; - is standard output (the default)")->type_name("FILE");
  sub->add_option("-l,--link", options->link, "only the link to this node")->type_name("PEER");
  sub->add_option("-c,--count", options->count, "end after so many frames");
  add_duration(*sub, "-d,--duration", options->duration, microseconds(1000), microseconds(86'400'000'000),
               "end after this time");
  sub->add_option("-s,--snaplen", options->snaplen, "bytes kept of each frame")
      ->capture_default_str()
      ->check(CLI::Range(std::uint32_t{22}, std::uint32_t{engine::kMaxCapturedBytes}));
  add_common(*sub, options->common, "print {\"file\", \"frames\", \"dropped\"} at the end");
  sub->footer(
      R"(One interface for each link, named as the peer; the node's own name is the interface of slots that are copied
within the node. The packets around the frames are made up: 10.0.0.1 is this node, 10.1.x.y the peers, UDP port 7401,
whatever carrier the frames take and whether it encrypts them. Slots that share a ring send no frames. Frames
that come faster than they are written are dropped and counted; the links are not slowed down. One capture at a time,
by root or slotwired's own user. The dissector for Wireshark and tshark is slotwire.lua.

Examples: slotwire capture -w trace.pcapng -d 10s
          slotwire capture | tshark -X lua_script:slotwire.lua -r -)");
  sub->callback([options, &command] { command = [options] { return run_capture(*options); }; });
}

}  // namespace slotwire::cli
