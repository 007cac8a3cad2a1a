// Connections opened and closed a second: between two nodes, and on one.
#include <sys/socket.h>
#include <unistd.h>

#include "cases.hpp"
#include "contenders/bare.hpp"
#include "contenders/slot_end.hpp"

namespace slotwire::bench {
namespace {

constexpr std::size_t kWarm = 16;  ///< connections before the clock starts
constexpr std::size_t kAtOnce = 64;

/// Opens and closes so many connections.
using Opener = std::function<void(std::size_t count)>;

/// Connections a second of a process that does nothing else. The opener is made in that process.
double measure_opens(const std::string& what, std::size_t count, const std::function<Opener()>& make) {
  SharedArray<double> elapsed(1);
  Part part(what, [&](const Ready& ready) {
    const Opener open = make();
    open(kWarm);
    const double begin = clock_us(CLOCK_MONOTONIC);
    open(count);
    elapsed[0] = clock_us(CLOCK_MONOTONIC) - begin;
    ready("done");
    while (true) ::pause();
  });
  part.wait();
  return static_cast<double>(count) * 1e6 / elapsed[0];
}

}  // namespace

void run_opens(Stage& stage, const std::string& name) {
  const std::size_t count = std::max<std::size_t>(stage.scale().calls / 5, kAtOnce);
  const fault::Cluster& nodes = stage.pair();
  // The same server in both cases: on node 1, called from node 0 or from its own.
  const std::string socket = nodes.socket(name == "open-local" ? 1 : 0), service = fault::Cluster::service(1);
  const auto add = [&](const std::string& contender, double rate) {
    stage.figures().add(name, contender, {"connections", "connections/s", rate});
  };
  stage.figures().set_floor(name, "bare tcp");
  for (int run = 0; run < stage.scale().runs; ++run) {
    {
      Part server("a server of connections",
                  [&](const Ready& ready) { serve_echo(nodes.socket(1), service, [&] { ready(service); }); });
      server.wait();
      for (const std::size_t at_once : {std::size_t{1}, kAtOnce}) {
        add(at_once == 1 ? kSlotwire : std::string(kSlotwire) + ", 64 at once",
            measure_opens("an opener of connections", count, [&] {
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
    add(tcp.name, measure_opens("a bare opener of connections", count, [&] {
          return [port](std::size_t opens) {
            for (std::size_t i = 0; i < opens; ++i) bare_connection(SOCK_STREAM, port);
          };
        }));
  }
}

}  // namespace slotwire::bench
