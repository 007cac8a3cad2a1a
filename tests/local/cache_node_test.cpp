// The exchange cache between real nodes: who gets what from it, and what the server and the link see of that.
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <mutex>
#include <set>

#include "ends.hpp"
#include "runtime/cache/node_cache.hpp"

namespace slotwire::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint16_t kGet = 1;
constexpr auto kLong = 1h;

/// A server that answers "KEY=NUMBER", where the number counts its answers, as cacheable for `ttl`.
struct CountingServer {
  explicit CountingServer(const std::string& socket) : thread(socket, "svc", [this](Request& r) { answer(r); }) {}
  void answer(Request& request) {
    const std::string key(request.text());
    const int number = ++answers;
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

class CacheCalls : public EveryTopology {
 protected:
  /// Frames and lines that the client's node has sent and received: whatever crosses the link counts.
  std::uint64_t crossed() {
    std::uint64_t sum = 0;
    const Json status = client_node().status();
    for (const auto& link : status["links"]) {
      for (const char* const counter : {"tx_lines", "rx_lines"}) sum += link["counters"].value(counter, 0U);
    }
    return sum;
  }
};
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

}  // namespace
}  // namespace slotwire::test
