// slotwire capture: the frames of a node's links as a pcapng file, or the messages in them as lines.
#include <poll.h>
#include <sys/socket.h>
#include <CLI/CLI.hpp>

#include <unistd.h>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <map>
#include <optional>
#include <system_error>

#include "core/regs/regs.hpp"
#include "runtime/control/printable.hpp"
#include "runtime/engine/status/capture_tap.hpp"
#include "tools/pcapng.hpp"
#include "tools/slotwire/capture_decoder.hpp"
#include "tools/slotwire/control_client.hpp"
#include "tools/slotwire/count_option.hpp"
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
  std::string file;
  std::string link;
  std::string decode;  ///< a language, "auto", or empty: nothing is decoded
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
        file_(options.file.empty() && options.decode.empty() ? "-" : options.file),
        client_(options.common),
        buffer_(sizeof(engine::CaptureHeader) + engine::kMaxCapturedBytes) {
    if (!options.decode.empty()) {
      decoder_.emplace(
          inspect::language_of(options.decode), [this](std::uint16_t slot) { return facts_of(slot); },
          [this](const DecodedMessage& message) { show(message); });
    }
    // Descriptors are not taken from a connection that was not accepted yet.
    client_.ask(control::SlotsRequest{.from = 0, .max = 1});
    Ends ends = make_sockets();
    const Json answer =
        client_.ask(control::CaptureRequest{.link = options.link, .snaplen = options.snaplen}, {ends.theirs.get()});
    socket_ = std::move(ends.ours);
    // Only now: what there is no link or no right for leaves no file, and spoils none that is there.
    if (!file_.empty()) writer_.emplace(file_, "slotwire " SLOTWIRE_VERSION);
    for (const Json& link : answer.at("links")) {
      names_[link.at("link").get<std::uint16_t>()] = link.at("peer").get<std::string>();
      within_node_ = link.at("link").get<std::uint16_t>();  // the last one is that of slots that are copied here
    }
  }

  int run() {
    // While frames go to standard output people read standard error.
    people_ = file_ == "-" ? stderr : stdout;
    const bool progress = ::isatty(STDERR_FILENO) == 1 && !options_.common.json && !decoder_;
    const auto start = std::chrono::steady_clock::now();
    auto said = start;
    bool gone = false;
    while (!stop_.stopped() && !gone && !is_enough()) {
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
  /// As many as were asked for.
  bool is_enough() const { return options_.count != 0 && (decoder_ ? messages_ : frames_) >= options_.count; }

  /// Waits for frames and writes those that are there. False: slotwired has gone.
  bool take(microseconds wait) {
    std::array<pollfd, 2> fds{{{socket_.get(), POLLIN, 0}, {stop_.fd(), POLLIN, 0}}};
    if (::poll(fds.data(), fds.size(), static_cast<int>(to_ms(wait))) <= 0 || fds[0].revents == 0) return true;
    while (!is_enough()) {
      const ssize_t n = ::recv(socket_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
      if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return false;
      if (n < 0) break;
      write(std::span(buffer_).first(static_cast<std::size_t>(n)));
    }
    flush();
    return true;
  }

  void flush() {
    if (writer_) check_write(writer_->flush());
    if (people_ == stdout) {
      flush_output();
    } else {
      std::fflush(people_);
    }
  }

  void write(std::span<const std::byte> packet) {
    engine::CaptureHeader header;
    if (packet.size() < sizeof header) return;
    std::memcpy(&header, packet.data(), sizeof header);
    const std::span<const std::byte> frame = packet.subspan(sizeof header);
    if (header.captured != frame.size()) return;
    dropped_ = header.dropped;
    if (decoder_) {
      decoder_->frame({.time_ns = header.time_ns,
                       .dropped = header.dropped,
                       .link = header.link,
                       .outgoing = header.outgoing != 0,
                       .within_node = header.link == within_node_,
                       .bytes = frame,
                       .whole = header.captured == header.length});
    }
    if (writer_) {
      write_file(header, frame);
    } else {
      ++frames_;
    }
  }

  void write_file(const engine::CaptureHeader& header, std::span<const std::byte> frame) {
    const CapturedLink& link = link_of(header.link);
    const bool out = header.outgoing != 0;
    const tools::CaptureAddress own{kOwnAddress, regs::kUdpPort};
    if (tools::wrap_frame(out ? own : link.address, out ? link.address : own, frame, {}, packet_)) {
      check_write(writer_->write(link.interface, header.time_ns,
                                 out ? tools::Direction::outbound : tools::Direction::inbound, packet_));
      ++frames_;
    }
  }

  /// What slotwired knows of a slot.
  SlotFacts facts_of(std::uint16_t slot) {
    const Json answer = client_.ask(control::SlotsRequest{.from = slot, .max = 1});
    for (const Json& row : answer.at("slots")) {
      if (row.at("slot").get<std::uint16_t>() == slot)
        return {row.at("service").get<std::string>(), row.at("acceptor").get<bool>()};
    }
    return {};
  }

  void show(const DecodedMessage& message) {
    if (is_enough()) return;
    ++messages_;
    const auto name = names_.find(message.link);
    const std::string link = name == names_.end() ? "link-" + std::to_string(message.link) : name->second;
    constexpr std::uint64_t kSecond = 1'000'000'000;
    if (options_.common.json) {
      std::fprintf(people_, "%s\n",
                   Json{{"time_ns", message.time_ns},
                        {"link", link},
                        {"service", control::printable(message.service)},
                        {"slot", message.slot},
                        {"outgoing", message.outgoing},
                        {"language", message.language},
                        {"label", message.label},
                        {"text", message.text},
                        {"invalid", message.invalid}}
                       .dump()
                       .c_str());
      return;
    }
    const auto second = static_cast<std::time_t>(message.time_ns / kSecond);
    std::tm local{};
    ::localtime_r(&second, &local);
    std::array<char, 16> clock{};
    std::strftime(clock.data(), clock.size(), "%H:%M:%S", &local);
    std::fprintf(people_, "%s.%06u  %s %s slot %u  %s  %s %s%.*s\n", clock.data(),
                 static_cast<unsigned>(message.time_ns % kSecond / 1000), message.outgoing ? "to" : "from",
                 link.c_str(), message.slot,
                 message.service.empty() ? "?" : control::printable(message.service).c_str(),
                 std::string(message.language).c_str(), message.invalid ? "INVALID: " : "",
                 static_cast<int>(message.text.size()), message.text.data());
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
        writer_->add_interface(name == names_.end() ? "link-" + std::to_string(number) : name->second);
    return links_[number] = {interface, {kPeerAddress + number, regs::kUdpPort}};
  }

  void check_write(const std::error_code& error) const {
    if (error) throw CommandError(kExitFailed, "cannot write to " + file_ + ": " + error.message());
  }

  void finish() {
    flush();
    if (options_.common.json) {
      Json said{{"file", file_}, {"frames", frames_}, {"dropped", dropped_}};
      if (decoder_) said["messages"] = messages_;
      std::fprintf(people_, "%s\n", said.dump().c_str());
    } else if (decoder_) {
      std::fprintf(stderr, "%llu messages in %llu frames, %llu frames dropped%s\n",
                   static_cast<unsigned long long>(messages_), static_cast<unsigned long long>(frames_),
                   static_cast<unsigned long long>(dropped_),
                   dropped_ == 0 ? "" : " (they came faster than they were decoded)");
    } else {
      std::fprintf(people_, "%s%llu frames captured, %llu dropped%s\n",
                   people_ == stderr && ::isatty(STDERR_FILENO) == 1 ? "\r" : "",
                   static_cast<unsigned long long>(frames_), static_cast<unsigned long long>(dropped_),
                   dropped_ == 0 ? "" : " (they came faster than they were written; --snaplen 86 keeps headers only)");
    }
  }

  const CaptureOptions& options_;
  const std::string file_;  ///< empty: none
  StopSignal stop_;
  ControlClient client_;
  std::optional<tools::PcapngWriter> writer_;
  std::optional<CaptureDecoder> decoder_;
  std::vector<std::byte> buffer_, packet_;
  slot::Fd socket_;
  std::map<std::uint16_t, std::string> names_;
  std::map<std::uint16_t, CapturedLink> links_;
  std::uint16_t within_node_ = 0;  ///< the link of slots that are copied within the node
  std::FILE* people_ = stdout;
  std::uint64_t frames_ = 0, messages_ = 0;
  std::uint64_t dropped_ = 0;
};

int run_capture(const CaptureOptions& options) {
  const bool to_stdout = options.file == "-" || (options.file.empty() && options.decode.empty());
  if (to_stdout && ::isatty(STDOUT_FILENO) == 1) {
    throw CommandError(kExitUsage,
                       "a capture is not text: name a file by -w, pipe it into 'tshark -r -' or Wireshark, or see "
                       "messages by --decode auto");
  }
  if (!options.decode.empty() && options.snaplen != engine::kMaxCapturedBytes)
    throw CommandError(kExitUsage, "--decode needs whole frames: leave --snaplen out");
  ::signal(SIGPIPE, SIG_IGN);
  return Capture(options).run();
}

}  // namespace

void add_capture(CLI::App& app, Command& command) {
  auto options = std::make_shared<CaptureOptions>();
  CLI::App* sub = app.add_subcommand(
      "capture", "Write the frames of this node's links to a pcapng file, or show the messages in them");
  sub->add_option("-w,--write", options->file, "the file; - is standard output (the default without --decode)")
      ->type_name("FILE");
  sub->add_option("-D,--decode", options->decode,
                  "show a line for each message: every connection carries this; auto: guess")
      ->type_name("LANGUAGE")
      ->check(CLI::IsMember({"auto", "records", "http", "redis"}));
  sub->add_option("-l,--link", options->link, "only the link to this node")->type_name("PEER");
  add_count(*sub, "-c,--count", options->count, "end after so many frames; with --decode after so many messages");
  add_duration(*sub, "-d,--duration", options->duration, microseconds(1000), microseconds(86'400'000'000),
               "end after this time");
  sub->add_option("-s,--snaplen", options->snaplen, "bytes kept of each frame")
      ->capture_default_str()
      ->check(CLI::Range(std::uint32_t{22}, std::uint32_t{engine::kMaxCapturedBytes}));
  add_common(*sub, options->common,
             "print {\"file\", \"frames\", \"dropped\"} at the end; with --decode an object a line");
  sub->footer(
      R"(One interface for each link, named as the peer; the node's own name is the interface of slots that are copied
within the node. The packets around the frames are made up: 10.0.0.1 is this node, 10.1.x.y the peers, UDP port 7401,
whatever carrier the frames take and whether it encrypts them. Slots that share a ring send no frames. Frames
that come faster than they are written are dropped and counted; the links are not slowed down. One capture at a time,
by root or slotwired's own user. The dissector for Wireshark and tshark is slotwire.lua.

With --decode, messages and calls of libslotwire, HTTP requests and replies, and Redis commands are shown as they are
found. A connection that was there before is shown from its next message on; frames that are dropped cost the messages
in them. Bodies and values are not shown, but targets of HTTP requests and keys of Redis commands are.

Examples: slotwire capture -w trace.pcapng -d 10s
          slotwire capture --decode auto --link right
          slotwire capture | tshark -X lua_script:slotwire.lua -r -)");
  sub->callback([options, &command] { command = [options] { return run_capture(*options); }; });
}

}  // namespace slotwire::cli
