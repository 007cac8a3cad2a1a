// What other processes and machines may write at slotwired's control socket, its control connection and its slots: it
// answers with an error or drops the one who wrote, and goes on serving the others.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>

#include "core/slot/bell.hpp"
#include "core/slot/record.hpp"
#include "core/slot/waiter.hpp"
#include "ends.hpp"
#include "raw_client.hpp"

namespace slotwire::test {
namespace {

using namespace std::chrono_literals;

class Control : public ::testing::Test {
 protected:
  Control() : cluster_({}) { cluster_.start(); }
  Node& node() { return cluster_["left"]; }
  /// What slotwired has open, one a line.
  std::string open_files() {
    std::string list;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(node().pid()) + "/fd")) {
      std::error_code gone;
      list +=
          entry.path().filename().string() + " " + std::filesystem::read_symlink(entry.path(), gone).string() + "\n";
    }
    return list;
  }
  std::size_t descriptors() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator("/proc/" + std::to_string(node().pid()) + "/fd"))
      ++count;
    return count;
  }
  void TearDown() override { EXPECT_EQ(node().status()["node"], "left") << "it does not serve any more"; }
  Cluster cluster_;
};

std::string nested(std::size_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

TEST_F(Control, AnswersNonsenseWithAnErrorAndGoesOn) {
  const std::pair<std::string, std::string> cases[] = {
      {"not JSON", "bad_request"},
      {"{", "bad_request"},
      {"[]", "bad_request"},
      {"null", "bad_request"},
      {"42", "bad_request"},
      {"\"status\"", "bad_request"},
      {"{}", "bad_request"},
      {std::string("\0\0\0", 3), "bad_request"},
      {"\xff\xfe\xc3", "bad_request"},
      {R"({"op":1})", "bad_request"},
      {R"({"op":null,"id":1})", "bad_request"},
      {R"({"op":["hello"],"id":1})", "bad_request"},
      {R"({"op":"fly","id":1})", "no_session"},
      {R"({"op":"serve","id":1,"service":"svc"})", "no_session"},
      {R"({"op":"connect","id":1,"service":"svc"})", "no_session"},
      {R"({"op":"close","id":1,"local":0})", "no_session"},
      {R"({"op":"bye","id":1})", "no_session"},
      {R"({"op":"hello","version":2})", "bad_request"},
      {R"({"op":"hello","id":1})", "bad_request"},
      {R"({"op":"hello","id":1,"version":"1"})", "bad_request"},
      {R"({"op":"hello","id":1,"version":{}})", "bad_request"},
      {R"({"op":"hello","id":1,"version":1})", "version"},
      {R"({"op":"hello","id":1,"version":-1})", "version"},
      {R"({"op":"hello","id":1,"version":2,"name":7})", "bad_request"},
      {R"({"op":"resume","id":1,"version":2})", "bad_request"},
      {R"({"op":"resume","id":1,"version":2,"session":"x","token":"","slots":[]})", "bad_request"},
      {R"({"op":"resume","id":1,"version":2,"session":999,"token":"","slots":[]})", "no_session"},
      {R"({"op":"slots","id":1,"from":"x"})", "bad_request"},
      {R"({"op":"slots","id":1,"from":-1,"max":-1})", "bad_request"},
      {R"({"op":"sessions","id":1,"from":99999999999,"max":0})", "ok"},
      {R"({"op":"sessions","id":1,"max":[]})", "bad_request"},
      {R"({"op":"cut","id":1})", "bad_request"},
      {R"({"op":"cut","id":1,"link":"nowhere"})", "no_link"},
      {R"({"op":"capture","id":1})", "bad_request"},
      {R"({"op":"status","id":{"deep":[1,2,3]}})", "bad_request"},
      {R"({"op":"status","id":-1})", "bad_request"},
      {R"({"op":"status","id":0})", "bad_request"},
      {R"({"op":"status","id":1e300})", "bad_request"},
      {nested(20'000), "bad_request"},
      {R"({"op":"status","id":)" + nested(10'000) + "}", "bad_request"},
      {R"({"op":"hello","id":1,"version":2,"name":)" + nested(10'000) + "}", "bad_request"},
      {std::string(65'536, ' '), "bad_request"},
      {std::string(65'537, ' '), "dropped"},
      {std::string(150'000, '['), "dropped"},
  };
  for (const auto& [text, expected] : cases) {
    RawClient client(node().socket());
    SCOPED_TRACE(text.substr(0, 100));
    try {
      EXPECT_EQ(client.outcome(text), expected);
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
    ASSERT_EQ(node().status()["node"], "left") << "after " << text.substr(0, 100);
    EXPECT_TRUE(Context::open({.socket = node().socket()})) << "nobody gets a session after it";
  }
}

TEST_F(Control, RefusesNonsenseWithinASession) {
  RawClient client(node().socket());
  const Json hello = client.ask({{"op", "hello"}, {"version", 2}, {"name", std::string(5000, 'x')}});
  ASSERT_TRUE(hello.contains("session")) << hello.dump();
  ASSERT_TRUE(client.ask({{"op", "serve"}, {"service", "svc"}})["ok"].get<bool>());
  const std::pair<const char*, const char*> cases[] = {
      {R"({"op":"hello","id":1,"version":2})", "bad_request"},
      {R"({"op":"resume","id":1,"version":2,"session":1,"token":"","slots":[]})", "bad_request"},
      {R"({"op":"fly","id":1})", "bad_request"},
      {R"({"op":"serve","id":1})", "bad_request"},
      {R"({"op":"serve","id":1,"service":""})", "bad_request"},
      {R"({"op":"serve","id":1,"service":"two words"})", "bad_request"},
      {R"({"op":"serve","id":1,"service":{"a":1}})", "bad_request"},
      {R"({"op":"unserve","id":1,"service":"never-served"})", "ok"},
      {R"({"op":"connect","id":1,"service":"svc","in_bytes":-1})", "bad_request"},
      {R"({"op":"connect","id":1,"service":"svc","in_bytes":18446744073709551615})", "bad_request"},
      {R"({"op":"connect","id":1,"service":"svc","in_bytes":"64"})", "bad_request"},
      {R"({"op":"connect","id":1,"service":"svc","out_bytes":1099511627776})", "bad_request"},
      {R"({"op":"connect","id":"one","service":"svc"})", "bad_request"},
      {R"({"op":"connect","service":"svc"})", "bad_request"},
      {R"({"op":"connect","id":1,"service":"nobody","timeout_ms":-5})", "no_service"},
      {R"({"op":"close","id":1})", "bad_request"},
      {R"({"op":"close","id":1,"local":0})", "bad_request"},
      {R"({"op":"close","id":1,"local":-1})", "bad_request"},
      {R"({"op":"close","id":1,"local":4294967296})", "bad_request"},
      {R"({"op":"close","id":1,"local":18446744073709551615})", "bad_request"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(client.outcome(text), expected) << text;
}

TEST_F(Control, KeepsNoDescriptorThatItWasSent) {
  const std::string files = open_files();
  const std::size_t before = descriptors();
  const slot::Fd event = slot::create_event();
  for (const std::size_t count : {1U, 3U, 8U}) {
    for (const char* text : {R"({"op":"status","id":1})", "nonsense", R"({"op":"hello","id":1,"version":9})"}) {
      RawClient client(node().socket());
      EXPECT_EQ(client.outcome(R"({"op":"status","id":1})"), "ok");  // before it is accepted nothing can be passed
      EXPECT_EQ(client.outcome(text, std::vector<int>(count, event.get())), "dropped");
    }
  }
  // More than one packet may hold.
  RawClient client(node().socket());
  EXPECT_EQ(client.outcome(R"({"op":"status","id":1})"), "ok");
  std::vector<int> many(64, event.get());
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 64)] = {};
  char text[] = "x";
  iovec part{text, 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int) * 64);
  std::memcpy(CMSG_DATA(header), many.data(), sizeof(int) * 64);
  ASSERT_EQ(::sendmsg(client.fd(), &message, MSG_NOSIGNAL), 1);
  EXPECT_FALSE(client.receive()) << "it should have been dropped";
  // A capture wants exactly one, and a socket.
  {
    RawClient capture(node().socket());
    EXPECT_EQ(capture.outcome(R"({"op":"status","id":1})"), "ok");
    EXPECT_EQ(capture.outcome(R"({"op":"capture","id":1})", {event.get(), event.get()}), "bad_request");
  }
  EXPECT_TRUE(eventually([&] { return descriptors() <= before; })) << open_files() << "instead of " << files;
}

TEST_F(Control, ByeEndsTheSessionThoughTheSocketStaysOpen) {
  RawClient client(node().socket());
  ASSERT_TRUE(client.ask({{"op", "hello"}, {"version", 2}, {"name", "polite"}}).contains("session"));
  EXPECT_EQ(node().status()["sessions"]["used"], 1);
  ASSERT_TRUE(client.send(R"({"op":"bye"})"));
  EXPECT_TRUE(eventually([&] { return node().status()["sessions"]["used"] == 0; }));
}

TEST_F(Control, CapturesIntoASocketOfPacketsAlone) {
  const slot::Fd event = slot::create_event();
  RawClient client(node().socket());
  EXPECT_EQ(client.outcome(R"({"op":"status","id":1})"), "ok");
  EXPECT_EQ(client.outcome(R"({"op":"capture","id":1})", {event.get()}), "bad_request");
}

TEST_F(Control, DropsAProcessThatAsksAndNeverReads) {
  RawClient client(node().socket());
  const std::string request = R"({"op":"status","id":1})";
  // It takes so many answers as it holds for one process; then the process is not served any more, and others are.
  for (int i = 0; i < 20'000; ++i) {
    if (::send(client.fd(), request.data(), request.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
      if (errno != EAGAIN) break;
      ASSERT_EQ(node().status()["node"], "left");
      if (i > 5000) break;
    }
  }
  const std::size_t before = descriptors();
  ASSERT_EQ(node().status()["node"], "left");
  EXPECT_LE(descriptors(), before + 2);
}

TEST_F(Control, SurvivesRequestsThatWereChangedAtRandom) {
  const std::string seeds[] = {
      R"({"op":"hello","id":1,"version":2,"name":"x","sees_link_events":true})",
      R"({"op":"resume","id":1,"version":2,"session":1,"token":"00112233","slots":[0,1,2]})",
      R"({"op":"serve","id":2,"service":"svc","backlog":5})",
      R"({"op":"connect","id":3,"service":"svc","in_bytes":4096,"out_bytes":8192,"timeout_ms":50})",
      R"({"op":"close","id":4,"local":0})",
      R"({"op":"slots","id":5,"from":0,"max":10})",
  };
  std::uint64_t state = 20260101;
  const auto dice = [&](std::size_t n) {
    state = (state * 6364136223846793005U) + 1442695040888963407U;
    return static_cast<std::size_t>((state >> 33) % n);
  };
  const std::string pieces[] = {"-1",      "1e99", "null",    "[]", "{}", "\"\"", "18446744073709551616",
                                "\\u0000", "true", "{\"a\":", "]"};
  for (int round = 0; round < 100; ++round) {
    RawClient client(node().socket());
    bool open = true;
    for (int i = 0; i < 30 && open; ++i) {
      std::string text = seeds[i == 0 ? 0 : dice(std::size(seeds))];
      for (std::size_t changes = i == 0 ? 0 : dice(4); changes > 0; --changes) {
        const std::size_t at = dice(text.size());
        switch (dice(3)) {
          case 0:
            text[at] = static_cast<char>(dice(256));
            break;
          case 1:
            text.erase(at, 1 + dice(8));
            break;
          default:
            text.insert(at, pieces[dice(std::size(pieces))]);
        }
        if (text.empty()) text = "{";
      }
      open = client.send(text);
    }
  }
  EXPECT_EQ(node().status()["node"], "left");
  EXPECT_TRUE(eventually([&] { return node().status()["sessions"]["used"] == 0; }));
  EXPECT_EQ(node().status()["slots"]["used"], 0);
}

// --- a process that damages its own slot ---

class Hostile : public EveryTopology {
 protected:
  /// Connects by hand; the slot's own space file is then the test's to damage.
  void connect() {
    client_ = std::make_unique<RawClient>(client_node().socket());
    std::vector<slot::Fd> fds;
    client_->ask({{"op", "hello"}, {"version", 2}, {"name", "hostile"}}, &fds);
    bells_ = slot::map_file(fds.at(0).get(), regs::kPageBytes, slot::Access::read_write);
    kick_ = std::move(fds.at(2));
    Json answer;
    ASSERT_TRUE(eventually([&] {
      answer = client_->ask(
          {{"op", "connect"}, {"service", "svc"}, {"in_bytes", 4096}, {"out_bytes", 4096}, {"timeout_ms", 5000}}, &fds);
      return answer.contains("ok");
    })) << answer.dump();
    local_ = answer["local"].get<std::uint32_t>();
    own_ = slot::Space(fds.at(0).get(), answer["in_order"].get<unsigned>(), slot::Access::read_write);
    EXPECT_THROW(slot::Space(fds.at(1).get(), answer["out_order"].get<unsigned>(), slot::Access::read_write),
                 std::exception)
        << "the other side's space could be mapped for writing";
    if (fds.size() > 3) peer_wake_ = std::move(fds[3]);
  }
  void ring() {
    auto& page = *reinterpret_cast<slot::BellPage*>(bells_.data());
    static const slot::PolledPage asleep{};
    slot::ring_bell(page, asleep, local_);
    slot::signal_event(kick_.get());
    if (peer_wake_) slot::signal_event(peer_wake_.get());
  }
  void TearDown() override {
    peer_wake_ = {};
    own_ = {};
    bells_ = {};
    client_.reset();
    EveryTopology::TearDown();
  }
  std::unique_ptr<RawClient> client_;
  slot::Mapping bells_;
  slot::Space own_;
  slot::Fd kick_, peer_wake_;
  std::uint32_t local_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Node, Hostile, every_topology(), topology_name);

TEST_P(Hostile, RecordsBreakTheConnectionAndNoOther) {
  {
    Result<Context> context = Context::open({.socket = server_node().socket()});
    ASSERT_TRUE(context);
    Result<Service> service = context->serve("svc");
    ASSERT_TRUE(service) << service.error().text;
    connect();
    Result<Connection> victim = service->accept(kPatience);
    ASSERT_TRUE(victim) << victim.error().text;
    Ends honest = open_ends(client_node().socket(), server_node().socket(), {}, "svc");
    // A record longer than the ring, of a kind that there is not.
    slot::RecordHeader header;
    header.length = 0xfffffff0U;
    header.kind = static_cast<slot::RecordKind>(99);
    std::memcpy(own_.ring(), &header, sizeof header);
    own_.marks().tail.store(1, std::memory_order_release);
    ring();
    const Result<Message> message = victim->receive(kPatience);
    EXPECT_EQ(message.status(), Status::broken) << (message ? "" : message.error().text);
    EXPECT_EQ(victim->send("x", Deadline::now()).status(), Status::broken);
    ASSERT_TRUE(honest.client.send("unharmed", kPatience));
    EXPECT_TRUE(honest.server.receive(kPatience));
  }
}

TEST_P(Hostile, MarksFaultTheirOwnSlotAndNoOther) {
  Result<Context> context = Context::open({.socket = server_node().socket()});
  ASSERT_TRUE(context);
  Result<Service> service = context->serve("svc");
  ASSERT_TRUE(service) << service.error().text;
  connect();
  Result<Connection> victim = service->accept(kPatience);
  ASSERT_TRUE(victim) << victim.error().text;
  Ends honest = open_ends(client_node().socket(), server_node().socket(), {}, "svc");
  own_.marks().tail.store(0x80000000U, std::memory_order_release);
  own_.marks().head.store(0x12345678U, std::memory_order_release);
  ring();
  const Result<Message> message = victim->receive(kPatience);
  EXPECT_EQ(message.status(), Status::broken) << (message ? "" : message.error().text);
  ASSERT_TRUE(honest.client.send("unharmed", kPatience));
  EXPECT_TRUE(honest.server.receive(kPatience));
}

// --- other programs in the place of a slotwired ---

/// Answers one hello as told.
Status open_at_fake_engine(const std::string& answer) {
  std::string directory = (std::filesystem::temp_directory_path() / "slotwire-fake-XXXXXX").string();
  if (::mkdtemp(directory.data()) == nullptr) throw std::runtime_error("no temporary directory");
  const std::string path = directory + "/sock";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const slot::Fd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener.get(), 1) != 0) {
    throw std::runtime_error("cannot listen");
  }
  std::thread engine([&] {
    const slot::Fd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    char request[4096];
    if (::recv(peer.get(), request, sizeof request, 0) > 0 && !answer.empty()) {
      ::send(peer.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
    }
  });
  const Result<Context> context = Context::open({.socket = path});
  engine.join();
  std::filesystem::remove_all(directory);
  return context.status();
}

TEST(FakeEngine, IsToldFromARealOne) {
  EXPECT_EQ(open_at_fake_engine(R"({"id":1,"error":{"code":"version","text":"too old"}})"), Status::version);
  EXPECT_EQ(open_at_fake_engine(R"({"id":1,"ok":true})"), Status::version);
  EXPECT_EQ(open_at_fake_engine(R"({"id":1,"ok":true,"session":"x","token":1,"node":[]})"), Status::version);
  EXPECT_EQ(open_at_fake_engine(R"({"id":1,"error":"text"})"), Status::version);
  EXPECT_EQ(open_at_fake_engine(R"({"id":"1"})"), Status::engine_gone);
  EXPECT_EQ(open_at_fake_engine(R"({"id":1,"error":{"code":7,"text":[]}})"), Status::version);
  EXPECT_EQ(open_at_fake_engine("garbage"), Status::engine_gone);
  EXPECT_EQ(open_at_fake_engine(nested(100'000)), Status::engine_gone);
  EXPECT_EQ(open_at_fake_engine(""), Status::engine_gone);
}

TEST(FakePeer, IsTurnedAwayAndTheLinkGoesOn) {
  Cluster cluster({.nodes = {"left", "right"}, .services = {{"svc", {"right"}}, {"after", {"right"}}}});
  cluster.start();
  Ends e = open_ends(cluster["left"].socket(), cluster["right"].socket());
  const auto call = [&](const std::string& bytes) {
    const slot::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(7400);
    ::inet_pton(AF_INET, cluster["right"].address().c_str(), &address.sin_addr);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("cannot connect");
    ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    std::string said;
    pollfd wait{fd.get(), POLLIN, 0};
    while (::poll(&wait, 1, 20'000) == 1) {
      char buffer[4096];
      const ssize_t n = ::recv(fd.get(), buffer, sizeof buffer, 0);
      if (n <= 0) return said;
      said.append(buffer, static_cast<std::size_t>(n));
    }
    ADD_FAILURE() << "it neither answers nor hangs up";
    return said;
  };
  const auto framed = [](const std::string& text) {
    const std::uint32_t length = htonl(static_cast<std::uint32_t>(text.size()));
    return std::string(reinterpret_cast<const char*>(&length), sizeof length) + text;
  };
  EXPECT_NE(call(std::string("\xff\xff\xff\xff", 4) + "x").find("allowed are 1 to 1048576"), std::string::npos);
  EXPECT_NE(call(framed("garbage")).find("not a hello"), std::string::npos);
  EXPECT_NE(call(framed(nested(10'000))).find("not a hello"), std::string::npos);
  EXPECT_NE(call(framed(R"({"type":"hello"})")).find("not a hello"), std::string::npos);
  EXPECT_NE(call(framed(R"({"type":"hello","node":"stranger","version":1,"incarnation":"1"})")).find("no [[link]]"),
            std::string::npos);
  EXPECT_NE(call(framed(R"({"type":"sync","pairs":[],"last":true})")).find("not a hello"), std::string::npos);
  ASSERT_TRUE(e.client.send("goes on", kPatience));
  EXPECT_TRUE(e.server.receive(kPatience));
  // In the name of a peer: without certificates it takes the peer's place, says the wrong version, and is told so.
  EXPECT_NE(call(framed(R"({"type":"hello","node":"left","version":99,"incarnation":"1"})")).find("version 1"),
            std::string::npos);
  for (const char* version : {R"("x")", "1e99", "-1", "{}"}) {
    call(framed(std::string(R"({"type":"hello","node":"left","version":)") + version + "}"));
  }
  ASSERT_TRUE(e.client.send("and on", kPatience));
  EXPECT_TRUE(e.server.receive(kPatience));
  Result<Connection> another = e.client_context.connect("svc", kPatience);
  EXPECT_TRUE(another) << another.error().text;
  // Nor with encryption, which this link has not.
  EXPECT_NE(call(framed(R"({"type":"hello","node":"left","version":1,"incarnation":"1","encryption":"aes-256-gcm"})"))
                .find("set the same encryption"),
            std::string::npos);
  call(framed(R"({"type":"hello","node":"left","version":1,"incarnation":"1","encryption":7})"));
  // A hello is the first message and no other.
  const std::string good = framed(R"({"type":"hello","node":"left","version":1,"incarnation":"1"})");
  call(good + good);
  // A good hello, then messages with fields that are missing, of the wrong type or out of range: it hangs up.
  // (Its life is not the one that left is in, so what was open counts as lost: that is why links have certificates.)
  const std::string hello = framed(R"({"type":"hello","node":"left","version":1,"incarnation":"1","udp_port":1e99})");
  EXPECT_NE(call(hello).find("hello"), std::string::npos);
  for (const char* text :
       {R"({"type":"open","id":1,"service":"svc","slot":1,"epoch":1,"in_order":6,"out_order":6})",
        R"({"type":"open","id":1,"service":"svc","slot":65536,"epoch":1,"in_order":6,"out_order":6,"from":{}})",
        R"({"type":"open","id":1,"service":"svc","slot":1,"epoch":1e60,"in_order":6,"out_order":6,"from":{}})",
        R"({"type":"sync","pairs":[[0,1,1e60]],"last":true})", R"({"type":"sync","pairs":[[]],"last":true})",
        R"({"type":"close","slot":0,"from_slot":-1,"epoch":1,"reason":"died"})", R"({"type":7})",
        R"({"type":"key","key":1,"suite":"aes-256-gcm","secret":"00","salt":"00"})", R"({"type":"key_taken","key":1})",
        "[]"}) {
    call(framed(R"({"type":"hello","node":"left","version":1,"incarnation":"1"})") + framed(text));
  }
  const Ends after = open_ends(cluster["left"].socket(), cluster["right"].socket(), {}, "after");
}

}  // namespace
}  // namespace slotwire::test
