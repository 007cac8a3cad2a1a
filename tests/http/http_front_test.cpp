// The gate's sessions over HTTP: a session with nothing to do costs nothing.
#include "runtime/gate/http_front.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "core/slot/open_files.hpp"
#include "runtime/http/stream_client.hpp"
#include "runtime/http/stream_set.hpp"

namespace slotwire::gate {
namespace {

constexpr std::chrono::seconds kPatience{60};
constexpr std::size_t kFrames = 200;

/// A node that takes every session for a peer's, and counts the frames that come.
class Node final : public FrontHost {
 public:
  explicit Node(std::uint32_t sessions) : front_(loop, *this, {}) {
    control::GateHttpServer figures;
    figures.path = "/slotwire";
    figures.handshake_us = 60'000'000;
    figures.sessions = figures.sessions_per_source = sessions;
    figures.body_bytes = std::uint64_t{512} << 10U;
    front_.listen(listener(), figures, {});
  }
  static slot::Fd listener() {
    slot::Fd made(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const carriers::Address any = carriers::Address::parse("127.0.0.1:0");
    EXPECT_EQ(::bind(made.get(), any.data(), any.size()), 0);
    EXPECT_EQ(::listen(made.get(), 1024), 0);
    return made;
  }
  void take_stream(slot::Fd stream, const carriers::Address&, http_stream::SessionNumber session) override {
    streams_.push_back(std::move(stream));
    front_.proved(session);
    ++proved;
  }
  void session_up(std::uint32_t session, const std::string&, const std::string&) override {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    frames_ = slot::Fd(ends[0]);
    watch_ = std::make_unique<http::Watch>(loop, frames_.get(), [this](http::Readiness) { take_frames(); });
    watch_->want({true, false});
    front_.frames(session, slot::Fd(ends[1]));
  }
  void session_trouble(std::uint32_t, const std::string& why) override { trouble = why; }
  void session_way(std::uint32_t, const control::GateSessionWay& way) override {
    ways.push_back(way.websocket ? "websocket" : "requests");
  }

  std::string url() const { return "http://" + front_.addresses().front().to_string() + "/slotwire"; }
  std::uint64_t drives() const { return front_.drives(); }

  http::Loop loop;
  std::size_t proved = 0, frames = 0;
  std::string trouble;
  std::vector<std::string> ways;

 private:
  void take_frames() {
    std::array<char, 256> frame{};
    while (::recv(frames_.get(), frame.data(), frame.size(), MSG_DONTWAIT) > 0) ++frames;
  }
  std::vector<slot::Fd> streams_;
  slot::Fd frames_;
  std::unique_ptr<http::Watch> watch_;
  HttpFront front_;
};

/// A peer's end of a session.
class Peer final : private http::PipeHandler {
 public:
  Peer(Node& node, const std::string& stream) : node_(node) {
    http::ClientOptions http;
    http.url = node.url();
    http.proxy = "";
    http_stream::ClientOptions session;
    session.max_requests = 2;
    session.probe_hold_us = 0;
    client_ = std::make_unique<http::StreamClient>(node.loop, std::move(http), session,
                                                   static_cast<http::PipeHandler&>(*this));
    streams_ = std::make_unique<http::StreamSet>(node.loop, client_->pipe(), http_stream::Role::client,
                                                 http_stream::StreamsOptions{},
                                                 http::StreamSet::Callbacks{[this] { client_->touch(); }, {}, {}});
    offer_ = streams_->open(stream).value();
    client_->touch();
  }
  /// One after the other, as the node takes them.
  void send_frames() { frames_left_ = kFrames, client_->touch(); }

 private:
  void on_turn() override {
    if (!streams_) return;
    streams_->drive();
    if (frames_left_ == 0 || node_.frames < kFrames - frames_left_) return;
    if (streams_->send_datagram(std::as_bytes(std::span("frame", 5)))) --frames_left_;
  }
  void on_state(http_stream::SessionState) override {}

  Node& node_;
  std::unique_ptr<http::StreamClient> client_;
  std::unique_ptr<http::StreamSet> streams_;
  http_stream::StreamNumber offer_ = 0;
  std::size_t frames_left_ = 0;
};

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + (static_cast<double>(t.tv_usec) / 1e6);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Runs the loop until `done`. False: not in time.
bool run_until(http::Loop& loop, const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  bool late = false;
  const std::function<void()> look = [&] {
    late = std::chrono::steady_clock::now() > end;
    if (late || done()) return loop.stop();
    loop.post(look);
  };
  loop.post(look);
  loop.run();
  return !late;
}

TEST(HttpFront, FramesOfOneSessionDriveNoOther) {
  // For measurements by hand: SLOTWIRE_HTTP_IDLE=1024.
  const char* const wanted = std::getenv("SLOTWIRE_HTTP_IDLE");
  const std::size_t idle = wanted == nullptr ? 40 : std::strtoul(wanted, nullptr, 10);
  slot::raise_open_files_limit();
  Node node(static_cast<std::uint32_t>(idle) + 1);
  std::vector<std::unique_ptr<Peer>> peers;
  for (std::size_t i = 0; i < idle; ++i) {
    peers.push_back(std::make_unique<Peer>(node, "control"));
    // A stranger would make room for the next: each is proved before that comes.
    ASSERT_TRUE(run_until(node.loop, [&] { return node.proved > i; })) << i;
  }
  Peer busy(node, "frames/" + std::string(2 * control::kTokenBytes, 'a'));
  ASSERT_TRUE(run_until(node.loop, [&] { return node.drives() > 0; }));
  busy.send_frames();
  ASSERT_TRUE(run_until(node.loop, [&] { return node.frames > 0; }));
  const std::uint64_t before = node.drives();
  const double cpu = cpu_seconds();
  ASSERT_TRUE(run_until(node.loop, [&] { return node.frames == kFrames; }));
  const auto drives = static_cast<double>(node.drives() - before);
  std::printf("%zu idle sessions: %.1f sessions driven and %.1f us of processor time for each frame\n", idle,
              drives / kFrames, (cpu_seconds() - cpu) * 1e6 / kFrames);
  // A frame takes a few turns, whatever else there is.
  EXPECT_LT(drives / kFrames, 20);
}

/// A node that keeps a session to another one. Its link takes frames as soon as there is one.
class Dialler final : public FrontHost {
 public:
  Dialler(http::Loop& loop, const std::vector<std::string>& urls, std::chrono::microseconds answer_time, bool websocket)
      : front_(loop, *this, {}) {
    control::GateSession session;
    session.peer = "node";
    session.token = std::string(2 * control::kTokenBytes, 'a');
    for (const std::string& url : urls) session.urls.push_back({url});
    session.proxy.chosen = true;
    session.requests = 4;
    session.body_bytes = std::uint64_t{512} << 10U;
    session.hold_us = 25'000'000;
    session.answer_us = static_cast<std::uint64_t>(answer_time.count());
    session.websocket = websocket;
    session.websocket_retry_us = session.websocket_retry_max_us = 5'000'000;
    EXPECT_TRUE(front_.keep(1, session));
  }
  void take_stream(slot::Fd, const carriers::Address&, http_stream::SessionNumber) override {}
  void session_up(std::uint32_t, const std::string&, const std::string&) override { up = true; }
  void session_trouble(std::uint32_t, const std::string& why) override { troubles.push_back(why); }
  void session_way(std::uint32_t, const control::GateSessionWay&) override {}

  bool up = false;
  std::vector<std::string> troubles;

 private:
  HttpFront front_;
};

TEST(HttpFront, AUrlThatDoesNotAnswerIsLeftForTheNextInTime) {
  Node node(4);
  // It accepts connections, which the kernel does for it, and says nothing.
  const slot::Fd silent = Node::listener();
  const std::string mute = "http://" + carriers::Address::bound_to(silent.get()).to_string() + "/slotwire";
  const auto start = std::chrono::steady_clock::now();
  Dialler dialler(node.loop, {mute, node.url()}, std::chrono::milliseconds(300), false);
  ASSERT_TRUE(run_until(node.loop, [&] { return dialler.up; }));
  // Time-outs of requests, which double, and ten of them in succession, would take 44 s.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  ASSERT_FALSE(dialler.troubles.empty());
  EXPECT_NE(dialler.troubles.back().find(mute + ": the server has not answered in time"), std::string::npos)
      << dialler.troubles.back();
}

TEST(HttpFront, WhoeverIsDialledKnowsTheWayToo) {
  for (const bool websocket : {true, false}) {
    Node node(4);
    Dialler dialler(node.loop, {node.url()}, std::chrono::seconds(5), websocket);
    const std::string wanted = websocket ? "websocket" : "requests";
    ASSERT_TRUE(run_until(node.loop, [&] { return !node.ways.empty() && node.ways.back() == wanted; }));
  }
}

}  // namespace
}  // namespace slotwire::gate
