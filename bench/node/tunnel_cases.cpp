// Programs that know nothing of slots, through `slotwire tunnel` between two nodes and directly.
#include <pwd.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>

#include "cases.hpp"
#include "contenders/chain.hpp"
#include "contenders/slot_end.hpp"

namespace slotwire::bench {
namespace {

using Command = std::vector<std::string>;

/// What is measured: a server, and a client that prints what it got.
struct Program {
  std::string name;
  std::vector<std::string> needs;  ///< programs
  std::string packages;            ///< that have them
  std::string metric, unit;
  /// Prepares what the server needs in the directory.
  Command (*server)(const std::filesystem::path& directory, std::uint16_t port);
  Command (*client)(std::uint16_t port, unsigned seconds);
  /// Takes the value out of what the client printed. 0: it is not there.
  double (*read)(const std::string& output);
  /// Once, when the server listens; may be empty.
  Command (*fill)(std::uint16_t port) = nullptr;
};

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Runs a program to its end and returns what it printed. Throws when it fails.
std::string output_of(const Command& command, const std::filesystem::path& directory) {
  constexpr int kLongestMs = 300'000;
  const std::filesystem::path log = directory / "output";
  std::filesystem::remove(log);
  const int status = fault::Child::start(command, -1, log).stop(0, kLongestMs);
  if (status != 0)
    throw std::runtime_error(command.front() + " ended with " + std::to_string(status) + ": " + text_of(log));
  return text_of(log);
}

double number_after(const std::string& text, const std::string& label) {
  const std::size_t at = text.find(label);
  return at == std::string::npos ? 0 : std::strtod(text.c_str() + at + label.size(), nullptr);
}

std::string on(std::uint16_t port) {
  return "127.0.0.1:" + std::to_string(port);
}

Command start_iperf3(const std::filesystem::path&, std::uint16_t port) {
  return {find_program("iperf3"), "-s", "-B", "127.0.0.1", "-p", std::to_string(port)};
}
Command call_iperf3(std::uint16_t port, unsigned seconds) {
  return {find_program("iperf3"), "-c", "127.0.0.1", "-p", std::to_string(port), "-t", std::to_string(seconds), "-J"};
}
double read_iperf3(const std::string& output) {
  const nlohmann::json result = nlohmann::json::parse(output, nullptr, false);
  const nlohmann::json::json_pointer bits("/end/sum_received/bits_per_second");
  return result.is_object() && result.contains(bits) ? result[bits].get<double>() / 1e9 : 0;
}

/// PostgreSQL refuses to run as root, so it gets another user there. Empty: it runs as who we are.
std::string postgres_user() {
  if (::geteuid() != 0) return {};
  return ::getpwnam("postgres") != nullptr ? "postgres" : "nobody";
}
Command as_postgres(Command command) {
  const std::string user = postgres_user();
  if (user.empty()) return command;
  Command whole{find_program("setpriv"), "--reuid=" + user,
                "--regid=" + std::to_string(::getpwnam(user.c_str())->pw_gid), "--clear-groups"};
  whole.insert(whole.end(), command.begin(), command.end());
  return whole;
}
Command start_postgres(const std::filesystem::path& directory, std::uint16_t port) {
  const std::filesystem::path home = directory / "postgres";
  std::filesystem::create_directory(home);
  const std::string user = postgres_user();
  const passwd* const entry = user.empty() ? nullptr : ::getpwnam(user.c_str());
  if (entry != nullptr && ::chown(home.c_str(), entry->pw_uid, entry->pw_gid) != 0)
    throw std::system_error(errno, std::generic_category(), "cannot give " + home.string() + " to " + user);
  const std::string data = (home / "data").string();
  output_of(as_postgres({find_program("initdb"), "-D", data, "-U", "bench", "-A", "trust", "--no-sync", "--locale=C"}),
            directory);
  return as_postgres(
      {find_program("postgres"), "-D", data, "-k", home.string(), "-h", "127.0.0.1", "-p", std::to_string(port)});
}
Command fill_postgres(std::uint16_t port) {
  return {
      find_program("pgbench"), "-h", "127.0.0.1", "-p", std::to_string(port), "-U", "bench", "-i", "-q", "postgres"};
}
Command call_pgbench(std::uint16_t port, unsigned seconds) {
  return {find_program("pgbench"),
          "-h",
          "127.0.0.1",
          "-p",
          std::to_string(port),
          "-U",
          "bench",
          "-S",
          "-n",
          "-c",
          "8",
          "-T",
          std::to_string(seconds),
          "postgres"};
}
double read_pgbench(const std::string& output) {
  return number_after(output, "tps = ");
}

Command start_nginx(const std::filesystem::path& directory, std::uint16_t port) {
  constexpr std::size_t kBody = 1024;
  std::ofstream(directory / "nginx.conf")
      // One process, so that whatever ends the benchmark ends all of nginx.
      << "daemon off;\nmaster_process off;\npid " << (directory / "nginx.pid").string() << ";\nerror_log stderr;\n"
      << "events {}\nhttp {\n  access_log off;\n  client_body_temp_path " << directory.string() << ";\n"
      << "  proxy_temp_path " << directory.string() << ";\n  fastcgi_temp_path " << directory.string() << ";\n"
      << "  uwsgi_temp_path " << directory.string() << ";\n  scgi_temp_path " << directory.string() << ";\n"
      << "  server {\n    listen " << on(port) << ";\n    return 200 \"" << std::string(kBody, 'x') << "\";\n  }\n}\n";
  return {find_program("nginx"), "-p", directory.string(), "-c", (directory / "nginx.conf").string(), "-e", "stderr"};
}
Command call_wrk(std::uint16_t port, unsigned seconds) {
  return {find_program("wrk"), "-t", "1", "-c", "16", "-d", std::to_string(seconds) + "s", "http://" + on(port) + "/"};
}
double read_wrk(const std::string& output) {
  return output.find("Non-2xx") == std::string::npos ? number_after(output, "Requests/sec:") : 0;
}

Command start_redis(const std::filesystem::path& directory, std::uint16_t port) {
  return {find_program("redis-server"),
          "--bind",
          "127.0.0.1",
          "--port",
          std::to_string(port),
          "--save",
          "",
          "--dir",
          directory.string()};
}
Command call_redis(std::uint16_t port, unsigned seconds) {
  constexpr unsigned kRequestsPerSecond = 25'000;  // about so many: redis-benchmark counts requests, not time
  return {find_program("redis-benchmark"),
          "-h",
          "127.0.0.1",
          "-p",
          std::to_string(port),
          "-c",
          "20",
          "-n",
          std::to_string(kRequestsPerSecond * seconds),
          "-t",
          "get",
          "-d",
          "100",
          "--csv"};
}
double read_redis(const std::string& output) {
  return number_after(output, "\"GET\",\"");
}

const std::vector<Program>& programs() {
  static const std::vector<Program> all{
      {"tunnel-iperf3", {"iperf3"}, "iperf3", "throughput", "Gb/s", start_iperf3, call_iperf3, read_iperf3},
      {"tunnel-pgbench",
       {"initdb", "postgres", "pgbench", "setpriv"},
       "postgresql",
       "transactions",
       "transactions/s",
       start_postgres,
       call_pgbench,
       read_pgbench,
       fill_postgres},
      {"tunnel-wrk",
       {"nginx", "wrk"},
       "nginx-light and wrk",
       "requests",
       "requests/s",
       start_nginx,
       call_wrk,
       read_wrk},
      {"tunnel-redis",
       {"redis-server", "redis-benchmark"},
       "redis-server and redis-tools",
       "requests",
       "requests/s",
       start_redis,
       call_redis,
       read_redis},
  };
  return all;
}

/// A child that is asked to end and gets the time for it.
class Server {
 public:
  Server(const Command& command, const std::filesystem::path& log, const std::vector<std::string>& environment = {})
      : child_(fault::Child::start(command, -1, log, environment)) {}
  ~Server() { child_.stop(SIGINT, kWaitMs); }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

 private:
  fault::Child child_;
};

}  // namespace

void run_tunnel(Stage& stage, const std::string& name) {
  const auto program =
      std::find_if(programs().begin(), programs().end(), [&](const Program& one) { return one.name == name; });
  for (const std::string& needed : program->needs) {
    if (!find_program(needed).empty()) continue;
    return Stage::say(name + " is skipped: there is no program '" + needed + "' (package " + program->packages + ")");
  }
  const std::string service = "tunnel-target";
  const std::unique_ptr<fault::Cluster> nodes =
      stage.make_nodes(2, "[[service]]\nname = \"" + service + "\"\nnodes = [\"b\"]\n");
  std::string pattern = (std::filesystem::temp_directory_path() / "slotwire-bench-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr)
    throw std::system_error(errno, std::generic_category(), "no temporary directory");
  const std::filesystem::path directory = pattern;
  std::filesystem::permissions(directory, std::filesystem::perms::others_exec, std::filesystem::perm_options::add);
  const std::shared_ptr<void> removed(nullptr, [&](void*) {
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
  });
  const std::uint16_t target = fault::free_port(), tunnel = fault::free_port();
  const auto run_slotwire = [&](std::size_t node, const Command& arguments, const std::string& log) {
    Command command{SLOTWIRE_PROGRAM, "tunnel"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return std::make_unique<Server>(command, directory / log,
                                    std::vector<std::string>{"SLOTWIRE_SOCKET=" + nodes->socket(node)});
  };
  const auto serve = run_slotwire(1, {"serve", service, on(target), "-q"}, "serve.log");
  const auto listen = run_slotwire(0, {"listen", on(tunnel), service, "-q"}, "listen.log");
  // When a connection comes to be, node a knows the service. The target is not there yet and sees nothing of it.
  Part("a look for the tunnel", [&](const Ready& ready) {
    SlotContext context(nodes->socket(0));
    sw_connection_close(context.connect(service));
    ready("there");
  }).wait();
  wait_for_listener(tunnel, "slotwire tunnel listen");
  const Server server(program->server(directory, target), directory / "target.log");
  wait_for_listener(target, program->needs.front());
  if (program->fill != nullptr) {
    const Command command = program->fill(target);
    // It listens before it answers.
    std::string why;
    const bool filled = fault::eventually(kWaitMs, [&] {
      try {
        output_of(command, directory);
        return true;
      } catch (const std::runtime_error& error) {
        why = error.what();
        return false;
      }
    });
    if (!filled) throw std::runtime_error(why);
  }
  // As many processes as the tunnel has, both slotwired among them, and as two ordinary TCP proxies would be.
  const Chain four(4, std::to_string(target)), two(2, std::to_string(target));
  const auto port_of = [](const Chain& chain) { return static_cast<std::uint16_t>(std::stoul(chain.port())); };
  const std::vector<std::pair<std::string, std::uint16_t>> ways{
      {"direct", target}, {kSlotwire, tunnel}, {"4 relays", port_of(four)}, {"2 relays", port_of(two)}};
  stage.figures().set_floor(name, "direct");
  for (int run = 0; run < stage.scale().runs; ++run) {
    for (const auto& [way, port] : ways) {
      const std::string output = output_of(program->client(port, stage.scale().seconds), directory);
      const double value = program->read(output);
      if (value <= 0) throw std::runtime_error(name + ": no figure in what the client printed: " + output);
      stage.figures().add(name, way, {program->metric, program->unit, value});
    }
  }
}

}  // namespace slotwire::bench
