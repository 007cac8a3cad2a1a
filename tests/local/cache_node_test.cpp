// The exchange cache between real nodes: who gets what from it, and what the server and the link see of that.
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <set>

#include "ends.hpp"
#include "runtime/cache/node_cache.hpp"

namespace slotwire::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint16_t kGet = 1;
constexpr auto kLong = 1h;

/// A line of /proc/self/task/THREAD/status.
std::string line_of(pid_t thread, const std::string& name) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name + ":")) return line.substr(name.size() + 1);
  }
  return {};
}
std::uint64_t sleeps_of(pid_t thread) {
  return std::strtoull(line_of(thread, "voluntary_ctxt_switches").c_str(), nullptr, 10);
}
bool is_asleep(pid_t thread) {
  return line_of(thread, "State").find('S') != std::string::npos;
}

/// A server that answers "KEY=NUMBER", where the number counts its answers, as cacheable for `ttl`.
struct CountingServer {
  explicit CountingServer(const std::string& socket) : thread(socket, "svc", [this](Request& r) { answer(r); }) {}
  void answer(Request& request) {
    const std::string key(request.text());
    const int number = ++answers;
    thread_id = ::gettid();
    const std::string text = key + "=" + std::to_string(number);
    if (key.starts_with("plain")) {
      request.reply(text);
    } else if (key.starts_with("error")) {
      request.reply_error(7, text);
    } else if (key.starts_with("other")) {
      request.reply_cached(text, {.ttl = ttl.load(), .key = "another key"});
    } else if (key.starts_with("large")) {
      request.reply_cached(std::string(200'000, 'x') + text, {.ttl = ttl.load(), .key = key});
    } else {
      request.reply_cached(text, {.ttl = ttl.load(), .key = key, .tag = 9});
    }
  }
  std::atomic<int> answers{0};
  std::atomic<pid_t> thread_id{0};
  std::atomic<std::chrono::milliseconds> ttl{kLong};
  ServerThread thread;
};

/// A client as a process of its own would be: a context and a connection.
struct Client {
  explicit Client(const std::string& socket, ContextOptions options = {}) : Client(std::move(options), socket) {}
  std::string get(const std::string& key, Deadline deadline = kPatience) {
    const Result<Message> reply = connection.call_cached(kGet, key, key, deadline);
    if (!reply) return "failed: " + std::string(slotwire::name(reply.status())) + ": " + reply.error().text;
    return std::string(reply->text());
  }
  Context context;
  Connection connection;

 private:
  Client(ContextOptions options, const std::string& socket)
      : context(open(std::move(options), socket)), connection(take(context.connect("svc", kPatience))) {}
  template <typename T>
  static T take(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().text);
    return *std::move(result);
  }
  static Context open(ContextOptions options, const std::string& socket) {
    options.socket = socket;
    if (options.cache_bytes == 0) options.cache_bytes = std::size_t{4} << 20;
    return take(Context::open(options));
  }
};

class CacheCalls : public EveryTopology {};
INSTANTIATE_TEST_SUITE_P(Node, CacheCalls, every_topology(), topology_name);

TEST_P(CacheCalls, AHitIsGivenToEveryProcessAndTheServerDoesNotHearOfIt) {
  CountingServer server(server_node().socket());
  Client first(client_node().socket());
  EXPECT_EQ(first.get("a"), "a=1");
  EXPECT_EQ(first.get("a"), "a=1");
  Client second(client_node().socket());
  EXPECT_EQ(second.get("a"), "a=1");
  EXPECT_EQ(second.get("b"), "b=2");
  EXPECT_EQ(first.get("b"), "b=2");
  EXPECT_EQ(server.answers, 2);
  // Same key, another method: another reply.
  const Result<Message> other = first.connection.call_cached(2, "a", "a", kPatience);
  ASSERT_TRUE(other) << other.error().text;
  EXPECT_EQ(other->text(), "a=3");
}

TEST_P(CacheCalls, OnlyWhatTheServerAllowsIsKept) {
  CountingServer server(server_node().socket());
  Client client(client_node().socket());
  EXPECT_EQ(client.get("plain"), "plain=1");
  EXPECT_EQ(client.get("plain"), "plain=2") << "a plain reply was kept";
  EXPECT_EQ(client.get("other"), "other=3");
  EXPECT_EQ(client.get("other"), "other=4") << "a reply to another key was kept";
  EXPECT_EQ(client.get("another key"), "another key=5") << "it was kept under the key that nobody asked for";
  EXPECT_EQ(client.get("error").substr(0, 7), "failed:");
  EXPECT_NE(client.get("error").find("error=7"), std::string::npos) << "an error was kept";
  server.ttl = 0ms;
  EXPECT_EQ(client.get("never"), "never=8");
  EXPECT_EQ(client.get("never"), "never=9");
  server.ttl = kLong;
  // Who does not ask for a cacheable reply gets a plain one, from the server.
  EXPECT_EQ(client.get("a"), "a=10");
  const Result<Message> plain = client.connection.call(kGet, "a", kPatience);
  ASSERT_TRUE(plain) << plain.error().text;
  EXPECT_EQ(plain->text(), "a=11");
  EXPECT_EQ(client.get("a"), "a=10");
}

TEST_P(CacheCalls, ALargeReplyThatCameInPartsIsAHit) {
  CountingServer server(server_node().socket());
  ContextOptions options;
  options.cache_bytes = std::size_t{32} << 20;
  Client client(client_node().socket(), options);
  const std::string first = client.get("large");
  EXPECT_EQ(first.size(), 200'000 + 7U);
  EXPECT_EQ(client.get("large"), first);
  EXPECT_EQ(server.answers, 1);
}

TEST_P(CacheCalls, AReplyIsNotUsedLongerThanTheServerAllows) {
  CountingServer server(server_node().socket());
  Client client(client_node().socket());
  server.ttl = 200ms;
  constexpr cache::Time kTtlNs = 200'000'000;
  // Before when the request of the last answer was sent.
  cache::Time sent_before = 0;
  int answers = 0;
  while (server.answers < 4) {
    const cache::Time before = cache::boot_time();
    const std::string reply = client.get("a");
    const cache::Time after = cache::boot_time();
    ASSERT_EQ(reply, "a=" + std::to_string(server.answers));
    if (server.answers == answers) {
      ASSERT_LT(before, sent_before + kTtlNs) << "a hit when its time was over";
    } else {
      answers = server.answers;
      sent_before = after;
    }
  }
}

/// A server that can be told to invalidate; the message "mark" follows each invalidation.
class InvalidatingServer {
 public:
  explicit InvalidatingServer(const std::string& socket) : thread_([this, socket] { run(socket); }) {
    EXPECT_TRUE(eventually([this] { return serving_.load(); }));
  }
  ~InvalidatingServer() {
    ends_ = true;
    thread_.join();
  }
  void invalidate(const Invalidation& what) {
    what_ = what;
    pending_ = true;
    EXPECT_TRUE(eventually([this] { return !pending_.load(); }));
  }
  std::atomic<int> answers{0};

 private:
  void run(const std::string& socket) {
    Result<Context> context = Context::open({.socket = socket, .name = "server"});
    ASSERT_TRUE(context) << context.error().text;
    Result<Service> service = context->serve("svc");
    ASSERT_TRUE(service) << service.error().text;
    serving_ = true;
    std::vector<Connection> connections;
    while (!ends_) {
      if (Result<Connection> made = service->accept(Deadline::now())) connections.push_back(*std::move(made));
      for (Connection& connection : connections) {
        Result<Message> message = connection.receive(Deadline::now());
        if (!message || message->kind() != Kind::request) continue;
        const std::string key(message->text());
        const std::string text = key + "=" + std::to_string(++answers);
        EXPECT_TRUE(connection.reply_cached(message->id(), text, {.ttl = kLong, .key = key, .tag = 5}, kPatience));
      }
      if (pending_) {
        const Result<void> told = service->invalidate(what_, kPatience);
        EXPECT_TRUE(told) << told.error().text;
        for (Connection& connection : connections) (void)connection.send("mark", kPatience);
        pending_ = false;
      }
    }
  }
  std::atomic<bool> serving_{false}, ends_{false}, pending_{false};
  Invalidation what_ = Invalidation::of_all();
  std::thread thread_;
};

TEST_P(CacheCalls, AHitAfterAnInvalidationHasArrivedIsNotOlder) {
  InvalidatingServer server(server_node().socket());
  Client client(client_node().socket());
  const auto told = [&](const Invalidation& what) {
    server.invalidate(what);
    ASSERT_TRUE(client.connection.wait(Interest::readable, kPatience));
  };
  const auto mark = [&] {
    const Result<Message> message = client.connection.receive(kPatience);
    ASSERT_TRUE(message) << message.error().text;
    EXPECT_EQ(message->text(), "mark") << "an invalidation was handed to the program";
  };
  EXPECT_EQ(client.get("a"), "a=1");
  EXPECT_EQ(client.get("b"), "b=2");
  EXPECT_EQ(client.get("a"), "a=1");
  told(Invalidation::of_key(kGet, "a"));
  EXPECT_EQ(client.get("b"), "b=2");
  EXPECT_EQ(client.get("a"), "a=3") << "the invalidation lay in the ring, and the hit did not see it";
  mark();
  EXPECT_EQ(client.get("a"), "a=3") << "an invalidation counted twice";
  told(Invalidation::of_key(kGet + 1, "a"));
  mark();
  told(Invalidation::of_tag(6));
  mark();
  EXPECT_EQ(client.get("a"), "a=3");
  told(Invalidation::of_tag(5));
  EXPECT_EQ(client.get("a"), "a=4");
  EXPECT_EQ(client.get("b"), "b=5");
  mark();
  told(Invalidation::of_all());
  mark();
  EXPECT_EQ(client.get("b"), "b=6");
  EXPECT_EQ(client.get("a"), "a=7");
  EXPECT_EQ(server.answers, 7);
}

TEST_P(CacheCalls, AClientWhoseCallsWereAllHitsIsToldToo) {
  InvalidatingServer server(server_node().socket());
  Client first(client_node().socket()), second(client_node().socket());
  EXPECT_EQ(first.get("a"), "a=1");
  EXPECT_EQ(second.get("a"), "a=1");
  // Until the server knows of it.
  const auto begin = std::chrono::steady_clock::now();
  bool is_told = false;
  while (!is_told && std::chrono::steady_clock::now() - begin < kPatience) {
    server.invalidate(Invalidation::of_key(kGet, "a"));
    // The server may not have taken the second connection yet, and then says nothing on it.
    while (const Result<Message> message = second.connection.receive(50ms)) {
      if (message->text() == "mark") break;
    }
    is_told = second.get("a") != "a=1";
  }
  EXPECT_TRUE(is_told);
}

TEST_P(CacheCalls, HitsCrossNoLinkAndWakeNoServer) {
  CountingServer server(server_node().socket());
  Client client(client_node().socket());
  EXPECT_EQ(client.get("a"), "a=1");
  // Lines that the two nodes have moved, and how often the server's thread went to sleep, so was woken.
  const auto counts = [&] {
    std::vector<std::uint64_t> all;
    for (Node* node : {&client_node(), &server_node()}) {
      const Json counters = node->status()["counters"];
      all.push_back(counters["tx_lines"]);
      all.push_back(counters["rx_lines"]);
    }
    return all;
  };
  ASSERT_TRUE(eventually([&] { return is_asleep(server.thread_id); }));
  const std::uint64_t slept = sleeps_of(server.thread_id);
  const std::vector<std::uint64_t> before = counts();
  for (int i = 0; i < 10'000; ++i) ASSERT_EQ(client.get("a"), "a=1");
  EXPECT_EQ(counts(), before);
  EXPECT_EQ(sleeps_of(server.thread_id), slept);
  EXPECT_EQ(server.answers, 1);
  // The counters do count.
  EXPECT_EQ(client.get("b"), "b=2");
  EXPECT_TRUE(eventually([&] { return sleeps_of(server.thread_id) != slept; }));  // when it sleeps again
  if (remote()) {
    EXPECT_NE(counts(), before);
  }
}

}  // namespace
}  // namespace slotwire::test
