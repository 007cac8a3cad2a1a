// Connections opened and closed a second: between two nodes, and on one. What each costs, by process.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <map>

#include "cases.hpp"
#include "contenders/bare.hpp"
#include "contenders/chain.hpp"
#include "contenders/slot_end.hpp"

namespace slotwire::bench {
namespace {

constexpr std::size_t kWarm = 16;  ///< connections before the clock starts
constexpr std::size_t kAtOnce = 64;

/// Opens and closes so many connections.
using Opener = std::function<void(std::size_t count)>;

/// Processes whose cost is stated together, by what they are called in the rows.
using Costs = std::map<std::string, std::vector<pid_t>>;

/// A slotwired, its gate, and its keeper, which is nobody's child: its title names the node and the directory.
void add_node(Costs& costs, const fault::Cluster& nodes, std::size_t node) {
  const pid_t slotwired = nodes.pid(node);
  costs["slotwired"].push_back(slotwired);
  const std::string self = "/proc/" + std::to_string(slotwired);
  std::ifstream children(self + "/task/" + std::to_string(slotwired) + "/children");
  for (pid_t child = 0; children >> child;) costs["gates"].push_back(child);
  const std::string title = "slotwire-keeper: node " + fault::Cluster::name(node) + " in " + nodes.directory().string();
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::string line;
    std::ifstream file(entry.path() / "cmdline");
    if (std::getline(file, line, '\0') && line == title)
      costs["keepers"].push_back(static_cast<pid_t>(std::stol(entry.path().filename().string())));
  }
}

/// What a process does that opens connections and does nothing else, and what that costs. The opener is made in that
/// process.
std::vector<Value> measure_opens(const std::string& what, std::size_t count, Costs costs,
                                 const std::function<Opener()>& make) {
  SharedArray<double> elapsed(1);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe for the opener");
  const slot::Fd wait(ends[0]), go(ends[1]);
  Part part(what, [&](const Ready& ready) {
    const Opener open = make();
    open(kWarm);
    ready("warm");
    char none = 0;
    if (::read(wait.get(), &none, 1) != 1) throw std::runtime_error("the opener's pipe has ended");
    const double begin = clock_us(CLOCK_MONOTONIC);
    open(count);
    elapsed[0] = clock_us(CLOCK_MONOTONIC) - begin;
    ready("done");
    while (true) ::pause();
  });
  part.wait();
  costs["opener"].push_back(part.pid());
  std::map<std::string, double> used, slept;
  for (const auto& [name, pids] : costs) {
    used[name] = -cpu_us_of(pids);
    slept[name] = -sleeps_of(pids);
  }
  if (::write(go.get(), "g", 1) != 1) throw std::runtime_error("the opener cannot be started");
  part.wait();
  const auto all = static_cast<double>(count);
  std::vector<Value> values{{"connections", "connections/s", all * 1e6 / elapsed[0]}};
  double used_by_all = 0, slept_by_all = 0;
  for (const auto& [name, pids] : costs) {
    used_by_all += used[name] += cpu_us_of(pids);
    slept_by_all += slept[name] += sleeps_of(pids);
    values.push_back({"processor time per connection, " + name, "us", used[name] / all});
    values.push_back({"sleeps per connection, " + name, "", slept[name] / all});
  }
  values.push_back({"processor time per connection", "us", used_by_all / all});
  values.push_back({"sleeps per connection", "", slept_by_all / all});
  return values;
}

}  // namespace

void run_opens(Stage& stage, const std::string& name) {
  const std::size_t count = std::max<std::size_t>(stage.scale().calls / 5, kAtOnce);
  const fault::Cluster& nodes = stage.pair();
  // The same server in both cases: on node 1, called from node 0 or from its own.
  const std::string socket = nodes.socket(name == "open-local" ? 1 : 0), service = fault::Cluster::service(1);
  const auto add = [&](const std::string& contender, const std::vector<Value>& values) {
    for (const Value& value : values) stage.figures().add(name, contender, value);
  };
  Costs proxies;
  add_node(proxies, nodes, 1);
  if (name != "open-local") add_node(proxies, nodes, 0);
  stage.figures().set_floor(name, "bare tcp");
  for (int run = 0; run < stage.scale().runs; ++run) {
    {
      Part server("a server of connections",
                  [&](const Ready& ready) { serve_echo(nodes.socket(1), service, [&] { ready(service); }); });
      server.wait();
      Costs costs = proxies;
      costs["server"].push_back(server.pid());
      for (const std::size_t at_once : {std::size_t{1}, kAtOnce}) {
        add(at_once == 1 ? kSlotwire : std::string(kSlotwire) + ", 64 at once",
            measure_opens("an opener of connections", count, costs, [&] {
              const auto context = std::make_shared<SlotContext>(socket);
              sw_connection_close(context->connect(service));
              return [context, service, at_once](std::size_t opens) {
                if (at_once == 1) {
                  for (std::size_t i = 0; i < opens; ++i) {
                    sw_connection* connection = nullptr;
                    check(sw_connect(context->get(), service.c_str(), nullptr, kWaitMs, &connection), "cannot connect");
                    sw_connection_close(connection);
                  }
                  return;
                }
                const std::string why = open_many(context->get(), service, opens, at_once, sw_connection_close);
                if (!why.empty()) throw std::runtime_error(why);
              };
            }));
      }
    }
    const Contender tcp = bare_tcp();
    Part server("a bare server of connections", [&](const Ready& ready) { tcp.echo(ready, 0); });
    const std::string port = server.wait();
    add(tcp.name, measure_opens("a bare opener of connections", count, {{"server", {server.pid()}}}, [&] {
          return [port](std::size_t opens) {
            for (std::size_t i = 0; i < opens; ++i) bare_connection(SOCK_STREAM, port);
          };
        }));
    // 64 bytes there and back through as many processes as an opening passes: slotwired, and between nodes both gates
    // and the other slotwired.
    const Chain chain(name == "open-local" ? 1 : 4, port);
    add("relays",
        measure_opens("a caller through relays", count, {{"relays", chain.pids()}, {"server", {server.pid()}}}, [&] {
          const auto end = std::shared_ptr<CallEnd>(tcp.call(chain.port()));
          return [end](std::size_t calls) {
            for (std::size_t i = 0; i < calls; ++i) {
              end->start(i);
              end->finish([](std::size_t) {});
            }
          };
        }));
  }
}

}  // namespace slotwire::bench
