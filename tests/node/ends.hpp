// Two ends of a connection, in every way that two ends can be joined.
#pragma once
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <thread>

#include "node_fixture.hpp"
#include "slotwire_server.hpp"

namespace slotwire::test {

/// How the client's node and the server's are joined.
struct Topology {
  const char* name;
  bool two_nodes;
  Carrier carrier;
  bool strict;
};
inline void PrintTo(const Topology& topology, std::ostream* out) {
  *out << topology.name;
}

inline constexpr Topology kTopologies[] = {
    {"direct", false, Carrier::udp, false}, {"strict", false, Carrier::udp, true},
    {"udp", true, Carrier::udp, false},     {"tcp", true, Carrier::tcp, false},
    {"tls", true, Carrier::tls, false},     {"encrypted", true, Carrier::encrypted_udp, false},
};
inline auto every_topology() {
  return ::testing::ValuesIn(kTopologies);
}
inline auto every_link() {
  return ::testing::ValuesIn(std::begin(kTopologies) + 2, std::end(kTopologies));
}
inline std::string topology_name(const ::testing::TestParamInfo<Topology>& info) {
  return info.param.name;
}

/// The rules that make a node copy between its own slots instead of sharing a ring.
inline constexpr const char* kStrictRules = R"(
[[allow]]
action = "serve"
service = "*"
users = ["*"]
[[allow]]
action = "connect"
service = "*"
users = ["*"]
isolation = "strict"
)";

/// Options for a topology; the service "svc" is served on the server's node.
inline ClusterOptions cluster_of(const Topology& topology) {
  ClusterOptions options;
  options.carrier = topology.carrier;
  if (topology.two_nodes) {
    options.nodes = {"left", "right"};
    options.services["svc"] = {"right"};
  }
  if (topology.strict) options.toml = kStrictRules;
  return options;
}

/// Bytes that say where they belong.
inline std::vector<std::byte> pattern(std::size_t size, std::uint64_t seed) {
  std::vector<std::byte> bytes(size);
  std::uint64_t state = (seed * 0x9e3779b97f4a7c15U) + 1;
  for (std::byte& byte : bytes) {
    state = (state * 6364136223846793005U) + 1442695040888963407U;
    byte = static_cast<std::byte>(state >> 56);
  }
  return bytes;
}

inline bool same(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
}

/// A Server in a thread of its own.
class ServerThread {
 public:
  ServerThread(std::string socket, std::string service, Server::Handler handler, ServerOptions options = {}) {
    std::promise<void> serving;
    std::future<void> ready = serving.get_future();
    thread_ = std::thread([&, socket, service, handler = std::move(handler), options = std::move(options)]() mutable {
      Result<Server> server =
          Server::open({.socket = socket, .name = "server"}, service, std::move(handler), std::move(options));
      if (!server) {
        serving.set_exception(std::make_exception_ptr(std::runtime_error(server.error().text)));
        return;
      }
      server_ = &*server;
      serving.set_value();
      if (const Result<void> ran = server->run(); !ran) ADD_FAILURE() << ran.error().text;
    });
    try {
      ready.get();
    } catch (...) {
      thread_.join();
      throw;
    }
  }
  ~ServerThread() {
    server_->stop();
    thread_.join();
  }
  ServerThread(const ServerThread&) = delete;
  ServerThread& operator=(const ServerThread&) = delete;

 private:
  const Server* server_ = nullptr;
  std::thread thread_;
};

/// Contexts and a connection between them, all in the test's thread.
struct Ends {
  Context client_context, server_context;
  Service service;
  Connection client, server;
};

/// Opens a connection to "svc". Throws std::runtime_error with the library's text.
inline Ends open_ends(const std::string& client_socket, const std::string& server_socket,
                      const ConnectOptions& options = {}, const std::string& name = "svc") {
  const auto take = [](auto result) {
    if (!result) throw std::runtime_error(std::string(slotwire::name(result.status())) + ": " + result.error().text);
    return *std::move(result);
  };
  Context client_context = take(Context::open({.socket = client_socket, .name = "client"}));
  Context server_context = take(Context::open({.socket = server_socket, .name = "server"}));
  Service service = take(server_context.serve(name));
  Connection client = take(client_context.connect(name, kPatience, options));
  Connection server = take(service.accept(kPatience));
  return {std::move(client_context), std::move(server_context), std::move(service), std::move(client),
          std::move(server)};
}

/// Tests that run over every topology.
class EveryTopology : public ::testing::TestWithParam<Topology> {
 protected:
  EveryTopology() : EveryTopology(ClusterOptions{}) {}
  explicit EveryTopology(const ClusterOptions& more) : cluster_(merged(more)) { cluster_.start(); }

  Node& client_node() { return cluster_["left"]; }
  Node& server_node() { return cluster_[GetParam().two_nodes ? "right" : "left"]; }
  bool remote() const { return GetParam().two_nodes; }
  Ends ends(const ConnectOptions& options = {}) {
    return open_ends(client_node().socket(), server_node().socket(), options);
  }
  Cluster& cluster() { return cluster_; }

  void TearDown() override {
    EXPECT_EQ(open_slot_memory(), 0U) << "the library left slot memory open";
    // Everything that was opened has been given back.
    for (Node* node : {&client_node(), &server_node()}) {
      if (!node->running()) continue;
      EXPECT_TRUE(eventually([&] { return node->status()["slots"]["used"] == 0; })) << node->status().dump(1);
      const Json status = node->status();
      EXPECT_EQ(status["memory"]["free"], status["memory"]["total"]);
    }
  }

 private:
  static ClusterOptions merged(const ClusterOptions& more) {
    ClusterOptions options = cluster_of(GetParam());
    options.toml += more.toml;
    return options;
  }
  Cluster cluster_;
};

}  // namespace slotwire::test
