// The exchange cache between processes: one request for many, processes that die while others wait for them, servers
// that are restarted, and other users.
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <map>
#include <memory>

#include "ends.hpp"
#include "runtime/blocks/meeting.hpp"
#include "runtime/cache/node_cache.hpp"

namespace slotwire::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint16_t kGet = 1;
constexpr auto kLong = 1h;
constexpr std::size_t kCacheBytes = std::size_t{4} << 20;

/// A process that was forked; what its body returns is heard through a pipe. Killed when it goes.
class Child {
 public:
  explicit Child(const std::function<std::string()>& body) {
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0) throw std::runtime_error("no pipe");
    pid_ = ::fork();
    if (pid_ == 0) {
      std::string said = "an exception";
      try {
        said = body();
      } catch (const std::exception& error) {
        said += std::string(": ") + error.what();
      }
      const ssize_t written = ::write(ends[1], said.data(), said.size());
      ::_exit(written == static_cast<ssize_t>(said.size()) ? 0 : 1);
    }
    ::close(ends[1]);
    output_ = slot::Fd(ends[0]);
  }
  ~Child() { kill(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  bool has_said() const {
    pollfd ready{output_.get(), POLLIN, 0};
    return ::poll(&ready, 1, 0) == 1;
  }
  /// All that it said, when it has ended.
  std::string said() const {
    std::string text(1024, '\0');
    const ssize_t n = ::read(output_.get(), text.data(), text.size());
    text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return text;
  }

 private:
  pid_t pid_ = -1;
  slot::Fd output_;
};

/// A server in the test's own thread, which chooses what it answers and when.
struct HandServer {
  explicit HandServer(const std::string& socket)
      : context(take(Context::open({.socket = socket, .name = "server"}))), service(take(context.serve("svc"))) {}
  template <typename T>
  static T take(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().text);
    return *std::move(result);
  }
  struct Asked {
    Connection* connection;
    std::uint32_t id;
    std::string key;
  };
  /// Takes what has come.
  void pump() {
    while (Result<Connection> made = service.accept(Deadline::now()))
      connections.push_back(std::make_unique<Connection>(*std::move(made)));
    for (const auto& connection : connections) {
      while (const Result<Message> message = connection->receive(Deadline::now())) {
        if (message->kind() != Kind::request) continue;
        open.push_back({connection.get(), message->id(), std::string(message->text())});
        ++requests;
      }
    }
  }
  /// Until so many requests have come in all.
  bool wait_for(std::size_t count) {
    return eventually([&] {
      pump();
      return requests >= count;
    });
  }
  void answer(std::size_t index, bool cacheable = true) {
    const Asked asked = open.at(index);
    open.erase(open.begin() + static_cast<std::ptrdiff_t>(index));
    const std::string text = asked.key + "=" + std::to_string(++answers);
    const Result<void> sent =
        cacheable ? asked.connection->reply_cached(asked.id, text, {.ttl = kLong, .key = asked.key}, kPatience)
                  : asked.connection->reply(asked.id, text, kPatience);
    EXPECT_TRUE(sent) << sent.error().text;
  }
  Context context;
  Service service;
  std::vector<std::unique_ptr<Connection>> connections;
  std::vector<Asked> open;
  std::size_t requests = 0;
  int answers = 0;
};

/// What a client process does: connects and asks once.
std::string ask(const std::string& socket, const std::string& key, Deadline deadline = kPatience) {
  Result<Context> context = Context::open({.socket = socket, .name = "client", .cache_bytes = kCacheBytes});
  if (!context) return context.error().text;
  Result<Connection> connection = context->connect("svc", kPatience);
  if (!connection) return connection.error().text;
  const Result<Message> reply = connection->call_cached(kGet, key, key, deadline);
  if (!reply) return "failed: " + std::string(slotwire::name(reply.status()));
  return std::string(reply->text());
}

class CacheProcesses : public EveryTopology {
 protected:
  void SetUp() override {
    const std::string socket = client_node().socket();
    cache_ = cache::NodeCache::open(cache::label_of("left", socket), kCacheBytes);
    server_ = std::make_unique<HandServer>(server_node().socket());
  }
  void TearDown() override {
    children_.clear();
    server_.reset();
    cache_.reset();
    EveryTopology::TearDown();
  }
  Child& start(const std::string& key, std::chrono::milliseconds deadline = kPatience) {
    children_.push_back(std::make_unique<Child>(
        [socket = client_node().socket(), key, deadline] { return ask(socket, key, deadline); }));
    return *children_.back();
  }
  std::uint64_t waits() const {
    const auto totals = cache_->cache().totals();
    return totals.empty() ? 0 : totals[0].waits;
  }
  /// Until so many calls have waited for another one.
  bool wait_for_waits(std::uint64_t count) {
    return eventually([&] {
      server_->pump();
      return waits() >= count;
    });
  }
  /// What a child says, with the server at work meanwhile.
  std::string said(const Child& child) {
    EXPECT_TRUE(eventually([&] {
      server_->pump();
      return child.has_said();
    }));
    return child.said();
  }
  std::shared_ptr<cache::NodeCache> cache_;
  std::unique_ptr<HandServer> server_;
  std::vector<std::unique_ptr<Child>> children_;
};
INSTANTIATE_TEST_SUITE_P(Node, CacheProcesses, ::testing::Values(kTopologies[0], kTopologies[2]), topology_name);

TEST_P(CacheProcesses, OneRequestGoesOutForFifty) {
  for (int i = 0; i < 50; ++i) start("a");
  ASSERT_TRUE(server_->wait_for(1));
  ASSERT_TRUE(wait_for_waits(49));
  server_->answer(0);
  for (const auto& child : children_) EXPECT_EQ(said(*child), "a=1");
  EXPECT_EQ(server_->requests, 1U);
}

TEST_P(CacheProcesses, AnotherOneAsksWhenTheOneThatAskedIsKilled) {
  Child& first = start("a");
  ASSERT_TRUE(server_->wait_for(1));
  for (int i = 0; i < 9; ++i) start("a");
  ASSERT_TRUE(wait_for_waits(9));
  first.kill();
  ASSERT_TRUE(server_->wait_for(2));
  server_->open.erase(server_->open.begin());
  server_->answer(0);
  for (std::size_t i = 1; i < children_.size(); ++i) EXPECT_EQ(said(*children_[i]), "a=1");
  EXPECT_EQ(server_->requests, 2U);
}

TEST_P(CacheProcesses, AnotherOneAsksWhenTheTimeOfTheOneThatAskedIsOver) {
  Child& first = start("a", 2000ms);
  ASSERT_TRUE(server_->wait_for(1));
  Child& second = start("a");
  ASSERT_TRUE(wait_for_waits(1));
  EXPECT_EQ(said(first), "failed: timed out");
  ASSERT_TRUE(server_->wait_for(2));
  server_->answer(1);
  EXPECT_EQ(said(second), "a=1");
}

TEST_P(CacheProcesses, AllAskForThemselvesWhenTheReplyIsNotCacheable) {
  for (int i = 0; i < 10; ++i) start("a");
  ASSERT_TRUE(server_->wait_for(1));
  ASSERT_TRUE(wait_for_waits(9));
  server_->answer(0, false);
  ASSERT_TRUE(server_->wait_for(10)) << "they ask one after the other";
  while (!server_->open.empty()) server_->answer(0, false);
  std::map<std::string, int> answers;
  for (const auto& child : children_) ++answers[said(*child)];
  EXPECT_EQ(answers.size(), 10U);
}

TEST_P(CacheProcesses, AFollowersOwnDeadlineCounts) {
  start("a");
  ASSERT_TRUE(server_->wait_for(1));
  Child& second = start("a", 100ms);
  EXPECT_EQ(said(second), "failed: timed out");
  EXPECT_EQ(server_->requests, 1U);
  server_->answer(0);
  EXPECT_EQ(said(*children_[0]), "a=1");
}

TEST_P(CacheProcesses, RepliesOutliveTheirServerButNoCallOutlivesItsConnection) {
  Child& first = start("a");
  ASSERT_TRUE(server_->wait_for(1));
  server_->answer(0);
  EXPECT_EQ(said(first), "a=1");
  Result<Context> context = Context::open({.socket = client_node().socket(), .name = "client"});
  ASSERT_TRUE(context) << context.error().text;
  Result<Connection> connection = context->connect("svc", kPatience);
  ASSERT_TRUE(connection) << connection.error().text;
  EXPECT_TRUE(connection->call_cached(kGet, "a", "a", kPatience));
  server_.reset();
  EXPECT_TRUE(eventually([&] { return !connection->call_cached(kGet, "a", "a", kPatience); }))
      << "a connection that has ended still gets replies";
  EXPECT_EQ(connection->call_cached(kGet, "a", "a", kPatience).status(), Status::peer_closed);
  connection->close();
  server_ = std::make_unique<HandServer>(server_node().socket());
  std::optional<Result<Connection>> again;
  ASSERT_TRUE(eventually([&] {
    again.emplace(context->connect("svc", kPatience));
    return static_cast<bool>(*again);
  }));
  const Result<Message> kept = (**again).call_cached(kGet, "a", "a", kPatience);
  ASSERT_TRUE(kept) << kept.error().text;
  EXPECT_EQ(kept->text(), "a=1");
  server_->pump();
  EXPECT_EQ(server_->requests, 0U);
}

TEST_P(CacheProcesses, NothingIsLeftOfACacheWhenItsLastProcessEnds) {
  const std::string label = cache::label_of("left", client_node().socket());
  // Tests that run beside this one have caches of their own.
  const auto is_there = [&] {
    const std::vector<std::string> names = cache::NodeCache::names();
    return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
      const auto found = cache::NodeCache::open_existing(name);
      return found != nullptr && found->cache().label() == label;
    });
  };
  ASSERT_TRUE(is_there());
  Child& first = start("a");
  ASSERT_TRUE(server_->wait_for(1));
  cache_.reset();
  EXPECT_TRUE(is_there()) << "the child has it";
  cache_ = cache::NodeCache::open(label, kCacheBytes);
  EXPECT_EQ(waits(), 0U);
  EXPECT_EQ(cache_->cache().totals().at(0).misses, 1U) << "it is another cache than the child's";
  first.kill();
  cache_.reset();
  EXPECT_FALSE(is_there());
}

/// What `slotwire cache` prints.
std::string tool(const std::string& options) {
  const std::string slotwired = SLOTWIRE_SLOTWIRED;
  const std::string command = slotwired.substr(0, slotwired.rfind('/')) + "/slotwire cache " + options;
  const std::unique_ptr<FILE, int (*)(FILE*)> output(::popen(command.c_str(), "r"), ::pclose);
  std::string text;
  std::array<char, 4096> part{};
  while (const std::size_t n = std::fread(part.data(), 1, part.size(), output.get())) text.append(part.data(), n);
  return text;
}

TEST_P(CacheProcesses, TheToolShowsWhatACacheHas) {
  for (int i = 0; i < 3; ++i) start("a");
  ASSERT_TRUE(server_->wait_for(1));
  ASSERT_TRUE(wait_for_waits(2));
  server_->answer(0);
  for (const auto& child : children_) EXPECT_EQ(said(*child), "a=1");
  const std::string label = cache::label_of("left", client_node().socket());
  Json found;
  for (const Json& cache : Json::parse(tool("--json"))) {
    if (cache["node"] == label) found = cache;
  }
  ASSERT_FALSE(found.is_null()) << label;
  EXPECT_EQ(found["bytes"], kCacheBytes);
  ASSERT_EQ(found["services"].size(), 1U);
  const Json& service = found["services"][0];
  EXPECT_EQ(service["service"], "svc");
  EXPECT_EQ(service["entries"], 1U);
  EXPECT_EQ(service["hits"], 2U);
  EXPECT_EQ(service["misses"], 1U) << "calls that waited and got the reply are hits";
  EXPECT_EQ(service["waits"], 2U);
  EXPECT_EQ(service["stores"], 1U);
  EXPECT_GE(service["bytes"], 24U);
  EXPECT_NE(tool("").find("svc"), std::string::npos);
  EXPECT_NE(tool("").find(label), std::string::npos);
  EXPECT_EQ(tool("--service other").find("svc"), std::string::npos);
}

TEST(CacheUsers, NodesOfOneHostHaveCachesOfTheirOwn) {
  const auto one = cache::NodeCache::open("one " + std::to_string(::getpid()), kCacheBytes);
  const auto two = cache::NodeCache::open("two " + std::to_string(::getpid()), kCacheBytes);
  EXPECT_NE(one, two);
  EXPECT_EQ(cache::NodeCache::open("one " + std::to_string(::getpid()), kCacheBytes), one);
  ASSERT_TRUE(one->cache().service("svc"));
  EXPECT_EQ(two->cache().totals().size(), 0U);
}

/// Descriptors of the process `pid` that lead to a cache and that this process can open.
int can_open(pid_t pid, int flags) {
  int opened = 0;
  for (int fd = 0; fd < 1024; ++fd) {
    const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd);
    const slot::Fd file(::open(path.c_str(), flags | O_NONBLOCK | O_CLOEXEC));
    std::array<char, 64> target{};
    if (file && ::readlink(path.c_str(), target.data(), target.size() - 1) > 0 &&
        std::string(target.data()).find("slotwire-cache") != std::string::npos)
      ++opened;
  }
  return opened;
}

TEST(CacheUsers, AnotherUserCannotOpenTheCacheAndHasItsOwn) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  const std::string label = "walls " + std::to_string(::getpid());
  const auto own = cache::NodeCache::open(label, kCacheBytes);
  const cache::Key key = own->cache().key(*own->cache().service("svc"), {});
  const std::string value = "secret";
  const cache::Time now = cache::boot_time();
  ASSERT_EQ(own->cache().store(key, {std::as_bytes(std::span(value)), now, 1'000'000, 0}, now), cache::Stored::yes);
  EXPECT_GE(can_open(::getpid(), O_RDWR), 1) << "the test looks at the wrong place";
  const pid_t parent = ::getpid();
  const Child child([&] {
    // What the fork inherited is closed first: it is not what the walls are about.
    for (int fd = 3; fd < 1024; ++fd) {
      std::array<char, 64> target{};
      const std::string path = "/proc/self/fd/" + std::to_string(fd);
      if (::readlink(path.c_str(), target.data(), target.size() - 1) > 0 &&
          std::string(target.data()).find("slotwire-cache") != std::string::npos)
        ::close(fd);
    }
    if (::setgroups(0, nullptr) != 0 || ::setgid(65534) != 0 || ::setuid(65534) != 0) return std::string("no setuid");
    if (can_open(parent, O_RDONLY) != 0) return std::string("could read it");
    if (can_open(parent, O_RDWR) != 0) return std::string("could write it");
    const auto its = cache::NodeCache::open(label, kCacheBytes);
    if (!its->cache().totals().empty()) return std::string("has the other user's");
    return std::string("walls");
  });
  EXPECT_EQ(child.said(), "walls");
}

TEST(CacheUsers, ANameThatAnotherUserTookIsNotBelieved) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  const std::string label = "squat " + std::to_string(::getpid());
  std::string name;
  {
    const std::vector<std::string> before = cache::NodeCache::names();
    const auto own = cache::NodeCache::open(label, kCacheBytes);
    for (const std::string& one : cache::NodeCache::names()) {
      if (std::find(before.begin(), before.end(), one) == before.end()) name = one;
    }
  }
  ASSERT_FALSE(name.empty());
  const std::string prefix = blocks::meeting_prefix(name);
  std::array<int, 2> hold{};
  ASSERT_EQ(::pipe(hold.data()), 0);
  const Child child([&] {
    ::close(hold[1]);
    if (::setgroups(0, nullptr) != 0 || ::setgid(65534) != 0 || ::setuid(65534) != 0) return std::string("no setuid");
    // A cache of its own making, under the name of root's.
    const slot::Fd file = slot::create_sealed_file("slotwire-cache", kCacheBytes);
    const slot::Fd socket = blocks::announce(prefix, file);
    char byte = 0;
    while (::read(hold[0], &byte, 1) > 0) {
    }
    return std::string("held");
  });
  ::close(hold[0]);
  ASSERT_TRUE(eventually([&] { return !blocks::find_holders(prefix).empty(); }));
  const auto own = cache::NodeCache::open(label, kCacheBytes);
  EXPECT_TRUE(own->cache().totals().empty());
  EXPECT_EQ(own->cache().label(), label);
  ::close(hold[1]);
  EXPECT_EQ(child.said(), "held");
}

}  // namespace
}  // namespace slotwire::test
